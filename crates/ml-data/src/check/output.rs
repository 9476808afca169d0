//! Where a report goes: two files, each written whole or not at all, which never replace a
//! stranger's.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::html::{HTML_START, to_html};
use super::{CheckError, Report, Survey};
use crate::dataset::{REPORT_FILES, SPLITS_FOLDER};
use crate::files;

/// The report for programs.
pub const JSON_FILE: &str = REPORT_FILES[0];
/// The report for people.
pub const HTML_FILE: &str = REPORT_FILES[1];

/// The beginnings by which our files are known.
const JSON_START: &str = "{\n  \"format_version\": ";
const JSON_MARK: &str = "\"created_by\": \"ml-split ";

/// A place for a report that has been checked before the work starts.
#[derive(Debug)]
pub struct Output {
    folder: PathBuf,
}

impl Output {
    /// Checks that a report can be written to `folder` ([`Survey::data_dir`] if absent), which is
    /// made if it is missing.
    ///
    /// # Errors
    /// The place lies among the images or cannot be written, or holds a file of that name that is
    /// no report.
    pub fn claim(survey: &Survey, folder: Option<&Path>) -> Result<Output, CheckError> {
        let folder = folder.unwrap_or(survey.data_dir()).to_owned();
        refuse_inside(survey, &folder)?;
        fs::create_dir_all(&folder).map_err(refused(&folder))?;
        let output = Output { folder };
        for (path, is_ours) in output.paths().into_iter().zip([is_our_json as fn(&str) -> bool, is_our_html])
        {
            let mut start = Vec::new();
            if fs::metadata(&path).is_ok_and(|status| !status.is_file()) {
                return Err(CheckError::NotOurs { path });
            }
            match File::open(&path).and_then(|file| file.take(200).read_to_end(&mut start)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(CheckError::Output { path, source }),
                Ok(_) if is_ours(&String::from_utf8_lossy(&start)) => {}
                Ok(_) => return Err(CheckError::NotOurs { path }),
            }
        }
        // A folder that cannot be written is reported now, not after an hour of decoding.
        for path in output.paths() {
            atomic_file::remove_abandoned(&path).map_err(refused(&output.folder))?;
        }
        atomic_file::probe(&output.folder).map_err(refused(&output.folder))?;
        Ok(output)
    }

    /// The two files: JSON, HTML.
    pub fn paths(&self) -> [PathBuf; 2] {
        [JSON_FILE, HTML_FILE].map(|name| self.folder.join(name))
    }

    /// Writes both files; what was there before stays until each is complete.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, report: &Report) -> Result<(), CheckError> {
        let [json, html] = self.paths();
        let text = report.to_json().map_err(|error| refused(&json)(error.into()))?;
        replace(&json, text.as_bytes())?;
        replace(&html, to_html(report).as_bytes())
    }
}

fn is_our_json(start: &str) -> bool {
    start.starts_with(JSON_START) && start.contains(JSON_MARK)
}

fn is_our_html(start: &str) -> bool {
    start.starts_with(HTML_START)
}

fn refused(path: &Path) -> impl FnOnce(std::io::Error) -> CheckError {
    let path = path.to_owned();
    |source| CheckError::Output { path, source }
}

/// A report below a folder of class folders would be a class, or lie in one.
fn refuse_inside(survey: &Survey, folder: &Path) -> Result<(), CheckError> {
    let place = real(folder);
    let inside = survey.image_dirs().any(|images| place.starts_with(real(&images)) && place != real(&images));
    if inside || place.starts_with(real(&survey.data_dir().join(SPLITS_FOLDER))) {
        return Err(CheckError::OutputInside { path: folder.to_owned() });
    }
    Ok(())
}

fn real(path: &Path) -> PathBuf {
    files::real(path).unwrap_or_else(|_| path.to_owned())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), CheckError> {
    atomic_file::replace(path, bytes).map_err(refused(path))
}
