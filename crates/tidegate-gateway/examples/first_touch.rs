//! How long a program waits when it touches memory first, as a table that grows does it.
//!
//! 1 GiB in segments of 640 KiB, entry by entry of 256 bytes, with a pause between segments as long
//! as a million new flows a second leave. Each row is one way to get the memory; the row `again` is
//! the same loop where nothing is touched first, so its waits are the machine's and not memory's.
//! Run with `cargo run --release -p tidegate-gateway --example first_touch`.

#![allow(unsafe_code, reason = "it asks two allocators directly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::memory::{HugePages, Prefault, status};

fn main() -> io::Result<()> {
    println!("us a first touch     median    99 %  99.9 %     max  above 100 us  faults");
    // Whatever comes first pays for memory that the machine itself has to find.
    for row in ["first", "second"] {
        grow(&format!("4 KiB, {row}"), &System);
        grow(&format!("huge, {row}"), &HugePages);
    }
    let _ahead = Prefault::start(Prefault::RESERVE)?;
    thread::sleep(Duration::from_millis(200));
    grow("huge, ahead", &HugePages);
    Ok(())
}

/// Makes a table, tells what its entries' first and second touches took, and frees it.
fn grow(what: &str, memory: &impl GlobalAlloc) {
    let mut segments = Vec::with_capacity(SEGMENTS);
    measure(what, |_| {
        // SAFETY: the layout isn't empty.
        let segment = unsafe { memory.alloc(SEGMENT) };
        assert!(!segment.is_null(), "out of memory");
        segments.push(segment);
        segment
    });
    measure("  again", |number| segments[number]);
    println!("  {}", status());
    for segment in segments {
        // SAFETY: it is from there, and of this layout.
        unsafe { memory.dealloc(segment, SEGMENT) };
    }
}

/// Touches each entry of the segments with these numbers.
fn measure(what: &str, mut segment: impl FnMut(usize) -> *mut u8) {
    let mut waits = vec![Duration::MAX; SEGMENTS * TOUCHES];
    let faults = faults_of_this_thread();
    for (number, waits) in waits.chunks_mut(TOUCHES).enumerate() {
        thread::sleep(PACE);
        let start = segment(number);
        for (index, wait) in waits.iter_mut().enumerate() {
            *wait = touch(start, index);
        }
    }
    report(what, &mut waits, faults_of_this_thread() - faults);
}

fn touch(segment: *mut u8, index: usize) -> Duration {
    let watch = Stopwatch::start();
    // SAFETY: within the segment, which is ours.
    unsafe { segment.add(index * ENTRY).write_volatile(1) };
    watch.elapsed()
}

fn report(what: &str, waits: &mut [Duration], faults: u64) {
    waits.sort_unstable();
    let last = waits.len() - 1;
    let at = |thousandths: usize| waits[last * thousandths / 1000].as_secs_f64() * 1e6;
    let long = waits.len() - waits.partition_point(|wait| *wait <= Duration::from_micros(100));
    let [median, most, more, all] = [500, 990, 999, 1000].map(at);
    println!("{what:<19}{median:>8.2}{most:>8.2}{more:>8.2}{all:>8.0}{long:>14}{faults:>8}");
}

/// Page faults without a disk, the tenth field of proc_pid_stat(5); 0 where nobody tells.
fn faults_of_this_thread() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(7).and_then(|number| number.parse().ok()).unwrap_or(0)
}

const SEGMENT: Layout = match Layout::from_size_align(640 << 10, 64) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};
const SEGMENTS: usize = (1 << 30) / SEGMENT.size();
const ENTRY: usize = 256;
const TOUCHES: usize = SEGMENT.size() / ENTRY;
const PACE: Duration = Duration::from_millis(2);
