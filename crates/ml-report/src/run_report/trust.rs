//! Evaluations → how far probabilities can be trusted: calibration, the risk-coverage curve, and
//! the threshold that `ml-inference --max_error` would take.

use ml_core::evaluation::AnswerThreshold;
use ml_core::metrics::calibration::MIN_SAMPLES;
use ml_core::metrics::intervals::DEFAULT_LEVEL;

use super::data::{self, Evaluation, PredictionRow};
use super::part;
use crate::html::{Answered, Calibration, Reliability, ReliabilityBin, Selective, Threshold};

/// The threshold is the one for this share of wrong answers.
const MAX_ERROR: f64 = 0.02;

/// The reliability with the temperature and without; `note` says what is to be known of it.
pub fn calibration(evaluation: &Evaluation, note: String) -> Option<Calibration> {
    let found = evaluation.calibration.as_ref()?;
    let is_scaled = found.temperature != 1.0;
    Some(Calibration {
        split: evaluation.shown_split(),
        before: reliability(&found.uncalibrated),
        after: is_scaled.then(|| reliability(&found.calibrated)),
        temperature: is_scaled.then_some(found.temperature),
        note,
    })
}

pub(super) fn reliability(found: &data::Reliability) -> Reliability {
    let bins = found.bins.iter().filter_map(|bin| {
        Some(ReliabilityBin { confidence: bin.confidence?, accuracy: bin.accuracy?, count: bin.count })
    });
    Reliability { bins: bins.collect(), ece: found.ece.unwrap_or(f64::NAN) }
}

/// The curve, and the threshold or why there is none.
pub fn selective(evaluation: &Evaluation, threshold: Result<Threshold, String>) -> Option<Selective> {
    let found = evaluation.risk_coverage.as_ref()?;
    Some(Selective {
        split: evaluation.shown_split(),
        points: found.points.iter().map(|(_, coverage, risk)| (*coverage, *risk)).collect(),
        threshold: part(threshold),
        aurc: found.aurc,
    })
}

/// Chosen on the validation split as `ml-inference --max_error` chooses it, and what it does to the
/// images of `main`, whose predictions are `rows`.
///
/// # Errors
/// There is none that can be chosen so; says why in a sentence.
pub fn threshold(
    validation: Option<&Evaluation>,
    main: &Evaluation,
    rows: &[PredictionRow],
) -> Result<Threshold, String> {
    let Some(validation) = validation else {
        return Err(
            "No threshold: the validation split, which it is chosen on, was not evaluated.".to_owned()
        );
    };
    let samples = validation.num_samples;
    if samples < MIN_SAMPLES as u64 {
        return Err(format!(
            "No threshold: {samples} validation images are too few to choose it on; that takes at least {MIN_SAMPLES}."
        ));
    }
    let temperature = |of: &Evaluation| of.calibration.as_ref().map(|found| found.temperature);
    if temperature(validation) != temperature(main) {
        return Err(format!(
            "No threshold: the probabilities of the {} split are of another temperature than those of the validation \
             split; evaluate both again with ml-inference.",
            main.shown_split()
        ));
    }
    if temperature(validation).is_none_or(|temperature| temperature == 1.0) {
        return Err(
            "No threshold: it is one of calibrated probabilities, and these are not calibrated.".to_owned()
        );
    }
    let points = validation.risk_coverage.as_ref().map_or(&[][..], |curve| &curve.points);
    let Some(chosen) = AnswerThreshold::choose(&answers(points, samples), samples, MAX_ERROR) else {
        return Err(format!(
            "No threshold: however sure the network is, more than {:.0} % of its answers on the validation images are \
             wrong.",
            100.0 * MAX_ERROR
        ));
    };
    let is_other = main.split != validation.split && !rows.is_empty();
    Ok(Threshold {
        confidence: f64::from(chosen.probability),
        max_error: MAX_ERROR,
        chosen: answered(validation, chosen),
        measured: is_other.then(|| answered(main, at(chosen.probability, rows))),
        level: DEFAULT_LEVEL,
    })
}

/// The points of a curve as the calibration in `best.pt` has them; without those of images that
/// have no probability.
fn answers(points: &[(Option<f64>, f64, f64)], samples: u64) -> Vec<(f32, u64, u64)> {
    let answer = |&(probability, coverage, risk): &(Option<f64>, f64, f64)| {
        let answered = (coverage * samples as f64).round();
        Some((probability? as f32, answered as u64, (risk * answered).round().min(answered) as u64))
    };
    points.iter().filter_map(answer).collect()
}

/// What `probability` as a threshold does to other images.
fn at(probability: f32, rows: &[PredictionRow]) -> AnswerThreshold {
    let answered: Vec<&PredictionRow> =
        rows.iter().filter(|row| row.certainty() as f32 >= probability).collect();
    let wrong = answered.iter().filter(|row| !row.correct).count();
    AnswerThreshold::new(probability, rows.len() as u64, answered.len() as u64, wrong as u64)
}

fn answered(evaluation: &Evaluation, of: AnswerThreshold) -> Answered {
    let AnswerThreshold { coverage, error, error_bound, .. } = of;
    Answered { split: evaluation.shown_split(), coverage, risk: error, bound: error_bound }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{evaluation, row};
    use super::*;

    /// 100 images with these points of the curve.
    fn with_curve(split: &str, points: &Value) -> Evaluation {
        evaluation(split, json!({"risk_coverage": {"aurc": 0.1, "points": points}}))
    }

    #[test]
    fn the_threshold_is_chosen_on_validation_and_only_measured_on_the_test_split() {
        let val = with_curve("val", &json!([[0.9, 0.5, 0.0], [0.7, 0.8, 0.0125], [0.3, 1.0, 0.1]]));
        // By its own images, the test split would have chosen 0.5.
        let test = with_curve("test", &json!([[0.5, 1.0, 0.0]]));
        let images = [(0.95, true), (0.8, false), (0.7, true), (0.6, true), (f64::NAN, false)]
            .map(|(probability, correct)| row("", probability, correct));
        let found = threshold(Some(&val), &test, &images).unwrap();
        assert_eq!(found.confidence as f32, 0.7);
        assert_eq!(
            (found.chosen.split.as_str(), found.chosen.coverage, found.chosen.risk),
            ("val", 0.8, 0.0125)
        );
        let measured = found.measured.unwrap();
        assert_eq!((measured.split.as_str(), measured.coverage), ("test", 0.6));
        assert!((measured.risk - 1.0 / 3.0).abs() < 1e-12 && measured.bound > measured.risk);
        assert!(threshold(Some(&val), &val, &images).unwrap().measured.is_none());
    }

    #[test]
    fn where_no_threshold_can_be_chosen_the_reason_is_given() {
        let points = json!([[0.9, 0.5, 0.1], [0.3, 1.0, 0.1]]);
        let (val, test) = (with_curve("val", &points), with_curve("test", &points));
        let reason = |validation: Option<&Evaluation>| threshold(validation, &test, &[]).unwrap_err();
        assert!(reason(None).contains("was not evaluated"));
        assert!(reason(Some(&val)).contains("more than 2 %"));
        assert!(reason(Some(&Evaluation { num_samples: 49, ..val })).contains("at least 50"));
        let mut other = with_curve("val", &json!([[0.9, 1.0, 0.0]]));
        other.calibration = None;
        assert!(reason(Some(&other)).contains("another temperature"));
        assert!(threshold(Some(&other), &other, &[]).unwrap_err().contains("not calibrated"));
    }
}
