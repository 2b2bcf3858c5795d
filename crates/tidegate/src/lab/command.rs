//! A program of the user's on the client, and one on the server.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use tidegate_gateway::clock::Stopwatch;

use super::screen::Screen;
use super::topology::Hosts;
use super::{BREATH, Obstacle, end, pid_of};
use crate::flags::lab::LabArgs;
use crate::message;

/// Runs the command on the client, and its counterpart on the server as long as that takes; the command's status.
pub(super) fn run(
    args: &LabArgs,
    hosts: &Hosts,
    screen: &mut Screen,
    signals: &mut Signals,
) -> Result<u8, Obstacle> {
    let Some((program, words)) = args.command.split_first() else { return Ok(0) };
    screen.announce();
    let counterpart = || -> Result<Option<Child>, Obstacle> {
        let Some(line) = &args.server else { return Ok(None) };
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).process_group(0);
        let child = hosts.server.within(|| command.spawn())?.map_err(Obstacle::Forbidden)?;
        thread::sleep(HEAD_START);
        Ok(Some(child))
    };
    let counterpart = counterpart()?;
    let status =
        attend(signals, || hosts.client.within(|| Command::new(program).args(words).spawn()))?;
    if let Some(pid) = counterpart.as_ref().and_then(pid_of) {
        let _ = kill_process_group(pid, Signal::TERM);
    }
    match status {
        Ok(status) => Ok(status_of(status)),
        Err(error) => {
            message::error(format_args!("{}: {error}", program.display()));
            Ok(NOT_THERE)
        }
    }
}

/// Starts a program and waits for its end, which may be asked for meanwhile: then it has some time to comply.
///
/// Who types Ctrl-C means the program, which hears it as well; what it makes of that is its own business.
fn attend(
    signals: &mut Signals,
    start: impl FnOnce() -> Result<io::Result<Child>, Obstacle>,
) -> Result<io::Result<ExitStatus>, Obstacle> {
    let mut child = match start()? {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    let mut asked: Option<Stopwatch> = None;
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Ok(Ok(status)),
            Err(error) => return Ok(Err(error)),
        }
        let is_told = signals.pending().fold(false, |told, signal| told | (signal != SIGINT));
        match &asked {
            None if is_told => {
                end(&child);
                asked = Some(Stopwatch::start());
            }
            Some(asked) if asked.elapsed() > GRACE => {
                // It may have ended meanwhile.
                let _ = child.kill();
            }
            _ => {}
        }
        thread::sleep(BREATH);
    }
}

/// As shells have it: the program's own, or 128 and the number of the signal that killed it.
pub(super) fn status_of(status: ExitStatus) -> u8 {
    let killed = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(killed).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// As shells have it.
const NOT_THERE: u8 = 127;
/// So long a program gets to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// So long the counterpart gets to begin.
const HEAD_START: Duration = Duration::from_millis(300);
