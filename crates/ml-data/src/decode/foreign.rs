//! Files that are not decoded, by their first bytes: what they are, and what to do about each.
//!
//! Formats that are decoded are asked for first, so no entry has to avoid their signatures.

/// What a file is that is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// With its article, as in "this is a PDF document".
    pub name: &'static str,
    /// What to do, as in "convert it to PNG".
    pub advice: &'static str,
    pub kind: Kind,
}

/// Whether there is an image in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    /// Anything else.
    Other,
}

/// How a kind of file is told.
enum Sign {
    /// These bytes at these places.
    Bytes(&'static [(usize, &'static [u8])]),
    /// One of these brands in the first box of an ISO base media file (ISO/IEC 14496-12, 4.3).
    Brand(&'static [&'static [u8; 4]]),
    /// A text that begins so, in any case, after a byte-order mark and blanks.
    Text(&'static [&'static str]),
    Test(fn(&[u8]) -> bool),
}

use Kind::{Image, Other};
use Sign::{Brand, Bytes, Test, Text};

const MAGICK: &str = "convert it to PNG, for example with ImageMagick: magick in out.png";
const DEVELOP: &str =
    "develop it to JPEG or PNG, for example with darktable-cli in out.png, or use the camera's JPEG files";
const MEDICAL: &str =
    "choose a range of values for display and save the images as PNG, for example with Python";
const FRAMES: &str = "extract frames, for example with: ffmpeg -i in frame_%05d.png";
const UNPACK: &str = "unpack it and use the images inside";
const SAVE: &str = "save the arrays in it as PNG, for example with Python and Pillow";
const AGAIN: &str = "download the image again";
const COPY: &str = "copy the image that it stands for";
const REMOVE: &str = "move it out of the data set";

/// The first row whose sign fits counts.
#[rustfmt::skip]
const KNOWN: &[(Sign, Kind, &str, &str)] = &[
    (Brand(&[b"avif", b"avis"]), Image, "an AVIF image",
        "convert it to PNG, for example with: avifdec in.avif out.png"),
    (Brand(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"]), Image,
        "a HEIC (HEIF) image",
        "convert it to JPEG, for example with: heif-convert in.heic out.jpg (iPhones take JPEG with Settings > Camera > Formats > Most Compatible)"),
    (Brand(&[b"crx "]), Image, "a Canon CR3 raw file", DEVELOP),
    (Bytes(&[(4, b"jP  \r\n\x87\n")]), Image, "a JPEG 2000 image",
        "convert it to PNG, for example with: opj_decompress -i in.jp2 -o out.png"),
    (Bytes(&[(0, b"\xFF\x4F\xFF\x51")]), Image, "a JPEG 2000 image (raw codestream)",
        "convert it to PNG, for example with: opj_decompress -i in.j2k -o out.png"),
    (Bytes(&[(4, b"JXL \r\n\x87\n")]), Image, "a JPEG XL image",
        "convert it to PNG, for example with: djxl in.jxl out.png"),
    (Bytes(&[(0, b"\xFF\x0A")]), Image, "a JPEG XL image (raw codestream)",
        "convert it to PNG, for example with: djxl in.jxl out.png"),
    (Bytes(&[(0, b"II\xBC")]), Image, "a JPEG XR image",
        "convert it, for example with: JxrDecApp -i in.jxr -o out.bmp"),
    (Bytes(&[(0, b"8BPS")]), Image, "a Photoshop document (PSD)",
        "export it as PNG, for example with ImageMagick: magick 'in.psd[0]' out.png"),
    (Bytes(&[(0, b"gimp xcf")]), Image, "a GIMP document (XCF)", "export it as PNG from GIMP"),
    (Bytes(&[(0, b"%PDF-")]), Image, "a PDF document",
        "convert its pages to PNG, for example with: pdftoppm -png in.pdf out"),
    (Bytes(&[(0, b"%!PS")]), Image, "an EPS or PostScript document",
        "convert it to PNG, for example with: gs -sDEVICE=png16m -o out.png in.eps"),
    (Bytes(&[(0, b"\xC5\xD0\xD3\xC6")]), Image, "an EPS document",
        "convert it to PNG, for example with: gs -sDEVICE=png16m -o out.png in.eps"),
    (Test(is_svg), Image, "an SVG drawing",
        "convert it to PNG, for example with: rsvg-convert in.svg -o out.png"),
    (Bytes(&[(0, b"\0\0\x01\0"), (5, b"\0")]), Image, "an ICO icon", MAGICK),
    (Test(is_cursor), Image, "a CUR mouse pointer", MAGICK),
    (Bytes(&[(0, b"icns")]), Image, "an ICNS icon", MAGICK),
    (Bytes(&[(0, b"DDS ")]), Image, "a DDS texture", MAGICK),
    (Bytes(&[(0, b"\xABKTX ")]), Image, "a KTX texture", "export it as PNG from the program that wrote it"),
    (Bytes(&[(0, b"v/1\x01")]), Image, "an OpenEXR image of high dynamic range",
        "choose an exposure and save it as PNG, for example with: oiiotool in.exr --colorconvert linear sRGB -o out.png"),
    (Text(&["#?RADIANCE", "#?RGBE"]), Image, "a Radiance HDR image of high dynamic range",
        "choose an exposure and save it as PNG, for example with ImageMagick: magick in.hdr out.png"),
    (Test(is_float_map), Image, "a PFM image of floating-point numbers",
        "choose an exposure and save it as PNG, for example with ImageMagick: magick in.pfm out.png"),
    (Bytes(&[(128, b"DICM")]), Image, "a DICOM file",
        "choose a window and save it as PNG, for example with: dcmj2pnm --write-png in.dcm out.png"),
    (Bytes(&[(344, b"n+1\0")]), Image, "a NIfTI volume", MEDICAL),
    (Bytes(&[(344, b"ni1\0")]), Image, "a NIfTI header", MEDICAL),
    (Bytes(&[(4, b"n+2\0")]), Image, "a NIfTI volume", MEDICAL),
    (Bytes(&[(0, b"NRRD000")]), Image, "an NRRD volume", MEDICAL),
    (Text(&["ObjectType ="]), Image, "a MetaImage header (MHD, MHA)", MEDICAL),
    (Bytes(&[(0, b"SIMPLE  =")]), Image, "a FITS image", MEDICAL),
    (Bytes(&[(0, b"ZISRAWFILE")]), Image, "a Zeiss CZI microscope image", MEDICAL),
    (Bytes(&[(0, b"\xDA\xCE\xBE\x0A")]), Image, "a Nikon ND2 microscope image", MEDICAL),
    (Bytes(&[(0, b"FUJIFILMCCD-RAW")]), Image, "a Fujifilm RAF raw file", DEVELOP),
    (Bytes(&[(0, b"IIU\0")]), Image, "a Panasonic RW2 raw file", DEVELOP),
    (Bytes(&[(0, b"IIRO")]), Image, "an Olympus ORF raw file", DEVELOP),
    (Bytes(&[(0, b"IIRS")]), Image, "an Olympus ORF raw file", DEVELOP),
    (Bytes(&[(0, b"MMOR")]), Image, "an Olympus ORF raw file", DEVELOP),
    (Bytes(&[(0, b"FOVb")]), Image, "a Sigma X3F raw file", DEVELOP),
    (Bytes(&[(0, b"\0MRM")]), Image, "a Minolta MRW raw file", DEVELOP),
    (Bytes(&[(0, b"IIII")]), Image, "a Phase One IIQ raw file", DEVELOP),
    (Bytes(&[(0, b"farbfeld")]), Image, "a farbfeld image", "convert it to PNG, for example with: ff2png < in > out.png"),
    (Bytes(&[(0, b"BPG\xFB")]), Image, "a BPG image", "convert it to PNG, for example with: bpgdec -o out.png in.bpg"),
    (Bytes(&[(0, b"FLIF")]), Image, "a FLIF image", "convert it to PNG, for example with: flif -d in.flif out.png"),
    (Bytes(&[(0, b"\x59\xA6\x6A\x95")]), Image, "a Sun raster image", MAGICK),
    (Bytes(&[(0, b"\x01\xDA\x00")]), Image, "an SGI image", MAGICK),
    (Bytes(&[(0, b"\x01\xDA\x01")]), Image, "an SGI image", MAGICK),
    (Bytes(&[(0, b"SDPX")]), Image, "a DPX image", MAGICK),
    (Bytes(&[(0, b"XPDS")]), Image, "a DPX image", MAGICK),
    (Bytes(&[(0, b"\x8AMNG")]), Image, "an MNG animation", MAGICK),
    (Bytes(&[(0, b"\x8BJNG")]), Image, "a JNG image", MAGICK),
    (Bytes(&[(0, b"\x97JB2")]), Image, "a JBIG2 image", "convert it to PNG, for example with: jbig2dec -o out.png in.jb2"),
    (Bytes(&[(0, b"AT&TFORM")]), Image, "a DjVu document",
        "convert its pages, for example with: ddjvu -format=tiff in.djvu out.tif"),
    (Bytes(&[(0, b"FORM"), (8, b"ILBM")]), Image, "an ILBM image", MAGICK),
    (Bytes(&[(0, b"\xD7\xCD\xC6\x9A")]), Image, "a WMF drawing", MAGICK),
    (Bytes(&[(0, b"\x01\0\0\0"), (40, b" EMF")]), Image, "an EMF drawing", MAGICK),
    (Text(&["/* XPM */"]), Image, "an XPM image", MAGICK),
    (Test(is_x_bitmap), Image, "an XBM image", MAGICK),
    (Test(is_pcx), Image, "a PCX image", MAGICK),

    (Bytes(&[(4, b"ftypqt  ")]), Other, "a QuickTime video (MOV)", FRAMES),
    (Bytes(&[(4, b"ftyp")]), Other, "an MP4 video", FRAMES),
    (Bytes(&[(4, b"moov")]), Other, "a QuickTime video (MOV)", FRAMES),
    (Bytes(&[(4, b"mdat")]), Other, "a QuickTime video (MOV)", FRAMES),
    (Bytes(&[(4, b"wide")]), Other, "a QuickTime video (MOV)", FRAMES),
    (Bytes(&[(0, b"\x1A\x45\xDF\xA3")]), Other, "a Matroska or WebM video", FRAMES),
    (Bytes(&[(0, b"RIFF"), (8, b"AVI ")]), Other, "an AVI video", FRAMES),
    (Bytes(&[(0, b"\0\0\x01\xBA")]), Other, "an MPEG video", FRAMES),
    (Bytes(&[(0, b"\0\0\x01\xB3")]), Other, "an MPEG video", FRAMES),
    (Bytes(&[(0, b"G"), (188, b"G"), (376, b"G")]), Other, "an MPEG transport stream", FRAMES),
    (Bytes(&[(0, b"FLV\x01")]), Other, "a Flash video", FRAMES),
    (Bytes(&[(0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11")]), Other, "a Windows Media file", FRAMES),
    (Bytes(&[(0, b"OggS")]), Other, "an Ogg file", FRAMES),
    (Bytes(&[(0, b"RIFF"), (8, b"WAVE")]), Other, "a WAV recording", REMOVE),
    (Bytes(&[(0, b"ID3")]), Other, "an MP3 recording", REMOVE),
    (Bytes(&[(0, b"fLaC")]), Other, "a FLAC recording", REMOVE),
    (Bytes(&[(0, b"PK\x03\x04")]), Other, "a ZIP archive (or a document or model that is one)", UNPACK),
    (Bytes(&[(0, b"PK\x05\x06")]), Other, "an empty ZIP archive", AGAIN),
    (Bytes(&[(0, b"\x1F\x8B")]), Other, "a gzip file", "unpack it with gunzip"),
    (Bytes(&[(0, b"7z\xBC\xAF\x27\x1C")]), Other, "a 7z archive", UNPACK),
    (Bytes(&[(0, b"Rar!\x1A\x07")]), Other, "a RAR archive", UNPACK),
    (Bytes(&[(0, b"\xFD7zXZ\0")]), Other, "an xz file", "unpack it with unxz"),
    (Bytes(&[(0, b"BZh"), (4, b"1AY&SY")]), Other, "a bzip2 file", "unpack it with bunzip2"),
    (Bytes(&[(0, b"\x28\xB5\x2F\xFD")]), Other, "a Zstandard file", "unpack it with unzstd"),
    (Bytes(&[(257, b"ustar")]), Other, "a tar archive", UNPACK),
    (Bytes(&[(0, b"\x89HDF\r\n\x1a\n")]), Other, "an HDF5 file", SAVE),
    (Bytes(&[(0, b"MATLAB ")]), Other, "a MATLAB file", SAVE),
    (Bytes(&[(0, b"PAR1")]), Other, "a Parquet file", SAVE),
    (Bytes(&[(0, b"SQLite format 3\0")]), Other, "an SQLite database", REMOVE),
    (Bytes(&[(0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1")]), Other,
        "a document of Microsoft Office or a thumbnail cache (Thumbs.db)", REMOVE),
    (Bytes(&[(0, b"\x4C\0\0\0\x01\x14\x02\0")]), Other, "a Windows shortcut", COPY),
    (Text(&["[InternetShortcut]"]), Other, "a shortcut to a web page", AGAIN),
    (Bytes(&[(0, b"book\0\0\0\0mark\0\0\0\0")]), Other, "a macOS alias", COPY),
    (Bytes(&[(0, b"\0\x05\x16\x07")]), Other, "an AppleDouble file, which macOS writes beside a file to hold its attributes",
        "remove it (all of them: find . -name '._*' -delete); the image is in the file without the leading ._"),
    (Bytes(&[(0, b"\0\x05\x16\0")]), Other, "an AppleSingle file", UNPACK),
    (Bytes(&[(0, b"\0\0\0\x01Bud1")]), Other, "a .DS_Store file of macOS", REMOVE),
    (Bytes(&[(0, b"bplist00")]), Other, "a property list, such as iCloud leaves for a file that is not downloaded",
        "download the image from iCloud (in the Finder: Download Now)"),
    (Bytes(&[(0, b"\x7FELF")]), Other, "a program", REMOVE),
    (Bytes(&[(0, b"MZ")]), Other, "a Windows program", REMOVE),
    (Text(&["version https://git-lfs.github.com/spec/"]), Other, "a Git LFS pointer", "fetch the file with: git lfs pull"),
    (Test(is_annex_pointer), Other, "a git-annex pointer", "fetch the file with: git annex get"),
    (Text(&["<!doctype html", "<html", "<head", "<body", "<script"]), Other,
        "an HTML page, which the server sent instead of the image", AGAIN),
    (Text(&["<?xml", "<error"]), Other, "an XML document, often the error message of a server", AGAIN),
    (Test(is_json), Other, "a JSON text, often the error message of a server", AGAIN),
    (Test(is_zero), Other, "nothing but zeros, as a failed copy or a sparse file leaves it", "copy the image again"),
    (Test(begins_with_zeros), Other, "a file that begins with zeros, as an interrupted copy leaves it", "copy the image again"),
    // Its header has no signature, so what has one comes first.
    (Test(is_targa), Image, "a TGA image", MAGICK),
    (Test(is_text), Other, "a plain text", "put the image there, or remove it"),
];

/// What a file is; `None` if nothing is known of it.
pub(crate) fn recognize(bytes: &[u8]) -> Option<Foreign> {
    let (_, kind, name, advice) = KNOWN.iter().find(|(sign, ..)| sign.fits(bytes))?;
    Some(Foreign { name, advice, kind: *kind })
}

impl Sign {
    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Bytes(parts) => {
                parts.iter().all(|(at, part)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(part)))
            }
            Brand(brands) => has_brand(bytes, brands),
            Text(starts) => {
                let text = text_start(bytes);
                let fits = |start: &&str| {
                    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()))
                };
                starts.iter().any(fits)
            }
            Test(fits) => fits(bytes),
        }
    }
}

fn has_brand(bytes: &[u8], brands: &[&[u8; 4]]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let Some(listed) = rest.strip_prefix(b"ftyp") else { return false };
    // The main brand, a version, and what else the file conforms to.
    let length = (u32::from_be_bytes(*length) as usize).saturating_sub(8).min(listed.len()).min(256);
    let (listed, _) = listed[..length].as_chunks::<4>();
    let is_main = listed.first().is_some_and(|main| brands.contains(&main));
    let may_be = listed.first().is_some_and(|main| matches!(main, b"mif1" | b"mif2" | b"msf1"));
    is_main || may_be && listed.iter().skip(2).any(|brand| brands.contains(&brand))
}

/// Past a byte-order mark and blanks, at most 64 of them.
fn text_start(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let blanks = bytes.iter().take(64).take_while(|byte| byte.is_ascii_whitespace()).count();
    &bytes[blanks..]
}

fn start(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..bytes.len().min(length)]
}

fn is_svg(bytes: &[u8]) -> bool {
    // Behind an XML declaration and comments there is the first element.
    let text = start(text_start(bytes), 4096);
    text.starts_with(b"<svg")
        || (text.starts_with(b"<?xml") || text.starts_with(b"<!"))
            && memchr::memmem::find(text, b"<svg").is_some()
}

fn is_cursor(bytes: &[u8]) -> bool {
    // A count of pointers, where a TGA header has zeros.
    matches!(bytes, [0, 0, 2, 0, count, 0, _, _, _, 0, ..] if *count > 0)
}

fn is_float_map(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'F' | b'f', b'\n' | b'\r' | b' ', b'0'..=b'9', ..])
}

fn is_x_bitmap(bytes: &[u8]) -> bool {
    let text = start(text_start(bytes), 512);
    text.starts_with(b"#define") && memchr::memmem::find(text, b"_width").is_some()
}

fn is_pcx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x0A, 0 | 2 | 3 | 4 | 5, 1, 1 | 2 | 4 | 8, ..]) && bytes.len() >= 128
}

fn is_targa(bytes: &[u8]) -> bool {
    let Some(&[_, has_map, kind, _, _, _, _, _, _, _, _, _, w0, w1, h0, h1, bits, _]) =
        bytes.first_chunk::<18>()
    else {
        return false;
    };
    let is_known = match kind {
        1 | 9 => has_map == 1 && bits == 8,
        2 | 10 => has_map <= 1 && [15, 16, 24, 32].contains(&bits),
        3 | 11 => has_map == 0 && [8, 16].contains(&bits),
        _ => false,
    };
    is_known && (w0, w1) != (0, 0) && (h0, h1) != (0, 0)
}

fn is_annex_pointer(bytes: &[u8]) -> bool {
    bytes.len() < 4096
        && (bytes.starts_with(b"/annex/objects/")
            || is_text(bytes) && memchr::memmem::find(bytes, b".git/annex/objects/").is_some())
}

fn is_json(bytes: &[u8]) -> bool {
    let text = text_start(bytes);
    let next = text.iter().skip(1).find(|byte| !byte.is_ascii_whitespace());
    is_text(bytes)
        && match text.first() {
            Some(b'{') => matches!(next, Some(b'"' | b'}')),
            Some(b'[') => matches!(next, Some(b'{' | b'[' | b'"' | b']' | b'-' | b'0'..=b'9')),
            _ => false,
        }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn begins_with_zeros(bytes: &[u8]) -> bool {
    bytes.len() > 512 && is_zero(&bytes[..512])
}

/// UTF-8 without control characters but those of lines, or UTF-16 with its mark; looks at the start.
fn is_text(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return bytes.len().is_multiple_of(2) && bytes.len() >= 4;
    }
    let start = start(bytes, 1024);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character cut off by the end of what is looked at.
        Err(error) if error.error_len().is_none() && start.len() < bytes.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or("")
        }
        Err(_) => return false,
    };
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0C'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let length = parts.iter().map(|(at, part)| at + part.len()).max().unwrap_or(0);
        let mut bytes = vec![b'\x80'; length.max(32)];
        parts.iter().for_each(|(at, part)| bytes[*at..at + part.len()].copy_from_slice(part));
        bytes
    }

    #[test]
    fn every_signature_is_told_as_its_own_row() {
        for (sign, kind, name, advice) in KNOWN {
            let samples: Vec<Vec<u8>> = match sign {
                Bytes(parts) => vec![at(parts)],
                Brand(brands) => {
                    let file = |brand: &&[u8; 4]| {
                        [b"\0\0\0\x14ftyp".as_slice(), *brand, b"\0\0\0\0", *brand].concat()
                    };
                    brands.iter().map(file).collect()
                }
                Text(starts) => {
                    let file = |start: &&str| format!("\u{FEFF} \n{start}\nand more").into_bytes();
                    starts.iter().map(file).collect()
                }
                Test(_) => Vec::new(),
            };
            for sample in samples {
                let found = recognize(&sample).unwrap();
                assert_eq!((found.kind, found.name, found.advice), (*kind, *name, *advice));
            }
            assert!(!advice.ends_with('.') && !name.contains(';'), "{name}");
            let is_article = ["a ", "an ", "nothing "].iter().any(|article| name.starts_with(article));
            assert!(is_article, "{name}");
        }
    }

    #[test]
    fn what_has_no_signature_is_told_by_its_structure() {
        let name = |bytes: &[u8]| recognize(bytes).map_or("unknown", |found| found.name);
        let targa = [&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 7, 0, 24, 0x20][..], &[1; 189]].concat();
        let compressed = [&[0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 7, 0, 32, 8][..], &[1; 40]].concat();
        let pointer = [0, 0, 2, 0, 1, 0, 32, 32, 0, 0, 0, 0, 0, 0, 0x30, 1, 0, 0, 22, 0, 0, 0];
        let interrupted = [vec![0; 4096], vec![7; 4096]].concat();
        let mut avif = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf".to_vec();
        for (bytes, expected) in [
            (targa.as_slice(), "a TGA image"),
            (&compressed, "a TGA image"),
            (&pointer, "a CUR mouse pointer"),
            (&avif, "an AVIF image"),
            (
                b"<?xml version='1.0'?>\n<!-- c -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
                "an SVG drawing",
            ),
            (b"<svg/>", "an SVG drawing"),
            (
                b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
                "an XML document, often the error message of a server",
            ),
            (b"  {\"message\": \"Not Found\"}", "a JSON text, often the error message of a server"),
            (b"[]", "a JSON text, often the error message of a server"),
            (b"{curly}", "a plain text"),
            ("Grüße, und mehr".as_bytes(), "a plain text"),
            (b"\xFF\xFEH\0i\0", "a plain text"),
            (&[0; 5000], "nothing but zeros, as a failed copy or a sparse file leaves it"),
            (&interrupted, "a file that begins with zeros, as an interrupted copy leaves it"),
            (b"/annex/objects/SHA256E-s5--00.jpg", "a git-annex pointer"),
            (b"#define x_width 8\n#define x_height 8\n", "an XBM image"),
            (b"Pf\n3 2\n-1.0\n\0\0\0\0", "a PFM image of floating-point numbers"),
            (b"\x80\x81\x82", "unknown"),
        ] {
            assert_eq!(name(bytes), expected, "{}", bytes.escape_ascii());
        }
        let cut = "ä".repeat(600);
        assert_eq!(name(&cut.as_bytes()[..1199]), "a plain text");
        avif.truncate(9);
        for end in 0..avif.len() {
            recognize(&avif[..end]);
        }
    }
}
