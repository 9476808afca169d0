//! Images of N channels and 16 bits: operations against Pillow's mode `F` and torchvision's float
//! tensors (`tests/reference/planes.py`), and pipelines on files of all kinds.

use super::*;
use crate::decode::{Encoded, Raster};

/// The image of `planes.py`.
fn source() -> Raster {
    let size = Size { height: 9, width: 12 };
    let mut raster = Raster::zeros(size, 2, Depth::Sixteen, "test").unwrap();
    for (at, value) in raster.data.iter_mut().enumerate() {
        let (channel, y, x) = (at / 108, at % 108 / 12, at % 12);
        *value = ((x * 7919 + y * 104_729 + channel * 15_485_863) % 65_536) as f32;
    }
    raster
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn assert_close(ours: &[f32], theirs: &[f32], name: &str) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Of 65535: the last bits of f32.
    assert!(difference < 0.02, "{name}: {difference}");
}

#[test]
fn planes_are_resized_as_by_pillow_and_torchvision() {
    for case in reference("planes")["resized"].as_array().unwrap() {
        let how: Interpolation = serde_json::from_value(case["interpolation"].clone()).unwrap();
        let image = source();
        let ours = planes::resized_crop(&image, Area::whole(image.size), size(&case["size"]), how);
        assert_close(&ours.data, &floats(&case["values"]), &format!("{how:?} {:?}", ours.size));
    }
}

#[test]
fn planes_are_rotated_as_by_pillow() {
    for case in reference("planes")["rotated"].as_array().unwrap() {
        let angle = case["angle"].as_f64().unwrap();
        let image = source();
        let [a, b, c, d, e, f] = warp::rotation_matrix(image.size, angle);
        let place = |x: f64, y: f64| (a * x + b * y + c, d * x + e * y + f);
        let ours = planes::map(&image, place, warp::Sampling::Bilinear, &[257.0]);
        assert_close(&ours.data, &floats(&case["values"]), &format!("{angle}"));
    }
}

/// `[height, width, channels]` of u16 in a NumPy file.
fn npy(height: usize, width: usize, channels: usize, value: impl Fn(usize) -> u16) -> Vec<u8> {
    let header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}, {channels}), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    let values = (0..height * width * channels).flat_map(|at| value(at).to_le_bytes());
    [&b"\x93NUMPY\x01\0"[..], &length, header.as_bytes()].concat().into_iter().chain(values).collect()
}

fn floats_of(config: &TransformConfig, file: &[u8]) -> Vec<f32> {
    let pipeline = pipeline_of(config);
    let raster = pipeline.load_raster(Encoded::read(file).unwrap(), &mut rng(0)).unwrap();
    let mut bytes = vec![0; 4 * raster.data.len()];
    pipeline.normalize_raster_into_bytes(&raster, &mut bytes);
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect()
}

#[test]
fn sixteen_bits_and_all_channels_arrive_normalised() {
    let file = npy(2, 2, 4, |at| at as u16 * 4000);
    let config = parse("{resize: [2, 2], channels: 4, bits: 16}");
    assert_eq!(config.problems(), []);
    let found = floats_of(&config, &file);
    let expected: Vec<f32> = (0..16).map(|at| (at % 4 * 4 + at / 4) as f32 * 4000.0 / 65_535.0).collect();
    assert_eq!(found, expected);
    let normalize = "normalize: {mean: [0.1, 0.2, 0.3, 0.4], std: [0.5, 0.5, 0.5, 0.25]}";
    let config = parse(&format!("{{resize: [2, 2], channels: 4, bits: 16, {normalize}}}"));
    assert!((floats_of(&config, &file)[15] - (60_000.0 / 65_535.0 - 0.4) / 0.25).abs() < 1e-6);
}

#[test]
fn geometry_draws_what_it_draws_for_rgb_images() {
    let bytes: Vec<u8> = (0..12 * 14 * 3).map(|at| (at * 37 % 256) as u8).collect();
    let pixels = Pixels { width: 14, height: 12, data: bytes };
    let text = "random_crop: {size: 8, padding: 2, fill: 9}, random_horizontal_flip: true, random_vertical_flip: true";
    let rgb = pipeline_of(&parse(&format!("{{{text}}}")));
    let deep = pipeline_of(&parse(&format!("{{{text}, bits: 16}}")));
    let file = npy(12, 14, 3, |at| u16::from(pixels.data[at]) * 257);
    for sample in 0..20 {
        let expected = rgb.apply(pixels.clone(), &mut rng(sample)).unwrap();
        let found = deep.load_raster(Encoded::read(&file).unwrap(), &mut rng(sample)).unwrap();
        assert_eq!(found.preview(), expected);
        assert_eq!(deep.load(Encoded::read(&file).unwrap(), &mut rng(sample)).unwrap(), expected);
    }
}

#[test]
fn files_of_eight_bits_fit_sixteen_and_other_channels_are_refused_by_number() {
    let pipeline = pipeline_of(&parse("{resize: [4, 4], bits: 16}"));
    for name in ["rgb.png", "rgb.webp", "rgb.tif"] {
        let path = tests_folder().join("data/images").join(name);
        let Ok(file) = fs::read(&path) else { continue };
        let whole = crate::decode::decode_bytes(&file).unwrap();
        let raster = Encoded::read(&file).unwrap().decode_raster(3, Depth::Sixteen).unwrap();
        assert_eq!(raster.preview(), whole, "{name}");
        pipeline.load_raster(Encoded::read(&file).unwrap(), &mut rng(0)).unwrap();
    }
    let file = npy(4, 4, 5, |_| 0);
    let refused = |channels, depth| {
        Encoded::read(&file).unwrap().decode_raster(channels, depth).unwrap_err().to_string()
    };
    assert!(refused(4, Depth::Sixteen).contains("it has 5 channels, and transforms.<split>.channels is 4"));
    assert!(refused(5, Depth::Eight).contains("it has 16 bits a channel, and transforms.<split>.bits is 8"));
    let rgb = pipeline_of(&parse("{resize: [4, 4]}"));
    let error = rgb.load(Encoded::read(&file).unwrap(), &mut rng(0)).unwrap_err().to_string();
    assert!(error.contains("it has 5 channels, and transforms.<split>.channels is 3"), "{error}");
}

#[test]
fn what_needs_rgb_bytes_is_refused_by_key() {
    for key in [
        "auto_augment: imagenet",
        "rand_augment: true",
        "trivial_augment_wide: true",
        "augmix: true",
        "color_jitter: {hue: 0.1}",
        "grayscale: true",
        "random_grayscale: 0.5",
        "gaussian_blur: {kernel_size: 3}",
        "random_rotation: {degrees: 3, fill: [1, 2, 3]}",
    ] {
        let problems = parse(&format!("{{resize: [8, 8], channels: 5, {key}}}")).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].0.starts_with(key.split(':').next().unwrap()), "{problems:?}");
    }
}

#[test]
fn statistics_are_those_of_each_channel() {
    use crate::transform::statistics::{Options, channel_statistics};
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.npy");
    fs::write(&path, npy(8, 8, 4, |at| (at % 4 * 10_000 + at / 4 % 2 * 1000) as u16)).unwrap();
    let config = parse("{resize: [8, 8], channels: 4, bits: 16, normalize: auto}");
    let options = Options { threads: 1, skip_unreadable: false, stop: &|| false };
    let found = channel_statistics(&[path], &config, &options).unwrap().normalize;
    for channel in 0..4 {
        let mean = (f64::from(channel as u32) * 10_000.0 + 500.0) / 65_535.0;
        assert!((found.mean[channel] - mean).abs() < 1e-12);
        assert!((found.std[channel] - 500.0 / 65_535.0).abs() < 1e-12);
    }
}
