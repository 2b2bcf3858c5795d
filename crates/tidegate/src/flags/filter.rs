//! The options that say which flows are meant. Letters are those of conntrack(8) where it has one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tidegate_wire::Family;

use crate::client::labels::Labels;
use crate::client::{ClientError, Place, names};
use crate::filter::{
    Amounts, Expression, Filter, Masked, Ports, Prefix, Spans, Spot, Test, Translation,
};
use crate::timers::Timers;

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which flows (all must hold)")]
pub(crate) struct FilterArgs {
    /// Address family
    #[arg(short, long, value_enum)]
    family: Option<FamilyArg>,
    /// Protocol: a name such as tcp, or a number
    #[arg(short, long = "proto", visible_alias = "protonum", value_name = "PROTO", value_parser = protocol)]
    proto: Option<u8>,
    /// State of TCP or SCTP, such as ESTABLISHED; several by commas: one of them
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<&'static str>,
    /// Status such as ASSURED, SEEN_REPLY, UNREPLIED, or !ASSURED; several by commas: all of them
    #[arg(short = 'u', long, value_name = "STATUS", value_delimiter = ',', value_parser = status)]
    status: Vec<Masked>,
    /// Source address or network of the original direction
    #[arg(short = 's', long = "src", visible_alias = "orig-src", value_name = "NET")]
    src: Option<Prefix>,
    /// Destination of the original direction
    #[arg(short = 'd', long = "dst", visible_alias = "orig-dst", value_name = "NET")]
    dst: Option<Prefix>,
    /// Source of the reply direction; as -r also the name of a file, see --read
    #[arg(short = 'r', long, value_name = "NET|FILE")]
    reply_src: Option<NetOrFile>,
    /// Destination of the reply direction
    #[arg(short = 'q', long, value_name = "NET")]
    reply_dst: Option<Prefix>,
    /// Any of the four addresses
    #[arg(short = 'a', long = "addr", value_name = "NET")]
    addr: Option<Prefix>,
    /// Source port of the original direction, or a range A-B
    #[arg(long, visible_alias = "orig-port-src", value_name = "PORT")]
    sport: Option<Ports>,
    /// Destination port of the original direction
    #[arg(long, visible_alias = "orig-port-dst", value_name = "PORT")]
    dport: Option<Ports>,
    /// Source port of the reply direction
    #[arg(long, visible_alias = "reply-port-src", value_name = "PORT")]
    reply_sport: Option<Ports>,
    /// Destination port of the reply direction
    #[arg(long, visible_alias = "reply-port-dst", value_name = "PORT")]
    reply_dport: Option<Ports>,
    /// Any of the four ports
    #[arg(long, value_name = "PORT")]
    port: Option<Ports>,
    /// Source NAT, to an address or network if one is given
    #[arg(short = 'n', long, value_name = "NET")]
    src_nat: Option<Option<Prefix>>,
    /// Destination NAT
    #[arg(short = 'g', long, value_name = "NET")]
    dst_nat: Option<Option<Prefix>>,
    /// Source or destination NAT
    #[arg(long, value_name = "NET")]
    any_nat: Option<Option<Prefix>>,
    /// Zone of both directions; 0: none
    #[arg(short = 'w', long, value_name = "ZONE")]
    zone: Option<u16>,
    /// Zone of the original direction only
    #[arg(long, value_name = "ZONE")]
    orig_zone: Option<u16>,
    /// Zone of the reply direction only
    #[arg(long, value_name = "ZONE")]
    reply_zone: Option<u16>,
    /// Mark, or some of its bits
    #[arg(short, long, value_name = "MARK[/MASK]", value_parser = masked)]
    mark: Option<Masked>,
    /// Label, by name or number; several by commas: all of them
    #[arg(short, long = "label", value_name = "LABEL", value_delimiter = ',', value_parser = label)]
    label: Vec<u16>,
    /// Helper, such as ftp
    #[arg(long, value_name = "NAME")]
    helper: Option<String>,
    /// The entry's number
    #[arg(long, value_name = "ID")]
    id: Option<u32>,
    /// Rest of its life: 30, <1m, 1h..5d
    #[arg(long, value_name = "TIME")]
    timeout: Option<Spans>,
    /// Time since its last packet, told by the rest of its life: >2h4m. Flows that may be outside are not meant
    #[arg(long, value_name = "TIME")]
    idle: Option<Spans>,
    /// Time since it began: >1d (where the table keeps timestamps)
    #[arg(long, value_name = "TIME")]
    age: Option<Spans>,
    /// Packets of both directions: >1000, 10..20 (where the table counts)
    #[arg(long, value_name = "COUNT")]
    packets: Option<Amounts>,
    /// Bytes of both directions: >1M
    #[arg(long, value_name = "COUNT")]
    bytes: Option<Amounts>,
    /// An expression of ss or tcpdump: 'state established ( dport = :443 or src 10/8 )'
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<Expression>,
}

/// `-r` is an address to who knows conntrack(8), and a file to who knows tcpdump.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NetOrFile {
    Net(Prefix),
    File(PathBuf),
}

impl NetOrFile {
    fn net(&self) -> Option<Prefix> {
        match self {
            Self::Net(prefix) => Some(*prefix),
            Self::File(_) => None,
        }
    }
}

impl FromStr for NetOrFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Err(_) if Path::new(text).exists() => Ok(Self::File(text.into())),
            Err(why) => Err(format!("{why}, and there is no such file")),
            Ok(net) => Ok(Self::Net(net)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FamilyArg {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

impl From<FamilyArg> for Family {
    fn from(family: FamilyArg) -> Self {
        match family {
            FamilyArg::Ipv4 => Self::V4,
            FamilyArg::Ipv6 => Self::V6,
        }
    }
}

impl FilterArgs {
    /// The conditions on the flows of a table, whose settings are asked for if a condition hangs on them.
    ///
    /// # Errors
    /// They can't be read.
    pub(crate) fn filter_on(&self, place: &Place) -> Result<Filter, ClientError> {
        let Some(Spans(range)) = self.idle else { return Ok(self.filter()) };
        let timers = Timers::at(place)?;
        Ok(self.filter().and(Test::Idle(range, timers)))
    }

    /// The conditions that hang on flows alone, those first that are tried fastest.
    pub(crate) fn filter(&self) -> Filter {
        let mut tests = Vec::new();
        let mut add = |test: Option<Test>| tests.extend(test);
        add(self.family.map(|family| Test::Family(family.into())));
        add(self.proto.map(Test::Protocol));
        self.status.iter().for_each(|bits| add(Some(Test::Status(*bits))));
        add(self.mark.map(Test::Mark));
        add(self.zone.map(Test::Zone));
        add(self.orig_zone.map(|zone| Test::ZoneOf(0, zone)));
        add(self.reply_zone.map(|zone| Test::ZoneOf(1, zone)));
        add(self.id.map(Test::Id));
        self.places(&mut add);
        add((!self.state.is_empty()).then(|| Test::State(self.state.clone())));
        self.label.iter().for_each(|bit| add(Some(Test::Label(*bit))));
        add(self.helper.clone().map(Test::Helper));
        self.amounts(&mut add);
        tests.extend(self.expression.clone().map(Expression::into_tests).unwrap_or_default());
        Filter::new(tests)
    }

    fn places(&self, add: &mut impl FnMut(Option<Test>)) {
        let addresses = [
            (Spot::Source(0), self.src),
            (Spot::Destination(0), self.dst),
            (Spot::Source(1), self.reply_src.as_ref().and_then(NetOrFile::net)),
            (Spot::Destination(1), self.reply_dst),
            (Spot::Anywhere, self.addr),
        ];
        for (spot, prefix) in addresses {
            add(prefix.map(|prefix| Test::Address(spot, prefix)));
        }
        let ports = [
            (Spot::Source(0), self.sport),
            (Spot::Destination(0), self.dport),
            (Spot::Source(1), self.reply_sport),
            (Spot::Destination(1), self.reply_dport),
            (Spot::Anywhere, self.port),
        ];
        for (spot, range) in ports {
            add(range.map(|range| Test::Port(spot, range)));
        }
        let translations = [
            (Translation::Source, self.src_nat),
            (Translation::Destination, self.dst_nat),
            (Translation::Any, self.any_nat),
        ];
        for (way, to) in translations {
            add(to.map(|to| Test::Translated(way, to)));
        }
    }

    fn amounts(&self, add: &mut impl FnMut(Option<Test>)) {
        add(self.timeout.map(|Spans(range)| Test::Timeout(range)));
        add(self.age.map(|Spans(range)| Test::Age(range)));
        add(self.packets.map(|Amounts(range)| Test::Packets(range)));
        add(self.bytes.map(|Amounts(range)| Test::Bytes(range)));
    }

    /// The file that -r names, where conntrack(8) has an address.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.reply_src {
            Some(NetOrFile::File(path)) => Some(path),
            Some(NetOrFile::Net(_)) | None => None,
        }
    }

    /// Whether a condition needs what `nf_conntrack_timestamp` provides.
    pub(crate) fn needs_age(&self) -> bool {
        self.age.is_some() || self.expression_asks(|test| matches!(test, Test::Age(_)))
    }

    /// Whether a condition needs what `nf_conntrack_acct` provides.
    pub(crate) fn needs_counters(&self) -> bool {
        let counted = |test: &Test| matches!(test, Test::Packets(_) | Test::Bytes(_));
        self.packets.is_some() || self.bytes.is_some() || self.expression_asks(counted)
    }

    fn expression_asks(&self, wanted: impl Fn(&Test) -> bool) -> bool {
        self.expression.as_ref().is_some_and(|expression| expression.asks(&wanted))
    }
}

/// Reads a protocol's name or number.
pub(crate) fn protocol(word: &str) -> Result<u8, String> {
    names::protocol_number(word).ok_or_else(|| format!("`{word}' is no protocol I know"))
}

/// Reads a tracker's state.
pub(crate) fn state(word: &str) -> Result<&'static str, String> {
    let all = || names::states().collect::<Vec<_>>().join(", ");
    names::states()
        .find(|name| name.eq_ignore_ascii_case(word))
        .ok_or_else(|| format!("`{word}' is no state; there are {}", all()))
}

/// Reads a status: a bit's name, `!` and a bit's name, or `UNREPLIED`.
fn status(word: &str) -> Result<Masked, String> {
    let word = word.to_ascii_uppercase();
    if word == "UNREPLIED" {
        return Ok(Masked { value: 0, mask: names::bit::SEEN_REPLY });
    }
    let (name, is_set) = word.strip_prefix('!').map_or((word.as_str(), true), |name| (name, false));
    let mask = status_bit(name)?;
    Ok(Masked { value: if is_set { mask } else { 0 }, mask })
}

/// Reads the name of a status bit.
pub(crate) fn status_bit(name: &str) -> Result<u32, String> {
    let all = || names::status(u32::MAX).collect::<Vec<_>>().join(", ");
    names::status_bit(&name.to_ascii_uppercase())
        .ok_or_else(|| format!("`{name}' is no status; there are UNREPLIED, {}", all()))
}

/// Reads a mark in decimal or with 0x, and its mask if there is one.
pub(crate) fn masked(text: &str) -> Result<Masked, String> {
    let number = |word: &str| {
        let parsed = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        parsed.map_err(|_| format!("`{word}' is no number of 32 bits, such as 5 or 0xff"))
    };
    let (value, mask) = text.split_once('/').map_or((text, None), |(v, m)| (v, Some(m)));
    Ok(Masked { value: number(value)?, mask: mask.map_or(Ok(u32::MAX), number)? })
}

/// Reads a label's name or number.
pub(crate) fn label(word: &str) -> Result<u16, String> {
    let bit = Labels::of_machine().bit(word);
    bit.ok_or_else(|| format!("`{word}' is no label: neither 0 to 127 nor a name of this machine"))
}
