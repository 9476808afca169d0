//! Of all that a file holds by name → the weights to take: those that fit the network, or those
//! that were named.

use std::path::Path;

use super::WeightsError;
use super::candidates::Candidate;
use super::fit::{Fit, Target};
use super::names::Prefix;

/// Keys of weights as most programs have them, the first that is there before the others.
const ESTABLISHED: [&str; 3] = ["model_state_dict", "state_dict", "model"];

/// Whether a part of a name or key is that of a copy which self-supervised training compares its
/// network with (`encoder_k`, `momentum_encoder`, `target_net`, `backbone_momentum`): no result,
/// where the network itself is there.
fn is_compared_with(part: &str) -> bool {
    part == "encoder_k"
        || ["momentum_", "target_", "key_"].iter().any(|start| part.starts_with(start))
        || ["_momentum", "_target"].iter().any(|end| part.ends_with(end))
}

/// Where weights that fit are, and how they do.
struct Choice<'a> {
    candidate: &'a Candidate,
    fit: Fit,
}

/// Where weights may be: tensors of a candidate whose names begin with something.
struct Place<'a> {
    candidate: &'a Candidate,
    prefix: String,
    known: usize,
    fitting: usize,
}

/// The weights among `all` that fit, or those that come nearest; `named` narrows them down.
///
/// # Errors
/// Several fit that differ, or nothing is called `named`.
pub(super) fn choose<'a>(
    target: &Target<'_>,
    all: &'a [Candidate],
    named: Option<&str>,
    path: &Path,
) -> Result<(Fit, &'a Candidate), WeightsError> {
    let places = places(target, all, named);
    let Some(nearest) = places.iter().min_by_key(|place| nearness(place)) else {
        let (path, key) = (path.to_owned(), named.unwrap_or_default().to_owned());
        let found = all.iter().map(|candidate| shown(&candidate.key, "")).collect();
        return Err(WeightsError::NoKey { path, key, found });
    };
    let fitted = |place: &Place<'a>| Choice {
        candidate: place.candidate,
        fit: place.candidate.fit(target, &place.prefix),
    };
    let promising = places.iter().filter(|place| place.known >= target.required());
    let mut fitting: Vec<Choice<'a>> =
        promising.map(fitted).filter(|choice| choice.fit.is_complete).collect();
    if fitting.is_empty() {
        let Choice { candidate, fit } = fitted(nearest);
        return Ok((fit, candidate));
    }
    fitting.sort_by_key(Choice::rank);
    let best = fitting[0].rank();
    let rest = fitting.split_off(fitting.iter().take_while(|choice| choice.rank() == best).count());
    let (mut first, passed) = preferred(fitting);
    let mut chosen = first.remove(0);
    first.retain(|other| !same(&chosen, other));
    if !first.is_empty() {
        let keys = std::iter::once(&chosen).chain(&first).map(Choice::name).collect();
        return Err(WeightsError::Ambiguous { path: path.to_owned(), keys });
    }
    let others = rest.iter().chain(&passed).filter(|other| !same(&chosen, other)).map(Choice::name);
    chosen.fit.loaded.others = others.collect();
    Ok((chosen.fit, chosen.candidate))
}

/// Of choices of one rank those that are meant, as a rule, and the others: no copy that is only
/// compared with, and none inside another.
fn preferred(choices: Vec<Choice<'_>>) -> (Vec<Choice<'_>>, Vec<Choice<'_>>) {
    let names: Vec<String> = choices.iter().map(Choice::name).collect();
    let is_target = |name: &str| name.split('.').any(is_compared_with);
    let all_are = names.iter().all(|name| is_target(name));
    let is_inside = |choice: &Choice<'_>| {
        choices.iter().any(|other| {
            let (inner, outer) = (&choice.fit.loaded, &other.fit.loaded);
            let is_below =
                inner.key.strip_prefix(outer.key.as_str()).is_some_and(|rest| rest.starts_with('.'));
            let is_longer = inner.prefix != outer.prefix && inner.prefix.starts_with(outer.prefix.as_str());
            is_below || (inner.key == outer.key && is_longer)
        })
    };
    let keeps: Vec<bool> = choices
        .iter()
        .zip(&names)
        .map(|(choice, name)| (all_are || !is_target(name)) && !is_inside(choice))
        .collect();
    // One of them is inside none, but may be a target.
    if !keeps.contains(&true) {
        return (choices, Vec::new());
    }
    let mut keeps = keeps.into_iter();
    choices.into_iter().partition(|_| keeps.next().unwrap_or(true))
}

/// All places, or those that `named` names: keys, what names begin with, or the one after the
/// other.
fn places<'a>(target: &Target<'_>, all: &'a [Candidate], named: Option<&str>) -> Vec<Place<'a>> {
    let Some(named) = named else {
        return all.iter().flat_map(|candidate| places_in(target, candidate, "")).collect();
    };
    let below = |candidate: &&Candidate| {
        candidate.key.strip_prefix(named).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let by_key: Vec<&Candidate> = all.iter().filter(below).collect();
    if !by_key.is_empty() {
        return by_key.into_iter().flat_map(|candidate| places_in(target, candidate, "")).collect();
    }
    let prefix_in = |candidate: &'a Candidate| {
        let rest = match candidate.key.as_str() {
            "" => named,
            key => named.strip_prefix(key)?.strip_prefix('.')?,
        };
        let prefix = format!("{}.", rest.trim_end_matches('.'));
        candidate.tensors.iter().any(|(name, _)| name.starts_with(&prefix)).then_some((candidate, prefix))
    };
    let by_prefix = all.iter().filter_map(prefix_in).max_by_key(|(candidate, _)| candidate.key.len());
    by_prefix.map(|(candidate, prefix)| places_in(target, candidate, &prefix)).unwrap_or_default()
}

/// The places in `candidate` whose names begin with `start`, of which there is one at least.
fn places_in<'a>(target: &Target<'_>, candidate: &'a Candidate, start: &str) -> Vec<Place<'a>> {
    let prefixes = target.names.prefixes(&candidate.tensors);
    let mut places: Vec<Place<'a>> = prefixes
        .into_iter()
        .filter(|prefix| prefix.text.starts_with(start))
        .map(|Prefix { text, known, fitting }| Place { candidate, prefix: text, known, fitting })
        .collect();
    if places.is_empty() {
        places.push(Place { candidate, prefix: start.to_owned(), known: 0, fitting: 0 });
    }
    places
}

/// Smaller for what comes nearer to the network; of what is equally far, for what other programs
/// call weights, and for what holds most.
fn nearness(place: &Place<'_>) -> (usize, usize, (usize, usize), usize, usize) {
    let Place { candidate, prefix, known, fitting } = place;
    let size = candidate.tensors.len();
    (usize::MAX - fitting, usize::MAX - known, rank(&candidate.key), usize::MAX - size, prefix.len())
}

/// Smaller for keys that are established.
fn rank(key: &str) -> (usize, usize) {
    let place = |key: &str| ESTABLISHED.iter().position(|known| *known == key).map_or(4, |place| place + 1);
    let mut parts = key.split('.');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("", None) => (ESTABLISHED.len() + 1, 0),
        (first, second) if ESTABLISHED.contains(&first) => (place(first), second.map_or(0, place)),
        _ => (ESTABLISHED.len() + 2, 0),
    }
}

/// Key and prefix as `FILE:key` names them.
fn shown(key: &str, prefix: &str) -> String {
    let parts = [key, prefix.trim_end_matches('.')];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

/// Whether two have the same tensors.
fn same(one: &Choice<'_>, other: &Choice<'_>) -> bool {
    let (one, other) = (&one.fit, &other.fit);
    one.loaded.fresh == other.loaded.fresh
        && one.state.len() == other.state.len()
        && one.state.iter().all(|(name, tensor)| {
            let twin = other.state.iter().find(|(known, _)| known == name);
            twin.is_some_and(|(_, twin)| {
                twin.size() == tensor.size() && tensor.f_equal(twin).unwrap_or(false)
            })
        })
}

impl Choice<'_> {
    fn rank(&self) -> (usize, usize) {
        rank(&self.candidate.key)
    }

    fn name(&self) -> String {
        shown(&self.candidate.key, &self.fit.loaded.prefix)
    }
}

impl Candidate {
    /// What its tensors are to a network, with where they are.
    fn fit(&self, target: &Target<'_>, prefix: &str) -> Fit {
        let mut fit = target.fit(&self.tensors, prefix);
        fit.loaded.key.clone_from(&self.key);
        fit.loaded.module.clone_from(&self.module);
        fit
    }
}
