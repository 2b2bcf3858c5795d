//! Rewriting a message of a translated connection: the addresses of its two ends, wherever they stand.
//!
//! Linux: `nf_nat_sip`.

use alloc::string::{String, ToString};
use core::net::IpAddr;
use core::ops::Range;

use tidegate_wire::proto;

use super::Sip;
use super::header::{Header, Uri, Walk};
use crate::helper::text::begins;
use crate::helper::{HelperFault, Outcome, Part};
use crate::tuple::Direction;

impl Sip<'_, '_, '_> {
    pub(super) fn rewrite(&mut self) -> Outcome {
        let is_request = !begins(self.bytes(), b"SIP/2.0");
        if is_request && let Some(uri) = self.text().request_uri() {
            self.map(&uri, Part::Request)?;
        }
        self.rewrite_via(is_request)?;
        let mut walk = Walk::default();
        while let Ok(Some(uri)) = self.text().next_uri(&mut walk, Header::Contact) {
            let before = self.len;
            self.map(&uri, Part::Contact)?;
            walk.at = (walk.at + self.len).saturating_sub(before);
        }
        for header in [Header::From, Header::To] {
            if let Ok(Some(uri)) = self.text().uri(header) {
                self.map(&uri, Part::FromOrTo)?;
            }
        }
        self.redirect_answer()
    }

    /// Puts what the other side must see in the place of an end's address and port.
    fn map(&mut self, uri: &Uri, part: Part) -> Outcome {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        let told = (uri.addr, uri.port);
        let mapped = if told == (own.src, own.sport) {
            (other.dst, other.dport)
        } else if told == (own.dst, own.dport) {
            (other.src, self.dialog().answer_port.unwrap_or(other.sport))
        } else {
            return Ok(());
        };
        if mapped == told {
            return Ok(());
        }
        self.put(uri.span.clone(), &endpoint(mapped.0, mapped.1), part)
    }

    fn put(&mut self, span: Range<usize>, with: &str, part: Part) -> Outcome {
        self.replace(span, with).map_err(|_| HelperFault::NotRewritten(part))
    }

    /// The topmost `Via`, if it is about this connection, and its parameters.
    fn rewrite_via(&mut self, is_request: bool) -> Outcome {
        let is_tcp = self.hearing.flow.orig.proto == proto::TCP;
        let header = if is_tcp { Header::ViaTcp } else { Header::ViaUdp };
        let Ok(Some(via)) = self.text().uri(header) else { return Ok(()) };
        let own = self.hearing.own();
        let end = if is_request { (own.src, own.sport) } else { (own.dst, own.dport) };
        if (via.addr, via.port) != end {
            return Ok(());
        }
        let before = self.len;
        self.map(&via, Part::Via)?;
        let from = (via.span.end + self.len).saturating_sub(before);
        self.rewrite_maddr(from)?;
        self.rewrite_received(from)?;
        self.rewrite_rport(from)
    }

    /// Where to send the response.
    fn rewrite_maddr(&mut self, from: usize) -> Outcome {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        match self.text().address_parameter(from, b"maddr=", true) {
            Some((addr, span)) if addr == own.src && addr != other.dst => {
                self.put(span, &bracketed(other.dst), Part::Maddr)
            }
            _ => Ok(()),
        }
    }

    /// Where the request came from.
    fn rewrite_received(&mut self, from: usize) -> Outcome {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        match self.text().address_parameter(from, b"received=", false) {
            Some((addr, span)) if addr == own.dst && addr != other.src => {
                self.put(span, &other.src.to_string(), Part::Received)
            }
            _ => Ok(()),
        }
    }

    /// And from which port (RFC 3581).
    fn rewrite_rport(&mut self, from: usize) -> Outcome {
        let (own, other) = (self.hearing.own(), self.hearing.other());
        match self.text().number_parameter(from, b"rport=") {
            Ok(Some((port, span)))
                if port >= 1024 && port == own.dport.into() && port != other.sport.into() =>
            {
                self.put(span, &other.sport.to_string(), Part::Rport)
            }
            _ => Ok(()),
        }
    }

    /// Sends the response to where the telephone listens.
    fn redirect_answer(&mut self) -> Outcome {
        let port = self.dialog().answer_port.filter(|_| self.hearing.dir == Direction::Reply);
        match port {
            None => Ok(()),
            Some(_) if self.hearing.flow.orig.proto != proto::UDP => {
                Err(HelperFault::Malformed("NAT SIP message"))
            }
            Some(port) => self.hearing.message.set_udp_destination(port),
        }
    }
}

/// An address with its port.
pub(super) fn endpoint(addr: IpAddr, port: u16) -> String {
    alloc::format!("{}:{port}", bracketed(addr))
}

fn bracketed(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => addr.to_string(),
        IpAddr::V6(addr) => alloc::format!("[{addr}]"),
    }
}
