//! Geometry of images of any number of channels: planes and parameters → planes, in floating point,
//! as Pillow does it to an image of mode `F`. Nothing is rounded to whole values on the way.

use super::interpolation::Interpolation;
use super::warp::Sampling;
use crate::decode::Raster;
use crate::geometry::{Area, Size};

/// Cuts `area` out (it must lie within the image) and resizes it to `size`, with antialiasing
/// (except nearest). Pixels outside `area` have no influence.
pub fn resized_crop(raster: &Raster, area: Area, size: Size, interpolation: Interpolation) -> Raster {
    if area.size == size {
        return crop(raster, i64::from(area.top), i64::from(area.left), size, &[0.0]);
    }
    let Area { top, left, size: from } = area;
    let columns = weights(from.width, size.width, interpolation);
    let rows = weights(from.height, size.height, interpolation);
    let (width, area_length) = (raster.size.width as usize, raster.area().max(1));
    let (from_height, out_width) = (from.height as usize, size.width as usize);
    let mut data = Vec::with_capacity(raster.channels * size.height as usize * out_width);
    let mut half = vec![0.0_f32; from_height * out_width];
    for plane in raster.data.chunks_exact(area_length) {
        // Rows first, as Pillow does.
        for (y, out) in half.chunks_exact_mut(out_width).enumerate() {
            let line = &plane[(top as usize + y) * width + left as usize..][..from.width as usize];
            for (value, Weights { first, of }) in out.iter_mut().zip(&columns) {
                let sum: f64 = line[*first..].iter().zip(of).map(|(v, w)| f64::from(*v) * w).sum();
                *value = sum as f32;
            }
        }
        for Weights { first, of } in &rows {
            data.extend((0..out_width).map(|x| {
                let values = half[first * out_width + x..].iter().step_by(out_width);
                values.zip(of).map(|(v, w)| f64::from(*v) * w).sum::<f64>() as f32
            }));
        }
    }
    // A filter with negative parts overshoots.
    let max = raster.depth.max();
    data.iter_mut().for_each(|value| *value = value.clamp(0.0, max));
    Raster { size, data, channels: raster.channels, depth: raster.depth }
}

/// What a value of the result is made of: so many values from the first on.
struct Weights {
    first: usize,
    /// At least one; their sum is 1.
    of: Vec<f64>,
}

/// For each of `to` values made of `from`, as Pillow computes them.
fn weights(from: u32, to: u32, interpolation: Interpolation) -> Vec<Weights> {
    let scale = f64::from(from) / f64::from(to);
    let last = from as usize - 1;
    let (support, filter): (f64, fn(f64) -> f64) = match interpolation {
        Interpolation::Nearest => {
            let place = |at: u32| (((f64::from(at) + 0.5) * scale) as usize).min(last);
            return (0..to).map(|at| Weights { first: place(at), of: vec![1.0] }).collect();
        }
        Interpolation::Bilinear => (1.0, triangle),
        Interpolation::Bicubic => (2.0, cubic),
        Interpolation::Lanczos => (3.0, lanczos),
    };
    let stretch = scale.max(1.0);
    let support = support * stretch;
    (0..to)
        .map(|at| {
            let center = (f64::from(at) + 0.5) * scale;
            let first = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(i64::from(from));
            let of: Vec<f64> =
                (first..end).map(|place| filter((place as f64 - center + 0.5) / stretch)).collect();
            let sum: f64 = of.iter().sum();
            let of = if sum == 0.0 { of } else { of.into_iter().map(|weight| weight / sum).collect() };
            Weights { first: first as usize, of }
        })
        .collect()
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys's cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A sinc of three lobes under a wider one.
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x == 0.0 { 1.0 } else { x.sin() / x }
    };
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// Cuts `size` out at (`top`, `left`), which may lie outside the image: what is not there gets the
/// value of `fill` for its channel, or its first for all.
pub fn crop(raster: &Raster, top: i64, left: i64, size: Size, fill: &[f32]) -> Raster {
    if (top, left) == (0, 0) && size == raster.size {
        return raster.clone();
    }
    let (width, out_width) = (raster.size.width as usize, size.width as usize);
    let out_area = size.height as usize * out_width;
    let mut data = Vec::with_capacity(raster.channels * out_area);
    // Columns of the result that the image covers.
    let first = (-left).clamp(0, i64::from(size.width)) as usize;
    let last = (i64::from(raster.size.width) - left).clamp(first as i64, i64::from(size.width)) as usize;
    for (channel, plane) in raster.data.chunks_exact(raster.area().max(1)).enumerate() {
        data.resize((channel + 1) * out_area, of_channel(fill, channel));
        if last == first {
            continue;
        }
        let source_column = (left + first as i64) as usize;
        for (row, out) in data[channel * out_area..].chunks_exact_mut(out_width.max(1)).enumerate() {
            let source_row = top + row as i64;
            if (0..i64::from(raster.size.height)).contains(&source_row) {
                let from = source_row as usize * width + source_column;
                out[first..last].copy_from_slice(&plane[from..from + last - first]);
            }
        }
    }
    Raster { size, data, channels: raster.channels, depth: raster.depth }
}

fn of_channel(fill: &[f32], channel: usize) -> f32 {
    fill.get(channel).or(fill.first()).copied().unwrap_or_default()
}

/// Mirrors left and right.
pub fn flip_horizontal(raster: &mut Raster) {
    raster.data.chunks_exact_mut(raster.size.width.max(1) as usize).for_each(<[f32]>::reverse);
}

/// Mirrors top and bottom.
pub fn flip_vertical(raster: &mut Raster) {
    let (width, height) = (raster.size.width as usize, raster.size.height as usize);
    for plane in raster.data.chunks_exact_mut((width * height).max(1)) {
        let (upper, lower) = plane.split_at_mut(height / 2 * width);
        for (a, b) in upper.chunks_exact_mut(width).zip(lower.rchunks_exact_mut(width)) {
            a.swap_with_slice(b);
        }
    }
}

/// An image of the same size whose pixel with the centre (x, y) comes from `place(x, y)`; what lies
/// outside gets `fill`.
pub fn map(
    raster: &Raster,
    place: impl Fn(f64, f64) -> (f64, f64),
    sampling: Sampling,
    fill: &[f32],
) -> Raster {
    let (width, height) = (raster.size.width as usize, raster.size.height as usize);
    let area = width * height;
    let mut data = vec![0.0; raster.data.len()];
    for (channel, plane) in data.chunks_exact_mut(area.max(1)).enumerate() {
        plane.fill(of_channel(fill, channel));
    }
    for row in 0..height {
        for column in 0..width {
            let (x, y) = place(column as f64 + 0.5, row as f64 + 0.5);
            // Written so that a place that is no number lies outside.
            if !(x >= 0.0 && x < width as f64 && y >= 0.0 && y < height as f64) {
                continue;
            }
            for channel in 0..raster.channels {
                let plane = &raster.data[channel * area..][..area];
                data[channel * area + row * width + column] = match sampling {
                    Sampling::Nearest => plane[y as usize * width + x as usize],
                    Sampling::Bilinear => bilinear(plane, [width, height], x - 0.5, y - 0.5),
                };
            }
        }
    }
    Raster { data, ..*raster }
}

/// Between the four values around (x, y), where whole numbers are the centres of pixels. The edge
/// continues outside of the image.
fn bilinear(plane: &[f32], [width, height]: [usize; 2], x: f64, y: f64) -> f32 {
    let between = |place: f64, side: usize| {
        let first = place.floor();
        let inside = |at: f64| (at.max(0.0) as usize).min(side - 1);
        (inside(first), inside(first + 1.0), place - first)
    };
    let ((left, right, dx), (top, bottom, dy)) = (between(x, width), between(y, height));
    let line = |row: usize| {
        let (a, b) = (f64::from(plane[row * width + left]), f64::from(plane[row * width + right]));
        a + (b - a) * dx
    };
    let (above, below) = (line(top), line(bottom));
    (above + (below - above) * dy) as f32
}
