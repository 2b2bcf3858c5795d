//! The kernel's names: which field each one is, and what a write to it may hold.
//!
//! [`SERVED`] is the single source for setting, printing and listing; a new setting is a field of
//! [`Limits`] and a line here. [`classify`] sorts every other name by what Linux 6.18 makes of it,
//! so that an operator learns the difference between a slip of the pen, a setting of another kernel
//! and one that is not the tracker's business. No value is parsed here.

use alloc::string::{String, ToString};
use core::ops::RangeInclusive;

use super::{Limits, Timeout};

/// What a name is.
pub(super) enum Name {
    /// A setting that is kept in [`Limits`].
    Served(&'static Entry),
    /// Linux shows it, nobody can write it.
    ReadOnly,
    /// Older kernels had it; the text says what became of it.
    Removed(&'static str),
    /// Linux 6.18 has it, Tidegate does not serve it yet.
    NotServed,
    /// A setting of another part of the system.
    NotOurs,
    /// Nobody has it.
    Unknown,
}

/// A setting: its full name and its field.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) field: Field,
}

/// Where a setting lies and which kernel type it has there.
pub(super) enum Field {
    /// 0 or 1.
    Flag(fn(&mut Limits) -> &mut bool),
    /// A number of this range.
    Byte(RangeInclusive<u8>, fn(&mut Limits) -> &mut u8),
    /// 0 or 1, or `N` or `Y`, which is how modules show their parameters.
    Switch(fn(&mut Limits) -> &mut bool),
    /// A signed number of seconds; below zero means zero.
    Seconds(fn(&mut Limits) -> &mut Timeout),
    /// An unsigned number of seconds, as parameters of modules are.
    Lifetime(fn(&mut Limits) -> &mut Timeout),
    /// The given number up to the largest signed 32-bit one.
    Count(u32, fn(&mut Limits) -> &mut u32),
    /// At least 1, rounded up to whole pages of list heads.
    Buckets(fn(&mut Limits) -> &mut u32),
    /// Bytes, at most the high threshold.
    Low(fn(&mut Limits) -> Thresholds<'_>),
    /// Bytes, at least the low threshold.
    High(fn(&mut Limits) -> Thresholds<'_>),
}

/// Two bounds of a memory pool that must stay in order.
pub(super) struct Thresholds<'a> {
    low: &'a mut u64,
    high: &'a mut u64,
}

/// The setting with this canonical name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    let place = SERVED.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    Some(&SERVED[place])
}

/// What this canonical name is.
pub(super) fn classify(name: &str) -> Name {
    if let Some(entry) = find(name) {
        return Name::Served(entry);
    }
    match name.strip_prefix("net.netfilter.") {
        Some("nf_conntrack_count") => Name::ReadOnly,
        Some(rest) if NOT_SERVED.contains(&rest) => Name::NotServed,
        Some(rest) => REMOVED
            .iter()
            .find(|(start, _)| rest.starts_with(start))
            .map_or(Name::Unknown, |(_, fate)| Name::Removed(fate)),
        None if PARAMETERS.contains(&name) => Name::NotServed,
        None if is_elsewhere(name) => Name::NotOurs,
        None => Name::Unknown,
    }
}

/// Whether `name` lies under a directory that Linux has at the top of `/proc/sys`.
fn is_elsewhere(name: &str) -> bool {
    name.split_once('.').is_some_and(|(top, rest)| TOP.contains(&top) && !rest.is_empty())
}

impl Field {
    /// The number that a word of its own stands for.
    pub(super) fn word(&self, text: &str) -> Option<i128> {
        match (self, text) {
            (Self::Switch(_), "y" | "Y") => Some(1),
            (Self::Switch(_), "n" | "N") => Some(0),
            _ => None,
        }
    }

    /// The numbers that a write may hold, which for a threshold depends on its partner.
    pub(super) fn range(&self, mut limits: Limits) -> RangeInclusive<i128> {
        match *self {
            Self::Flag(_) | Self::Switch(_) => 0..=1,
            Self::Byte(ref range, _) => i128::from(*range.start())..=i128::from(*range.end()),
            Self::Seconds(_) => i128::from(i32::MIN)..=i128::from(i32::MAX),
            Self::Lifetime(_) => 0..=i128::from(u32::MAX),
            Self::Count(min, _) => i128::from(min)..=i128::from(i32::MAX),
            Self::Buckets(_) => 1..=i128::from(MAX_BUCKETS),
            Self::Low(at) => 0..=i128::from(*at(&mut limits).high),
            Self::High(at) => i128::from(*at(&mut limits).low)..=i128::from(u64::MAX),
        }
    }

    /// Stores `number`, which must lie in the [`Field::range`].
    pub(super) fn store(&self, limits: &mut Limits, number: i128) {
        match *self {
            Self::Flag(at) | Self::Switch(at) => *at(limits) = number != 0,
            Self::Byte(_, at) => *at(limits) = number as u8,
            Self::Seconds(at) | Self::Lifetime(at) => {
                *at(limits) = Timeout(number.max(0) as u32);
            }
            Self::Count(_, at) => *at(limits) = number as u32,
            Self::Buckets(at) => *at(limits) = (number as u32).next_multiple_of(BUCKETS_PER_PAGE),
            Self::Low(at) => *at(limits).low = number as u64,
            Self::High(at) => *at(limits).high = number as u64,
        }
    }

    /// The value as the kernel prints it.
    pub(super) fn print(&self, mut limits: Limits) -> String {
        let limits = &mut limits;
        match *self {
            Self::Flag(at) | Self::Switch(at) => u8::from(*at(limits)).to_string(),
            Self::Byte(_, at) => at(limits).to_string(),
            Self::Seconds(at) | Self::Lifetime(at) => at(limits).0.to_string(),
            Self::Count(_, at) | Self::Buckets(at) => at(limits).to_string(),
            Self::Low(at) => at(limits).low.to_string(),
            Self::High(at) => at(limits).high.to_string(),
        }
    }
}

const fn entry(name: &'static str, field: Field) -> Entry {
    Entry { name, field }
}

const fn seconds(name: &'static str, at: fn(&mut Limits) -> &mut Timeout) -> Entry {
    Entry { name, field: Field::Seconds(at) }
}

const fn lifetime(name: &'static str, at: fn(&mut Limits) -> &mut Timeout) -> Entry {
    Entry { name, field: Field::Lifetime(at) }
}

fn frag6(limits: &mut Limits) -> Thresholds<'_> {
    Thresholds { low: &mut limits.frag6_low_thresh, high: &mut limits.frag6_high_thresh }
}

fn ipfrag(limits: &mut Limits) -> Thresholds<'_> {
    Thresholds { low: &mut limits.ipfrag_low_thresh, high: &mut limits.ipfrag_high_thresh }
}

/// Bucket heads in a page of 4096 bytes, to which the kernel rounds up (`nf_ct_alloc_hashtable`).
const BUCKETS_PER_PAGE: u32 = 512;

/// The largest number of buckets the kernel allocates: their heads must not exceed 2^31 - 1 bytes.
const MAX_BUCKETS: u32 = (i32::MAX as u32 / 8) / BUCKETS_PER_PAGE * BUCKETS_PER_PAGE;

/// Every setting that is kept, by name.
#[rustfmt::skip]
pub(super) static SERVED: &[Entry] = &[
    entry("net.ipv4.ipfrag_high_thresh", Field::High(ipfrag)),
    entry("net.ipv4.ipfrag_low_thresh", Field::Low(ipfrag)),
    entry("net.ipv4.ipfrag_max_dist", Field::Count(0, |l| &mut l.ipfrag_max_dist)),
    seconds("net.ipv4.ipfrag_time", |l| &mut l.ipfrag_time),
    entry("net.netfilter.nf_conntrack_acct", Field::Flag(|l| &mut l.acct)),
    entry("net.netfilter.nf_conntrack_buckets", Field::Buckets(|l| &mut l.buckets)),
    entry("net.netfilter.nf_conntrack_checksum", Field::Flag(|l| &mut l.checksum)),
    entry("net.netfilter.nf_conntrack_events", Field::Byte(0..=2, |l| &mut l.events)),
    entry("net.netfilter.nf_conntrack_expect_max", Field::Count(1, |l| &mut l.expect_max)),
    entry("net.netfilter.nf_conntrack_frag6_high_thresh", Field::High(frag6)),
    entry("net.netfilter.nf_conntrack_frag6_low_thresh", Field::Low(frag6)),
    seconds("net.netfilter.nf_conntrack_frag6_timeout", |l| &mut l.frag6_timeout),
    seconds("net.netfilter.nf_conntrack_generic_timeout", |l| &mut l.timeouts.generic),
    seconds("net.netfilter.nf_conntrack_gre_timeout", |l| &mut l.timeouts.gre),
    seconds("net.netfilter.nf_conntrack_gre_timeout_stream", |l| &mut l.timeouts.gre_stream),
    seconds("net.netfilter.nf_conntrack_icmp_timeout", |l| &mut l.timeouts.icmp),
    seconds("net.netfilter.nf_conntrack_icmpv6_timeout", |l| &mut l.timeouts.icmpv6),
    entry("net.netfilter.nf_conntrack_log_invalid", Field::Byte(0..=u8::MAX, |l| &mut l.log_invalid)),
    entry("net.netfilter.nf_conntrack_max", Field::Count(0, |l| &mut l.max)),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_closed", |l| &mut l.timeouts.sctp.closed),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_cookie_echoed", |l| &mut l.timeouts.sctp.cookie_echoed),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_cookie_wait", |l| &mut l.timeouts.sctp.cookie_wait),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_established", |l| &mut l.timeouts.sctp.established),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_heartbeat_sent", |l| &mut l.timeouts.sctp.heartbeat_sent),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_shutdown_ack_sent", |l| &mut l.timeouts.sctp.shutdown_ack_sent),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_shutdown_recd", |l| &mut l.timeouts.sctp.shutdown_recd),
    seconds("net.netfilter.nf_conntrack_sctp_timeout_shutdown_sent", |l| &mut l.timeouts.sctp.shutdown_sent),
    entry("net.netfilter.nf_conntrack_tcp_be_liberal", Field::Flag(|l| &mut l.tcp.be_liberal)),
    entry("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", Field::Flag(|l| &mut l.tcp.ignore_invalid_rst)),
    entry("net.netfilter.nf_conntrack_tcp_loose", Field::Flag(|l| &mut l.tcp.loose)),
    entry("net.netfilter.nf_conntrack_tcp_max_retrans", Field::Byte(0..=u8::MAX, |l| &mut l.tcp.max_retrans)),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_close", |l| &mut l.timeouts.tcp.close),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_close_wait", |l| &mut l.timeouts.tcp.close_wait),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_established", |l| &mut l.timeouts.tcp.established),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_fin_wait", |l| &mut l.timeouts.tcp.fin_wait),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_last_ack", |l| &mut l.timeouts.tcp.last_ack),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_max_retrans", |l| &mut l.timeouts.tcp.max_retrans),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_syn_recv", |l| &mut l.timeouts.tcp.syn_recv),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", |l| &mut l.timeouts.tcp.syn_sent),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_time_wait", |l| &mut l.timeouts.tcp.time_wait),
    seconds("net.netfilter.nf_conntrack_tcp_timeout_unacknowledged", |l| &mut l.timeouts.tcp.unacknowledged),
    entry("net.netfilter.nf_conntrack_timestamp", Field::Flag(|l| &mut l.timestamp)),
    seconds("net.netfilter.nf_conntrack_udp_timeout", |l| &mut l.timeouts.udp),
    seconds("net.netfilter.nf_conntrack_udp_timeout_stream", |l| &mut l.timeouts.udp_stream),
    entry("net.nf_conntrack_max", Field::Count(0, |l| &mut l.max)),
    lifetime("nf_conntrack_amanda.master_timeout", |l| &mut l.helpers.amanda_timeout),
    entry("nf_conntrack_ftp.loose", Field::Switch(|l| &mut l.helpers.ftp_loose)),
    entry("nf_conntrack_h323.callforward_filter", Field::Switch(|l| &mut l.helpers.h323_forward_filter)),
    lifetime("nf_conntrack_h323.default_rrq_ttl", |l| &mut l.helpers.h323_registration),
    entry("nf_conntrack_h323.gkrouted_only", Field::Flag(|l| &mut l.helpers.h323_gatekeeper_only)),
    lifetime("nf_conntrack_irc.dcc_timeout", |l| &mut l.helpers.irc_timeout),
    entry("nf_conntrack_irc.max_dcc_channels", Field::Byte(1..=u8::MAX, |l| &mut l.helpers.irc_offers)),
    lifetime("nf_conntrack_netbios_ns.timeout", |l| &mut l.helpers.netbios_timeout),
    entry("nf_conntrack_sip.sip_direct_media", Field::Flag(|l| &mut l.helpers.sip_direct_media)),
    entry("nf_conntrack_sip.sip_direct_signalling", Field::Flag(|l| &mut l.helpers.sip_direct_signalling)),
    lifetime("nf_conntrack_sip.sip_timeout", |l| &mut l.helpers.sip_timeout),
    lifetime("nf_conntrack_snmp.timeout", |l| &mut l.helpers.snmp_timeout),
    // Linux has no such setting.
    entry("tidegate.frag_source_percent", Field::Byte(0..=100, |l| &mut l.frag_source_percent)),
];

/// Parameters of helpers' modules that Linux 6.18 has besides.
#[rustfmt::skip]
const PARAMETERS: &[&str] = &[
    "nf_conntrack_amanda.ts_algo", "nf_conntrack_ftp.ports", "nf_conntrack_irc.ports", "nf_conntrack_sane.ports",
    "nf_conntrack_sip.ports", "nf_conntrack_sip.sip_external_media", "nf_conntrack_tftp.ports",
];

/// Names under `net.netfilter` that Linux 6.18 has besides.
#[rustfmt::skip]
const NOT_SERVED: &[&str] = &[
    "nf_flowtable_tcp_timeout", "nf_flowtable_udp_timeout", "nf_hooks_lwtunnel", "nf_log_all_netns",
    "nf_log.0", "nf_log.1", "nf_log.2", "nf_log.3", "nf_log.4", "nf_log.5",
    "nf_log.6", "nf_log.7", "nf_log.8", "nf_log.9", "nf_log.10",
];

/// How names began that Linux 6.18 no longer has under `net.netfilter`, and what became of them.
const REMOVED: &[(&str, &str)] = &[
    (
        "nf_conntrack_helper",
        "removed in Linux 6.0: no helper is assigned by port, attach it with -j CT --helper",
    ),
    (
        "nf_conntrack_dccp_",
        "removed with the DCCP tracker before Linux 6.18: the generic timeout applies",
    ),
    (
        "nf_conntrack_events_retry_timeout",
        "removed long before Linux 6.18, which retries undelivered events by itself",
    ),
];

/// The directories of `/proc/sys`.
#[rustfmt::skip]
const TOP: &[&str] = &[
    "abi", "crypto", "debug", "dev", "fs", "fscache",
    "kernel", "net", "sunrpc", "user", "vm", "xen",
];
