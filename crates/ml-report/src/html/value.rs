//! What parts of a report are made of.

/// A part of a report that may be missing.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Part<T> {
    /// It is shown.
    Present(T),
    /// Its heading is shown with this reason, a sentence.
    Missing(String),
    /// It is left out without a word.
    #[default]
    Omitted,
}

impl<T> Part<T> {
    /// The part, if there is one.
    pub fn present(&self) -> Option<&T> {
        match self {
            Part::Present(part) => Some(part),
            Part::Missing(_) | Part::Omitted => None,
        }
    }
}

/// An interval in the unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A value and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// NaN where it is not defined.
    pub value: f64,
    /// 95 %.
    pub interval: Option<Interval>,
}
