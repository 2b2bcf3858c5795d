//! Huge pages for a large flow table, by a global allocator.
//!
//! A lookup in a table of a million flows misses the TLB about as often as the cache. With pages of
//! 2 MiB it doesn't. The engine asks for memory by plain `Vec`s and knows nothing of pages, so the
//! program installs [`HugePages`], and every block from 512 KiB on lies in memory for which the
//! kernel was asked to use huge pages:
//!
//! ```no_run
//! use tidegate_gateway::memory::{HugePages, Prefault, status};
//!
//! #[global_allocator]
//! static MEMORY: HugePages = HugePages;
//!
//! fn main() -> std::io::Result<()> {
//!     let _ahead = Prefault::start(Prefault::RESERVE)?;
//!     // A packet loop.
//!     eprintln!("{}", status());
//!     Ok(())
//! }
//! ```
//!
//! Smaller blocks come from the system's allocator. Up to 8 MiB blocks share arenas (`pool`,
//! `arena`), larger ones are mappings of their own (`pages`) and grow by being moved in the page
//! tables, not by being copied. What huge pages cost is told in [`Prefault`].
//!
//! Where the system has no huge pages nothing fails: the same memory has pages of 4 KiB, and
//! [`status`] says why. Nothing in here panics, for an allocator must not unwind, and nothing
//! allocates while the pool is locked.
//!
//! Unsafe code: an allocator's interface is nothing else.
#![allow(unsafe_code)]

mod arena;
mod pages;
mod pool;
mod prefault;
mod status;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};

pub use self::prefault::Prefault;
pub use self::status::{Mode, Status, status};

/// The global allocator: large blocks on huge pages if the system has them, all others from
/// [`System`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HugePages;

// SAFETY: every block comes from one of three sources, each of which hands out disjoint memory of at
// least the layout's size and alignment. The source follows from the layout, except where the pool
// had no room; whether a block is the pool's follows from its address.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Source::of(layout) {
            // SAFETY: the caller keeps the same contract towards us.
            Source::System => unsafe { System.alloc(layout) },
            Source::Pool => match pool::alloc(layout.size()) {
                Some(block) => block.start.as_ptr(),
                // SAFETY: as above.
                None => unsafe { System.alloc(layout) },
            },
            Source::Mapping => map(layout.size()),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match Source::of(layout) {
            // SAFETY: the caller keeps the same contract towards us.
            Source::System => unsafe { System.alloc_zeroed(layout) },
            Source::Pool => match pool::alloc(layout.size()) {
                Some(block) => block.zeroed(layout.size()),
                // SAFETY: as above.
                None => unsafe { System.alloc_zeroed(layout) },
            },
            Source::Mapping => map(layout.size()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let source = Source::of(layout);
        if source == Source::Mapping {
            // SAFETY: `map` made it, of this size; the caller is done with it.
            unsafe { pages::unmap(block, whole_pages(layout.size())) };
            return;
        }
        // SAFETY: the caller is done with the block, and this was its size.
        if source == Source::System || !unsafe { pool::free(block, layout.size()) } {
            // SAFETY: neither the pool's nor a mapping, so the system made it for this layout.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for `size`, rounded up to the alignment, not to overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (Source::of(layout), Source::of(wanted)) {
            // SAFETY: the caller keeps the same contract towards us.
            (Source::System, Source::System) => unsafe { System.realloc(block, layout, size) },
            // SAFETY: the same.
            (Source::Mapping, Source::Mapping) => unsafe { self.resize(block, layout, wanted) },
            // SAFETY: the same.
            _ => unsafe { self.replace(block, layout, wanted) },
        }
    }
}

impl HugePages {
    /// A mapping of another size, without a copy where the kernel goes along.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::realloc`], and both layouts are those of mappings.
    unsafe fn resize(&self, block: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        let [from, to] = [old, new].map(|layout| whole_pages(layout.size()));
        // SAFETY: `map` made the block of `from` bytes, and the caller won't use the old address.
        match unsafe { pages::resize(block, from, to) } {
            Some(start) => start.as_ptr(),
            // SAFETY: the block is as it was.
            None => unsafe { self.replace(block, old, new) },
        }
    }

    /// Another block with the same contents.
    ///
    /// # Safety
    ///
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn replace(&self, block: *mut u8, old: Layout, new: Layout) -> *mut u8 {
        // SAFETY: the size isn't zero, the caller vouches for that.
        let target = unsafe { self.alloc(new) };
        if !target.is_null() {
            // SAFETY: both are as long as what is copied, and disjoint; nobody uses the old one.
            unsafe {
                ptr::copy_nonoverlapping(block, target, old.size().min(new.size()));
                self.dealloc(block, old);
            }
        }
        target
    }
}

/// Where a block of some layout is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The system's allocator.
    System,
    /// An arena that blocks share; [`Source::System`] if there is no room.
    Pool,
    /// A mapping of its own.
    Mapping,
}

impl Source {
    fn of(layout: Layout) -> Self {
        if layout.size() < LARGE || layout.align() > arena::UNIT {
            Self::System
        } else if layout.size() <= SHARED {
            Self::Pool
        } else {
            Self::Mapping
        }
    }
}

/// Gives the system back what its allocator keeps for later: for a program that needs less from now on than it took
/// to begin.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Fresh memory, which is zero.
fn map(size: usize) -> *mut u8 {
    pages::map(whole_pages(size)).map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// The size of a mapping. A layout's size is at most `isize::MAX`, so this can't overflow.
fn whole_pages(size: usize) -> usize {
    size.next_multiple_of(pages::HUGE)
}

/// From this size on a block is on huge pages.
const LARGE: usize = 512 << 10;

/// Up to this size blocks share arenas: rounded up to whole huge pages they would waste too much.
const SHARED: usize = 8 << 20;

#[cfg(test)]
mod tests;
