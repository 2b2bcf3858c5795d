//! Instructions per packet, counted by valgrind: the same on every machine, to the instruction.
//!
//! The program runs itself under callgrind, twice a row: once it lays the flows and writes packets,
//! once it has them processed as well. The difference is the engine's. What is counted is kept in a
//! file with the compiler's version; a check compares with it.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::env;
use std::io;
use std::process::{Command, Stdio};

use tidegate_wire::{Family, proto};

use crate::bed::Bed;
use crate::hostile::{Aim, Hostile};
use crate::plan::Plan;
use crate::ring::{BURST, Ring};
use crate::rows::RowName;
use crate::rows::creation::{Coming, Connecting};
use crate::rows::established::Stream;
use crate::rows::lookup::Lookup;
use crate::rulesets::Rules;
use crate::session::family_name;
use crate::traffic::{Connections, Steady, Traffic};

/// The rows that are counted.
pub const ROWS: [RowName; 13] = [
    RowName::UdpEstablished,
    RowName::TcpEstablished,
    RowName::TcpTimestamps,
    RowName::TcpRules20,
    RowName::TcpRules20Nat,
    RowName::TcpRules20NatAcct,
    RowName::TcpRules20Late,
    RowName::TcpRules20Marked,
    RowName::UdpNew,
    RowName::UdpNewSnat,
    RowName::TcpConnection,
    RowName::Lookup,
    RowName::AttackSynflood,
];

/// How far a program goes that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Flows are laid, packets written.
    Written,
    /// Flows are laid, packets written and processed.
    Processed,
}

/// Runs a row to be counted.
pub fn run(row: RowName, family: Family, part: Part) {
    match row {
        RowName::UdpEstablished => stream(family, proto::UDP, Rules::None, part),
        RowName::TcpTimestamps => {
            let steady = Steady::new(proto::TCP, Plan::Spread, FLOWS, false).stamped();
            carry(laid(family, proto::TCP, Rules::None), steady, part);
        }
        RowName::TcpRules20 => stream(family, proto::TCP, Rules::Twenty, part),
        RowName::TcpRules20Nat => stream(family, proto::TCP, Rules::TwentyNat, part),
        RowName::TcpRules20NatAcct => {
            let steady = Steady::new(proto::TCP, Plan::Spread, FLOWS, true);
            let mut bed = Bed::new(family, FLOWS + NEW, Rules::TwentyNat);
            bed.count_packets();
            bed.lay(proto::TCP, Plan::Spread, FLOWS, true);
            carry(bed, steady, part);
        }
        RowName::TcpRules20Marked => stream(family, proto::TCP, Rules::TwentyMarked, part),
        RowName::TcpRules20Late => stream(family, proto::TCP, Rules::TwentyLate, part),
        RowName::UdpNew => first_packets(laid(family, proto::TCP, Rules::None), Plan::Spread, part),
        RowName::UdpNewSnat => first_packets(laid_crowded(family), Plan::Crowded, part),
        RowName::TcpConnection => connections(family, part),
        RowName::Lookup => look_up(family, part),
        RowName::AttackSynflood => flood(family, part),
        _ => stream(family, proto::TCP, Rules::None, part),
    }
}

fn laid(family: Family, protocol: u8, rules: Rules) -> Bed {
    let mut bed = Bed::new(family, FLOWS + NEW, rules);
    bed.lay(protocol, Plan::Spread, FLOWS, rules.translates());
    bed
}

/// As many flows as in each row, behind one address.
fn laid_crowded(family: Family) -> Bed {
    let mut bed = Bed::new(family, FLOWS + NEW, Rules::Snat);
    bed.send_first(proto::UDP, Plan::Crowded, 0..FLOWS);
    bed
}

fn stream(family: Family, protocol: u8, rules: Rules, part: Part) {
    let steady = Steady::new(protocol, Plan::Spread, FLOWS, rules.translates());
    carry(laid(family, protocol, rules), steady, part);
}

fn carry(mut bed: Bed, steady: Steady, part: Part) {
    let mut stream = Stream::new(&mut bed, steady);
    let bursts = PACKETS / BURST as u64;
    match part {
        Part::Written => stream.write(bursts),
        Part::Processed => assert_eq!(stream.process(bursts), PACKETS, "not all packets passed"),
    }
}

fn first_packets(mut bed: Bed, plan: Plan, part: Part) {
    let mut ring = Ring::new(bed.family());
    let mut coming = Coming { bed: &mut bed, plan, flows: FLOWS..FLOWS + NEW };
    match part {
        Part::Written => coming.write(&mut ring),
        Part::Processed => assert_eq!(coming.process(&mut ring), u64::from(NEW), "refused"),
    }
}

fn connections(family: Family, part: Part) {
    let mut bed = laid(family, proto::TCP, Rules::None);
    let mut ring = Ring::new(family);
    let mut connecting = Connecting { bed: &mut bed, flows: FLOWS..FLOWS + NEW };
    let segments = u64::from(NEW * Connections::SEGMENTS);
    match part {
        Part::Written => connecting.write(&mut ring),
        Part::Processed => assert_eq!(connecting.process(&mut ring), segments, "refused"),
    }
}

fn look_up(family: Family, part: Part) {
    let bed = laid(family, proto::TCP, Rules::None);
    let steady = Steady::new(proto::TCP, Plan::Spread, FLOWS, false);
    let mut lookup = Lookup { bed: &bed, steady };
    let bursts = PACKETS / BURST as u64;
    match part {
        Part::Written => lookup.make(bursts),
        Part::Processed => assert_eq!(lookup.find(bursts), PACKETS, "not found"),
    }
}

/// SYNs to a table that is full, which take the places of those before them.
fn flood(family: Family, part: Part) {
    let mut bed = laid(family, proto::TCP, Rules::None);
    let mut ring = Ring::new(family);
    let mut hostile = Hostile::new(Aim::SynFlood, family, NEW);
    for _ in 0..NEW as usize / BURST {
        hostile.burst(&mut ring);
        assert_eq!(bed.burst(&mut ring).forwarded, BURST, "refused");
    }
    for _ in 0..PACKETS as usize / BURST {
        hostile.burst(&mut ring);
        if part == Part::Processed {
            assert_eq!(bed.burst(&mut ring).forwarded, BURST, "refused");
        }
    }
}

/// How many items a run of the row is about.
fn items(row: RowName) -> u64 {
    match row {
        RowName::UdpNew | RowName::UdpNewSnat | RowName::TcpConnection => u64::from(NEW),
        _ => PACKETS,
    }
}

/// What was counted: instructions per item, by row and family.
pub type Counts = BTreeMap<(String, String), f64>;

/// Counts all rows.
///
/// # Errors
/// Valgrind is not there, or it fails.
pub fn count_all() -> io::Result<Counts> {
    let mut counts = Counts::new();
    for row in ROWS {
        for family in [Family::V4, Family::V6] {
            eprintln!("{}, {} ...", row.as_str(), family_name(family));
            let [written, processed] =
                [Part::Written, Part::Processed].map(|part| instructions(row, family, part));
            let each = processed?.saturating_sub(written?) as f64 / items(row) as f64;
            let key = (row.as_str().to_owned(), family_name(family).to_owned());
            counts.insert(key, each);
        }
    }
    Ok(counts)
}

/// How many instructions this program takes for a part of a row.
fn instructions(row: RowName, family: Family, part: Part) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["--run", row.as_str(), family_name(family)])
        .args((part == Part::Processed).then_some("--processed"))
        .stdout(Stdio::null())
        .output()
        .map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    let talk = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("{} under valgrind: {talk}", row.as_str())));
    }
    collected(&talk).ok_or_else(|| io::Error::other(format!("valgrind says no count: {talk}")))
}

/// The number in `==1== Collected : 12345`.
fn collected(talk: &str) -> Option<u64> {
    let (_, rest) = talk.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What the file of counts holds: the compiler, and the counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// `rustc --version`.
    pub compiler: String,
    /// The counts.
    pub counts: Counts,
}

impl Record {
    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}compiler {}\n", self.compiler);
        for ((row, family), count) in &self.counts {
            let _ = writeln!(text, "{row:<20} {family} {count:>9.1}");
        }
        text
    }

    /// Reads the text; `None` if a line is not one of ours.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let compiler = lines.next()?.strip_prefix("compiler ")?.to_owned();
        let counts = lines.map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (row, family, count) = (words.next()?, words.next()?, words.next()?);
            Some(((row, family), count.parse().ok()?))
        });
        Some(Self { compiler, counts: counts.collect::<Option<_>>()? })
    }

    /// By how much a count may differ, as a share: less where the compiler is the same.
    #[must_use]
    pub fn tolerance(&self, compiler: &str) -> f64 {
        if self.compiler == compiler { 0.03 } else { 0.10 }
    }

    /// A line for each row that differs by more than `tolerance`, or is on one side only.
    #[must_use]
    pub fn differences(&self, found: &Counts, tolerance: f64) -> Vec<String> {
        let mut lines = Vec::new();
        for (key @ (row, family), count) in found {
            match self.counts.get(key) {
                None => lines.push(format!("{row} {family}: {count:.1}, not in the file")),
                Some(kept) if (count / kept - 1.0).abs() > tolerance => {
                    let change = (count / kept - 1.0) * 100.0;
                    lines.push(format!("{row} {family}: {kept:.1} -> {count:.1} ({change:+.1} %)"));
                }
                Some(_) => {}
            }
        }
        let gone = self.counts.keys().filter(|key| !found.contains_key(*key));
        lines.extend(gone.map(|(row, family)| format!("{row} {family}: no longer counted")));
        lines
    }
}

/// What `rustc --version` says: that compiler has just built this program.
///
/// # Errors
/// There is no compiler.
pub fn compiler() -> io::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const FLOWS: u32 = 1000;
/// New flows and connections: as many as are under way at a time.
const NEW: u32 = 4 * Connections::AT_A_TIME;
const PACKETS: u64 = 8192;
const HEAD: &str = "\
# Instructions per item (a packet, a connection, a look-up) beside 1,000 flows, by valgrind. Written
# by `cargo run --release -p tidegate-bench --bin instructions -- --write`, compared by `--check`.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, f64)]) -> Counts {
        rows.iter().map(|(row, n)| (((*row).to_owned(), "ipv4".to_owned()), *n)).collect()
    }

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let record =
            Record { compiler: "rustc 1.95.0".into(), counts: counts(&[("a", 10.5), ("b", 3.0)]) };
        assert_eq!(Record::read(&record.text()), Some(record));
        assert_eq!(Record::read("compiler x\nrow ipv4 many\n"), None);
    }

    #[test]
    fn only_what_differs_is_told() {
        let kept = Record { compiler: "x".into(), counts: counts(&[("a", 100.0), ("b", 100.0)]) };
        let rows = [
            (counts(&[("a", 102.9), ("b", 97.1)]), vec![]),
            (counts(&[("a", 104.0), ("b", 100.0)]), vec!["a ipv4: 100.0 -> 104.0 (+4.0 %)"]),
            (counts(&[("a", 100.0)]), vec!["b ipv4: no longer counted"]),
        ];
        for (found, expected) in rows {
            assert_eq!(kept.differences(&found, kept.tolerance("x")), expected);
        }
        assert_eq!(kept.tolerance("y"), 0.10);
    }

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        let talk = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(talk), Some(123_456));
        assert_eq!(collected("==7== Segmentation fault\n"), None);
    }
}
