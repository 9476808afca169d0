"""Compares decoding with Pillow's over all image files in folders and archives: `cargo xtask corpus` calls it.

Usage: corpus.py PROGRAM WORK_FOLDER FOLDER_OR_ARCHIVE...; PROGRAM is the example decode_files of ml-data; archives are
unpacked in WORK_FOLDER. Ends with 1 if a file makes the decoder panic, or comes out otherwise without a reason below.
"""
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import warnings
import zipfile

import numpy as np
from PIL import Image, ImageOps

# What the content may begin with, of the formats that are read.
STARTS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"qoif"]
STARTS += [b"P%d" % number for number in range(1, 7)]

# Why a file that Pillow reads may be refused: by words of the message.
REASONS = {
    "Corrupt JPEG data": "JPEG data are corrupt; Pillow fills the rest",
    "cut short": "the file is cut short",
    "floating-point": "floating-point pixels have no agreed range",
    "unsupported": "a kind of image that is not read",
    "the checksum of its": "PNG whose checksums are wrong",
    "more than 100 scans": "a progressive JPEG of more scans than encoders make",
}
# Files that are known to come out otherwise, by the ends of their names: so decided, or not yet read.
KNOWN = {
    "grey_12.tif": "the high byte is kept; Pillow clips",
    "12bit.cropped.tif": "the high byte is kept; Pillow rounds",
    "grey_16_white_is_zero.tif": "inverted; Pillow does not",
    "palette_of_bytes.tif": "colors of 8 bits; Pillow makes them black",
    "separate_planar_extra_samples.tiff": "a planar TIFF that is not read yet",
    "badplanes.bmp": "a BMP that breaks the rules",
    "badrle.bmp": "a BMP that breaks the rules",
    "rletopdown.bmp": "a BMP that breaks the rules",
    "rletrns.bmp": "pixels that an RLE BMP leaves out have another color",
    "mmap_error.bmp": "a BMP with a header that the decoder reads otherwise",
    "_transparency.gif": "transparent pixels of a GIF have another color",
    "no_palette.gif": "a GIF without colors",
}


def known(path):
    return next((reason for end, reason in KNOWN.items() if path.name.endswith(end)), None)


def unpacked(archive, work):
    """The folder with an archive's files that may be images."""
    folder = work / archive.name
    if folder.exists():
        return folder
    partial = work / (archive.name + ".partial")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            contents = ((info.filename, opened.read(info)) for info in opened.infolist() if info.file_size < 1 << 28)
            write_images(contents, partial)
    else:
        with tarfile.open(archive) as opened:
            members = (member for member in opened if member.isfile() and member.size < 1 << 28)
            write_images(((member.name, opened.extractfile(member).read()) for member in members), partial)
    partial.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)
    return folder


def write_images(contents, folder):
    for number, (name, content) in enumerate(contents):
        if is_image(content):
            path = folder / f"{number}_{pathlib.PurePosixPath(name).name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def is_image(content):
    return any(content.startswith(start) for start in STARTS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def pillow(content):
    """RGB pixels as Pillow has them, but of 16-bit grey the high byte, as the toolkit has it."""
    image = Image.open(io.BytesIO(content))
    is_deep_pgm = image.format == "PPM" and image.mode == "I"
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or is_deep_pgm:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def main():
    warnings.simplefilter("ignore")
    program, work, *sources = sys.argv[1:]
    work = pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    sources = [pathlib.Path(source) for source in sources]
    folders = [source if source.is_dir() else unpacked(source, work) for source in sources]
    paths = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and "\n" not in str(path))
        paths += [path for path in files if is_image(path.open("rb").read(16))]
    lines = subprocess.run([program], input="".join(f"{path}\n" for path in paths), text=True, stdout=subprocess.PIPE)
    found = [line.split("\t") for line in lines.stdout.splitlines()]
    counts = dict.fromkeys(["same pixels", "both refuse", "only Pillow refuses", "only we refuse", "other pixels", "panic"], 0)
    faults = []

    def list_it(kind, path, words, is_fault):
        print(f"{kind}: {path.parent.name}/{path.name}: {words}")
        if is_fault:
            faults.append(path)

    for path, (state, *ours) in zip(paths, found):
        try:
            pixels = pillow(path.read_bytes())
        except Exception:  # Pillow raises whatever its parsers raise.
            pixels = None
        if state == "panic":
            kind = "panic"
            list_it(kind, path, "", True)
        elif state == "refused":
            kind = "both refuse" if pixels is None else "only we refuse"
            if pixels is not None:
                reason = next((reason for words, reason in REASONS.items() if words in ours[0]), known(path))
                list_it(kind, path, f"{ours[0]} ({reason or 'unexplained'})", reason is None)
        elif pixels is None:
            kind = "only Pillow refuses"
        elif ours == [str(pixels.shape[1]), str(pixels.shape[0]), hashlib.sha256(pixels.tobytes()).hexdigest()]:
            kind = "same pixels"
        else:
            kind = "other pixels"
            words, reason = difference(program, path, pixels, ours)
            reason = reason or known(path)
            list_it(kind, path, f"{words} ({reason or 'unexplained'})", reason is None)
        counts[kind] += 1
    print(f"{len(paths)} files: " + ", ".join(f"{number} {kind}" for kind, number in counts.items()))
    if len(found) != len(paths):
        sys.exit(f"the decoder ended after {len(found)} of {len(paths)} files")
    if faults:
        sys.exit(f"{len(faults)} files come out otherwise without a known reason")


def difference(program, path, pixels, ours):
    if ours[:2] != [str(pixels.shape[1]), str(pixels.shape[0])]:
        return f"{ours[0]} x {ours[1]}, Pillow has {pixels.shape[1]} x {pixels.shape[0]}", None
    raw = subprocess.run([program, path], stdout=subprocess.PIPE, check=True).stdout
    differences = np.abs(np.frombuffer(raw, np.uint8).reshape(pixels.shape).astype(int) - pixels)
    content = path.open("rb").read(4)
    is_rounded = differences.max() <= 1 and content[:2] == b"BM"
    words = f"at most {differences.max()}, in {np.mean(differences.max(axis=2) > 0):.1%} of the pixels"
    return words, "5 or 6 bits are rounded to 8 in another way" if is_rounded else None


if __name__ == "__main__":
    main()
