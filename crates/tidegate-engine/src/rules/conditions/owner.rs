//! `-m owner`: whose socket sent a packet of the host. Linux: `xt_owner`.
//!
//! The engine sees no sockets. It knows what the caller tells with a packet of the host's own
//! ([`Owner`](crate::packet::Owner)); any other packet has no socket.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::packet::Owner as Stated;
use crate::rules::ast::{Hook, Rule, Term};
use crate::rules::check::Setting;
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term};
use crate::rules::text::{Parsed, value};

/// `-m owner`; numbers from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Owner {
    socket: Option<Term<()>>,
    user: Option<Term<(u32, u32)>>,
    group: Option<Term<(u32, u32)>>,
    supplementary: bool,
}

impl Condition for Owner {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec { names: &["--socket-exists"], negatable: true, values: 0 },
        term(&["--uid-owner"]),
        term(&["--gid-owner"]),
        flag(&["--suppl-groups"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let owner = Self {
            socket: clause.find("--socket-exists").map(|given| given.term(())),
            user: clause.term("--uid-owner", ids)?,
            group: clause.term("--gid-owner", ids)?,
            supplementary: clause.flag("--suppl-groups"),
        };
        let mut earlier =
            clause.given().iter().take_while(|given| given.name() != "--suppl-groups");
        if owner.supplementary && !earlier.any(|given| given.name() == "--gid-owner") {
            return Err(clause.missing("--gid-owner before --suppl-groups"));
        }
        if clause.given().is_empty() {
            return Err(clause.missing("--uid-owner, --gid-owner or --socket-exists"));
        }
        Ok(owner)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.socket {
            Some(Term { negated: true, .. }) => " ! --socket-exists",
            Some(_) => " --socket-exists",
            None => "",
        })?;
        print::term(f, "--uid-owner", &self.user, write_ids)?;
        print::term(f, "--gid-owner", &self.group, write_ids)?;
        f.write_str(if self.supplementary { " --suppl-groups" } else { "" })
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        setting.only_from("owner", &[Hook::Output, Hook::Postrouting])
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let denied = |term: &Option<Term<(u32, u32)>>| term.is_none_or(|term| term.negated);
        match ctx.owner {
            None => {
                let socket = self.socket.is_none_or(|term| term.negated);
                (socket && denied(&self.user) && denied(&self.group)).into()
            }
            Some(_) if self.socket.is_some_and(|term| term.negated) => Fit::Fails,
            Some(Stated::Kernel) => (denied(&self.user) && denied(&self.group)).into(),
            Some(Stated::Process { user, group, groups }) => {
                let within = |(first, last): (u32, u32), id| (first..=last).contains(&id);
                let users = self.user.is_none_or(|term| term.holds(within(term.value, *user)));
                let groups = self.group.is_none_or(|term| {
                    let more =
                        self.supplementary && groups.iter().any(|id| within(term.value, *id));
                    term.holds(more || within(term.value, *group))
                });
                (users && groups).into()
            }
        }
    }
}

/// `ID` or `FIRST-LAST`; of names only root's is known.
fn ids(word: &str) -> Parsed<(u32, u32)> {
    if word == "root" {
        return Ok((0, 0));
    }
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let read = |word: &str| {
        let number = value::number(word, 0, u32::MAX - 1);
        number.map_err(|_| Fault::expected(word, Expected::Form("a number of a user or group")))
    };
    let (first, last) = (read(first)?, read(last)?);
    if first > last { Err(Fault::new(word, ValueError::Reversed)) } else { Ok((first, last)) }
}

fn write_ids(f: &mut Formatter<'_>, (first, last): &(u32, u32)) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}
