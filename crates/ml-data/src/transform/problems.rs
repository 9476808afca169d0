//! Checks that several transforms share.

use crate::geometry::{MAX_SIDE, Size};
use crate::violations::Violations;

impl Violations {
    /// At most one of `keys` is given.
    pub(super) fn check_one_of(&mut self, keys: &[(&str, bool)]) {
        let mut given = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.check(second, false, || format!("contradicts `{first}`; give only one of them"));
        }
    }

    pub(super) fn check_probability(&mut self, key: &str, p: f64) {
        self.check(key, (0.0..=1.0).contains(&p), || format!("must be a probability within 0 to 1, got {p}"));
    }

    /// The parameter of a Beta distribution.
    pub(super) fn check_alpha(&mut self, key: &str, alpha: f64) {
        self.check(key, alpha > 0.0 && alpha <= 1000.0, || {
            format!("must be above 0 and at most 1000, got {alpha}")
        });
    }

    /// `[min, max]` with `least <= min <= max <= most`.
    pub(super) fn check_range(&mut self, key: &str, [min, max]: [f64; 2], least: f64, most: f64) {
        let holds = min >= least && min <= max && max <= most && max.is_finite() && min.is_finite();
        self.check(key, holds, || {
            if most.is_finite() {
                format!("must be [min, max] with {least} <= min <= max <= {most}, got [{min}, {max}]")
            } else {
                format!("must be [min, max] with {least} <= min <= max, got [{min}, {max}]")
            }
        });
    }

    /// `[min, max]` with `0 < min <= max <= most`.
    pub(super) fn check_positive_range(&mut self, key: &str, [min, max]: [f64; 2], most: f64) {
        let holds = min > 0.0 && min <= max && max <= most && max.is_finite();
        self.check(key, holds, || {
            let limit = if most.is_finite() { format!(" <= {most}") } else { String::new() };
            format!("must be [min, max] with 0 < min <= max{limit}, got [{min}, {max}]")
        });
    }

    pub(super) fn check_size(&mut self, key: &str, Size { height, width }: Size) {
        let sides = 1..=MAX_SIDE;
        self.check(key, sides.contains(&height) && sides.contains(&width), || {
            format!("must be within 1 to {MAX_SIDE} pixels, got [{height}, {width}]")
        });
    }

    /// A crop larger than what it is cut from is possible (it is padded), but never meant.
    pub(super) fn check_fits(&mut self, key: &str, crop: Size, (by, from): (&str, Size), padding: u32) {
        let within = |side: u32, of: u32| u64::from(side) <= u64::from(of) + 2 * u64::from(padding);
        self.check(key, within(crop.height, from.height) && within(crop.width, from.width), || {
            format!(
                "[{}, {}] is larger than what `{by}` gives, [{}, {}]",
                crop.height, crop.width, from.height, from.width
            )
        });
    }
}
