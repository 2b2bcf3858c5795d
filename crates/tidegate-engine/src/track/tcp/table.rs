//! The TCP state machine as a table: `[direction][segment][state]`.
//!
//! A tracker in the middle sees what was sent, not what arrived. So three
//! answers exist besides a new state: *ignore* (the segment may be right and we
//! out of step; the receiver will tell) and *invalid*. Linux:
//! `tcp_conntracks[]`; RFC 9293 section 3.3.2 for the states themselves.

use super::{SegmentKind, TcpState};
use crate::tuple::Direction;

/// What a segment does to a connection in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The connection is now in this state.
    To(TcpState),
    /// Let it pass and learn nothing.
    Ignore,
    /// It has no place here.
    Invalid,
}

/// Looks the transition up.
pub(super) fn transition(dir: Direction, kind: SegmentKind, state: TcpState) -> Transition {
    let row = match dir {
        Direction::Original => &ORIGINAL[kind as usize],
        Direction::Reply => &REPLY[kind as usize],
    };
    row[state as usize]
}

const IG: Transition = Transition::Ignore;
const IV: Transition = Transition::Invalid;
const SS: Transition = Transition::To(TcpState::SynSent);
const SR: Transition = Transition::To(TcpState::SynRecv);
const ES: Transition = Transition::To(TcpState::Established);
const FW: Transition = Transition::To(TcpState::FinWait);
const CW: Transition = Transition::To(TcpState::CloseWait);
const LA: Transition = Transition::To(TcpState::LastAck);
const TW: Transition = Transition::To(TcpState::TimeWait);
const CL: Transition = Transition::To(TcpState::Close);
const S2: Transition = Transition::To(TcpState::SynSent2);

type Row = [Transition; 10];

/// From the side that began it.
#[rustfmt::skip]
const ORIGINAL: [Row; 5] = [
    //          none SYN_SENT SYN_RECV ESTAB FIN_W CLOSE_W LAST_ACK TIME_W CLOSE SYN_SENT2
    /* SYN     opens; repeats; out of step; reopens TIME_WAIT and CLOSE */
             [ SS,  SS,      IG,      IG,   IG,   IG,     IG,      SS,    SS,   S2 ],
    /* SYN/ACK only answers the other side's SYN in a simultaneous open */
             [ IV,  IV,      SR,      IV,   IV,   IV,     IV,      IV,    IV,   SR ],
    /* FIN     begins closing; the second one leaves the last ACK to wait for */
             [ IV,  IV,      FW,      FW,   LA,   LA,     LA,      TW,    CL,   IV ],
    /* ACK     completes the handshake; picks up mid-stream; acknowledges a FIN */
             [ ES,  IV,      ES,      ES,   CW,   CW,     TW,      TW,    CL,   IV ],
    /* RST     ends everything but nothing */
             [ IV,  CL,      CL,      CL,   CL,   CL,     CL,      CL,    CL,   CL ],
];

/// From the side that answers.
#[rustfmt::skip]
const REPLY: [Row; 5] = [
    //          none SYN_SENT SYN_RECV ESTAB FIN_W CLOSE_W LAST_ACK TIME_W CLOSE SYN_SENT2
    /* SYN     simultaneous open; reopens TIME_WAIT from the other side */
             [ IV,  S2,      IV,      IV,   IV,   IV,     IV,      SS,    IV,   S2 ],
    /* SYN/ACK the standard answer; later ones may answer a SYN we ignored */
             [ IV,  SR,      IG,      IG,   IG,   IG,     IG,      IG,    IG,   SR ],
    /* FIN     as from the other side */
             [ IV,  IV,      FW,      FW,   LA,   LA,     LA,      TW,    CL,   IV ],
    /* ACK     to a SYN: perhaps a half-open connection; else as above */
             [ IV,  IG,      SR,      ES,   CW,   CW,     TW,      TW,    CL,   IG ],
    /* RST */
             [ IV,  CL,      CL,      CL,   CL,   CL,     CL,      CL,    CL,   CL ],
];
