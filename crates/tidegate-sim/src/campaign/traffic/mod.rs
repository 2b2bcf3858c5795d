//! Seeded traffic: many conversations at once, and everything that can happen to packets.
//!
//! ```text
//! script (what is said) --> talk (to whom, as seen through NAT) --> impairments --> the router
//!                             ^                                                        |
//!                             +------------------- what came out ----------------------+
//! ```

pub(in crate::campaign) mod bytes;
mod fragment;
mod mutate;
pub(in crate::campaign) mod places;
mod quote;
mod script;
mod sctp;
mod services;
mod talk;
mod tcp;

use std::collections::VecDeque;
use std::time::Duration;

use self::script::Role;
use self::talk::{Packet, Talk};
use super::dice::Dice;
use super::experiment::{Action, Original, Patch, Step};
use super::kernel::{Output, Source};

/// What is known of traffic beforehand.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// How many packets.
    pub(super) packets: usize,
    /// What happens besides.
    pub(super) incidents: Vec<Incident>,
    /// How long nothing happens before each packet.
    pub(super) pace: Duration,
    /// The smallest of the links' limits, if it isn't the usual one.
    pub(super) mtu: Option<u32>,
}

/// Traffic of a seed, as many packets as were asked for.
pub(super) struct Traffic {
    dice: Dice,
    talks: Vec<Talk>,
    opened: u32,
    /// Packets that are due, with the talk that each belongs to.
    queue: VecDeque<(Packet, Option<u32>)>,
    numbers: Vec<u32>,
    past: VecDeque<Past>,
    sent: usize,
    wanted: usize,
    /// The talk that waits to hear what became of its packet.
    asking: Option<(u32, Role)>,
    /// What happens at some packets besides.
    incidents: Vec<Incident>,
    /// How long nothing happens before each packet.
    pace: Duration,
    /// No link carries more than this.
    mtu: usize,
}

/// A packet that was sent, and what became of it.
#[derive(Debug, Clone)]
struct Past {
    packet: Packet,
    step: usize,
    left: Vec<Output>,
}

/// Something that comes before a packet.
#[derive(Debug, Clone)]
pub(super) enum Incident {
    /// Nothing happens until the clock shows this.
    Silence { before: usize, until: Duration },
    /// The operator acts.
    Act { before: usize, action: Action },
    /// He deletes the entry of some conversation.
    Delete { before: usize },
    /// He marks the entries of two hosts.
    Mark { before: usize, mark: u32 },
}

impl Incident {
    fn before(&self) -> usize {
        match self {
            Self::Silence { before, .. }
            | Self::Act { before, .. }
            | Self::Delete { before }
            | Self::Mark { before, .. } => *before,
        }
    }
}

/// The entry of some conversation.
fn some(talks: &[Talk], dice: &mut Dice) -> Option<Original> {
    talks.get(dice.index(talks.len().max(1)))?.original()
}

impl Traffic {
    /// Traffic as it is outlined.
    pub(super) fn new(dice: Dice, outline: Outline) -> Self {
        let Outline { packets: wanted, incidents, pace, mtu } = outline;
        Self {
            dice,
            talks: Vec::new(),
            opened: 0,
            queue: VecDeque::new(),
            numbers: Vec::new(),
            past: VecDeque::new(),
            sent: 0,
            wanted,
            asking: None,
            incidents,
            pace,
            mtu: mtu.unwrap_or(1500) as usize,
        }
    }

    /// Lets something happen until there is a packet to be sent.
    fn happen(&mut self) -> (Packet, Option<u32>) {
        loop {
            match self.queue.pop_front() {
                Some(next) if self.may_come(&next.0) => return next,
                Some(_) => continue,
                None => {}
            }
            while self.talks.len() < AT_ONCE {
                self.talks.push(Talk::new(self.opened, &mut self.dice));
                self.numbers.push(self.opened);
                self.opened += 1;
            }
            let at = self.dice.index(self.talks.len());
            self.speak(at);
        }
    }

    /// Links have limits, and nobody says what the router alone may say: to IPv6 its addresses are
    /// like any other's, and the answer would be the router's to itself.
    fn may_come(&self, packet: &Packet) -> bool {
        let (sender, _) = bytes::addresses(&packet.datagram).unzip();
        let is_own = places::V6.router.iter().any(|own| own.parse().ok() == sender);
        packet.datagram.len() <= self.mtu && !is_own
    }

    fn speak(&mut self, at: usize) {
        let number = self.numbers[at];
        let mutant = if self.dice.chance(9) { self.talks[at].mutant(&mut self.dice) } else { None };
        self.queue.extend(mutant.map(|mutant| (mutant, None)));
        let Some(packet) = self.talks[at].next(&mut self.dice) else {
            self.talks.swap_remove(at);
            self.numbers.swap_remove(at);
            return;
        };
        self.impair(packet, number);
    }

    fn impair(&mut self, packet: Packet, number: u32) {
        let whole = |packet| (packet, Some(number));
        // A change of what follows a port would be undone when the port is followed.
        let may_change = packet.patches.is_empty();
        match self.dice.between(0..=99) {
            0..=2 => {}
            3..=5 => self.queue.extend([whole(packet.clone()), (packet, None)]),
            6..=8 => {
                let old = self.dice.index(self.past.len().max(1));
                let again = self.past.get(old).map(|past| (past.packet.clone(), None));
                self.queue.push_back(whole(packet));
                self.queue.extend(again);
            }
            9..=11 => {
                // Overtaken by the next packet.
                let at = self.dice.index(self.talks.len());
                let next = self.talks[at].next(&mut self.dice);
                let next_number = self.numbers[at];
                self.queue.extend(next.map(|next| (next, Some(next_number))));
                self.queue.push_back(whole(packet));
            }
            12..=18 if may_change => {
                let mut damaged = packet.clone();
                mutate::damage(&mut damaged.datagram, &mut self.dice);
                self.queue.push_back((damaged, None));
                if self.dice.chance(60) {
                    self.queue.push_back(whole(packet));
                }
            }
            19..=24 if may_change => self.send_in_pieces(&packet, number),
            25..=31 => {
                self.queue.push_back(whole(packet));
                let error = self.complain();
                self.queue.extend(error.map(|error| (error, None)));
            }
            _ => self.queue.push_back(whole(packet)),
        }
    }

    fn send_in_pieces(&mut self, packet: &Packet, number: u32) {
        let pieces = fragment::fragments(&packet.datagram, &mut self.dice);
        let last = pieces.len() - 1;
        for (at, datagram) in pieces.into_iter().enumerate() {
            let piece = Packet { datagram, ..packet.clone() };
            self.queue.push_back((piece, (at == last).then_some(number)));
        }
    }

    /// An ICMP error about a packet of the past: about what left the router, mostly, from where
    /// it went.
    fn complain(&mut self) -> Option<Packet> {
        let at = self.dice.index(self.past.len().max(1));
        let past = self.past.get(at)?.clone();
        let forwarded = past.left.iter().position(|output| output.is_forwarded);
        let (quoted, side, patches) = match forwarded {
            Some(out) if self.dice.chance(80) => {
                let output = &past.left[out];
                (&output.datagram, output.side, self.follow(&past, out)?)
            }
            // A port that was followed is only right in this one recording.
            _ if past.packet.patches.is_empty() => {
                (&past.packet.datagram, past.packet.side.opposite(), Vec::new())
            }
            _ => return None,
        };
        let datagram = quote::error(quoted, side, &mut self.dice)?;
        let is_cut = datagram.len() < 20 + 8 + 20 + 8;
        if !patches.is_empty() && is_cut {
            return None;
        }
        Some(Packet { side, datagram, patches, spoken_by: None })
    }

    /// Quotes of ports that NAT has changed follow them; in IPv6 nothing can.
    fn follow(&self, past: &Past, out: usize) -> Option<Vec<Patch>> {
        let output = &past.left[out].datagram;
        let ends = [&past.packet.datagram, output].map(|datagram| talk::endpoints(datagram));
        let [Some(before), Some(after)] = ends else { return Some(Vec::new()) };
        let is_icmp = output.get(9) == Some(&1);
        let fields: &[_] = if is_icmp {
            &[("inner.id", "id", before.0.port != after.0.port)]
        } else {
            &[
                ("inner.sport", "sport", before.0.port != after.0.port),
                ("inner.dport", "dport", before.1.port != after.1.port),
            ]
        };
        let changed = fields.iter().filter(|(.., is_changed)| *is_changed);
        let patches: Vec<Patch> =
            changed.map(|(set, field, _)| Patch { set, step: past.step, out, field }).collect();
        (patches.is_empty() || after.0.addr.is_ipv4()).then_some(patches)
    }

    fn hear(&mut self, left: &[Output]) {
        let Some(last) = self.past.back_mut().filter(|past| past.step + 1 == self.sent) else {
            return;
        };
        last.left = left.to_vec();
        let sent = last.packet.datagram.clone();
        let Some((number, from)) = self.asking.take() else { return };
        if let Some(at) = self.numbers.iter().position(|known| *known == number) {
            self.talks[at].hear(from, &sent, self.sent - 1, left);
            for child in self.talks[at].children(&mut self.dice) {
                self.talks.push(child);
                self.numbers.push(self.opened);
                self.opened += 1;
            }
        }
    }

    fn incidents(&mut self, now: Duration) -> (Duration, Vec<Action>) {
        let (mut pause, mut actions) = (self.pace, Vec::new());
        for incident in self.incidents.extract_if(.., |incident| incident.before() == self.sent) {
            match incident {
                Incident::Silence { until, .. } => pause = until.saturating_sub(now),
                Incident::Act { action, .. } => actions.push(action),
                Incident::Delete { .. } => {
                    actions.extend(some(&self.talks, &mut self.dice).map(Action::Delete));
                }
                Incident::Mark { mark, .. } => {
                    let of = some(&self.talks, &mut self.dice);
                    actions.extend(of.map(|of| Action::Mark { of, mark }));
                }
            }
        }
        (pause, actions)
    }
}

impl Source for Traffic {
    fn next(&mut self, now: Duration, left: &[Output]) -> Option<Step> {
        self.hear(left);
        if self.sent == self.wanted {
            return None;
        }
        let (pause, actions) = self.incidents(now);
        let (packet, talk) = self.happen();
        self.asking = talk.zip(packet.spoken_by);
        self.past.push_back(Past { packet: packet.clone(), step: self.sent, left: Vec::new() });
        if self.past.len() > MEMORY {
            self.past.pop_front();
        }
        self.sent += 1;
        let Packet { side, datagram, patches, .. } = packet;
        Some(Step { pause, actions, side, datagram, patches })
    }
}

/// Conversations that go on at the same time.
const AT_ONCE: usize = 6;
/// Packets that may come again or be complained about.
const MEMORY: usize = 12;
