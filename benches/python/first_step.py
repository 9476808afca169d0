"""One epoch of ResNet-18 on FOLDER/train, checked on FOLDER/val, as it is usually written with torchvision.

32 px, batches of 32, SGD with momentum, two worker processes. The last line is JSON: `first_step_at`, when
the first optimizer step was done, in seconds since 1970, and the validation accuracy.
"""

import json
import sys
import time

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

SIZE = (32, 32)
NORMALIZE = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def loader(folder, steps, shuffle):
    pipeline = transforms.Compose([transforms.Resize(SIZE), *steps, transforms.ToTensor(), NORMALIZE])
    dataset = ImageFolder(folder, pipeline)
    return DataLoader(dataset, batch_size=32, shuffle=shuffle, num_workers=2)


def main():
    torch.manual_seed(42)
    folder = sys.argv[1]
    train = loader(f"{folder}/train", [transforms.RandomHorizontalFlip()], shuffle=True)
    val = loader(f"{folder}/val", [], shuffle=False)
    network = resnet18(num_classes=len(train.dataset.classes))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    first_step_at = None
    network.train()
    for images, targets in train:
        optimizer.zero_grad()
        cross_entropy(network(images), targets).backward()
        optimizer.step()
        if first_step_at is None:
            first_step_at = time.time()

    network.eval()
    with torch.inference_mode():
        right = sum((network(images).argmax(1) == targets).sum().item() for images, targets in val)
    print(json.dumps({"first_step_at": first_step_at, "val_accuracy": right / len(val.dataset)}))


if __name__ == "__main__":
    main()
