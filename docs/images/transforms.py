"""The sheet of transforms, ours beside torchvision's: transforms.png beside this file.

    .venv/bin/python docs/images/transforms.py

Runs the example `transform_cases` of ml-data for our images. The photograph is scikit-learn's `china.jpg`
(Wikimedia Commons, CC BY).
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torchvision.transforms import functional as F
from torchvision.transforms import v2

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import augment  # noqa: E402

SIDE, CELL, LABEL, COLUMNS = 128, 84, 12, 3
NEAREST, BILINEAR = ({"interpolation": mode, "fill": [0, 0, 0]} for mode in ["nearest", "bilinear"])
GREY = {"interpolation": "bilinear", "fill": [128, 128, 128]}


OPERATIONS = {
    **augment.OPERATIONS,
    "resize": lambda im, case: F.resize(im, case["size"], v2.InterpolationMode(case["interpolation"])),
    "center_crop": lambda im, case: F.center_crop(im, case["size"]),
    "resized_crop": lambda im, case: F.resized_crop(im, *case["area"], case["size"],
                                                    v2.InterpolationMode(case["interpolation"])),
    "crop": lambda im, case: F.crop(F.pad(im, 40, case["fill"][0]), case["area"][0] + 40, case["area"][1] + 40,
                                    *case["area"][2:]),
    "flip_horizontal": lambda im, case: F.hflip(im),
    "flip_vertical": lambda im, case: F.vflip(im),
    "brightness": lambda im, case: F.adjust_brightness(im, case["factor"]),
    "contrast": lambda im, case: F.adjust_contrast(im, case["factor"]),
    "saturation": lambda im, case: F.adjust_saturation(im, case["factor"]),
    "hue": lambda im, case: F.adjust_hue(im, case["factor"]),
    "grayscale": lambda im, case: F.rgb_to_grayscale(im, 3),
}


def cut(image, case):
    """CutMix on two samples: the image, and the one before it, which is its negative."""
    box = case["box"]
    negative = F.invert(image)
    image = image.copy()
    image.paste(negative.crop(box), box[:2])
    return image


OPERATIONS["cutmix"] = cut


def cutmix_case():
    """torchvision's box for lambda = 0.6 about (40, 80)."""
    cutmix = v2.CutMix(num_classes=2)
    cutmix._dist.sample = lambda *_: torch.tensor([0.6], dtype=torch.float64)
    original, answers = torch.randint, iter([40, 80])
    torch.randint = lambda *_, **__: torch.tensor([next(answers)])
    box = cutmix.make_params([torch.zeros(2, 3, SIDE, SIDE)])["box"]
    torch.randint = original
    return {"operation": "cutmix", "lambda": 0.6, "center": [40, 80], "box": box}


def step(name, magnitude):
    return f"{name} {magnitude:g}", {"operation": "steps", "steps": [[name, magnitude]], **NEAREST}


CASES = [
    ("resize 64", {"operation": "resize", "size": [64, 64], "interpolation": "bilinear"}),
    ("resize bicubic 200", {"operation": "resize", "size": [200, 200], "interpolation": "bicubic"}),
    ("center_crop 80", {"operation": "center_crop", "size": [80, 80]}),
    ("random_crop, padded", {"operation": "crop", "area": [-20, 30, 110, 110], "fill": [0, 0, 0]}),
    ("random_resized_crop", {"operation": "resized_crop", "area": [20, 30, 60, 80], "size": [128, 128],
                             "interpolation": "bilinear"}),
    ("horizontal_flip", {"operation": "flip_horizontal"}),
    ("vertical_flip", {"operation": "flip_vertical"}),
    ("rotation 25 nearest", {"operation": "rotate", "angle": 25, **NEAREST}),
    ("rotation -40 bilinear", {"operation": "rotate", "angle": -40, **GREY}),
    ("affine", {"operation": "affine", "angle": 15, "translate": [8, -5], "scale": 0.8, "shear": [12, -6], **GREY}),
    ("affine nearest", {"operation": "affine", "angle": 0, "translate": [10, 12], "scale": 1.3, "shear": [0, 0],
                        **NEAREST}),
    ("perspective", {"operation": "perspective", "corners": [[20, 8], [118, 30], [100, 120], [6, 101]], **BILINEAR}),
    ("brightness 1.4", {"operation": "brightness", "factor": 1.4}),
    ("contrast 0.5", {"operation": "contrast", "factor": 0.5}),
    ("saturation 1.9", {"operation": "saturation", "factor": 1.9}),
    ("hue 0.2", {"operation": "hue", "factor": 0.2}),
    ("grayscale", {"operation": "grayscale"}),
    ("gaussian_blur 13, 2.0", {"operation": "gaussian_blur", "kernel_size": [13, 13], "sigma": 2.0}),
    step("ShearX", 0.3), step("ShearY", -0.3), step("TranslateX", 30), step("TranslateY", -20), step("Rotate", 30),
    step("Brightness", -0.6), step("Color", 0.9), step("Contrast", 0.9), step("Sharpness", 0.9),
    step("Posterize", 3), step("Solarize", 128), step("AutoContrast", 0), step("Equalize", 0), step("Invert", 0),
    ("auto_augment: pair", {"operation": "steps", "steps": [["Posterize", 5], ["Rotate", -30]], **NEAREST}),
    ("augmix", {"operation": "augmix", "original": 0.4, "chains": [
        [0.3, [["ShearX", 0.2], ["Rotate", 10]]], [0.2, [["Solarize", 170]]], [0.1, [["Equalize", 0]]]], **BILINEAR}),
    ("random_erasing", {"operation": "erase", "area": [30, 50, 60, 40], "value": [0.485, 0.456, 0.406]}),
    ("channels: 1", {"operation": "luma"}),
    ("cutmix, lambda 0.6", cutmix_case()),
]


def ours(photograph):
    """Our images, in the order of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photograph.save(folder / "photograph.png")
        cases = [{**case, "source": "photograph.png", "result": f"{i}.png"} for i, (_, case) in enumerate(CASES)]
        (folder / "cases.json").write_text(json.dumps({"cases": cases}))
        subprocess.run(["cargo", "run", "-q", "-p", "ml-data", "--example", "transform_cases", "--",
                        folder / "cases.json", folder, folder], check=True, cwd=ROOT)
        return [Image.open(folder / f"{i}.png").convert("RGB") for i in range(len(cases))]


def difference(a, b):
    """Sixty-four times the difference, on black; and the largest difference."""
    apart = np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))
    return Image.fromarray((apart * 64).clip(0, 255).astype(np.uint8)), apart.max()


def fitted(image):
    """Into a cell, without changing the aspect ratio."""
    image = image.copy()
    image.thumbnail((CELL, CELL))
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return cell


def main():
    photograph = Image.fromarray(load_sample_image("china.jpg")).crop((180, 0, 607, 427)).resize((SIDE, SIDE))
    images = ours(photograph)
    rows = -(-len(CASES) // COLUMNS)
    block = (4 * (CELL + 2) + 8, CELL + LABEL + 4)
    sheet = Image.new("RGB", (COLUMNS * block[0], rows * block[1] + LABEL), "white")
    draw = ImageDraw.Draw(sheet)
    for column in range(COLUMNS):
        for place, title in enumerate(["input", "ours", "torchvision", "64 x difference"]):
            draw.text((column * block[0] + place * (CELL + 2), 0), title, "black")
    for number, ((label, case), mine) in enumerate(zip(CASES, images)):
        theirs = OPERATIONS[case["operation"]](photograph, case).convert("RGB")
        apart, largest = difference(mine, theirs)
        print(f"{label}: at most {largest} of 255 apart")
        x, y = (number // rows) * block[0], (number % rows) * block[1] + LABEL
        draw.text((x, y), f"{label}   (at most {largest} apart)", "black")
        for place, image in enumerate([photograph, mine, theirs, apart]):
            sheet.paste(fitted(image), (x + place * (CELL + 2), y + LABEL))
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(HERE / "transforms.png", optimize=True)


if __name__ == "__main__":
    main()
