//! What is transferred: bytes that can be told from their place, so that one that is lost, doubled or changed is seen.

use std::io::{self, Read, Write};
use std::sync::OnceLock;

/// A stream of bytes without an end; those of another seed are others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    at: usize,
}

impl Content {
    /// The stream of a seed.
    pub(super) fn of(seed: u64) -> Self {
        Self { at: (seed % PERIOD as u64) as usize }
    }

    /// The next bytes, at most `most`.
    fn next(&mut self, most: usize) -> &'static [u8] {
        let rest = &block()[self.at..];
        let some = &rest[..most.min(rest.len())];
        self.at = (self.at + some.len()) % PERIOD;
        some
    }

    /// How many of the bytes are the next ones; all of them are taken for read.
    fn agrees(&mut self, bytes: &[u8]) -> usize {
        let mut good = 0;
        while good < bytes.len() {
            let right = self.next(bytes.len() - good);
            let same = bytes[good..].iter().zip(right).take_while(|(a, b)| a == b).count();
            good += same;
            if same < right.len() {
                break;
            }
        }
        good
    }

    /// Sends so many bytes.
    pub(super) fn send(mut self, len: u64, out: &mut impl Write) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            let some = self.next(left.min(PERIOD as u64) as usize);
            out.write_all(some)?;
            left -= some.len() as u64;
        }
        Ok(())
    }

    /// Receives so many bytes, and says how many of them came before the first one that is not right.
    pub(super) fn receive(mut self, len: u64, from: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; PERIOD];
        let mut done = 0;
        while done < len {
            let most = (len - done).min(buffer.len() as u64) as usize;
            let count = from.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let good = self.agrees(&buffer[..count]);
            done += good as u64;
            if good < count {
                return Ok(done);
            }
        }
        Ok(done)
    }

    /// The first bytes.
    pub(super) fn first(self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        // A vector takes everything.
        let _ = self.send(len as u64, &mut bytes);
        bytes
    }
}

fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..PERIOD).map(|_| draw()).collect()
    })
}

/// A prime, so that it fits no buffer and no segment.
const PERIOD: usize = 65_521;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_is_seen_where_it_is() {
        let sent = Content::of(65_000).first(200_000);
        let received = |bytes: &[u8]| Content::of(65_000).receive(200_000, &mut &*bytes);
        assert_eq!(received(&sent).ok(), Some(200_000), "nothing is damaged");
        let mut flipped = sent.clone();
        flipped[70_000] ^= 1;
        assert_eq!(received(&flipped).ok(), Some(70_000), "a bit");
        let missing = [&sent[..5000], &sent[5001..]].concat();
        assert!(
            received(&missing).is_ok_and(|good| (5000..5010).contains(&good)),
            "a byte is lost"
        );
        assert!(received(&sent[..1000]).is_err(), "the rest is missing");
        assert_ne!(Content::of(1).first(64), Content::of(2).first(64), "seeds differ");
    }
}
