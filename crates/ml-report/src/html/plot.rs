//! Curves → inline SVG that takes its colours from the page's style sheet.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::{Axis, thin};

/// Units of the drawing; text is 12 of them high, which stays readable at the width of a phone.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 46.0;
/// Up to this many points each has a dot.
const DOTS_UP_TO: usize = 15;

/// A curve.
pub(super) struct Series {
    /// In the legend.
    pub name: String,
    /// In order of x; NaN leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Number of its colour and dash pattern.
    pub style: usize,
}

/// A vertical line with a text, and a dot where it meets a curve.
pub(super) struct Mark {
    /// Where.
    pub x: f64,
    /// Of the dot.
    pub y: Option<f64>,
    /// Above the line.
    pub text: String,
}

/// Curves in one pair of axes.
pub(super) struct Plot {
    /// Above the plot.
    pub title: String,
    /// Of the horizontal axis.
    pub x_label: &'static str,
    /// Of the vertical axis, said by screen readers.
    pub y_label: &'static str,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
    /// Below the curves; bars at x with a width and a height in 0 to 1 of the plot.
    pub bars: Vec<(f64, f64, f64)>,
    /// A line from corner to corner.
    pub diagonal: Option<&'static str>,
    /// A marked place.
    pub mark: Option<Mark>,
}

impl Plot {
    /// With axes only.
    pub fn new(title: impl Into<String>, x: (&'static str, Axis), y: (&'static str, Axis)) -> Plot {
        Plot {
            title: title.into(),
            x_label: x.0,
            y_label: y.0,
            x: x.1,
            y: y.1,
            series: Vec::new(),
            bars: Vec::new(),
            diagonal: None,
            mark: None,
        }
    }

    /// As a figure with its title and legend.
    pub fn render(&self) -> Markup {
        html! {
            figure.plot {
                figcaption { (self.title) }
                @if self.series.len() > 1 || self.diagonal.is_some() { (self.legend()) }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.description()) {
                    (self.axes())
                    @for (x, width, height) in &self.bars { (self.bar(*x, *width, *height)) }
                    @if self.diagonal.is_some() {
                        line.ideal x1=(LEFT) y1=(HEIGHT - BOTTOM) x2=(WIDTH - RIGHT) y2=(TOP) {}
                    }
                    @if let Some(mark) = &self.mark { (self.mark_line(mark)) }
                    @for series in &self.series { (self.curve(series)) }
                    @if let Some(mark) = &self.mark { (self.mark_dot(mark)) }
                }
            }
        }
    }

    fn description(&self) -> String {
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        let mark = self.mark.as_ref().map(|mark| format!("; {}", mark.text)).unwrap_or_default();
        format!("{}: {} by {}, {}{mark}", self.title, self.y_label, self.x_label, names.join(", "))
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for series in &self.series {
                    li {
                        svg viewBox="0 0 28 10" aria-hidden="true" {
                            line class=(format!("curve s{}", series.style)) x1="1" y1="5" x2="27" y2="5" {}
                        }
                        (super::format::name(&series.name))
                        @if series.points.iter().all(|point| self.y.place(point.1).is_none()) { " (no values)" }
                    }
                }
                @if let Some(name) = self.diagonal {
                    li {
                        svg viewBox="0 0 28 10" aria-hidden="true" { line.ideal x1="1" y1="5" x2="27" y2="5" {} }
                        (name)
                    }
                }
            }
        }
    }

    fn axes(&self) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        html! {
            @for (value, text) in &self.y.ticks {
                @let y = self.y_of(*value).unwrap_or(bottom);
                line.grid x1=(LEFT) y1=(units(y)) x2=(right) y2=(units(y)) {}
                text x=(LEFT - 7.0) y=(units(y + 4.0)) text-anchor="end" { (text) }
            }
            @for (value, text) in &self.x.ticks {
                @let x = self.x_of(*value).unwrap_or(LEFT);
                line.tick x1=(units(x)) y1=(bottom) x2=(units(x)) y2=(bottom + 5.0) {}
                text x=(units(x)) y=(bottom + 19.0) text-anchor="middle" { (text) }
            }
            line.axis x1=(LEFT) y1=(bottom) x2=(right) y2=(bottom) {}
            text.label x=(f64::midpoint(LEFT, right)) y=(HEIGHT - 7.0) text-anchor="middle" { (self.x_label) }
        }
    }

    fn bar(&self, x: f64, width: f64, height: f64) -> Markup {
        let (left, right) = (self.x_of(x - width / 2.0), self.x_of(x + width / 2.0));
        let tall = height.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP);
        html! {
            @if let (Some(left), Some(right)) = (left, right) {
                rect.count x=(units(left)) y=(units(HEIGHT - BOTTOM - tall)) width=(units((right - left).max(0.5)))
                    height=(units(tall)) {}
            }
        }
    }

    fn curve(&self, series: &Series) -> Markup {
        let points = thin(&series.points);
        let places: Vec<Option<(f64, f64)>> =
            points.iter().map(|point| Some((self.x_of(point.0)?, self.y_of(point.1)?))).collect();
        let mut path = String::new();
        let mut dots = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let Some((x, y)) = *place else { continue };
            let before = index > 0 && places[index - 1].is_some();
            let after = places.get(index + 1).is_some_and(Option::is_some);
            let _ = write!(path, "{}{} {}", if before { 'L' } else { 'M' }, units(x), units(y));
            // A point between gaps has no line.
            if places.len() <= DOTS_UP_TO || !(before || after) {
                dots.push((x, y));
            }
        }
        html! {
            @if !path.is_empty() { path class=(format!("curve s{}", series.style)) d=(path) {} }
            @for (x, y) in dots {
                circle class=(format!("dot s{}", series.style)) cx=(units(x)) cy=(units(y)) r="3" {}
            }
        }
    }

    fn mark_line(&self, mark: &Mark) -> Markup {
        let x = self.x_of(mark.x).unwrap_or(LEFT);
        let anchor = match (x - LEFT) / (WIDTH - RIGHT - LEFT) {
            share if share < 0.3 => "start",
            share if share > 0.7 => "end",
            _ => "middle",
        };
        html! {
            line.mark x1=(units(x)) y1=(TOP - 4.0) x2=(units(x)) y2=(HEIGHT - BOTTOM) {}
            text.marked x=(units(x)) y=(TOP - 9.0) text-anchor=(anchor) { (mark.text) }
        }
    }

    fn mark_dot(&self, mark: &Mark) -> Markup {
        let place = mark.y.and_then(|y| Some((self.x_of(mark.x)?, self.y_of(y)?)));
        html! {
            @if let Some((x, y)) = place { circle.ring cx=(units(x)) cy=(units(y)) r="5" {} }
        }
    }

    fn x_of(&self, value: f64) -> Option<f64> {
        self.x.place(value).map(|place| LEFT + place * (WIDTH - RIGHT - LEFT))
    }

    fn y_of(&self, value: f64) -> Option<f64> {
        self.y.place(value).map(|place| HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP))
    }
}

/// A coordinate, to a tenth of a unit.
pub(super) fn units(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::scale::Unit;
    use super::*;

    fn drawn(points: &[(f64, f64)]) -> String {
        let axis = || Axis::fixed(0.0, 10.0, Unit::Number);
        let mut plot = Plot::new("title", ("x", axis()), ("y", axis()));
        plot.series.push(Series { name: "a".into(), points: points.to_vec(), style: 0 });
        plot.render().into_string()
    }

    #[test]
    fn a_gap_interrupts_the_line_and_a_lone_point_is_a_dot() {
        let mut points: Vec<(f64, f64)> = (0..40).map(|x| (f64::from(x) / 4.0, 1.0)).collect();
        assert_eq!(drawn(&points).matches('M').count(), 1);
        points[10].1 = f64::NAN;
        points[12].1 = f64::INFINITY;
        let svg = drawn(&points);
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 3);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_single_point_is_drawn() {
        assert_eq!(drawn(&[(1.0, 1.0)]).matches("<circle").count(), 1);
    }
}
