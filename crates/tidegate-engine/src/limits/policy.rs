//! Timeout policies: timeouts under a name, for the flows to which a rule gives them (`CT --timeout`).
//!
//! They are read from lines of the form that nfct(8) takes behind its name:
//!
//! ```text
//! add timeout NAME inet|inet6 PROTOCOL { STATE SECONDS }
//! ```
//!
//! What a policy doesn't say is as the settings were when it was made, as in the kernel.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use tidegate_wire::{Family, proto};

use super::numbered::GENERIC;
use super::{Limits, Timeouts};

/// All policies.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// By number; a number is never given again.
    policies: Vec<Option<Policy>>,
}

/// Which policy a flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId(pub(crate) u16);

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The family of the flows that it is for.
    pub family: Family,
    /// Their protocol; 255 stands for all without a tracker.
    pub proto: u8,
    /// All timeouts, of which the protocol's count.
    pub timeouts: Timeouts,
}

/// A line that is not understood; shown as `timeouts:3: `foo' is not ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The field at fault.
    pub field: String,
    /// What is wrong with it.
    pub kind: PolicyErrorKind,
}

/// The causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyErrorKind {
    /// Not `add timeout`.
    Command,
    /// A field is missing behind this one.
    Missing,
    /// There is a policy of this name, or there are too many.
    Exists,
    /// Neither `inet` nor `inet6`.
    Family,
    /// Not a protocol whose flows have timeouts of their own.
    Protocol,
    /// Not a state of the protocol, or not a number of seconds.
    State,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, kind } = self;
        write!(f, "{file}:{line}: ")?;
        match kind {
            PolicyErrorKind::Command => write!(f, "`{field}' is not `add timeout'"),
            PolicyErrorKind::Missing => write!(f, "something is missing behind `{field}'"),
            PolicyErrorKind::Exists => write!(f, "there is a timeout policy `{field}' already"),
            PolicyErrorKind::Family => write!(f, "`{field}' is not `inet' or `inet6'"),
            PolicyErrorKind::Protocol => write!(f, "`{field}' is not a protocol with timeouts"),
            PolicyErrorKind::State => write!(f, "`{field}' is not a state and its seconds"),
        }
    }
}

impl Error for PolicyError {}

/// Bytes of a name (`CTNL_TIMEOUT_NAME_MAX`, less one).
pub(crate) const NAME_MAX: usize = 31;

impl Policies {
    /// Adds the policies of a text; what they don't say is as in `limits`. A line that is not understood is left
    /// out.
    ///
    /// # Errors
    /// All lines that are not understood; `file` names the text.
    pub fn add(&mut self, limits: &Limits, file: &str, text: &str) -> Result<(), Vec<PolicyError>> {
        let mut errors = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.is_empty() || fields[0].starts_with('#') {
                continue;
            }
            if let Err((field, kind)) = self.add_one(limits, &fields) {
                let file = file.to_owned();
                errors.push(PolicyError { file, line: number, field: field.to_owned(), kind });
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn add_one<'l>(
        &mut self,
        limits: &Limits,
        fields: &[&'l str],
    ) -> Result<(), (&'l str, PolicyErrorKind)> {
        let fields = fields.strip_prefix(&["nfct"]).unwrap_or(fields);
        let ["add", "timeout", rest @ ..] = fields else {
            return Err((fields.first().unwrap_or(&""), PolicyErrorKind::Command));
        };
        let [name, family, protocol, states @ ..] = rest else {
            return Err((fields.last().unwrap_or(&""), PolicyErrorKind::Missing));
        };
        if name.len() > NAME_MAX || self.find(name).is_some() || self.is_full() {
            return Err((name, PolicyErrorKind::Exists));
        }
        let family = match *family {
            "inet" => Family::V4,
            "inet6" => Family::V6,
            other => return Err((other, PolicyErrorKind::Family)),
        };
        let known = PROTOCOLS.iter().find(|(known, _)| known == protocol);
        let (_, proto) = *known.ok_or((*protocol, PolicyErrorKind::Protocol))?;
        let timeouts = timeouts(limits, protocol, states)?;
        self.policies.push(Some(Policy { name: (*name).to_owned(), family, proto, timeouts }));
        Ok(())
    }

    /// Whether there have been as many as there can be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.policies.len() > 60_000
    }

    /// Adds a policy, or puts it in the place of the one with its name.
    pub fn put(&mut self, policy: Policy) {
        match self.find(&policy.name) {
            Some(PolicyId(at)) => self.policies[usize::from(at)] = Some(policy),
            None => self.policies.push(Some(policy)),
        }
    }

    /// Takes a policy away; its flows live as all others from now on. Whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let found = self.find(name);
        found.is_some_and(|PolicyId(at)| self.policies[usize::from(at)].take().is_some())
    }

    /// All policies, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().flatten()
    }

    /// The policy of that number.
    #[must_use]
    pub fn get(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(usize::from(id.0))?.as_ref()
    }

    /// The policy of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PolicyId> {
        let named = |policy: &Option<Policy>| policy.as_ref().is_some_and(|one| one.name == name);
        self.policies.iter().position(named).map(|at| PolicyId(at as u16))
    }

    /// Whether a policy is for flows of this family and protocol.
    #[must_use]
    pub fn fits(&self, id: PolicyId, family: Family, proto: u8) -> bool {
        let policy = self.get(id);
        let known = PROTOCOLS.iter().any(|(_, known)| *known == proto);
        let proto = if known { proto } else { GENERIC };
        policy.is_some_and(|policy| (policy.family, policy.proto) == (family, proto))
    }

    /// The limits that hold for a flow with a policy.
    pub(crate) fn limits(&self, id: PolicyId, limits: &Limits) -> Option<Limits> {
        let policy = self.get(id)?;
        Some(Limits { timeouts: policy.timeouts, ..*limits })
    }
}

/// Each state under the name of its setting.
fn timeouts<'l>(
    limits: &Limits,
    protocol: &str,
    states: &[&'l str],
) -> Result<Timeouts, (&'l str, PolicyErrorKind)> {
    let mut own = *limits;
    let (pairs, odd) = states.as_chunks::<2>();
    if let [state] = odd {
        return Err((state, PolicyErrorKind::Missing));
    }
    for [state, seconds] in pairs {
        let key = match (protocol, *state) {
            ("udp" | "udplite", "unreplied") => "udp_timeout".to_owned(),
            ("udp" | "udplite", "replied") => "udp_timeout_stream".to_owned(),
            ("gre", "unreplied") => "gre_timeout".to_owned(),
            ("gre", "replied") => "gre_timeout_stream".to_owned(),
            ("icmp" | "icmpv6" | "generic", "timeout") => format!("{protocol}_timeout"),
            ("tcp", "retrans") => "tcp_timeout_max_retrans".to_owned(),
            ("tcp" | "sctp", state) => format!("{protocol}_timeout_{state}"),
            _ => return Err((state, PolicyErrorKind::State)),
        };
        let number: Option<u32> = seconds.parse().ok();
        let key = format!("net.netfilter.nf_conntrack_{key}");
        if number.is_none() || own.set(&key, seconds).is_err() {
            return Err((state, PolicyErrorKind::State));
        }
    }
    Ok(own.timeouts)
}

const PROTOCOLS: [(&str, u8); 8] = [
    ("tcp", proto::TCP),
    ("udp", proto::UDP),
    ("udplite", proto::UDPLITE),
    ("sctp", proto::SCTP),
    ("gre", proto::GRE),
    ("icmp", proto::ICMP),
    ("icmpv6", proto::ICMPV6),
    ("generic", GENERIC),
];

#[cfg(test)]
mod tests;
