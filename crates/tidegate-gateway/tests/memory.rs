//! With the allocator installed as a program installs it, `Vec`s lie on huge pages where the system
//! has them, and what was faulted in ahead doesn't fault again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::thread;
use std::time::Duration;

use tidegate_gateway::memory::{HugePages, Mode, Prefault, status};

#[global_allocator]
static MEMORY: HugePages = HugePages;

/// One test, for what is counted is the process's: no other may run, and a reserve that is left
/// from the second part would be counted in the first.
#[test]
fn memory_of_a_growing_table_is_on_huge_pages_and_ready() {
    a_growing_table_is_on_huge_pages();
    what_was_faulted_in_ahead_is_not_faulted_in_again();
}

fn a_growing_table_is_on_huge_pages() {
    let before = status();
    let table = segments(64 << 20);
    let after = status();
    let text = after.to_string();
    match after.mode {
        Mode::Always | Mode::Madvise => {
            let grown = after.huge - before.huge;
            assert!(grown >= 48 << 20, "64 MiB touched, {grown} bytes more on huge pages: {text}");
            assert!(text.contains("MiB on 2 MiB pages (transparent, "), "{text}");
        }
        Mode::Never | Mode::Unknown => {
            assert!(text.starts_with("memory: 4 KiB pages: "), "{text}");
            assert_eq!(after.huge, 0);
        }
    }
    assert!(after.resident - before.resident >= 48 << 20, "{text}");
    drop(table);
    let given_back = after.resident - status().resident;
    assert!(given_back >= 48 << 20, "64 MiB freed, {given_back} bytes given back");
}

fn what_was_faulted_in_ahead_is_not_faulted_in_again() {
    let reserve = 32 << 20;
    let before = status().resident;
    let _ahead = Prefault::start(reserve).unwrap();
    await_resident(before + reserve as u64);
    let faults = faults_of_this_thread();
    let table = segments(reserve);
    let faults = faults_of_this_thread() - faults;
    // Without the thread it would be 16 on pages of 2 MiB and 8192 on smaller ones, and one or two
    // for reading the number.
    assert!(faults < 8, "{faults} faults");
    await_resident(before + 2 * reserve as u64);
    // The thread now sleeps until it is woken: it would be by a block that is the first for a while.
    thread::sleep(Duration::from_secs(3));
    let more = segments(SEGMENT);
    await_resident(before + 2 * reserve as u64 + SEGMENT as u64);
    drop((table, more));
}

/// Waits until that much is resident.
fn await_resident(bytes: u64) {
    let mut patience = 1000;
    while status().resident < bytes {
        patience -= 1;
        assert!(patience > 0, "no reserve after ten seconds: {}", status());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Touched segments of so many bytes in total.
fn segments(bytes: usize) -> Vec<Vec<u8>> {
    (0..bytes / SEGMENT)
        .map(|index| {
            let mut segment = Vec::with_capacity(SEGMENT);
            segment.resize(SEGMENT, index as u8);
            segment
        })
        .collect()
}

/// Page faults without a disk, the tenth field of proc_pid_stat(5).
fn faults_of_this_thread() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(7).unwrap().parse().unwrap()
}

const SEGMENT: usize = 640 << 10;
