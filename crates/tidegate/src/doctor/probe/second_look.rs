//! Looking again at UDP flows that wait for an answer: whose life is no shorter than a while ago, its sender still
//! speaks.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_wire::netlink::Family;

use super::super::census::{Backend, Unheard};
use crate::client::names::bit;
use crate::client::{Flow, Place, Table, kept};
use crate::cmd::get;

/// How long to wait: a life is told in whole seconds, so those that were seen last must have lost one by then. Both times
/// are since the same start.
pub(super) fn wait(last_seen: Option<Duration>, now: Duration) -> Duration {
    last_seen.map_or(Duration::ZERO, |seen| (seen + APART).saturating_sub(now))
}

/// Where those go that still speak and are not answered, and how many they are.
pub(super) fn refreshed(place: &Place, unheard: &[Unheard]) -> Vec<(Backend, u64)> {
    if let Place::File(_) = place {
        return Vec::new();
    }
    let request = |flow: &Unheard| {
        let is_v4 = flow.tuple.src.is_some_and(|address| address.is_ipv4());
        let family = if is_v4 { tidegate_wire::Family::V4 } else { tidegate_wire::Family::V6 };
        get::request(Family::of(family), flow.tuple.clone(), flow.zone, false)
    };
    let requests: Vec<_> = unheard.iter().map(request).collect();
    let outcomes = Table::open(place).and_then(|mut table| table.exchange(&requests));
    let mut backends: BTreeMap<Backend, u64> = BTreeMap::new();
    for (flow, outcome) in unheard.iter().zip(outcomes.unwrap_or_default()) {
        let Some(message) = outcome.data.as_deref().and_then(kept) else { continue };
        let Ok(now) = Flow::parse(&message) else { continue };
        if now.timeout >= Some(flow.left) && !now.has(bit::SEEN_REPLY) {
            *backends.entry(flow.backend).or_default() += 1;
        }
    }
    backends.into_iter().collect()
}

/// Between the two looks at a flow.
const APART: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_late_in_a_long_listing_is_waited_for() {
        let seconds = Duration::from_secs;
        let rows = [(None, 0, 0), (Some(0), 1, 1), (Some(9), 10, 1), (Some(1), 10, 0)];
        for (seen, now, expected) in rows {
            assert_eq!(wait(seen.map(seconds), seconds(now)), seconds(expected), "{seen:?} {now}");
        }
    }
}
