//! A search for hyperparameters: its best trial, its course, what each key does, and all trials.

use maud::{Markup, html};

use super::format::{self, NONE, name, percent, significant};
use super::header;
use super::page::{Section, key_values, left_out, linked, page, scroll};
use super::plot::{Plot, Series};
use super::scale::{Axis, Unit};
use super::value::Part;

/// Rows of the table.
const TRIALS: usize = 500;
/// Rows of a table of choices.
const CHOICES: usize = 50;

/// A search, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Of its folder.
    pub name: String,
    /// What is compared, `val_accuracy`.
    pub metric: String,
    /// How the values were chosen, in words.
    pub method: String,
    /// How many trials have each status.
    pub counts: Vec<(String, u64)>,
    /// Seconds of searching.
    pub seconds: f64,
    /// Place of the best trial in the list.
    pub best: Option<usize>,
    /// In the order in which they began.
    pub trials: Vec<SearchTrial>,
    /// What was varied.
    pub keys: Vec<SearchKey>,
    /// Program and version.
    pub program: String,
}

/// A trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTrial {
    /// `0007`.
    pub name: String,
    /// Its report, relative to the page.
    pub link: Option<String>,
    /// `completed` and the like.
    pub status: String,
    /// The metric of its best epoch.
    pub value: Option<f64>,
    /// Epochs that were trained.
    pub epochs: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Values in the order of the keys, as YAML.
    pub parameters: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A key that was varied.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchKey {
    /// `optimizer.lr`.
    pub name: String,
    /// The share of the differences between trials that it explains by itself.
    pub importance: Option<f64>,
    /// A number of each trial, in their order, for a plot; none for choices.
    pub numbers: Option<Vec<f64>>,
    /// Whether distances are ratios.
    pub is_log: bool,
}

impl Search {
    fn is_share(&self) -> bool {
        self.metric.ends_with("accuracy")
    }

    fn unit(&self) -> Unit {
        if self.is_share() { Unit::Percent } else { Unit::Number }
    }

    fn value(&self, value: Option<f64>) -> String {
        match value {
            Some(value) if self.is_share() => percent(value),
            Some(value) => significant(value, 4),
            None => NONE.into(),
        }
    }

    /// Whether `one` is better than `other`.
    fn is_better(&self, one: f64, other: f64) -> bool {
        if self.is_share() { one > other } else { one < other }
    }

    fn best_trial(&self) -> Option<&SearchTrial> {
        self.trials.get(self.best?)
    }
}

/// The report of a search.
pub fn render_search(search: &Search) -> String {
    let all = Part::Present(());
    let sections = [
        Section::of("best", "Best trial", &all, |()| best(search)),
        Section::of("course", "Course of the search", &all, |()| course(search)),
        Section::of("importance", "Importance of the keys", &all, |()| importance(search)),
        Section::of("keys", "Values and results", &all, |()| keys(search)),
        Section::of("trials", "All trials", &all, |()| trials(search)),
    ];
    page(&format!("{}: search", search.name), &top(search), sections, &search.program)
}

fn top(search: &Search) -> Markup {
    html! {
        p.kind { "Search for hyperparameters" }
        h1 { (name(&search.name)) }
        p.summary {
            (format::counted(search.trials.len() as u64, "trial"))
            @if let Some(best) = search.best_trial() {
                ", best " (name(&search.metric)) " " strong { (search.value(best.value)) }
                " (trial " (name(&best.name)) ")"
            }
            "."
        }
        p.meta {
            (format::plain(&search.method)) "; " (format::duration(search.seconds)) "; "
            @for (place, (status, count)) in search.counts.iter().enumerate() {
                @if place > 0 { ", " }
                (format::count(*count)) " " (status)
            }
        }
        p.meta { (header::byline("", &search.program)) }
    }
}

fn best(search: &Search) -> Markup {
    let Some(trial) = search.best_trial() else {
        return html! { p.missing { "No trial has a value yet." } };
    };
    let rows = search.keys.iter().zip(&trial.parameters).map(|(key, value)| (key.name.as_str(), name(value)));
    html! {
        p {
            "Trial " (linked(&trial.name, trial.link.as_deref())) " (" (trial.status) ", "
            (format::counted(trial.epochs, "epoch")) "): " (name(&search.metric)) " " (search.value(trial.value))
            ". " code { "ml-train --config best.yaml" } " trains it again."
        }
        (key_values(rows))
        p.note {
            "The value is that of the best epoch on the images by which the trials were compared, and the best of many "
            "is partly luck: the test split shows what it is worth."
        }
    }
}

fn course(search: &Search) -> Markup {
    let valued =
        || search.trials.iter().enumerate().filter_map(|(at, trial)| Some((at as f64, trial.value?)));
    if valued().next().is_none() {
        return html! { p.missing { "No trial has a value yet." } };
    }
    let x = Axis::over((0..search.trials.len()).map(|at| at as f64), Unit::Whole);
    let y = Axis::over(valued().map(|(_, value)| value), search.unit());
    let mut plot = Plot::new(search.metric.clone(), ("trial", x), ("metric", y));
    let mut so_far: Option<f64> = None;
    let line = valued().map(|(at, value)| {
        let better = so_far.is_none_or(|best| search.is_better(value, best));
        let best = if better { value } else { so_far.unwrap_or(value) };
        so_far = Some(best);
        (at, best)
    });
    plot.series.push(Series { name: "best so far".into(), points: line.collect(), style: 1 });
    plot.series.push(Series { name: "trial".into(), points: scattered(valued().collect()), style: 0 });
    html! { div.plots { (plot.render()) } }
}

/// Points without lines between them.
fn scattered(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.into_iter().flat_map(|(x, y)| [(x, y), (x, f64::NAN)]).collect()
}

fn importance(search: &Search) -> Markup {
    let mut keys: Vec<(&str, f64)> =
        search.keys.iter().filter_map(|key| Some((key.name.as_str(), key.importance?))).collect();
    keys.sort_by(|a, b| b.1.total_cmp(&a.1));
    if keys.is_empty() {
        return html! { p.missing { "There are too few trials with different results." } };
    }
    html! {
        p {
            "How much of the variance between trials each key explains by itself: epsilon squared of an analysis of "
            "variance over up to five bins of its values, as the main effects of fANOVA. What keys do only together is "
            "not in it, and with few trials it is rough."
        }
        (key_values(keys.into_iter().map(|(key, share)| (key, html! { (percent(share)) }))))
    }
}

fn keys(search: &Search) -> Markup {
    html! {
        div.plots {
            @for (place, key) in search.keys.iter().enumerate() {
                @match &key.numbers {
                    Some(numbers) => (by_number(search, key, numbers)),
                    None => (by_choice(search, key, place)),
                }
            }
        }
    }
}

fn by_number(search: &Search, key: &SearchKey, numbers: &[f64]) -> Markup {
    let points: Vec<(f64, f64)> = numbers
        .iter()
        .zip(&search.trials)
        .filter_map(|(number, trial)| Some((*number, trial.value?)))
        .filter(|(number, _)| number.is_finite())
        .collect();
    let xs = || points.iter().map(|point| point.0);
    let (low, high) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    let x = if key.is_log && low > 0.0 && low < high {
        Axis::log(low, high)
    } else {
        Axis::over(xs(), Unit::Number)
    };
    let y = Axis::over(points.iter().map(|point| point.1), search.unit());
    let mut plot = Plot::new(key.name.clone(), ("value", x), ("metric", y));
    plot.series.push(Series { name: search.metric.clone(), points: scattered(points), style: 0 });
    plot.render()
}

/// Trials, mean and best of each choice.
fn by_choice(search: &Search, key: &SearchKey, place: usize) -> Markup {
    let mut choices: Vec<(&str, Vec<f64>)> = Vec::new();
    for trial in &search.trials {
        let (Some(choice), Some(value)) = (trial.parameters.get(place), trial.value) else { continue };
        match choices.iter_mut().find(|(known, _)| *known == choice.as_str()) {
            Some((_, values)) => values.push(value),
            None => choices.push((choice.as_str(), vec![value])),
        }
    }
    let best = |values: &[f64]| {
        values.iter().copied().reduce(|best, value| if search.is_better(value, best) { value } else { best })
    };
    let mean = |values: &[f64]| Some(values.iter().sum::<f64>() / values.len() as f64);
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { (name(&key.name)) }
                    th scope="col" { "Trials" }
                    th scope="col" { "Mean" }
                    th scope="col" { "Best" }
                }
            }
            tbody {
                @for (choice, values) in choices.iter().take(CHOICES) {
                    tr {
                        th scope="row" { (name(choice)) }
                        td { (format::count(values.len() as u64)) }
                        td { (search.value(mean(values))) }
                        td { (search.value(best(values))) }
                    }
                }
            }
        }
    };
    html! { div { (scroll(&key.name, &table)) (left_out(choices.len() as u64, CHOICES, "choice")) } }
}

fn trials(search: &Search) -> Markup {
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Trial" }
                    th scope="col" { (name(&search.metric)) }
                    th scope="col" { "Epochs" }
                    th scope="col" { "Time" }
                    @for key in &search.keys { th scope="col" { (name(&key.name)) } }
                    th.text scope="col" { "Status" }
                }
            }
            tbody {
                @for trial in search.trials.iter().take(TRIALS) {
                    tr {
                        th scope="row" { (linked(&trial.name, trial.link.as_deref())) }
                        td { (search.value(trial.value)) }
                        td { (format::count(trial.epochs)) }
                        td { (format::duration(trial.seconds)) }
                        @for value in &trial.parameters { td { (name(value)) } }
                        td.text { (trial.status) @if let Some(error) = &trial.error { ": " (name(error)) } }
                    }
                }
            }
        }
    };
    html! { (scroll("Trials", &table)) (left_out(search.trials.len() as u64, TRIALS, "trial")) }
}
