//! The table, watched from outside: which entries there are, and what is told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::Value;

use super::entry::{Entry, event_text};
use super::expectation;
use super::netlink::{Message, Netlink};

/// All entries by the kernel's names of them.
pub(super) type Entries = BTreeMap<u64, Entry>;

/// Keeps a list of the entries that were announced, to ask for each of them: to dump the table
/// would walk all the buckets of the machine.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Requests for the entries that are announced and not yet dead.
    live: BTreeMap<u64, Vec<u8>>,
    /// Entries that died since the last [`Watch::forget_the_dead`].
    died: BTreeSet<u64>,
    /// Whether there may be entries that nobody announced.
    is_partial: bool,
}

impl Watch {
    /// The events since the last look, as the format has them.
    pub(super) fn events(&mut self, netlink: &mut Netlink) -> io::Result<Vec<String>> {
        let mut events = Vec::new();
        for message in netlink.heard()? {
            events.extend(self.event(message));
        }
        Ok(events)
    }

    fn event(&mut self, message: Message) -> Option<String> {
        let name = match message.kind {
            NEW | EXPECT if message.flags & CREATED != 0 => "NEW",
            NEW | EXPECT => "UPDATE",
            DELETE | UNEXPECT => "DESTROY",
            _ => return None,
        };
        if matches!(message.kind, EXPECT | UNEXPECT) {
            return Some(expectation::event_text(name, &expectation::value(&message.body)));
        }
        let entry = Entry::new(message.body);
        let id = entry.id()?;
        if name == "DESTROY" {
            self.live.remove(&id);
            self.died.insert(id);
        } else {
            self.live.insert(id, entry.request());
        }
        Some(event_text(name, &entry.value()))
    }

    /// All entries. Expired ones are evicted by that, as they would be by any other look.
    pub(super) fn entries(&self, netlink: &mut Netlink) -> io::Result<Entries> {
        if self.is_partial {
            return all_entries(netlink);
        }
        let found = netlink.find_all(GET, self.live.values())?;
        Ok(by_id(found))
    }

    /// Rules that may keep events back were loaded.
    pub(super) fn look_everywhere(&mut self) {
        self.is_partial = true;
    }

    /// Whether there may be entries that nobody announced.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub(super) fn forget_the_dead(&mut self) {
        self.died.clear();
    }

    /// Forgets that these died.
    pub(super) fn forget(&mut self, expired: &BTreeSet<u64>) {
        self.died.retain(|id| !expired.contains(id));
    }

    /// Those that died since [`Watch::forget_the_dead`].
    pub(super) fn dead(&self) -> &BTreeSet<u64> {
        &self.died
    }

    pub(super) fn has_died(&self, id: u64) -> bool {
        self.died.contains(&id)
    }
}

/// All expectations of the namespace, as the format has them.
pub(super) fn expectations(netlink: &mut Netlink) -> io::Result<Vec<Value>> {
    let found = netlink.dump(GET_EXPECTATIONS)?;
    Ok(found.iter().map(|message| expectation::value(&message.body)).collect())
}

/// All entries of the namespace, announced or not.
pub(super) fn all_entries(netlink: &mut Netlink) -> io::Result<Entries> {
    Ok(by_id(netlink.dump(GET)?))
}

/// Deletes all entries.
pub(super) fn flush(netlink: &mut Netlink) -> io::Result<()> {
    netlink.command(DELETE, super::netlink::generic(0))
}

/// Deletes one entry.
pub(super) fn delete(netlink: &mut Netlink, entry: &Entry) -> io::Result<()> {
    netlink.command(DELETE, entry.deletion())
}

/// Gives an entry a mark.
pub(super) fn mark(netlink: &mut Netlink, entry: &Entry, mark: u32) -> io::Result<()> {
    netlink.command(NEW, entry.marking(mark))
}

/// The counters of `conntrack -S`, summed over the processors.
pub(super) fn statistics(netlink: &mut Netlink) -> io::Result<Value> {
    let mut sums = BTreeMap::from(STATISTICS.map(|(_, name)| (name, 0u64)));
    for message in netlink.dump(STATISTICS_BY_CPU)? {
        let attributes = super::netlink::Attributes::of_body(&message.body);
        for (kind, name) in STATISTICS {
            *sums.entry(name).or_default() += attributes.number(kind).unwrap_or_default();
        }
    }
    Ok(sums.into_iter().map(|(name, sum)| (name.to_owned(), Value::from(sum))).collect())
}

fn by_id(messages: Vec<Message>) -> Entries {
    let entries = messages.into_iter().map(|message| Entry::new(message.body));
    entries.filter_map(|entry| Some((entry.id()?, entry))).collect()
}

// `enum cntl_msg_types` of linux/netfilter/nfnetlink_conntrack.h.
const NEW: u16 = 1 << 8;
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const STATISTICS_BY_CPU: u16 = 1 << 8 | 4;
const EXPECT: u16 = 2 << 8;
const GET_EXPECTATIONS: u16 = 2 << 8 | 1;
const UNEXPECT: u16 = 2 << 8 | 2;
/// `NLM_F_CREATE | NLM_F_EXCL`
const CREATED: u16 = 0x600;

/// `enum ctattr_stats_cpu`, those that are alike on one and many processors.
const STATISTICS: [(u16, &str); 7] = [
    (2, "found"),
    (4, "invalid"),
    (8, "insert"),
    (9, "insert_failed"),
    (10, "drop"),
    (11, "early_drop"),
    (12, "error"),
];
