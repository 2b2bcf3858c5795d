//! What NAT will ask of the table about flows that are about to begin, read ahead for a burst of them.

use super::ahead::{self, Expected};
use super::{FlowTable, Spot, key};
use crate::path::{BURST, NEAR};
use crate::tuple::Tuple;

impl FlowTable {
    /// Has read into the cache, all at once each time, what NAT will ask about flows of the default zone, at most a burst:
    /// who has the source of each of these tuples, and whose the reply is, where one is foreseen.
    pub(crate) fn foresee(&self, flows: impl Iterator<Item = (Tuple, Option<Tuple>)>) {
        let mut expected = [Expected::NOWHERE; BURST];
        let mut buckets = [0; BURST];
        let mut count = 0;
        for (((tuple, reply), expected), bucket) in flows.zip(&mut expected).zip(&mut buckets) {
            *bucket = self.sources.ask(&tuple);
            if let Some(reply) = reply {
                *expected = self.expect_hash(key::hash(&self.key, &reply, 0));
            }
            count += 1;
        }
        ahead::ask(&expected[..count]);
        self.read_ahead(&expected[..count], &mut [Spot::NOWHERE; BURST + NEAR], |_, _| {});
        for bucket in &buckets[..count] {
            self.sources.read_ahead(&self.slab, *bucket);
        }
    }
}
