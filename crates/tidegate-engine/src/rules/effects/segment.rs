//! What targets that edit a TCP header share: where it is, and its options one by one.

use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::tcp::HEADER_LEN;

use crate::fib::Fib;
use crate::rules::eval::RuleContext;

/// Where the checksum lies.
pub(super) const CHECKSUM: usize = 16;

/// A packet's TCP segment, to edit, and how long its header is.
pub(super) struct Segment<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) header: usize,
    /// The state of its checksum.
    pub(super) checksum: Checksum,
}

/// What there is to edit.
pub(super) enum Look<'a> {
    /// In another fragment.
    Elsewhere,
    /// The header is cut off, or lies about its length.
    Damaged,
    There(Segment<'a>),
}

/// Looks for it.
pub(super) fn look<'c, F: Fib>(ctx: &'c mut RuleContext<'_, F>) -> Look<'c> {
    if ctx.headers.fragment.is_some_and(|fragment| !fragment.is_first()) {
        return Look::Elsewhere;
    }
    let Some(start) = ctx.headers.l4 else { return Look::Damaged };
    let end = ctx.headers.len.min(ctx.bytes.len());
    let Some(bytes) = ctx.bytes.get_mut(start..end) else { return Look::Damaged };
    let header = bytes.get(12).map_or(0, |byte| 4 * usize::from(byte >> 4));
    if header < HEADER_LEN || header > bytes.len() {
        return Look::Damaged;
    }
    Look::There(Segment { bytes, header, checksum: ctx.headers.checksum })
}

/// Has the first `len` bytes of the segment in one piece, as Linux does before it changes them
/// (`skb_ensure_writable`); fragments lose their boundaries by that.
pub(super) fn gather<F: Fib>(ctx: &mut RuleContext<'_, F>, len: usize) {
    if let (Some(plan), Some(start)) = (ctx.plan.as_mut(), ctx.headers.l4) {
        plan.make_contiguous(start + len);
    }
}

impl Segment<'_> {
    /// Replaces the word at an even place and mends the checksum.
    pub(super) fn set_word(&mut self, at: usize, word: u16) {
        let old = self.word(at);
        self.put(at, word);
        self.mend(Delta::new().word(old, word));
    }

    /// Replaces a word wherever it lies. The kernel mends the checksum as if the place were even, and so makes a wrong
    /// one of a right one if it is not.
    pub(super) fn set_unaligned(&mut self, at: usize, old: u16, new: u16) {
        self.put(at, new);
        self.mend(Delta::new().word(old, new));
    }

    /// Replaces a byte, and mends the checksum.
    pub(super) fn set_byte(&mut self, at: usize, byte: u8) {
        let even = at & !1;
        let [high, low] = self.word(even).to_be_bytes();
        let pair = if at == even { [byte, low] } else { [high, byte] };
        self.set_word(even, u16::from_be_bytes(pair));
    }

    fn mend(&mut self, delta: Delta) {
        let checksum = self.checksum.mended(self.word(CHECKSUM), Delta::new(), delta);
        self.put(CHECKSUM, checksum);
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn put(&mut self, at: usize, word: u16) {
        self.bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }

    /// The length of the option at a place, as the kernel steps: end-of-list and no-operation are one byte, a length
    /// of 0 counts as one.
    pub(super) fn option_len(&self, at: usize) -> usize {
        match self.bytes[at] {
            0 | 1 => 1,
            _ => usize::from(self.bytes[at + 1]).max(1),
        }
    }
}
