//! ICMP for IPv4: echo, timestamp, and the errors that the host owes
//! (RFC 792, RFC 1122 section 3.2.2). Linux: `icmp_rcv`, `__icmp_send`.

use tidegate_engine::time::Instant;
use tidegate_wire::checksum::Sum;
use tidegate_wire::packet::{Icmp, icmp, ipv4};
use tidegate_wire::proto;

use super::{Answer, Question};

/// An error fills at most this many bytes with its own header (RFC 1812
/// section 4.3.2.3).
const MAX_ERROR: usize = 576;
const PROTOCOL_UNREACHABLE: u8 = 2;
const PORT_UNREACHABLE: u8 = 3;
/// The TOS bits that an error copies; above them stands "internetwork control".
const TOS_COPIED: u8 = 0x1e;
const INTERNETWORK_CONTROL: u8 = 0xc0;
const MILLISECONDS_A_DAY: u64 = 86_400_000;

/// The answer to a query.
pub(super) fn answer(question: &Question<'_>, now: Instant) -> Option<Answer> {
    let query = Icmp::new(question.payload)?;
    if !question.to_host_alone || Sum::new().bytes(question.payload).finish() != 0 {
        return None;
    }
    let payload = match query.kind() {
        icmp::ECHO_REQUEST => echo_reply(question.payload)?,
        icmp::TIMESTAMP => timestamp_reply(question.payload, now)?,
        _ => return None,
    };
    let answer = question.answer(proto::ICMP, payload);
    Some(Answer { traffic_class: question.traffic_class(), ..answer })
}

/// The error for a protocol that nobody serves.
pub(super) fn protocol_unreachable(question: &Question<'_>) -> Option<Answer> {
    unreachable(question, PROTOCOL_UNREACHABLE, question.datagram)
}

/// The error for a port that nobody listens on, quoting `datagram`.
pub(super) fn port_unreachable(question: &Question<'_>, datagram: &[u8]) -> Option<Answer> {
    unreachable(question, PORT_UNREACHABLE, datagram)
}

fn unreachable(question: &Question<'_>, code: u8, datagram: &[u8]) -> Option<Answer> {
    if !question.to_host_alone {
        return None;
    }
    let room = MAX_ERROR - ipv4::HEADER_LEN - icmp::HEADER_LEN;
    let mut payload = vec![0; icmp::HEADER_LEN];
    payload.extend_from_slice(&datagram[..datagram.len().min(room)]);
    let mut error = Icmp::new(&mut payload[..])?;
    error.set_kind(icmp::UNREACHABLE);
    error.set_code(code);
    error.fill_checksum();
    let traffic_class = question.traffic_class() & TOS_COPIED | INTERNETWORK_CONTROL;
    Some(Answer { traffic_class, ..question.answer(proto::ICMP, payload) })
}

/// Everything but the type stays as it was.
fn echo_reply(request: &[u8]) -> Option<Vec<u8>> {
    let mut payload = request.to_vec();
    let mut reply = Icmp::new(&mut payload[..])?;
    reply.set_kind(icmp::ECHO_REPLY);
    reply.fill_checksum();
    Some(payload)
}

/// The originate timestamp comes back; receive and transmit are now, in
/// milliseconds since midnight.
fn timestamp_reply(request: &[u8], now: Instant) -> Option<Vec<u8>> {
    let originate = request.get(icmp::HEADER_LEN..)?.first_chunk::<4>()?;
    let today = (now.nanos() / 1_000_000 % MILLISECONDS_A_DAY) as u32;
    let mut payload = request[..icmp::HEADER_LEN].to_vec();
    payload.extend_from_slice(originate);
    payload.extend_from_slice(&today.to_be_bytes());
    payload.extend_from_slice(&today.to_be_bytes());
    let mut reply = Icmp::new(&mut payload[..])?;
    reply.set_kind(icmp::TIMESTAMP_REPLY);
    reply.set_code(0);
    reply.fill_checksum();
    Some(payload)
}
