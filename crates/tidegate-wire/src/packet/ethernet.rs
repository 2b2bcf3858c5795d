//! The Ethernet header (IEEE 802.3) and the VLAN tags between it and the payload (802.1Q, 802.1ad).

use core::fmt;

use super::{clamped, u16_at};

/// A view of an Ethernet frame. The EtherType and the payload are those behind all VLAN tags.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<T> {
    frame: T,
    tagged: Tagged,
}

impl<T: AsRef<[u8]>> Ethernet<T> {
    /// A view of `frame`; `None` if it is shorter than [`HEADER_LEN`] or ends within a VLAN tag.
    pub fn new(frame: T) -> Option<Self> {
        let tagged = Tagged::skip(frame.as_ref(), ETHERTYPE)?;
        Some(Self { frame, tagged })
    }

    /// The destination address.
    pub fn dst(&self) -> MacAddr {
        MacAddr::at(self.bytes(), 0)
    }

    /// The source address.
    pub fn src(&self) -> MacAddr {
        MacAddr::at(self.bytes(), 6)
    }

    /// The EtherType behind all tags; below 0x600 it is an IEEE 802.3 length.
    pub fn ethertype(&self) -> u16 {
        self.tagged.ethertype
    }

    /// The VLAN ids of the tags, outermost first.
    pub fn vlan_ids(&self) -> impl Iterator<Item = u16> + '_ {
        let tags = clamped(self.bytes(), HEADER_LEN, self.tagged.payload_at);
        tags.as_chunks::<TAG_LEN>().0.iter().map(|tag| u16_at(tag, 0) & 0x0fff)
    }

    /// Where the payload starts.
    pub fn payload_offset(&self) -> usize {
        self.tagged.payload_at
    }

    /// What follows the header and the tags, padding included.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), self.tagged.payload_at, usize::MAX)
    }

    fn bytes(&self) -> &[u8] {
        self.frame.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ethernet<T> {
    /// Sets the destination address.
    pub fn set_dst(&mut self, dst: MacAddr) {
        self.frame.as_mut()[..6].copy_from_slice(&dst.0);
    }

    /// Sets the source address.
    pub fn set_src(&mut self, src: MacAddr) {
        self.frame.as_mut()[6..12].copy_from_slice(&src.0);
    }
}

/// Where the payload of a frame lies once the VLAN tags are skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagged {
    pub(crate) ethertype: u16,
    pub(crate) payload_at: usize,
}

impl Tagged {
    /// Skips the tags, if any, from the EtherType field at `at`. `None` if the frame ends before
    /// the payload.
    pub(crate) fn skip(frame: &[u8], mut at: usize) -> Option<Self> {
        loop {
            let ethertype = u16_at(frame.get(at..at + 2)?, 0);
            if !matches!(ethertype, VLAN | SERVICE_VLAN) {
                return Some(Self { ethertype, payload_at: at + 2 });
            }
            at += TAG_LEN;
        }
    }
}

/// A 48-bit link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group of stations, all of them included.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// => `at + 6 <= bytes.len()`
    pub(crate) fn at(bytes: &[u8], at: usize) -> Self {
        let mut octets = [0; 6];
        octets.copy_from_slice(&bytes[at..at + 6]);
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Length of a header without tags, in bytes.
pub const HEADER_LEN: usize = 14;
/// Length of a VLAN tag, in bytes.
pub const TAG_LEN: usize = 4;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1ad service tag.
pub const SERVICE_VLAN: u16 = 0x88a8;

const ETHERTYPE: usize = 12;
