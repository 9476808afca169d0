"""The median milliseconds of a training step, or of an inference pass, on random images, and the process's peak memory:
ARCHITECTURE BATCH SIZE STEPS [--inference] [--bf16] [--channels_last] [--compile].

A step is forward, cross entropy, backward, SGD with momentum, on the CPU, after two that are not counted. The last line
is JSON.
"""

import json
import statistics
import sys
import time

import torch
import torchvision


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def main():
    flags = {arg for arg in sys.argv[1:] if arg.startswith("--")}
    architecture, *numbers = (arg for arg in sys.argv[1:] if not arg.startswith("--"))
    batch, size, steps = map(int, numbers)
    torch.manual_seed(0)
    layout = torch.channels_last if "--channels_last" in flags else torch.contiguous_format
    network = torchvision.models.get_model(architecture, num_classes=10).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, size, size).to(memory_format=layout)
    targets = torch.randint(10, (batch,))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled="--bf16" in flags)

    forward = torch.compile(network) if "--compile" in flags else network

    def infer():
        with torch.inference_mode(), autocast:
            forward(images).sum().item()

    def train():
        with autocast:
            loss = torch.nn.functional.cross_entropy(forward(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    network.train("--inference" not in flags)
    step = infer if "--inference" in flags else train
    milliseconds = []
    for _ in range(2 + steps):
        start = time.perf_counter()
        step()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    median = statistics.median(milliseconds[2:])
    print(json.dumps({"architecture": architecture, "ms_median": median, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
