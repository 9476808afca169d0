//! Against scikit-learn (tests/reference/metrics.py), and the sums' exactness.

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::loss::{ClassWeights, CrossEntropyConfig, Loss, LossConfig, Targets};

#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<Vec<f32>>,
    truth: Vec<i64>,
    confusion_matrix: Vec<Vec<u64>>,
    /// Precision, recall, F1, support.
    classes: Vec<[f64; 4]>,
    #[serde(rename = "macro")]
    macro_average: [f64; 4],
    weighted: [f64; 4],
    accuracy: f64,
    top_5_hits: u64,
    log_loss: f64,
}

fn cases() -> Vec<Case> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/metrics.json"));
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 4);
    cases
}

impl Case {
    fn tensors(&self) -> (Tensor, Tensor) {
        let flat: Vec<f32> = self.scores.concat();
        let logits = Tensor::from_slice(&flat).view([self.truth.len() as i64, -1]);
        (logits, Tensor::from_slice(&self.truth))
    }

    fn matrix(&self) -> ConfusionMatrix {
        let (logits, _) = self.tensors();
        let mut matrix = ConfusionMatrix::new(self.classes.len());
        let (best, _) = top_k(&logits, 1);
        for (sample, &truth) in self.truth.iter().enumerate() {
            matrix.add(truth as usize, best.int64_value(&[sample as i64, 0]) as usize);
        }
        matrix
    }
}

fn loss_of(logits: &Tensor, targets: &Tensor) -> LossValue {
    let loss = Loss::new(&LossConfig::default(), &[], Device::Cpu);
    loss.forward(logits, &Targets::Classes(targets.shallow_clone())).unwrap()
}

/// Sums of at most a hundred f64 in another order: a few units in the last place.
fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < 1e-12
}

#[test]
fn the_confusion_matrix_is_that_of_scikit_learn() {
    for case in cases() {
        let matrix = case.matrix();
        let rows: Vec<Vec<u64>> = matrix.rows().map(<[u64]>::to_vec).collect();
        assert_eq!(rows, case.confusion_matrix, "{}", case.name);
        assert_eq!(matrix.total(), case.truth.len() as u64);
    }
}

#[test]
fn precision_recall_and_f1_are_those_of_scikit_learn() {
    let mut absent = 0;
    for case in cases() {
        let names: Vec<String> = (0..case.classes.len()).map(|class| class.to_string()).collect();
        let report = ClassificationReport::new(&case.matrix(), &names);
        assert!(close(report.accuracy, case.accuracy), "{}", case.name);
        for (ours, theirs) in report.classes.iter().zip(&case.classes) {
            let figures = [ours.precision, ours.recall, ours.f1, ours.support as f64];
            assert!(
                figures.iter().zip(theirs).all(|(a, b)| close(*a, *b)),
                "{}: {ours:?} {theirs:?}",
                case.name
            );
            absent += usize::from(ours.support == 0);
        }
        for (ours, theirs) in
            [(report.macro_average, case.macro_average), (report.weighted_average, case.weighted)]
        {
            let figures = [ours.precision, ours.recall, ours.f1];
            assert!(
                figures.iter().zip(&theirs).all(|(a, b)| close(*a, *b)),
                "{}: {ours:?} {theirs:?}",
                case.name
            );
        }
    }
    assert!(absent > 0, "the reference has classes without samples");
}

#[test]
fn hits_and_loss_summed_over_batches_are_those_of_scikit_learn() {
    for case in cases() {
        let (logits, targets) = case.tensors();
        let mut running = MetricAccumulator::new(Device::Cpu);
        for start in (0..case.truth.len() as i64).step_by(16) {
            let rows = 16.min(case.truth.len() as i64 - start);
            let (logits, targets) = (logits.narrow(0, start, rows), targets.narrow(0, start, rows));
            running.add(&loss_of(&logits, &targets), &logits, &targets);
        }
        let sums = running.sums().unwrap();
        assert_eq!(sums.count, case.truth.len() as u64);
        assert!(close(sums.accuracy(), case.accuracy), "{}", case.name);
        assert_eq!(sums.correct_top5, case.top_5_hits, "{}", case.name);
        // The loss of each batch is computed in f32.
        assert!((sums.loss() - case.log_loss).abs() < 1e-6, "{}: {sums:?}", case.name);
    }
}

#[test]
fn of_equal_scores_the_lower_class_comes_first_in_ranks_and_top_k() {
    let logits = Tensor::from_slice2(&[[1.0f32, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0]]);
    let rank_of =
        |classes: [i64; 2]| Vec::<i64>::try_from(ranks(&logits, &Tensor::from_slice(&classes))).unwrap();
    assert_eq!(rank_of([1, 0]), [0, 0]);
    assert_eq!(rank_of([2, 1]), [1, 1]);
    assert_eq!(rank_of([3, 3]), [3, 3]);
    let (classes, probabilities) = top_k(&logits, 9);
    assert_eq!(Vec::<i64>::try_from(classes.flatten(0, -1)).unwrap(), [1, 2, 0, 3, 0, 1, 2, 3]);
    assert_eq!(probabilities.size(), [2, 4]);
    assert!((probabilities.double_value(&[1, 0]) - 0.25).abs() < 1e-7);
}

#[test]
fn a_score_that_is_not_a_number_is_never_a_hit() {
    let logits = Tensor::from_slice2(&[[f32::NAN, 1.0], [f32::NAN, 1.0]]);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let targets = Tensor::from_slice(&[0i64, 1]);
    running.add(&loss_of(&logits, &targets), &logits, &targets);
    let sums = running.sums().unwrap();
    assert_eq!((sums.correct, sums.count), (0, 2));
}

#[test]
fn sums_that_are_continued_are_the_same_to_the_bit() {
    let _guard = tch::no_grad_guard();
    let logits = Tensor::arange(30 * 7, (Kind::Float, Device::Cpu)).sin().view([30, 7]);
    let targets = Tensor::arange(30, (Kind::Int64, Device::Cpu)).remainder(7);
    let batches: Vec<(Tensor, Tensor)> =
        (0..30).map(|row| (logits.narrow(0, row, 1), targets.narrow(0, row, 1))).collect();
    let add = |running: &mut MetricAccumulator, rows: std::ops::Range<usize>| {
        for (logits, targets) in &batches[rows] {
            running.add(&loss_of(logits, targets), logits, targets);
        }
    };
    let mut whole = MetricAccumulator::new(Device::Cpu);
    add(&mut whole, 0..30);
    for cut in [0, 1, 13, 29, 30] {
        let mut first = MetricAccumulator::new(Device::Cpu);
        add(&mut first, 0..cut);
        let mut second = MetricAccumulator::from_sums(first.sums().unwrap(), Device::Cpu);
        add(&mut second, cut..30);
        assert_eq!(second.sums().unwrap().loss_sum.to_bits(), whole.sums().unwrap().loss_sum.to_bits());
        assert_eq!(second.sums().unwrap(), whole.sums().unwrap());
    }
    assert!(whole.sums().unwrap().correct > 0 && whole.sums().unwrap().correct < 30);
}

#[test]
fn the_pairs_confused_most_come_first() {
    let mut matrix = ConfusionMatrix::new(3);
    for (truth, guess) in [(0, 0), (0, 1), (2, 1), (2, 1), (1, 0)] {
        matrix.add(truth, guess);
    }
    assert_eq!(matrix.most_confused(2), [(2, 1, 2), (0, 1, 1)]);
    assert_eq!(matrix.predicted(1), 3);
}

/// The loss over a split was once weighed by the size of its batches, in which the class weights
/// cancel where the samples come class by class.
#[test]
fn the_weighted_loss_depends_neither_on_the_size_of_batches_nor_on_their_order() {
    let _guard = tch::no_grad_guard();
    let config = LossConfig::CrossEntropy(CrossEntropyConfig {
        class_weights: ClassWeights::Given(vec![1.0, 20.0]),
        ..CrossEntropyConfig::default()
    });
    let loss = Loss::new(&config, &[], Device::Cpu);
    let logits = Tensor::arange(24, (Kind::Float, Device::Cpu)).sin().view([12, 2]);
    // Class by class, as an evaluation comes.
    let targets = Tensor::from_slice(&[0i64, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    let sums = |size: i64, order: &Tensor| {
        let mut running = MetricAccumulator::new(Device::Cpu);
        for start in (0..12).step_by(size as usize) {
            let rows = order.narrow(0, start, size.min(12 - start));
            let (logits, targets) = (logits.index_select(0, &rows), targets.index_select(0, &rows));
            let of_batch = loss.forward(&logits, &Targets::Classes(targets.shallow_clone())).unwrap();
            running.add(&of_batch, &logits, &targets);
        }
        running.sums().unwrap()
    };
    let in_order = Tensor::arange(12, (Kind::Int64, Device::Cpu));
    let whole = sums(12, &in_order).loss();
    for size in [1, 2, 5, 7, 11] {
        for order in [&in_order, &in_order.flip([0])] {
            // Each batch's mean is computed in float32.
            assert!((sums(size, order).loss() - whole).abs() < 1e-6, "{size}");
        }
    }
    assert_eq!(sums(5, &in_order).loss_divisor, 7.0 + 5.0 * 20.0);
}

#[test]
fn an_image_is_right_with_several_labels_if_all_of_them_are() {
    let mut running = MetricAccumulator::new(Device::Cpu);
    let logits = Tensor::from_slice2(&[
        [2.0f32, -1.0, 0.5],
        [2.0, -1.0, -0.5],
        [-1.0, -1.0, -1.0],
        [f32::NAN, -1.0, -1.0],
        [3.0, -2.0, 0.1],
    ]);
    let labels = Tensor::from_slice2(&[
        [1.0f32, 0.0, 1.0],
        [1.0, 0.0, 1.0],
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [0.75, 0.25, 1.0],
    ]);
    let config: LossConfig = serde_yaml::from_str("{name: bce}").unwrap();
    let loss = Loss::new(&config, &[], Device::Cpu);
    let value = loss.forward(&logits, &Targets::MultiHot(labels.shallow_clone())).unwrap();
    running.add_labels(&value, &logits, &labels);
    let sums = running.sums().unwrap();
    assert_eq!((sums.correct, sums.correct_top5, sums.count), (3, 0, 5));
}

#[test]
fn probabilities_of_labels_are_the_sigmoid_of_each_logit() {
    let ln3 = 3.0_f32.ln();
    let logits = Tensor::from_slice(&[0.0, ln3, -ln3, ln3]).view([1, 4]);
    let (classes, probabilities) = top_k_labels(&logits, 3);
    assert_eq!(Vec::<i64>::try_from(classes.flatten(0, -1)).unwrap(), [1, 3, 0]);
    let probabilities = Vec::<f32>::try_from(probabilities.flatten(0, -1)).unwrap();
    for (found, expected) in probabilities.iter().zip([0.75, 0.75, 0.5]) {
        assert!((found - expected).abs() < 1e-7, "{probabilities:?}");
    }
}
