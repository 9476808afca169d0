"""Write images with the spectrum of photographs (noise whose amplitude falls as 1 / frequency) into ten class folders.

The defaults have the size and the entropy of ImageNet's JPEGs: 500 x 375, about 110 kB.
"""
import argparse
import pathlib

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--count", type=int, default=1000)
parser.add_argument("--height", type=int, default=375)
parser.add_argument("--width", type=int, default=500)
parser.add_argument("--format", choices=["jpg", "png"], default="jpg")
args = parser.parse_args()

rng = np.random.default_rng(0)
shape = (args.height, args.width)
frequency = np.hypot(np.fft.fftfreq(args.height)[:, None], np.fft.fftfreq(args.width)[None, :])
amplitude = 1 / np.maximum(frequency, 1 / args.width) ** 1.1


def plane():
    values = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * amplitude).real
    return (values - values.mean()) / values.std()


for number in range(args.count):
    luma = plane()
    channels = np.stack([luma + 0.3 * plane() for _ in range(3)], -1)
    image = Image.fromarray((channels * 53 + 118).clip(0, 255).astype(np.uint8))
    folder = args.out / f"class{number % 10}"
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{number:06}.{args.format}", **({"quality": 92} if args.format == "jpg" else {}))
