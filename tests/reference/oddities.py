"""Odd image files and what Pillow makes of them: oddities/, oddities.json and a table for the documentation.

Files that break a rule of their format or use a rare part of it: JPEG markers and scans, EXIF and XMP orientation,
PNG without its end. A file that Pillow reads should come out the same here; where the toolkit decides otherwise, the
third column of the list says so. The table is printed; it stands in docs/loading.md.
"""
import hashlib
import io
import json
import pathlib
import shutil
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
OUT = HERE / "oddities"
WIDTH, HEIGHT = 27, 19
# Nothing below depends on how it was drawn, but detail makes errors visible.
PIXELS = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
PIXELS[:, :14] = np.linspace(0, 255, HEIGHT * 14 * 3).reshape(HEIGHT, 14, 3)
IMAGE = Image.fromarray(PIXELS)

SAME, READ = "same image", "read"
CUT_SHORT, DAMAGED = "refused: cut short", "refused: damaged"


def saved(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


# --- JPEG -------------------------------------------------------------------------------------------------------

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def segments(jpeg):
    """(marker, content, coded data) of all segments; the end-of-image marker is left out."""
    found, at = [], 2
    while jpeg[at + 1] != 0xD9:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        content, at = jpeg[at + 4 : at + 2 + length], at + 2 + length
        start = at
        if marker == 0xDA:
            while jpeg[at] != 0xFF or jpeg[at + 1] == 0 or 0xD0 <= jpeg[at + 1] <= 0xD7:
                at += 1
        found.append((marker, content, jpeg[start:at]))
    return found


def segment(marker, content, data=b""):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + data


def joined(parts, end=EOI):
    return SOI + b"".join(part if isinstance(part, bytes) else segment(*part) for part in parts) + end


BASELINE = saved(IMAGE, "JPEG", quality=90)
PROGRESSIVE = saved(IMAGE, "JPEG", quality=90, progressive=True)
RESTARTS = saved(IMAGE, "JPEG", quality=90, restart_marker_blocks=1)
GREY = saved(IMAGE.convert("L"), "JPEG", quality=90)


def with_scan_header(jpeg, *values):
    """Ends every scan header with these bytes: first and last coefficient, bit positions."""
    return joined([(m, c[:-3] + bytes(values) if m == 0xDA else c, d) for m, c, d in segments(jpeg)])


def in_three_scans():
    """Sequential, a scan for each component: of three grey images."""
    planes = [segments(saved(plane, "JPEG", quality=90)) for plane in IMAGE.convert("YCbCr").split()]
    head = [s for s in planes[0] if s[0] in (0xE0, 0xDB, 0xC4)]
    frame = next(c for m, c, _ in planes[0] if m == 0xC0)
    frame = frame[:5] + b"\x03" + b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    scans = [(0xDA, bytes([1, i + 1, 0, 0, 63, 0]), next(d for m, _, d in planes[i] if m == 0xDA)) for i in range(3)]
    return [*head, (0xC0, frame, b""), *scans]


def jpegs():
    base, progressive = segments(BASELINE), segments(PROGRESSIVE)
    is_scan = [m == 0xDA for m, _, _ in base]
    scans = [i for i, (m, _, _) in enumerate(progressive) if m == 0xDA]
    first = scans[0]

    def again(parts, i):
        # A scan comes with the tables that stand in front of it.
        start = i
        while start and parts[start - 1][0] == 0xC4:
            start -= 1
        return parts[: i + 1] + parts[start : i + 1] + parts[i + 1 :]

    def without(parts, i):
        return parts[:i] + parts[i + 1 :]

    yield "scan_header_zeros", "scan header with first and last coefficient 0, as some phones write", with_scan_header(BASELINE, 0, 0, 0)
    yield "scan_header_numbers", "scan header with senseless coefficients and bit positions", with_scan_header(BASELINE, 5, 2, 0x3A)
    yield "scan_header_restarts", "the same with restart markers", with_scan_header(RESTARTS, 0, 0, 0)
    yield "scan_header_grey", "the same in grayscale", with_scan_header(GREY, 0, 0, 0)
    yield "progressive_first_twice", "progressive: the first scan twice", joined(again(progressive, first))
    yield "progressive_last_missing", "progressive: the last scan left out", joined(without(progressive, scans[-1]))
    yield "progressive_last_twice", "progressive: the last scan twice", joined(again(progressive, scans[-1]))
    yield "progressive_all_twice", "progressive: all scans twice", joined(progressive + progressive[first - 1 :]), DAMAGED
    for i in scans[1:-1]:
        yield f"progressive_{i}_twice", f"progressive: scan {scans.index(i) + 1} of {len(scans)} twice", joined(again(progressive, i))
        yield f"progressive_{i}_missing", f"progressive: scan {scans.index(i) + 1} of {len(scans)} left out", joined(without(progressive, i))
    yield "progressive_dc_only", "progressive: nothing but the first scan", joined(progressive[: first + 1])
    order = progressive[:first] + [s for s in progressive[first + 1 :] if s[0] == 0xC4 or s[0] == 0xDA] + progressive[first - 1 : first + 1]
    yield "progressive_dc_last", "progressive: the first scan at the end", joined(order)
    three = in_three_scans()
    yield "three_scans", "sequential, a scan for each component", joined(three)
    yield "three_scans_odd_headers", "the same with zeros in the scan headers", with_scan_header(joined(three), 0, 0, 0)
    yield "three_scans_one_twice", "the same with a scan twice", joined([*three, three[-2]])
    yield "three_scans_mixed_up", "the same in another order", joined(three[:-3] + three[:-4:-1])
    yield "two_scans", "the same without its last scan", joined(three[:-1])
    yield "scan_twice", "sequential, the only scan twice", joined(base + base[-1:]), READ
    yield "fill_bytes", "fill bytes in front of markers", joined([b"\xff\xff\xff" + segment(*s) for s in base], b"\xff\xff\xff\xd9")
    yield "bytes_between_segments", "bytes between segments that belong to none", joined([segment(*s) + (b"" if s[0] == 0xDA else b"junk") for s in base])
    yield "bytes_behind_scan", "bytes between the coded data and the end", joined([*base, b"junk"])
    yield "tables_twice", "quantization and Huffman tables twice", joined([s for s in base for _ in range(2 if s[0] in (0xDB, 0xC4) else 1)])
    yield "jfif_twice", "two JFIF segments", joined(base[:1] + base)
    yield "jfif_version", "a JFIF version that does not exist", joined([(0xE0, b"JFIF\0\x09\x63" + base[0][1][7:]), *base[1:]])
    yield "jfif_short", "a JFIF segment that ends after its name", joined([(0xE0, b"JFIF\0"), *base[1:]]), READ
    yield "no_jfif", "no JFIF segment", joined(base[1:])
    yield "adobe_transform", "an Adobe color transform that does not exist", joined([(0xEE, b"Adobe\0\x64\0\0\0\0\x07"), *base[1:]])
    yield "adobe_rgb", "an Adobe segment that says RGB", joined([(0xEE, b"Adobe\0\x64\0\0\0\0\0"), *base[1:]])
    yield "broken_profile", "a color profile of which a part is missing", joined([*base[:1], (0xE2, b"ICC_PROFILE\0\x02\x03profile"), *base[1:]])
    yield "empty_segments", "application segments and comments without content", joined([*base[:1], (0xE5, b""), (0xFE, b""), (0xE1, b""), *base[1:]])
    yield "segment_length_0", "a comment that says it is 0 bytes long", joined([*base[:1], b"\xff\xfe\0\0", *base[1:]])
    yield "restart_marker_in_header", "a restart marker in the header", joined([*base[:1], b"\xff\xd0", *base[1:]])
    yield "tem_marker", "a TEM marker in the header", joined([*base[:1], b"\xff\x01", *base[1:]]), READ
    yield "reserved_marker", "a reserved marker in the header", joined([*base[:1], b"\xff\x02\0\x02", *base[1:]])
    yield "second_start", "a second start-of-image marker", joined([SOI, *base])
    yield "line_count_behind_scan", "a DNL segment behind the scan", joined([*base, (0xDC, struct.pack(">H", HEIGHT))])
    yield "restart_interval_0", "a restart interval of 0", joined([*base[:1], (0xDD, b"\0\0"), *base[1:]])
    yield "extended_sequential", "the frame header of extended sequential coding", joined([(0xC1 if m == 0xC0 else m, c, d) for m, c, d in base])
    yield "components_rgb", "components called R, G, B", joined([(m, renamed(m, c, b"RGB"), d) for m, c, d in base[1:]])
    yield "components_0_1_2", "components called 0, 1, 2", joined([(m, renamed(m, c, b"\0\1\2"), d) for m, c, d in base])
    yield "thumbnail", "a thumbnail with an end marker of its own", joined([*base[:1], (0xE1, b"thumbnail" + GREY), *base[1:]])
    yield "two_images", "two images in one file (MPO)", saved(IMAGE, "MPO", save_all=True, append_images=[IMAGE.rotate(180)])
    yield "data_behind_end", "data behind the end", BASELINE + b"appended" + GREY
    scan = base[-1][2]
    yield "no_end", "no end-of-image marker", joined(base, b""), CUT_SHORT
    yield "cut_in_scan", "cut in the coded data", joined([*base[:-1], (*base[-1][:2], scan[: len(scan) // 2])], b""), CUT_SHORT
    yield "progressive_cut", "progressive, cut in the last scan", PROGRESSIVE[:-20], CUT_SHORT
    yield "scan_too_short", "coded data that end before the image", joined([*base[:-1], (*base[-1][:2], scan[: len(scan) // 2])]), DAMAGED
    broken = scan[:200] + b"\xff\0\xff\0\xff\0\xff\0" + scan[208:]
    yield "bad_code", "coded data with a code that the table does not have", joined([*base[:-1], (*base[-1][:2], broken)]), DAMAGED
    restarts = segments(RESTARTS)
    wrong = restarts[-1][2].replace(b"\xff\xd1", b"\xff\xd3", 1)
    yield "wrong_restart", "a restart marker out of turn", joined([*restarts[:-1], (*restarts[-1][:2], wrong)]), DAMAGED


def renamed(marker, content, names):
    """A frame or scan header with other component names."""
    if marker == 0xC0:
        return content[:6] + b"".join(bytes([names[i]]) + content[7 + 3 * i : 9 + 3 * i] for i in range(3))
    if marker == 0xDA:
        return content[:1] + b"".join(bytes([names[i]]) + content[2 + 2 * i : 3 + 2 * i] for i in range(3)) + content[7:]
    return content


# --- orientation ------------------------------------------------------------------------------------------------


def directory(entries, order="<", magic=None, count=None):
    """A TIFF structure of one directory: (tag, type, count, content) in, bytes out."""
    magic = magic or (b"II*\0" if order == "<" else b"MM\0*")
    out, behind = struct.pack(order + "H", len(entries) if count is None else count), b""
    for tag, kind, number, content in entries:
        if len(content) > 4:
            place = struct.pack(order + "L", 8 + 2 + 12 * len(entries) + 4 + len(behind))
            behind += content
        else:
            place = content.ljust(4, b"\0")
        out += struct.pack(order + "HHL", tag, kind, number) + place
    return magic + struct.pack(order + "L", 8) + out + bytes(4) + behind


def short(value, order="<"):
    return (274, 3, 1, struct.pack(order + "H", value))


EXIF = b"Exif\0\0"
SIX = directory([short(6)])
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def exif_blocks():
    """Contents of an EXIF block: the same in JPEG, PNG and WebP."""
    types = [
        (1, 1, b"\6", "BYTE"), (2, 2, b"6\0", "ASCII"), (4, 1, struct.pack("<L", 6), "LONG"),
        (5, 1, struct.pack("<LL", 12, 2), "RATIONAL 12/2"), (5, 1, struct.pack("<LL", 13, 2), "RATIONAL 13/2"),
        (5, 1, struct.pack("<LL", 6, 0), "RATIONAL 6/0"), (6, 1, b"\6", "SBYTE"), (7, 1, b"\6", "UNDEFINED"),
        (8, 1, struct.pack("<h", 6), "SSHORT"), (8, 1, struct.pack("<h", -6), "SSHORT -6"),
        (9, 1, struct.pack("<l", 6), "SLONG"), (10, 1, struct.pack("<ll", -6, -1), "SRATIONAL -6/-1"),
        (11, 1, struct.pack("<f", 6), "FLOAT"), (11, 1, struct.pack("<f", 6.5), "FLOAT 6.5"),
        (11, 1, struct.pack("<f", float("nan")), "FLOAT NaN"), (12, 1, struct.pack("<d", 6), "DOUBLE"),
        (13, 1, struct.pack("<L", 6), "IFD"), (16, 1, struct.pack("<Q", 6), "LONG8"), (129, 1, b"\6", "129"),
        (0, 1, b"\6", "0"),
    ]
    for kind, number, content, name in types:
        yield f"type_{name.replace(' ', '_').replace('/', '_').lower()}", f"orientation of type {name}", directory([(274, kind, number, content)])
    for value in (0, 9, 255, 262):
        yield f"value_{value}", f"orientation {value}", directory([short(value)])
    yield "big_endian", "big-endian", directory([short(5, ">")], ">")
    yield "magic_little", "little-endian, 42 in the other byte order", directory([short(6)], magic=b"II\0*")
    yield "magic_big", "big-endian, 42 in the other byte order", directory([short(6, ">")], ">", b"MM*\0")
    yield "magic_43", "big-endian, 43 for 42", directory([short(6, ">")], ">", b"MM\0+")
    yield "magic_unknown", "no TIFF header", directory([short(6)], magic=b"II\x2c\0")
    yield "big_tiff", "a BigTIFF header", directory([short(6)], magic=b"II+\0")
    yield "header_short", "cut in its header", SIX[:6]
    yield "empty", "empty", b""
    yield "array", "three orientations", directory([(274, 3, 3, struct.pack("<HHH", 6, 1, 1))])
    yield "array_in_place", "two orientations", directory([(274, 3, 2, struct.pack("<HH", 8, 1))])
    yield "array_empty", "no orientation in the tag", directory([(274, 3, 0, b"\6\0")])
    yield "tag_twice", "the tag twice", directory([short(6), short(3)])
    yield "tag_twice_first_bad", "the tag twice, the first of an unknown type", directory([(274, 129, 1, b"\3"), short(6)])
    yield "entries_missing", "more entries announced than there are", directory([short(6)], count=500)
    yield "entry_cut", "cut in the entry", SIX[:18]
    yield "end_missing", "cut behind the entry", SIX[:22]
    yield "offset_beyond", "its directory lies outside", SIX[:4] + struct.pack("<L", 9000) + SIX[8:]
    yield "tag_before_outside", "another tag in front, whose content lies outside", directory([(271, 2, 9, b"camera\0\0\0"), short(6)])[:-9]
    yield "tag_before_too_large", "another tag in front, whose content is too large", directory([(271, 2, 4_000_000_000, b"\x08\0\0\0"), short(6)])
    yield "tag_behind_outside", "another tag behind, whose content lies outside", directory([short(6), (305, 2, 9, b"software\0")])[:-9]


def orientations():
    base = segments(BASELINE)

    def jpeg(*contents, behind=()):
        return joined([base[0], *[(0xE1, c) for c in contents], *base[1:], *[(0xE1, c) for c in behind]])

    for name, oddity, block, *here in exif_blocks():
        yield f"exif_{name}.jpg", "JPEG", f"EXIF: {oddity}", jpeg(EXIF + block), *here
    for value in range(1, 9):
        yield f"xmp_{value}.jpg", "JPEG", f"XMP: orientation {value}", jpeg(XMP_NAME + XMP % value)
    yield "header_twice.jpg", "JPEG", "EXIF: its header twice", jpeg(EXIF * 2 + SIX)
    yield "header_three_times.jpg", "JPEG", "EXIF: its header three times", jpeg(EXIF * 3 + SIX)
    yield "second_app1.jpg", "JPEG", "EXIF in the second APP1 segment", jpeg(XMP_NAME + b"<x/>", EXIF + SIX)
    yield "two_exif.jpg", "JPEG", "two EXIF segments", jpeg(EXIF + SIX, EXIF + directory([short(3)]))
    yield "split_exif.jpg", "JPEG", "EXIF split into two segments", jpeg(EXIF + SIX[:15], EXIF + SIX[15:])
    yield "exif_behind_scan.jpg", "JPEG", "EXIF behind the scan", jpeg(behind=[EXIF + SIX])
    yield "exif_other_case.jpg", "JPEG", "EXIF called exif", jpeg(b"exif\0\0" + SIX)
    element = b"<tiff:Orientation>6</tiff:Orientation>"
    yield "xmp_element.jpg", "JPEG", "XMP: orientation as an element", jpeg(XMP_NAME + element)
    yield "xmp_single_quotes.jpg", "JPEG", "XMP: orientation in single quotes", jpeg(XMP_NAME + b"<x tiff:Orientation='6'/>")
    yield "xmp_two_digits.jpg", "JPEG", "XMP: orientation 60", jpeg(XMP_NAME + b'<x tiff:Orientation="60"/>')
    yield "xmp_9.jpg", "JPEG", "XMP: orientation 9", jpeg(XMP_NAME + XMP % 9)
    yield "xmp_second.jpg", "JPEG", "XMP: two orientations, the first not a digit", jpeg(XMP_NAME + b'<x tiff:Orientation="a"/>' + element)
    yield "xmp_twice.jpg", "JPEG", "two XMP segments", jpeg(XMP_NAME + XMP % 3, XMP_NAME + XMP % 6)
    yield "exif_before_xmp.jpg", "JPEG", "EXIF says 3, XMP says 6", jpeg(EXIF + directory([short(3)]), XMP_NAME + XMP % 6)
    yield "exif_0_xmp_6.jpg", "JPEG", "EXIF says 0, XMP says 6", jpeg(EXIF + directory([short(0)]), XMP_NAME + XMP % 6)
    yield "exif_without_xmp_6.jpg", "JPEG", "EXIF without orientation, XMP says 6", jpeg(EXIF + directory([(296, 3, 1, b"\2\0")]), XMP_NAME + XMP % 6)

    yield "exif_damaged_xmp_6.jpg", "JPEG", "EXIF without TIFF header, XMP says 6", jpeg(EXIF + b"not TIFF", XMP_NAME + XMP % 6)
    yield "exif_empty_xmp_6.jpg", "JPEG", "EXIF empty, XMP says 6", jpeg(EXIF, XMP_NAME + XMP % 6)

    hexadecimal = b"\nexif\n%8d\n" % (len(SIX) + 6) + (EXIF + SIX).hex().encode() + b"\n"
    lines = b"\nexif\n%8d\n" % (len(SIX) + 6) + b"\n".join((EXIF + SIX).hex().encode()[i : i + 21] for i in range(0, 64, 21)) + b"\n"
    profile = b"Raw profile type exif\0"
    xmp = b"XML:com.adobe.xmp\0"
    for name, oddity, before, behind, *here in [
        ("exif", "EXIF chunk", [(b"eXIf", SIX)], []),
        ("exif_header", "EXIF chunk with the header that JPEG has", [(b"eXIf", EXIF + SIX)], []),
        ("exif_behind", "EXIF chunk behind the pixels", [], [(b"eXIf", SIX)]),
        ("exif_twice", "two EXIF chunks", [(b"eXIf", directory([short(3)]))], [(b"eXIf", SIX)]),
        ("exif_text", "EXIF as text", [(b"tEXt", b"exif\0" + SIX)], []),
        ("profile", "EXIF as a raw profile", [(b"tEXt", profile + hexadecimal)], []),
        ("profile_lines", "EXIF as a raw profile of several lines", [(b"tEXt", profile + lines)], []),
        ("profile_compressed", "EXIF as a compressed raw profile", [(b"zTXt", profile + b"\0" + zlib.compress(hexadecimal))], []),
        ("profile_international", "EXIF as an international raw profile", [(b"iTXt", profile + b"\0\0en\0\0" + hexadecimal)], []),
        ("profile_behind", "EXIF as a raw profile behind the pixels", [], [(b"zTXt", profile + b"\0" + zlib.compress(hexadecimal))]),
        ("profile_not_hex", "EXIF as a raw profile that is not hexadecimal", [(b"tEXt", profile + b"\nexif\n4\nwxyz")], []),
        ("profile_and_exif", "EXIF chunk says 3, raw profile says 6", [(b"eXIf", directory([short(3)])), (b"tEXt", profile + hexadecimal)], []),
        ("xmp", "XMP", [(b"iTXt", xmp + b"\0\0\0\0" + XMP % 6)], []),
        ("xmp_compressed", "XMP, compressed", [(b"iTXt", xmp + b"\1\0\0\0" + zlib.compress(XMP % 6))], []),
        ("xmp_text", "XMP as plain text", [(b"tEXt", xmp + XMP % 6)], []),
        ("exif_0_xmp_6", "EXIF says 0, XMP says 6", [(b"eXIf", directory([short(0)])), (b"iTXt", xmp + b"\0\0\0\0" + XMP % 6)], []),
    ]:
        yield f"{name}.png", "PNG", oddity, png(before, behind), *here

    webp = saved(IMAGE, "WEBP", lossless=True, exif=SIX)
    flags = webp.index(b"VP8X") + 8
    yield "exif.webp", "WebP", "EXIF chunk", webp
    yield "exif_header.webp", "WebP", "EXIF chunk with the header that JPEG has", saved(IMAGE, "WEBP", lossless=True, exif=EXIF + SIX)
    yield "exif_headers.webp", "WebP", "EXIF chunk with two such headers", saved(IMAGE, "WEBP", lossless=True, exif=EXIF * 2 + SIX)
    yield "exif_not_announced.webp", "WebP", "EXIF chunk that the header does not announce", webp[:flags] + bytes([webp[flags] & ~8]) + webp[flags + 1 :]
    yield "xmp.webp", "WebP", "XMP chunk", saved(IMAGE, "WEBP", lossless=True, xmp=XMP % 6)
    yield "exif_0_xmp_6.webp", "WebP", "EXIF says 0, XMP says 6", saved(IMAGE, "WEBP", lossless=True, exif=directory([short(0)]), xmp=XMP % 6)
    for name, oddity, block, *here in exif_blocks():
        if name in ("type_long", "type_rational_12_2", "type_byte", "big_endian", "magic_unknown", "tag_before_outside"):
            yield f"exif_{name}.webp", "WebP", f"EXIF: {oddity}", saved(IMAGE, "WEBP", lossless=True, exif=block), *here

    for name, oddity, tags in [
        ("orientation", "orientation 6", {274: 6}),
        ("orientation_9", "orientation 9", {274: 9}),
        ("xmp", "XMP", {700: XMP % 6}),
        ("orientation_and_xmp", "orientation 3, XMP says 6", {274: 3, 700: XMP % 6}),
    ]:
        yield f"{name}.tif", "TIFF", oddity, saved(IMAGE, "TIFF", tiffinfo=tags)
    tiff = saved(IMAGE, "TIFF", tiffinfo={274: 6})
    entry = tiff.index(struct.pack("<HHL", 274, 3, 1))
    for kind, name in ((1, "BYTE"), (4, "LONG"), (6, "SBYTE"), (11, "FLOAT")):
        content = struct.pack("<f", 6) if kind == 11 else struct.pack("<L", 6)
        yield f"orientation_{name.lower()}.tif", "TIFF", f"orientation of type {name}", tiff[: entry + 2] + struct.pack("<HL", kind, 1) + content + tiff[entry + 12 :]


# --- PNG --------------------------------------------------------------------------------------------------------


def chunk(name, content, checksum=None):
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", checksum)


def png_chunks(data):
    at = 8
    while at < len(data):
        length = struct.unpack(">L", data[at : at + 4])[0]
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG = saved(IMAGE, "PNG")
HEADER, DATA = dict(png_chunks(PNG))[b"IHDR"], dict(png_chunks(PNG))[b"IDAT"]
END = chunk(b"IEND", b"")


def png(before=(), behind=(), end=END):
    parts = [chunk(b"IHDR", HEADER), *[chunk(*c) for c in before], chunk(b"IDAT", DATA), *[chunk(*c) for c in behind]]
    return SIGNATURE + b"".join(parts) + end


def interlaced():
    """Adam7, which Pillow reads but does not write."""
    rows = b""
    for left, top, right, down in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in PIXELS[top::down, left::right]:
            rows += b"\0" + row.tobytes() if row.size else b""
    return SIGNATURE + chunk(b"IHDR", HEADER[:-1] + b"\1") + chunk(b"IDAT", zlib.compress(rows))


def pngs():
    head = SIGNATURE + chunk(b"IHDR", HEADER)
    data = chunk(b"IDAT", DATA)
    halves = chunk(b"IDAT", DATA[:500]) + chunk(b"IDAT", DATA[500:])
    palette = saved(IMAGE.quantize(16), "PNG")
    yield "no_end", "no IEND chunk", head + data
    yield "no_end_two_chunks", "the same, pixels in two chunks", head + halves
    yield "no_end_interlaced", "the same, interlaced", interlaced()
    yield "no_end_palette", "the same, with a palette", palette[:-12]
    yield "no_end_transparent", "the same, with alpha", saved(IMAGE.convert("RGBA"), "PNG")[:-12]
    yield "cut_in_end", "cut in the IEND chunk", (head + data + END)[:-6]
    yield "cut_in_checksum", "cut in the checksum of the pixels", (head + data)[:-2]
    yield "cut_before_checksum", "cut in front of that checksum", (head + data)[:-4]
    yield "cut_in_adler", "cut in the checksum of the compressed data", (head + data)[:-6]
    yield "adler_missing", "no checksum of the compressed data", head + chunk(b"IDAT", DATA[:-4]) + END
    yield "empty_chunk", "an empty IDAT chunk", head + chunk(b"IDAT", b"") + data + chunk(b"IDAT", b"") + END
    yield "data_behind_end", "data behind the end", PNG + b"appended"
    yield "data_for_end", "other data in place of the end", head + data + b"\0\xff\x10\0\0\xff\xff\0data"
    yield "chunk_for_end", "the start of another chunk in place of the end", head + data + b"\0\xff\x10appended", READ
    yield "zeros_for_end", "zeros in place of the end", head + data + bytes(300)
    yield "end_checksum", "wrong checksum of IEND", head + data + chunk(b"IEND", b"", 1)
    yield "text_checksum_behind", "wrong checksum of a text behind the pixels", head + data + chunk(b"tEXt", b"a\0b", 1) + END
    yield "text_checksum", "wrong checksum of a text in front of the pixels", head + chunk(b"tEXt", b"a\0b", 1) + data + END, READ
    yield "exif_checksum_behind", "wrong checksum of EXIF behind the pixels", head + data + chunk(b"eXIf", SIX, 1) + END
    yield "exif_checksum", "wrong checksum of EXIF in front of the pixels", head + chunk(b"eXIf", SIX, 1) + data + END, READ
    yield "text_cut", "cut in a text behind the pixels", (head + data + chunk(b"tEXt", b"comment\0" + b"text" * 9))[:-20], READ
    yield "gamma_short", "a gamma chunk without content", head + chunk(b"gAMA", b"") + data + END, READ
    yield "gamma_twice", "two gamma chunks", head + chunk(b"gAMA", struct.pack(">L", 45455)) * 2 + data + END
    yield "profile_broken", "a color profile that is not compressed", head + chunk(b"iCCP", b"a\0\0profile") + data + END
    yield "unknown_chunk", "an unknown chunk", head + chunk(b"odDd", b"content") + data + END
    yield "data_checksum", "wrong checksum of the pixels", head + chunk(b"IDAT", DATA, 1) + END, DAMAGED
    yield "header_checksum", "wrong checksum of the header", SIGNATURE + chunk(b"IHDR", HEADER, 1) + data + END, DAMAGED
    yield "animated", "an animation", saved(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(180)])
    yield "pixels_missing", "cut in the pixels", (head + data)[:-300], CUT_SHORT
    yield "pixels_missing_with_end", "the same, with IEND", head + chunk(b"IDAT", DATA[:-300]) + END, CUT_SHORT
    yield "second_chunk_missing", "pixels in two chunks, one missing", head + chunk(b"IDAT", DATA[:500]) + END, CUT_SHORT
    yield "pixels_missing_interlaced", "the same, interlaced", interlaced()[:-200], CUT_SHORT
    yield "no_pixels", "no IDAT chunk", head, CUT_SHORT


# --- what Pillow makes of them ----------------------------------------------------------------------------------


def digest(image):
    image = image.convert("RGB")
    return {"width": image.width, "height": image.height, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}


def pillow(data):
    try:
        return digest(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    except Exception:  # Pillow raises whatever its parsers raise.
        return None


def stored(data):
    """Of what Pillow refuses, the image that is in it."""
    try:
        return digest(Image.open(io.BytesIO(data)))
    except Exception:
        return digest(Image.open(io.BytesIO(BASELINE)) if data.startswith(SOI) else IMAGE)


def main():
    warnings.simplefilter("ignore")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    files = [(f"{name}.jpg", "JPEG", *rest) for name, *rest in jpegs()]
    files += [("orientation_" + name, *rest) for name, *rest in orientations()]
    files += [(f"{name}.png", "PNG", *rest) for name, *rest in pngs()]
    assert len({name for name, *_ in files}) == len(files), "a name occurs twice"
    listed = []
    for name, file_format, oddity, data, *here in files:
        (OUT / name).write_bytes(data)
        found = pillow(data)
        expected = here[0] if here else (SAME if found else "refused")
        if not found and name.startswith("orientation_"):
            # Damaged metadata are no reason to lose the image.
            expected = READ
        listed.append({
            "name": name, "format": file_format, "oddity": oddity, "pillow": found, "here": expected,
            **({} if found else {"stored": stored(data)}),
        })
    (HERE / "oddities.json").write_text(json.dumps(listed, indent=1) + "\n")
    print("| format | oddity | Pillow | here |")
    print("|---|---|---|---|")
    for entry in listed:
        found = "read" if entry["pillow"] else "refused"
        print(f"| {entry['format']} | {entry['oddity']} | {found} | {entry['here']} |")


if __name__ == "__main__":
    main()
