//! The campaign: random traffic under random rules through the kernel of this machine and through
//! the engine, packet by packet, until they disagree.
//!
//! ```text
//! seed --> grammar (rules, settings) --+
//!   |                                  +--> kernel: records --+
//!   +----> traffic  <-- what came out -+--> engine: records --+--> judge --> shrink --> scenario
//! ```
//!
//! A seed fixes everything but what the kernel itself draws. Each seed is an experiment of its
//! own, in network namespaces of its own. The judge is the corpus's ([`oracle`](crate::oracle));
//! a difference is shrunk and becomes a scenario of the corpus's format.

mod dice;
mod experiment;
mod grammar;
mod kernel;
mod patch;
mod report;
mod settle;
mod shrink;
pub mod synproxy;
#[cfg(test)]
mod tests;
mod traffic;
mod trial;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use self::dice::Dice;
use self::kernel::Kernel;
pub use self::kernel::KernelError;
pub(crate) use self::kernel::enter_user_namespace;
pub use self::report::{CampaignError, Finding, Report};
use self::shrink::{Fixed, shrink};
use self::traffic::Traffic;
use self::trial::Trial;

/// What a campaign is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seeds, in order.
    pub seeds: Vec<Range<u64>>,
    /// Packets of each experiment; a third of them where there are times of silence.
    pub packets: usize,
    /// No experiment begins after this long.
    pub limit: Option<Duration>,
    /// Where differences are saved, each in a directory of its own.
    pub save: Option<PathBuf>,
    /// Experiments at the same time.
    pub jobs: usize,
    /// Whether differences are made small.
    pub shrinks: bool,
}

/// Runs a campaign, and hands over each difference as soon as it is found. To be called while the
/// program has a single thread: whoever is not root enters a user namespace.
///
/// # Errors
/// The kernel can't be asked, or a difference can't be saved.
pub fn run(plan: &Plan, tell: &(dyn Fn(&Finding) + Sync)) -> Result<Report, CampaignError> {
    let campaign = Campaign {
        plan,
        kernel: Kernel::enter()?,
        clock: Stopwatch::start(),
        seeds: Mutex::new(plan.seeds.iter().cloned().flatten().collect::<Vec<_>>().into_iter()),
        is_over: AtomicBool::new(false),
        tell,
    };
    let done: Vec<_> = thread::scope(|scope| {
        let work = |number| {
            let campaign = &campaign;
            scope.spawn(move || campaign.work(number))
        };
        let workers: Vec<_> = (0..plan.jobs.max(1)).map(work).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| CampaignError::Panic)).collect()
    });
    let mut total = Report::new(kernel::release());
    for report in done {
        total.add(report??);
    }
    total.took = campaign.clock.elapsed();
    Ok(total)
}

struct Campaign<'a> {
    plan: &'a Plan,
    kernel: Kernel,
    clock: Stopwatch,
    seeds: Mutex<std::vec::IntoIter<u64>>,
    /// Nobody goes on when one can't.
    is_over: AtomicBool,
    tell: &'a (dyn Fn(&Finding) + Sync),
}

impl Campaign<'_> {
    fn work(&self, number: usize) -> Result<Report, CampaignError> {
        let done = self.try_work(number);
        if done.is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn try_work(&self, number: usize) -> Result<Report, CampaignError> {
        kernel::stay_on_processor(number)?;
        let mut report = Report::new(String::new());
        while let Some(seed) = self.next_seed() {
            self.examine(seed, &mut report)?;
        }
        Ok(report)
    }

    fn next_seed(&self) -> Option<u64> {
        let is_late = self.plan.limit.is_some_and(|limit| self.clock.elapsed() > limit);
        if is_late || self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.seeds.lock().ok()?.next()
    }

    fn examine(&self, seed: u64, report: &mut Report) -> Result<(), CampaignError> {
        let mut dice = Dice::new(seed);
        let (experiment, outline) = grammar::experiment(seed, self.plan.packets, &mut dice);
        let mut traffic = Traffic::new(dice, outline);
        let trial = Trial::run(&self.kernel, &experiment, &mut traffic)?;
        report.count(&trial);
        if trial.differences.is_empty() {
            return Ok(());
        }
        let mut again =
            Trial::run(&self.kernel, &experiment, &mut Fixed::new(&trial.recorded.steps))?;
        if again.kind() != trial.kind() {
            again = Trial::run(&self.kernel, &experiment, &mut Fixed::new(&trial.recorded.steps))?;
        }
        let is_steady = again.kind() == trial.kind();
        let small = match is_steady && self.plan.shrinks {
            true => shrink(&self.kernel, &experiment, &again)?.1,
            false => trial.clone(),
        };
        let finding = Finding::new(seed, &trial, small, is_steady);
        (self.tell)(&finding);
        if let Some(dir) = &self.plan.save {
            finding.save(dir)?;
        }
        report.findings.push(finding);
        Ok(())
    }
}
