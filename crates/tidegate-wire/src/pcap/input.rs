//! A buffered source that hands out contiguous bytes and knows how far into the file they lie.
//!
//! The buffer grows only when bytes have really come to fill it, so a lying length costs no memory.

use std::io::{self, ErrorKind, Read};
use std::vec;
use std::vec::Vec;

use super::CaptureError;

pub(super) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet consumed.
    start: usize,
    end: usize,
    /// The file offset of `buffer[start]`.
    offset: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; INITIAL], start: 0, end: 0, offset: 0 }
    }

    /// The file offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `len` bytes without consuming them, or fewer if the file ends before.
    #[inline]
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        if self.end - self.start < len {
            self.fill(len).map_err(|source| CaptureError::Io { offset: self.offset, source })?;
        }
        let end = self.end.min(self.start + len);
        Ok(&self.buffer[self.start..end])
    }

    /// Consumes `len` bytes. => they have been peeked
    #[inline]
    pub(super) fn consume(&mut self, len: usize) {
        debug_assert!(len <= self.end - self.start, "only peeked bytes are consumed");
        self.start += len;
        self.offset += len as u64;
    }

    /// The last `len` bytes consumed, still there until the next `peek`.
    #[inline]
    pub(super) fn consumed(&self, len: usize) -> &[u8] {
        &self.buffer[self.start - len..self.start]
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < len {
            if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

const INITIAL: usize = 256 * 1024;
