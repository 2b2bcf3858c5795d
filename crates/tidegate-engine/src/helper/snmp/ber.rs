//! The encoding of SNMP's messages (X.690, RFC 3416), as far as it takes to find the addresses in them.
//!
//! As lax as the kernel's decoder (`asn1_ber_decoder`): PDUs of several kinds may follow each other, a
//! variable may have values of several types or none, but a list of variables is not empty.

use alloc::vec::Vec;
use core::ops::Range;

use super::ADDRESS_LEN;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const IP_ADDRESS: u8 = 0x40;
const CONSTRUCTED: u8 = 0x20;
/// Tags of more than one octet.
const LONG_TAG: u8 = 0x1f;
const NEWEST_VERSION: u8 = 1;

/// The tags of PDUs, in the order in which they are looked for. A trap of version 1 (4) is none.
const PDUS: [u8; 8] = [0xa0, 0xa1, 0xa5, 0xa2, 0xa3, 0xa6, 0xa7, 0xa8];

/// The tags of values, in the order in which they are looked for, and whether one is looked for only
/// if none was found just before.
const VALUES: [(u8, bool); 13] = [
    (INTEGER, false),
    (OCTET_STRING, true),
    (OBJECT_IDENTIFIER, true),
    (IP_ADDRESS, false),
    (0x41, false),
    (0x43, false),
    (0x44, false),
    (0x46, false),
    (0x42, false),
    (NULL, true),
    (0x80, true),
    (0x81, true),
    (0x82, true),
];

/// No message of a version that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where in a message the addresses are.
pub(super) fn addresses(message: &[u8]) -> Result<Vec<usize>, Malformed> {
    let mut reader = Reader { message, at: 0, end: message.len(), found: Vec::new() };
    reader.message()?;
    Ok(reader.found)
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    /// Where the innermost part ends whose length is known.
    end: usize,
    found: Vec<usize>,
}

/// How a part ends that is being read.
enum Level {
    /// Where it should; the outer part ends there.
    Definite(usize),
    /// With two zeros.
    Indefinite,
}

impl Reader<'_> {
    fn message(&mut self) -> Result<(), Malformed> {
        let message = self.enter(SEQUENCE)?.ok_or(Malformed)?;
        let version = self.primitive(INTEGER)?.ok_or(Malformed)?;
        match self.message[version] {
            [version] if version <= NEWEST_VERSION => {}
            _ => return Err(Malformed),
        }
        self.primitive(OCTET_STRING)?.ok_or(Malformed)?;
        let mut is_known = true;
        for tag in PDUS {
            if self.at == self.end {
                continue;
            }
            let pdu = self.enter(tag)?;
            is_known = pdu.is_some();
            if let Some(pdu) = pdu {
                self.pdu()?;
                self.leave(pdu)?;
            }
        }
        if !is_known {
            return Err(Malformed);
        }
        self.leave(message)
    }

    fn pdu(&mut self) -> Result<(), Malformed> {
        for _ in 0..3 {
            self.primitive(INTEGER)?.ok_or(Malformed)?;
        }
        let variables = self.enter(SEQUENCE)?.ok_or(Malformed)?;
        loop {
            self.variable()?;
            if !self.goes_on(&variables)? {
                return self.leave(variables);
            }
        }
    }

    fn variable(&mut self) -> Result<(), Malformed> {
        let variable = self.enter(SEQUENCE)?.ok_or(Malformed)?;
        self.primitive(OBJECT_IDENTIFIER)?.ok_or(Malformed)?;
        let mut is_known = true;
        for (tag, is_alternative) in VALUES {
            if self.at == self.end || is_alternative && is_known {
                continue;
            }
            let value = self.primitive(tag)?;
            is_known = value.is_some();
            if let Some(value) = value.filter(|_| tag == IP_ADDRESS) {
                if value.len() != ADDRESS_LEN {
                    return Err(Malformed);
                }
                self.found.push(value.start);
            }
        }
        if !is_known {
            return Err(Malformed);
        }
        self.leave(variable)
    }

    /// A value, if the next one is of the tag.
    fn primitive(&mut self, tag: u8) -> Result<Option<Range<usize>>, Malformed> {
        if self.tag()? != tag {
            return Ok(None);
        }
        self.at += 1;
        let len = self.length()?.ok_or(Malformed)?;
        let value = self.at..self.at + len;
        self.at = value.end;
        Ok(Some(value))
    }

    /// Begins to read a part, if the next one is of the tag. It need not say that it is constructed.
    fn enter(&mut self, tag: u8) -> Result<Option<Level>, Malformed> {
        let found = self.tag()?;
        if found | CONSTRUCTED != tag {
            return Ok(None);
        }
        self.at += 1;
        match self.length()? {
            Some(len) => {
                let end = self.at + len;
                Ok(Some(Level::Definite(core::mem::replace(&mut self.end, end))))
            }
            None if found & CONSTRUCTED != 0 && self.end - self.at >= 2 => {
                Ok(Some(Level::Indefinite))
            }
            None => Err(Malformed),
        }
    }

    fn goes_on(&self, level: &Level) -> Result<bool, Malformed> {
        match level {
            Level::Definite(_) => Ok(self.at < self.end),
            Level::Indefinite if self.end - self.at < 2 => Err(Malformed),
            Level::Indefinite => Ok(self.message[self.at] != 0),
        }
    }

    fn leave(&mut self, level: Level) -> Result<(), Malformed> {
        match level {
            Level::Definite(outer) if self.at == self.end => self.end = outer,
            Level::Indefinite if self.message[self.at..self.end].starts_with(&[0, 0]) => {
                self.at += 2;
            }
            Level::Definite(_) | Level::Indefinite => return Err(Malformed),
        }
        Ok(())
    }

    /// The next tag, behind which there must be another octet.
    fn tag(&self) -> Result<u8, Malformed> {
        match self.message[self.at..self.end] {
            [tag, _, ..] if tag & LONG_TAG != LONG_TAG => Ok(tag),
            _ => Err(Malformed),
        }
    }

    /// A length that is there; `None` if it is told at the end.
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        const INDEFINITE: usize = 0x80;
        const MOST_OCTETS: usize = 2;
        let first = usize::from(self.message[self.at]);
        self.at += 1;
        if first == INDEFINITE {
            return Ok(None);
        }
        let octets = first.saturating_sub(INDEFINITE);
        if octets > MOST_OCTETS || octets > self.end - self.at {
            return Err(Malformed);
        }
        let told = &self.message[self.at..self.at + octets];
        let long = told.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
        let len = if octets == 0 { first } else { long };
        self.at += octets;
        if len > self.end - self.at { Err(Malformed) } else { Ok(Some(len)) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// A part of the tag.
    fn part(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = alloc::vec![tag, content.len() as u8];
        bytes.extend(content);
        bytes
    }

    fn variable(values: &[u8]) -> Vec<u8> {
        part(SEQUENCE, &[&[6, 1, 0x2b], values].concat())
    }

    fn message(version: u8, tag: u8, variables: &[u8]) -> Vec<u8> {
        let pdu = [&[2, 1, 1, 2, 1, 0, 2, 1, 0][..], &part(SEQUENCE, variables)].concat();
        part(SEQUENCE, &[&[2, 1, version, 4, 1, b'p'][..], &part(tag, &pdu)].concat())
    }

    const ADDRESS: &[u8] = &[IP_ADDRESS, 4, 10, 0, 1, 2];

    #[test]
    fn what_is_no_message_is_told_as_the_kernel_does() {
        let address = variable(ADDRESS);
        let several = variable(&[&[2, 1, 7][..], ADDRESS, &[0x41, 1, 1, 5, 0]].concat());
        let rows: [(&str, Vec<u8>, Option<usize>); 13] = [
            ("a response", message(0, 0xa2, &address), Some(1)),
            ("version 2", message(1, 0xa2, &address), Some(1)),
            ("version 3", message(2, 0xa2, &address), None),
            ("a trap of version 2", message(1, 0xa7, &address), Some(1)),
            ("one of version 1", message(0, 0xa4, &address), None),
            ("two variables", message(0, 0xa2, &[&address[..], &address].concat()), Some(2)),
            ("no variable", message(0, 0xa2, &[]), None),
            ("no value", message(0, 0xa2, &variable(&[])), Some(0)),
            ("several", message(0, 0xa2, &several), Some(1)),
            ("in the wrong order", message(0, 0xa2, &variable(&[5, 0, 2, 1, 7])), None),
            ("a short address", message(0, 0xa2, &variable(&[IP_ADDRESS, 3, 1, 2, 3])), None),
            ("a PDU that denies its nature", message(0, 0x82, &address), Some(1)),
            ("behind the end", [message(0, 0xa2, &address), vec![0xff]].concat(), Some(1)),
        ];
        for (what, bytes, expected) in rows {
            let found = addresses(&bytes).ok().map(|found| found.len());
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_message_may_be_cut_anywhere() {
        let whole = message(0, 0xa2, &variable(ADDRESS));
        for len in 0..whole.len() {
            assert_eq!(addresses(&whole[..len]), Err(Malformed), "{len}");
        }
        let found = addresses(&whole).unwrap();
        assert_eq!(whole[found[0]..][..4], [10, 0, 1, 2]);
    }
}
