//! How settings are spelt, and what is refused.

use super::*;

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
        ("channels: 65", "1 (luma), 3 (red, green, blue), or as many"),
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
    assert_eq!(properties.len(), 26);
    for (key, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{key}: {property}");
    }
}

#[test]
fn a_range_without_an_upper_limit_names_none() {
    for yaml in ["gaussian_blur: {kernel_size: 3, sigma: 0}", "random_erasing: {ratio: [0, 1]}"] {
        let problems = parse(&format!("{{resize: [9, 9], {yaml}}}")).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].1.starts_with("must be [min, max] with 0 < min <= max, got ["), "{problems:?}");
    }
}
