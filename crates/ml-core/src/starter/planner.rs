//! Which network a preset takes, and for how many epochs: what is expected to be the most accurate in the
//! time that there is, from speeds measured here.

use super::candidates::{Candidate, PHOTOGRAPHS, PRETRAINED, SMALL};
use super::choose::{Geometry, choose, geometry, num_epochs};
use super::given::Given;
use super::plan::Plan;
use super::preset::Level;
use super::survey::Survey;
use crate::network::Architecture;
use crate::weights::Published;

/// Networks that are measured at most.
const MEASURED: usize = 3;
/// Of a time limit, what goes into epochs; the rest is the start and the evaluation at the end.
const USED: f64 = 0.95;
/// An image is validated so many times as fast as it is trained.
const VALIDATED: f64 = 3.0;
/// Epochs take so many times as long as their steps.
const OVERHEAD: f64 = 1.1;

/// Beside the images, what is known.
pub(super) struct Circumstances<'a> {
    pub given: &'a Given,
    pub level: Level,
    pub processes: usize,
    /// Seconds to decode an image, of all threads together; 0 where decoded images are kept.
    pub decoding: f64,
    pub cuda: bool,
    /// Whether the file of published weights is there already.
    pub has_weights: &'a dyn Fn(&'static Published) -> bool,
    /// Where such files lie.
    pub weights_folder: String,
}

/// Plans, with images a second in training steps of one process as `measure` finds them.
pub(super) fn plan(
    survey: &Survey,
    circumstances: &Circumstances<'_>,
    measure: &mut dyn FnMut(&Plan) -> Option<f64>,
) -> Plan {
    let (list, is_pretrained) = candidates(survey, circumstances);
    let mut planner = Planner { survey, circumstances, is_pretrained, measured: Vec::new(), list };
    let mut best = 0;
    while planner.measured.len() < MEASURED {
        let Some(speed) = measure(&planner.plan(best)) else { break };
        planner.measured.push((best, speed));
        best = planner.best();
        if planner.measured.iter().any(|(known, _)| *known == best) {
            break;
        }
    }
    if planner.measured.is_empty() {
        let usual = choose(survey, circumstances.cuda).architecture;
        best = planner.list.iter().position(|candidate| candidate.architecture == usual).unwrap_or(0);
    }
    planner.plan(best)
}

/// The networks to choose from, the fastest first, and whether they are pretrained.
fn candidates(survey: &Survey, circumstances: &Circumstances<'_>) -> (Vec<Candidate>, bool) {
    let Circumstances { given, has_weights, .. } = circumstances;
    let default = |architecture: Architecture| {
        Published::of(architecture.name()).find(|published| published.is_default)
    };
    let is_there = |architecture: Architecture| default(architecture).is_some_and(has_weights);
    let (side, is_photograph) = match geometry(survey) {
        Geometry::Small { size, .. } => (size.height.min(size.width), false),
        Geometry::Photograph { side, .. } => (side, true),
    };
    let asks_any = given.architecture.is_none() && given_text(given) == Some("DEFAULT");
    let is_file = given.architecture.is_none() && given_text(given).is_some() && !asks_any;
    let only = given.architecture.or(is_file.then_some(Architecture::Resnet18));
    if let Some(architecture) = only {
        let known = SMALL.iter().chain(&PRETRAINED).chain(&PHOTOGRAPHS);
        let known = known.copied().find(|candidate| candidate.architecture == architecture);
        let other =
            Candidate { architecture, side: None, reached: 0.0, looks: 1.0, least_images: 0, cost: 1.0 };
        let is_pretrained = match &given.weights {
            Some(weights) => weights.is_some(),
            None => is_photograph && is_there(architecture),
        };
        return (vec![Candidate { side: None, ..known.unwrap_or(other) }], is_pretrained);
    }
    let fits = |candidate: &Candidate| {
        let side = candidate.side.map_or(side, |most| side.min(most));
        survey.train() >= candidate.least_images
            && candidate.architecture.size_problem((side, side)).is_none()
    };
    let pretrained: Vec<Candidate> = match &given.weights {
        Some(None) => Vec::new(),
        Some(Some(_)) if asks_any => PRETRAINED.to_vec(),
        _ if is_photograph => {
            PRETRAINED.into_iter().filter(|candidate| is_there(candidate.architecture)).collect()
        }
        _ => Vec::new(),
    };
    if !pretrained.is_empty() {
        return (pretrained, true);
    }
    let list: &[Candidate] = if is_photograph { &PHOTOGRAPHS } else { &SMALL };
    let mut fitting: Vec<Candidate> = list.iter().filter(|candidate| fits(candidate)).copied().collect();
    // No larger than the images are.
    let shown = |candidate: &Candidate| candidate.side.map_or(side, |most| side.min(most));
    fitting.dedup_by(|next, one| next.architecture == one.architecture && shown(next) == shown(one));
    (if fitting.is_empty() { vec![list[0]] } else { fitting }, false)
}

/// The text of weights that were given.
fn given_text(given: &Given) -> Option<&str> {
    given.weights.as_ref().and_then(|weights| weights.as_deref())
}

struct Planner<'a> {
    survey: &'a Survey,
    circumstances: &'a Circumstances<'a>,
    list: Vec<Candidate>,
    is_pretrained: bool,
    /// Images a second of one process, by place in the list.
    measured: Vec<(usize, f64)>,
}

impl Planner<'_> {
    /// Images a second of one process: measured, or from the measured network of the nearest cost.
    fn speed(&self, index: usize) -> Option<f64> {
        let distance = |known: usize| (self.list[known].cost / self.list[index].cost).ln().abs();
        let nearest = self.measured.iter().min_by(|(a, _), (b, _)| distance(*a).total_cmp(&distance(*b)));
        nearest.map(|(known, speed)| speed * self.list[*known].cost / self.list[index].cost)
    }

    /// Seconds of an epoch.
    fn epoch(&self, index: usize) -> Option<f64> {
        let speed = self.speed(index)?;
        let [train, val, _] = self.survey.images.map(|images| images as f64);
        let parallel = if self.circumstances.cuda { self.circumstances.processes as f64 } else { 1.0 };
        let steps = (train + val / VALIDATED) / (speed * parallel);
        let decoding = (train + val) * self.circumstances.decoding;
        // A GPU computes while the processors decode.
        let together = if self.circumstances.cuda { steps.max(decoding) } else { steps + decoding };
        Some(together * OVERHEAD)
    }

    /// How many epochs there are, and what is expected of them.
    fn outlook(&self, index: usize) -> (f64, f64) {
        let Circumstances { given, level, .. } = self.circumstances;
        let train = self.survey.train() as f64;
        let candidate = &self.list[index];
        let epoch = self.epoch(index);
        let ceiling = level.seconds();
        if let Some(limit) = given.max_time {
            let epochs = epoch.map_or_else(|| self.wanted(), |epoch| limit * USED / epoch);
            return (epochs, candidate.expected(epochs * train));
        }
        if let Some(epochs) = given.epochs(self.survey.train()) {
            let is_long = epoch.is_some_and(|epoch| epoch * epochs > ceiling);
            // Of those that take too long, the fastest.
            let expected = if is_long { -1e9 * candidate.cost } else { candidate.expected(epochs * train) };
            return (epochs, expected);
        }
        let wanted = self.wanted();
        let epochs = epoch.map_or(wanted, |epoch| wanted.min(ceiling / epoch)).max(1.0).floor();
        (epochs, candidate.expected(epochs * train))
    }

    /// Epochs after which there is little left to gain.
    fn wanted(&self) -> f64 {
        let train = self.survey.train();
        let usual =
            if self.is_pretrained { (300_000 / train.max(1)).clamp(5, 30) } else { num_epochs(train) };
        match self.circumstances.level {
            Level::Fast => (usual / 4).max(3) as f64,
            Level::Balanced => usual as f64,
            Level::Best => (usual * 2) as f64,
        }
    }

    fn best(&self) -> usize {
        let places = 0..self.list.len();
        let best = places.max_by(|a, b| self.outlook(*a).1.total_cmp(&self.outlook(*b).1));
        best.unwrap_or(0)
    }

    fn plan(&self, index: usize) -> Plan {
        let Circumstances { given, level, processes, cuda, .. } = self.circumstances;
        let (epochs, _) = self.outlook(index);
        let (weights, weights_why) = self.weights(index);
        let parallel = if *cuda { *processes as f64 } else { 1.0 };
        Plan {
            candidate: self.list[index],
            is_pretrained: self.is_pretrained,
            weights,
            weights_why,
            why: self.why(index),
            leaves_transforms: given.weights.as_ref().is_some_and(Option::is_some),
            batch_size: given.batch_size,
            processes: *processes,
            epochs,
            level: *level,
            max_time: given.max_time,
            seconds: self.epoch(index).map(|epoch| epoch * epochs),
            speed: self.speed(index).map(|speed| speed * parallel),
            train: self.survey.train(),
        }
    }

    fn weights(&self, index: usize) -> (Option<String>, String) {
        let Circumstances { given, weights_folder, .. } = self.circumstances;
        let name = self.list[index].architecture.name();
        let published = Published::of(name).find(|published| published.is_default);
        match (&given.weights, published) {
            (Some(weights), _) => (weights.clone(), "As given.".to_owned()),
            (None, Some(published)) if self.is_pretrained => {
                let accuracy =
                    published.acc1.map_or_else(String::new, |acc1| format!(", {acc1:.1} % on ImageNet"));
                let why = format!(
                    "{} lies in {weights_folder}{accuracy}: photographs need far fewer images and epochs from it.",
                    published.file
                );
                (Some(published.member.to_owned()), why)
            }
            _ if matches!(geometry(self.survey), Geometry::Photograph { .. }) => (
                None,
                format!(
                    "No published weights of a suitable network lie in {weights_folder}, and nothing is fetched \
                     unasked. With --weights DEFAULT photographs need far fewer images and epochs."
                ),
            ),
            _ => {
                (None, "Published weights are for photographs, which these small images are not.".to_owned())
            }
        }
    }

    fn why(&self, index: usize) -> String {
        let name = self.list[index].architecture.name();
        if self.list.len() == 1 {
            return format!(
                "{name} is the only one that suits {} training images like these.",
                self.survey.train()
            );
        }
        if self.measured.is_empty() {
            return format!(
                "The usual one for images like these; the speed of {name} could not be measured."
            );
        }
        let others: Vec<String> = (0..self.list.len())
            .filter(|other| *other != index)
            .map(|other| {
                let candidate = &self.list[other];
                let side = candidate.side.map_or_else(String::new, |side| format!(" at {side} px"));
                format!("{}{side} in {:.1} epochs", candidate.architecture.name(), self.outlook(other).0)
            })
            .collect();
        format!(
            "Expected to be the most accurate in the time: {:.1} epochs, against {}.",
            self.outlook(index).0,
            others.join(", ")
        )
    }
}
