"""Pillow's pixels for every file in tests/data/images: decode.json and decode/<name>.png.

Pillow clips 16-bit grey to 255 (`I;16` to RGB); the reference takes its high byte, as the toolkit does.
"""
import json
import pathlib
import shutil

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
IMAGES = HERE.parent / "data" / "images"
OUT = HERE / "decode"

shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
names = []
for path in sorted(IMAGES.iterdir()):
    if path.suffix == ".py":
        continue
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.convert("RGB").save(OUT / f"{path.name}.png", optimize=True)
    names.append(path.name)
(HERE / "decode.json").write_text(json.dumps({"images": names}, indent=1) + "\n")
