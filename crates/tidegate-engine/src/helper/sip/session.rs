//! Sessions: the media that a description announces are expected, two ports for each.
//!
//! Linux: `process_sdp`, `set_expected_rtp_rtcp`, `nf_nat_sdp_media`.

use alloc::string::ToString;
use core::net::IpAddr;
use core::ops::Range;

use tidegate_wire::{Family, proto};

use super::header::{Found, Header, uint};
use super::sdp::Line;
use super::{AUDIO, IMAGE, Sip, VIDEO};
use crate::expect::{Binding, Expectation, Refusal, unspecified};
use crate::helper::hearing::toward;
use crate::helper::{HelperFault, Outcome, Part, Purpose};
use crate::tuple::Tuple;

const ADDRESS: HelperFault = HelperFault::NotRewritten(Part::Address);

const MEDIA: [(&[u8], u8); 3] = [(b"audio ", AUDIO), (b"video ", VIDEO), (b"image ", IMAGE)];

/// One medium of a description.
struct Medium {
    class: u8,
    addr: IpAddr,
    port: u16,
    /// Of the message, that tells the port.
    text: Range<usize>,
}

/// What is known about a medium's ports before they are expected.
enum Plan {
    /// Somebody expects them already.
    Known,
    /// They are to be expected, at this even port.
    Expect(u16),
    /// Both callers are behind us and can reach each other: they are to be expected at this port, and
    /// the message is to name it.
    Direct(u16),
}

impl Sip<'_, '_, '_> {
    /// Expects the media of the message's description, if it has one.
    pub(super) fn session(&mut self) -> Outcome {
        let Found::Value(version) = self.text().line(0, Line::Version, None) else { return Ok(()) };
        let start = version.start;
        let common = self.text().line_address(start, Line::Connection, Some(Line::Media));
        let common = common.map(|(addr, _)| addr);
        let mut last = common;
        let (mut at, mut count) = (start, 0);
        while count < MEDIA.len() {
            let Found::Value(line) = self.text().line(at, Line::Media, None) else { break };
            let Some((class, text)) = self.kind_of(line.clone()) else {
                at = line.end;
                continue;
            };
            at = text.start;
            let (port, digits) = uint(&self.bytes()[at..]);
            if port == 0 || digits == 0 {
                continue;
            }
            let fit = u16::try_from(port).ok().filter(|port| *port >= 1024);
            let port = fit.ok_or(HelperFault::WrongPort(port))?;
            let own = self.text().line_address(at, Line::Connection, Some(Line::Media));
            let addr = own.as_ref().map(|(addr, _)| *addr).or(common);
            let addr = addr.ok_or(HelperFault::Malformed("parse SDP message"))?;
            let outside = self.expect_medium(Medium { class, addr, port, text })?;
            last = Some(outside);
            if own.is_some() && self.hearing.is_translated() {
                self.rewrite_line(at, Line::Connection, outside)?.ok_or(ADDRESS)?;
                self.rewrite_content_length().map_err(|_| ADDRESS)?;
            }
            count += 1;
        }
        match last.filter(|_| self.hearing.is_translated()) {
            Some(addr) => self.rewrite_session(start, addr),
            None => Ok(()),
        }
    }

    /// The class of a medium, and what tells its port.
    fn kind_of(&self, line: Range<usize>) -> Option<(u8, Range<usize>)> {
        let text = &self.bytes()[line.clone()];
        let (name, class) = MEDIA.into_iter().find(|(name, _)| text.starts_with(name))?;
        Some((class, line.start + name.len()..line.end))
    }

    /// Expects a medium's two ports; the address that the message is to tell of it.
    fn expect_medium(&mut self, medium: Medium) -> Result<IpAddr, HelperFault> {
        let is_direct = self.hearing.parameters().sip_direct_media;
        if is_direct && medium.addr != self.hearing.own().src {
            return Ok(medium.addr);
        }
        let from = is_direct.then_some(self.hearing.other().src);
        let mut addr = medium.addr;
        let (port, is_mapped) = match self.plan(&medium, from, &mut addr) {
            (Plan::Known, Some(port)) => {
                self.rewrite_port(medium.text, port & !1)?;
                return Ok(addr);
            }
            (Plan::Known, None) => return Ok(addr),
            (Plan::Direct(port), _) => {
                self.rewrite_port(medium.text.clone(), port)?;
                (port, true)
            }
            (Plan::Expect(port), _) => (port, false),
        };
        let expected = |port| toward(from, addr, port, proto::UDP);
        let pair = [port, port.wrapping_add(1)]
            .map(|port| self.hearing.announce(medium.class, &expected(port)));
        if self.hearing.is_translated() && !is_mapped {
            return self.expect_translated(pair, medium.text);
        }
        self.expect_pair(&pair)?;
        Ok(addr)
    }

    /// Looks for what is expected already at the medium's port, from anywhere or from one address, with `addr` following it
    /// inside.
    fn plan(
        &self,
        medium: &Medium,
        from: Option<IpAddr>,
        addr: &mut IpAddr,
    ) -> (Plan, Option<u16>) {
        let hearing = &*self.hearing;
        let mut tuple = Tuple {
            src: from.unwrap_or(unspecified(Family::of(medium.addr))),
            dst: medium.addr,
            sport: 0,
            dport: medium.port,
            proto: proto::UDP,
        };
        let mut direct = None;
        loop {
            let known =
                hearing.engine.table.expectations.find(hearing.now, &tuple, hearing.flow.zone);
            let Some(known) = known.filter(|known| {
                known.master.id != hearing.id
                    && known.master.helper == hearing.flow.helper()
                    && known.class == medium.class
            }) else {
                break;
            };
            let is_mapped = known.saved != (known.tuple.dst, known.tuple.dport);
            if direct.is_some() || !is_mapped || !hearing.is_translated() {
                return (Plan::Known, direct);
            }
            (tuple.dst, tuple.dport) = known.saved;
            *addr = tuple.dst;
            direct = Some(tuple.dport);
        }
        let even = tuple.dport & !1;
        (if direct.is_some() { Plan::Direct(even) } else { Plan::Expect(even) }, None)
    }

    /// Another master's like expectations are good enough.
    fn expect_pair(&mut self, [one, other]: &[Expectation; 2]) -> Outcome {
        let is_there = |result| matches!(result, Ok(()) | Err(Refusal::Already));
        let first = self.hearing.relate_sharing(one, true);
        if !is_there(first) {
            return Err(HelperFault::MediaNotExpected);
        }
        if is_there(self.hearing.relate_sharing(other, true)) {
            return Ok(());
        }
        if first.is_ok() {
            self.hearing.unexpect(one);
        }
        Err(HelperFault::MediaNotExpected)
    }

    /// Expects the pair at an outside address and the first pair of ports that is free there; that
    /// address.
    fn expect_translated(
        &mut self,
        mut pair: [Expectation; 2],
        text: Range<usize>,
    ) -> Result<IpAddr, HelperFault> {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        let inside = pair[0].tuple.dst;
        let outside = if own.src == other.dst { inside } else { other.dst };
        for expectation in &mut pair {
            expectation.saved = (inside, expectation.tuple.dport);
            expectation.tuple.dst = outside;
            expectation.dir = self.hearing.dir.opposite();
            expectation.binding = Some(Binding::Sip);
        }
        let port = self.hearing.expect_pair_at_some_ports(&mut pair, true);
        let port = port.ok_or(HelperFault::NoPort(Purpose::Media))?;
        if pair[0].tuple.dport != pair[0].saved.1 && self.rewrite_port(text, port).is_err() {
            pair.iter().for_each(|one| self.hearing.unexpect(one));
            return Err(HelperFault::NotRewritten(Part::Port));
        }
        Ok(outside)
    }

    fn rewrite_port(&mut self, text: Range<usize>, port: u16) -> Outcome {
        let rewritten = self.replace(text, &port.to_string());
        rewritten
            .and_then(|()| self.rewrite_content_length())
            .map_err(|_| HelperFault::NotRewritten(Part::Port))
    }

    /// The addresses that hold for the whole session. That of its owner must be there.
    fn rewrite_session(&mut self, start: usize, addr: IpAddr) -> Outcome {
        self.rewrite_line(start, Line::Owner, addr)?.ok_or(HelperFault::NoOwner)?;
        self.rewrite_line(start, Line::Connection, addr)?;
        self.rewrite_content_length()
    }

    /// `None` if there is no such line before the next medium.
    fn rewrite_line(
        &mut self,
        from: usize,
        line: Line,
        addr: IpAddr,
    ) -> Result<Option<()>, HelperFault> {
        match self.text().line(from, line, Some(Line::Media)) {
            Found::Value(span) => self.replace(span, &addr.to_string()).map(Some),
            Found::Nothing | Found::Unreadable(_) => Ok(None),
        }
    }

    fn rewrite_content_length(&mut self) -> Outcome {
        let Found::Value(version) = self.text().line(0, Line::Version, None) else {
            return Err(HelperFault::NoOwner);
        };
        let len = self.len - version.start + b"v=".len();
        match self.text().header(0, Header::ContentLength) {
            Found::Value(span) => self.replace(span, &len.to_string()),
            Found::Nothing | Found::Unreadable(_) => Err(HelperFault::NoOwner),
        }
    }
}
