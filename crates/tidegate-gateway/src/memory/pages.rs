//! Memory as the kernel gives it: anonymous, private, aligned to huge pages and advised to use them.
//!
//! Lengths are multiples of [`HUGE`] and addresses are aligned to it. Fresh memory is zero and costs
//! nothing until it is touched. A refused advice is remembered for the operator and otherwise
//! without effect.
//!
//! Unsafe code: these are the system calls that make and take memory.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::mm::{self, Advice, MapFlags, MremapFlags, ProtFlags};

/// Bytes in a huge page.
pub(super) const HUGE: usize = 2 << 20;

/// Maps fresh memory.
pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
    let wide = len.checked_add(HUGE)?;
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: at an address of the kernel's choice a new mapping replaces none.
    let found = unsafe { mm::mmap_anonymous(ptr::null_mut(), wide, rights, MapFlags::PRIVATE) };
    let found = found.ok()?.cast::<u8>();
    let before = found.addr().next_multiple_of(HUGE) - found.addr();
    // SAFETY: `before` is less than what was mapped beyond `len`.
    let start = unsafe { found.add(before) };
    // SAFETY: both ends belong to the new mapping, and nobody has seen them.
    unsafe {
        unmap(found, before);
        unmap(start.add(len), HUGE - before);
    }
    advise(start, len);
    NonNull::new(start)
}

/// Asks for huge pages.
fn advise(start: *mut u8, len: usize) {
    // SAFETY: the advice changes how memory is backed, not what it holds.
    let done = unsafe { mm::madvise(start.cast(), len, Advice::LinuxHugepage) };
    REFUSED.store(done.err().map_or(0, rustix::io::Errno::raw_os_error), Ordering::Relaxed);
}

/// Why the last advice was refused, if it was.
pub(super) fn refusal() -> Option<io::Error> {
    let errno = REFUSED.load(Ordering::Relaxed);
    (errno != 0).then(|| io::Error::from_raw_os_error(errno))
}

/// Ends a mapping, or a part of it. An empty one is left alone.
///
/// # Safety
///
/// [`map`] made it, and nobody uses it any more.
pub(super) unsafe fn unmap(start: *mut u8, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: the caller vouches for it. A process that has too many mappings can't cut one in two,
    // but it can return the memory.
    unsafe {
        if mm::munmap(start.cast::<c_void>(), len).is_err() {
            discard(start, len);
        }
    }
}

/// Returns the memory and keeps the addresses, which read as zero from now on. Whether that worked;
/// it doesn't if the memory is locked.
///
/// # Safety
///
/// [`map`] made it, and nobody cares what it holds.
pub(super) unsafe fn discard(start: *mut u8, len: usize) -> bool {
    // SAFETY: the caller vouches for it.
    unsafe { mm::madvise(start.cast(), len, Advice::LinuxDontNeed) }.is_ok()
}

/// Cuts a mapping, or moves it to a place where it can be longer. `None` if that can't be done: the
/// mapping is as it was.
///
/// The new place is mapped first, to be aligned: the kernel then moves whole huge pages.
///
/// # Safety
///
/// [`map`] made it, of `old` bytes, and nobody uses the old address afterwards.
pub(super) unsafe fn resize(start: *mut u8, old: usize, new: usize) -> Option<NonNull<u8>> {
    if new <= old {
        // SAFETY: the end belongs to the mapping.
        unsafe { unmap(start.add(new), old - new) };
        return NonNull::new(start);
    }
    let place = map(new)?.as_ptr().cast();
    // SAFETY: what is replaced at `place` is ours and empty. If this fails nobody knows whether
    // something is mapped there, so it isn't unmapped: only addresses are lost.
    let moved =
        unsafe { mm::mremap_fixed(start.cast(), old, new, MremapFlags::MAYMOVE, place) }.ok()?;
    NonNull::new(moved.cast())
}

/// Faults in one huge page by writing to it.
///
/// The kernel takes a lock of the mapping only, so other threads may map and unmap meanwhile.
///
/// # Safety
///
/// [`map`] made the page, and nobody else uses it.
pub(super) unsafe fn touch(page: *mut u8) {
    for offset in (0..HUGE).step_by(SMALL) {
        // SAFETY: within the page. Volatile, for nothing reads it.
        unsafe { page.add(offset).write_volatile(0) };
    }
}

/// Faults in one huge page that may be in use. What it holds isn't changed.
///
/// The kernel takes the lock of all mappings: who maps or unmaps has to wait.
///
/// # Safety
///
/// [`map`] made the page, and it is still mapped.
pub(super) unsafe fn populate(page: *mut u8) {
    // SAFETY: faults pages in as a write would, without one. Failure means a later fault.
    let _ = unsafe { mm::madvise(page.cast(), HUGE, Advice::LinuxPopulateWrite) };
}

/// The smallest page of any system.
const SMALL: usize = 4096;

/// The error number of the last advice, or 0.
static REFUSED: AtomicI32 = AtomicI32::new(0);
