//! Out again: a datagram that came in fragments leaves in fragments, none larger than the largest
//! that was received.
//!
//! As in Linux the received boundaries are kept if the datagram still has them and each fragment
//! fits (the "fast path" of `ip_do_fragment` and `ip6_fragment`, where a fragment never carries
//! DF); if not, it is cut anew. Nothing here decides whether a router answers "too big":
//! [`exceeds_mtu`] only tells when it must.

use alloc::vec::Vec;
use core::iter;

use tidegate_wire::packet::Ipv4;
use tidegate_wire::packet::ipv6::FRAGMENT_HEADER_LEN;
use tidegate_wire::{Family, Headers};

use super::queue::Queue;
use super::{v4, v6};

/// How a datagram came, and how it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FragmentPlan {
    /// Size of the largest fragment received, in bytes with its headers.
    pub(crate) max_size: usize,
    /// What each fragment brought of the datagram's bytes, in order; the first one also its headers
    /// (IPv6: without the fragment header).
    pub(crate) sizes: Vec<usize>,
    /// Whether the largest fragment received carried IPv4's DF. The datagram carries it then, too.
    pub(crate) dont_fragment: bool,
    /// The identification of the fragments received. IPv6's will carry it again, unless the caller
    /// sets another; IPv4's is in the datagram's header.
    pub(crate) id: u32,
}

impl FragmentPlan {
    pub(super) fn of(queue: &Queue, header_len: usize, id: u32) -> Self {
        let mut sizes: Vec<usize> = queue.pieces().map(<[u8]>::len).collect();
        if let Some(first) = sizes.first_mut() {
            *first += header_len;
        }
        Self { max_size: queue.max_size(), sizes, dont_fragment: queue.dont_fragment(), id }
    }

    /// Notes that the datagram's first `len` bytes are needed in one piece, as when Linux reads or
    /// rewrites a header that was cut (`pskb_may_pull`): they are taken from the following
    /// fragments, whose boundaries are lost with it. Nothing happens if the datagram is shorter.
    pub(crate) fn make_contiguous(&mut self, len: usize) {
        let Some((first, rest)) = self.sizes.split_first_mut() else { return };
        let missing = len.saturating_sub(*first);
        if missing == 0 || missing > rest.iter().sum() {
            return;
        }
        *first = len;
        let mut left = missing;
        for size in rest {
            let taken = left.min(*size);
            *size -= taken;
            left -= taken;
        }
        self.sizes.retain(|size| *size > 0);
    }

    /// The received boundaries, as bytes of data in each fragment, if they can be kept: the
    /// datagram has the length that they add up to, and each part fits into `space` and, but for
    /// the last, ends where the next one may begin.
    fn boundaries(&self, len: usize, header_len: usize, space: usize) -> Option<Vec<usize>> {
        let (first, rest) = self.sizes.split_first()?;
        let first = first.checked_sub(header_len)?;
        let (_, inner) = rest.split_last()?;
        let aligned = iter::once(&first).chain(inner).all(|size| size.is_multiple_of(8));
        let parts = || iter::once(first).chain(rest.iter().copied());
        let fits = parts().all(|size| size <= space) && parts().sum::<usize>() + header_len == len;
        (aligned && fits).then(|| parts().collect())
    }

    /// How much of a datagram of `len` bytes Linux would find in one piece.
    fn contiguous(&self, len: usize) -> usize {
        self.sizes.first().map_or(len, |first| len.min(*first))
    }
}

/// A datagram can't be sent in fragments: they are too large for the port, or the MTU leaves no
/// room for data, or the IPv6 headers no place for a fragment header. Linux answers the first case
/// ([`exceeds_mtu`] finds it in time) and is silent about the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooBig;

/// Whether forwarding must drop the datagram and answer "fragmentation needed" or "packet too big":
/// it is larger than `mtu` bytes, and must not be cut, or must not be cut smaller than it came.
/// `plan` is that of a datagram that came in fragments.
pub(crate) fn exceeds_mtu(
    datagram: &[u8],
    headers: &Headers,
    plan: Option<&FragmentPlan>,
    mtu: u32,
) -> bool {
    let mtu = mtu as usize;
    let may_be_cut = match headers.family {
        Family::V4 => !dont_fragment(datagram) || plan.is_some_and(|plan| plan.max_size <= mtu),
        Family::V6 => plan.is_some_and(|plan| plan.max_size <= mtu),
    };
    headers.len > mtu && !may_be_cut
}

/// What goes out, for a port of `mtu` bytes, in place of a datagram that came in fragments. It may
/// be one datagram: IPv6's if it is no larger than the largest fragment was.
pub(crate) fn refragment(
    datagram: &[u8],
    headers: &Headers,
    plan: &FragmentPlan,
    mtu: u32,
) -> Result<Vec<Vec<u8>>, TooBig> {
    let datagram = &datagram[..headers.len.min(datagram.len())];
    let mtu = mtu as usize;
    match headers.family {
        Family::V4 => refragment_v4(datagram, headers.ip_header_len, plan, mtu),
        Family::V6 => refragment_v6(datagram, plan, mtu),
    }
}

/// Cuts an IPv4 datagram that came whole, may be cut, and is larger than the `mtu` of its port.
/// Empty if that leaves no room for data; Linux drops the datagram then.
pub(crate) fn fragment_v4(datagram: &[u8], headers: &Headers, mtu: u32) -> Vec<Vec<u8>> {
    let datagram = &datagram[..headers.len.min(datagram.len())];
    let header_len = headers.ip_header_len;
    let Ok(space) = space(mtu as usize, header_len) else { return Vec::new() };
    v4::cut(datagram, header_len, &even_sizes(datagram.len(), header_len, space), false)
}

fn refragment_v4(
    datagram: &[u8],
    header_len: usize,
    plan: &FragmentPlan,
    mtu: usize,
) -> Result<Vec<Vec<u8>>, TooBig> {
    if dont_fragment(datagram) && plan.max_size > mtu {
        return Err(TooBig);
    }
    let space = space(mtu.min(plan.max_size), header_len)?;
    Ok(match plan.boundaries(datagram.len(), header_len, space) {
        Some(sizes) => v4::cut(datagram, header_len, &sizes, false),
        None => {
            let sizes = even_sizes(datagram.len(), header_len, space);
            v4::cut(datagram, header_len, &sizes, plan.dont_fragment)
        }
    })
}

fn refragment_v6(datagram: &[u8], plan: &FragmentPlan, mtu: usize) -> Result<Vec<Vec<u8>>, TooBig> {
    let len = datagram.len();
    if len <= mtu.min(plan.max_size) {
        return Ok(Vec::from([datagram.to_vec()]));
    }
    if plan.max_size > mtu {
        return Err(TooBig);
    }
    let seam = v6::seam(datagram, plan.contiguous(len)).ok_or(TooBig)?;
    let space = space(plan.max_size.max(MIN_MTU_V6), seam.at + FRAGMENT_HEADER_LEN)?;
    let kept = plan.boundaries(len, seam.at, space);
    let sizes = kept.unwrap_or_else(|| even_sizes(len, seam.at, space));
    Ok(v6::cut(datagram, seam, &sizes, plan.id))
}

/// Room for data in a fragment of at most `limit` bytes; at least 8.
fn space(limit: usize, header_len: usize) -> Result<usize, TooBig> {
    limit.checked_sub(header_len).filter(|space| *space >= 8).ok_or(TooBig)
}

/// Bytes of data in each fragment: as many as fit and let the next one begin at a multiple of 8.
fn even_sizes(len: usize, header_len: usize, space: usize) -> Vec<usize> {
    let mut left = len.saturating_sub(header_len);
    let mut sizes = Vec::with_capacity(left / space + 1);
    while left > space {
        sizes.push(space & !7);
        left -= space & !7;
    }
    sizes.push(left);
    sizes
}

fn dont_fragment(datagram: &[u8]) -> bool {
    Ipv4::new(datagram).is_some_and(|ip| ip.dont_fragment())
}

/// The least MTU of an IPv6 link (RFC 8200 section 5). Linux never cuts smaller.
const MIN_MTU_V6: usize = 1280;
