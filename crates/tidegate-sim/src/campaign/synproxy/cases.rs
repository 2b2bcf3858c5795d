//! The scenarios: where the ends are, and the rules between them. What they say is in [`handshakes`](super::handshakes) and
//! [`scripts`](super::scripts).

use std::net::IpAddr;

use tidegate_wire::Family;

use super::chance;
use super::handshakes::HANDSHAKES;
use super::moves::{Move, Party};
use super::scripts::LIVES;
use crate::campaign::dice::Dice;
use crate::campaign::experiment::{Experiment, Ruleset, Table};

/// One scenario, in one family.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    kind: &'static Kind,
    family: Family,
    /// What is said is drawn from it, if there is one.
    seed: Option<u64>,
}

/// One scenario of either family.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) service: Service,
    /// The options of the rule.
    pub(super) offer: &'static str,
    /// Whether SYNs of clients are not tracked.
    pub(super) untracks: bool,
    /// The states that the rule asks for.
    pub(super) states: &'static str,
    /// Rules besides the usual ones, by table.
    pub(super) rules: &'static [(&'static str, &'static str)],
    /// Settings of conntrack besides `tcp_loose`, which is off.
    pub(super) settings: &'static [(&'static str, &'static str)],
    pub(super) moves: fn() -> Vec<Move>,
}

/// What stands between the ends, besides the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Nothing.
    Direct,
    /// The server sees the router as the client.
    Masked,
    /// The client sees the router as the server.
    Published,
    /// The router is the server, where nobody listens.
    Own,
}

/// Where the ends are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    family: Family,
    service: Service,
}

type End = (IpAddr, u16);

/// All of them, IPv4 first.
pub fn all() -> impl Iterator<Item = Case> {
    let families = [Family::V4, Family::V6];
    families
        .into_iter()
        .flat_map(|family| kinds().map(move |kind| Case { kind, family, seed: None }))
}

/// One by chance: rules of one of the others, and ends that say whatever they like.
#[must_use]
pub fn by_chance(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let usual: Vec<&'static Kind> = kinds().filter(|kind| kind.suits_chance()).collect();
    let kind = *dice.pick(&usual);
    let family = if dice.chance(50) { Family::V4 } else { Family::V6 };
    Case { kind, family, seed: Some(seed) }
}

fn kinds() -> impl Iterator<Item = &'static Kind> {
    HANDSHAKES.iter().chain(LIVES)
}

impl Kind {
    /// Where SYNs are tracked, an entry may get to know a number that is no cookie; then it depends on the cookie what
    /// becomes of a packet, and two routers can't be compared.
    fn suits_chance(&self) -> bool {
        self.untracks
            && self.settings.iter().all(|(name, _)| *name != "tcp_loose")
            && self.service != Service::Own
    }
}

impl Case {
    /// Its name, with the family at the end.
    #[must_use]
    pub fn name(&self) -> String {
        let family = if self.family == Family::V4 { "v4" } else { "v6" };
        match self.seed {
            Some(seed) => format!("{seed}-{}-{family}", self.kind.name),
            None => format!("{}-{family}", self.kind.name),
        }
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        self.seed.map_or_else(self.kind.moves, chance::moves)
    }

    /// What it shows.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.kind.about
    }

    pub(super) fn place(&self) -> Place {
        Place { family: self.family, service: self.kind.service }
    }

    /// Whether the host itself is the server.
    pub(super) fn is_of_host(&self) -> bool {
        self.kind.service == Service::Own
    }

    pub(super) fn experiment(&self) -> Experiment {
        let rules = self.place().spelt(self.kind);
        let rules = match self.family {
            Family::V4 => [Some(rules), None],
            Family::V6 => [None, Some(rules)],
        };
        let name = |name: &str| format!("net.netfilter.nf_conntrack_{name}");
        let settings = [("tcp_loose", "0")].iter().chain(self.kind.settings);
        let settings = settings.map(|(key, value)| (name(key), (*value).to_owned())).collect();
        let (mtus, sets, policies) = (Vec::new(), Vec::new(), Vec::new());
        Experiment { name: self.name(), rules, settings, mtus, sets, policies }
    }
}

impl Place {
    /// The speaker's end and the other one, as the speaker sees it.
    pub(super) fn ends(&self, by: Party, connection: u16) -> (End, End) {
        let [client, server, outside, inside] = self.addresses();
        let client = (client, CLIENT_PORT + connection);
        let is_hidden = matches!(self.service, Service::Published | Service::Own);
        match by {
            Party::Client if is_hidden => (client, (outside, PUBLIC_PORT)),
            Party::Client => (client, (server, PUBLIC_PORT)),
            Party::Server if self.service == Service::Masked => {
                ((server, PUBLIC_PORT), (inside, client.1))
            }
            Party::Server if is_hidden => ((server, INNER_PORT), client),
            Party::Server => ((server, PUBLIC_PORT), client),
        }
    }

    /// Client, server, and the router on the client's and on the server's side.
    fn addresses(&self) -> [IpAddr; 4] {
        let (v4, v6) = ADDRESSES;
        match self.family {
            Family::V4 => v4.map(|[a, b, c, d]| IpAddr::from([a, b, c, d])),
            Family::V6 => v6.map(IpAddr::from),
        }
    }

    fn spelt(&self, kind: &Kind) -> Ruleset {
        let taken = "-i out0 -p tcp -m tcp --dport 443";
        let mut tables = vec![
            table("raw", &["PREROUTING", "OUTPUT"]),
            table("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
            table("filter", &["INPUT", "FORWARD", "OUTPUT"]),
        ];
        let mut add = |name: &str, rule: String| {
            let table = tables.iter_mut().find(|table| table.name == name);
            table.into_iter().for_each(|table| table.rules.push(rule.clone()));
        };
        if kind.untracks {
            let syn = "--tcp-flags FIN,SYN,RST,ACK SYN";
            add("raw", format!("-A PREROUTING {taken} {syn} -j CT --notrack"));
        }
        for (name, rule) in kind.rules {
            add(name, self.filled_in(rule));
        }
        for chain in ["INPUT", "FORWARD"] {
            let Kind { states, offer, .. } = kind;
            add(
                "filter",
                format!("-A {chain} {taken} -m conntrack --ctstate {states} -j SYNPROXY{offer}"),
            );
            add("filter", format!("-A {chain} -m conntrack --ctstate INVALID -j DROP"));
        }
        tables.retain(|table| table.name != "nat" || !table.rules.is_empty());
        Ruleset { tables }
    }

    /// A rule with the addresses in it that it names in capitals.
    fn filled_in(&self, rule: &str) -> String {
        let [_, server, _, inside] = self.addresses();
        let server = match self.family {
            Family::V4 => server.to_string(),
            Family::V6 => format!("[{server}]"),
        };
        rule.replace("SERVER", &server).replace("INSIDE", &inside.to_string())
    }
}

fn table(name: &'static str, chains: &[&str]) -> Table {
    let chains = chains.iter().map(|chain| ((*chain).to_owned(), "ACCEPT")).collect();
    Table { name, chains, rules: Vec::new() }
}

const CLIENT_PORT: u16 = 40_000;
const PUBLIC_PORT: u16 = 443;
const INNER_PORT: u16 = 8443;

const ADDRESSES: ([[u8; 4]; 4], [[u16; 8]; 4]) = (
    [[198, 51, 100, 7], [10, 0, 1, 2], [203, 0, 113, 1], [10, 0, 1, 1]],
    [
        [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 7],
        [0xfd00, 1, 0, 0, 0, 0, 0, 2],
        [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1],
        [0xfd00, 1, 0, 0, 0, 0, 0, 1],
    ],
);
