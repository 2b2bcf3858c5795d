//! Who fills a table: for each class of flows the narrowest description that covers most of it.

use std::net::IpAddr;

use super::census::{Census, Class, Group, Source, Spot, Tally};
use super::facts::Facts;

/// Some flows that have something in common.
#[derive(Clone, Debug)]
pub(crate) struct Suspect {
    /// Their class.
    pub(crate) class: Class,
    /// Their source, if it is one.
    pub(crate) source: Option<Source>,
    /// Their destination, if it is one.
    pub(crate) target: Option<Spot>,
    /// Their figures.
    pub(crate) tally: Tally,
    /// So many more there may be.
    pub(crate) missed: u64,
}

impl Suspect {
    /// Who it is, on the page.
    pub(crate) fn label(&self) -> String {
        let from = match (self.source, self.tally.sources) {
            (Some(source), _) => source.to_string(),
            (None, Some((network, len))) if len >= SHORTEST_NETWORK => format!("{network}/{len}"),
            (None, _) => "many".to_owned(),
        };
        let to = self.target.map_or_else(|| "many".to_owned(), |target| target.to_string());
        format!("{from} > {to}")
    }

    /// The options of a command that mean these flows.
    pub(crate) fn options(&self) -> String {
        let mut options = self.class.options().to_owned();
        if let Some(source) = self.source {
            options += &format!(" -s {source}");
        }
        if let Some(Spot { address, port, .. }) = self.target {
            options += &format!(" -d {address}");
            if let Some(port) = port {
                options += &format!(" --dport {port}");
            }
        }
        options.trim().to_owned()
    }

    /// The address that they come from, if it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.source.map(|source| source.0)
    }
}

/// Those who hold most of a table, the largest first. They share no flow.
pub(crate) fn suspects(facts: &Facts) -> Vec<Suspect> {
    let census = &facts.census;
    let mut all: Vec<Suspect> =
        Class::ALL.into_iter().flat_map(|class| of_class(census, class)).collect();
    all.retain(|suspect| suspect.tally.flows.saturating_mul(SMALLEST_SHARE) >= census.seen);
    all.sort_by_key(|suspect| std::cmp::Reverse(suspect.tally.flows));
    all.truncate(MOST);
    all
}

/// The largest part of a class.
pub(crate) fn largest_of(census: &Census, class: Class) -> Option<Suspect> {
    of_class(census, class).into_iter().next()
}

/// A class as the groups of one kind: those of which the first is most of it, or else the first few are; the narrowest
/// kind first.
fn of_class(census: &Census, class: Class) -> Vec<Suspect> {
    let all = *census.class(class);
    let kinds = kinds(census, class);
    let is_most = |some: &[Suspect]| {
        let flows: u64 = some.iter().map(|suspect| suspect.tally.flows).sum();
        !some.is_empty() && flows * 2 >= all.flows
    };
    let by_first = kinds.iter().find(|kind| is_most(&kind[..kind.len().min(1)]));
    let found = by_first.or_else(|| kinds.iter().find(|kind| is_most(kind)));
    let everybody = || vec![Suspect { class, source: None, target: None, tally: all, missed: 0 }];
    found.cloned().unwrap_or_else(everybody).into_iter().filter(|one| one.tally.flows > 0).collect()
}

/// The largest groups of a class, of each kind.
fn kinds(census: &Census, class: Class) -> [Vec<Suspect>; 3] {
    let suspect = |source, target, group: Group<'_>| Suspect {
        class,
        source,
        target,
        tally: *group.tally,
        missed: group.missed,
    };
    let pairs = census.pairs.largest(MOST, |(of, ..), _| *of == class).into_iter();
    let sources = census.sources.largest(MOST, |(of, _), _| *of == class).into_iter();
    let targets = census.destinations.largest(MOST, |(of, _), _| *of == class).into_iter();
    [
        pairs.map(|((_, from, to), group)| suspect(Some(*from), Some(*to), group)).collect(),
        sources.map(|((_, from), group)| suspect(Some(*from), None, group)).collect(),
        targets.map(|((_, to), group)| suspect(None, Some(*to), group)).collect(),
    ]
}

/// As many are shown.
const MOST: usize = 3;
/// Whoever holds less than one part in so many is none.
const SMALLEST_SHARE: u64 = 25;
/// A network that is shorter says nothing.
const SHORTEST_NETWORK: u8 = 8;
