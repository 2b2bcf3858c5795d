//! The names of labels, from the file that iptables and conntrack(8) read.

use std::fs;

/// Names and their bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    names: Vec<(u16, String)>,
}

impl Labels {
    /// Those of this machine; none if there is no file.
    pub(crate) fn of_machine() -> Self {
        Self::parse(&fs::read_to_string(FILE).unwrap_or_default())
    }

    /// Lines with a bit's number and its name; `#` begins a comment.
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split('#').next()?.split_whitespace();
            let bit = words.next()?.parse().ok().filter(|bit| *bit < BITS)?;
            Some((bit, words.next()?.to_owned()))
        };
        Self { names: text.lines().filter_map(line).collect() }
    }

    /// The name of a bit.
    pub(crate) fn name(&self, bit: u16) -> Option<&str> {
        self.names.iter().find(|(known, _)| *known == bit).map(|(_, name)| name.as_str())
    }

    /// The bit of a name or a number.
    pub(crate) fn bit(&self, word: &str) -> Option<u16> {
        let named = self.names.iter().find(|(_, name)| name == word).map(|(bit, _)| *bit);
        named.or_else(|| word.parse().ok().filter(|bit| *bit < BITS))
    }
}

/// Labels of a flow.
pub(crate) const BITS: u16 = 128;

const FILE: &str = "/etc/xtables/connlabel.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_names() {
        let labels = Labels::parse("# labels\n0 seen\n3  bulk # large\n128 none\nx y\n7\n");
        assert_eq!(labels.names, [(0, "seen".to_owned()), (3, "bulk".to_owned())]);
        let rows =
            [("seen", Some(0)), ("3", Some(3)), ("99", Some(99)), ("128", None), ("z", None)];
        for (word, bit) in rows {
            assert_eq!(labels.bit(word), bit, "{word}");
        }
        assert_eq!(labels.name(3), Some("bulk"));
        assert_eq!(labels.name(4), None);
    }
}
