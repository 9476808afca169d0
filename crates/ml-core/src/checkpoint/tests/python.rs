//! Checkpoints of a network go to torchvision with equal bits.

use tch::{Device, Kind, Tensor};
use test_support::python_json;

use super::super::{Checkpoint, read, write};
use crate::network::{Architecture, Network};
use crate::testing::checkpoint;

/// The only network of torchvision that asks a state for its version.
#[test]
fn torchvisions_mnasnet_loads_the_weights_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let network = Network::new(Architecture::Mnasnet05, 4, 1, Device::Cpu);
    let checkpoint = Checkpoint { model_state_dict: network.state_dict(), ..checkpoint(1, 0.0) };
    write(&path, &checkpoint.into_value().unwrap()).unwrap();
    let image = (Tensor::arange(3 * 64 * 64, (Kind::Double, Device::Cpu)) / 10.0).sin();
    let image = image.to_kind(Kind::Float).view([1, 3, 64, 64]);
    let logits = tch::no_grad(|| network.forward_t(&image, false));
    let arguments = [path.as_path(), "mnasnet0_5".as_ref(), "4".as_ref(), "64".as_ref()];
    let expected: Vec<f32> = serde_json::from_value(python_json("state_dict_load.py", &arguments)).unwrap();
    let expected = Tensor::from_slice(&expected).view([1, 4]);
    // Other kernels may be chosen by memory alignment.
    assert!(logits.allclose(&expected, 1e-4, 1e-6, false), "{logits} {expected}");
    let read = Checkpoint::from_value(&read(&path).unwrap()).unwrap();
    assert_eq!(read.model_state_dict, network.state_dict());
}
