//! Whatever comes in: a verdict, and no panic.

use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use tidegate_wire::packet::ipv4::Ipv4;

use super::*;
use crate::verdict::DropReason;

/// An engine that knows the samples' flows.
fn acquainted(family: Family) -> Engine {
    let mut engine = engine(limits());
    for sample in samples() {
        receive(&mut engine, at(0), family, &sample);
    }
    engine
}

#[test]
fn a_datagram_that_is_cut_short_is_malformed() {
    for (family, sample) in
        Family::ALL.iter().flat_map(|f| samples().into_iter().map(move |s| (*f, s)))
    {
        let whole = sample.bytes(family);
        for len in 0..whole.len() {
            let mut engine = engine(limits());
            let mut bytes = whole[..len].to_vec();
            let outcome = receive_bytes(&mut engine, at(0), &mut bytes, sample.from);
            let malformed = matches!(outcome.verdict, Verdict::Drop(DropReason::Malformed(_)));
            assert!(malformed, "{family:?} {sample:?} at {len}: {outcome:?}");
            assert_eq!((outcome.conntrack, outcome.flow, engine.count()), (None, None, 0));
            assert_eq!(bytes, whole[..len], "nobody has written to it");
        }
    }
}

/// The IP header agrees with what is there, so that only the upper layer is cut.
fn cut(bytes: &mut Vec<u8>, len: usize, family: Family) {
    bytes.truncate(len);
    match family {
        Family::V4 => {
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            mend(bytes);
        }
        Family::V6 => bytes[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes()),
    }
}

/// Makes an IPv4 header's checksum right again.
fn mend(bytes: &mut [u8]) {
    let Some(len) = Ipv4::new(&*bytes).map(|ip| ip.header_len().clamp(20, bytes.len())) else {
        return;
    };
    bytes[10..12].fill(0);
    let checksum = tidegate_wire::checksum::Sum::new().bytes(&bytes[..len]).finish();
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn an_upper_layer_that_is_cut_short_has_a_verdict() {
    for family in Family::ALL {
        let header = if family == Family::V4 { 20 } else { 40 };
        let mut engine = acquainted(family);
        for sample in samples() {
            let whole = sample.bytes(family);
            for len in header..whole.len() {
                let mut bytes = whole.clone();
                cut(&mut bytes, len, family);
                let outcome = receive_bytes(&mut engine, at(0), &mut bytes, sample.from);
                let passed = matches!(outcome.verdict, Verdict::Forward { .. } | Verdict::Local);
                assert!(passed, "{family:?} {sample:?} at {len}: {outcome:?}");
                assert!(outcome.conntrack.is_some());
            }
        }
        assert_eq!(engine.count(), engine.flows().count());
    }
}

#[test]
fn padding_of_the_link_does_not_matter() {
    for family in Family::ALL {
        let (mut plain, mut padded) = (engine(limits()), engine(limits()));
        for sample in samples() {
            let mut bytes = sample.bytes(family);
            let mut longer = bytes.clone();
            longer.extend([0xee; 13]);
            let one = receive_bytes(&mut plain, at(0), &mut bytes, sample.from);
            let other = receive_bytes(&mut padded, at(0), &mut longer, sample.from);
            assert_eq!(one, other, "{sample:?}");
            assert_eq!(longer[..bytes.len()], bytes, "{sample:?}");
            assert_eq!(longer[bytes.len()..], [0xee; 13], "{sample:?}");
        }
        assert_eq!(everything(&mut plain), everything(&mut padded));
    }
}

proptest! {
    #[test]
    fn rubbish_has_a_verdict(mut bytes in prop::collection::vec(any::<u8>(), 0..200), v6: bool) {
        let mut engine = acquainted(if v6 { Family::V6 } else { Family::V4 });
        if let Some(first) = bytes.first_mut() {
            *first = if v6 { 0x60 } else { 0x45 } | *first & 0x0a;
        }
        if !v6 && bytes.len() >= 20 {
            mend(&mut bytes);
        }
        receive_bytes(&mut engine, at(1), &mut bytes, Host::Client);
        prop_assert_eq!(engine.count(), engine.flows().count());
    }

    #[test]
    fn a_spoilt_sample_has_a_verdict(
        nth in 0..15usize,
        spoilt in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        v6: bool,
        unverified: bool,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut engine = acquainted(family);
        engine.limits.checksum = !unverified;
        let sample = &samples()[nth];
        let mut bytes = sample.bytes(family);
        for (at, byte) in spoilt {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if !v6 {
            mend(&mut bytes);
        }
        receive_bytes(&mut engine, at(1), &mut bytes, sample.from);
        prop_assert_eq!(engine.count(), engine.flows().count());
    }
}
