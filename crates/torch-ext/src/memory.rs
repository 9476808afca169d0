//! What the C library's allocator does with memory that libtorch gives back.

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
        // SAFETY: two numbers go to the allocator, under its own lock. Were one refused, it would
        // go on as it was.
        unsafe {
            // The end of the heap stays, however much of it is free.
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            // Blocks up to 2 GiB come from the heap rather than from mappings of their own, which
            // end with them.
            libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        }
    }
}
