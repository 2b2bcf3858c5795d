//! `tidegate run`: an engine that is kept going, with its control socket.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tidegate_gateway::config::{Checksum, Interface, Plane};
use tidegate_gateway::control::socket::{Endpoint, Policy};
use tidegate_gateway::daemon::{CapturePlane, Daemon, DataPlane, End, NoPackets, Pace, Signals};
use tidegate_gateway::dataplane::{self, Forwarder};
use tidegate_gateway::fib::follow::Mirror;
use tidegate_gateway::replay::{Cause, Fault};
use tidegate_wire::pcap::Capture;

use super::Failure;
use crate::flags::{PlaneChoice, RunArgs};
use crate::message;

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    match &args.pcap {
        None if args.interfaces.is_empty() => keep_going(args, NoPackets::default()),
        None => keep_going(args, live(args)?),
        Some(path) => {
            let pace = if args.recorded_pace { Pace::AsRecorded } else { Pace::AtOnce };
            let capture = open(path)?;
            keep_going(args, CapturePlane::new(capture, path.display().to_string(), pace))
        }
    }
}

/// A forwarder between the machine's own interfaces.
fn live(args: &RunArgs) -> Result<Forwarder<Mirror>, Failure> {
    let world = Mirror::open().map_err(system)?;
    let plane = match args.plane {
        PlaneChoice::Auto => Plane::Auto,
        PlaneChoice::Packet => Plane::AfPacket,
        PlaneChoice::Xdp => Plane::AfXdp,
        PlaneChoice::Tun => Plane::Tun,
    };
    let interface = |name: &String| Interface {
        name: name.clone(),
        plane,
        queues: 1,
        checksum: Checksum::default(),
    };
    let interfaces: Vec<Interface> = args.interfaces.iter().map(interface).collect();
    let (forwarder, notes) = dataplane::start::open(world, &interfaces)?;
    notes.iter().for_each(message::note);
    Ok(forwarder)
}

fn open(path: &Path) -> Result<Capture<Box<dyn Read>>, Fault> {
    let label = path.display().to_string();
    let file = File::open(path).map_err(|error| Fault::of(&label, Cause::Io(error)))?;
    let reader: Box<dyn Read> = Box::new(file);
    Capture::open(reader).map_err(|error| Fault::of(label, Cause::Capture(error)))
}

fn keep_going(args: &RunArgs, plane: impl DataPlane) -> Result<(), Failure> {
    let mut signals = Signals::take_over().map_err(system)?;
    let RunArgs { mode, group, admin_group, .. } = *args;
    let policy = Policy { mode, group, admin_group };
    let endpoint = Endpoint::bind(&args.control, policy).map_err(system)?;
    let (inputs, seed) = (args.inputs.inputs(), seed().map_err(system)?);
    let (mut daemon, warnings) = Daemon::new(inputs, (endpoint, plane), seed, args.backlog)?;
    warnings.iter().for_each(message::warning);
    match daemon.run(&mut signals, |reloaded| match reloaded {
        Ok(warnings) => warnings.iter().for_each(message::warning),
        Err(faults) => faults.iter().for_each(message::error),
    }) {
        End::Stopped => Ok(()),
        End::System(error) => Err(system(error)),
    }
}

/// What nobody else knows.
fn seed() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn system(error: impl std::fmt::Display) -> Failure {
    Failure::System(error.to_string())
}
