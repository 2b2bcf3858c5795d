//! The options that name one flow by a tuple, and those that say what a flow shall be.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::tuple::Icmp;
use tidegate_wire::{Family, proto};

use super::filter::{label, masked, protocol, state, status_bit};
use crate::filter::{Masked, timeout};

/// A tuple.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which flow")]
pub(crate) struct TupleArgs {
    /// Protocol: a name such as tcp, or a number
    #[arg(short, long = "proto", visible_alias = "protonum", value_name = "PROTO", value_parser = protocol)]
    proto: u8,
    /// Source address
    #[arg(short = 's', long = "src", visible_alias = "orig-src", value_name = "ADDR")]
    src: IpAddr,
    /// Destination address
    #[arg(short = 'd', long = "dst", visible_alias = "orig-dst", value_name = "ADDR")]
    dst: IpAddr,
    /// Source port, or key of GRE
    #[arg(long, visible_aliases = ["orig-port-src", "srckey"], value_name = "PORT")]
    sport: Option<u16>,
    /// Destination port, or key of GRE
    #[arg(long, visible_aliases = ["orig-port-dst", "dstkey"], value_name = "PORT")]
    dport: Option<u16>,
    /// Type of ICMP or ICMPv6
    #[arg(long, visible_alias = "icmpv6-type", value_name = "TYPE")]
    icmp_type: Option<u8>,
    /// Its code
    #[arg(long, visible_alias = "icmpv6-code", value_name = "CODE")]
    icmp_code: Option<u8>,
    /// Its identifier
    #[arg(long, visible_alias = "icmpv6-id", value_name = "ID")]
    icmp_id: Option<u16>,
    /// Zone of both directions
    #[arg(short = 'w', long, value_name = "ZONE")]
    pub(crate) zone: Option<u16>,
    /// Zone of the original direction only
    #[arg(long, value_name = "ZONE", conflicts_with = "zone")]
    orig_zone: Option<u16>,
    /// Zone of the reply direction only
    #[arg(long, value_name = "ZONE", conflicts_with_all = ["zone", "orig_zone"])]
    reply_zone: Option<u16>,
}

impl TupleArgs {
    /// Its family.
    ///
    /// # Errors
    /// The addresses are of two.
    pub(crate) fn family(&self) -> Result<Family, String> {
        let family = Family::of(self.src);
        if family != Family::of(self.dst) {
            return Err(format!("{} and {} are of different families", self.src, self.dst));
        }
        Ok(family)
    }

    /// The original tuple.
    ///
    /// # Errors
    /// Something is missing.
    pub(crate) fn tuple(&self) -> Result<Tuple, String> {
        let ends = Tuple {
            src: Some(self.src),
            dst: Some(self.dst),
            proto: Some(self.proto),
            zone: self.orig_zone,
            ..Tuple::default()
        };
        match self.proto {
            proto::ICMP | proto::ICMPV6 => {
                let Some(kind) = self.icmp_type else { return Err(missing("--icmp-type")) };
                let (code, id) = (self.icmp_code.or(Some(0)), self.icmp_id.or(Some(0)));
                let is_v6 = self.proto == proto::ICMPV6;
                Ok(Tuple { icmp: Some(Icmp { is_v6, id, kind: Some(kind), code }), ..ends })
            }
            number if has_ports(number) => {
                let (Some(sport), Some(dport)) = (self.sport, self.dport) else {
                    return Err(missing("--sport and --dport"));
                };
                Ok(Tuple { sport: Some(sport), dport: Some(dport), ..ends })
            }
            _ => Ok(ends),
        }
    }

    /// The tuple of the answers, if nothing is translated.
    ///
    /// # Errors
    /// Something is missing.
    pub(crate) fn reply(&self) -> Result<Tuple, String> {
        let tuple = self.tuple()?;
        let icmp = tuple.icmp.map(|icmp| Icmp { kind: icmp.kind.map(answer_of), ..icmp });
        Ok(Tuple {
            src: tuple.dst,
            dst: tuple.src,
            sport: tuple.dport,
            dport: tuple.sport,
            icmp,
            zone: self.reply_zone,
            ..tuple
        })
    }

    /// The protocol.
    pub(crate) fn proto(&self) -> u8 {
        self.proto
    }
}

fn has_ports(number: u8) -> bool {
    let known = [proto::TCP, proto::UDP, proto::UDPLITE, proto::SCTP, proto::DCCP, proto::GRE];
    known.contains(&number)
}

fn missing(what: &str) -> String {
    format!("a tuple of this protocol has {what}")
}

/// The type of an answer to ICMP or ICMPv6 of this type (`nf_conntrack_proto_icmp.c`, `…icmpv6.c`).
fn answer_of(kind: u8) -> u8 {
    const PAIRS: [(u8, u8); 6] = [(8, 0), (13, 14), (15, 16), (17, 18), (128, 129), (139, 140)];
    let other = |(asked, answer): &(u8, u8)| match kind {
        _ if kind == *asked => Some(*answer),
        _ if kind == *answer => Some(*asked),
        _ => None,
    };
    PAIRS.iter().find_map(other).unwrap_or(kind)
}

/// What a new flow shall be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What it shall be")]
pub(crate) struct NewArgs {
    /// Life, such as 90 or 5d
    #[arg(short, long, value_name = "TIME", value_parser = timeout)]
    pub(crate) timeout: u32,
    /// State of TCP or SCTP [default for TCP: ESTABLISHED]
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub(crate) state: Option<&'static str>,
    /// Status bits, such as SEEN_REPLY,ASSURED
    #[arg(short = 'u', long, value_name = "STATUS", value_delimiter = ',', value_parser = status_bit)]
    pub(crate) status: Vec<u32>,
    /// Mark
    #[arg(short, long, value_name = "MARK", value_parser = masked)]
    pub(crate) mark: Option<Masked>,
    /// Labels, by name or number
    #[arg(short, long = "label", value_name = "LABEL", value_delimiter = ',', value_parser = label)]
    pub(crate) label: Vec<u16>,
    /// Helper
    #[arg(long, value_name = "NAME")]
    pub(crate) helper: Option<String>,
    /// Source of the reply direction [default: the destination]
    #[arg(short = 'r', long, value_name = "ADDR")]
    pub(crate) reply_src: Option<IpAddr>,
    /// Destination of the reply direction [default: the source]
    #[arg(short = 'q', long, value_name = "ADDR")]
    pub(crate) reply_dst: Option<IpAddr>,
    /// Source port of the reply direction
    #[arg(long, visible_alias = "reply-port-src", value_name = "PORT")]
    pub(crate) reply_sport: Option<u16>,
    /// Destination port of the reply direction
    #[arg(long, visible_alias = "reply-port-dst", value_name = "PORT")]
    pub(crate) reply_dport: Option<u16>,
    /// Translate the source to this address and port
    #[arg(short = 'n', long, value_name = "ADDR[:PORT]", value_parser = target)]
    pub(crate) src_nat: Option<Target>,
    /// Translate the destination to this address and port
    #[arg(short = 'g', long, value_name = "ADDR[:PORT]", value_parser = target)]
    pub(crate) dst_nat: Option<Target>,
}

/// What a flow's end is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The address.
    pub(crate) address: IpAddr,
    /// The port, if it changes.
    pub(crate) port: Option<u16>,
}

fn target(text: &str) -> Result<Target, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Target { address, port: None });
    }
    let both = text.parse::<SocketAddr>();
    let both =
        both.map_err(|_| format!("`{text}' is not like 192.0.2.1:80 or [2001:db8::1]:80"))?;
    Ok(Target { address: both.ip(), port: Some(both.port()) })
}

/// What flows shall become.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What they shall become")]
pub(crate) struct ChangeArgs {
    /// Rest of their lives, such as 30 or 2h
    #[arg(short = 't', long, value_name = "TIME", value_parser = timeout)]
    pub(crate) set_timeout: Option<u32>,
    /// Mark, or only the bits of a mask
    #[arg(long, value_name = "MARK[/MASK]", value_parser = masked)]
    pub(crate) set_mark: Option<Masked>,
    /// Status bits that are set as well, such as ASSURED
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status_bit)]
    pub(crate) set_status: Vec<u32>,
    /// State of TCP
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub(crate) set_state: Option<&'static str>,
    /// Labels that are added
    #[arg(long, value_name = "LABEL", value_delimiter = ',', value_parser = label)]
    pub(crate) add_label: Vec<u16>,
    /// Labels that are taken away
    #[arg(long, value_name = "LABEL", value_delimiter = ',', value_parser = label)]
    pub(crate) del_label: Vec<u16>,
    /// Helper; an empty name takes it away
    #[arg(long, value_name = "NAME")]
    pub(crate) set_helper: Option<String>,
}
