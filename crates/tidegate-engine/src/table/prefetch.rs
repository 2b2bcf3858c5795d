//! Asking the processor for memory ahead of its use.
//!
//! A hint, and the only place of this crate that needs `unsafe`: the intrinsic takes a raw pointer.
//! Lines go to the second level of the cache, which has room for many more misses at once than the
//! first; see `docs/bench.md`. To the first go those whose turn is soon. On other processors than x86-64 nothing is asked for.
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

/// Asks for the two cache lines behind the one that a value begins in, whatever they hold: of an array that is in
/// pieces, now and then the wrong ones.
#[inline(always)]
pub(super) fn behind<T>(value: &T) {
    let first: *const u8 = core::ptr::from_ref(value).cast();
    ask::<SECOND>(first.wrapping_add(LINE));
    ask::<SECOND>(first.wrapping_add(2 * LINE));
}

/// Asks for the two cache lines behind those that [`behind`] asks for.
#[inline(always)]
pub(super) fn further_behind<T>(value: &T) {
    let first: *const u8 = core::ptr::from_ref(value).cast();
    ask::<SECOND>(first.wrapping_add(3 * LINE));
    ask::<SECOND>(first.wrapping_add(4 * LINE));
}

/// Asks for the cache lines of a value, which is no longer than two of them; where it lies.
#[inline(always)]
pub(super) fn lines<T>(value: &T) -> Spot {
    let spot = spot(value);
    spot.ask::<T>();
    spot
}

/// Asks for the cache lines of a value that is about to be written, as [`lines`] does, but to have them in the first
/// level.
#[inline(always)]
pub(super) fn lines_near<T>(value: &T) {
    const { assert!(size_of::<T>() > LINE && size_of::<T>() <= 2 * LINE) };
    let first: *const u8 = core::ptr::from_ref(value).cast();
    ask::<FIRST>(first);
    ask::<FIRST>(first.wrapping_add(LINE));
    if size_of::<T>() > LINE + GRAIN {
        ask::<FIRST>(first.wrapping_add(size_of::<T>() - 1));
    }
}

/// Asks for the cache line that a value begins in, which is on its way or in the second level already, in the first.
#[inline(always)]
pub(super) fn near<T>(value: &T) {
    ask::<FIRST>(core::ptr::from_ref(value).cast());
}

/// Where a value lies.
#[inline(always)]
pub(super) fn spot<T>(value: &T) -> Spot {
    Spot(core::ptr::from_ref(value).cast())
}

/// Asks for the cache lines of the first `len` bytes of a value, of which a line could hold as many.
#[inline(always)]
pub(super) fn head<T>(value: &T, len: usize) {
    let first: *const u8 = core::ptr::from_ref(value).cast();
    ask::<SECOND>(first);
    ask::<SECOND>(first.wrapping_add(len - 1));
}

/// Where something lies that is asked for: an address which is never read, for what was there may be
/// elsewhere by now.
#[derive(Clone, Copy)]
pub(crate) struct Spot(*const u8);

impl Spot {
    /// Where nothing is.
    pub(crate) const NOWHERE: Self = Self((&raw const NOTHING).cast());

    /// Asks for the cache lines of a `T` that lies here.
    #[inline(always)]
    pub(super) fn ask<T>(self) {
        const { assert!(size_of::<T>() > 1 && size_of::<T>() <= 2 * LINE) };
        ask::<SECOND>(self.0);
        if size_of::<T>() > LINE + GRAIN {
            ask::<SECOND>(self.0.wrapping_add(LINE));
        }
        ask::<SECOND>(self.0.wrapping_add(size_of::<T>() - 1));
    }

    /// Asks for the first two cache lines, which are on their way or in the second level already, in the
    /// first.
    #[inline(always)]
    pub(crate) fn bring(self) {
        ask::<FIRST>(self.0);
        ask::<FIRST>(self.0.wrapping_add(LINE));
    }
}

/// What is asked for where there is nothing to ask for. An address without memory would be looked up each time.
static NOTHING: [u8; 2 * LINE] = [0; 2 * LINE];

/// Bytes of a cache line.
const LINE: usize = 64;
/// What is no longer than this and a line together lies in two lines, as it begins at a multiple of this.
const GRAIN: usize = 16;

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
