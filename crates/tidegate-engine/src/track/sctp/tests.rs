//! SCTP, by exchanges: the client's tag is C, the server's S.

use alloc::boxed::Box;
use alloc::vec::Vec;

use tidegate_wire::proto;

use super::*;
use crate::track::trial::{Payload, Row, orig, play, play_under, reply};

/// The tag that the client wants to be addressed by: replies carry it.
const C: u32 = 0xc;
/// The tag that the server wants to be addressed by.
const S: u32 = 0x5;

const DATA: &[u8] = &[kind::DATA, 3, 0, 4];
const SACK: &[u8] = &[kind::SACK, 0, 0, 4];
const HEARTBEAT: &[u8] = &[kind::HEARTBEAT, 0, 0, 4];
const HEARTBEAT_ACK: &[u8] = &[kind::HEARTBEAT_ACK, 0, 0, 4];
const ABORT: &[u8] = &[kind::ABORT, 0, 0, 4];
const ABORT_T: &[u8] = &[kind::ABORT, 1, 0, 4];
const SHUTDOWN: &[u8] = &[kind::SHUTDOWN, 0, 0, 8, 0, 0, 0, 1];
const SHUTDOWN_ACK: &[u8] = &[kind::SHUTDOWN_ACK, 0, 0, 4];
const COMPLETE: &[u8] = &[kind::SHUTDOWN_COMPLETE, 0, 0, 4];
const COMPLETE_T: &[u8] = &[kind::SHUTDOWN_COMPLETE, 1, 0, 4];
const ERROR: &[u8] = &[kind::ERROR, 0, 0, 4];
const COOKIE_ECHO: &[u8] = &[kind::COOKIE_ECHO, 0, 0, 5, b'!', 0, 0, 0];
const COOKIE_ACK: &[u8] = &[kind::COOKIE_ACK, 0, 0, 4];

fn handshake_chunk<const KIND: u8>(tag: u8) -> [u8; 20] {
    [KIND, 0, 0, 20, 0, 0, 0, tag, 0, 1, 0, 0, 0, 9, 0, 9, 0, 0, 0, 1]
}

fn init(tag: u32) -> [u8; 20] {
    handshake_chunk::<{ kind::INIT }>(tag as u8)
}

fn init_ack(tag: u32) -> [u8; 20] {
    handshake_chunk::<{ kind::INIT_ACK }>(tag as u8)
}

/// The bytes of a packet with that tag.
fn bytes(tag: u32, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [&[0x13, 0x88, 0x17, 0x70][..], &tag.to_be_bytes(), &[0; 4]].concat();
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    Header::new(&mut bytes[..]).expect("a whole header").fill_checksum();
    bytes
}

fn packet(tag: u32, chunks: &[&[u8]]) -> Payload {
    raw(bytes(tag, chunks))
}

fn raw(bytes: Vec<u8>) -> Payload {
    Box::new(move |_, _| bytes.clone())
}

/// The client opens, the server answers.
#[rustfmt::skip]
fn handshake() -> Vec<Row> {
    Vec::from([
        orig("INIT has no tag yet",            packet(0, &[&init(C)]),     "CLOSED 10 reply=c"),
        reply("INIT ACK tells the server's",   packet(C, &[&init_ack(S)]), "COOKIE_WAIT 3 orig=5"),
        orig("the cookie, with data behind",   packet(S, &[COOKIE_ECHO, DATA]), "COOKIE_ECHOED 3"),
        reply("the association is up",         packet(C, &[COOKIE_ACK, SACK]), "ESTABLISHED 210 +assured"),
    ])
}

fn play_all(parts: impl IntoIterator<Item = Vec<Row>>) {
    play(proto::SCTP, &parts.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
#[rustfmt::skip]
fn from_init_to_shutdown_complete() {
    play_all([handshake(), Vec::from([
        orig("data",                           packet(S, &[DATA]),         "210"),
        reply("its acknowledgement",           packet(C, &[SACK, DATA]),   "210"),
        orig("the client is done",             packet(S, &[SHUTDOWN]),     "SHUTDOWN_SENT 3"),
        reply("the server has data left",      packet(C, &[DATA]),         "3"),
        reply("and is done too",               packet(C, &[SHUTDOWN_ACK]), "SHUTDOWN_ACK_SENT 3"),
        orig("over",                           packet(S, &[COMPLETE]),     "CLOSED 10"),
        reply("an echo of the past",           packet(C, &[SHUTDOWN_ACK]), "10"),
    ])]);
    play_all([handshake(), Vec::from([
        reply("the server is done",            packet(C, &[SHUTDOWN]),     "SHUTDOWN_RECD 3"),
        orig("so is the client",               packet(S, &[SHUTDOWN_ACK]), "SHUTDOWN_ACK_SENT 3"),
        reply("over; the tag is reflected",    packet(S, &[COMPLETE_T]),   "CLOSED 10"),
    ])]);
}

#[test]
#[rustfmt::skip]
fn what_begins_an_association() {
    let new = InvalidReason::SctpNew;
    play(proto::SCTP, &[
        orig("not data",                       packet(0, &[DATA]),         "").refused(new),
        orig("not a shutdown with data",       packet(0, &[SHUTDOWN, DATA]), "").refused(new),
        orig("not ABORT",                      packet(0, &[ABORT]),        "").refused(new),
        orig("not SHUTDOWN COMPLETE",          packet(0, &[COMPLETE]),     "").refused(new),
        orig("not COOKIE ACK",                 packet(0, &[COOKIE_ACK]),   "").refused(new),
        orig("not INIT with a tag",            packet(7, &[&init(C)]),     "").refused(InvalidReason::SctpTag),
        orig("not half an INIT",               packet(0, &[&init(C)[..16]]), "").refused(InvalidReason::SctpCut),
        orig("a cookie, unless it has a tag",  packet(7, &[COOKIE_ECHO]),  "").refused(InvalidReason::SctpTag),
        orig("a cookie without one",           packet(0, &[COOKIE_ECHO]),  "CLOSED 10"),
    ]);
    play(proto::SCTP, &[
        orig("an end without a beginning",     packet(S, &[SHUTDOWN_ACK]), "SHUTDOWN_ACK_SENT 3 reply=5"),
        reply("is told that it is over",       packet(S, &[COMPLETE]),     "CLOSED 10"),
    ]);
    play(proto::SCTP, &[
        orig("a cookie and a heartbeat",       packet(S, &[COOKIE_ECHO, HEARTBEAT]), "CLOSED 10 orig=5"),
    ]);
}

#[test]
#[rustfmt::skip]
fn another_path_is_proved_by_heartbeats() {
    play(proto::SCTP, &[
        orig("a heartbeat tells the tag",      packet(S, &[HEARTBEAT]),    "HEARTBEAT_SENT 30 orig=5"),
        orig("data may follow",                packet(S, &[DATA]),         "30"),
        reply("not before it is answered",     packet(C, &[ERROR]),        "")
            .refused(InvalidReason::SctpOtherTag(C, 0, Direction::Reply)),
        reply("nor may the other end abort",   packet(0, &[ABORT]),        "")
            .refused(InvalidReason::SctpState(kind::ABORT, Direction::Reply, SctpState::HeartbeatSent)),
        reply("the answer tells the other",    packet(C, &[HEARTBEAT_ACK]), "ESTABLISHED 210 +assured reply=c"),
        orig("data",                           packet(S, &[DATA]),         "210"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_wrong_tag_is_refused() {
    let wrong = InvalidReason::SctpTag;
    let other = |tag| InvalidReason::SctpOtherTag(tag, S, Direction::Original);
    play_all([handshake(), Vec::from([
        orig("data with the other side's",     packet(C, &[DATA]),         "").refused(other(C)),
        orig("a cookie",                       packet(9, &[COOKIE_ECHO]),  "").refused(wrong),
        orig("INIT with any",                  packet(S, &[&init(C)]),     "").refused(wrong),
        orig("INIT ACK with another",          packet(9, &[&init_ack(C)]), "").refused(other(9)),
        reply("INIT ACK that tells another",   packet(C, &[&init_ack(9)]), "").refused(wrong),
        orig("ABORT with the other side's",    packet(C, &[ABORT]),        "").refused(wrong),
        orig("reflected with one's own",       packet(S, &[ABORT_T]),      "").refused(wrong),
        orig("SHUTDOWN COMPLETE likewise",     packet(C, &[COMPLETE]),     "").refused(wrong),
        orig("SHUTDOWN ACK may have any",      packet(9, &[SHUTDOWN_ACK]), "210"),
        orig("ABORT with the tag reflected",   packet(C, &[ABORT_T]),      "CLOSED 10"),
    ])]);
    play_all([handshake(), Vec::from([
        orig("ABORT",                          packet(S, &[ERROR, ABORT]), "CLOSED 10"),
    ])]);
}

#[test]
#[rustfmt::skip]
fn a_stray_heartbeat_passes_and_its_answer_proves_it() {
    let wrong = InvalidReason::SctpTag;
    play_all([handshake(), Vec::from([
        reply("an answer to nothing",          packet(9, &[HEARTBEAT_ACK]), "").refused(wrong),
        orig("a restarted client's",           packet(9, &[HEARTBEAT]),    ""),
        orig("not with data",                  packet(9, &[HEARTBEAT, DATA]), "").refused(wrong),
        orig("not twice in a packet",          packet(9, &[HEARTBEAT, HEARTBEAT]), "").refused(wrong),
        orig("its own answer proves nothing",  packet(9, &[HEARTBEAT_ACK]), "").refused(wrong),
        reply("the server's does",             packet(8, &[HEARTBEAT_ACK]), "210 orig=0 reply=8"),
        orig("now it tells its tag",           packet(9, &[HEARTBEAT]),    "210 orig=9"),
    ])]);
    play_all([handshake(), Vec::from([
        orig("a stray one",                    packet(9, &[HEARTBEAT]),    ""),
        orig("the right one calls it off",     packet(S, &[HEARTBEAT]),    "210"),
        reply("so nothing is proved",          packet(8, &[HEARTBEAT_ACK]), "").refused(wrong),
    ])]);
}

#[test]
#[rustfmt::skip]
fn inits_that_are_repeated_or_cross() {
    play(proto::SCTP, &[
        orig("INIT",                           packet(0, &[&init(C)]),     "CLOSED 10 reply=c"),
        orig("repeated: not kept alive",       packet(0, &[&init(C)]),     ""),
        orig("another one: nor by that",       packet(0, &[&init(7)]),     "reply=7"),
        reply("the answer",                    packet(7, &[&init_ack(S)]), "COOKIE_WAIT 3 orig=5"),
        orig("a late INIT",                    packet(0, &[&init(7)]),     "3"),
    ]);
    play(proto::SCTP, &[
        orig("the client's INIT",              packet(0, &[&init(C)]),     "CLOSED 10 reply=c"),
        reply("crosses the server's",          packet(0, &[&init(S)]),     "orig=5"),
        reply("an answer with another tag",    packet(C, &[&init_ack(8)]), "").refused(InvalidReason::SctpTag),
        reply("an answer with the known one",  packet(C, &[&init_ack(S)]), "COOKIE_WAIT 3"),
        reply("the server's cookie",           packet(C, &[COOKIE_ECHO]),  "COOKIE_ECHOED 3"),
        orig("the client's acknowledgement",   packet(S, &[COOKIE_ACK]),   "ESTABLISHED 210 +assured"),
    ]);
    play(proto::SCTP, &[
        orig("the client's INIT",              packet(0, &[&init(C)]),     "CLOSED 10 reply=c"),
        reply("crosses the server's",          packet(0, &[&init(S)]),     "orig=5"),
        orig("the client begins anew",         packet(0, &[&init(7)]),     "reply=7"),
        reply("and any answer will do",        packet(7, &[&init_ack(8)]), "COOKIE_WAIT 3 orig=8"),
    ]);
    play_all([handshake(), Vec::from([
        orig("a stale INIT",                   packet(0, &[&init(C)]),     "210"),
        reply("asked for nothing",             packet(C, &[&init_ack(9)]), "").refused(InvalidReason::SctpTag),
    ])]);
    play_all([handshake(), Vec::from([
        orig("a restart",                      packet(0, &[&init(9)]),     "210 reply=9"),
        reply("its answer brings a new tag",   packet(9, &[&init_ack(8)]), "210 orig=8"),
        orig("and a new cookie",               packet(8, &[COOKIE_ECHO]),  "210"),
    ])]);
}

#[test]
#[rustfmt::skip]
fn a_stale_cookie_ends_the_handshake() {
    let mut rows = handshake();
    rows.truncate(3);
    rows.push(reply("the cookie was too old",  packet(C, &[ERROR]),        "CLOSED 10"));
    play(proto::SCTP, &rows);
}

#[test]
#[rustfmt::skip]
fn chunks_that_may_not_stand_together() {
    let cut = InvalidReason::SctpCut;
    let chunk = |number, kind, len, lonely| {
        InvalidReason::SctpChunks(MisplacedChunk { number, kind, len, lonely })
    };
    play(proto::SCTP, &[
        orig("none",                           packet(0, &[]),             "").refused(cut),
        orig("half a header",                  packet(0, &[&[kind::DATA, 0, 0]]), "").refused(cut),
        orig("INIT and more",                  packet(0, &[&init(C), DATA]), "").refused(chunk(1, kind::DATA, 4, true)),
        orig("more and INIT",                  packet(0, &[HEARTBEAT, &init(C)]), "").refused(chunk(1, kind::INIT, 20, true)),
        orig("a cookie behind data",           packet(0, &[DATA, COOKIE_ECHO]), "").refused(chunk(1, kind::COOKIE_ECHO, 5, false)),
        orig("no length",                      packet(0, &[&[kind::HEARTBEAT, 0, 0, 0]]), "").refused(chunk(0, kind::HEARTBEAT, 0, false)),
        orig("a cut header",                   raw(bytes(0, &[])[..11].to_vec()), "").refused(InvalidReason::SctpShort),
    ]);
    play_all([handshake(), Vec::from([
        reply("SHUTDOWN COMPLETE and more",    packet(C, &[COMPLETE, DATA]), "").refused(chunk(1, kind::DATA, 4, true)),
        reply("types nobody knows",            packet(C, &[&[200, 0, 0, 4], DATA]), "210"),
        reply("what was learnt stays, though the rest is refused",
              packet(C, &[SHUTDOWN, &[kind::ABORT, 1, 0, 4]]), "SHUTDOWN_RECD").refused(InvalidReason::SctpTag),
        reply("the state shows with the next", packet(C, &[DATA]), "3"),
    ])]);
}

#[test]
#[rustfmt::skip]
fn the_checksum() {
    let spoilt = || {
        let mut bytes = bytes(0, &[&init(C)]);
        bytes[8] ^= 1;
        raw(bytes)
    };
    play(proto::SCTP, &[
        orig("a wrong one",                    spoilt(),                   "").refused(InvalidReason::BadChecksum),
    ]);
    play_under(proto::SCTP, &[("net.netfilter.nf_conntrack_checksum", "0")], &[
        orig("nobody looks",                   spoilt(),                   "CLOSED 10 reply=c"),
    ]);
}

/// The table again, in a notation of its own: one word for each state from none
/// to HEARTBEAT_SENT, `.` to stay and `x` to refuse.
#[test]
#[rustfmt::skip]
fn every_transition() {
    let rows = [
        (kind::INIT,              "CL . . . . CL CL . CW",        "x . . . . . . . x"),
        (kind::INIT_ACK,          "CL . . . . . . . CL",          "x CW . . . . . . x"),
        (kind::ABORT,             "CL CL CL CL CL CL CL CL CL",   "x CL CL CL CL CL CL CL x"),
        (kind::SHUTDOWN,          "CL . . . SS . . . CL",         "x . . . SR . . . x"),
        (kind::SHUTDOWN_ACK,      "SA . . . . SA SA . SA",        "x . . . . SA SA . x"),
        (kind::ERROR,             "CL . . . . . . . CL",          "x . . CL . . . . x"),
        (kind::COOKIE_ECHO,       "CL . CE . . . . . CL",         "x . CE . . . . . x"),
        (kind::COOKIE_ACK,        "CL . . ES . . . . CL",         "x . . ES . . . . x"),
        (kind::SHUTDOWN_COMPLETE, "CL . . . . . . CL CL",         "x . . . . . . CL x"),
        (kind::HEARTBEAT,         "HS . . . . . . . .",           "x . . . . . . . ."),
        (kind::HEARTBEAT_ACK,     "CL . . . . . . . .",           "x . . . . . . . ES"),
        (kind::DATA,              ". . . . . . . . .",            ". . . . . . . . ."),
        (200,                     ". . . . . . . . .",            ". . . . . . . . ."),
    ];
    for (chunk, from_original, from_reply) in rows {
        for (dir, words) in [(Direction::Original, from_original), (Direction::Reply, from_reply)] {
            for (state, word) in STATES.into_iter().zip(words.split(' ')) {
                let to = match word {
                    "." => Some(state),
                    "x" => None,
                    short => Some(STATES[SHORT.iter().position(|name| *name == short).unwrap()]),
                };
                assert_eq!(transition(dir, chunk, state), to, "chunk {chunk} in {state:?}, {dir:?}");
            }
        }
    }
}

const SHORT: [&str; 9] = ["NO", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS"];
const STATES: [SctpState; 9] = [
    SctpState::None,
    SctpState::Closed,
    SctpState::CookieWait,
    SctpState::CookieEchoed,
    SctpState::Established,
    SctpState::ShutdownSent,
    SctpState::ShutdownRecd,
    SctpState::ShutdownAckSent,
    SctpState::HeartbeatSent,
];

#[test]
fn an_association_that_is_shut_down_may_be_evicted() {
    let closing =
        STATES.map(|state| ProtoState::Sctp(Sctp { state, ..Sctp::default() }).is_closing());
    assert_eq!(closing, [false, false, false, false, false, true, true, true, false]);
}
