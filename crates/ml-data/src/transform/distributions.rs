//! Uniform, normal, Gamma, Beta and Dirichlet variables from a sample's stream. Our own, so that a stream
//! gives the same values with every version of every library: resumed runs depend on it.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Uniform in `[min, max)`; `min` if they are equal.
pub(super) fn uniform(rng: &mut ChaCha8Rng, [min, max]: [f64; 2]) -> f64 {
    min + (max - min) * rng.random::<f64>()
}

/// Two independent standard normal variables (Box and Muller 1958).
pub fn normal_pair(rng: &mut ChaCha8Rng) -> [f64; 2] {
    // In (0, 1], whose logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
    [radius * cos, radius * sin]
}

/// The logarithm of a Gamma variable of shape `alpha` (above 0) and scale 1. Its logarithm, for
/// with a small shape the variable itself is often too small for a number. (Marsaglia and Tsang
/// 2000.)
fn ln_gamma_variable(rng: &mut ChaCha8Rng, alpha: f64) -> f64 {
    // A shape below 1 is that of 1 more times a power of a uniform variable.
    let boost = if alpha < 1.0 { (1.0 - rng.random::<f64>()).ln() / alpha } else { 0.0 };
    let d = if alpha < 1.0 { alpha + 1.0 } else { alpha } - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let [x, _] = normal_pair(rng);
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - rng.random::<f64>();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln() + boost;
        }
    }
}

/// `count` weights, each at least 0, adding up to 1: the symmetric Dirichlet distribution of
/// parameter `alpha` (above 0).
pub fn dirichlet(rng: &mut ChaCha8Rng, alpha: f64, count: usize) -> Vec<f64> {
    // What is out of range must not keep the search for a variable from ending.
    let alpha = if alpha.is_nan() { 1.0 } else { alpha.clamp(1e-9, 1e9) };
    let logs: Vec<f64> = (0..count).map(|_| ln_gamma_variable(rng, alpha)).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

/// A Beta variable with both parameters `alpha` (above 0), within 0 to 1.
pub fn beta(rng: &mut ChaCha8Rng, alpha: f64) -> f64 {
    dirichlet(rng, alpha, 2)[0]
}
