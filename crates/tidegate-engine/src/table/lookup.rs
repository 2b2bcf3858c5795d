//! Look-ups of tuples of which something is known, one by one or many at once.

use core::net::IpAddr;

use super::express::Expected;
use super::key::{Key, Key4, Key6};
use super::{FlowTable, Hint};
use crate::flow::FlowId;
use crate::path::BURST;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

impl FlowTable {
    /// [`FlowTable::lookup`], of a tuple of which this is known in the zone's number for the original
    /// direction.
    #[inline]
    #[must_use]
    pub(crate) fn lookup_expected(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        hint: Hint,
    ) -> Option<(FlowId, Direction)> {
        self.lookup_simple(now, tuple, zone, hint).or_else(|| self.lookup_any(now, tuple, zone))
    }

    /// [`FlowTable::lookup_expected`] for tuples with ports of the default zone, as most are. `None`
    /// says nothing.
    #[inline(always)]
    pub(super) fn lookup_simple(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        hint: Hint,
    ) -> Option<(FlowId, Direction)> {
        let is_simple = zone == Zone::default() && self.one_way == 0 && self.retired_key.is_none();
        if !is_simple || !tuple.has_ports() {
            return None;
        }
        match tuple.src {
            IpAddr::V4(_) => self.living(now, (Key4::of(tuple), tuple.proto), hint),
            IpAddr::V6(_) => self.living(now, (Key6::of(tuple), tuple.proto), hint),
        }
    }

    /// What is known of some tuples before they are looked up in a zone; what that will read is asked
    /// for.
    pub(crate) fn expect_all(&self, tuples: &[Tuple], zone: Zone, hints: &mut [Hint; BURST]) {
        let mut expected = [Expected::NOWHERE; BURST];
        for (expected, tuple) in expected.iter_mut().zip(tuples) {
            *expected = self.expect_hash(self.hash(tuple, zone, Direction::Original));
        }
        let expected = expected.get(..tuples.len()).unwrap_or_default();
        self.read_ahead(expected, |number, slot, _| {
            hints[number] = Hint { hash: expected[number].hash, slot };
        });
    }
}
