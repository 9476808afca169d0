// Backward passes that begin with a given gradient and end at a given tensor, and the state of
// random generators: what it takes to compute a part of a network anew.

#include "guarded.h"
#include "tensors.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>

namespace {

at::Generator generator_of(const at::Tensor &tensor) { return at::globalContext().defaultGenerator(tensor.device()); }

} // namespace

extern "C" {

// backward() from `output` with `gradient` (null where output is a scalar). Where `input` is not
// null, a leaf that needs a gradient, `*out` is a new at::Tensor for the caller to own: the sum of
// what arrives there, in the layout in which it arrives; null where nothing does. `input` has no
// gradient of its own afterwards.
char *te_backward(const void *output, const void *gradient, const void *input, void **out) noexcept {
  return guarded([&] {
    *out = nullptr;
    const auto arrived = std::make_shared<at::Tensor>();
    unsigned hook = 0;
    if (input) {
      hook = tensor_at(input).register_hook([arrived](const at::Tensor &grad) { *arrived = grad; });
    }
    tensor_at(output).backward(gradient ? tensor_at(gradient) : at::Tensor());
    if (input) {
      tensor_at(input).remove_hook(hook);
      tensor_at(input).mutable_grad().reset();
      if (arrived->defined()) *out = new at::Tensor(*arrived);
    }
  });
}

// The state of the default generator of the tensor's device; `*out` is a new at::Tensor, for the
// caller to own.
char *te_rng_state(const void *tensor, void **out) noexcept {
  return guarded([&] {
    auto generator = generator_of(tensor_at(tensor));
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

char *te_set_rng_state(const void *tensor, const void *state) noexcept {
  return guarded([&] {
    auto generator = generator_of(tensor_at(tensor));
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(tensor_at(state));
  });
}
}
