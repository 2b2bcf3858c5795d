//! What the log says of a packet that a helper drops.

use super::*;

/// What was said, without the packet.
fn said(conversation: &mut Conversation) -> Vec<String> {
    let lines = core::iter::from_fn(|| conversation.engine.poll_log());
    let told = lines.filter_map(|line| {
        let (_, reason) = line.text.split_once("dropping packet: ")?;
        Some(reason.split(" IN=").next()?.trim().to_string())
    });
    told.collect()
}

fn last(words: &Words) -> (usize, &[u8]) {
    let (who, payload) = words.last().expect("words");
    (*who, payload)
}

#[test]
fn what_cannot_be_expected_is_told_as_the_kernel_does() {
    const NO_EXPECTATION: &str = "cannot add expectation";
    let family = Family::V4;
    let own = Host::Client.address(family);
    let rows: [(Helper, u8, Words, &str, &[&str]); 5] = [
        (Helper::Ftp, proto::TCP, ftp(own), NO_EXPECTATION, &["all ports in use"]),
        (
            Helper::Tftp,
            proto::UDP,
            vec![(CLIENT, b"\x00\x01file\x00octet\x00".to_vec())],
            NO_EXPECTATION,
            &[NO_EXPECTATION],
        ),
        (
            Helper::Sip,
            proto::UDP,
            vec![sip(own).remove(0)],
            "cannot add expectation for voice",
            &["all ports in use for SDP media", "cannot add expectation for voice"],
        ),
        (
            Helper::Sip,
            proto::UDP,
            vec![sip(own).remove(1)],
            NO_EXPECTATION,
            &["all ports in use for SIP"],
        ),
        (
            Helper::Q931,
            proto::TCP,
            vec![(CLIENT, h323::connect(family))],
            "cannot process Q.931 message",
            // The call goes on without.
            &[],
        ),
    ];
    for (helper, proto, words, plain, translated) in rows {
        for (is_translated, expected) in [(false, &[plain][..]), (true, translated)] {
            let mut conversation = Conversation::begin(helper, family, proto, is_translated);
            conversation.engine.limits.expect_max = 0;
            for (who, payload) in &words[..words.len() - 1] {
                conversation.say(*who, payload);
            }
            let (who, payload) = last(&words);
            conversation.say(who, payload);
            assert_eq!(said(&mut conversation), expected, "{helper:?} {is_translated}");
        }
    }
}

#[test]
fn a_session_that_cannot_be_rewritten_is_dropped_at_times_without_a_word() {
    let own = Host::Client.address(Family::V4);
    let session = |lines: &str, length: &str| {
        alloc::format!("INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\n{length}\r\nv=0\r\n{lines}")
    };
    let address = alloc::format!("c=IN IP4 {own}\r\n");
    let (owner, media) = (alloc::format!("o=b 1 1 IN IP4 {own}\r\n"), "m=audio 4000 RTP/AVP 0\r\n");
    let rows: [(&str, String, &[&str]); 3] = [
        ("no owner", session(&[&address, media].concat(), "Content-Length: 1\r\n"), &[]),
        ("no length", session(&[&owner[..], &address, media].concat(), ""), &[]),
        (
            "no length, for a medium's own address",
            session(&[&owner[..], media, &address].concat(), ""),
            &["cannot mangle SDP"],
        ),
    ];
    for (what, message, expected) in rows {
        let mut conversation = Conversation::begin(Helper::Sip, Family::V4, proto::UDP, true);
        let sent = conversation.say(CLIENT, message.as_bytes());
        assert!(matches!(sent.outcome.verdict, Verdict::Drop(_)), "{what}");
        assert_eq!(said(&mut conversation), expected, "{what}");
    }
}
