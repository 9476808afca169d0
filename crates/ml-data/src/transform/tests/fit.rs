//! Letterboxes against torchvision's, and what `fit` makes of pipelines.

use super::*;
use crate::transform::statistics::{Options, channel_statistics};

const NEVER: Options<'static> = Options { threads: 1, skip_unreadable: false, stop: &|| false };

/// Rows become columns.
fn transposed(pixels: &Pixels) -> Pixels {
    let Pixels { width, height, data } = pixels;
    let pixel = |x: u32, y: u32| (y * width + x) as usize * 3;
    let places = (0..*width).flat_map(|x| (0..*height).map(move |y| (x, y)));
    let data = places.flat_map(|(x, y)| data[pixel(x, y)..][..3].to_vec()).collect();
    Pixels { width: *height, height: *width, data }
}

fn fit(yaml: &str) -> Fit {
    Fit::read(serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap()).unwrap().unwrap()
}

fn fitted(pipeline: &str, yaml: &str) -> TransformConfig {
    parse(pipeline).fitted(fit(yaml))
}

#[test]
fn letterboxes_are_torchvisions() {
    for (case, expected) in cases("letterbox") {
        let mut source = image(case["source"].as_str().unwrap());
        if case["turned"] == true {
            source = transposed(&source);
        }
        let config: TransformConfig = serde_json::from_value(case["transform"].clone()).unwrap();
        assert_eq!(config.problems(), [], "{case}");
        let tolerance = match config.interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Bilinear => 1,
            Interpolation::Bicubic | Interpolation::Lanczos => 2,
        };
        let result = pipeline_of(&config).apply(source, &mut rng(0)).unwrap();
        let difference = max_difference(&result, &expected);
        assert!(difference <= tolerance, "{case}: {difference}");
    }
}

#[test]
fn a_letterbox_of_any_shape_has_one_pixel_at_least() {
    let pipeline = pipeline_of(&parse("letterbox: {size: 9, fill: 7}"));
    let line = Pixels { width: 500, height: 1, data: vec![200; 1500] };
    let result = pipeline.apply(line, &mut rng(0)).unwrap();
    let rows: Vec<bool> =
        result.data.chunks_exact(27).map(|row| row.iter().all(|value| *value == 200)).collect();
    assert_eq!(rows.iter().filter(|row| **row).count(), 1);
    assert!(rows[4] && result.data[0] == 7, "{rows:?}");
}

#[test]
fn fit_replaces_the_steps_that_give_the_size_and_keeps_the_size() {
    for (pipeline, crop, pad, squash) in [
        ("{resize: [24, 24]}", "{resize: 24, center_crop: 24}", "{letterbox: 24}", "{resize: [24, 24]}"),
        (
            "{resize: 28, center_crop: 24}",
            "{resize: 28, center_crop: 24}",
            "{letterbox: 24}",
            "{resize: [24, 24]}",
        ),
        (
            "{random_resized_crop: 24, random_horizontal_flip: true, interpolation: bicubic}",
            "{random_resized_crop: 24, random_horizontal_flip: true, interpolation: bicubic}",
            "{letterbox: 24, random_horizontal_flip: true, interpolation: bicubic}",
            "{resize: [24, 24], random_horizontal_flip: true, interpolation: bicubic}",
        ),
        (
            "{resize: [28, 28], random_crop: {size: 24, padding: 2}}",
            "{resize: 28, random_crop: {size: 24, padding: 2}}",
            "{letterbox: 28, random_crop: {size: 24, padding: 2}}",
            "{resize: [28, 28], random_crop: {size: 24, padding: 2}}",
        ),
        ("{letterbox: 24}", "{resize: 24, center_crop: 24}", "{letterbox: 24}", "{resize: [24, 24]}"),
        ("{center_crop: 24}", "{center_crop: 24}", "{letterbox: 24}", "{resize: [24, 24]}"),
    ] {
        let size = parse(pipeline).output_size();
        for (mode, expected) in [("crop", crop), ("pad", pad), ("squash", squash)] {
            let found = fitted(pipeline, mode);
            assert_eq!(found, parse(expected), "{mode}: {pipeline}");
            assert_eq!((found.output_size(), found.problems()), (size, Vec::new()), "{mode}: {pipeline}");
            assert_eq!(found.fitted(fit(mode)), found, "{mode} twice: {pipeline}");
            let defaults = parse(pipeline).fit_problems(fit(mode), |_| false);
            assert_eq!(defaults, [], "{mode}: {pipeline}");
        }
    }
    let grey = fitted("{resize: [24, 30]}", "{mode: pad, fill: [124, 116, 104]}");
    assert_eq!(grey, parse("{letterbox: {size: [24, 30], fill: [124, 116, 104]}}"));
}

#[test]
fn what_contradicts_a_fit_is_refused_by_key() {
    for (pipeline, mode, key) in [
        ("{random_resized_crop: 24}", "pad", "random_resized_crop"),
        ("{random_resized_crop: 24}", "squash", "random_resized_crop"),
        ("{random_crop: 24}", "pad", "random_crop"),
        ("{letterbox: 24}", "crop", "letterbox"),
        ("{letterbox: 24}", "squash", "letterbox"),
        ("{letterbox: 24}", "{mode: pad, fill: 9}", "letterbox"),
        ("{resize: [24, 30]}", "crop", "resize"),
    ] {
        let problems = parse(pipeline).fit_problems(fit(mode), |_| true);
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, [key], "{mode}: {pipeline}: {problems:?}");
    }
    assert_eq!(fit("{mode: squash, fill: 9}").problems()[0].0, "fill");
    assert_eq!(fit("{mode: pad, fill: 9}").problems(), []);
    for (pipeline, key) in [
        ("{letterbox: 24, resize: 24}", "resize"),
        ("{letterbox: 24, center_crop: 20}", "center_crop"),
        ("{letterbox: 24, random_resized_crop: 20}", "random_resized_crop"),
        ("{letterbox: 24, random_crop: 30}", "random_crop"),
        ("{letterbox: 0}", "letterbox"),
    ] {
        let problems = parse(pipeline).problems();
        assert!(problems.iter().any(|(found, _)| found == key), "{pipeline}: {problems:?}");
    }
    for wrong in ["stretch", "3", "true", "{fill: 3}", "{mode: pad, fill: 256}"] {
        let value: serde_yaml::Value = serde_yaml::from_str(wrong).unwrap();
        assert!(Fit::read(value).is_err(), "{wrong}");
    }
}

#[test]
fn preparation_depends_on_the_letterbox_and_on_nothing_new_without_one() {
    let told = |yaml: &str| pipeline_of(&parse(yaml)).preparation();
    assert_eq!(told("resize: 24"), "Some(ShorterSide(24)) None Bilinear Auto");
    let all =
        ["letterbox: 24", "letterbox: 25", "letterbox: {size: 24, fill: 1}", "resize: [24, 24]"].map(told);
    assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])), "{all:?}");
}

#[test]
fn padding_does_not_count_in_channel_statistics() {
    let paths = [tests_folder().join("data/images/image.png")];
    let of = |yaml: &str| channel_statistics(&paths, &parse(yaml), &NEVER).unwrap().normalize;
    // 90 x 60 pixels become 45 x 30.
    assert_eq!(of("letterbox: {size: 45, fill: 255}"), of("resize: [30, 45]"));
    assert_eq!(of("{letterbox: {size: 45, fill: 255}, channels: 1}"), of("{resize: [30, 45], channels: 1}"));
}
