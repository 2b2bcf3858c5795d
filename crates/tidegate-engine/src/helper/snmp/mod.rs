//! SNMP through NAT: where an answer or a trap tells the address of the connection's client, it tells
//! the one that the client is seen under.
//!
//! Every value of the type `IpAddress` is compared, whatever it means. A message that isn't of version
//! 1 or 2c, or holds what those don't, is dropped; so are the traps of version 1, which Linux doesn't
//! know since it has a grammar. Linux: `nf_nat_snmp_basic_main.c`, `nf_nat_snmp_basic.asn1`.

mod ber;

use core::net::IpAddr;

use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::udp::{self, Udp};

use super::{Hearing, HelperFault, Outcome};
use crate::tuple::Direction;

const AGENT_PORT: u16 = 161;
const TRAP_PORT: u16 = 162;
const ADDRESS_LEN: usize = 4;

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let dir = hearing.dir;
    let datagram = hearing.message.upper_layer();
    let Some(udp) = Udp::new(&*datagram) else { return Ok(()) };
    let is_question = udp.src_port() == AGENT_PORT && dir == Direction::Original;
    let is_answer = udp.dst_port() == TRAP_PORT && dir == Direction::Reply;
    let is_whole = usize::from(udp.len()) == datagram.len();
    if is_question || is_answer || !hearing.is_translated() {
        return Ok(());
    }
    if !is_whole {
        return Err(HelperFault::WrongLength);
    }
    hearing.message.linearize();
    let (IpAddr::V4(from), IpAddr::V4(to)) = (hearing.flow.orig.src, hearing.flow.reply.dst) else {
        return Ok(());
    };
    if from == to {
        return Ok(());
    }
    let checksum = hearing.message.checksum();
    let datagram = hearing.message.upper_layer();
    let addresses = ber::addresses(&datagram[udp::HEADER_LEN..]);
    for at in addresses.map_err(|ber::Malformed| HelperFault::Unreadable)? {
        translate((datagram, checksum), at, (from.octets(), to.octets()));
    }
    Ok(())
}

/// Replaces the address at `at` of a datagram's payload, if it is the one. The checksum may become 0,
/// which says that there is none.
fn translate(
    (datagram, checksum): (&mut [u8], Checksum),
    at: usize,
    (from, to): ([u8; ADDRESS_LEN], [u8; ADDRESS_LEN]),
) {
    let place = udp::HEADER_LEN + at..udp::HEADER_LEN + at + ADDRESS_LEN;
    if datagram[place.clone()] != from {
        return;
    }
    datagram[place].copy_from_slice(&to);
    let Some(mut udp) = Udp::new(datagram) else { return };
    if udp.checksum() != 0 && !checksum.is_partial() {
        udp.set_checksum(change(from, to, at % 2 == 1).apply(udp.checksum()));
    }
}

fn change(from: [u8; ADDRESS_LEN], to: [u8; ADDRESS_LEN], is_odd: bool) -> Delta {
    let [old, new] = [from, to].map(u32::from_be_bytes);
    if !is_odd {
        return Delta::new().dword(old, new);
    }
    // The address begins in the middle of a word.
    Delta::new().dword(old >> 8, new >> 8).word((old << 8) as u16, (new << 8) as u16)
}
