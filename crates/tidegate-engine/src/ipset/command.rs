//! One line of `ipset save` or `ipset restore`.
//!
//! ```text
//! create NAME TYPE { OPTION [VALUE] }
//! add    NAME ELEMENT { OPTION [VALUE] }
//! del    NAME ELEMENT
//! flush  [NAME]
//! destroy [NAME]
//! ```

use alloc::string::String;
use core::net::IpAddr;

use tidegate_wire::{Family, proto};

use super::element::{Element, Port, width};
use super::error::{Fault, SetErrorKind};
use super::members::{Members, Note};
use super::{Set, SetType, Sets};
use crate::rules::{icmp_message, protocol, service};
use crate::time::Instant;

type Done<T = ()> = Result<T, Fault>;

/// Elements of a set that doesn't say (`maxelem`).
const MOST: usize = 65_536;
/// Sets of a list that doesn't say (`size`).
const LIST_MOST: usize = 8;
/// Bytes of a name (`IPSET_MAXNAMELEN`, less one).
const NAME_MAX: usize = 31;

/// Does what the line says.
pub(super) fn execute(sets: &mut Sets, now: Instant, line: &str) -> Done {
    let mut fields = Fields { rest: line, last: "" };
    let Some(command) = fields.next() else { return Ok(()) };
    if command.starts_with('#') || command == "COMMIT" {
        return Ok(());
    }
    match command {
        "create" | "-N" | "n" => create(sets, &mut fields),
        "add" | "-A" => add(sets, now, &mut fields),
        "del" | "-D" => delete(sets, now, &mut fields),
        "flush" | "-F" => flush(sets, &mut fields),
        "destroy" | "-X" | "x" => destroy(sets, &mut fields),
        _ => Err(Fault::new(command, SetErrorKind::UnknownCommand)),
    }
}

/// The fields of a line, blank between blank; one may be in quotes.
struct Fields<'l> {
    rest: &'l str,
    last: &'l str,
}

impl<'l> Fields<'l> {
    fn next(&mut self) -> Option<&'l str> {
        let rest = self.rest.trim_start();
        let (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        self.rest = rest;
        if field.is_empty() && rest.is_empty() {
            return None;
        }
        self.last = field;
        Some(field)
    }

    fn need(&mut self) -> Done<&'l str> {
        let last = self.last;
        self.next().ok_or_else(|| Fault::new(last, SetErrorKind::Missing))
    }

    fn number(&mut self, max: u64) -> Done<u64> {
        let field = self.need()?;
        let number = field.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| Fault::new(field, SetErrorKind::Number))
    }
}

fn create(sets: &mut Sets, fields: &mut Fields<'_>) -> Done {
    let name = fields.need()?;
    if name.len() > NAME_MAX {
        return Err(Fault::new(name, SetErrorKind::UnsupportedOption));
    }
    let word = fields.need()?;
    let found = SetType::ALL.into_iter().find(|(_, known)| *known == word);
    let (kind, _) = found.ok_or_else(|| Fault::new(word, SetErrorKind::UnsupportedType))?;
    let mut set = blank(kind);
    let mut exist = false;
    while let Some(option) = fields.next() {
        match option {
            "-exist" | "-!" => exist = true,
            _ => set.option(option, fields)?,
        }
    }
    if !sets.has(name) {
        sets.sets.insert(name.into(), set);
    } else if !exist {
        return Err(Fault::new(name, SetErrorKind::Exists));
    }
    Ok(())
}

fn blank(kind: SetType) -> Set {
    let (family, most) = match kind {
        SetType::List => (None, LIST_MOST),
        SetType::Port => (None, 1 << 16),
        SetType::Ip | SetType::Net | SetType::IpPort | SetType::NetPort => (Some(Family::V4), MOST),
    };
    Set {
        kind,
        family,
        most,
        timeout: None,
        counters: false,
        netmask: None,
        range: (0, u16::MAX),
        members: Members::default(),
    }
}

impl Set {
    fn option(&mut self, option: &str, fields: &mut Fields<'_>) -> Done {
        const NUMBER: u64 = u32::MAX as u64;
        let is_hash = self.family.is_some();
        match (option, self.kind) {
            ("family", _) if is_hash => self.family = Some(family(fields.need()?)?),
            ("maxelem", _) if is_hash => self.most = fields.number(NUMBER)? as usize,
            ("hashsize" | "bucketsize", _) if is_hash => drop(fields.number(NUMBER)?),
            ("initval", _) if is_hash => drop(fields.need()?),
            ("size", SetType::List) => self.most = fields.number(NUMBER)? as usize,
            ("range", SetType::Port) => self.range = port_range(fields.need()?)?,
            ("netmask", SetType::Ip) => {
                let most = if self.family == Some(Family::V6) { 128 } else { 32 };
                self.netmask = Some(fields.number(most)? as u32);
            }
            ("timeout", _) => self.timeout = Some(fields.number(2_147_483)? as u32),
            ("counters", _) => self.counters = true,
            ("comment", _) => {}
            _ => return Err(Fault::new(option, SetErrorKind::UnsupportedOption)),
        }
        Ok(())
    }
}

fn family(field: &str) -> Done<Family> {
    match field {
        "inet" => Ok(Family::V4),
        "inet6" => Ok(Family::V6),
        _ => Err(Fault::new(field, SetErrorKind::UnsupportedOption)),
    }
}

fn port_range(field: &str) -> Done<(u16, u16)> {
    let (first, last) = field.split_once('-').unwrap_or((field, field));
    Ok((number(first)?, number(last)?))
}

fn number(field: &str) -> Done<u16> {
    let number = field.parse().ok().or_else(|| service(field));
    number.ok_or_else(|| Fault::new(field, SetErrorKind::Port))
}

/// What stands behind an element.
#[derive(Default)]
struct Extras {
    timeout: Option<u32>,
    packets: u64,
    bytes: u64,
    nomatch: bool,
    exist: bool,
}

impl Extras {
    fn read(set: &Set, fields: &mut Fields<'_>) -> Done<Self> {
        let mut extras = Self::default();
        while let Some(option) = fields.next() {
            match option {
                "timeout" if set.timeout.is_some() => {
                    extras.timeout = Some(fields.number(2_147_483)? as u32);
                }
                "packets" if set.counters => extras.packets = fields.number(u64::MAX)?,
                "bytes" if set.counters => extras.bytes = fields.number(u64::MAX)?,
                "comment" => drop(fields.need()?),
                "nomatch" if matches!(set.kind, SetType::Net | SetType::NetPort) => {
                    extras.nomatch = true;
                }
                "-exist" | "-!" => extras.exist = true,
                _ => return Err(Fault::new(option, SetErrorKind::UnsupportedOption)),
            }
        }
        Ok(extras)
    }

    fn note(&self, set: &Set, now: Instant) -> Note {
        let mut note = Note::new(now, self.timeout.or(set.timeout));
        note.nomatch = self.nomatch;
        (note.counter.packets, note.counter.bytes) = (self.packets, self.bytes);
        note
    }
}

fn known<'s>(sets: &'s mut Sets, name: &str) -> Done<&'s mut Set> {
    sets.sets.get_mut(name).ok_or_else(|| Fault::new(name, SetErrorKind::UnknownSet))
}

fn add(sets: &mut Sets, now: Instant, fields: &mut Fields<'_>) -> Done {
    let name = fields.need()?;
    let word = fields.need()?;
    let set = known(sets, name)?;
    let extras = Extras::read(set, fields)?;
    if set.kind == SetType::List {
        return add_subset(sets, now, name, word, &extras);
    }
    let element = set.read(word)?;
    let note = extras.note(set, now);
    match set.add(element, note, extras.exist) {
        Err(SetErrorKind::Exists) if extras.exist => Ok(()),
        done => done.map_err(|kind| Fault::new(word, kind)),
    }
}

fn add_subset(sets: &mut Sets, now: Instant, list: &str, name: &str, extras: &Extras) -> Done {
    if known(sets, name)?.kind == SetType::List {
        return Err(Fault::new(name, SetErrorKind::NestedList));
    }
    let set = known(sets, list)?;
    if set.members.has_subset(name, now) && !extras.exist {
        return Err(Fault::new(name, SetErrorKind::Exists));
    }
    if set.members.len() >= set.most && !set.members.clear_expired(now) {
        return Err(Fault::new(name, SetErrorKind::Full { most: set.most }));
    }
    let note = extras.note(set, now);
    set.members.add_subset(name, note);
    Ok(())
}

fn delete(sets: &mut Sets, now: Instant, fields: &mut Fields<'_>) -> Done {
    let name = fields.need()?;
    let word = fields.need()?;
    let exist = fields.next().is_some_and(|field| matches!(field, "-exist" | "-!"));
    let set = known(sets, name)?;
    let was_there = match set.kind {
        SetType::List => set.members.remove_subset(word),
        _ => {
            let element = set.read(word)?;
            set.members.remove(&element, now)
        }
    };
    if was_there || exist { Ok(()) } else { Err(Fault::new(word, SetErrorKind::Absent)) }
}

fn flush(sets: &mut Sets, fields: &mut Fields<'_>) -> Done {
    match fields.next() {
        Some(name) => known(sets, name)?.members.clear(),
        None => sets.sets.values_mut().for_each(|set| set.members.clear()),
    }
    Ok(())
}

fn destroy(sets: &mut Sets, fields: &mut Fields<'_>) -> Done {
    let Some(name) = fields.next() else {
        if let Some((used, kind)) = sets.sets.keys().find_map(|name| Some((name, sets.user(name)?)))
        {
            return Err(Fault::new(used, kind));
        }
        sets.sets.clear();
        return Ok(());
    };
    known(sets, name)?;
    if let Some(kind) = sets.user(name) {
        return Err(Fault::new(name, kind));
    }
    sets.sets.remove(name);
    Ok(())
}

impl Set {
    /// An element as it is written: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1,tcp:80`, `80`.
    fn read(&self, word: &str) -> Done<Element> {
        if self.kind == SetType::Port {
            let port = word.strip_prefix("tcp:").or(word.strip_prefix("udp:")).unwrap_or(word);
            let port = number(port)?;
            let inside = (self.range.0..=self.range.1).contains(&port);
            return if inside {
                Ok(Element::port(port))
            } else {
                Err(Fault::new(word, SetErrorKind::Port))
            };
        }
        let (network, port) = match (self.kind.dimension(), word.split_once(',')) {
            (2, Some((network, port))) => (network, Some(self.read_port(port)?)),
            (1, None) => (word, None),
            _ => return Err(Fault::new(word, SetErrorKind::Port)),
        };
        let (address, length) = self.read_network(network)?;
        Ok(Element::network(address, length, port))
    }

    fn read_network(&self, word: &str) -> Done<(IpAddr, u32)> {
        let (address, length) = word.split_once('/').map_or((word, None), |(a, l)| (a, Some(l)));
        if address.contains('-') {
            return Err(Fault::new(word, SetErrorKind::Range));
        }
        let address: Option<IpAddr> = address.parse().ok();
        let ours = |address: &IpAddr| address.is_ipv6() == (self.family == Some(Family::V6));
        let address =
            address.filter(ours).ok_or_else(|| Fault::new(word, SetErrorKind::Address))?;
        let width = width(address);
        let length = match length {
            None => width,
            Some(field) => {
                let length = field.parse().ok().filter(|length| (1..=width).contains(length));
                length.ok_or_else(|| Fault::new(field, SetErrorKind::Prefix))?
            }
        };
        let of_hosts = matches!(self.kind, SetType::Ip | SetType::IpPort);
        if of_hosts && (length != width || address.is_unspecified()) {
            let kind = if length == width { SetErrorKind::Address } else { SetErrorKind::Range };
            return Err(Fault::new(word, kind));
        }
        Ok((address, self.netmask.unwrap_or(length)))
    }

    /// `PORT`, which is TCP's, or `PROTOCOL:PORT`.
    fn read_port(&self, word: &str) -> Done<Port> {
        let wrong = || Fault::new(word, SetErrorKind::Port);
        let (named, rest) = word.split_once(':').unwrap_or(("tcp", word));
        let named: String = named.to_ascii_lowercase();
        let (proto, number) = match named.as_str() {
            "tcp" => (proto::TCP, number(rest)?),
            "udp" => (proto::UDP, number(rest)?),
            "sctp" => (proto::SCTP, number(rest)?),
            "udplite" => (proto::UDPLITE, number(rest)?),
            "icmp" => (proto::ICMP, message(proto::ICMP, rest).ok_or_else(wrong)?),
            "icmpv6" | "ipv6-icmp" => {
                (proto::ICMPV6, message(proto::ICMPV6, rest).ok_or_else(wrong)?)
            }
            other => {
                let known = || protocol(other).filter(|proto| *proto != 0);
                let proto = other.parse().ok().or_else(known).ok_or_else(wrong)?;
                (proto, if rest == "0" { 0 } else { return Err(wrong()) })
            }
        };
        Ok(Port { proto, number })
    }
}

/// `TYPE/CODE`, or a type's name.
fn message(proto: u8, word: &str) -> Option<u16> {
    let (kind, code) = match word.split_once('/') {
        Some((kind, code)) => (kind.parse().ok()?, code.parse().ok()?),
        None => icmp_message(proto, word)?,
    };
    Some(u16::from_be_bytes([kind, code]))
}
