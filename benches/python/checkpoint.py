"""What a checkpoint of ResNet-50 with SGD's momentum costs in PyTorch: BATCH SIZE ROUNDS FOLDER.

Milliseconds of a training step, of torch.save (beside, synced, renamed) and of torch.load(weights_only=True); medians. The last line is JSON.
"""

import json
import os
import statistics
import sys
import time

import torch
import torchvision

STEPS = 3


def main():
    batch, size, rounds, folder = *map(int, sys.argv[1:4]), sys.argv[4]
    path = os.path.join(folder, "theirs.pt")
    network = torchvision.models.resnet50(num_classes=1000).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, size, size)
    targets = torch.randint(1000, (batch,))
    steps, saves, loads = [], [], []

    def timed(times, work):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)

    def step():
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    def save():
        # As a careful user does it, and as ml-train does: a crash must not cost the checkpoint that is there.
        with open(path + ".tmp", "wb") as file:
            torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)

    for round in range(rounds + 1):
        for _ in range(STEPS):
            timed(steps, step)
        timed(saves, save)
        timed(loads, lambda: torch.load(path, weights_only=True))
        if round == 0:  # it warms the caches
            steps, saves, loads = [], [], []
    medians = {"ms_step": steps, "ms_save": saves, "ms_load": loads}
    print(json.dumps({name: statistics.median(times) for name, times in medians.items()}))


if __name__ == "__main__":
    main()
