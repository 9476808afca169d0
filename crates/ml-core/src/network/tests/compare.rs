//! A network beside torchvision's: `tests/reference/network.py` says what is computed, and this
//! computes the same. Used by the tests and, as a module of its own, by `examples/reference.rs`.

use serde::Serialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::Network;

/// Differences between a network and torchvision's, whose names and shapes are equal.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Comparison {
    /// Tensors of the state dict.
    pub tensors: usize,
    /// Elements of all parameters.
    pub parameters: usize,
    /// Of the initial weights: the largest difference of a tensor's sums, in parts of its sum of
    /// magnitudes.
    pub init: f64,
    /// Of the logits in evaluation mode: the largest difference, in parts of the largest magnitude;
    /// or of the embedding, as `gradients`, if that is larger.
    pub logits: f64,
    /// The same with autocast to bf16.
    pub bf16_logits: f64,
    /// Of the gradients in evaluation mode: the largest difference of a tensor's sums, in parts of
    /// its sum of magnitudes.
    pub gradients: f64,
    /// Of the logits in training, with dropout from the same seed: as `logits`.
    pub train_logits: f64,
}

/// `[batch, 3, height, width]`, made by a formula that both sides can compute: sin(i / 10) of the
/// place i.
pub fn image(batch: i64, (height, width): (i64, i64)) -> Tensor {
    (Tensor::arange(batch * 3 * height * width, (Kind::Double, Device::Cpu)) / 10.0)
        .sin()
        .to_kind(Kind::Float)
        .view([batch, 3, height, width])
}

/// Elements that are summed at once, so that the sums of a VGG's hundred million stay in the
/// processor's cache.
const CHUNK: i64 = 1 << 16;

/// Sum, sum of magnitudes, and sum weighted by cos(i) · cos(k) of place i of the k-th [`CHUNK`], in
/// float64: what tells one tensor's values from another's.
pub fn digest(tensor: &Tensor) -> [f64; 3] {
    let wave = Tensor::arange(CHUNK.min(tensor.numel() as i64), (Kind::Double, Device::Cpu)).cos();
    let mut sums = [0.0; 3];
    for (k, chunk) in tensor.detach().flatten(0, -1).split(CHUNK, 0).into_iter().enumerate() {
        let chunk = chunk.to_kind(Kind::Double);
        let waves = wave.narrow(0, 0, chunk.numel() as i64);
        let value = |sum: Tensor| sum.double_value(&[]);
        sums[0] += value(chunk.sum(Kind::Double));
        sums[1] += value(chunk.abs().sum(Kind::Double));
        sums[2] += value(chunk.dot(&waves)) * (k as f64).cos();
    }
    sums
}

/// Compares `network`, fresh from seed 7, with what `network.py` printed for the same classes and
/// (height, width).
///
/// # Errors
/// A name, a shape, a module's kind, the embedding's width or the output's length differs: which.
pub fn compare(network: &Network, size: (i64, i64), reference: &Value) -> Result<Comparison, String> {
    let state = network.state_dict();
    let expected = reference["state"].as_array().ok_or("no state")?;
    for ((name, tensor), expected) in state.iter().zip(expected) {
        let (own, theirs) = ((name.as_str(), tensor.size()), (expected["name"].as_str(), &expected["shape"]));
        if Some(own.0) != theirs.0 || serde_json::json!(own.1) != *theirs.1 {
            return Err(format!("{own:?} where torchvision has {theirs:?}"));
        }
    }
    if state.len() != expected.len() {
        return Err(format!("{} tensors where torchvision has {}", state.len(), expected.len()));
    }
    let parameters = network.parameters();
    let names: Vec<&String> = parameters.iter().map(|(name, _)| name).collect();
    if serde_json::json!(names) != reference["parameters"] {
        return Err("other parameters, or another order of them".to_owned());
    }
    let modules: Vec<(&str, String)> =
        network.modules().iter().map(|module| (module.name(), format!("{:?}", module.kind()))).collect();
    if serde_json::json!(modules) != reference["modules"] {
        return Err(format!("modules are {modules:?} where torchvision has {}", reference["modules"]));
    }
    let tensors = state.iter().zip(expected);
    let init = worst(tensors.map(|((_, tensor), expected)| apart(&digest(tensor), &expected["digest"])));

    state.iter().for_each(|(_, tensor)| move_constant(tensor));
    let batch = reference["batch"].as_i64().ok_or("no batch")?;
    let targets = Tensor::from_slice(&[3i64, 8]).remainder(classes(network, size)).narrow(0, 0, batch);
    let embedding = tch::no_grad(|| {
        let features = network.forward_features(&image(batch, size), false);
        features.and_then(|features| network.pool(&features)).map_err(|error| error.to_string())
    })?;
    let width = network.num_features().map_err(|error| error.to_string())?;
    if (embedding.size()[1], Some(width)) != (width, reference["num_features"].as_i64()) {
        let (found, expected) = (embedding.size(), &reference["num_features"]);
        return Err(format!("an embedding {found:?} of width {width} where torchvision's is {expected}"));
    }
    let logits = network.forward_t(&image(batch, size), false);
    logits.cross_entropy_for_logits(&targets).backward();
    let gradients = reference["gradients"].as_object().ok_or("no gradients")?;
    let with_gradient = parameters.iter().filter(|(_, tensor)| tensor.grad().defined());
    if with_gradient.count() != gradients.len() {
        return Err("gradients of other parameters".to_owned());
    }
    // Auxiliary heads have none in evaluation.
    let with_gradient = parameters.iter().filter(|(_, tensor)| tensor.grad().defined());
    let gradients = worst(with_gradient.map(|(name, tensor)| {
        gradients.get(name).map_or(f64::INFINITY, |expected| apart(&digest(&tensor.grad()), expected))
    }));

    let rounded = {
        let autocast = torch_ext::Autocast::enter(Device::Cpu, Kind::BFloat16);
        let _autocast = autocast.map_err(|error| error.to_string())?;
        tch::no_grad(|| network.forward_t(&image(batch, size), false))
    };
    tch::manual_seed(5);
    let outputs = tch::no_grad(|| network.forward_train(&image(batch, size)));
    let all: Vec<Tensor> = std::iter::once(&outputs.logits)
        .chain(outputs.auxiliary.iter().map(|(_, logits)| logits))
        .map(|logits| logits.flatten(0, -1))
        .collect();
    Ok(Comparison {
        tensors: state.len(),
        parameters: parameters.iter().map(|(_, tensor)| tensor.numel()).sum(),
        init,
        logits: difference(&logits, &reference["eval_logits"])?
            .max(apart(&digest(&embedding), &reference["embedding"])),
        bf16_logits: difference(&rounded, &reference["bf16_logits"])?,
        gradients,
        train_logits: difference(&Tensor::cat(&all, 0), &reference["train_logits"])?,
    })
}

fn classes(network: &Network, size: (i64, i64)) -> i64 {
    tch::no_grad(|| network.forward_t(&image(1, size), false)).size()[1]
}

/// A tensor that begins as one value everywhere is moved, so that it counts.
pub fn move_constant(tensor: &Tensor) {
    if tensor.is_floating_point() && tensor.numel() > 0 && tensor.min() == tensor.max() {
        let wave = Tensor::arange(tensor.numel() as i64, (Kind::Double, Device::Cpu)).sin() * 0.05;
        tch::no_grad(|| {
            let wave = wave.view_as(tensor).to_kind(Kind::Float);
            let _ = tensor.shallow_clone().g_add_(&wave);
        });
    }
}

/// Of two digests, in parts of the sum of magnitudes.
fn apart(got: &[f64; 3], expected: &Value) -> f64 {
    let expected: Vec<f64> = expected.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if expected.len() != 3 {
        return f64::INFINITY;
    }
    let scale = expected[1].abs().max(1e-12);
    worst(got.iter().zip(expected).map(|(got, expected)| (got - expected).abs() / scale))
}

/// Of logits, in parts of the largest magnitude.
fn difference(got: &Tensor, expected: &Value) -> Result<f64, String> {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).map_err(|error| error.to_string())?;
    let got = Vec::<f64>::try_from(got.detach().to_kind(Kind::Double).flatten(0, -1))
        .map_err(|error| error.to_string())?;
    if got.len() != expected.len() {
        return Err(format!("{} outputs where torchvision has {}", got.len(), expected.len()));
    }
    let scale = expected.iter().fold(1e-12, |largest: f64, value| largest.max(value.abs()));
    Ok(worst(got.iter().zip(expected).map(|(got, expected)| (got - expected).abs() / scale)))
}

/// The largest; what is not a number counts as infinite.
fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |worst, value| if value.is_nan() { f64::INFINITY } else { worst.max(value) })
}
