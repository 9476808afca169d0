"""Where the time of a training step of torchvision's network goes, by kind of operation:
ARCHITECTURE BATCH SIZE STEPS [--bf16] [--channels_last] [--compile]. The last line is JSON: milliseconds of a step.

With --compile, what inductor has made one kernel of counts as "fused".
"""

import json
import sys
import time

import torch
import torch._inductor.config as inductor
import torchvision
from torch.profiler import ProfilerActivity, profile

# As in crates/ml-core/examples/profile_step.rs.
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


def main():
    flags = {arg for arg in sys.argv[1:] if arg.startswith("--")}
    architecture, *numbers = (arg for arg in sys.argv[1:] if not arg.startswith("--"))
    batch, size, steps = map(int, numbers)
    torch.manual_seed(0)
    layout = torch.channels_last if "--channels_last" in flags else torch.contiguous_format
    network = torchvision.models.get_model(architecture, num_classes=10).train().to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)
    images = torch.randn(batch, 3, size, size).to(memory_format=layout)
    targets = torch.randint(10, (batch,))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled="--bf16" in flags)
    if "--compile" in flags:
        inductor.cpp.enable_kernel_profile = True
    forward = torch.compile(network) if "--compile" in flags else network

    def step():
        with autocast:
            loss = torch.nn.functional.cross_entropy(forward(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    for _ in range(2):
        step()
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
    print(json.dumps(kinds))


if __name__ == "__main__":
    main()
