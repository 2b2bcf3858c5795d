//! IPv6's share (RFC 8200 section 4.5): finding the fragment header, taking it out, putting it
//! back.

use alloc::vec::Vec;

use tidegate_wire::packet::ipv6::{Extensions, FRAGMENT_HEADER_LEN, HEADER_LEN};
use tidegate_wire::packet::{ExtensionHeader, Ipv6};
use tidegate_wire::{Fragment, Headers, proto};

use super::queue::{Arrival, Queue};
use super::{Datagram, FragmentError, FragmentPlan};

/// What a fragment brings; `None` if the datagram goes on as it is.
pub(super) fn arrival<'a>(
    bytes: &'a [u8],
    headers: &Headers,
) -> Result<Option<Arrival<'a>>, FragmentError> {
    let Some(ip) = bytes.get(..headers.len).and_then(Ipv6::new) else { return Ok(None) };
    // A jumbogram has no fragment header (RFC 2675 section 3), or else Linux doesn't see it.
    if ip.payload_len() == 0 {
        return Ok(None);
    }
    let mut chain = ip.extensions();
    let Some(found) = chain.find(|header| header.kind == proto::IPV6_FRAGMENT) else {
        return without_fragment_header(&ip);
    };
    let datagram: &'a [u8] = &bytes[..headers.len];
    if is_first(datagram, &found) && ends_too_early(datagram, chain, &found) {
        return Ok(None);
    }
    let fragment = Fragment::of_ipv6(datagram, found.at).ok_or(FragmentError::NoHeaderChain)?;
    let (header, data) = datagram.split_at(found.at + FRAGMENT_HEADER_LEN);
    let offset = usize::from(fragment.offset);
    if offset + data.len() > MAX_PAYLOAD {
        return Err(FragmentError::TooLong);
    }
    Ok(Some(Arrival {
        id: fragment.id,
        offset,
        more: fragment.more,
        header,
        data,
        dont_fragment: false,
        ecn: ip.traffic_class() & ECN,
    }))
}

/// Puts a complete datagram together: the first fragment's headers without the fragment header,
/// with the length and congestion mark of the whole.
pub(super) fn assemble(queue: &Queue) -> Result<Datagram, FragmentError> {
    let congestion = queue.congestion()?;
    let found = fragment_header(queue.head()).ok_or(FragmentError::NoHeaderChain)?;
    let payload_len = found.at - HEADER_LEN + queue.len();
    let payload_len = u16::try_from(payload_len).map_err(|_| FragmentError::TooLong)?;
    let mut bytes = queue.head()[..found.at].to_vec();
    queue.pieces().for_each(|data| bytes.extend_from_slice(data));
    bytes[found.named_at] = found.next_header;
    if let Some(mut ip) = Ipv6::new(&mut *bytes) {
        ip.set_payload_len(payload_len);
        ip.set_traffic_class(ip.traffic_class() | congestion);
    }
    let id = Fragment::of_ipv6(queue.head(), found.at).map_or(0, |fragment| fragment.id);
    Ok(Datagram { bytes, plan: FragmentPlan::of(queue, found.at, id) })
}

/// Where a fragment header goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seam {
    /// Length of what every fragment repeats, in bytes.
    pub(super) at: usize,
    /// Where the "next header" byte lies that will announce it.
    named_at: usize,
}

/// Where a fragment header goes in: behind hop-by-hop options and routing header, and behind
/// destination options unless a routing header precedes them (`ip6_find_1stfragopt`; its exception
/// for Mobile IPv6's home address is left out). `None` if these headers don't lie within the
/// datagram's first `contiguous` bytes.
pub(super) fn seam(datagram: &[u8], contiguous: usize) -> Option<Seam> {
    let ip = Ipv6::new(datagram.get(..contiguous)?)?;
    let mut seam = Seam { at: HEADER_LEN, named_at: NEXT_HEADER };
    let mut routed = false;
    for header in ip.extensions() {
        if !is_unfragmentable(header.kind, routed) {
            return Some(seam);
        }
        routed |= header.kind == proto::IPV6_ROUTING;
        seam = Seam { at: header.at + header.len, named_at: header.at };
        if seam.at > contiguous {
            return None;
        }
    }
    (!is_unfragmentable(datagram[seam.named_at], routed)).then_some(seam)
}

/// Cuts `datagram` at `seam` into fragments with `sizes` bytes of data each.
pub(super) fn cut(datagram: &[u8], seam: Seam, sizes: &[usize], id: u32) -> Vec<Vec<u8>> {
    let Some((header, mut rest)) = datagram.split_at_checked(seam.at) else { return Vec::new() };
    let next_header = header[seam.named_at];
    let mut header = header.to_vec();
    header[seam.named_at] = proto::IPV6_FRAGMENT;
    let mut fragments = Vec::with_capacity(sizes.len());
    let mut offset = 0;
    for size in sizes {
        let (data, after) = rest.split_at(rest.len().min(*size));
        let position = offset as u16 | u16::from(!after.is_empty());
        let mut fragment =
            [&header, &fragment_header_of(next_header, position, id)[..], data].concat();
        let payload_len = fragment.len() - HEADER_LEN;
        if let Some(mut ip) = Ipv6::new(&mut *fragment) {
            ip.set_payload_len(payload_len as u16);
        }
        fragments.push(fragment);
        offset += data.len();
        rest = after;
    }
    fragments
}

/// The first fragment header; `None` also if less than half of it is there.
fn fragment_header(datagram: &[u8]) -> Option<ExtensionHeader> {
    Ipv6::new(datagram)?.extensions().find(|header| header.kind == proto::IPV6_FRAGMENT)
}

/// A datagram with at most the beginning of a fragment header at its end: that beginning is an
/// error.
fn without_fragment_header<'a>(ip: &Ipv6<&[u8]>) -> Result<Option<Arrival<'a>>, FragmentError> {
    let mut chain = ip.extensions();
    let end = chain.by_ref().last().map_or(HEADER_LEN, |header| header.at + header.len);
    let begins = chain.next_header() == proto::IPV6_FRAGMENT && end <= ip.as_bytes().len();
    if begins { Err(FragmentError::NoHeaderChain) } else { Ok(None) }
}

/// Whether a first fragment ends before its upper layer's header does (RFC 8200 section 4.5). One
/// whose chain of headers can't be followed is, for Linux, none of these. `chain` is past `found`.
fn ends_too_early(datagram: &[u8], mut chain: Extensions<'_>, found: &ExtensionHeader) -> bool {
    let mut start = found.at + found.len;
    for header in chain.by_ref() {
        if header.kind == proto::IPV6_FRAGMENT && !is_first(datagram, &header) {
            return false;
        }
        start = header.at + header.len;
    }
    let needed = match chain.next_header() {
        next if proto::is_ipv6_extension(next) => return false,
        proto::TCP => 20,
        proto::UDP | proto::ICMPV6 => 8,
        _ => 1,
    };
    start + needed > datagram.len()
}

/// Whether a fragment header, of which 4 bytes are enough, says offset 0.
fn is_first(datagram: &[u8], header: &ExtensionHeader) -> bool {
    matches!(datagram.get(header.at + 2..), Some([high, low, ..]) if *high == 0 && low & !7 == 0)
}

fn is_unfragmentable(kind: u8, routed: bool) -> bool {
    match kind {
        proto::HOP_BY_HOP | proto::IPV6_ROUTING => true,
        proto::DESTINATION_OPTIONS => !routed,
        _ => false,
    }
}

fn fragment_header_of(next_header: u8, position: u16, id: u32) -> [u8; FRAGMENT_HEADER_LEN] {
    let [high, low] = position.to_be_bytes();
    let [a, b, c, d] = id.to_be_bytes();
    [next_header, 0, high, low, a, b, c, d]
}

const NEXT_HEADER: usize = 6;
const MAX_PAYLOAD: usize = 65535;
const ECN: u8 = 0b11;
