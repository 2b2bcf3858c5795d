//! H.323: calls. Endpoints register with a gatekeeper (RAS), set up calls (Q.931) and open the
//! channels of their media (H.245); each step announces where the next one takes place.
//!
//! ```text
//! RAS --> Q.931 --> H.245 --> RTP and RTCP, T.120
//!              \--> channels at once ("fast start"), or H.245 inside of it
//! ```
//!
//! Messages are in a packed encoding: `per` walks them by the types in `grammar` and notes where the
//! addresses are; `tpkt` finds them in a TCP stream. `ras`, `call` and `channel` say what is expected,
//! and rewrite the addresses of IPv4 connections that are translated; those of IPv6 stay, as in
//! Linux. An unreadable message passes as it is. Linux: `nf_conntrack_h323_main.c`,
//! `nf_nat_h323.c`, with the module's parameters as they are if nobody sets them.

mod call;
mod channel;
mod grammar;
mod pdu;
mod per;
mod ras;
mod tpkt;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use tidegate_wire::proto;

use self::grammar::{CONTROL_MESSAGE, RAS_MESSAGE};
use self::pdu::Pdu;
use self::per::Found;
use super::{Hearing, HelperFault, Memory, Outcome};
use crate::flow::Care;

/// How many expectations may wait: four of each of the calls' four channels, and some for T.120 and
/// for H.245.
pub(super) const RAS_MOST: usize = 32;
pub(super) const Q931_MOST: usize = CHANNELS * 4 + 4;
pub(super) const H245_MOST: usize = CHANNELS * 4 + 2;
pub(super) const SECONDS: u64 = 240;
const CHANNELS: usize = 4;

/// What is remembered of a connection. Of ports there are pairs, by the direction: as the ones who
/// sent in that direction told it, and as the others see it. A port 0 is none, as in Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// Where signalling was last expected.
    signal: [u16; 2],
    /// The even ones of the media's ports.
    media: [[u16; 2]; CHANNELS],
    /// How long a registration lasts, in seconds.
    registered: u32,
    /// By the direction: how long the message is whose length came in a segment of its own.
    awaited: [u16; 2],
}

/// Registration and admission, in datagrams.
pub(super) fn hear_ras(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let data = hearing.message.data();
    if data.is_empty() {
        return Ok(());
    }
    let Ok(found) = per::decode(data, 0, &RAS_MESSAGE) else { return Ok(()) };
    ras::process(&mut Pdu { hearing, at: 0 }, &found)
        .map_err(|_| HelperFault::Malformed("process RAS message"))
}

/// Call signalling, in a TCP stream.
pub(super) fn hear_q931(hearing: &mut Hearing<'_, '_>) -> Outcome {
    hear_stream(hearing, call::user_information, call::process)
        .map_err(|_| HelperFault::Malformed("process Q.931 message"))
}

/// Control of channels, in a TCP stream.
pub(super) fn hear_h245(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let read = |data: &[u8]| per::decode(data, 0, &CONTROL_MESSAGE).ok();
    hear_stream(hearing, read, channel::process)
        .map_err(|_| HelperFault::Malformed("process H.245 message"))
}

/// Reads and processes the messages of a segment, until one can't be read.
fn hear_stream(
    hearing: &mut Hearing<'_, '_>,
    read: impl Fn(&[u8]) -> Option<Vec<Found>>,
    process: impl Fn(&mut Pdu<'_, '_, '_>, &[Found]) -> Outcome,
) -> Outcome {
    // A rule may give H.245 to UDP, of which it can make nothing.
    if !hearing.is_established() || hearing.flow.orig.proto != proto::TCP {
        return Ok(());
    }
    let mut next = tpkt::first(hearing);
    while let Some(message) = next {
        let Some(found) = read(&hearing.message.data()[message.clone()]) else { break };
        process(&mut Pdu { hearing, at: message.start }, &found)?;
        next = tpkt::next(hearing, message.end);
    }
    Ok(())
}

impl Call {
    /// What is remembered of a connection with such a helper.
    fn of(care: &Care) -> Self {
        match care.memory {
            Memory::H323(call) => call,
            _ => Self::default(),
        }
    }
}
