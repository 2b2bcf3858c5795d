//! `tidegate run`: an engine that is kept going, with its packets and its control socket.
//!
//! The file says what is done, and the command line comes before it. All is read before anything is touched; then the
//! links are opened, privileges given up, and only then the first packet is taken.

mod briefing;
mod journal;
mod state;

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::limits::Limits;
use tidegate_gateway::config::{Checksum, Config, Interface, LogFormat, Plane};
use tidegate_gateway::control::socket::Endpoint;
use tidegate_gateway::daemon::{
    CapturePlane, Daemon, DataPlane, End, NoPackets, Pace, Signals, steering,
};
use tidegate_gateway::dataplane::feed::Feed;
use tidegate_gateway::dataplane::start::{self, Note};
use tidegate_gateway::dataplane::{Forwarder, World};
use tidegate_gateway::fib::fixed::{Description, FixedWorld};
use tidegate_gateway::fib::follow::Mirror;
use tidegate_gateway::memory::Prefault;
use tidegate_gateway::privileges::{self, Needed};
use tidegate_gateway::replay::{Cause, Fault, Provisions};
use tidegate_gateway::rival::TakeOver;

use self::briefing::Briefing;
use self::journal::Journal;
use self::state::State;
use super::{Failure, exporter};
use crate::client::Place;
use crate::exporter::server::Terms;
use crate::flags::run::RunArgs;
use crate::message;

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    if args.json {
        message::speak_json();
    }
    let config = configuration(args)?;
    if config.log.format == LogFormat::Json {
        message::speak_json();
    }
    if args.dry_run {
        return rehearse(&config);
    }
    if let Some(path) = &args.pcap {
        let pace = if args.recorded_pace { Pace::AsRecorded } else { Pace::AtOnce };
        let label = path.display().to_string();
        let feed = Feed::open(path, pace).map_err(|cause| Fault::of(&label, cause))?;
        if config.workers > 1 {
            return Err(Failure::Usage(
                "--pcap: a capture is served by one worker only".to_owned(),
            ));
        }
        let planes = vec![CapturePlane::fed(feed, label)];
        return keep_going(&config, (planes, seed().map_err(system)?), || {});
    }
    if config.interfaces.is_empty() {
        let planes = (0..config.workers).map(|_| NoPackets::default());
        return keep_going(&config, (planes.collect(), seed().map_err(system)?), || {});
    }
    forward(&config)
}

/// What the file says, and the command line before it.
fn configuration(args: &RunArgs) -> Result<Config, Failure> {
    let file = args.file.as_ref().or(args.config.as_ref());
    let mut config = file.map_or(Ok(Config::default()), |file| Config::read(file, args.workers))?;
    let given = args.inputs.inputs();
    let inputs = &mut config.inputs;
    inputs.rules4 = given.rules4.or(inputs.rules4.take());
    inputs.rules6 = given.rules6.or(inputs.rules6.take());
    inputs.sysctl = given.sysctl.or(inputs.sysctl.take());
    inputs.sets = given.sets.or(inputs.sets.take());
    inputs.timeouts = given.timeouts.or(inputs.timeouts.take());
    inputs.labels = given.labels.or(inputs.labels.take());
    if let Some(path) = &args.control {
        config.control.socket.clone_from(path);
    }
    let policy = &mut config.control.policy;
    policy.mode = args.mode.unwrap_or(policy.mode);
    policy.group = args.group.or(policy.group);
    policy.admin_group = args.admin_group.or(policy.admin_group);
    config.backlog = args.backlog.unwrap_or(config.backlog);
    config.workers = args.workers.unwrap_or(config.workers);
    config.take_over |= args.take_over;
    config.busy_poll = args.busy_poll.unwrap_or(config.busy_poll);
    config.metrics = args.metrics.or(config.metrics);
    config.state = args.state.clone().or(config.state.take());
    config.log.nflog = args.write_nflog.clone().or(config.log.nflog.take());
    if !args.interfaces.is_empty() {
        config.interfaces = args.interfaces.iter().map(|name| interface(name)).collect();
    }
    if let Some(plane) = args.plane {
        config.interfaces.iter_mut().for_each(|interface| interface.plane = plane);
    }
    Ok(config)
}

fn interface(name: &str) -> Interface {
    let (plane, checksum) = (Default::default(), Checksum::Trust);
    Interface { name: name.to_owned(), plane, checksum, capture: None }
}

/// Reads all, and says what would be done.
fn rehearse(config: &Config) -> Result<(), Failure> {
    let provisions = Provisions::read(Limits::default(), &config.inputs)?;
    provisions.warnings.iter().for_each(message::warning);
    if config.fixed.is_none() && !config.interfaces.is_empty() {
        let mirror = Mirror::open().map_err(system)?;
        for Interface { name, .. } in &config.interfaces {
            if mirror.world().links().named(name).is_none() {
                message::warning(format_args!("there is no interface `{name}' now"));
            }
        }
    }
    message::note("this is what would be done; nothing is:");
    Briefing::new(config).tell();
    Ok(())
}

/// Forwards packets in the kernel's world, or in that of the file.
fn forward(config: &Config) -> Result<(), Failure> {
    // What is wrong with the rules should not first take the interfaces.
    Provisions::read(Limits::default(), &config.inputs)?;
    match &config.fixed {
        None => {
            let mut mirrors = each(config, || Mirror::open().map_err(system))?;
            // All of them have the same to say, and the first has said it.
            let caveats: Vec<_> = mirrors.iter_mut().map(Mirror::caveats).collect();
            caveats.first().into_iter().flatten().for_each(message::warning);
            forward_in(config, mirrors)
        }
        Some(description) => forward_in(config, each(config, || fixed_world(config, description))?),
    }
}

/// One for each worker.
fn each<T, E>(config: &Config, mut one: impl FnMut() -> Result<T, E>) -> Result<Vec<T>, E> {
    (0..config.workers).map(|_| one()).collect()
}

fn fixed_world(config: &Config, description: &Description) -> Result<FixedWorld, Fault> {
    let fault = |problem| {
        let cause = Cause::Config { field: "world".to_owned(), problem };
        Fault::of(config.file.display().to_string(), cause)
    };
    let mut world = FixedWorld::new(description).map_err(|error| fault(error.to_string()))?;
    let is_here = |name: &str| {
        let said = config.interfaces.iter().find(|interface| interface.name == name);
        said.is_none_or(|interface| interface.plane != Plane::Pcap)
    };
    let found = world.find_interfaces(is_here);
    found.map_err(|name| fault(format!("there is no interface `{name}' now")))?;
    Ok(world)
}

fn forward_in(config: &Config, worlds: Vec<impl World + Send>) -> Result<(), Failure> {
    let taken = if config.take_over { Some(TakeOver::begin().map_err(system)?) } else { None };
    let seed = seed().map_err(system)?;
    let steering = steering(seed, 0, worlds.len());
    let (forwarders, notes): (Vec<Forwarder<_>>, Vec<Note>) =
        start::open(worlds, &config.interfaces, steering.as_ref())?;
    let mut briefing = Briefing::new(config);
    briefing.is_fenced = forwarders.iter().any(Forwarder::is_fenced);
    briefing.has_taken_over = taken.as_ref().is_some_and(TakeOver::has_stopped_any);
    let begin = move || {
        let remaining = privileges::give_up(&Needed::of(config));
        notes.iter().for_each(message::note);
        briefing.remaining = Some(remaining);
        briefing.tell();
    };
    let done = keep_going(config, (forwarders, seed), begin);
    drop(taken);
    done
}

/// `begin` is called when all is open, before the first packet. `seed` must not be known to anybody.
fn keep_going(
    config: &Config,
    (planes, seed): (Vec<impl DataPlane + Send>, u64),
    begin: impl FnOnce(),
) -> Result<(), Failure> {
    let mut signals = Signals::take_over().map_err(system)?;
    let control = &config.control;
    let endpoint = Endpoint::bind(&control.socket, control.policy).map_err(system)?;
    let inputs = config.inputs.clone();
    let (mut daemon, warnings) = Daemon::new(inputs, (endpoint, planes), seed, config.backlog)?;
    warnings.iter().for_each(message::warning);
    let copies = journal::open(&config.log)?;
    let state = config.state.as_deref().map(|path| State::resume(&mut daemon, path));
    daemon.keep_vigil(Duration::from_micros(config.busy_poll.into()));
    daemon.pin(config.cores.clone());
    begin();
    // What was given up is given up by threads that begin after it.
    let journal = Arc::new(Journal::begin(copies));
    let _ahead = Prefault::alongside(Prefault::RESERVE).map_err(system)?;
    let scribe = Arc::clone(&journal);
    daemon.log_to(move |logged| scribe.take(logged));
    if let Some(address) = config.metrics {
        exporter::beside(address, Place::Engine(control.socket.clone()), Terms::default())?;
    }
    state.iter().for_each(State::begin);
    let end = daemon.run(&mut signals, |outcome| journal.tell(outcome));
    state.iter().for_each(|state| state.save(&daemon, config));
    match end {
        End::Stopped => Ok(()),
        End::Lost(fault) => Err(system(fault)),
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
