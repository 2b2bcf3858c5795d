//! FTP: where the data connection will go, by the client's `PORT` and `EPRT` or the server's answers
//! 227 and 229.
//!
//! A command is looked for only where a line begins: at a sequence number behind a newline that was
//! seen, of which two are remembered for each direction. A segment that holds but the beginning of a
//! command is dropped, so that it comes again as a whole. Linux: `nf_conntrack_ftp.c`,
//! `nf_nat_ftp.c`.

use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use tidegate_wire::{Family, SeqNum, proto};

use super::hearing::toward;
use super::text::{address, begins};
use super::{Hearing, HelperFault, Memory, Outcome};
use crate::tuple::Direction;

/// The sequence numbers at which lines begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// By direction.
    begin: [[Option<SeqNum>; 2]; 2],
}

/// What a command announces: where a connection will go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    style: Style,
    /// Of the payload, that tells the address.
    text: Range<usize>,
    addr: IpAddr,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `10,0,1,2,156,64`
    Numbers,
    /// `|1|10.0.1.2|40000|`
    Extended,
    /// `|||40000|`
    OnlyPort,
}

/// What there is of a command at the beginning of a line.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Its beginning, or something that isn't what it should be.
    Part(&'static str),
    Whole(Command),
}

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    if !hearing.is_established() {
        return Ok(());
    }
    hearing.message.linearize();
    let data = hearing.message.data();
    let (Some(last), Some(seq)) = (data.last(), hearing.message.seq()) else { return Ok(()) };
    let next = (*last == b'\n').then_some(seq + data.len() as u32);
    let outcome = match is_line(hearing, seq) {
        true => command(hearing),
        false => Ok(()),
    };
    if !matches!(outcome, Err(HelperFault::Partial(_)))
        && let Some(next) = next
        && let Memory::Ftp(lines) = &mut hearing.care.memory
    {
        lines.note(hearing.dir, next);
    }
    outcome
}

fn is_line(hearing: &Hearing<'_, '_>, seq: SeqNum) -> bool {
    matches!(&hearing.care.memory, Memory::Ftp(lines) if lines.knows(hearing.dir, seq))
}

fn command(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let own = hearing.own().src;
    match find(hearing.dir, hearing.message.data(), own) {
        Found::Nothing => Ok(()),
        Found::Part(word) => Err(HelperFault::Partial(word)),
        // It may be right, but anybody could have holes made to others that way.
        Found::Whole(command) if command.addr != own && !hearing.parameters().ftp_loose => Ok(()),
        Found::Whole(command) => announce(hearing, command),
    }
}

fn announce(hearing: &mut Hearing<'_, '_>, command: Command) -> Outcome {
    let (own, other) = (hearing.own(), hearing.other());
    let dst = if command.addr == own.src { other.dst } else { command.addr };
    let announced = toward(Some(other.src), dst, command.port, proto::TCP);
    let mut expectation = hearing.announce(0, &announced);
    if !hearing.is_translated() {
        return hearing.expect(&expectation);
    }
    let dir = hearing.dir.opposite();
    let port = hearing.expect_following(&mut expectation, dir, command.port)?;
    let text = command.style.text(other.dst, port);
    hearing.replace(command.text, text.as_bytes()).inspect_err(|_| hearing.unexpect(&expectation))
}

impl Lines {
    fn knows(&self, dir: Direction, seq: SeqNum) -> bool {
        self.begin[dir.index()].contains(&Some(seq))
    }

    /// The older of two is forgotten, if it is older than the new one.
    fn note(&mut self, dir: Direction, seq: SeqNum) {
        if self.knows(dir, seq) {
            return;
        }
        let begin = &mut self.begin[dir.index()];
        match begin {
            [None, _] => begin[0] = Some(seq),
            [_, None] => begin[1] = Some(seq),
            [Some(one), Some(other)] => {
                let oldest = if one.before(*other) { one } else { other };
                if seq.after(*oldest) {
                    *oldest = seq;
                }
            }
        }
    }
}

impl Style {
    fn text(self, addr: IpAddr, port: u16) -> String {
        match (self, addr) {
            (Self::OnlyPort, _) => alloc::format!("|||{port}|"),
            (Self::Extended, IpAddr::V4(addr)) => alloc::format!("|1|{addr}|{port}|"),
            (Self::Extended, IpAddr::V6(addr)) => alloc::format!("|2|{}|{port}|", groups(addr)),
            (Self::Numbers, IpAddr::V4(addr)) => {
                let [a, b, c, d] = addr.octets();
                alloc::format!("{a},{b},{c},{d},{},{}", port >> 8, port & 0xff)
            }
            // As many bytes of it are written as of any other address.
            (Self::Numbers, IpAddr::V6(addr)) => {
                let [a, b, c, d, ..] = addr.octets();
                alloc::format!("{a},{b},{c},{d},{},{}", port >> 8, port & 0xff)
            }
        }
    }
}

/// All eight groups in full.
fn groups(addr: Ipv6Addr) -> String {
    let [first, rest @ ..] = addr.segments();
    rest.iter()
        .fold(alloc::format!("{first:04x}"), |text, group| text + &alloc::format!(":{group:04x}"))
}

/// The command of a line; `own` is the address of its sender.
fn find(dir: Direction, data: &[u8], own: IpAddr) -> Found {
    let commands: [(&str, Parser); 2] = match dir {
        Direction::Original => [("PORT", port), ("EPRT", eprt)],
        Direction::Reply => [("227 ", passive), ("229 ", extended_passive)],
    };
    for (word, parse) in commands {
        if data.len() <= word.len() {
            if begins(word.as_bytes(), data) {
                return Found::Part(word);
            }
        } else if begins(data, word.as_bytes()) {
            return parse(data, word.len(), own).map_or(Found::Part(word), Found::Whole);
        }
    }
    Found::Nothing
}

/// Reads what stands behind a command's word.
type Parser = fn(&[u8], usize, IpAddr) -> Option<Command>;

fn port(data: &[u8], at: usize, own: IpAddr) -> Option<Command> {
    let at = behind(data, at, b' ')?;
    let (numbers, len) = numbers(&data[at..], b',', Some(b'\r'))?;
    Some(host_and_port(numbers, at..at + len, own))
}

/// The numbers may stand anywhere in the answer (RFC 1123 section 4.1.2.6).
fn passive(data: &[u8], at: usize, own: IpAddr) -> Option<Command> {
    let at = at + data[at..].iter().position(u8::is_ascii_digit)?;
    let (numbers, len) = numbers(&data[at..], b',', None)?;
    Some(host_and_port(numbers, at..at + len, own))
}

/// In a connection of IPv6 the four bytes are the first of the address that is compared.
fn host_and_port(numbers: [u32; 6], text: Range<usize>, own: IpAddr) -> Command {
    let [a, b, c, d, high, low] = numbers;
    let host = a << 24 | b << 16 | c << 8 | d;
    let addr = match own {
        IpAddr::V4(_) => Ipv4Addr::from_bits(host).into(),
        IpAddr::V6(own) => {
            let rest = own.to_bits() & (u128::MAX >> 32);
            Ipv6Addr::from_bits(u128::from(host) << 96 | rest).into()
        }
    };
    Command { style: Style::Numbers, text, addr, port: (high << 8 | low) as u16 }
}

/// RFC 2428 section 2.
fn eprt(data: &[u8], at: usize, own: IpAddr) -> Option<Command> {
    let start = behind(data, at, b' ')?;
    let text = &data[start..];
    let (delimiter, protocol) = match *text {
        [a, protocol, b, _, ..] if a == b && is_delimiter(a) => (a, protocol),
        _ => return None,
    };
    let family = Family::of(own);
    let (addr, len) = match (family, protocol) {
        (Family::V4, b'1') => {
            let (parts, len) = numbers::<4>(&text[3..], b'.', Some(delimiter))?;
            let [a, b, c, d] = parts;
            (Ipv4Addr::from_bits(a << 24 | b << 16 | c << 8 | d).into(), len)
        }
        (Family::V6, b'2') => address(family, &text[3..], Some(delimiter))?,
        _ => return None,
    };
    let (port, end) = delimited_port(text, 3 + len + 1, delimiter)?;
    Some(Command { style: Style::Extended, text: start..start + end, addr, port })
}

/// RFC 2428 section 3.
fn extended_passive(data: &[u8], at: usize, own: IpAddr) -> Option<Command> {
    let start = behind(data, at, b'(')?;
    let text = &data[start..];
    let delimiter = match *text {
        [a, b, c, _, ..] if a == b && b == c && is_delimiter(a) => a,
        _ => return None,
    };
    let (port, end) = delimited_port(text, 3, delimiter)?;
    Some(Command { style: Style::OnlyPort, text: start..start + end, addr: own, port })
}

/// The place behind the first `mark` from `at` on.
fn behind(data: &[u8], at: usize, mark: u8) -> Option<usize> {
    data[at..].iter().position(|c| *c == mark).map(|skipped| at + skipped + 1)
}

fn is_delimiter(c: u8) -> bool {
    c.is_ascii_graphic() && !c.is_ascii_digit()
}

/// `N` numbers with separators between them, and how long all that is. Behind them must be another
/// byte: `end`, if there is one. Missing digits are 0, and numbers wrap at 32 bits.
fn numbers<const N: usize>(
    text: &[u8],
    separator: u8,
    end: Option<u8>,
) -> Option<([u32; N], usize)> {
    let mut numbers = [0u32; N];
    let mut nth = 0;
    for (at, c) in text.iter().enumerate() {
        let number = numbers.get_mut(nth)?;
        if c.is_ascii_digit() {
            *number = number.wrapping_mul(10).wrapping_add(u32::from(c - b'0'));
        } else if *c == separator {
            nth += 1;
        } else {
            let is_whole = nth == N - 1 && end.is_none_or(|end| *c == end);
            return (is_whole && at > 0).then_some((numbers, at));
        }
    }
    None
}

/// A port other than 0 and the place behind the delimiter that ends it; it wraps at 16 bits.
fn delimited_port(text: &[u8], from: usize, delimiter: u8) -> Option<(u16, usize)> {
    let digits = text.get(from..)?;
    let mut port = 0u16;
    for (at, c) in digits.iter().enumerate() {
        if *c == delimiter {
            return (port != 0).then_some((port, from + at + 1));
        }
        if !c.is_ascii_digit() {
            return None;
        }
        port = port.wrapping_mul(10).wrapping_add(u16::from(c - b'0'));
    }
    None
}
