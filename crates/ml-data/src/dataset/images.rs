//! `pictures.csv`: what was known of each image when it was divided. It is read only to say what
//! has changed.

use std::fmt::Write as _;
use std::path::Path;

use super::duplicates::Hash;
use super::error::DatasetError;
use super::hex;

/// The name of the file, in the folder of index files.
pub const IMAGES_FILE: &str = "pictures.csv";

/// One image when it was divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// As the index files have it.
    pub path: String,
    pub bytes: u64,
    /// Empty if it stands alone.
    pub group: String,
}

/// The file, for images in ascending order of paths, which follow `prefix`: path, bytes, group,
/// SHA-256.
pub(super) fn text<'a>(
    prefix: &str,
    images: impl Iterator<Item = (&'a str, u64, &'a str, Option<&'a Hash>)>,
) -> String {
    let mut text = "path,bytes,group,sha256\n".to_owned();
    for (path, bytes, group, hash) in images {
        push(&mut text, prefix, path);
        let _ = write!(text, ",{bytes},");
        push(&mut text, "", group);
        text.push(',');
        if let Some(hash) = hash {
            text += &hex(hash);
        }
        text.push('\n');
    }
    text
}

/// A field, in quotes where it needs them; `prefix` is a folder called `raw`, or nothing.
fn push(text: &mut String, prefix: &str, field: &str) {
    if field.contains([',', '"', '\n', '\r']) {
        text.extend(["\"", prefix, &field.replace('"', "\"\""), "\""]);
    } else {
        text.extend([prefix, field]);
    }
}

/// Reads the file beside the index files.
pub(super) fn read(path: &Path) -> Result<Vec<Image>, DatasetError> {
    let damaged = |problem: String| DatasetError::Manifest { path: path.to_owned(), problem };
    let file = std::fs::File::open(path).map_err(DatasetError::io(path))?;
    let mut reader = csv::Reader::from_reader(std::io::BufReader::with_capacity(1 << 20, file));
    let rows = reader.deserialize::<(String, u64, String, String)>();
    let image = |row: Result<(String, u64, String, String), csv::Error>| {
        let (path, bytes, group, _) = row.map_err(|error| damaged(format!("is damaged: {error}")))?;
        Ok(Image { path, bytes, group })
    };
    rows.map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_survives_the_file() {
        let rows = [("a,b/\"1\".png", 3, "p\n1"), ("c d/ .png", 0, ""), ("é/1.png", u64::MAX, " x ")];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IMAGES_FILE);
        let hash = [7; 32];
        let text = text("", rows.iter().map(|(path, bytes, group)| (*path, *bytes, *group, Some(&hash))));
        assert!(text.lines().nth(1).unwrap().starts_with("\"a,b/\"\"1\"\".png\",3,"));
        std::fs::write(&path, &text).unwrap();
        let expected =
            rows.map(|(path, bytes, group)| Image { path: path.to_owned(), bytes, group: group.to_owned() });
        assert_eq!(read(&path).unwrap(), expected);
        std::fs::write(&path, text.replace(",3,", ",three,")).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("damaged"));
    }
}
