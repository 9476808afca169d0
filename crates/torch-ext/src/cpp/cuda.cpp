// CUDA's start, and the warnings of libtorch.

#include "guarded.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <string>

namespace {

using Told = void (*)(const char *text, size_t length);

// Hands warnings to Rust rather than to stderr.
struct Teller : c10::WarningHandler {
  explicit Teller(Told given) : told(given) {}
  void process(const c10::Warning &warning) override {
    const std::string &text = warning.msg();
    told(text.data(), text.size());
  }
  Told told;
};

} // namespace

extern "C" {

// Whether libtorch knows that its CUDA part is loaded; it looks once in a process.
char *te_cuda_hooks(bool *out) noexcept {
  return guarded([&] { *out = at::detail::getCUDAHooks().hasCUDART(); });
}

// Of CUDA that libtorch was built for, as 13000.
char *te_cuda_version(int64_t *out) noexcept {
  return guarded([&] { *out = at::detail::getCUDAHooks().versionCUDART(); });
}

// Of cuDNN that is loaded, as 91900; an error without CUDA.
char *te_cudnn_version(int64_t *out) noexcept {
  return guarded([&] { *out = at::detail::getCUDAHooks().versionRuntimeCuDNN(); });
}

char *te_cuda_start() noexcept {
  return guarded([&] { at::globalContext().lazyInitDevice(at::kCUDA); });
}

char *te_cuda_use(int32_t index) noexcept {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl devices(at::kCUDA);
    TORCH_CHECK(index >= 0 && index < devices.deviceCount(), "there is no CUDA device ", index);
    devices.setDevice(c10::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)));
  });
}

// The most bytes that tensors on the device took at one time since the last te_cuda_reset_peak.
char *te_cuda_peak(int32_t index, int64_t *out) noexcept {
  return guarded([&] {
    const auto stats = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(index));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *out = stats.allocated_bytes[all].peak;
  });
}

char *te_cuda_reset_peak(int32_t index) noexcept {
  return guarded(
      [&] { c10::getDeviceAllocator(at::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(index)); });
}

// Hands memory that no tensor has back to the driver, on all devices.
char *te_cuda_empty_cache() noexcept {
  return guarded([&] { c10::getDeviceAllocator(at::kCUDA)->emptyCache(); });
}

// From now on, `told` gets what libtorch warns of in this thread, and in what it computes for it.
char *te_tell_warnings(Told told) noexcept {
  return guarded([&] {
    // For the life of the process.
    static Teller teller(told);
    c10::WarningUtils::set_warning_handler(&teller);
  });
}
}
