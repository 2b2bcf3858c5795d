//! `dump`: what a listing over the control socket asks of the engine that serves it.
//!
//! Fills a table, has a client of the control server list all of it, and says how long the longest piece of that
//! work held the engine up, how long all took, and by how much the program grew meanwhile. A client that reads at
//! once is the worst case: nothing ever waits for it. Status: 0 if every flow came once and no piece took longer than
//! a millisecond of processor time.

use std::process::ExitCode;

use clap::Parser;
use tidegate_bench::bed::Bed;
use tidegate_bench::clock::timed;
use tidegate_bench::plan::Plan;
use tidegate_bench::residence::weigh;
use tidegate_bench::rulesets::Rules;
use tidegate_engine::command::{Change, Creation};
use tidegate_engine::tuple::Zone;
use tidegate_gateway::control::{Access, Server, SessionId};
use tidegate_gateway::memory::HugePages;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Flags, Header, Messages, Writer};
use tidegate_wire::{Family as IpFamily, proto};

#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

/// Lists a table through the control server.
#[derive(Debug, Parser)]
#[command(name = "dump", version, about)]
struct Args {
    /// Flows in the table
    #[arg(long, default_value_t = 10_000_000)]
    flows: u32,
}

/// What a listing took.
#[derive(Debug, Default)]
struct Cost {
    flows: u64,
    /// Nanoseconds of processor time of each piece.
    pieces: Vec<u64>,
    /// The most bytes that waited for the client at a time.
    waiting: usize,
}

fn main() -> ExitCode {
    let Args { flows } = Args::parse();
    let mut bed = Bed::new(IpFamily::V4, flows, Rules::None);
    fill(&mut bed, flows);
    let mut server = Server::new(0);
    let client = server.open(Access::ReadOnly);
    list(&mut bed, &mut server, client);
    let (mut cost, grown) = weigh(|| list(&mut bed, &mut server, client));
    cost.pieces.sort_unstable();
    let all: u64 = cost.pieces.iter().sum();
    let at = |share: usize| cost.pieces[(cost.pieces.len() - 1) * share / 1000] as f64 / 1000.0;
    println!(
        "{} flows of {flows} in {} pieces, {:.2} s",
        cost.flows,
        cost.pieces.len(),
        all as f64 / 1e9
    );
    println!(
        "a piece: median {:.0} us, 999 of 1000 {:.0} us, longest {:.0} us",
        at(500),
        at(999),
        at(1000)
    );
    println!(
        "waiting for the client: {} bytes at most; the program grew by {} bytes",
        cost.waiting,
        grown.unwrap_or(0)
    );
    let is_good = cost.flows == u64::from(flows) && at(1000) <= 1000.0;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fill(bed: &mut Bed, flows: u32) {
    for flow in 0..flows {
        let orig = Plan::Spread.ends(flow).tuple(IpFamily::V4, proto::UDP);
        let Some(reply) = orig.invert() else { continue };
        let with = Change { timeout: Some(432_000), ..Change::default() };
        let (zone, nat, master) = (Zone::default(), [None; 2], None);
        let creation = Creation { orig, reply, zone, with, nat, master };
        if let Err(error) = bed.engine.create(bed.now, &creation) {
            eprintln!("dump: flow {flow}: {error:?}");
        }
    }
}

fn list(bed: &mut Bed, server: &mut Server, client: SessionId) -> Cost {
    let mut request = Vec::new();
    let kind = Header::kind_of(Subsystem::Conntrack, message::GET);
    let header = Header { kind, flags: Flags::REQUEST | Flags::DUMP, seq: 1, pid: 0 };
    Writer::new(&mut request).message(header, Family::default(), |_| {});
    let mut cost = Cost::default();
    let engine = &mut bed.engine;
    if server.receive(&mut *engine, bed.now, client, &request).is_err() {
        return cost;
    }
    loop {
        let mut goes_on = false;
        cost.pieces.push(timed(|| goes_on = server.work(&mut *engine, bed.now)));
        let mut waiting = 0;
        while let Some(datagram) = server.next_for(client) {
            waiting += datagram.len();
            let messages = Messages::new(datagram).flatten();
            cost.flows += messages.filter(|message| message.control().is_none()).count() as u64;
            server.sent(client);
        }
        cost.waiting = cost.waiting.max(waiting);
        if !goes_on && waiting == 0 {
            return cost;
        }
    }
}
