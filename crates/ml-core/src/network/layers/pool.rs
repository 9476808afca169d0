//! Pooling.

use tch::{Device, Kind, Tensor};

use super::Layer;

/// `torch.nn.MaxPool2d`.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    /// Side of the square window.
    pub kernel: i64,
    /// Step between windows.
    pub stride: i64,
    /// Padding on every side.
    pub padding: i64,
    /// Whether a window that reaches over the edge counts.
    pub ceil: bool,
}

impl Layer for MaxPool2d {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let MaxPool2d { kernel: k, stride: s, padding: p, ceil } = *self;
        input.max_pool2d([k, k], [s, s], [p, p], [1, 1], ceil)
    }
}

/// `torch.nn.AvgPool2d`.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d {
    /// Side of the square window.
    pub kernel: i64,
    /// Step between windows.
    pub stride: i64,
    /// Padding on every side, whose zeros count.
    pub padding: i64,
}

impl Layer for AvgPool2d {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let AvgPool2d { kernel: k, stride: s, padding: p } = *self;
        input.avg_pool2d([k, k], [s, s], [p, p], false, true, None)
    }
}

/// `torch.nn.AdaptiveAvgPool2d`: any height and width become this side.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d(pub i64);

impl Layer for AdaptiveAvgPool2d {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let side = self.0;
        let [.., height, width] = *input.size().as_slice() else {
            return input.adaptive_avg_pool2d([side, side]);
        };
        match (height, width) {
            _ if (height, width) == (side, side) => input.shallow_clone(),
            // CUDA has no deterministic gradient of the operator itself, but of these.
            _ if !input.device().is_cuda() || side == 1 => input.adaptive_avg_pool2d([side, side]),
            _ if height % side == 0 && width % side == 0 => {
                let window = [height / side, width / side];
                input.avg_pool2d(window, window, [0, 0], false, true, None)
            }
            _ => by_products(input, side),
        }
    }
}

/// As [`AdaptiveAvgPool2d`] by two matrix products, `[N, C, H, W]` → `[N, C, side, side]`.
fn by_products(input: &Tensor, side: i64) -> Tensor {
    let size = input.size();
    // A row a window: the mean of what lies between its first and its last pixel (PyTorch's rule:
    // floor(i · n / side) to ceil((i + 1) · n / side)).
    let means = |pixels: i64| {
        let matrix = Tensor::zeros([side, pixels], (Kind::Float, Device::Cpu));
        for window in 0..side {
            let first = window * pixels / side;
            let count = ((window + 1) * pixels + side - 1) / side - first;
            let _ = matrix.get(window).narrow(0, first, count).fill_(1.0 / count as f64);
        }
        matrix.to_kind(input.kind()).to_device(input.device())
    };
    means(size[2]).matmul(input).matmul(&means(size[3]).transpose(0, 1))
}

/// [`AdaptiveAvgPool2d`] to this side, flattened: `[N, C, H, W]` → `[N, C · side · side]`.
#[derive(Clone, Copy, Debug)]
pub struct FlattenedPool(pub i64);

impl Layer for FlattenedPool {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        AdaptiveAvgPool2d(self.0).forward_t(input, train).flatten(1, -1)
    }
}

/// Mean over height and width: `[N, C, H, W]` → `[N, C]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAveragePool;

impl Layer for GlobalAveragePool {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.adaptive_avg_pool2d([1, 1]).flatten(1, -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_give_the_means_of_adaptive_pooling() {
        let difference = |one: &Tensor, other: &Tensor| (one - other).abs().max().double_value(&[]);
        for (height, width, side) in [(14, 14, 4), (7, 5, 3), (2, 3, 7), (6, 6, 6)] {
            let images =
                Tensor::randn([2, 3, height, width], (Kind::Double, Device::Cpu)).set_requires_grad(true);
            let (ours, theirs) = (by_products(&images, side), images.adaptive_avg_pool2d([side, side]));
            assert_eq!(ours.size(), theirs.size());
            // The matrices are rounded to f32.
            assert!(difference(&ours, &theirs) < 1e-6, "{height} x {width} to {side}");
            let slope = ours.randn_like();
            let gradient = |output: &Tensor| {
                Tensor::run_backward(&[(output * &slope).sum(Kind::Double)], &[&images], false, false)
                    .remove(0)
            };
            assert!(difference(&gradient(&ours), &gradient(&theirs)) < 1e-6, "{height} x {width} to {side}");
        }
        let images = Tensor::randn([2, 3, 7, 7], (Kind::Float, Device::Cpu));
        assert!(AdaptiveAvgPool2d(7).forward_t(&images, true).equal(&images));
    }
}
