//! What is remembered of an SCTP association.

use crate::tuple::Direction;

/// How far an association has come, as a box in the middle sees it; the names
/// are the kernel's (`enum sctp_conntrack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SctpState {
    /// Nothing seen.
    #[default]
    None,
    /// INIT from the original direction, or the association is over.
    Closed,
    /// INIT ACK.
    CookieWait,
    /// COOKIE ECHO.
    CookieEchoed,
    /// COOKIE ACK, or a heartbeat on a new path and its answer.
    Established,
    /// SHUTDOWN from the original direction.
    ShutdownSent,
    /// SHUTDOWN from the reply direction.
    ShutdownRecd,
    /// SHUTDOWN ACK.
    ShutdownAckSent,
    /// A heartbeat on a new path of an association that is up elsewhere.
    HeartbeatSent,
}

impl SctpState {
    /// Each state once, in the kernel's order.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Closed,
        Self::CookieWait,
        Self::CookieEchoed,
        Self::Established,
        Self::ShutdownSent,
        Self::ShutdownRecd,
        Self::ShutdownAckSent,
        Self::HeartbeatSent,
    ];

    /// The name that Linux prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Closed => "CLOSED",
            Self::CookieWait => "COOKIE_WAIT",
            Self::CookieEchoed => "COOKIE_ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "SHUTDOWN_SENT",
            Self::ShutdownRecd => "SHUTDOWN_RECD",
            Self::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            Self::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }

    /// Whether the association is being shut down.
    #[must_use]
    pub fn is_closing(self) -> bool {
        matches!(self, Self::ShutdownSent | Self::ShutdownRecd | Self::ShutdownAckSent)
    }
}

/// An association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// How far it has come.
    pub state: SctpState,
    /// The verification tags that packets of the original and the reply
    /// direction carry; 0 is not known yet (no end may choose it, RFC 9260
    /// section 3.3.2).
    pub tags: [u32; 2],
    /// Which directions have sent an INIT that was not answered to the end.
    pub(crate) inits: [bool; 2],
    /// Who sent a heartbeat with a tag that is not known: after a restart the
    /// answer would prove it right.
    pub(crate) stray_heartbeat: Option<Direction>,
}

impl Sctp {
    pub(super) fn tag(&self, dir: Direction) -> u32 {
        self.tags[dir.index()]
    }

    pub(super) fn set_tag(&mut self, dir: Direction, tag: u32) {
        self.tags[dir.index()] = tag;
    }
}
