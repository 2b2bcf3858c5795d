//! Rules as the real tools print them: every golden ruleset of the engine's tests goes through this machine's
//! `iptables-restore` and `iptables-save`, those of the legacy tables, whose text is ours to the letter, and those of
//! nftables, whose text must mean the same.
//!
//! Takes namespaces; run by name: `cargo test -p tidegate --test spelling`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use stage::{call, command_of, new_network, play};
use tidegate_engine::rules;
use tidegate_wire::Family;

fn main() -> ExitCode {
    play(
        &[
            ("legacy_tables_are_printed_alike", legacy_tables_are_printed_alike),
            ("what_nftables_print_means_the_same", what_nftables_print_means_the_same),
        ],
        new_network,
    )
}

/// A ruleset of the engine's tests.
struct Golden {
    name: String,
    family: Family,
    text: String,
}

fn golden() -> Vec<Golden> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tidegate-engine/tests/rules/golden");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "rules"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let family = if name.starts_with("v6-") { Family::V6 } else { Family::V4 };
        Golden { name, family, text: fs::read_to_string(path).unwrap() }
    };
    paths.into_iter().map(read).collect()
}

/// One of the two kinds of iptables.
#[derive(Clone, Copy)]
struct Tools {
    kind: &'static str,
    family: Family,
}

impl Tools {
    fn name(self, what: &str) -> String {
        let tool = if self.family == Family::V6 { "ip6tables" } else { "iptables" };
        format!("{tool}-{}-{what}", self.kind)
    }

    /// Loads rules with their counters; what the tool says if it refuses them.
    fn restore(self, text: &str) -> Result<(), String> {
        let mut command = command_of(&self.name("restore"), &["-c"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut tool = command.spawn().unwrap();
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn save(self) -> String {
        call(&self.name("save"), &[])
    }

    /// What it calls itself: another one may print other rules.
    fn version(self) -> String {
        call(&self.name("save"), &["--version"]).trim().to_owned()
    }
}

/// Each golden ruleset in a network of its own, with the sets and timeout policies that it speaks of.
fn golden_in_networks(mut check: impl FnMut(&Golden)) {
    let rulesets = golden();
    assert!(rulesets.len() >= 20, "golden rulesets are missing");
    let is_everybody = fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
    for mut ruleset in rulesets {
        new_network();
        if !is_everybody {
            leave_owners_out(&mut ruleset);
        }
        let family = if ruleset.family == Family::V6 { "inet6" } else { "inet" };
        for set in named(&ruleset.text, &["--match-set", "--add-set", "--del-set"]) {
            call("ipset", &["create", &set, "hash:ip,port,ip", "family", family]);
        }
        let is_policy = |name: &String| name.parse::<u32>().is_err();
        for policy in named(&ruleset.text, &["CT --timeout"]).into_iter().filter(is_policy) {
            call("nfct", &["add", "timeout", &policy, family, "udp", "unreplied", "17"]);
        }
        check(&ruleset);
    }
}

/// The kernel refuses rules about users whom a user namespace doesn't have, and an ordinary one's has himself alone.
fn leave_owners_out(ruleset: &mut Golden) {
    let is_of_owner = |line: &&str| line.contains("--uid-owner ") || line.contains("--gid-owner ");
    let (owners, others): (Vec<&str>, Vec<&str>) = ruleset.text.lines().partition(is_of_owner);
    owners.iter().for_each(|line| println!("{}: not for an ordinary user: {line}", ruleset.name));
    ruleset.text = others.join("\n") + "\n";
}

/// The words behind these in rules.
fn named(text: &str, behind: &[&str]) -> BTreeSet<String> {
    let places = behind.iter().flat_map(|word| text.match_indices(word));
    let parts = places.map(|(at, word)| &text[at + word.len()..]);
    parts.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

/// The lines of each table as we print them, tables by name.
fn printed(name: &str, family: Family, text: &str) -> Vec<String> {
    let ruleset = rules::parse(family, name, text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{name} is refused:\n{}", lines.join("\n"))
    });
    by_table(&rules::print(&ruleset, false))
}

/// The lines of a saved text, without comments and with its tables in the order of their names.
fn by_table(text: &str) -> Vec<String> {
    let lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let mut tables: Vec<&[String]> = lines.split_inclusive(|line| line == "COMMIT").collect();
    tables.sort_by_key(|table| table.first().cloned());
    tables.concat()
}

fn legacy_tables_are_printed_alike() {
    golden_in_networks(|Golden { name, family, text }| {
        let tools = Tools { kind: "legacy", family: *family };
        tools.restore(text).unwrap_or_else(|said| panic!("{name}: {said}"));
        assert_alike(name, &printed(name, *family, text), &by_table(&tools.save()));
    });
}

/// All that these tools print is read here. What it means is what the rules meant from which it came, but where the tools
/// themselves forget something, and they do so in no other rules than those.
fn what_nftables_print_means_the_same() {
    let mut met = BTreeSet::new();
    golden_in_networks(|Golden { name, family, text }| {
        let tools = Tools { kind: "nft", family: *family };
        let (taken, refused) = load(tools, text);
        assert!(refused.iter().all(|rule| REFUSED.contains(&rule.as_str())), "{name}: {refused:?}");
        let meant = printed(name, *family, &taken);
        let found: Vec<String> = printed(name, *family, &tools.save());
        let lossy: Vec<String> = meant.iter().map(|line| lossy(line).to_owned()).collect();
        assert_alike(&format!("{name}, {}", tools.version()), &lossy, &found);
        met.extend(refused.into_iter().chain(meant));
    });
    let known = REFUSED.iter().chain(FORGOTTEN.iter().map(|(ours, _)| ours));
    let stale: Vec<_> = known.filter(|rule| !met.contains(**rule)).collect();
    assert!(stale.is_empty(), "no ruleset shows any more that this is an exception: {stale:?}");
}

/// A line of ours as these tools print it.
fn lossy(line: &str) -> &str {
    let forgotten = FORGOTTEN.iter().find(|(ours, _)| *ours == line);
    forgotten.map_or(line, |(_, theirs)| theirs)
}

/// Loads what the tool takes of the rules. What it refuses, line by line, is told.
fn load(tools: Tools, text: &str) -> (String, Vec<String>) {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut refused = Vec::new();
    loop {
        let text = lines.join("\n") + "\n";
        let Err(said) = tools.restore(&text) else { return (text, refused) };
        let faulty =
            faulty_line(&said).unwrap_or_else(|| panic!("{}: {said}", tools.name("restore")));
        refused.push(lines[faulty - 1].to_owned());
        lines[faulty - 1] = "";
    }
}

/// The number of the line that the tool complains of.
fn faulty_line(said: &str) -> Option<usize> {
    let (_, rest) = said.rsplit_once("line: ").or_else(|| said.rsplit_once("line "))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn assert_alike(name: &str, ours: &[String], theirs: &[String]) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}");
}

/// Rules that nftables' tools or its kernel's half refuse.
const REFUSED: [&str; 4] = [
    "-A INPUT ! -s 0.0.0.0/0 -j DROP",
    "-A INPUT ! -s ::/0",
    "-A sub -p tcp -j MASQUERADE --to-ports 7",
    "-A PREROUTING -j source",
];

/// Rules of ours, and what nftables' tools (1.8.9) print of them.
const FORGOTTEN: [(&str, &str); 3] = [
    // The tool warns that the range has never worked.
    (
        "-A FORWARD -j NFLOG --nflog-range 64 --nflog-threshold 5",
        "-A FORWARD -j NFLOG --nflog-threshold 5",
    ),
    // It never holds, and always does in the tool's text.
    ("-A FORWARD -p tcp -m tcp ! --tcp-flags NONE NONE", "-A FORWARD -p tcp"),
    // Two matches become one, with the same meaning.
    (
        "-A FORWARD -p tcp -m tcp --dport 80 -m tcp --sport 90",
        "-A FORWARD -p tcp -m tcp --sport 90 --dport 80",
    ),
];
