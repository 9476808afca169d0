// What tch does not expose of libtorch 2.11, as plain C functions. Each returns null, or a message that the
// caller frees with te_free; no exception leaves this file.

#include "guarded.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace {

using Pointers = const void *const *;

std::vector<at::Tensor> list(Pointers pointers, size_t count) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (size_t i = 0; i < count; i++) {
    tensors.push_back(*static_cast<const at::Tensor *>(pointers[i]));
  }
  return tensors;
}

// Whether two tensors of the same sizes have their elements at the same places: the stride of a dimension of one element
// says nothing, and a depthwise convolution's weight and gradient often disagree about it.
bool same_places(const at::Tensor &one, const at::Tensor &other) {
  for (int64_t d = 0; d < one.dim(); d++) {
    if (one.size(d) > 1 && one.stride(d) != other.stride(d)) return false;
  }
  return true;
}

// On the CPU the fused kernels walk memory in order and ignore strides: other strides would silently mix
// elements up.
void check_like(const std::vector<at::Tensor> &parameters, const std::vector<at::Tensor> &others, const char *what) {
  TORCH_CHECK(parameters.size() == others.size(), what, ": ", others.size(), " tensors for ", parameters.size(), " parameters");
  for (size_t i = 0; i < parameters.size(); i++) {
    const auto &p = parameters[i], &o = others[i];
    TORCH_CHECK(o.defined(), what, " ", i, " is undefined");
    TORCH_CHECK(p.sizes() == o.sizes() && same_places(p, o), what, " ", i, " has sizes ", o.sizes(), " and strides ",
                o.strides(), ", its parameter ", p.sizes(), " and ", p.strides());
    TORCH_CHECK(p.scalar_type() == o.scalar_type() && p.device() == o.device(), what, " ", i, " has another dtype or device than its parameter");
  }
}

} // namespace

extern "C" {

void te_free(char *message) { free(message); }

const char *te_version() { return TORCH_EXT_LIBTORCH_VERSION; }

// A byte tensor in pinned host memory of PyTorch's own allocator, which gives memory out again only when the copies that
// were made from it are done. `*out` is a new at::Tensor, for the caller to own.
char *te_empty_pinned(const int64_t *shape, size_t dims, void **out) {
  return guarded([&] {
    const auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(true);
    *out = new at::Tensor(at::empty(at::IntArrayRef(shape, dims), options));
  });
}

// Switches autocast on for a device type of PyTorch's numbering (0 the CPU, 1 CUDA), as torch.autocast does when it is entered;
// what was there before goes to `was_on` and `was_dtype`.
char *te_autocast_enter(int8_t device, int8_t dtype, bool *was_on, int8_t *was_dtype) {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device);
    *was_on = at::autocast::is_autocast_enabled(type);
    *was_dtype = static_cast<int8_t>(at::autocast::get_autocast_dtype(type));
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(type, true);
    at::autocast::increment_nesting();
  });
}

char *te_autocast_leave(int8_t device, bool was_on, int8_t was_dtype) {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device);
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type, was_on);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(was_dtype));
  });
}

// The tensor [N, C, H, W] with its channels innermost in memory; `*out` is a new at::Tensor, for the caller to own.
char *te_channels_last(const void *tensor, void **out) {
  return guarded([&] {
    *out = new at::Tensor(static_cast<const at::Tensor *>(tensor)->contiguous(at::MemoryFormat::ChannelsLast));
  });
}

bool te_is_unshared(const void *tensor) {
  const auto &it = *static_cast<const at::Tensor *>(tensor);
  return it.defined() && it.use_count() == 1 && it.has_storage() && it.storage().use_count() == 1;
}

// cuBLAS reads the variable when its first handle is made: call this before CUDA is loaded.
char *te_set_deterministic(bool on) {
  return guarded([&] {
    if (on) TORCH_CHECK(setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0) == 0, "cannot set CUBLAS_WORKSPACE_CONFIG");
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(on, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(on);
    context.setDeterministicCuDNN(on);
    context.setDeterministicMkldnn(on);
    if (on) context.setBenchmarkCuDNN(false);
  });
}

// The 2-norm over the elements of all tensors, as torch.nn.utils.get_total_norm: in their dtype, on the device of
// the first; `out` is a scalar tensor.
char *te_total_norm(Pointers tensors, size_t count, const void *out) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto norms = at::_foreach_norm(list(tensors, count), 2);
    for (auto &norm : norms) norm = norm.to(norms[0].device());
    static_cast<const at::Tensor *>(out)->copy_(at::linalg_vector_norm(at::stack(norms), 2));
  });
}

void *te_generator(uint64_t seed) { return new at::Generator(at::detail::createCPUGenerator(seed)); }

void te_generator_free(void *generator) { delete static_cast<at::Generator *>(generator); }

char *te_generator_skip(void *generator, uint64_t count) {
  return guarded([&] {
    auto *own = at::check_generator<at::CPUGeneratorImpl>(*static_cast<at::Generator *>(generator));
    std::lock_guard<std::mutex> lock(own->mutex_);
    auto engine = own->engine();
    for (uint64_t i = 0; i < count; i++) engine();
    own->set_engine(engine);
  });
}

char *te_uniform(const void *tensor, double from, double to, void *generator) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    static_cast<const at::Tensor *>(tensor)->uniform_(from, to, *static_cast<at::Generator *>(generator));
  });
}

char *te_normal(const void *tensor, double mean, double std, void *generator) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    static_cast<const at::Tensor *>(tensor)->normal_(mean, std, *static_cast<at::Generator *>(generator));
  });
}

char *te_scale(Pointers tensors, size_t count, double factor) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    at::_foreach_mul_(list(tensors, count), factor);
  });
}

char *te_lerp(Pointers tensors, Pointers ends, size_t count, double weight) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count), e = list(ends, count);
    check_like(t, e, "end");
    at::_foreach_lerp_(t, e, weight);
  });
}

char *te_clear_grads(Pointers parameters, size_t count) {
  return guarded([&] {
    for (size_t i = 0; i < count; i++) {
      static_cast<const at::Tensor *>(parameters[i])->mutable_grad().reset();
    }
  });
}

struct SgdSettings {
  double lr, momentum, weight_decay, dampening;
  bool nesterov, first_step;
};

char *te_fused_sgd(Pointers parameters, Pointers grads, Pointers momenta, size_t count, const SgdSettings *s) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto p = list(parameters, count), g = list(grads, count);
    std::vector<at::Tensor> m;
    check_like(p, g, "gradient");
    if (s->momentum != 0) {
      m = list(momenta, count);
      check_like(p, m, "momentum buffer");
    }
    at::_fused_sgd_(p, g, m, s->weight_decay, s->momentum, s->lr, s->dampening, s->nesterov, /*maximize=*/false,
                    s->first_step, std::nullopt, std::nullopt);
  });
}

struct AdamSettings {
  double lr, beta1, beta2, eps, weight_decay;
  bool amsgrad, decoupled;
};

// `steps` are f32 scalars, counted up here.
char *te_fused_adam(Pointers parameters, Pointers grads, Pointers means, Pointers squares, Pointers maxima, Pointers steps,
                    size_t count, const AdamSettings *s) {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto p = list(parameters, count), g = list(grads, count), m = list(means, count), v = list(squares, count);
    auto t = list(steps, count);
    std::vector<at::Tensor> x;
    check_like(p, g, "gradient");
    check_like(p, m, "exp_avg");
    check_like(p, v, "exp_avg_sq");
    if (s->amsgrad) {
      x = list(maxima, count);
      check_like(p, x, "max_exp_avg_sq");
    }
    at::_foreach_add_(t, 1);
    auto fused = [&](auto op) {
      op(p, g, m, v, x, t, s->lr, s->beta1, s->beta2, s->weight_decay, s->eps, s->amsgrad, /*maximize=*/false);
    };
    if (s->decoupled) {
      fused([](auto &&...a) { at::_fused_adamw_(a..., std::nullopt, std::nullopt); });
    } else {
      fused([](auto &&...a) { at::_fused_adam_(a..., std::nullopt, std::nullopt); });
    }
  });
}
}
