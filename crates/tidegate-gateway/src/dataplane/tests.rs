//! A forwarder between links in memory: what a link can't do is done before, and nothing is lost in silence.

use std::num::NonZeroU16;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::{Checksum, Offload};
use tidegate_engine::rules::parse;
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Settings};
use tidegate_wire::checksum::transport;
use tidegate_wire::packet::ethernet::MacAddr;
use tidegate_wire::packet::{Ipv4, Tcp};
use tidegate_wire::{Family, dissect, offload, proto};

use super::mem::{FarEnd, link};
use super::*;
use crate::daemon::DataPlane;

const CLIENT: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const LAN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const WAN: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
const SERVER: MacAddr = MacAddr([2, 0, 0, 0, 1, 2]);

const ALL: Capabilities =
    Capabilities { header: LinkLayer::Ethernet, checksum: true, segmentation: true };

struct Bench {
    forwarder: Forwarder<StaticWorld>,
    engine: Engine,
    lan: FarEnd,
    wan: FarEnd,
}

impl Bench {
    fn new(out: Capabilities) -> Self {
        let mut world = StaticWorld::default();
        let up = |address| Hardware { index: 0, address: Some(address), is_up: true };
        let [inside, outside] =
            [("lan", LAN), ("wan", WAN)].map(|(name, mac)| world.add_port(name, 1500, up(mac)));
        world.add_address(inside, [10, 0, 1, 1].into(), 24);
        world.add_address(outside, [10, 0, 2, 1].into(), 24);
        world.add_neighbour(inside, [10, 0, 1, 2].into(), CLIENT);
        world.add_neighbour(outside, [10, 0, 2, 2].into(), SERVER);
        let mut forwarder = Forwarder::new(world).unwrap();
        let ((lan_link, lan), (wan_link, wan)) = (link(ALL), link(out));
        forwarder.add(inside, lan_link).unwrap();
        forwarder.add(outside, wan_link).unwrap();
        Self { forwarder, engine: Engine::new(Settings::default()), lan, wan }
    }

    fn turn(&mut self) {
        self.forwarder.turn(&mut self.engine, Instant::ZERO, 256).unwrap();
    }
}

/// A TCP segment to 10.0.2.x, its checksum begun.
fn segment(last: u8, payload: usize) -> Vec<u8> {
    let mut bytes =
        vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, proto::TCP, 0, 0, 10, 0, 1, 2, 10, 0, 2, last];
    bytes.extend([0x80, 0, 0, 80, 0, 0, 3, 0xe8, 0, 0, 0, 9, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend((0..payload).map(|at| at as u8));
    let len = bytes.len() as u16;
    Ipv4::new(&mut bytes[..]).unwrap().set_total_len(len);
    Ipv4::new(&mut bytes[..]).unwrap().fill_checksum();
    let headers = dissect(&bytes).unwrap();
    assert!(offload::begin(&mut bytes, &headers));
    bytes
}

fn frame(datagram: &[u8]) -> Vec<u8> {
    [&LAN.0[..], &CLIENT.0, &[8, 0], datagram].concat()
}

fn superframe() -> Offload {
    Offload { checksum: Checksum::Partial, segment: NonZeroU16::new(1000) }
}

#[test]
fn a_superframe_passes_as_it_is_where_it_may() {
    let mut bench = Bench::new(ALL);
    bench.lan.send(frame(&segment(2, 2500)), superframe());
    bench.turn();
    let parcel = bench.wan.receive().unwrap();
    assert_eq!(parcel.offload, superframe());
    assert_eq!(parcel.bytes[..14], [&SERVER.0[..], &WAN.0, &[8, 0]].concat());
    assert_eq!(parcel.bytes.len(), 14 + 40 + 2500);
    assert!(bench.wan.receive().is_none());
}

#[test]
fn a_superframe_is_cut_and_finished_where_the_link_cant() {
    for checksum in [true, false] {
        let mut bench = Bench::new(Capabilities { checksum, segmentation: false, ..ALL });
        bench.lan.send(frame(&segment(2, 2500)), superframe());
        bench.turn();
        for (seq, len) in [(1000, 1000), (2000, 1000), (3000, 500)] {
            let mut parcel = bench.wan.receive().unwrap();
            assert_eq!(parcel.offload.checksum.is_partial(), checksum);
            assert_eq!(parcel.offload.segment, None);
            let datagram = &mut parcel.bytes[14..];
            let headers = dissect(datagram).unwrap();
            if checksum {
                offload::finish(datagram, &headers);
            }
            let upper = headers.payload(datagram);
            assert_eq!(transport(headers.src, headers.dst, proto::TCP, upper), 0);
            let tcp = Tcp::new(upper).unwrap();
            assert_eq!((tcp.seq().0, tcp.payload().len()), (seq, len));
        }
        assert!(bench.wan.receive().is_none());
    }
}

#[test]
fn a_begun_checksum_is_finished_and_padding_let_go() {
    let mut bench = Bench::new(Capabilities { checksum: false, segmentation: false, ..ALL });
    let padded = [frame(&segment(2, 0)), vec![0; 6]].concat();
    bench.lan.send(padded, Offload { checksum: Checksum::Partial, segment: None });
    bench.turn();
    let parcel = bench.wan.receive().unwrap();
    assert_eq!((parcel.bytes.len(), parcel.offload), (54, Offload::NONE));
    let headers = dissect(&parcel.bytes[14..]).unwrap();
    let upper = headers.payload(&parcel.bytes[14..]);
    assert_eq!(transport(headers.src, headers.dst, proto::TCP, upper), 0);
}

#[test]
fn what_cant_leave_is_counted() {
    let mut bench = Bench::new(ALL);
    let partial = Offload { checksum: Checksum::Partial, segment: None };
    bench.lan.send(frame(&segment(9, 0)), partial);
    let mut to_all = frame(&segment(2, 0));
    to_all[..6].fill(0xff);
    bench.lan.send(to_all, partial);
    let mut to_us = segment(2, 0);
    Ipv4::new(&mut to_us[..]).unwrap().set_dst([10, 0, 1, 1].into());
    bench.lan.send(frame(&to_us), partial);
    bench.lan.send(vec![0; 9], Offload::NONE);
    bench.turn();
    assert_eq!(bench.forwarder.due(), Some(Instant::ZERO), "he is known to be absent");
    bench.turn();
    let want = Losses { no_neighbour: 1, broadcast: 1, no_host: 1, ..Losses::default() };
    assert_eq!(bench.forwarder.losses(), want);
    let (port, counters) = bench.forwarder.counters()[0];
    assert_eq!((port, counters.received, counters.damaged), (PortId(0), 3, 1));
    assert!(bench.wan.receive().is_none());
    assert_eq!(bench.forwarder.due(), None);
}

/// Host unreachable, with what he has sent before it was translated; from the address that it was translated to, as a
/// kernel's.
#[test]
fn who_writes_to_nobody_is_told() {
    let mut bench = Bench::new(ALL);
    let rules = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";
    bench.engine.replace_rules(&parse(Family::V4, "rules", rules).unwrap());
    let mut sent = segment(9, 0);
    // A first segment.
    sent[33] = 2;
    bench.lan.send(frame(&sent), Offload { checksum: Checksum::Partial, segment: None });
    bench.turn();
    bench.turn();
    assert_eq!(bench.forwarder.losses().no_neighbour, 1);
    let error = bench.lan.receive().unwrap().bytes;
    assert_eq!(error[..6], CLIENT.0);
    let (src, dst, message) = (&error[26..30], &error[30..34], &error[34..]);
    assert_eq!((src, dst), (&[10, 0, 2, 1][..], &[10, 0, 1, 2][..]));
    assert_eq!(message[..2], [3, 1]);
    assert_eq!(message[8 + 12..8 + 24], sent[12..24], "addresses and ports");
    assert!(bench.lan.receive().is_none() && bench.wan.receive().is_none());
}

/// Of a link that is gone.
struct Gone;

impl Receiver for Gone {
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn receive<'a>(&'a mut self, _: usize, _: &mut Vec<Frame<'a>>) -> std::io::Result<()> {
        Err(std::io::Error::other("gone"))
    }

    fn counters(&mut self) -> Counters {
        Counters::default()
    }
}

#[test]
fn of_every_link_that_goes_it_is_told_once() {
    let mut world = StaticWorld::default();
    let up = Hardware { index: 0, address: Some(LAN), is_up: true };
    let ports = ["lan", "wan"].map(|name| world.add_port(name, 1500, up));
    let mut forwarder = Forwarder::new(world).unwrap();
    for port in ports {
        let (link, _) = link(ALL);
        forwarder.add(port, Link { receiver: Box::new(Gone), ..link }).unwrap();
    }
    let mut engine = Engine::new(Settings::default());
    let mut turn = || forwarder.turn(&mut engine, Instant::ZERO, 256).map_err(|it| it.to_string());
    assert_eq!([turn(), turn()], ["lan: gone", "wan: gone"].map(|told| Err(told.to_owned())));
    assert_eq!(turn(), Ok(0));
}
