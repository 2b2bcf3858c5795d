//! The language of the packet tables.
//!
//! A table is an exchange: each row is one packet and what becomes of it. After every row the whole
//! observable state is compared: verdict and bytes of the packet, every flow in the table (tuples,
//! status, mark, protocol state, both sides' flags and scale, counters, what is left of its life),
//! the events, the statistics. A row names what changes; what it does not name must be as before,
//! and older by the time that has passed.
//!
//! One second passes before each packet, so that a deadline that was renewed differs from one that
//! was not. Every table is run for IPv4 and for IPv6.
//!
//! The last column is a list of words:
//!
//! | word | meaning |
//! | --- | --- |
//! | `SYN_RECV` | the state is now this one (and a PROTOINFO event) |
//! | `60` | the deadline is now 60 s away, rounded up to the table's next tick |
//! | `+seen_reply`, `+assured` | a status bit (and its event) |
//! | `client+unacked`, `server-unacked` | a flag of one side |
//! | `client.scale=7` | the window scale of one side |
//! | `ignored` | let through, but neither believed nor counted |
//! | `uncounted` | believed, but not counted |
//! | `gone` | the flow is deleted |
//! | `again` | the flow is deleted, and the packet opens the next one |
//! | `+protoinfo` | the event without a visible change of state |

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::Family;

use super::lab::{Lab, View};
use crate::event::EventMask;
use crate::flow::Status;
use crate::testkit::Datagram;
use crate::testkit::kept;
use crate::time::Instant;
use crate::track::PeerFlags;

/// What conntrack calls the packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judged {
    /// NEW: opens a flow, or belongs to one that was never answered.
    New,
    /// ESTABLISHED.
    Established,
    /// RELATED, in the direction of the tuple that was found.
    Related,
    /// UNTRACKED.
    Untracked,
    /// INVALID, counted under this name.
    Invalid(&'static str),
    /// INVALID, counted under this name and as an `error`.
    Error(&'static str),
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) step: Step,
    pub(super) then: &'static str,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Packet(Datagram, Judged),
    /// Nothing comes for this long.
    Quiet(Duration),
}

/// A packet.
pub(super) fn row(
    what: &'static str,
    datagram: Datagram,
    judged: Judged,
    then: &'static str,
) -> Row {
    Row { what, step: Step::Packet(datagram, judged), then }
}

/// Time without packets; `then` is empty, or `gone` where the only flow runs out.
pub(super) fn quiet(what: &'static str, seconds: u64, then: &'static str) -> Row {
    Row { what, step: Step::Quiet(Duration::from_secs(seconds)), then }
}

/// [`quiet`], for less than seconds.
pub(super) fn pause(what: &'static str, milliseconds: u64) -> Row {
    Row { what, step: Step::Quiet(Duration::from_millis(milliseconds)), then: "" }
}

/// A table and the conditions it is played under.
pub(super) struct Exchange {
    families: &'static [Family],
    settings: Vec<(&'static str, &'static str)>,
    gap: Duration,
}

/// An exchange under the kernel's defaults, with accounting, in both families.
pub(super) fn exchange() -> Exchange {
    Exchange {
        families: &Family::ALL,
        settings: vec![("net.netfilter.nf_conntrack_acct", "1")],
        gap: Duration::from_secs(1),
    }
}

impl Exchange {
    /// In one family only.
    pub(super) fn only(mut self, families: &'static [Family]) -> Self {
        self.families = families;
        self
    }

    /// With another sysctl setting, by its full name.
    pub(super) fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.settings.push((key, value));
        self
    }

    /// Without a second between the packets.
    pub(super) fn at_once(mut self) -> Self {
        self.gap = Duration::ZERO;
        self
    }

    /// Plays the rows and compares after each.
    pub(super) fn play(&self, rows: &[Row]) {
        for family in self.families {
            let mut lab = Lab::new(*family, &self.settings);
            for row in rows {
                lab.play(row, self.gap);
            }
        }
    }
}

/// The last column of a row, parsed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Change {
    state: Option<&'static str>,
    left: Option<Duration>,
    sets: Status,
    /// Flags that appear and disappear, and the scale; client first.
    peers: [(PeerFlags, PeerFlags, Option<u8>); 2],
    events: EventMask,
    pub(super) uncounted: bool,
    pub(super) gone: bool,
    pub(super) again: bool,
}

impl Change {
    pub(super) fn parse(words: &'static str) -> Self {
        let mut change = Self::default();
        for word in words.split_whitespace() {
            change.take(word);
        }
        change
    }

    fn take(&mut self, word: &'static str) {
        match word {
            "gone" => self.gone = true,
            "again" => self.again = true,
            "ignored" | "uncounted" => self.uncounted = true,
            "+seen_reply" => self.set(Status::SEEN_REPLY, EventMask::REPLY),
            "+assured" => self.set(Status::ASSURED, EventMask::ASSURED),
            "+protoinfo" => self.events |= EventMask::PROTOINFO,
            _ if STATES.contains(&word) => {
                self.state = Some(word);
                self.events |= EventMask::PROTOINFO;
            }
            _ => match (word.parse(), word.strip_prefix("client"), word.strip_prefix("server")) {
                (Ok(seconds), ..) => self.left = Some(Duration::from_secs(seconds)),
                (_, Some(of_client), _) => self.take_peer(0, of_client),
                (.., Some(of_server)) => self.take_peer(1, of_server),
                _ => panic!("no such word: {word}"),
            },
        }
    }

    fn set(&mut self, bit: Status, event: EventMask) {
        self.sets |= bit;
        self.events |= event;
    }

    fn take_peer(&mut self, peer: usize, word: &str) {
        let (appears, disappears, scale) = &mut self.peers[peer];
        match word.split_at(1) {
            ("+", flag) => *appears |= flag_named(flag),
            ("-", flag) => *disappears |= flag_named(flag),
            (".", rest) => {
                let value = rest.strip_prefix("scale=").and_then(|value| value.parse().ok());
                *scale = Some(value.expect("a scale"));
            }
            _ => panic!("no such word: {word}"),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the view; what is announced because of it.
    pub(super) fn apply(&self, view: &mut View, now: Instant) -> EventMask {
        if let Some(state) = self.state {
            assert_ne!(view.state, Some(state), "a row names only what changes");
            view.state = Some(state);
        }
        view.ends = self.left.map_or(view.ends, |left| kept(now + left));
        view.status |= self.sets;
        for ((flags, scale), (appears, disappears, new_scale)) in
            view.peers.iter_mut().zip(self.peers)
        {
            assert!(!flags.intersects(appears), "a row names only what changes");
            assert!(flags.contains(disappears), "a row names only what changes");
            *flags = (*flags - disappears) | appears;
            *scale = new_scale.unwrap_or(*scale);
        }
        self.events
    }
}

const STATES: [&str; 9] = [
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

fn flag_named(name: &str) -> PeerFlags {
    match name {
        "scale" => PeerFlags::WINDOW_SCALE,
        "sack" => PeerFlags::SACK_PERM,
        "close_init" => PeerFlags::CLOSE_INIT,
        "liberal" => PeerFlags::BE_LIBERAL,
        "unacked" => PeerFlags::DATA_UNACKNOWLEDGED,
        "max_ack" => PeerFlags::MAXACK_SET,
        _ => panic!("no such flag: {name}"),
    }
}
