//! Random parameters of rotations, affine maps, perspectives, blurs, erasures and mixing.

use super::*;
use crate::transform::distributions::{beta, dirichlet, normal_pair};
use crate::transform::erasing::{EraseValue, RandomErasing};

const OF: Size = Size { height: 60, width: 90 };

fn streams(count: u64) -> impl Iterator<Item = ChaCha8Rng> {
    (0..count).map(rng)
}

/// The mean of uniform values in `range`, and that all lie within it.
fn assert_uniform(values: &[f64], range: [f64; 2]) {
    let [min, max] = range;
    assert!(values.iter().all(|value| (min..=max).contains(value)), "{range:?}");
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let allowed = 5.0 * (max - min) / 12_f64.sqrt() / count.sqrt();
    assert!((mean - f64::midpoint(min, max)).abs() <= allowed, "{range:?}: {mean}");
}

#[test]
fn rotations_and_affine_maps_are_uniform_in_their_ranges() {
    let config = parse(
        "{random_rotation: [-10, 30], random_affine: {degrees: 25, translate: [0.1, 0.5], scale: [0.5, 2], \
          shear: [-5, 15, 1, 2]}}",
    );
    let rotation = config.random_rotation.unwrap();
    let affine = config.random_affine.unwrap();
    assert_uniform(&streams(2000).map(|mut rng| rotation.draw(&mut rng)).collect::<Vec<_>>(), [-10.0, 30.0]);
    let drawn: Vec<_> = streams(2000).map(|mut rng| affine.draw(&mut rng, OF)).collect();
    let all = |get: fn(&warp::AffineParams) -> f64| drawn.iter().map(get).collect::<Vec<f64>>();
    assert_uniform(&all(|params| params.angle), [-25.0, 25.0]);
    assert_uniform(&all(|params| params.translate[0] as f64), [-9.0, 9.0]);
    assert_uniform(&all(|params| params.translate[1] as f64), [-30.0, 30.0]);
    assert_uniform(&all(|params| params.scale), [0.5, 2.0]);
    assert_uniform(&all(|params| params.shear[0]), [-5.0, 15.0]);
    assert_uniform(&all(|params| params.shear[1]), [1.0, 2.0]);
}

#[test]
fn perspectives_move_each_corner_inwards_as_often_as_asked() {
    let perspective =
        parse("random_perspective: {distortion_scale: 0.4, p: 0.3}").random_perspective.unwrap();
    let drawn: Vec<_> = streams(4000).filter_map(|mut rng| perspective.draw(&mut rng, OF)).collect();
    assert!((drawn.len() as f64 / 4000.0 - 0.3).abs() < 0.04, "{}", drawn.len());
    // 0.4 of half of 90 and of 60.
    for (corner, x, y) in [(0, 0.0, 0.0), (1, 89.0, 0.0), (2, 89.0, 59.0), (3, 0.0, 59.0)] {
        let span = |from: f64, reach: f64| if from == 0.0 { [0.0, reach] } else { [from - reach, from] };
        let all = |axis: usize| drawn.iter().map(|c| c[corner][axis] as f64).collect::<Vec<f64>>();
        assert_uniform(&all(0), span(x, 18.0));
        assert_uniform(&all(1), span(y, 12.0));
    }
}

#[test]
fn blurs_happen_as_often_as_asked_with_a_uniform_width() {
    let blur = parse("gaussian_blur: {kernel_size: 3, sigma: [0.5, 1.5], p: 0.4}").gaussian_blur.unwrap();
    let drawn: Vec<f64> = streams(4000).filter_map(|mut rng| blur.draw(&mut rng)).collect();
    assert!((drawn.len() as f64 / 4000.0 - 0.4).abs() < 0.04, "{}", drawn.len());
    assert_uniform(&drawn, [0.5, 1.5]);
    let fixed = parse("gaussian_blur: {kernel_size: [3, 5], sigma: 2}").gaussian_blur.unwrap();
    assert_eq!(fixed.draw(&mut rng(0)), Some(2.0));
}

#[test]
fn erasures_have_the_documented_area_ratio_and_place() {
    let erasing = RandomErasing { p: 0.7, scale: [0.05, 0.2], ratio: [0.5, 2.0], ..RandomErasing::default() };
    let of = Size { height: 1000, width: 2000 };
    let drawn: Vec<Erasure> = streams(4000).filter_map(|mut rng| erasing.draw(&mut rng, of)).collect();
    assert!((drawn.len() as f64 / 4000.0 - 0.7).abs() < 0.04, "{}", drawn.len());
    let shape = |erasure: &Erasure| (f64::from(erasure.area.size.height), f64::from(erasure.area.size.width));
    let all = |get: &dyn Fn(&Erasure) -> f64| drawn.iter().map(get).collect::<Vec<f64>>();
    // To within the rounding of sides of 200 pixels and more.
    assert_uniform(&all(&|e| shape(e).0 * shape(e).1 / 2e6), [0.0495, 0.2005]);
    assert_uniform(&all(&|e| (shape(e).0 / shape(e).1).ln()), [-0.7, 0.7]);
    for Erasure { area, .. } in &drawn {
        assert!(area.top + area.size.height <= 1000 && area.left + area.size.width <= 2000);
    }
    // What never fits changes nothing.
    let too_large = RandomErasing { p: 1.0, scale: [1.0, 1.0], ..RandomErasing::default() };
    assert!(streams(50).all(|mut rng| too_large.draw(&mut rng, of).is_none()));
    let tiny = RandomErasing { p: 1.0, ..RandomErasing::default() };
    assert!(streams(50).all(|mut rng| tiny.draw(&mut rng, Size { height: 1, width: 1 }).is_none()));
}

#[test]
fn erased_noise_is_standard_normal_and_a_function_of_its_seed() {
    let erasing = RandomErasing { p: 1.0, value: EraseValue::Random, ..RandomErasing::default() };
    let of = Size { height: 200, width: 100 };
    let erasure = erasing.draw(&mut rng(1), of).unwrap();
    let mut bytes = vec![0; 4 * 3 * 200 * 100];
    erasure.apply_to_bytes(&mut bytes, 3, of);
    let mut again = vec![0; bytes.len()];
    erasure.apply_to_bytes(&mut again, 3, of);
    assert_eq!(bytes, again);
    let floats: Vec<f64> =
        bytes.as_chunks::<4>().0.iter().map(|float| f64::from(f32::from_ne_bytes(*float))).collect();
    let noise: Vec<f64> = floats.iter().copied().filter(|value| *value != 0.0).collect();
    let count = (3 * erasure.area.size.height * erasure.area.size.width) as usize;
    assert_eq!(noise.len(), count, "nothing outside is written");
    let mean = noise.iter().sum::<f64>() / count as f64;
    let variance = noise.iter().map(|value| value * value).sum::<f64>() / count as f64;
    assert!(mean.abs() < 5.0 / (count as f64).sqrt() && (variance - 1.0).abs() < 7.1 / (count as f64).sqrt());
    let other = Erasure { fill: Fill::Noise { seed: 1 }, ..erasure };
    assert_ne!(other.values(3), erasure.values(3));
    assert_eq!(erasure.values(3).len(), count);
}

#[test]
fn normal_variables_have_the_moments_of_one() {
    let mut stream = rng(0);
    let values: Vec<f64> = (0..50_000).flat_map(|_| normal_pair(&mut stream)).collect();
    let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64;
    // Means and variances of the first four moments: 0, 1, 0, 3 and 1, 2, 15, 96.
    for (power, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
        let allowed = 5.0 * (variance / values.len() as f64).sqrt();
        assert!((moment(power) - mean).abs() < allowed, "{power}: {}", moment(power));
    }
}

#[test]
fn beta_variables_have_numpys_quantiles() {
    let count = 20_000;
    for case in reference("channel_statistics")["beta"].as_array().unwrap() {
        let alpha = case["alpha"].as_f64().unwrap();
        let mut stream = rng((alpha * 1000.0) as u64);
        let values: Vec<f64> = (0..count).map(|_| beta(&mut stream, alpha)).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let mean = values.iter().sum::<f64>() / count as f64;
        let variance = values.iter().map(|value| (value - 0.5).powi(2)).sum::<f64>() / count as f64;
        let expected = 0.25 / (2.0 * alpha + 1.0);
        assert!((mean - 0.5).abs() < 5.0 * (expected / count as f64).sqrt(), "{alpha}: {mean}");
        assert!((variance - expected).abs() < 5.0 * 0.125 / (count as f64).sqrt(), "{alpha}: {variance}");
        let pairs = case["shares"].as_array().unwrap().iter().zip(case["quantiles"].as_array().unwrap());
        for (share, quantile) in pairs {
            let (share, quantile) = (share.as_f64().unwrap(), quantile.as_f64().unwrap());
            let below = values.iter().filter(|value| **value <= quantile).count() as f64 / count as f64;
            // Five standard deviations, and as much for numpy's own four million.
            let allowed = 5.5 * (share * (1.0 - share) / count as f64).sqrt();
            assert!((below - share).abs() < allowed, "{alpha}: {below} below {quantile}, expected {share}");
        }
    }
    // So small that each variable is 0 or 1 in a number's precision, but never none.
    let mut stream = rng(1);
    assert!((0..1000).all(|_| beta(&mut stream, 1e-4).is_finite()));
    let weights = dirichlet(&mut stream, 0.5, 7);
    assert!(weights.len() == 7 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn cutmix_boxes_and_their_lambda_are_torchvisions() {
    let reference = reference("policies");
    let boxes = reference["boxes"].as_array().unwrap();
    assert!(boxes.len() > 40);
    for case in boxes {
        let of = size(&case["size"]);
        let center = ints(&case["center"]);
        let found = Mix::cut(case["lambda"].as_f64().unwrap(), [center[0] as u32, center[1] as u32], of);
        let corners = ints(&case["box"]);
        let (left, top, right, bottom) = (corners[0], corners[1], corners[2], corners[3]);
        match found {
            None => assert!(left >= right || top >= bottom, "{case}"),
            Some(Mix::Cutmix { area, lambda }) => {
                let size = Size { height: (bottom - top) as u32, width: (right - left) as u32 };
                assert_eq!(area, Area { top: top as u32, left: left as u32, size }, "{case}");
                assert!((lambda - case["adjusted"].as_f64().unwrap()).abs() < 1e-12, "{case}");
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn mixing_chooses_evenly_and_only_what_is_given() {
    use rand::RngCore;
    let both = pipeline_of(&parse("{mixup: 0.2, cutmix: {alpha: 1}}"));
    let (mut mixups, mut cuts) = (0, 0);
    for mut rng in streams(4000) {
        match both.draw_mix(&mut rng, 8, OF) {
            Some(Mix::Mixup { lambda }) => {
                assert!((0.0..=1.0).contains(&lambda));
                mixups += 1;
            }
            Some(mix @ Mix::Cutmix { area, .. }) => {
                assert!(area.top + area.size.height <= 60 && area.left + area.size.width <= 90);
                assert!((0.0..1.0).contains(&mix.lambda()));
                cuts += 1;
            }
            None => cuts += 1,
        }
    }
    assert!((1842..=2158).contains(&mixups) && mixups + cuts == 4000, "{mixups}");
    let only = |yaml: &str| pipeline_of(&parse(yaml)).draw_mix(&mut rng(5), 2, OF);
    assert!(matches!(only("mixup: 1"), Some(Mix::Mixup { .. })));
    assert!(matches!(only("cutmix: 1"), Some(Mix::Cutmix { .. })));
    for (yaml, samples) in [("{}", 8), ("{mixup: 1, cutmix: 1}", 1), ("mixup: 1", 0)] {
        let mut unused = rng(5);
        assert_eq!(pipeline_of(&parse(yaml)).draw_mix(&mut unused, samples, OF), None);
        assert_eq!(unused.next_u64(), rng(5).next_u64(), "nothing is drawn");
    }
    assert_eq!([0, 1, 3].map(|index| Mix::partner(index, 4)), [3, 0, 2]);
}
