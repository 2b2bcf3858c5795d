//! `-m recent`: lists of addresses with the times at which they were seen. Linux: `xt_recent`.
//!
//! A list is shared by all rules that name it, in whatever table and of either family, and holds at most
//! [`ENTRIES_MAX`] addresses, of which the one seen longest ago gives way. Of an address it keeps as many times as a
//! rule asks for, a power of two.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Formatter};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use tidegate_wire::Family;

use super::addressed::{self, Side};
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::error::{Expected, Fault, GrammarError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::value as written;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};
use crate::time::Instant;

/// `-m recent`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Recent {
    negated: bool,
    action: Action,
    seconds: u32,
    hits: u32,
    /// Forget the oldest entry if it is older than `seconds`.
    reap: bool,
    /// Only an entry with the packet's hop limit counts.
    hops: bool,
    family: Family,
    name: String,
    mask: Option<IpAddr>,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Set,
    Check,
    Update,
    Remove,
}

/// Linux: `ip_list_tot`.
const ENTRIES_MAX: usize = 100;
/// Times of an address where no rule says how many (`ip_pkt_list_tot` being 0).
const STAMPS: usize = 32;
/// Linux: `XT_RECENT_MAX_NSTAMPS`, less one.
const HITS_MAX: u32 = 255;

impl Condition for Recent {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec { names: &["--set"], negatable: true, values: 0 },
        OptionSpec { names: &["--rcheck"], negatable: true, values: 0 },
        OptionSpec { names: &["--update"], negatable: true, values: 0 },
        OptionSpec { names: &["--remove"], negatable: true, values: 0 },
        value(&["--seconds"]),
        value(&["--hitcount"]),
        flag(&["--reap"]),
        flag(&["--rttl"]),
        value(&["--name"]),
        value(&["--mask"]),
        flag(&["--rsource"]),
        flag(&["--rdest"]),
    ];

    const PURE: bool = false;

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--set", "--rcheck", "--update", "--remove"])?;
        let given = given.ok_or_else(|| clause.missing("--set, --rcheck, --update or --remove"))?;
        let action = match given.name() {
            "--set" => Action::Set,
            "--rcheck" => Action::Check,
            "--update" => Action::Update,
            _ => Action::Remove,
        };
        let side = clause.one_of(&["--rsource", "--rdest"])?;
        let dest = side.is_some_and(|given| given.name() == "--rdest");
        let recent = Self {
            negated: given.negated,
            action,
            seconds: clause
                .value("--seconds", |word| values::number(word, 1, u32::MAX))?
                .unwrap_or(0),
            hits: clause
                .value("--hitcount", |word| values::number(word, 1, HITS_MAX))?
                .unwrap_or(0),
            reap: clause.flag("--reap"),
            hops: clause.flag("--rttl"),
            family,
            name: clause.value("--name", name)?.unwrap_or_else(|| "DEFAULT".into()),
            mask: clause.value("--mask", |word| values::address(family, word))?,
            side: if dest { Side::Destination } else { Side::Source },
        };
        recent.consistent()
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negated { " !" } else { "" })?;
        f.write_str(match self.action {
            Action::Set => " --set",
            Action::Check => " --rcheck",
            Action::Update => " --update",
            Action::Remove => " --remove",
        })?;
        if self.seconds != 0 {
            write!(f, " --seconds {}", self.seconds)?;
        }
        f.write_str(if self.reap { " --reap" } else { "" })?;
        if self.hits != 0 {
            write!(f, " --hitcount {}", self.hits)?;
        }
        f.write_str(if self.hops { " --rttl" } else { "" })?;
        write!(f, " --name {} --mask ", self.name)?;
        written::address(f, self.mask.unwrap_or(addressed::full_mask(self.family)))?;
        f.write_str(match self.side {
            Side::Source => " --rsource",
            Side::Destination => " --rdest",
        })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), memory: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let Some(list) = memory.recent.get_mut(&self.name) else { return Fit::Unreadable };
        let address = list.masked(self.side.of(ctx.headers));
        let sighting = Sighting { address, hops: self.hop_limit(ctx), now: ctx.now };
        (self.look(list, &sighting) != self.negated).into()
    }
}

/// A packet's address at a time.
struct Sighting {
    address: IpAddr,
    hops: u8,
    now: Instant,
}

impl Recent {
    fn consistent(self) -> Parsed<Self> {
        let only = matches!(self.action, Action::Set | Action::Remove);
        if only && (self.seconds != 0 || self.hits != 0 || self.reap || self.hops) {
            let conflict = GrammarError::Conflict { with: "--set and --remove" };
            return Err(Fault::new("--seconds, --hitcount, --reap or --rttl", conflict));
        }
        if self.reap && self.seconds == 0 {
            return Err(Fault::new("--reap", GrammarError::Missing { option: "--seconds" }));
        }
        Ok(self)
    }

    /// The list's name.
    pub(in crate::rules) fn list_name(&self) -> &str {
        &self.name
    }

    /// A list as this rule would make it.
    pub(in crate::rules) fn new_list(&self) -> List {
        let mask = match self.mask {
            None => u128::MAX,
            Some(IpAddr::V4(mask)) => u128::from(mask.to_bits()) << 96,
            Some(IpAddr::V6(mask)) => mask.to_bits(),
        };
        List { entries: VecDeque::new(), mask, stamps: self.stamps() }
    }

    /// How many times of an address the rule wants kept.
    pub(in crate::rules) fn stamps(&self) -> usize {
        match self.hits {
            0 => STAMPS,
            hits => (hits as usize).next_power_of_two(),
        }
    }

    /// As it came in: forwarding takes one off before the rules see it.
    fn hop_limit<F: Fib>(&self, ctx: &RuleContext<'_, F>) -> u8 {
        let forwarded = ctx.out_port.is_some() && ctx.in_port.is_some();
        ctx.hop_limit().wrapping_add(u8::from(forwarded))
    }

    fn look(&self, list: &mut List, sighting: &Sighting) -> bool {
        let wanted = self.hops.then_some(sighting.hops);
        let Some(at) = list.find(sighting.address, wanted) else {
            if self.action == Action::Set {
                list.add(sighting);
            }
            return self.action == Action::Set;
        };
        match self.action {
            Action::Set => {
                list.update(at, sighting);
                true
            }
            Action::Remove => {
                list.entries.remove(at);
                true
            }
            Action::Check | Action::Update => {
                let since = self.since(sighting.now);
                let found = list.entries[at].is_seen(since, self.hits);
                // Negation counts for this, too.
                let update = self.action == Action::Update && found != self.negated;
                let reaped = self.reap && list.reap(since, at, update);
                let at = if reaped { at.saturating_sub(1) } else { at };
                if update && !list.entries.is_empty() {
                    list.update(at, sighting);
                }
                found
            }
        }
    }

    fn since(&self, now: Instant) -> Option<Instant> {
        let age = Duration::from_secs(self.seconds.into());
        (self.seconds != 0).then(|| {
            let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            Instant::from_nanos(now.nanos().saturating_sub(age))
        })
    }
}

fn name(word: &str) -> Parsed<String> {
    if word.is_empty() || word.len() > 199 || word.contains(['/', ' ', '"']) {
        return Err(Fault::expected(word, Expected::Form("the name of a list")));
    }
    Ok(word.into())
}

/// A list of addresses.
#[derive(Clone, Debug)]
pub(in crate::rules) struct List {
    /// The one seen longest ago first.
    entries: VecDeque<Entry>,
    /// Of the rule that made the list; it serves for all, of either family: IPv4 has the first 32 bits, and a mask
    /// that an IPv4 rule spells out has no others.
    mask: u128,
    /// Times kept of an address.
    stamps: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    address: IpAddr,
    hops: u8,
    /// A ring; `next` is the place of the next time.
    stamps: Vec<Instant>,
    next: usize,
}

impl List {
    /// Makes room for more times of an address; what there was is forgotten, as in the kernel.
    pub(in crate::rules) fn keep(&mut self, stamps: usize) {
        if stamps > self.stamps {
            self.entries.clear();
            self.stamps = stamps;
        }
    }

    fn masked(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => {
                Ipv4Addr::from_bits(address.to_bits() & (self.mask >> 96) as u32).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & self.mask).into(),
        }
    }

    /// A hop limit of 0 is anybody's.
    fn find(&self, address: IpAddr, hops: Option<u8>) -> Option<usize> {
        self.entries.iter().position(|entry| {
            let [wanted, seen] = [hops.unwrap_or(0), entry.hops];
            entry.address == address && (wanted == 0 || seen == 0 || wanted == seen)
        })
    }

    fn add(&mut self, sighting: &Sighting) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
        }
        let mut stamps = Vec::with_capacity(self.stamps);
        stamps.push(sighting.now);
        let Sighting { address, hops, .. } = *sighting;
        self.entries.push_back(Entry { address, hops, stamps, next: 1 });
    }

    fn update(&mut self, at: usize, sighting: &Sighting) {
        let Some(mut entry) = self.entries.remove(at) else { return };
        entry.next %= self.stamps;
        match entry.stamps.get_mut(entry.next) {
            Some(stamp) => *stamp = sighting.now,
            None => entry.stamps.push(sighting.now),
        }
        entry.next += 1;
        entry.hops = sighting.hops;
        self.entries.push_back(entry);
    }

    /// Forgets the oldest entry, unless it was seen since, or is the one at hand and about to be updated. Whether it
    /// did.
    fn reap(&mut self, since: Option<Instant>, at: usize, update: bool) -> bool {
        let last = |entry: &Entry| entry.stamps.get(entry.next.wrapping_sub(1)).copied();
        let is_old = self.entries.front().and_then(last).zip(since).is_some_and(|(l, s)| s > l);
        let reap = is_old && !(at == 0 && update);
        if reap {
            self.entries.pop_front();
        }
        reap
    }
}

impl Entry {
    /// Whether it was seen so many times since; without a number once will do.
    fn is_seen(&self, since: Option<Instant>, hits: u32) -> bool {
        let recent = self.stamps.iter().filter(|stamp| since.is_none_or(|since| **stamp >= since));
        recent.count() >= hits.max(1) as usize
    }
}

#[cfg(test)]
mod tests;
