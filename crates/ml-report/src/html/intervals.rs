//! Estimates and their intervals → dots on lines, one below the other.

use maud::{Markup, html};

use super::format::{percent, percent_range, plain, shorten};
use super::plot::units;
use super::scale::{Axis, Unit};
use super::value::Estimate;

const WIDTH: f64 = 440.0;
const LEFT: f64 = 104.0;
const RIGHT: f64 = 24.0;
const STEP: f64 = 24.0;
const BELOW: f64 = 26.0;
/// Characters of a name.
const NAME_LIMIT: usize = 15;

/// An estimate and its name.
pub(super) struct Row {
    /// At the left.
    pub name: String,
    /// A fraction in 0 to 1.
    pub estimate: Estimate,
    /// Whether it is set apart from the others.
    pub is_mean: bool,
}

/// A figure of all rows that have a value; nothing without one.
pub(super) fn dots(title: &str, rows: &[Row]) -> Markup {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.estimate.value.is_finite()).collect();
    let values = rows.iter().flat_map(|row| {
        let ends = row.estimate.interval.map(|interval| [interval.low, interval.high]);
        std::iter::once(row.estimate.value).chain(ends.into_iter().flatten())
    });
    let axis = Axis::over(values, Unit::Percent);
    let bottom = rows.len() as f64 * STEP;
    let x = |value: f64| axis.place(value).map(|place| LEFT + place * (WIDTH - LEFT - RIGHT));
    html! {
        @if !rows.is_empty() {
            figure.plot {
                figcaption { (title) }
                svg viewBox=(format!("0 0 {WIDTH} {}", bottom + BELOW)) role="img" aria-label=(title) {
                    @for (value, text) in &axis.ticks {
                        @if let Some(x) = x(*value) {
                            line.grid x1=(units(x)) y1="0" x2=(units(x)) y2=(bottom) {}
                            text x=(units(x)) y=(bottom + 17.0) text-anchor="middle" { (text) }
                        }
                    }
                    @for (index, row) in rows.iter().enumerate() {
                        @let y = (index as f64 + 0.5) * STEP;
                        @let style = if row.is_mean { "s1" } else { "s0" };
                        g {
                            title { (tooltip(row)) }
                            text x=(LEFT - 8.0) y=(units(y + 4.0)) text-anchor="end" { (shorten(&plain(&row.name), NAME_LIMIT)) }
                            @if let Some((low, high)) = row.estimate.interval.and_then(|of| Some((x(of.low)?, x(of.high)?))) {
                                line class=(format!("whisker {style}")) x1=(units(low)) y1=(units(y)) x2=(units(high)) y2=(units(y)) {}
                            }
                            @if let Some(x) = x(row.estimate.value) {
                                circle class=(format!("dot {style}")) cx=(units(x)) cy=(units(y)) r="4" {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tooltip(row: &Row) -> String {
    let interval = row.estimate.interval.map(|of| format!(" ({})", percent_range(of))).unwrap_or_default();
    format!("{}: {}{interval}", plain(&row.name), percent(row.estimate.value))
}
