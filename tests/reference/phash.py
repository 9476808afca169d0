"""Perceptual hashes of images, by Pillow's resizing and SciPy's transform; writes phash.json beside itself.

Run: .venv/bin/python tests/reference/phash.py
"""
import json
import pathlib

import numpy as np
from PIL import Image
from scipy.fft import dctn

HERE = pathlib.Path(__file__).parent
IMAGES = [
    "data/images/image.png", "data/images/rgb.png", "data/images/grey.png", "reference/decode/lossy.webp.png",
    "reference/decode/orientation_6.jpg.png", "reference/decode/cmyk.jpg.png", "data/digits/raw/0/0000.png",
    "data/digits/raw/7/0007.png", "data/digits/raw/9/0009.png",
]


def phash(path):
    small = np.asarray(Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float64)
    low = dctn(small @ [0.299, 0.587, 0.114], norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return f"{sum(1 << i for i in range(64) if bits[i]):016x}"


if __name__ == "__main__":
    hashes = {name: phash(HERE.parent / name) for name in IMAGES}
    (HERE / "phash.json").write_text(json.dumps(hashes, indent=1) + "\n")
