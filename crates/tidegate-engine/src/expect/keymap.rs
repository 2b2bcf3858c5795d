//! The senders' keys of PPTP calls.
//!
//! A GRE packet of a call carries the receiver's key only. The control connection has told both, so
//! the missing one is looked up here by what the packet has. Linux: `nf_conntrack_proto_gre.c`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::flow::FlowId;
use crate::tuple::{Direction, Tuple};

/// What is known of the calls of all control connections: at most one call of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyMap {
    /// In the order in which they came.
    calls: Vec<(FlowId, Direction, Tuple)>,
    /// The first that has this receiver.
    receivers: BTreeMap<Receiver, u16>,
}

/// Addresses and receiver's key.
pub(crate) type Receiver = (core::net::IpAddr, core::net::IpAddr, u16);

impl KeyMap {
    /// The sender's key of a packet by its addresses and the receiver's key; 0 where none is known.
    pub(crate) fn sender(&self, packet: Receiver) -> u16 {
        self.receivers.get(&packet).copied().unwrap_or(0)
    }

    /// Learns the key of one direction of a call. False: the control connection has another one.
    pub(crate) fn learn(&mut self, owner: FlowId, dir: Direction, tuple: &Tuple) -> bool {
        let known = self.calls.iter().find(|(id, known, _)| (*id, *known) == (owner, dir));
        if let Some((_, _, known)) = known {
            return receiver(known) == receiver(tuple);
        }
        self.calls.push((owner, dir, *tuple));
        self.receivers.entry(receiver(tuple)).or_insert(tuple.sport);
        true
    }

    /// Gives the control connections other ids.
    pub(crate) fn rename(&mut self, id_of: impl Fn(FlowId) -> FlowId) {
        for (id, ..) in &mut self.calls {
            *id = id_of(*id);
        }
    }

    /// Forgets the calls of a control connection.
    pub(crate) fn forget(&mut self, owner: FlowId) {
        let before = self.calls.len();
        self.calls.retain(|(id, ..)| *id != owner);
        if self.calls.len() == before {
            return;
        }
        self.receivers.clear();
        for (_, _, tuple) in &self.calls {
            self.receivers.entry(receiver(tuple)).or_insert(tuple.sport);
        }
    }
}

fn receiver(tuple: &Tuple) -> Receiver {
    (tuple.src, tuple.dst, tuple.dport)
}

#[cfg(test)]
mod tests {
    use tidegate_wire::proto;

    use super::*;

    #[test]
    fn a_call_lends_its_packets_the_sender_s_key() {
        let [one, other] = [1, 2].map(|slot| FlowId { slot, generation: 0 });
        let tuple = |sport, dport| Tuple {
            src: "10.0.0.1".parse().unwrap(),
            dst: "10.0.0.2".parse().unwrap(),
            sport,
            dport,
            proto: proto::GRE,
        };
        let mut keys = KeyMap::default();
        assert_eq!(keys.sender(receiver(&tuple(0, 7))), 0, "nothing known");
        assert!(keys.learn(one, Direction::Original, &tuple(5, 7)));
        assert!(keys.learn(one, Direction::Original, &tuple(5, 7)), "told again");
        assert!(!keys.learn(one, Direction::Original, &tuple(5, 8)), "one call at a time");
        assert!(keys.learn(other, Direction::Original, &tuple(6, 7)));
        assert_eq!(keys.sender(receiver(&tuple(0, 7))), 5, "the first counts");
        keys.forget(one);
        assert_eq!(
            (keys.sender(receiver(&tuple(0, 7))), keys.sender(receiver(&tuple(0, 8)))),
            (6, 0)
        );
        keys.forget(other);
        assert_eq!(keys.sender(receiver(&tuple(0, 7))), 0);
    }
}
