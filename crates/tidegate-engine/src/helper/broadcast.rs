//! NetBIOS name service and SNMP: whoever is in the network may answer a question that the host
//! itself asked by broadcast.
//!
//! Linux: `nf_conntrack_broadcast.c`.

use super::hearing::toward;
use super::{Hearing, Outcome};
use crate::expect::{ExpectFlags, Mask};
use crate::limits::Timeout;
use crate::tuple::Direction;

pub(super) fn hear(hearing: &mut Hearing<'_, '_>, timeout: Timeout, port: u16) -> Outcome {
    let Some(mask) = hearing.broadcast.filter(|_| hearing.dir == Direction::Original) else {
        return Ok(());
    };
    let reply = hearing.flow.reply;
    let announced = toward(Some(reply.src), reply.dst, reply.dport, reply.proto);
    let mut expectation = hearing.announce(0, &announced);
    expectation.tuple.sport = port;
    expectation.mask = Mask { src: mask, sport: u16::MAX };
    expectation.flags = ExpectFlags::PERMANENT;
    // Nobody minds if it can't be expected.
    let _ = hearing.relate(&expectation);
    hearing.flow.refresh(hearing.now, timeout.as_duration());
    Ok(())
}
