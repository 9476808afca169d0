//! Which programs and libraries compute, for a run's checkpoints: the last bits of a result depend
//! on them.

use serde_json::{Map, Value};
use tch::Device;
use torch_ext::CudaVersions;

/// By name: `ml`, `libtorch`, `num_threads`, and on CUDA `cuda`, `cudnn` and `nvidia_driver`, as
/// far as they are known there. For a device that [`resolve`](super::resolve) has given.
pub fn versions(device: Device) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("ml".to_owned(), env!("CARGO_PKG_VERSION").into());
    all.insert("libtorch".to_owned(), (*crate::LIBTORCH_VERSION).into());
    all.insert("num_threads".to_owned(), tch::get_num_threads().into());
    if device.is_cuda() {
        let CudaVersions { cuda, cudnn, driver } = torch_ext::cuda_versions();
        let known = [("cuda", cuda), ("cudnn", cudnn), ("nvidia_driver", driver)];
        let known = known.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?.into())));
        all.extend(known);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_has_no_versions_of_cuda() {
        let all = versions(Device::Cpu);
        let mut names: Vec<&String> = all.keys().collect();
        names.sort();
        assert_eq!(names, ["libtorch", "ml", "num_threads"]);
        assert_eq!(all["libtorch"], *crate::LIBTORCH_VERSION);
    }
}
