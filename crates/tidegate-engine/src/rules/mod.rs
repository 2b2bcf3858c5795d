//! stub
pub mod ast;
use crate::event::EventMask;
use crate::fib::*;
use crate::flow::*;
use crate::log::*;
use crate::nat::{Manip, NatRange};
use crate::packet::*;
use crate::time::*;
use crate::trace::*;
use crate::tuple::Zone;
use ast::*;
pub use ast::{Hook, Ruleset, TableKind};
use tidegate_wire::*;
pub(crate) struct RuleContext<'a, F: Fib> {
    pub(crate) hook: Hook,
    pub(crate) bytes: &'a [u8],
    pub(crate) headers: &'a Headers,
    pub(crate) link: Option<LinkHeader>,
    pub(crate) mark: &'a mut u32,
    pub(crate) in_port: Option<PortId>,
    pub(crate) out_port: Option<PortId>,
    pub(crate) info: CtInfo,
    pub(crate) flow: Option<&'a mut Flow>,
    pub(crate) template: &'a mut Option<Template>,
    pub(crate) untracked: &'a mut bool,
    pub(crate) has_entry: bool,
    pub(crate) fib: &'a F,
    pub(crate) now: Instant,
    pub(crate) log: &'a mut LogQueue,
}
/// t
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// z
    pub zone: Zone,
    /// e
    pub events: Option<EventMask>,
}
pub(crate) enum Ruling {
    Accept,
    Drop,
    Reject(RejectWith),
    Translate(NatAction),
}
pub(crate) enum NatAction {
    Range(Manip, NatRange),
    Masquerade(NatRange),
    Redirect(NatRange),
    Netmap(Network),
}
#[derive(Default)]
pub(crate) struct Programs;
impl Programs {
    pub(crate) fn replace(&mut self, _rules: &Ruleset) {}
    pub(crate) fn has(&self, _family: Family, _table: TableKind) -> bool {
        false
    }
    pub(crate) fn run<F: Fib, O: Observer>(
        &mut self,
        _family: Family,
        _table: TableKind,
        _ctx: &mut RuleContext<'_, F>,
        _observer: &mut O,
    ) -> Ruling {
        Ruling::Accept
    }
    pub(crate) fn print(&self, _family: Family, _counters: bool) -> Option<alloc::string::String> {
        None
    }
}
