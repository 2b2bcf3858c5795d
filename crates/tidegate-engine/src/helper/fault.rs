//! Why a helper has a packet dropped, in the words of the kernel's log.
//!
//! Linux: `nf_ct_helper_log`.

use core::fmt;

/// Why a helper has a packet dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperFault {
    /// The command of this word is cut off, or not what it should be.
    Partial(&'static str),
    /// This part of a message is missing, or not what it should be.
    Malformed(&'static str),
    /// A message announces a port that nobody may be asked to send to.
    WrongPort(u32),
    /// What the packet announces can't be expected: there are too many, or another one expects it.
    NotExpected,
    /// The same, of a call's media.
    MediaNotExpected,
    /// What the packet announces can't be expected under any port.
    NoPort(Purpose),
    /// This part of the packet can't be rewritten.
    NotRewritten(Part),
    /// A session has no owner, or a message no length, which would have to be rewritten.
    NoOwner,
    /// A datagram's length isn't what its header says.
    WrongLength,
    /// A message is none of its protocol.
    Unreadable,
    /// The packet has grown beyond the MTU, and must not be cut.
    TooBig,
}

/// What a port is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A connection.
    Connection,
    /// Calls, by SIP.
    Calls,
    /// The media of a call, by SIP.
    Media,
}

/// What is to be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The payload.
    Packet,
    /// The first line of a SIP message.
    Request,
    /// The first header `Via`.
    Via,
    /// Its parameter `maddr`.
    Maddr,
    /// Its parameter `received`.
    Received,
    /// Its parameter `rport`.
    Rport,
    /// A header `Contact`.
    Contact,
    /// The header `From` or `To`.
    FromOrTo,
    /// The port of a medium in a session's description.
    Port,
    /// The address of a medium in a session's description.
    Address,
}

impl HelperFault {
    /// Whether the kernel drops the packet without a word.
    #[must_use]
    pub fn is_silent(self) -> bool {
        self == Self::NoOwner
    }

    /// What the kernel says besides, on a line of its own: that something else has failed because of
    /// it.
    #[must_use]
    pub fn consequence(self) -> Option<Self> {
        match self {
            Self::NoPort(Purpose::Media) | Self::NotRewritten(Part::Port) => {
                Some(Self::MediaNotExpected)
            }
            Self::NotRewritten(
                Part::Request
                | Part::Via
                | Part::Maddr
                | Part::Received
                | Part::Rport
                | Part::Contact
                | Part::FromOrTo,
            ) => Some(Self::Malformed("NAT SIP message")),
            _ => None,
        }
    }
}

impl fmt::Display for HelperFault {
    /// The kernel's words, where it has any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial(word) => write!(f, "partial matching of `{word}'"),
            Self::Malformed(part) => write!(f, "cannot {part}"),
            Self::WrongPort(port) => write!(f, "wrong port {port}"),
            Self::NotExpected => f.write_str("cannot add expectation"),
            Self::MediaNotExpected => f.write_str("cannot add expectation for voice"),
            Self::NoPort(Purpose::Connection) => f.write_str("all ports in use"),
            Self::NoPort(Purpose::Calls) => f.write_str("all ports in use for SIP"),
            Self::NoPort(Purpose::Media) => f.write_str("all ports in use for SDP media"),
            Self::NotRewritten(part) => write!(f, "cannot mangle {part}"),
            Self::NoOwner => f.write_str("cannot mangle SDP session"),
            Self::WrongLength => f.write_str("dropping malformed packet"),
            Self::Unreadable => f.write_str("parser failed"),
            Self::TooBig => f.write_str("rewritten packet is too big"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => "packet",
            Self::Request => "SIP message",
            Self::Via => "Via header",
            Self::Maddr => "maddr",
            Self::Received => "received",
            Self::Rport => "rport",
            Self::Contact => "contact",
            Self::FromOrTo => "SIP from/to",
            Self::Port => "SDP message",
            Self::Address => "SDP",
        })
    }
}
