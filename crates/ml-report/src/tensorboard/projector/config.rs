//! An embedding → its entry in `projector_config.pbtxt`, which lists those of a folder.
//!
//! The file is a protobuf message (`ProjectorConfig`) as text; entries follow one another. Whatever
//! else is in the file, written by hand or by other programs, stays as it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Embedding;

/// The entry of an embedding whose thumbnails have the size `tile`, if it has any. Names are plain,
/// so that nothing in it needs an escape; paths are relative to the file.
pub(super) fn entry(embedding: &Embedding<'_>, points: usize, tile: Option<[u32; 2]>) -> String {
    let Embedding { name, dimensions, columns, .. } = *embedding;
    let mut entry = start(name);
    entry += &format!("  tensor_shape: {points}\n  tensor_shape: {dimensions}\n");
    entry += &format!("  tensor_path: \"projector/{name}/tensors.tsv\"\n");
    if !columns.is_empty() {
        entry += &format!("  metadata_path: \"projector/{name}/metadata.tsv\"\n");
    }
    if let Some([width, height]) = tile {
        entry += &format!("  sprite {{\n    image_path: \"projector/{name}/sprite.png\"\n");
        entry += &format!("    single_image_dim: {width}\n    single_image_dim: {height}\n  }}\n");
    }
    entry + END
}

/// Puts the entry of `name` into the file, in place of one that [`entry`] made before.
pub(super) fn upsert(file: &Path, name: &str, entry: &str) -> io::Result<()> {
    let mut text = read(file)?;
    if let Some((before, rest)) = text.split_once(&start(name))
        && let Some((_, after)) = rest.split_once(&format!("\n{END}"))
    {
        text = format!("{before}{after}");
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    atomic_file::replace(file, (text + entry).as_bytes())
}

/// What is in the file; nothing if there is none.
fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    match File::open(file) {
        Ok(file) => file.take(MAX_BYTES + 1).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes: move it away");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

fn start(name: &str) -> String {
    format!("embeddings {{\n  tensor_name: \"{name}\"\n")
}

const END: &str = "}\n";
/// Of the file: thousands of entries.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_entry_replaces_the_one_of_its_name_and_leaves_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("projector_config.pbtxt");
        let embedding =
            |name, dimensions| Embedding { name, vectors: &[], dimensions, columns: &[], thumbnails: &[] };
        fs::write(&file, "# mine\nmodel_checkpoint_dir: \"x\"").unwrap();
        for (name, dimensions) in [("val", 2), ("test", 3), ("val", 4)] {
            let tile = (name == "val").then_some([5, 6]);
            upsert(&file, name, &entry(&embedding(name, dimensions), 1, tile)).unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        let names: Vec<&str> = text.lines().filter(|line| line.contains("tensor_name")).collect();
        assert_eq!(names, ["  tensor_name: \"test\"", "  tensor_name: \"val\""]);
        assert!(text.starts_with("# mine\nmodel_checkpoint_dir: \"x\"\nembeddings {\n"), "{text}");
        assert!(text.contains("tensor_shape: 4") && !text.contains("tensor_shape: 2"), "{text}");
        assert_eq!(text.matches("sprite {").count(), 1);
    }
}
