"""Writes the small images beside itself: each format and pixel kind that decoding must get right.

Their content is synthetic (a gradient, shapes and fixed noise), but for `digit.png`, which is one of
scikit-learn's handwritten digits (UCI, CC BY 4.0).
"""
import pathlib

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

HERE = pathlib.Path(__file__).parent
HEIGHT, WIDTH = 30, 44


def image(height=HEIGHT, width=WIDTH, noise=12):
    """A gradient a channel, a bright disc, a dark bar, and noise: [height, width, 3] u8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    blue = 255 - (red + green) / 2
    rgb = np.stack([red, green, blue], axis=-1)
    disc = (x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < (height * 0.25) ** 2
    rgb[disc] = [250, 220, 40]
    rgb[int(height * 0.75) : int(height * 0.85), int(width * 0.5) :] = [10, 20, 60]
    rgb += rng.normal(0, noise, rgb.shape)
    return rgb.clip(0, 255).round().astype(np.uint8)


def save(name, image, **options):
    image.save(HERE / name, **options)


rgb = image()
image = Image.fromarray(rgb)
smooth = Image.fromarray(image(noise=3))
grey = image.convert("L")
alpha = Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1)))
rgba = image.copy()
rgba.putalpha(alpha)
grey_alpha = grey.copy()
grey_alpha.putalpha(alpha)

digit = load_digits().images[0]
save("digit.png", Image.fromarray((digit * 255 / 16).round().astype(np.uint8)))
save("image.png", Image.fromarray(image(60, 90)))

save("rgb.png", image)
save("grey.png", grey)
save("grey_alpha.png", grey_alpha)
save("rgba.png", rgba)
save("palette.png", image.quantize(64))
transparent = image.quantize(64)
save("palette_transparent.png", transparent, transparency=3)
save("bits_1.png", grey.convert("1"))
# A value whose high byte is the image, whose low byte is noise.
low = np.random.default_rng(1).integers(0, 256, rgb.shape[:2]).astype(np.uint16)
save("grey_16.png", Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + low))

save("rgb.jpg", smooth, quality=92, subsampling=0)
save("subsampled.jpg", smooth, quality=85, subsampling=2)
save("progressive.jpg", smooth, quality=85, progressive=True)
save("grey.jpg", smooth.convert("L"), quality=90)
save("cmyk.jpg", smooth.convert("CMYK"), quality=92)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"orientation_{orientation}.jpg", smooth, quality=90, exif=exif)
exif = Image.Exif()
exif[0x0112] = 6
save("orientation_6.png", image, exif=exif)

save("rgb.webp", image, lossless=True)
save("lossy.webp", smooth, quality=80)
save("rgba.webp", rgba, lossless=True, exact=True)
save("rgb.bmp", image)
save("palette.bmp", image.quantize(64))
save("rgb.tif", image, compression="tiff_lzw")
save("grey_16.tif", Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + low))
save("cmyk.tif", image.convert("CMYK"))
save("rgb.ppm", image)
save("grey.pgm", grey)
frames = [image.quantize(64), Image.fromarray(255 - rgb).quantize(64)]
save("animated.gif", frames[0], save_all=True, append_images=frames[1:], duration=100)
save("transparent.gif", transparent, transparency=3)
# The names lie.
save("png_inside.jpg", image, format="PNG")


def qoi(pixels):
    """The simplest valid QOI file: every pixel spelt out."""
    height, width, _ = pixels.shape
    header = b"qoif" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([3, 0])
    return header + b"".join(b"\xfe" + p.tobytes() for p in pixels.reshape(-1, 3)) + bytes(7) + b"\x01"


(HERE / "rgb.qoi").write_bytes(qoi(rgb))


def png_rgb_16(high, low):
    """A 16-bit colour PNG, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = high.astype(np.uint16) * 256 + low[..., None]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", high.shape[1], high.shape[0], 16, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


(HERE / "rgb_16.png").write_bytes(png_rgb_16(rgb, low))
