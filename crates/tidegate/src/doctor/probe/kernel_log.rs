//! The kernel's log: since when a table has been full.
//!
//! Records of /dev/kmsg are `priority,number,microseconds since the start,flags;text`, and lines behind that belong to
//! it. The text is that of Linux 4.x to 6.x, with one prefix or two; since 6.18 it names the network namespace.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

use super::super::blind::Blind;
use super::super::facts::{Log, Spell, Whose};
use crate::present::time_of_day;

/// Reads what there is, without waiting for more.
pub(super) fn read(table: Whose, blind: &mut Blind) -> Option<Log> {
    if table != Whose::Kernel {
        return None;
    }
    let file =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(FILE);
    let mut file = match file {
        Ok(file) => file,
        Err(error) => {
            match error.kind() {
                ErrorKind::PermissionDenied => blind.denied("kernel log"),
                _ => blind.because("kernel log", error),
            }
            return None;
        }
    };
    let start = time_of_day().saturating_sub(uptime()? * 1000);
    let (mut log, mut record) = (Log::default(), vec![0; LONGEST_RECORD]);
    loop {
        match file.read(&mut record) {
            Ok(0) => return Some(log),
            Ok(len) => log.take(&String::from_utf8_lossy(&record[..len]), start),
            // Some were overwritten before they were read.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Some(log),
        }
    }
}

/// Microseconds since the start.
fn uptime() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some((seconds * 1e6) as u64)
}

impl Log {
    /// Takes note of a record. `start`: when the machine started, in nanoseconds since 1970.
    fn take(&mut self, record: &str, start: u64) {
        let Some((head, text)) = record.split_once(';') else { return };
        let Some(micros) = head.split(',').nth(2).and_then(|word| word.parse::<u64>().ok()) else {
            return;
        };
        let time = start + micros * 1000;
        let text = text.lines().next().unwrap_or_default();
        if text.contains("nf_conntrack: expectation table full") {
            lengthen(self.expectations.get_or_insert_default(), time);
        } else if let Some(inode) = full_table(text) {
            let index = self.full.iter().position(|spell| spell.inode == inode);
            let index = index.unwrap_or_else(|| {
                self.full.push(Spell { inode, ..Spell::default() });
                self.full.len() - 1
            });
            lengthen(&mut self.full[index], time);
        }
    }
}

/// After a long silence it is another time.
fn lengthen(spell: &mut Spell, time: u64) {
    if time.saturating_sub(spell.last) > SILENCE {
        spell.first = time;
    }
    spell.last = time;
}

/// The namespace that a line says is full: `Some(None)` is the first one, or one of an older kernel.
fn full_table(text: &str) -> Option<Option<u64>> {
    let (_, rest) = text.split_once("nf_conntrack: table full")?;
    let inode = rest.strip_prefix(" in netns ").and_then(|rest| rest.split(',').next());
    Some(inode.and_then(|word| word.parse().ok()))
}

const FILE: &str = "/dev/kmsg";
/// What the kernel gives at once at most.
const LONGEST_RECORD: usize = 8192;
/// While a table is full and refuses packets, the kernel says so every five seconds at least.
const SILENCE: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_ages_are_understood() {
        let rows = [
            ("nf_conntrack: table full, dropping packet.", Some(None)),
            ("nf_conntrack: nf_conntrack: table full, dropping packet", Some(None)),
            (
                "nf_conntrack: nf_conntrack: table full in netns 4026532664, dropping packet",
                Some(Some(4_026_532_664)),
            ),
            ("nf_conntrack: expectation table full", None),
            ("TRACE: raw:PREROUTING", None),
        ];
        for (text, expected) in rows {
            assert_eq!(full_table(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_silence_ends_a_spell() {
        let mut log = Log::default();
        for seconds in [10, 15, 100, 104] {
            let record = format!(
                "4,{seconds},{}000000,-;nf_conntrack: table full, dropping packet\n KEY=x",
                seconds
            );
            log.take(&record, 7);
        }
        let (first, last) = (100_000_000_007, 104_000_000_007);
        assert_eq!(log.full, [Spell { inode: None, first, last }]);
    }
}
