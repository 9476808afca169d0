// Copies between host and device that the host does not wait for. Streams and events are reached
// through c10's interface, so that nothing of CUDA is linked.

#include "guarded.h"
#include "tensors.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace {

using Guard = c10::impl::VirtualGuardImpl;

// An event behind what is queued on `stream`, for the caller to own.
c10::Event *recorded(const c10::Stream &stream) {
  auto event = std::make_unique<c10::Event>(stream.device_type());
  event->record(stream);
  return event.release();
}

// Makes `stream` the thread's current one until it goes.
struct Within {
  explicit Within(const c10::Stream &stream) : guard(stream.device_type()), before(guard.exchangeStream(stream)) {}
  ~Within() {
    try {
      guard.exchangeStream(before);
    } catch (...) {
      // It was the current stream before.
    }
  }
  Guard guard;
  c10::Stream before;
};

} // namespace

extern "C" {

// Copies each tensor to its place in host memory. `*event` is null where all is done, else it is
// done once the event is; to be freed with te_event_free.
char *te_fetch(Pointers tensors, Pointers places, size_t count, void **event) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    std::optional<c10::Device> device;
    for (size_t i = 0; i < count; i++) {
      const auto &tensor = tensor_at(tensors[i]);
      tensor_at(places[i]).copy_(tensor, /*non_blocking=*/true);
      if (!tensor.is_cpu()) device = tensor.device();
    }
    *event = device ? recorded(Guard(device->type()).getStream(*device)) : nullptr;
  });
}

char *te_event_wait(const void *event) noexcept {
  return guarded([&] { static_cast<const c10::Event *>(event)->synchronize(); });
}

void te_event_free(void *event) noexcept { delete static_cast<c10::Event *>(event); }

// A stream of CUDA device `index`, for te_copy_stream_free.
char *te_copy_stream(int32_t index, void **out) noexcept {
  return guarded([&] {
    const c10::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
    *out = new c10::Stream(Guard(at::kCUDA).getStreamFromGlobalPool(device));
  });
}

void te_copy_stream_free(void *stream) noexcept { delete static_cast<c10::Stream *>(stream); }

// Queues the copy of a tensor in pinned memory to the stream's device. `*out` is the new tensor and
// `*event` its arrival, both for the caller to own.
char *te_send(const void *stream, const void *tensor, void **out, void **event) noexcept {
  return guarded([&] {
    const auto &copying = *static_cast<const c10::Stream *>(stream);
    const Within within(copying);
    const auto &here = tensor_at(tensor);
    auto sent = std::make_unique<at::Tensor>(here.to(copying.device(), here.scalar_type(), /*non_blocking=*/true));
    *event = recorded(copying);
    *out = sent.release();
  });
}

// What is queued on the current stream from here on comes after the tensor's arrival, and its
// memory is not given out again before that is done.
char *te_receive(const void *event, const void *tensor) noexcept {
  return guarded([&] {
    const auto &received = tensor_at(tensor);
    const Guard guard(received.device().type());
    const auto current = guard.getStream(received.device());
    // What `block` leaves as it is.
    const_cast<c10::Event *>(static_cast<const c10::Event *>(event))->block(current);
    guard.recordDataPtrOnStream(received.storage().data_ptr(), current);
  });
}

// A tensor [shape] in pinned host memory of PyTorch's own allocator, which gives memory out again
// only when the copies that were made from it are done: of the dtype of `like`, or bytes without
// one. `*out` is for the caller to own.
char *te_empty_pinned(const int64_t *shape, size_t dims, const void *like, void **out) noexcept {
  return guarded([&] {
    const auto dtype = like ? tensor_at(like).scalar_type() : at::kByte;
    const auto options = at::TensorOptions().dtype(dtype).pinned_memory(true);
    *out = new at::Tensor(at::empty(at::IntArrayRef(shape, dims), options));
  });
}
}
