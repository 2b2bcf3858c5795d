//! One incomplete datagram: what has arrived of it, and what may still be added.
//!
//! The data lies in *runs* of fragments that came one right after the other at the then end of the
//! datagram; any other fragment is a run of its own, and runs are never joined. That decides what
//! is a duplicate: a fragment all of whose bytes lie within one run. Any other overlap is fatal.
//! The content is never compared.
//!
//! A queue judges neither families nor memory; it only knows what it costs.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{FragmentError, Place};
use crate::time::Instant;

/// A fragment on its way into a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    /// The identification that all fragments of the datagram share.
    pub(super) id: u32,
    /// Where its data lies in the datagram's, in bytes.
    pub(super) offset: usize,
    /// Whether more fragments follow.
    pub(super) more: bool,
    /// All that comes before the data; IPv6's fragment header is its end.
    pub(super) header: &'a [u8],
    /// The data.
    pub(super) data: &'a [u8],
    /// Whether it must not be cut further.
    pub(super) dont_fragment: bool,
    /// The ECN codepoint, 0 to 3 (RFC 3168 section 5).
    pub(super) ecn: u8,
}

impl Arrival<'_> {
    /// A fragment's cost beside its bytes, about what Linux accounts for an `sk_buff`.
    const OVERHEAD: u64 = 512;

    /// What holding it costs.
    pub(super) fn cost(&self) -> u64 {
        Self::OVERHEAD + self.size() as u64
    }

    /// Whether the next one couldn't follow on it. IPv4's are trimmed before they get here.
    pub(super) fn is_misaligned(&self) -> bool {
        self.more && !self.data.len().is_multiple_of(8)
    }

    fn size(&self) -> usize {
        self.header.len() + self.data.len()
    }

    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

/// What has arrived of a datagram.
#[derive(Debug)]
pub(super) struct Queue {
    place: Place,
    deadline: Instant,
    /// What came before the first fragment's data.
    head: Option<Vec<u8>>,
    runs: BTreeMap<usize, Run>,
    /// Bytes in all runs.
    received: usize,
    /// Where the data ends, as far as it is known.
    end: usize,
    last_seen: bool,
    /// One bit for each ECN codepoint seen.
    ecn: u8,
    max_size: usize,
    max_df_size: usize,
    cost: u64,
    /// How many fragments of its source had come when the last of this datagram did.
    passed: u32,
}

/// Fragments without a gap between them.
#[derive(Debug)]
struct Run {
    len: usize,
    pieces: Vec<Vec<u8>>,
}

impl Run {
    fn of(data: &[u8]) -> Self {
        Self { len: data.len(), pieces: Vec::from([data.to_vec()]) }
    }

    fn append(&mut self, data: &[u8]) {
        self.len += data.len();
        self.pieces.push(data.to_vec());
    }
}

impl Queue {
    /// A queue's cost without its fragments.
    pub(super) const OVERHEAD: u64 = 512;

    pub(super) fn new(place: Place, deadline: Instant) -> Self {
        Self {
            place,
            deadline,
            head: None,
            runs: BTreeMap::new(),
            received: 0,
            end: 0,
            last_seen: false,
            ecn: 0,
            max_size: 0,
            max_df_size: 0,
            cost: Self::OVERHEAD,
            passed: 0,
        }
    }

    /// Notes that the source's fragment of this number is one of the datagram; how many later it is
    /// than the one before, if there is one.
    pub(super) fn pass(&mut self, passed: u32) -> Option<u32> {
        let distance = passed.wrapping_sub(core::mem::replace(&mut self.passed, passed));
        (!self.runs.is_empty()).then_some(distance)
    }

    /// Forgets what has arrived, but not how large the largest fragment was; what that had cost.
    pub(super) fn restart(&mut self, deadline: Instant) -> u64 {
        let begun = Self::new(self.place, deadline);
        let freed = self.cost - begun.cost;
        let Self { max_size, max_df_size, passed, .. } = *self;
        *self = Self { max_size, max_df_size, passed, ..begun };
        freed
    }

    /// Adds a fragment. After an error the data is as before, but the end may have become known.
    pub(super) fn push(
        &mut self,
        place: Place,
        arrival: &Arrival<'_>,
    ) -> Result<(), FragmentError> {
        self.extend(arrival)?;
        if arrival.data.is_empty() {
            return Err(FragmentError::BadLength);
        }
        self.insert(arrival)?;
        self.place = place;
        self.note(arrival);
        Ok(())
    }

    /// Whether no byte is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.head.is_some() && self.last_seen && self.received == self.end
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where the latest fragment was.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Length of the data, as far as it is known.
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// What came before the first fragment's data; empty if that one hasn't arrived.
    pub(super) fn head(&self) -> &[u8] {
        self.head.as_deref().unwrap_or_default()
    }

    /// The fragments' data, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.runs.values().flat_map(|run| &run.pieces).map(Vec::as_slice)
    }

    /// The first fragment as it came, less what was trimmed from its end.
    pub(super) fn first_fragment(&self) -> Option<Vec<u8>> {
        let head = self.head.as_deref()?;
        let data = self.pieces().next()?;
        Some([head, data].concat())
    }

    /// Size of the largest fragment.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Whether the largest fragment must not be cut.
    pub(super) fn dont_fragment(&self) -> bool {
        self.max_df_size == self.max_size
    }

    /// What the datagram's ECN field gets in addition to the first fragment's (RFC 3168 section
    /// 5.3).
    pub(super) fn congestion(&self) -> Result<u8, FragmentError> {
        const NOT_ECT: u8 = 1 << 0b00;
        const MARKED: u8 = 1 << CE;
        match self.ecn {
            NOT_ECT => Ok(0),
            seen if seen & NOT_ECT != 0 => Err(FragmentError::Ecn),
            seen if seen & MARKED != 0 => Ok(CE),
            _ => Ok(0),
        }
    }

    /// Learns where the datagram ends, or at least reaches.
    fn extend(&mut self, arrival: &Arrival<'_>) -> Result<(), FragmentError> {
        let end = arrival.end();
        let fits = match (arrival.more, self.last_seen) {
            (true, true) => end <= self.end,
            (true, false) => true,
            (false, true) => end == self.end,
            (false, false) => end >= self.end,
        };
        if !fits {
            return Err(FragmentError::BadLength);
        }
        self.last_seen |= !arrival.more;
        self.end = self.end.max(end);
        Ok(())
    }

    fn insert(&mut self, arrival: &Arrival<'_>) -> Result<(), FragmentError> {
        let (start, end) = (arrival.offset, arrival.end());
        let last = self.runs.last_key_value().map(|(run_start, _)| *run_start);
        if let Some((&run_start, run)) = self.runs.range_mut(..end).next_back() {
            let run_end = run_start + run.len;
            if start < run_end {
                let within = run_start <= start && end <= run_end;
                return Err(if within { FragmentError::Duplicate } else { FragmentError::Overlap });
            }
            if start == run_end && last == Some(run_start) {
                run.append(arrival.data);
                return Ok(());
            }
        }
        self.runs.insert(start, Run::of(arrival.data));
        Ok(())
    }

    fn note(&mut self, arrival: &Arrival<'_>) {
        self.received += arrival.data.len();
        self.cost += arrival.cost();
        self.ecn |= 1 << arrival.ecn;
        self.max_size = self.max_size.max(arrival.size());
        if arrival.dont_fragment {
            self.max_df_size = self.max_df_size.max(arrival.size());
        }
        if arrival.offset == 0 {
            self.head = Some(arrival.header.to_vec());
        }
    }
}

/// The ECN codepoint "congestion experienced".
const CE: u8 = 0b11;
