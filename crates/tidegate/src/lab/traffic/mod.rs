//! Real traffic between the hosts' own TCP/IP stacks.
//!
//! ```text
//! service   what hosts answer            errand   what they ask, once
//! ledger    what was found               content  what transfers carry
//! ```
//!
//! Each errand has a thread, which runs it for both families in turn, over and over.

mod content;
mod errand;
pub(crate) mod ledger;
mod service;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::Family;

use self::errand::Outcome;
use self::ledger::{Check, FAMILIES, Ledger};
use super::Obstacle;
use super::namespace::Network;
use super::topology::Hosts;

/// Something that a host does over and over.
struct Errand {
    check: Check,
    host: Host,
    run: fn(Family, u64) -> Outcome,
    /// How long it rests in between.
    rest: Duration,
}

enum Host {
    Client,
    Server,
}

/// Begins the services of all hosts: what nobody serves is no proof of a closed port.
pub(super) fn serve(hosts: &Hosts) -> Result<(), Obstacle> {
    for network in [&hosts.server, &hosts.client, &hosts.gateway] {
        network.within(service::begin)?.map_err(Obstacle::Links)?;
    }
    Ok(())
}

/// Waits until the gateway lets the first packets of both families through.
pub(super) fn await_passage(hosts: &Hosts) -> Result<(), Obstacle> {
    let begin = Stopwatch::start();
    let passes = || -> Outcome {
        FAMILIES.into_iter().try_fold(0, |sum, family| Ok(sum + errand::ping(family, 0)?))
    };
    loop {
        match hosts.client.within(passes)? {
            Ok(_) => return Ok(()),
            Err(fault) if begin.elapsed() > PATIENCE => return Err(Obstacle::NoPassage(fault)),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Runs all errands until they are told to stop; each is finished then.
pub(super) fn run<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    hosts: &'env Hosts,
    ledger: &'env Ledger,
    stop: &'env AtomicBool,
) {
    for errand in &ERRANDS {
        let network = match errand.host {
            Host::Client => &hosts.client,
            Host::Server => &hosts.server,
        };
        scope.spawn(move || errand.repeat(network, ledger, stop));
    }
}

impl Errand {
    fn repeat(&self, network: &Network, ledger: &Ledger, stop: &AtomicBool) {
        let entered = network.enter();
        if let Err(error) = entered {
            let fault = ledger::Fault::Io("entering a network", error);
            return ledger.settle(self.check, Family::V4, Err(fault));
        }
        for seed in 0.. {
            for family in FAMILIES {
                ledger.settle(self.check, family, (self.run)(family, seed));
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(self.rest);
        }
    }
}

const fn of_client(check: Check, run: fn(Family, u64) -> Outcome, rest: u64) -> Errand {
    Errand { check, host: Host::Client, run, rest: Duration::from_millis(rest) }
}

const fn of_server(check: Check, run: fn(Family, u64) -> Outcome, rest: u64) -> Errand {
    Errand { check, host: Host::Server, run, rest: Duration::from_millis(rest) }
}

const ERRANDS: [Errand; Check::ALL.len()] = [
    of_client(Check::Upload, errand::upload, 20),
    of_client(Check::Download, errand::download, 20),
    of_client(Check::Request, errand::request, 1),
    of_client(Check::Question, errand::question, 5),
    of_client(Check::Ping, errand::ping, 100),
    of_client(Check::Masquerade, errand::masquerade, 100),
    of_client(Check::Hairpin, errand::hairpin, 50),
    of_client(Check::Fragments, errand::fragments, 200),
    of_client(Check::PathMtu, errand::path_mtu, 500),
    of_server(Check::PortForward, errand::port_forward, 20),
    of_server(Check::Refused, errand::refused, 200),
];

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
