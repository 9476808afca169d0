//! What validation says about probabilities: a temperature that makes them honest, and how many
//! answers are wrong from which probability on. Kept with the model.

use serde::{Deserialize, Serialize};

use super::Evaluation;
use super::analysis::risk_coverage;
use crate::metrics::calibration::TemperatureError;
use crate::metrics::intervals::{DEFAULT_LEVEL, clopper_pearson_upper};

/// Fitted to the validation split by [`Calibration::fit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What logits are divided by before the softmax; Guo et al., "On calibration of modern neural
    /// networks" (2017).
    pub temperature: f64,
    /// Images that it was fitted to.
    pub samples: u64,
    /// Mean negative log-likelihood of these, in nats, without the temperature and with it.
    pub nll: [f64; 2],
    /// Expected calibration error of these, in `0..=1`, without the temperature and with it.
    pub ece: [f64; 2],
    /// From the surest images to all: from this probability on, so many images are answered, and so
    /// many of the answers are wrong.
    pub answers: Vec<(f32, u64, u64)>,
}

/// A probability below which the answer is `uncertain`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerThreshold {
    /// Of the most probable class, in `0..=1`.
    pub probability: f32,
    /// Of the validation images, the fraction that is answered, in `0..=1`.
    pub coverage: f64,
    /// Of these answers, the fraction that is wrong, in `0..=1`.
    pub error: f64,
    /// The one-sided 95 % Clopper-Pearson bound of that fraction.
    pub error_bound: f64,
}

impl AnswerThreshold {
    /// Of [`Calibration::answers`] to `samples` images, the lowest probability from which on at
    /// most `max_error` of the answers are wrong; none where there is no such probability.
    pub fn choose(answers: &[(f32, u64, u64)], samples: u64, max_error: f64) -> Option<AnswerThreshold> {
        let within = |(_, answered, wrong): &&(f32, u64, u64)| *wrong as f64 <= max_error * *answered as f64;
        let &(probability, answered, wrong) =
            answers.iter().filter(|(_, answered, _)| *answered > 0).rfind(within)?;
        Some(AnswerThreshold::new(probability, samples, answered, wrong))
    }

    /// From `probability` on, `answered` of `samples` images get an answer, of which `wrong` are
    /// wrong.
    pub fn new(probability: f32, samples: u64, answered: u64, wrong: u64) -> AnswerThreshold {
        AnswerThreshold {
            probability,
            coverage: answered as f64 / samples.max(1) as f64,
            error: wrong as f64 / answered.max(1) as f64,
            error_bound: clopper_pearson_upper(wrong, answered, DEFAULT_LEVEL),
        }
    }
}

impl Calibration {
    /// Of an evaluation on images that were not trained with; on at most `threads` threads. Also the
    /// evaluation with these probabilities, or as it was.
    ///
    /// # Errors
    /// There are too few images, images of one class alone, or logits that are not finite.
    pub fn fit(
        evaluation: Evaluation,
        threads: usize,
    ) -> (Evaluation, Result<Calibration, TemperatureError>) {
        let fit = match evaluation.fit_temperature(threads) {
            Ok(fit) => fit,
            Err(reason) => return (evaluation, Err(reason)),
        };
        let evaluation = evaluation.at_temperature(fit.temperature);
        let confidences = evaluation.predictions.iter().map(|one| one.best().probability);
        let all = fit.samples as f64;
        let answers = risk_coverage(&evaluation, confidences).points.into_iter().map(|point| {
            let answered = (point.coverage * all).round();
            (point.threshold, answered as u64, (point.risk * answered).round() as u64)
        });
        let calibration = Calibration {
            temperature: fit.temperature,
            samples: fit.samples as u64,
            nll: [fit.nll_before, fit.nll_after],
            ece: [fit.ece_before, fit.ece_after],
            answers: answers.collect(),
        };
        (evaluation, Ok(calibration))
    }

    /// The lowest probability from which on at most `max_error` of the answers are wrong on the
    /// validation split; none where there is no such probability.
    pub fn threshold(&self, max_error: f64) -> Option<AnswerThreshold> {
        AnswerThreshold::choose(&self.answers, self.samples, max_error)
    }

    /// What is wrong with one that was read from a file.
    pub fn problem(&self) -> Option<&'static str> {
        let is_sound = |(threshold, answered, wrong): &(f32, u64, u64)| {
            !threshold.is_nan() && answered <= &self.samples && wrong <= answered
        };
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            Some("`temperature` is not positive")
        } else if self.samples == 0 || !self.answers.iter().all(is_sound) {
            Some("`answers` do not count its samples")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration() -> Calibration {
        let answers = vec![(0.9, 50, 0), (0.8, 100, 2), (0.5, 150, 2), (0.3, 200, 20)];
        Calibration { temperature: 1.5, samples: 200, nll: [0.9, 0.8], ece: [0.2, 0.1], answers }
    }

    #[test]
    fn the_threshold_answers_as_many_images_as_the_error_allows() {
        let at =
            |max_error| calibration().threshold(max_error).map(|found| (found.probability, found.coverage));
        assert_eq!(at(0.0), Some((0.9, 0.25)));
        // 2 of 150, though 2 of 100 is more.
        assert_eq!(at(0.015), Some((0.5, 0.75)));
        assert_eq!(at(0.2), Some((0.3, 1.0)));
        let found = calibration().threshold(0.0).unwrap();
        assert_eq!(found.error, 0.0);
        // 1 - 0.05^(1/50), the rule of three.
        assert!((found.error_bound - (1.0 - 0.05f64.powf(0.02))).abs() < 1e-9);
        let hopeless = Calibration { answers: vec![(0.3, 200, 20)], ..calibration() };
        assert_eq!(hopeless.threshold(0.05), None);
    }

    #[test]
    fn damage_is_found() {
        assert_eq!(calibration().problem(), None);
        for damaged in [
            Calibration { temperature: 0.0, ..calibration() },
            Calibration { temperature: f64::NAN, ..calibration() },
            Calibration { samples: 10, ..calibration() },
            Calibration { answers: vec![(f32::NAN, 1, 0)], ..calibration() },
        ] {
            assert!(damaged.problem().is_some(), "{damaged:?}");
        }
    }
}
