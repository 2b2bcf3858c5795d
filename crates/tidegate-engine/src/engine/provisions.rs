//! What packets are held against beside flows: rules, and the sets and timeout policies that rules name.

use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::Engine;
use crate::ipset::{SetError, Sets};
use crate::limits::Policies;
use crate::rules::{Generation, Ruleset};
use crate::time::Instant;

impl Engine {
    /// Replaces the rules of one family, as `iptables-restore` does: tables that
    /// `rules` does not name stay as they are.
    pub fn replace_rules(&mut self, rules: &Ruleset) {
        let mut next = self.generation();
        next.replace(rules.clone());
        self.adopt_rules(&mut next);
    }

    /// The rules that it goes by, to work out the next ones from while packets go on.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.programs.generation()
    }

    /// Goes by rules that were worked out from [those of now](Engine::generation), its own or those of another
    /// engine that has adopted copies of the same generations so far; each engine takes a copy. Tables that were not
    /// replaced keep their counters, and what they remember. The rules of before are `next` afterwards: to let go of
    /// them takes longer than to put others in their place.
    pub fn adopt_rules(&mut self, next: &mut Generation) {
        // Once switched on it stays, as in the kernel.
        self.limits.acct |= self.programs.adopt(next, &self.policies);
        if self.programs.epoch() == 0 {
            self.table.forget_vetting();
        }
    }

    /// Does what the lines of `ipset save` or `ipset restore` say; see [`Sets::restore`].
    ///
    /// # Errors
    /// The lines that could not be done.
    pub fn restore_sets(
        &mut self,
        now: Instant,
        file: &str,
        text: &str,
    ) -> Result<(), Vec<SetError>> {
        self.programs.sets_mut().restore(now, file, text)
    }

    /// Takes over sets that were made before the engine.
    pub fn adopt_sets(&mut self, sets: Sets) {
        self.programs.adopt_sets(sets);
    }

    /// Takes over the timeout policies that `CT --timeout` of rules loaded from now on may name. Flows keep the
    /// number of theirs: add to the policies that there were, don't replace them.
    pub fn adopt_policies(&mut self, policies: Policies) {
        self.policies = policies;
    }

    /// The rules of one family as `iptables-save` prints them, with or without
    /// counters; `None` where no table is loaded.
    #[must_use]
    pub fn rules(&self, family: Family, counters: bool) -> Option<String> {
        self.programs.print(family, counters)
    }

    /// The sets that rules name.
    #[must_use]
    pub fn sets(&self) -> &Sets {
        self.programs.sets()
    }
}
