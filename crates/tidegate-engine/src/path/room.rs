//! Room for a TCP SYN to grow: `TCPMSS` may add an option, and the caller's buffer ends with the datagram.
//!
//! Where such a rule is loaded, a SYN walks in a buffer of the engine's own that is a little longer. If it has grown it
//! leaves by the output queue, as all that is not in the caller's buffer; else it is written back.

use tidegate_wire::Headers;
use tidegate_wire::packet::tcp;
use tidegate_wire::proto;

use super::{Path, Walk};
use crate::engine::Outcome;
use crate::fib::Fib;
use crate::packet::{Packet, Tracked};
use crate::rules::ROOM;
use crate::trace::Observer;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// Whether the packet may need room that its buffer hasn't got.
    #[inline(always)]
    pub(super) fn may_grow(&self, packet: &Packet<'_>, headers: &Headers) -> bool {
        self.engine.programs.lengthens(headers.family)
            && packet.bytes.len() < headers.len + ROOM
            && is_syn(packet.bytes, headers)
    }

    /// The whole walk, with room.
    #[cold]
    #[inline(never)]
    pub(super) fn walk_with_room(
        &mut self,
        packet: &mut Packet<'_>,
        headers: Headers,
        path: Path<Self>,
    ) -> Outcome {
        let len = headers.len.min(packet.bytes.len());
        let mut bytes = packet.bytes[..len].to_vec();
        bytes.resize(len + ROOM, 0);
        let mut roomy = Packet { bytes: &mut bytes, ..*packet };
        let outcome = self.walk(&mut roomy, headers, Tracked::None, None, path);
        packet.mark = roomy.mark;
        packet.bytes[..len].copy_from_slice(&bytes[..len]);
        outcome
    }
}

const SYN: u8 = 0x02;

fn is_syn(datagram: &[u8], headers: &Headers) -> bool {
    let segment = headers.payload(datagram);
    headers.proto == proto::TCP && segment.len() >= tcp::HEADER_LEN && segment[13] & SYN != 0
}
