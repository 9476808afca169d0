//! Images of digits, listed with several labels each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Copies the images of `digits`, a folder of class folders, into `place`; the list of their labels
/// beside them: the digit, and what it is.
pub fn write(digits: &Path, place: &Path) -> Result<PathBuf> {
    let mut list = "path,labels\n".to_owned();
    for digit in 0..10u32 {
        let class = format!("images/{digit}");
        fs::create_dir_all(place.join(&class)).with_context(|| format!("cannot make {}", place.display()))?;
        let from = digits.join(digit.to_string());
        let entries = fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.with_context(|| format!("cannot list {}", from.display()))?.file_name());
        }
        names.sort();
        let labels = labels(digit);
        for name in names {
            let to = format!("{class}/{}", name.to_string_lossy());
            fs::copy(from.join(&name), place.join(&to)).with_context(|| format!("cannot write {to}"))?;
            list.push_str(&format!("{to},{labels}\n"));
        }
    }
    let path = place.join("list.csv");
    fs::write(&path, list).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn labels(digit: u32) -> String {
    let odd = (!digit.is_multiple_of(2)).then_some("odd");
    let large = (digit >= 5).then_some("large");
    [Some(digit.to_string().as_str()), odd, large].into_iter().flatten().collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_listed_with_all_its_labels() {
        assert_eq!([0, 3, 6, 9].map(labels), ["0", "3|odd", "6|large", "9|odd|large"]);
        let place = tempfile::tempdir().unwrap();
        let digits = place.path().join("raw");
        for digit in 0..10 {
            fs::create_dir_all(digits.join(digit.to_string())).unwrap();
            fs::write(digits.join(format!("{digit}/a.png")), "").unwrap();
        }
        let list = fs::read_to_string(write(&digits, &place.path().join("several")).unwrap()).unwrap();
        assert_eq!(list.lines().nth(4), Some("images/3/a.png,3|odd"));
        assert_eq!(list.lines().count(), 11);
        assert!(place.path().join("several/images/9/a.png").is_file());
    }
}
