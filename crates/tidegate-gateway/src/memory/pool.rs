//! The process's arenas, behind one lock.
//!
//! Blocks come from the first arena that has room, so what is used stays together and what is free
//! is whole. Work per call is bounded: one word per arena, one look through an arena's table of 32
//! words, at most five pages given back. Arenas are added, by whoever finds no room or ahead of that
//! by a [`Prefault`](super::Prefault), and stay.
//!
//! Large blocks are rare, so there is one lock for all threads. It is a futex and never allocates.
//!
//! Unsafe code: blocks that are freed are somebody's word.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::arena::{Arena, Block, Need};

/// The arenas, in the order in which they were mapped.
pub(super) struct Pool {
    arenas: [Option<Arena>; MOST],
    /// How many blocks were handed out; it wraps.
    count: usize,
    /// Whether somebody who faults ahead may be asleep until one is.
    asleep: bool,
}

/// What faulting ahead should do next.
pub(super) enum Task {
    /// Touch this page and release it.
    Touch(Held),
    /// Populate this page, which is in use.
    Populate(NonNull<u8>),
    /// Add an arena.
    Grow,
    /// Wait until a block is handed out.
    Wait,
}

/// A free page that nobody gets until it is released.
pub(super) struct Held {
    arena: usize,
    page: usize,
    /// Its first byte.
    pub(super) start: NonNull<u8>,
}

/// A block from the process's pool, or `None` if there is no room.
pub(super) fn alloc(size: usize) -> Option<Block> {
    let mut pool = lock();
    let block = pool.alloc(size);
    let is_awaited = std::mem::take(&mut pool.asleep);
    drop(pool);
    if is_awaited {
        wake();
    }
    block
}

/// Takes a block back; `false` if it is not the pool's.
///
/// # Safety
///
/// If [`alloc`] handed it out, then for `size` bytes, and nobody uses it any more.
pub(super) unsafe fn free(block: *mut u8, size: usize) -> bool {
    // SAFETY: the caller vouches for it.
    unsafe { lock().free(block, size) }
}

/// The pool. A panic elsewhere doesn't harm it.
pub(super) fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until a block was handed out or [`wake`] was called.
pub(super) fn sleep(mut pool: MutexGuard<'static, Pool>) -> MutexGuard<'static, Pool> {
    pool.asleep = true;
    // Who wakes up by himself leaves it so, as others may sleep on: a block may wake in vain, but nobody is forgotten.
    CHANGED.wait(pool).unwrap_or_else(PoisonError::into_inner)
}

/// Waits so long, or until [`wake`] was called; who takes a block has nothing to do with it.
pub(super) fn doze(pool: MutexGuard<'static, Pool>, time: Duration) -> MutexGuard<'static, Pool> {
    CHANGED.wait_timeout(pool, time).unwrap_or_else(PoisonError::into_inner).0
}

/// Wakes those who fault ahead.
pub(super) fn wake() {
    CHANGED.notify_all();
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { arenas: [const { None }; MOST], count: 0, asleep: false }
    }

    /// How many blocks have been handed out, modulo the number's range.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn alloc(&mut self, size: usize) -> Option<Block> {
        self.count = self.count.wrapping_add(1);
        let there = self.arenas.iter_mut().map_while(Option::as_mut);
        if let Some(block) = there.into_iter().find_map(|arena| arena.alloc(size)) {
            return Some(block);
        }
        self.add(Arena::map()?)?.alloc(size)
    }

    /// # Safety
    ///
    /// As for the function [`free`].
    pub(super) unsafe fn free(&mut self, block: *mut u8, size: usize) -> bool {
        let mut there = self.arenas.iter_mut().map_while(Option::as_mut);
        let Some(arena) = there.find(|arena| arena.holds(block.addr())) else { return false };
        // SAFETY: an address in an arena is one that it handed out.
        unsafe { arena.free(block, size) };
        true
    }

    /// One arena more, unless there are too many.
    pub(super) fn add(&mut self, arena: Arena) -> Option<&mut Arena> {
        let place = self.arenas.iter_mut().find(|place| place.is_none())?;
        Some(place.insert(arena))
    }

    /// How many pages have a block in them, or are held.
    pub(super) fn pages_in_use(&self) -> usize {
        self.arenas.iter().map_while(Option::as_ref).map(Arena::pages_in_use).sum()
    }

    /// What is to do so that `reserve` free pages are ready, in the order in which they are handed
    /// out.
    pub(super) fn task(&mut self, reserve: usize) -> Task {
        let mut left = reserve;
        for (index, place) in self.arenas.iter_mut().enumerate() {
            let Some(arena) = place else { return if left == 0 { Task::Wait } else { Task::Grow } };
            match arena.need(left) {
                Need::Free(page) => {
                    return Task::Touch(Held { arena: index, page, start: arena.page(page) });
                }
                Need::Used(page) => return Task::Populate(arena.page(page)),
                Need::Ready(pages) => left = left.saturating_sub(pages),
            }
        }
        Task::Wait
    }

    /// A page that was held is free, and ready.
    pub(super) fn release(&mut self, held: &Held) {
        if let Some(Some(arena)) = self.arenas.get_mut(held.arena) {
            arena.release(held.page);
        }
    }
}

/// 64 GiB, after which the system's allocator has to do.
const MOST: usize = 1024;

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// A block was handed out, or somebody is to stop.
static CHANGED: Condvar = Condvar::new();

#[cfg(test)]
mod tests {
    use super::super::arena;
    use super::super::pages::HUGE;
    use super::*;

    #[test]
    fn a_block_that_fits_nowhere_gets_a_new_arena() {
        let mut pool = Pool::new();
        let block = pool.alloc(arena::SIZE - HUGE).unwrap();
        let small = pool.alloc(HUGE).unwrap();
        let large = pool.alloc(2 * HUGE).unwrap();
        assert_eq!(pool.arenas.iter().flatten().count(), 2);
        for (block, size) in [(block, arena::SIZE - HUGE), (small, HUGE), (large, 2 * HUGE)] {
            // SAFETY: handed out above, once.
            assert!(unsafe { pool.free(block.start.as_ptr(), size) });
        }
        assert_eq!(pool.alloc(HUGE).unwrap().start, block.start, "the first arena comes first");
    }

    #[test]
    fn a_foreign_block_is_left_alone() {
        let mut pool = Pool::new();
        pool.alloc(HUGE).unwrap();
        let mut foreign = 0_u8;
        // SAFETY: the pool never handed it out.
        assert!(!unsafe { pool.free(&raw mut foreign, HUGE) });
    }

    #[test]
    fn a_reserve_may_take_several_arenas() {
        let mut pool = Pool::new();
        let reserve = arena::SIZE / HUGE + 2;
        let (mut touched, mut added) = (0, 0);
        loop {
            match pool.task(reserve) {
                Task::Touch(held) => {
                    pool.release(&held);
                    touched += 1;
                }
                Task::Populate(page) => panic!("{page:?} is in use"),
                Task::Grow => {
                    pool.add(Arena::map().unwrap()).unwrap();
                    added += 1;
                }
                Task::Wait => break,
            }
        }
        assert_eq!((touched, added), (reserve, 2));
    }

    #[test]
    fn pages_in_use_are_those_with_a_block() {
        let mut pool = Pool::new();
        assert_eq!(pool.pages_in_use(), 0);
        pool.alloc(3 * HUGE / 2).unwrap();
        assert_eq!(pool.pages_in_use(), 2);
        pool.alloc(HUGE / 2).unwrap();
        assert_eq!(pool.pages_in_use(), 2, "there was room in the second");
        pool.alloc(arena::SIZE).unwrap();
        assert_eq!(pool.pages_in_use(), 2 + arena::SIZE / HUGE);
    }

    #[test]
    fn without_a_reserve_no_arena_is_added() {
        assert!(matches!(Pool::new().task(0), Task::Wait));
    }
}
