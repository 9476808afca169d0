// What an optimizer's step takes, over lists of tensors: norms, clipping, averages, updates.
// Nothing is read from the device.

#include "guarded.h"
#include "tensors.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <cstddef>
#include <optional>

namespace {

// `found_inf` is null or a scalar, 1 where the step is to be skipped; the kernels want it in f32
// beside the parameters.
std::optional<at::Tensor> skip_flag(const void *found_inf, const std::vector<at::Tensor> &parameters) {
  if (!found_inf) return std::nullopt;
  const auto &flag = *static_cast<const at::Tensor *>(found_inf);
  TORCH_CHECK(flag.numel() == 1, "found_inf has ", flag.numel(), " elements instead of one");
  return flag.reshape({}).to(parameters[0].device(), at::kFloat);
}

// Takes back the step that a skipped update has counted.
void uncount(std::vector<at::Tensor> &steps, const std::optional<at::Tensor> &skip) {
  if (skip) at::_foreach_sub_(steps, std::vector<at::Tensor>(steps.size(), *skip));
}

} // namespace

extern "C" {

// The 2-norm over the elements of all tensors, as torch.nn.utils.get_total_norm: in their dtype, on
// the device of the first; `out` is a scalar tensor.
char *te_total_norm(Pointers tensors, size_t count, const void *out) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto norms = at::_foreach_norm(list(tensors, count), 2);
    for (auto &norm : norms) norm = norm.to(norms[0].device());
    static_cast<const at::Tensor *>(out)->copy_(at::linalg_vector_norm(at::stack(norms), 2));
  });
}

// torch.nn.utils.clip_grads_with_norm_, by way of the reciprocal, as Python divides a number by a
// tensor.
char *te_clip_grads_with_norm(Pointers grads, size_t count, const void *norm, double max_norm) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto g = list(grads, count);
    const auto &total = *static_cast<const at::Tensor *>(norm);
    const auto coefficient = total.add(1e-6).reciprocal().mul(max_norm).clamp_max(1.0);
    at::_foreach_mul_(g, coefficient.to(g[0].device()));
  });
}

char *te_lerp(Pointers tensors, Pointers ends, size_t count, double weight) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count), e = list(ends, count);
    check_like(t, e, "end");
    at::_foreach_lerp_(t, e, weight);
  });
}

char *te_copy_all(Pointers tensors, Pointers from, size_t count) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    at::_foreach_copy_(list(tensors, count), list(from, count));
  });
}

// The structs are written again in optim.rs, which checks the same sizes and places.
struct SgdSettings {
  double lr, momentum, weight_decay, dampening;
  bool nesterov, first_step;
};
static_assert(sizeof(SgdSettings) == 40 && offsetof(SgdSettings, dampening) == 24 && offsetof(SgdSettings, first_step) == 33,
              "SgdSettings differs from optim.rs");

char *te_fused_sgd(Pointers parameters, Pointers grads, Pointers momenta, size_t count, const SgdSettings *s,
                   const void *found_inf) noexcept {
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
                    s->first_step, /*grad_scale=*/std::nullopt, skip_flag(found_inf, p));
  });
}

struct AdamSettings {
  double lr, beta1, beta2, eps, weight_decay;
  bool amsgrad, decoupled;
};
static_assert(sizeof(AdamSettings) == 48 && offsetof(AdamSettings, weight_decay) == 32 && offsetof(AdamSettings, decoupled) == 41,
              "AdamSettings differs from optim.rs");

// `steps` are f32 scalars, counted up here.
char *te_fused_adam(Pointers parameters, Pointers grads, Pointers means, Pointers squares, Pointers maxima, Pointers steps,
                    size_t count, const AdamSettings *s, const void *found_inf) noexcept {
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
    const auto skip = skip_flag(found_inf, p);
    at::_foreach_add_(t, 1);
    auto fused = [&](auto op) {
      op(p, g, m, v, x, t, s->lr, s->beta1, s->beta2, s->weight_decay, s->eps, s->amsgrad, /*maximize=*/false,
         /*grad_scale=*/std::nullopt, skip);
    };
    if (s->decoupled) {
      fused([](auto &&...a) { at::_fused_adamw_(a...); });
    } else {
      fused([](auto &&...a) { at::_fused_adam_(a...); });
    }
    uncount(t, skip);
  });
}

struct RmspropSettings {
  double lr, alpha, eps, weight_decay, momentum;
  bool centered;
};
static_assert(sizeof(RmspropSettings) == 48 && offsetof(RmspropSettings, momentum) == 32 && offsetof(RmspropSettings, centered) == 40,
              "RmspropSettings differs from optim.rs");

// There is no fused kernel: where the step may have to be skipped, what it changes is copied first
// and chosen from on the device afterwards. `steps` are f32 scalars, counted up here.
char *te_rmsprop(Pointers parameters, Pointers grads, Pointers squares, Pointers means, Pointers momenta, Pointers steps,
                 size_t count, const RmspropSettings *s, const void *found_inf) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto p = list(parameters, count), g = list(grads, count), v = list(squares, count), t = list(steps, count);
    std::vector<at::Tensor> m, b, changed(p);
    check_like(p, g, "gradient");
    check_like(p, v, "square_avg");
    changed.insert(changed.end(), v.begin(), v.end());
    if (s->centered) {
      m = list(means, count);
      check_like(p, m, "grad_avg");
      changed.insert(changed.end(), m.begin(), m.end());
    }
    if (s->momentum != 0) {
      b = list(momenta, count);
      check_like(p, b, "momentum buffer");
      changed.insert(changed.end(), b.begin(), b.end());
    }
    const auto skip = skip_flag(found_inf, p);
    std::vector<at::Tensor> before;
    if (skip) {
      for (const auto &tensor : changed) before.push_back(tensor.clone());
    }
    at::_foreach_add_(t, 1);
    if (s->weight_decay != 0) g = at::_foreach_add(g, p, s->weight_decay);
    at::_foreach_mul_(v, s->alpha);
    at::_foreach_addcmul_(v, g, g, 1 - s->alpha);
    std::vector<at::Tensor> root;
    if (s->centered) {
      at::_foreach_lerp_(m, g, 1 - s->alpha);
      root = at::_foreach_addcmul(v, m, m, -1);
      at::_foreach_sqrt_(root);
    } else {
      root = at::_foreach_sqrt(v);
    }
    at::_foreach_add_(root, s->eps);
    if (s->momentum != 0) {
      at::_foreach_mul_(b, s->momentum);
      at::_foreach_addcdiv_(b, g, root, 1);
      at::_foreach_add_(p, b, -s->lr);
    } else {
      at::_foreach_addcdiv_(p, g, root, -s->lr);
    }
    for (size_t i = 0; i < before.size(); i++) changed[i].copy_(at::where(skip->ne(0), before[i], changed[i]));
    uncount(t, skip);
  });
}
}
