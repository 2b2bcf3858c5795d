//! Rules and settings that are read again: by a thread of its own, while packets go on.
//!
//! Files are read there, rules compiled, and what is there at the end fits in as it is. The operator's requests wait
//! meanwhile, so that nothing else changes what was read for.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tidegate_engine::limits::{Limits, Policies};
use tidegate_engine::rules::{Generation, Ruleset};
use tidegate_engine::time::Instant;
use tidegate_wire::Family;

use crate::control::Engines;
use crate::replay::{Cause, Fault, Inputs, Provisions};

/// Files that are being read.
pub(super) struct Reading {
    thread: JoinHandle<Result<Revision, Vec<Fault>>>,
    /// Ends with the thread.
    over: UnixStream,
}

/// What was read.
pub(super) struct Revision {
    pub(super) limits: Limits,
    /// The rules, once for each engine.
    pub(super) rules: Vec<Generation>,
    pub(super) warnings: Vec<Fault>,
}

/// What files are read for.
struct Basis {
    inputs: Inputs,
    limits: Limits,
    rules: Generation,
    sets: BTreeSet<String>,
    policies: Policies,
    engines: usize,
}

/// The processors of a process before any of its threads keeps to one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processors(Option<CpuSet>);

impl Processors {
    pub(super) fn of_now() -> Self {
        Self(sched_getaffinity(None).ok())
    }

    /// Lets the calling thread, whose parent may keep to one, have all of them.
    fn have_all(self) {
        if let Some(set) = self.0 {
            // With one it takes longer, and packets may wait.
            let _ = sched_setaffinity(None, &set);
        }
    }
}

impl Reading {
    /// Begins.
    ///
    /// # Errors
    /// The system has no thread for it, or no descriptors.
    pub(super) fn begin(
        inputs: &Inputs,
        processors: Processors,
        engines: &mut Engines<'_>,
        now: Instant,
    ) -> io::Result<Self> {
        let (over, end) = UnixStream::pair()?;
        over.set_nonblocking(true)?;
        let (inputs, workers) = (inputs.clone(), engines.workers());
        let basis = engines.ask(now, |engine| Basis {
            inputs,
            limits: *engine.limits(),
            rules: engine.generation(),
            sets: engine.sets().names().map(str::to_owned).collect(),
            policies: engine.policies().clone(),
            engines: workers,
        });
        let thread = Builder::new().name("reload".to_owned()).spawn(move || {
            let _end = end;
            processors.have_all();
            basis.read()
        })?;
        Ok(Self { thread, over })
    }

    /// What becomes readable when all is read.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    /// Whether all is read.
    pub(super) fn is_over(&self) -> bool {
        matches!((&self.over).read(&mut [0]), Ok(0))
    }

    /// What was read. Waits for it.
    ///
    /// # Errors
    /// Every fault of the files.
    pub(super) fn outcome(self) -> Result<Revision, Vec<Fault>> {
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Basis {
    fn read(self) -> Result<Revision, Vec<Fault>> {
        let read = Provisions::read(self.limits, &self.inputs)?;
        let Provisions { limits, rules, warnings, .. } = read;
        let missing: Vec<_> = rules.iter().flat_map(|(_, rules)| self.missing(rules)).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut next = self.rules;
        rules.into_iter().for_each(|(_, rules)| next.replace(rules));
        Ok(Revision { limits, rules: vec![next; self.engines], warnings })
    }

    /// What rules name that engines don't have.
    fn missing(&self, rules: &Ruleset) -> Vec<Fault> {
        let input = match rules.family {
            Family::V4 => &self.inputs.rules4,
            Family::V6 => &self.inputs.rules6,
        };
        let file = input.as_ref().map_or(String::new(), |path| path.display().to_string());
        let sets = rules.sets().into_iter().filter(|(_, name)| !self.sets.contains(*name));
        let sets = sets.map(|(line, name)| (line, Cause::UnknownSet(name.to_owned())));
        let policies = rules.timeout_policies();
        let policies = policies.filter(|(_, name, _)| self.policies.find(name).is_none());
        let policies =
            policies.map(|(line, name, _)| (line, Cause::UnknownPolicy(name.to_owned())));
        sets.chain(policies)
            .map(|(line, cause)| Fault { line: Some(line as usize), ..Fault::of(&file, cause) })
            .collect()
    }
}

/// Has a thread let go of what nobody goes by any more, as that takes time.
pub(super) fn let_go(old: Vec<Generation>, processors: Processors) {
    // Without a thread it goes at once.
    let _ = Builder::new().name("reload".to_owned()).spawn(move || {
        processors.have_all();
        drop(old);
    });
}

#[cfg(test)]
mod tests;
