"""Whole images resized and padded, by torchvision on PIL images: letterbox.json and letterbox/<case>.png."""
import json
import pathlib
import shutil

from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
OUT = HERE / "letterbox"
MODES = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}


def letterbox(image, size, fill, how):
    height, width = size
    if height == width:
        image = F.resize(image, None, how, max_size=height)
    else:
        # torchvision knows only squares here: the side that fills its place is exact, the other rounded down.
        by_height = height * image.width <= width * image.height
        target = (height, height * image.width // image.height) if by_height else (
            width * image.height // image.width, width)
        image = F.resize(image, target, how)
    left, top = (width - image.width) // 2, (height - image.height) // 2
    right, bottom = width - image.width - left, height - image.height - top
    return F.pad(image, [left, top, right, bottom], fill=fill)


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
cases = []
for source, turned, size, fill, mode in [
    *[("image.png", False, [32, 32], 0, mode) for mode in MODES],
    ("image.png", True, [32, 32], [124, 116, 104], "bilinear"),
    ("image.png", False, [97, 97], 255, "bilinear"),
    ("image.png", True, [31, 31], [1, 2, 3], "bicubic"),
    ("image.png", False, [20, 60], [9, 0, 200], "bilinear"),
    ("image.png", False, [60, 25], 7, "bilinear"),
    ("image.png", False, [60, 90], 7, "bilinear"),
    ("digit.png", False, [16, 16], 3, "bilinear"),
    ("digit.png", False, [16, 19], 3, "nearest"),
]:
    image = Image.open(IMAGES / source).convert("RGB")
    if turned:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    color = tuple(fill) if isinstance(fill, list) else (fill,) * 3
    name = f"{len(cases):02}.png"
    letterbox(image, size, color, MODES[mode]).save(OUT / name, optimize=True)
    config = {"letterbox": {"size": size, "fill": fill}, "interpolation": mode}
    cases.append({"source": source, "turned": turned, "transform": config, "result": name})
(HERE / "letterbox.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")
