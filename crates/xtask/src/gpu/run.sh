#!/usr/bin/env bash
# Runs every check of this pack and writes report.txt beside itself; the exit code is 1 if one failed.
#
#   run.sh [--device cuda|cpu] [--libtorch FOLDER] [--python PROGRAM] [--cifar10 FOLDER]
#
# libtorch @VERSION@ is that of --libtorch (the folder that has lib/), of the variable LIBTORCH, or of
# Python's torch. With a Python that has torch and torchvision, their steps are timed beside ours.
# With CIFAR-10 as class folders in train/ and test/, resnet9 is trained on it to 94 % (some minutes).
set -u
here=$(cd "$(dirname "$0")" && pwd)
device=cuda libtorch=${LIBTORCH:-} python=python3 cifar10=
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift 2 ;;
    --libtorch) libtorch=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --cifar10) cifar10=$2; shift 2 ;;
    *) sed -n '2,8p' "$0"; exit 2 ;;
  esac
done
if [ -z "$libtorch" ]; then
  libtorch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>/dev/null) ||
    { echo "error: no libtorch: give --libtorch FOLDER, or a Python with torch by --python"; exit 2; }
fi
[ -e "$libtorch/lib/libtorch.so" ] || { echo "error: $libtorch/lib/libtorch.so is not there"; exit 2; }
export LD_LIBRARY_PATH="$libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
bin=$here/bin
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
report=$here/report.txt
: > "$report" || exit 2
failed=0

say() { printf '%s\n' "$*" | tee -a "$report"; }
pass() { say "PASS $*"; }
fail() { failed=$((failed + 1)); say "FAIL $*"; }
seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.1f", b - a }'; }

# verdict CONDITION TEXT: passes if the condition (a command) holds.
verdict() { if eval "$1"; then pass "$2"; else fail "$2"; fi; }

# train RUN FLAGS…: a run on the digits; what it says is in $work/log.
train() {
  local name=$1; shift
  timeout 240 "$bin/ml-train" --data_dir "$here/digits" --runs_dir "$work/runs" --run_name "$name" \
    --device "$device" --color never "$@" > "$work/log" 2>&1
}
last_line() { tail -n 1 "$work/log"; }

small=(--architecture "$([ "$device" = cpu ] && echo resnet20 || echo resnet18_cifar)" --batch_size 128 --num_epochs 3
  --set 'transforms={train: {resize: [32, 32], random_affine: {degrees: 10}, random_erasing: {p: 0.3}}, val: {resize: [32, 32]}}'
  --set deterministic=true --precision fp32)

say "libtorch: $libtorch"
say "system: $(uname -srm), $(nproc) processors"
command -v nvidia-smi > /dev/null &&
  say "gpu: $(nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv,noheader | head -n 4)"

# The device, and a wrong one.
train none --dry_run "${small[@]}"
found=$(grep -o 'device: .*' "$work/log" | head -n 1)
verdict '[[ $found == "device: ${device}"* ]]' "device: ${found:-$(last_line)}"
timeout 60 "$bin/ml-train" --data_dir "$here/digits" --device cuda:99 --dry_run > "$work/log" 2>&1
verdict "[ $? -eq 2 ]" "device cuda:99 is refused: $(last_line)"
grep -q '\[W' "$work/log" && fail "libtorch writes across the output: $(grep -m 1 '\[W' "$work/log")"

# What it computes, beside the CPU.
for check in networks precision tf32 optimizers loader deterministic single_image memory lost_device other_device; do
  start=$(seconds)
  timeout 180 "$bin/gpu_check" $check "$device" "$here/digits" > "$work/out" 2> "$work/err"
  code=$?
  sed 's/^/  /' "$work/out" >> "$report"
  grep '^FAIL' "$work/out"
  bad=$(grep -c '^FAIL' "$work/out")
  [ $code -eq 0 ] || [ "$bad" -gt 0 ] || { tail -n 2 "$work/err" | tee -a "$report"; }
  if [ $code -eq 0 ] && ! grep -q '^PASS' "$work/out"; then say "$(cat "$work/out")"; continue; fi
  verdict "[ $code -eq 0 ]" "$check: $(grep -c '^PASS' "$work/out") good, $bad bad, $(since "$start") s"
done

# Training: twice the same, killed and resumed the same, used on the CPU.
start=$(seconds)
train one "${small[@]}"
verdict "[ $? -eq 0 ]" "training: $(grep -o 'best.*' "$work/log" | tail -n 1) $(since "$start") s"
grep -q '\[W' "$work/log" && fail "libtorch writes across the output: $(grep -m 1 '\[W' "$work/log")"
train two "${small[@]}"
same() {
  "$python" "$here/python/compare_runs.py" "$work/runs/$1" "$work/runs/$2" > "$work/same" 2>&1 &&
    "$python" -c 'import json, sys; sys.exit(bool(json.loads(open(sys.argv[1]).read().splitlines()[-1])["differences"]))' "$work/same"
}
has_python=$("$python" -c 'import torch, numpy; print("yes")' 2>/dev/null)
if [ -n "$has_python" ]; then
  verdict 'same one two' "trained twice with deterministic: true, compared to the bit"
  sed 's/^/  /' "$work/same" >> "$report"
  # Without `timeout`, which would be killed in its place.
  "$bin/ml-train" --data_dir "$here/digits" --runs_dir "$work/runs" --run_name killed \
    --device "$device" --color never "${small[@]}" > "$work/log" 2>&1 &
  job=$!
  for _ in $(seq 600); do [ -e "$work/runs/killed/last.pt" ] && break; sleep 0.1; done
  kill -KILL $job 2> /dev/null; wait $job 2> /dev/null
  timeout 240 "$bin/ml-train" --resume "$work/runs/killed" --device "$device" --color never > "$work/log" 2>&1
  verdict "[ $? -eq 0 ] && same one killed" "killed after $([ -e "$work/runs/killed/last.pt" ] && echo "an epoch") and resumed, compared to the bit"
  sed 's/^/  /' "$work/same" >> "$report"
else
  say "SKIP comparing runs: $python has no torch and numpy"
fi
accuracy() { sed -n 's/.*"num_samples": *[0-9]*, *"accuracy": *\([0-9.]*\).*/\1/p' "$work/out"; }
evaluate() { # DEVICE
  timeout 120 "$bin/ml-inference" --device "$1" --checkpoint "$work/runs/one/last.pt" --data_dir "$here/digits" \
    --output "$work/evaluated" --json > "$work/out" 2> "$work/log"
}
CUDA_VISIBLE_DEVICES= evaluate cpu
on_cpu=$(accuracy)
verdict "[ -n '$on_cpu' ]" "its last.pt is evaluated on the CPU: accuracy ${on_cpu:-none, $(last_line)}"
evaluate "$device"
on_device=$(accuracy)
verdict "awk -v a='${on_device:-0}' -v b='${on_cpu:-1}' 'BEGIN { exit !(a - b < 0.005 && b - a < 0.005) }'" "and on $device: accuracy ${on_device:-none, $(last_line)}"
if [ "$device" != cpu ]; then
  train full --architecture resnet50 --batch_size 1500 --num_epochs 1 --precision fp32 --num_workers 4 \
    --set 'transforms={train: {resize: [768, 768]}, val: {resize: [32, 32]}}'
  verdict "[ $? -eq 1 ] && grep -q -- --batch_size $work/log" "memory full: $(last_line)"
fi

# Steps, beside PyTorch's.
if [ "$device" = cpu ]; then networks="resnet18" batch=2 size=64 steps=2 flag=
else networks="resnet50 vit_b_16 convnext_tiny efficientnet_b0" batch=256 size=224 steps=20 flag=--cuda; fi
milliseconds() { tail -n 1 | sed -n 's/.*"ms_median": \([0-9.]*\).*/\1/p'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.2f", a / b; else printf "not measured" }'; }
peers=$("$python" -c 'import torch, torchvision; print("yes")' 2>/dev/null)
for network in $networks; do
  modes=("" "--bf16 --channels_last")
  [ "$network" = resnet50 ] && modes=("" "--tf32" "--bf16" "--bf16 --channels_last")
  for mode in "${modes[@]}"; do
    ours=$(timeout 120 "$bin/bench_step" $network $batch $size $steps $flag $mode 2> "$work/err" | milliseconds)
    theirs=
    [ -n "$peers" ] && theirs=$(timeout 120 "$python" "$here/python/step.py" $network $batch $size $steps $flag $mode 2> /dev/null | milliseconds)
    text="step of $network, $batch images of $size px, ${mode:-fp32}: ${ours:-none} ms, PyTorch ${theirs:-not measured} ms"
    verdict "[ -n '$ours' ]" "$text $( [ -n "$ours" ] || tail -n 1 "$work/err")"
    [ -z "$mode" ] && plain=$theirs
  done
  # The last mode is what `precision: auto` takes on a GPU, the first PyTorch's default.
  [ -n "$ours" ] && [ -n "$plain" ] &&
    say "INFO step of $network, default against PyTorch's: $(ratio "$plain" "$ours"); against its best eager: $(ratio "${theirs:-0}" "$ours")"
  if [ -n "$peers" ] && [ "$network" = resnet50 ]; then
    theirs=$(timeout 150 "$python" "$here/python/step.py" $network $batch $size $steps $flag --bf16 --channels_last --compile 2> /dev/null | milliseconds)
    say "INFO step of $network compiled by PyTorch in bf16, channels_last: ${theirs:-none} ms, $(ratio "${theirs:-0}" "$ours") of ours"
  fi
done

# Epochs from memory: how long they take, and how much of it the training waits for images.
data=$here/digits; [ -d "$here/images" ] && data=$here/images
start=$(seconds)
timeout 200 "$bin/ml-train" --data_dir "$data" --runs_dir "$work/runs" --run_name epochs --device "$device" --color never \
  --architecture "$([ "$device" = cpu ] && echo tiny_net || echo resnet9)" --batch_size 256 --num_epochs 4 --set data.cache=ram \
  --set 'transforms={train: {resize: [32, 32], random_crop: {size: 32, padding: 4}, random_horizontal_flip: true}, val: {resize: [32, 32]}}' \
  > "$work/log" 2>&1
verdict "[ $? -eq 0 ]" "4 epochs from memory, $(since "$start") s in all"
grep -E 'epoch +[0-9]|precision:' "$work/log" | sed 's/^/  /' >> "$report"
if [ "$device" != cpu ]; then
  # Validation and the checkpoint count as idle, so that this is an upper bound.
  of_step=$(timeout 60 "$bin/bench_step" resnet9 256 32 40 --cuda --bf16 --channels_last 2> /dev/null | milliseconds)
  of_epoch=$(grep -E 'epoch +4/' "$work/log" | sed -n 's/.*, \([0-9.]*\) s (.*/\1/p')
  images=$(find "$data/train" -type f | wc -l)
  say "INFO idle in the last epoch, at most: $(awk -v s="${of_step:-0}" -v e="${of_epoch:-0}" -v n="$images" \
    'BEGIN { if (s > 0 && e > 0) printf "%.1f %% (%d steps of %.2f ms in %.2f s)", 100 * (1 - int(n / 256) * s / e / 1000), n / 256, s, e; else print "not measured" }')"
fi

# How long a checkpoint holds the training up.
train pause --architecture "$([ "$device" = cpu ] && echo tiny_net || echo resnet50)" --batch_size 16 --num_epochs 1 \
  --set training.checkpoint.every_steps=25 --set 'transforms={train: {resize: [64, 64]}, val: {resize: [64, 64]}}'
pause=$(sed -n 's/.*training paused \([0-9.]*\) ms.*/\1/p' "$work/runs/pause/logs/train.log" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')
verdict "[ -n '$pause' ]" "a checkpoint holds the training up for ${pause:-?} ms (median)"

if [ -n "$cifar10" ]; then
  timeout 900 "$bin/ml-train" --data_dir "$cifar10" --runs_dir "$work/runs" --run_name cifar10 --device "$device" --color never \
    --architecture resnet9 --batch_size 512 --num_epochs 24 --lr 0.4 --momentum 0.9 --weight_decay 0.0005 \
    --set optimizer.nesterov=true --set data.cache=ram --set data.val_fraction=0.02 \
    --set 'scheduler={name: one_cycle, pct_start: 0.2, anneal_strategy: linear}' \
    --set 'transforms={train: {random_crop: {size: 32, padding: 4}, random_horizontal_flip: true, random_erasing: {p: 1.0, scale: [0.0625, 0.0625], ratio: [1, 1]}}, val: {resize: [32, 32]}, test: {resize: [32, 32]}}' \
    > "$work/log" 2>&1
  code=$?
  found=$(sed -n 's/^test_accuracy: //p' "$work/runs/cifar10/summary.yaml")
  took=$(sed -n 's/^seconds: //p' "$work/runs/cifar10/summary.yaml")
  verdict "[ $code -eq 0 ] && awk -v a='${found:-0}' 'BEGIN { exit !(a >= 0.94) }'" "CIFAR-10, resnet9, 24 epochs: test accuracy ${found:-none} in ${took:-?} s"
fi

say "$failed failed; the report is $report"
[ $failed -eq 0 ]
