//! Number formats of the forward and backward pass.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

/// A precision, or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// What is faster for the network on the device.
    #[default]
    Auto,
    /// See [`Precision::Fp32`].
    Fp32,
    /// See [`Precision::Tf32`].
    Tf32,
    /// See [`Precision::Bf16`].
    Bf16,
    /// See [`Precision::Fp16`].
    Fp16,
}

/// In which number format a network computes. Weights, the optimizer's state, losses, metrics and
/// the statistics of norms are 32-bit floats in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    Fp32,
    /// 32-bit floats, of which matrix products and convolutions on CUDA read 19 bits.
    Tf32,
    /// `torch.autocast` to bfloat16, which has the range of 32-bit floats and 8 bits of precision.
    Bf16,
    /// `torch.autocast` to 16-bit floats, with 11 bits of precision; gradients are scaled.
    Fp16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 4] = [Precision::Fp32, Precision::Tf32, Precision::Bf16, Precision::Fp16];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
            Precision::Fp16 => "fp16",
        }
    }

    /// Why it cannot be had on `device`, and what to take instead.
    pub fn problem_on(self, device: Device) -> Option<&'static str> {
        match self {
            _ if device.is_cuda() => None,
            Precision::Fp16 => {
                Some("fp16 is for CUDA devices: CPUs have no fast convolutions in it; use bf16 or auto")
            }
            Precision::Tf32 => Some("tf32 is a mode of CUDA devices; use fp32, bf16 or auto on a CPU"),
            Precision::Fp32 | Precision::Bf16 => None,
        }
    }

    /// The dtype of `torch.autocast`; none computes in 32-bit floats.
    pub fn autocast(self) -> Option<Kind> {
        match self {
            Precision::Fp32 | Precision::Tf32 => None,
            Precision::Bf16 => Some(Kind::BFloat16),
            Precision::Fp16 => Some(Kind::Half),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PrecisionChoice {
    /// What was given; none if it is `auto`.
    pub fn given(self) -> Option<Precision> {
        match self {
            PrecisionChoice::Auto => None,
            PrecisionChoice::Fp32 => Some(Precision::Fp32),
            PrecisionChoice::Tf32 => Some(Precision::Tf32),
            PrecisionChoice::Bf16 => Some(Precision::Bf16),
            PrecisionChoice::Fp16 => Some(Precision::Fp16),
        }
    }
}

impl From<Precision> for PrecisionChoice {
    fn from(precision: Precision) -> PrecisionChoice {
        match precision {
            Precision::Fp32 => PrecisionChoice::Fp32,
            Precision::Tf32 => PrecisionChoice::Tf32,
            Precision::Bf16 => PrecisionChoice::Bf16,
            Precision::Fp16 => PrecisionChoice::Fp16,
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.given().map_or("auto", Precision::name))
    }
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<PrecisionChoice, String> {
        let known = Precision::ALL.into_iter().find(|precision| precision.name() == text);
        match known {
            Some(precision) => Ok(precision.into()),
            None if text == "auto" => Ok(PrecisionChoice::Auto),
            None => Err(format!("`{text}` is no precision; use auto, fp32, tf32, bf16 or fp16")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for name in ["auto", "fp32", "tf32", "bf16", "fp16"] {
            let parsed: PrecisionChoice = name.parse().unwrap();
            assert_eq!(parsed, serde_yaml::from_str(name).unwrap());
            assert_eq!(parsed.to_string(), name);
            if let Some(precision) = parsed.given() {
                assert_eq!(PrecisionChoice::from(precision), parsed);
            }
        }
        assert!("half".parse::<PrecisionChoice>().unwrap_err().contains("bf16"));
    }
}
