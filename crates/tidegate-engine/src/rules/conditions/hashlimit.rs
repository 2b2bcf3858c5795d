//! `-m hashlimit`: a token bucket for each address, port or pair of them. Linux: `xt_hashlimit`.
//!
//! The buckets of a table are shared by all rules of a family that name it; how it counts is what the first of them
//! said. A table is bounded: a packet that needs a bucket beyond its last is dropped, as in the kernel. Buckets that
//! nobody asked for go when their time is over, at the next collection.

mod bucket;
mod options;

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt::{self, Formatter};
use core::net::IpAddr;
use core::time::Duration;

use bitflags::bitflags;
use tidegate_wire::{Family, proto};

use super::{Condition, Memory, addressed};
use crate::fib::Fib;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::error::{CheckError, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::OptionSpec;
use crate::time::Instant;

use self::bucket::Bucket;

/// `-m hashlimit`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct HashLimit {
    name: String,
    /// Holds for what is beyond the rate, not for what keeps to it.
    above: bool,
    rate: Rate,
    mode: Mode,
    /// Bits of an address.
    width: u32,
    /// Prefix lengths.
    masks: (u32, u32),
    capacity: Capacity,
    /// Milliseconds.
    expire: u32,
    collect: u32,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// The price of a packet in millionths of a second; by bytes, in the kernel's measure.
    price: u64,
    burst: u32,
    by_bytes: bool,
    /// `--hashlimit-rate-match`: compare the rate over so many seconds, without a bucket.
    interval: Option<u32>,
}

/// How many buckets; `None` for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Capacity {
    size: Option<u32>,
    max: Option<u32>,
}

bitflags! {
    /// What has a bucket of its own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Mode: u8 {
        const SOURCE = 1;
        const SOURCE_PORT = 2;
        const DESTINATION = 4;
        const DESTINATION_PORT = 8;
    }
}

/// Chains of a table if a rule doesn't say; the kernel takes this on a machine of more than a gigabyte.
const SIZE: u32 = 8192;
/// Linux: `HASHLIMIT_MAX_SIZE`.
const SIZE_MAX: u32 = 1 << 20;

impl Condition for HashLimit {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = options::OPTIONS;

    const PURE: bool = false;

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        options::parse(family, clause)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        options::write(self, f)
    }

    fn check(&self, _: Setting, _: &Rule) -> Result<(), Fault> {
        if self.rate.overflows() {
            return Err(Fault::new("hashlimit", CheckError::LimitOverflow));
        }
        Ok(())
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), memory: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let name = (ctx.headers.family, self.name.as_str());
        let Some(table) = memory.hashlimit_mut(name) else { return Fit::Unreadable };
        let Some(key) = table.config.key(ctx) else { return Fit::Unreadable };
        table.collect(ctx.now);
        // The price is the table's, what is paid for the rule's.
        let Rate { by_bytes, interval, .. } = self.rate;
        let rate = Rate { by_bytes, interval, ..table.config.rate };
        let Some(bucket) = table.bucket(key, ctx.now) else { return Fit::Unreadable };
        let below = bucket.take(&rate, ctx.headers.len);
        (below != self.above).into()
    }
}

impl HashLimit {
    /// The table's name.
    pub(in crate::rules) fn table_name(&self) -> &str {
        &self.name
    }

    /// A table as this rule would make it.
    pub(in crate::rules) fn new_table(&self) -> Buckets {
        Buckets { config: self.clone(), buckets: BTreeMap::new(), collected: None }
    }

    fn most(&self) -> usize {
        let size = self.capacity.size.unwrap_or(SIZE).min(SIZE_MAX);
        let max = self.capacity.max.map_or(8 * size, |max| max.min(SIZE_MAX).max(size));
        max as usize
    }

    /// What a packet's bucket is known by; `None`: it lacks the ports.
    fn key<F: Fib>(&self, ctx: &RuleContext<'_, F>) -> Option<Key> {
        let (source, destination) = (ctx.headers.src, ctx.headers.dst);
        let part = |wanted, address, length| {
            self.mode.contains(wanted).then(|| addressed::prefix_of(address, length))
        };
        let mut key = Key {
            source: part(Mode::SOURCE, source, self.masks.0),
            destination: part(Mode::DESTINATION, destination, self.masks.1),
            ports: (0, 0),
        };
        if !self.mode.intersects(Mode::SOURCE_PORT | Mode::DESTINATION_PORT) {
            return Some(key);
        }
        let (source, destination) = ports(ctx)?;
        let pick = |wanted, port| if self.mode.contains(wanted) { port } else { 0 };
        key.ports = (pick(Mode::SOURCE_PORT, source), pick(Mode::DESTINATION_PORT, destination));
        Some(key)
    }
}

/// Zeros for a protocol without ports. Linux: `proto_ports_offset`.
fn ports<F: Fib>(ctx: &RuleContext<'_, F>) -> Option<(u16, u16)> {
    let at = match ctx.headers.proto {
        proto::TCP | proto::UDP | proto::DCCP | proto::ESP | proto::SCTP | proto::UDPLITE => 0,
        proto::AH => 4,
        _ => return Some((0, 0)),
    };
    let [a, b, c, d] = *ctx.upper_layer().get(at..)?.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: (u16, u16),
}

/// A table of buckets.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Buckets {
    config: HashLimit,
    buckets: BTreeMap<Key, Bucket>,
    /// When expired buckets were thrown away last.
    collected: Option<Instant>,
}

impl Buckets {
    fn collect(&mut self, now: Instant) {
        let last = *self.collected.get_or_insert(now);
        let interval = Duration::from_millis(self.config.collect.into());
        if now < last + interval {
            return;
        }
        let passed = now.saturating_sub(last).as_nanos() / interval.as_nanos().max(1);
        let ticks = u32::try_from(passed).unwrap_or(u32::MAX);
        let tick = last + interval.saturating_mul(ticks);
        self.buckets.retain(|_, bucket| bucket.expires > tick);
        self.collected = Some(tick);
    }

    /// The bucket of a key; `None`: there are too many.
    fn bucket(&mut self, key: Key, now: Instant) -> Option<&mut Bucket> {
        let Self { config, buckets, .. } = self;
        if !buckets.contains_key(&key) && buckets.len() >= config.most() {
            return None;
        }
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::new(&config.rate, now));
        bucket.expires = now + Duration::from_millis(config.expire.into());
        bucket.fill(&config.rate, now);
        Some(bucket)
    }
}
