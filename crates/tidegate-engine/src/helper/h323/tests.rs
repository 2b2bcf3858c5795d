//! Messages as they are read: what is noted, what is none, and that nothing can hurt.

use alloc::vec;

use proptest::prelude::{any, prop, prop_assert, proptest};
use tidegate_wire::Family::{V4, V6};

use super::per::{Malformed, Mark, Type, Value, decode};
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

const REGISTRATION: &str = "0e000001060008914a00040001000a00010206b801000a00010206b70000010100\
                            01028003400257";
const UNREGISTRATION: &str =
    "1800000102007f000001000130fd000000000000000000000000000002000201010101";
const ADMISSION_CONFIRM: &str = "280000010064000a00010306b801010101";
const T120: &str = "0380006510183001004003e8800700000101010101010908000a00010205df00";
const MEDIA: &str = "034000650c2014800e100001000a0001021b58010101014c2014800e100001000a0001021c20\
                     01010101";
const FORWARDED: &str = "080212340504038893a57e0016050640060008914a0004000a00010306b82020202020";

/// What is noted, as the mark, the place in a list, and the value.
fn noted(hex: &str, ty: &Type) -> Result<Vec<(Mark, usize, Value)>, Malformed> {
    let found = decode(&bytes(hex), 0, ty)?;
    Ok(found.into_iter().map(|one| (one.mark, one.nth, one.value)).collect())
}

#[test]
fn a_message_tells_its_endpoints() {
    use Value::{Endpoint, Number};
    let ras = |kind| (Mark::Ras, 0, Number(kind));
    let channel = [(Mark::Control, 0, Number(0)), (Mark::Channel, 0, Number(0))];
    let rows = [
        (
            "an unregistration",
            noted(UNREGISTRATION, &RAS_MESSAGE),
            vec![
                ras(6),
                (Mark::SignalAddress, 0, Endpoint(V4, 6)),
                (Mark::SignalAddress, 1, Endpoint(V6, 13)),
            ],
        ),
        (
            "an admission",
            noted(ADMISSION_CONFIRM, &RAS_MESSAGE),
            vec![ras(10), (Mark::SignalAddress, 0, Endpoint(V4, 7))],
        ),
        (
            "an address of no family that is known",
            noted("04000001060008914a00045100616263", &RAS_MESSAGE),
            vec![ras(1)],
        ),
        ("a message that nobody wants", noted("0800", &RAS_MESSAGE), vec![ras(2)]),
        (
            "a channel of T.120",
            noted(T120, &CONTROL_MESSAGE),
            [
                &channel[..],
                &[(Mark::DataProtocol, 0, Number(10)), (Mark::StackAddress, 0, Endpoint(V4, 25))],
            ]
            .concat(),
        ),
        (
            "a channel both ways",
            noted(MEDIA, &CONTROL_MESSAGE),
            [
                &channel[..],
                &[
                    (Mark::MediaAddress, 0, Endpoint(V4, 13)),
                    (Mark::MediaAddress, 0, Endpoint(V4, 32)),
                ],
            ]
            .concat(),
        ),
    ];
    for (what, found, expected) in rows {
        assert_eq!(found, Ok(expected), "{what}");
    }
}

#[test]
fn a_time_to_live_is_stepped_over_twice() {
    let padded = alloc::format!("{REGISTRATION}0000");
    assert_eq!(noted(REGISTRATION, &RAS_MESSAGE), Err(Malformed), "at the end");
    let last = noted(&padded, &RAS_MESSAGE).unwrap().pop();
    assert_eq!(last, Some((Mark::TimeToLive, 0, Value::Number(600))), "with something behind it");
}

#[test]
fn the_user_s_part_of_a_message_is_found() {
    let whole = bytes(FORWARDED);
    let found = call::user_information(&whole).expect("a message");
    let marks: Vec<_> = found.iter().map(|one| one.mark).collect();
    assert_eq!(marks, [Mark::Call, Mark::AlternativeAddress, Mark::Reason]);
    assert_eq!(found[1].value, Value::Endpoint(V4, 24), "from the message's beginning");
    let rows: [(&str, &[u8]); 5] = [
        ("nothing", &[]),
        ("another protocol", &[&[9], &whole[1..]].concat()),
        ("a reference that is cut", &[8, 9, 0, 0, 5, 0]),
        ("no user's part", &whole[..10]),
        ("one without octets", &[8, 0, 5, 0x7e, 0, 0, 5]),
    ];
    for (what, data) in rows {
        assert_eq!(call::user_information(data), None, "{what}");
    }
}

#[test]
fn messages_may_be_cut_anywhere() {
    let all = [
        (REGISTRATION, &RAS_MESSAGE),
        (UNREGISTRATION, &RAS_MESSAGE),
        (ADMISSION_CONFIRM, &RAS_MESSAGE),
        (T120, &CONTROL_MESSAGE),
        (MEDIA, &CONTROL_MESSAGE),
    ];
    for (hex, ty) in all {
        let whole = bytes(hex);
        let complete = decode(&whole, 0, ty).unwrap_or_default();
        for len in 0..whole.len() {
            if let Ok(found) = decode(&whole[..len], 0, ty) {
                assert_eq!(found, complete, "{hex}: {len} octets are either enough or nothing");
            }
        }
    }
    let whole = bytes(FORWARDED);
    assert!((0..whole.len()).all(|len| call::user_information(&whole[..len]).is_none()));
}

#[test]
fn messages_in_a_stream_are_told_apart() {
    type Row<'a> = (&'a str, &'a [u8], u16, (Option<core::ops::Range<usize>>, u16));
    let rows: [Row<'_>; 10] = [
        ("a message", &[3, 0, 0, 6, 1, 2], 0, (Some(4..6), 0)),
        ("and the next one's beginning", &[3, 0, 0, 5, 1, 3], 0, (Some(4..5), 0)),
        ("an empty one", &[3, 0, 0, 4], 0, (Some(4..4), 0)),
        ("a header alone", &[3, 0, 0, 9], 7, (None, 5)),
        ("one that is cut", &[3, 0, 0, 9, 1], 7, (None, 0)),
        ("a length that is none", &[3, 0, 0, 3, 1], 0, (None, 0)),
        ("what was awaited", &[8, 1, 2], 2, (Some(0..2), 0)),
        ("less than that", &[8, 1, 2], 4, (None, 0)),
        ("no message", &[8, 1, 2], 0, (None, 0)),
        ("nothing", &[], 4, (None, 0)),
    ];
    for (what, data, awaited, expected) in rows {
        assert_eq!(tpkt::begin(data, awaited), expected, "{what}");
    }
}

proptest! {
    #[test]
    fn nothing_in_a_message_can_hurt(
        which in 0..6usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let hex = [REGISTRATION, UNREGISTRATION, ADMISSION_CONFIRM, T120, MEDIA, FORWARDED][which];
        let mut message = bytes(hex);
        message.extend(&tail);
        for (place, octet) in &edits {
            let at = place.index(message.len());
            message[at] = *octet;
        }
        for ty in [&RAS_MESSAGE, &CONTROL_MESSAGE] {
            let found = decode(&message, 0, ty).unwrap_or_default();
            prop_assert!(found.len() <= 40, "no more is noted than lists allow");
        }
        let found = call::user_information(&message).unwrap_or_default();
        prop_assert!(found.len() <= 400);
    }
}
