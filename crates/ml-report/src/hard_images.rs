//! Predictions → `hard_images_<split>.csv` and `typical_images_<split>.csv`: the images to look at
//! first, and those that the network is surest of. `ml-split --exclude` and `--relabel` take both.

use ml_core::evaluation::{Confidence, Prediction};
use ml_data::csv_text::CsvText;
use ml_data::dataset::Index;

/// Right predictions that are listed for being close.
const UNCERTAIN: usize = 50;
/// Typical images of a class.
const TYPICAL: usize = 4;

/// What the rows are made from.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Names of the classes, in order.
    pub classes: &'a [String],
    /// The samples that were evaluated.
    pub index: &'a Index,
    /// What was predicted.
    pub predictions: &'a [Prediction],
    /// Of each prediction.
    pub confidences: &'a [Confidence],
}

impl Table<'_> {
    /// All wrong predictions, the most probable first, with what was predicted as `suggested`; then
    /// those without probabilities; then right ones whose two most probable classes are closest.
    pub fn hard(&self) -> String {
        let is_nan = |place: &usize| self.probability(*place).is_nan();
        let is_right = |place: &usize| self.is_right(*place);
        let mut wrong: Vec<usize> =
            self.places().filter(|place| !is_nan(place) && !is_right(place)).collect();
        self.most_probable_first(&mut wrong);
        let mut close: Vec<usize> = self.places().filter(|place| !is_nan(place) && is_right(place)).collect();
        let margin = |place: usize| self.confidences[place].margin;
        close.sort_by(|one, other| margin(*one).total_cmp(&margin(*other)));
        close.truncate(UNCERTAIN);
        let without = self.places().filter(is_nan).map(|place| (place, "no probabilities"));
        let wrong = wrong.into_iter().map(|place| (place, "mistake"));
        self.csv(wrong.chain(without).chain(close.into_iter().map(|place| (place, "uncertain"))))
    }

    /// Of each class, the images that are right and have the highest probabilities.
    pub fn typical(&self) -> String {
        let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        for place in self.places() {
            if self.is_right(place) && !self.probability(place).is_nan() {
                of_class[self.predictions[place].target].push(place);
            }
        }
        for places in &mut of_class {
            self.most_probable_first(places);
            places.truncate(TYPICAL);
        }
        self.csv(of_class.into_iter().flatten().map(|place| (place, "typical")))
    }

    fn places(&self) -> std::ops::Range<usize> {
        0..self.predictions.len().min(self.confidences.len())
    }

    fn probability(&self, place: usize) -> f32 {
        self.confidences[place].probability
    }

    fn most_probable_first(&self, places: &mut [usize]) {
        places.sort_by(|one, other| self.probability(*other).total_cmp(&self.probability(*one)));
    }

    fn is_right(&self, place: usize) -> bool {
        let prediction = &self.predictions[place];
        prediction.best().class == prediction.target
    }

    /// The columns `path`, `label`, `suggested` (the prediction; the label where there is none to
    /// suggest), `why` and `probability` (of the prediction).
    fn csv(&self, places: impl Iterator<Item = (usize, &'static str)>) -> String {
        let mut rows = CsvText::new();
        rows.row(["path", "label", "suggested", "why", "probability"].map(str::to_owned));
        for (place, why) in places {
            let prediction = &self.predictions[place];
            let probability = self.probability(place);
            let suggested = if probability.is_nan() { prediction.target } else { prediction.best().class };
            rows.row([
                self.index.samples[prediction.sample].path.to_string_lossy().into_owned(),
                self.classes[prediction.target].clone(),
                self.classes[suggested].clone(),
                why.to_owned(),
                probability.to_string(),
            ]);
        }
        rows.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ml_core::evaluation::ClassProbability;
    use ml_data::dataset::{Sample, Split};

    use super::*;

    #[test]
    fn mistakes_come_first_then_images_without_probabilities_then_close_ones() {
        let classes = ["a,b".to_owned(), "c".to_owned()];
        // Target, prediction, probability, margin.
        let of = [
            (0, 0, 0.6, 0.2),
            (0, 1, 0.7, 0.4),
            (1, 0, 0.9, 0.8),
            (1, 1, f32::NAN, f32::NAN),
            (1, 1, 0.55, 0.1),
        ];
        let prediction = |(sample, &(target, class, probability, _)): (usize, &(usize, usize, f32, f32))| {
            Prediction { sample, target, top_k: vec![ClassProbability { class, probability }] }
        };
        let predictions: Vec<Prediction> = of.iter().enumerate().map(prediction).collect();
        let confidences: Vec<Confidence> =
            of.iter().map(|&(_, _, probability, margin)| Confidence { probability, margin }).collect();
        let sample = |place: usize| Sample {
            path: PathBuf::from(format!("{place}.png")).into(),
            class: of[place].0 as u32,
        };
        let index = Index {
            root: "data".into(),
            split: Split::Val,
            samples: (0..5).map(sample).collect(),
            label_sets: None,
        };
        let table =
            Table { classes: &classes, index: &index, predictions: &predictions, confidences: &confidences };
        let text = table.hard();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            rows,
            [
                "2.png,c,\"a,b\",mistake,0.9",
                "1.png,\"a,b\",c,mistake,0.7",
                "3.png,c,c,no probabilities,NaN",
                "4.png,c,c,uncertain,0.55",
                "0.png,\"a,b\",\"a,b\",uncertain,0.6",
            ]
        );
        let text = table.typical();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows, ["0.png,\"a,b\",\"a,b\",typical,0.6", "4.png,c,c,typical,0.55"]);
    }
}
