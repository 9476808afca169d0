//! What leaves something out in training.

use tch::Tensor;

use super::{Cut, Layer};

/// `torch.nn.Dropout` with this probability.
#[derive(Clone, Copy, Debug)]
pub struct Dropout(pub f64);

impl Layer for Dropout {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        if train && self.0 > 0.0 { input.dropout(self.0, true) } else { input.shallow_clone() }
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}

/// torchvision's `StochasticDepth(p, "row")` (Huang et al. 2016, arXiv:1603.09382): a sample's
/// branch is left out with probability `p`, and weighted by 1 / (1 − p) otherwise.
#[derive(Clone, Copy, Debug)]
pub struct StochasticDepth(pub f64);

impl Layer for StochasticDepth {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        if !train || self.0 <= 0.0 {
            return input.shallow_clone();
        }
        let survival = 1.0 - self.0;
        let mut shape = vec![1; input.dim()];
        shape[0] = input.size()[0];
        let mut noise = Tensor::empty(shape, (input.kind(), input.device())).bernoulli_float_(survival);
        if survival > 0.0 {
            let _ = noise.g_div_scalar_(survival);
        }
        input * noise
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}
