//! `TPROXY`: hand the packet to a local socket that is not bound to its destination. Linux: `xt_TPROXY`.
//!
//! The engine has no sockets, and so happens what happens in the kernel when there is none to be found: the packet is
//! dropped.

use core::fmt::{self, Formatter};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family;

use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Protocol, Rule};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::print::value as written;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

/// `-j TPROXY`; `mangle` at PREROUTING only, and the rule has `-p tcp` or `-p udp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Tproxy {
    port: u16,
    address: IpAddr,
    mark: (u32, u32),
}

impl Effect for Tproxy {
    const OPTIONS: &'static [OptionSpec] =
        &[value(&["--on-port"]), value(&["--on-ip"]), value(&["--tproxy-mark"])];

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let unspecified = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let address = clause.value("--on-ip", |word| values::address(family, word))?;
        Ok(Self {
            port: clause.need("--on-port", values::port)?.value,
            address: address.unwrap_or(unspecified),
            mark: clause.value("--tproxy-mark", values::masked_mark)?.unwrap_or((0, 0)),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " --on-port {} --on-ip ", self.port)?;
        written::address(f, self.address)?;
        write!(f, " --tproxy-mark {:#x}/{:#x}", self.mark.0, self.mark.1)
    }

    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "TPROXY")?;
        setting.only_from("TPROXY", &[Hook::Prerouting])?;
        need_protocol(rule, &[Protocol::TCP, Protocol::UDP], "TPROXY", "-p tcp or udp")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, _: &mut RuleContext<'_, F>) -> Option<Ruling> {
        Some(Ruling::Drop)
    }
}
