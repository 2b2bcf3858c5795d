//! `SYNPROXY`: establish connections with the client first, by SYN cookies. Linux: `ipt_SYNPROXY`, `ip6t_SYNPROXY`.
//!
//! Here is decided which packets it takes; what becomes of them is the path's (`path::synproxy`).

use core::fmt::{self, Formatter};

use tidegate_wire::Family;
use tidegate_wire::packet::tcp::TcpFlags;

use super::Effect;
use super::segment::{Look, look};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Protocol, Rule};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};
use crate::synproxy::Offer;
use crate::track::checksum_is_right;

/// `-j SYNPROXY`; at INPUT and FORWARD only, and the rule has `-p tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Synproxy(Offer);

impl Effect for Synproxy {
    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--mss"]),
        value(&["--wscale"]),
        flag(&["--sack-perm"]),
        flag(&["--timestamp"]),
        flag(&["--ecn"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let number = |word: &str, max| values::number(word, 0, max);
        Ok(Self(Offer {
            mss: clause.value("--mss", |word| Ok(number(word, 0xffff)? as u16))?,
            window_scale: clause.value("--wscale", |word| Ok(number(word, 0xff)? as u8))?,
            sack_permitted: clause.flag("--sack-perm"),
            timestamps: clause.flag("--timestamp"),
            ecn: clause.flag("--ecn"),
        }))
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(offer) = self;
        if offer.sack_permitted {
            f.write_str(" --sack-perm")?;
        }
        if offer.timestamps {
            f.write_str(" --timestamp")?;
        }
        if let Some(scale) = offer.window_scale {
            write!(f, " --wscale {scale}")?;
        }
        if let Some(mss) = offer.mss {
            write!(f, " --mss {mss}")?;
        }
        if offer.ecn {
            f.write_str(" --ecn")?;
        }
        Ok(())
    }

    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
        setting.only_from("SYNPROXY", &[Hook::Input, Hook::Forward])?;
        need_protocol(rule, &[Protocol::TCP], "SYNPROXY", "-p tcp")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        if !checksum_is_right(ctx.headers, ctx.upper_layer()) {
            return Some(Ruling::Drop);
        }
        let Look::There(segment) = look(ctx) else { return Some(Ruling::Drop) };
        is_taken(TcpFlags::from_bits(segment.bytes[13])).then_some(Ruling::Proxy(self.0))
    }
}

/// SYNs and ACKs are; whatever else there is goes on.
fn is_taken(flags: TcpFlags) -> bool {
    const ASKED: TcpFlags =
        TcpFlags::SYN.union(TcpFlags::ACK).union(TcpFlags::FIN).union(TcpFlags::RST);
    let rest = flags.without(TcpFlags::from_bits(!ASKED.bits()));
    rest == TcpFlags::SYN || rest == TcpFlags::ACK
}
