//! The Grad-CAM overlays of a run → the part of its page that shows them.

use std::path::Path;

use ml_core::run::{Run, Summary};
use ml_data::dataset::shell_quoted;
use ml_data::decode::Pixels;

use super::images::thumbnail;
use crate::cam::{self, Listed, Overlays};
use crate::html::{Attention, Example, Explanation, Part, Thumbnail};
use crate::pictures;

/// Of the overlays in the run's `report/`, as far as they can be read.
pub fn attention(run: &Run, summary: &Summary) -> Part<Attention> {
    let report_dir = &run.report_dir();
    let Some(Overlays { layer, images, problem }) = cam::read(report_dir) else {
        return Part::Missing(none_yet(run, summary));
    };
    if let Some(problem) = problem {
        return Part::Missing(format!("Where the network looks cannot be shown: {problem}."));
    }
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for listed in images {
        let is_right = listed.correct.unwrap_or(listed.label == listed.prediction);
        let list = if is_right { &mut right } else { &mut wrong };
        list.extend(explanation(report_dir, listed));
    }
    Part::Present(Attention { layer, right, wrong })
}

/// Why there are no overlays.
fn none_yet(run: &Run, summary: &Summary) -> String {
    if !summary.status.is_final() {
        return "Where the network looks is shown when a training has ended.".to_owned();
    }
    let folder = shell_quoted(run.folder());
    format!(
        "There are no Grad-CAM overlays; `ml-visualise cam {folder}` makes them, and then `ml-visualise report \
         {folder}` shows them."
    )
}

fn explanation(report_dir: &Path, listed: Listed) -> Option<Explanation> {
    // The list is a file that anyone may have written.
    let file = report_dir.join("cam").join(Path::new(&listed.file).file_name()?);
    let sheet = pictures::read(&file, &mut Vec::new())?;
    let picture = |half: u32, alt: String| Thumbnail {
        jpeg: thumbnail(&cut(&sheet, half)).unwrap_or_default(),
        alt,
        caption: listed.path.clone(),
    };
    let image = picture(0, format!("an image of {}", listed.label));
    let overlay = picture(1, format!("the same under the heatmap of {}", listed.prediction));
    let Listed { label, prediction, probability, .. } = listed;
    Some(Explanation { example: Example { image, label, prediction, probability }, overlay })
}

/// The left (0) or right (1) half.
fn cut(sheet: &Pixels, half: u32) -> Pixels {
    let width = sheet.width / 2;
    let (line, from) = (sheet.width as usize * 3, (half * width) as usize * 3);
    let rows = sheet.data.chunks_exact(line.max(1));
    let data = rows.flat_map(|row| row[from..from + width as usize * 3].iter().copied()).collect();
    Pixels { width, height: sheet.height, data }
}

#[cfg(test)]
mod tests {
    use super::super::testing::summary;
    use super::*;

    #[test]
    fn where_there_are_no_overlays_the_reason_is_given() {
        let place = tempfile::tempdir().unwrap();
        let run = Run::claim_exactly(place.path(), "base").unwrap();
        let reason = |status: &str| match attention(&run, &summary(serde_json::json!({"status": status}))) {
            Part::Missing(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason("running").contains("when a training has ended"));
        assert!(reason("completed").contains("ml-visualise cam"));
        let folder = run.report_dir().join("cam");
        std::fs::create_dir_all(&folder).unwrap();
        let list = serde_json::json!({"layer": "", "images": [], "problem": "it has no feature map"});
        std::fs::write(folder.join("cam.json"), list.to_string()).unwrap();
        assert!(reason("completed").contains("cannot be shown: it has no feature map."));
    }

    #[test]
    fn a_sheet_is_cut_in_the_middle() {
        let sheet = Pixels { width: 4, height: 2, data: (0..24).collect() };
        assert_eq!(cut(&sheet, 1).data, [6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]);
        assert_eq!(cut(&sheet, 0).width, 2);
    }
}
