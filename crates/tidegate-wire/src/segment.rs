//! A superframe is cut into the datagrams that it stands for, as a network card does it.
//!
//! Each piece has the superframe's headers, with lengths, identification, sequence number and flags of its own: CWR is
//! the first piece's, FIN and PSH are the last one's (Linux: `tcp_gso_segment`, `inet_gso_segment`,
//! `__udp_gso_segment`).

use alloc::vec::Vec;

use crate::dissect::{Headers, dissect};
use crate::family::Family;
use crate::offload::{self, Checksum, Offload};
use crate::packet::{Ipv4, Ipv6, Tcp, TcpFlags, Udp, ipv6};
use crate::proto;

/// The pieces of a superframe, first to last.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    datagram: &'a [u8],
    headers: Headers,
    /// Where the payload begins, and how much of it a piece gets.
    payload: usize,
    size: usize,
    /// How much of it has been cut off.
    done: usize,
    number: u16,
    checksum: Checksum,
}

impl<'a> Segments<'a> {
    /// Cuts a superframe; the pieces' checksums are `checksum`, full or partial. `None` if it is none, or neither TCP
    /// nor UDP.
    pub fn new(datagram: &'a [u8], offload: Offload, checksum: Checksum) -> Option<Self> {
        let size = usize::from(offload.segment?.get());
        let headers = dissect(datagram).ok()?;
        let payload = offload::payload_offset(datagram, &headers)?;
        let (done, number) = (0, 0);
        (payload <= headers.len).then_some(Self {
            datagram: &datagram[..headers.len],
            headers,
            payload,
            size,
            done,
            number,
            checksum,
        })
    }

    /// Appends the next piece to `out`; whether there was one.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> bool {
        let (head, data) = self.datagram.split_at(self.payload);
        if self.done >= data.len() && self.number > 0 {
            return false;
        }
        let end = data.len().min(self.done + self.size);
        let start = out.len();
        out.extend_from_slice(head);
        out.extend_from_slice(&data[self.done..end]);
        self.dress(&mut out[start..], end == data.len());
        self.done = end;
        self.number += 1;
        true
    }

    /// Makes the headers those of a piece of its own.
    fn dress(&self, piece: &mut [u8], is_last: bool) {
        let headers = Headers { len: piece.len(), ..self.headers };
        self.dress_ip(piece);
        let Some(l4) = headers.l4 else { return };
        let upper = &mut piece[l4..];
        let len = upper.len();
        match headers.proto {
            proto::TCP => self.dress_tcp(upper, is_last),
            _ => {
                if let Some(mut udp) = Udp::new(upper) {
                    udp.set_len(len as u16);
                }
            }
        }
        match self.checksum {
            Checksum::Partial => offload::begin(piece, &headers),
            Checksum::Full | Checksum::Verified => offload::finish(piece, &headers),
        };
    }

    fn dress_ip(&self, piece: &mut [u8]) {
        let len = piece.len();
        match self.headers.family {
            Family::V4 => {
                if let Some(mut ip) = Ipv4::new(piece) {
                    ip.set_total_len(len as u16);
                    ip.set_id(ip.id().wrapping_add(self.number));
                }
            }
            Family::V6 => {
                if let Some(mut ip) = Ipv6::new(piece) {
                    ip.set_payload_len((len - ipv6::HEADER_LEN) as u16);
                }
            }
        }
    }

    fn dress_tcp(&self, segment: &mut [u8], is_last: bool) {
        let Some(mut tcp) = Tcp::new(segment) else { return };
        let mut flags = tcp.flags();
        if !is_last {
            flags = flags.without(TcpFlags::FIN | TcpFlags::PSH);
        }
        if self.number > 0 {
            flags = flags.without(TcpFlags::CWR);
        }
        tcp.set_flags(flags);
        tcp.set_seq(tcp.seq() + self.done as u32);
    }
}

#[cfg(test)]
pub(crate) mod tests;
