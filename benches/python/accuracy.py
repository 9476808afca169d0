"""Trains resnet9 on class folders in PyTorch as configs of `cargo xtask bench accuracy` have it, and prints the test
accuracy: DATA EPOCHS BATCH SEED. The last line is JSON.

Nesterov SGD (0.4 at 512 images, 0.9, 5e-4), one cycle by step (20 % linear growth, linear fall), crops moved by up to 4
pixels, flips, all training images; the weights after the last epoch are tested. Initial weights are He et al.'s, as
crates/ml-core/src/network/resnet9.rs has them.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch import nn

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)
PADDING = 4
LR = 0.4


def unit(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(unit(channels, channels), unit(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class ResNet9(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 64),
            *(unit(64, 128), nn.MaxPool2d(2), Residual(128)),
            *(unit(128, 256), nn.MaxPool2d(2)),
            *(unit(256, 512), nn.MaxPool2d(2), Residual(512)),
        )
        self.linear = nn.Linear(512, classes, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(x).amax((2, 3))) * 0.125


def split(folder: pathlib.Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `[N, 3, 32, 32]`, normalised, and labels `[N]`."""
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for path in sorted((folder / name).iterdir()):
            images.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return (pixels.float().div_(255) - MEAN) / STD, torch.tensor(labels)


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Cropped out of a black border, each at its own place, and every second one mirrored."""
    black = (-MEAN / STD).expand_as(images[0])
    height, width = images.shape[2:]
    padded = black[:, :1, :1].expand(len(images), 3, height + 2 * PADDING, width + 2 * PADDING).clone()
    padded[:, :, PADDING : PADDING + height, PADDING : PADDING + width] = images
    tops, lefts = torch.randint(2 * PADDING + 1, (2, len(images))).tolist()
    crops = [image[:, y : y + height, x : x + width] for image, y, x in zip(padded, tops, lefts, strict=True)]
    flips = torch.rand(len(images)) < 0.5
    return torch.stack([crop.flip(2) if flip else crop for crop, flip in zip(crops, flips, strict=True)])


def main() -> None:
    data, epochs, batch, seed = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:5])
    torch.manual_seed(seed)
    images, labels = split(data / "train")
    test_images, test_labels = split(data / "test")
    network = ResNet9(int(labels.max()) + 1)
    lr = LR * batch / 512
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=steps, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False
    )
    started = time.perf_counter()
    for epoch in range(epochs):
        network.train()
        for indices in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(augmented(images[indices])), labels[indices])
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}", file=sys.stderr)
    seconds = time.perf_counter() - started
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(part) for part in test_images.split(500)])
    accuracy = (logits.argmax(1) == test_labels).double().mean().item()
    print(json.dumps({"test_accuracy": accuracy, "seconds": seconds}))


if __name__ == "__main__":
    main()
