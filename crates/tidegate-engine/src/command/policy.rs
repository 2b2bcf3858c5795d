//! Timeouts: everybody's, and those under a name. Linux: `nfnetlink_cttimeout.c`.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::{CommandError, Done};
use crate::engine::Engine;
use crate::limits::{NAME_MAX, Policies, Policy};

/// A timeout policy to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewPolicy<'a> {
    /// Its name.
    pub name: &'a str,
    /// The family of the flows that it is for.
    pub family: Family,
    /// Their protocol; 255 stands for all without a tracker.
    pub proto: u8,
    /// Numbers and seconds; what is missing is as everybody's are now.
    pub timeouts: &'a [(u16, u32)],
}

/// What becomes of a policy that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// It stays: [`CommandError::Exists`].
    Refuse,
    /// It stays, because nobody said what to do: [`CommandError::Busy`].
    Keep,
    /// It is changed.
    Replace,
}

impl Engine {
    /// All timeout policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Makes a timeout policy.
    ///
    /// # Errors
    /// [`CommandError::Exists`], [`CommandError::Busy`], [`CommandError::Invalid`] (a replacement of another kind, or an
    /// empty name), [`CommandError::Range`] (the name is too long), [`CommandError::NotSupported`] (the protocol has no
    /// timeouts of its own), [`CommandError::NoMemory`].
    pub fn put_policy(&mut self, new: &NewPolicy<'_>, on_existing: OnExisting) -> Done {
        let NewPolicy { name, family, proto, timeouts } = *new;
        if name.len() > NAME_MAX {
            return Err(CommandError::Range);
        }
        let existing = self.policies.iter().find(|policy| policy.name == name);
        match (existing, on_existing) {
            (None, _) => {}
            (Some(_), OnExisting::Refuse) => return Err(CommandError::Exists),
            (Some(_), OnExisting::Keep) => return Err(CommandError::Busy),
            (Some(old), OnExisting::Replace) if (old.family, old.proto) != (family, proto) => {
                return Err(CommandError::Invalid);
            }
            (Some(_), OnExisting::Replace) => {}
        }
        if self.limits.timeouts.numbered(proto).is_none() {
            return Err(CommandError::NotSupported);
        }
        if existing.is_none() && self.policies.is_full() {
            return Err(CommandError::NoMemory);
        }
        let mut own = self.limits.timeouts;
        timeouts.iter().for_each(|(number, seconds)| own.set_numbered(proto, *number, *seconds));
        self.policies.put(Policy { name: name.to_owned(), family, proto, timeouts: own });
        Ok(())
    }

    /// Takes a timeout policy away. Its flows have everybody's timeouts from now on.
    ///
    /// # Errors
    /// [`CommandError::NotFound`].
    pub fn remove_policy(&mut self, name: &str) -> Done {
        if self.policies.remove(name) { Ok(()) } else { Err(CommandError::NotFound) }
    }

    /// Takes all timeout policies away.
    pub fn remove_policies(&mut self) {
        let names: Vec<_> = self.policies.iter().map(|policy| policy.name.clone()).collect();
        for name in &names {
            self.policies.remove(name);
        }
    }

    /// Sets everybody's timeouts of a protocol.
    ///
    /// # Errors
    /// [`CommandError::NotSupported`]: the protocol has none of its own.
    pub fn set_timeouts(&mut self, proto: u8, timeouts: &[(u16, u32)]) -> Done {
        let all = &mut self.limits.timeouts;
        all.numbered(proto).ok_or(CommandError::NotSupported)?;
        timeouts.iter().for_each(|(number, seconds)| all.set_numbered(proto, *number, *seconds));
        Ok(())
    }
}
