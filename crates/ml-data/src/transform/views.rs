//! Several views of one image, for a loss that compares them (AugMix's splits): all begin with the
//! same crop and flips. The clean view stops there; each of the others goes through all that comes
//! behind, with random numbers of its own.

use rand_chacha::ChaCha8Rng;

use super::config::{Probability, TransformConfig};
use super::{Pipeline, color};
use crate::decode::Pixels;

impl Pipeline {
    /// What all views begin with: resizing, crop and flips, without anything behind.
    #[must_use]
    pub fn before_views(&self) -> Pipeline {
        Pipeline { config: self.config.before_views(), normalizer: self.normalizer.clone() }
    }

    /// The clean view of what [`Pipeline::before_views`] has made.
    pub fn clean_view(&self, mut pixels: Pixels) -> Pixels {
        if self.config.grayscale {
            color::grayscale(&mut pixels);
        }
        pixels
    }

    /// An augmented view of what [`Pipeline::before_views`] has made. Each with a stream of its own,
    /// from which [`Pipeline::draw_erasure`] draws afterwards.
    pub fn augmented_view(&self, pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
        self.augment_after_flips(pixels, rng)
    }
}

impl TransformConfig {
    /// Whether there is a policy: `auto_augment`, `rand_augment`, `trivial_augment_wide` or `augmix`.
    pub fn has_policy(&self) -> bool {
        self.auto_augment.is_some()
            || self.rand_augment.is_some()
            || self.trivial_augment_wide.is_some()
            || self.augmix.is_some()
    }

    fn before_views(&self) -> TransformConfig {
        TransformConfig {
            auto_augment: None,
            rand_augment: None,
            trivial_augment_wide: None,
            augmix: None,
            random_rotation: None,
            random_affine: None,
            random_perspective: None,
            color_jitter: None,
            grayscale: false,
            random_grayscale: Probability(0.0),
            gaussian_blur: None,
            random_erasing: None,
            mixup: None,
            cutmix: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    fn pixels() -> Pixels {
        let data = (0..24 * 20 * 3).map(|value| (value * 37 % 251) as u8).collect();
        Pixels { width: 24, height: 20, data }
    }

    fn rng(number: u64) -> ChaCha8Rng {
        stream(3, Purpose::Augmentation, 0, number)
    }

    #[test]
    fn views_begin_with_one_crop_and_a_view_is_what_the_whole_pipeline_does_behind_it() {
        let text = "{random_resized_crop: 12, random_horizontal_flip: true, augmix: true, random_rotation: 20, \
                    color_jitter: {hue: 0.2}, random_grayscale: true, \
                    gaussian_blur: {kernel_size: 3, sigma: [0.1, 2.0]}, random_erasing: true}";
        let config: TransformConfig = serde_yaml::from_str(text).unwrap();
        let pipeline = Pipeline::new(&config).unwrap();
        let base = pipeline.before_views();
        assert_eq!(base.config().random_keys(), ["random_resized_crop", "random_horizontal_flip"]);
        assert_eq!((base.output_size(), base.preparation()), (Some((12, 12)), pipeline.preparation()));
        for number in 0..20 {
            let mut random = rng(number);
            let whole = pipeline.apply(pixels(), &mut rng(number)).unwrap();
            let first = base.apply(pixels(), &mut random).unwrap();
            assert_eq!(pipeline.clean_view(first.clone()), first);
            // With the stream that is left, a view is what the pipeline makes at once.
            assert_eq!(pipeline.augmented_view(first.clone(), &mut random), whole);
            let [one, other] =
                [1, 2].map(|view| pipeline.augmented_view(first.clone(), &mut rng(view << 32)));
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_clean_view_is_grey_where_all_images_are() {
        let config: TransformConfig =
            serde_yaml::from_str("{center_crop: 12, rand_augment: true, grayscale: true}").unwrap();
        assert!(config.has_policy() && !config.before_views().has_policy());
        let pipeline = Pipeline::new(&config).unwrap();
        let base = pipeline.before_views().apply(pixels(), &mut rng(0)).unwrap();
        let is_grey = |pixels: &Pixels| pixels.data.chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        assert!(!is_grey(&base) && is_grey(&pipeline.clean_view(base.clone())));
    }
}
