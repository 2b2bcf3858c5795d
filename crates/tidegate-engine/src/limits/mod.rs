//! Every bound and timeout of connection tracking, under the names and with the checks of the
//! kernel.
//!
//! [`Limits`] is plain data: trackers, table and defragmentation read its fields. A text comes in
//! one way only, through the kernel's names: [`Limits::set`] for one setting and [`parse_file`] for
//! a `sysctl.conf`. `names` holds the single table that says which name is which field and what it
//! accepts; `sysctl` reads numbers and files.
//!
//! Invariant: a field changed by name holds what Linux 6.18 would hold after the same write
//! (defaults, ranges and rounding are those of its `net.netfilter.*` directory), with the two
//! differences that [`Timeout`] names. As in the kernel, a changed timeout reaches a flow with its
//! next accepted packet; nothing here walks the table. Some settings are kept for parts that come
//! later (expectations, the log of invalid packets).

mod helpers;
mod names;
mod numbered;
mod policy;
mod sysctl;

use alloc::string::String;
use core::time::Duration;

pub use self::helpers::HelperLimits;
pub(crate) use self::policy::NAME_MAX;
pub use self::policy::{Policies, Policy, PolicyError, PolicyErrorKind, PolicyId};
pub use self::sysctl::{Cause, Finding, Outcome, Report, SysctlError, parse_file};

/// All settings, as one network namespace of Linux has them; the default is that of a machine with
/// more than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows that may exist at a time, unconfirmed ones included; 0 is unlimited, as in Linux 6.18.
    pub max: u32,
    /// Buckets of the hash table; a multiple of 512. `max` does not follow it.
    pub buckets: u32,
    /// Expectations that may exist at a time; at least 1.
    pub expect_max: u32,
    /// Whether a wrong layer-4 checksum makes a packet INVALID.
    pub checksum: bool,
    /// The protocol number whose INVALID packets are logged; 255 for all, 0 for none.
    pub log_invalid: u8,
    /// Whether new flows count packets and bytes.
    pub acct: bool,
    /// Events of new flows: 0 never, 1 always, 2 only if somebody listens when the flow is created.
    pub events: u8,
    /// Whether new flows carry their start and stop time.
    pub timestamp: bool,
    /// How strict the TCP tracker is.
    pub tcp: TcpLimits,
    /// How long a flow lives after its last packet.
    pub timeouts: Timeouts,
    /// How helpers read, and how long what they look after lives.
    pub helpers: HelperLimits,
    /// How long an incomplete IPv6 datagram is kept.
    pub frag6_timeout: Timeout,
    /// At most `frag6_high_thresh`; kept for its name only, as in Linux since 4.17.
    pub frag6_low_thresh: u64,
    /// Bytes of IPv6 fragments beyond which none are taken.
    pub frag6_high_thresh: u64,
    /// How long an incomplete IPv4 datagram is kept.
    pub ipfrag_time: Timeout,
    /// Bytes of IPv4 fragments beyond which none are taken.
    pub ipfrag_high_thresh: u64,
    /// At most `ipfrag_high_thresh`; kept for its name only, as in Linux since 4.17.
    pub ipfrag_low_thresh: u64,
    /// Fragments of other datagrams from the same source that may come between those of one
    /// datagram; 0 is any number.
    pub ipfrag_max_dist: u32,
    /// How much of the memory for fragments one source may have, in percent; 100 is all of it, as
    /// in Linux, and so is 0. A setting of our own.
    pub frag_source_percent: u8,
}

/// How strict the TCP tracker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Whether a flow may be picked up in the middle, by an ACK.
    pub loose: bool,
    /// Whether segments outside the window are accepted (an RST below the peer's last ACK still is
    /// not).
    pub be_liberal: bool,
    /// Identical segments in a row after which `max_retrans` of [`TcpTimeouts`] applies.
    pub max_retrans: u8,
    /// Whether an RST below the peer's last ACK is accepted instead of INVALID.
    pub ignore_invalid_rst: bool,
}

/// How long a flow lives after its last accepted packet, by protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Protocols without a tracker.
    pub generic: Timeout,
    /// ICMP.
    pub icmp: Timeout,
    /// ICMPv6.
    pub icmpv6: Timeout,
    /// UDP, before traffic both ways has lasted two seconds; UDP-Lite, before a reply.
    pub udp: Timeout,
    /// UDP, afterwards.
    pub udp_stream: Timeout,
    /// GRE, before a reply.
    pub gre: Timeout,
    /// GRE, once both ends have spoken.
    pub gre_stream: Timeout,
    /// TCP, by state.
    pub tcp: TcpTimeouts,
    /// SCTP, by state.
    pub sctp: SctpTimeouts,
}

/// How long a TCP flow lives, by state, and the three cases in which it lives shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// A SYN was seen.
    pub syn_sent: Timeout,
    /// A SYN/ACK was seen.
    pub syn_recv: Timeout,
    /// The handshake is complete.
    pub established: Timeout,
    /// A first FIN was seen.
    pub fin_wait: Timeout,
    /// The first FIN was acknowledged.
    pub close_wait: Timeout,
    /// The second FIN was seen.
    pub last_ack: Timeout,
    /// Both FINs were acknowledged.
    pub time_wait: Timeout,
    /// An RST was seen.
    pub close: Timeout,
    /// At most this long once [`TcpLimits::max_retrans`] is reached, or while a window is closed.
    pub max_retrans: Timeout,
    /// At most this long while data is not acknowledged.
    pub unacknowledged: Timeout,
}

/// How long an SCTP association lives, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpTimeouts {
    /// No association yet, or it is gone.
    pub closed: Timeout,
    /// INIT was seen.
    pub cookie_wait: Timeout,
    /// COOKIE ECHO was seen.
    pub cookie_echoed: Timeout,
    /// COOKIE ACK was seen.
    pub established: Timeout,
    /// SHUTDOWN was seen, from the original direction.
    pub shutdown_sent: Timeout,
    /// SHUTDOWN was seen, from the reply direction.
    pub shutdown_recd: Timeout,
    /// SHUTDOWN ACK was seen.
    pub shutdown_ack_sent: Timeout,
    /// A HEARTBEAT was seen on a path without an association.
    pub heartbeat_sent: Timeout,
}

/// A lifetime in whole seconds; 0 expires at once.
///
/// Two differences from the kernel, which keeps clock ticks in a signed integer. It accepts a
/// negative number and shows it again; as that expires at once, it is stored as 0 here. And it
/// refuses what overflows its ticks (more than 8 589 934 seconds at 250 Hz); here everything that
/// fits 32 bits signed is accepted, and for a parameter of a module, as there, what fits 32 bits unsigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout(pub u32);

impl Limits {
    /// Writes `value` to the setting `key`, as `sysctl -w key=value` does. `key` is a full kernel
    /// name, with dots or slashes; of `value` only the first word counts, in decimal, octal (`0`)
    /// or hexadecimal (`0x`) notation.
    ///
    /// # Errors
    ///
    /// When no Linux has such a setting, when Linux 6.18 has it no more, when it can only be read,
    /// and when it does not take this value. Nothing is changed then, nor by an [`Outcome`] other
    /// than `Stored`.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Outcome, SysctlError> {
        sysctl::set(self, key, value)
    }

    /// The setting `key` as the kernel would print it; `None` when it is not one of
    /// [`Limits::names`].
    pub fn value(&self, key: &str) -> Option<String> {
        let entry = names::find(&sysctl::canonical(key))?;
        Some(entry.field.print(*self))
    }

    /// The full names of all settings that are kept here, in alphabetical order.
    /// `nf_conntrack_count` is none of them: it is the table's to tell.
    pub fn names() -> impl Iterator<Item = &'static str> {
        names::SERVED.iter().map(|entry| entry.name)
    }
}

impl Timeout {
    /// The lifetime as a duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: 262_144,
            buckets: 262_144,
            expect_max: 4096,
            checksum: true,
            log_invalid: 0,
            acct: false,
            events: 2,
            timestamp: false,
            tcp: TcpLimits::default(),
            timeouts: Timeouts::default(),
            helpers: HelperLimits::default(),
            frag6_timeout: Timeout(60),
            frag6_low_thresh: 3 << 20,
            frag6_high_thresh: 4 << 20,
            ipfrag_time: Timeout(30),
            ipfrag_high_thresh: 4 << 20,
            ipfrag_low_thresh: 3 << 20,
            ipfrag_max_dist: 64,
            frag_source_percent: 25,
        }
    }
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { loose: true, be_liberal: false, max_retrans: 3, ignore_invalid_rst: false }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            generic: Timeout(600),
            icmp: Timeout(30),
            icmpv6: Timeout(30),
            udp: Timeout(30),
            udp_stream: Timeout(120),
            gre: Timeout(30),
            gre_stream: Timeout(180),
            tcp: TcpTimeouts::default(),
            sctp: SctpTimeouts::default(),
        }
    }
}

impl TcpTimeouts {
    /// The state SYN_SENT2 (simultaneous open), for which the kernel has no setting.
    pub const SYN_SENT2: Timeout = Timeout(120);
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self {
            syn_sent: Timeout(120),
            syn_recv: Timeout(60),
            established: Timeout(432_000),
            fin_wait: Timeout(120),
            close_wait: Timeout(60),
            last_ack: Timeout(30),
            time_wait: Timeout(120),
            close: Timeout(10),
            max_retrans: Timeout(300),
            unacknowledged: Timeout(300),
        }
    }
}

impl Default for SctpTimeouts {
    fn default() -> Self {
        Self {
            closed: Timeout(10),
            cookie_wait: Timeout(3),
            cookie_echoed: Timeout(3),
            established: Timeout(210),
            shutdown_sent: Timeout(3),
            shutdown_recd: Timeout(3),
            shutdown_ack_sent: Timeout(3),
            heartbeat_sent: Timeout(30),
        }
    }
}

#[cfg(test)]
mod tests;
