// Batch norm in training, the addition of a shortcut and the activation in one: on the CPU, in bf16
// with channels innermost, statistics in f32. libtorch's own operators walk over the images nine
// times forwards, this three or four times.
//
// Images are a matrix here: a row a pixel, a column a channel. Rows are cut into chunks whose
// number does not depend on the number of threads, and the sums over chunks are added up in order:
// results are the same whatever computes them.

#include "guarded.h"
#include "tensors.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

// Compiled for several generations of processors; the best is chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

namespace {

using Bits = uint16_t; // of a bf16

inline float widened(Bits bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// To the nearest, ties to even; NaN stays NaN.
inline Bits rounded(float value) {
  uint32_t wide;
  memcpy(&wide, &value, sizeof wide);
  const uint32_t nearest = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
  const bool is_nan = (wide & 0x7fffffff) > 0x7f800000;
  return static_cast<Bits>(is_nan ? 0x7fc0 : nearest);
}

// Whether ReLU let a value through that it has made `bits` of.
inline bool is_passed(Bits bits) { return (bits & 0x7fff) != 0; }

// Sums over rows of (x - shift) and of its square.
FOR_EACH_PROCESSOR
void add_moments(const Bits *__restrict x, const float *__restrict shift, float *__restrict sums, float *__restrict squares, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, x += channels) {
    for (int64_t c = 0; c < channels; c++) {
      const float distance = widened(x[c]) - shift[c];
      sums[c] += distance;
      squares[c] += distance * distance;
    }
  }
}

// relu(x * scale + shift + shortcut); without a shortcut that is null.
FOR_EACH_PROCESSOR
void normalize(const Bits *__restrict x, const Bits *__restrict shortcut, const float *__restrict scale, const float *__restrict shift, bool relu, Bits *__restrict y, int64_t rows,
           int64_t channels) {
  const float least = relu ? 0.0f : -INFINITY;
  for (int64_t row = 0; row < rows; row++, x += channels, y += channels) {
    if (shortcut) {
      for (int64_t c = 0; c < channels; c++) {
        const float value = widened(x[c]) * scale[c] + shift[c] + widened(shortcut[c]);
        y[c] = rounded(value < least ? least : value);
      }
      shortcut += channels;
    } else {
      for (int64_t c = 0; c < channels; c++) {
        const float value = widened(x[c]) * scale[c] + shift[c];
        y[c] = rounded(value < least ? least : value);
      }
    }
  }
}

// Sums over rows of the gradient behind ReLU (`y` is null without one) and of its product with x -
// mean; that gradient is also the shortcut's, if `shortcut` is not null.
FOR_EACH_PROCESSOR
void add_gradients(const Bits *__restrict dy, const Bits *__restrict y, const Bits *__restrict x, const float *__restrict mean, float *__restrict sums, float *__restrict products,
                   Bits *__restrict shortcut, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, dy += channels, x += channels) {
    if (y && shortcut) {
      for (int64_t c = 0; c < channels; c++) {
        const Bits passed = is_passed(y[c]) ? dy[c] : 0;
        const float gradient = widened(passed);
        shortcut[c] = passed;
        sums[c] += gradient;
        products[c] += gradient * (widened(x[c]) - mean[c]);
      }
    } else if (y) {
      for (int64_t c = 0; c < channels; c++) {
        const float gradient = is_passed(y[c]) ? widened(dy[c]) : 0.0f;
        sums[c] += gradient;
        products[c] += gradient * (widened(x[c]) - mean[c]);
      }
    } else {
      for (int64_t c = 0; c < channels; c++) {
        const float gradient = widened(dy[c]);
        sums[c] += gradient;
        products[c] += gradient * (widened(x[c]) - mean[c]);
      }
    }
    if (y) y += channels;
    if (shortcut) shortcut += channels;
  }
}

// gradient * scale + x * slope + offset.
FOR_EACH_PROCESSOR
void normalize_gradients(const Bits *__restrict dy, const Bits *__restrict y, const Bits *__restrict x, const float *__restrict scale, const float *__restrict slope, const float *__restrict offset,
                     Bits *__restrict dx, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, dy += channels, x += channels, dx += channels) {
    if (y) {
      for (int64_t c = 0; c < channels; c++) {
        const float gradient = is_passed(y[c]) ? widened(dy[c]) : 0.0f;
        dx[c] = rounded(gradient * scale[c] + widened(x[c]) * slope[c] + offset[c]);
      }
      y += channels;
    } else {
      for (int64_t c = 0; c < channels; c++) {
        dx[c] = rounded(widened(dy[c]) * scale[c] + widened(x[c]) * slope[c] + offset[c]);
      }
    }
  }
}

// 2^x to 3e-6 of itself, within what a float holds.
inline float power_of_two(float x) {
  x = x < -126.0f ? -126.0f : x;
  x = x > 126.0f ? 126.0f : x;
  // The sum's last bits are those of the nearest whole number.
  const float shifted = x + 12582912.0f;
  const float rest = x - (shifted - 12582912.0f);
  // Least largest relative error from -1/2 to 1/2.
  float series = 0.0095701f;
  series = series * rest + 0.05591786f;
  series = series * rest + 0.24024745f;
  series = series * rest + 0.69312181f;
  series = series * rest + 0.99999926f;
  uint32_t whole, power;
  memcpy(&whole, &shifted, sizeof whole);
  memcpy(&power, &series, sizeof power);
  power += whole << 23;
  memcpy(&series, &power, sizeof series);
  return series;
}

inline float sigmoid(float z) { return 1.0f / (1.0f + power_of_two(z * -1.44269504f)); }

inline float silu(float z) { return z * sigmoid(z); }
inline float silu_slope(float z) {
  const float gate = sigmoid(z);
  return gate * (1.0f + z * (1.0f - gate));
}

inline float hardswish(float z) {
  const float gate = z + 3.0f < 0.0f ? 0.0f : z + 3.0f;
  return z * (gate > 6.0f ? 6.0f : gate) * (1.0f / 6.0f);
}
inline float hardswish_slope(float z) {
  const float between = z >= 3.0f ? 1.0f : z * (1.0f / 3.0f) + 0.5f;
  return z <= -3.0f ? 0.0f : between;
}

inline float relu6(float z) {
  const float least = z < 0.0f ? 0.0f : z;
  return least > 6.0f ? 6.0f : least;
}
inline float relu6_slope(float z) {
  const float below = z >= 6.0f ? 0.0f : 1.0f;
  return z <= 0.0f ? 0.0f : below;
}

// gradient * scale + x * slope + offset, in the gradient's place.
FOR_EACH_PROCESSOR
void normalize_gradients_in_place(Bits *gradient, const Bits *__restrict x, const float *__restrict scale, const float *__restrict slope,
                                  const float *__restrict offset, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, gradient += channels, x += channels) {
    for (int64_t c = 0; c < channels; c++) {
      gradient[c] = rounded(widened(gradient[c]) * scale[c] + widened(x[c]) * slope[c] + offset[c]);
    }
  }
}

// Activations whose slope depends on more than the sign: it is computed again from the images, which
// costs less than to keep what it was applied to. As normalize and add_gradients, of x * scale +
// shift; the gradient behind the activation is put into `behind`.
#define SMOOTH(ACTIVATION)                                                                                              \
  FOR_EACH_PROCESSOR                                                                                                    \
  void normalize_##ACTIVATION(const Bits *__restrict x, const float *__restrict scale, const float *__restrict shift,   \
                              Bits *__restrict y, int64_t rows, int64_t channels) {                                     \
    for (int64_t row = 0; row < rows; row++, x += channels, y += channels) {                                            \
      for (int64_t c = 0; c < channels; c++) y[c] = rounded(ACTIVATION(widened(x[c]) * scale[c] + shift[c]));           \
    }                                                                                                                   \
  }                                                                                                                     \
  FOR_EACH_PROCESSOR                                                                                                    \
  void add_gradients_##ACTIVATION(const Bits *__restrict dy, const Bits *__restrict x, const float *__restrict scale,   \
                                  const float *__restrict shift, const float *__restrict mean, float *__restrict sums,  \
                                  float *__restrict products, Bits *__restrict behind, int64_t rows,                    \
                                  int64_t channels) {                                                                   \
    for (int64_t row = 0; row < rows; row++, dy += channels, x += channels, behind += channels) {                       \
      for (int64_t c = 0; c < channels; c++) {                                                                          \
        const float value = widened(x[c]);                                                                              \
        const float gradient = widened(dy[c]) * ACTIVATION##_slope(value * scale[c] + shift[c]);                        \
        behind[c] = rounded(gradient);                                                                                  \
        sums[c] += gradient;                                                                                            \
        products[c] += gradient * (value - mean[c]);                                                                    \
      }                                                                                                                 \
    }                                                                                                                   \
  }

SMOOTH(silu)
SMOOTH(hardswish)
SMOOTH(relu6)

// As te_batch_norm_act takes it.
enum class Activation : int { None = 0, Relu = 1, Silu = 2, Hardswish = 3, Relu6 = 4 };

// The functions of an activation that is neither none nor ReLU.
struct Smooth {
  decltype(&normalize_silu) normalize;
  decltype(&add_gradients_silu) add_gradients;
};

std::optional<Smooth> smooth(Activation activation) {
  switch (activation) {
    case Activation::Silu: return Smooth{normalize_silu, add_gradients_silu};
    case Activation::Hardswish: return Smooth{normalize_hardswish, add_gradients_hardswish};
    case Activation::Relu6: return Smooth{normalize_relu6, add_gradients_relu6};
    default: return std::nullopt;
  }
}

// Rows in chunks of some 64 KiB, but no more than 256 chunks.
struct Chunks {
  Chunks(int64_t given_rows, int64_t given_channels) : rows(given_rows), channels(given_channels) {
    constexpr int64_t most = 256, values = 32768;
    size = std::max({int64_t{1}, values / channels, (rows + most - 1) / most});
    count = (rows + size - 1) / size;
  }

  // Calls `work(chunk, first row, rows)` for each, in several threads.
  template <typename Work>
  void each(const Work &work) const {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; chunk++) {
        const int64_t first = chunk * size;
        work(chunk, first, std::min(size, rows - first));
      }
    });
  }

  // Two sums for each channel: `work` adds to those of its chunk.
  template <typename Work>
  std::vector<double> sums(const Work &work) const {
    std::vector<float> partial(static_cast<size_t>(2 * count * channels), 0.0f);
    each([&](int64_t chunk, int64_t first, int64_t number) {
      float *own = partial.data() + 2 * chunk * channels;
      work(first, number, own, own + channels);
    });
    std::vector<double> all(static_cast<size_t>(2 * channels), 0.0);
    for (int64_t chunk = 0; chunk < count; chunk++) {
      const float *own = partial.data() + 2 * chunk * channels;
      for (int64_t c = 0; c < 2 * channels; c++) all[c] += own[c];
    }
    return all;
  }

  int64_t rows, channels, size, count;
};

const Bits *bits(const at::Tensor &tensor) { return static_cast<const Bits *>(tensor.const_data_ptr()); }
Bits *mutable_bits(const at::Tensor &tensor) { return static_cast<Bits *>(tensor.mutable_data_ptr()); }


struct BatchNormAct : torch::autograd::Function<BatchNormAct> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
                            const std::optional<at::Tensor> &shortcut, const at::Tensor &weight, const at::Tensor &bias, const at::Tensor &running_mean,
                            const at::Tensor &running_var, double momentum, double eps, int64_t activation) {
    RECORD_FUNCTION("torch_ext::batch_norm_act", std::vector<c10::IValue>{});
    const Chunks chunks(x.numel() / x.size(1), x.size(1));
    const int64_t channels = chunks.channels;
    const Bits *input = bits(x);
    // Squares of distances to some value of the channel lose less to rounding than those to zero.
    std::vector<float> first(channels);
    for (int64_t c = 0; c < channels; c++) first[c] = widened(input[c]);
    const auto sums = chunks.sums([&](int64_t row, int64_t rows, float *sum, float *square) {
      add_moments(input + row * channels, first.data(), sum, square, rows, channels);
    });
    const auto mean = at::empty({channels}, weight.options()), inverse = at::empty({channels}, weight.options());
    float *mean_of = mean.mutable_data_ptr<float>(), *inverse_of = inverse.mutable_data_ptr<float>();
    const float *weight_of = weight.const_data_ptr<float>(), *bias_of = bias.const_data_ptr<float>();
    float *tracked_mean = running_mean.mutable_data_ptr<float>(), *tracked_var = running_var.mutable_data_ptr<float>();
    std::vector<float> scale(channels), shift(channels);
    const double count = static_cast<double>(chunks.rows);
    for (int64_t c = 0; c < channels; c++) {
      const double distance = sums[c] / count;
      const double exact_mean = first[c] + distance;
      const double variance = std::max(0.0, sums[channels + c] / count - distance * distance);
      const double inverse_std = 1.0 / std::sqrt(variance + eps);
      mean_of[c] = static_cast<float>(exact_mean);
      inverse_of[c] = static_cast<float>(inverse_std);
      scale[c] = static_cast<float>(weight_of[c] * inverse_std);
      shift[c] = static_cast<float>(bias_of[c] - exact_mean * weight_of[c] * inverse_std);
      tracked_mean[c] = static_cast<float>((1 - momentum) * tracked_mean[c] + momentum * exact_mean);
      tracked_var[c] = static_cast<float>((1 - momentum) * tracked_var[c] + momentum * variance * count / (count - 1));
    }
    const auto y = at::empty_like(x);
    Bits *output = mutable_bits(y);
    const Bits *added = shortcut ? bits(*shortcut) : nullptr;
    const bool relu = activation == static_cast<int64_t>(Activation::Relu);
    const auto smoothly = smooth(static_cast<Activation>(activation));
    chunks.each([&](int64_t, int64_t row, int64_t rows) {
      const int64_t at = row * channels;
      if (smoothly) {
        smoothly->normalize(input + at, scale.data(), shift.data(), output + at, rows, channels);
      } else {
        normalize(input + at, added ? added + at : nullptr, scale.data(), shift.data(), relu, output + at, rows, channels);
      }
    });
    context->save_for_backward({x, relu ? y : at::Tensor(), weight, mean, inverse, smoothly ? bias : at::Tensor()});
    context->saved_data["activation"] = activation;
    context->saved_data["shortcut"] = shortcut.has_value();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    RECORD_FUNCTION("torch_ext::batch_norm_act_backward", std::vector<c10::IValue>{});
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &y = saved[1], &weight = saved[2], &mean = saved[3], &inverse = saved[4];
    const bool has_shortcut = context->saved_data["shortcut"].toBool();
    const auto dy = gradients[0].to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
    const Chunks chunks(x.numel() / x.size(1), x.size(1));
    const int64_t channels = chunks.channels;
    const auto dx = at::empty_like(x);
    Bits *const result = mutable_bits(dx);
    // Without ReLU, the shortcut's gradient is that of the sum.
    const bool is_masked = y.defined();
    const auto d_shortcut = has_shortcut ? (is_masked ? at::empty_like(x) : dy) : at::Tensor();
    Bits *const shortcut = has_shortcut && is_masked ? mutable_bits(d_shortcut) : nullptr;
    const Bits *input = bits(x), *gradient = bits(dy), *output = is_masked ? bits(y) : nullptr;
    const float *mean_of = mean.const_data_ptr<float>(), *inverse_of = inverse.const_data_ptr<float>();
    const float *weight_of = weight.const_data_ptr<float>();
    const auto smoothly = smooth(static_cast<Activation>(context->saved_data["activation"].toInt()));
    std::vector<float> scale(channels), shift(channels), slope(channels), offset(channels);
    const float *bias_of = smoothly ? saved[5].const_data_ptr<float>() : nullptr;
    for (int64_t c = 0; c < channels; c++) {
      const double of_x = static_cast<double>(weight_of[c]) * inverse_of[c];
      scale[c] = static_cast<float>(of_x);
      shift[c] = bias_of ? static_cast<float>(bias_of[c] - mean_of[c] * of_x) : 0.0f;
    }
    const auto sums = chunks.sums([&](int64_t row, int64_t rows, float *sum, float *product) {
      const int64_t at = row * channels;
      if (smoothly) {
        smoothly->add_gradients(gradient + at, input + at, scale.data(), shift.data(), mean_of, sum, product, result + at, rows,
                                channels);
        return;
      }
      add_gradients(gradient + at, output ? output + at : nullptr, input + at, mean_of, sum, product,
                    shortcut ? shortcut + at : nullptr, rows, channels);
    });
    const auto d_weight = at::empty({channels}, weight.options()), d_bias = at::empty({channels}, weight.options());
    float *d_weight_of = d_weight.mutable_data_ptr<float>(), *d_bias_of = d_bias.mutable_data_ptr<float>();
    const double count = static_cast<double>(chunks.rows);
    for (int64_t c = 0; c < channels; c++) {
      const double inverse_std = inverse_of[c], of_x = weight_of[c] * inverse_std;
      d_bias_of[c] = static_cast<float>(sums[c]);
      d_weight_of[c] = static_cast<float>(sums[channels + c] * inverse_std);
      const double of_distance = -of_x * inverse_std * inverse_std * sums[channels + c] / count;
      slope[c] = static_cast<float>(of_distance);
      offset[c] = static_cast<float>(-of_x * sums[c] / count - of_distance * mean_of[c]);
    }
    // With the shortcut's gradient, ReLU has been applied.
    const Bits *const source = shortcut ? shortcut : gradient, *const mask = shortcut ? nullptr : output;
    chunks.each([&](int64_t, int64_t row, int64_t rows) {
      const int64_t at = row * channels;
      if (smoothly) {
        normalize_gradients_in_place(result + at, input + at, scale.data(), slope.data(), offset.data(), rows, channels);
        return;
      }
      normalize_gradients(source + at, mask ? mask + at : nullptr, input + at, scale.data(), slope.data(), offset.data(),
                      result + at, rows, channels);
    });
    return {dx, d_shortcut, d_weight, d_bias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

bool is_suitable(const at::Tensor &x) {
  return x.defined() && x.dim() == 4 && x.device().is_cpu() && x.scalar_type() == at::kBFloat16 && x.numel() > 0 &&
      x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

} // namespace

extern "C" {

// Whether te_batch_norm_act takes images like these; `shortcut` may be null.
bool te_batch_norm_act_takes(const void *images, const void *shortcut) noexcept {
  const auto &x = tensor_at(images);
  return is_suitable(x) && (!shortcut || (is_suitable(tensor_at(shortcut)) && tensor_at(shortcut).sizes() == x.sizes()));
}

// act(batch_norm(images) + shortcut) in training, of an Activation above; `shortcut` may be null, and
// must be where the activation is neither none nor ReLU. `*out` is a new at::Tensor, for the caller
// to own.
char *te_batch_norm_act(const void *images, const void *shortcut, const void *weight, const void *bias,
                         const void *running_mean, const void *running_var, double momentum, double eps, int activation,
                         void **out) noexcept {
  return guarded([&] {
    const auto added = shortcut ? std::make_optional(tensor_at(shortcut)) : std::nullopt;
    TORCH_CHECK(te_batch_norm_act_takes(images, shortcut), "batch_norm_act: images of another format");
    TORCH_CHECK(activation >= 0 && activation <= static_cast<int>(Activation::Relu6), "batch_norm_act: no activation ", activation);
    TORCH_CHECK(!added || !smooth(static_cast<Activation>(activation)), "batch_norm_act: a shortcut before activation ", activation);
    for (const void *parameter : {weight, bias, running_mean, running_var}) {
      const auto &p = tensor_at(parameter);
      TORCH_CHECK(p.scalar_type() == at::kFloat && p.is_contiguous() && p.numel() == tensor_at(images).size(1),
                  "batch_norm_act: ", p.numel(), " parameters of ", p.scalar_type());
    }
    *out = new at::Tensor(BatchNormAct::apply(tensor_at(images), added, tensor_at(weight), tensor_at(bias),
                                               tensor_at(running_mean), tensor_at(running_var), momentum, eps,
                                              static_cast<int64_t>(activation)));
  });
}
}
