//! The lab: a client, a gateway and a server in namespaces of their own, real traffic between them, and what it shows.
//!
//! ```text
//! outside    the process that was started: namespaces for the next one, which it waits for
//!   inside   the first process of the lab: topology (namespace, links), gateway, traffic, screen, page
//!              gateway, command: programs in networks of the lab
//! ```
//!
//! Traffic is threads, each in the network of its host; the page's socket was opened in the network of whoever
//! started the lab, and stays there. Nothing outlives `inside`, which is the first in its namespace of processes.

mod command;
mod files;
mod gateway;
mod links;
mod namespace;
mod obstacle;
mod screen;
pub(crate) mod topology;
pub(crate) mod traffic;

use std::env;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgrp, kill_process, set_parent_process_death_signal};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidegate_gateway::clock::Stopwatch;

use self::files::Files;
use self::gateway::Gateway;
pub(crate) use self::obstacle::Obstacle;
use self::screen::Screen;
use self::topology::Hosts;
use self::traffic::ledger::Ledger;
use crate::flags::lab::LabArgs;
use crate::message;
use crate::page::{self, Board};

/// Starts the lab and waits for its end; the status that it ended with.
///
/// # Errors
/// The system doesn't let us make namespaces.
pub(crate) fn outside(args: &LabArgs) -> Result<u8, Obstacle> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Obstacle::Forbidden)?;
    let dir = tempfile::Builder::new().prefix("tidegate-lab.").tempdir();
    let dir = dir.map_err(|error| Obstacle::File(env::temp_dir(), error))?;
    if let Some(missing) = args.rules4.iter().chain(&args.rules6).find(|path| !path.is_file()) {
        return Err(Obstacle::File(missing.clone(), std::io::ErrorKind::NotFound.into()));
    }
    namespace::leave_processes()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("lab").arg("--inside").arg(dir.path()).args(env::args_os().skip(2));
    let mut child = command.spawn().map_err(Obstacle::Forbidden)?;
    let mut is_over = false;
    loop {
        if let Some(status) = child.try_wait().map_err(Obstacle::Forbidden)? {
            return Ok(command::status_of(status));
        }
        is_over |= signals.pending().any(|signal| signal != SIGINT || !is_typed());
        // It is told until it ends: what it isn't ready for it doesn't hear.
        if is_over {
            end(&child);
        }
        thread::sleep(BREATH);
    }
}

/// Whether an interrupt comes from our terminal, which has told all of us.
fn is_typed() -> bool {
    let terminal = File::open("/dev/tty").ok();
    let group = terminal.and_then(|terminal| tcgetpgrp(&terminal).ok());
    group.is_some_and(|group| group == getpgrp())
}

/// The lab itself; the status that it shall end with.
///
/// # Errors
/// It can't be built, or its gateway failed.
pub(crate) fn inside(args: &LabArgs, dir: &Path) -> Result<u8, Obstacle> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| Obstacle::Forbidden(errno.into()))?;
    // The first process of a namespace is only told of signals that it handles.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Obstacle::Forbidden)?;
    match build(args, dir, &mut signals)? {
        Ok(status) => Ok(status),
        Err(signal) => {
            message::note("ended before the lab was there");
            Ok(128_u8.saturating_add(signal.unsigned_abs() as u8))
        }
    }
}

/// Builds the lab and has it run, unless a signal comes before that: then the signal. What is there already goes with this
/// process, which is the first of its namespace.
fn build(args: &LabArgs, dir: &Path, signals: &mut Signals) -> Result<Result<u8, i32>, Obstacle> {
    let files = Files::write(dir, args)?;
    let listener = (!args.no_page).then(|| TcpListener::bind(args.page)).transpose();
    let listener = listener.map_err(|error| Obstacle::Page(args.page, error))?;
    namespace::leave_mounts()?;
    files.cover_names()?;
    let hosts = Hosts::build(args.workers.into())?;
    traffic::serve(&hosts)?;
    let mut gateway = Gateway::start(args.gateway, &hosts, &files)?;
    if let Some(signal) = signals.pending().next() {
        return Ok(Err(signal));
    }
    let passage = traffic::await_passage(&hosts);
    if let Some(signal) = signals.pending().next() {
        return Ok(Err(signal));
    }
    if !args.has_own_rules() {
        // Rules of the user's own may forbid it.
        passage.map_err(|fault| gateway.fault(&files).unwrap_or(fault))?;
    }
    let lab = Lab { args, files: &files, hosts: &hosts };
    let status = lab.run(&mut gateway, listener, signals);
    gateway.stop();
    status.map(Ok)
}

/// What is built.
struct Lab<'a> {
    args: &'a LabArgs,
    files: &'a Files,
    hosts: &'a Hosts,
}

impl Lab<'_> {
    fn run(
        &self,
        gateway: &mut Gateway,
        listener: Option<TcpListener>,
        signals: &mut Signals,
    ) -> Result<u8, Obstacle> {
        let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
        let has_traffic = self.args.command.is_empty();
        let title = format!("lab, gateway: {}", self.args.gateway.name());
        let ledger_shown = has_traffic.then_some(&ledger);
        let board = &Board::new(title, gateway.place.clone(), ledger_shown);
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let mut screen = Screen::new(self.args, address, self.files);
        let status = thread::scope(|scope| {
            scope.spawn(|| self.hosts.gateway.enter().map(|()| board.watch(&stop)));
            if let Some(listener) = listener {
                scope.spawn(|| page::serve(listener, board, &stop));
            }
            if has_traffic {
                traffic::run(scope, self.hosts, &ledger, &stop);
            }
            let status = match has_traffic {
                true => self.show(gateway, &mut screen, (board, &ledger), signals).map(|()| 0),
                false => command::run(self.args, self.hosts, &mut screen, signals),
            };
            stop.store(true, Ordering::Relaxed);
            status
        })?;
        if !has_traffic {
            return Ok(status);
        }
        screen.finish(board, &ledger);
        Ok(u8::from(!ledger.holds()))
    }

    /// Shows how things stand until the time is over or a signal comes.
    fn show(
        &self,
        gateway: &mut Gateway,
        screen: &mut Screen,
        (board, ledger): (&Board<'_>, &Ledger),
        signals: &mut Signals,
    ) -> Result<(), Obstacle> {
        let begin = Stopwatch::start();
        let end = self.args.seconds.map(|seconds| Duration::from_secs(seconds.into()));
        while end.is_none_or(|end| begin.elapsed() < end) && signals.pending().next().is_none() {
            if let Some(fault) = gateway.fault(self.files) {
                return Err(fault);
            }
            screen.show(board, ledger);
            thread::sleep(BREATH);
        }
        Ok(())
    }
}

/// Asks a program to end.
fn end(child: &Child) {
    if let Some(pid) = pid_of(child) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// Between two looks.
const BREATH: Duration = Duration::from_millis(50);
