"""Planes of floats, as Pillow's mode F resizes and moves them; timm's first convolutions: planes.json.

Run with PYTHONPATH at timm 1.0.31.
"""
import json
import pathlib

import numpy
import torch
from PIL import Image
from timm.models._manipulate import adapt_input_conv
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

HERE = pathlib.Path(__file__).parent
HOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
HEIGHT, WIDTH, CHANNELS = 9, 12, 2


def values(channel):
    """16-bit values by a formula that the test repeats."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.int64)
    return ((x * 7919 + y * 104729 + channel * 15485863) % 65536).astype(numpy.float32)


def flat(planes):
    return [round(float(v), 4) for plane in planes for v in numpy.asarray(plane, numpy.float32).reshape(-1)]


planes = [Image.fromarray(values(channel), mode="F") for channel in range(CHANNELS)]
resized = []
for how, size in [(how, size) for how in HOW for size in [(4, 5), (14, 7), (18, 24)]]:
    done = [plane.resize(size[::-1], HOW[how]) for plane in planes]
    done = [numpy.clip(numpy.asarray(plane), 0, 65535) for plane in done]
    if how in ("bilinear", "bicubic"):
        tensor = torch.stack([torch.from_numpy(numpy.array(plane)) for plane in planes])
        theirs = F.resize(tensor, list(size), interpolation=InterpolationMode(how), antialias=True).clamp(0, 65535).numpy()
        assert numpy.abs(theirs - numpy.stack(done)).max() < 0.05, how
    resized.append({"interpolation": how, "size": size, "values": flat(done)})
angles = [{"angle": angle, "values": flat(
    plane.rotate(angle, Image.Resampling.BILINEAR, fillcolor=257.0) for plane in planes)} for angle in (10, 90, 213)]
weight = torch.arange(2 * 3 * 2 * 2, dtype=torch.float32).view(2, 3, 2, 2).mul(0.37).sin()
adapted = [{"channels": channels, "values": flat(adapt_input_conv(channels, weight).numpy())}
           for channels in (1, 2, 4, 5, 7)]
(HERE / "planes.json").write_text(json.dumps({"resized": resized, "rotated": angles, "adapted": adapted}) + "\n")
