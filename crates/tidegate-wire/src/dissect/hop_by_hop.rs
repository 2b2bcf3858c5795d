//! The hop-by-hop options header, the one extension header that Linux reads before any hook
//! (`ipv6_parse_hopopts`).
//!
//! Options that ask to be skipped are skipped; any other that is unknown drops the datagram. The
//! limits are the kernel's defaults (`max_hbh_opts_number` 8, no limit of length); IOAM is taken as
//! disabled and CALIPSO as without a domain, which is how a kernel starts.

use super::Malformed;
use crate::packet::ipv6::HEADER_LEN;

/// Checks the hop-by-hop header right behind the fixed header of `datagram` (without padding) and
/// returns the datagram's length if it is a jumbogram.
pub(super) fn check(datagram: &[u8]) -> Result<Option<usize>, Malformed> {
    let len = datagram.get(HEADER_LEN + 1).ok_or(Malformed::BadHopByHop)?;
    let end = HEADER_LEN + (usize::from(*len) + 1) * 8;
    let mut walk = Walk { datagram, at: HEADER_LEN + 2, end, padding: 0, options: 0, jumbo: None };
    if end > datagram.len() {
        return Err(Malformed::BadHopByHop);
    }
    while walk.at < walk.end {
        walk.step().ok_or(Malformed::BadHopByHop)?;
    }
    Ok(walk.jumbo)
}

struct Walk<'a> {
    datagram: &'a [u8],
    at: usize,
    end: usize,
    /// Bytes of padding since the last option proper.
    padding: usize,
    options: usize,
    jumbo: Option<usize>,
}

impl Walk<'_> {
    /// Takes one option; `None` if it is a reason to drop the datagram.
    fn step(&mut self) -> Option<()> {
        let left = self.datagram.get(self.at..self.end)?;
        let kind = *left.first()?;
        if kind == PAD1 {
            return self.pad(1);
        }
        let len = usize::from(*left.get(1)?) + 2;
        let data = left.get(2..len)?;
        if kind == PADN {
            return data.iter().all(|byte| *byte == 0).then(|| self.pad(len))?;
        }
        self.options += 1;
        if self.options > MAX_OPTIONS || !self.accept(kind, data) {
            return None;
        }
        self.padding = 0;
        self.at += len;
        Some(())
    }

    fn pad(&mut self, len: usize) -> Option<()> {
        self.padding += len;
        self.at += len;
        (self.padding <= MAX_PADDING).then_some(())
    }

    fn accept(&mut self, kind: u8, data: &[u8]) -> bool {
        match kind {
            ROUTER_ALERT => data.len() == 2,
            IOAM => self.at.is_multiple_of(4),
            CALIPSO => false,
            JUMBO => self.jumbo(data),
            // RFC 8200 section 4.2: the two highest bits say what to do with an unknown option; 00
            // is "skip".
            _ => kind & 0xc0 == 0,
        }
    }

    /// RFC 2675 section 3.
    fn jumbo(&mut self, data: &[u8]) -> bool {
        let Ok(octets) = <[u8; 4]>::try_from(data) else { return false };
        let len = u32::from_be_bytes(octets);
        let payload_len = [self.datagram[4], self.datagram[5]];
        self.jumbo = usize::try_from(len).ok().and_then(|len| len.checked_add(HEADER_LEN));
        self.at % 4 == 2 && len > 0xffff && payload_len == [0, 0]
    }
}

const PAD1: u8 = 0;
const PADN: u8 = 1;
const ROUTER_ALERT: u8 = 5;
const CALIPSO: u8 = 7;
const IOAM: u8 = 49;
const JUMBO: u8 = 194;

const MAX_OPTIONS: usize = 8;
const MAX_PADDING: usize = 7;
