//! mixup and cutmix on a batch's tensors. What is done is drawn by [`ml_data::transform::Mix`].

use ml_data::transform::Mix;
use tch::{Kind, Tensor};

/// `images` `[N, C, H, W]` f32, mixed each with the one before; those of a cutmix are changed in
/// place.
pub(super) fn images(mix: Option<Mix>, images: Tensor) -> Tensor {
    match mix {
        None => images,
        Some(Mix::Mixup { lambda }) => &images * lambda + images.roll(1, 0) * (1.0 - lambda),
        Some(Mix::Cutmix { area, .. }) => {
            let (top, left) = (i64::from(area.top), i64::from(area.left));
            let (height, width) = (i64::from(area.size.height), i64::from(area.size.width));
            let mut part = images.narrow(2, top, height).narrow(3, left, width);
            part.copy_(&part.roll(1, 0));
            images
        }
    }
}

/// `targets` `[N]` i64 in `0..num_classes` → probabilities `[N, num_classes]` f32.
pub(super) fn probabilities(mix: Option<Mix>, targets: &Tensor, num_classes: usize) -> Tensor {
    weighted(mix, &targets.one_hot(num_classes as i64).to_kind(Kind::Float))
}

/// `own` `[N, K]` f32, of each sample and the one before it the sum weighted with their shares.
pub(super) fn weighted(mix: Option<Mix>, own: &Tensor) -> Tensor {
    let lambda = mix.as_ref().map_or(1.0, Mix::lambda);
    own * lambda + own.roll(1, 0) * (1.0 - lambda)
}

/// The class of each sample that has the larger share, `[N]` i64.
pub(super) fn main_targets(mix: Option<Mix>, targets: Tensor) -> Tensor {
    if mix.is_some_and(|mix| mix.lambda() < 0.5) { targets.roll(1, 0) } else { targets }
}

#[cfg(test)]
mod tests {
    use ml_data::geometry::{Area, Size};

    use super::*;

    #[test]
    fn labels_are_mixed_with_the_shares_of_their_images() {
        let labels = Tensor::from_slice2(&[[1.0f32, 1.0, 0.0], [0.0, 1.0, 0.0]]);
        let mixed = weighted(Some(Mix::Mixup { lambda: 0.75 }), &labels);
        assert!(mixed.equal(&Tensor::from_slice2(&[[0.75f32, 1.0, 0.0], [0.25, 1.0, 0.0]])));
        assert!(weighted(None, &labels).equal(&labels));
    }

    // The program: tests/reference/mix_batch.py.
    #[test]
    fn batches_are_mixed_as_torchvision_mixes_them() {
        let reference: serde_json::Value = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/mix_batch.json"
        )))
        .unwrap();
        let cases = reference["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let lambda = case["lambda"].as_f64().unwrap();
            let mix = if case["name"] == "mixup" {
                Mix::Mixup { lambda }
            } else {
                let side = |i: usize| case["box"][i].as_u64().unwrap() as u32;
                let size = Size { height: side(3) - side(1), width: side(2) - side(0) };
                Mix::Cutmix { area: Area { top: side(1), left: side(0), size }, lambda }
            };
            let input =
                Tensor::arange(3 * 2 * 5 * 4, (Kind::Float, tch::Device::Cpu)).view([3, 2, 5, 4]).sin();
            let targets = Tensor::from_slice(&[2i64, 0, 1]);
            let floats =
                |tensor: &Tensor| Vec::<f64>::try_from(tensor.flatten(0, -1).to_kind(Kind::Double)).unwrap();
            for (key, got) in [
                ("images", floats(&images(Some(mix), input))),
                ("targets", floats(&probabilities(Some(mix), &targets, 4))),
            ] {
                let expected = case[key].as_array().unwrap();
                assert_eq!(got.len(), expected.len());
                // Products and sums of float32 in the same order: its last bit, of numbers up to 1.
                let same = got.iter().zip(expected).all(|(a, b)| (a - b.as_f64().unwrap()).abs() < 2e-7);
                assert!(same, "{case}: {got:?}");
            }
        }
        let targets = || Tensor::from_slice(&[2i64, 0, 1]);
        let main =
            |lambda| Vec::<i64>::try_from(main_targets(Some(Mix::Mixup { lambda }), targets())).unwrap();
        assert_eq!((main(0.6), main(0.4)), (vec![2, 0, 1], vec![1, 2, 0]));
    }
}
