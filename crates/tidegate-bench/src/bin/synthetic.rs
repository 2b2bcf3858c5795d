//! `synthetic`: a snapshot of a table that never was, as large as it is wanted, the same each time.
//!
//! Two thirds TCP in the states of a busy gateway, the rest UDP and echo requests; a quarter IPv6; half of IPv4 behind
//! source NAT; idle times as where few flows are fresh and most are old. A share of all is one source's, so that there
//! is somebody to find.

use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tidegate_gateway::snapshot::{Kind, Opening, Writer, byte_order};
use tidegate_wire::netlink::conntrack::{Attribute, ProtoInfo, TcpInfo, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::tuple::Icmp;
use tidegate_wire::netlink::{
    Attr, Family, Flags, Header, Messages, Tuple, Writer as MessageWriter, stats,
};
use tidegate_wire::{Family as IpFamily, proto};

/// Writes a snapshot of made-up flows.
#[derive(Debug, Parser)]
#[command(name = "synthetic", version, about)]
struct Args {
    /// The file
    file: PathBuf,

    /// Flows in the table
    #[arg(long, default_value_t = 10_000_000)]
    flows: u32,

    /// How many may be in the table [default: as many as there are]
    #[arg(long)]
    max: Option<u32>,

    /// How many of a hundred flows are one source's, to one destination
    #[arg(long, default_value_t = 40)]
    hog: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match write(&args) {
        Ok(bytes) => {
            let each = bytes as f64 / f64::from(args.flows.max(1));
            println!("{} flows, {bytes} bytes, {each:.1} each", args.flows);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("synthetic: {}: {error}", args.file.display());
            ExitCode::FAILURE
        }
    }
}

fn write(args: &Args) -> io::Result<u64> {
    let opening = Opening {
        time: NOW,
        release: "6.18.0-synthetic".to_owned(),
        table: "kernel".to_owned(),
        place: "synthetic".to_owned(),
        program: "synthetic".to_owned(),
        order: byte_order().to_owned(),
        ..Opening::default()
    };
    let mut writer = Writer::begin(BufWriter::new(File::create(&args.file)?), &opening)?;
    let max = args.max.unwrap_or(args.flows);
    writer.settings(&settings(max, args.flows))?;
    let (mut random, mut bytes) = (Random(1), Vec::new());
    let mut put = |kind, bytes: &[u8]| match Messages::new(bytes).next() {
        Some(Ok(message)) => writer.message(kind, &message),
        _ => Err(io::Error::other("a message was not made as it should be")),
    };
    for (number, words) in [
        (message::GET_STATS, vec![(stats::ENTRIES, args.flows), (stats::MAX_ENTRIES, max)]),
        (message::GET_STATS_CPU, stats::CONNTRACK.iter().map(|known| (known.kind, 0)).collect()),
    ] {
        bytes.clear();
        begin(&mut bytes, number, Family::default(), |writer| {
            for (kind, value) in &words {
                writer.attr(Attr { kind: *kind, nested: false, value: &value.to_be_bytes() });
            }
        });
        put(Kind::Statistics, &bytes)?;
    }
    for number in 0..args.flows {
        bytes.clear();
        write_flow(&mut bytes, number, args.hog, &mut random);
        put(Kind::Flows, &bytes)?;
    }
    writer.close(NOW)?;
    Ok(writer.written())
}

fn settings(max: u32, count: u32) -> Vec<(String, String)> {
    let named = |(name, value): &(&str, u32)| (format!("net.netfilter.{name}"), value.to_string());
    let mut all: Vec<_> = SETTINGS.iter().map(named).collect();
    for (name, value) in [("buckets", max), ("count", count), ("max", max)] {
        all.push((format!("net.netfilter.nf_conntrack_{name}"), value.to_string()));
    }
    all.sort();
    all
}

fn begin(
    bytes: &mut Vec<u8>,
    number: u8,
    family: Family,
    body: impl FnOnce(&mut MessageWriter<'_>),
) {
    let kind = Header::kind_of(Subsystem::Conntrack, number);
    let header = Header { kind, flags: Flags::MULTI, seq: 0, pid: 0 };
    MessageWriter::new(bytes).message(header, family, body);
}

/// A class of flows: its share of a hundred, protocol, state of TCP, status bits, timeout.
const CLASSES: [(u32, u8, Option<u8>, u32, u32); 9] = [
    (35, proto::TCP, Some(3), 0xe, 432_000),
    (4, proto::TCP, Some(1), 0x8, 120),
    (2, proto::TCP, Some(2), 0xa, 60),
    (14, proto::TCP, Some(7), 0xe, 120),
    (4, proto::TCP, Some(4), 0xe, 120),
    (6, proto::TCP, Some(8), 0xe, 10),
    (20, proto::UDP, None, 0x8, 30),
    (12, proto::UDP, None, 0xe, 120),
    (3, proto::ICMP, None, 0xa, 30),
];

const SETTINGS: [(&str, u32); 18] = [
    ("nf_conntrack_acct", 0),
    ("nf_conntrack_timestamp", 0),
    ("nf_conntrack_generic_timeout", 600),
    ("nf_conntrack_icmp_timeout", 30),
    ("nf_conntrack_icmpv6_timeout", 30),
    ("nf_conntrack_tcp_loose", 1),
    ("nf_conntrack_tcp_timeout_close", 10),
    ("nf_conntrack_tcp_timeout_close_wait", 60),
    ("nf_conntrack_tcp_timeout_established", 432_000),
    ("nf_conntrack_tcp_timeout_fin_wait", 120),
    ("nf_conntrack_tcp_timeout_last_ack", 30),
    ("nf_conntrack_tcp_timeout_max_retrans", 300),
    ("nf_conntrack_tcp_timeout_syn_recv", 60),
    ("nf_conntrack_tcp_timeout_syn_sent", 120),
    ("nf_conntrack_tcp_timeout_time_wait", 120),
    ("nf_conntrack_tcp_timeout_unacknowledged", 300),
    ("nf_conntrack_udp_timeout", 30),
    ("nf_conntrack_udp_timeout_stream", 120),
];

fn write_flow(bytes: &mut Vec<u8>, number: u32, hog: u32, random: &mut Random) {
    let is_hog = random.below(100) < hog;
    let class = if is_hog { CLASSES[0] } else { random.class() };
    let (_, protocol, state, mut status, timeout) = class;
    let is_v6 = !is_hog && random.below(4) == 0;
    let family = if is_v6 { IpFamily::V6 } else { IpFamily::V4 };
    let protocol = if is_v6 && protocol == proto::ICMP { proto::ICMPV6 } else { protocol };
    let original = tuple(protocol, is_v6, is_hog, random);
    let mut reply = reversed(&original, is_v6);
    if !is_v6 && random.below(2) == 0 {
        status |= 0x190;
        reply.dst = Some(IpAddr::from([203, 0, 113, (number % 4) as u8]));
        if let Some(port) = reply.dport.as_mut() {
            *port = (random.next() as u16) | 1024;
        }
    }
    let left = timeout - random.idle(timeout);
    begin(bytes, message::NEW, Family::of(family), |writer| {
        Attribute::Original(original).write(writer);
        Attribute::Reply(reply).write(writer);
        Attribute::Status(status).write(writer);
        Attribute::Timeout(left).write(writer);
        if let Some(state) = state {
            let tcp = TcpInfo {
                state: Some(state),
                scale_original: Some(7),
                scale_reply: Some(random.below(4) as u8 + 6),
                flags_original: Some(0x2300),
                flags_reply: Some(0x2300),
                ..TcpInfo::default()
            };
            Attribute::ProtoInfo(ProtoInfo { tcp: Some(tcp), ..ProtoInfo::default() })
                .write(writer);
        }
        Attribute::Mark(0).write(writer);
        Attribute::Id(random.next() as u32).write(writer);
        Attribute::Use(1).write(writer);
    });
}

fn tuple(protocol: u8, is_v6: bool, is_hog: bool, random: &mut Random) -> Tuple {
    let source = if is_hog { 7 } else { random.below(60_000) };
    let target = if is_hog { 9 } else { random.below(2000) };
    let (src, dst) = if is_v6 {
        let of = |net: u16, host: u32| {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, (host >> 16) as u16, host as u16))
        };
        (of(1, source), of(2, target))
    } else {
        (
            IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | source)),
            IpAddr::V4(Ipv4Addr::from(0xc633_6400 + target)),
        )
    };
    let tuple = Tuple { src: Some(src), dst: Some(dst), proto: Some(protocol), ..Tuple::default() };
    if matches!(protocol, proto::ICMP | proto::ICMPV6) {
        let kind = if is_v6 { 128 } else { 8 };
        let id = Some(random.next() as u16);
        return Tuple { icmp: Some(Icmp { is_v6, id, kind: Some(kind), code: Some(0) }), ..tuple };
    }
    let dport =
        if protocol == proto::UDP { 53 } else { [443, 80, 22, 5432][random.below(4) as usize] };
    Tuple { sport: Some(random.next() as u16 | 1024), dport: Some(dport), ..tuple }
}

fn reversed(tuple: &Tuple, is_v6: bool) -> Tuple {
    let kind = Some(if is_v6 { 129 } else { 0 });
    Tuple {
        src: tuple.dst,
        dst: tuple.src,
        sport: tuple.dport,
        dport: tuple.sport,
        icmp: tuple.icmp.map(|icmp| Icmp { kind, ..icmp }),
        ..tuple.clone()
    }
}

/// A generator of numbers that are the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }

    fn class(&mut self) -> (u32, u8, Option<u8>, u32, u32) {
        let mut at = self.below(CLASSES.iter().map(|class| class.0).sum());
        for class in CLASSES {
            match at.checked_sub(class.0) {
                None => return class,
                Some(rest) => at = rest,
            }
        }
        CLASSES[0]
    }

    /// A part of a timeout, as likely between a second and ten as between ten and a hundred.
    fn idle(&mut self, timeout: u32) -> u32 {
        let magnitude = self.below(32 - timeout.leading_zeros());
        self.below(1 << magnitude).min(timeout)
    }
}

/// When it never was, in nanoseconds since 1970: 2026-11-22T03:07:41Z.
const NOW: u64 = 1_795_316_861_000_000_000;
