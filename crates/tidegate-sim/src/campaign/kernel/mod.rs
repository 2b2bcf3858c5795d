//! Asks the running kernel what it makes of an experiment.
//!
//! ```text
//! Experiment --> router (namespaces, rules, settings) --> packets one by one
//!                  |  trace: which hooks it saw, as what      \
//!                  |  events: what happened to entries          > record of each packet
//!                  |  ports: what left                         /
//! ```
//!
//! The records are those of the scenario format, so the judge of the corpus can compare them with
//! a replay. Nothing here knows what the engine would say.

mod copies;
mod entry;
mod error;
mod expectation;
mod log;
mod netlink;
mod passage;
mod port;
mod record;
mod router;
mod ticks;
mod tool;
mod trace;
mod watch;

pub use self::error::KernelError;
pub(super) use self::record::{NFLOG_GROUPS, Output, Recorded, Source, log_prefix};
pub(super) use self::ticks::Reading;

use std::fs;

use self::log::Switch;
use super::experiment::Experiment;
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::{Pid, getegid, geteuid};

/// The running kernel.
pub(super) struct Kernel {
    /// What makes it log for all namespaces, for whoever may turn it.
    log_switch: Option<Switch>,
}

impl Kernel {
    /// Makes ready to ask. To be called while the program has a single thread: whoever isn't root
    /// enters a user namespace where he is.
    ///
    /// # Errors
    /// The machine forbids to make namespaces.
    pub(super) fn enter() -> Result<Self, KernelError> {
        let log_switch = Switch::turn();
        enter_user_namespace()?;
        Ok(Self { log_switch })
    }

    /// Runs an experiment in a fresh router.
    ///
    /// # Errors
    /// See [`KernelError`]. What the kernel does with a packet is never an error.
    pub(super) fn record(
        &self,
        experiment: &Experiment,
        source: &mut dyn Source,
    ) -> Result<Recorded, KernelError> {
        record::record(self.log_switch.as_ref(), experiment, source)
    }
}

/// Makes sure that namespaces may be made: whoever isn't root enters a user namespace where he is.
/// To be called while the program has a single thread.
///
/// # Errors
/// The machine forbids it.
pub(crate) fn enter_user_namespace() -> Result<(), KernelError> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(KernelError::Forbidden)?;
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    maps.iter().try_for_each(|(path, text)| fs::write(path, text).map_err(KernelError::at(path)))
}

/// Keeps the calling thread, and so what it causes in the kernel, on one processor: there the
/// order of things is certain.
///
/// # Errors
/// The system refuses.
pub(super) fn stay_on_processor(number: usize) -> Result<(), KernelError> {
    let at = || KernelError::at("the thread's processor");
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).map_err(at())?;
    let usable: Vec<usize> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    let mut one = CpuSet::new();
    one.set(usable[number % usable.len().max(1)]).map_err(at())?;
    sched_setaffinity(this, &one).map_err(at())
}

/// The counters of SYNPROXY in the thread's network namespace, summed over the processors; without `entries`.
///
/// # Errors
/// The kernel has no SYNPROXY.
pub(super) fn synproxy_counters() -> Result<[u64; 5], KernelError> {
    const PATH: &str = "/proc/thread-self/net/stat/synproxy";
    let text = fs::read_to_string(PATH).map_err(KernelError::at(PATH))?;
    let mut sums = [0; 5];
    for line in text.lines().skip(1) {
        let numbers = line.split_whitespace().map(|word| u64::from_str_radix(word, 16));
        for (sum, number) in sums.iter_mut().zip(numbers.skip(1)) {
            *sum += number.unwrap_or_default();
        }
    }
    Ok(sums)
}

/// The kernel's release, such as `6.18.2`.
#[must_use]
pub(super) fn release() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}
