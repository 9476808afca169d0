//! `--precision` and a run's configuration → how a loaded model computes.

use tch::Device;

use super::InferenceError;
use crate::device::{Compute, MemoryFormat, Precision, PrecisionChoice};
use crate::torch_error::TorchError;

/// How to compute on `device`, and a line where that is slow, or other than the run's.
///
/// `auto` is what the run was validated with, which its configuration records (`training.precision`
/// and `training.channels_last`), and fp32 for weights without a run.
///
/// # Errors
/// A precision was requested that the device does not have.
pub(super) fn resolve(
    wish: PrecisionChoice,
    config: &serde_json::Value,
    device: Device,
) -> Result<(Compute, Option<String>), InferenceError> {
    let trained = config.pointer("/training/precision").and_then(serde_json::Value::as_str);
    let trained = trained.and_then(|name| name.parse::<PrecisionChoice>().ok()?.given());
    let trained = trained.unwrap_or_default();
    let mut note = None;
    let precision = match wish.given() {
        Some(precision) => match precision.problem_on(device) {
            Some(problem) => return Err(InferenceError::Usage(format!("--precision: {problem}"))),
            None => precision,
        },
        None if trained.problem_on(device).is_some() => {
            note = Some(format!(
                "precision: fp32, since {trained}, which the run was validated with, is for CUDA devices"
            ));
            Precision::Fp32
        }
        None => trained,
    };
    if precision == Precision::Bf16 && !torch_ext::has_bf16(device).map_err(TorchError::from)? {
        let place = if device.is_cuda() { "this GPU" } else { "this processor" };
        // Forward passes of resnet18 and mobilenet_v3_large with ONEDNN_MAX_CPU_ISA=AVX2.
        note = Some(format!(
            "warning: {place} has no bf16 of its own: where that was measured, predictions took 1.5 to 10 times as \
             long as in fp32; use --precision fp32"
        ));
    }
    let is_channels_last =
        match config.pointer("/training/channels_last").and_then(serde_json::Value::as_bool) {
            Some(given) => given,
            // What convolutions in 16 bits are fastest with.
            None => precision.autocast().is_some(),
        };
    let memory_format = if is_channels_last { MemoryFormat::ChannelsLast } else { MemoryFormat::Contiguous };
    Ok((Compute { device, precision, memory_format }, note))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn auto_is_what_the_run_was_validated_with() {
        let resolved = |wish: &str, config: serde_json::Value| {
            let (compute, note) = resolve(wish.parse().unwrap(), &config, Device::Cpu).unwrap();
            (compute.precision, compute.is_channels_last(), note.unwrap_or_default())
        };
        let run = |precision: &str| json!({"training": {"precision": precision, "channels_last": true}});
        let plain = (Precision::Fp32, false, String::new());
        assert_eq!(resolved("auto", serde_json::Value::Null), plain);
        assert_eq!(resolved("auto", json!({"training": {"precision": "auto"}})), plain);
        assert_eq!(resolved("auto", run("fp32")), (Precision::Fp32, true, String::new()));
        let (precision, is_channels_last, _) = resolved("auto", run("bf16"));
        assert_eq!((precision, is_channels_last), (Precision::Bf16, true));
        assert_eq!(resolved("fp32", run("bf16")), (Precision::Fp32, true, String::new()));
        for precision in ["fp16", "tf32"] {
            let (computed, _, note) = resolved("auto", run(precision));
            assert!(computed == Precision::Fp32 && note.contains(precision), "{note}");
            let error = resolve(precision.parse().unwrap(), &json!({}), Device::Cpu).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains("CUDA"), "{error}");
        }
    }
}
