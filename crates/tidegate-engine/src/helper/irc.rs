//! IRC: a client that offers a direct connection ("DCC") names the address and port where it waits.
//!
//! Linux: `nf_conntrack_irc.c`, `nf_nat_irc.c`.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::Range;

use tidegate_wire::proto;

use super::hearing::toward;
use super::text::{begins, number};
use super::{Hearing, Outcome};
use crate::tuple::Direction;

/// No more of a segment is looked at.
const MOST: usize = 4095;
/// `PRIVMSG x `
const SHORTEST_MESSAGE: usize = 10;
/// ` :\1DCC CHAT t AAAAAAAA P\1\n`
const SHORTEST_OFFER: usize = 26;
/// `AAAAAAAA P\1\n`
const SHORTEST_ADDRESS: usize = 12;
const OFFERS: [&[u8]; 5] = [b"SEND ", b"CHAT ", b"MOVE ", b"TSEND ", b"SCHAT "];

/// Where a client waits.
struct Offer {
    addr: Ipv4Addr,
    port: u16,
    /// Of the payload, that tells it.
    text: Range<usize>,
}

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    if hearing.dir == Direction::Reply || !hearing.is_established() {
        return Ok(());
    }
    let data = hearing.message.data();
    let Some(offer) = offer(&data[..data.len().min(MOST)]) else { return Ok(()) };
    let (own, reply) = (hearing.own(), hearing.other());
    let addr = IpAddr::V4(offer.addr);
    if (own.src != addr && reply.dst != addr) || offer.port == 0 {
        hearing.engine.log.forged_offer(hearing.now, own.src, offer.addr, offer.port);
        return Ok(());
    }
    let mut expectation = hearing.announce(0, &toward(None, reply.dst, offer.port, proto::TCP));
    if !hearing.is_translated() {
        return hearing.expect(&expectation);
    }
    let port = hearing.expect_following(&mut expectation, Direction::Reply, offer.port)?;
    let host = match reply.dst {
        IpAddr::V4(addr) => addr.to_bits(),
        IpAddr::V6(_) => 0,
    };
    hearing
        .replace(offer.text, alloc::format!("{host} {port}").as_bytes())
        .inspect_err(|_| hearing.unexpect(&expectation))
}

/// The first offer of a private message.
fn offer(data: &[u8]) -> Option<Offer> {
    let mut at = 0;
    while at + SHORTEST_MESSAGE < data.len() && matches!(data[at], b' ' | b'\r' | b'\n') {
        at += 1;
    }
    if at + SHORTEST_MESSAGE < data.len() {
        if !begins(&data[at..], b"PRIVMSG ") {
            return None;
        }
        at += 8;
    }
    while at + SHORTEST_OFFER < data.len() {
        if !data[at..].starts_with(b" :") {
            at += 1;
            continue;
        }
        at += 2;
        if !data[at..].starts_with(b"\x01DCC ") {
            return None;
        }
        at += 5;
        if let Some(word) = OFFERS.into_iter().find(|word| data[at..].starts_with(word)) {
            return address(data, at + word.len());
        }
    }
    None
}

/// The address and port behind the next blank, in a line that ends here.
fn address(data: &[u8], from: usize) -> Option<Offer> {
    let mut start = from;
    while *data.get(start)? != b' ' {
        start += 1;
        if start + SHORTEST_ADDRESS > data.len() {
            return None;
        }
    }
    start += 1;
    data.get(start..)?.contains(&b'\n').then_some(())?;
    let (addr, digits) = number(&data[start..]);
    let blanks = data[start + digits..].iter().take_while(|c| **c == b' ').count();
    let at = start + digits + blanks;
    let (port, digits) = number(&data[at..]);
    let addr = Ipv4Addr::from_bits(addr as u32);
    Some(Offer { addr, port: port as u16, text: start..at + digits })
}
