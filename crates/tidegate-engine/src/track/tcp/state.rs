//! What is remembered of a TCP connection.

use bitflags::bitflags;
use tidegate_wire::SeqNum;

use super::segment::{SegmentKind, SegmentView, SynOptions};
use crate::tuple::Direction;

/// The states, in the kernel's order and numbers (`enum tcp_conntrack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcpState {
    /// No segment seen yet.
    #[default]
    None,
    /// SYN seen.
    SynSent,
    /// SYN/ACK seen.
    SynRecv,
    /// ACK of the SYN/ACK seen.
    Established,
    /// First FIN seen.
    FinWait,
    /// Its ACK seen.
    CloseWait,
    /// Second FIN seen.
    LastAck,
    /// Last ACK seen.
    TimeWait,
    /// RST seen.
    Close,
    /// SYN seen from both sides.
    SynSent2,
}

impl TcpState {
    /// Each state once, in the kernel's order.
    pub const ALL: [Self; 10] = [
        Self::None,
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// The state that a connection's cells have in the low half of their `state`.
    #[inline(always)]
    pub(crate) fn of(cell: u8) -> Self {
        const STATES: [TcpState; 16] = {
            let mut states = [TcpState::None; 16];
            let mut at = 0;
            while at < TcpState::ALL.len() {
                states[TcpState::ALL[at] as usize] = TcpState::ALL[at];
                at += 1;
            }
            states
        };
        STATES[usize::from(cell & 15)]
    }

    /// The name that `conntrack -L` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// On the way out, so evictable under pressure.
    #[must_use]
    pub fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
    }
}

bitflags! {
    /// What is known of one side, with the kernel's numbers
    /// (`IP_CT_TCP_FLAG_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PeerFlags: u8 {
        /// Sent the window scale option.
        const WINDOW_SCALE = 0x01;
        /// Sent the SACK-permitted option.
        const SACK_PERM = 0x02;
        /// Sent the first FIN.
        const CLOSE_INIT = 0x04;
        /// Its windows are not judged.
        const BE_LIBERAL = 0x08;
        /// Has data in flight that was not acknowledged.
        const DATA_UNACKNOWLEDGED = 0x10;
        /// Its highest ACK is known.
        const MAXACK_SET = 0x20;
        /// A challenge ACK may come.
        const CHALLENGE_ACK = 0x40;
        /// Both sides sent a SYN.
        const SIMULTANEOUS_OPEN = 0x80;
    }
}

/// What one side has sent and may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Highest sequence number sent, plus one (`td_end`).
    pub end: SeqNum,
    /// Highest sequence number that the other side allows (`td_maxend`).
    pub max_end: SeqNum,
    /// Largest window announced, scaled (`td_maxwin`); 0: nothing seen yet.
    pub max_window: u32,
    /// Highest acknowledgement sent (`td_maxack`), see
    /// [`PeerFlags::MAXACK_SET`].
    pub max_ack: SeqNum,
    /// Window scale, 0 to 14.
    pub scale: u8,
    /// See [`PeerFlags`].
    pub flags: PeerFlags,
}

/// The last segment that was accepted or ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) dir: Direction,
    pub(crate) kind: Option<SegmentKind>,
    pub(crate) seq: SeqNum,
    pub(crate) ack: SeqNum,
    pub(crate) end: SeqNum,
    /// As on the wire, unscaled.
    pub(crate) window: u16,
    pub(crate) scale: u8,
    pub(crate) flags: PeerFlags,
}

impl Default for Last {
    fn default() -> Self {
        Self {
            dir: Direction::Original,
            kind: None,
            seq: SeqNum::default(),
            ack: SeqNum::default(),
            end: SeqNum::default(),
            window: 0,
            scale: 0,
            flags: PeerFlags::empty(),
        }
    }
}

/// What is remembered of a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Where it is.
    pub state: TcpState,
    /// Both sides, by [`Direction::index`].
    pub seen: [Peer; 2],
    /// How often the last ACK was repeated.
    pub retrans: u8,
    pub(crate) last: Last,
}

impl Tcp {
    /// A connection that begins with this SYN.
    pub(super) fn opened_by(view: &SegmentView<'_>) -> Self {
        let options = SynOptions::of(view.tcp.option_bytes());
        let opener = Peer {
            end: view.end,
            max_end: view.end,
            max_window: u32::from(view.tcp.window()).max(1),
            scale: options.scale,
            flags: options.flags,
            ..Peer::default()
        };
        Self { seen: [opener, Peer::default()], ..Self::default() }
    }

    /// A connection whose beginning we missed. SACK is assumed, and windows are
    /// not judged, because the scale is unknown.
    pub(super) fn picked_up_by(view: &SegmentView<'_>) -> Self {
        let max_window = u32::from(view.tcp.window()).max(1);
        let flags = PeerFlags::SACK_PERM | PeerFlags::BE_LIBERAL;
        let sender = Peer {
            end: view.end,
            max_end: view.end + max_window,
            max_window,
            flags,
            ..Peer::default()
        };
        Self { seen: [sender, Peer { flags, ..Peer::default() }], ..Self::default() }
    }

    pub(super) fn peer(&self, dir: Direction) -> &Peer {
        &self.seen[dir.index()]
    }

    pub(super) fn peer_mut(&mut self, dir: Direction) -> &mut Peer {
        &mut self.seen[dir.index()]
    }
}
