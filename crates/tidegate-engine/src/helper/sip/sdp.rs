//! The session description in a SIP message (RFC 8866): lines of a letter, `=` and a value.
//!
//! Linux: `ct_sip_get_sdp_header`.

use core::net::IpAddr;
use core::ops::Range;

use tidegate_wire::Family;

use super::header::{Found, Text};
use crate::helper::text::{address, begins, find};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Version,
    Owner,
    Connection,
    Media,
}

impl Line {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Version => b"v=",
            Self::Owner => b"o=",
            Self::Connection => b"c=",
            Self::Media => b"m=",
        }
    }
}

impl Text<'_> {
    /// What the first line of a kind behind `from` tells: its number, address, or kind of media and
    /// port. A line of the kind `until` ends the search.
    pub(super) fn line(&self, from: usize, line: Line, until: Option<Line>) -> Found {
        let mut at = from;
        while let Some(next) = self.next_sdp_line(at) {
            at = next + 1;
            let rest = &self.bytes[next..];
            if until.is_some_and(|until| begins(rest, until.name())) {
                return Found::Nothing;
            }
            if begins(rest, line.name()) {
                return self.line_value(next + line.name().len(), line);
            }
        }
        Found::Nothing
    }

    /// The address that such a line tells, and where.
    pub(super) fn line_address(
        &self,
        from: usize,
        line: Line,
        until: Option<Line>,
    ) -> Option<(IpAddr, Range<usize>)> {
        match self.line(from, line, until) {
            Found::Value(span) => {
                let (addr, _) = address(self.family, &self.bytes[span.clone()], None)?;
                Some((addr, span))
            }
            Found::Nothing | Found::Unreadable(_) => None,
        }
    }

    fn next_sdp_line(&self, from: usize) -> Option<usize> {
        let newline = |c: &u8| matches!(c, b'\r' | b'\n');
        let at = from + self.bytes.get(from..)?.iter().position(newline)? + 1;
        let is_pair = self.bytes[at - 1] == b'\r' && self.bytes.get(at) == Some(&b'\n');
        let at = at + usize::from(is_pair);
        (at < self.bytes.len()).then_some(at)
    }

    fn line_value(&self, at: usize, line: Line) -> Found {
        let (start, len) = match line {
            Line::Version => (at, self.digits(at)),
            Line::Media => (at, self.media(at)),
            Line::Owner | Line::Connection => match self.net_address(at) {
                Some(found) => found,
                None => return Found::Unreadable(at),
            },
        };
        if len == 0 { Found::Unreadable(at) } else { Found::Value(start..start + len) }
    }

    /// Where the address behind the network type begins, and how long it is.
    fn net_address(&self, at: usize) -> Option<(usize, usize)> {
        let lead: &[u8] = match self.family {
            Family::V4 => b"IN IP4 ",
            Family::V6 => b"IN IP6 ",
        };
        let rest = &self.bytes[at..];
        let line = rest.iter().position(|c| matches!(c, b'\r' | b'\n')).unwrap_or(rest.len());
        // One that ends the message is not found.
        let line = line.min(rest.len().saturating_sub(1));
        let start = at + find(&rest[..line], lead)? + lead.len();
        let len = address(self.family, &self.bytes[start..], None).map_or(0, |(_, len)| len);
        Some((start, len))
    }

    /// How long the kind of media and its port are together.
    fn media(&self, at: usize) -> usize {
        let kind = self.bytes[at..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
        match self.bytes.get(at + kind) {
            Some(b' ') => kind + 1 + self.digits(at + kind + 1),
            _ => 0,
        }
    }
}
