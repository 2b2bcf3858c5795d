//! H.323: each connection announces the next one, down to the media.

use super::*;
use crate::expect::{ExpectFlags, Expectation};

const REGISTRATION: [&str; 2] = [
    "0e800001060008914a00040001000a00010206b801000a00010213c400000140010061006c00010100010280034002\
     570000",
    "0e800001060008914a0004000130fd00000100000000000000000000000206b80130fd0000010000000000000000000\
     0000213c400000140010061006c00010100010280034002570000",
];

const CONNECT: [&str; 2] = [
    "03000081080212340504038893a57e00700522c0060008914a0004000a00010213890000000000000000000000000000\
     0000000008101f011d0000650c20148015140001000a0001021b58000a0001021b590101010104c00180220120038000\
     6510183001004003e8800700000101010101010908000a00010205df0001010101",
    "030000b1080212340504038893a57e00a00522c0060008914a000430fd00000100000000000000000000000213890000\
     0000000000000000000000000000000008103701350000650c2014802d14000108fd0000010000000000000000000000\
     021b5808fd0000010000000000000000000000021b590101010104c001802e012c03800065101830010040\
     03e880070000010101010101150820fd00000100000000000000000000000205df0001010101",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn of(family: Family, both: [&str; 2]) -> Vec<u8> {
    bytes(both[usize::from(family == Family::V6)])
}

/// The client may be called at port 1720, and is asked for at the port that it sends from. Without
/// the octets behind its time to live Linux would not read it.
pub(super) fn registration(family: Family) -> Vec<u8> {
    of(family, REGISTRATION)
}

/// H.245 is at port 5001 of the client, media at 7000 and 7001, T.120 at 1503.
pub(super) fn connect(family: Family) -> Vec<u8> {
    of(family, CONNECT)
}

/// A registration that doesn't say how long it is to last: what is said behind its first part is not announced.
pub(super) fn unlimited(mut registration: Vec<u8>) -> Vec<u8> {
    registration[0] &= !2;
    registration
}

/// A gatekeeper's answer, which doesn't say either how long it lasts.
pub(super) fn registration_confirmed() -> Vec<u8> {
    bytes("10000001060008914a0004000000610000")
}

/// The call goes on at port 1720 of the client.
fn forwarded() -> Vec<u8> {
    bytes("03000027080212340504038893a57e0016050640060008914a0004000a00010206b82020202020")
}

fn expected(conversation: &Conversation) -> Vec<(u8, u16, ExpectFlags, Option<Helper>)> {
    let row = |one: &Expectation| (one.tuple.proto, one.tuple.dport, one.flags, one.assigns);
    conversation.engine.expectations().map(row).collect()
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn tells(payload: &[u8], endpoint: &[u8]) -> bool {
    payload.windows(endpoint.len()).any(|window| window == endpoint)
}

#[test]
fn each_step_announces_the_next() {
    let (once, always) = (ExpectFlags::empty(), ExpectFlags::PERMANENT);
    for family in Family::ALL {
        for translated in [false, true] {
            let mut ras = Conversation::begin(Helper::Ras, family, proto::UDP, translated);
            ras.say(CLIENT, &registration(family));
            let calls = [(proto::TCP, 1720, always, Some(Helper::Q931))];
            assert_eq!(expected(&ras), calls, "{family:?} {translated}");
            let mut call = Conversation::begin(Helper::Q931, family, proto::TCP, translated);
            call.say(CLIENT, &connect(family));
            let channels = [
                (proto::TCP, 5001, once, Some(Helper::H245)),
                (proto::UDP, 7000, once, None),
                (proto::UDP, 7001, once, None),
                (proto::TCP, 1503, always, None),
            ];
            let mut announced = expected(&call);
            announced.dedup();
            assert_eq!(announced, channels, "{family:?} {translated}");
        }
    }
}

#[test]
fn endpoints_of_ipv4_are_rewritten_and_those_of_ipv6_stay() {
    for family in Family::ALL {
        for (helper, proto, message) in [
            (Helper::Ras, proto::UDP, registration(family)),
            (Helper::Q931, proto::TCP, connect(family)),
        ] {
            let mut conversation = Conversation::begin(helper, family, proto, true);
            let sent = conversation.say(CLIENT, &message);
            check(&conversation, &sent, "rewritten");
            let own = octets(Host::Client.address(family));
            assert!(tells(&message, &own), "{family:?} {helper:?}: before");
            let stays = tells(&sent.bytes, &own);
            assert_eq!(stays, family == Family::V6, "{family:?} {helper:?}: after");
        }
    }
}

#[test]
fn a_message_may_come_behind_its_header() {
    for family in Family::ALL {
        let mut conversation = Conversation::begin(Helper::Q931, family, proto::TCP, false);
        let message = connect(family);
        conversation.say(CLIENT, &message[..4]);
        assert_eq!(conversation.expected(), 0, "{family:?}: the header");
        conversation.say(CLIENT, &message[4..]);
        assert_eq!(conversation.expected(), 4, "{family:?}: the message");
    }
}

/// Each row: who says that the call goes on at the client, whether that is filtered, and whether it is expected: who hears
/// it can go there by himself if it is his own way.
#[test]
fn a_call_that_goes_on_elsewhere_is_expected_there_unless_it_is_filtered() {
    let rows = [
        ("the client", CLIENT, "1", true),
        ("the client, unfiltered", CLIENT, "0", true),
        ("the server", SERVER, "1", false),
        ("the server, unfiltered", SERVER, "0", true),
    ];
    for (what, who, filter, is_expected) in rows {
        let mut call = Conversation::begin(Helper::Q931, Family::V4, proto::TCP, false);
        call.engine.set("nf_conntrack_h323.callforward_filter", filter).expect("a setting");
        call.say(who, &forwarded());
        let calls = [(proto::TCP, 1720, ExpectFlags::empty(), Some(Helper::Q931))];
        assert_eq!(expected(&call), &calls[..usize::from(is_expected)], "{what}");
    }
}
