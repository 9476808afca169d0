//! `pictures.csv`: what was known of each image when the data set was split. It is read only to say
//! what has changed.

use std::collections::HashMap;
use std::path::Path;

use super::duplicates::Hash;
use super::error::DatasetError;
use super::manifest::Manifest;
use super::names::SPLITS_FOLDER;
use crate::csv_text::CsvText;

/// The name of the file, in the folder of index files.
pub const IMAGES_FILE: &str = "pictures.csv";

/// One image when the data set was split.
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
    let mut rows = CsvText::new();
    rows.row(["path", "bytes", "group", "sha256"]);
    let (mut whole, mut sha256) = (String::new(), String::new());
    for (path, bytes, group, hash) in images {
        whole.clear();
        whole.extend([prefix, path]);
        sha256.clear();
        sha256.extend(hash.map(hex::encode));
        rows.row([&whole, &bytes.to_string(), group, &sha256]);
    }
    rows.finish()
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

/// The group of each image, by its path as the index files of the data folder `root` have it;
/// none where the images were divided without groups.
pub(super) fn groups(
    root: &Path,
    manifest: Option<&Manifest>,
) -> Result<Option<HashMap<String, String>>, DatasetError> {
    let path = root.join(SPLITS_FOLDER).join(IMAGES_FILE);
    if manifest.is_none_or(|manifest| manifest.groups.is_none()) || !path.exists() {
        return Ok(None);
    }
    let known = read(&path)?.into_iter().filter(|known| !known.group.is_empty());
    Ok(Some(known.map(|known| (known.path, known.group)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format's bytes, which `images_sha256` of older manifests vouch for: quotes only where a
    /// name needs them.
    #[test]
    fn the_file_is_the_same_byte_for_byte_as_ever() {
        let hash = [0xab; 32];
        let rows = [
            ("#1.png", 3, "", None),
            (" a b.png ", 0, "g'1", Some(&hash)),
            ("a,b.png", 1, "say \"g\"", None),
            ("c\rd.png", 2, "e\nf", None),
            ("", 4, "", None),
        ];
        let expected = format!(
            "path,bytes,group,sha256\nraw/#1.png,3,,\nraw/ a b.png ,0,g'1,{}\n\"raw/a,b.png\",1,\"say \"\"g\"\"\",\n\
             \"raw/c\rd.png\",2,\"e\nf\",\nraw/,4,,\n",
            "ab".repeat(32)
        );
        assert_eq!(text("raw/", rows.into_iter()), expected);
    }

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
