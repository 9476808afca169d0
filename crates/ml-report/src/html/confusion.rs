//! The confusion matrix: with numbers, colours only, or the most confused pairs, by the number of
//! classes.

use maud::{Markup, html};

use super::format::{self, SPACE, name, plain, shorten};
use super::page::{clamped, scroll};
use super::plot::units;
use super::results::Confusion;

/// Classes up to which the cells have numbers.
const NUMBERS_UP_TO: usize = 25;
/// Classes up to which there is a matrix.
const COLORS_UP_TO: usize = 60;
/// Pairs shown instead of a larger matrix.
const PAIRS: usize = 30;
/// Characters of a class in the margin.
const LABEL_LIMIT: usize = 22;
/// Units that a label takes in the margin.
const MARGIN: f64 = 150.0;

/// What fits the number of classes.
pub(super) fn confusion(matrix: &Confusion) -> Markup {
    let classes = matrix.classes.len();
    html! {
        @if classes <= COLORS_UP_TO {
            p {
                "Images of the " (name(&matrix.split)) " split. Rows are true classes, columns are predicted classes; "
                "the stronger the colour of a cell, the larger its share of the row’s images. "
                "Blue is right, orange is wrong."
            }
            @if classes <= NUMBERS_UP_TO { (numbers(matrix)) } @else { (colors(matrix)) }
            (scale())
        } @else {
            p {
                "A matrix of " (format::count(classes as u64)) " classes is too large to show. The most confused "
                "pairs of the " (name(&matrix.split)) " split:"
            }
            (pairs(matrix))
        }
    }
}

/// How strong the colour of a share is, up to 1; small shares of wrong predictions stay visible.
fn strength(share: f64) -> f64 {
    0.15 + 0.85 * share.clamp(0.0, 1.0).powf(0.7)
}

/// Class of a cell: its hue, and the colour of the number on it in light and in dark mode. The
/// limits are where black and white have the same contrast to the cell.
fn cell_class(is_right: bool, strength: f64) -> String {
    let hue = if is_right { "right" } else { "wrong" };
    let text = match strength {
        strength if strength < 0.535 => "weak",
        strength if strength < 0.775 => "medium",
        _ => "strong",
    };
    format!("{hue} {text}")
}

/// `rose predicted as tulip: 12 of 200 (6.0 %)`.
fn cell_title(matrix: &Confusion, row: usize, column: usize, support: u64) -> String {
    let count = matrix.count(row, column);
    let class = |index: usize| shorten(&plain(&matrix.classes[index]), 80);
    let (row, column) = (class(row), class(column));
    let share = format::percent(count as f64 / support as f64);
    format!("{row} predicted as {column}: {} of {} ({share})", format::count(count), format::count(support))
}

fn numbers(matrix: &Confusion) -> Markup {
    let support = matrix.support();
    let label = |class: &String| html! { span.label title=(plain(class)) { (name(&shorten(&plain(class), LABEL_LIMIT))) } };
    let table = html! {
        table.matrix {
            thead {
                tr {
                    th.corner scope="col" { "true ↓" br; "predicted →" }
                    @for class in &matrix.classes { th.column scope="col" { (label(class)) } }
                    th.column scope="col" { span.label { "images" } }
                }
            }
            tbody {
                @for (row, class) in matrix.classes.iter().enumerate() {
                    tr {
                        th scope="row" { (label(class)) }
                        @for column in 0..matrix.classes.len() { (number(matrix, row, column, support[row])) }
                        td.support { (format::count(support[row])) }
                    }
                }
            }
        }
    };
    scroll("Confusion matrix", &table)
}

fn number(matrix: &Confusion, row: usize, column: usize, support: u64) -> Markup {
    let count = matrix.count(row, column);
    if count == 0 {
        return html! { td {} };
    }
    let strength = strength(count as f64 / support as f64);
    html! {
        td class=(cell_class(row == column, strength)) style=(super::classes::share(strength))
            title=(cell_title(matrix, row, column, support)) { (format::count(count)) }
    }
}

fn colors(matrix: &Confusion) -> Markup {
    let classes = matrix.classes.len();
    let cell = (560.0 / classes as f64).clamp(11.0, 20.0);
    let side = cell * classes as f64;
    let (width, height) = (MARGIN + side + 4.0, MARGIN + side + 4.0);
    let support = matrix.support();
    let label = |class: &String| shorten(&plain(class), LABEL_LIMIT);
    let middle = |index: usize| MARGIN + (index as f64 + 0.5) * cell;
    let svg = html! {
        svg.heat viewBox=(format!("0 0 {} {}", units(width), units(height))) role="img"
            style=(format!("width:{}px", width.round())) aria-label="Confusion matrix" {
            rect.frame x=(MARGIN) y=(MARGIN) width=(units(side)) height=(units(side)) {}
            @for (index, class) in matrix.classes.iter().enumerate() {
                text x=(MARGIN - 5.0) y=(units(middle(index) + 3.5)) text-anchor="end" { (label(class)) title { (plain(class)) } }
                text transform=(format!("translate({} {}) rotate(-90)", units(middle(index) + 3.5), MARGIN - 5.0)) {
                    (label(class)) title { (plain(class)) }
                }
            }
            @for row in 0..classes {
                @for column in (0..classes).filter(|column| matrix.count(row, *column) > 0) {
                    rect.(if row == column { "right" } else { "wrong" }) x=(units(MARGIN + column as f64 * cell))
                        y=(units(MARGIN + row as f64 * cell)) width=(units(cell)) height=(units(cell))
                        fill-opacity=(format!("{:.2}", strength(matrix.count(row, column) as f64 / support[row] as f64))) {
                        title { (cell_title(matrix, row, column, support[row])) }
                    }
                }
            }
        }
    };
    scroll("Confusion matrix", &svg)
}

/// The colours and their shares.
fn scale() -> Markup {
    html! {
        div.heat-scale aria-hidden="true" {
            @for (is_right, text) in [(true, "right"), (false, "wrong")] {
                div {
                    span { (text) }
                    @for share in [0.01, 0.05, 0.2, 0.5, 0.8, 1.0] {
                        @let strength = strength(share);
                        span class=(cell_class(is_right, strength)) style=(super::classes::share(strength)) {
                            (format!("{:.0}{SPACE}%", share * 100.0))
                        }
                    }
                }
            }
        }
    }
}

/// The pairs with the most images, as row, column and count.
pub(super) fn most_confused(matrix: &Confusion, limit: usize) -> Vec<(usize, usize, u64)> {
    let classes = matrix.classes.len();
    let mut pairs = Vec::new();
    for row in 0..classes {
        let wrong = (0..classes)
            .filter(|column| *column != row)
            .map(|column| (row, column, matrix.count(row, column)));
        pairs.extend(wrong.filter(|pair| pair.2 > 0));
    }
    pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.2), pair.0, pair.1));
    pairs.truncate(limit);
    pairs
}

fn pairs(matrix: &Confusion) -> Markup {
    let support = matrix.support();
    let pairs = most_confused(matrix, PAIRS);
    if pairs.is_empty() {
        return html! { p { "None: every image was predicted right." } };
    }
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "True class" }
                    th.text scope="col" { "Predicted" }
                    th scope="col" { "Images" }
                    th scope="col" { "Of the true class" }
                }
            }
            tbody {
                @for (row, column, count) in pairs {
                    tr {
                        th scope="row" { (clamped(&matrix.classes[row])) }
                        td.text { (clamped(&matrix.classes[column])) }
                        td { (format::count(count)) }
                        td { (format::percent(count as f64 / support[row] as f64)) }
                    }
                }
            }
        }
    };
    scroll("Most confused pairs", &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_confused_pairs_come_first() {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let matrix = Confusion { split: "test".into(), classes, counts: vec![9, 1, 0, 4, 5, 2, 0, 0, 7] };
        assert_eq!(most_confused(&matrix, 2), [(1, 0, 4), (1, 2, 2)]);
        assert_eq!(matrix.support(), [10, 11, 7]);
    }

    #[test]
    fn the_number_of_classes_chooses_the_form() {
        let shown = |count: usize| {
            let classes = (0..count).map(|class| format!("c{class}")).collect();
            let counts = (0..count * count).map(|cell| u64::from(cell % (count + 1) == 0) * 9 + 1).collect();
            let html = confusion(&Confusion { split: "val".into(), classes, counts }).into_string();
            [
                html.contains("table class=\"matrix\""),
                html.contains("<svg class=\"heat\""),
                html.contains("too large"),
            ]
        };
        assert_eq!(shown(25), [true, false, false]);
        assert_eq!(shown(26), [false, true, false]);
        assert_eq!(shown(61), [false, false, true]);
        // Counts that do not fit the classes are read as zeros.
        let odd = Confusion { split: "val".into(), classes: vec!["a".into(); 3], counts: vec![1] };
        assert!(confusion(&odd).into_string().contains("matrix"));
    }
}
