//! Rewriting: what a packet looks like afterwards, judged by parsing it again and computing every
//! checksum from scratch.

use core::net::IpAddr;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::TestCaseError;
use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, Headers, dissect, dissect_quoted, proto};

use crate::flow::{Flow, Status};
use crate::nat::Manip;
use crate::nat::rewrite::{self, Untranslatable};
use crate::testkit::{
    Datagram, Host, flow, icmp, ip_datagram, other, ping, pong, tcp, udp, unreachable,
};
use crate::track::checksum_is_right;
use crate::tuple::{Direction, Tuple};

/// A packet of one of the protocols that have ports or identifiers.
fn datagrams() -> impl Strategy<Value = Datagram> {
    let kind = prop::sample::select(&["tcp", "udp", "udp without checksum", "ping", "pong"]);
    let from = prop::sample::select(&[Host::Client, Host::Server]);
    (kind, from, 0..100usize, any::<(u16, u16)>()).prop_map(|(kind, from, len, (src, dst))| {
        match kind {
            "tcp" => tcp(from, TcpFlags::ACK, 7, 9).data(len).ports(src, dst),
            "udp" => udp(from, len).ports(src, dst),
            "ping" => ping(from, src),
            "pong" => pong(from, src),
            _ => udp(from, len).ports(src, dst).no_checksum(),
        }
    })
}

fn families() -> impl Strategy<Value = Family> {
    prop::sample::select(&Family::ALL)
}

fn manips() -> impl Strategy<Value = Manip> {
    prop::sample::select(&[Manip::Src, Manip::Dst])
}

fn directions() -> impl Strategy<Value = Direction> {
    prop::sample::select(&[Direction::Original, Direction::Reply])
}

/// The tuple with another address and port at one end.
fn mapped(tuple: &Tuple, manip: Manip, addr: u128, port: u16) -> Tuple {
    let addr: IpAddr = match tuple.family() {
        Family::V4 => IpAddr::V4((addr as u32).into()),
        // Nobody translates to a multicast address.
        Family::V6 => IpAddr::V6((addr >> 1).into()),
    };
    let is_icmp = matches!(tuple.proto, proto::ICMP | proto::ICMPV6);
    match manip {
        Manip::Src => Tuple { src: addr, sport: port, ..*tuple },
        Manip::Dst if is_icmp => Tuple { dst: addr, sport: port, ..*tuple },
        Manip::Dst => Tuple { dst: addr, dport: port, ..*tuple },
    }
}

/// A flow whose packets of direction `dir` come as `seen` and must leave as `becomes`.
fn translation(dir: Direction, seen: &Tuple, becomes: &Tuple) -> Flow {
    let inverse = becomes.invert().expect("it can be answered");
    let (orig, reply) = match dir {
        Direction::Original => (*seen, inverse),
        Direction::Reply => (inverse, *seen),
    };
    Flow { orig, reply, status: Status::NAT | Status::NAT_DONE, ..flow(orig) }
}

/// The tuple that is in the bytes.
fn tuple_in(bytes: &[u8], headers: &Headers) -> Tuple {
    let l4 = headers.payload(bytes);
    let word = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
    let (sport, dport) = match headers.proto {
        proto::ICMP | proto::ICMPV6 => (word(4), word(0)),
        _ => (word(0), word(2)),
    };
    Tuple { src: headers.src, dst: headers.dst, sport, dport, proto: headers.proto }
}

/// Whether the upper layer's checksum is right, or absent.
fn is_sound(bytes: &[u8], headers: &Headers) -> bool {
    let l4 = headers.payload(bytes);
    let absent = headers.proto == proto::UDP && l4[6..8] == [0, 0];
    absent || checksum_is_right(headers, l4)
}

fn rewrite_packet(bytes: &mut [u8], flow: &Flow, manip: Manip, dir: Direction) -> Headers {
    let mut headers = dissect(bytes).expect("a sound datagram");
    rewrite::packet(bytes, &mut headers, flow, manip, dir).expect("it can be translated");
    assert_eq!(dissect(bytes), Ok(headers), "the headers are what is in the bytes");
    headers
}

proptest! {
    #[test]
    fn a_packet_looks_like_its_target_and_back_again(
        (datagram, family) in (datagrams(), families()),
        (manip, dir) in (manips(), directions()),
        (addr, port) in any::<(u128, u16)>(),
    ) {
        let before = datagram.bytes(family);
        let seen = datagram.tuple(family);
        let becomes = mapped(&seen, manip, addr, port);
        let mut bytes = before.clone();
        let headers = rewrite_packet(&mut bytes, &translation(dir, &seen, &becomes), manip, dir);
        prop_assert_eq!(tuple_in(&bytes, &headers), becomes);
        prop_assert!(is_sound(&bytes, &headers), "the checksum is wrong");

        rewrite_packet(&mut bytes, &translation(dir, &becomes, &seen), manip, dir);
        prop_assert_eq!(bytes, before, "there and back");
    }

    #[test]
    fn a_wrong_checksum_stays_wrong(
        (datagram, family) in (datagrams(), families()),
        (manip, dir) in (manips(), directions()),
        (addr, port) in any::<(u128, u16)>(),
    ) {
        let mut bytes = datagram.corrupt().bytes(family);
        let headers = dissect(&bytes).expect("a sound IP header");
        if is_sound(&bytes, &headers) {
            return Ok(()); // there is no checksum
        }
        let seen = tuple_in(&bytes, &headers);
        let becomes = mapped(&seen, manip, addr, port);
        let headers = rewrite_packet(&mut bytes, &translation(dir, &seen, &becomes), manip, dir);
        prop_assert!(!is_sound(&bytes, &headers));
    }

    #[test]
    fn an_error_looks_like_one_about_the_translated_packet(
        (about, family) in (datagrams(), families()),
        (manip, dir) in (manips(), directions()),
        (addr, port) in any::<(u128, u16)>(),
        quoted in 8..140usize,
        from_between in any::<bool>(),
    ) {
        let sender = if from_between { Host::Between } else { about.to };
        let error = unreachable(sender, &about).quoting(quoted);
        check_error(&error, &about, family, (manip, dir), (addr, port))?;
    }

    #[test]
    fn nothing_that_dissects_makes_it_panic(
        segment in prop::collection::vec(any::<u8>(), 0..120),
        (manip, dir) in (manips(), directions()),
        family in families(),
        protocol in prop::sample::select(&[1u8, 6, 17, 58, 89]),
    ) {
        let seen = udp(Host::Client, 0).tuple(family);
        let flow = translation(dir, &seen, &mapped(&seen, manip, 99, 99));
        let mut bytes = ip_datagram((seen.src, seen.dst), protocol, 64, &segment);
        let headers = dissect(&bytes).expect("a sound IP header");
        let _ = rewrite::packet(&mut bytes, &mut headers.clone(), &flow, manip, dir);
        let _ = rewrite::icmp_error(&mut bytes, &mut headers.clone(), &flow, manip, dir);
    }
}

/// The error quotes a packet of the other direction; the end of the quote that is not `manip` is
/// restored, and the error's own end follows it.
fn check_error(
    error: &Datagram,
    about: &Datagram,
    family: Family,
    (manip, dir): (Manip, Direction),
    (addr, port): (u128, u16),
) -> Result<(), TestCaseError> {
    let quote_end = match manip {
        Manip::Src => Manip::Dst,
        Manip::Dst => Manip::Src,
    };
    let seen = about.tuple(family);
    let becomes = mapped(&seen, quote_end, addr, port);
    let before = error.bytes(family);
    let mut bytes = before.clone();

    let flow = translation(dir, &seen.invert().unwrap(), &becomes.invert().unwrap());
    let headers = rewrite_error(&mut bytes, &flow, manip, dir);
    let old = dissect(&before).unwrap();
    let (src, dst) = match manip {
        Manip::Src => (becomes.dst, old.dst),
        Manip::Dst => (old.src, becomes.src),
    };
    prop_assert_eq!((headers.src, headers.dst), (src, dst), "the error's own addresses");
    prop_assert!(checksum_is_right(&headers, headers.payload(&bytes)), "the error's checksum");

    let quote = &headers.payload(&bytes)[8..];
    let inner = dissect_quoted(family, quote).expect("a quoted IP header");
    prop_assert_eq!(tuple_in(quote, &inner), becomes, "the quote");
    if family == Family::V4 {
        prop_assert!(Ipv4::new(quote).unwrap().checksum_ok(), "the quoted IP header");
    }
    if quote.len() == about.bytes(family).len() {
        prop_assert!(is_sound(quote, &inner), "the quoted checksum");
    }

    let back = translation(dir, &becomes.invert().unwrap(), &seen.invert().unwrap());
    let mut restored = bytes;
    rewrite_error(&mut restored, &back, manip, dir);
    // The error's own address on the way back is the quoted packet's, also where a router between
    // had sent it.
    let hidden = manip == Manip::Src && error.from == Host::Between;
    prop_assert!(hidden || restored == before, "there and back");
    Ok(())
}

fn rewrite_error(bytes: &mut [u8], flow: &Flow, manip: Manip, dir: Direction) -> Headers {
    let mut headers = dissect(bytes).expect("a sound datagram");
    rewrite::icmp_error(bytes, &mut headers, flow, manip, dir).expect("it can be translated");
    assert_eq!(dissect(bytes), Ok(headers), "the headers are what is in the bytes");
    headers
}

#[test]
fn a_checksum_that_becomes_zero_is_written_as_ones() {
    let family = Family::V4;
    let before = udp(Host::Client, 0).bytes(family);
    let seen = udp(Host::Client, 0).tuple(family);
    let mut zeroes = (0..=u16::MAX).filter(|port| {
        let mut bytes = before.clone();
        let becomes = Tuple { sport: *port, ..seen };
        let flow = translation(Direction::Original, &seen, &becomes);
        rewrite_packet(&mut bytes, &flow, Manip::Src, Direction::Original);
        assert_ne!(bytes[26..28], [0, 0], "that would say that there is none");
        bytes[26..28] == [0xff, 0xff]
    });
    assert!(zeroes.next().is_some(), "one of all ports must make the sum zero");
}

/// What becomes of an error at the hook.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Translated,
    Unchanged,
    Refused,
}

#[test]
#[rustfmt::skip]
fn errors_that_cannot_be_translated_are_refused() {
    use Fate::{Refused, Translated, Unchanged};
    let query = udp(Host::Client, 40);
    let syn = tcp(Host::Client, TcpFlags::SYN, 1, 0);
    let about = |datagram| unreachable(Host::Between, datagram);
    for (what, quoted, error, nat, fate) in [
        ("an error",                     &query, about(&query),                true,  Translated),
        ("about a flow that isn't",      &query, about(&query),                false, Unchanged),
        ("with a wrong checksum",        &query, about(&query).corrupt(),      true,  Refused),
        ("a redirect",                   &query, about(&query).kind(5),        true,  Refused),
        ("a redirect, not translated",   &query, about(&query).kind(5),        false, Unchanged),
        ("quoting seven octets of UDP",  &query, about(&query).quoting(7),     true,  Refused),
        ("quoting seven octets of TCP",  &syn,   about(&syn).quoting(7),       true,  Refused),
        ("quoting eight octets of TCP",  &syn,   about(&syn).quoting(8),       true,  Translated),
        ("quoting half an IP header",    &query, about(&query).edited(|l4| l4.truncate(18)), true, Refused),
    ] {
        let seen = quoted.tuple(Family::V4);
        let becomes = mapped(&seen, Manip::Src, 0x0102_0304, 5);
        assert_eq!(fate_of(&error, (&seen, &becomes), nat), fate, "{what}");
    }
}

fn fate_of(error: &Datagram, (seen, becomes): (&Tuple, &Tuple), nat: bool) -> Fate {
    let before = error.bytes(Family::V4);
    let mut bytes = before.clone();
    let dir = Direction::Reply;
    let mut flow = translation(dir, &seen.invert().unwrap(), &becomes.invert().unwrap());
    if !nat {
        flow.status.remove(Status::NAT);
    }
    let mut headers = dissect(&bytes).expect("a sound IP header");
    match rewrite::icmp_error(&mut bytes, &mut headers, &flow, Manip::Dst, dir) {
        Err(Untranslatable) => Fate::Refused,
        Ok(()) if bytes == before => Fate::Unchanged,
        Ok(()) => Fate::Translated,
    }
}

#[test]
fn protocols_without_ports_change_their_address_only() {
    for family in Family::ALL {
        let datagram = other(Host::Client, 89, b"as it was");
        let mut bytes = datagram.bytes(family);
        let seen = datagram.tuple(family);
        let becomes = mapped(&seen, Manip::Src, 0x0102_0304, 0);
        let flow = translation(Direction::Original, &seen, &becomes);
        let headers = rewrite_packet(&mut bytes, &flow, Manip::Src, Direction::Original);
        assert_eq!((headers.src, headers.dst), (becomes.src, becomes.dst));
        assert_eq!(headers.payload(&bytes), b"as it was");
    }
}

#[test]
fn timestamps_have_identifiers_and_errors_have_none() {
    for (kind, changes) in [(13, true), (14, true), (15, true), (18, true), (3, false), (12, false)]
    {
        let message = icmp(Host::Client, kind, 0, 7 << 16);
        let mut bytes = message.bytes(Family::V4);
        let seen = ping(Host::Client, 7).tuple(Family::V4);
        let becomes = mapped(&seen, Manip::Src, 0x0102_0304, 9);
        let flow = translation(Direction::Original, &seen, &becomes);
        let headers = rewrite_packet(&mut bytes, &flow, Manip::Src, Direction::Original);
        let id = tuple_in(&bytes, &headers).sport;
        assert_eq!(id, if changes { 9 } else { 7 }, "type {kind}");
        assert!(is_sound(&bytes, &headers), "type {kind}");
    }
}

/// Which status bits make which hook rewrite which direction.
#[test]
fn the_end_that_a_hook_rewrites_changes_with_the_direction() {
    for (status, manip, dir, applies) in [
        (Status::SRC_NAT, Manip::Src, Direction::Original, true),
        (Status::SRC_NAT, Manip::Dst, Direction::Original, false),
        (Status::SRC_NAT, Manip::Src, Direction::Reply, false),
        (Status::SRC_NAT, Manip::Dst, Direction::Reply, true),
        (Status::DST_NAT, Manip::Dst, Direction::Original, true),
        (Status::DST_NAT, Manip::Src, Direction::Reply, true),
        (Status::DST_NAT, Manip::Dst, Direction::Reply, false),
        (Status::empty(), Manip::Src, Direction::Original, false),
    ] {
        let flow = Flow { status, ..flow(udp(Host::Client, 0).tuple(Family::V4)) };
        assert_eq!(manip.applies(&flow, dir), applies, "{status:?} {manip:?} {dir:?}");
    }
}
