//! From the kernel's messages to what the world is made of.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use tidegate_engine::fib::{Port, PortId};
use tidegate_wire::packet::MacAddr;

use super::proc;
use crate::fib::link::{Address, Link, Vlan};
use crate::fib::neighbour::Neighbour;
use crate::fib::policy::{Action, Rule};
use crate::fib::table::{Hop, Kind, Prefix, Route};
use crate::fib::{Caveat, World};

/// Whether a message is about an interface itself, not about what a bridge thinks of it.
pub(super) fn is_of_host(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

pub(super) fn is_up(message: &LinkMessage) -> bool {
    message.header.flags.contains(LinkFlags::Up)
}

/// An interface, without its addresses.
pub(super) fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        port: Port {
            name: String::new(),
            mtu: 1500,
            loopback: flags.contains(LinkFlags::Loopback),
        },
        mac: None,
        is_up: is_up(message),
        has_carrier: flags.contains(LinkFlags::LowerUp),
        needs_no_neighbours: flags.intersects(LinkFlags::Noarp | LinkFlags::Loopback),
        vlan: None,
        master: None,
        addresses: Vec::new(),
        settings: Default::default(),
    };
    let (mut parent, mut tag) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.port.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.port.mtu = *mtu,
            LinkAttribute::Address(bytes) => {
                link.mac = bytes.as_slice().try_into().ok().map(MacAddr);
            }
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::Controller(index) => link.master = Some(*index),
            LinkAttribute::LinkInfo(infos) => tag = infos.iter().find_map(vlan_id).or(tag),
            _ => {}
        }
    }
    link.vlan = parent.zip(tag).map(|(parent, id)| Vlan { parent, id });
    link.settings = proc::settings(&link.port.name);
    link
}

fn vlan_id(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vlan(attributes)) = info else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    })
}

/// An address and its interface.
pub(super) fn address(message: &AddressMessage) -> Option<(u32, Address)> {
    let (mut local, mut network, mut broadcast) = (None, None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(addr) => local = Some(*addr),
            AddressAttribute::Address(addr) => network = Some(*addr),
            AddressAttribute::Broadcast(addr) => broadcast = Some(*addr),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let unsure =
        flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    let address = Address {
        local: local.or(network)?,
        network: network.or(local)?,
        prefix: message.header.prefix_len,
        broadcast,
        scope: message.header.scope.into(),
        is_secondary: flags.contains(AddressFlags::Secondary),
        is_tentative: unsure || flags.contains(AddressFlags::Dadfailed),
        is_deprecated: flags.contains(AddressFlags::Deprecated),
    };
    Some((message.header.index, address))
}

/// A neighbour; `None` of one of whom nothing is known.
pub(super) fn neighbour(
    world: &World,
    message: &NeighbourMessage,
) -> Option<(PortId, IpAddr, Option<Neighbour>)> {
    if message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let port = world.links.port(message.header.ifindex)?;
    let (mut addr, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(at)) => {
                addr = Some((*at).into())
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(at)) => {
                addr = Some((*at).into());
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(MacAddr);
            }
            _ => {}
        }
    }
    let known = match (message.header.state, mac) {
        (NeighbourState::Stale, Some(mac)) => Some(Neighbour::Stale(mac)),
        (NeighbourState::Incomplete, _) => Some(Neighbour::Asked),
        (NeighbourState::Failed, _) => Some(Neighbour::Failed),
        (NeighbourState::None, _) | (_, None) => None,
        (_, Some(mac)) => Some(Neighbour::At(mac)),
    };
    Some((port, addr?, known))
}

/// A route and where it stands.
pub(super) struct Entry {
    pub(super) table: u32,
    pub(super) prefix: Prefix,
    pub(super) route: Route,
    /// It makes an address the host's, and the kernel hasn't made it.
    pub(super) is_own: bool,
}

/// Why a route isn't taken.
pub(super) enum Unfit {
    /// It should have been.
    Caveat(Caveat),
    /// It is none of ours: of another family, remembered from earlier packets, or by an interface that is gone.
    NotHere,
}

pub(super) fn route(world: &World, message: &RouteMessage) -> Result<Entry, Unfit> {
    let header = &message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Err(Unfit::NotHere),
    };
    let said = Said::of(message);
    let table = said.table.unwrap_or(header.table.into());
    let refuse = |what| Err(Unfit::Caveat(Caveat::Route(table, what)));
    let kind = match kind_of(header.kind) {
        Some(kind) => kind,
        None => return refuse("its type"),
    };
    if header.flags.contains(RouteFlags::Cloned) {
        return Err(Unfit::NotHere);
    }
    if header.tos != 0 {
        return refuse("a type of service");
    }
    if header.source_prefix_length != 0 {
        return refuse("a source prefix");
    }
    if said.is_wrapped {
        return refuse("an encapsulation");
    }
    let leads_out = matches!(kind, Kind::Unicast | Kind::Local | Kind::Broadcast | Kind::Anycast);
    if said.is_object && said.hops.is_empty() && said.out.is_none() && leads_out {
        return refuse("a nexthop object without its hops (net.ipv4.nexthop_compat_mode = 0)");
    }
    let hops: Vec<Hop> = said.hops(world, header.flags).collect();
    if hops.is_empty() && leads_out {
        return Err(Unfit::NotHere);
    }
    let to = said.to.unwrap_or(unspecified);
    let prefix = Prefix::new(to, header.destination_prefix_length).ok_or(Unfit::NotHere)?;
    let scope = header.scope.into();
    let route = Route { kind, metric: said.metric, scope, hops, source: said.source };
    let is_own = kind == Kind::Local && header.protocol != RouteProtocol::Kernel;
    Ok(Entry { table, prefix, route, is_own })
}

fn kind_of(kind: RouteType) -> Option<Kind> {
    Some(match kind {
        RouteType::Unicast => Kind::Unicast,
        RouteType::Local => Kind::Local,
        RouteType::Broadcast => Kind::Broadcast,
        RouteType::Anycast => Kind::Anycast,
        RouteType::Multicast => Kind::Multicast,
        RouteType::BlackHole => Kind::Blackhole,
        RouteType::Unreachable => Kind::Unreachable,
        RouteType::Prohibit => Kind::Prohibit,
        RouteType::Throw => Kind::Throw,
        _ => return None,
    })
}

/// What the attributes of a route say.
#[derive(Default)]
struct Said<'a> {
    to: Option<IpAddr>,
    table: Option<u32>,
    metric: u32,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    out: Option<u32>,
    hops: &'a [RouteNextHop],
    is_object: bool,
    is_wrapped: bool,
}

impl<'a> Said<'a> {
    fn of(message: &'a RouteMessage) -> Self {
        let mut said = Self::default();
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => said.to = plain(to),
                RouteAttribute::Table(table) => said.table = Some(*table),
                RouteAttribute::Priority(metric) => said.metric = *metric,
                RouteAttribute::PrefSource(source) => said.source = plain(source),
                RouteAttribute::Oif(index) => said.out = Some(*index),
                RouteAttribute::MultiPath(hops) => said.hops = hops,
                RouteAttribute::NhId(_) => said.is_object = true,
                RouteAttribute::EncapType(_) => said.is_wrapped = true,
                other => said.gateway = gateway(other).or(said.gateway),
            }
        }
        said.is_wrapped |= said.hops.iter().any(|hop| {
            hop.attributes.iter().any(|one| matches!(one, RouteAttribute::EncapType(_)))
        });
        said
    }

    /// The ways out by interfaces that are there.
    fn hops(&self, world: &World, flags: RouteFlags) -> impl Iterator<Item = Hop> {
        let is_dead = flags.contains(RouteFlags::Dead);
        let single = self.out.and_then(|index| world.links.port(index)).map(|port| Hop {
            port,
            gateway: self.gateway,
            weight: 1,
            is_dead,
        });
        let several = self.hops.iter().filter_map(|hop| {
            let port = world.links.port(hop.interface_index)?;
            let is_dead = hop.flags.contains(RouteNextHopFlags::Dead);
            let gateway = hop.attributes.iter().find_map(gateway);
            Some(Hop { port, gateway, weight: u16::from(hop.hops) + 1, is_dead })
        });
        single.into_iter().chain(several).collect::<Vec<_>>().into_iter()
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(addr) => plain(addr),
        RouteAttribute::Via(RouteVia::Inet(addr)) => Some((*addr).into()),
        RouteAttribute::Via(RouteVia::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    }
}

fn plain(addr: &RouteAddress) -> Option<IpAddr> {
    match addr {
        RouteAddress::Inet(addr) => Some((*addr).into()),
        RouteAddress::Inet6(addr) => Some((*addr).into()),
        _ => None,
    }
}

/// A policy rule.
pub(super) fn rule(message: &RuleMessage) -> Result<Rule, Caveat> {
    let header = &message.header;
    let mut rule = Rule::for_all(0, Action::Table(header.table.into()));
    let (mut mark, mut mask, mut goto, mut unserved) = (None, u32::MAX, None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(addr) => rule.from = Some((*addr, header.src_len)),
            RuleAttribute::Destination(addr) => rule.to = Some((*addr, header.dst_len)),
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(_) => rule.is_for_sockets = true,
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(bits) => mask = *bits,
            RuleAttribute::Table(table) => rule.action = Action::Table(*table),
            RuleAttribute::Goto(priority) => goto = Some(*priority),
            RuleAttribute::SuppressPrefixLen(length) => rule.suppress = u8::try_from(*length).ok(),
            other => unserved = unserved.or(unserved_by(other)),
        }
    }
    if header.tos != 0 {
        unserved = Some("a type of service");
    }
    if let Some(what) = unserved {
        return Err(Caveat::Rule(rule.priority, what));
    }
    rule.mark = mark.filter(|_| mask != 0).map(|mark| (mark, mask));
    rule.is_inverted = header.flags.contains(RuleFlags::Invert);
    rule.action = match (header.action, goto) {
        (RuleAction::ToTable, _) => rule.action,
        (RuleAction::Goto, Some(priority)) => Action::Goto(priority),
        (RuleAction::Blackhole, _) => Action::Blackhole,
        (RuleAction::Unreachable, _) => Action::Unreachable,
        (RuleAction::Prohibit, _) => Action::Prohibit,
        _ => Action::Nop,
    };
    Ok(rule)
}

/// What a rule asks for that no query tells.
fn unserved_by(attribute: &RuleAttribute) -> Option<&'static str> {
    match attribute {
        RuleAttribute::L3MDev(true) => Some("a VRF"),
        RuleAttribute::UidRange(_) => Some("a user"),
        RuleAttribute::IpProtocol(_) => Some("a protocol"),
        RuleAttribute::SourcePortRange(_) | RuleAttribute::DestinationPortRange(_) => Some("ports"),
        RuleAttribute::TunId(_) => Some("a tunnel's number"),
        RuleAttribute::SuppressIfGroup(group) if *group != u32::MAX => Some("an interface group"),
        _ => None,
    }
}
