//! Expectations as text: a line of `/proc/net/nf_conntrack_expect`, one of `conntrack -L expect`, and
//! an event in the compact form of the scenario format.
//!
//! ```text
//! proc    = SECS " l3proto = " L3NUM " proto=" PROTO SP TUPLE SP [FLAGS ","] [SP] HELPER ["/" CLASS]
//! -L      = SECS " proto=" PROTO SP TUPLE " mask-" TUPLE " master-" TUPLE [SP FLAGS] " class=" U " helper=" HELPER
//! compact = TYPE SP L3 SP L4 SP L4NUM " t=" U SP TUPLE " mask " TUPLE " master " TUPLE [SP FLAGS "|"]
//!           [" class=" U] [" helper=" HELPER]
//! TYPE    = "[EXP_NEW]" | "[EXP_DESTROY]"
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_engine::event::{EventKind, ExpectationEvent};
use tidegate_engine::expect::{ExpectFlags, Expectation};
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::Tuple;

use super::l4_name;
use super::tuple::{Style, TupleText};

/// An expectation as `/proc/net/nf_conntrack_expect` shows it at an instant, without the line feed.
pub struct ProcExpectation<'a> {
    /// The expectation.
    pub expectation: &'a Expectation,
    /// When it is looked at.
    pub now: Instant,
}

impl fmt::Display for ProcExpectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expectation { tuple, flags, master, class, .. } = self.expectation;
        let seconds = self.expectation.remaining(self.now).as_secs();
        write!(f, "{seconds} l3proto = {} proto={} ", tuple.family().number(), tuple.proto)?;
        write!(f, "{} ", TupleText(tuple, Style::Kernel))?;
        write_flags(f, *flags, ",")?;
        let Some(helper) = master.helper else { return Ok(()) };
        if !flags.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str(helper.name())?;
        match helper.class_name(*class) {
            "" => Ok(()),
            name => write!(f, "/{name}"),
        }
    }
}

/// An expectation as `conntrack -L expect` shows it at an instant, without the line feed.
pub struct ListedExpectation<'a> {
    /// The expectation.
    pub expectation: &'a Expectation,
    /// When it is looked at.
    pub now: Instant,
}

impl fmt::Display for ListedExpectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expectation { tuple, flags, master, class, .. } = self.expectation;
        let seconds = self.expectation.remaining(self.now).as_secs();
        write!(f, "{seconds} proto={} {}", tuple.proto, TupleText(tuple, Style::Tool))?;
        let mask = mask(self.expectation).to_tuple(tuple.proto);
        for (prefix, tuple) in [("mask", &mask), ("master", &master.tuple)] {
            let text = TupleText(tuple, Style::Tool).to_string();
            let text = text.replace("src=", &format!("{prefix}-src="));
            write!(f, " {}", text.replace(" dst=", &format!(" {prefix}-dst=")))?;
        }
        if !flags.is_empty() {
            f.write_str(" ")?;
            write_flags(f, *flags, ",")?;
        }
        write!(f, " class={class}")?;
        master.helper.map_or(Ok(()), |helper| write!(f, " helper={}", helper.name()))
    }
}

/// Which bits of an expectation's tuple count, as a tuple; protocols have none.
pub(crate) struct MaskTuple {
    src: IpAddr,
    dst: IpAddr,
    sport: u16,
}

/// The mask of an expectation: the whole destination counts.
pub(crate) fn mask(of: &Expectation) -> MaskTuple {
    let dst = match of.tuple.dst {
        IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
    };
    MaskTuple { src: of.mask.src, dst, sport: of.mask.sport }
}

impl MaskTuple {
    /// As a tuple of a protocol.
    pub(crate) fn to_tuple(&self, proto: u8) -> Tuple {
        let Self { src, dst, sport } = *self;
        Tuple { src, dst, sport, dport: u16::MAX, proto }
    }
}

/// An event in the compact form of the scenario format.
pub(super) fn write_compact(f: &mut fmt::Formatter<'_>, event: &ExpectationEvent) -> fmt::Result {
    let ExpectationEvent { kind, at, expectation } = event;
    let Expectation { tuple, flags, master, class, .. } = expectation;
    let kind = match kind {
        EventKind::New => "[EXP_NEW]",
        EventKind::Update => "[EXP_UPDATE]",
        EventKind::Destroy => "[EXP_DESTROY]",
    };
    let (l3, proto) = (tuple.family().name(), tuple.proto);
    let seconds = expectation.remaining(*at).as_secs();
    write!(f, "{kind} {l3} {} {proto} t={seconds}", l4_name(proto))?;
    let mask = mask(expectation).to_tuple(proto);
    write!(f, " {}", TupleText(tuple, Style::Compact))?;
    write!(f, " mask {}", TupleText(&mask, Style::Compact))?;
    write!(f, " master {}", TupleText(&master.tuple, Style::Compact))?;
    if !flags.is_empty() {
        f.write_str(" ")?;
        write_flags(f, *flags, "|")?;
    }
    if *class != 0 {
        write!(f, " class={class}")?;
    }
    master.helper.map_or(Ok(()), |helper| write!(f, " helper={}", helper.name()))
}

fn write_flags(f: &mut fmt::Formatter<'_>, flags: ExpectFlags, separator: &str) -> fmt::Result {
    f.write_str(&flag_names(flags).join(separator))
}

/// The names of the flags that are set.
pub(crate) fn flag_names(flags: ExpectFlags) -> Vec<&'static str> {
    let names = [(ExpectFlags::PERMANENT, "PERMANENT"), (ExpectFlags::INACTIVE, "INACTIVE")];
    names.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| name).collect()
}
