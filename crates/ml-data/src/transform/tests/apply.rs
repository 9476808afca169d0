//! One case of a reference program → the operation with its parameters. Used by the tests and by
//! the example `transform_cases`.

use ml_data::decode::Pixels;
use ml_data::transform::color::{self, Change};
use ml_data::transform::ops::{self, Area};
use ml_data::transform::policy::{self, AugMix, Mixture, Step};
use ml_data::transform::warp::{self, AffineParams, Corners, Sampling};
use ml_data::transform::{
    Channels, Color, Erasure, Fill, Interpolation, Mix, Pipeline, Size, TransformConfig, blur,
};
use serde_json::Value;

/// What `case` gives of `pixels`.
pub fn apply(case: &Value, mut pixels: Pixels) -> Pixels {
    let number = |key: &str| case[key].as_f64().unwrap();
    let numbers = |key: &str| -> Vec<f64> { read(&case[key]) };
    let size = |key: &str| Size { height: numbers(key)[0] as u32, width: numbers(key)[1] as u32 };
    let sampling = || -> Sampling { read(&case["interpolation"]) };
    let filter = || -> Interpolation { read(&case["interpolation"]) };
    let fill = || -> [u8; 3] { read(&case["fill"]) };
    match case["operation"].as_str().unwrap() {
        "resize" => return ops::resize(pixels, size("size"), filter()),
        "center_crop" => {
            let (top, left) = ops::center(Size::of(&pixels), size("size"));
            return ops::crop(&pixels, top, left, size("size"), 0);
        }
        "resized_crop" => return ops::resized_crop(&pixels, area(case), size("size"), filter()),
        "crop" => {
            let [top, left, height, width]: [i64; 4] = read(&case["area"]);
            let size = Size { height: height as u32, width: width as u32 };
            return ops::crop(&pixels, top, left, size, fill()[0]);
        }
        "flip_horizontal" => ops::flip_horizontal(&mut pixels),
        "flip_vertical" => ops::flip_vertical(&mut pixels),
        "brightness" => color::adjust(&mut pixels, Change::Brightness(number("factor"))),
        "contrast" => color::adjust(&mut pixels, Change::Contrast(number("factor"))),
        "saturation" => color::adjust(&mut pixels, Change::Saturation(number("factor"))),
        "hue" => color::adjust(&mut pixels, Change::Hue(number("factor"))),
        "grayscale" => color::grayscale(&mut pixels),
        "rotate" => return warp::rotate(&pixels, number("angle"), sampling(), fill()),
        "affine" => {
            let params = AffineParams {
                angle: number("angle"),
                translate: read(&case["translate"]),
                scale: number("scale"),
                shear: read(&case["shear"]),
            };
            return warp::affine(&pixels, &params, sampling(), fill());
        }
        "perspective" => {
            let corners: Corners = read(&case["corners"]);
            return warp::perspective(&pixels, &corners, sampling(), fill());
        }
        "steps" => policy::apply_all(&steps(&case["steps"]), &mut pixels, sampling(), Color(fill())),
        "augmix" => {
            let config = AugMix { interpolation: sampling(), fill: Color(fill()), ..AugMix::default() };
            let chains: Vec<(f32, Value)> = read(&case["chains"]);
            let chains = chains.into_iter().map(|(weight, chain)| (weight, steps(&chain))).collect();
            config.apply(&mut pixels, &Mixture { original: number("original") as f32, chains });
        }
        "gaussian_blur" => {
            // torchvision's order is x, y.
            let kernel = size("kernel_size");
            let kernel = Size { height: kernel.width, width: kernel.height };
            return blur::gaussian_blur(&pixels, kernel, number("sigma"));
        }
        "erase" => erase(case, &mut pixels),
        "cutmix" => cutmix(case, &mut pixels),
        "luma" => {
            let config = TransformConfig { channels: Channels::One, ..TransformConfig::default() };
            pixels = from_floats(&pixels, &floats(&Pipeline::new(&config).unwrap(), &pixels));
        }
        other => panic!("no such operation: {other}"),
    }
    pixels
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// `area`: `[top, left, height, width]`.
fn area(case: &Value) -> Area {
    let [top, left, height, width] = read(&case["area"]);
    Area { top, left, size: Size { height, width } }
}

fn steps(value: &Value) -> Vec<Step> {
    let named: Vec<(policy::Operation, f64)> = read(value);
    named.into_iter().map(|(operation, magnitude)| Step { operation, magnitude }).collect()
}

fn erase(case: &Value, pixels: &mut Pixels) {
    let values: Vec<f32> = read(&case["value"]);
    let values = std::array::from_fn(|c| values[c % values.len()]);
    let erasure = Erasure { area: area(case), fill: Fill::Values(values) };
    let pipeline = Pipeline::new(&TransformConfig::default()).unwrap();
    let mut bytes = vec![0; 4 * pixels.data.len()];
    pipeline.normalize_into_bytes(pixels, &mut bytes);
    erasure.apply_to_bytes(&mut bytes, 3, Size::of(pixels));
    let floats: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|float| f32::from_ne_bytes(*float)).collect();
    *pixels = from_floats(pixels, &floats);
}

/// The partner is the negative.
fn cutmix(case: &Value, pixels: &mut Pixels) {
    let mix = Mix::cut(case["lambda"].as_f64().unwrap(), read(&case["center"]), Size::of(pixels));
    let Some(Mix::Cutmix { area: Area { top, left, size }, .. }) = mix else { return };
    for y in top..top + size.height {
        let start = (y * pixels.width + left) as usize * 3;
        for value in &mut pixels.data[start..start + size.width as usize * 3] {
            *value = 255 - *value;
        }
    }
}

fn floats(pipeline: &Pipeline, pixels: &Pixels) -> Vec<f32> {
    let mut floats = vec![f32::NAN; pipeline.channels() * pixels.data.len() / 3];
    pipeline.normalize_into(pixels, &mut floats);
    floats
}

/// `[C, H, W]`, 0 to 1 → an image, as torchvision's `to_pil_image` (fractions are dropped after
/// scaling).
fn from_floats(like: &Pixels, floats: &[f32]) -> Pixels {
    let count = like.data.len() / 3;
    let channels = floats.len() / count;
    let mut data = Vec::with_capacity(like.data.len());
    for place in 0..count {
        data.extend((0..3).map(|c| (floats[(c % channels) * count + place] * 255.0) as u8));
    }
    Pixels { data, ..*like }
}
