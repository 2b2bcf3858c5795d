//! A thread that faults pages in before the table grows into them.
//!
//! It looks at the pool only, and works on one page at a time, without the lock. It must not hold
//! memory that another thread might wait for.
//!
//! Unsafe code: it writes to pages that are nobody's.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::arena::Arena;
use super::pages::{self, HUGE};
use super::pool::{self, Pool, Task};

/// Keeps free memory faulted in ahead of use, until it is dropped.
///
/// When a huge page is touched first the kernel clears 2 MiB. On the machine where this was written
/// that takes 240 us, and 4,500 us if the machine is virtual and its host has to find the memory,
/// too. A packet had to wait for it. With this the wait is another thread's: blocks up to 8 MiB are
/// carved from pages that are there already, as long as the reserve lasts.
///
/// * The reserve counts as used memory, whether or not it is ever needed.
/// * The thread needs a processor that the packets don't.
/// * On a machine with several memory nodes the pages are from that of the starting thread, so
///   start it from a thread that is bound to the packets' node.
/// * Blocks above 8 MiB are left alone, for nobody knows how much of them is going to be used.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct Prefault {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prefault {
    /// 16 MiB: what a table needs in some 50 ms if it takes a million flows a second.
    pub const RESERVE: usize = 16 << 20;

    /// Starts the thread, which keeps `reserve` bytes ready, rounded up to whole huge pages.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
    pub fn start(reserve: usize) -> io::Result<Self> {
        Self::begin(move |_| reserve.div_ceil(HUGE))
    }

    /// Starts the thread, which keeps a quarter of what is in use ready, and `most` bytes at most: a table that stays
    /// small costs no more than it is.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
    pub fn alongside(most: usize) -> io::Result<Self> {
        Self::begin(move |pool| pool.pages_in_use().div_ceil(4).min(most.div_ceil(HUGE)))
    }

    fn begin(reserve: impl Fn(&Pool) -> usize + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let work = move || keep_ahead(&reserve, &told);
        let thread = thread::Builder::new().name("prefault".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Prefault {
    /// Waits for the page that is in work.
    fn drop(&mut self) {
        let pool = pool::lock();
        self.stop.store(true, Ordering::Relaxed);
        drop(pool);
        pool::wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread; `reserve` says how many pages are to be ready. `stop` is set while the pool is locked, so that it isn't
/// missed.
fn keep_ahead(reserve: &impl Fn(&Pool) -> usize, stop: &AtomicBool) {
    let mut pool = pool::lock();
    let mut rest = Rest::default();
    while !stop.load(Ordering::Relaxed) {
        let wanted = reserve(&pool);
        let task = pool.task(wanted);
        if matches!(task, Task::Wait) {
            pool = rest.take(pool);
            continue;
        }
        drop(pool);
        let goes_on = perform(task);
        pool = pool::lock();
        if !goes_on && !stop.load(Ordering::Relaxed) {
            pool = rest.take(pool);
        }
    }
}

/// How the thread waits. Waking it takes whoever does some 20 us, and where no other processor is idle until the thread
/// has cleared a page: no packet should. So it looks by itself, seldomer with every look in vain, and only after a quiet
/// second is the next block to wake it.
#[derive(Default)]
struct Rest {
    /// What [`Pool::count`] said last.
    count: usize,
    /// How long it has been so.
    quiet: Duration,
}

impl Rest {
    fn take(&mut self, pool: MutexGuard<'static, Pool>) -> MutexGuard<'static, Pool> {
        if pool.count() != self.count {
            *self = Self { count: pool.count(), quiet: Duration::ZERO };
        }
        if self.quiet > QUIET {
            self.quiet = Duration::ZERO;
            return pool::sleep(pool);
        }
        let time = self.quiet.clamp(SHORTEST, LONGEST);
        self.quiet += time;
        pool::doze(pool, time)
    }
}

/// Does what is to do without the lock. Whether there is sense in going on.
fn perform(task: Task) -> bool {
    match task {
        Task::Touch(held) => {
            // SAFETY: nobody gets the page before it is released.
            unsafe { pages::touch(held.start.as_ptr()) };
            pool::lock().release(&held);
        }
        Task::Populate(page) => {
            // SAFETY: arenas stay mapped.
            unsafe { pages::populate(page.as_ptr()) };
            thread::sleep(BREATH);
        }
        Task::Grow => return Arena::map().is_some_and(|arena| pool::lock().add(arena).is_some()),
        Task::Wait => {}
    }
    true
}

/// Between two pages that are populated, so that others may map memory: without it they were seen to
/// wait for 40 ms.
const BREATH: Duration = Duration::from_micros(50);

/// How long the thread waits after a block was handed out, and between two looks at most.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(2);
/// After so long without a block it sleeps until there is one.
const QUIET: Duration = Duration::from_secs(1);
