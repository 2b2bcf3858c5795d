//! `-m set`: is the packet in a set? Linux: `xt_set`. The sets themselves are [`ipset`](crate::ipset)'s.

use alloc::string::String;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::ipset::{Compare, Demand, Direction, Directions, Sight};
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::{Clause, Given};
use crate::rules::text::options::{OptionSpec, flag, term, value};

/// `-m set`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct MatchSet {
    set: Term<SetRef>,
    demand: Demand,
}

/// A set and the ends of a packet that make its element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct SetRef {
    pub(in crate::rules) name: String,
    pub(in crate::rules) directions: Directions,
}

impl SetRef {
    /// From an option that takes a name and directions.
    pub(in crate::rules) fn parse(given: &Given<'_>) -> Parsed<Self> {
        let [name, list] = given.values else {
            return Err(Fault::expected(given.word, Expected::Text));
        };
        let form = Expected::Form("a list of `src' and `dst'");
        let mut odd = false;
        let directions = list.split(',').map(|word| match word {
            "src" => Direction::Source,
            word => {
                odd |= word != "dst";
                Direction::Destination
            }
        });
        let directions = Directions::new(directions).filter(|_| !odd);
        let directions = directions.ok_or_else(|| Fault::expected(list, form))?;
        if odd || name.is_empty() || name.len() > 31 {
            return Err(Fault::expected(name, Expected::Form("the name of a set")));
        }
        Ok(Self { name: name.clone(), directions })
    }

    pub(in crate::rules) fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (number, direction) in self.directions.as_slice().iter().enumerate() {
            f.write_str(if number == 0 { " " } else { "," })?;
            f.write_str(match direction {
                Direction::Source => "src",
                Direction::Destination => "dst",
            })?;
        }
        Ok(())
    }
}

/// A packet as the set sees it.
pub(in crate::rules) fn sight<'c, F: Fib>(
    ctx: &'c RuleContext<'_, F>,
    directions: Directions,
) -> Sight<'c> {
    Sight { headers: ctx.headers, datagram: ctx.datagram(), directions, now: ctx.now }
}

impl MatchSet {
    /// The set's name.
    pub(in crate::rules) fn set_name(&self) -> &str {
        &self.set.value.name
    }
}

impl Condition for MatchSet {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec { names: &["--match-set"], negatable: true, values: 2 },
        flag(&["--return-nomatch"]),
        OptionSpec { names: &["--update-counters"], negatable: true, values: 0 },
        OptionSpec { names: &["--update-subcounters"], negatable: true, values: 0 },
        term(&["--packets-eq"]),
        value(&["--packets-lt"]),
        value(&["--packets-gt"]),
        term(&["--bytes-eq"]),
        value(&["--bytes-lt"]),
        value(&["--bytes-gt"]),
    ];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.find("--match-set").ok_or_else(|| clause.missing("--match-set"))?;
        let refused = |name| clause.find(name).is_some_and(|given: &Given<'_>| given.negated);
        let demand = Demand {
            nomatch: clause.flag("--return-nomatch"),
            keep_counters: refused("--update-counters"),
            keep_sub_counters: refused("--update-subcounters"),
            packets: compare(clause, ["--packets-eq", "--packets-lt", "--packets-gt"])?,
            bytes: compare(clause, ["--bytes-eq", "--bytes-lt", "--bytes-gt"])?,
        };
        Ok(Self { set: given.term(SetRef::parse(given)?), demand })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Demand { nomatch, keep_counters, keep_sub_counters, packets, bytes } = self.demand;
        always(f, "--match-set", &self.set, |f, set| set.write(f))?;
        f.write_str(if nomatch { " --return-nomatch" } else { "" })?;
        f.write_str(if keep_counters { " ! --update-counters" } else { "" })?;
        f.write_str(if keep_sub_counters { " ! --update-subcounters" } else { "" })?;
        write_compare(f, "packets", packets)?;
        write_compare(f, "bytes", bytes)
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), memory: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let SetRef { name, directions } = &self.set.value;
        let held = memory.sets.holds(name, &sight(ctx, *directions), &self.demand);
        self.set.holds(held).into()
    }
}

/// `names` are those of the options for equal, below and above.
fn compare(clause: &Clause<'_>, names: [&'static str; 3]) -> Parsed<Option<Compare>> {
    let Some(given) = clause.one_of(&names)? else { return Ok(None) };
    let word = given.value();
    let number = word.parse();
    let number = number
        .map_err(|_| Fault::expected(word, Expected::Form("a number of packets or bytes")))?;
    Ok(Some(match given.name() {
        name if name == names[0] && given.negated => Compare::NotEqual(number),
        name if name == names[0] => Compare::Equal(number),
        name if name == names[1] => Compare::Below(number),
        _ => Compare::Above(number),
    }))
}

fn write_compare(f: &mut Formatter<'_>, what: &str, compare: Option<Compare>) -> fmt::Result {
    match compare {
        None => Ok(()),
        Some(Compare::Equal(number)) => write!(f, " --{what}-eq {number}"),
        Some(Compare::NotEqual(number)) => write!(f, " ! --{what}-eq {number}"),
        Some(Compare::Below(number)) => write!(f, " --{what}-lt {number}"),
        Some(Compare::Above(number)) => write!(f, " --{what}-gt {number}"),
    }
}
