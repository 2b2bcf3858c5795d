//! `tidegate explain`: what would become of a packet, and why.

mod datagram;

use std::io::{self, Write};

use rustix::io::Errno;
use tidegate_engine::event::Event;
use tidegate_engine::limits::Limits;
use tidegate_engine::{Engine, Packet, Settings};
use tidegate_gateway::clock::Clock;
use tidegate_gateway::replay::topology::{Passage, World};
use tidegate_gateway::replay::{Inputs, Provisions, Replay, Scenario};
use tidegate_gateway::text::Prospect;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::tidegate::{self, Attribute, message};
use tidegate_wire::netlink::{Family, Message};

use super::Failure;
use crate::client::{ClientError, Place, Request, Table};
use crate::flags::packet::{ExplainArgs, PacketArgs};
use crate::message as say;

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    Ok(io::stdout().lock().write_all(told(args)?.as_bytes())?)
}

/// What would become of the packet, in words.
pub(crate) fn told(args: &ExplainArgs) -> Result<String, Failure> {
    let datagram = datagram_of(&args.packet)?;
    match &args.socket {
        Some(path) => ask(&Place::Engine(path.clone()), args, &datagram),
        None => rehearse(args, datagram),
    }
}

fn datagram_of(packet: &PacketArgs) -> Result<Vec<u8>, Failure> {
    match (&packet.hex, &packet.pcap) {
        (Some(hex), _) => Ok(hex.0.clone()),
        (None, Some(path)) => {
            let scenario = Scenario::from_capture(path, &Inputs::default())?;
            recorded(Replay::new(scenario, false), packet.packet)
        }
        (None, None) => datagram::build(packet).map_err(Failure::Usage),
    }
}

/// The packet of that number.
fn recorded(mut replay: Replay, index: u64) -> Result<Vec<u8>, Failure> {
    let deaf = &mut |_: Event| {};
    let mut packets = 0;
    while let Some(arrival) = replay.arrive(deaf)? {
        packets += 1;
        let ingress = replay.ingress();
        if arrival.index == index && ingress.is_ip() {
            return Ok(ingress.datagram().to_vec());
        }
        if arrival.index == index {
            return Err(Failure::Usage(format!("there is no IP datagram in packet {index}")));
        }
        replay.pass(deaf);
    }
    Err(Failure::Usage(format!("no packet {index}, there are {packets}, numbered from 0")))
}

fn ask(place: &Place, args: &ExplainArgs, datagram: &[u8]) -> Result<String, Failure> {
    let request = Request::new(Subsystem::Tidegate, message::EXPLAIN, Family::default());
    let request = request.with(|writer| {
        Attribute::Packet(datagram).write(writer);
        Attribute::Number(args.mark).write(writer);
        if let Some(port) = &args.port {
            Attribute::Name(port.as_bytes()).write(writer);
        }
    });
    let mut text = Vec::new();
    let done = Table::open(place)?.dump(&request, |message| read(message, &mut text));
    match (done, &args.port) {
        (Err(ClientError::Refused(Errno::NODEV)), Some(port)) => Err(no_port(port)),
        (done, _) => {
            done?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

fn read(message: &Message<'_>, text: &mut Vec<u8>) -> Result<(), ClientError> {
    for attribute in tidegate::attributes(message.body()?.1) {
        if let Attribute::Text(some) = attribute? {
            text.extend_from_slice(some);
        }
    }
    Ok(())
}

/// The same without a running engine: on one that begins as the files say.
fn rehearse(args: &ExplainArgs, datagram: Vec<u8>) -> Result<String, Failure> {
    let Provisions { limits, sets, policies, rules, warnings } =
        Provisions::read(Limits::default(), &args.inputs.inputs())?;
    warnings.iter().for_each(say::warning);
    let clock = Clock::start();
    let (now, wall) = (clock.now(), clock.wall());
    let mut engine = Engine::new(Settings { limits, start: now, wall, ..Settings::default() });
    engine.adopt_sets(sets);
    engine.adopt_policies(policies);
    rules.iter().for_each(|(_, rules)| engine.replace_rules(rules));
    let fib = &World::Passage(Passage::default());
    let port = fib.port_of(args.port.as_deref());
    let port = port.ok_or_else(|| no_port(args.port.as_deref().unwrap_or_default()))?;
    let mut bytes = datagram.clone();
    let packet = Packet { mark: args.mark, ..Packet::received(&mut bytes, port) };
    let rehearsal = &engine.explain(now, &packet, fib);
    Ok(Prospect { datagram: &datagram, port, rehearsal, fib }.to_string())
}

fn no_port(name: &str) -> Failure {
    Failure::System(format!("there is no port {name}"))
}
