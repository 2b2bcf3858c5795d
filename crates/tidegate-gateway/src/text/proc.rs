//! A line of `/proc/net/nf_conntrack`, byte for byte.
//!
//! ```text
//! LINE  = L3NAME%-8s SP L3NUM SP L4NAME%-8s SP PROTO SP SECS SP [PRIV] TUPLE [ZORIG] [ACCT] ["[UNREPLIED] "]
//!         TUPLE [ZREPLY] [ACCT] ["[ASSURED] "] "mark=" U SP ["zone=" U SP] ["delta-time=" U SP] "use=" U LF
//! PRIV  = STATE SP | "timeout=" U ", stream_timeout=" U SP
//! ZORIG = "zone-orig=" U SP   ZREPLY = "zone-reply=" U SP   ACCT = "packets=" U " bytes=" U SP
//! ```
//!
//! A zone of both directions is shown even when it is 0, as kernels built with
//! zones do. `use` is 2, as on an idle machine: the table's reference and the
//! reader's. The kernel shows no helper here.

use std::fmt;

use tidegate_engine::flow::{Flow, Status};
use tidegate_engine::time::Instant;
use tidegate_engine::track::{Gre, ProtoState};
use tidegate_engine::tuple::{Direction, ZoneScope};

use super::l4_name;
use super::tuple::{Style, TupleText};

/// A flow as `/proc/net/nf_conntrack` shows it at an instant, without the line
/// feed.
pub struct ProcLine<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// When it is looked at.
    pub now: Instant,
}

impl fmt::Display for ProcLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.flow;
        let (family, proto) = (flow.orig.family(), flow.orig.proto);
        write!(f, "{:<8} {} ", family.name(), family.number())?;
        write!(f, "{:<8} {proto} {} ", l4_name(proto), flow.remaining(self.now).as_secs())?;
        self.fmt_private(f)?;
        self.fmt_direction(f, Direction::Original)?;
        if !flow.is(Status::SEEN_REPLY) {
            f.write_str("[UNREPLIED] ")?;
        }
        self.fmt_direction(f, Direction::Reply)?;
        if flow.is(Status::ASSURED) {
            f.write_str("[ASSURED] ")?;
        }
        self.fmt_tail(f)
    }
}

impl ProcLine<'_> {
    /// What only this protocol has.
    fn fmt_private(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.flow.proto {
            ProtoState::Gre(Gre { timeout, stream_timeout }) => {
                let (timeout, stream) = (timeout.as_secs(), stream_timeout.as_secs());
                write!(f, "timeout={timeout}, stream_timeout={stream} ")
            }
            proto => proto.name().map_or(Ok(()), |state| write!(f, "{state} ")),
        }
    }

    fn fmt_direction(&self, f: &mut fmt::Formatter<'_>, dir: Direction) -> fmt::Result {
        let flow = self.flow;
        write!(f, "{} ", TupleText(flow.tuple(dir), Style::Kernel))?;
        match (flow.zone.scope, dir) {
            (ZoneScope::Original, Direction::Original) => {
                write!(f, "zone-orig={} ", flow.zone.id)?;
            }
            (ZoneScope::Reply, Direction::Reply) => write!(f, "zone-reply={} ", flow.zone.id)?,
            _ => {}
        }
        match &flow.acct {
            Some(acct) => {
                let counter = acct[dir.index()];
                write!(f, "packets={} bytes={} ", counter.packets, counter.bytes)
            }
            None => Ok(()),
        }
    }

    fn fmt_tail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.flow;
        write!(f, "mark={} ", flow.mark)?;
        if flow.zone.scope == ZoneScope::Both {
            write!(f, "zone={} ", flow.zone.id)?;
        }
        if let Some(start) = flow.lifetime.and_then(|lifetime| lifetime.start) {
            write!(f, "delta-time={} ", self.now.saturating_sub(start).as_secs())?;
        }
        f.write_str("use=2")
    }
}
