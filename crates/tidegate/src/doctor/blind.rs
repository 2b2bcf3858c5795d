//! What could not be seen, and why. What the same keeps from us is told in one breath.

use std::fmt::Display;

use crate::client::{ClientError, Severity};

/// Things that were not seen, in the order in which they were looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blind {
    /// For want of privilege.
    denied: Vec<String>,
    /// For other reasons, which are told.
    others: Vec<String>,
}

impl Blind {
    /// Something is only shown to others.
    pub(crate) fn denied(&mut self, what: impl Into<String>) {
        self.denied.push(what.into());
    }

    /// Something else kept it from us.
    pub(crate) fn because(&mut self, what: &str, why: impl Display) {
        self.others.push(format!("{what}: {why}"));
    }

    /// Something that is to be known as well.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.others.push(what.into());
    }

    /// A table didn't tell.
    pub(crate) fn refused(&mut self, what: &str, error: &ClientError) {
        match error.severity() {
            Severity::Denied => self.denied(what),
            Severity::Failed | Severity::Unreachable => self.because(what, error),
        }
    }

    /// The same, and then others.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.denied.append(&mut others.denied);
        self.others.append(&mut others.others);
    }

    /// All of it, in few words. Whoever is root already isn't told to be.
    pub(crate) fn told(&self, is_root: bool) -> Vec<String> {
        let advice = if is_root { "not permitted" } else { "not permitted, be root" };
        let denied = format!("{} ({advice})", self.denied.join(", "));
        let denied = (!self.denied.is_empty()).then_some(denied);
        denied.into_iter().chain(self.others.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_takes_privilege_is_told_once() {
        let mut blind = Blind::default();
        blind.refused("flows", &ClientError::Refused(Errno::PERM));
        blind.refused("expectations", &ClientError::Refused(Errno::ACCESS));
        blind.refused("arrivals", &ClientError::Refused(Errno::NOBUFS));
        let told = blind.told(false);
        assert_eq!(told[0], "flows, expectations (not permitted, be root)");
        assert!(told[1].starts_with("arrivals: the table refused: "), "{told:?}");
        assert_eq!(blind.told(true)[0], "flows, expectations (not permitted)");
        assert!(Blind::default().told(false).is_empty());
    }
}
