// Tensors as they come from Rust: pointers to at::Tensor, and arrays of these.

#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

using Pointers = const void *const *;

inline const at::Tensor &tensor_at(const void *tensor) { return *static_cast<const at::Tensor *>(tensor); }

inline std::vector<at::Tensor> list(Pointers pointers, size_t count) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (size_t i = 0; i < count; i++) {
    tensors.push_back(tensor_at(pointers[i]));
  }
  return tensors;
}

// Whether two tensors of the same sizes have their elements at the same places: the stride of a
// dimension of one element says nothing, and a depthwise convolution's weight and gradient often
// disagree about it.
inline bool same_places(const at::Tensor &one, const at::Tensor &other) {
  for (int64_t d = 0; d < one.dim(); d++) {
    if (one.size(d) > 1 && one.stride(d) != other.stride(d)) return false;
  }
  return true;
}

// On the CPU the fused kernels walk memory in order and ignore strides: other strides would
// silently mix elements up.
inline void check_like(const std::vector<at::Tensor> &parameters, const std::vector<at::Tensor> &others, const char *what) {
  TORCH_CHECK(parameters.size() == others.size(), what, ": ", others.size(), " tensors for ", parameters.size(), " parameters");
  for (size_t i = 0; i < parameters.size(); i++) {
    const auto &p = parameters[i], &o = others[i];
    TORCH_CHECK(o.defined(), what, " ", i, " is undefined");
    TORCH_CHECK(p.sizes() == o.sizes() && same_places(p, o), what, " ", i, " has sizes ", o.sizes(), " and strides ",
                o.strides(), ", its parameter ", p.sizes(), " and ", p.strides());
    TORCH_CHECK(p.scalar_type() == o.scalar_type() && p.device() == o.device(), what, " ", i, " has another dtype or device than its parameter");
  }
}
