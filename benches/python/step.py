"""The median milliseconds of a training step, or of an inference pass, on random images, and the process's peak memory:
ARCHITECTURE BATCH SIZE STEPS [--inference] [--bf16|--fp16|--tf32|--defaults] [--channels_last] [--fused] [--compile]
[--cuda] [--optimizer=NAME] [--profile].

A step is forward, cross entropy, backward, SGD with momentum, after two that are not counted (--compile: and what
compiling takes). The last line is JSON; with --profile it is the milliseconds of a step by kind of operation, where
what inductor has made one kernel of counts as "fused". crates/ml-core/examples/bench_step.rs does the same.

On CUDA, TF32 is off for convolutions and matrix products alike without one of the flags for precision; --defaults
leaves both as PyTorch has them (convolutions with, matrix products without), as torchvision's reference script does.
--fused is SGD in one kernel. --optimizer=adamw is the fused one; =muon is timm's, which must be installed beside
torchvision; ms_optimizer is the optimizer's part of a step. card_mb is as in bench_step.rs; of it, allocated_mb is the most that tensors took at once
(torch.cuda.max_memory_allocated).
"""

import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torchvision
from torch.profiler import ProfilerActivity, profile

# As in bench_step.rs.
KINDS = [
    ("fused", ["cpp_fused", "graph_", "CompiledFxGraph", "Torch-Compiled", "CompiledFunction"]),
    ("optimizer", ["_fused_", "_foreach_", "Optimizer"]),
    ("convolution", ["conv"]),
    ("attention", ["attention"]),
    ("norm", ["norm"]),
    ("matrix product", ["mm", "linear", "bmm", "dot"]),
    ("activation", ["relu", "gelu", "silu", "hardswish", "hardsigmoid", "threshold", "sigmoid", "softmax"]),
    ("pooling", ["pool", "mean"]),
    ("copies and casts", ["copy", "clone", "contiguous", "to_mkldnn", "cat", "fill", "zero"]),
]


def kind(name):
    return next((kind for kind, parts in KINDS if any(part in name for part in parts)), "elementwise and other")


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def card_mb():
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", first]
    try:
        return float(subprocess.run(command, capture_output=True, text=True).stdout)
    except (OSError, ValueError):
        return None


def profiled(step, steps):
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step()
        end = time.perf_counter()
    kinds = {}
    for event in found.key_averages():
        name = kind(event.key)
        kinds[name] = kinds.get(name, 0) + event.self_cpu_time_total / 1e3 / steps
    kinds["all"] = (end - start) * 1e3 / steps
    return kinds


def new_optimizer(network, flags):
    name = next((flag.split("=")[1] for flag in flags if flag.startswith("--optimizer=")), "sgd")
    if name == "muon":
        from timm.optim import Muon

        return Muon(network.parameters(), lr=0.01)
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)
    fused = True if "--fused" in flags else None
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=fused)


def main():
    flags = {arg for arg in sys.argv[1:] if arg.startswith("--")}
    architecture, *numbers = (arg for arg in sys.argv[1:] if not arg.startswith("--"))
    batch, size, steps = map(int, numbers)
    torch.manual_seed(0)
    device = "cuda" if "--cuda" in flags else "cpu"
    before = card_mb() if device == "cuda" else None
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
    if device == "cuda" and "--defaults" not in flags:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = bool(
            flags & {"--tf32", "--bf16", "--fp16"}
        )
    layout = torch.channels_last if "--channels_last" in flags else torch.contiguous_format
    network = torchvision.models.get_model(architecture, num_classes=10).to(device, memory_format=layout)
    optimizer = new_optimizer(network, flags)
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=layout)
    targets = torch.randint(10, (batch,), device=device)
    dtype = torch.float16 if "--fp16" in flags else torch.bfloat16
    autocast = torch.autocast(device, dtype=dtype, enabled=bool(flags & {"--bf16", "--fp16"}))
    scaler = torch.amp.GradScaler(device, enabled="--fp16" in flags)
    if "--profile" in flags:
        from torch._inductor import config

        config.cpp.enable_kernel_profile = True
    forward = torch.compile(network) if "--compile" in flags else network

    def infer():
        with torch.inference_mode(), autocast:
            forward(images).sum().item()

    def train():
        with autocast:
            loss = torch.nn.functional.cross_entropy(forward(images), targets)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        start = time.perf_counter()
        scaler.step(optimizer)
        updates.append((time.perf_counter() - start) * 1e3)
        scaler.update()
        loss.item()

    updates = []
    network.train("--inference" not in flags)
    step = infer if "--inference" in flags else train
    for _ in range(2):
        step()
    if "--profile" in flags:
        print(json.dumps(profiled(step, steps)))
        return
    milliseconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    found = {"architecture": architecture, "ms_median": statistics.median(milliseconds), "peak_mb": peak_mb()}
    if updates:
        found["ms_optimizer"] = statistics.median(updates[-steps:])
    if device == "cuda":
        after = card_mb()
        found["card_mb"] = None if before is None or after is None else after - before
        found["allocated_mb"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(found))


if __name__ == "__main__":
    main()
