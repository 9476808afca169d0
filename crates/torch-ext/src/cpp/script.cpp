// TorchScript modules: their state by name, and their forward pass.

#include "guarded.h"

#include <ATen/core/grad_mode.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

using torch::jit::Block;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

// The body of the function or method that `node` calls, if it calls one that was not visited yet;
// else null.
Block *called_by(Node *node, std::unordered_set<const void *> &visited) {
  torch::jit::Function *called = nullptr;
  if (node->kind() == torch::jit::prim::CallMethod) {
    if (const auto type = node->input(0)->type()->cast<c10::ClassType>()) {
      called = &type->getMethod(node->s(torch::jit::attr::name));
    }
  } else if (node->kind() == torch::jit::prim::CallFunction) {
    if (const auto type = node->input(0)->type()->cast<c10::FunctionType>()) called = type->function();
  }
  auto *with_graph = called ? torch::jit::tryToGraphFunction(*called) : nullptr;
  return with_graph && visited.insert(with_graph).second ? with_graph->graph()->block() : nullptr;
}

// A parameter or buffer, and where the module keeps it.
struct Item {
  std::string name;
  at::Tensor tensor;
  bool is_buffer;
  // The place of an earlier item that is this very tensor, or -1.
  int64_t same_as;
  torch::jit::ObjectPtr owner;
  size_t slot;
  // Its program may put another tensor in its place.
  bool is_assigned;
};

// The names of attributes that `block`, or what it calls, assigns.
void assigned(Block *block, std::unordered_set<const void *> &visited, std::unordered_set<std::string> &names) {
  for (Node *node : block->nodes()) {
    for (Block *inner : node->blocks()) assigned(inner, visited, names);
    if (node->kind() == torch::jit::prim::SetAttr) names.insert(node->s(torch::jit::attr::name));
    if (Block *called = called_by(node, visited)) assigned(called, visited, names);
  }
}

// As Python's state_dict(): a module's own parameters, its own buffers, then its submodules.
void collect(const Module &module, const std::string &prefix, std::vector<Item> &items) {
  const auto add = [&](const auto &named, bool is_buffer) {
    for (const auto &[name, tensor] : named) {
      items.push_back({prefix + name, tensor, is_buffer, -1, module._ivalue(), module.type()->getAttributeSlot(name), false});
    }
  };
  add(module.named_parameters(/*recurse=*/false), false);
  add(module.named_buffers(/*recurse=*/false), true);
  for (const auto &[name, child] : module.named_children()) collect(child, prefix + name + ".", items);
}

struct Script {
  explicit Script(Module given) : module(std::move(given)) {
    collect(module, "", items);
    if (const auto forward = module.find_method("forward")) {
      std::unordered_set<const void *> visited;
      std::unordered_set<std::string> names;
      assigned(forward->graph()->block(), visited, names);
      for (auto &item : items) item.is_assigned = names.count(item.name.substr(item.name.rfind('.') + 1)) > 0;
    }
    std::unordered_map<const void *, int64_t> known;
    for (size_t place = 0; place < items.size(); place++) {
      TORCH_CHECK(items[place].tensor.defined(), "`", items[place].name, "` is undefined");
      const auto [first, is_new] = known.emplace(items[place].tensor.unsafeGetTensorImpl(), place);
      if (is_new) continue;
      items[place].same_as = first->second;
      // Copies of one tensor under two names would be two tensors.
      items[place].is_assigned = items[first->second].is_assigned = false;
    }
  }

  // A program that assigns a buffer (`self.mean = …`) puts another tensor in its place, which
  // nobody who knows the state by name would see. Its values are moved into the first. So that the
  // backward pass finds the first's old values, should it need them, such a program works with
  // copies.
  at::IValue forward(const at::Tensor &input) {
    const Restored restored{items};
    {
      at::AutoGradMode no_grad(false);
      for (auto &item : items) {
        if (item.is_buffer && item.is_assigned) item.owner->setSlot(item.slot, item.tensor.clone());
      }
    }
    auto value = module.forward({input});
    at::AutoGradMode no_grad(false);
    for (auto &item : items) {
      const auto &slot = item.owner->getSlot(item.slot);
      TORCH_CHECK(slot.isTensor(), "`", item.name, "` is no longer a tensor after forward");
      const auto &now = slot.toTensor();
      if (now.is_same(item.tensor)) continue;
      TORCH_CHECK(now.sizes() == item.tensor.sizes() && now.scalar_type() == item.tensor.scalar_type(), "forward has made `",
                  item.name, "` a tensor of ", now.sizes(), " ", now.scalar_type(), "; it was ", item.tensor.sizes(), " ",
                  item.tensor.scalar_type());
      item.tensor.copy_(now);
    }
    return value;
  }

  Module module;
  std::vector<Item> items;

 private:
  // Puts the first tensors back, also where the program raises an error.
  struct Restored {
    std::vector<Item> &items;
    ~Restored() {
      for (auto &item : items) {
        try {
          item.owner->setSlot(item.slot, item.tensor);
        } catch (...) {
          // A destructor that throws while another error is on its way would end the process; the
          // slot exists, so that nothing but memory can be lacking here.
        }
      }
    }
  };
};

// Bytes in memory as a file.
class Bytes final : public caffe2::serialize::ReadAdapterInterface {
 public:
  Bytes(const char *start, size_t length) : start_(start), length_(length) {}

  size_t size() const override { return length_; }

  size_t read(uint64_t position, void *buffer, size_t count, const char *what) const override {
    TORCH_CHECK(position <= length_ && count <= length_ - position, "the file ends in the middle of ", what);
    memcpy(buffer, start_ + position, count);
    return count;
  }

 private:
  const char *start_;
  size_t length_;
};

Value *argument(Node *node, std::initializer_list<const char *> names) {
  for (const char *name : names) {
    if (node->hasNamedInput(name)) return node->namedInput(name);
  }
  return nullptr;
}

bool is_zero(const Value *value) {
  const auto constant = value ? torch::jit::toIValue(value) : std::nullopt;
  return constant && constant->isDouble() && constant->toDouble() == 0;
}

// The first operator in `block`, or in what it calls, that does something else in training than in
// evaluation and whose switch is a constant. Tracing writes operators straight into forward, with
// the mode that it ran in; a script calls torch.nn.functional, which is handed the mode, even where
// that is always the same. Norms without running statistics always take those of the batch, and a
// dropout of nothing is none in either mode.
Node *without_switch(Block *block, std::unordered_set<const void *> &visited) {
  for (Node *node : block->nodes()) {
    Node *found = nullptr;
    for (Block *inner : node->blocks()) {
      if (!found) found = without_switch(inner, visited);
    }
    if (Block *called = found ? nullptr : called_by(node, visited)) found = without_switch(called, visited);
    if (found) return found;
    if (!node->kind().is_aten() || !node->maybeSchema()) continue;
    Value *flag = argument(node, {"train", "training", "use_input_stats"});
    if (!flag || flag->node()->kind() != torch::jit::prim::Constant) continue;
    Value *mean = argument(node, {"running_mean"});
    if ((mean && mean->mustBeNone()) || is_zero(argument(node, {"p", "dropout"}))) continue;
    return node;
  }
  return nullptr;
}

Script *of(void *script) { return static_cast<Script *>(script); }

} // namespace

extern "C" {

char *te_script_load(const char *bytes, size_t length, void **out) noexcept {
  return guarded([&] {
    auto file = std::make_shared<Bytes>(bytes, length);
    *out = new Script(torch::jit::load(file, at::Device(at::kCPU), /*load_debug_files=*/true));
  });
}

void te_script_free(void *script) noexcept { delete of(script); }

// The copy's parameters need gradients where the script's do.
char *te_script_copy(void *script, void **out) noexcept {
  return guarded([&] {
    std::unique_ptr<Script> copy;
    {
      at::AutoGradMode no_grad(false);
      copy = std::make_unique<Script>(of(script)->module.deepcopy());
    }
    const auto &items = of(script)->items;
    TORCH_CHECK(copy->items.size() == items.size(), "the copy has another state");
    for (size_t place = 0; place < items.size(); place++) {
      copy->items[place].tensor.set_requires_grad(items[place].tensor.requires_grad());
    }
    *out = copy.release();
  });
}

size_t te_script_len(void *script) noexcept { return of(script)->items.size(); }

// `*name` lives as long as the script; `*tensor` is a new at::Tensor, for the caller to own.
void te_script_item(void *script, size_t place, const char **name, void **tensor, bool *is_buffer, int64_t *same_as) noexcept {
  const Item &item = of(script)->items[place];
  *name = item.name.c_str();
  *tensor = new at::Tensor(item.tensor);
  *is_buffer = item.is_buffer;
  *same_as = item.same_as;
}

char *te_script_train(void *script, bool on) noexcept {
  return guarded([&] { of(script)->module.train(on); });
}

// Operator by operator, as Python runs it without torch.jit: what the optimizing executor makes of
// a program depends on how often it ran, so that a run that is interrupted and resumed would not
// end in the same bits.
char *te_script_forward(void *script, const void *input, void **out) noexcept {
  return guarded([&] {
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    auto value = of(script)->forward(*static_cast<const at::Tensor *>(input));
    TORCH_CHECK(value.isTensor(), "its output is ", value.type()->annotation_str(), ", and must be a single tensor");
    *out = new at::Tensor(value.toTensor());
  });
}

// `*found` is null, or the operator's name, for the caller to free with te_free.
char *te_script_without_switch(void *script, char **found) noexcept {
  return guarded([&] {
    std::unordered_set<const void *> visited;
    const auto graph = of(script)->module.get_method("forward").graph();
    Node *node = without_switch(graph->block(), visited);
    *found = node ? copied(node->kind().toUnqualString()) : nullptr;
  });
}
}
