//! What can be wrong with one split's transforms.

use super::config::{
    ColorJitter, JitterAmount, MAX_SIDE, Probability, RandomResizedCrop, Resize, Size, TransformConfig,
};
use super::spelling::Color;
use crate::setting::Auto;
use crate::violations::Violations;

impl TransformConfig {
    /// What is wrong, as (key relative to this struct, message): `("color_jitter.hue", "must be
    /// within 0 to 0.5, got 0.7")`. Empty if nothing is.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Violations::default();
        self.check_sizes(&mut problems);
        self.check_crops(&mut problems);
        for (key, Probability(p)) in [
            ("random_horizontal_flip", self.random_horizontal_flip),
            ("random_vertical_flip", self.random_vertical_flip),
            ("random_grayscale", self.random_grayscale),
        ] {
            problems.check(key, (0.0..=1.0).contains(&p), || {
                format!("must be `true`, `false` or a probability within 0 to 1, got {p}")
            });
        }
        if let Some(jitter) = &self.color_jitter {
            check_jitter(jitter, &mut problems);
        }
        self.check_operations(&mut problems);
        self.check_deep(&mut problems);
        problems.into()
    }

    fn check_operations(&self, problems: &mut Violations) {
        problems.check_one_of(&[
            ("auto_augment", self.auto_augment.is_some()),
            ("rand_augment", self.rand_augment.is_some()),
            ("trivial_augment_wide", self.trivial_augment_wide.is_some()),
            ("augmix", self.augmix.is_some()),
        ]);
        problems.check_one_of(&[
            ("grayscale", self.grayscale),
            ("random_grayscale", self.random_grayscale.0 > 0.0),
        ]);
        let output = self.output_size();
        self.rand_augment.iter().for_each(|policy| policy.check(problems));
        self.trivial_augment_wide.iter().for_each(|policy| policy.check(problems));
        self.augmix.iter().for_each(|policy| policy.check(problems));
        self.random_rotation.iter().for_each(|rotation| rotation.check(problems));
        self.random_affine.iter().for_each(|affine| affine.check(problems));
        self.random_perspective.iter().for_each(|perspective| perspective.check(problems));
        self.gaussian_blur.iter().for_each(|blur| blur.check(output, problems));
        if let Some(Auto::Value(normalize)) = &self.normalize {
            normalize.check(self.channels, problems);
        }
        self.random_erasing.iter().for_each(|erasing| erasing.check(self.channels.count(), problems));
        self.mixup.iter().for_each(|mixup| mixup.check("mixup", problems));
        self.cutmix.iter().for_each(|cutmix| cutmix.check("cutmix", problems));
    }

    /// What works on RGB bytes alone, and what is given for three channels where there are others.
    fn check_deep(&self, problems: &mut Violations) {
        if !self.is_deep() {
            return;
        }
        let (channels, bits) = (self.channels.count(), self.bits.bits());
        for (key, is_on) in [
            ("auto_augment", self.auto_augment.is_some()),
            ("rand_augment", self.rand_augment.is_some()),
            ("trivial_augment_wide", self.trivial_augment_wide.is_some()),
            ("augmix", self.augmix.is_some()),
            ("color_jitter", self.color_jitter.is_some()),
            ("grayscale", self.grayscale),
            ("random_grayscale", self.random_grayscale.0 > 0.0),
            ("gaussian_blur", self.gaussian_blur.is_some()),
        ] {
            problems.check(key, !is_on, || {
                format!("is for RGB images of 8 bits; the images have channels: {channels} and bits: {bits}; remove it")
            });
        }
        for (key, fill) in [
            ("letterbox.fill", self.letterbox.map(|letterbox| letterbox.fill)),
            ("random_rotation.fill", self.random_rotation.as_ref().map(|rotation| rotation.fill)),
            ("random_affine.fill", self.random_affine.as_ref().map(|affine| affine.fill)),
            ("random_perspective.fill", self.random_perspective.as_ref().map(|moved| moved.fill)),
        ] {
            let Some(Color([red, green, blue])) = fill else { continue };
            problems.check(key, channels == 3 || (red == green && green == blue), || {
                format!("has three numbers, but `channels` is {channels}; give one number")
            });
        }
    }

    fn check_sizes(&self, problems: &mut Violations) {
        match self.resize {
            Some(Resize::Exact(size)) => problems.check_size("resize", size),
            Some(Resize::ShorterSide(side)) => {
                problems.check_size("resize", Size { height: side, width: side });
            }
            None => {}
        }
        for (key, size) in [
            ("letterbox", self.letterbox.map(|letterbox| letterbox.size)),
            ("center_crop", self.center_crop),
            ("random_crop", self.random_crop.map(|crop| crop.size)),
            ("random_resized_crop", self.random_resized_crop.map(|crop| crop.size)),
        ] {
            if let Some(size) = size {
                problems.check_size(key, size);
            }
        }
        problems.check("resize", self.output_size().is_some(), || match self.resize {
            Some(Resize::ShorterSide(side)) => format!(
                "one number leaves the longer side as it comes, but a batch needs images of one size; \
                 write [{side}, {side}] or add `center_crop: {side}`"
            ),
            _ => "a batch needs images of one size; give `resize: [height, width]` or a crop".to_owned(),
        });
    }

    fn check_crops(&self, problems: &mut Violations) {
        problems.check_one_of(&[
            ("center_crop", self.center_crop.is_some()),
            ("random_crop", self.random_crop.is_some()),
            ("random_resized_crop", self.random_resized_crop.is_some()),
        ]);
        for (key, given) in [
            ("resize", self.resize.is_some()),
            ("center_crop", self.center_crop.is_some()),
            ("random_resized_crop", self.random_resized_crop.is_some()),
        ] {
            problems.check_one_of(&[("letterbox", self.letterbox.is_some()), (key, given)]);
        }
        if let Some(crop) = &self.random_crop {
            problems.check("random_crop.padding", crop.padding <= MAX_SIDE, || {
                format!("must be at most {MAX_SIDE} pixels, got {}", crop.padding)
            });
            if let Some(Resize::Exact(size)) = self.resize {
                problems.check_fits("random_crop", crop.size, ("resize", size), crop.padding);
            }
            if let Some(letterbox) = self.letterbox {
                problems.check_fits("random_crop", crop.size, ("letterbox", letterbox.size), crop.padding);
            }
        }
        if let (Some(crop), Some(Resize::Exact(size))) = (self.center_crop, self.resize) {
            problems.check_fits("center_crop", crop, ("resize", size), 0);
        }
        if let Some(RandomResizedCrop { scale, ratio, .. }) = self.random_resized_crop {
            problems.check_positive_range("random_resized_crop.scale", scale, 1.0);
            problems.check_positive_range("random_resized_crop.ratio", ratio, f64::INFINITY);
        }
    }
}

fn check_jitter(jitter: &ColorJitter, problems: &mut Violations) {
    let ColorJitter { brightness, contrast, saturation, hue } = *jitter;
    for (key, amount) in [
        ("color_jitter.brightness", brightness),
        ("color_jitter.contrast", contrast),
        ("color_jitter.saturation", saturation),
    ] {
        match amount {
            JitterAmount::Symmetric(x) => problems
                .check(key, x >= 0.0 && x.is_finite(), || format!("must be a number from 0 up, got {x}")),
            JitterAmount::Range(range) => problems.check_range(key, range, 0.0, f64::INFINITY),
        }
    }
    match hue {
        JitterAmount::Symmetric(x) => problems.check("color_jitter.hue", (0.0..=0.5).contains(&x), || {
            format!("must be within 0 to 0.5, got {x}")
        }),
        JitterAmount::Range(range) => problems.check_range("color_jitter.hue", range, -0.5, 0.5),
    }
}
