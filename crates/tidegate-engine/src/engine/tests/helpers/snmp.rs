//! SNMP: addresses in answers and traps, which no expectation is made of.

use super::*;

/// A message of a PDU, which tells an address.
fn message(pdu: u8, address: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = address;
    let variables = [0x30, 11, 0x30, 9, 6, 1, 0x2b, 0x40, 4, a, b, c, d];
    let pdu = [&[pdu, 22, 2, 1, 1, 2, 1, 0, 2, 1, 0][..], &variables].concat();
    [&[0x30, 30, 2, 1, 0, 4, 1, b'p'][..], &pdu].concat()
}

const RESPONSE: u8 = 0xa2;
const OLD_TRAP: u8 = 0xa4;
const TRAP: u8 = 0xa7;
const CLIENTS: [u8; 4] = [10, 0, 1, 2];

#[test]
fn an_address_becomes_the_one_that_is_seen() {
    let unreadable = Verdict::Drop(DropReason::Helper(HelperFault::Unreadable));
    let rows = [
        ("the client's", message(TRAP, CLIENTS), true, Some(true)),
        ("in a response", message(RESPONSE, CLIENTS), true, Some(true)),
        ("another one", message(TRAP, [10, 0, 1, 3]), true, Some(false)),
        ("in a trap of version 1", message(OLD_TRAP, CLIENTS), true, None),
        ("in none", b"no message".to_vec(), true, None),
        ("untranslated", message(TRAP, CLIENTS), false, Some(false)),
        ("untranslated, in none", b"no message".to_vec(), false, Some(false)),
    ];
    for helper in [Helper::Snmp, Helper::SnmpTrap] {
        for (what, payload, translated, changes) in &rows {
            let mut conversation = Conversation::begin(helper, Family::V4, proto::UDP, *translated);
            let sent = conversation.say(CLIENT, payload);
            check(&conversation, &sent, what);
            let goes = sent.outcome.verdict != unreadable;
            assert_eq!(goes, changes.is_some(), "{helper:?}: {what}");
            if let Some(changes) = changes {
                assert_eq!(!sent.bytes.ends_with(payload), *changes, "{helper:?}: {what}");
            }
        }
    }
}

#[test]
fn a_message_may_be_cut_at_every_byte() {
    let payload = message(TRAP, CLIENTS);
    for len in 0..payload.len() {
        let mut conversation = Conversation::begin(Helper::SnmpTrap, Family::V4, proto::UDP, true);
        let sent = conversation.say(CLIENT, &payload[..len]);
        check(&conversation, &sent, "cut");
        assert!(matches!(sent.outcome.verdict, Verdict::Drop(_)), "{len}");
    }
}
