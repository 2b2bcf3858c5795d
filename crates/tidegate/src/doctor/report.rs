//! The verdict: what the checks found, in the order in which it matters, as a value that the page and the JSON show.

use rustix::process::geteuid;
use serde::Serialize;

use super::advice::{Goods, Step};
use super::census::Class;
use super::checks::{CHECKS, Finding, Outcome, Severity, Subject, percent};
use super::facts::{Facts, Whose};
use super::forecast;
use super::suspects::{Suspect, suspects};
use crate::record::fills::{Fill, ninety_fifth};
use crate::render::figures::{Brief, Count, Rfc3339, Utc};

/// How it is, in the order of the monitoring plugins' exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// All is well.
    Ok,
    /// It will hurt, or hurts a little.
    Warning,
    /// It hurts.
    Critical,
    /// It could not be told.
    Unknown,
}

/// What is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// How it is.
    pub(crate) status: Status,
    /// Why, in a line.
    pub(crate) summary: String,
    /// Flows in the table.
    pub(crate) count: u64,
    /// How many there may be.
    pub(crate) max: Option<u64>,
    /// Whose table.
    pub(crate) place: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// When, as RFC 3339 has it.
    pub(crate) time: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Not all flows were seen.
    pub(crate) partial: bool,
    /// So many were: numbers of flows are of these.
    pub(crate) listed: u64,
    /// Since when the table has been full, and who says so.
    pub(crate) since: Option<Since>,
    /// What it feels like, if it hurts.
    pub(crate) feels_like: Option<String>,
    /// Who holds most of the table.
    pub(crate) who: Vec<Who>,
    /// All others.
    pub(crate) rest: Rest,
    /// What comes and goes.
    pub(crate) flow: Traffic,
    /// What the checks found, the worst first.
    pub(crate) findings: Vec<Finding>,
    /// What it is not, and by which figure.
    pub(crate) ruled_out: Vec<String>,
    /// What to do, of all findings that matter, in order.
    pub(crate) steps: Vec<Step>,
    /// What happens then.
    pub(crate) after: Vec<String>,
    /// What could not be seen.
    pub(crate) blind: Vec<String>,
    /// The checks that would have taken it.
    pub(crate) unchecked: Vec<&'static str>,
    /// The file that the evidence was saved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) saved: Option<String>,
}

/// Since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Since {
    /// As RFC 3339 has it.
    pub(crate) time: String,
    /// Until now.
    pub(crate) seconds: u64,
    /// Who says so.
    pub(crate) source: &'static str,
}

/// Some flows with something in common.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Who {
    /// From where to where.
    pub(crate) label: String,
    /// How many.
    pub(crate) flows: u64,
    /// So many more there may be: they were noticed late.
    pub(crate) missed: u64,
    /// Of a thousand.
    pub(crate) permille: u64,
    /// Their class.
    pub(crate) class: &'static str,
    /// Seconds that half of them have been idle for.
    pub(crate) idle_median: Option<u32>,
    /// Seconds that half of them will stay for, if nobody touches them and they keep silent.
    pub(crate) left_median: Option<u64>,
    /// Container, program and process.
    pub(crate) owner: Option<String>,
}

/// All flows that are of no such group.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rest {
    /// How many.
    pub(crate) flows: u64,
    /// From so many sources; `None`: more than were remembered.
    pub(crate) sources: Option<usize>,
}

/// What comes and goes, a second.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Traffic {
    /// New flows.
    pub(crate) new: Option<f64>,
    /// Some were lost: there were more.
    pub(crate) is_lossy: bool,
    /// How much the table grows.
    pub(crate) growth: f64,
    /// New flows that it refused.
    pub(crate) refused: f64,
    /// Those since the start.
    pub(crate) refused_in_all: u64,
    /// Flows that it evicted.
    pub(crate) evicted: f64,
    /// Seconds until it is full.
    pub(crate) until_full: Option<f64>,
}

impl Report {
    /// Runs all checks.
    pub(crate) fn new(facts: &Facts) -> Self {
        let mut ruled_out = Vec::new();
        let mut findings = Vec::new();
        let mut unchecked = Vec::new();
        for (name, subject, check) in CHECKS {
            let is_hidden = subject == Subject::Flows && facts.census.is_unseen();
            match if is_hidden { Outcome::Blind } else { check(facts) } {
                Outcome::Found(finding) => findings.push(finding),
                Outcome::Clear(figure) if figure.is_empty() => {}
                Outcome::Clear(figure) => ruled_out.push(figure),
                Outcome::Blind => unchecked.push(name),
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let status = status_of(&findings);
        let census = &facts.census;
        let who = who(facts);
        let shown: u64 = who.iter().map(|who| who.flows).sum();
        let steps = steps_of(&findings);
        Self {
            status,
            summary: summary(facts, status, &findings),
            count: facts.room.count,
            max: facts.room.max,
            place: place(facts),
            kernel: facts.scene.kernel.clone(),
            time: Rfc3339(facts.scene.time).to_string(),
            seconds: (facts.scene.took.as_secs_f64() * 10.0).round() / 10.0,
            partial: census.is_partial,
            listed: census.seen,
            since: since(facts),
            feels_like: feels_like(facts),
            rest: Rest { flows: census.seen.saturating_sub(shown), sources: census.owners.len() },
            who,
            flow: traffic(facts),
            ruled_out,
            after: after(facts, &steps),
            steps,
            findings,
            blind: facts.blind.told(geteuid().is_root()),
            unchecked,
            saved: None,
        }
    }

    /// Takes over what was found in another namespace, which is the cause.
    pub(crate) fn adopt(&mut self, inner: Self) {
        let is_bad = |finding: &Finding| finding.severity > Severity::Note;
        self.findings.extend(inner.findings.into_iter().filter(is_bad));
        self.steps = inner.steps;
        self.who = inner.who;
        self.rest = inner.rest;
        self.after = inner.after;
        self.since = inner.since;
        self.feels_like = inner.feels_like;
    }
}

fn status_of(findings: &[Finding]) -> Status {
    match findings.first().map(|finding| finding.severity) {
        Some(Severity::Critical) => Status::Critical,
        Some(Severity::Warning) => Status::Warning,
        Some(Severity::Note) | None => Status::Ok,
    }
}

/// Those who hold most of the table, as far as it was seen.
fn who(facts: &Facts) -> Vec<Who> {
    let seen = facts.census.seen.max(1);
    let owner = |address| {
        let found = facts.owners.iter().find(|owner| owner.address == address);
        found.map(|owner| owner.who.clone())
    };
    let established = facts.timeout("tcp_timeout_established");
    let left = |suspect: &Suspect| {
        let idle = suspect.tally.idle.median().filter(|_| suspect.class == Class::Established)?;
        established?.checked_sub(idle.into())
    };
    let who = |suspect: &Suspect| Who {
        label: suspect.label(),
        flows: suspect.tally.flows,
        missed: suspect.missed,
        permille: suspect.tally.flows * 1000 / seen,
        class: suspect.class.name(),
        idle_median: suspect.tally.idle.median(),
        left_median: left(suspect),
        owner: suspect.address().and_then(owner),
    };
    suspects(facts).iter().map(who).collect()
}

fn place(facts: &Facts) -> String {
    match (facts.scene.table, facts.scene.inode) {
        (Whose::Engine, _) => "engine".to_owned(),
        (Whose::File, _) => "file".to_owned(),
        (Whose::Kernel, _) if facts.scene.is_first => "netns init".to_owned(),
        (Whose::Kernel, Some(inode)) => format!("netns {inode}"),
        (Whose::Kernel, None) => "netns".to_owned(),
    }
}

fn summary(facts: &Facts, status: Status, findings: &[Finding]) -> String {
    let room = &facts.room;
    let fill = match (room.permille(), room.max) {
        (Some(permille), Some(max)) => {
            format!("{} ({}/{})", percent(permille), Count(room.count), Count(max))
        }
        _ => format!("{} flows, no limit", Count(room.count)),
    };
    let Some(worst) = findings.first().filter(|_| status != Status::Ok) else {
        let top = facts.census.owners.largest(1, |_, _| true);
        let top =
            top.first().map(|(_, group)| percent(group.flows * 1000 / facts.census.seen.max(1)));
        let top = top.map_or_else(String::new, |top| format!(", top source {top}"));
        let until = forecast::until_full(facts, 0).map_or_else(|| "> 90 d".to_owned(), brief);
        let refused = facts.counters.refused();
        let past = past(facts);
        let other = if facts.maps.is_empty() { "" } else { OTHER_TABLE };
        return format!("{fill}{past}{top}, {refused:.0} refused, full in {until}{other}");
    };
    if worst.check == "table" {
        return format!("{}  {}", worst.symptom, fill);
    }
    let is_of_the_table =
        ["established", "unreplied", "half-open", "time-wait", "source", "chains", "drift"]
            .contains(&worst.check);
    if is_of_the_table {
        format!("{}; table {fill}", worst.symptom)
    } else {
        format!("the table is not your problem: {fill}; but {}", worst.symptom)
    }
}

/// How full it was in the last day at the most, but for five of a hundred moments: of the time that was recorded.
fn past(facts: &Facts) -> String {
    let [first, last] =
        [facts.past.first(), facts.past.last()].map(|fill| fill.map_or(0, |fill| fill.time));
    let has_ended = facts.scene.time.saturating_sub(last) > FRESH;
    let end = if has_ended { last } else { facts.scene.time };
    let minutes = end.saturating_sub(first) / 60_000_000_000;
    let span = match (minutes + 30) / 60 {
        0 => format!("{} min", minutes.max(1)),
        hours => format!("{hours} h"),
    };
    let until = if has_ended { format!(" until {}", Utc(last)) } else { String::new() };
    ninety_fifth(&facts.past)
        .map_or_else(String::new, |permille| format!(" p95 {span}{until} {}", percent(permille)))
}

/// What the log or a recording says of this table, if that is not over.
fn since(facts: &Facts) -> Option<Since> {
    since_by_log(facts).or_else(|| since_by_recording(facts))
}

/// The first of the snapshots on end that saw it full.
fn since_by_recording(facts: &Facts) -> Option<Since> {
    let is_full = |fill: &&Fill| fill.permille >= FULL;
    let newest = facts.past.last()?.time;
    if facts.scene.time.saturating_sub(newest) > FRESH {
        // Nobody saw what was since.
        return None;
    }
    let first = facts.past.iter().rev().take_while(is_full).last()?;
    (facts.room.permille() >= Some(FULL)).then(|| Since {
        time: Rfc3339(first.time).to_string(),
        seconds: facts.scene.time.saturating_sub(first.time) / 1_000_000_000,
        source: "recording; at the latest",
    })
}

fn since_by_log(facts: &Facts) -> Option<Since> {
    let own = facts.scene.inode.filter(|_| !facts.scene.is_first);
    let spell = facts.log.as_ref()?.full.iter().find(|spell| spell.inode == own)?;
    let age = |nanos: u64| facts.scene.time.saturating_sub(nanos) / 1_000_000_000;
    let is_now = age(spell.last) < RECENT && facts.room.permille() >= Some(900);
    is_now.then(|| Since {
        time: Rfc3339(spell.first).to_string(),
        seconds: age(spell.first),
        source: "kernel log",
    })
}

fn feels_like(facts: &Facts) -> Option<String> {
    let refused = facts.counters.refused() > 0.0;
    (refused || facts.room.permille() >= Some(1000)).then(|| {
        let ssh = if facts.ssh.is_some() { "; your ssh survives, new ones do not" } else { "" };
        format!("local programs: \"Operation not permitted\" (EPERM); forwarded SYNs vanish; existing flows still pass{ssh}")
    })
}

fn traffic(facts: &Facts) -> Traffic {
    let tenth = |rate: f64| (rate * 10.0).round() / 10.0;
    let counters = &facts.counters;
    let span = counters.span.as_secs_f64().max(0.1);
    Traffic {
        new: facts.arrivals.as_ref().map(|arrivals| tenth(arrivals.rate())),
        is_lossy: facts.arrivals.as_ref().is_some_and(|arrivals| arrivals.is_lossy),
        growth: tenth(counters.growth as f64 / span),
        refused: tenth(counters.refused()),
        refused_in_all: counters.total("drop").saturating_sub(counters.total("insert_failed")),
        evicted: tenth(counters.rate("early_drop")),
        until_full: forecast::until_full(facts, 0),
    }
}

/// Those of findings that matter: what frees first, then what makes room, then what keeps it. The same line twice is
/// one.
fn steps_of(findings: &[Finding]) -> Vec<Step> {
    let matter = findings.iter().filter(|finding| finding.severity > Severity::Note);
    let mut steps: Vec<Step> = Vec::new();
    for step in matter.flat_map(|finding| &finding.steps) {
        if !steps.iter().any(|known| known.command == step.command && step.command.is_some()) {
            steps.push(step.clone());
        }
    }
    let kind = |step: &Step| match step {
        // What is about something else stands where its finding does.
        Step { of: Goods::Ports | Goods::Expectations, .. } => 0,
        Step { frees: Some(_), .. } => 0,
        Step { room: Some(_), .. } => 1,
        Step { settles: Some(_), .. } => 2,
        _ => 3,
    };
    steps.sort_by_key(kind);
    steps
}

/// What the first steps bring, alone and together.
fn after(facts: &Facts, steps: &[Step]) -> Vec<String> {
    let Some(max) = facts.room.max.filter(|_| facts.room.permille() >= Some(500)) else {
        return Vec::new();
    };
    let letter = |index: usize| char::from(b'A' + index as u8);
    let is_its = |step: &Step| step.of == Goods::Entries;
    let drain = steps.iter().position(|step| is_its(step) && step.frees.is_some());
    let raise =
        steps.iter().position(|step| is_its(step) && step.room.is_some_and(|room| room > max));
    let freed = drain.and_then(|index| steps[index].frees).unwrap_or(0);
    let freed = facts.estimate(freed);
    let higher = raise.and_then(|index| steps[index].room).unwrap_or(max);
    let say = |name: String, max: u64, freed: u64| {
        let share = percent(facts.room.count.saturating_sub(freed) * 1000 / max);
        let again = forecast::until(facts, max, freed).map_or_else(
            || "does not fill at this rate".to_owned(),
            |seconds| format!("full again in {} at this rate", brief(seconds)),
        );
        format!("{name}: {share}, {again}")
    };
    let mut lines = Vec::new();
    lines.extend(drain.map(|index| say(format!("{} alone", letter(index)), max, freed)));
    lines.extend(raise.map(|index| say(format!("{} alone", letter(index)), higher, 0)));
    if let (Some(drain), Some(raise)) = (drain, raise) {
        lines.push(say(format!("{}+{}", letter(drain), letter(raise)), higher, freed));
    }
    lines.extend(drain.and_then(|drain| {
        let cap = steps.iter().position(|step| step.leaves.is_some())?;
        let share = percent(steps[cap].leaves? * 1000 / max);
        let (drain, cap) = (letter(drain), letter(cap));
        Some(format!("{drain}+{cap}: {share} at the most, if the others hold what they hold"))
    }));
    lines.extend(raise.filter(|_| facts.scene.table == Whose::Kernel).map(|raise| {
        let raise = letter(raise);
        format!(
            "{raise} lasts over a boot with net.netfilter.nf_conntrack_max={higher} in {SETTINGS}"
        )
    }));
    lines
}

/// A forecast in words.
fn brief(seconds: f64) -> String {
    if seconds > FAR {
        "> 90 d".to_owned()
    } else {
        Brief(std::time::Duration::from_secs(seconds as u64)).to_string()
    }
}

/// What is set for good. The limit that was just raised is named: `tidegate plan` knows only how many flows there are
/// afterwards, and leaves a lower limit to those who know more.
const SETTINGS: &str = "/etc/sysctl.d/50-conntrack.conf";
/// What a healthy table's line says of one that nobody looked at.
const OTHER_TABLE: &str = "; Cilium has a table of its own, not looked at: --all";
/// Thousandths of the limit.
const FULL: u64 = 990;
/// Nanoseconds since the last snapshot of a recording that goes on: an hour, four times what is usual.
const FRESH: u64 = 3_600_000_000_000;
const FAR: f64 = 90.0 * 86_400.0;
/// Seconds: the kernel repeats itself every five.
const RECENT: u64 = 120;
