//! Q.931: setting up calls. A message announces where their channels are controlled, or the channels
//! themselves, or that the call goes on elsewhere.
//!
//! Linux: `DecodeQ931`, `process_q931`, `expect_h245`, `expect_callforwarding`.

use alloc::vec::Vec;

use tidegate_wire::proto;

use super::channel;
use super::grammar::USER_INFORMATION;
use super::pdu::{Endpoint, Pdu};
use super::per::{self, Found, Mark, Value};
use crate::expect::Binding;
use crate::helper::{Helper, Outcome};

const Q931: u8 = 8;
const USER_USER: u8 = 0x7e;
/// The message, of those that a call has, which changes its course; and the reason for which it is
/// forwarded.
const FACILITY: Value = Value::Number(6);
const FORWARDED: Value = Value::Number(1);

/// What is found in the user's part of a message, if that can be read.
pub(super) fn user_information(data: &[u8]) -> Option<Vec<Found>> {
    let (start, end) = user_user(data)?;
    per::decode(&data[..end], start, &USER_INFORMATION).ok()
}

/// Where the user's part begins and ends, behind its protocol discriminator.
fn user_user(data: &[u8]) -> Option<(usize, usize)> {
    let (&protocol, rest) = data.split_first()?;
    let reference_len = usize::from(*rest.first()?);
    // Of the message's type and what comes behind it there must be two octets.
    let mut at = 2 + reference_len;
    if protocol != Q931 || data.len() < at + 2 {
        return None;
    }
    at += 1;
    at += usize::from(data[at] & 0x80 != 0);
    while *data.get(at)? != USER_USER {
        at += 2 + usize::from(*data.get(at + 1)?);
    }
    let len = usize::from(u16::from_be_bytes([*data.get(at + 1)?, *data.get(at + 2)?]));
    let (start, end) = (at + 4, at + 3 + len);
    (start < end && end <= data.len()).then_some((start, end))
}

/// Expects what was found: first of the message itself, then of H.245's that it carries.
pub(super) fn process(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let is_control = |one: &Found| one.mark == Mark::Control;
    let (body, control) = found.split_at(found.iter().position(is_control).unwrap_or(found.len()));
    let has = |mark, value| body.iter().any(|one| one.mark == mark && one.value == value);
    let is_forwarded = has(Mark::Call, FACILITY) && has(Mark::Reason, FORWARDED);
    for one in body {
        match one.mark {
            Mark::AlternativeAddress if is_forwarded => expect_forwarded(pdu, one)?,
            _ if is_forwarded => {}
            Mark::H245Address => expect_h245(pdu, one)?,
            Mark::DestinationAddress => rewrite_destination(pdu, one)?,
            Mark::SourceAddress => rewrite_source(pdu, one)?,
            _ => {}
        }
    }
    if !is_forwarded {
        channel::process(pdu, body)?;
    }
    channel::process(pdu, control)
}

fn expect_h245(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let Some((_, told)) = pdu.own_endpoint(found) else { return Ok(()) };
    let dst = pdu.hearing.other().dst;
    let mut expectation = pdu.assisted((dst, told), proto::TCP, Helper::H245);
    if !pdu.hides_sender() {
        return pdu.hearing.expect(&expectation);
    }
    let Some(port) = pdu.expect_signalling(&mut expectation) else {
        pdu.complain("nf_nat_q931: out of TCP ports");
        return Ok(());
    };
    pdu.write_expected(found, (dst, port), &[expectation])?;
    pdu.remember_signalling(told, port);
    Ok(())
}

/// Who is called hears the address that it has.
fn rewrite_destination(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let seen = pdu.hearing.other();
    rewrite(pdu, found, (seen.src, seen.sport))
}

/// Who calls is heard under the address that is seen.
fn rewrite_source(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let seen = pdu.hearing.other();
    rewrite(pdu, found, (seen.dst, seen.dport))
}

fn rewrite(pdu: &mut Pdu<'_, '_, '_>, found: &Found, seen: Endpoint) -> Outcome {
    match pdu.endpoint(found) {
        Some((addr, _)) if pdu.is_translated() && addr != seen.0 => pdu.write(found, seen),
        _ => Ok(()),
    }
}

/// The call goes on elsewhere, unless that is on the caller's own side.
fn expect_forwarded(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let Some((addr, port)) = pdu.endpoint(found).filter(|(_, port)| *port != 0) else {
        return Ok(());
    };
    let is_filtered = pdu.hearing.parameters().h323_forward_filter;
    if is_filtered && pdu.hearing.is_same_way(addr, pdu.hearing.other().src) {
        return Ok(());
    }
    let mut expectation = pdu.assisted((addr, port), proto::TCP, Helper::Q931);
    if !pdu.hides_sender() {
        return pdu.hearing.expect(&expectation);
    }
    let dst = pdu.hearing.other().dst;
    expectation.saved = (addr, port);
    expectation.tuple.dst = dst;
    expectation.dir = pdu.hearing.dir.opposite();
    expectation.binding = Some(Binding::Forwarded);
    let Ok(port) = pdu.hearing.expect_at_some_port(&mut expectation, port) else {
        pdu.complain("nf_nat_q931: out of TCP ports");
        return Ok(());
    };
    pdu.write_expected(found, (dst, port), &[expectation])
}
