//! Maps of the plane without randomness: pixels + a map from the result to the source → pixels of
//! the same size, to the byte what Pillow's `Image.transform` and `Image.rotate` give.
//!
//! A map takes the centre of a pixel of the result, in pixels, to a place in the source. Results
//! whose place lies outside of the source get the fill colour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::Pixels;
use crate::geometry::Size;

/// How a moved image's pixels are computed from the original's. There is no antialiasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The pixel in which the place lies.
    #[default]
    Nearest,
    /// Linear between the four pixels around the place.
    Bilinear,
}

/// An affine map `[a, b, c, d, e, f]`: (x, y) of the result comes from (ax + by + c, dx + ey + f).
pub type Matrix = [f64; 6];

/// The parameters of torchvision's `affine`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineParams {
    /// In degrees, clockwise.
    pub angle: f64,
    /// To the right and down, in whole pixels.
    pub translate: [i64; 2],
    /// Above 0; 1 keeps the size.
    pub scale: f64,
    /// Along x and along y, in degrees, within -90 to 90 (exclusive).
    pub shear: [f64; 2],
}

impl AffineParams {
    /// Changes nothing.
    pub const IDENTITY: AffineParams =
        AffineParams { angle: 0.0, translate: [0, 0], scale: 1.0, shear: [0.0, 0.0] };

    /// The map from the result to the source, about `center` (x, y): shear, scaling, rotation,
    /// translation, undone in reverse.
    pub fn inverse_matrix(&self, [center_x, center_y]: [f64; 2]) -> Matrix {
        let rotation = self.angle.to_radians();
        let [shear_x, shear_y] = self.shear.map(f64::to_radians);
        let [move_x, move_y] = self.translate.map(|pixels| pixels as f64);
        // Rotation by shear_y and the two shears in one, without the scale; its determinant is 1.
        let turned = rotation - shear_y;
        let a = turned.cos() / shear_y.cos();
        let b = -turned.cos() * shear_x.tan() / shear_y.cos() - rotation.sin();
        let c = turned.sin() / shear_y.cos();
        let d = -turned.sin() * shear_x.tan() / shear_y.cos() + rotation.cos();
        let [d, b, c, a] = [d, -b, -c, a].map(|entry| entry / self.scale);
        let (from_x, from_y) = (-center_x - move_x, -center_y - move_y);
        [d, b, d * from_x + b * from_y + center_x, c, a, c * from_x + a * from_y + center_y]
    }
}

/// torchvision's `affine` about the middle of the image.
pub fn affine(pixels: &Pixels, params: &AffineParams, sampling: Sampling, fill: [u8; 3]) -> Pixels {
    let center = [f64::from(pixels.width) * 0.5, f64::from(pixels.height) * 0.5];
    transform(pixels, &params.inverse_matrix(center), sampling, fill)
}

/// Rotates about the middle by `angle` degrees, counter-clockwise; corners that leave the image are
/// lost.
pub fn rotate(pixels: &Pixels, angle: f64, sampling: Sampling, fill: [u8; 3]) -> Pixels {
    let angle = angle.rem_euclid(360.0);
    if angle == 0.0 {
        return pixels.clone();
    }
    if angle == 180.0 {
        let mut turned = pixels.clone();
        turned.data.as_chunks_mut::<3>().0.reverse();
        return turned;
    }
    if (angle == 90.0 || angle == 270.0) && pixels.width == pixels.height {
        return quarter_turn(pixels, angle == 90.0);
    }
    transform(pixels, &rotation_matrix(Size::of(pixels), angle), sampling, fill)
}

/// The map from the result to the source of [`rotate`].
pub fn rotation_matrix(size: Size, angle: f64) -> Matrix {
    let (center_x, center_y) = (f64::from(size.width) / 2.0, f64::from(size.height) / 2.0);
    let radians = -angle.to_radians();
    // To 15 decimals, so that quarter turns have no rest. By way of the text, as a product would be
    // rounded itself.
    let rounded = |value: f64| format!("{value:.15}").parse().unwrap_or(value);
    let (cos, sin, minus_sin) = (rounded(radians.cos()), rounded(radians.sin()), rounded(-radians.sin()));
    [
        cos,
        sin,
        cos * -center_x + sin * -center_y + center_x,
        minus_sin,
        cos,
        minus_sin * -center_x + cos * -center_y + center_y,
    ]
}

/// A square image turned by 90 degrees, without arithmetic.
fn quarter_turn(pixels: &Pixels, counter_clockwise: bool) -> Pixels {
    let side = pixels.width as usize;
    let (from, _) = pixels.data.as_chunks::<3>();
    let mut data = Vec::with_capacity(pixels.data.len());
    for y in 0..side {
        for x in 0..side {
            let source = if counter_clockwise { x * side + side - 1 - y } else { (side - 1 - x) * side + y };
            data.extend_from_slice(&from[source]);
        }
    }
    Pixels { data, ..*pixels }
}

/// The corners of a quadrilateral (x, y): upper left, upper right, lower right, lower left.
pub type Corners = [[i64; 2]; 4];

/// The projective map under which the image's corner pixels come to lie at `corners`:
/// (x, y) of the result comes from ((ax + by + c) / w, (dx + ey + f) / w), w = gx + hy + 1.
/// None if three of the corners lie on a line. In f32 precision, as torchvision has it.
pub fn perspective_coefficients(size: Size, corners: &Corners) -> Option<[f64; 8]> {
    let (right, bottom) = (f64::from(size.width) - 1.0, f64::from(size.height) - 1.0);
    let sources = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    let mut rows = [[0.0; 9]; 8];
    for (pair, (corner, [source_x, source_y])) in rows.chunks_exact_mut(2).zip(corners.iter().zip(sources)) {
        let [x, y] = corner.map(|pixels| pixels as f64);
        pair[0] = [x, y, 1.0, 0.0, 0.0, 0.0, -source_x * x, -source_x * y, source_x];
        pair[1] = [0.0, 0.0, 0.0, x, y, 1.0, -source_y * x, -source_y * y, source_y];
    }
    solve(rows).map(|solution| solution.map(|value| f64::from(value as f32)))
}

/// Solves eight linear equations (the last column is the right-hand side) by elimination with
/// pivoting.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let row = rows[column];
        if row[column].abs() < 1e-9 {
            return None;
        }
        for (index, other) in rows.iter_mut().enumerate() {
            if index != column {
                let factor = other[column] / row[column];
                other.iter_mut().zip(row).for_each(|(value, from)| *value -= factor * from);
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

/// torchvision's `perspective` from the image's corners to `corners`. An image whose corners fall
/// on a line stays as it is.
pub fn perspective(pixels: &Pixels, corners: &Corners, sampling: Sampling, fill: [u8; 3]) -> Pixels {
    let Some([a, b, c, d, e, f, g, h]) = perspective_coefficients(Size::of(pixels), corners) else {
        return pixels.clone();
    };
    let place = |x: f64, y: f64| {
        let w = g * x + h * y + 1.0;
        ((a * x + b * y + c) / w, (d * x + e * y + f) / w)
    };
    map(pixels, place, sampling, fill)
}

/// An affine map, as Pillow computes it: bilinear in f64; nearest in 16.16 fixed point, or in f64
/// where there is no rotation or the numbers are too large.
pub fn transform(pixels: &Pixels, matrix: &Matrix, sampling: Sampling, fill: [u8; 3]) -> Pixels {
    let [a, b, c, d, e, f] = *matrix;
    match sampling {
        Sampling::Bilinear => {
            let place = |x: f64, y: f64| (a * x + b * y + c, d * x + e * y + f);
            map(pixels, place, sampling, fill)
        }
        Sampling::Nearest if b == 0.0 && d == 0.0 => scale_nearest(pixels, [a, c], [e, f], fill),
        Sampling::Nearest if fits_fixed_point(pixels, matrix) => affine_fixed(pixels, matrix, fill),
        Sampling::Nearest => affine_stepping(pixels, matrix, fill),
    }
}

fn filled(pixels: &Pixels, fill: [u8; 3]) -> Pixels {
    Pixels { data: fill.repeat(pixels.data.len() / 3), ..*pixels }
}

/// The pixel at (x, y), if there is one.
fn at(pixels: &Pixels, x: i64, y: i64) -> Option<[u8; 3]> {
    let inside = (0..i64::from(pixels.width)).contains(&x) && (0..i64::from(pixels.height)).contains(&y);
    inside.then(|| pixels.data.as_chunks::<3>().0[y as usize * pixels.width as usize + x as usize])
}

/// The number of the pixel that holds `place`; -1 for what lies before the first.
fn cell(place: f64) -> i64 {
    if place < 0.0 { -1 } else { place as i64 }
}

/// Scaling and translation only: the source column of each column and the source row of each row.
fn scale_nearest(pixels: &Pixels, [a, c]: [f64; 2], [e, f]: [f64; 2], fill: [u8; 3]) -> Pixels {
    // Added up step by step, as Pillow does, which rounds otherwise than a multiplication.
    let places = |step: f64, start: f64, count: u32| {
        let mut place = start + step * 0.5;
        (0..count).map(move |_| {
            let here = cell(place);
            place += step;
            here
        })
    };
    let columns: Vec<i64> = places(a, c, pixels.width).collect();
    let mut out = filled(pixels, fill);
    let (rows, _) = out.data.as_chunks_mut::<3>();
    for (row, y) in rows.chunks_exact_mut(columns.len()).zip(places(e, f, pixels.height)) {
        for (value, &x) in row.iter_mut().zip(&columns) {
            if let Some(found) = at(pixels, x, y) {
                *value = found;
            }
        }
    }
    out
}

/// Whether all source places stay within what 16.16 fixed point holds.
fn fits_fixed_point(pixels: &Pixels, [a, b, c, d, e, f]: &Matrix) -> bool {
    let (width, height) = (f64::from(pixels.width), f64::from(pixels.height));
    [(0.0, 0.0), (width, height), (0.0, height), (width, 0.0)]
        .into_iter()
        .all(|(x, y)| (x * a + y * b + c).abs() < 32_768.0 && (x * d + y * e + f).abs() < 32_768.0)
}

fn affine_fixed(pixels: &Pixels, &[a, b, c, d, e, f]: &Matrix, fill: [u8; 3]) -> Pixels {
    let fixed = |value: f64| (value * 65_536.0 + 0.5).floor() as i32;
    let (step_x, step_y) = ((fixed(a), fixed(d)), (fixed(b), fixed(e)));
    let mut start = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let mut out = filled(pixels, fill);
    let (rows, _) = out.data.as_chunks_mut::<3>();
    let (from, _) = pixels.data.as_chunks::<3>();
    let (width, height) = (pixels.width as usize, pixels.height as usize);
    for row in rows.chunks_exact_mut(width) {
        let (mut x, mut y) = start;
        for value in row {
            // A negative number becomes a huge one, which lies outside as well.
            let (column, line) = ((x >> 16) as usize, (y >> 16) as usize);
            if column < width && line < height {
                *value = from[line * width + column];
            }
            (x, y) = (x.wrapping_add(step_x.0), y.wrapping_add(step_x.1));
        }
        start = (start.0.wrapping_add(step_y.0), start.1.wrapping_add(step_y.1));
    }
    out
}

fn affine_stepping(pixels: &Pixels, &[a, b, c, d, e, f]: &Matrix, fill: [u8; 3]) -> Pixels {
    let mut start = (c + b * 0.5 + a * 0.5, f + e * 0.5 + d * 0.5);
    let mut out = filled(pixels, fill);
    let (rows, _) = out.data.as_chunks_mut::<3>();
    for row in rows.chunks_exact_mut(pixels.width as usize) {
        let (mut x, mut y) = start;
        for value in row {
            if let Some(found) = at(pixels, cell(x), cell(y)) {
                *value = found;
            }
            (x, y) = (x + a, y + d);
        }
        start = (start.0 + b, start.1 + e);
    }
    out
}

/// Any map, in f64.
fn map(pixels: &Pixels, place: impl Fn(f64, f64) -> (f64, f64), sampling: Sampling, fill: [u8; 3]) -> Pixels {
    let mut out = filled(pixels, fill);
    let (rows, _) = out.data.as_chunks_mut::<3>();
    let (width, height) = (f64::from(pixels.width), f64::from(pixels.height));
    for (y, row) in rows.chunks_exact_mut(pixels.width as usize).enumerate() {
        for (x, value) in row.iter_mut().enumerate() {
            let (x, y) = place(x as f64 + 0.5, y as f64 + 0.5);
            // Written so that a place that is no number lies outside.
            if x >= 0.0 && x < width && y >= 0.0 && y < height {
                *value = match sampling {
                    Sampling::Nearest => {
                        pixels.data.as_chunks::<3>().0[y as usize * pixels.width as usize + x as usize]
                    }
                    Sampling::Bilinear => bilinear(pixels, x - 0.5, y - 0.5),
                };
            }
        }
    }
    out
}

/// Between the four pixels around (x, y), where whole numbers are the centres of pixels; fractions
/// are dropped. (x, y) lies at most half a pixel outside of the image, whose edge continues there.
fn bilinear(pixels: &Pixels, x: f64, y: f64) -> [u8; 3] {
    let ((left, right, dx), (top, bottom, dy)) = (between(x, pixels.width), between(y, pixels.height));
    let (from, _) = pixels.data.as_chunks::<3>();
    let line = |row: usize| {
        let line = &from[row * pixels.width as usize..][..pixels.width as usize];
        (line[left], line[right])
    };
    let (upper, lower) = (line(top), line(bottom));
    let mean = |a: u8, b: u8| f64::from(a) + f64::from(i32::from(b) - i32::from(a)) * dx;
    std::array::from_fn(|c| {
        let (above, below) = (mean(upper.0[c], upper.1[c]), mean(lower.0[c], lower.1[c]));
        // Within 0 to 255, so that this drops fractions; the way by i32 is the faster one.
        (above + (below - above) * dy) as i32 as u8
    })
}

/// The two pixels around `place` on a side of `side`, and how far it is from the first to the
/// second.
fn between(place: f64, side: u32) -> (usize, usize, f64) {
    let last = side as usize - 1;
    if place < 0.0 {
        return (0, 0, place + 1.0);
    }
    let first = place as usize;
    (first.min(last), (first + 1).min(last), place - first as f64)
}
