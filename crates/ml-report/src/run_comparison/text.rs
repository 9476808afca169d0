//! A [`Comparison`] → lines for a terminal: the settings that differ, metrics side by side, and for
//! each pair of runs the difference, its interval, the p-value, and what that means.

use ml_data::table::{Align, aligned, printable};

use crate::html::{
    ComparedRun, Comparison, DifferingSetting, Interval, MetricKind, PairedTest, Part, SplitMetrics,
    differing_settings, metric_kinds, metric_title, p_value, shorten,
};

/// Below this p-value a difference is called significant.
const SIGNIFICANCE: f64 = 0.05;
/// Settings that are listed.
const SETTINGS: usize = 40;
/// Characters of a value.
const VALUE_LIMIT: usize = 32;
/// For what a run does not have.
const NONE: &str = "-";

/// The comparison as text; runs are numbered in their order, from 1.
pub fn text(comparison: &Comparison) -> String {
    let Comparison { data_set, runs, pairs, notes, by_map, .. } = comparison;
    let mut lines = vec![title(data_set, runs), String::new()];
    lines
        .extend(runs.iter().enumerate().map(|(run, of)| format!("{}  {}", number(run), printable(&of.name))));
    lines.push(String::new());
    lines.extend(settings(runs));
    lines.push(String::new());
    lines.extend(metrics(runs));
    if let Part::Present(pairs) = pairs {
        let metric = if *by_map { "mAP" } else { "accuracy" };
        lines.extend([String::new(), format!("{metric} of the second less that of the first")]);
        lines.extend(tests(pairs));
        lines.push(String::new());
        lines.extend(pairs.iter().map(if *by_map { map_verdict } else { verdict }));
    }
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes.iter().map(|note| printable(note)));
    }
    lines.join("\n") + "\n"
}

fn title(data_set: &str, runs: &[ComparedRun]) -> String {
    let mut title = format!("{} runs on {}", runs.len(), printable(data_set));
    if let Some(of) = runs.iter().find_map(|run| run.metrics.present()) {
        title.push_str(&format!(", {} split, {} images", printable(&of.split), of.images));
    }
    title
}

fn number(run: usize) -> String {
    format!("[{}]", run + 1)
}

/// A table with a column for each run.
fn by_run(head: &str, runs: usize, rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<String> = std::iter::once(head.to_owned()).chain((0..runs).map(number)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    aligned(&rows, &vec![Align::Left; runs + 1], 2)
}

fn settings(runs: &[ComparedRun]) -> Vec<String> {
    let (different, _) = differing_settings(runs);
    if different.is_empty() {
        return vec!["all settings are the same".to_owned()];
    }
    let value = |value: Option<&str>| {
        value.map_or_else(|| NONE.to_owned(), |value| shorten(&printable(value), VALUE_LIMIT))
    };
    let row = |setting: &DifferingSetting<'_>| {
        let values = setting.values.iter().map(|of| value(*of));
        std::iter::once(setting.key.to_owned()).chain(values).collect()
    };
    let rows = different.iter().take(SETTINGS).map(row).collect();
    let mut lines = by_run("settings that differ", runs.len(), rows);
    let more = different.len().saturating_sub(SETTINGS);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn metrics(runs: &[ComparedRun]) -> Vec<String> {
    let kinds = metric_kinds(runs.iter().filter_map(|run| run.metrics.present()));
    let rows = kinds.into_iter().map(|kind| {
        let values = runs.iter().map(|run| metric(run.metrics.present(), kind));
        std::iter::once(metric_title(kind)).chain(values).collect()
    });
    by_run("metrics, 95 % interval", runs.len(), rows.collect())
}

fn metric(of: Option<&SplitMetrics>, kind: MetricKind) -> String {
    match of.and_then(|of| of.get(kind)) {
        None => NONE.to_owned(),
        Some(estimate) => {
            let interval = estimate.interval.map(|Interval { low, high }| format!(", {low:.4} to {high:.4}"));
            format!("{:.4}{}", estimate.value, interval.unwrap_or_default())
        }
    }
}

fn tests(pairs: &[PairedTest]) -> Vec<String> {
    let head =
        ["first", "second", "difference", "95 % interval", "only first right", "only second right", "p"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(pairs.iter().map(|pair| {
        let interval = pair.interval.map(|Interval { low, high }| format!("{low:+.4} to {high:+.4}"));
        [
            number(pair.runs.0),
            number(pair.runs.1),
            format!("{:+.4}", pair.difference),
            interval.unwrap_or_else(|| NONE.to_owned()),
            pair.only_first.to_string(),
            pair.only_second.to_string(),
            p_value(pair.p_value).replace('\u{a0}', " "),
        ]
    }));
    aligned(&rows, &[Align::Left; 7], 2)
}

/// What the interval of a difference of mAP says, and no more.
fn map_verdict(pair: &PairedTest) -> String {
    let (first, second) = (number(pair.runs.0), number(pair.runs.1));
    match pair.interval {
        Some(Interval { low, .. }) if low > 0.0 => {
            format!("{first}, {second}: {second} has the higher mAP; the 95 % interval is above 0")
        }
        Some(Interval { high, .. }) if high < 0.0 => {
            format!("{first}, {second}: {first} has the higher mAP; the 95 % interval is below 0")
        }
        _ => format!("{first}, {second}: the difference of mAP is not significant at {SIGNIFICANCE}"),
    }
}

/// What a test says, and no more.
fn verdict(pair: &PairedTest) -> String {
    let (first, second) = (number(pair.runs.0), number(pair.runs.1));
    let better = if pair.only_second > pair.only_first { &second } else { &first };
    if pair.only_first + pair.only_second == 0 {
        format!("{first}, {second}: both are right on the same images")
    } else if pair.p_value < SIGNIFICANCE {
        format!(
            "{first}, {second}: {better} is more accurate; the difference is significant at {SIGNIFICANCE} \
             (McNemar's exact test)"
        )
    } else {
        format!(
            "{first}, {second}: the difference is not significant at {SIGNIFICANCE} (McNemar's exact test)"
        )
    }
}
