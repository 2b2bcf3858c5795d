//! The engine as its caller sees it: whatever comes in, the limits, time, commands, repeatability.

mod commands;
mod errands;
mod express;
mod fresh;
mod generation;
mod helpers;
mod malformed;
mod means;
mod overload;
mod rehearsal;
mod replay;
mod synproxy;
mod time;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::Family;
use tidegate_wire::packet::tcp::TcpFlags;

use super::*;
use crate::event::{EventKind, EventMask};
use crate::testkit::{Datagram, Host, World, icmp, other, ping, pong, tcp, udp, unreachable};

/// The kernel's limits, but for a table that is made faster.
fn limits() -> Limits {
    Limits { buckets: 512, ..Limits::default() }
}

/// An engine with these limits, always with the same seed.
fn engine(limits: Limits) -> Engine {
    Engine::new(Settings { limits, seed: 1, ..Settings::default() })
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// Hands the datagram in by the port that its sender is behind.
fn receive(engine: &mut Engine, now: Instant, family: Family, datagram: &Datagram) -> Outcome {
    let mut bytes = datagram.bytes(family);
    receive_bytes(engine, now, &mut bytes, datagram.from)
}

fn receive_bytes(engine: &mut Engine, now: Instant, bytes: &mut [u8], from: Host) -> Outcome {
    engine.process(now, &mut Packet::received(bytes, from.ingress()), &World::new())
}

/// One packet of every kind, in an order in which most belong to a flow.
fn samples() -> Vec<Datagram> {
    let client = Host::Client;
    let query = udp(client, 30);
    let syn = tcp(client, TcpFlags::SYN, 1000, 0).opts(&[2, 4, 5, 180, 4, 2, 3, 3, 7]);
    let answer = tcp(Host::Server, TcpFlags::SYN | TcpFlags::ACK, 5000, 1001);
    Vec::from([
        query.clone(),
        udp(Host::Server, 50),
        udp(client, 3).no_checksum().ports(1, 2),
        syn.clone(),
        answer.opts(&[3, 3, 9]),
        tcp(client, TcpFlags::ACK, 1001, 5001).opts(&[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9]),
        ping(client, 7),
        pong(Host::Server, 7),
        unreachable(Host::Server, &query),
        unreachable(Host::Between, &syn),
        unreachable(Host::Between, &ping(client, 7)),
        unreachable(Host::Neighbour, &query).kind(137).lead(&[4; 40]).ttl(255),
        icmp(client, 135, 0, 0).data(16).to(Host::Group),
        other(client, 89, b"routes"),
        tcp(client, TcpFlags::SYN, 9, 0).to(Host::Router),
    ])
}

/// Everything that can be seen of an engine, as text; takes its queues' contents.
fn everything(engine: &mut Engine) -> String {
    let flows: Vec<String> = engine.flows().map(|flow| alloc::format!("{flow:?}")).collect();
    let events: Vec<Event> = core::iter::from_fn(|| engine.poll_event()).collect();
    let outputs: Vec<Output> = core::iter::from_fn(|| engine.poll_output()).collect();
    let (stats, due) = (engine.stats(), engine.next_deadline());
    alloc::format!("{flows:#?}\n{events:#?}\n{outputs:#?}\n{stats:#?}\n{due:?}")
}

/// The events since the last call: kind, changes, client port of the flow.
fn told(engine: &mut Engine) -> Vec<(EventKind, EventMask, u16)> {
    core::iter::from_fn(|| engine.poll_event())
        .filter_map(Event::into_flow)
        .map(|event| (event.kind, event.changes, event.flow.orig.sport))
        .collect()
}
