//! Runs on the same images → tests of pairs of runs, and images that one of a pair gets right.

use ml_core::device::num_threads;
use ml_core::metrics::intervals::{BootstrapConfig, Discordant, Estimate, paired_bootstrap};

use super::inputs::Input;
use super::matching::Matched;
use super::results::interval;
use super::rows::Row;
use crate::html::{Example, PairedTest};
use crate::run_report::Thumbnails;

/// With more runs than this, each is compared with the best one only.
pub(super) const ALL_PAIRS_UP_TO: usize = 4;
/// Images of a pair and direction, and pairs with images.
const EXAMPLES: usize = 12;
const PAIRS_WITH_EXAMPLES: usize = 6;

/// The tests, and the run that all others are compared with where not all pairs are.
pub(super) fn tests(
    inputs: &[Input],
    matched: &Matched,
    classes: &[String],
) -> (Vec<PairedTest>, Option<usize>) {
    let correct: Vec<Vec<bool>> =
        (0..inputs.len()).map(|run| matched.of(inputs, run).map(Row::is_correct).collect()).collect();
    let best = (inputs.len() > ALL_PAIRS_UP_TO).then(|| best(&correct));
    let pairs: Vec<(usize, usize)> = match best {
        Some(best) => (0..inputs.len()).filter(|run| *run != best).map(|run| (best, run)).collect(),
        None => {
            (0..inputs.len()).flat_map(|one| (one + 1..inputs.len()).map(move |two| (one, two))).collect()
        }
    };
    let mut tests: Vec<PairedTest> = pairs.into_iter().map(|runs| test(runs, &correct)).collect();
    let mut gallery = Gallery {
        inputs,
        matched,
        classes,
        thumbnails: inputs.iter().map(|input| Thumbnails::below(&input.root)).collect(),
    };
    let unlike = tests.iter_mut().filter(|test| test.only_first + test.only_second > 0);
    for test in unlike.take(PAIRS_WITH_EXAMPLES) {
        let (first, second) = test.runs;
        test.first_right = gallery.examples(first, second);
        test.second_right = gallery.examples(second, first);
    }
    (tests, best)
}

/// The run with the most right predictions, the first of equals.
fn best(correct: &[Vec<bool>]) -> usize {
    let right = |run: &usize| correct[*run].iter().filter(|right| **right).count();
    (0..correct.len()).rev().max_by_key(right).unwrap_or(0)
}

fn test(runs: (usize, usize), correct: &[Vec<bool>]) -> PairedTest {
    let (first, second) = (&correct[runs.0], &correct[runs.1]);
    let bootstrap = BootstrapConfig { threads: num_threads(), ..BootstrapConfig::default() };
    // The second's accuracy less the first's.
    paired(runs, [first, second], paired_bootstrap(second, first, &bootstrap))
}

/// The test of two runs, by what images each gets right and how much better the second is; without
/// examples.
pub(super) fn paired(
    runs: (usize, usize),
    [first, second]: [&[bool]; 2],
    difference: Option<Estimate>,
) -> PairedTest {
    let counts = Discordant::count(first, second);
    PairedTest {
        runs,
        images: first.len() as u64,
        only_first: counts.only_first,
        only_second: counts.only_second,
        difference: difference.map_or(f64::NAN, |found| found.value),
        interval: difference.map(|found| interval(found.interval)),
        p_value: counts.mcnemar_exact(),
        first_right: Vec::new(),
        second_right: Vec::new(),
    }
}

/// Makes examples, each image's thumbnail once.
struct Gallery<'a> {
    inputs: &'a [Input],
    matched: &'a Matched,
    classes: &'a [String],
    /// By run.
    thumbnails: Vec<Thumbnails>,
}

impl Gallery<'_> {
    /// Images that `right` gets right and `wrong` does not, those that `wrong` is surest of first.
    fn examples(&mut self, right: usize, wrong: usize) -> Vec<Example> {
        let rows = self.matched.of(self.inputs, right).zip(self.matched.of(self.inputs, wrong));
        let mut rows: Vec<(&Row, &Row)> =
            rows.filter(|(one, other)| one.is_correct() && !other.is_correct()).collect();
        // A probability that is not a number says nothing.
        let sureness = |row: &Row| if row.probability.is_nan() { 0.0 } else { row.probability };
        rows.sort_by(|(_, one), (_, other)| sureness(other).total_cmp(&sureness(one)));
        rows.truncate(EXAMPLES);
        let name = |class: usize| self.classes[class].clone();
        let mut examples = Vec::new();
        for (of_right, of_wrong) in rows {
            let alt = format!("an image of {}", name(of_wrong.label));
            let mut image = self.thumbnails[wrong].get(&of_wrong.path, alt.clone());
            if image.jpeg.is_empty() {
                image.jpeg = self.thumbnails[right].get(&of_right.path, alt).jpeg;
            }
            examples.push(Example {
                image,
                label: name(of_wrong.label),
                prediction: name(of_wrong.prediction),
                probability: of_wrong.probability,
            });
        }
        examples
    }
}
