//! Datagrams of IPv4, written from their parts and read into them.

use std::net::{IpAddr, Ipv4Addr};

use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::proto;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// From where to where: addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Who sends.
    pub(crate) src: (Ipv4Addr, u16),
    /// Who receives.
    pub(crate) dst: (Ipv4Addr, u16),
}

/// A segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// From where to where.
    pub(crate) way: Way,
    /// Its flags.
    pub(crate) flags: u8,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// What it acknowledges.
    pub(crate) ack: u32,
    /// How many bytes of data it has.
    pub(crate) data: u16,
}

impl Way {
    /// The other way round.
    pub(crate) fn back(self) -> Self {
        Self { src: self.dst, dst: self.src }
    }

    /// The way of a datagram with ports, and its protocol.
    pub(crate) fn read(datagram: &[u8]) -> Option<(Self, u8)> {
        let addr = |at: usize| Some(Ipv4Addr::from_bits(long(datagram, at)?));
        let way = Self {
            src: (addr(12)?, word(datagram, IP)?),
            dst: (addr(16)?, word(datagram, IP + 2)?),
        };
        (datagram[0] == 0x45).then_some((way, datagram[9]))
    }

    /// Writes an IPv4 header in front of what is behind it, and finishes the checksum that lies at `checksum` there.
    fn write(self, proto: u8, checksum: usize, datagram: &mut [u8]) {
        let len = datagram.len() as u16;
        datagram[..4].copy_from_slice(&[0x45, 0, (len >> 8) as u8, len as u8]);
        datagram[4..12].copy_from_slice(&[0, 0, 0x40, 0, 64, proto, 0, 0]);
        datagram[12..16].copy_from_slice(&self.src.0.octets());
        datagram[16..20].copy_from_slice(&self.dst.0.octets());
        let sum = Sum::new().bytes(&datagram[..IP]).finish();
        datagram[10..12].copy_from_slice(&sum.to_be_bytes());
        let body = &mut datagram[IP..];
        body[..2].copy_from_slice(&self.src.1.to_be_bytes());
        body[2..4].copy_from_slice(&self.dst.1.to_be_bytes());
        let (src, dst) = (IpAddr::V4(self.src.0), IpAddr::V4(self.dst.0));
        let sum = transport(src, dst, proto, body);
        body[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Writes a datagram of UDP, as long as there is room.
    pub(crate) fn write_udp(self, datagram: &mut [u8]) {
        let len = (datagram.len() - IP) as u16;
        datagram[IP + 4..IP + 6].copy_from_slice(&len.to_be_bytes());
        self.write(proto::UDP, 6, datagram);
    }
}

impl Segment {
    /// How long it is with its headers.
    pub(crate) fn len(&self) -> usize {
        IP + TCP + usize::from(self.data)
    }

    /// Writes it into as many bytes.
    pub(crate) fn write(&self, datagram: &mut [u8]) {
        let header = &mut datagram[IP..];
        header[4..8].copy_from_slice(&self.seq.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.to_be_bytes());
        header[12..16].copy_from_slice(&[0x50, self.flags, 0xff, 0xff]);
        self.way.write(proto::TCP, 16, datagram);
    }

    /// The one in a datagram.
    pub(crate) fn read(datagram: &[u8]) -> Option<Self> {
        let (way, proto) = Way::read(datagram)?;
        let header = datagram.get(IP..IP + TCP)?;
        let len = usize::from(word(datagram, 2)?);
        let data = len.checked_sub(IP + usize::from(header[12] >> 4) * 4)?;
        let (seq, ack) = (long(header, 4)?, long(header, 8)?);
        (proto == proto::TCP).then_some(Self {
            way,
            flags: header[13],
            seq,
            ack,
            data: data as u16,
        })
    }

    /// The one that answers it: it acknowledges all that this one has.
    pub(crate) fn answer(&self, flags: u8, data: u16) -> Self {
        let counts = self.flags & (SYN | FIN) != 0;
        let ack = self.seq.wrapping_add(u32::from(self.data) + u32::from(counts));
        Self { way: self.way.back(), flags, seq: self.ack, ack, data }
    }
}

const IP: usize = 20;
const TCP: usize = 20;

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(word(bytes, at)?) << 16 | u32::from(word(bytes, at + 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let way = Way { src: ([10, 0, 0, 1].into(), 1024), dst: ([10, 0, 0, 2].into(), 80) };
        let segment = Segment { way, flags: PSH | ACK, seq: 7, ack: 9, data: 5 };
        let mut bytes = vec![0; segment.len()];
        segment.write(&mut bytes);
        assert_eq!(Segment::read(&bytes), Some(segment));
        assert_eq!(Sum::new().bytes(&bytes[..IP]).finish(), 0);
        let (src, dst) = (IpAddr::V4(way.src.0), IpAddr::V4(way.dst.0));
        assert_eq!(transport(src, dst, proto::TCP, &bytes[IP..]), 0);
        let answer = segment.answer(ACK, 0);
        assert_eq!((answer.way, answer.seq, answer.ack), (way.back(), 9, 12));
    }

    #[test]
    fn a_syn_counts_as_a_byte() {
        let way = Way { src: ([10, 0, 0, 1].into(), 1024), dst: ([10, 0, 0, 2].into(), 80) };
        let syn = Segment { way, flags: SYN, seq: 7, ack: 0, data: 0 };
        assert_eq!(syn.answer(SYN | ACK, 0).ack, 8);
    }
}
