"""Seconds of a training step of networks at 224 px, each relative to resnet18, as a table.

The relative costs in crates/ml-core/src/starter/candidates.rs are from it.
"""

import os
import statistics
import time

import torch
import torchvision

NETWORKS = [
    "resnet18",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "regnet_y_400mf",
    "efficientnet_b0",
    "resnet34",
    "resnet50",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "convnext_tiny",
    "efficientnet_v2_s",
    "swin_t",
    "convnext_base",
]
BATCH = 8
STEPS = 2
ROUNDS = 3


def seconds(name: str) -> float:
    """Of a step, after one that is not counted."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    images = torch.randn(BATCH, 3, 224, 224)
    labels = torch.randint(10, (BATCH,))
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    print(f"{torch.get_num_threads()} threads")
    for name in NETWORKS:
        # In turn, so that what else the machine does slows both.
        ratios = [seconds(name) / seconds("resnet18") for _ in range(ROUNDS)]
        print(f"{name} {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
