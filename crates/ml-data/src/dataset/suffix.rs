//! Which files count as images, by their names.

use std::ffi::OsStr;
use std::path::Path;

/// Endings (after the dot, in any case) of the files that count as images; `jpe`, `jif` and `jfif`
/// are JPEG, `pbm`, `pgm`, `ppm` PNM's three kinds, `npy` NumPy's arrays.
pub const SUFFIXES: [&str; 17] = [
    "jpg", "jpeg", "jpe", "jif", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "pnm", "pbm", "pgm",
    "ppm", "qoi", "npy",
];

/// Endings of image files in formats that are not read, and the formats' names.
const NOT_READ: [(&str, &[&str]); 26] = [
    ("HEIC", &["heic", "heif", "heics", "heifs", "hif"]),
    ("AVIF", &["avif", "avifs"]),
    ("JPEG 2000", &["jp2", "j2k", "jpf", "jpx", "jpm", "j2c", "jpc"]),
    ("JPEG XL", &["jxl"]),
    ("JPEG XR", &["jxr", "wdp", "hdp"]),
    ("JPEG-LS", &["jls"]),
    ("Photoshop", &["psd", "psb"]),
    ("GIMP", &["xcf"]),
    (
        "camera raw",
        &[
            "3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos", "mrw",
            "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f",
        ],
    ),
    ("SVG", &["svg", "svgz"]),
    ("EPS", &["eps", "ps"]),
    ("PDF", &["pdf"]),
    ("DjVu", &["djvu", "djv"]),
    ("WMF or EMF", &["wmf", "emf"]),
    ("icon", &["ico", "cur", "icns"]),
    ("TGA", &["tga"]),
    ("DDS", &["dds"]),
    ("PCX", &["pcx"]),
    ("SGI or Sun raster", &["sgi", "rgb", "rgba", "bw", "ras"]),
    ("XBM or XPM", &["xbm", "xpm"]),
    ("OpenEXR", &["exr"]),
    ("Radiance HDR", &["hdr", "pfm"]),
    ("DICOM", &["dcm", "dicom"]),
    ("NIfTI, NRRD or MetaImage", &["nii", "nrrd", "nhdr", "mha", "mhd"]),
    ("FITS", &["fits", "fit", "fts"]),
    ("microscope or slide", &["czi", "nd2", "lif", "svs", "ndpi", "mrxs", "vsi", "scn"]),
];

/// Endings of videos.
const VIDEOS: [&str; 12] =
    ["mp4", "m4v", "mov", "avi", "mkv", "webm", "wmv", "mpg", "mpeg", "flv", "3gp", "mts"];

/// For messages.
pub(super) fn suffix_list() -> String {
    SUFFIXES.join(" ")
}

/// Whether a file counts as an image by its name: it ends as [`SUFFIXES`] say.
pub fn is_image(name: &OsStr) -> bool {
    has_suffix(name, &SUFFIXES)
}

/// For a file that does not count as an image by its name: what it is nevertheless by its ending,
/// an image in a format that is not read, or a video. `Some("HEIC")` of `IMG_1.HEIC`, `None` of
/// `notes.txt` and of what [`is_image`] says yes to.
pub fn unread_format(name: &OsStr) -> Option<&'static str> {
    let found = NOT_READ.iter().find(|(_, suffixes)| has_suffix(name, suffixes));
    found.map(|(format, _)| *format).or_else(|| has_suffix(name, &VIDEOS).then_some("video"))
}

fn has_suffix(name: &OsStr, suffixes: &[&str]) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    suffix.is_some_and(|suffix| suffixes.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_count_in_any_case_and_other_image_formats_are_named() {
        for name in ["a.JPG", "b.jfif", "c.JPE", "d.jif", "e.tif", ".hidden.png"] {
            assert!(is_image(OsStr::new(name)) && unread_format(OsStr::new(name)).is_none(), "{name}");
        }
        for (name, format) in [
            ("IMG_1.HEIC", Some("HEIC")),
            ("x.Nef", Some("camera raw")),
            ("x.svg", Some("SVG")),
            ("clip.webm", Some("video")),
            ("notes.txt", None),
            ("jpg", None),
            (".png", None),
        ] {
            assert!(!is_image(OsStr::new(name)), "{name}");
            assert_eq!(unread_format(OsStr::new(name)), format, "{name}");
        }
        let all = NOT_READ.iter().flat_map(|(_, suffixes)| suffixes.iter()).chain(&VIDEOS);
        let mut seen: Vec<&&str> = all.collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(!seen.iter().any(|suffix| SUFFIXES.contains(suffix)));
    }
}
