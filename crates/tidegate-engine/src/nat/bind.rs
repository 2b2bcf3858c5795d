//! Binding: deciding a draft's reply tuple, once per end.

use tidegate_wire::proto;

use super::{Manip, NatRange, address, port};
use crate::event::EventQueue;
use crate::flow::{Flow, Status};
use crate::rand::Rng;
use crate::steer::Post;
use crate::table::FlowTable;
use crate::time::Instant;
use crate::tuple::Tuple;

/// What a decision needs besides the flow.
pub(crate) struct Binder<'a> {
    pub(crate) table: &'a mut FlowTable,
    pub(crate) events: &'a mut EventQueue,
    pub(crate) rng: &'a mut Rng,
    /// The `found` counter.
    pub(crate) found: &'a mut u64,
    pub(crate) now: Instant,
    /// Whether the reply must be at home with the flow's owner.
    pub(crate) is_steered: bool,
}

impl Binder<'_> {
    /// Maps one end of the flow into `range`. Linux: `nf_nat_setup_info`.
    pub(crate) fn bind(&mut self, flow: &mut Flow, range: &NatRange, manip: Manip) {
        // What has been decided so far: the inverse of the reply tuple.
        let Some(current) = flow.reply.invert() else { return };
        let mapped = self.unique(flow, &current, range, manip);
        if mapped != current {
            flow.reply = mapped.invert().unwrap_or(flow.reply);
            flow.status |= manip.changed_bit();
        }
        flow.status |= manip.done_bit();
    }

    /// Maps the end to itself; only its port may change.
    pub(crate) fn bind_null(&mut self, flow: &mut Flow, manip: Manip) {
        let addr = match manip {
            Manip::Src => flow.reply.dst,
            Manip::Dst => flow.reply.src,
        };
        let range = NatRange { addrs: Some((addr, addr)), ..NatRange::default() };
        self.bind(flow, &range, manip);
    }

    /// Whether another flow owns the reply of `tuple`.
    pub(super) fn is_taken(&mut self, flow: &Flow, tuple: &Tuple, manip: Manip) -> bool {
        let Some(reply) = tuple.invert() else { return true };
        let taken = self.table.is_taken(self.now, &reply, flow);
        *self.found += u64::from(taken);
        taken || !self.is_at_home(flow, &reply, manip)
    }

    /// Whether a flow with that reply can be ours, as far as that is decided by its source, which is chosen last.
    pub(super) fn is_at_home(&self, flow: &Flow, reply: &Tuple, manip: Manip) -> bool {
        let decides = self.is_steered && manip == Manip::Src;
        let post = self.table.post.as_ref().filter(|_| decides);
        // Whose the inverse is was decided with the original tuple.
        let is_ours = |post: &Post| {
            post.suits(reply, flow.zone)
                || flow.orig.invert().is_some_and(|own| own == *reply)
                // No key of a call that was announced can have another home.
                || flow.is(Status::EXPECTED) && reply.proto == proto::GRE
        };
        post.is_none_or(|post| is_ours(post))
    }

    /// Whether no reply was found that can be ours, though a flow that nobody expected must have one.
    pub(crate) fn is_homeless(&self, flow: &Flow, manip: Manip) -> bool {
        !flow.is(Status::EXPECTED) && !self.is_at_home(flow, &flow.reply, manip)
    }

    /// The mapping of `current` into the range. In this order: as it is; as the
    /// same source is mapped already; another address; another port. Linux:
    /// `get_unique_tuple`.
    fn unique(&mut self, flow: &Flow, current: &Tuple, range: &NatRange, manip: Manip) -> Tuple {
        let keeps = manip == Manip::Src && !range.random;
        if let Some(tuple) = keeps.then(|| self.keep_source(flow, current, range)).flatten() {
            return tuple;
        }
        let mut tuple = *current;
        address::choose(&mut tuple, range, manip, flow.zone);
        if !range.random && self.suffices(flow, &tuple, range, manip) {
            return tuple;
        }
        port::choose(self, flow, &mut tuple, range, manip);
        tuple
    }

    fn keep_source(&mut self, flow: &Flow, current: &Tuple, range: &NatRange) -> Option<Tuple> {
        if in_range(current, range) {
            let is_free =
                !self.is_taken(flow, current, Manip::Src) || self.is_answer(flow, current);
            return is_free.then_some(*current);
        }
        let mapped = self.mapping_of_source(flow, current, range)?;
        (!self.is_taken(flow, &mapped, Manip::Src)).then_some(mapped)
    }

    /// Whether what takes the untranslated `current` is an untranslated flow that the draft answers,
    /// in another zone. The draft keeps its port then, and confirmation decides. Linux: the exception
    /// of `nf_nat_used_tuple_new`.
    fn is_answer(&self, flow: &Flow, current: &Tuple) -> bool {
        let translated = Status::NAT | Status::SEQ_ADJUST;
        if !may_clash(current.proto) || flow.status.intersects(translated) {
            return false;
        }
        let owner = self
            .table
            .lookup_noted(self.now, current, flow.zone)
            .or_else(|| self.table.lookup_noted(self.now, &current.invert()?, flow.zone));
        owner
            .and_then(|(id, _)| self.table.load(id))
            .is_none_or(|other| !other.status.intersects(translated) && other.orig == flow.reply)
    }

    /// The mapping that another flow of the same source has, toward our
    /// destination.
    fn mapping_of_source(&self, flow: &Flow, current: &Tuple, range: &NatRange) -> Option<Tuple> {
        self.table
            .of_source(current, flow.zone)
            .filter_map(|other| other.reply.invert())
            .map(|mapped| Tuple { src: mapped.src, sport: mapped.sport, ..*current })
            .find(|mapped| in_range(mapped, range))
    }

    /// Whether the port can stay as it is.
    fn suffices(&mut self, flow: &Flow, tuple: &Tuple, range: &NatRange, manip: Manip) -> bool {
        match range.ports {
            None => !self.is_taken(flow, tuple, manip),
            Some(_) if range.base_port.is_some() => false,
            Some((min, max)) => {
                port_in_range(tuple, manip, (min, max))
                    && (min == max || !self.is_taken(flow, tuple, manip))
            }
        }
    }
}

/// Whether the protocol has no handshake, so that either end's packet may make the flow. Linux:
/// `allow_clash`.
fn may_clash(proto: u8) -> bool {
    !matches!(proto, proto::TCP | proto::SCTP | proto::ICMP | proto::ICMPV6)
}

fn in_range(tuple: &Tuple, range: &NatRange) -> bool {
    range.addrs.is_none_or(|(min, max)| (min..=max).contains(&tuple.src))
        && range.ports.is_none_or(|ports| port_in_range(tuple, Manip::Src, ports))
}

/// Protocols without ports fit every range of ports; the keys of GRE count as ports here.
fn port_in_range(tuple: &Tuple, manip: Manip, (min, max): (u16, u16)) -> bool {
    let key = port::key(tuple, manip).or_else(|| port::gre_key(tuple, manip));
    key.is_none_or(|port| (min..=max).contains(&port))
}
