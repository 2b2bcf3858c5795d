//! Bytes to values and back.
//!
//! The lowest layer: everything that knows how a packet or a capture file looks, and nothing that
//! decides what to do with it. A datagram passes through here twice:
//!
//! 1. [`dissect()`] reads it once, with every bound checked, and says what it is ([`Headers`]) or
//!    why Linux would have dropped it before any hook ([`Malformed`]);
//! 2. the views in [`packet`] read and rewrite its headers in place, with [`mod@checksum`] keeping
//!    the sums right incrementally ([`crc32c`] is SCTP's, which can't be).
//!
//! What a sender left to those behind it stands in [`offload`], as a [`virtio_net`] header tells it; [`segment`] does one
//! part of it.
//!
//! [`netlink`] reads and writes the messages that conntrack(8) and the kernel exchange. [`seq`] is the modular arithmetic of TCP's sequence space. With the feature `pcap` (the only
//! part that needs std) there is also a reader and a writer of capture files.
//!
//! This crate holds no state between packets, no policy, no time-out, and does no I/O of its own.
//! No input makes it panic, except where a view's setters are used against the contract in
//! [`packet`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "pcap"))]
extern crate std;

pub mod checksum;
pub mod crc32c;
pub mod dissect;
pub mod family;
pub mod netlink;
pub mod offload;
pub mod packet;
#[cfg(feature = "pcap")]
pub mod pcap;
pub mod proto;
pub mod segment;
pub mod seq;
pub mod virtio_net;

pub use crate::dissect::{Fragment, Headers, Malformed, dissect, dissect_as, dissect_quoted};
pub use crate::family::Family;
pub use crate::seq::SeqNum;
