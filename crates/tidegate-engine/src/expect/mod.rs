//! Expectations: flows that a helper has announced.
//!
//! Life-cycle: a helper reads in a flow's payload (its *master*) that another flow is about to begin,
//! and relates it (`Expectations::relate`). The first packet of that flow finds the expectation
//! (`Expectations::take`) and uses it up, unless it is a permanent one. Until then it may expire, be
//! evicted by newer ones of its class, be withdrawn, or end with its master. An expectation that a
//! flow's very first packet brings about belongs to `FlowId::UNBORN` until that flow is confirmed
//! (`Expectations::adopt`); it cannot be found before.
//!
//! This module knows no helper's protocol and no table of flows. Linux: `nf_conntrack_expect.c`.

mod keymap;
mod table;

#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use bitflags::bitflags;
use tidegate_wire::Family;

use crate::event::ExpectMask;
use crate::flow::{Flow, FlowId, Master};
use crate::helper::Helper;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

pub(crate) use self::keymap::KeyMap;
pub use self::table::ExpectationStats;
pub(crate) use self::table::{Bounds, Expectations, Refusal};

bitflags! {
    /// What is special about an expectation, with the kernel's bits (`NF_CT_EXPECT_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ExpectFlags: u8 {
        /// Not used up by the first flow that it meets.
        const PERMANENT = 1 << 0;
        /// Meets no flow yet.
        const INACTIVE = 1 << 1;
    }
}

/// Which bits of a packet's source must be an expectation's. The destination must be it as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Of the address.
    pub src: IpAddr,
    /// Of the port or key.
    pub sport: u16,
}

impl Mask {
    pub(crate) fn covers(&self, one: &Tuple, other: &Tuple) -> bool {
        let addresses = bits(one.src) ^ bits(other.src);
        addresses & bits(self.src) == 0 && (one.sport ^ other.sport) & self.sport == 0
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let src = match (self.src, other.src) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Ipv4Addr::from_bits(a.to_bits() & b.to_bits()).into(),
            (a, b) => Ipv6Addr::from_bits(bits(a) & bits(b)).into(),
        };
        Self { src, sport: self.sport & other.sport }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// How the expected flow is translated, if its master is. Linux: `expectfn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// As its master (`nf_nat_follow_master`).
    FollowMaster,
    /// `nf_nat_sip_expected`
    Sip,
    /// `pptp_expectfn`
    Pptp,
    /// `ip_nat_callforwarding_expect`
    Forwarded,
}

impl Binding {
    pub(crate) const ALL: [Self; 4] = [Self::FollowMaster, Self::Sip, Self::Pptp, Self::Forwarded];

    /// The name under which the kernel has registered the function, if it has.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::FollowMaster => Some("nat-follow-master"),
            Self::Sip => Some("sip"),
            Self::Pptp => None,
            Self::Forwarded => Some("callforwarding"),
        }
    }
}

/// A flow that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The original tuple that it will have, as far as the mask says so.
    pub tuple: Tuple,
    /// What counts of the tuple's source.
    pub mask: Mask,
    /// Its master's zone.
    pub zone: Zone,
    /// Who announced it.
    pub master: Master,
    /// Its class among those of its helper, from 0.
    pub class: u8,
    /// What is special about it.
    pub flags: ExpectFlags,
    /// When it expires.
    pub deadline: Instant,
    /// The destination that the payload named, where it is announced under another: the address is
    /// unspecified and the port 0 where that doesn't count.
    pub saved: (IpAddr, u16),
    /// The master's direction that the expected flow's packets have.
    pub dir: Direction,
    /// The helper of the expected flow.
    pub(crate) assigns: Option<Helper>,
    pub(crate) binding: Option<Binding>,
    /// Which of its events are announced.
    pub(crate) announced: ExpectMask,
    /// How many there were before it; 0 until it is entered.
    pub(crate) number: u64,
}

/// The tuple of a flow to come: an absent source is any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcement {
    pub(crate) src: Option<IpAddr>,
    pub(crate) sport: Option<u16>,
    pub(crate) dst: IpAddr,
    pub(crate) dport: u16,
    pub(crate) proto: u8,
}

impl Expectation {
    /// What `master`, whose id is `id`, announces. Linux: `nf_ct_expect_init`.
    pub(crate) fn new(id: FlowId, master: &Flow, class: u8, announced: &Announcement) -> Self {
        let nobody = unspecified(Family::of(announced.dst));
        let src = announced.src.unwrap_or(nobody);
        let sport = announced.sport.unwrap_or(0);
        let Announcement { dst, dport, proto, .. } = *announced;
        let mask = Mask {
            src: announced.src.map_or(nobody, all_ones),
            sport: announced.sport.map_or(0, |_| u16::MAX),
        };
        Self {
            tuple: Tuple { src, dst, sport, dport, proto },
            mask,
            zone: master.zone,
            master: Master { id, tuple: master.orig, helper: master.helper() },
            class,
            flags: ExpectFlags::empty(),
            deadline: Instant::ZERO,
            saved: (nobody, 0),
            dir: Direction::Original,
            assigns: None,
            binding: None,
            announced: ExpectMask::all(),
            number: 0,
        }
    }

    /// Has it come from anywhere.
    pub(crate) fn allow_anybody(&mut self) {
        let anybody = unspecified(self.tuple.family());
        (self.tuple.src, self.mask.src) = (anybody, anybody);
    }

    /// How many expectations there were before it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The kernel's name of the function that translates the expected flow, where it has one.
    #[must_use]
    pub fn function(&self) -> Option<&'static str> {
        self.binding.and_then(Binding::name)
    }

    /// What is left of its life; zero when expired.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_sub(now)
    }

    /// Whether a flow that begins with this tuple is the expected one.
    fn meets(&self, tuple: &Tuple, zone: Zone) -> bool {
        self.mask.covers(&self.tuple, tuple)
            && same_destination(&self.tuple, tuple)
            && self.zone.id == zone.id
    }

    /// Whether some flow would be expected twice. Linux: `expect_clash`.
    fn clashes(&self, other: &Self) -> bool {
        self.mask.intersection(&other.mask).covers(&self.tuple, &other.tuple)
            && same_destination(&self.tuple, &other.tuple)
            && self.zone.id == other.zone.id
    }

    /// Whether it announces the very same. Linux: `expect_matches`.
    fn repeats(&self, other: &Self) -> bool {
        self.tuple == other.tuple && self.mask == other.mask && self.zone.id == other.zone.id
    }
}

fn same_destination(one: &Tuple, other: &Tuple) -> bool {
    one.dst == other.dst && one.dport == other.dport && one.proto == other.proto
}

/// The address that no host has.
#[must_use]
pub fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn all_ones(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
    }
}
