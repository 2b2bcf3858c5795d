//! An open file: text that is made as it is read.
//!
//! Readers read from front to back, nearly always; so the text is not kept, but for the piece read last, which a
//! reader may ask for again. Who goes back further begins anew, and may find another table.

use std::io::{self, Read};

/// One reader's place in a file.
pub(super) struct Reading {
    text: Box<dyn Read + Send>,
    /// The piece handed out last.
    last: Vec<u8>,
    /// Where that piece begins, in bytes from the file's beginning.
    at: u64,
}

/// What became of a request for a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// There it is; short only at the file's end.
    Here(Vec<u8>),
    /// It lies before what can still be told.
    Behind,
}

impl Reading {
    pub(super) fn new(text: Box<dyn Read + Send>) -> Self {
        Self { text, last: Vec::new(), at: 0 }
    }

    /// Reads `len` bytes from `offset` on.
    ///
    /// # Errors
    /// Those of the text.
    pub(super) fn read(&mut self, offset: u64, len: usize) -> io::Result<Piece> {
        let Some(skipped) = offset.checked_sub(self.at) else { return Ok(Piece::Behind) };
        let end = self.last.len() as u64;
        if skipped > end {
            self.skip(skipped - end)?;
        } else {
            // An end that can't be reached is no place in memory either, but this one has been read.
            self.last.drain(..skipped as usize);
        }
        self.at = offset;
        let missing = len.saturating_sub(self.last.len()) as u64;
        (&mut self.text).take(missing).read_to_end(&mut self.last)?;
        Ok(Piece::Here(self.last[..len.min(self.last.len())].to_vec()))
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.last.clear();
        io::copy(&mut (&mut self.text).take(count), &mut io::sink())?;
        Ok(())
    }
}
