#!/bin/sh
# The job array of docs/scale.md under a Slurm of its own on this machine, compared with the same sweep in
# one process; one of its tasks is ended by Slurm as at a time limit, and goes on when it is submitted again.
#     bench/sweep_slurm.sh path/to/trainer
# Needs slurmctld, slurmd, sbatch and munged (Debian: slurmctld slurmd slurm-client munge). Nothing of the
# system's own Slurm is touched: every daemon has its files in a folder that is removed at the end.
set -eu
trainer=$(realpath "${1:?the path of the trainer}")
page=$(dirname "$(realpath "$0")")/../docs/scale.md
PATH=$PATH:/usr/sbin:/sbin
for program in munged slurmctld slurmd sbatch scancel squeue; do
    command -v $program > /dev/null || { echo "skipped: there is no Slurm ($program)"; exit 77; }
done

folder=$(mktemp -d)
chmod 755 "$folder" # munge asks that others can pass, and that nobody else can write.
# The daemons write until they have ended.
finish() {
    for process in $(cat "$folder"/*.pid 2> /dev/null); do
        kill "$process" 2> /dev/null || continue
        tries=0
        while kill -0 "$process" 2> /dev/null && [ "$tries" -lt 100 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    done
    rm -rf "$folder" || true
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# One node, this machine, where whoever starts this owns the daemons.
user=$(id -un)
host=$(hostname -s)
port=$((20000 + $$ % 10000 * 2)) # Several of these may run at once.
mkdir "$folder/state" "$folder/spool"
(umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
export SLURM_CONF="$folder/slurm.conf"
cat > "$SLURM_CONF" <<CONFIGURATION
ClusterName=sweep
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONFIGURATION
# What a Slurm that does not start says is worth more than that it did not.
lacking() {
    echo "skipped: Slurm does not start here: $(cat "$folder"/*.log 2> /dev/null | tail -n 4 | tr '\n' ' ')"
    exit 77
}
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" || lacking
slurmctld || lacking
slurmd || lacking
tries=0
until sinfo --noheader --format=%T 2> /dev/null | grep -q idle; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || lacking
    sleep 0.5
done

# The page's own file, with a recipe that needs no data and a sweep of six runs. Options of `sbatch` come
# before those of the file: a task has one processor here.
plan="--config smoke --seeds 3 --set optimizer.lr=0.001,0.01 --set epochs=4 --backend ndarray"
sed -n '/^    #!\/bin\/sh$/,/SLURM_ARRAY_TASK_ID/ s/^    //p' "$page" | sed \
    -e "s|srun \(.*\) trainer sweep .*|srun \1 $trainer sweep $plan --quiet \\\\|" \
    -e "s|/shared/artifacts|$folder/apart|" > "$folder/sweep.sbatch"
cat "$folder/sweep.sbatch"
submit() {
    sbatch --parsable --cpus-per-task=1 --chdir="$folder" --output="$folder/task-%a.log" "$@" "$folder/sweep.sbatch"
}
# Waits for a job, one array of tasks, to leave the queue.
wait_for() {
    for _ in $(seq 600); do
        [ -n "$(squeue --noheader --jobs="$1" 2> /dev/null)" ] || return 0
        sleep 0.5
    done
    echo "job $1 has not ended within five minutes"
    exit 1
}

# Ended by the signal of a time limit once it has a step behind it.
first=$(submit --array=1)
until cat "$folder"/apart/sweep-*/task-0001/latest/steps.csv 2> /dev/null | grep -q '^[1-9]'; do sleep 0.1; done
scancel --signal=TERM "$first"
wait_for "$first"
grep "interrupted and saved" "$folder"/apart/sweep-*/task-0001/train.log
wait_for "$(submit --array=1-6)"

# shellcheck disable=SC2086 # The plan is several words.
set -- $plan --threads 1 --quiet
"$trainer" sweep "$@" --artifacts "$folder/apart" --collect | sed '$d' > "$folder/apart.txt"
"$trainer" sweep "$@" --artifacts "$folder/whole" | sed '$d' > "$folder/whole.txt"
if ! diff "$folder/apart.txt" "$folder/whole.txt"; then
    tail -n 5 "$folder"/task-*.log "$folder"/slurmctld.log "$folder"/slurmd.log
    exit 1
fi
cat "$folder/apart.txt"
echo "six tasks of a job array, one of them ended and submitted again, give the table of one process"
