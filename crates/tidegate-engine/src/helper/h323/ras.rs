//! RAS: who is registered may be called by the gatekeeper, and who is admitted may call where the
//! gatekeeper says.
//!
//! Linux: `process_ras`, `set_ras_addr`, `set_sig_addr`.

use core::net::IpAddr;
use core::time::Duration;

use tidegate_wire::proto;

use super::pdu::{Endpoint, Pdu};
use super::per::{Found, Mark, Value};
use crate::expect::{ExpectFlags, Expectation};
use crate::flow::Status;
use crate::helper::{Hearing, Helper, Outcome};

/// The messages, by their numbers.
const GATEKEEPER_REQUEST: u32 = 0;
const GATEKEEPER_CONFIRM: u32 = 1;
const REGISTRATION_REQUEST: u32 = 3;
const REGISTRATION_CONFIRM: u32 = 4;
const UNREGISTRATION_REQUEST: u32 = 6;
const ADMISSION_REQUEST: u32 = 9;
const ADMISSION_CONFIRM: u32 = 10;
const LOCATION_REQUEST: u32 = 18;
const LOCATION_CONFIRM: u32 = 19;
const INFO_REQUEST_RESPONSE: u32 = 22;

/// Seconds; as long as Linux can count in its ticks, of which 250 are a second.
const LONGEST_REGISTRATION: u32 = i32::MAX as u32 / 250;
/// How long the answer to an unregistration may take.
const UNREGISTRATION: Duration = Duration::from_secs(30);

pub(super) fn process(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let Some(Found { mark: Mark::Ras, value: Value::Number(kind), .. }) = found.first() else {
        return Ok(());
    };
    match *kind {
        GATEKEEPER_REQUEST | LOCATION_REQUEST => rewrite_ras(pdu, found),
        GATEKEEPER_CONFIRM => confirm_gatekeeper(pdu, found),
        REGISTRATION_REQUEST => request_registration(pdu, found),
        REGISTRATION_CONFIRM => confirm_registration(pdu, found),
        UNREGISTRATION_REQUEST => request_unregistration(pdu, found),
        ADMISSION_REQUEST => request_admission(pdu, found),
        ADMISSION_CONFIRM => confirm_admission(pdu, found),
        LOCATION_CONFIRM => confirm_location(pdu, found),
        INFO_REQUEST_RESPONSE => {
            rewrite_ras(pdu, found)?;
            rewrite_signal(pdu, found)
        }
        _ => Ok(()),
    }
}

fn of(found: &[Found], mark: Mark) -> impl Iterator<Item = &Found> {
    found.iter().filter(move |one| one.mark == mark)
}

/// A number that was found.
fn number(found: &[Found], mark: Mark) -> Option<u32> {
    of(found, mark).find_map(|one| match one.value {
        Value::Number(number) => Some(number),
        Value::Endpoint(..) => None,
    })
}

/// The first endpoint of a kind, if it is of the connection's family.
fn endpoint(pdu: &Pdu<'_, '_, '_>, found: &[Found], mark: Mark) -> Option<Endpoint> {
    of(found, mark).next().and_then(|one| pdu.endpoint(one))
}

/// The address that the sender itself has is told as it is seen.
fn rewrite_ras(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    if !pdu.is_translated() {
        return Ok(());
    }
    let (own, seen) = (pdu.hearing.own(), pdu.hearing.other());
    let is_own = |one: &&Found| pdu.endpoint(one) == Some((own.src, own.sport));
    match of(found, Mark::RasAddress).find(is_own) {
        Some(one) => pdu.write(one, (seen.dst, seen.dport)),
        None => Ok(()),
    }
}

/// The address at which calls are expected is told as it is seen.
fn rewrite_signal(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    if !pdu.is_translated() {
        return Ok(());
    }
    let (dir, other) = pdu.dirs();
    let (own, seen, signal) = (pdu.hearing.own(), pdu.hearing.other(), pdu.call().signal);
    for one in of(found, Mark::SignalAddress) {
        let Some((addr, port)) = pdu.endpoint(one) else { continue };
        if port != signal[dir] {
            continue;
        }
        if addr == own.src {
            let one = leading_loopback(pdu, found, one).unwrap_or(one);
            return pdu.write(one, (seen.dst, signal[other]));
        }
        if addr == own.dst {
            return pdu.write(one, (seen.src, signal[other]));
        }
    }
    Ok(())
}

/// Some endpoints tell their loopback address first: that one counts, then.
fn leading_loopback<'f>(
    pdu: &Pdu<'_, '_, '_>,
    found: &'f [Found],
    one: &Found,
) -> Option<&'f Found> {
    let first = of(found, Mark::SignalAddress).find(|first| first.nth == 0)?;
    let is_loopback = matches!(pdu.endpoint(first)?.0, IpAddr::V4(addr) if addr.is_loopback());
    (one.nth > 0 && is_loopback).then_some(first)
}

/// The gatekeeper wants to be registered with elsewhere.
fn confirm_gatekeeper(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let Some(endpoint) = endpoint(pdu, found, Mark::RasAddress) else { return Ok(()) };
    let own = pdu.hearing.own();
    // Who was expected doesn't expect others.
    if endpoint == (own.src, own.sport) || pdu.hearing.flow.is(Status::EXPECTED) {
        return Ok(());
    }
    let expectation = pdu.assisted(endpoint, proto::UDP, Helper::Ras);
    pdu.hearing.expect(&expectation)
}

fn request_registration(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    expect_calls(pdu, found)?;
    rewrite_ras(pdu, found)?;
    let default = pdu.hearing.parameters().h323_registration.0;
    let seconds = number(found, Mark::TimeToLive).unwrap_or(default);
    pdu.call_mut(|call| call.registered = seconds);
    Ok(())
}

/// Expects any number of calls by the gatekeeper, at the first of the sender's addresses.
fn expect_calls(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let own = |one| pdu.own_endpoint(one).map(|(_, port)| (one, port));
    let Some((one, told)) = of(found, Mark::SignalAddress).find_map(own) else { return Ok(()) };
    let dst = pdu.hearing.other().dst;
    let mut expectation = pdu.assisted((dst, told), proto::TCP, Helper::Q931);
    expectation.flags = ExpectFlags::PERMANENT;
    if !pdu.hearing.parameters().h323_gatekeeper_only {
        expectation.allow_anybody();
    }
    if pdu.is_translated() {
        return expect_translated_calls(pdu, found, (one, told, expectation));
    }
    pdu.hearing.expect(&expectation)?;
    let (dir, _) = pdu.dirs();
    pdu.call_mut(|call| call.signal[dir] = told);
    Ok(())
}

fn expect_translated_calls(
    pdu: &mut Pdu<'_, '_, '_>,
    found: &[Found],
    (one, told, mut expectation): (&Found, u16, Expectation),
) -> Outcome {
    let Some(port) = pdu.expect_signalling(&mut expectation) else {
        pdu.complain("nf_nat_ras: out of TCP ports");
        return Ok(());
    };
    let seen = (pdu.hearing.other().dst, port);
    let expected = [expectation];
    pdu.write_expected(one, seen, &expected)?;
    pdu.remember_signalling(told, port);
    match leading_loopback(pdu, found, one) {
        Some(first) => pdu.write_expected(first, seen, &expected),
        None => Ok(()),
    }
}

/// The connection lives as long as the registration. Linux means to have the expectation do so, too,
/// but doesn't find it.
fn confirm_registration(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    rewrite_signal(pdu, found)?;
    if let Some(seconds) = number(found, Mark::TimeToLive) {
        pdu.call_mut(|call| call.registered = seconds);
    }
    let seconds = pdu.call().registered.min(LONGEST_REGISTRATION);
    if seconds > 0 {
        let Hearing { flow, now, .. } = &mut *pdu.hearing;
        flow.refresh(*now, Duration::from_secs(seconds.into()));
    }
    Ok(())
}

fn request_unregistration(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    rewrite_signal(pdu, found)?;
    pdu.call_mut(|call| call.signal = [0; 2]);
    let Hearing { engine, flow, id, now, .. } = &mut *pdu.hearing;
    let all = |_: &Expectation| true;
    engine.table.expectations.withdraw_of(*id, (all, usize::MAX), *now, &mut engine.events);
    flow.refresh(*now, UNREGISTRATION);
    Ok(())
}

/// Who answers names itself as the destination, who calls as the source.
fn request_admission(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    if !pdu.is_translated() {
        return Ok(());
    }
    let (dir, other) = pdu.dirs();
    let (own, seen, signal) = (pdu.hearing.own().src, pdu.hearing.other().dst, pdu.call().signal);
    if let Some(one) = of(found, Mark::DestinationAddress).next()
        && pdu.endpoint(one) == Some((own, signal[dir]))
    {
        return pdu.write(one, (seen, signal[other]));
    }
    match of(found, Mark::SourceAddress).next().map(|one| (one, pdu.endpoint(one))) {
        Some((one, Some((addr, port)))) if addr == own => pdu.write(one, (seen, port)),
        _ => Ok(()),
    }
}

/// Who asked may call where the gatekeeper says, unless it is to answer itself.
fn confirm_admission(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    match endpoint(pdu, found, Mark::SignalAddress) {
        Some((addr, _)) if addr == pdu.hearing.own().dst => rewrite_signal(pdu, found),
        _ => confirm_location(pdu, found),
    }
}

fn confirm_location(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let Some(endpoint) = endpoint(pdu, found, Mark::SignalAddress) else { return Ok(()) };
    let mut expectation = pdu.assisted(endpoint, proto::TCP, Helper::Q931);
    expectation.flags = ExpectFlags::PERMANENT;
    pdu.hearing.expect(&expectation)
}
