//! What the kernel's messages become, where no namespace can show it.

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::*;
use crate::fib::link::Vlan;
use crate::fib::policy::{Action, Rule};

#[test]
fn a_vlan_knows_its_tag_and_what_is_below() {
    let mut message = LinkMessage::default();
    message.header.index = 9;
    message.attributes = vec![
        LinkAttribute::IfName("lan0.7".to_owned()),
        LinkAttribute::Link(3),
        LinkAttribute::Mtu(1496),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(7)])),
        ]),
    ];
    let link = decode::link(&message);
    assert_eq!(link.vlan, Some(Vlan { parent: 3, id: 7 }));
    assert_eq!((link.port.name.as_str(), link.port.mtu), ("lan0.7", 1496));
    assert!(!link.is_up && !link.port.loopback);
    // The other end of a veth pair is no interface below.
    message.attributes.pop();
    assert_eq!(decode::link(&message).vlan, None);
}

#[test]
fn a_rule_is_taken_whole_or_not_at_all() {
    let rule = |attributes: Vec<RuleAttribute>| {
        let mut message = RuleMessage::default();
        message.header.action = RuleAction::ToTable;
        message.attributes = attributes;
        message.attributes.push(RuleAttribute::Priority(5));
        message.attributes.push(RuleAttribute::Table(100));
        decode::rule(&message)
    };
    let plain = Rule::for_all(5, Action::Table(100));
    assert_eq!(rule(vec![]), Ok(plain.clone()));
    let marked = vec![RuleAttribute::FwMark(1), RuleAttribute::FwMask(3)];
    assert_eq!(rule(marked), Ok(Rule { mark: Some((1, 3)), ..plain.clone() }));
    let bound = vec![RuleAttribute::Oifname("wan".to_owned())];
    assert_eq!(rule(bound), Ok(Rule { is_for_sockets: true, ..plain }));
    let tunnel = vec![RuleAttribute::TunId(1)];
    assert_eq!(rule(tunnel), Err(Caveat::Rule(5, "a tunnel's number")));
    assert_eq!(rule(vec![RuleAttribute::L3MDev(true)]), Err(Caveat::Rule(5, "a VRF")));
}
