mod apply;
mod config;
mod deep;
mod drawing;
mod fit;
mod operations;
mod policies;
mod statistics;

use std::fs;
use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::color::Change;
use super::ops::Area;
use super::*;
use crate::decode::decode;
use crate::rng::{Purpose, stream};

fn tests_folder() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn image(name: &str) -> Pixels {
    decode(&tests_folder().join("data/images").join(name)).unwrap()
}

/// `tests/reference/<thing>.json`.
fn reference(thing: &str) -> Value {
    let path = tests_folder().join(format!("reference/{thing}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The cases of `tests/reference/<thing>.json`, each with the image that is to come out.
fn cases(thing: &str) -> Vec<(Value, Pixels)> {
    let reference = reference(thing);
    let cases = reference["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    let folder = tests_folder().join("reference").join(thing);
    cases.iter().map(|c| (c.clone(), decode(&folder.join(c["result"].as_str().unwrap())).unwrap())).collect()
}

fn pipeline_of(config: &TransformConfig) -> Pipeline {
    Pipeline::new(config).unwrap()
}

fn size(value: &Value) -> Size {
    let side = |i: usize| value[i].as_u64().unwrap() as u32;
    Size { height: side(0), width: side(1) }
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

fn max_difference(a: &Pixels, b: &Pixels) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn geometry_is_pillows_and_torchvisions() {
    let mut failures = Vec::new();
    for (case, expected) in cases("resize") {
        let source = image(case["source"].as_str().unwrap());
        let interpolation: Interpolation =
            serde_json::from_value(case.get("interpolation").cloned().unwrap_or("bilinear".into())).unwrap();
        // Each of a convolution's two passes rounds its weights and its sums. Bilinear weights add
        // up to 1, so results are one step apart at most; with negative weights a first step may
        // grow into two.
        let convolution = match interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Bilinear => 1,
            Interpolation::Bicubic | Interpolation::Lanczos => 2,
        };
        let (result, tolerance) = match case["operation"].as_str().unwrap() {
            "resize" => (ops::resize(source, size(&case["size"]), interpolation), convolution),
            "shorter_side" => {
                let target =
                    Resize::ShorterSide(case["side"].as_u64().unwrap() as u32).target(Size::of(&source));
                (ops::resize(source, target, interpolation), 1)
            }
            "resized_crop" => {
                let area = ints(&case["area"]);
                let area = Area {
                    top: area[0] as u32,
                    left: area[1] as u32,
                    size: Size { height: area[2] as u32, width: area[3] as u32 },
                };
                let result = ops::resized_crop(&source, area, size(&case["size"]), interpolation);
                (result, convolution)
            }
            "center_crop" => {
                let size = size(&case["size"]);
                let (top, left) = ops::center(Size::of(&source), size);
                (ops::crop(&source, top, left, size, 0), 0)
            }
            "crop" => {
                let area = ints(&case["area"]);
                let size = Size { height: area[2] as u32, width: area[3] as u32 };
                (ops::crop(&source, area[0], area[1], size, case["fill"].as_u64().unwrap() as u8), 0)
            }
            "flip_horizontal" => {
                let mut pixels = source;
                ops::flip_horizontal(&mut pixels);
                (pixels, 0)
            }
            "flip_vertical" => {
                let mut pixels = source;
                ops::flip_vertical(&mut pixels);
                (pixels, 0)
            }
            other => panic!("no such operation: {other}"),
        };
        let difference = max_difference(&result, &expected);
        if difference > tolerance {
            failures.push(format!("{case}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn colour_is_torchvisions_to_the_bit() {
    let source = image("image.png");
    let mut failures = Vec::new();
    for (case, expected) in cases("color") {
        let factor = case["factor"].as_f64().unwrap_or(0.0);
        let mut pixels = source.clone();
        match case["operation"].as_str().unwrap() {
            "brightness" => color::adjust(&mut pixels, Change::Brightness(factor)),
            "contrast" => color::adjust(&mut pixels, Change::Contrast(factor)),
            "saturation" => color::adjust(&mut pixels, Change::Saturation(factor)),
            "hue" => color::adjust(&mut pixels, Change::Hue(factor)),
            "grayscale" => color::grayscale(&mut pixels),
            other => panic!("no such operation: {other}"),
        }
        let difference = max_difference(&pixels, &expected);
        if difference > 0 {
            failures.push(format!("{case}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn normalisation_is_torchvisions_to_the_bit() {
    let reference = reference("normalize");
    let floats = |value: &Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    let data = (0..=255).flat_map(|value| [value; 3]).collect();
    let ramp = Pixels { width: 16, height: 16, data };

    let mut scaled = vec![f32::NAN; 3 * 256];
    pipeline_of(&TransformConfig::default()).normalize_into(&ramp, &mut scaled);
    assert_eq!(
        scaled,
        [floats(&reference["scaled"]), floats(&reference["scaled"]), floats(&reference["scaled"])].concat()
    );

    let pipeline = pipeline_of(&TransformConfig::default_eval());
    let mut normalized = vec![f32::NAN; 3 * 256];
    pipeline.normalize_into(&ramp, &mut normalized);
    let expected: Vec<f32> = reference["normalized"].as_array().unwrap().iter().flat_map(floats).collect();
    assert_eq!(normalized, expected);

    let mut bytes = vec![0; 4 * normalized.len()];
    pipeline.normalize_into_bytes(&ramp, &mut bytes);
    assert_eq!(bytes, normalized.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<u8>>());
}

fn parse(yaml: &str) -> TransformConfig {
    serde_yaml::from_str(yaml).unwrap()
}

fn rng(sample: u64) -> ChaCha8Rng {
    stream(7, Purpose::Augmentation, 0, sample)
}

#[test]
fn the_defaults_are_those_of_the_default_configuration() {
    let imagenet = "normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}";
    let train = parse(&format!("resize: [224, 224]\nrandom_horizontal_flip: true\n{imagenet}"));
    assert_eq!(train, TransformConfig::default_train());
    assert_eq!(parse(&format!("{imagenet}\nresize: [224, 224]")), TransformConfig::default_eval());
    for config in [train, TransformConfig::default_eval()] {
        assert_eq!(config.problems(), []);
        assert_eq!(pipeline_of(&config).output_size(), Some((224, 224)));
    }
}

#[test]
fn the_output_has_the_promised_size_whatever_goes_in() {
    for yaml in [
        "resize: [17, 23]",
        "{resize: 20, center_crop: [17, 23]}",
        "center_crop: [17, 23]",
        "letterbox: {size: [17, 23], fill: [1, 2, 3]}",
        "{letterbox: 20, random_crop: {size: [17, 23], padding: 2}}",
        "random_crop: {size: [17, 23], padding: 2}",
        "random_resized_crop: [17, 23]",
        "{resize: [40, 40], random_crop: [17, 23], random_horizontal_flip: 1, random_vertical_flip: 1,
          color_jitter: {brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.5}, grayscale: true}",
    ] {
        let pipeline = pipeline_of(&parse(yaml));
        assert_eq!(pipeline.output_size(), Some((17, 23)), "{yaml}");
        for (width, height) in [(1, 1), (1, 400), (400, 1), (5, 60), (23, 17), (90, 61)] {
            let data = vec![100; (width * height * 3) as usize];
            let pixels = Pixels { width, height, data };
            for sample in 0..4 {
                let out = pipeline.apply(pixels.clone(), &mut rng(sample)).unwrap();
                assert_eq!((out.height, out.width, out.data.len()), (17, 23, 17 * 23 * 3), "{yaml}");
            }
        }
    }
}

#[test]
fn augmentation_is_a_function_of_the_sample_and_differs_between_samples() {
    let pipeline = pipeline_of(&parse(
        "{random_resized_crop: 24, random_horizontal_flip: true, color_jitter: {brightness: 0.4, hue: 0.1}}",
    ));
    let source = image("image.png");
    let first = pipeline.apply(source.clone(), &mut rng(1)).unwrap();
    assert_eq!(first, pipeline.apply(source.clone(), &mut rng(1)).unwrap());
    assert_ne!(first, pipeline.apply(source, &mut rng(2)).unwrap());
}

#[test]
fn flips_happen_as_often_as_asked() {
    let two = Pixels { width: 2, height: 1, data: vec![0, 0, 0, 255, 255, 255] };
    for (probability, expected) in [("true", 0.5), ("false", 0.0), ("1", 1.0), ("0.2", 0.2)] {
        let pipeline = pipeline_of(&parse(&format!("random_horizontal_flip: {probability}")));
        let flipped = |sample| pipeline.apply(two.clone(), &mut rng(sample)).unwrap().data[0] == 255;
        let share = (0..4000).filter(|sample| flipped(*sample)).count() as f64 / 4000.0;
        // Five standard deviations of a share of 4000.
        assert!((share - expected).abs() <= 0.04, "{probability}: {share}");
    }
}
