//! What was trained: settings, network, data set, command.

use maud::{Markup, html};

use super::format::{self, NONE, lines, name};
use super::page::{command, key_values, left_out, scroll};
use super::report::{DataSet, Network, Setting, Setup};
use super::value::Part;

/// Settings that are shown.
const SETTINGS: usize = 500;
/// Characters of a value that are shown.
const VALUE_LIMIT: usize = 1_000;
/// Splits that are shown.
const SPLITS: usize = 20;

/// Changed settings, network, data set, command, all settings.
pub(super) fn setup(setup: &Setup) -> Markup {
    let changed: Vec<&Setting> = setup.settings.iter().filter(|setting| setting.is_changed()).collect();
    html! {
        @if !setup.settings.is_empty() {
            h3 { "Settings that differ from the defaults" }
            @if changed.is_empty() { p { "None: every setting has its default." } } @else { (settings("Changed settings", &changed)) }
        }
        div.columns {
            (part("Network", &setup.network, network))
            (part("Data set", &setup.data_set, data_set))
        }
        @if !setup.command.is_empty() {
            h3 { "Command" }
            (command(&setup.command))
        }
        @if !setup.settings.is_empty() {
            details {
                summary { "All settings (" (format::count(setup.settings.len() as u64)) ")" }
                (settings("All settings", &setup.settings.iter().collect::<Vec<_>>()))
            }
        }
    }
}

fn part<T>(title: &str, part: &Part<T>, body: impl FnOnce(&T) -> Markup) -> Markup {
    html! {
        @match part {
            Part::Present(part) => div { h3 { (title) } (body(part)) },
            Part::Missing(reason) => div { h3 { (title) } p.missing { (format::plain(reason)) } },
            Part::Omitted => {}
        }
    }
}

fn settings(label: &str, settings: &[&Setting]) -> Markup {
    let table = html! {
        table {
            thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "Default" } } }
            tbody {
                @for setting in settings.iter().take(SETTINGS) {
                    tr {
                        th scope="row" { (key(&setting.key)) }
                        td { (value(&setting.value)) }
                        td.muted { @match &setting.default { Some(default) => (value(default)), None => (NONE) } }
                    }
                }
            }
        }
    };
    html! { (scroll(label, &table)) (left_out(settings.len() as u64, SETTINGS, "setting")) }
}

/// The path of a setting, which may break after its dots and underscores.
pub(super) fn key(path: &str) -> Markup {
    let path = format::plain(path);
    html! { code.clamp title=(path) { bdi { @for part in path.split_inclusive(['.', '_']) { (part) wbr; } } } }
}

/// A value as YAML, line breaks kept.
pub(super) fn value(text: &str) -> Markup {
    html! { code.value dir="auto" { (lines(text.trim_end(), VALUE_LIMIT)) } }
}

fn network(network: &Network) -> Markup {
    let all = format::count(network.parameters);
    let trained = match network.trainable.filter(|trainable| *trainable != network.parameters) {
        None => all,
        Some(trainable) => format!("{all}, of which {} are trained", format::count(trainable)),
    };
    key_values([
        ("Architecture", name(&network.architecture)),
        ("Parameters", html! { (trained) }),
        ("Input", name(&network.input)),
        ("Initial weights", name(&network.weights)),
    ])
}

fn data_set(data: &DataSet) -> Markup {
    let mut rows = vec![
        ("Path", html! { code { (name(&data.path)) } }),
        ("Classes", html! { (format::count(data.classes)) }),
    ];
    let images = |images: u64| html! { (format::counted(images, "image")) };
    rows.extend(data.splits.iter().take(SPLITS).map(|(split, count)| (split.as_str(), images(*count))));
    rows.extend(data.groups.iter().map(|groups| ("Kept together", name(groups))));
    key_values(rows)
}
