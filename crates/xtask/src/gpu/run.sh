#!/usr/bin/env bash
# Runs every check of this pack and writes report.txt beside itself; the exit code is 1 if one failed.
#
#   run.sh [--device cuda|cpu] [--libtorch FOLDER] [--python PROGRAM] [--minutes N] [--cifar10 FOLDER]
#
# libtorch @VERSION@ is that of --libtorch (the folder that has lib/), of the variable LIBTORCH, or of
# Python's torch. With a Python that has torch and torchvision, their steps are timed beside ours.
# What is only timed is left out once --minutes (8) would be exceeded. With CIFAR-10 as class folders
# in train/ and test/, resnet9 is trained on it to 94 % (some minutes more).
set -u
here=$(cd "$(dirname "$0")" && pwd)
device=cuda libtorch=${LIBTORCH:-} python=python3 cifar10='' minutes=8
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=${2:-}; shift 2 ;;
    --libtorch) libtorch=${2:-}; shift 2 ;;
    --python) python=${2:-}; shift 2 ;;
    --minutes) minutes=${2:-}; shift 2 ;;
    --cifar10) cifar10=${2:-}; shift 2 ;;
    *) sed -n '2,9p' "$0"; exit 2 ;;
  esac || { echo "error: the last option has no value"; exit 2; }
done
case $minutes in
  '' | *[!0-9]*) echo "error: --minutes is '$minutes', not a whole number"; exit 2 ;;
esac
if [ -z "$libtorch" ]; then
  libtorch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>/dev/null) ||
    { echo "error: no libtorch: give --libtorch FOLDER, or a Python with torch by --python"; exit 2; }
fi
[ -e "$libtorch/lib/libtorch.so" ] || { echo "error: $libtorch/lib/libtorch.so is not there"; exit 2; }
export LD_LIBRARY_PATH="$libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# So that CUDA numbers the GPUs as nvidia-smi does, which is asked for their memory.
export CUDA_DEVICE_ORDER=${CUDA_DEVICE_ORDER:-PCI_BUS_ID}
bin=$here/bin
for packed in "$bin"/*.gz; do
  [ ! -e "$packed" ] || gzip -df "$packed" || exit 2
done
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
on_cpu() { [ "$device" = cpu ]; }

# verdict CONDITION TEXT: passes if the condition (a command) holds.
verdict() { if eval "$1"; then pass "$2"; else fail "$2"; fi; }

# goal TEXT FIGURE least|most BOUND UNIT: a goal that fails nothing, since machines differ.
goal() {
  say "INFO $1: $(awk -v v="$2" -v way="$3" -v bound="$4" -v unit="$5" 'BEGIN {
    if (v == "") { print "not measured"; exit }
    met = way == "least" ? v + 0 >= bound + 0 : v + 0 <= bound + 0
    printf "%.2f%s (goal: at %s %s%s; %s)", v, unit, way, bound, unit, met ? "met" : "missed" }')"
}

# affordable SECONDS TEXT: whether a timing of about so long is done before --minutes are over.
affordable() {
  [ $((SECONDS + $1)) -le $((minutes * 60)) ] && return
  say "SKIP $2: it would take more than the $minutes minutes of --minutes"
  return 1
}

# figure KEY: of a line of JSON.
figure() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p"; }
# summed RUN KEY: from its summary.yaml.
summed() { sed -n "s/^ *$2: //p" "$work/runs/$1/summary.yaml" 2> /dev/null | head -n 1; }
# part A B: A / B; nothing where one of them is not there.
part() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.4f", a / b }'; }

# train CONFIG RUN FLAGS…: a run on the images of $data; what it says is in $work/log.
data=$here/digits
train() {
  local config=$1 name=$2 code
  shift 2
  timeout 240 "$bin/ml-train" --config "$here/configs/$config.yaml" --data_dir "$data" --runs_dir "$work/runs" \
    --run_name "$name" --device "$device" --color never "$@" > "$work/log" 2>&1
  code=$?
  cat "$work/log" >> "$work/said"
  return $code
}
last_line() { tail -n 1 "$work/log"; }

# What libtorch warns of: in its own words, or as ml-train and ml-inference tell them.
warnings() { grep -E '\[W[0-9]|WARN .*libtorch:|warning: libtorch:' "$1"; }

say "programs: $("$bin/ml-train" --version)"
torch_version=$(sed -n "s/^__version__ *= *'\(.*\)'/\1/p" "$libtorch/version.py" 2> /dev/null)
say "libtorch: ${torch_version:-$(cat "$libtorch/build-version" 2> /dev/null)} in $libtorch"
libraries=$(find -L "$libtorch/.." -maxdepth 1 \( -name 'nvidia_cud*.dist-info' -o -name 'nvidia_cublas*.dist-info' \) 2> /dev/null |
  sed 's|.*/nvidia_||; s|\.dist-info$||' | sort | tr '\n' ' ')
[ -n "$libraries" ] || libraries=$(find -L "$libtorch/lib" -maxdepth 1 -name 'libcud*.so*' 2> /dev/null | sed 's|.*/||' | sort | tr '\n' ' ')
say "CUDA's libraries: ${libraries:-none}"
# What Python has of that which is used here, and its versions.
modules=$("$python" - 2> /dev/null <<'EOF'
import importlib

used = {
    "torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "pillow": "PIL.Image",
    "tensorboard": "tensorboard.backend.event_processing.event_accumulator",
}
for name, path in used.items():
    try:
        importlib.import_module(path)
    except Exception:
        continue
    print(name, end=" ")
    if name == "torch":
        import torch

        print(f"({torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()})", end=" ")
EOF
)
has() { # MODULES…
  local name
  for name; do case " $modules " in *" $name "*) ;; *) return 1 ;; esac; done
}
say "python: ${modules:-nothing of torch, torchvision, numpy, pillow, tensorboard}"
say "system: $(uname -srm), $(nproc) processors"
if command -v nvidia-smi > /dev/null; then
  say "gpu: $(nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv,noheader 2>&1 | head -n 4)"
fi
has torch torchvision && peers=yes || peers=''

# The device, as requested and as found, and a wrong one.
described() {
  if on_cpu; then [[ $found == "device: c"* ]]; else [[ $found == "device: cuda"*"compute capability"*GiB* ]]; fi
}
for choice in "$device" auto; do
  device=$choice train digits none --dry_run
  found=$(grep -o 'device: .*' "$work/log" | head -n 1)
  verdict described "--device $choice: ${found:-$(last_line)}"
done
precision=$(sed -n 's/.*precision: //p' "$work/log" | tail -n 1)
if on_cpu; then has_bf16=yes; else case $precision in bf16*) has_bf16=yes ;; *) has_bf16='' ;; esac; fi
say "INFO precision that is chosen: ${precision:-?}"
timeout 60 "$bin/ml-train" --data_dir "$here/digits" --device cuda:99 --dry_run > "$work/log" 2>&1
verdict "[ $? -eq 2 ]" "device cuda:99 is refused: $(last_line)"
cat "$work/log" >> "$work/said"

# What it computes, beside the CPU.
for check in networks precision tf32 optimizers loader deterministic single_image processes memory full_memory lost_device other_device; do
  start=$(seconds)
  timeout 240 "$bin/gpu_check" $check "$device" "$here/digits" > "$work/out" 2> "$work/err"
  code=$?
  # A device that is lost on purpose is warned of.
  [ $check = lost_device ] || cat "$work/err" >> "$work/said"
  sed 's/^/  /' "$work/out" >> "$report"
  if [ $code -eq 0 ] && ! grep -q '^PASS' "$work/out"; then say "$(cat "$work/out")"; continue; fi
  grep -E '^(FAIL|SKIP)' "$work/out"
  bad=$(grep -c '^FAIL' "$work/out")
  [ $code -eq 0 ] || [ "$bad" -gt 0 ] || tail -n 2 "$work/err" | sed 's/^/  /' | tee -a "$report"
  verdict "[ $code -eq 0 ]" "$check: $(grep -c '^PASS' "$work/out") good, $bad bad, $(since "$start") s"
done

# Training in each precision, and by the optimizer that keeps nothing.
on_cpu && epochs=8 || epochs=15
learns() { # PRECISION
  local code found
  start=$(seconds)
  train digits "$1" --precision "$1" --num_epochs "$epochs"
  code=$?
  found=$(summed "$1" best_val_accuracy)
  verdict "[ $code -eq 0 ] && grep -q 'precision: $1' '$work/log' && awk -v a='${found:-0}' 'BEGIN { exit !(a >= 0.9) }'" \
    "training in $1: validation accuracy ${found:-none, $(last_line)} (at least 0.9), $(since "$start") s"
}
learns fp32
if [ -n "$has_bf16" ]; then learns bf16; else say "SKIP training in bf16: the GPU has none (compute capability below 8.0)"; fi
if on_cpu; then say "SKIP training in fp16, with scaled gradients: for GPUs"; else learns fp16; fi
train digits plain_sgd --num_epochs 2 --set 'optimizer={name: sgd, lr: 0.05, momentum: 0}'
verdict "[ $? -eq 0 ]" "training by sgd without momentum: $(last_line)"

# Twice the same, killed and resumed the same, used on the CPU.
light=(); on_cpu && light=(--architecture tiny_net)
start=$(seconds)
train twice one "${light[@]}"
verdict "[ $? -eq 0 ]" "training with augmentation: $(grep -o 'best.*' "$work/log" | tail -n 1), $(since "$start") s"
same() {
  "$python" "$here/python/compare_runs.py" "$work/runs/$1" "$work/runs/$2" > "$work/same" 2>&1 &&
    "$python" -c 'import json, sys; sys.exit(bool(json.loads(open(sys.argv[1]).read().splitlines()[-1])["differences"]))' "$work/same"
}
# Kills a run five times, each time after its next checkpoint; says what went wrong.
killed() {
  local run=$work/runs/killed number code job
  for number in 1 2 3 4 5; do
    touch "$work/mark"
    if [ $number -eq 1 ]; then
      "$bin/ml-train" --config "$here/configs/chaos.yaml" --data_dir "$data" --runs_dir "$work/runs" --run_name killed \
        --device "$device" --color never "$@" > "$work/log" 2>&1 &
    else
      "$bin/ml-train" --resume "$run" --device "$device" --color never > "$work/log" 2>&1 &
    fi
    job=$!
    for _ in $(seq 3000); do
      [ "$run/last.pt" -nt "$work/mark" ] && break
      kill -0 $job 2> /dev/null || break
      sleep 0.02
    done
    sleep "0.0$number"
    kill -KILL $job 2> /dev/null
    { wait $job; } 2> /dev/null
    code=$?
    cat "$work/log" >> "$work/said"
    [ $code -eq 137 ] || { echo "kill $number came too late: exit code $code, $(last_line)"; return; }
    grep -q '^status: running' "$run/summary.yaml" || { echo "after kill $number: $(grep '^status' "$run/summary.yaml")"; return; }
    [ -e "$run/last.pt" ] || { echo "kill $number left no last.pt"; return; }
  done
}
if has torch numpy tensorboard; then
  train twice two "${light[@]}"
  verdict 'same one two' "trained twice with deterministic: true, compared to the bit"
  sed 's/^/  /' "$work/same" >> "$report"
  on_cpu && epochs=5 || epochs=12
  exact=(--num_epochs "$epochs" --set deterministic=true --set 'training.early_stopping={patience: 50}')
  train chaos whole "${exact[@]}"
  verdict "[ $? -eq 0 ]" "training with accumulation, clipping and EMA: $(last_line)"
  trouble=$(killed "${exact[@]}")
  verdict "[ ${#trouble} -eq 0 ]" "killed 5 times while it trained: ${trouble:-exit code 137, unfinished each time}"
  timeout 240 "$bin/ml-train" --resume "$work/runs/killed" --device "$device" --color never > "$work/log" 2>&1
  code=$?
  cat "$work/log" >> "$work/said"
  verdict "[ $code -eq 0 ] && same whole killed" "and resumed, compared to the bit with one that was left alone"
  sed 's/^/  /' "$work/same" >> "$report"
  CUDA_VISIBLE_DEVICES='' "$python" - "$work/runs/killed/last.pt" > "$work/out" 2>&1 <<'EOF'
import sys, torch

def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)

devices = [str(tensor.device) for tensor in tensors(torch.load(sys.argv[1], weights_only=True))]
print(len(devices), "tensors on", *sorted(set(devices)))
sys.exit(set(devices) != {"cpu"})
EOF
  verdict "[ $? -eq 0 ]" "its last.pt is read by Python without a GPU: $(tail -n 1 "$work/out")"
  CUDA_VISIBLE_DEVICES='' timeout 240 "$bin/ml-train" --resume "$work/runs/killed" --num_epochs $((epochs + 1)) --device cpu --color never > "$work/log" 2>&1
  code=$?
  cat "$work/log" >> "$work/said"
  verdict "[ $code -eq 0 ] && [ '$(summed killed epochs)' = $((epochs + 1)) ]" "and resumed on the CPU for an epoch: $(last_line)"
else
  say "SKIP comparing, killing and resuming runs: $python has no torch, numpy and tensorboard"
fi
accuracy() { grep -o '"accuracy": *[0-9.][0-9.]*' "$work/out" | head -n 1 | sed 's/.*: *//'; }
evaluate() { # DEVICE
  timeout 120 "$bin/ml-inference" --device "$1" --checkpoint "$work/runs/one/last.pt" --data_dir "$here/digits" \
    --output "$work/evaluated" --json > "$work/out" 2> "$work/log"
  cat "$work/log" >> "$work/said"
}
CUDA_VISIBLE_DEVICES='' evaluate cpu
by_cpu=$(accuracy)
verdict "[ -n '$by_cpu' ]" "the checkpoint of a run is evaluated on the CPU: accuracy ${by_cpu:-none, $(last_line)}"
evaluate "$device"
by_device=$(accuracy)
verdict "awk -v a='${by_device:-0}' -v b='${by_cpu:-1}' 'BEGIN { exit !(a - b < 0.005 && b - a < 0.005) }'" \
  "and on $device: accuracy ${by_device:-none, $(last_line)}"
if on_cpu; then
  say "SKIP a batch that is too large: for GPUs"
else
  train full full
  verdict "[ $? -eq 1 ] && grep -q -- --batch_size '$work/log' && ! grep -q defect '$work/log'" "a batch that is too large: $(last_line)"
fi
count=$(warnings "$work/said" | wc -l)
verdict "[ $count -eq 0 ]" "libtorch warns of $count things in $(wc -l < "$work/said") lines of the programs' output"
warnings "$work/said" | sort | uniq -c | head -n 5 | sed 's/^/  /' | tee -a "$report"

# Steps, beside PyTorch's.
if on_cpu; then networks=(resnet18) full_batch=2 size=64 steps=2 flag=()
else networks=(resnet50 vit_b_16 convnext_tiny efficientnet_b0) full_batch=256 size=224 steps=12 flag=(--cuda); fi
declare -A known batch_of rate_of
# step ours|theirs FLAGS: its figures, in $found, at the current batch size; 3 where memory is lacking.
step() {
  local key="$1 $network $batch $2" code flags
  found=${known[$key]:-}
  [ -n "$found" ] && return 0
  read -ra flags <<< "$2"
  if [ "$1" = ours ]; then
    timeout 120 "$bin/bench_step" "$network" "$batch" $size $steps "${flag[@]}" "${flags[@]}" > "$work/out" 2> "$work/err"
  else
    timeout 240 "$python" "$here/python/step.py" "$network" "$batch" $size $steps "${flag[@]}" "${flags[@]}" > "$work/out" 2> "$work/err"
  fi
  code=$?
  if [ $code -eq 0 ]; then found=$(tail -n 1 "$work/out"); known[$key]=$found; return 0; fi
  grep -qiE 'out of memory|ALLOC_FAILED|unable to find an engine' "$work/err" && return 3
  return 1
}
# pair OURS THEIRS TEXT: both, with these flags, at a batch size that both have memory for; $mine and
# $other are their milliseconds.
pair() {
  local code our their
  batch=${batch_of[$network]:-$full_batch}
  while :; do
    our='' their=''
    step ours "$1"; code=$?; our=$found
    [ $code -eq 1 ] && tail -n 1 "$work/err" | sed 's/^/  /' | tee -a "$report"
    if [ $code -ne 3 ] && [ -n "$peers" ]; then step theirs "$2"; code=$?; their=$found; fi
    [ $code -eq 3 ] && [ "$batch" -gt 1 ] || break
    batch=$((batch / 2))
    say "INFO $network: no memory for a batch of $((2 * batch)); both take $batch"
  done
  batch_of[$network]=$batch
  mine=$(figure ms_median <<< "$our") other=$(figure ms_median <<< "$their")
  verdict "[ -n '$mine' ]" "step of $network, $batch images of $size px, $3: ${mine:-none} ms$(memory "$our"); PyTorch ${other:-not measured} ms$(memory "$their")"
}
# memory JSON: what of the GPU's memory a program took.
memory() {
  local card allocated
  card=$(figure card_mb <<< "$1") allocated=$(figure allocated_mb <<< "$1")
  [ -z "$card" ] || printf ', %.0f MB of the GPU' "$card"
  [ -z "$allocated" ] || printf ', tensors at most %.0f MB' "$allocated"
}
# What `precision: auto` takes, and PyTorch's best without compiling.
if on_cpu; then ours='' best='--bf16 --channels_last'
elif [ -n "$has_bf16" ]; then ours='--bf16 --channels_last' best=$ours
else ours='' best='--fp16 --channels_last'; fi
fused=''; on_cpu || fused=' --fused'
[ -n "$peers" ] || say "SKIP PyTorch's steps: $python has no torch and torchvision"
for network in "${networks[@]}"; do
  affordable 50 "steps of $network" || continue
  pair "$ours" --defaults "${ours:-fp32} (PyTorch: its defaults)"
  rate_of[$network]=$(awk -v b="$batch" -v m="${mine:-0}" 'BEGIN { if (m > 0) printf "%.0f", 1000 * b / m }')
  goal "$network, default against PyTorch's" "$(part "$other" "$mine")" least 2 " times as fast"
  pair "$best" "$best$fused" "$best (PyTorch: $best$fused)"
  goal "$network, $best against PyTorch's eager" "$(part "$other" "$mine")" least 1.05 " times as fast"
done

# Epochs from memory: how much of them the device idles, and the training waits for images.
train_images=$here/digits; [ -d "$here/images" ] && train_images=$here/images
images=$(find "$train_images/train" -type f | wc -l)
if on_cpu; then repeats=1 epochs=2 network=tiny_net; else repeats=$((60000 / images + 1)) epochs=9 network=resnet9; fi
epochs_of() { # RUN EPOCHS
  data=$train_images train epochs "$1" --architecture $network --num_epochs "$2" --set "data.sampling={name: shuffle, repeats: $repeats}"
}
if affordable 40 "epochs from memory"; then
  start=$(seconds)
  epochs_of first 1 && epochs_of all $epochs
  verdict "[ $? -eq 0 ]" "1 and $epochs epochs of $((images * repeats)) images from memory: $(last_line), $(since "$start") s"
  grep -E 'epoch +[0-9]|precision:' "$work/log" | sed 's/^/  /' >> "$report"
  # Without the first epoch, which fills the cache.
  left() { awk -v a="$(summed all "$1")" -v b="$(summed first "$1")" 'BEGIN { printf "%.3f", a - b }'; }
  steps_done=$(left steps) trained=$(left train_seconds) waited=$(left waiting_seconds)
  say "INFO after the first epoch: ${steps_done%.*} steps in $trained s, of which $waited s were waited for images"
  if ! on_cpu; then
    batch=256 saved_size=$size size=32 saved_steps=$steps steps=100
    step ours "$ours"
    of_step=$(figure ms_median <<< "$found")
    size=$saved_size steps=$saved_steps
    idle=$(awk -v n="$steps_done" -v s="${of_step:-0}" -v t="$trained" \
      'BEGIN { if (n > 0 && s > 0 && t > 0) { i = 100 * (1 - n * s / 1000 / t); printf "%.2f", (i > 0 ? i : 0) } }')
    goal "time that the device idles in these epochs, by steps of ${of_step:-?} ms" "$idle" most 3 " %"
  fi
fi

# How long a checkpoint holds the training up.
light=(); on_cpu && light=(--architecture tiny_net)
if affordable 20 "the pause of a checkpoint"; then
  train pause pause "${light[@]}"
  pause=$(sed -n 's/.*training paused \([0-9.]*\) ms.*/\1/p' "$work/runs/pause/logs/train.log" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')
  verdict "[ -n '$pause' ]" "checkpoints of a run: $(summed pause count), the longest pause $(summed pause longest_pause_seconds) s"
  goal "median pause of a checkpoint" "$pause" most 20 " ms"
fi

# Whether images come as fast as steps take them.
if ! has numpy pillow; then
  say "SKIP the loader's rate: $python has no numpy and pillow to make photographs with"
elif affordable 20 "the loader's rate"; then
  on_cpu && count=40 || count=100
  "$python" "$here/python/images.py" "$work/photos/train" --count "$count"
  if ! on_cpu; then
    for class in "$work"/photos/train/*/; do
      for number in $(seq 19); do mkdir "$class$number" && cp -l "$class"*.jpg "$class$number"; done
    done
  fi
  timeout 120 "$bin/gpu_check" loader_rate "$device" "$work/photos" > "$work/out" 2> "$work/err"
  code=$?
  rate() { sed -n "s/^INFO loader_rate $1: \([0-9]*\) .*/\1/p" "$work/out"; }
  from_files=$(rate files) from_memory=$(rate memory)
  verdict "[ $code -eq 0 ] && [ -n '$from_files' ] && [ -n '$from_memory' ]" \
    "loader: ${from_files:-none} images/s of 224 px from JPEGs of 500 x 375, ${from_memory:-none} from its cache in memory, $(nproc) threads"
  on_cpu || for network in "${networks[@]}"; do
    say "INFO $network takes ${rate_of[$network]:-?} images/s: $(awk -v n="${rate_of[$network]:-0}" -v f="${from_files:-0}" -v m="${from_memory:-0}" \
      'BEGIN { if (n == 0) print "not measured"; else if (f >= n) print "files are fast enough"; else if (m >= n) print "the cache in memory is fast enough, files are not"; else print "the loader is too slow" }')"
  done
fi

# Steps compiled by PyTorch, and in the other precisions.
if [ -n "$peers" ] && ! on_cpu; then
  for network in "${networks[@]}"; do
    affordable 60 "$network compiled by PyTorch" || continue
    pair "$best" "$best$fused --compile" "$best (PyTorch: $best$fused --compile)"
    goal "$network, $best against PyTorch's compiled" "$(part "$other" "$mine")" least 0.9 " times as fast"
  done
fi
if ! on_cpu; then
  network=resnet50
  for mode in '' --tf32 --bf16 '--fp16 --channels_last'; do
    case $mode in *bf16* | *tf32*) [ -n "$has_bf16" ] || { say "SKIP step of $network, $mode: the GPU has none"; continue; } ;; esac
    affordable 30 "step of $network, ${mode:-fp32}" || continue
    pair "$mode" "$mode" "${mode:-fp32}"
  done
fi
say "INFO in all: $SECONDS s"

if [ -n "$cifar10" ]; then
  timeout 900 "$bin/ml-train" --config "$here/configs/cifar10.yaml" --data_dir "$cifar10" --runs_dir "$work/runs" \
    --run_name cifar10 --device "$device" --color never > "$work/log" 2>&1
  code=$?
  found=$(summed cifar10 test_accuracy)
  took=$(summed cifar10 train_seconds)
  verdict "[ $code -eq 0 ] && awk -v a='${found:-0}' 'BEGIN { exit !(a >= 0.94) }'" \
    "CIFAR-10, resnet9, $(summed cifar10 epochs) epochs: test accuracy ${found:-none} after ${took:-?} s of training, $(summed cifar10 seconds) s with all else"
  # https://github.com/KellerJordan/cifar10-airbench, airbench94.py.
  goal "CIFAR-10, beside the 3.83 s of airbench94.py on an A100 by its own account (on another GPU, run it there and divide by that)" \
    "$(part "$took" 3.83)" most 1.5 " times as long"
else
  say "SKIP CIFAR-10 to 94 %: give its folder by --cifar10"
fi

say "$failed failed; the report is $report"
[ $failed -eq 0 ]
