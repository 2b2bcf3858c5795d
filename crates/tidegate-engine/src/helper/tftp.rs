//! TFTP: the server answers a request from another port.
//!
//! Linux: `nf_conntrack_tftp.c`, `nf_nat_tftp.c`.

use tidegate_wire::proto;

use super::hearing::toward;
use super::{Hearing, HelperFault, Outcome};
use crate::expect::Binding;
use crate::tuple::Direction;

const READ: u16 = 1;
const WRITE: u16 = 2;

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let opcode = hearing.message.data().first_chunk().map(|code| u16::from_be_bytes(*code));
    if !matches!(opcode, Some(READ | WRITE)) {
        return Ok(());
    }
    let reply = hearing.flow.reply;
    let announced = toward(Some(reply.src), reply.dst, reply.dport, proto::UDP);
    let mut expectation = hearing.announce(0, &announced);
    if hearing.is_translated() {
        expectation.saved.1 = hearing.flow.orig.sport;
        expectation.dir = Direction::Reply;
        expectation.binding = Some(Binding::FollowMaster);
    }
    hearing.relate(&expectation).map_err(|_| HelperFault::NotExpected)
}
