//! A confusion matrix → an image, readable from 2 to hundreds of classes: colours are shares of the
//! true class, numbers stand in the cells as long as there is room, labels are turned, shortened
//! and thinned out.

use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor};

use ml_core::metrics::ConfusionMatrix;

use super::canvas::{self, Canvas, GAP, INK, LABEL_SIZE, LINE, TITLE_SIZE, WHITE, width_of};
use super::labels::{Label, LabelStyle, labels};

pub use super::canvas::{Figure, FigureError};

/// From this many classes on there are no numbers in the cells.
const NUMBERS_UP_TO: usize = 25;
/// Pixels that the longest label may take.
const LABEL_LIMIT: i32 = 170;
const BAR_WIDTH: i32 = 16;

/// `ColorBrewer`'s sequential scheme "Blues", from no samples to all of a class.
const SHADES: [(f64, f64, f64); 5] = [
    (255.0, 255.0, 255.0),
    (198.0, 219.0, 239.0),
    (107.0, 174.0, 214.0),
    (33.0, 113.0, 181.0),
    (8.0, 48.0, 107.0),
];

/// Draws `matrix`: a row for each true class, a column for each predicted one, in the order of
/// `names`.
///
/// # Errors
/// The plotting library refuses.
///
/// # Panics
/// If there are not as many names as classes.
pub fn confusion_matrix(
    matrix: &ConfusionMatrix,
    names: &[String],
    title: &str,
) -> Result<Figure, FigureError> {
    assert_eq!(matrix.num_classes(), names.len(), "each class has a name");
    let layout = Layout::new(matrix, names, title);
    canvas::draw(layout.width, layout.height, |canvas| layout.draw(canvas, matrix, title))
}

/// Places and sizes, in pixels.
struct Layout {
    width: i32,
    height: i32,
    /// Top left of the cells.
    origin: (i32, i32),
    /// Side of a cell.
    cell: i32,
    classes: i32,
    /// Of the classes.
    labels: Vec<Label>,
    /// Every so many classes have a label.
    label_step: usize,
    label_size: i32,
    columns_turned: bool,
    /// Height of the column labels.
    below: i32,
}

impl Layout {
    fn new(matrix: &ConfusionMatrix, names: &[String], title: &str) -> Layout {
        let classes = names.len().max(1) as i32;
        let mut cell = (900 / classes).clamp(2, 56);
        if names.len() <= NUMBERS_UP_TO {
            // Room for the largest number.
            let widest = matrix.rows().flatten().max().map_or(0, |count| width_of(&count.to_string(), 11));
            cell = cell.max(widest + 6);
        }
        let label_size = LABEL_SIZE.min(cell.max(11));
        let measure = |text: &str| width_of(text, label_size);
        let color = INK.rgb();
        let style = LabelStyle { size: label_size, limit: LABEL_LIMIT, color, width: &measure };
        let labels = labels(names, &style);
        let label_step = ((label_size + 1) as f64 / f64::from(cell)).ceil().max(1.0) as usize;
        let widest = labels.iter().map(|label| label.width(&style)).max().unwrap_or(0);
        let columns_turned = widest + 4 > cell;
        let below = if columns_turned { widest } else { label_size };
        let origin = (GAP * 3 + LABEL_SIZE + widest, GAP * 2 + TITLE_SIZE);
        let side = cell * classes;
        // The bar of colours and its figures stand at the right.
        let right = GAP * 3 + BAR_WIDTH + width_of("100 %", 12);
        let title_end = origin.0 + width_of(title, TITLE_SIZE);
        Layout {
            width: (origin.0 + side + right + GAP).max(title_end + GAP),
            // A few classes leave too little height for the caption at the left.
            height: origin.1 + side.max(110) + GAP * 4 + below + LABEL_SIZE,
            origin,
            cell,
            classes,
            labels,
            label_step,
            label_size,
            columns_turned,
            below,
        }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, matrix: &ConfusionMatrix, title: &str) {
        let side = self.cell * self.classes;
        let (x0, y0) = self.origin;
        canvas.text(title, (x0, GAP), TITLE_SIZE, INK, (HPos::Left, VPos::Top), false);
        self.draw_cells(canvas, matrix);
        // A frame around the cells.
        canvas.rectangle((x0 - 1, y0 - 1), (x0 + side, y0 + side), INK, false);
        self.draw_labels(canvas);
        let middle = side / 2;
        let caption = (HPos::Center, VPos::Center);
        let bottom = y0 + side + GAP * 2 + self.below + LABEL_SIZE / 2;
        canvas.text("predicted class", (x0 + middle, bottom), LABEL_SIZE, INK, caption, false);
        canvas.text("true class", (GAP + LABEL_SIZE / 2, y0 + middle), LABEL_SIZE, INK, caption, true);
        self.draw_bar(canvas);
    }

    fn draw_cells(&self, canvas: &mut Canvas<'_>, matrix: &ConfusionMatrix) {
        let gap = i32::from(self.cell >= 8);
        for (row, counts) in matrix.rows().enumerate() {
            let support: u64 = counts.iter().sum();
            for (column, &count) in counts.iter().enumerate() {
                let corner =
                    (self.origin.0 + column as i32 * self.cell, self.origin.1 + row as i32 * self.cell);
                let share = if support == 0 { 0.0 } else { count as f64 / support as f64 };
                let end = (corner.0 + self.cell - 1, corner.1 + self.cell - 1);
                if gap > 0 {
                    canvas.rectangle(corner, end, LINE, true);
                }
                if count > 0 || gap > 0 {
                    canvas.rectangle(corner, (end.0 - gap, end.1 - gap), shade(share), true);
                }
                if matrix.num_classes() <= NUMBERS_UP_TO && count > 0 {
                    let ink = if share > 0.5 { WHITE } else { INK };
                    let text = count.to_string();
                    let size = (self.cell * 2 / 5).clamp(11, 16);
                    let size = if width_of(&text, size) + 4 > self.cell { 11 } else { size };
                    let centre = (corner.0 + self.cell / 2, corner.1 + self.cell / 2);
                    canvas.text(&text, centre, size, ink, (HPos::Center, VPos::Center), false);
                }
            }
        }
    }

    fn draw_labels(&self, canvas: &mut Canvas<'_>) {
        let side = self.cell * self.classes;
        let (x0, y0) = self.origin;
        for (class, label) in self.labels.iter().enumerate().step_by(self.label_step) {
            let along = class as i32 * self.cell + self.cell / 2;
            let left = (x0 - GAP, y0 + along);
            let at_left = (HPos::Right, VPos::Center);
            canvas.label(label, left, self.label_size, at_left, false);
            let below = (x0 + along, y0 + side + GAP);
            let below_cells = if self.columns_turned { at_left } else { (HPos::Center, VPos::Top) };
            canvas.label(label, below, self.label_size, below_cells, self.columns_turned);
            if self.label_step > 1 {
                // Says which line the label belongs to.
                canvas.rectangle((x0 - 5, y0 + along), (x0 - 2, y0 + along), INK, false);
                canvas.rectangle((x0 + along, y0 + side + 1), (x0 + along, y0 + side + 4), INK, false);
            }
        }
    }

    fn draw_bar(&self, canvas: &mut Canvas<'_>) {
        let height = (self.cell * self.classes).min(300);
        let left = self.origin.0 + self.cell * self.classes + GAP * 2;
        let top = self.origin.1;
        for y in 0..height {
            let share = 1.0 - f64::from(y) / f64::from(height - 1).max(1.0);
            canvas.rectangle((left, top + y), (left + BAR_WIDTH, top + y), shade(share), false);
        }
        canvas.rectangle((left, top), (left + BAR_WIDTH, top + height - 1), INK, false);
        for (share, text) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
            let y = top + 6 + ((1.0 - share) * f64::from(height - 12)) as i32;
            let place = (left + BAR_WIDTH + 5, y);
            canvas.text(text, place, 12, INK, (HPos::Left, VPos::Center), false);
        }
    }
}

/// The colour of a share of a class's samples, in `0..=1`; few can be distinguished from none.
fn shade(share: f64) -> RGBColor {
    let share = if share > 0.0 { 0.05 + 0.95 * share } else { 0.0 };
    let place = share * (SHADES.len() - 1) as f64;
    let below = (place as usize).min(SHADES.len() - 2);
    let (a, b, part) = (SHADES[below], SHADES[below + 1], place - below as f64);
    let mix = |from: f64, to: f64| (from + (to - from) * part).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mostly right, with a few confusions, different for each class.
    fn example(classes: usize, scale: u64) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(classes);
        for truth in 0..classes {
            for _ in 0..scale {
                matrix.add(truth, truth);
            }
            for other in 1..=truth % 4 {
                matrix.add(truth, (truth + other * 3) % classes);
            }
        }
        matrix
    }

    /// Set `FIGURES_DIR` to look at them.
    fn keep(name: &str, figure: &Figure) {
        if let Some(dir) = std::env::var_os("FIGURES_DIR") {
            std::fs::write(std::path::Path::new(&dir).join(name), figure.to_png().unwrap()).unwrap();
        }
    }

    fn pixel(figure: &Figure, x: i32, y: i32) -> [u8; 3] {
        let at = (y as usize * figure.width as usize + x as usize) * 3;
        figure.rgb[at..at + 3].try_into().unwrap()
    }

    #[test]
    fn every_cell_has_the_colour_of_its_share() {
        for classes in [2, 3, 10, 25, 26, 60, 120, 450] {
            let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
            let matrix = example(classes, 9);
            let figure = confusion_matrix(&matrix, &names, "Confusion matrix").unwrap();
            keep(&format!("{classes}.png"), &figure);
            let layout = Layout::new(&matrix, &names, "Confusion matrix");
            for (row, column) in [(0, 0), (classes - 1, classes - 1), (0, 1), (classes - 1, 0)] {
                let share = matrix.count(row, column) as f64 / matrix.support(row) as f64;
                let RGBColor(r, g, b) = shade(share);
                let corner = layout.origin;
                // The corner of a cell is free of its number.
                let found = pixel(
                    &figure,
                    corner.0 + column as i32 * layout.cell,
                    corner.1 + row as i32 * layout.cell,
                );
                assert_eq!(found, [r, g, b], "{classes} classes, cell {row} {column}");
            }
            let bar = layout.origin.0 + classes as i32 * layout.cell + GAP * 2 + BAR_WIDTH / 2;
            let RGBColor(r, g, b) = shade(1.0);
            assert!(
                pixel(&figure, bar, layout.origin.1 + 2)
                    .iter()
                    .zip([r, g, b])
                    .all(|(a, b)| a.abs_diff(b) < 16)
            );
        }
    }

    #[test]
    fn long_odd_and_empty_names_and_large_counts_are_drawn() {
        let names = [
            "",
            "x",
            "a name so long that it would push the cells out of the image",
            "日本\n",
            "Žluťoučký kůň",
        ];
        let names = names.map(str::to_owned);
        let mut matrix = example(5, 20);
        matrix.add_many(0, 0, 1_234_567);
        let figure = confusion_matrix(&matrix, &names, "Confusion matrix, test split").unwrap();
        keep("odd.png", &figure);
        assert!(figure.width < 900, "{}", figure.width);
    }

    /// With `FIGURES_DIR` and fonts for them, each name is to be seen.
    #[test]
    fn names_of_any_script_are_drawn_and_differ() {
        let names = [
            "\u{732b}",
            "\u{72d7}",
            "\u{441}\u{43e}\u{431}\u{430}\u{43a}\u{430}",
            "\u{642}\u{637}\u{629} \u{635}\u{63a}\u{64a}\u{631}\u{629}",
            "\u{5db}\u{5dc}\u{5d1} 12",
            "\u{e41}\u{e21}\u{e27}\u{e19}\u{e49}\u{e33}",
            "\u{92c}\u{93f}\u{932}\u{94d}\u{932}\u{940}",
            "\u{1f431} cat",
            "e\u{301}te\u{301}",
            "\u{d55c}\u{ae00}\u{3053}\u{306d}\u{3053}",
            "plain",
        ];
        let names = names.map(str::to_owned);
        for (name, title) in [("scripts.png", "Confusion matrix"), ("scripts_again.png", "The same")] {
            let started = std::time::Instant::now();
            let figure = confusion_matrix(&example(names.len(), 9), &names, title).unwrap();
            keep(name, &figure);
            println!("{name}: {:?}", started.elapsed());
        }
    }

    #[test]
    fn a_matrix_without_samples_is_white_and_the_png_can_be_read() {
        let names = ["a".to_owned(), "b".to_owned()];
        let figure = confusion_matrix(&ConfusionMatrix::new(2), &names, "nothing").unwrap();
        let read = image::load_from_memory(&figure.to_png().unwrap()).unwrap().to_rgb8();
        assert_eq!((read.width(), read.height()), (figure.width, figure.height));
        assert_eq!(read.into_raw(), figure.rgb);
    }
}
