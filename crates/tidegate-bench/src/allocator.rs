//! The allocator of both programs: the one below, and a count of how often it is asked.
//!
//! The count is what a row's `allocs` comes from. It says nothing about memory: what is allocated
//! need not be touched, so bytes per flow are measured elsewhere ([`crate::residence`]).
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where memory comes from. This line is the one to change for another allocator.
const BELOW: tidegate_gateway::memory::HugePages = tidegate_gateway::memory::HugePages;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Counts what passes through; a program makes it its global allocator.
pub struct Counting;

/// How many blocks were asked for since the program started, enlargements included.
#[must_use]
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

fn count() {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call is handed on unchanged to an allocator that keeps the contract; the counter
// does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the allocator below asks for.
        unsafe { BELOW.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { BELOW.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`; the block came from the allocator below.
        unsafe { BELOW.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from the allocator below, with this layout.
        unsafe { BELOW.dealloc(block, layout) }
    }
}
