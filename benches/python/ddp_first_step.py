"""What first_step.py does, up to the first optimizer step, in one of several processes with DistributedDataParallel
over gloo: FOLDER. torchrun starts them; each takes batches of 32.

Rank 0 prints a line of JSON: `seconds_to_first_step`, since its process was started, as the kernel tells it.
"""

import json
import os
import sys
import time

import torch
import torch.distributed
from first_step import NORMALIZE, SIZE
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18


def seconds_since_start():
    with open("/proc/self/stat") as stat:
        # The name may hold spaces and parentheses; the start is the 20th field after it, in ticks since boot.
        ticks = int(stat.read().rpartition(") ")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main():
    torch.manual_seed(42)
    torch.distributed.init_process_group("gloo")
    steps = [transforms.Resize(SIZE), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMALIZE]
    dataset = ImageFolder(f"{sys.argv[1]}/train", transforms.Compose(steps))
    sampler = DistributedSampler(dataset, seed=42)
    loader = DataLoader(dataset, batch_size=32, sampler=sampler, num_workers=2)
    network = DistributedDataParallel(resnet18(num_classes=len(dataset.classes)), gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, foreach=True)

    network.train()
    images, targets = next(iter(loader))
    optimizer.zero_grad()
    cross_entropy(network(images), targets).backward()
    optimizer.step()
    seconds = seconds_since_start()

    if torch.distributed.get_rank() == 0:
        print(json.dumps({"seconds_to_first_step": seconds}))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
