//! What a run that is resumed has decided already.

use ml_data::setting::Auto;

use super::{Config, Resolved, Source};
use crate::device::PrecisionChoice;

impl Resolved {
    /// Where this leaves something to the program that `run`, which is resumed, has decided: takes
    /// what the run has.
    pub fn keep_decided(&mut self, run: &Config) {
        self.keep_statistics(run);
        self.keep_script(run);
        self.keep_teacher(run);
        self.keep_compute(run);
    }

    /// The content of the teacher's file.
    fn keep_teacher(&mut self, run: &Config) {
        if let (Some(own), Some(run)) = (&mut self.config.training.distillation, &run.training.distillation)
            && own.sha256.is_none()
            && run.sha256.is_some()
        {
            own.sha256.clone_from(&run.sha256);
            self.sources.insert("training.distillation.sha256".to_owned(), Source::Run);
        }
    }

    /// Precision and memory format. Runs of versions that knew only fp32 say `auto` for it.
    fn keep_compute(&mut self, run: &Config) {
        let (own, run) = (&mut self.config.training, &run.training);
        let is_older = run.precision == PrecisionChoice::Auto;
        if own.precision == PrecisionChoice::Auto || (is_older && own.precision == PrecisionChoice::Fp32) {
            own.precision = run.precision;
            self.sources.insert("training.precision".to_owned(), Source::Run);
        }
        let is_older = run.channels_last == Auto::Auto;
        if own.channels_last == Auto::Auto || (is_older && own.channels_last == Auto::Value(false)) {
            own.channels_last = run.channels_last;
            self.sources.insert("training.channels_last".to_owned(), Source::Run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse_set, resolve};
    use crate::weights::Origin;

    fn resolved(sets: &[&str]) -> Resolved {
        let sets: Vec<_> = sets.iter().map(|text| parse_set(text).unwrap()).collect();
        resolve(None, &sets, &Origin::read).unwrap()
    }

    #[test]
    fn a_resumed_run_keeps_its_teacher() {
        let hash = "a".repeat(64);
        let teacher = "training.distillation.teacher=runs/a";
        let run = resolved(&[teacher, &format!("training.distillation.sha256={hash}")]);
        let mut wanted = resolved(&[teacher]);
        wanted.keep_decided(&run.config);
        assert_eq!(wanted.config, run.config);
        let mut without = resolved(&[]);
        without.keep_decided(&run.config);
        assert_eq!(without.config.training.distillation, None);
    }

    #[test]
    fn a_resumed_run_computes_as_it_did_unless_told_otherwise() {
        let kept = |wanted: &[&str], run: &[&str]| {
            let mut wanted = resolved(wanted);
            wanted.keep_decided(&resolved(run).config);
            let training = wanted.config.training;
            (training.precision, training.channels_last)
        };
        let run = ["training.precision=bf16", "training.channels_last=true"];
        assert_eq!(kept(&[], &run), (PrecisionChoice::Bf16, Auto::Value(true)));
        assert_eq!(kept(&["training.precision=fp32"], &run), (PrecisionChoice::Fp32, Auto::Value(true)));
        // Of an older version.
        assert_eq!(kept(&[], &[]), (PrecisionChoice::Auto, Auto::Auto));
        let plain = ["training.precision=fp32", "training.channels_last=false"];
        assert_eq!(kept(&plain, &[]), (PrecisionChoice::Auto, Auto::Auto));
        assert_eq!(kept(&run, &[]), (PrecisionChoice::Bf16, Auto::Value(true)));
    }
}
