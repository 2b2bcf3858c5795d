//! SANE: the answer to a request to scan names the port of the data connection.
//!
//! Linux: `nf_conntrack_sane.c`.

use tidegate_wire::proto;

use super::hearing::toward;
use super::{Hearing, Memory, Outcome};
use crate::tuple::Direction;

/// Whether a request to scan waits for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    is_start: bool,
}

const NET_START: u32 = 7;
const SUCCESS: u32 = 0;
const REQUEST_LEN: usize = 8;

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let data = hearing.message.data();
    if !hearing.is_established() || data.is_empty() {
        return Ok(());
    }
    let code = data.first_chunk().map(|code| u32::from_be_bytes(*code));
    if hearing.dir == Direction::Original {
        if data.len() == REQUEST_LEN {
            remember(hearing, code == Some(NET_START));
        }
        return Ok(());
    }
    let port = match *data {
        [0, 0, 0, 0, 0, 0, high, low, ..] if code == Some(SUCCESS) => {
            Some(u16::from_be_bytes([high, low]))
        }
        _ => None,
    };
    let is_awaited = matches!(hearing.care.memory, Memory::Sane(Request { is_start: true }));
    if is_awaited {
        remember(hearing, false);
    }
    let Some(port) = port.filter(|_| is_awaited) else { return Ok(()) };
    let orig = hearing.flow.orig;
    let expectation = hearing.announce(0, &toward(Some(orig.src), orig.dst, port, proto::TCP));
    hearing.expect(&expectation)
}

fn remember(hearing: &mut Hearing<'_, '_>, is_start: bool) {
    hearing.care.memory = Memory::Sane(Request { is_start });
}
