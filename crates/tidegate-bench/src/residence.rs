//! How much memory the program really has: resident bytes, as an operator sees them.
//!
//! Read from `/proc/self/smaps_rollup`, which is exact (`statm` is behind by some hundred
//! kilobytes). Before a reading the C library hands back what was freed, so that a table built on
//! the remains of another one is not taken for free.
#![allow(unsafe_code)]

use std::fs;

/// Resident bytes now; `None` where there is no such file.
#[must_use]
pub fn resident() -> Option<u64> {
    trim();
    let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What `build` made, and by how many bytes the program has grown through it.
pub fn weigh<T>(build: impl FnOnce() -> T) -> (T, Option<u64>) {
    let before = resident();
    let built = build();
    let grown = before.zip(resident()).map(|(before, after)| after.saturating_sub(before));
    (built, grown)
}

#[cfg(target_env = "gnu")]
fn trim() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> core::ffi::c_int;
    }
    // SAFETY: the function of glibc, declared as its manual does; it touches free memory only and
    // may be called at any time from any thread.
    unsafe {
        malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
