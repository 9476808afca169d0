//! Classes as bars in a table, sizes as a drawing.

use std::collections::BTreeMap;

use super::{escape, short};
use crate::check::report::{ClassSummary, Report, Sizes};
use crate::text::grouped;

/// Rows of the class table; of more classes the largest and the smallest are shown.
const CLASSES: usize = 100;
/// Colours of splits in the style sheet.
const COLORS: usize = 6;

/// A row a class, from the largest to the smallest.
pub(super) fn classes(report: &Report) -> String {
    if report.classes.is_empty() {
        return String::new();
    }
    let mut classes: Vec<&ClassSummary> = report.classes.iter().collect();
    classes.sort_by_key(|class| std::cmp::Reverse(class.images));
    let most = classes[0].images.max(1);
    let row = |class: &&ClassSummary| row(report, class, most);
    let rows: String = if classes.len() > CLASSES {
        let (first, last) = (&classes[..CLASSES / 2], &classes[classes.len() - CLASSES / 2..]);
        let left_out = grouped(classes.len() - CLASSES);
        let gap = format!(
            "<tr><td class=\"soft\" colspan=\"7\">{left_out} classes in between are left out here</td></tr>\n"
        );
        first.iter().map(row).chain([gap]).chain(last.iter().map(row)).collect()
    } else {
        classes.iter().map(row).collect()
    };
    format!(
        "<h2>Classes</h2>\n<div class=\"card scroll\">{}<table>\n<tr><th>Class</th><th></th><th class=\"n\">Images</th>\
         <th class=\"n\">Unreadable</th><th class=\"n\">Copies</th><th class=\"n\">Alike</th><th class=\"n\">Median pixels</th></tr>\n\
         {rows}</table></div>\n",
        legend(report)
    )
}

fn row(report: &Report, class: &ClassSummary, most: usize) -> String {
    let part = |count: usize, color: usize| {
        let width = 100.0 * count as f64 / most as f64;
        format!("<i class=\"s{}\" style=\"width:{width:.2}%\"></i>", color % COLORS)
    };
    let mut left = class.images;
    let mut parts = String::new();
    for (color, split) in report.splits.iter().enumerate() {
        let count = class.splits.get(split).copied().unwrap_or(0);
        left -= count;
        parts += &part(count, color);
    }
    // Without splits, or in none of them.
    parts += &part(left, if report.splits.is_empty() { 0 } else { COLORS - 1 });
    let some = |count: usize| if count == 0 { "–".to_owned() } else { grouped(count) };
    let size = match class.usable {
        0 => "–".to_owned(),
        _ => format!("{} × {}", class.median_width, class.median_height),
    };
    format!(
        "<tr><td>{}</td><td class=\"bar\"><div class=\"track\">{parts}</div></td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{size}</td></tr>\n",
        short(&class.name),
        grouped(class.images),
        some(class.images - class.usable),
        some(class.duplicates),
        some(class.near_duplicates),
    )
}

fn legend(report: &Report) -> String {
    if report.splits.is_empty() {
        return String::new();
    }
    let entry = |(color, split): (usize, &String)| {
        let total: usize = report.classes.iter().filter_map(|class| class.splits.get(split)).sum();
        format!("<span><i class=\"s{}\"></i>{} ({})</span>", color % COLORS, escape(split), grouped(total))
    };
    let entries: String = report.splits.iter().enumerate().map(entry).collect();
    format!("<div class=\"legend\">{entries}</div>")
}

/// Width of the drawing, its height, and the margin for the axes.
const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 380.0;
const MARGIN: f64 = 48.0;
/// Steps of a doubling into which sizes are drawn together, so that a million images are a few
/// circles.
const STEPS: f64 = 4.0;
/// Circles at most: beyond, the rarest sizes are left out.
const CIRCLES: usize = 1500;

/// Width against height on doubling scales; the area of a circle is the number of images.
pub(super) fn sizes(report: &Report) -> String {
    let Some(sizes) = &report.sizes else { return String::new() };
    if sizes.min == sizes.max {
        let [width, height] = sizes.min;
        return format!(
            "<h2>Sizes</h2>\n<div class=\"card\">All images are {width} × {height} pixels.</div>\n"
        );
    }
    let (bins, left_out) = binned(report);
    let plot = Plot {
        low: [f64::from(sizes.min[0]).log2() - 0.5, f64::from(sizes.min[1]).log2() - 0.5],
        high: [f64::from(sizes.max[0]).log2() + 0.5, f64::from(sizes.max[1]).log2() + 0.5],
    };
    let more = match left_out {
        0 => String::new(),
        _ => format!("<p class=\"more\">{} images of rare sizes are left out.</p>", grouped(left_out)),
    };
    format!(
        "<h2>Sizes</h2>\n<div class=\"card\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Sizes of images\">\n\
         {}{}{}</svg>\n<p class=\"soft\">The dashed lines are the medians; a circle's area is the number of images.</p>{more}</div>\n",
        plot.axes(),
        plot.medians(sizes),
        plot.circles(&bins)
    )
}

/// A place on both scales, in steps, and the number of images there.
type Bin = ((i64, i64), usize);

/// The commonest sizes, and how many images have others.
fn binned(report: &Report) -> (Vec<Bin>, usize) {
    let mut bins: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    let step = |side: u32| (f64::from(side).log2() * STEPS).round() as i64;
    for (width, height) in report.files.iter().filter_map(|file| file.size) {
        *bins.entry((step(width), step(height))).or_default() += 1;
    }
    let mut bins: Vec<Bin> = bins.into_iter().collect();
    bins.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let left_out = bins.iter().skip(CIRCLES).map(|(_, count)| count).sum();
    bins.truncate(CIRCLES);
    (bins, left_out)
}

/// Both scales, as binary logarithms of width and height.
struct Plot {
    low: [f64; 2],
    high: [f64; 2],
}

/// The edges of the drawing within its axes.
const RIGHT: f64 = WIDTH - 16.0;
const BOTTOM: f64 = HEIGHT - MARGIN;
const TOP: f64 = 16.0;

impl Plot {
    fn x(&self, log: f64) -> f64 {
        MARGIN + (log - self.low[0]) / (self.high[0] - self.low[0]) * (RIGHT - MARGIN)
    }

    fn y(&self, log: f64) -> f64 {
        BOTTOM + (log - self.low[1]) / (self.high[1] - self.low[1]) * (TOP - BOTTOM)
    }

    fn axes(&self) -> String {
        let mut svg = String::new();
        for power in self.ticks(0) {
            let x = self.x(f64::from(power));
            svg += &vertical("axis", x);
            let y = BOTTOM + 18.0;
            svg +=
                &format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>\n", 1_u64 << power);
        }
        for power in self.ticks(1) {
            let y = self.y(f64::from(power));
            svg += &horizontal("axis", y);
            let (x, y) = (MARGIN - 8.0, y + 4.0);
            svg += &format!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>\n", 1_u64 << power);
        }
        let y = HEIGHT - 8.0;
        svg += &format!("<text x=\"{RIGHT}\" y=\"{y}\" text-anchor=\"end\">width in pixels</text>\n");
        svg + &format!("<text x=\"{MARGIN}\" y=\"11\">height in pixels</text>\n")
    }

    fn medians(&self, sizes: &Sizes) -> String {
        vertical("mid", self.x(f64::from(sizes.median_width).log2()))
            + &horizontal("mid", self.y(f64::from(sizes.median_height).log2()))
    }

    fn circles(&self, bins: &[Bin]) -> String {
        let most = bins.first().map_or(1, |(_, count)| *count) as f64;
        let side = |step: i64| 2_f64.powf(step as f64 / STEPS).round();
        let circle = |((width, height), count): &Bin| {
            let radius = 3.0 + 17.0 * (*count as f64 / most).sqrt();
            let (x, y) = (self.x(*width as f64 / STEPS), self.y(*height as f64 / STEPS));
            format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>about {} × {} pixels: {}</title></circle>\n",
                side(*width),
                side(*height),
                grouped(*count)
            )
        };
        bins.iter().map(circle).collect()
    }

    /// Powers of two on an axis.
    fn ticks(&self, axis: usize) -> std::ops::RangeInclusive<u32> {
        self.low[axis].ceil().max(0.0) as u32..=self.high[axis].floor().max(0.0) as u32
    }
}

fn vertical(class: &str, x: f64) -> String {
    format!("<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\n")
}

fn horizontal(class: &str, y: f64) -> String {
    format!("<line class=\"{class}\" x1=\"{MARGIN}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n")
}
