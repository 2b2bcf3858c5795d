//! The SCTP state machine as a table: `[direction][chunk][state]`.
//!
//! Linux: `sctp_conntracks[]`; RFC 9260 section 4 for what the chunks mean.
//! Chunks that are not in the table (DATA, SACK and their like) change nothing.

use tidegate_wire::packet::sctp::kind;

use super::state::SctpState;
use crate::tuple::Direction;

/// The state after a chunk; `None` if the chunk has no place in this state.
pub(super) fn transition(dir: Direction, chunk: u8, state: SctpState) -> Option<SctpState> {
    let Some(index) = index_of(chunk) else { return Some(state) };
    let table = match dir {
        Direction::Original => &ORIGINAL,
        Direction::Reply => &REPLY,
    };
    table[index][state as usize]
}

fn index_of(chunk: u8) -> Option<usize> {
    Some(match chunk {
        kind::INIT => 0,
        kind::INIT_ACK => 1,
        kind::ABORT => 2,
        kind::SHUTDOWN => 3,
        kind::SHUTDOWN_ACK => 4,
        kind::ERROR => 5,
        kind::COOKIE_ECHO => 6,
        kind::COOKIE_ACK => 7,
        kind::SHUTDOWN_COMPLETE => 8,
        kind::HEARTBEAT => 9,
        kind::HEARTBEAT_ACK => 10,
        _ => return None,
    })
}

const IV: Option<SctpState> = None;
const CL: Option<SctpState> = Some(SctpState::Closed);
const CW: Option<SctpState> = Some(SctpState::CookieWait);
const CE: Option<SctpState> = Some(SctpState::CookieEchoed);
const ES: Option<SctpState> = Some(SctpState::Established);
const SS: Option<SctpState> = Some(SctpState::ShutdownSent);
const SR: Option<SctpState> = Some(SctpState::ShutdownRecd);
const SA: Option<SctpState> = Some(SctpState::ShutdownAckSent);
const HS: Option<SctpState> = Some(SctpState::HeartbeatSent);

type Row = [Option<SctpState>; 9];

/// From the side that began it.
#[rustfmt::skip]
const ORIGINAL: [Row; 11] = [
    //                    none CLOSED CK_WAIT CK_ECHO ESTAB SD_SENT SD_RECD SD_ACK HB_SENT
    /* INIT              begins an association, or one anew that is being shut down */
                       [ CL,  CL,    CW,     CE,     ES,   CL,     CL,     SA,    CW ],
    /* INIT ACK          only answers; learns nothing from this side */
                       [ CL,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    CL ],
    /* ABORT             ends everything */
                       [ CL,  CL,    CL,     CL,     CL,   CL,     CL,     CL,    CL ],
    /* SHUTDOWN          only of an association that is up */
                       [ CL,  CL,    CW,     CE,     SS,   SS,     SR,     SA,    CL ],
    /* SHUTDOWN ACK      answers; out of the blue it may be of an association that was lost */
                       [ SA,  CL,    CW,     CE,     ES,   SA,     SA,     SA,    SA ],
    /* ERROR             a stale cookie is the other side's to report */
                       [ CL,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    CL ],
    /* COOKIE ECHO       the third step of the handshake */
                       [ CL,  CL,    CE,     CE,     ES,   SS,     SR,     SA,    CL ],
    /* COOKIE ACK        the fourth, where the INITs crossed */
                       [ CL,  CL,    CW,     ES,     ES,   SS,     SR,     SA,    CL ],
    /* SHUTDOWN COMPLETE the last step of the end */
                       [ CL,  CL,    CW,     CE,     ES,   SS,     SR,     CL,    CL ],
    /* HEARTBEAT         begins another path */
                       [ HS,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    HS ],
    /* HEARTBEAT ACK     only answers */
                       [ CL,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    HS ],
];

/// From the side that answers: on a new path nothing but heartbeats.
#[rustfmt::skip]
const REPLY: [Row; 11] = [
    //                    none CLOSED CK_WAIT CK_ECHO ESTAB SD_SENT SD_RECD SD_ACK HB_SENT
    /* INIT              crosses ours; the tags tell */
                       [ IV,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    IV ],
    /* INIT ACK          the second step of the handshake */
                       [ IV,  CW,    CW,     CE,     ES,   SS,     SR,     SA,    IV ],
    /* ABORT             ends everything */
                       [ IV,  CL,    CL,     CL,     CL,   CL,     CL,     CL,    IV ],
    /* SHUTDOWN          only of an association that is up */
                       [ IV,  CL,    CW,     CE,     SR,   SS,     SR,     SA,    IV ],
    /* SHUTDOWN ACK      answers */
                       [ IV,  CL,    CW,     CE,     ES,   SA,     SA,     SA,    IV ],
    /* ERROR             a stale cookie: no association */
                       [ IV,  CL,    CW,     CL,     ES,   SS,     SR,     SA,    IV ],
    /* COOKIE ECHO       where the INITs crossed */
                       [ IV,  CL,    CE,     CE,     ES,   SS,     SR,     SA,    IV ],
    /* COOKIE ACK        the fourth step: the association is up */
                       [ IV,  CL,    CW,     ES,     ES,   SS,     SR,     SA,    IV ],
    /* SHUTDOWN COMPLETE the last step of the end */
                       [ IV,  CL,    CW,     CE,     ES,   SS,     SR,     CL,    IV ],
    /* HEARTBEAT         proves nothing yet */
                       [ IV,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    HS ],
    /* HEARTBEAT ACK     the new path works */
                       [ IV,  CL,    CW,     CE,     ES,   SS,     SR,     SA,    ES ],
];
