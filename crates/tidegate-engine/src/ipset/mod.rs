//! Sets of addresses, networks and ports, as ipset keeps them for rules (`-m set`, `SET`).
//!
//! They are made and filled by the lines that `ipset save` writes ([`Sets::restore`]), at the start or at any time
//! later, and by rules. What a set knows of an element is its value in a map ordered by the element, so that nothing
//! depends on a hash. An element with a time-out is gone when that is over: nobody finds it, and its place is free
//! once the set needs one.
//!
//! Served are hash:ip, hash:net, hash:ip,port, hash:net,port, bitmap:port and list:set; of the extensions time-outs,
//! counters, comments (read and kept back) and `nomatch`. Other types and options are refused by name.

mod command;
mod element;
mod error;
mod members;

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::{Family, Headers};

use crate::flow::Counter;
use crate::time::Instant;

pub use self::error::{SetError, SetErrorKind};

pub(crate) use self::element::{Direction, Directions};
use self::element::{Element, Port};
use self::members::{Found, Members};

/// All sets, by name.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    sets: BTreeMap<String, Set>,
    /// Names that rules in force use; such a set stays.
    named: BTreeSet<String>,
}

/// What the elements of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetType {
    /// `hash:ip`
    Ip,
    /// `hash:net`
    Net,
    /// `hash:ip,port`
    IpPort,
    /// `hash:net,port`
    NetPort,
    /// `bitmap:port`
    Port,
    /// `list:set`
    List,
}

impl SetType {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Ip, "hash:ip"),
        (Self::Net, "hash:net"),
        (Self::IpPort, "hash:ip,port"),
        (Self::NetPort, "hash:net,port"),
        (Self::Port, "bitmap:port"),
        (Self::List, "list:set"),
    ];

    /// How many parts an element has.
    fn dimension(self) -> usize {
        match self {
            Self::IpPort | Self::NetPort => 2,
            Self::Ip | Self::Net | Self::Port | Self::List => 1,
        }
    }
}

/// One set.
#[derive(Clone, Debug)]
struct Set {
    kind: SetType,
    /// Whose addresses; ports and lists are of both.
    family: Option<Family>,
    /// Elements that it may have.
    most: usize,
    /// Seconds that an element stays if nobody says; 0 for good. Without it no element has a time-out.
    timeout: Option<u32>,
    counters: bool,
    /// `hash:ip`: addresses count up to this prefix.
    netmask: Option<u32>,
    /// `bitmap:port`
    range: (u16, u16),
    members: Members,
}

/// What a rule asks of an element besides being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Elements marked `nomatch` count, and no others.
    pub(crate) nomatch: bool,
    /// Leave the counters alone.
    pub(crate) keep_counters: bool,
    /// Leave those of a list's sets alone.
    pub(crate) keep_sub_counters: bool,
    /// Of the packets counted.
    pub(crate) packets: Option<Compare>,
    /// Of the bytes counted.
    pub(crate) bytes: Option<Compare>,
}

/// A comparison with a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal(u64),
    NotEqual(u64),
    Below(u64),
    Above(u64),
}

impl Compare {
    fn holds(self, count: u64) -> bool {
        match self {
            Self::Equal(number) => count == number,
            Self::NotEqual(number) => count != number,
            Self::Below(number) => count < number,
            Self::Above(number) => count > number,
        }
    }
}

/// A packet as a set sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) headers: &'a Headers,
    pub(crate) datagram: &'a [u8],
    pub(crate) directions: Directions,
    pub(crate) now: Instant,
}

impl Sight<'_> {
    /// What an element begins with that the packet makes.
    fn counted(&self) -> Counter {
        Counter { packets: 1, bytes: self.headers.len as u64 }
    }
}

/// A rule's wish to add an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addition {
    /// Renew an element that is there.
    pub(crate) exist: bool,
    /// Seconds.
    pub(crate) timeout: Option<u32>,
}

impl Sets {
    /// Does what the lines of `ipset save` or `ipset restore` say: `create`, `add`, `del`, `flush`, `destroy`. A line
    /// that can't be done is left out; among them one that would destroy a set that a rule or a list uses.
    ///
    /// `-exist` on a line makes creating or adding what is there, and deleting what isn't, no error.
    ///
    /// # Errors
    /// All lines that could not be done, with the field at fault; `file` names the text.
    pub fn restore(&mut self, now: Instant, file: &str, text: &str) -> Result<(), Vec<SetError>> {
        let mut errors = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if let Err(fault) = command::execute(self, now, line) {
                errors.push(fault.at(file, number));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Whether there is a set of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.sets.contains_key(name)
    }

    /// The names of all sets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(String::as_str)
    }

    /// How many elements a set has, expired ones aside; `None` if there is no such set.
    #[must_use]
    pub fn len(&self, now: Instant, name: &str) -> Option<usize> {
        self.sets.get(name).map(|set| set.members.living(now))
    }

    /// Whether there is no set at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Takes note of the names that rules in force use.
    pub(crate) fn keep<'n>(&mut self, named: impl Iterator<Item = &'n str>) {
        self.named = named.map(ToOwned::to_owned).collect();
    }

    /// Why the set can't be destroyed.
    fn user(&self, name: &str) -> Option<SetErrorKind> {
        let is_listed =
            || self.sets.values().any(|list| list.members.has_subset(name, Instant::ZERO));
        if self.named.contains(name) {
            return Some(SetErrorKind::Named);
        }
        is_listed().then_some(SetErrorKind::InUse)
    }

    /// `-m set`: whether a packet is in a set.
    pub(crate) fn holds(&mut self, name: &str, sight: &Sight<'_>, demand: &Demand) -> bool {
        let found = self.find(name, sight, demand);
        match found {
            // Only sets of networks know such elements.
            Found::Nomatch => demand.nomatch,
            Found::Match => !(demand.nomatch && self.is_of_networks(name)),
            Found::Nothing => false,
        }
    }

    /// `SET --add-set`: whether the set has taken it. A full set stays as it is, and of a list the first subset that
    /// takes it is enough.
    pub(crate) fn add_packet(&mut self, name: &str, sight: &Sight<'_>, wish: Addition) -> bool {
        let Some(set) = self.sets.get_mut(name) else { return false };
        if set.kind == SetType::List {
            let subsets = set.members.subsets(sight.now);
            return subsets.iter().any(|subset| self.add_packet(subset, sight, wish));
        }
        let Some(element) = set.element(sight, false) else { return false };
        let timeout = wish.timeout.or(set.timeout).filter(|_| set.timeout.is_some());
        let mut note = members::Note::new(sight.now, timeout);
        note.counter = sight.counted();
        set.add(element, note, wish.exist).is_ok()
    }

    /// `SET --del-set`: whether it was there; of a list's subsets in the first one.
    pub(crate) fn remove_packet(&mut self, name: &str, sight: &Sight<'_>) -> bool {
        let Some(set) = self.sets.get_mut(name) else { return false };
        if set.kind == SetType::List {
            let subsets = set.members.subsets(sight.now);
            return subsets.iter().any(|subset| self.remove_packet(subset, sight));
        }
        set.element(sight, false).is_some_and(|element| set.members.remove(&element, sight.now))
    }

    fn is_of_networks(&self, name: &str) -> bool {
        self.sets.get(name).is_some_and(|set| matches!(set.kind, SetType::Net | SetType::NetPort))
    }

    fn find(&mut self, name: &str, sight: &Sight<'_>, demand: &Demand) -> Found {
        let Some(set) = self.sets.get_mut(name) else { return Found::Nothing };
        if set.kind == SetType::List {
            return self.find_in_list(name, sight, demand);
        }
        let Some(element) = set.element(sight, true) else { return Found::Nothing };
        let counters = set.counters;
        set.members.find(&element, sight, demand, counters)
    }

    fn find_in_list(&mut self, name: &str, sight: &Sight<'_>, demand: &Demand) -> Found {
        let mut at = 0;
        let keep_counters = demand.keep_counters || demand.keep_sub_counters;
        let asked = Demand { keep_counters, packets: None, bytes: None, ..*demand };
        while let Some((subset, set)) = self.take_subset(name, at, sight.now) {
            at += 1;
            // Each subset is asked as if it stood alone, `--return-nomatch` included.
            let holds = self.holds(&subset, sight, &asked);
            if let Some(list) = self.sets.get_mut(name) {
                list.members.give_back(set, subset);
                if holds && list.members.count(set, sight, demand, list.counters) {
                    return Found::Match;
                }
            }
        }
        Found::Nothing
    }

    /// The name of a list's subset, lent out while it is asked: so that nothing is copied for a packet.
    fn take_subset(&mut self, name: &str, at: usize, now: Instant) -> Option<(String, usize)> {
        self.sets.get_mut(name)?.members.lend(at, now)
    }
}

impl Set {
    /// What a packet is to the set; `None`: nothing that could be in it. To look for it all of its address counts; to
    /// add it, as much as the set's most exact network has.
    fn element(&self, sight: &Sight<'_>, looking: bool) -> Option<Element> {
        let directions = sight.directions.as_slice();
        let [first, rest @ ..] = directions else { return None };
        let ours = self.family.is_none_or(|family| family == sight.headers.family);
        if directions.len() < self.kind.dimension() || !ours {
            return None;
        }
        let address = first.address(sight.headers);
        let width = element::width(address);
        let length = match self.kind {
            SetType::Net | SetType::NetPort if !looking => self.members.longest().unwrap_or(width),
            _ => self.netmask.unwrap_or(width),
        };
        let port = |direction: &Direction| Port::of(sight, *direction);
        match self.kind {
            SetType::Ip | SetType::Net => Some(Element::network(address, length, None)),
            SetType::IpPort | SetType::NetPort => {
                Some(Element::network(address, length, Some(port(rest.first()?)?)))
            }
            SetType::Port => {
                let port = port(first).filter(Port::is_of_tcp_or_udp)?;
                (self.range.0..=self.range.1)
                    .contains(&port.number)
                    .then(|| Element::port(port.number))
            }
            SetType::List => None,
        }
    }

    /// Adds an element, unless it is there and is not to be renewed.
    fn add(
        &mut self,
        element: Element,
        note: members::Note,
        renew: bool,
    ) -> Result<(), SetErrorKind> {
        if self.members.has(&element, note.added) {
            if !renew {
                return Err(SetErrorKind::Exists);
            }
        } else if self.members.len() >= self.most && !self.members.clear_expired(note.added) {
            return Err(SetErrorKind::Full { most: self.most });
        }
        self.members.insert(element, note);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
