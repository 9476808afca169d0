"""Images per second of torchvision's ImageFolder and DataLoader with ImageNet's training transform. Prints JSON."""
import argparse
import json
import statistics
import time

import torch
import torchvision
from torchvision import transforms

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("root")
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--epochs", type=int, default=4)
args = parser.parse_args()

torch.set_num_threads(1)
data = torchvision.datasets.ImageFolder(
    args.root,
    transforms.Compose(
        [
            transforms.RandomResizedCrop(args.size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    ),
)
loader = torch.utils.data.DataLoader(
    data, 64, shuffle=True, num_workers=args.workers, persistent_workers=args.workers > 0
)
rates = []
for _ in range(args.epochs):
    start, count = time.perf_counter(), 0
    for images, _ in loader:
        count += len(images)
    rates.append(count / (time.perf_counter() - start))
print(json.dumps({"images_per_s": statistics.median(rates)}))
