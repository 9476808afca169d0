"""The median milliseconds of a training step on random pictures: ARCHITECTURE BATCH SIZE STEPS.

Forward, cross entropy, backward, SGD with momentum, on the CPU in single precision, after two steps that are
not counted. The last line is JSON.
"""

import json
import statistics
import sys
import time

import torch
import torchvision


def main():
    architecture, batch, size, steps = sys.argv[1], *map(int, sys.argv[2:5])
    torch.manual_seed(0)
    network = torchvision.models.get_model(architecture, num_classes=10).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, size, size)
    targets = torch.randint(10, (batch,))
    milliseconds = []
    for _ in range(2 + steps):
        start = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({"architecture": architecture, "ms_median": statistics.median(milliseconds[2:])}))


if __name__ == "__main__":
    main()
