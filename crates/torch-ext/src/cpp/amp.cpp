// Mixed precision beyond autocast: gradient scaling, and what a device can do.

#include "guarded.h"
#include "tensors.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>

extern "C" {

// Multiplies the gradients with the scalar `inverse` in place, and sets the scalar `found_inf` to 1
// if one of them is NaN or Inf.
char *te_unscale(Pointers grads, size_t count, const void *found_inf, const void *inverse) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto &found = *const_cast<at::Tensor *>(static_cast<const at::Tensor *>(found_inf));
    at::_amp_foreach_non_finite_check_and_unscale_(list(grads, count), found, *static_cast<const at::Tensor *>(inverse));
  });
}

// After a step: `tracker` (i32) counts those without NaN and Inf.
char *te_update_scale(const void *scale, const void *tracker, const void *found_inf, double growth, double backoff,
                      int64_t interval) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto &own = *const_cast<at::Tensor *>(static_cast<const at::Tensor *>(scale));
    auto &count = *const_cast<at::Tensor *>(static_cast<const at::Tensor *>(tracker));
    at::_amp_update_scale_(own, count, *static_cast<const at::Tensor *>(found_inf), growth, backoff, interval);
  });
}

// Whether the CPU's convolutions and matrix products in bf16 are those of oneDNN; without them they
// are several times slower than in f32.
char *te_cpu_has_bf16(bool *out) noexcept {
  return guarded([&] {
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_is_mkldnn_bf16_supported", ""});
    *out = found && found->typed<bool()>().call();
  });
}

char *te_allow_tf32(bool on) noexcept {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(on);
    at::globalContext().setAllowTF32CuDNN(on);
  });
}
}
