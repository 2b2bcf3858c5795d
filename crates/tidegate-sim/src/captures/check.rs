//! Real captures through the engine: none may fail, and the flows of some are
//! compared with the conversations that tshark counts.
//!
//! tshark counts address and port pairs, conntrack counts flows. They agree
//! where no flow expires and begins again and no packet is INVALID; where they
//! don't, [`COMPARED`] says why.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_engine::event::{Event, EventKind, FlowEvent};
use tidegate_engine::tuple::proto_name;
use tidegate_gateway::replay::{Fault, Inputs, Replay, Scenario};

use super::CaptureError;
use super::unpack::is_capture;

/// Captures whose flows are compared, and why they differ where they do.
const COMPARED: [(&str, Option<&str>); 10] = [
    ("WebattackXSS.pcap", None),
    ("chrome.pcap", None),
    ("firefox.pcap", None),
    ("instagram.pcap", None),
    ("pinterest.pcap", None),
    ("reddit.pcap", None),
    ("zoom2.pcap", None),
    ("netflix.pcap", Some("one connection shows only a FIN and a RST, which begin no flow")),
    ("pps.pcap", Some("one connection shows only a FIN, which begins no flow")),
    (
        "tor.pcap",
        Some("one connection is but a RST; broadcasts a minute apart are flows of their own"),
    ),
];

/// Captures that are damaged on purpose: they must be refused.
const DAMAGED: [&str; 1] = ["fuzz-2021-10-13.pcap"];

/// Flows begun, by protocol name.
type Flows = BTreeMap<&'static str, usize>;

/// What became of all captures of a directory.
#[derive(Debug, Default)]
pub struct Report {
    /// Captures that were replayed to their end.
    pub replayed: usize,
    /// Captures that were refused, as they must be.
    pub damaged: usize,
    /// Packets of all of them.
    pub packets: u64,
    /// Faults that should not be.
    pub faults: Vec<Fault>,
    /// Captures whose flows were compared.
    pub comparisons: Vec<Comparison>,
}

/// Flows here against conversations there.
#[derive(Debug)]
pub struct Comparison {
    /// The capture.
    pub name: &'static str,
    /// TCP and UDP flows of the engine.
    pub flows: [usize; 2],
    /// TCP and UDP conversations by tshark.
    pub conversations: [usize; 2],
    /// Why they differ, if they are known to.
    pub reason: Option<&'static str>,
}

impl Comparison {
    /// Whether they are equal, or differ for a known reason.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        (self.flows == self.conversations) == self.reason.is_none()
    }
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.comparisons.iter().all(Comparison::is_explained)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replayed, damaged, packets, .. } = self;
        writeln!(f, "{replayed} captures replayed, {packets} packets; {damaged} damaged, refused")?;
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        for Comparison { name, flows, conversations, reason } in &self.comparisons {
            let ([tcp, udp], [their_tcp, their_udp]) = (flows, conversations);
            write!(f, "{name:<20} TCP {tcp:>4} / {their_tcp:<4} UDP {udp:>4} / {their_udp:<4}")?;
            match reason {
                Some(reason) => writeln!(f, "  {reason}")?,
                None if flows == conversations => writeln!(f, "  equal")?,
                None => writeln!(f, "  DIFFERENT")?,
            }
        }
        Ok(())
    }
}

/// Replays every capture under `dir` and compares some with tshark.
///
/// # Errors
/// There are no captures, or tshark can't be run. Faults of captures are in the
/// report.
pub fn check(dir: &Path) -> Result<Report, CaptureError> {
    let mut report = Report::default();
    let captures = listed(dir)?;
    if captures.is_empty() {
        return Err(CaptureError::NoCaptures { place: dir.to_owned() });
    }
    for path in captures {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match replay(&path) {
            Ok((packets, flows)) => {
                report.replayed += 1;
                report.packets += packets;
                if let Some(comparison) = compare(&name, &path, &flows)? {
                    report.comparisons.push(comparison);
                }
            }
            Err(_) if DAMAGED.contains(&name.as_str()) => report.damaged += 1,
            Err(mut faults) => report.faults.append(&mut faults),
        }
    }
    Ok(report)
}

fn replay(path: &Path) -> Result<(u64, Flows), Vec<Fault>> {
    let scenario = Scenario::from_capture(path, &Inputs::default())?;
    let mut replay = Replay::new(scenario, true);
    let (mut flows, mut packets) = (Flows::new(), 0);
    let mut hear = |event: Event| {
        if let Event::Flow(FlowEvent { kind: EventKind::New, ref flow, .. }) = event {
            *flows.entry(proto_name(flow.orig.proto)).or_default() += 1;
        }
    };
    while replay.arrive(&mut hear).map_err(|fault| vec![fault])?.is_some() {
        replay.pass(&mut hear);
        packets += 1;
    }
    Ok((packets, flows))
}

fn compare(name: &str, path: &Path, flows: &Flows) -> Result<Option<Comparison>, CaptureError> {
    let Some((name, reason)) = COMPARED.into_iter().find(|(compared, _)| *compared == name) else {
        return Ok(None);
    };
    let flows = ["tcp", "udp"].map(|l4| flows.get(l4).copied().unwrap_or(0));
    let conversations = [conversations(path, "tcp")?, conversations(path, "udp")?];
    Ok(Some(Comparison { name, flows, conversations, reason }))
}

/// How many conversations tshark counts.
fn conversations(path: &Path, l4: &str) -> Result<usize, CaptureError> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-q", "-z", &format!("conv,{l4}")]);
    let output = command
        .output()
        .map_err(|_| CaptureError::ProgramMissing { program: "tshark".to_owned() })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let command = format!("{command:?}");
        return Err(CaptureError::ProgramFailed { command, status: output.status, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).matches("<->").count())
}

/// All captures under `dir`, by path; nothing there is changed.
fn listed(dir: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let unreadable = |error| CaptureError::file(dir, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            found.append(&mut listed(&path)?);
        } else if path.file_name().is_some_and(|name| is_capture(&name.to_string_lossy())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
