//! The one way to ask the processor for a cache line ahead of its use.
//!
//! Only the references need it: what they measure is how fast memory can be when somebody asks
//! early enough. Where the processor has no such instruction, nothing happens.
#![allow(unsafe_code)]

/// Which cache a line is to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The first level: nearest, but it can wait for few lines at a time.
    L1,
    /// The second level, which can wait for more.
    L2,
}

/// Asks for the line that `item` lies in. A hint: nothing is read as far as the program can see.
#[inline(always)]
pub fn prefetch<T>(item: &T, cache: Cache) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let address = core::ptr::from_ref(item).cast::<i8>();
        // SAFETY: SSE is part of every x86-64, and a prefetch neither reads nor faults; the address
        // comes from a reference all the same.
        unsafe {
            match cache {
                Cache::L1 => _mm_prefetch::<_MM_HINT_T0>(address),
                Cache::L2 => _mm_prefetch::<_MM_HINT_T1>(address),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (item, cache);
}
