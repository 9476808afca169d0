//! Pooling.

use tch::{Device, Kind, Tensor};

use super::{Cut, Layer};

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

    fn cut(&self) -> Cut {
        Cut::Joined
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

    fn cut(&self) -> Cut {
        Cut::Joined
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
        match Way::of([height, width], side, input.device(), torch_ext::is_deterministic()) {
            Way::Same => input.shallow_clone(),
            Way::Operator => input.adaptive_avg_pool2d([side, side]),
            Way::Windows(window) => input.avg_pool2d(window, window, [0, 0], false, true, None),
            Way::Products => by_products(input, side),
        }
    }
}

/// How [`AdaptiveAvgPool2d`] is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// There is nothing to do.
    Same,
    /// libtorch's operator, whose gradient on CUDA is not deterministic.
    Operator,
    /// Equal windows, of this height and width.
    Windows([i64; 2]),
    /// [`by_products`]
    Products,
}

impl Way {
    /// For images of this height and width.
    fn of([height, width]: [i64; 2], side: i64, device: Device, deterministic: bool) -> Way {
        match (height, width) {
            _ if (height, width) == (side, side) => Way::Same,
            // The mean over everything is deterministic as it is.
            _ if !device.is_cuda() || side == 1 => Way::Operator,
            _ if height % side == 0 && width % side == 0 => Way::Windows([height / side, width / side]),
            _ if deterministic => Way::Products,
            _ => Way::Operator,
        }
    }
}

/// As [`AdaptiveAvgPool2d`] by two matrix products, `[N, C, H, W]` → `[N, C, side, side]`.
fn by_products(input: &Tensor, side: i64) -> Tensor {
    let size = input.size();
    let means = |pixels| means(pixels, side, input.device()).to_kind(input.kind());
    means(size[2]).matmul(input).matmul(&means(size[3]).transpose(0, 1))
}

/// `[side, pixels]` f32, a row a window: the mean of what lies between its first and its last pixel
/// (PyTorch's rule: floor(i · n / side) to ceil((i + 1) · n / side)). It is made on `device`, by
/// operators that take nothing from the host but numbers: a copy to CUDA would wait for it.
fn means(pixels: i64, side: i64, device: Device) -> Tensor {
    let windows = Tensor::arange(side, (Kind::Int64, device)).unsqueeze(1); // [side, 1]
    let first = (&windows * pixels).divide_scalar_mode(side, "floor");
    let end = ((&windows + 1) * pixels + (side - 1)).divide_scalar_mode(side, "floor");
    let pixels = Tensor::arange(pixels, (Kind::Int64, device)); // [pixels]
    let is_inside = pixels.ge_tensor(&first).logical_and(&pixels.lt_tensor(&end)); // [side, pixels]
    is_inside.to_kind(Kind::Float) / (end - first).to_kind(Kind::Float)
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
    fn products_are_for_deterministic_gradients_on_cuda_alone() {
        let way = |size, side, device| [false, true].map(|on| Way::of(size, side, device, on));
        let (cpu, cuda) = (Device::Cpu, Device::Cuda(0));
        assert_eq!(way([14, 14], 4, cuda), [Way::Operator, Way::Products]);
        assert_eq!(way([12, 14], 4, cuda), [Way::Operator, Way::Products]);
        assert_eq!(way([14, 14], 4, cpu), [Way::Operator; 2]);
        assert_eq!(way([14, 21], 7, cuda), [Way::Windows([2, 3]); 2]);
        assert_eq!(way([7, 7], 1, cuda), [Way::Operator; 2]);
        assert_eq!([way([7, 7], 7, cuda), way([7, 7], 7, cpu)], [[Way::Same; 2]; 2]);
    }

    #[test]
    fn a_row_of_the_matrix_is_the_mean_of_its_window() {
        let (third, half) = (1.0 / 3.0, 0.5);
        let wanted: [f32; 15] =
            [half, half, 0.0, 0.0, 0.0, 0.0, third, third, third, 0.0, 0.0, 0.0, 0.0, half, half];
        let wanted = Tensor::from_slice(&wanted).view([3, 5]);
        assert!(means(5, 3, Device::Cpu).equal(&wanted), "{:?}", means(5, 3, Device::Cpu));
        // Windows may overlap, and be of one pixel each.
        let wanted: [f32; 6] = [1.0, 0.0, half, half, 0.0, 1.0];
        assert!(means(2, 3, Device::Cpu).equal(&Tensor::from_slice(&wanted).view([3, 2])));
    }

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
