//! Process groups: several processes, on one machine or many, that add up tensors together.
//!
//! In: the address of a store, a rank, tensors. Out: their sums over all ranks. It is PyTorch's own
//! c10d, so a program can be one of those that `torchrun` starts. Every rank has to make the same
//! calls in the same order; one that has ended makes the others' calls fail.

use std::ffi::{CString, c_char, c_void};
use std::time::Duration;

use tch::Tensor;

use crate::shim::{Pointers, pointers, result};
use crate::{BatchNorm, Error};

unsafe extern "C" {
    fn te_store_tcp(
        host: *const c_char,
        port: *mut u16,
        is_server: bool,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn te_store_prefix(store: *mut c_void, prefix: *const c_char, out: *mut *mut c_void) -> *mut c_char;
    fn te_store_set(store: *mut c_void, key: *const c_char, bytes: *const u8, count: usize) -> *mut c_char;
    fn te_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout_ms: i64,
        take: extern "C" fn(*mut c_void, *const u8, usize),
        into: *mut c_void,
    ) -> *mut c_char;
    fn te_store_has(store: *mut c_void, key: *const c_char, out: *mut bool) -> *mut c_char;
    fn te_store_free(store: *mut c_void);
    fn te_group(
        store: *mut c_void,
        rank: i32,
        size: i32,
        timeout_ms: i64,
        with_nccl: bool,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn te_group_free(group: *mut c_void);
    fn te_all_reduce(group: *mut c_void, tensor: *const c_void, op: u8) -> *mut c_char;
    fn te_broadcast(group: *mut c_void, tensors: Pointers, count: usize, root: i32) -> *mut c_char;
    fn te_all_gather(
        group: *mut c_void,
        tensor: *const c_void,
        outputs: Pointers,
        count: usize,
    ) -> *mut c_char;
    fn te_monitored_barrier(group: *mut c_void, timeout_ms: i64) -> *mut c_char;
    fn te_reducer(
        group: *mut c_void,
        parameters: Pointers,
        count: usize,
        bucket_bytes: i64,
        find_unused: bool,
        bf16: bool,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn te_reducer_prepare(reducer: *mut c_void, output: *const c_void) -> *mut c_char;
    fn te_reducer_free(reducer: *mut c_void);
    fn te_sync_batch_norm(
        group: *const c_void,
        images: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        running_mean: *const c_void,
        running_var: *const c_void,
        momentum: f64,
        eps: f64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
}

fn milliseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error(format!("`{}` has a zero byte", text.escape_debug())))
}

/// Keys and values that all ranks see: how they find each other.
#[derive(Debug)]
pub struct Store(*mut c_void);

// SAFETY: c10d's stores take turns on a lock of their own.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// PyTorch's `TCPStore`: the server of one, or a client. A client tries until `timeout` to reach
    /// the server. Also returns the port: any free one for a server on port 0.
    ///
    /// # Errors
    /// The port is taken, the host has no such name, or nobody answers.
    pub fn tcp(host: &str, port: u16, is_server: bool, timeout: Duration) -> Result<(Store, u16), Error> {
        let host = text(host)?;
        let (mut port, mut out) = (port, std::ptr::null_mut());
        // SAFETY: a string that lives, and two places that do; on success `out` is a store of ours.
        result(unsafe {
            te_store_tcp(host.as_ptr(), &raw mut port, is_server, milliseconds(timeout), &raw mut out)
        })?;
        Ok((Store(out), port))
    }

    /// The same store, with `prefix/` before every key.
    ///
    /// # Errors
    /// No memory.
    pub fn prefixed(&self, prefix: &str) -> Result<Store, Error> {
        let (prefix, mut out) = (text(prefix)?, std::ptr::null_mut());
        // SAFETY: the store lives; on success `out` is a store of ours.
        result(unsafe { te_store_prefix(self.0, prefix.as_ptr(), &raw mut out) })?;
        Ok(Store(out))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// The server is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let key = text(key)?;
        // SAFETY: as many bytes as said.
        result(unsafe { te_store_set(self.0, key.as_ptr(), value.as_ptr(), value.len()) })
    }

    /// The value of a key, once some rank has set it.
    ///
    /// # Errors
    /// Nobody has until `timeout`, or the server is gone.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>, Error> {
        extern "C" fn take(into: *mut c_void, bytes: *const u8, count: usize) {
            // SAFETY: `into` is the vector below, and as many bytes lie there as said.
            unsafe {
                let into = &mut *into.cast::<Vec<u8>>();
                if count > 0 {
                    into.extend_from_slice(std::slice::from_raw_parts(bytes, count));
                }
            }
        }
        let (key, mut value) = (text(key)?, Vec::new());
        let into = (&raw mut value).cast();
        // SAFETY: `take` is called with `into` before this returns, and not later.
        result(unsafe { te_store_get(self.0, key.as_ptr(), milliseconds(timeout), take, into) })?;
        Ok(value)
    }

    /// Whether the key has a value; does not wait.
    ///
    /// # Errors
    /// The server is gone.
    pub fn has(&self, key: &str) -> Result<bool, Error> {
        let (key, mut found) = (text(key)?, false);
        // SAFETY: the place lives.
        result(unsafe { te_store_has(self.0, key.as_ptr(), &raw mut found) })?;
        Ok(found)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: it was given to us to own; whoever else needs the store shares it.
        unsafe { te_store_free(self.0) };
    }
}

/// How tensors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The largest of each element.
    Max,
}

/// The ranks of one training.
#[derive(Debug)]
pub struct ProcessGroup {
    group: *mut c_void,
    rank: usize,
    size: usize,
}

// SAFETY: c10d's groups are used from the threads of libtorch's backward pass as well, and lock what
// these share. In which order the ranks make their calls is up to the caller.
unsafe impl Send for ProcessGroup {}
// SAFETY: as above.
unsafe impl Sync for ProcessGroup {}

impl ProcessGroup {
    /// Joins the others, as rank `rank` of `size`; returns once all are there. Tensors on the CPU go
    /// by gloo, those on a GPU by NCCL if `with_nccl`, for which CUDA must be loaded and its device
    /// chosen. A collective call fails after `timeout`.
    ///
    /// # Errors
    /// Somebody does not come, or no connection can be made.
    pub fn join(
        store: &Store,
        rank: usize,
        size: usize,
        timeout: Duration,
        with_nccl: bool,
    ) -> Result<ProcessGroup, Error> {
        let number = |n: usize| i32::try_from(n).map_err(|_| Error(format!("{n} ranks are too many")));
        let (as_rank, of_size, mut group) = (number(rank)?, number(size)?, std::ptr::null_mut());
        // SAFETY: the store lives; on success `group` is a group of ours.
        result(unsafe {
            te_group(store.0, as_rank, of_size, milliseconds(timeout), with_nccl, &raw mut group)
        })?;
        Ok(ProcessGroup { group, rank, size })
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Overwrites `tensor`, which is as large on every rank, with what becomes of all of them. The
    /// sums of the same group are added in the same order each time.
    ///
    /// # Errors
    /// A rank has ended, or does not call it until the timeout.
    pub fn all_reduce(&self, tensor: &Tensor, op: ReduceOp) -> Result<(), Error> {
        // SAFETY: group and tensor live; it waits until the tensor is no longer used.
        result(unsafe { te_all_reduce(self.group, tensor.as_ptr().cast(), op as u8) })
    }

    /// Overwrites `tensors` with those of rank `root`.
    ///
    /// # Errors
    /// As for [`ProcessGroup::all_reduce`].
    pub fn broadcast(&self, tensors: &[Tensor], root: usize) -> Result<(), Error> {
        // Of one dtype and device each time.
        let kinds: Vec<_> = tensors.iter().map(|tensor| (tensor.kind(), tensor.device())).collect();
        let mut done = vec![false; tensors.len()];
        for first in 0..tensors.len() {
            if done[first] {
                continue;
            }
            let mut alike = Vec::new();
            for place in (first..tensors.len()).filter(|&place| kinds[place] == kinds[first]) {
                done[place] = true;
                alike.push(tensors[place].shallow_clone());
            }
            let pointers = pointers(&alike);
            // SAFETY: as many live tensors as said.
            result(unsafe { te_broadcast(self.group, pointers.as_ptr(), pointers.len(), root as i32) })?;
        }
        Ok(())
    }

    /// `tensor`, which is as large on every rank, of each of them, in their order.
    ///
    /// # Errors
    /// As for [`ProcessGroup::all_reduce`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, Error> {
        let tensor = tensor.f_contiguous()?;
        let outputs = (0..self.size).map(|_| tensor.f_empty_like()).collect::<Result<Vec<_>, _>>()?;
        let places = pointers(&outputs);
        // SAFETY: as many live tensors as said.
        result(unsafe { te_all_gather(self.group, tensor.as_ptr().cast(), places.as_ptr(), places.len()) })?;
        Ok(outputs)
    }

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    /// Some have not until `timeout`: the message, of rank 0, names them.
    pub fn barrier(&self, timeout: Duration) -> Result<(), Error> {
        // SAFETY: the group lives.
        result(unsafe { te_monitored_barrier(self.group, milliseconds(timeout)) })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: it was given to us to own; a reducer keeps a share of its own.
        unsafe { te_group_free(self.group) };
    }
}

impl ProcessGroup {
    /// PyTorch's `SyncBatchNorm` in training: the batch norm of `images` `[N, C, H, W]` with mean and
    /// variance over those of all ranks, which are as many at least as one. Gradients are recorded; all
    /// ranks run their backward passes while the group lives.
    ///
    /// # Panics
    /// As tch's operators do: a rank has ended, shapes do not fit.
    pub fn batch_norm(&self, images: &Tensor, norm: &BatchNorm<'_>) -> Tensor {
        let mut out = std::ptr::null_mut();
        let BatchNorm { weight, bias, running_mean, running_var, momentum, eps } = *norm;
        let as_pointer = |tensor: &Tensor| tensor.as_ptr().cast::<c_void>();
        // SAFETY: tensors and group live, the latter by the caller's word until backward is done; on
        // success `out` is a tensor of ours.
        let made = result(unsafe {
            te_sync_batch_norm(
                self.group,
                as_pointer(images),
                as_pointer(weight),
                as_pointer(bias),
                as_pointer(running_mean),
                as_pointer(running_var),
                momentum,
                eps,
                &raw mut out,
            )
        });
        made.map_err(|error| tch::TchError::Torch(error.0)).unwrap();
        // SAFETY: as above.
        unsafe { Tensor::from_ptr(out.cast()) }
    }
}

/// How a [`Reducer`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReducerOptions {
    /// Gradients cross the network in parcels of about so many bytes.
    pub bucket_bytes: usize,
    /// Whether a step may leave parameters out; it costs a walk through the graph.
    pub find_unused: bool,
    /// Whether gradients cross the network as bf16.
    pub bf16: bool,
}

/// PyTorch's reducer: gradients become the means over all ranks while backward goes on.
#[derive(Debug)]
pub struct Reducer(*mut c_void);

impl Reducer {
    /// For `parameters` that need gradients, of the same shapes on every rank. While it lives, every
    /// backward pass after [`Reducer::prepare`] is collective.
    ///
    /// # Errors
    /// Shapes or dtypes differ between ranks, or as for [`ProcessGroup::all_reduce`].
    pub fn new(
        group: &ProcessGroup,
        parameters: &[Tensor],
        options: ReducerOptions,
    ) -> Result<Reducer, Error> {
        let (parameters, mut out) = (pointers(parameters), std::ptr::null_mut());
        let ReducerOptions { bucket_bytes, find_unused, bf16 } = options;
        let bytes = i64::try_from(bucket_bytes).unwrap_or(i64::MAX);
        // SAFETY: as many live tensors as said; on success `out` is a reducer of ours.
        result(unsafe {
            te_reducer(
                group.group,
                parameters.as_ptr(),
                parameters.len(),
                bytes,
                find_unused,
                bf16,
                &raw mut out,
            )
        })?;
        Ok(Reducer(out))
    }

    /// Has the next backward pass, which begins at `loss`, reduce the gradients; those of passes
    /// since the last reduction are in them.
    ///
    /// # Errors
    /// The backward pass before is not over.
    pub fn prepare(&self, loss: &Tensor) -> Result<(), Error> {
        // SAFETY: reducer and tensor live.
        result(unsafe { te_reducer_prepare(self.0, loss.as_ptr().cast()) })
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: it was given to us to own.
        unsafe { te_reducer_free(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// What `body` gives in each of `size` threads, which are ranks.
    fn ranks<T: Send>(size: usize, body: impl Fn(ProcessGroup) -> T + Sync) -> Vec<T> {
        let (server, port) = Store::tcp("127.0.0.1", 0, true, TIMEOUT).unwrap();
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|rank| {
                    let body = &body;
                    scope.spawn(move || {
                        let (store, _) = Store::tcp("127.0.0.1", port, false, TIMEOUT).unwrap();
                        body(ProcessGroup::join(&store, rank, size, TIMEOUT, false).unwrap())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        drop(server);
        found
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn a_store_keeps_what_it_is_given_and_waits_no_longer_than_told() {
        let (store, port) = Store::tcp("127.0.0.1", 0, true, TIMEOUT).unwrap();
        assert_ne!(port, 0);
        let inner = store.prefixed("run").unwrap();
        inner.set("key", b"value").unwrap();
        assert_eq!(store.get("run/key", TIMEOUT).unwrap(), b"value");
        assert!(inner.has("key").unwrap() && !inner.has("other").unwrap());
        assert!(inner.get("other", Duration::from_millis(50)).is_err());
        assert!(inner.set("a\0b", b"").is_err());
        let taken = Store::tcp("127.0.0.1", port, true, TIMEOUT).unwrap_err().to_string();
        assert!(taken.contains("address already in use") || taken.contains("EADDRINUSE"), "{taken}");
    }

    #[test]
    fn all_ranks_have_the_sum_the_largest_the_first_ones_and_everybodys() {
        let found = ranks(3, |group| {
            let own = |factor: f64| Tensor::from_slice(&[1.0, 10.0]) * (group.rank() as f64 + 1.0) * factor;
            let (sum, largest) = (own(1.0), own(-1.0));
            group.all_reduce(&sum, ReduceOp::Sum).unwrap();
            group.all_reduce(&largest, ReduceOp::Max).unwrap();
            let mixed = [own(1.0), own(1.0).to_kind(Kind::Int64), own(2.0)];
            group.broadcast(&mixed, 1).unwrap();
            let gathered = group.all_gather(&own(1.0)).unwrap();
            group.barrier(TIMEOUT).unwrap();
            let all: Vec<Vec<f64>> =
                [sum, largest].iter().chain(&mixed).chain(&gathered).map(values).collect();
            all
        });
        let one = |a: f64| vec![a, 10.0 * a];
        let expected = [6.0, -1.0, 2.0, 2.0, 4.0, 1.0, 2.0, 3.0].map(one);
        for found in found {
            assert_eq!(found, expected);
        }
    }

    /// Gradients of `Σ w·x` and of a second parameter, by rank, after two passes of which the second
    /// reduces.
    fn reduced(find_unused: bool, bf16: bool) -> Vec<[Vec<f64>; 2]> {
        ranks(2, |group| {
            let ones = || Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let parameters = [ones(), ones()];
            let options = ReducerOptions { bucket_bytes: 1 << 20, find_unused, bf16 };
            let reducer = Reducer::new(&group, &parameters, options).unwrap();
            let x = group.rank() as f64 + 1.0;
            for is_last in [false, true] {
                let mut loss = (&parameters[0] * x).sum(Kind::Float);
                if !find_unused {
                    loss += (&parameters[1] * (2.0 * x)).sum(Kind::Float);
                }
                if is_last {
                    reducer.prepare(&loss).unwrap();
                }
                loss.backward();
            }
            parameters.map(|parameter| {
                let grad = parameter.grad();
                if grad.defined() { values(&grad) } else { Vec::new() }
            })
        })
    }

    #[test]
    fn gradients_are_means_over_ranks_of_what_each_has_accumulated() {
        for bf16 in [false, true] {
            for grads in reduced(false, bf16) {
                assert_eq!(grads, [vec![3.0; 3], vec![6.0; 3]]);
            }
        }
        for grads in reduced(true, false) {
            assert_eq!(grads[0], vec![3.0; 3]);
            assert!(grads[1].iter().all(|&g| g == 0.0), "{:?}", grads[1]);
        }
    }

    /// Output, gradient of the images, and running statistics of a batch norm over all images, and of
    /// one of each rank over its own, which are not as many.
    #[test]
    fn a_batch_norm_over_all_ranks_is_that_of_all_images() {
        tch::manual_seed(1);
        let float = (Kind::Float, Device::Cpu);
        let all = Tensor::randn([5, 3, 4, 2], float) * 2.0 + 1.0;
        let factor = Tensor::randn([5, 3, 4, 2], float);
        let of = |tensor: &Tensor| values(&tensor.flatten(0, -1));
        let (weight, bias) = (Tensor::from_slice(&[1.5f32, -0.5, 2.0]), Tensor::zeros([3], float));
        let state = || (Tensor::zeros([3], float), Tensor::ones([3], float));
        let (mean, var) = state();
        let images = all.copy().set_requires_grad(true);
        let whole = weight.copy().set_requires_grad(true);
        let output =
            images.batch_norm(Some(&whole), Some(&bias), Some(&mean), Some(&var), true, 0.1, 1e-5, false);
        (&output * &factor).sum(Kind::Float).backward();
        let wanted = [&output.detach(), &images.grad()].map(of);
        let statistics = [&mean, &var].map(of);
        let d_weight = of(&whole.grad());

        // Tensors stay in their thread.
        let shared = [&all, &factor, &weight].map(of);
        let found = ranks(2, |group| {
            let (first, count) = if group.rank() == 0 { (0, 2) } else { (2, 3) };
            let load = |place: usize, shape: [i64; 4]| {
                Tensor::from_slice(&shared[place]).to_kind(Kind::Float).view(shape)
            };
            let own = |place: usize| load(place, [5, 3, 4, 2]).narrow(0, first, count).copy();
            let (mean, var) = state();
            let weight = Tensor::from_slice(&shared[2]).to_kind(Kind::Float).set_requires_grad(true);
            let bias = Tensor::zeros([3], float).set_requires_grad(true);
            let norm = BatchNorm {
                weight: &weight,
                bias: &bias,
                running_mean: &mean,
                running_var: &var,
                momentum: 0.1,
                eps: 1e-5,
            };
            let images = own(0).set_requires_grad(true);
            let output = group.batch_norm(&images, &norm);
            (&output * own(1)).sum(Kind::Float).backward();
            [&output.detach(), &images.grad(), &mean, &var, &weight.grad()].map(of)
        });
        let close = |found: &[f64], wanted: &[f64], what: &str| {
            assert_eq!(found.len(), wanted.len(), "{what}");
            for (found, wanted) in found.iter().zip(wanted) {
                // Rounding of f32 over sums of 40 numbers of about 3.
                assert!((found - wanted).abs() < 2e-5, "{what}: {found} {wanted}");
            }
        };
        for (place, what) in [(0, "output"), (1, "gradient")] {
            let both = [found[0][place].as_slice(), found[1][place].as_slice()].concat();
            close(&both, &wanted[place], what);
        }
        for rank in &found {
            close(&rank[2], &statistics[0], "mean");
            close(&rank[3], &statistics[1], "variance");
        }
        let sum: Vec<f64> = found[0][4].iter().zip(&found[1][4]).map(|(a, b)| a + b).collect();
        close(&sum, &d_weight, "gradient of the weight");
    }

    #[test]
    fn a_rank_that_has_ended_is_an_error_of_the_others() {
        let found = ranks(2, |group| {
            // Both are there.
            group.all_reduce(&Tensor::from_slice(&[1.0]), ReduceOp::Sum).unwrap();
            if group.rank() == 1 {
                return None;
            }
            let error = group.all_reduce(&Tensor::from_slice(&[1.0]), ReduceOp::Sum).unwrap_err();
            Some(error.to_string())
        });
        assert!(found[0].is_some());
    }
}
