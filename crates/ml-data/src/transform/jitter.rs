//! How much colours and shears may change.

/// An amount of colour jitter. In YAML a number, or a pair `[min, max]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JitterAmount {
    /// Up to this far from "no change" in both directions, at least 0.
    Symmetric(f64),
    /// Uniform between these two.
    Range([f64; 2]),
}

impl Default for JitterAmount {
    fn default() -> Self {
        JitterAmount::Symmetric(0.0)
    }
}

impl JitterAmount {
    /// The range of a factor whose neutral value is 1, or nothing where it would always be 1.
    pub fn factor_range(self) -> Option<[f64; 2]> {
        let range = match self {
            JitterAmount::Symmetric(x) => [(1.0 - x).max(0.0), 1.0 + x],
            JitterAmount::Range(range) => range,
        };
        (range != [1.0, 1.0]).then_some(range)
    }

    /// The range of a value whose neutral one is 0.
    pub(super) fn around_zero(self) -> [f64; 2] {
        match self {
            JitterAmount::Symmetric(x) => [-x, x],
            JitterAmount::Range(range) => range,
        }
    }

    /// The range of a shift whose neutral value is 0, or nothing where it would always be 0.
    pub fn shift_range(self) -> Option<[f64; 2]> {
        let range = self.around_zero();
        (range != [0.0, 0.0]).then_some(range)
    }
}
