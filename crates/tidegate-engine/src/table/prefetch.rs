//! Asking the processor for memory ahead of its use.
//!
//! A hint, and the only place of this crate that needs `unsafe`: the intrinsic takes a raw pointer.
//! Lines go to the second level of the cache, which has room for many more misses at once than the
//! first; see `docs/bench.md`. On other processors than x86-64 nothing is asked for.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{_MM_HINT_T0 as FIRST, _MM_HINT_T1 as SECOND};

#[cfg(not(target_arch = "x86_64"))]
const FIRST: i32 = 0;
#[cfg(not(target_arch = "x86_64"))]
const SECOND: i32 = 1;

/// Asks for the cache line that a value begins in.
#[inline(always)]
pub(super) fn line<T>(value: &T) {
    ask::<SECOND>(core::ptr::from_ref(value).cast());
}

/// Asks for the first and the last cache line of a value, which are all there are if it is not
/// longer than 65 bytes, or begins early enough in the first.
#[inline(always)]
pub(super) fn lines<T>(value: &T) {
    ask_for_both::<SECOND, T>(value);
}

/// Asks for the same lines, which are on their way or in the second level already, in the first.
#[inline(always)]
pub(super) fn bring<T>(value: &T) {
    ask_for_both::<FIRST, T>(value);
}

#[inline(always)]
fn ask_for_both<const LEVEL: i32, T>(value: &T) {
    let first: *const u8 = core::ptr::from_ref(value).cast();
    ask::<LEVEL>(first);
    ask::<LEVEL>(first.wrapping_add(size_of::<T>() - 1));
}

#[inline(always)]
fn ask<const LEVEL: i32>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of every x86-64 processor, and a prefetch reads nothing: it never faults,
    // whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<LEVEL>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
