//! `-m rpfilter`: would an answer leave by the port that the packet came in by? Linux: `ipt_rpfilter`,
//! `ip6t_rpfilter`.

use core::fmt::{self, Formatter};
use core::net::{IpAddr, Ipv4Addr};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::{AddrType, Fib, PortId, Route, RouteQuery};
use crate::rules::ast::{Hook, Rule, TableKind};
use crate::rules::check::Setting;
use crate::rules::error::{CheckError, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag};

/// `-m rpfilter`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct RpFilter {
    /// Any port will do.
    loose: bool,
    /// The packet's mark counts for routing.
    marked: bool,
    accept_local: bool,
    invert: bool,
}

impl Condition for RpFilter {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        flag(&["--loose"]),
        flag(&["--validmark"]),
        flag(&["--accept-local"]),
        flag(&["--invert"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(Self {
            loose: clause.flag("--loose"),
            marked: clause.flag("--validmark"),
            accept_local: clause.flag("--accept-local"),
            invert: clause.flag("--invert"),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let options = [
            (self.loose, " --loose"),
            (self.marked, " --validmark"),
            (self.accept_local, " --accept-local"),
            (self.invert, " --invert"),
        ];
        options.into_iter().filter(|(given, _)| *given).try_for_each(|(_, name)| f.write_str(name))
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        if !matches!(setting.table, TableKind::Raw | TableKind::Mangle) {
            return Err(Fault::new("rpfilter", CheckError::Tables { only: "raw and mangle" }));
        }
        setting.only_from("rpfilter", &[Hook::Prerouting])
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let Some(port) = ctx.in_port else { return (!self.invert).into() };
        let passes = ctx.fib.port(port).loopback || is_exempt(ctx) || self.leads_back(port, ctx);
        (passes != self.invert).into()
    }
}

/// A source that is not an address yet can't be routed to.
fn is_exempt<F: Fib>(ctx: &RuleContext<'_, F>) -> bool {
    match (ctx.headers.src, ctx.headers.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let [a, b, c, _] = dst.octets();
            src.octets()[0] == 0 && (dst == Ipv4Addr::BROADCAST || [a, b, c] == [224, 0, 0])
        }
        (IpAddr::V6(src), _) => src.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

impl RpFilter {
    fn leads_back<F: Fib>(&self, port: PortId, ctx: &RuleContext<'_, F>) -> bool {
        let mark = if self.marked { *ctx.mark } else { 0 };
        let (dst, src) = (ctx.headers.src, ctx.headers.dst);
        match ctx.fib.route(&RouteQuery { dst, src, in_port: None, mark }) {
            Route::Forward { port: out, .. } => self.loose || out == port,
            Route::Local { broadcast } => {
                // IPv6 takes an address of any port for one of this.
                let here =
                    || dst.is_ipv6() || ctx.fib.addr_type(dst, Some(port)) == AddrType::Local;
                self.accept_local && !broadcast && (self.loose || here())
            }
            Route::Unreachable | Route::Blackhole => false,
        }
    }
}
