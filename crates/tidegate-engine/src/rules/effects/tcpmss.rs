//! `TCPMSS`: lower the maximum segment size that a SYN offers, or offer one. Linux: `xt_TCPMSS`.
//!
//! A SYN without the option gets it, if it has no data and its header has room, and is four bytes longer then: the
//! path sees to it that the buffer has these (see [`ROOM`]).

use core::fmt::{self, Formatter};

use tidegate_wire::Family;
use tidegate_wire::checksum::Delta;
use tidegate_wire::packet::tcp::HEADER_LEN;
use tidegate_wire::packet::{Ipv4, Ipv6};

use super::Effect;
use super::segment::{CHECKSUM, Look, Segment, gather, look};
use crate::fib::{Fib, Route, RouteQuery};
use crate::rules::ast::{Hook, Match, Protocol, Rule, TcpFlags};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::conditions::Memory;
use crate::rules::error::{CheckError, Fault};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};

/// `-j TCPMSS`; the rule has `-p tcp` and asks for SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) enum TcpMss {
    /// `--set-mss`
    Set(u16),
    /// `--clamp-mss-to-pmtu`: what fits the way out and the way back.
    Clamp,
}

/// How many bytes it may add.
pub(crate) const ROOM: usize = 4;

const OPTION: u8 = 2;
const MTU_OF_LOOPBACK: u32 = 65_536;

impl Effect for TcpMss {
    const OPTIONS: &'static [OptionSpec] = &[value(&["--set-mss"]), flag(&["--clamp-mss-to-pmtu"])];

    const LENGTHENS: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--set-mss", "--clamp-mss-to-pmtu"])?;
        let given = given.ok_or_else(|| clause.missing("--set-mss or --clamp-mss-to-pmtu"))?;
        match given.name() {
            "--set-mss" => Ok(Self::Set(values::number(given.value(), 0, 65_495)? as u16)),
            _ => Ok(Self::Clamp),
        }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(mss) => write!(f, " --set-mss {mss}"),
            Self::Clamp => f.write_str(" --clamp-mss-to-pmtu"),
        }
    }

    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
        need_protocol(rule, &[Protocol::TCP], "TCPMSS", "-p tcp")?;
        if *self == Self::Clamp {
            let outward = [Hook::Forward, Hook::Output, Hook::Postrouting];
            setting.only_from("--clamp-mss-to-pmtu", &outward)?;
        }
        if rule.matches.iter().any(asks_for_syn) {
            return Ok(());
        }
        Err(Fault::new("TCPMSS", CheckError::Protocol { needs: "--tcp-flags with SYN" }))
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let mss = match self {
            Self::Set(mss) => Some(*mss),
            Self::Clamp => fitting(ctx),
        };
        let all = ctx.upper_layer().len();
        gather(ctx, all);
        let segment = match look(ctx) {
            Look::Elsewhere => return None,
            Look::Damaged => return Some(Ruling::Drop),
            Look::There(segment) => segment,
        };
        let Some(mss) = mss else { return Some(Ruling::Drop) };
        if lower(segment, mss) {
            insert(ctx, mss);
        }
        None
    }
}

fn asks_for_syn(one: &Match) -> bool {
    let Match::Tcp(tcp) = one else { return false };
    tcp.flags.is_some_and(|term| !term.negated && term.value.set.contains(TcpFlags::SYN))
}

/// `None`: the way has no room for any data.
fn fitting<F: Fib>(ctx: &RuleContext<'_, F>) -> Option<u16> {
    let headers = match ctx.headers.family {
        Family::V4 => 40,
        Family::V6 => 60,
    };
    let out = ctx.out_port.map_or(MTU_OF_LOOPBACK, |port| ctx.fib.port(port).mtu);
    let least = out.min(mtu_back(ctx));
    least.checked_sub(headers).filter(|mss| *mss > 0).map(|mss| mss as u16)
}

fn mtu_back<F: Fib>(ctx: &RuleContext<'_, F>) -> u32 {
    let (dst, src) = (ctx.headers.src, ctx.headers.dst);
    match ctx.fib.route(&RouteQuery { dst, src, in_port: None, mark: 0 }) {
        Route::Forward { port, .. } => ctx.fib.port(port).mtu,
        Route::Local { .. } => MTU_OF_LOOPBACK,
        Route::Unreachable | Route::Blackhole => u32::MAX,
    }
}

/// Lowers what is offered; whether nothing is, and the option may be added.
fn lower(mut segment: Segment<'_>, mss: u16) -> bool {
    let mut at = HEADER_LEN;
    while at + 4 <= segment.header {
        let [kind, len, high, low] = [0, 1, 2, 3].map(|byte| segment.bytes[at + byte]);
        if (kind, len) == (OPTION, 4) {
            let offered = u16::from_be_bytes([high, low]);
            if offered > mss {
                segment.set_unaligned(at + 2, offered, mss);
            }
            return false;
        }
        at += segment.option_len(at);
    }
    segment.bytes.len() == segment.header && segment.header < 60
}

/// Adds the option in front of the others, with no more than a host assumes that is told nothing (RFC 9293 3.7.1).
fn insert<F: Fib>(ctx: &mut RuleContext<'_, F>, mss: u16) {
    let (Some(start), len) = (ctx.headers.l4, ctx.headers.len) else { return };
    if ctx.bytes.len() < len + ROOM {
        return;
    }
    let mss = match ctx.headers.family {
        Family::V4 => mss.min(536),
        Family::V6 => mss.min(1220),
    };
    let [high, low] = mss.to_be_bytes();
    let options = start + HEADER_LEN;
    ctx.bytes.copy_within(options..len, options + ROOM);
    ctx.bytes[options..options + ROOM].copy_from_slice(&[OPTION, 4, high, low]);
    let segment = &mut ctx.bytes[start..len + ROOM];
    let old = u16::from_be_bytes([segment[12], segment[13]]);
    segment[12] += 0x10;
    let new = u16::from_be_bytes([segment[12], segment[13]]);
    let length = (len - start) as u16;
    let covered = Delta::new().word(length, length + ROOM as u16);
    let delta = Delta::new().dword(0, u32::from_be_bytes([OPTION, 4, high, low])).word(old, new);
    let checksum = u16::from_be_bytes([segment[CHECKSUM], segment[CHECKSUM + 1]]);
    let mended = ctx.headers.checksum.mended(checksum, covered, delta);
    segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&mended.to_be_bytes());
    lengthen(ctx, len + ROOM);
}

fn lengthen<F: Fib>(ctx: &mut RuleContext<'_, F>, len: usize) {
    ctx.headers.len = len;
    match ctx.headers.family {
        Family::V4 => {
            if let Some(mut ip) = Ipv4::new(&mut *ctx.bytes) {
                ip.set_total_len(len as u16);
            }
        }
        Family::V6 => {
            if let Some(mut ip) = Ipv6::new(&mut *ctx.bytes) {
                ip.set_payload_len(len as u16 - 40);
            }
        }
    }
}
