//! A file as a row of blocks, each with its length and checksum.
//!
//! ```text
//! kind u16 | 0 u16 | stored u32 | raw u32 | crc32 u32 (of the twelve bytes before and what is stored) | what is stored, in LZ4
//! ```
//! Numbers are little-endian. Whoever reads knows after each block whether it is whole, and never holds more than
//! one. A block that is cut off is where the writer was interrupted.

use std::io::{self, ErrorKind, Read, Write};

use crc32fast::Hasher;

use super::fault::Cause;

/// Writes a block.
pub(super) fn write(out: &mut impl Write, kind: u16, raw: &[u8]) -> io::Result<usize> {
    let stored = lz4_flex::block::compress(raw);
    let mut head = [0; HEAD];
    head[..2].copy_from_slice(&kind.to_le_bytes());
    head[4..8].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    let sum = checksum(&head[..12], &stored);
    head[12..].copy_from_slice(&sum.to_le_bytes());
    out.write_all(&head)?;
    out.write_all(&stored)?;
    Ok(HEAD + stored.len())
}

/// Reads blocks, one after the other.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    input: R,
    stored: Vec<u8>,
    raw: Vec<u8>,
}

impl<R: Read> Blocks<R> {
    /// Those that `input` holds.
    pub(super) fn new(input: R) -> Self {
        Self { input, stored: Vec::new(), raw: Vec::new() }
    }

    /// What was read last.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What the next block is, and how long it is in the file; `None` if the file ends where one could begin.
    pub(super) fn read(&mut self) -> Result<Option<(u16, u64)>, Cause> {
        let mut head = [0; HEAD];
        match read_up_to(&mut self.input, &mut head)? {
            0 => return Ok(None),
            HEAD => {}
            _ => return Err(Cause::Cut),
        }
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (stored, raw, sum) = (word(4), word(8), word(12));
        if stored > LARGEST || raw > LARGEST {
            return Err(Cause::TooLarge(stored.max(raw)));
        }
        self.stored.resize(stored as usize, 0);
        if read_up_to(&mut self.input, &mut self.stored)? < stored as usize {
            return Err(Cause::Cut);
        }
        if checksum(&head[..12], &self.stored) != sum {
            return Err(Cause::Checksum);
        }
        self.raw.resize(raw as usize, 0);
        let len = lz4_flex::block::decompress_into(&self.stored, &mut self.raw);
        if len.ok() != Some(raw as usize) {
            return Err(Cause::Damaged("is not LZ4 of its length"));
        }
        Ok(Some((u16::from_le_bytes([head[0], head[1]]), u64::from(stored) + HEAD as u64)))
    }
}

/// Fills `buffer` as far as there is something.
pub(super) fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn checksum(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

/// Length of a block's head.
const HEAD: usize = 16;
/// No block is larger, stored or not: so much memory does a reader need.
const LARGEST: u32 = 8 << 20;
