"""numpy's channel statistics of images, and quantiles of its Beta distribution: channel_statistics.json."""
import json
import pathlib

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
FILES = ["rgb.png", "image.png", "palette.png", "digit.png", "rgb.bmp"]


def statistics(prepare):
    pixels = [np.asarray(prepare(Image.open(IMAGES / name).convert("RGB"))) for name in FILES]
    pixels = np.concatenate([p.reshape(-1, p.shape[2] if p.ndim == 3 else 1) for p in pixels]) / 255
    return {"mean": pixels.mean(axis=0).tolist(), "std": pixels.std(axis=0).tolist()}


cases = [
    {"transform": "{center_crop: 8}", **statistics(lambda im: F.center_crop(im, 8))},
    {"transform": "{random_crop: 5}", **statistics(lambda im: im)},
    {"transform": "{resize: [16, 20]}", **statistics(lambda im: F.resize(im, [16, 20]))},
    {"transform": "{resize: 24, center_crop: [20, 22]}",
     **statistics(lambda im: F.center_crop(F.resize(im, 24), [20, 22]))},
    {"transform": "{center_crop: 8, grayscale: true}",
     **statistics(lambda im: F.to_grayscale(F.center_crop(im, 8), 3))},
    {"transform": "{center_crop: 8, channels: 1}", **statistics(lambda im: F.center_crop(im, 8).convert("L"))},
]
shares = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9]
rng = np.random.default_rng(0)
beta = [{"alpha": alpha, "shares": shares, "quantiles": np.quantile(rng.beta(alpha, alpha, 4_000_000), shares).tolist()}
        for alpha in [0.05, 0.2, 0.4, 1.0, 1.5, 8.0]]
lines = ["{", f'"files": {json.dumps(FILES)},', '"cases": [', ",\n".join(json.dumps(case) for case in cases), "],",
         '"beta": [', ",\n".join(json.dumps(case) for case in beta), "]", "}"]
(HERE / "channel_statistics.json").write_text("\n".join(lines) + "\n")
json.loads((HERE / "channel_statistics.json").read_text())
