"""TIFF files of every kind, and what Pillow makes of each: tiff_kinds/<name>.tif and tiff_kinds.json.

Each file is tiny. Pillow writes those that it can write; the others are put together here, tag by tag.
`pixels` is the SHA-256 of Pillow's `ImageOps.exif_transpose(im).convert("RGB")`; where Pillow refuses, or
where the toolkit differs on purpose, it is that of what the toolkit has to give, computed here,
or `refused` holds words of the message. The table of docs/loading.md is written too; with `--table` it is only
printed.
"""
import hashlib
import io
import json
import lzma
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
OUT = HERE / "tiff_kinds"
DOCS = HERE.parents[1] / "docs" / "loading.md"
BEGIN, END = "<!-- begin: tests/reference/tiff_kinds.py -->", "<!-- end: tests/reference/tiff_kinds.py -->"
HEIGHT, WIDTH = 17, 23

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}
CODE = {1: "B", 2: "B", 3: "H", 4: "I", 16: "Q"}


def picture(channels, seed=0, height=HEIGHT, width=WIDTH):
    """A gradient a channel, and noise: [height, width, channels] u8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [128 + 110 * np.sin(x / (3 + c) + c) * np.cos(y / (4 + c)) for c in range(channels)]
    return (np.stack(waves, -1) + rng.normal(0, 8, (height, width, channels))).clip(0, 255).astype(np.uint8)


def packed(values, bits):
    """Rows of whole numbers → bytes, each row from a byte on."""
    rows = values.reshape(values.shape[0], -1)
    digits = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(rows.shape[0], -1).astype(np.uint8), axis=1).tobytes()


def packbits(data):
    """The simplest valid PackBits: runs where there are some, literals otherwise."""
    out, at = b"", 0
    while at < len(data):
        run = 1
        while at + run < len(data) and run < 128 and data[at + run] == data[at]:
            run += 1
        if run > 2:
            out += bytes([257 - run, data[at]])
            at += run
        else:
            out += bytes([0, data[at]])
            at += 1
    return out


def lzw(data, old=False):
    """LZW in 9-bit codes only: the table is cleared before it grows."""
    codes = []
    for at, byte in enumerate(data):
        if at % 200 == 0:
            codes.append(256)
        codes.append(byte)
    codes.append(257)
    digits = "".join(f"{code:09b}"[:: -1 if old else 1] for code in codes)
    digits += "0" * (-len(digits) % 8)
    step = [digits[i : i + 8] for i in range(0, len(digits), 8)]
    return bytes(int(d[:: -1 if old else 1], 2) for d in step)


def tiff(tags, chunks, order="<", big=False, tiles=False, next_tags=None):
    """A file of `tags` {tag: (type, values)} and of strips or tiles."""
    head = 16 if big else 8
    data, offsets = b"", []
    for chunk in chunks:
        offsets.append(head + len(data))
        data += chunk + b"\0" * (len(chunk) % 2)
    kinds = (324, 325) if tiles else (273, 279)
    tags = dict(tags)
    tags[kinds[0]] = (16 if big else LONG, offsets)
    tags[kinds[1]] = (LONG, [len(chunk) for chunk in chunks])
    start = head + len(data)

    def directory(tags, start, has_next):
        entry, inline = (20, 8) if big else (12, 4)
        length = (8 if big else 2) + entry * len(tags) + inline
        entries, extra = b"", b""
        for tag, (kind, values) in sorted(tags.items()):
            if kind == RATIONAL:
                value = b"".join(struct.pack(order + "II", *pair) for pair in values)
            else:
                value = struct.pack(order + CODE[kind] * len(values), *values)
            count = len(values)
            if len(value) > inline:
                value, extra = struct.pack(order + ("Q" if big else "I"), start + length + len(extra)), extra + value
            entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + value.ljust(inline, b"\0")
        end = start + length + len(extra)
        follow = struct.pack(order + ("Q" if big else "I"), end if has_next else 0)
        return struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + follow + extra

    mark = b"II" if order == "<" else b"MM"
    header = mark + (struct.pack(order + "HHHQ", 43, 8, 0, start) if big else struct.pack(order + "HI", 42, start))
    body = directory(tags, start, next_tags is not None)
    if next_tags is not None:
        extra = dict(next_tags)
        extra.setdefault(kinds[0], tags[kinds[0]])
        extra.setdefault(kinds[1], tags[kinds[1]])
        body += directory(extra, start + len(body), False)
    return header + data + body


def basic(photometric, bits, samples, compression=1, height=HEIGHT, width=WIDTH, **more):
    tags = {
        256: (SHORT, [width]),
        257: (SHORT, [height]),
        258: (SHORT, [bits] * samples),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        277: (SHORT, [samples]),
        278: (SHORT, [height]),
    }
    tags.update({int(tag[1:]): value for tag, value in more.items()})
    return tags


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


def subsampled(ycc, across, down):
    """[h, w, 3] → blocks of luminances and the means of Cb and Cr, as TIFF 6.0 (section 21) stores them."""
    height, width, _ = ycc.shape
    padded = np.pad(ycc, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge").astype(int)
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across, 3).swapaxes(1, 2)
    means = blocks[..., 1:].mean((2, 3)).round()
    y = blocks[..., 0].reshape(*blocks.shape[:2], -1)
    return np.concatenate([y, means], -1).astype(np.uint8).tobytes()


def predicted(data):
    """Horizontal differences."""
    out = data.copy()
    out[:, 1:] = data[:, 1:] - data[:, :-1]
    return out


def strips(rows, per):
    return [rows[i : i + per] for i in range(0, len(rows), per)]


def grey_rgb(grey):
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, -1)


def kinds():
    """(row of the table, name, bytes of the file, None or pixels or words of a refusal, remark)."""
    rgb, grey = picture(3), picture(1, 1)[..., 0]
    image = Image.fromarray(rgb)
    rgba = np.concatenate([rgb, picture(1, 2)], -1)
    wide = rgb.astype(np.uint16) * 256 + picture(3, 5)
    wide_grey = grey.astype(np.uint16) * 256 + picture(1, 6)[..., 0]
    high_byte = "the high byte is kept; Pillow clips at 255"
    refused = "refused"

    # Bilevel.
    bits = (grey > 128).astype(int)
    for photometric, name in ((0, "white_is_zero"), (1, "black_is_zero")):
        yield "bilevel, black or white as zero, both values of `FillOrder`", f"bilevel_{name}", tiff(basic(photometric, 1, 1), [packed(bits, 1)]), None, ""
    yield "bilevel, black or white as zero, both values of `FillOrder`", "bilevel_fill_order_2", tiff(
        basic(0, 1, 1, m266=(SHORT, [2])), [bytes(int(f"{b:08b}"[::-1], 2) for b in packed(bits, 1))]), None, ""
    for compression in ("group3", "group4", "tiff_ccitt"):
        row = "CCITT RLE, group 3 and group 4"
        for inverted in (False, True):
            one = Image.fromarray(grey > 128)
            yield row, f"fax_{compression}{'_white' if inverted else ''}", saved(
                one, compression=compression, tiffinfo={262: 0 if inverted else 1}), None, ""
    one = Image.fromarray(np.random.default_rng(3).random((HEIGHT, 300)) > 0.9)
    yield "CCITT RLE, group 3 and group 4", "fax_group4_noise", saved(one, compression="group4"), None, ""
    yield "CCITT RLE, group 3 and group 4", "fax_group3_noise", saved(one, compression="group3"), None, ""
    yield "CCITT RLE, group 3 and group 4", "fax_group3_2d", saved(
        Image.fromarray(np.random.default_rng(4).random((HEIGHT, 90)) > 0.7), compression="group3",
        tiffinfo={292: 1}), None, ""
    yield "CCITT RLE, group 3 and group 4", "fax_group3_2d_fill", saved(
        Image.fromarray(grey > 128), compression="group3", tiffinfo={292: 5}), None, ""

    # Grey.
    for depth in (2, 4, 8):
        for photometric in (0, 1):
            yield "grayscale of 2, 4 or 8 bits", f"grey_{depth}_{photometric}", tiff(
                basic(photometric, depth, 1), [packed(grey.astype(int) >> (8 - depth), depth)]), None, ""
    yield "grayscale of 12 bits", "grey_12", tiff(
        basic(1, 12, 1), [packed(wide_grey.astype(int) >> 4, 12)]), grey_rgb(wide_grey >> 8), high_byte
    yield "grayscale of 10 or 14 bits", "grey_10", tiff(
        basic(1, 10, 1), [packed(wide_grey.astype(int) >> 6, 10)]), grey_rgb(wide_grey >> 8), ""
    yield "grayscale of 10 or 14 bits", "grey_14", tiff(
        basic(1, 14, 1), [packed(wide_grey.astype(int) >> 2, 14)]), grey_rgb(wide_grey >> 8), ""
    for order, name in (("<", "little"), (">", "big")):
        yield "grayscale of 16 bits", f"grey_16_{name}", tiff(
            basic(1, 16, 1), [wide_grey.astype(order + "u2").tobytes()], order), grey_rgb(wide_grey >> 8), high_byte
    yield "grayscale of 16 bits, white is zero", "grey_16_white_is_zero", tiff(
        basic(0, 16, 1), [wide_grey.astype("<u2").tobytes()]), grey_rgb((~wide_grey) >> 8), "Pillow does not invert it"
    yield "grayscale of 16 bits", "grey_16_predictor", tiff(
        basic(1, 16, 1, 8, m317=(SHORT, [2])), [zlib.compress(predicted(wide_grey).astype("<u2").tobytes())]), grey_rgb(wide_grey >> 8), high_byte
    yield "integers with a sign, or of 32 bits", "grey_16_signed", tiff(
        basic(1, 16, 1, m339=(SHORT, [2])), [wide_grey.astype("<u2").tobytes()]), "whole numbers with a sign", "Pillow clips at 255"
    yield "integers with a sign, or of 32 bits", "grey_32", tiff(
        basic(1, 32, 1, m339=(SHORT, [1])), [wide_grey.astype("<u4").tobytes()]), "32-bit whole numbers", "Pillow clips at 255"
    yield "integers with a sign, or of 32 bits", "grey_32_signed", saved(Image.fromarray(wide_grey.astype(np.int32))), "32-bit whole numbers with a sign", ""
    yield "floating point", "float_32", saved(Image.fromarray(wide_grey.astype(np.float32))), "floating-point", "Pillow clips at 255"
    yield "floating point", "float_64", tiff(
        basic(1, 64, 1, m339=(SHORT, [3])), [wide_grey.astype("<f8").tobytes()]), "floating-point", ""

    # Grey with alpha and the like.
    grey_alpha = np.stack([grey, picture(1, 2)[..., 0]], -1)
    yield "grayscale with alpha", "grey_alpha", saved(Image.fromarray(grey_alpha)), None, ""
    yield "grayscale with alpha", "grey_unspecified", tiff(
        basic(1, 8, 2, m338=(SHORT, [0])), [grey_alpha.tobytes()]), None, ""
    straight = np.where(grey_alpha[..., 1:] > 0, np.minimum(grey_alpha[..., :1].astype(int) * 255 // np.maximum(grey_alpha[..., 1:].astype(int), 1), 255), 0)
    yield "grayscale with premultiplied alpha", "grey_premultiplied", tiff(
        basic(1, 8, 2, m338=(SHORT, [1])), [grey_alpha.tobytes()]), grey_rgb(straight[..., 0]), ""
    deep_alpha = grey_alpha.astype(np.uint16) * 256 + 77
    yield "grayscale of 16 bits with alpha", "grey_alpha_16", tiff(
        basic(1, 16, 2, m338=(SHORT, [2])), [deep_alpha.astype("<u2").tobytes()]), grey_rgb(grey), ""

    # Palettes.
    for colors, depth in ((2, 1), (4, 2), (16, 4), (256, 8)):
        palette = np.random.default_rng(depth).integers(0, 65536, (3, colors))
        indices = np.random.default_rng(9).integers(0, colors, (HEIGHT, WIDTH))
        yield "palette of 1, 2, 4 or 8 bits", f"palette_{depth}", tiff(
            basic(3, depth, 1, m320=(SHORT, palette.ravel().tolist())), [packed(indices, depth)]), None, ""
    yield "palette of 1, 2, 4 or 8 bits", "palette_pillow", saved(image.convert("P")), None, ""
    yield "palette of 1, 2, 4 or 8 bits", "palette_lzw", saved(image.quantize(50), compression="tiff_lzw"), None, ""
    with_extra = np.stack([indices.astype(np.uint8), grey], -1)
    for extra in (0, 2):
        yield "palette with alpha or an unspecified channel", f"palette_extra_{extra}", tiff(
            basic(3, 8, 2, m320=(SHORT, palette.ravel().tolist()), m338=(SHORT, [extra])), [with_extra.tobytes()]), None, ""
    small = palette // 256
    yield "palette whose colors have 8 bits instead of 16", "palette_of_bytes", tiff(
        basic(3, 8, 1, m320=(SHORT, small.ravel().tolist())), [packed(indices, 8)]), small.T[indices].astype(np.uint8), "Pillow gives black"

    # RGB, compressed in every way.
    common = "RGB, RGBA and grayscale of 8 bits: uncompressed, LZW, deflate, PackBits, Zstandard"
    for compression in (None, "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "zstd"):
        options = {"compression": compression} if compression else {}
        for mode, pixels in (("rgb", image), ("grey", Image.fromarray(grey)), ("rgba", Image.fromarray(rgba))):
            yield common, f"{mode}_{compression or 'none'}", saved(pixels, **options), None, ""
    yield "LZW of before TIFF 6.0", "rgb_lzw_old", tiff(basic(2, 8, 3, 5), [lzw(rgb.tobytes(), True)]), None, ""
    yield common, "rgb_lzw_9", tiff(basic(2, 8, 3, 5), [lzw(rgb.tobytes())]), None, ""
    yield common, "rgb_packbits_own", tiff(basic(2, 8, 3, 32773), [packbits(rgb.tobytes())]), None, ""
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "zstd"):
        yield "horizontal predictor (LZW, deflate, Zstandard)", f"predictor_{compression}", saved(
            image, compression=compression, tiffinfo={317: 2}), None, ""
    yield "LZMA", "lzma", tiff(basic(2, 8, 3, 34925), [lzma.compress(rgb.tobytes())]), "compression is LZMA", ""
    for pixels, name in ((rgb, "rgb"), (rgba, "rgba")):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "WEBP", lossless=True, exact=True)
        yield "WebP in TIFF", f"{name}_webp", tiff(basic(2, 8, pixels.shape[2], 50001), [file.getvalue()]), rgb, "Pillow's libtiff is built without it"
    for order, name in (("<", "little"), (">", "big")):
        yield "RGB of 16 bits, with or without alpha", f"rgb_16_{name}", tiff(basic(2, 16, 3), [wide.astype(order + "u2").tobytes()], order), None, ""
        yield "RGB of 16 bits, with or without alpha", f"rgb_16_deflate_{name}", tiff(
            basic(2, 16, 3, 8, m317=(SHORT, [2])), [zlib.compress(predicted(wide).astype(order + "u2").tobytes())], order), None, ""
    deep = np.concatenate([wide, rgba[..., 3:].astype(np.uint16) * 257], -1)
    for extra in (0, 1, 2):
        yield "RGB of 16 bits, with or without alpha", f"rgb_16_extra_{extra}", tiff(
            basic(2, 16, 4, m338=(SHORT, [extra])), [deep.astype("<u2").tobytes()]), None, ""
    yield "RGB of 4 or 12 bits", "rgb_4", tiff(
        basic(2, 4, 3), [packed(rgb.astype(int) >> 4, 4)]), (rgb >> 4) * 17, ""
    yield "RGB of 4 or 12 bits", "rgb_12", tiff(
        basic(2, 12, 3), [packed(wide.astype(int) >> 4, 12)]), (wide >> 8).astype(np.uint8), ""
    yield "integers with a sign, or of 32 bits", "rgb_32", tiff(
        basic(2, 32, 3), [wide.astype("<u4").tobytes()]), "32-bit whole numbers", ""

    # Extra channels.
    yield "RGB with alpha or further channels", "rgba_without_tag", tiff(basic(2, 8, 4), [rgba.tobytes()]), None, ""
    yield "RGB with alpha or further channels", "rgba_corel", tiff(basic(2, 8, 4, m338=(SHORT, [999])), [rgba.tobytes()]), None, ""
    for extra in ((0,), (2,), (0, 0), (2, 0), (0, 0, 0), (2, 0, 0)):
        more = np.concatenate([rgb] + [picture(1, 10 + i) for i in range(len(extra))], -1)
        name = "_".join(map(str, extra))
        yield "RGB with alpha or further channels", f"rgb_extra_{name}", tiff(
            basic(2, 8, 3 + len(extra), m338=(SHORT, list(extra))), [more.tobytes()]), None, ""
    holes = rgba.copy()
    holes[::2, ::3, 3], holes[1::2, ::3, 3] = 0, 255
    for extra in ((1,), (1, 0), (1, 0, 0)):
        more = np.concatenate([holes] + [picture(1, 10 + i) for i in range(len(extra) - 1)], -1)
        yield "RGB with premultiplied alpha (which is undone)", f"rgb_premultiplied_{len(extra)}", tiff(
            basic(2, 8, 3 + len(extra), m338=(SHORT, list(extra))), [more.tobytes()]), None, ""
    yield "RGB with premultiplied alpha (which is undone)", "rgb_premultiplied_deflate", tiff(
        basic(2, 8, 4, 8, m338=(SHORT, [1])), [zlib.compress(holes.tobytes())]), None, ""

    # CMYK.
    cmyk = picture(4, 7)
    yield "CMYK of 8 or 16 bits, with or without further channels", "cmyk_8", saved(Image.fromarray(cmyk, "CMYK")), None, ""
    yield "CMYK of 8 or 16 bits, with or without further channels", "cmyk_lzw", saved(Image.fromarray(cmyk, "CMYK"), compression="tiff_lzw"), None, ""
    yield "CMYK of 8 or 16 bits, with or without further channels", "cmyk_extra", tiff(
        basic(5, 8, 5, m338=(SHORT, [0])), [np.concatenate([cmyk, picture(1, 8)], -1).tobytes()]), None, ""
    for order, name in (("<", "little"), (">", "big")):
        yield "CMYK of 8 or 16 bits, with or without further channels", f"cmyk_16_{name}", tiff(
            basic(5, 16, 4), [(cmyk.astype(np.uint16) * 256 + 99).astype(order + "u2").tobytes()], order), None, ""
    yield "inks other than CMYK", "inks", tiff(
        basic(5, 8, 4, m332=(SHORT, [2])), [cmyk.tobytes()]), "other inks", "Pillow takes them as CMYK"

    # YCbCr.
    ycc = np.asarray(image.convert("YCbCr"))
    yield "YCbCr, subsampled or not", "ycc_pillow", saved(image.convert("YCbCr")), None, ""
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield "YCbCr, subsampled or not", f"ycc_{compression}", saved(image.convert("YCbCr"), compression=compression), None, ""
    for across, down in ((2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (4, 4)):
        tags = basic(6, 8, 3, 8, m530=(SHORT, [across, down]))
        yield "YCbCr, subsampled or not", f"ycc_{across}{down}", tiff(tags, [zlib.compress(subsampled(ycc, across, down))]), None, ""
    tags = basic(6, 8, 3, 8)
    yield "YCbCr, subsampled or not", "ycc_22_without_tag", tiff(tags, [zlib.compress(subsampled(ycc, 2, 2))]), None, ""
    tags = basic(6, 8, 3, 8, m530=(SHORT, [2, 2]), m529=(RATIONAL, [(2125, 10000), (7154, 10000), (721, 10000)]),
        m532=(RATIONAL, [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)]))
    yield "YCbCr, subsampled or not", "ycc_22_709", tiff(tags, [zlib.compress(subsampled(ycc, 2, 2))]), None, ""
    tags = basic(6, 8, 3, 1, m530=(SHORT, [2, 2]))
    compressed = tiff(basic(6, 8, 3, 8, m530=(SHORT, [2, 2])), [zlib.compress(subsampled(ycc, 2, 2))])
    yield "YCbCr, subsampled, uncompressed", "ycc_22_none", tiff(tags, [subsampled(ycc, 2, 2)]), rgb_of(compressed), "Pillow takes it as not subsampled"
    for planes, name in ((1, "chunky"), (2, "planar")):
        data = [zlib.compress(ycc.tobytes())] if planes == 1 else [zlib.compress(ycc[..., c].tobytes()) for c in range(3)]
        yield "YCbCr, subsampled or not", f"ycc_{name}", tiff(
            basic(6, 8, 3, 8, m530=(SHORT, [1, 1]), m284=(SHORT, [planes])), data), None, ""

    # JPEG.
    for mode, pixels in (("rgb", image), ("grey", Image.fromarray(grey)), ("ycc", image.convert("YCbCr")), ("cmyk", Image.fromarray(cmyk, "CMYK"))):
        yield "JPEG of RGB, YCbCr (subsampled or not), grayscale, CMYK", f"jpeg_{mode}", saved(pixels, compression="jpeg", quality=80), None, ""
    for sampling, factors in ((0, (1, 1)), (1, (2, 1)), (2, (2, 2))):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=80, subsampling=sampling)
        yield "JPEG of RGB, YCbCr (subsampled or not), grayscale, CMYK", f"jpeg_ycc_{factors[0]}{factors[1]}", tiff(
            basic(6, 8, 3, 7, m530=(SHORT, list(factors))), [file.getvalue()]), None, ""
    large = Image.fromarray(picture(3, 3, 40, 24))
    parts = []
    for top in range(0, 40, 16):
        file = io.BytesIO()
        large.crop((0, top, 24, min(top + 16, 40))).save(file, "JPEG", quality=80, subsampling=2)
        parts.append(file.getvalue())
    yield "JPEG of RGB, YCbCr (subsampled or not), grayscale, CMYK", "jpeg_ycc_strips", tiff(
        basic(6, 8, 3, 7, 40, 24, m278=(SHORT, [16]), m530=(SHORT, [2, 2])), parts), None, ""
    yield "old-style JPEG", "jpeg_old", tiff(basic(6, 8, 3, 6), [b"\xFF\xD8\xFF\xD9"]), "old-style JPEG", "Pillow reads some"

    # Lab and others.
    lab = picture(3, 11)
    yield "CIE L\\*a\\*b\\*", "lab", tiff(basic(8, 8, 3), [lab.tobytes()]), "CIE L*a*b*", "Pillow converts with LittleCMS"
    yield "ICC or ITU L\\*a\\*b\\*", "lab_icc", tiff(basic(9, 8, 3), [lab.tobytes()]), "ICC L*a*b*", ""
    yield "LogLuv", "log_luv", tiff(basic(32845, 16, 3, 34677), [b"\0" * 99]), "SGI LogLuv", ""
    yield "JPEG 2000, JPEG XL, LERC, JBIG in TIFF", "jpeg_2000", tiff(basic(2, 8, 3, 34712), [b"\0" * 99]), "JPEG 2000", ""
    yield "JPEG 2000, JPEG XL, LERC, JBIG in TIFF", "jpeg_xl", tiff(basic(2, 8, 3, 50002), [b"\0" * 99]), "JPEG XL", ""
    yield "JPEG 2000, JPEG XL, LERC, JBIG in TIFF", "lerc", tiff(basic(1, 8, 1, 34887), [b"\0" * 99]), "LERC", ""
    yield "JPEG 2000, JPEG XL, LERC, JBIG in TIFF", "jbig", tiff(basic(0, 1, 1, 34661), [b"\0" * 99]), "JBIG", ""
    yield "camera raw (DNG, CR2, NEF, ARW)", "raw_dng", tiff(
        basic(2, 8, 3, m50706=(BYTE, [1, 4, 0, 0])), [rgb.tobytes()]), "Adobe DNG", "Pillow reads the thumbnail"
    yield "camera raw (DNG, CR2, NEF, ARW)", "raw_filter", tiff(basic(32803, 16, 1), [wide_grey.tobytes()]), "camera raw file", ""
    yield "channels of different depths", "rgb_565", tiff(
        {**basic(2, 8, 3), 258: (SHORT, [5, 6, 5])}, [b"\0" * 999]), "different depths", ""

    # Organization.
    rows = rgb.reshape(HEIGHT, -1)
    for per in (1, 5):
        yield "strips, tiles", f"strips_{per}", tiff(basic(2, 8, 3, m278=(SHORT, [per])), [part.tobytes() for part in strips(rows, per)]), None, ""
    yield "planes (`PlanarConfiguration` 2)", "planar", tiff(
        basic(2, 8, 3, m284=(SHORT, [2])), [rgb[..., c].tobytes() for c in range(3)]), None, ""
    yield "planes (`PlanarConfiguration` 2)", "planar_strips", tiff(
        basic(2, 8, 3, 8, m284=(SHORT, [2]), m278=(SHORT, [6]), m317=(SHORT, [2])),
        [zlib.compress(predicted(part).tobytes()) for c in range(3) for part in strips(rgb[..., c], 6)]), None, ""
    yield "planes (`PlanarConfiguration` 2)", "planar_16", tiff(
        basic(2, 16, 3, 8, m284=(SHORT, [2])), [zlib.compress(wide[..., c].astype("<u2").tobytes()) for c in range(3)]), wide_planes(wide), ""
    yield "planes (`PlanarConfiguration` 2)", "planar_cmyk", tiff(
        basic(5, 8, 4, 8, m284=(SHORT, [2])), [zlib.compress(cmyk[..., c].tobytes()) for c in range(4)]), None, ""
    for extra in (0, 1, 2):
        yield "planes (`PlanarConfiguration` 2)", f"planar_extra_{extra}", tiff(
            basic(2, 8, 4, 8, m284=(SHORT, [2]), m338=(SHORT, [extra])), [zlib.compress(holes[..., c].tobytes()) for c in range(4)]), None, ""
    tile = {322: (SHORT, [16]), 323: (SHORT, [16])}
    padded = np.pad(rgb, ((0, -HEIGHT % 16), (0, -WIDTH % 16), (0, 0)), mode="edge")
    blocks = [padded[y : y + 16, x : x + 16] for y in range(0, HEIGHT, 16) for x in range(0, WIDTH, 16)]
    tags = {tag: value for tag, value in basic(2, 8, 3).items() if tag != 278}
    yield "strips, tiles", "tiles", tiff({**tags, **tile}, [block.tobytes() for block in blocks], tiles=True), None, ""
    yield "strips, tiles", "tiles_deflate", tiff({**tags, **tile, 259: (SHORT, [8])}, [zlib.compress(block.tobytes()) for block in blocks], tiles=True), None, ""
    yield "strips, tiles", "tiles_planar", tiff({**tags, **tile, 259: (SHORT, [8]), 284: (SHORT, [2])},
        [zlib.compress(block[..., c].tobytes()) for c in range(3) for block in blocks], tiles=True), None, ""
    padded_ycc = np.pad(ycc, ((0, -HEIGHT % 16), (0, -WIDTH % 16), (0, 0)), mode="edge")
    yield "strips, tiles", "tiles_ycc", tiff({**tags, **tile, 259: (SHORT, [8]), 262: (SHORT, [6]), 530: (SHORT, [2, 2])},
        [zlib.compress(subsampled(padded_ycc[y : y + 16, x : x + 16], 2, 2)) for y in range(0, HEIGHT, 16) for x in range(0, WIDTH, 16)], tiles=True), None, ""
    yield "BigTIFF", "big_pillow", saved(image, big_tiff=True), None, ""
    yield "BigTIFF", "big_little", tiff(basic(2, 8, 3), [rgb.tobytes()], "<", True), None, ""
    yield "BigTIFF, big-endian", "big_big", tiff(basic(2, 8, 3), [rgb.tobytes()], ">", True), rgb, ""
    yield "several images (the first is taken)", "pages", saved(image, save_all=True, append_images=[Image.fromarray(255 - rgb)]), None, ""
    yield "several images (the first is taken)", "thumbnail", tiff(basic(2, 8, 3), [rgb.tobytes()], next_tags={**basic(2, 8, 3), 254: (LONG, [1])}), None, ""
    for orientation in range(1, 9):
        yield "all values of `Orientation`", f"orientation_{orientation}", tiff(basic(2, 8, 3, m274=(SHORT, [orientation])), [rgb.tobytes()]), None, ""
    yield "all values of `Orientation`", "orientation_6_deflate", tiff(basic(2, 8, 3, 8, m274=(SHORT, [6])), [zlib.compress(rgb.tobytes())]), None, ""


def wide_planes(wide):
    return (wide >> 8).astype(np.uint8)


def rgb_of(data):
    """Pillow's pixels; an exception where Pillow refuses."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def digest(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def main():
    table_only = "--table" in sys.argv
    OUT.mkdir(exist_ok=True)
    files, rows = {}, {}
    for row, name, data, ours, remark in kinds():
        try:
            pillow = rgb_of(data)
        except Exception:  # Pillow's plugins raise what they like.
            pillow = None
        entry = {"row": row}
        if isinstance(ours, str):
            entry["refused"] = ours
        else:
            pixels = pillow if ours is None else ours
            assert pixels is not None, f"{name}: Pillow refuses it, and nothing else is expected"
            entry["size"] = list(pixels.shape[1::-1])
            entry["pixels"] = digest(pixels)
        entry["pillow"] = "refuses" if pillow is None else "reads"
        entry["like_pillow"] = pillow is not None and not isinstance(ours, str) and digest(pillow) == entry["pixels"]
        assert ours is not None or entry["like_pillow"], name
        if remark:
            entry["remark"] = remark
        files[name] = entry
        rows.setdefault(row, []).append((entry, remark))
        if not table_only:
            (OUT / f"{name}.tif").write_bytes(data)
    if not table_only:
        for path in OUT.iterdir():
            if path.stem not in files:
                path.unlink()
        (HERE / "tiff_kinds.json").write_text(json.dumps(files, indent=1) + "\n")
    table = "| TIFF | Pillow | here |\n|---|---|---|\n"
    for row, entries in rows.items():
        table += f"| {row} | {verdict(entries)} |\n"
    print(table, end="")
    if not table_only:
        text = DOCS.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        DOCS.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def verdict(entries):
    """What Pillow does with a row's files, and what the toolkit does."""
    reads = {entry["pillow"] for entry, _ in entries}
    pillow = "reads" if reads == {"reads"} else "refuses" if reads == {"refuses"} else "reads some"
    remark = next((remark for _, remark in entries if remark), "")
    if all("refused" in entry for entry, _ in entries):
        here = "refused"
    elif all(entry["like_pillow"] for entry, _ in entries):
        here = "the same pixels"
    else:
        here = "read"
    return f"{pillow} | {here}{'; ' + remark if remark else ''}"


main()
