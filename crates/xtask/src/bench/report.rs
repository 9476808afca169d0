//! How a comparison is printed: `<what> ratio: X`, and below it what it was made from.

use std::borrow::Cow;

use super::measure::median;

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Peer divided by ours: higher is better.
    AtLeast(f64),
    /// Ours divided by peer: lower is better.
    AtMost(f64),
    /// Of rates, ours divided by peer: higher is better.
    RateAtLeast(f64),
    /// Likewise, whatever it is.
    Rate,
}

/// One figure on two sides, each measured several times in turn.
#[derive(Debug)]
pub struct Comparison {
    /// What is measured.
    pub what: Cow<'static, str>,
    /// The other program.
    pub peer: &'static str,
    /// Its figures' unit.
    pub unit: &'static str,
    /// Our figures.
    pub ours: Vec<f64>,
    /// The peer's figures; none where it has nothing of the kind, and only `below` counts.
    pub theirs: Vec<f64>,
    /// What the ratio should be, if anything.
    pub target: Option<Target>,
    /// What our figure itself should stay below.
    pub below: Option<f64>,
}

impl Comparison {
    /// Of the medians, in the direction that the target gives; without one, the peer's by ours.
    pub fn ratio(&self) -> f64 {
        let (ours, theirs) = (median(&self.ours), median(&self.theirs));
        match self.target {
            Some(Target::AtMost(_) | Target::RateAtLeast(_) | Target::Rate) => ours / theirs,
            Some(Target::AtLeast(_)) | None => theirs / ours,
        }
    }

    /// Whether every target is met.
    pub fn is_met(&self) -> bool {
        let ratio = if self.theirs.is_empty() { f64::NAN } else { self.ratio() };
        let ratio_is_met = match self.target {
            Some(Target::AtLeast(least) | Target::RateAtLeast(least)) => ratio >= least,
            Some(Target::AtMost(most)) => ratio <= most,
            Some(Target::Rate) | None => true,
        };
        ratio_is_met && self.below.is_none_or(|limit| median(&self.ours) < limit)
    }

    /// Two lines.
    pub fn text(&self) -> String {
        let Self { what, peer, unit, ours, theirs, target, below } = self;
        let direction = match target {
            Some(Target::AtMost(_)) => format!("ours / {peer}, lower is better"),
            Some(Target::RateAtLeast(_) | Target::Rate) => format!("ours / {peer}, higher is better"),
            _ => format!("{peer} / ours, higher is better"),
        };
        let mut wanted = match target {
            Some(Target::Rate) | None => Vec::new(),
            Some(Target::AtLeast(least) | Target::RateAtLeast(least)) => {
                vec![format!("ratio at least {least}")]
            }
            Some(Target::AtMost(most)) => vec![format!("ratio at most {most}")],
        };
        wanted.extend(below.map(|limit| format!("ours below {limit} {unit}")));
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let target = if wanted.is_empty() {
            "no target".to_owned()
        } else {
            format!("target: {}: {verdict}", wanted.join(", "))
        };
        if theirs.is_empty() {
            return format!("{what}\n    ours {}; {target}", spread(ours, unit));
        }
        format!(
            "{what} ({direction}) ratio: {:.2}\n    ours {}, {peer} {}; {target}",
            self.ratio(),
            spread(ours, unit),
            spread(theirs, unit),
        )
    }
}

fn spread(values: &[f64], unit: &str) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{} {unit} (median of {}, {} to {})",
        short(median(values)),
        values.len(),
        short(low),
        short(high)
    )
}

/// Three digits, or all before the point.
fn short(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else if value >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(target: Option<Target>, below: Option<f64>) -> Comparison {
        let (ours, theirs) = (vec![0.5, 0.4, 0.9], vec![4.0, 4.5, 5.0]);
        Comparison { what: "first step".into(), peer: "torchvision", unit: "s", ours, theirs, target, below }
    }

    #[test]
    fn the_line_says_what_the_ratio_is_of_and_which_way_is_good() {
        let text = comparison(Some(Target::AtLeast(6.0)), None).text();
        assert!(
            text.starts_with("first step (torchvision / ours, higher is better) ratio: 9.00\n"),
            "{text}"
        );
        assert!(text.contains("ours 0.500 s (median of 3, 0.400 to 0.900)"), "{text}");
        assert!(text.ends_with("ratio at least 6: met"), "{text}");
        let text = comparison(Some(Target::RateAtLeast(0.1)), None).text();
        assert!(
            text.starts_with("first step (ours / torchvision, higher is better) ratio: 0.11\n"),
            "{text}"
        );
        let text = comparison(Some(Target::AtMost(1.05)), None).text();
        assert!(text.starts_with("first step (ours / torchvision, lower is better) ratio: 0.11\n"), "{text}");
    }

    #[test]
    fn a_missed_target_is_said() {
        assert!(!comparison(Some(Target::AtLeast(9.1)), None).is_met());
        assert!(!comparison(Some(Target::AtMost(0.1)), None).is_met());
        let slow = comparison(None, Some(0.5));
        assert!(!slow.is_met() && slow.text().ends_with("ours below 0.5 s: MISSED"), "{}", slow.text());
    }
}
