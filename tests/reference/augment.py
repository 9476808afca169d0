"""torchvision's augmentations on PIL images with given parameters: augment.json and augment/<case>.png."""
import json
import pathlib
import shutil

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}


def tensor_of(image):
    return F.pil_to_tensor(image)


def rotate(image, case):
    return F.rotate(image, case["angle"], MODES[case["interpolation"]], fill=case["fill"])


def affine(image, case):
    return F.affine(image, case["angle"], case["translate"], case["scale"], case["shear"],
                    MODES[case["interpolation"]], case["fill"])


def perspective(image, case):
    right, bottom = image.width - 1, image.height - 1
    corners = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
    return F.perspective(image, corners, case["corners"], MODES[case["interpolation"]], case["fill"])


def steps(image, case):
    for name, magnitude in case["steps"]:
        image = autoaugment._apply_op(image, name, magnitude, MODES[case["interpolation"]], case["fill"])
    return image


def augmix(image, case):
    """AugMix's mean, with each operation done to the PIL image."""
    mix = torch.tensor(case["original"]) * tensor_of(image)
    for weight, chain in case["chains"]:
        changed = steps(image, {**case, "steps": chain})
        mix.add_(torch.tensor(weight) * tensor_of(changed))
    return F.to_pil_image(mix.to(torch.uint8))


def erase(image, case):
    top, left, height, width = case["area"]
    value = torch.tensor(case["value"], dtype=torch.float32)[:, None, None]
    return F.to_pil_image(F.erase(F.to_tensor(image), top, left, height, width, value))


OPERATIONS = {
    "rotate": rotate,
    "affine": affine,
    "perspective": perspective,
    "steps": steps,
    "augmix": augmix,
    "erase": erase,
    "gaussian_blur": lambda image, case: F.gaussian_blur(image, case["kernel_size"], case["sigma"]),
    "luma": lambda image, case: image.convert("L"),
}


def cases():
    def both(operation, source="rgb.png", fills=(0,), **parameters):
        for interpolation in MODES:
            for fill in fills:
                fill = [fill] * 3 if isinstance(fill, int) else fill
                yield {"source": source, "operation": operation, **parameters, "interpolation": interpolation,
                       "fill": fill}

    for angle in [0, 15, -33.7, 45, 60, 90, 180, 359.5]:
        yield from both("rotate", angle=angle)
    yield from both("rotate", angle=-20, fills=[7, [10, 200, 30]])
    for angle in [30, 90, 180, 270, -90]:
        yield from both("rotate", source="digit.png", angle=angle)
    still = {"angle": 0, "translate": [0, 0], "scale": 1.0, "shear": [0, 0]}
    for change in [{}, {"angle": 25}, {"translate": [7, -4]}, {"scale": 0.6}, {"scale": 1.7}, {"shear": [20, 0]},
                   {"shear": [0, -15]}, {"angle": -40, "translate": [-3, 5], "scale": 1.2, "shear": [10, -12.5]},
                   {"angle": 10, "scale": 0.0005}]:
        yield from both("affine", **{**still, **change})
    yield from both("affine", source="image.png", **{**still, "angle": 12, "scale": 0.8}, fills=[[9, 99, 250]])
    for corners in [[[0, 0], [43, 0], [43, 29], [0, 29]], [[8, 3], [40, 1], [37, 28], [2, 22]],
                    [[0, 6], [30, 0], [43, 20], [10, 29]], [[21, 14], [22, 14], [43, 29], [0, 29]]]:
        yield from both("perspective", corners=corners, fills=[[200, 0, 40]])
    for name, magnitudes in {
        "ShearX": [0.2, -0.99], "ShearY": [-0.3, 0.66], "TranslateX": [10.6, -31.9], "TranslateY": [-3.99, 14.0],
        "Rotate": [30, -121.5],
    }.items():
        for magnitude in magnitudes:
            yield from both("steps", steps=[[name, magnitude]], fills=[[0, 128, 255]])
    for name, magnitudes in {
        "Identity": [0], "Brightness": [0.45, -0.99], "Color": [0.9, -0.31], "Contrast": [0.99, -0.6],
        "Sharpness": [0.9, -0.9, 0.0], "Posterize": [8, 4, 2, 1], "Solarize": [255.0, 127.5, 85.0, 0.0],
        "AutoContrast": [0], "Equalize": [0], "Invert": [0],
    }.items():
        for magnitude in magnitudes:
            yield {"source": "rgb.png", "operation": "steps", "steps": [[name, magnitude]],
                   "interpolation": "nearest", "fill": [0, 0, 0]}
    for source in ["digit.png", "palette.png", "image.png"]:
        for name in ["AutoContrast", "Equalize", "Sharpness"]:
            yield {"source": source, "operation": "steps", "steps": [[name, 0.5]], "interpolation": "nearest",
                   "fill": [0, 0, 0]}
    yield from both("augmix", original=0.4375, chains=[
        [0.25, [["ShearX", 0.2], ["Solarize", 170.0]]], [0.1875, [["Equalize", 0.0]]],
        [0.125, [["TranslateY", -6.0], ["Posterize", 3.0], ["Rotate", 10.0]]]])
    for kernel_size, sigma in [([3, 3], 0.1), ([5, 5], 1.0), ([23, 23], 2.0), ([9, 5], 0.7), ([1, 7], 3.0)]:
        yield {"source": "rgb.png", "operation": "gaussian_blur", "kernel_size": kernel_size, "sigma": sigma}
    yield {"source": "rgb.png", "operation": "erase", "area": [3, 10, 12, 20], "value": [0.5]}
    yield {"source": "rgb.png", "operation": "erase", "area": [18, 0, 12, 1], "value": [0.0, 0.2, 1.0]}
    yield {"source": "rgb.png", "operation": "luma"}


def main():
    out = HERE / "augment"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    written = []
    for number, case in enumerate(cases()):
        image = Image.open(IMAGES / case["source"]).convert("RGB")
        name = f"{number:03}_{case['operation']}.png"
        OPERATIONS[case["operation"]](image, case).save(out / name, optimize=True)
        written.append({**case, "result": name})
    lines = ",\n".join(json.dumps(case) for case in written)
    (HERE / "augment.json").write_text(f'{{"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
