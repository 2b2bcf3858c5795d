//! A message on its way: reading and rewriting the endpoints that it tells, and expecting what it
//! announces.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family;

use super::Call;
use super::per::{Found, Value, address_len};
use crate::expect::{Binding, Expectation};
use crate::helper::hearing::toward;
use crate::helper::{Hearing, Helper, Memory, Outcome};

/// An address and a port.
pub(super) type Endpoint = (IpAddr, u16);

pub(super) struct Pdu<'h, 'e, 'm> {
    pub(super) hearing: &'h mut Hearing<'e, 'm>,
    /// Where in the payload the message begins.
    pub(super) at: usize,
}

impl Pdu<'_, '_, '_> {
    /// What is remembered of the connection.
    pub(super) fn call(&self) -> Call {
        Call::of(&self.hearing.care)
    }

    pub(super) fn call_mut(&mut self, change: impl FnOnce(&mut Call)) {
        if let Memory::H323(call) = &mut self.hearing.care.memory {
            change(call);
        }
    }

    /// The indices of the packet's direction and of the other one.
    pub(super) fn dirs(&self) -> (usize, usize) {
        let dir = self.hearing.dir;
        (dir.index(), dir.opposite().index())
    }

    /// The endpoint that was found, if it is of the connection's family.
    pub(super) fn endpoint(&self, found: &Found) -> Option<Endpoint> {
        let Value::Endpoint(family, at) = found.value else { return None };
        if family != self.hearing.flow.orig.family() {
            return None;
        }
        let data = self.hearing.message.data().get(self.at + at..)?;
        let (addr, rest) = data.split_at_checked(address_len(family))?;
        let addr: IpAddr = match family {
            Family::V4 => Ipv4Addr::from(*addr.first_chunk::<4>()?).into(),
            Family::V6 => Ipv6Addr::from(*addr.first_chunk::<16>()?).into(),
        };
        Some((addr, u16::from_be_bytes(*rest.first_chunk()?)))
    }

    /// An endpoint of the sender's own.
    pub(super) fn own_endpoint(&self, found: &Found) -> Option<Endpoint> {
        let own = self.hearing.own().src;
        self.endpoint(found).filter(|(addr, port)| *addr == own && *port != 0)
    }

    /// Whether endpoints are rewritten.
    pub(super) fn is_translated(&self) -> bool {
        self.hearing.is_translated() && self.hearing.flow.orig.family() == Family::V4
    }

    /// Whether the sender is seen under another address, so that its endpoints are rewritten.
    pub(super) fn hides_sender(&self) -> bool {
        self.is_translated() && self.hearing.own().src != self.hearing.other().dst
    }

    /// Puts another endpoint in the place of the one that was found. Linux: `set_addr`.
    pub(super) fn write(&mut self, found: &Found, (addr, port): Endpoint) -> Outcome {
        let (Value::Endpoint(_, at), IpAddr::V4(addr)) = (found.value, addr) else {
            return Ok(());
        };
        let mut bytes = [0; 6];
        bytes[..4].copy_from_slice(&addr.octets());
        bytes[4..].copy_from_slice(&port.to_be_bytes());
        let at = self.at + at;
        self.hearing.replace(at..at + bytes.len(), &bytes)
    }

    /// [`Pdu::write`], or withdraws what was expected there.
    pub(super) fn write_expected(
        &mut self,
        found: &Found,
        endpoint: Endpoint,
        expected: &[Expectation],
    ) -> Outcome {
        self.write(found, endpoint)
            .inspect_err(|_| expected.iter().for_each(|one| self.hearing.unexpect(one)))
    }

    /// What the other end is to begin with `(dst, port)`.
    pub(super) fn expectation(&self, (dst, port): Endpoint, proto: u8) -> Expectation {
        let from = self.hearing.other().src;
        self.hearing.announce(0, &toward(Some(from), dst, port, proto))
    }

    /// [`Pdu::expectation`], of a flow with a helper.
    pub(super) fn assisted(&self, endpoint: Endpoint, proto: u8, helper: Helper) -> Expectation {
        Expectation { assigns: Some(helper), ..self.expectation(endpoint, proto) }
    }

    /// Has the expected flow translated as this one.
    pub(super) fn follow(&self, expectation: &mut Expectation) {
        expectation.saved.1 = expectation.tuple.dport;
        expectation.dir = self.hearing.dir.opposite();
        expectation.binding = Some(Binding::FollowMaster);
    }

    /// Expects signalling at a port of the sender's, or at that where it was expected before, or at a
    /// free one; which. `None` if there is no free one.
    pub(super) fn expect_signalling(&mut self, expectation: &mut Expectation) -> Option<u16> {
        let (dir, other) = self.dirs();
        self.follow(expectation);
        let (port, signal) = (expectation.tuple.dport, self.call().signal);
        let first = if signal[dir] == port { signal[other] } else { port };
        self.hearing.expect_at_some_port(expectation, first).ok()
    }

    /// Remembers where signalling is expected.
    pub(super) fn remember_signalling(&mut self, told: u16, seen: u16) {
        let (dir, other) = self.dirs();
        self.call_mut(|call| (call.signal[dir], call.signal[other]) = (told, seen));
    }

    /// Complains that something can't be expected, for which the packet is not dropped.
    pub(super) fn complain(&mut self, of: &'static str) {
        let Hearing { engine, now, .. } = &mut *self.hearing;
        engine.log.no_expectation(*now, of);
    }
}
