//! SYNPROXY: connections are established with the client first, by SYN cookies, and with the server only when the
//! client has proven that it is there.
//!
//! ```text
//! client                     here                      server
//!   | SYN ------------------> |
//!   | <---- SYN/ACK (cookie)  |   nothing is remembered
//!   | ACK ------------------> |   the cookie is right
//!   |                         | SYN ---------------------> |   a flow begins
//!   |                         | <----------------- SYN/ACK |
//!   | <--- ACK (opens window) | ACK ---------------------> |
//! ```
//!
//! The client knows the cookie as the server's first sequence number, so the flow's numbers are corrected for ever
//! (`nat::seqadj`), and so are its time stamps, as the first one carried the SYN's options. What the target does with
//! a packet and what the flow's packets meet before the last hook is in `path::synproxy`; here is what needs no path:
//! the cookie (`cookie`), the options of a segment (`options`), and what a flow [remembers](Proxy).
//!
//! Linux: `nf_synproxy_core.c`, `syncookies.c`.

mod cookie;
mod options;

use tidegate_wire::SeqNum;

pub(crate) use self::cookie::{CookieKeys, Quad};
pub(crate) use self::options::{SynOptions, Timestamps, shift_clock};

/// What the rule's author lets the proxy offer to clients: what the server is known to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// `--mss`
    pub(crate) mss: Option<u16>,
    /// `--wscale`
    pub(crate) window_scale: Option<u8>,
    /// `--sack-perm`
    pub(crate) sack_permitted: bool,
    /// `--timestamp`
    pub(crate) timestamps: bool,
    /// `--ecn`
    pub(crate) ecn: bool,
}

/// What a flow behind the proxy remembers. All is zero until its SYN is sent. Linux: `struct nf_conn_synproxy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The cookie: the server's first sequence number as the client knows it.
    pub isn: SeqNum,
    /// The time stamp that the client was told first.
    pub its: u32,
    /// How far the server's clock is ahead of that.
    pub clock_offset: u32,
}

/// How often the proxy did what, as in `/proc/net/stat/synproxy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynproxyStats {
    /// SYNs that were answered.
    pub syn_received: u64,
    /// ACKs without a cookie of ours.
    pub cookie_invalid: u64,
    /// ACKs with one.
    pub cookie_valid: u64,
    /// Those among them whose flow had begun already.
    pub cookie_retrans: u64,
    /// SYNs to servers for flows that had been closed.
    pub conn_reopened: u64,
}

impl SynproxyStats {
    /// The counters with the kernel's names, in its order, but for `entries`, which is always 0.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("syn_received", self.syn_received),
            ("cookie_invalid", self.cookie_invalid),
            ("cookie_valid", self.cookie_valid),
            ("cookie_retrans", self.cookie_retrans),
            ("conn_reopened", self.conn_reopened),
        ]
    }
}
