"""JPEGs of every chroma subsampling, and the SHA-256 of Pillow's RGB bytes of each at full size and scaled down by 2, 4
and 8 while decoding (`Image.draft`): reduced/*.jpg and reduced.json.

The image is noise with the spectrum of photographs (amplitude falling as 1 / frequency), of an odd size, so that no
block fits.
"""
import hashlib
import json
import pathlib
import shutil

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
OUT = HERE / "reduced"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
rng = np.random.default_rng(0)
height, width = 251, 333
frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])


def plane():
    spectrum = np.fft.fft2(rng.standard_normal((height, width))) / np.maximum(frequency, 1 / width)
    values = np.fft.ifft2(spectrum).real
    return (values - values.mean()) / values.std()


luma = plane()
channels = [luma + 0.4 * plane() for _ in range(3)]
image = Image.fromarray((np.stack(channels, -1) * 50 + 120).clip(0, 255).astype(np.uint8))
kinds = {
    "444": {"subsampling": 0},
    "422": {"subsampling": 1},
    "420": {"subsampling": 2},
    "progressive": {"subsampling": 2, "progressive": True},
    "restart": {"subsampling": 2, "restart_marker_blocks": 3},
}
reference = {}
for name, options in kinds.items():
    path = OUT / f"{name}.jpg"
    image.save(path, quality=85, **options)
    reference[name] = {}
    for divisor in [1, 2, 4, 8]:
        image = Image.open(path)
        wanted = tuple(side // divisor for side in image.size)
        if divisor > 1:
            image.draft("RGB", wanted)
        image.load()
        assert image.size == tuple(-(-side // divisor) for side in image.size), (image.size, divisor)
        reference[name][divisor] = hashlib.sha256(image.tobytes()).hexdigest()
(HERE / "reduced.json").write_text(json.dumps(reference, indent=1) + "\n")
