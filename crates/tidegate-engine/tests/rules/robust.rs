//! No text panics, and what is accepted prints as text that is accepted as the same.

use std::sync::LazyLock;

use proptest::prelude::*;
use tidegate_engine::rules;
use tidegate_wire::Family;

use crate::golden::files;

static TEXTS: LazyLock<Vec<(Family, Vec<String>)>> = LazyLock::new(|| {
    let both = [files("golden"), files("refused")].concat();
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    both.into_iter().map(|(_, family, text)| (family, lines(text))).collect()
});

/// One change to a golden or refused text.
#[derive(Clone, Debug)]
enum Mutation {
    /// Words of a line in another order: the word at one place moves to another.
    MoveWord(usize, usize, usize),
    /// A word of a line is replaced by a word of another line.
    TakeWord(usize, usize, usize, usize),
    /// A word of a line is cut after some bytes.
    CutWord(usize, usize, usize),
    /// A character is put somewhere.
    Insert(usize, usize, char),
    /// A line is removed.
    RemoveLine(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let n = || 0..10_000usize;
    prop_oneof![
        (n(), n(), n()).prop_map(|(line, from, to)| Mutation::MoveWord(line, from, to)),
        (n(), n(), n(), n()).prop_map(|(a, b, c, d)| Mutation::TakeWord(a, b, c, d)),
        (n(), n(), n()).prop_map(|(line, word, at)| Mutation::CutWord(line, word, at)),
        (n(), n(), any::<char>()).prop_map(|(line, at, c)| Mutation::Insert(line, at, c)),
        (n(), n(), prop::sample::select("!\"\\,:-/[]*+ 0x".chars().collect::<Vec<_>>()))
            .prop_map(|(line, at, c)| Mutation::Insert(line, at, c)),
        n().prop_map(Mutation::RemoveLine),
    ]
}

fn apply(lines: &mut Vec<String>, mutation: &Mutation) {
    let count = lines.len();
    if count < 2 {
        return;
    }
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    match *mutation {
        Mutation::MoveWord(line, from, to) => {
            let mut changed = words(&lines[line % count]);
            let word = changed.remove(from % changed.len());
            changed.insert(to % (changed.len() + 1), word);
            lines[line % count] = changed.join(" ");
        }
        Mutation::TakeWord(line, at, other, from) => {
            let taken = words(&lines[other % count]);
            let mut changed = words(&lines[line % count]);
            let at = at % changed.len();
            changed[at].clone_from(&taken[from % taken.len()]);
            lines[line % count] = changed.join(" ");
        }
        Mutation::CutWord(line, word, at) => {
            let mut changed = words(&lines[line % count]);
            let word = word % changed.len();
            let kept = at % (changed[word].chars().count() + 1);
            changed[word] = changed[word].chars().take(kept).collect();
            lines[line % count] = changed.join(" ");
        }
        Mutation::Insert(line, at, c) => {
            let at = at % (lines[line % count].chars().count() + 1);
            let mut changed: Vec<char> = lines[line % count].chars().collect();
            changed.insert(at, c);
            lines[line % count] = changed.into_iter().collect();
        }
        Mutation::RemoveLine(line) => {
            lines.remove(line % count);
        }
    }
}

/// Refused, or a fixed point of printing.
fn read(family: Family, text: &str) {
    match rules::parse(family, "mutated", text) {
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.line >= 1 && error.line as usize <= text.lines().count().max(1));
                assert!(error.to_string().starts_with("mutated:"));
            }
        }
        Ok(ruleset) => {
            let printed = rules::print(&ruleset, true);
            let again = rules::parse(family, "printed", &printed)
                .unwrap_or_else(|errors| panic!("{printed}\n{}", errors[0]));
            assert_eq!(printed, rules::print(&again, true));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), v6: bool) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        read(family, &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_rule_of_odd_words(words in prop::collection::vec("[-!\"a-z0-9:,/.+ ]{0,12}", 0..8)) {
        read(Family::V4, &format!("*filter\n-A FORWARD {}\nCOMMIT\n", words.join(" ")));
    }

    #[test]
    fn mutated_texts(
        which in 0..10_000usize,
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let (family, lines) = &TEXTS[which % TEXTS.len()];
        let mut lines = lines.clone();
        for mutation in &mutations {
            apply(&mut lines, mutation);
        }
        read(*family, &lines.join("\n"));
    }

    /// A text has an error in nearly every mutation; one rule at a time has a chance to be accepted.
    #[test]
    fn mutated_rules(
        which in 0..10_000usize,
        line in 0..10_000usize,
        mutation in mutation(),
    ) {
        let (family, lines) = &TEXTS[which % TEXTS.len()];
        let rules: Vec<&String> = lines.iter().filter(|line| line.starts_with("-A F")).collect();
        if rules.is_empty() {
            return Ok(());
        }
        let mut pair = vec![rules[line % rules.len()].clone(), "-A FORWARD -j ACCEPT".to_owned()];
        apply(&mut pair, &mutation);
        read(*family, &format!("*filter\n:sub - [0:0]\n:web - [0:0]\n{}\nCOMMIT\n", pair.join("\n")));
    }
}
