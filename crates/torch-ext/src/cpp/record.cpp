// What runs and what is allocated on this thread: operators with the shapes they see, and the CPU's
// memory.

#include "guarded.h"

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace {

struct Seen {
  const void *storage;
  std::vector<int64_t> shape;
};

struct Operator {
  std::string name;
  int64_t depth;
  bool is_transposed;
  std::vector<Seen> tensors[2]; // inputs, outputs
  std::chrono::steady_clock::time_point began;
  int64_t nanoseconds;
};

struct Operators {
  std::vector<Operator> all;
  int64_t depth = 0;
  at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;
};

thread_local Operators *recording = nullptr;

struct Place : at::ObserverContext {
  explicit Place(size_t number) : number(number) {}
  size_t number;
};

void look(const c10::IValue &value, std::vector<Seen> &seen) {
  if (value.isTensor()) {
    const auto &tensor = value.toTensor();
    if (!tensor.defined()) return;
    const void *storage = tensor.has_storage() ? tensor.storage().data() : nullptr;
    seen.push_back({storage, tensor.sizes().vec()});
  } else if (value.isTensorList()) {
    for (const at::Tensor &tensor : value.toTensorVector()) look(tensor, seen);
  } else if (value.isList()) {
    for (const c10::IValue &item : value.toListRef()) look(item, seen);
  }
}

// An operator that an interpreter calls is shown the interpreter's whole stack; its own values are
// the last ones.
template <typename Values>
c10::ArrayRef<const c10::IValue> own(const Values &shown, size_t count) {
  const size_t size = shown.size();
  const size_t others = count > 0 && count < size ? size - count : 0;
  // Not in braces, which would make a list of two values.
  return c10::ArrayRef<const c10::IValue>(shown.data() + others, size - others);
}

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction &function) {
  if (!recording) return nullptr;
  Operator entered{function.name(), recording->depth++, false, {}, {}, 0};
  const auto inputs = own(function.inputs(), function.num_inputs());
  for (const auto &input : inputs) look(input, entered.tensors[0]);
  // convolution(input, weight, bias, stride, padding, dilation, transposed, …)
  entered.is_transposed = inputs.size() > 6 && inputs[6].isBool() && inputs[6].toBool();
  entered.began = std::chrono::steady_clock::now();
  recording->all.push_back(std::move(entered));
  return std::make_unique<Place>(recording->all.size() - 1);
}

void leave(const at::RecordFunction &function, at::ObserverContext *context) {
  if (!recording || !context) return;
  recording->depth--;
  auto &left = recording->all[static_cast<Place *>(context)->number];
  const auto took = std::chrono::steady_clock::now() - left.began;
  left.nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
  for (const auto &output : own(function.outputs(), function.num_outputs())) look(output, left.tensors[1]);
}

// Written again in record.rs.
struct Event {
  const void *address;
  int64_t bytes;
};
static_assert(sizeof(Event) == 16 && offsetof(Event, bytes) == 8, "Event differs from record.rs");

struct Reporter : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void *address, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    std::lock_guard<std::mutex> lock(mutex);
    events.push_back({address, bytes});
  }

  bool memoryProfilingEnabled() const override { return true; }

  std::mutex mutex;
  std::vector<Event> events;
};

struct Memory {
  std::shared_ptr<Reporter> reporter = std::make_shared<Reporter>();
  std::optional<c10::DebugInfoGuard> guard;
};

} // namespace

extern "C" {

// One recording a thread; te_operators_end on the same thread ends it.
char *te_operators_begin(void **out) noexcept {
  return guarded([&] {
    TORCH_CHECK(!recording, "operators are being recorded already");
    auto operators = std::make_unique<Operators>();
    operators->handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(enter, leave).needsInputs(true).needsOutputs(true).scopes({at::RecordScope::FUNCTION}));
    recording = operators.release();
    *out = recording;
  });
}

char *te_operators_end(void *operators) noexcept {
  recording = nullptr;
  return guarded([&] { at::removeCallback(static_cast<Operators *>(operators)->handle); });
}

void te_operators_free(void *operators) noexcept { delete static_cast<Operators *>(operators); }

size_t te_operators_len(const void *operators) noexcept { return static_cast<const Operators *>(operators)->all.size(); }

// `*name` lives as long as the recording.
void te_operator(const void *operators, size_t place, const char **name, int64_t *depth, bool *is_transposed,
                 int64_t *nanoseconds, size_t *inputs, size_t *outputs) noexcept {
  const auto &found = static_cast<const Operators *>(operators)->all[place];
  *name = found.name.c_str();
  *depth = found.depth;
  *is_transposed = found.is_transposed;
  *nanoseconds = found.nanoseconds;
  *inputs = found.tensors[0].size();
  *outputs = found.tensors[1].size();
}

// An input, or an output; `*shape` lives as long as the recording.
void te_operator_tensor(const void *operators, size_t place, bool output, size_t number, const void **storage,
                        const int64_t **shape, size_t *dims) noexcept {
  const auto &seen = static_cast<const Operators *>(operators)->all[place].tensors[output ? 1 : 0][number];
  *storage = seen.storage;
  *shape = seen.shape.data();
  *dims = seen.shape.size();
}

const void *te_storage(const void *tensor) noexcept {
  const auto &it = *static_cast<const at::Tensor *>(tensor);
  return it.defined() && it.has_storage() ? it.storage().data() : nullptr;
}

// te_memory_end on the same thread ends it.
char *te_memory_begin(void **out) noexcept {
  return guarded([&] {
    auto memory = std::make_unique<Memory>();
    memory->guard.emplace(c10::DebugInfoKind::PROFILER_STATE, memory->reporter);
    *out = memory.release();
  });
}

char *te_memory_end(void *memory) noexcept {
  return guarded([&] { static_cast<Memory *>(memory)->guard.reset(); });
}

void te_memory_free(void *memory) noexcept { delete static_cast<Memory *>(memory); }

// The events live as long as the recording.
const Event *te_memory_events(const void *memory, size_t *count) noexcept {
  const auto &events = static_cast<const Memory *>(memory)->reporter->events;
  *count = events.size();
  return events.data();
}
}
