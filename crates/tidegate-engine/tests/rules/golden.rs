//! Golden pairs: `golden/NAME.rules` as people write it, `NAME.saved` and `NAME.counters.saved` as iptables-save and
//! iptables-save -c 1.8.9 (legacy) printed it after iptables-restore had loaded it into a 6.18 kernel. The tables of
//! the saved files are in the order of the rules; comment lines are left out. Names begin with their family.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_engine::rules;
use tidegate_engine::rules::ast::Ruleset;
use tidegate_wire::Family;

/// Every `*.rules` of a directory beside this file, with its family and text.
pub(crate) fn files(directory: &str) -> Vec<(PathBuf, Family, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(directory);
    let entries = fs::read_dir(directory).expect("the directory is there");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the directory can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "rules"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("rules are UTF-8");
        let family = match &name(&path)[..3] {
            "v4-" => Family::V4,
            "v6-" => Family::V6,
            other => panic!("no family in {other}"),
        };
        (path, family, text)
    };
    paths.into_iter().map(read).collect()
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().expect("a file has a name").to_string_lossy().into_owned()
}

fn parse(name: &str, family: Family, text: &str) -> Ruleset {
    rules::parse(family, name, text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("refused:\n{}", lines.join("\n"))
    })
}

/// The ruleset without traces of the text.
fn unplaced(mut ruleset: Ruleset) -> Ruleset {
    for table in &mut ruleset.tables {
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            rule.line = 0;
        }
    }
    ruleset
}

fn assert_same(name: &str, printed: &str, saved: &str) {
    for (number, (printed, saved)) in printed.lines().zip(saved.lines()).enumerate() {
        assert_eq!(printed, saved, "{name}, line {} of the saved text", number + 1);
    }
    assert_eq!(printed.lines().count(), saved.lines().count(), "{name}");
}

#[test]
fn prints_what_iptables_save_prints() {
    let files = files("golden");
    assert!(files.len() >= 10, "golden files are missing");
    for (path, family, text) in files {
        let name = name(&path);
        let ruleset = parse(&name, family, &text);
        for (counters, extension) in [(false, "saved"), (true, "counters.saved")] {
            let saved = fs::read_to_string(path.with_extension(extension)).unwrap();
            assert_same(&name, &rules::print(&ruleset, counters), &saved);
        }
    }
}

#[test]
fn printed_text_means_the_same_and_prints_the_same() {
    for (path, family, text) in files("golden") {
        let name = name(&path);
        let first = parse(&name, family, &text);
        let printed = rules::print(&first, true);
        let second = parse(&name, family, &printed);
        assert_eq!(meaning(first, family), meaning(second.clone(), family), "{name}");
        assert_eq!(printed, rules::print(&second, true), "{name}");
    }
}

/// What a ruleset says, in words. iptables-save spells the mask of every `recent`, and a mask that is spelled is as long as
/// an address of its family, in a list that both share: that much a printed text says more.
fn meaning(ruleset: Ruleset, family: Family) -> String {
    let whole = match family {
        Family::V4 => "255.255.255.255",
        Family::V6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    format!("{:?}", unplaced(ruleset))
        .replace("mask: None, side", &format!("mask: Some({whole}), side"))
}

/// iptables-save drops these conditions from the text, and with them their meaning: never.
#[test]
fn negated_any_survives_printing() {
    let rules = [
        "-A FORWARD ! -i +",
        "-A FORWARD ! -o + -j DROP",
        "-A FORWARD -p tcp -m tcp ! --sport 0:65535",
        "-A FORWARD -p udp -m udp ! --dport 0:65535",
    ];
    let text = format!("*filter\n{}\nCOMMIT\n", rules.join("\n"));
    let printed = rules::print(&parse("inline", Family::V4, &text), false);
    let found: Vec<&str> = printed.lines().filter(|line| line.starts_with("-A")).collect();
    assert_eq!(found, rules);
}

#[test]
fn rules_know_their_lines() {
    let text = "# one\n*filter\n\n-A INPUT\n-A OUTPUT -s 1.1.1.1,2.2.2.2\nCOMMIT\n";
    let ruleset = parse("inline", Family::V4, text);
    let lines: Vec<(String, u32)> = ruleset.tables[0]
        .chains
        .iter()
        .flat_map(|chain| chain.rules.iter().map(|rule| (chain.name.clone(), rule.line)))
        .collect();
    let expected = [("INPUT", 4), ("OUTPUT", 5), ("OUTPUT", 5)];
    assert_eq!(lines, expected.map(|(chain, line)| (chain.to_owned(), line)));
}

/// Before 1.4.3 the tools wrote `!` behind the option; files of that time are still read.
#[test]
fn negation_behind_the_option() {
    let text = "*filter\n\
        -A INPUT -s ! 1.2.3.4 -i ! lo -p ! tcp\n\
        -A INPUT -p tcp -m tcp --dport ! 80 --tcp-flags ! SYN,ACK SYN\n\
        -A INPUT -p tcp --syn ! -s 1.2.3.4\n\
        -A INPUT -m comment --comment !\n\
        COMMIT\n";
    let printed = rules::print(&parse("inline", Family::V4, text), false);
    let found: Vec<&str> = printed.lines().filter(|line| line.starts_with("-A")).collect();
    let expected = [
        "-A INPUT ! -s 1.2.3.4/32 ! -i lo ! -p tcp",
        "-A INPUT -p tcp -m tcp ! --dport 80 ! --tcp-flags SYN,ACK SYN",
        "-A INPUT ! -s 1.2.3.4/32 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
        "-A INPUT -m comment --comment \"!\"",
    ];
    assert_eq!(found, expected);
}
