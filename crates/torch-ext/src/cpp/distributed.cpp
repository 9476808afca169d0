// Stores and process groups of libtorch's c10d, and its reducer of gradients: what PyTorch's
// DistributedDataParallel stands on.

#include "guarded.h"
#include "tensors.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/var_mean.h>
#include <c10/util/Logging.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <string>

namespace {

using Milliseconds = std::chrono::milliseconds;
using Store = c10::intrusive_ptr<c10d::Store>;
using Group = c10::intrusive_ptr<c10d::ProcessGroup>;

Store &store_at(void *store) { return *static_cast<Store *>(store); }
Group &group_at(void *group) { return *static_cast<Group *>(group); }

// Once, before anything of c10d is used: what goes wrong is in its errors, not also on stderr; and its
// records of past calls, which are for its own debugging, are off: two threads at once damage them.
void quiet() {
  static const bool is_quiet = [] {
    FLAGS_caffe2_log_level = 3;
    return setenv("TORCH_FR_BUFFER_SIZE", "0", 0) == 0;
  }();
  (void)is_quiet;
}

// Gloo over the interfaces that GLOO_SOCKET_IFNAME names, as PyTorch reads it, or over that of this
// machine's name.
c10::intrusive_ptr<c10d::Backend> gloo_group(const Store &store, int rank, int size, Milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  const char *given = std::getenv("GLOO_SOCKET_IFNAME");
  std::string names = given ? given : "";
  while (!names.empty()) {
    const auto end = names.find(',');
    const auto name = names.substr(0, end);
    if (!name.empty()) options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(name));
    names = end == std::string::npos ? "" : names.substr(end + 1);
  }
  if (options->devices.empty()) options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  options->threads = static_cast<int>(2 * options->devices.size());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}

// NCCL's process group is in libtorch_cuda, which is loaded when it is needed and whose headers want
// CUDA's. Its two constructors are found by their names; objects are as large as they could be, and
// freed by their own destructors.
c10::intrusive_ptr<c10d::Backend> nccl_group(const Store &store, int rank, int size, Milliseconds timeout) {
  constexpr size_t room = 64 * 1024;
  using Options = c10::intrusive_ptr<c10d::Backend::Options>;
  const auto find = [](const char *name) {
    void *found = dlsym(RTLD_DEFAULT, name);
    TORCH_CHECK(found, "this libtorch has no NCCL process group (", name, " is missing)");
    return found;
  };
  // c10d::ProcessGroupNCCL::Options::Options(bool)
  const auto make_options =
      reinterpret_cast<void (*)(void *, bool)>(find("_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb"));
  // c10d::ProcessGroupNCCL::ProcessGroupNCCL(intrusive_ptr<Store>, int, int, intrusive_ptr<Options>)
  const auto make_group = reinterpret_cast<void (*)(void *, Store, int, int, Options)>(
      find("_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_"
           "typeIS3_EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE"));
  void *place = ::operator new(room);
  make_options(place, false);
  auto options = Options::unsafe_steal_from_new(static_cast<c10d::Backend::Options *>(place));
  options->timeout = timeout;
  place = ::operator new(room);
  try {
    make_group(place, store, rank, size, options);
  } catch (...) {
    ::operator delete(place);
    throw;
  }
  return c10::intrusive_ptr<c10d::Backend>::unsafe_steal_from_new(static_cast<c10d::Backend *>(place));
}

// Gradients cross the network as bf16, half as many bytes; they are divided before, as each rank
// does without it.
struct Bf16Hook : c10d::CppCommHookInterface<Group> {
  using CppCommHookInterface::CppCommHookInterface;
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket &bucket) override {
    auto buffer = bucket.getBuffer();
    std::vector<at::Tensor> sent{buffer.div(state_->getSize()).to(at::kBFloat16)};
    const auto sum = state_->allreduce(sent)->getFuture();
    const auto widen = [buffer](c10::ivalue::Future &done) {
      const auto &value = done.value();
      buffer.copy_(value.isTensorList() ? value.toTensorVector()[0] : value.toTensor());
      return c10::IValue(buffer);
    };
    return sum->then(widen, c10::TensorType::get());
  }
};

void add_up(const Group &group, const at::Tensor &tensor) {
  std::vector<at::Tensor> tensors{tensor};
  group->allreduce(tensors)->wait();
}

// Batch norm over the images of all ranks: they add up their statistics, and in backward the sums that
// the gradient of a mean and a variance takes.
struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &images, const at::Tensor &weight,
                            const at::Tensor &bias, const at::Tensor &running_mean, const at::Tensor &running_var,
                            double momentum, double eps, int64_t group) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto channels = images.size(1);
    const auto own_count = static_cast<double>(images.numel() / channels);
    auto [own_var, own_mean] =
        at::var_mean(images.to(at::kFloat), at::IntArrayRef({0, 2, 3}), std::optional<at::Scalar>(0), false);
    own_var = own_var.to(at::kDouble);
    own_mean = own_mean.to(at::kDouble);
    const auto count = at::full({1}, own_count, own_mean.options());
    const auto sums = at::cat({own_mean * own_count, (own_var + own_mean * own_mean) * own_count, count});
    const auto &ranks = *reinterpret_cast<const Group *>(group);
    add_up(ranks, sums);
    const auto all = sums.narrow(0, 2 * channels, 1);
    const auto mean = sums.narrow(0, 0, channels) / all;
    const auto var = (sums.narrow(0, channels, channels) / all - mean * mean).clamp_min(0);
    running_mean.lerp_(mean.to(at::kFloat), momentum);
    // The estimate of the variance of which the images are a sample.
    running_var.lerp_((var * (all / (all - 1))).to(at::kFloat), momentum);
    const auto mean32 = mean.to(at::kFloat), var32 = var.to(at::kFloat);
    context->save_for_backward({images, weight, mean32, var32, all});
    context->saved_data["eps"] = eps;
    context->saved_data["group"] = group;
    return at::batch_norm(images, weight, bias, mean32, var32, false, 0.0, eps, false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto saved = context->get_saved_variables();
    const auto &images = saved[0], &weight = saved[1], &mean = saved[2], &var = saved[3], &all = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    const auto channels = images.size(1);
    const auto dy = gradients[0].to(images.scalar_type());
    auto [dx, d_weight, d_bias] = at::native_batch_norm_backward(dy, images, weight, mean, var, at::Tensor(), at::Tensor(),
                                                                 false, eps, {true, true, true});
    const auto sums = at::cat({d_bias.to(at::kDouble), d_weight.to(at::kDouble)});
    add_up(*reinterpret_cast<const Group *>(context->saved_data["group"].toInt()), sums);
    const auto means = sums / all;
    const auto scale = (var + eps).rsqrt();
    const auto by_mean = weight * scale * means.narrow(0, 0, channels).to(at::kFloat);
    const auto by_image = weight * scale * scale * means.narrow(0, channels, channels).to(at::kFloat);
    const auto spread = [](const at::Tensor &channel) { return channel.view({1, -1, 1, 1}); };
    auto d_images = dx.to(at::kFloat) - spread(by_mean - mean * by_image) - images.to(at::kFloat) * spread(by_image);
    const at::Tensor none;
    return {d_images.to(images.scalar_type()), d_weight, d_bias, none, none, none, none, none};
  }
};

struct Ddp {
  std::shared_ptr<c10d::Reducer> reducer;
  // Without one, unused parameters end in a null pointer.
  std::shared_ptr<c10d::Logger> logger;
};

} // namespace

extern "C" {

// `*port` is the one to listen on, 0 for any; then it is the one that is used.
char *te_store_tcp(const char *host, uint16_t *port, bool is_server, int64_t timeout_ms, void **out) noexcept {
  return guarded([&] {
    quiet();
    c10d::TCPStoreOptions options;
    options.port = *port;
    options.isServer = is_server;
    // The server does not wait for the others here: the first collective does.
    options.waitWorkers = false;
    options.timeout = Milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *port = store->getPort();
    *out = new Store(std::move(store));
  });
}

char *te_store_prefix(void *store, const char *prefix, void **out) noexcept {
  return guarded([&] { *out = new Store(c10::make_intrusive<c10d::PrefixStore>(prefix, store_at(store))); });
}

char *te_store_set(void *store, const char *key, const uint8_t *bytes, size_t count) noexcept {
  return guarded([&] { store_at(store)->set(key, std::vector<uint8_t>(bytes, bytes + count)); });
}

// Waits for the key. `take` is called once with the bytes.
char *te_store_get(void *store, const char *key, int64_t timeout_ms, void (*take)(void *, const uint8_t *, size_t),
                   void *into) noexcept {
  return guarded([&] {
    auto &from = store_at(store);
    from->wait({key}, Milliseconds(timeout_ms));
    const auto bytes = from->get(key);
    take(into, bytes.data(), bytes.size());
  });
}

char *te_store_has(void *store, const char *key, bool *out) noexcept {
  return guarded([&] { *out = store_at(store)->check({key}); });
}

void te_store_free(void *store) noexcept { delete static_cast<Store *>(store); }

// Waits until all ranks are there. CPU tensors go by gloo, those of a GPU by NCCL if that is asked
// for.
char *te_group(void *store, int32_t rank, int32_t size, int64_t timeout_ms, bool with_nccl, void **out) noexcept {
  return guarded([&] {
    using Type = c10d::ProcessGroup::BackendType;
    const auto &common = store_at(store);
    const Milliseconds timeout(timeout_ms);
    auto group = c10::make_intrusive<c10d::ProcessGroup>(common, rank, size);
    const auto prefixed = [&](const char *name) -> Store {
      return c10::make_intrusive<c10d::PrefixStore>(name, common);
    };
    group->setBackend(at::kCPU, Type::GLOO, gloo_group(prefixed("gloo"), rank, size, timeout));
    group->setDefaultBackend(Type::GLOO);
    // Those of a GPU too, by way of the CPU.
    group->setBackend(at::kCUDA, Type::GLOO, group->getBackend(at::kCPU));
    if (with_nccl) {
      group->setBackend(at::kCUDA, Type::NCCL, nccl_group(prefixed("nccl"), rank, size, timeout));
      group->setDefaultBackend(Type::NCCL);
    }
    *out = new Group(std::move(group));
  });
}

void te_group_free(void *group) noexcept { delete static_cast<Group *>(group); }

// In place. 0 adds, 1 takes the largest.
char *te_all_reduce(void *group, const void *tensor, uint8_t op) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    std::vector<at::Tensor> tensors{tensor_at(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = op == 0 ? c10d::ReduceOp::SUM : c10d::ReduceOp::MAX;
    group_at(group)->allreduce(tensors, options)->wait();
  });
}

// Tensors of one dtype and device, in place, from rank `root`.
char *te_broadcast(void *group, Pointers tensors, size_t count, int32_t root) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    constexpr size_t buffer = 250 << 20;
    c10d::broadcast_coalesced(group_at(group), list(tensors, count), buffer, root);
  });
}

// From every rank, in their order, into as many tensors like `tensor`.
char *te_all_gather(void *group, const void *tensor, Pointers outputs, size_t count) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    std::vector<std::vector<at::Tensor>> gathered{list(outputs, count)};
    std::vector<at::Tensor> own{tensor_at(tensor)};
    group_at(group)->allgather(gathered, own)->wait();
  });
}

// The error names the ranks that have not come. Of gloo.
char *te_monitored_barrier(void *group, int64_t timeout_ms) noexcept {
  return guarded([&] {
    c10d::BarrierOptions options;
    options.timeout = Milliseconds(timeout_ms);
    group_at(group)->monitoredBarrier(options, /*wait_all_ranks=*/true);
  });
}

// Gradients of `parameters` become the means over all ranks while backward goes on, bucket by
// bucket. Buckets are never made anew, so that the sums are added in the same order after a resume.
char *te_reducer(void *group, Pointers parameters, size_t count, int64_t bucket_bytes, bool find_unused, bool bf16,
                 void **out) noexcept {
  return guarded([&] {
    const auto params = list(parameters, count);
    const std::vector<bool> sparse(count, false);
    const std::vector<size_t> limits{static_cast<size_t>(c10d::kDefaultFirstBucketBytes), static_cast<size_t>(bucket_bytes)};
    auto [buckets, sizes] = c10d::compute_bucket_assignment_by_size(params, limits, sparse);
    // As gradients come in backward.
    std::reverse(buckets.begin(), buckets.end());
    c10d::verify_params_across_processes(group_at(group), params, std::nullopt);
    auto ddp = std::make_unique<Ddp>();
    ddp->reducer = std::make_shared<c10d::Reducer>(
        params, buckets, group_at(group), sparse, bucket_bytes, find_unused, /*gradient_as_bucket_view=*/true,
        std::unordered_map<size_t, std::string>{}, c10d::kDefaultFirstBucketBytes,
        /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<int64_t>{});
    ddp->logger = std::make_shared<c10d::Logger>(ddp->reducer);
    ddp->reducer->set_logger(ddp->logger);
    if (bf16) ddp->reducer->register_comm_hook(std::make_unique<Bf16Hook>(group_at(group)));
    *out = ddp.release();
  });
}

// The next backward, from `output`, reduces; those without this call before them add up.
char *te_reducer_prepare(void *reducer, const void *output) noexcept {
  return guarded([&] {
    static_cast<Ddp *>(reducer)->reducer->prepare_for_backward(
        output ? std::vector<at::Tensor>{tensor_at(output)} : std::vector<at::Tensor>{});
  });
}

// The group must live until backward is done.
char *te_sync_batch_norm(const void *group, const void *images, const void *weight, const void *bias,
                         const void *running_mean, const void *running_var, double momentum, double eps, void **out) noexcept {
  return guarded([&] {
    const auto &x = tensor_at(images);
    TORCH_CHECK(x.dim() == 4, "images are [N, C, H, W], not ", x.sizes());
    *out = new at::Tensor(SyncBatchNorm::apply(x, tensor_at(weight), tensor_at(bias), tensor_at(running_mean),
                                               tensor_at(running_var), momentum, eps, reinterpret_cast<int64_t>(group)));
  });
}

void te_reducer_free(void *reducer) noexcept {
  // Its destructor may throw.
  (void)guarded([&] { delete static_cast<Ddp *>(reducer); });
}
}
