//! `training.progressive_resizing`: the size of training images as a function of the epoch.

use ml_data::geometry::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_schedule::out_of_order;

/// Training on small images first (Howard 2018; Touvron et al. 2019; Tan and Le 2021). The settings of
/// the ramp are those of `MosaicML` Composer's `ProgressiveResizing`, by epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressiveResizingConfig {
    /// Size in the first epochs as a share of the full one, above 0 and at most 1.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub initial_scale: f64,
    /// Share of the epochs before it starts to grow, in 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub delay_fraction: f64,
    /// Share of the epochs, the last ones, with the full size, in 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub finetune_fraction: f64,
    /// While it grows, height and width are multiples of it, in pixels, at least 1.
    #[schemars(range(min = 1))]
    pub size_increment: u32,
    /// In place of all of these: epochs in order, counted from 0, and the size from each on, as in
    /// `[{from_epoch: 0, size: 128}, {from_epoch: 10, size: 224}]`. Null takes the ramp.
    pub sizes: Option<Vec<SizeFrom>>,
}

/// A size, and the first epoch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeFrom {
    /// The first epoch with it, counted from 0.
    pub from_epoch: u64,
    /// Pixels of the shorter side; the other is in proportion.
    #[schemars(range(min = 1))]
    pub size: u32,
}

impl Default for ProgressiveResizingConfig {
    fn default() -> ProgressiveResizingConfig {
        ProgressiveResizingConfig {
            initial_scale: 0.5,
            delay_fraction: 0.5,
            finetune_fraction: 0.2,
            size_increment: 4,
            sizes: None,
        }
    }
}

impl ProgressiveResizingConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut check = |key: &str, is_right: bool, message: String| {
            if !is_right {
                found.push((key.to_owned(), message));
            }
        };
        let ProgressiveResizingConfig { initial_scale, delay_fraction, finetune_fraction, .. } = *self;
        let is_scale = initial_scale > 0.0 && initial_scale <= 1.0;
        check("initial_scale", is_scale, format!("must be above 0 and at most 1, got {initial_scale}"));
        for (key, share) in [("delay_fraction", delay_fraction), ("finetune_fraction", finetune_fraction)] {
            check(key, (0.0..=1.0).contains(&share), format!("must be in 0 to 1, got {share}"));
        }
        let both = delay_fraction + finetune_fraction;
        let message = format!("must leave no more than 1 together with delay_fraction, got {both}");
        // Of numbers that are out of range themselves nothing more is said.
        check("finetune_fraction", both.is_nan() || both <= 1.0 + 1e-9 || both > 2.0, message);
        check("size_increment", self.size_increment > 0, "must be at least 1, got 0".to_owned());
        let sizes = self.sizes.as_deref();
        check(
            "sizes",
            sizes.is_none_or(|sizes| !sizes.is_empty()),
            "must be null or name an epoch".to_owned(),
        );
        for (index, part) in sizes.unwrap_or_default().iter().enumerate() {
            check(&format!("sizes[{index}].size"), part.size > 0, "must be at least 1, got 0".to_owned());
        }
        found.extend(out_of_order("sizes", sizes.unwrap_or_default().iter().map(|part| part.from_epoch)));
        found
    }

    /// Whether the size depends on the number of epochs.
    pub fn is_ramp(&self) -> bool {
        self.sizes.is_none()
    }

    /// The size of images in `epoch`, counted from 0, of `num_epochs`; `full` is that of
    /// `transforms.train`.
    pub fn size(&self, full: Size, epoch: u64, num_epochs: u64) -> Size {
        match &self.sizes {
            Some(sizes) => {
                let now = sizes.iter().rev().find(|part| part.from_epoch <= epoch);
                now.map_or(full, |part| scaled_to(full, part.size))
            }
            None => self.ramp(full, epoch as f64 / num_epochs.max(1) as f64),
        }
    }

    /// The size where the share `over` of the epochs is over.
    fn ramp(&self, full: Size, over: f64) -> Size {
        let ProgressiveResizingConfig { initial_scale, delay_fraction, finetune_fraction, .. } = *self;
        let length = 1.0 - delay_fraction - finetune_fraction;
        let grown = match over - delay_fraction {
            since if since < 0.0 => 0.0,
            since if since + 1e-9 < length => since / length,
            _ => 1.0,
        };
        if grown >= 1.0 {
            return full;
        }
        let scale = initial_scale + (1.0 - initial_scale) * grown;
        let step = self.size_increment.max(1);
        let side = |full: u32| {
            // A share such as 0.7 of 10 is not to be below its multiple.
            let steps = (f64::from(full) * scale / f64::from(step) + 1e-9).round() as u32;
            (steps.max(1) * step).min(full)
        };
        Size { height: side(full.height), width: side(full.width) }
    }

    /// The sizes of all epochs of `num_epochs`, each once, in the order in which they come.
    pub fn all_sizes(&self, full: Size, num_epochs: u64) -> Vec<Size> {
        let mut epochs: Vec<u64> = match &self.sizes {
            Some(sizes) => std::iter::once(0).chain(sizes.iter().map(|part| part.from_epoch)).collect(),
            None => (0..num_epochs.min(MAX_EPOCHS)).collect(),
        };
        epochs.dedup();
        let mut found: Vec<Size> = Vec::new();
        for epoch in epochs {
            let size = self.size(full, epoch, num_epochs);
            if !found.contains(&size) {
                found.push(size);
            }
        }
        found
    }
}

/// Epochs of a ramp that are looked at.
const MAX_EPOCHS: u64 = 100_000;

/// `full` with the shorter side of this many pixels.
fn scaled_to(full: Size, shorter: u32) -> Size {
    let of = full.height.min(full.width).max(1);
    let side = |full: u32| {
        let scaled = (u64::from(full) * u64::from(shorter) + u64::from(of / 2)) / u64::from(of);
        u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
    };
    Size { height: side(full.height), width: side(full.width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> ProgressiveResizingConfig {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn square(side: u32) -> Size {
        Size { height: side, width: side }
    }

    #[test]
    fn the_ramp_is_that_of_the_reference() {
        // The program: tests/reference/progressive_resizing.py.
        let reference = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/progressive_resizing.json"
        ));
        let cases: Vec<serde_json::Value> = serde_json::from_str(reference).unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let config: ProgressiveResizingConfig = serde_json::from_value(case["config"].clone()).unwrap();
            assert!(config.problems().is_empty(), "{case}");
            let full: [u32; 2] = serde_json::from_value(case["full"].clone()).unwrap();
            let sizes: Vec<[u32; 2]> = serde_json::from_value(case["sizes"].clone()).unwrap();
            let full = Size { height: full[0], width: full[1] };
            for (epoch, [height, width]) in sizes.iter().copied().enumerate() {
                let found = config.size(full, epoch as u64, sizes.len() as u64);
                assert_eq!(found, Size { height, width }, "epoch {epoch} of {case}");
            }
        }
    }

    #[test]
    fn a_list_says_the_size_from_each_epoch_on() {
        let list = parsed("{sizes: [{from_epoch: 1, size: 16}, {from_epoch: 3, size: 32}]}");
        let sides: Vec<u32> = (0..5).map(|epoch| list.size(square(40), epoch, 0).height).collect();
        assert_eq!(sides, [40, 16, 16, 32, 32]);
        assert_eq!(list.all_sizes(square(40), 5), [40, 16, 32].map(square));
        // The longer side in proportion.
        assert_eq!(list.size(Size { height: 40, width: 60 }, 1, 0), Size { height: 16, width: 24 });
        assert!(!list.is_ramp() && parsed("{}").is_ramp());
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let keys =
            |yaml: &str| -> Vec<String> { parsed(yaml).problems().into_iter().map(|(key, _)| key).collect() };
        assert!(keys("{}").is_empty());
        assert_eq!(keys("{initial_scale: 0, size_increment: 0}"), ["initial_scale", "size_increment"]);
        assert_eq!(keys("{delay_fraction: -0.1, finetune_fraction: .nan}").len(), 2);
        assert_eq!(keys("{delay_fraction: 0.7, finetune_fraction: 0.4}"), ["finetune_fraction"]);
        assert_eq!(keys("{sizes: []}"), ["sizes"]);
        let twice = "{sizes: [{from_epoch: 3, size: 0}, {from_epoch: 2, size: 8}]}";
        assert_eq!(keys(twice), ["sizes[0].size", "sizes[1].from_epoch"]);
    }
}
