#!/bin/sh
# Measures this project beside PyTorch on a machine with an NVIDIA GPU, which needs no network.
#
#   bench/gpu.sh RESULT.json [check] [bench] [batch] [recipe]
#
# does all four parts, or those that are named, and leaves one JSON file with the card, the driver, every
# figure and every message of what failed. It needs a Vulkan driver (the NVIDIA driver with its ICD file and
# libvulkan.so.1), and finds the rest by these variables:
#
#   TRAINER      the program, built with `--features wgpu`; target/debug/trainer if absent
#   PYTHON       an interpreter with PyTorch for CUDA; without PyTorch only this project is measured
#   CIFAR10_DIR  the images, for the recipe
#   SECONDS_EACH how long a figure is measured (3), and LIMIT, after how many seconds a command is ended (300)
set -u

result=${1:?usage: bench/gpu.sh RESULT.json [check] [bench] [batch] [recipe]}
shift
parts=${*:-check bench batch recipe}
here=$(cd "$(dirname "$0")" && pwd)
trainer=${TRAINER:-$here/../target/debug/trainer}
python=${PYTHON:-python3}
seconds=${SECONDS_EACH:-3}
limit=${LIMIT:-300}
device=${DEVICE:-discrete:0}
for part in $parts; do
    case $part in
    check | bench | batch | recipe) ;;
    *)
        echo "there is no part $part; there are check, bench, batch and recipe" >&2
        exit 2
        ;;
    esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -x "$trainer" ] || { echo "$trainer is no program; set TRAINER" >&2; exit 1; }
"$python" -c '' || { echo "$python does not run; set PYTHON" >&2; exit 1; }

# record PART NAME COMMAND...: runs a command, and keeps its lines of JSON, the last alone where it is the only
# one, or the end of what it said, its seconds and its errors.
record() {
    part=$1
    name=$2
    shift 2
    echo "$part: $name" >&2
    begin=$(date +%s.%N)
    timeout "$limit" "$@" > "$work/out" 2> "$work/err"
    code=$?
    end=$(date +%s.%N)
    "$python" - "$part" "$name" "$code" "$begin" "$end" "$work" "$*" >> "$work/lines" <<'PYTHON'
import json, pathlib, sys
part, name, code, begin, end, work, command = sys.argv[1:]
text = lambda file: (pathlib.Path(work) / file).read_text(errors="replace").strip().splitlines()
def parsed(line):
    try:
        return [json.loads(line)]
    except ValueError:
        return []
out = text("out")
values = [value for line in out for value in parsed(line)]
result = values[0] if len(values) == 1 else values or out[-20:]
print(json.dumps({"part": part, "name": name, "command": command, "exit": int(code),
                  "seconds": round(float(end) - float(begin), 2), "result": result, "errors": text("err")[-5:]}))
PYTHON
    return "$code"
}

# The last argument is a precision: fast, or half, which stores images in half the memory.
ours() {
    record bench "$1 $2 batch $3: wgpu, $4" "$trainer" bench --backend wgpu --device "$device" --network "$1" --mode "$2" \
        --batch "$3" --precision "$4" --seconds "$seconds" --json
}

# What PyTorch does with one case, by the fastest of cuDNN's algorithms, in both layouts: full precision eager and
# compiled, TF32, and half precision. One process does it all, since starting one takes longer than measuring.
torch() {
    record bench "$1 $2 batch $3: torch" "$python" "$here/bench_torch.py" --device cuda --net "$1" --mode "$2" \
        --batch "$3" --seconds "$seconds" --tune --layout nchw,nhwc \
        --ways eager,compile,tf32,tf32+compile,fp16+compile,bf16+compile
}

record machine card nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
record machine backends "$trainer" backends --json
record machine torch "$python" -c 'import json, torch; print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda}))'
has_torch=$?

for part in $parts; do
    case $part in
    check)
        for precision in fast half; do
            record check "$device, $precision" "$trainer" check --backend wgpu --device "$device" \
                --precision "$precision" --json
        done
        ;;
    bench)
        for case in "simple_cnn 128" "simple_cnn 2048" "resnet20 128" "resnet20 1024" "resnet18 128" "resnet18 512" \
            "airbench94 1024"; do
            # A case is a network and a batch.
            # shellcheck disable=SC2086
            set -- $case
            ours "$1" train "$2" fast
            ours "$1" train "$2" half
            [ "$has_torch" -eq 0 ] && torch "$1" train "$2"
        done
        ours resnet20 infer 1024 fast
        [ "$has_torch" -eq 0 ] && torch resnet20 infer 1024
        ;;
    batch)
        for network in resnet20 resnet18; do
            for precision in fast half; do
                record batch "$network, $precision" "$trainer" bench --backend wgpu --device "$device" \
                    --network "$network" --precision "$precision" --find-batch --limit 16384 --seconds 1 --json
            done
        done
        ;;
    recipe)
        for precision in fast half; do
            record recipe "speedrun-94, $precision" "$trainer" train --backend wgpu --device "$device" \
                --config speedrun-94 --precision "$precision" --artifacts "$work/artifacts" --quiet --json
        done
        ;;
    esac
done

"$python" - "$work/lines" "$result" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
with open(sys.argv[2], "w") as file:
    json.dump(lines, file, indent=1)
failed = [line["name"] for line in lines if line["exit"] != 0]
print(f"{sys.argv[2]}: {len(lines)} results" + (f", {len(failed)} failed: {', '.join(failed)}" if failed else ""))
PYTHON
