//! What the kernel would have written to its log: the lines of LOG rules, and complaints about INVALID packets and a
//! full table.
//!
//! The engine writes no log. It queues lines, and the caller fetches them with their severity and puts them where it
//! likes. The queue is bounded: when nobody fetches, later lines are lost and counted.

mod ipv4;
mod ipv6;
mod line;
mod ratelimit;
mod transport;

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use tidegate_wire::Family;

use crate::fib::PortId;
use crate::rules::Hook;
use crate::time::Instant;

pub(crate) use self::line::Sighting;
use self::ratelimit::RateLimit;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// As the kernel writes it, without time stamp and without the blank at the end of a LOG rule's line.
    pub text: String,
    /// Syslog severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// What it is about.
    pub topic: LogTopic,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTopic {
    /// A LOG rule met a packet.
    Rule,
    /// A packet that conntrack does not believe (`nf_conntrack_log_invalid`), or that a helper drops.
    Invalid,
    /// The table.
    Table,
}

/// A packet that an NFLOG rule copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketCopy {
    /// The rule's family.
    pub family: Family,
    /// Whom the rule tells.
    pub group: u16,
    /// The rule's words.
    pub prefix: String,
    /// Where the packet was.
    pub hook: Hook,
    /// The port it came in by, where the hook knows one.
    pub in_port: Option<PortId>,
    /// The port it will leave by, where the hook knows one.
    pub out_port: Option<PortId>,
    /// Its mark.
    pub mark: u32,
    /// The datagram, or as much of it as the rule wants.
    pub bytes: Vec<u8>,
}

/// Lines and packets waiting to be fetched, oldest first.
#[derive(Debug, Default)]
pub struct LogQueue {
    lines: VecDeque<LogLine>,
    copies: VecDeque<PacketCopy>,
    lost: u64,
    complaints: RateLimit,
}

impl LogQueue {
    /// How many lines may wait.
    pub const LIMIT: usize = 4096;

    /// The oldest line.
    pub fn pop(&mut self) -> Option<LogLine> {
        self.lines.pop_front()
    }

    /// The oldest copy of a packet.
    pub fn pop_copy(&mut self) -> Option<PacketCopy> {
        self.copies.pop_front()
    }

    /// How many lines and copies found the queue full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Queues a line.
    pub fn push(&mut self, line: LogLine) {
        if self.lines.len() < Self::LIMIT {
            self.lines.push_back(line);
        } else {
            self.lost += 1;
        }
    }

    /// Queues a copy; as many may wait as lines.
    pub fn push_copy(&mut self, copy: PacketCopy) {
        if self.copies.len() < Self::LIMIT {
            self.copies.push_back(copy);
        } else {
            self.lost += 1;
        }
    }

    /// Complains, within reason, that a flow found no place in the table.
    pub fn table_full(&mut self, now: Instant) {
        let text = "nf_conntrack: nf_conntrack: table full, dropping packet";
        self.complain(now, || text.to_string());
    }

    /// Complains, within reason, that there are too many expectations.
    pub(crate) fn expectations_full(&mut self, now: Instant) {
        self.complain(now, || "nf_conntrack: expectation table full".to_string());
    }

    /// Complains, within reason, of an IRC client that offers what isn't its own.
    pub(crate) fn forged_offer(&mut self, now: Instant, by: IpAddr, addr: Ipv4Addr, port: u16) {
        let text =
            || alloc::format!("nf_conntrack_irc: Forged DCC command from {by}: {addr}:{port}");
        self.complain(now, text);
    }

    /// Complains, within reason, that a helper can't expect what is announced.
    pub(crate) fn no_expectation(&mut self, now: Instant, complaint: &'static str) {
        self.complain(now, || complaint.to_string());
    }

    fn complain(&mut self, now: Instant, text: impl FnOnce() -> String) {
        let admission = self.complaints.admit(now);
        if let Some(count) = admission.suppressed {
            self.warn(alloc::format!("net_ratelimit: {count} callbacks suppressed"));
        }
        if admission.allowed {
            self.warn(text());
        }
    }

    fn warn(&mut self, text: String) {
        self.push(LogLine { text, level: WARNING, topic: LogTopic::Table });
    }
}

const WARNING: u8 = 4;

#[cfg(test)]
mod tests;
