//! `-m policy`: what IPsec did or will do to a packet. Linux: `xt_policy`.
//!
//! There is no IPsec here: no packet was or will be transformed, so that `--pol none` always holds and `--pol ipsec`
//! never does, whatever its elements ask.

use alloc::vec::Vec;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Network, Rule, Term};
use crate::rules::check::Setting;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::{self, value as written};
use crate::rules::text::clause::{Clause, Given};
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m policy`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Policy {
    incoming: bool,
    none: bool,
    strict: bool,
    elements: Vec<Element>,
}

/// One transformation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Element {
    request: Option<Term<u32>>,
    index: Option<Term<u32>>,
    protocol: Option<Term<Transform>>,
    tunnel: Option<Term<bool>>,
    destination: Option<Term<Network>>,
    source: Option<Term<Network>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transform {
    Ah,
    Esp,
    Ipcomp,
}

impl Condition for Policy {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--dir"]),
        value(&["--pol"]),
        flag(&["--strict"]),
        term(&["--reqid"]),
        term(&["--spi"]),
        term(&["--proto"]),
        term(&["--mode"]),
        term(&["--tunnel-dst"]),
        term(&["--tunnel-src"]),
        flag(&["--next"]),
    ];

    const PURE: bool = true;

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let incoming = clause.need("--dir", |word| one_of_two(word, "in", "out"))?.value;
        let none = clause.need("--pol", |word| one_of_two(word, "none", "ipsec"))?.value;
        let strict = clause.flag("--strict");
        let elements = elements(family, clause)?;
        match (none, strict, elements.len()) {
            (true, _, 1..) => Err(clause.missing("--pol ipsec for its elements")),
            (_, false, 2..) => Err(clause.missing("--strict for --next")),
            (_, true, 0) => Err(clause.missing("an element for --strict")),
            _ => Ok(Self { incoming, none, strict, elements }),
        }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let direction = if self.incoming { "in" } else { "out" };
        let policy = if self.none { "none" } else { "ipsec" };
        write!(f, " --dir {direction} --pol {policy}")?;
        f.write_str(if self.strict { " --strict" } else { "" })?;
        for (number, element) in self.elements.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " --next" })?;
            element.write(f)?;
        }
        Ok(())
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        if self.incoming {
            setting.only_from("--dir in", &[Hook::Prerouting, Hook::Input, Hook::Forward])
        } else {
            setting.only_from("--dir out", &[Hook::Forward, Hook::Output, Hook::Postrouting])
        }
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, _: &mut RuleContext<'_, F>) -> Fit {
        self.none.into()
    }
}

fn one_of_two(word: &str, yes: &'static str, no: &'static str) -> Parsed<bool> {
    match word {
        word if word == yes => Ok(true),
        word if word == no => Ok(false),
        _ => Err(Fault::expected(word, Expected::OneOf { this: yes, that: no })),
    }
}

/// `--next` begins another one.
fn elements(family: Family, clause: &Clause<'_>) -> Parsed<Vec<Element>> {
    let mut elements = Vec::new();
    let mut open = None;
    for given in clause.given() {
        match given.name() {
            "--dir" | "--pol" | "--strict" => {}
            "--next" => elements.push(open.take().unwrap_or_default()),
            _ => open.get_or_insert_with(Element::default).give(family, given)?,
        }
    }
    elements.extend(open);
    if elements.iter().any(Element::is_tunnel_without_mode) {
        return Err(clause.missing("--mode tunnel for --tunnel-src and --tunnel-dst"));
    }
    Ok(elements)
}

impl Element {
    /// Whether it asks for a tunnel's ends of something that is no tunnel.
    fn is_tunnel_without_mode(&self) -> bool {
        let is_tunnel = self.tunnel.as_ref().is_some_and(|tunnel| tunnel.value);
        !is_tunnel && (self.source.is_some() || self.destination.is_some())
    }

    fn give(&mut self, family: Family, given: &Given<'_>) -> Parsed<()> {
        let word = given.value();
        let number = |word| values::number(word, 0, u32::MAX);
        match given.name() {
            "--reqid" => self.request = Some(given.term(number(word)?)),
            "--spi" => self.index = Some(given.term(number(word)?)),
            "--proto" => self.protocol = Some(given.term(transform(word)?)),
            "--mode" => self.tunnel = Some(given.term(one_of_two(word, "tunnel", "transport")?)),
            "--tunnel-dst" => {
                self.destination = Some(given.term(values::network(family, word)?));
            }
            _ => self.source = Some(given.term(values::network(family, word)?)),
        }
        Ok(())
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print::term(f, "--reqid", &self.request, |f, number| write!(f, "{number}"))?;
        print::term(f, "--spi", &self.index, |f, number| write!(f, "{number:#x}"))?;
        print::term(f, "--proto", &self.protocol, |f, transform| {
            f.write_str(match transform {
                Transform::Ah => "ah",
                Transform::Esp => "esp",
                Transform::Ipcomp => "ipcomp",
            })
        })?;
        print::term(f, "--mode", &self.tunnel, |f, tunnel| {
            f.write_str(if *tunnel { "tunnel" } else { "transport" })
        })?;
        print::term(f, "--tunnel-dst", &self.destination, written::host_or_network)?;
        print::term(f, "--tunnel-src", &self.source, written::host_or_network)
    }
}

fn transform(word: &str) -> Parsed<Transform> {
    match word {
        "ah" | "51" => Ok(Transform::Ah),
        "esp" | "50" => Ok(Transform::Esp),
        "ipcomp" | "108" => Ok(Transform::Ipcomp),
        _ => Err(Fault::expected(word, Expected::Form("`ah', `esp' or `ipcomp'"))),
    }
}
