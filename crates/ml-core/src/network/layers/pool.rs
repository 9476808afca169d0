//! Pooling.

use tch::Tensor;

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
        input.adaptive_avg_pool2d([self.0, self.0])
    }
}

/// [`AdaptiveAvgPool2d`] to this side, flattened: `[N, C, H, W]` → `[N, C · side · side]`.
#[derive(Clone, Copy, Debug)]
pub struct FlattenedPool(pub i64);

impl Layer for FlattenedPool {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.adaptive_avg_pool2d([self.0, self.0]).flatten(1, -1)
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
