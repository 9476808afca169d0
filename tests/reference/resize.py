"""Pillow's and torchvision's geometry on PIL images: resize.json and resize/<case>.png."""
import json
import pathlib
import shutil

from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
OUT = HERE / "resize"
MODES = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}

shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
cases = []


def case(source, operation, function, **parameters):
    result = function(Image.open(IMAGES / source).convert("RGB"))
    name = f"{len(cases):02}_{operation}.png"
    result.save(OUT / name, optimize=True)
    cases.append({"source": source, "operation": operation, **parameters, "result": name})


for source, sizes in {"image.png": [[30, 30], [13, 64], [100, 70]], "digit.png": [[32, 32], [8, 5]]}.items():
    for size in sizes:
        for mode, how in MODES.items():
            case(source, "resize", lambda im: F.resize(im, size, how), size=size, interpolation=mode)
for source in ["image.png", "digit.png"]:
    for side in [24, 61]:
        case(source, "shorter_side", lambda im: F.resize(im, side), side=side)
for area in [[3, 5, 40, 50], [0, 0, 60, 90], [20, 61, 7, 29], [10, 10, 24, 24]]:
    for mode, how in MODES.items():
        case("image.png", "resized_crop", lambda im: F.resized_crop(im, *area, [24, 24], how), area=area,
             size=[24, 24], interpolation=mode)
for size in [[20, 20], [31, 45], [60, 90], [70, 50], [71, 101]]:
    case("image.png", "center_crop", lambda im: F.center_crop(im, size), size=size)
for area, fill in [([-4, -4, 32, 32], 0), ([40, 70, 30, 30], 7), ([10, 20, 30, 40], 0)]:
    # A crop that leaves the image is a padding followed by a crop.
    pad = 40
    case("image.png", "crop", lambda im: F.crop(F.pad(im, pad, fill), area[0] + pad, area[1] + pad, *area[2:]),
         area=area, fill=fill)
case("image.png", "flip_horizontal", F.hflip)
case("image.png", "flip_vertical", F.vflip)
case("digit.png", "flip_vertical", F.vflip)
(HERE / "resize.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")
