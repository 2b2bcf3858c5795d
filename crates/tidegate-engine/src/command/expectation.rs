//! Making, changing and deleting expectations.

use core::net::IpAddr;

use super::{CommandError, Done};
use crate::engine::Engine;
use crate::expect::{Binding, Bounds, ExpectFlags, Expectation, Mask, Refusal, unspecified};
use crate::flow::{FlowId, Master};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

/// A flow to be expected.
#[derive(Clone, Debug)]
pub struct Announcing<'a> {
    /// A tuple of the flow that announces it, which must have a helper.
    pub master: Tuple,
    /// Its zone.
    pub zone: Zone,
    /// The original tuple that the expected flow will have.
    pub tuple: Tuple,
    /// What counts of its source.
    pub mask: Mask,
    /// What is special about it.
    pub flags: ExpectFlags,
    /// Its class among those of the helper.
    pub class: u32,
    /// How the expected flow is translated: the kernel's name of the function.
    pub function: Option<&'a [u8]>,
    /// The master's direction that its packets will have, and the destination that the payload named.
    pub nat: Option<(Direction, IpAddr, u16)>,
}

impl Engine {
    /// Has a flow expected. Linux: `ctnetlink_create_expect`.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] (no such master), [`CommandError::NotSupported`] (it has no helper),
    /// [`CommandError::Invalid`] (no such class or function), [`CommandError::Busy`], [`CommandError::Already`],
    /// [`CommandError::TooMany`].
    pub fn expect(&mut self, now: Instant, what: &Announcing<'_>) -> Done {
        let found = self.table.lookup(now, &what.master, what.zone);
        let (id, _) = found.ok_or(CommandError::NotFound)?;
        let (expectation, class) = self.announced(id, what)?;
        let bounds = Bounds {
            class: class.most,
            timeout: class.timeout,
            all: self.expectation_limit(),
            shares: false,
        };
        let expectations = &mut self.table.expectations;
        let entered = expectations.relate(now, expectation, bounds, &mut self.events);
        entered.map_err(|refusal| match refusal {
            Refusal::Busy => CommandError::Busy,
            Refusal::Already => CommandError::Already,
            Refusal::Full => CommandError::TooMany,
        })
    }

    fn announced(
        &self,
        id: FlowId,
        what: &Announcing<'_>,
    ) -> Done<(Expectation, crate::helper::Policy)> {
        let master = self.table.read(id);
        let helper = master.helper.ok_or(CommandError::NotSupported)?;
        let class = u8::try_from(what.class).ok().filter(|class| *class < helper.classes());
        let class = class.ok_or(CommandError::Invalid)?;
        let binding = what.function.map(binding_named).transpose()?;
        let nobody = unspecified(what.tuple.family());
        let (dir, addr, port) = what.nat.unwrap_or((Direction::Original, nobody, 0));
        let expectation = Expectation {
            tuple: what.tuple,
            mask: what.mask,
            zone: master.zone,
            master: Master { id, tuple: master.orig, helper: Some(helper) },
            class,
            flags: what.flags,
            deadline: Instant::ZERO,
            saved: (addr, port),
            dir,
            assigns: None,
            binding,
            announced: self.table.care(id).expect_events,
            number: 0,
        };
        Ok((expectation, helper.policy(class, &self.limits.helpers)))
    }

    /// All expectations from a number on, oldest first, with their numbers.
    pub fn expectations_from(&self, number: u64) -> impl Iterator<Item = (u64, &Expectation)> {
        self.table.expectations.numbered(number)
    }

    /// The expectation that a flow of this tuple would meet, and its number.
    #[must_use]
    pub fn find_expectation(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(u64, &Expectation)> {
        self.table.expectations.find_numbered(now, tuple, zone)
    }

    /// Gives an expectation so many seconds from now on.
    ///
    /// # Errors
    /// [`CommandError::NotFound`].
    pub fn renew_expectation(&mut self, now: Instant, number: u64, seconds: u32) -> Done {
        let deadline = now.after_seconds(seconds);
        let is_there = self.table.expectations.renew(number, deadline);
        if is_there { Ok(()) } else { Err(CommandError::NotFound) }
    }

    /// Withdraws an expectation; whether it was there.
    pub fn withdraw_expectation(&mut self, now: Instant, number: u64) -> bool {
        self.table.expectations.withdraw_number(number, now, &mut self.events)
    }
}

fn binding_named(name: &[u8]) -> Done<Binding> {
    Binding::ALL
        .into_iter()
        .find(|binding| binding.name().is_some_and(|known| known.as_bytes() == name))
        .ok_or(CommandError::Invalid)
}
