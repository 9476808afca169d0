//! The regularised incomplete beta function and its inverse: the tails of the binomial and of
//! Student's t distribution.

/// What the continued fraction may still change relatively.
const PRECISION: f64 = 1e-16;

/// The regularised incomplete beta function `I_x(a, b)`, with `a` and `b` positive and `x` in
/// `0..=1`: the probability that a Beta(a, b) variable is at most `x`.
///
/// By the continued fraction of DLMF 8.17.22 (<https://dlmf.nist.gov/8.17.v>), evaluated as Lentz
/// does; it takes about `√max(a, b)` terms.
pub(super) fn regularised_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(x >= 1.0);
    }
    // The fraction converges fast below the mean.
    if x <= (a + 1.0) / (a + b + 2.0) { lower_tail(a, b, x) } else { 1.0 - lower_tail(b, a, 1.0 - x) }
}

fn lower_tail(a: f64, b: f64, x: f64) -> f64 {
    let factor = density_factor(a, b, x) / a;
    // Keeps the denominators away from 0.
    let nonzero = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    let limit = 1000 + 20 * a.max(b).sqrt() as u64;
    for m in (1..limit).map(|m| m as f64) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for term in [even, odd] {
            d = 1.0 / nonzero(1.0 + term * d);
            c = nonzero(1.0 + term / c);
            last = c * d;
            fraction *= last;
        }
        if (last - 1.0).abs() <= PRECISION {
            break;
        }
    }
    factor * fraction
}

/// `x^a (1 - x)^b / B(a, b)`, without the difference of large logarithms of gamma functions: with
/// Stirling's formula, whose large terms cancel (Loader, "Fast and accurate computation of binomial
/// probabilities", 2000).
fn density_factor(a: f64, b: f64, x: f64) -> f64 {
    let sum = a + b;
    // Relative distances from the mode of the leading terms, a / sum, and of its complement.
    let (above, below) = ((x * sum - a) / a, (x * sum - a) / b);
    let exponent = a * (libm::log1p(above) - above) + b * (libm::log1p(-below) + below);
    let corrections = stirling_error(sum) - stirling_error(a) - stirling_error(b);
    libm::exp(exponent + corrections) * (a * b / (std::f64::consts::TAU * sum)).sqrt()
}

/// `ln Γ(z) - (z - 1/2) ln z + z - ln(2π) / 2`, for positive `z`.
fn stirling_error(z: f64) -> f64 {
    if z < 16.0 {
        return libm::lgamma(z) - (z - 0.5) * libm::log(z) + z - 0.5 * std::f64::consts::TAU.ln();
    }
    let square = 1.0 / (z * z);
    let series = 1.0 / 1260.0 - square * (1.0 / 1680.0 - square * (1.0 / 1188.0));
    (1.0 / 12.0 - square * (1.0 / 360.0 - square * series)) / z
}

/// The `x` in `0..=1` at which [`regularised_beta`] is `probability`, to a few units in the last
/// place of what the function itself can tell apart: by bisection, as it is monotone.
pub(super) fn inverse_regularised_beta(a: f64, b: f64, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // 1100 halvings lead from 1 to the smallest number.
    for _ in 0..1100 {
        let middle = f64::midpoint(low, high);
        if high - low <= f64::EPSILON * high || middle == low || middle == high {
            break;
        }
        if regularised_beta(a, b, middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The `t` that a Student-t variable with `freedom` degrees of freedom exceeds in absolute value
/// with probability `1 - level`.
pub(super) fn two_sided_t(freedom: f64, level: f64) -> f64 {
    // t² / (t² + ν) is Beta(1/2, ν/2).
    let x = inverse_regularised_beta(0.5, freedom / 2.0, level);
    (freedom * x / (1.0 - x)).sqrt()
}
