// Depthwise convolutions under autocast to bf16 on the CPU: forwards as libtorch computes them,
// backwards in f32 with channels innermost, where oneDNN is several times faster than in bf16.

#include "guarded.h"
#include "tensors.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <optional>
#include <vector>

namespace {

const std::vector<int64_t> none = {0, 0}, one = {1, 1};

struct DepthwiseConv2d : torch::autograd::Function<DepthwiseConv2d> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &images, const at::Tensor &weight,
                            const std::optional<at::Tensor> &bias, std::vector<int64_t> stride, std::vector<int64_t> padding) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto x = images.to(at::kBFloat16);
    const auto rounded_bias = bias ? std::make_optional(bias->to(at::kBFloat16)) : std::nullopt;
    const auto y = at::convolution(x, weight.to(at::kBFloat16), rounded_bias, stride, padding, one, false, none, weight.size(0));
    context->save_for_backward({x, weight});
    context->saved_data["kind"] = images.scalar_type();
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto saved = context->get_saved_variables();
    const auto wide = [](const at::Tensor &tensor) {
      return tensor.to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
    };
    // The gradient is that of the weights the forward pass has used.
    const auto weight = saved[1].to(at::kBFloat16).to(at::kFloat);
    const bool has_bias = context->saved_data["bias"].toBool();
    const std::vector<int64_t> bias_sizes = {weight.size(0)};
    const std::array<bool, 3> wanted = {context->needs_input_grad(0), context->needs_input_grad(1), has_bias && context->needs_input_grad(2)};
    auto [dx, d_weight, d_bias] = at::convolution_backward(
        wide(gradients[0]), wide(saved[0]), weight, has_bias ? at::OptionalIntArrayRef(bias_sizes) : std::nullopt,
        context->saved_data["stride"].toIntVector(), context->saved_data["padding"].toIntVector(), one, false, none, weight.size(0), wanted);
    if (dx.defined()) dx = dx.to(context->saved_data["kind"].toScalarType());
    return {dx, d_weight, d_bias, at::Tensor(), at::Tensor()};
  }
};

bool is_recorded(const at::Tensor &tensor) { return at::GradMode::is_enabled() && tensor.requires_grad(); }

} // namespace

extern "C" {

// Whether te_depthwise_conv2d takes these.
bool te_depthwise_conv2d_takes(const void *images, const void *weight, int64_t groups) noexcept {
  const auto &x = tensor_at(images), &w = tensor_at(weight);
  return x.defined() && x.dim() == 4 && x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
      x.size(1) == groups && groups > 1 && w.dim() == 4 && w.size(0) == groups && w.size(1) == 1 && w.device().is_cpu() &&
      w.scalar_type() == at::kFloat && (is_recorded(x) || is_recorded(w)) && at::autocast::is_autocast_enabled(at::kCPU) &&
      at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16;
}

// torch.conv2d with a group a channel; `bias` may be null, `stride` and `padding` are two numbers
// each. `*out` is a new at::Tensor, for the caller to own.
char *te_depthwise_conv2d(const void *images, const void *weight, const void *bias, const int64_t *stride, const int64_t *padding, void **out) noexcept {
  return guarded([&] {
    TORCH_CHECK(te_depthwise_conv2d_takes(images, weight, tensor_at(weight).size(0)), "depthwise_conv2d: tensors of another kind or shape");
    const auto added = bias ? std::make_optional(tensor_at(bias)) : std::nullopt;
    *out = new at::Tensor(DepthwiseConv2d::apply(tensor_at(images), tensor_at(weight), added, std::vector<int64_t>(stride, stride + 2),
                                                 std::vector<int64_t>(padding, padding + 2)));
  });
}
}
