//! The conditions that an expression joins.
//!
//! pcap-filter's are `[protocol] [src|dst] [host|net|port|portrange] value`, ss's `src|dst|sport|dport [sign] value`:
//! both are [`Qualifiers`] and a value. What only conntrack knows stands beside them: states, status, marks, amounts.

use tidegate_wire::{Family, proto};

use super::read::Reader;
use super::token::Token;
use super::value::{self, Sign};
use super::{Expression, Mistake};
use crate::client::names::bit;
use crate::filter::{Amounts, Masked, Ports, Prefix, Spans, Spot, Test, Translation};
use crate::flags::filter::{label, masked, protocol};

/// What is said of an address or a port before it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Qualifiers {
    layer: Option<Test>,
    end: Option<End>,
    kind: Option<Kind>,
    sign: Option<Sign>,
}

/// Which end of a flow, as its first packet has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Both,
    Either,
}

/// What kind of value comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
}

impl<'a> Reader<'a> {
    /// One condition.
    pub(super) fn primitive(&mut self, may_inherit: bool) -> Result<Expression, Mistake> {
        let Some(token) = self.peek() else {
            return Err(self.mistake(None, "a condition is missing here"));
        };
        if let Some(layer) = layer(token.word) {
            return self.layered(layer);
        }
        if self.qualifiers_begin() {
            let qualifiers = self.qualifiers(None)?;
            return self.qualified(qualifiers);
        }
        if let Some(flag) = flag(token.word) {
            self.take();
            return Ok(flag);
        }
        match self.named(token) {
            Some(done) => done,
            None => self.bare(token, may_inherit),
        }
    }

    /// A protocol, and what may stand behind it.
    fn layered(&mut self, layer: Test) -> Result<Expression, Mistake> {
        self.take();
        if matches!(layer, Test::Family(_)) && self.take_if(|word| word == "proto").is_some() {
            let number = self.protocol()?;
            return Ok(Expression::All(vec![Expression::Is(layer), Expression::Is(number)]));
        }
        if self.qualifiers_begin() {
            let qualifiers = self.qualifiers(Some(layer))?;
            return self.qualified(qualifiers);
        }
        Ok(Expression::Is(layer))
    }

    fn qualifiers_begin(&self) -> bool {
        let next = self.look_ahead(0);
        end(next).is_some() || kind(next).is_some() || ["sport", "dport"].contains(&next)
    }

    fn qualifiers(&mut self, layer: Option<Test>) -> Result<Qualifiers, Mistake> {
        let mut said = Qualifiers { layer, ..Qualifiers::default() };
        if let Some(token) = self.take_if(|word| ["sport", "dport"].contains(&word)) {
            said.end = Some(if token.word == "sport" { End::Source } else { End::Destination });
            said.kind = Some(Kind::Port);
        } else {
            said.end = self.take_if(|word| end(word).is_some()).and_then(|token| end(token.word));
            if let Some(both) = self.other_end() {
                said.end = Some(both);
            }
            said.kind =
                self.take_if(|word| kind(word).is_some()).and_then(|token| kind(token.word));
        }
        let sign = self.take_if(|word| Sign::of(word).is_some());
        said.sign = sign.and_then(|token| Sign::of(token.word));
        let is_order = !matches!(said.sign, None | Some(Sign::Equal | Sign::Unequal));
        if is_order && said.kind != Some(Kind::Port) {
            return Err(self.mistake(sign, "addresses are equal or not; there is no order"));
        }
        Ok(said)
    }

    /// `or dst` behind `src`, and the like.
    fn other_end(&mut self) -> Option<End> {
        let both = match self.look_ahead(0) {
            "and" | "&&" => End::Both,
            "or" | "||" => End::Either,
            _ => return None,
        };
        end(self.look_ahead(1)).filter(|_| kind(self.look_ahead(2)).is_some())?;
        self.take();
        self.take();
        Some(both)
    }

    /// The value that the qualifiers are about.
    fn qualified(&mut self, said: Qualifiers) -> Result<Expression, Mistake> {
        let what = if said.kind == Some(Kind::Port) { "a port" } else { "an address" };
        let token = self.value(what)?;
        self.last = Some(said.clone());
        self.of_value(&said, token)
    }

    fn of_value(&self, said: &Qualifiers, token: Token<'_>) -> Result<Expression, Mistake> {
        let sign = said.sign.unwrap_or(Sign::Equal);
        let (prefix, range) = match said.kind {
            Some(Kind::Port) => (None, Some(self.parsed(token, value::ports)?)),
            Some(Kind::Host | Kind::Net) => (Some(self.parsed(token, value::network)?), None),
            None => self.parsed(token, value::endpoint)?,
        };
        let range = match range.map(|range| sign.ports(range).ok_or("no port is")) {
            None => None,
            Some(compared) => Some(self.parsed(token, |_| compared)?),
        };
        let place = at_ends(said.end, prefix, range);
        let place = if sign == Sign::Unequal { place.not() } else { place };
        let layer = said.layer.clone().map(Expression::Is);
        Ok(Expression::all(layer.into_iter().chain([place]).collect()))
    }

    /// An address or a port of which nothing is said: what was said of the last one, or that it is any end's.
    fn bare(&mut self, token: Token<'_>, may_inherit: bool) -> Result<Expression, Mistake> {
        self.take();
        if let Some(last) = self.last.clone().filter(|_| may_inherit)
            && let Ok(expression) = self.of_value(&last, token)
        {
            return Ok(expression);
        }
        if !token.word.contains(['.', ':']) {
            return Err(self.mistake(Some(token), UNKNOWN));
        }
        self.of_value(&Qualifiers::default(), token)
    }

    /// Conditions that begin with a word of their own; `None` if this is none.
    fn named(&mut self, token: Token<'_>) -> Option<Result<Expression, Mistake>> {
        let read = match token.word {
            "state" => Self::states,
            "exclude" => Self::no_states,
            "proto" => Self::proto,
            "mark" | "fwmark" => Self::mark,
            "zone" => Self::zone,
            "label" => Self::label,
            "helper" => Self::helper,
            "id" => Self::id,
            "timeout" | "left" | "age" | "packets" | "bytes" => {
                self.take();
                return Some(self.amount(token.word));
            }
            "dev" | "cgroup" | "autobound" | "gateway" | "broadcast" | "multicast" | "less"
            | "greater" | "ether" | "vlan" | "inbound" | "outbound" => {
                return Some(Err(self.mistake(Some(token), NOT_OF_FLOWS)));
            }
            _ => return None,
        };
        self.take();
        Some(read(self))
    }

    /// States; those of several `state` behind each other are alternatives, as in ss.
    fn states(&mut self) -> Result<Expression, Mistake> {
        let mut all = Vec::new();
        loop {
            let token = self.value("a state")?;
            all.extend(self.parsed(token, value::states)?);
            if self.take_if(|word| word == "state").is_none() {
                return Ok(Expression::Is(Test::State(all)));
            }
        }
    }

    fn no_states(&mut self) -> Result<Expression, Mistake> {
        let token = self.value("a state")?;
        Ok(Expression::Is(Test::State(self.parsed(token, value::states)?)).not())
    }

    fn proto(&mut self) -> Result<Expression, Mistake> {
        self.protocol().map(Expression::Is)
    }

    fn protocol(&mut self) -> Result<Test, Mistake> {
        let token = self.value("a protocol")?;
        self.parsed(token, protocol).map(Test::Protocol)
    }

    fn mark(&mut self) -> Result<Expression, Mistake> {
        let (is_equal, token) = self.equality("a mark")?;
        let test = Expression::Is(Test::Mark(self.parsed(token, masked)?));
        Ok(if is_equal { test } else { test.not() })
    }

    fn zone(&mut self) -> Result<Expression, Mistake> {
        let (is_equal, token) = self.equality("a zone")?;
        let number = self.parsed(token, |word| {
            word.parse().map_err(|_| format!("`{word}' is no zone: those are 0 to 65535"))
        })?;
        let test = Expression::Is(Test::Zone(number));
        Ok(if is_equal { test } else { test.not() })
    }

    fn label(&mut self) -> Result<Expression, Mistake> {
        let token = self.value("a label")?;
        Ok(Expression::Is(Test::Label(self.parsed(token, label)?)))
    }

    fn helper(&mut self) -> Result<Expression, Mistake> {
        let token = self.value("a helper's name")?;
        Ok(Expression::Is(Test::Helper(token.word.to_owned())))
    }

    fn id(&mut self) -> Result<Expression, Mistake> {
        let token = self.value("an entry's number")?;
        let number = self.parsed(token, |word| {
            word.parse().map_err(|_| format!("`{word}' is no number of an entry"))
        })?;
        Ok(Expression::Is(Test::Id(number)))
    }

    /// A number of seconds, packets or bytes, compared.
    fn amount(&mut self, what: &str) -> Result<Expression, Mistake> {
        let sign = self.take_if(|word| Sign::of(word).is_some());
        let sign = sign.and_then(|token| Sign::of(token.word)).unwrap_or(Sign::Equal);
        let token = self.value("an amount")?;
        let typed = sign.amount(token.word);
        let test = match what {
            "timeout" | "left" => {
                self.parsed(token, |_| typed.parse()).map(|Spans(range)| Test::Timeout(range))
            }
            "age" => self.parsed(token, |_| typed.parse()).map(|Spans(range)| Test::Age(range)),
            "packets" => {
                self.parsed(token, |_| typed.parse()).map(|Amounts(range)| Test::Packets(range))
            }
            _ => self.parsed(token, |_| typed.parse()).map(|Amounts(range)| Test::Bytes(range)),
        };
        let test = Expression::Is(test?);
        Ok(if sign == Sign::Unequal { test.not() } else { test })
    }

    /// A value that is equal or not.
    fn equality(&mut self, what: &str) -> Result<(bool, Token<'a>), Mistake> {
        let sign = self.take_if(|word| Sign::of(word).is_some());
        let is_equal = match sign.and_then(|token| Sign::of(token.word)) {
            None | Some(Sign::Equal) => true,
            Some(Sign::Unequal) => false,
            Some(_) => return Err(self.mistake(sign, "this is equal or not; there is no order")),
        };
        Ok((is_equal, self.value(what)?))
    }
}

/// Address and port at some end of a flow.
fn at_ends(end: Option<End>, prefix: Option<Prefix>, range: Option<Ports>) -> Expression {
    let at = |spot: Spot| {
        let address = prefix.map(|prefix| Expression::Is(Test::Address(spot, prefix)));
        let port = range.map(|range| Expression::Is(Test::Port(spot, range)));
        Expression::all(address.into_iter().chain(port).collect())
    };
    match end {
        None | Some(End::Either) => at(Spot::Anywhere),
        Some(End::Source) => at(Spot::Source(0)),
        Some(End::Destination) => at(Spot::Destination(0)),
        Some(End::Both) => Expression::All(vec![at(Spot::Source(0)), at(Spot::Destination(0))]),
    }
}

fn layer(word: &str) -> Option<Test> {
    Some(match word {
        "ip" => Test::Family(Family::V4),
        "ip6" => Test::Family(Family::V6),
        "tcp" => Test::Protocol(proto::TCP),
        "udp" => Test::Protocol(proto::UDP),
        "icmp" => Test::Protocol(proto::ICMP),
        "icmp6" | "icmpv6" => Test::Protocol(proto::ICMPV6),
        "sctp" => Test::Protocol(proto::SCTP),
        "gre" => Test::Protocol(proto::GRE),
        "udplite" => Test::Protocol(proto::UDPLITE),
        "dccp" => Test::Protocol(proto::DCCP),
        "esp" => Test::Protocol(proto::ESP),
        "ah" => Test::Protocol(proto::AH),
        "igmp" => Test::Protocol(proto::IGMP),
        _ => return None,
    })
}

fn end(word: &str) -> Option<End> {
    match word {
        "src" => Some(End::Source),
        "dst" => Some(End::Destination),
        _ => None,
    }
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "host" => Some(Kind::Host),
        "net" => Some(Kind::Net),
        "port" | "portrange" => Some(Kind::Port),
        _ => None,
    }
}

/// Conditions that are one word.
fn flag(word: &str) -> Option<Expression> {
    let set = |bits| Test::Status(Masked { value: bits, mask: bits });
    let translated = |way| Test::Translated(way, None);
    Some(Expression::Is(match word {
        "assured" => set(bit::ASSURED),
        "replied" => set(bit::SEEN_REPLY),
        "unreplied" => Test::Status(Masked { value: 0, mask: bit::SEEN_REPLY }),
        "expected" => set(bit::EXPECTED),
        "offload" => set(bit::OFFLOAD),
        "nat" => translated(Translation::Any),
        "snat" => translated(Translation::Source),
        "dnat" => translated(Translation::Destination),
        _ => return None,
    }))
}

const UNKNOWN: &str = "this is no condition; there are protocols such as tcp; src, dst, host, net, port, sport, dport; \
state; nat, snat, dnat, assured, unreplied; mark, zone, label, helper, id; timeout, age, packets, bytes";
const NOT_OF_FLOWS: &str = "a flow of a table has no such thing";
