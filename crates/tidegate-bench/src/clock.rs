//! The clock by which everything here is measured: the processor time of the calling thread.
//!
//! It stands still while another program has the core, which on a shared machine is most of the
//! noise. Reading it costs a system call (some 0.2 us), so it is read around whole runs, or around
//! a burst where bursts are what is asked for. The engine never sees it: its time is made up.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has had a core for.
#[must_use]
pub fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How many nanoseconds of the thread's time `work` takes.
pub fn timed(work: impl FnOnce()) -> u64 {
    let start = thread_time();
    work();
    thread_time() - start
}

/// What it costs to time something, in nanoseconds.
#[must_use]
pub fn reading() -> u64 {
    const TIMES: u64 = 512;
    let all = timed(|| {
        for _ in 0..TIMES {
            timed(|| {});
        }
    });
    // Timing is two readings, and the half of each lies outside.
    all / TIMES / 2
}
