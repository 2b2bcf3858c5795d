//! The headers of a SIP message: where they are, and which address they tell.
//!
//! A header begins at the beginning of a line and goes on in lines that begin with a blank. `From`,
//! `To` and their like have short forms; `Contact` may list several addresses. Everything is an offset
//! into the message, so that it can be rewritten. Linux: `ct_sip_get_header` and its kin.

use core::net::IpAddr;
use core::ops::Range;

use tidegate_wire::{Family, proto};

use crate::helper::text::{address, begins};

/// The port of an address that names none.
const DEFAULT_PORT: u16 = 5060;
/// Ports below are no one's but a cheat's.
const LOWEST_PORT: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Cseq,
    From,
    To,
    Contact,
    ViaUdp,
    ViaTcp,
    Expires,
    ContentLength,
}

/// What a search came upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Value(Range<usize>),
    Nothing,
    /// The header is there, at this offset, but not what it tells.
    Unreadable(usize),
}

/// An address in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    /// Of the message, with the port.
    pub(super) span: Range<usize>,
    pub(super) addr: IpAddr,
    pub(super) port: u16,
}

/// A message or a part of it, with the family of the addresses that it may tell.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) family: Family,
}

/// Where a walk through a header that may come several times is.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) at: usize,
    in_header: bool,
}

impl Header {
    /// Its name, its short form, and what its value begins with.
    fn spelling(self) -> (&'static [u8], Option<&'static [u8]>, &'static [u8]) {
        match self {
            Self::Cseq => (b"CSeq", None, b""),
            Self::From => (b"From", Some(b"f"), b"sip:"),
            Self::To => (b"To", Some(b"t"), b"sip:"),
            Self::Contact => (b"Contact", Some(b"m"), b"sip:"),
            Self::ViaUdp => (b"Via", Some(b"v"), b"UDP "),
            Self::ViaTcp => (b"Via", Some(b"v"), b"TCP "),
            Self::Expires => (b"Expires", None, b""),
            Self::ContentLength => (b"Content-Length", Some(b"l"), b""),
        }
    }
}

impl<'a> Text<'a> {
    /// The value of a header that begins behind `from`.
    pub(super) fn header(&self, from: usize, header: Header) -> Found {
        let (name, short, lead) = header.spelling();
        let mut at = from;
        while let Some(line) = self.next_line(at) {
            at = line + 1;
            let rest = &self.bytes[line..];
            let len = if begins(rest, name) {
                name.len()
            } else if let Some(short) = short
                && begins(rest, short)
                && rest.get(short.len()).is_some_and(|c| !c.is_ascii_alphabetic())
            {
                short.len()
            } else {
                continue;
            };
            return self.behind_colon(line + len).map_or(Found::Nothing, |value| {
                match self.search(value, self.bytes.len(), lead) {
                    Some(at) => self.measure(at + lead.len(), header, value),
                    None => Found::Unreadable(value),
                }
            });
        }
        Found::Nothing
    }

    /// Where the next line begins that does not continue another one.
    fn next_line(&self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += self.bytes.get(at..)?.iter().position(|c| is_newline(*c))? + 1;
            if self.bytes[at - 1] == b'\r' && self.bytes.get(at) == Some(&b'\n') {
                at += 1;
            }
            if !is_blank(*self.bytes.get(at)?) {
                return Some(at);
            }
            at += 1;
        }
    }

    fn behind_colon(&self, at: usize) -> Option<usize> {
        let colon = self.skip_blanks(at)?;
        if self.bytes[colon] != b':' {
            return None;
        }
        self.skip_blanks(colon + 1)
    }

    /// What is at `at` of the message, whose header's value begins at `value`.
    fn measure(&self, at: usize, header: Header, value: usize) -> Found {
        let (at, len) = match header {
            Header::Cseq | Header::Expires | Header::ContentLength => (at, self.digits(at)),
            Header::ViaUdp | Header::ViaTcp => (at, self.endpoint(at)),
            Header::From | Header::To | Header::Contact => self.behind_user(at),
        };
        if len == 0 { Found::Unreadable(value) } else { Found::Value(at..at + len) }
    }

    pub(super) fn digits(&self, at: usize) -> usize {
        self.bytes[at..].iter().take_while(|c| c.is_ascii_digit()).count()
    }

    /// How long the address at `at` is, with its port; 0 if there is none.
    fn endpoint(&self, at: usize) -> usize {
        let end = self.host(at, true).and_then(|(_, end)| self.port(end));
        end.map_or(0, |(_, end)| end - at)
    }

    /// Where the address behind `user@`, if that is there, begins, and how long it is.
    fn behind_user(&self, at: usize) -> (usize, usize) {
        let line = self.bytes[at..].iter().take_while(|c| !is_newline(**c));
        let user = line.copied().position(|c| c == b'@').map_or(0, |user| user + 1);
        (at + user, self.endpoint(at + user))
    }

    /// The next address of a list.
    fn next_in_list(&self, from: usize, header: Header) -> Found {
        let (_, _, lead) = header.spelling();
        let end = self.bytes.len();
        let comma = self.search(from, end, b",");
        let Some(at) = comma.and_then(|comma| self.search(comma, end, lead)) else {
            return Found::Nothing;
        };
        let at = at + lead.len();
        self.measure(at, header, at)
    }

    /// The next address of any header of the kind.
    pub(super) fn next_uri(&self, walk: &mut Walk, header: Header) -> Result<Option<Uri>, ()> {
        let Some(span) = self.next_value(walk, header) else { return Ok(None) };
        let uri = self.uri_at(span.start).map(|uri| Uri { span, ..uri });
        let uri = uri.ok_or(())?;
        walk.at = self.uri_at(uri.span.start).map_or(uri.span.end, |whole| whole.span.end);
        Ok(Some(uri))
    }

    /// The address of the first header of the kind that has a readable one.
    pub(super) fn uri(&self, header: Header) -> Result<Option<Uri>, ()> {
        self.next_uri(&mut Walk::default(), header)
    }

    fn next_value(&self, walk: &mut Walk, header: Header) -> Option<Range<usize>> {
        let mut at = walk.at;
        while walk.in_header {
            match self.next_in_list(at, header) {
                Found::Value(span) => return Some(span),
                Found::Unreadable(next) => at = next,
                Found::Nothing => walk.in_header = false,
            }
        }
        loop {
            match self.header(at, header) {
                Found::Value(span) => {
                    walk.in_header = true;
                    return Some(span);
                }
                Found::Unreadable(next) => at = next,
                Found::Nothing => return None,
            }
        }
    }

    fn uri_at(&self, at: usize) -> Option<Uri> {
        let (addr, end) = self.host(at, true)?;
        let (port, end) = self.port(end)?;
        Some(Uri { span: at..end, addr, port })
    }

    /// The address in the first line of a request. Linux: `ct_sip_parse_request`.
    pub(super) fn request_uri(&self) -> Option<Uri> {
        let method = self.bytes.iter().take_while(|c| c.is_ascii_alphabetic()).count();
        if method == 0 || method + 1 >= self.bytes.len() {
            return None;
        }
        let mut at = method + 1;
        let last = self.bytes.len().saturating_sub(4);
        while at < last {
            if is_newline(self.bytes[at]) {
                return None;
            }
            if begins(&self.bytes[at..], b"sip:") {
                at += 4;
                break;
            }
            at += 1;
        }
        match self.behind_user(at) {
            (_, 0) => None,
            (at, _) => self.uri_at(at),
        }
    }

    /// The address at `at`, which in IPv6 stands in brackets, and where it ends. Without
    /// `bracketed` the brackets may be missing.
    pub(super) fn host(&self, at: usize, bracketed: bool) -> Option<(IpAddr, usize)> {
        let text = self.bytes.get(at..)?;
        if self.family == Family::V4 {
            return address(self.family, text, None).map(|(addr, len)| (addr, at + len));
        }
        let opens = text.first() == Some(&b'[');
        if bracketed && !opens {
            return None;
        }
        let open = usize::from(opens);
        let (addr, len) = address(self.family, &text[open..], None)?;
        let closes = text.get(open + len) == Some(&b']');
        if bracketed && !closes {
            return None;
        }
        Some((addr, at + open + len + usize::from(closes)))
    }

    /// The port behind an address, and where it ends. Linux: `sip_parse_port`.
    fn port(&self, at: usize) -> Option<(u16, usize)> {
        if *self.bytes.get(at)? != b':' {
            return Some((DEFAULT_PORT, at));
        }
        let digits = self.digits(at + 1);
        let end = at + 1 + digits;
        if !(1..=5).contains(&digits) || end >= self.bytes.len() {
            return None;
        }
        let (port, _) = uint(&self.bytes[at + 1..end]);
        let port = u16::try_from(port).ok().filter(|_| port >= LOWEST_PORT)?;
        Some((port, end))
    }

    /// Where a parameter's value is, in the list of them behind `from`.
    fn parameter(&self, from: usize, name: &[u8]) -> Option<(usize, usize)> {
        let end = self.bytes.len();
        let limit = self.search(from, end, b",").unwrap_or(end);
        let at = self.search(from, limit, name)?;
        Some((at + name.len(), limit))
    }

    /// The address that a parameter tells.
    pub(super) fn address_parameter(
        &self,
        from: usize,
        name: &[u8],
        bracketed: bool,
    ) -> Option<(IpAddr, Range<usize>)> {
        let (at, limit) = self.parameter(from, name)?;
        let until = Self { bytes: &self.bytes[..limit], ..*self };
        until.host(at, bracketed).map(|(addr, end)| (addr, at..end))
    }

    /// The number that a parameter tells.
    ///
    /// # Errors
    /// The parameter is there, but no number.
    pub(super) fn number_parameter(
        &self,
        from: usize,
        name: &[u8],
    ) -> Result<Option<(u32, Range<usize>)>, ()> {
        let Some((at, limit)) = self.parameter(from, name) else { return Ok(None) };
        match uint(&self.bytes[at..limit.max(at)]) {
            (_, 0) => Err(()),
            (number, len) => Ok(Some((number, at..at + len))),
        }
    }

    /// The transport that a contact is to be reached by; `None` if it is not that of the connection.
    pub(super) fn transport(&self, from: usize, own: u8) -> Option<u8> {
        let Some((at, _)) = self.parameter(from, b"transport=") else { return Some(own) };
        let named = [(b"TCP", proto::TCP), (b"UDP", proto::UDP)]
            .into_iter()
            .find(|(name, _)| begins(&self.bytes[at..], *name))?;
        (named.1 == own).then_some(own)
    }

    /// Where `word` is, in a header's value that goes on in continuation lines. One at the very end
    /// is not found.
    fn search(&self, from: usize, limit: usize, word: &[u8]) -> Option<usize> {
        if word.is_empty() {
            return Some(from);
        }
        let limit = limit.checked_sub(word.len())?;
        let mut at = from;
        while at < limit {
            if is_newline(self.bytes[at]) {
                at = self.continuation(at, limit)?;
            } else if begins(&self.bytes[at..], word) {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Behind the blanks of the line that continues the one ending at `at`.
    fn continuation(&self, at: usize, limit: usize) -> Option<usize> {
        let text = self.bytes.get(..limit)?;
        let mut next = at + 1;
        if text[at] == b'\r' && *text.get(next)? == b'\n' {
            next += 1;
        }
        if !is_blank(*text.get(next)?) {
            return None;
        }
        Some(next + text[next..].iter().take_while(|c| is_blank(**c)).count())
    }

    fn skip_blanks(&self, at: usize) -> Option<usize> {
        let at = at + self.bytes.get(at..)?.iter().take_while(|c| is_blank(**c)).count();
        let at = if is_newline(*self.bytes.get(at)?) {
            self.continuation(at, self.bytes.len())?
        } else {
            at
        };
        (at < self.bytes.len()).then_some(at)
    }
}

fn is_newline(c: u8) -> bool {
    matches!(c, b'\r' | b'\n')
}

fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t')
}

/// A number of at most 32 bits and its length; without digits, or with too many, 0 and 0. Linux:
/// `sip_strtouint`.
pub(super) fn uint(text: &[u8]) -> (u32, usize) {
    const MOST_DIGITS: usize = 11;
    let len = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, _) = crate::helper::text::number(&text[..len.min(MOST_DIGITS + 1)]);
    match u32::try_from(number) {
        Ok(number) if len <= MOST_DIGITS => (number, len),
        _ => (0, 0),
    }
}
