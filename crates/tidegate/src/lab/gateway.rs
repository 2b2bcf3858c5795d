//! The lab's gateway: Tidegate, or the kernel's own router with the same rules as the control experiment.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use super::topology::{Hosts, INNER_PORT, OUTER_PORT, write_setting};
use super::{Files, Obstacle, end};
use crate::client::{Place, Table};
use crate::flags::lab::Router;

/// A gateway that is at work.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Where its table is, for threads of the gateway's network.
    pub(super) place: Place,
    child: Option<Child>,
}

impl Gateway {
    /// Starts it, and waits until its table can be asked.
    pub(super) fn start(router: Router, hosts: &Hosts, files: &Files) -> Result<Self, Obstacle> {
        match router {
            Router::Kernel => hosts.gateway.within(|| start_kernel(files))?,
            Router::Tidegate => hosts.gateway.within(|| start_tidegate(files))?,
        }
    }

    /// Why it ended, if it did.
    pub(super) fn fault(&mut self, files: &Files) -> Option<Obstacle> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let log = fs::read_to_string(files.log()).unwrap_or_default();
        Some(Obstacle::Ended { what: format!("the gateway ended ({status})"), log })
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        end(child);
        let begin = Stopwatch::start();
        while begin.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(BREATH);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn start_kernel(files: &Files) -> Result<Gateway, Obstacle> {
    load("iptables-restore", &files.rules4, files)?;
    load("ip6tables-restore", &files.rules6, files)?;
    // Limits on ICMP errors would let some checks wait for an answer in vain.
    let settings = [
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
        ("net/netfilter/nf_conntrack_acct", "1"),
        ("net/netfilter/nf_conntrack_timestamp", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/ip_forward", "1"),
    ];
    settings
        .iter()
        .try_for_each(|(name, value)| write_setting(name, value))
        .map_err(Obstacle::Links)?;
    Ok(Gateway { place: Place::Kernel(None), child: None })
}

/// Loads rules into the kernel.
fn load(program: &str, rules: &Path, files: &Files) -> Result<(), Obstacle> {
    let failed = |log: String| Obstacle::Ended { what: format!("{program} failed"), log };
    let input = File::open(rules).map_err(|error| Obstacle::File(rules.to_owned(), error))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("XTABLES_LOCKFILE", files.lock());
    let output = command.stdin(input).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn start_tidegate(files: &Files) -> Result<Gateway, Obstacle> {
    let at = |path: PathBuf| move |error: io::Error| Obstacle::File(path, error);
    let log = File::create(files.log()).map_err(at(files.log()))?;
    let copy = log.try_clone().map_err(at(files.log()))?;
    let control = files.control();
    let mut command = Command::new("/proc/self/exe");
    command.arg("run").arg("--control").arg(&control);
    command.args(["--interface", INNER_PORT, "--interface", OUTER_PORT]);
    command.arg("--rules4").arg(&files.rules4).arg("--rules6").arg(&files.rules6);
    command.arg("--sysctl").arg(&files.sysctl);
    command.arg("--workers").arg(files.workers.to_string()).args(&files.more);
    // What a terminal says to the lab, the lab says to the gateway when it is time.
    command.process_group(0).stdin(Stdio::null()).stdout(copy).stderr(log);
    let child = command.spawn().map_err(at("/proc/self/exe".into()))?;
    let mut gateway = Gateway { place: Place::Engine(control), child: Some(child) };
    let begin = Stopwatch::start();
    loop {
        if let Some(fault) = gateway.fault(files) {
            return Err(fault);
        }
        match Table::open(&gateway.place) {
            Ok(_) => return Ok(gateway),
            Err(error) if begin.elapsed() > PATIENCE => return Err(Obstacle::Table(error)),
            Err(_) => thread::sleep(BREATH),
        }
    }
}

/// So long something may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const BREATH: Duration = Duration::from_millis(20);
