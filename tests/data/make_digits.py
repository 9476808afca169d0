"""Write scikit-learn's 1,797 handwritten digits as `digits/raw/<digit>/<number>.png` beside this file.

Each image is 8x8, 8-bit greyscale. The values 0..16 become round(value * 255 / 16). The number in a
file's name is the sample's place in `load_digits`. Existing images are overwritten with the same bytes
(given the same versions of Pillow and zlib).
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

RAW = Path(__file__).resolve().parent / "digits" / "raw"


def main() -> None:
    digits = load_digits()
    pixels = np.rint(digits.images * 255 / 16).astype(np.uint8)  # [1797, 8, 8]
    for number, (image, digit) in enumerate(zip(pixels, digits.target)):
        folder = RAW / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:04}.png", optimize=True)
    print(f"{len(pixels)} images in {RAW}")


if __name__ == "__main__":
    main()
