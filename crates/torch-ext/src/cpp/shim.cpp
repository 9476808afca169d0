// What tch does not expose of libtorch 2.11, as plain C functions. Each returns null, or a message
// that the caller frees with te_free; no exception leaves this file.

#include "guarded.h"
#include "tensors.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

extern "C" {

void te_free(char *message) noexcept {
  if (message != no_memory) free(message);
}

const char *te_version() noexcept { return TORCH_EXT_LIBTORCH_VERSION; }

// Switches autocast on for a device type of PyTorch's numbering (0 the CPU, 1 CUDA), as
// torch.autocast does when it is entered; what was there before goes to `was_on` and `was_dtype`.
char *te_autocast_enter(int8_t device, int8_t dtype, bool *was_on, int8_t *was_dtype) noexcept {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device);
    *was_on = at::autocast::is_autocast_enabled(type);
    *was_dtype = static_cast<int8_t>(at::autocast::get_autocast_dtype(type));
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(type, true);
    at::autocast::increment_nesting();
  });
}

char *te_autocast_leave(int8_t device, bool was_on, int8_t was_dtype) noexcept {
  return guarded([&] {
    const auto type = static_cast<at::DeviceType>(device);
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type, was_on);
    at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(was_dtype));
  });
}

// The tensor [N, C, H, W] with its channels innermost in memory; `*out` is a new at::Tensor, for
// the caller to own.
char *te_channels_last(const void *tensor, void **out) noexcept {
  return guarded([&] {
    *out = new at::Tensor(static_cast<const at::Tensor *>(tensor)->contiguous(at::MemoryFormat::ChannelsLast));
  });
}

bool te_is_unshared(const void *tensor) noexcept {
  const auto &it = *static_cast<const at::Tensor *>(tensor);
  return it.defined() && it.use_count() == 1 && it.has_storage() && it.storage().use_count() == 1;
}

// As torch.manual_seed: the generators of the CPU and of all CUDA devices.
char *te_manual_seed(uint64_t seed) noexcept {
  return guarded([&] { at::manual_seed(seed); });
}

char *te_set_deterministic(bool on) noexcept {
  return guarded([&] {
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(on, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(on);
    context.setDeterministicCuDNN(on);
    context.setDeterministicMkldnn(on);
    if (on) context.setBenchmarkCuDNN(false);
  });
}

bool te_is_deterministic() noexcept { return at::globalContext().deterministicAlgorithms(); }

void *te_generator(uint64_t seed) noexcept { return new at::Generator(at::detail::createCPUGenerator(seed)); }

void te_generator_free(void *generator) noexcept { delete static_cast<at::Generator *>(generator); }

char *te_generator_skip(void *generator, uint64_t count) noexcept {
  return guarded([&] {
    auto *own = at::check_generator<at::CPUGeneratorImpl>(*static_cast<at::Generator *>(generator));
    std::lock_guard<std::mutex> lock(own->mutex_);
    auto engine = own->engine();
    for (uint64_t i = 0; i < count; i++) engine();
    own->set_engine(engine);
  });
}

char *te_uniform(const void *tensor, double from, double to, void *generator) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    static_cast<const at::Tensor *>(tensor)->uniform_(from, to, *static_cast<at::Generator *>(generator));
  });
}

char *te_normal(const void *tensor, double mean, double std, void *generator) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    static_cast<const at::Tensor *>(tensor)->normal_(mean, std, *static_cast<at::Generator *>(generator));
  });
}

char *te_clear_grads(Pointers parameters, size_t count) noexcept {
  return guarded([&] {
    for (size_t i = 0; i < count; i++) {
      static_cast<const at::Tensor *>(parameters[i])->mutable_grad().reset();
    }
  });
}
}
