//! The options that describe a packet: field by field, in hexadecimal numbers, or as one of a capture.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use tidegate_wire::packet::tcp::TcpFlags;

use super::InputArgs;
use super::filter::protocol;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Ask the engine behind this control socket. Without it the rules of the files are asked, and a table without flows
    #[arg(long, value_name = "PATH", conflicts_with_all = ["rules4", "rules6", "sysctl", "ipset", "timeouts", "labels"])]
    pub(crate) socket: Option<PathBuf>,

    /// The port that it comes in by [default: in0, or what the engine takes for it]
    #[arg(long = "in", value_name = "PORT")]
    pub(crate) port: Option<String>,

    /// The packet's mark
    #[arg(long, short, value_name = "MARK", default_value = "0", value_parser = mark)]
    pub(crate) mark: u32,

    #[command(flatten)]
    pub(crate) packet: PacketArgs,

    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// A packet.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which packet")]
pub(crate) struct PacketArgs {
    /// Protocol: a name such as tcp, or a number
    #[arg(short, long, visible_alias = "protonum", value_name = "PROTO", value_parser = protocol, requires_all = ["src", "dst"])]
    pub(crate) proto: Option<u8>,
    /// Source address
    #[arg(short, long, visible_alias = "orig-src", value_name = "ADDR", requires = "proto")]
    pub(crate) src: Option<IpAddr>,
    /// Destination address
    #[arg(short, long, visible_alias = "orig-dst", value_name = "ADDR", requires = "proto")]
    pub(crate) dst: Option<IpAddr>,
    /// Source port [default: 49152]
    #[arg(long, visible_alias = "orig-port-src", value_name = "PORT", requires = "proto")]
    pub(crate) sport: Option<u16>,
    /// Destination port
    #[arg(long, visible_alias = "orig-port-dst", value_name = "PORT", requires = "proto")]
    pub(crate) dport: Option<u16>,
    /// Flags of TCP, such as syn,ack [default: syn]
    #[arg(long, value_name = "FLAGS", value_parser = flags, requires = "proto")]
    pub(crate) flags: Option<TcpFlags>,
    /// Sequence number of TCP
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "proto")]
    pub(crate) seq: u32,
    /// Acknowledgement number of TCP
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "proto")]
    pub(crate) ack: u32,
    /// Type of ICMP or ICMPv6 [default: echo request]
    #[arg(long, visible_alias = "icmpv6-type", value_name = "TYPE", requires = "proto")]
    pub(crate) icmp_type: Option<u8>,
    /// Its code
    #[arg(long, visible_alias = "icmpv6-code", value_name = "CODE", requires = "proto")]
    pub(crate) icmp_code: Option<u8>,
    /// Its identifier
    #[arg(long, visible_alias = "icmpv6-id", value_name = "ID", requires = "proto")]
    pub(crate) icmp_id: Option<u16>,
    /// TTL or hop limit
    #[arg(
        long,
        visible_alias = "hop-limit",
        value_name = "HOPS",
        default_value_t = 64,
        requires = "proto"
    )]
    pub(crate) ttl: u8,
    /// What it carries, in hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = hex, requires = "proto")]
    pub(crate) payload: Option<Hex>,

    /// All of it from the IP header on, in hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = hex, conflicts_with_all = ["proto", "pcap"])]
    pub(crate) hex: Option<Hex>,

    /// A packet of this capture
    #[arg(long, value_name = "FILE", conflicts_with = "proto")]
    pub(crate) pcap: Option<PathBuf>,
    /// Which one; the first is 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "pcap")]
    pub(crate) packet: u64,
}

/// Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

/// Reads bytes; blanks, colons and dashes between them count for nothing.
fn hex(text: &str) -> Result<Hex, String> {
    let digits: Vec<char> = text.chars().filter(|one| !matches!(one, ' ' | ':' | '-')).collect();
    let byte = |pair: &[char]| match pair {
        [high, low] => Some((high.to_digit(16)? << 4 | low.to_digit(16)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.map(Hex).ok_or_else(|| "not pairs of hexadecimal digits".to_owned())
}

fn flags(text: &str) -> Result<TcpFlags, String> {
    let flag = |word: &str| {
        let known = FLAGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        known.map(|(_, flag)| *flag).ok_or_else(|| format!("`{word}' is no flag of TCP"))
    };
    text.split(',').try_fold(TcpFlags::empty(), |sum, word| Ok(sum | flag(word)?))
}

fn mark(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| format!("`{text}' is no mark"))
}

const FLAGS: [(&str, TcpFlags); 9] = [
    ("fin", TcpFlags::FIN),
    ("syn", TcpFlags::SYN),
    ("rst", TcpFlags::RST),
    ("psh", TcpFlags::PSH),
    ("ack", TcpFlags::ACK),
    ("urg", TcpFlags::URG),
    ("ece", TcpFlags::ECE),
    ("cwr", TcpFlags::CWR),
    ("none", TcpFlags::empty()),
];

pub(super) const NOTES: &str = "\
Nothing of the engine changes: no flow, counter or timer, no line of the log, no random choice of
later. A socket's answer is about the rules, flows and routes that the engine has at this moment.
Without a socket every packet comes in by in0 and leaves by out0, as in a replay of a plain capture.
Of fragments, those that have come already are not taken into account.

Exit status: 0 the answer was given, whatever the verdict; 1 a file is at fault, or there is no such
port; 2 the command line is; 3 not permitted; 4 there is no such socket.";
