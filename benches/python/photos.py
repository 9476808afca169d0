"""A folder of images to a CSV of the five most probable classes, with torchvision:
ARCHITECTURE FOLDER OUTPUT [--workers N] [--bf16] [--channels_last].

What a user would write: ImageFolder's way of loading, torchvision's evaluation transform, batches of 32.
"""

import argparse
import csv
import pathlib

import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("architecture")
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("output")
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--channels_last", action="store_true")


class Images(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(path for path in folder.rglob("*") if path.is_file())
        self.transform = v2.Compose(
            [
                v2.Resize((224, 224), antialias=True),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def main():
    args = parser.parse_args()
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    network = torchvision.models.get_model(args.architecture, num_classes=10).eval().to(memory_format=layout)
    data = Images(args.folder)
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=args.workers)
    with open(args.output, "w", newline="") as file, torch.inference_mode():
        writer = csv.writer(file)
        done = 0
        for images in loader:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
                logits = network(images.to(memory_format=layout))
            probabilities, classes = logits.float().softmax(1).topk(5)
            for row in zip(probabilities.tolist(), classes.tolist()):
                writer.writerow([data.paths[done], *row[0], *row[1]])
                done += 1


if __name__ == "__main__":
    main()
