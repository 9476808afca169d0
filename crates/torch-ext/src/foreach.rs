//! PyTorch's `torch._foreach_*` operators over lists of tensors, for optimizers without a fused
//! kernel. Those with an underscore work in place, outside of autograd. Nothing is read from the
//! device. An empty list is left as it is.

use std::ffi::{c_char, c_int, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{Pointers, pointers, result};

unsafe extern "C" {
    fn te_foreach_unary(tensors: Pointers, count: usize, op: c_int) -> *mut c_char;
    fn te_foreach_scalar(tensors: Pointers, count: usize, op: c_int, value: f64) -> *mut c_char;
    fn te_foreach_list(
        tensors: Pointers,
        others: Pointers,
        count: usize,
        op: c_int,
        alpha: f64,
    ) -> *mut c_char;
    fn te_foreach_ternary(
        tensors: Pointers,
        first: Pointers,
        second: Pointers,
        count: usize,
        op: c_int,
        value: f64,
    ) -> *mut c_char;
    fn te_foreach_clone(tensors: Pointers, count: usize, out: *mut *mut c_void) -> *mut c_char;
    fn te_foreach_norm(tensors: Pointers, count: usize, out: *mut *mut c_void) -> *mut c_char;
}

/// As in cpp/foreach.cpp.
#[derive(Clone, Copy)]
enum UnaryOp {
    Sqrt = 0,
    Sign = 1,
}

/// As in cpp/foreach.cpp.
#[derive(Clone, Copy)]
enum ScalarOp {
    Add = 0,
    Mul = 1,
    ClampMin = 2,
}

/// As in cpp/foreach.cpp.
#[derive(Clone, Copy)]
enum ListOp {
    Add = 0,
    Mul = 1,
    Div = 2,
}

/// As in cpp/foreach.cpp.
#[derive(Clone, Copy)]
enum TernaryOp {
    Addcmul = 0,
    Addcdiv = 1,
}

fn same_length(count: usize, others: &[Tensor]) -> Result<(), Error> {
    if others.len() == count {
        Ok(())
    } else {
        Err(Error(format!("lists of {count} and {} tensors", others.len())))
    }
}

fn unary(tensors: &[Tensor], op: UnaryOp) -> Result<(), Error> {
    if tensors.is_empty() {
        return Ok(());
    }
    let t = pointers(tensors);
    // SAFETY: as many pointers of live tensors as said.
    result(unsafe { te_foreach_unary(t.as_ptr(), t.len(), op as c_int) })
}

fn with_scalar(tensors: &[Tensor], op: ScalarOp, value: f64) -> Result<(), Error> {
    if tensors.is_empty() {
        return Ok(());
    }
    let t = pointers(tensors);
    // SAFETY: as many pointers of live tensors as said.
    result(unsafe { te_foreach_scalar(t.as_ptr(), t.len(), op as c_int, value) })
}

fn with_list(tensors: &[Tensor], others: &[Tensor], op: ListOp, alpha: f64) -> Result<(), Error> {
    same_length(tensors.len(), others)?;
    if tensors.is_empty() {
        return Ok(());
    }
    let (t, o) = (pointers(tensors), pointers(others));
    // SAFETY: both lists hold as many pointers of live tensors as said.
    result(unsafe { te_foreach_list(t.as_ptr(), o.as_ptr(), t.len(), op as c_int, alpha) })
}

fn ternary(
    tensors: &[Tensor],
    first: &[Tensor],
    second: &[Tensor],
    op: TernaryOp,
    value: f64,
) -> Result<(), Error> {
    same_length(tensors.len(), first)?;
    same_length(tensors.len(), second)?;
    if tensors.is_empty() {
        return Ok(());
    }
    let (t, a, b) = (pointers(tensors), pointers(first), pointers(second));
    // SAFETY: the three lists hold as many pointers of live tensors as said.
    result(unsafe { te_foreach_ternary(t.as_ptr(), a.as_ptr(), b.as_ptr(), t.len(), op as c_int, value) })
}

/// Square roots.
///
/// # Errors
/// libtorch's.
pub fn sqrt_(tensors: &[Tensor]) -> Result<(), Error> {
    unary(tensors, UnaryOp::Sqrt)
}

/// −1, 0 or 1.
///
/// # Errors
/// libtorch's.
pub fn sign_(tensors: &[Tensor]) -> Result<(), Error> {
    unary(tensors, UnaryOp::Sign)
}

/// `tensor + value`
///
/// # Errors
/// libtorch's.
pub fn add_scalar_(tensors: &[Tensor], value: f64) -> Result<(), Error> {
    with_scalar(tensors, ScalarOp::Add, value)
}

/// `tensor · value`
///
/// # Errors
/// libtorch's.
pub fn mul_scalar_(tensors: &[Tensor], value: f64) -> Result<(), Error> {
    with_scalar(tensors, ScalarOp::Mul, value)
}

/// `max(tensor, value)`
///
/// # Errors
/// libtorch's.
pub fn clamp_min_(tensors: &[Tensor], value: f64) -> Result<(), Error> {
    with_scalar(tensors, ScalarOp::ClampMin, value)
}

/// `tensor + alpha · other`
///
/// # Errors
/// Lists of different lengths, tensors that cannot be broadcast.
pub fn add_(tensors: &[Tensor], others: &[Tensor], alpha: f64) -> Result<(), Error> {
    with_list(tensors, others, ListOp::Add, alpha)
}

/// `tensor · other`; an `other` may be a scalar of another floating point dtype.
///
/// # Errors
/// Lists of different lengths, tensors that cannot be broadcast.
pub fn mul_(tensors: &[Tensor], others: &[Tensor]) -> Result<(), Error> {
    with_list(tensors, others, ListOp::Mul, 1.0)
}

/// `tensor / other`; an `other` may be a scalar of another floating point dtype.
///
/// # Errors
/// Lists of different lengths, tensors that cannot be broadcast.
pub fn div_(tensors: &[Tensor], others: &[Tensor]) -> Result<(), Error> {
    with_list(tensors, others, ListOp::Div, 1.0)
}

/// `tensor + value · first · second`
///
/// # Errors
/// Lists of different lengths, tensors that cannot be broadcast.
pub fn addcmul_(tensors: &[Tensor], first: &[Tensor], second: &[Tensor], value: f64) -> Result<(), Error> {
    ternary(tensors, first, second, TernaryOp::Addcmul, value)
}

/// `tensor + value · first / second`
///
/// # Errors
/// Lists of different lengths, tensors that cannot be broadcast.
pub fn addcdiv_(tensors: &[Tensor], first: &[Tensor], second: &[Tensor], value: f64) -> Result<(), Error> {
    ternary(tensors, first, second, TernaryOp::Addcdiv, value)
}

/// Copies in the same memory format, without gradients.
///
/// # Errors
/// No memory.
pub fn clone(tensors: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    let (t, mut out) = (pointers(tensors), vec![std::ptr::null_mut(); tensors.len()]);
    // SAFETY: as many pointers of live tensors as said, and room for as many new ones.
    result(unsafe { te_foreach_clone(t.as_ptr(), t.len(), out.as_mut_ptr()) })?;
    // SAFETY: on success each is a tensor of ours.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) }).collect())
}

/// The 2-norm of each tensor, a scalar of its dtype.
///
/// # Errors
/// libtorch's.
pub fn norm(tensors: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    if tensors.is_empty() {
        return Ok(Vec::new());
    }
    let (t, mut out) = (pointers(tensors), vec![std::ptr::null_mut(); tensors.len()]);
    // SAFETY: as many pointers of live tensors as said, and room for as many new ones.
    result(unsafe { te_foreach_norm(t.as_ptr(), t.len(), out.as_mut_ptr()) })?;
    // SAFETY: on success each is a tensor of ours.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor.cast()) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn full(value: f64) -> Tensor {
        Tensor::full([2, 2], value, (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    fn values(tensors: &[Tensor]) -> Vec<f64> {
        tensors.iter().map(|tensor| tensor.double_value(&[1, 1])).collect()
    }

    #[test]
    fn operators_work_in_place_on_leaves_of_autograd() {
        let (tensors, others) = ([full(4.0), full(9.0)], [full(2.0), full(-3.0)]);
        let copies = clone(&tensors).unwrap();
        sqrt_(&tensors).unwrap();
        assert_eq!(values(&tensors), [2.0, 3.0]);
        assert_eq!(values(&copies), [4.0, 9.0]);
        add_scalar_(&tensors, 1.0).unwrap();
        mul_scalar_(&tensors, 2.0).unwrap();
        assert_eq!(values(&tensors), [6.0, 8.0]);
        add_(&tensors, &others, 0.5).unwrap();
        assert_eq!(values(&tensors), [7.0, 6.5]);
        mul_(&tensors, &others).unwrap();
        div_(&tensors, &copies).unwrap();
        assert_eq!(values(&tensors), [3.5, f64::from(-19.5f32 / 9.0)]);
        sign_(&tensors).unwrap();
        assert_eq!(values(&tensors), [1.0, -1.0]);
        addcmul_(&tensors, &others, &others, 2.0).unwrap();
        assert_eq!(values(&tensors), [9.0, 17.0]);
        addcdiv_(&tensors, &copies, &others, -1.0).unwrap();
        assert_eq!(values(&tensors), [7.0, 20.0]);
        clamp_min_(&tensors, 8.0).unwrap();
        assert_eq!(values(&tensors), [8.0, 20.0]);
        let norms: Vec<f64> = norm(&tensors).unwrap().iter().map(|norm| norm.double_value(&[])).collect();
        assert_eq!(norms, [16.0, 40.0]);
    }

    #[test]
    fn a_factor_may_be_a_scalar_of_another_dtype() {
        let tensors = [full(3.0)];
        mul_(&tensors, &[Tensor::from(0.5f64)]).unwrap();
        div_(&tensors, &[Tensor::from(2.0f64)]).unwrap();
        assert_eq!((values(&tensors), tensors[0].kind()), (vec![0.75], Kind::Float));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert!(add_(&[full(1.0)], &[], 1.0).is_err());
        assert!(addcmul_(&[full(1.0)], &[full(1.0)], &[], 1.0).is_err());
        assert!(clone(&[]).unwrap().is_empty() && norm(&[]).unwrap().is_empty());
        sqrt_(&[]).unwrap();
    }
}
