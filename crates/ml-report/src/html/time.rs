//! Where the time went, and the environment.

use maud::{Markup, html};

use super::format::{self, decimal, duration, name, percent};
use super::page::key_values;
use super::plot::units;
use super::report::Timing;

/// Parts of the bar; the rest are one part.
const PHASES: usize = 7;
/// Units of the bar.
const WIDTH: f64 = 440.0;
/// Rows of the environment.
const ROWS: usize = 100;
/// Devices whose memory is shown.
const DEVICES: usize = 16;

/// Numbers and a bar.
pub(super) fn timing(timing: &Timing) -> Markup {
    let text = |text: String| html! { (text) };
    let mut rows = vec![
        ("Total", text(duration(timing.total_seconds))),
        ("Epochs", text(format::count(timing.epochs))),
        ("Per epoch", text(duration(timing.seconds_per_epoch))),
    ];
    rows.extend(timing.waiting_share.map(|share| ("Waiting for data", text(percent(share)))));
    let speed = |images: f64| decimal(images, usize::from(images < 100.0));
    rows.extend(timing.images_per_second.map(|images| ("Training images per second", text(speed(images)))));
    let memory = |(device, bytes): &(String, u64)| html! { (format::bytes(*bytes)) " on " (name(device)) };
    rows.extend(timing.peak_memory.iter().take(DEVICES).map(|peak| ("Peak memory", memory(peak))));
    html! {
        (key_values(rows))
        (bar(&phases(timing)))
    }
}

/// The largest parts in their order, and the others as one.
fn phases(timing: &Timing) -> Vec<(String, f64)> {
    let valid = |phase: &&(String, f64)| phase.1.is_finite() && phase.1 > 0.0;
    let all: Vec<&(String, f64)> = timing.phases.iter().filter(valid).collect();
    let mut sizes: Vec<f64> = all.iter().map(|phase| phase.1).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let smallest = sizes.get(PHASES - 1).copied().unwrap_or(0.0);
    let mut shown: Vec<(String, f64)> =
        all.iter().filter(|phase| phase.1 >= smallest).take(PHASES).map(|phase| (*phase).clone()).collect();
    let shown_sum: f64 = shown.iter().map(|phase| phase.1).sum();
    let others = sizes.iter().sum::<f64>() - shown_sum;
    if all.len() > shown.len() && others > 0.0 {
        shown.push(("other".into(), others));
    }
    shown
}

fn bar(phases: &[(String, f64)]) -> Markup {
    let total: f64 = phases.iter().map(|phase| phase.1).sum();
    let mut left = 0.0;
    let mut parts = Vec::new();
    for (style, (phase, seconds)) in phases.iter().enumerate() {
        let width = seconds / total * WIDTH;
        parts.push((style, left, width, phase, *seconds));
        left += width;
    }
    html! {
        @if !parts.is_empty() {
            figure.time {
                figcaption { "Where the time went" }
                svg viewBox=(format!("0 0 {WIDTH} 30")) role="img" aria-label="Where the time went; the list below has the numbers" {
                    @for (style, x, width, phase, seconds) in &parts {
                        rect class=(format!("fill f{style}")) x=(units(*x)) y="0" width=(units((width - 1.0).max(0.4))) height="30" {
                            title { (format::plain(phase)) ": " (duration(*seconds)) }
                        }
                    }
                }
                ul.legend {
                    @for (style, _, _, phase, seconds) in &parts {
                        li {
                            svg viewBox="0 0 12 12" aria-hidden="true" { rect class=(format!("fill f{style}")) width="12" height="12" {} }
                            span { (name(phase)) " " span.number { (percent(seconds / total)) ", " (duration(*seconds)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Keys and values.
pub(super) fn environment(rows: &[(String, String)]) -> Markup {
    html! {
        (key_values(rows.iter().take(ROWS).map(|(key, value)| (key.as_str(), name(value)))))
        (super::page::left_out(rows.len() as u64, ROWS, "row"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_are_one() {
        let parts = |count: u32| (1..=count).map(|part| (format!("p{part}"), f64::from(part))).collect();
        let of = |phases| super::phases(&Timing { phases, ..Timing::default() });
        assert_eq!(of(parts(7)).len(), 7);
        let many = of(parts(10));
        assert_eq!((many.len(), many[0].0.as_str(), many[7].clone()), (8, "p4", ("other".to_owned(), 6.0)));
        assert!(of(vec![("a".into(), f64::NAN), ("b".into(), 0.0)]).is_empty());
    }
}
