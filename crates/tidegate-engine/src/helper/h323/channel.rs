//! H.245: the channels of media, two ports for each, and of T.120.
//!
//! Linux: `process_h245`, `expect_rtp_rtcp`, `expect_t120` and their halves in `nf_nat_h323.c`.

use tidegate_wire::proto;

use super::pdu::Pdu;
use super::per::{Found, Mark, Value};
use crate::expect::{ExpectFlags, Expectation};
use crate::helper::{HelperFault, Outcome};

/// "Separate LAN stack", among the protocols below T.120.
const SEPARATE_STACK: u32 = 10;

/// Expects the channels that were found.
pub(super) fn process(pdu: &mut Pdu<'_, '_, '_>, found: &[Found]) -> Outcome {
    let mut has_stack = false;
    let mut acknowledged = None;
    for one in found {
        match one.mark {
            Mark::Channel => {
                has_stack = false;
                expect_acknowledged(pdu, &mut acknowledged)?;
            }
            Mark::DataProtocol => has_stack = one.value == Value::Number(SEPARATE_STACK),
            Mark::MediaAddress => expect_media(pdu, one)?,
            Mark::StackAddress if has_stack => expect_t120(pdu, one)?,
            // It comes behind the media, wherever it stands.
            Mark::AckStackAddress => acknowledged = Some(one),
            _ => {}
        }
    }
    expect_acknowledged(pdu, &mut acknowledged)
}

fn expect_acknowledged(pdu: &mut Pdu<'_, '_, '_>, stack: &mut Option<&Found>) -> Outcome {
    stack.take().map_or(Ok(()), |stack| expect_t120(pdu, stack))
}

/// RTP goes to the even port, RTCP to the odd one behind it.
fn expect_media(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let Some((_, port)) = pdu.own_endpoint(found) else { return Ok(()) };
    let dst = pdu.hearing.other().dst;
    let pair = [port & !1, port | 1].map(|port| pdu.expectation((dst, port), proto::UDP));
    if pdu.hides_sender() {
        return expect_hidden_media(pdu, found, (port, pair));
    }
    pdu.hearing.relate_pair(&pair, false).map_err(|_| HelperFault::NotExpected)
}

fn expect_hidden_media(
    pdu: &mut Pdu<'_, '_, '_>,
    found: &Found,
    (told, mut pair): (u16, [Expectation; 2]),
) -> Outcome {
    let (dir, other) = pdu.dirs();
    let even = pair[0].tuple.dport;
    pair.iter_mut().for_each(|one| pdu.follow(one));
    let known = pdu.call().media.iter().position(|ports| ports[dir] == even || ports[dir] == 0);
    let Some(channel) = known else {
        pdu.complain("nf_nat_h323: out of expectations");
        return Ok(());
    };
    let Some(port) = pdu.hearing.expect_pair_at_some_ports(&mut pair, false) else {
        pdu.complain("nf_nat_h323: out of RTP ports");
        return Ok(());
    };
    let dst = pdu.hearing.other().dst;
    pdu.write_expected(found, (dst, port.wrapping_add(told & 1)), &pair)?;
    pdu.call_mut(|call| {
        let ports = &mut call.media[channel];
        (ports[dir], ports[other]) = (even, port);
    });
    Ok(())
}

/// Any number of connections may come.
fn expect_t120(pdu: &mut Pdu<'_, '_, '_>, found: &Found) -> Outcome {
    let Some((_, port)) = pdu.own_endpoint(found) else { return Ok(()) };
    let dst = pdu.hearing.other().dst;
    let mut expectation = pdu.expectation((dst, port), proto::TCP);
    expectation.flags = ExpectFlags::PERMANENT;
    if !pdu.hides_sender() {
        return pdu.hearing.expect(&expectation);
    }
    pdu.follow(&mut expectation);
    let Ok(port) = pdu.hearing.expect_at_some_port(&mut expectation, port) else {
        pdu.complain("nf_nat_h323: out of TCP ports");
        return Ok(());
    };
    pdu.write_expected(found, (dst, port), &[expectation])
}
