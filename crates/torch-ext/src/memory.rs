//! Settings of the process that programs make first thing in `main`.

/// Lets the C library keep freed memory for the next allocation, instead of handing it back to the
/// kernel: a training step frees and takes the same blocks again and again, and each page that
/// comes anew from the kernel is cleared first. That is some 5 % of a convolutional network's step
/// on a CPU, for up to 10 % more memory at the peak. Results are the same to the bit.
///
/// It holds for the whole process, so it is for programs to call, first thing in `main`. Without
/// effect where the C library is not glibc, and where the environment has settings of the user's
/// own (`MALLOC_…`, `GLIBC_TUNABLES`).
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let of_user =
            ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"];
        if of_user.iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        // SAFETY: two numbers go to the allocator, under its own lock. If one is refused,
        // nothing changes.
        unsafe {
            // The end of the heap stays, however much of it is free.
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            // Blocks up to 2 GiB come from the heap rather than from mappings of their own, which
            // end with them.
            libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        }
    }
}

/// Hands freed memory back to the kernel after all, once: for the end of something large that will
/// not come again. Without effect where the C library is not glibc.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a number, and the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Sets `CUBLAS_WORKSPACE_CONFIG=:4096:8`, unless the user has set it: without it, matrix products
/// on CUDA are not deterministic, and libtorch refuses them after
/// [`set_deterministic`](crate::set_deterministic). cuBLAS reads it when it is first used.
///
/// It changes the environment, which other threads may be reading: it is for programs to call,
/// first thing in `main`. Whether the variable is set now; in a process with other threads nothing
/// is changed.
pub fn set_cublas_workspace() -> bool {
    const NAME: &str = "CUBLAS_WORKSPACE_CONFIG";
    if std::env::var_os(NAME).is_some() {
        return true;
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return false;
    }
    // SAFETY: there is no other thread.
    unsafe { std::env::set_var(NAME, ":4096:8") };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_left_alone_where_there_are_other_threads() {
        let before = std::env::var_os("CUBLAS_WORKSPACE_CONFIG");
        // The thread that runs the tests is another one.
        assert_eq!(set_cublas_workspace(), before.is_some());
        assert_eq!(std::env::var_os("CUBLAS_WORKSPACE_CONFIG"), before);
    }
}
