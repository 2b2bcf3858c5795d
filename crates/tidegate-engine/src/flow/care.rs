//! What few flows have: a helper, a master, corrected sequence numbers, a proxy before the server.
//!
//! A flow's value is copied with every packet, and most flows have nothing of this. So it lies apart,
//! in the table, which knows by a flow's status whether there is any ([`Care::is_of`]). What rules
//! and listeners ask for, the names of the helpers, is with the flow.

use tidegate_wire::SeqNum;

use super::{Flow, FlowId, Status};
use crate::event::ExpectMask;
use crate::helper::{Helper, Memory};
use crate::synproxy::Proxy;
use crate::tuple::{Direction, Tuple};

/// The flow whose helper announced another one. It may be gone since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its id.
    pub id: FlowId,
    /// Its original tuple.
    pub tuple: Tuple,
    /// Its helper.
    pub helper: Option<Helper>,
}

/// How the sequence numbers of one direction are corrected: up to a position by one number, behind
/// it by another. Linux remembers no more than the latest position (`struct nf_ct_seqadj`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// The sequence number of the segment whose length was changed last, as its sender counts.
    pub position: SeqNum,
    /// What is added to numbers up to it.
    pub before: i32,
    /// What is added to numbers behind it.
    pub after: i32,
}

impl Correction {
    /// What is added to a sequence number of the sender.
    #[must_use]
    pub fn of(&self, seq: SeqNum) -> i32 {
        if seq.after(self.position) { self.after } else { self.before }
    }

    /// Notes that the segment at `seq` has become longer by `growth`. Linux: `nf_ct_seqadj_set`.
    fn add(&mut self, seq: SeqNum, growth: i32) {
        if self.before == self.after || self.position.before(seq) {
            self.position = seq;
            self.before = self.after;
            self.after = self.after.wrapping_add(growth);
        }
    }
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Care {
    /// What the helper remembers of the conversation.
    pub(crate) memory: Memory,
    pub(crate) master: Option<Master>,
    /// By [`Direction::index`].
    pub(crate) corrections: [Correction; 2],
    /// Which events of its expectations are announced.
    pub(crate) expect_events: ExpectMask,
    /// What SYNPROXY remembers, if the flow is behind it.
    pub(crate) proxy: Proxy,
}

impl Care {
    /// A flow with none of these bits has nothing of this, unless it is behind SYNPROXY.
    const STATUS: Status = Status::EXPECTED.union(Status::HELPER).union(Status::SEQ_ADJUST);

    /// Whether a flow has any of this.
    #[inline]
    pub(crate) fn is_of(flow: &Flow) -> bool {
        flow.status.intersects(Self::STATUS) || flow.is_proxied
    }

    /// Notes that the segment of `flow`, in direction `dir`, at `seq` has become longer by `growth`.
    pub(crate) fn correct(&mut self, flow: &mut Flow, dir: Direction, seq: SeqNum, growth: i32) {
        if growth != 0 {
            flow.status |= Status::SEQ_ADJUST;
            self.corrections[dir.index()].add(seq, growth);
        }
    }

    /// Corrects all numbers of a direction alike. Linux: `nf_ct_seqadj_init`.
    pub(crate) fn correct_all(&mut self, flow: &mut Flow, dir: Direction, offset: i32) {
        if offset != 0 {
            flow.status |= Status::SEQ_ADJUST;
            let correction = &mut self.corrections[dir.index()];
            (correction.before, correction.after) = (offset, offset);
        }
    }
}

/// What an acknowledgement of a segment must be reduced by to be in the numbers of the sender of what
/// it acknowledges, whose direction is `dir`. Linux: `nf_ct_seq_offset` in `tcp_in_window`.
pub(crate) fn ack_offset(corrections: &[Correction; 2], dir: Direction, ack: SeqNum) -> i32 {
    let last = SeqNum(ack.0.wrapping_sub(1));
    corrections[dir.index()].of(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_position_is_remembered() {
        let rows = [
            ("the first", (100, 3), (100, 0, 3)),
            ("one behind it", (200, -1), (200, 3, 2)),
            ("an older one is not noted", (150, 9), (200, 3, 2)),
            ("the same one isn't either", (200, 9), (200, 3, 2)),
            ("one across the wrap", (0x8000_0050, 5), (0x8000_0050, 2, 7)),
        ];
        let mut correction = Correction::default();
        for (what, (seq, growth), (position, before, after)) in rows {
            correction.add(SeqNum(seq), growth);
            assert_eq!(
                correction,
                Correction { position: SeqNum(position), before, after },
                "{what}"
            );
        }
        let offsets = [0x8000_0050, 0x8000_0051].map(|seq| correction.of(SeqNum(seq)));
        assert_eq!(offsets, [2, 7]);
    }

    #[test]
    fn lengths_that_cancel_out_leave_the_position_free() {
        let mut correction = Correction::default();
        correction.add(SeqNum(100), 0);
        correction.add(SeqNum(50), 4);
        assert_eq!(correction, Correction { position: SeqNum(50), before: 0, after: 4 });
    }
}
