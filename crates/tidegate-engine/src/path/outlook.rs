//! The outlook: what NAT will ask about the flows that a burst begins, asked for together.
//!
//! A flow about which the nat table decides walks, and on its walk the table is asked who else has its source, and whether
//! somebody has the reply that it would get. Both are far in a large table, and who walks knows what to ask for too late. So
//! when the first packet of a burst has to walk it is guessed, for all behind it, that their flows get the address
//! which was given last, and keep their ports: so it is behind most gateways. A hint: nothing is decided here.

use core::net::IpAddr;

use tidegate_wire::Family;

use super::glance::Glance;
use super::layout::Layout;
use super::train::Train;
use crate::engine::Engine;
use crate::table::key::{Key as _, Key4, Key6};
use crate::tuple::Tuple;

/// For each family the address that was given to a source last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outlook([Option<IpAddr>; 2]);

impl Outlook {
    /// Notes an address that was given to a source.
    pub(crate) fn learn(&mut self, given: IpAddr) {
        self.0[Family::of(given) as usize] = Some(given);
    }

    /// The reply to a flow that gets this address, too.
    fn reply(&self, tuple: &Tuple) -> Option<Tuple> {
        let given = self.0[tuple.family() as usize]?;
        Tuple { src: given, ..*tuple }.invert()
    }
}

/// Has read into the cache what NAT will ask about the flows that these packets begin.
#[cold]
#[inline(never)]
pub(crate) fn foresee(engine: &Engine, train: &Train<'_, '_>) {
    let packets = train.packets.iter().zip(train.glances);
    let begun = packets.filter_map(|(packet, glance)| begun(packet.bytes, glance));
    engine.table.read_ahead_for_nat(begun.map(|tuple| (tuple, engine.outlook.reply(&tuple))));
}

/// The tuple of the flow that a packet begins.
fn begun(bytes: &[u8], glance: &Glance) -> Option<Tuple> {
    let kind = glance.kind().filter(|_| glance.slot.is_none())?;
    let proto = kind.proto.number();
    Some(match kind.family {
        Family::V4 => Key4::read(bytes).tuple(proto),
        Family::V6 => Key6::read(bytes).tuple(proto),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::path::Sight;
    use crate::rand::Rng;
    use crate::table::FlowTable;
    use crate::testkit::{Host, ping, udp};
    use crate::time::Instant;

    #[test]
    fn a_reply_is_foreseen_of_the_family_that_was_translated() {
        for family in Family::ALL {
            let tuple = udp(Host::Client, 1).tuple(family);
            let given = udp(Host::Server, 1).tuple(family).src;
            let mut outlook = Outlook::default();
            assert_eq!(outlook.reply(&tuple), None, "nothing is known");
            outlook.learn(given);
            let reply = outlook.reply(&tuple).expect("a reply");
            assert_eq!((reply.dst, reply.dport), (given, tuple.sport));
            assert_eq!((reply.src, reply.sport), (tuple.dst, tuple.dport));
            let other = Family::ALL.into_iter().find(|other| *other != family);
            let other = udp(Host::Client, 1).tuple(other.expect("two families"));
            assert_eq!(outlook.reply(&other), None);
        }
    }

    #[test]
    fn who_is_nowhere_begins_a_flow() {
        let table = FlowTable::new(&Limits::default(), &mut Rng::new(1), Instant::ZERO);
        for family in Family::ALL {
            let bytes = udp(Host::Client, 5).bytes(family);
            let mut glance = Glance::of(Sight { bytes: &bytes, in_doubt: true }, &table);
            assert_eq!(begun(&bytes, &glance), Some(udp(Host::Client, 5).tuple(family)));
            glance.slot = Some(0);
            assert_eq!(begun(&bytes, &glance), None, "somebody is there");
            let bytes = ping(Host::Client, 1).bytes(family);
            let glance = Glance::of(Sight { bytes: &bytes, in_doubt: true }, &table);
            assert_eq!(begun(&bytes, &glance), None, "not plain");
        }
    }
}
