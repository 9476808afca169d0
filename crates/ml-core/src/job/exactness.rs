//! What a run computed with before and what it computes with now → what keeps a resumed run from
//! giving the bytes of one that was not interrupted.

use serde_json::Value;

/// Where and with what a process computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    /// A [`ResolvedDevice::description`](crate::device::ResolvedDevice::description), where there
    /// is one.
    pub device: Option<&'a str>,
    /// [`versions`](crate::device::versions), as a checkpoint has them.
    pub versions: &'a Value,
}

/// What is other now than `before`, and what is never exact, in words.
pub(super) fn differences(
    before: Circumstances<'_>,
    now: Circumstances<'_>,
    deterministic: bool,
) -> Vec<String> {
    let mut other = Vec::new();
    let here = now.device.and_then(gpu);
    if let Some(device) = before.device {
        match (gpu(device), here) {
            (before, now) if before == now => {}
            (Some(before), Some(now)) => other.push(format!("{now} instead of {before}")),
            _ => other.push("another kind of device".to_owned()),
        }
    }
    if here.is_some() && !deterministic {
        other.push("deterministic: false on a GPU".to_owned());
    }
    let threads = |of: Circumstances<'_>| of.versions["num_threads"].as_i64();
    if let (Some(before), Some(now)) = (threads(before), threads(now))
        && before != now
        && here.is_none()
    {
        other.push(format!("{now} threads instead of {before}"));
    }
    // Of what only one of both has, another device is the reason, or an older version of ours.
    let version = |of: Circumstances<'_>, name: &str| of.versions[name].as_str().map(str::to_owned);
    for (name, called) in
        [("libtorch", "libtorch"), ("cuda", "CUDA"), ("cudnn", "cuDNN"), ("nvidia_driver", "NVIDIA driver")]
    {
        if let (Some(before), Some(now)) = (version(before, name), version(now, name))
            && before != now
        {
            other.push(format!("{called} {now} instead of {before}"));
        }
    }
    other
}

/// The GPU's name in a description: `cuda:0 (NVIDIA H200, compute capability 9.0, …)`; those of
/// older runs have none.
fn gpu(description: &str) -> Option<&str> {
    let rest = description.strip_prefix("cuda")?;
    let name = rest.split_once(" (").and_then(|(_, rest)| rest.split_once(", compute capability"));
    Some(name.map_or("a GPU", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const H200: &str = "cuda:0 (NVIDIA H200, compute capability 9.0, 139.8 GiB)";
    const A100: &str = "cuda:1 (NVIDIA A100-SXM4-80GB, compute capability 8.0, 79.2 GiB; the first of 2)";
    const CPU: &str = "cpu with 2 threads: as given (as requested)";

    fn of_gpu() -> Value {
        json!({"libtorch": "2.11.0", "num_threads": 8, "cuda": "13.0", "cudnn": "9.19.0", "nvidia_driver": "580.65.06"})
    }

    #[test]
    fn gpus_are_known_by_their_names() {
        assert_eq!(gpu(H200), Some("NVIDIA H200"));
        assert_eq!(gpu(A100), Some("NVIDIA A100-SXM4-80GB"));
        assert_eq!(gpu("cuda:0 (as requested)"), Some("a GPU"));
        assert_eq!(gpu(CPU), None);
    }

    #[test]
    fn nothing_differs_under_the_same_circumstances() {
        let versions = of_gpu();
        let here = Circumstances { device: Some(H200), versions: &versions };
        assert_eq!(differences(here, here, true), [""; 0]);
        assert_eq!(differences(here, here, false), ["deterministic: false on a GPU"]);
        // The same GPU under another number; threads of the CPU do not matter there.
        let mut other = of_gpu();
        other["num_threads"] = 4.into();
        let numbered = H200.replace("cuda:0", "cuda:3");
        let now = Circumstances { device: Some(&numbered), versions: &other };
        assert_eq!(differences(here, now, true), [""; 0]);
        let versions = json!({"libtorch": "2.11.0", "num_threads": 2});
        let cpu = Circumstances { device: Some(CPU), versions: &versions };
        assert_eq!(differences(cpu, cpu, false), [""; 0]);
        // A state without a summary beside it, and one of a version that recorded nothing.
        assert_eq!(differences(Circumstances { device: None, ..cpu }, cpu, false), [""; 0]);
        assert_eq!(differences(Circumstances { device: None, versions: &Value::Null }, cpu, false), [""; 0]);
    }

    #[test]
    fn another_gpu_driver_or_library_is_named() {
        let (before, mut after) = (of_gpu(), of_gpu());
        let was = Circumstances { device: Some(H200), versions: &before };
        let now = Circumstances { device: Some(A100), versions: &before };
        assert_eq!(differences(was, now, true), ["NVIDIA A100-SXM4-80GB instead of NVIDIA H200"]);
        after["cuda"] = "12.6".into();
        after["cudnn"] = "9.20.1".into();
        after["nvidia_driver"] = "590.10".into();
        after["libtorch"] = "2.12.0".into();
        let now = Circumstances { device: Some(H200), versions: &after };
        assert_eq!(
            differences(was, now, true),
            [
                "libtorch 2.12.0 instead of 2.11.0",
                "CUDA 12.6 instead of 13.0",
                "cuDNN 9.20.1 instead of 9.19.0",
                "NVIDIA driver 590.10 instead of 580.65.06"
            ]
        );
        let versions = json!({"libtorch": "2.11.0", "num_threads": 2});
        let cpu = Circumstances { device: Some(CPU), versions: &versions };
        assert_eq!(
            differences(was, cpu, false),
            ["another kind of device", "2 threads instead of 8"],
            "of a GPU's run, resumed on the CPU"
        );
        assert_eq!(differences(cpu, was, true), ["another kind of device"]);
    }
}
