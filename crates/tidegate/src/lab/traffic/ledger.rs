//! What the traffic has shown so far: each check, by family, how often it held, and why it didn't.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tidegate_wire::Family;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// The client sends much by TCP, and all of it arrives.
    Upload,
    /// The server does.
    Download,
    /// A connection for a request and its answer.
    Request,
    /// A datagram with a question of DNS, and one with its answer.
    Question,
    /// An echo of ICMP.
    Ping,
    /// The server sees the gateway's address.
    Masquerade,
    /// From outside to the port that is forwarded, and the client sees who it was.
    PortForward,
    /// From inside to the same port of the outer address.
    Hairpin,
    /// From outside to all else, which is refused.
    Refused,
    /// Datagrams that are longer than any link takes.
    Fragments,
    /// The gateway says how long a packet may be.
    PathMtu,
}

impl Check {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Upload,
        Self::Download,
        Self::Request,
        Self::Question,
        Self::Ping,
        Self::Masquerade,
        Self::PortForward,
        Self::Hairpin,
        Self::Refused,
        Self::Fragments,
        Self::PathMtu,
    ];

    /// What people and machines call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upload => "tcp upload",
            Self::Download => "tcp download",
            Self::Request => "http requests",
            Self::Question => "dns questions",
            Self::Ping => "ping",
            Self::Masquerade => "masquerade",
            Self::PortForward => "port forward",
            Self::Hairpin => "hairpin",
            Self::Refused => "outside refused",
            Self::Fragments => "udp in fragments",
            Self::PathMtu => "path mtu",
        }
    }
}

/// Why a check didn't hold.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system said no, or nothing came.
    Io(&'static str, io::Error),
    /// What arrived is not what was sent, from this byte on.
    Content(u64),
    /// Something came that is no answer.
    Answer(String),
    /// The other side sees an address that it shouldn't.
    Seen(IpAddr, IpAddr),
    /// A port is not closed to the outside.
    Open(IpAddr, u16),
    /// Something else than a refusal came.
    Unrefused(IpAddr, u16, io::Error),
    /// The path's MTU is not what it should be.
    Mtu(u32, u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(doing, error) if is_silence(error) => write!(f, "{doing}: no answer in time"),
            Self::Io(doing, error) => write!(f, "{doing}: {error}"),
            Self::Content(at) => write!(f, "byte {at} is not what was sent"),
            Self::Answer(text) => write!(f, "an answer that fits no question: {text}"),
            Self::Seen(seen, right) => write!(f, "the other side sees {seen}, not {right}"),
            Self::Open(address, port) => write!(f, "port {port} of {address} is open"),
            Self::Unrefused(address, port, error) => {
                write!(f, "port {port} of {address} did not refuse: {error}")
            }
            Self::Mtu(mtu, right) => write!(f, "{mtu} instead of {right}"),
        }
    }
}

/// Whether nothing came in time.
pub(super) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What a check came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// So often it held.
    pub(crate) good: u64,
    /// So often it didn't.
    pub(crate) bad: u64,
    /// Bytes that were carried and looked at.
    pub(crate) bytes: u64,
    /// Why it didn't hold the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

impl Tally {
    /// Whether it was looked at, and held each time.
    pub(crate) fn holds(&self) -> bool {
        self.good > 0 && self.bad == 0
    }
}

/// The results of all checks.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<(Check, Family), Tally>>);

/// A row of the ledger, as machines read it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The check's name.
    pub(crate) check: &'static str,
    /// `ipv4` or `ipv6`.
    pub(crate) family: &'static str,
    /// Whether it holds.
    pub(crate) holds: bool,
    /// What it came to.
    #[serde(flatten)]
    pub(crate) tally: Tally,
}

impl Ledger {
    /// Takes down what a check came to this time: how many bytes it looked at, or why it doesn't hold.
    pub(crate) fn settle(&self, check: Check, family: Family, outcome: Result<u64, Fault>) {
        let mut all = self.all();
        let tally = all.entry((check, family)).or_default();
        match outcome {
            Ok(bytes) => {
                tally.good += 1;
                tally.bytes += bytes;
            }
            Err(fault) => {
                tally.bad += 1;
                tally.fault.get_or_insert_with(|| fault.to_string());
            }
        }
    }

    /// What a check has come to.
    pub(crate) fn tally(&self, check: Check, family: Family) -> Tally {
        self.all().get(&(check, family)).cloned().unwrap_or_default()
    }

    /// Each check and family.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let row = |(check, family): (Check, Family)| {
            let tally = self.tally(check, family);
            Row { check: check.name(), family: family_name(family), holds: tally.holds(), tally }
        };
        let pairs = Check::ALL.into_iter().flat_map(|check| FAMILIES.map(|family| (check, family)));
        pairs.map(row).collect()
    }

    /// Whether every check holds.
    pub(crate) fn holds(&self) -> bool {
        self.rows().iter().all(|row| row.holds)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(Check, Family), Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What people call a family.
pub(crate) fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Both, always.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
