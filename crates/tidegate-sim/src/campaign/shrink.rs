//! Makes an experiment smaller while the difference stays.
//!
//! Packets go first, in ever smaller pieces, then rules, settings and whatever else there is, and
//! then packets once more. Every attempt asks the kernel anew, so nothing has to be supposed.

use std::time::Duration;

use super::experiment::{Experiment, Step};
use super::kernel::{Kernel, KernelError, Output, Source};
use super::trial::Trial;

/// Steps that are known beforehand.
pub(super) struct Fixed<'a>(std::slice::Iter<'a, Step>);

impl<'a> Fixed<'a> {
    pub(super) fn new(steps: &'a [Step]) -> Self {
        Self(steps.iter())
    }
}

impl Source for Fixed<'_> {
    fn next(&mut self, _: Duration, _: &[Output]) -> Option<Step> {
        self.0.next().cloned()
    }
}

/// The smallest experiment found in which the same kind of thing differs, with its trial.
///
/// # Errors
/// The kernel gave no answer.
pub(super) fn shrink(
    kernel: &Kernel,
    experiment: &Experiment,
    trial: &Trial,
) -> Result<(Experiment, Trial), KernelError> {
    let mut shrinking = Shrinking {
        kernel,
        kind: trial.kind().unwrap_or_default().to_owned(),
        experiment: experiment.clone(),
        steps: trial.recorded.steps.clone(),
        best: trial.clone(),
        attempts: 0,
    };
    shrinking.cut_the_end()?;
    shrinking.drop_steps()?;
    shrinking.drop_rules()?;
    shrinking.drop_settings()?;
    shrinking.drop_incidents()?;
    shrinking.drop_steps()?;
    Ok((shrinking.experiment, shrinking.best))
}

struct Shrinking<'a> {
    kernel: &'a Kernel,
    kind: String,
    experiment: Experiment,
    steps: Vec<Step>,
    best: Trial,
    attempts: u32,
}

impl Shrinking<'_> {
    /// Takes over what is smaller if it still differs.
    fn attempt(&mut self, experiment: Experiment, steps: Vec<Step>) -> Result<bool, KernelError> {
        if self.attempts >= ATTEMPTS {
            return Ok(false);
        }
        self.attempts += 1;
        let trial = match Trial::run(self.kernel, &experiment, &mut Fixed::new(&steps)) {
            // Rules may need each other.
            Err(KernelError::Tool { .. }) => return Ok(false),
            trial => trial?,
        };
        let is_same = trial.kind() == Some(&self.kind);
        if is_same {
            (self.experiment, self.steps, self.best) = (experiment, steps, trial);
        }
        Ok(is_same)
    }

    /// What comes after the difference has nothing to do with it.
    fn cut_the_end(&mut self) -> Result<(), KernelError> {
        let first = self.best.differences.first().and_then(|difference| difference.index);
        if let Some(index) = first {
            // What comes late belongs to the packet before.
            for len in [index + 1, index + 2] {
                let steps = self.steps[..len.min(self.steps.len())].to_vec();
                if self.attempt(self.experiment.clone(), steps)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn drop_steps(&mut self) -> Result<(), KernelError> {
        let mut size = self.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.steps.len() {
                let steps = without(&self.steps, at, size);
                if !self.attempt(self.experiment.clone(), steps)? {
                    at += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        Ok(())
    }

    fn drop_rules(&mut self) -> Result<(), KernelError> {
        for family in 0..2 {
            let mut smaller = self.experiment.clone();
            if smaller.rules[family].take().is_some() {
                self.attempt(smaller, self.steps.clone())?;
            }
            for table in (0..self.tables(family)).rev() {
                let mut smaller = self.experiment.clone();
                if let Some(rules) = &mut smaller.rules[family] {
                    rules.tables.remove(table);
                }
                if !self.attempt(smaller, self.steps.clone())? {
                    self.drop_rules_of(family, table)?;
                }
            }
        }
        Ok(())
    }

    fn tables(&self, family: usize) -> usize {
        self.experiment.rules[family].as_ref().map_or(0, |rules| rules.tables.len())
    }

    fn drop_rules_of(&mut self, family: usize, table: usize) -> Result<(), KernelError> {
        let count = |this: &Self| {
            let rules = this.experiment.rules[family].as_ref();
            rules.and_then(|rules| rules.tables.get(table)).map_or(0, |table| table.rules.len())
        };
        for rule in (0..count(self)).rev() {
            let mut smaller = self.experiment.clone();
            if let Some(rules) = &mut smaller.rules[family] {
                rules.tables[table].rules.remove(rule);
            }
            self.attempt(smaller, self.steps.clone())?;
        }
        let mut smaller = self.experiment.clone();
        if let Some(rules) = &mut smaller.rules[family] {
            rules.tables[table].chains.retain(|(_, policy)| *policy != "-");
            self.attempt(smaller, self.steps.clone())?;
        }
        Ok(())
    }

    fn drop_settings(&mut self) -> Result<(), KernelError> {
        for setting in (0..self.experiment.settings.len()).rev() {
            let mut smaller = self.experiment.clone();
            smaller.settings.remove(setting);
            self.attempt(smaller, self.steps.clone())?;
        }
        let mut smaller = self.experiment.clone();
        if !smaller.mtus.is_empty() {
            smaller.mtus.clear();
            self.attempt(smaller, self.steps.clone())?;
        }
        Ok(())
    }

    fn drop_incidents(&mut self) -> Result<(), KernelError> {
        for step in 0..self.steps.len() {
            let mut steps = self.steps.clone();
            if !steps[step].actions.is_empty() {
                steps[step].actions.clear();
                self.attempt(self.experiment.clone(), steps)?;
            }
            let mut steps = self.steps.clone();
            if !steps[step].pause.is_zero() {
                steps[step].pause = Duration::ZERO;
                self.attempt(self.experiment.clone(), steps)?;
            }
        }
        Ok(())
    }
}

/// The steps without some of them. Silence stays, and patches follow who they followed.
fn without(steps: &[Step], at: usize, size: usize) -> Vec<Step> {
    let gone = at..(at + size).min(steps.len());
    let mut silence: Duration = steps[gone.clone()].iter().map(|step| step.pause).sum();
    let mut left = Vec::new();
    for (_, step) in steps.iter().enumerate().filter(|(index, _)| !gone.contains(index)) {
        let mut step = step.clone();
        if left.len() >= at {
            step.pause += std::mem::take(&mut silence);
        }
        step.patches.retain(|patch| !gone.contains(&patch.step));
        for patch in &mut step.patches {
            if patch.step >= gone.end {
                patch.step -= gone.len();
            }
        }
        left.push(step);
    }
    left
}

/// Enough for a few hundred packets and a dozen rules.
const ATTEMPTS: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::experiment::{Patch, Side};

    fn step(pause: u64, follows: Option<usize>) -> Step {
        let patch = |step| Patch { set: "dport", step, out: 0, field: "sport" };
        Step {
            pause: Duration::from_secs(pause),
            actions: Vec::new(),
            side: Side::Lan,
            datagram: Vec::new(),
            patches: follows.map(patch).into_iter().collect(),
        }
    }

    #[test]
    fn silence_stays_and_patches_follow_who_they_followed() {
        let steps =
            [step(0, None), step(1, None), step(2, Some(0)), step(3, Some(1)), step(0, Some(2))];
        let left = without(&steps, 1, 1);
        let pauses: Vec<u64> = left.iter().map(|step| step.pause.as_secs()).collect();
        assert_eq!(pauses, [0, 3, 3, 0]);
        let followed = |step: &Step| step.patches.first().map(|patch| patch.step);
        let followed: Vec<_> = left.iter().map(followed).collect();
        assert_eq!(followed, [None, Some(0), None, Some(1)]);
    }

    #[test]
    fn more_than_there_is_can_be_taken_away() {
        assert_eq!(without(&[step(0, None), step(0, None)], 1, 5).len(), 1);
    }
}
