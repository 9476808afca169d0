// torch._foreach_ operators, in place over lists of tensors. Nothing is read from the device.

#include "guarded.h"
#include "tensors.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sign.h>
#include <ATen/ops/_foreach_sqrt.h>

#include <cstddef>

namespace {

// The numbers of foreach.rs.
enum ScalarOp { ADD_SCALAR = 0, MUL_SCALAR = 1, CLAMP_MIN = 2 };
enum ListOp { ADD = 0, MUL = 1, DIV = 2 };
enum TernaryOp { ADDCMUL = 0, ADDCDIV = 1 };
enum UnaryOp { SQRT = 0, SIGN = 1 };

} // namespace

extern "C" {

char *te_foreach_unary(Pointers tensors, size_t count, int op) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count);
    switch (op) {
    case SQRT: return at::_foreach_sqrt_(t);
    case SIGN: return at::_foreach_sign_(t);
    default: TORCH_CHECK(false, "there is no unary operator ", op);
    }
  });
}

char *te_foreach_scalar(Pointers tensors, size_t count, int op, double value) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count);
    switch (op) {
    case ADD_SCALAR: return at::_foreach_add_(t, value);
    case MUL_SCALAR: return at::_foreach_mul_(t, value);
    case CLAMP_MIN: return at::_foreach_clamp_min_(t, value);
    default: TORCH_CHECK(false, "there is no operator with a scalar ", op);
    }
  });
}

// `alpha` is only used by the addition.
char *te_foreach_list(Pointers tensors, Pointers others, size_t count, int op, double alpha) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count), o = list(others, count);
    switch (op) {
    case ADD: return at::_foreach_add_(t, o, alpha);
    case MUL: return at::_foreach_mul_(t, o);
    case DIV: return at::_foreach_div_(t, o);
    default: TORCH_CHECK(false, "there is no operator with a list ", op);
    }
  });
}

char *te_foreach_ternary(Pointers tensors, Pointers first, Pointers second, size_t count, int op, double value) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    auto t = list(tensors, count), a = list(first, count), b = list(second, count);
    switch (op) {
    case ADDCMUL: return at::_foreach_addcmul_(t, a, b, value);
    case ADDCDIV: return at::_foreach_addcdiv_(t, a, b, value);
    default: TORCH_CHECK(false, "there is no ternary operator ", op);
    }
  });
}

// `out` has room for `count` pointers; each is a new at::Tensor, for the caller to own.
char *te_foreach_clone(Pointers tensors, size_t count, void **out) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    std::vector<at::Tensor> clones;
    clones.reserve(count);
    for (const auto &tensor : list(tensors, count)) clones.push_back(tensor.clone());
    for (size_t i = 0; i < count; i++) out[i] = new at::Tensor(clones[i]);
  });
}

// The 2-norm of each tensor, scalars; `out` as in te_foreach_clone.
char *te_foreach_norm(Pointers tensors, size_t count, void **out) noexcept {
  return guarded([&] {
    at::AutoGradMode no_grad(false);
    const auto norms = at::_foreach_norm(list(tensors, count), 2);
    for (size_t i = 0; i < count; i++) out[i] = new at::Tensor(norms[i]);
  });
}
}
