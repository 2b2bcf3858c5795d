//! What holds for all datagrams, all orders and all rubbish.

use proptest::prelude::*;
use tidegate_wire::Malformed;

use super::*;
use crate::defrag::refragment::TooBig;

/// A payload and where it is cut, in units of 8 bytes.
fn cut_payload() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize, bool)>)> {
    (prop::collection::vec(3usize..40, 1..12), 1usize..300, any::<u8>()).prop_map(
        |(units, last, seed)| {
            let mut cuts: Vec<_> = units
                .iter()
                .scan(0, |to, units| {
                    let from = core::mem::replace(to, *to + units * 8);
                    Some((from, *to, true))
                })
                .collect();
            let from = cuts.last().map_or(0, |cut| cut.1);
            cuts.push((from, from + last, false));
            let data = payload(from + last).iter().map(|byte| byte ^ seed).collect();
            (data, cuts)
        },
    )
}

/// The numbers below `len`, each at least once, in any order.
fn order(len: usize, picks: &[prop::sample::Index]) -> Vec<usize> {
    let mut left: Vec<_> = (0..len).collect();
    let mut order = Vec::new();
    for pick in picks {
        if left.is_empty() {
            break;
        }
        let next = left.remove(pick.index(left.len()));
        order.push(next);
        if next % 3 == 0 && !left.is_empty() {
            order.push(next);
        }
    }
    order.extend(left);
    order
}

fn picks() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 14)
}

/// Gives the fragments in that order; all but the last must be held or duplicates.
fn reassemble(fragments: &[Vec<u8>], order: &[usize]) -> Datagram {
    let mut bench = Bench::new();
    let (last, others) = order.split_last().unwrap();
    for index in others {
        let answer = word(&bench.give(&fragments[*index]));
        assert!(answer == "held" || answer == "duplicate", "{answer}");
    }
    let Admission::Complete(datagram) = bench.give(&fragments[*last]) else {
        panic!("not complete");
    };
    assert_eq!((bench.defrag.held(Family::V4), bench.defrag.held(Family::V6)), (0, 0));
    datagram
}

fn sent(whole: &Datagram, mtu: u32) -> Vec<Vec<u8>> {
    refragment(&whole.bytes, &dissect(&whole.bytes).unwrap(), &whole.plan, mtu).unwrap()
}

/// A packet with a fragment's headers and little sense.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let position = (0u16..24, any::<bool>(), prop::sample::select(&[0u16, 0, 0, 8000][..]));
    let header = (any::<bool>(), 0u8..4, 0u8..3, any::<bool>());
    let data = prop::collection::vec(prop::sample::select(&[0u8, 6, 17, 44, 60][..]), 0..90);
    (header, position, data).prop_map(|((four, ecn, id, df), (offset, more, far), data)| {
        let offset = (offset + far).min(8191);
        if four {
            rubbish_v4(ecn, id, df, offset, more, &data)
        } else {
            rubbish_v6(ecn, id, offset, more, &data)
        }
    })
}

fn rubbish_v4(ecn: u8, id: u8, df: bool, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let mut bytes = v4(proto::TCP, data);
    if data.len() > 12 {
        bytes[0] = 0x45 + id;
    }
    bytes[1] = ecn;
    bytes[5] = id;
    let position = offset | u16::from(more) << 13 | u16::from(df) << 14;
    bytes[6..8].copy_from_slice(&position.to_be_bytes());
    Ipv4::new(&mut *bytes).unwrap().fill_checksum();
    bytes
}

fn rubbish_v6(ecn: u8, id: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
    let next = data.first().copied().unwrap_or(proto::UDP);
    let header = [next, 0, high, low, 0, 0, 0, id];
    let mut bytes = v6(proto::IPV6_FRAGMENT, &[&header, data].concat());
    Ipv6::new(&mut *bytes).unwrap().set_traffic_class(ecn);
    bytes
}

/// Takes all packets, sends what comes out, and checks what must hold after each.
fn survive(packets: &[(Vec<u8>, u64)], budget: u64, mtu: u32) {
    let mut bench = Bench::new();
    bench.limits.ipfrag_time = Timeout(9);
    bench.limits.frag6_timeout = Timeout(7);
    bench.limits.ipfrag_high_thresh = budget;
    bench.limits.frag6_high_thresh = budget;
    let mut time = 0;
    for (bytes, pause) in packets {
        time += pause;
        bench.expire_at(time);
        if let Admission::Complete(datagram) = bench.give(bytes) {
            send_whole(&datagram, mtu);
        }
        assert!(Family::ALL.iter().all(|family| bench.defrag.held(*family) <= budget));
    }
    bench.expire_at(time + 9);
    assert!(Family::ALL.iter().all(|family| bench.defrag.held(*family) == 0));
    assert_eq!(bench.defrag.next_deadline(), None);
}

fn send_whole(datagram: &Datagram, mtu: u32) {
    let Datagram { bytes, plan } = datagram;
    match dissect(bytes) {
        Ok(headers) => {
            assert_eq!(headers.len, bytes.len());
            let too_big = exceeds_mtu(bytes, &headers, Some(plan), mtu);
            let sent = refragment(bytes, &headers, plan, mtu);
            assert!(!too_big || headers.family == Family::V4 || sent == Err(TooBig));
        }
        // Hop-by-hop options behind a fragment header come to light only now.
        Err(malformed) => assert_eq!((bytes[0] >> 4, malformed), (6, Malformed::BadHopByHop)),
    }
}

proptest! {
    #[test]
    fn any_order_gives_the_datagram_and_its_fragments_again(
        (data, cuts) in cut_payload(),
        picks in picks(),
        tcp: bool,
    ) {
        let proto = if tcp { proto::TCP } else { proto::UDP };
        let order = order(cuts.len(), &picks);
        let (four, six) = (v4(proto, &data), v6(proto, &data));

        let fragments = cut_v4(&four, &cuts);
        let whole = reassemble(&fragments, &order);
        prop_assert_eq!(&whole.bytes, &four);
        prop_assert_eq!(sent(&whole, 65535), fragments);

        let fragments = cut_v6(&six, &cuts);
        let whole = reassemble(&fragments, &order);
        prop_assert_eq!(&whole.bytes, &six);
        let fits = six.len() <= whole.plan.max_size;
        prop_assert_eq!(sent(&whole, 65535), if fits { Vec::from([six]) } else { fragments });
    }

    #[test]
    fn whatever_is_sent_fits_and_makes_the_datagram_again(
        (data, cuts) in cut_payload(),
        contiguous in 20usize..200,
        mtu in 68u32..700,
    ) {
        let datagram = v4(proto::UDP, &data);
        let mut whole = Bench::new().complete(&cut_v4(&datagram, &cuts));
        whole.plan.make_contiguous(contiguous);
        let limit = whole.plan.max_size.min(mtu as usize);
        let fragments = sent(&whole, mtu);
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= limit));
        if fragments.len() > 1 {
            prop_assert_eq!(Bench::new().complete(&fragments).bytes, datagram);
        } else {
            prop_assert_eq!(&fragments[0], &datagram);
        }
    }

    #[test]
    fn rubbish_is_survived_within_bounds(
        packets in prop::collection::vec((rubbish(), 0u64..4), 1..80),
        budget in 0u64..8000,
        mtu in 0u32..2000,
    ) {
        survive(&packets, budget, mtu);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        four: bool,
        mtu in 0u32..200,
        sizes in prop::collection::vec(0usize..100, 0..5),
        max_size in 0usize..300,
    ) {
        let mut bytes = bytes;
        let len = bytes.len();
        if len >= 40 {
            bytes[0] = if four { 0x45 } else { 0x60 };
            let at = if four { 2 } else { 4 };
            let said = if four { len } else { len - 40 };
            bytes[at..at + 2].copy_from_slice(&(said as u16).to_be_bytes());
            Ipv4::new(&mut *bytes).filter(|_| four).iter_mut().for_each(Ipv4::fill_checksum);
        }
        if let Ok(headers) = dissect(&bytes) {
            let plan = FragmentPlan { max_size, sizes, dont_fragment: four, id: 1 };
            let _ = Bench::new().give(&bytes);
            let _ = refragment(&bytes, &headers, &plan, mtu);
            let _ = fragment_v4(&bytes, &headers, mtu);
        }
    }
}
