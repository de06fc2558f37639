#!/bin/sh
# A small sweep under GNU parallel, compared with the same sweep in one process.
#     bench/sweep_parallel.sh path/to/trainer
set -eu
trainer=${1:?the path of the trainer}
command -v parallel > /dev/null || { echo "skipped: there is no GNU parallel"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
set -- --backend ndarray --config smoke --seeds 3 --set optimizer.lr=0.001,0.01 --set epochs=1 --threads 1 --quiet
seq 6 | parallel --will-cite --jobs 2 "$trainer" sweep "$@" --artifacts "$folder/apart" --task '{}'
"$trainer" sweep "$@" --artifacts "$folder/apart" --collect | sed '$d' > "$folder/apart.txt"
"$trainer" sweep "$@" --artifacts "$folder/whole" | sed '$d' > "$folder/whole.txt"
diff "$folder/apart.txt" "$folder/whole.txt"
cat "$folder/apart.txt"
echo "six tasks under GNU parallel give the table of one process"
