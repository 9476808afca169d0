mod apply;
mod drawing;
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

fn picture(name: &str) -> Pixels {
    decode(&tests_folder().join("data/pictures").join(name)).unwrap()
}

/// `tests/reference/<thing>.json`.
fn reference(thing: &str) -> Value {
    let path = tests_folder().join(format!("reference/{thing}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The cases of `tests/reference/<thing>.json`, each with the picture that is to come out.
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
        let source = picture(case["source"].as_str().unwrap());
        let interpolation: Interpolation =
            serde_json::from_value(case.get("interpolation").cloned().unwrap_or("bilinear".into())).unwrap();
        // Each of a convolution's two passes rounds its weights and its sums. Bilinear weights add up to 1, so
        // results are one step apart at most; with negative weights a first step may grow into two.
        let convolution = match interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Bilinear => 1,
            Interpolation::Bicubic | Interpolation::Lanczos => 2,
        };
        let (result, tolerance) = match case["operation"].as_str().unwrap() {
            "resize" => (ops::resize(source, size(&case["size"]), interpolation), convolution),
            "shorter_side" => {
                let target = Resize::ShorterSide(case["side"].as_u64().unwrap() as u32).target(&source);
                (ops::resize(source, target, interpolation), 1)
            }
            "resized_crop" => {
                let area = ints(&case["area"]);
                let area = Area {
                    top: area[0] as u32,
                    left: area[1] as u32,
                    size: Size { height: area[2] as u32, width: area[3] as u32 },
                };
                let result = ops::resized_crop(source, area, size(&case["size"]), interpolation);
                (result, convolution)
            }
            "center_crop" => (ops::center_crop(source, size(&case["size"])), 0),
            "crop" => {
                let area = ints(&case["area"]);
                let size = Size { height: area[2] as u32, width: area[3] as u32 };
                (ops::crop(source, area[0], area[1], size, case["fill"].as_u64().unwrap() as u8), 0)
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
    let source = picture("picture.png");
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
fn every_spelling_is_understood_and_survives_being_saved() {
    let square = Size { height: 20, width: 20 };
    for (yaml, expected) in [
        ("resize: 256", TransformConfig { resize: Some(Resize::ShorterSide(256)), ..Default::default() }),
        (
            "resize: [20, 30]",
            TransformConfig {
                resize: Some(Resize::Exact(Size { height: 20, width: 30 })),
                ..Default::default()
            },
        ),
        ("center_crop: 20", TransformConfig { center_crop: Some(square), ..Default::default() }),
        (
            "random_crop: {size: 20, padding: 4}",
            TransformConfig {
                random_crop: Some(RandomCrop { size: square, padding: 4, fill: 0 }),
                ..Default::default()
            },
        ),
        (
            "random_resized_crop: [20, 20]",
            TransformConfig {
                random_resized_crop: Some(RandomResizedCrop {
                    size: square,
                    scale: RandomResizedCrop::DEFAULT_SCALE,
                    ratio: RandomResizedCrop::DEFAULT_RATIO,
                }),
                ..Default::default()
            },
        ),
        (
            "random_resized_crop: {size: 20, scale: [0.2, 1]}",
            TransformConfig {
                random_resized_crop: Some(RandomResizedCrop {
                    size: square,
                    scale: [0.2, 1.0],
                    ratio: RandomResizedCrop::DEFAULT_RATIO,
                }),
                ..Default::default()
            },
        ),
        (
            "{random_horizontal_flip: true, random_vertical_flip: 0.3}",
            TransformConfig {
                random_horizontal_flip: Probability(0.5),
                random_vertical_flip: Probability(0.3),
                ..Default::default()
            },
        ),
        (
            "{color_jitter: {brightness: 0.4, contrast: 1, hue: [-0.1, 0.2]}, grayscale: true}",
            TransformConfig {
                color_jitter: Some(ColorJitter {
                    brightness: JitterAmount::Symmetric(0.4),
                    contrast: JitterAmount::Symmetric(1.0),
                    saturation: JitterAmount::Symmetric(0.0),
                    hue: JitterAmount::Range([-0.1, 0.2]),
                }),
                grayscale: true,
                ..Default::default()
            },
        ),
        (
            "interpolation: bicubic",
            TransformConfig { interpolation: Interpolation::Bicubic, ..Default::default() },
        ),
        ("{resize: null, random_horizontal_flip: false}", TransformConfig::default()),
        (
            "{augmix: false, mixup: null, random_erasing: false, channels: 3, random_grayscale: 0}",
            TransformConfig::default(),
        ),
    ] {
        let parsed = parse(yaml);
        assert_eq!(parsed, expected, "{yaml}");
        let saved = serde_yaml::to_string(&parsed).unwrap();
        assert_eq!(parse(&saved), parsed, "{saved}");
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(serde_json::from_str::<TransformConfig>(&json).unwrap(), parsed, "{json}");
    }
}

#[test]
fn a_short_spelling_is_its_long_one_with_defaults() {
    for (short, long) in [
        ("auto_augment: imagenet", "auto_augment: {}"),
        ("auto_augment: svhn", "auto_augment: {policy: svhn, interpolation: nearest, fill: 0}"),
        (
            "rand_augment: true",
            "rand_augment: {num_ops: 2, magnitude: 9, num_magnitude_bins: 31, fill: [0, 0, 0]}",
        ),
        (
            "trivial_augment_wide: true",
            "trivial_augment_wide: {num_magnitude_bins: 31, interpolation: nearest}",
        ),
        (
            "augmix: true",
            "augmix: {severity: 3, mixture_width: 3, chain_depth: -1, alpha: 1, all_ops: true, interpolation: bilinear}",
        ),
        ("random_rotation: 15", "random_rotation: {degrees: 15, interpolation: nearest, fill: 0}"),
        ("random_rotation: [0, 15]", "random_rotation: {degrees: [0, 15]}"),
        (
            "random_affine: {degrees: 3, shear: 5}",
            "random_affine: {degrees: 3, shear: [-5, 5, 0, 0], translate: null}",
        ),
        (
            "random_perspective: true",
            "random_perspective: {distortion_scale: 0.5, p: 0.5, interpolation: bilinear}",
        ),
        ("gaussian_blur: {kernel_size: 3}", "gaussian_blur: {kernel_size: [3, 3], sigma: [0.1, 2], p: 1}"),
        (
            "random_erasing: true",
            "random_erasing: {p: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: [0]}",
        ),
        ("random_erasing: 0.25", "random_erasing: {p: 0.25}"),
        ("random_erasing: {value: random}", "random_erasing: {value: random, p: 0.5}"),
        ("mixup: 0.2", "mixup: {alpha: 0.2}"),
        ("cutmix: 1", "cutmix: {}"),
        ("normalize: {mean: [0.5], std: [0.5]}", "normalize: {std: [0.5], mean: [0.5]}"),
    ] {
        let parsed = parse(short);
        assert_ne!(parsed, TransformConfig::default(), "{short}");
        assert_eq!(parsed, parse(long), "{short}");
        let saved = serde_yaml::to_string(&parsed).unwrap();
        assert_eq!(parse(&saved), parsed, "{saved}");
    }
    assert!(serde_yaml::to_string(&parse("normalize: auto")).unwrap().contains("normalize: auto"));
}

#[test]
fn what_cannot_be_read_is_refused_with_what_was_expected() {
    for (yaml, expected) in [
        ("resize: [224]", "one whole number for the shorter side"),
        ("resize: big", "[height, width]"),
        ("resize: -1", "-1"),
        ("resize: [1, 2, 3]", "length 3"),
        ("resize: {size: 3}", "one whole number for the shorter side"),
        ("center_crop: 22.5", "one whole number"),
        ("random_crop: {size: 3, pading: 4}", "unknown field `pading`"),
        ("random_crop: {padding: 4}", "missing field `size`"),
        ("random_crop: {size: 3, fill: 256}", "256"),
        ("random_resized_crop: {size: 3, scale: 0.5}", "0.5"),
        ("random_horizontal_flip: sometimes", "a probability within 0 to 1"),
        ("color_jitter: {brightness: [1, 2, 3]}", "a pair [min, max]"),
        ("color_jitter: 0.4", "ColorJitter"),
        ("normalize: {mean: [0.5, 0.5, 0.5]}", "missing field `std`"),
        ("interpolation: cubic", "bicubic"),
        ("random_rotate: 10", "unknown field `random_rotate`"),
        ("random_rotation: {fill: 3}", "missing field `degrees`"),
        ("random_rotation: [1, 2, 3]", "degrees (a number or [min, max])"),
        ("random_rotation: true", "degrees (a number or [min, max])"),
        ("random_rotation: {degrees: 3, interpolation: bicubic}", "unknown variant `bicubic`"),
        ("random_rotation: {degrees: 3, fill: 256}", "within 0 to 255"),
        ("random_rotation: {degrees: 3, fill: 0.5}", "within 0 to 255"),
        ("random_rotation: {degrees: 3, fill: [1, 2]}", "[red, green, blue]"),
        ("random_affine: 3", "RandomAffine"),
        ("random_affine: {degrees: 0, shear: [1, 2, 3]}", "[min x, max x, min y, max y]"),
        ("random_perspective: {distortion: 0.3}", "unknown field `distortion`"),
        ("gaussian_blur: {sigma: 1}", "missing field `kernel_size`"),
        ("gaussian_blur: {kernel_size: 3, sigma: [1]}", "a pair [min, max]"),
        ("auto_augment: cifar", "`imagenet`, `cifar10` or `svhn`"),
        ("auto_augment: true", "`imagenet`, `cifar10` or `svhn`"),
        ("rand_augment: 9", "`true`, or a mapping"),
        ("rand_augment: {magnitude: -1}", "u32"),
        ("trivial_augment_wide: {bins: 3}", "unknown field `bins`"),
        ("augmix: [1]", "`true`, or a mapping"),
        ("random_erasing: {value: noise}", "`random`"),
        ("random_erasing: {value: [1, 2]}", "three numbers"),
        ("random_erasing: sometimes", "a probability"),
        ("mixup: yes please", "a mapping of alpha"),
        ("cutmix: {beta: 1}", "unknown field `beta`"),
        ("channels: 2", "1 (luma) or 3"),
        ("normalize: imagenet", "`auto`"),
    ] {
        let message = serde_yaml::from_str::<TransformConfig>(yaml).unwrap_err().to_string();
        assert!(message.contains(expected), "{yaml}: {message}");
    }
}

#[test]
fn values_out_of_range_are_listed_all_at_once_by_key() {
    for (yaml, keys) in [
        ("{}", vec!["resize"]),
        ("resize: 256", vec!["resize"]),
        ("resize: [0, 3]", vec!["resize"]),
        ("resize: [3, 20000]", vec!["resize"]),
        ("{resize: 256, center_crop: 224}", vec![]),
        ("{resize: [20, 20], center_crop: 24}", vec!["center_crop"]),
        ("{resize: [20, 20], random_crop: 24}", vec!["random_crop"]),
        ("{resize: [20, 20], random_crop: {size: 24, padding: 2}}", vec![]),
        ("random_crop: {size: 24, padding: 4000000000}", vec!["random_crop.padding"]),
        ("{center_crop: 3, random_crop: 3}", vec!["random_crop"]),
        ("random_resized_crop: {size: 9, scale: [0.5, 0.2]}", vec!["random_resized_crop.scale"]),
        ("random_resized_crop: {size: 9, scale: [0, 1.5]}", vec!["random_resized_crop.scale"]),
        ("random_resized_crop: {size: 9, ratio: [.nan, 2]}", vec!["random_resized_crop.ratio"]),
        ("random_resized_crop: {size: 9, ratio: [1, .inf]}", vec!["random_resized_crop.ratio"]),
        (
            "{resize: [9, 9], random_horizontal_flip: 1.5, random_vertical_flip: -0.1}",
            vec!["random_horizontal_flip", "random_vertical_flip"],
        ),
        (
            "{resize: [9, 9], color_jitter: {brightness: -1, contrast: .inf, saturation: [2, 1], hue: 0.7}}",
            vec![
                "color_jitter.brightness",
                "color_jitter.contrast",
                "color_jitter.saturation",
                "color_jitter.hue",
            ],
        ),
        (
            "{resize: [9, 9], normalize: {mean: [123.7, 116.3, 103.5], std: [0, 1, 1]}}",
            vec!["normalize.mean", "normalize.std"],
        ),
        (
            "{resize: [9, 9], normalize: {mean: [.nan, 0, 0], std: [1, 1, .nan]}}",
            vec!["normalize.mean", "normalize.std"],
        ),
        ("{resize: [9, 9], channels: 1, normalize: {mean: [0.5], std: [0.2]}, random_erasing: true}", vec![]),
        ("{resize: [9, 9], channels: 1, normalize: auto, mixup: 1000, cutmix: 1}", vec![]),
        (
            "{resize: [9, 9], channels: 1, normalize: {mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}}",
            vec!["normalize.mean", "normalize.std"],
        ),
        ("{resize: [9, 9], normalize: {mean: [0.5], std: [1, 1, 1]}}", vec!["normalize.mean"]),
        ("{resize: [9, 9], channels: 1, random_erasing: {value: [1, 2, 3]}}", vec!["random_erasing.value"]),
        ("{resize: [9, 9], rand_augment: true, augmix: true}", vec!["augmix"]),
        ("{resize: [9, 9], grayscale: true, random_grayscale: 0.1}", vec!["random_grayscale"]),
        (
            "{resize: [9, 9], rand_augment: {num_ops: 0, magnitude: 31}}",
            vec!["rand_augment.num_ops", "rand_augment.magnitude"],
        ),
        (
            "{resize: [9, 9], trivial_augment_wide: {num_magnitude_bins: 1}}",
            vec!["trivial_augment_wide.num_magnitude_bins"],
        ),
        (
            "{resize: [9, 9], augmix: {severity: 11, mixture_width: 0, chain_depth: 0, alpha: 0}}",
            vec!["augmix.severity", "augmix.mixture_width", "augmix.chain_depth", "augmix.alpha"],
        ),
        ("{resize: [9, 9], random_rotation: -3}", vec!["random_rotation.degrees"]),
        ("{resize: [9, 9], random_rotation: [30, 20]}", vec!["random_rotation.degrees"]),
        (
            "{resize: [9, 9], random_affine: {degrees: .inf, translate: [0, 1.5], scale: [0, 1], shear: 90}}",
            vec![
                "random_affine.degrees",
                "random_affine.translate",
                "random_affine.scale",
                "random_affine.shear",
            ],
        ),
        (
            "{resize: [9, 9], random_perspective: {distortion_scale: 2, p: -1}}",
            vec!["random_perspective.distortion_scale", "random_perspective.p"],
        ),
        (
            "{resize: [9, 9], gaussian_blur: {kernel_size: 4, sigma: 0, p: 2}}",
            vec!["gaussian_blur.kernel_size", "gaussian_blur.sigma", "gaussian_blur.p"],
        ),
        ("{resize: [9, 9], gaussian_blur: {kernel_size: 19}}", vec!["gaussian_blur.kernel_size"]),
        (
            "{resize: [9, 9], random_erasing: {p: 2, scale: [0.3, 1.1], ratio: [0, 1], value: .inf}}",
            vec!["random_erasing.p", "random_erasing.scale", "random_erasing.ratio", "random_erasing.value"],
        ),
        ("{resize: [9, 9], mixup: -1, cutmix: .nan}", vec!["mixup.alpha", "cutmix.alpha"]),
    ] {
        let problems = parse(yaml).problems();
        let found: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(found, keys, "{yaml}: {problems:?}");
    }
}

#[test]
fn the_schema_describes_each_key() {
    let schema = serde_json::to_value(schemars::schema_for!(TransformConfig)).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 23);
    for (key, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{key}: {property}");
    }
}

#[test]
fn the_output_has_the_promised_size_whatever_goes_in() {
    for yaml in [
        "resize: [17, 23]",
        "{resize: 20, center_crop: [17, 23]}",
        "center_crop: [17, 23]",
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
                let out = pipeline.apply(pixels.clone(), &mut rng(sample));
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
    let source = picture("picture.png");
    let first = pipeline.apply(source.clone(), &mut rng(1));
    assert_eq!(first, pipeline.apply(source.clone(), &mut rng(1)));
    assert_ne!(first, pipeline.apply(source, &mut rng(2)));
}

#[test]
fn flips_happen_as_often_as_asked() {
    let two = Pixels { width: 2, height: 1, data: vec![0, 0, 0, 255, 255, 255] };
    for (probability, expected) in [("true", 0.5), ("false", 0.0), ("1", 1.0), ("0.2", 0.2)] {
        let pipeline = pipeline_of(&parse(&format!("random_horizontal_flip: {probability}")));
        let flipped = |sample| pipeline.apply(two.clone(), &mut rng(sample)).data[0] == 255;
        let share = (0..4000).filter(|sample| flipped(*sample)).count() as f64 / 4000.0;
        // Five standard deviations of a share of 4000.
        assert!((share - expected).abs() <= 0.04, "{probability}: {share}");
    }
}
