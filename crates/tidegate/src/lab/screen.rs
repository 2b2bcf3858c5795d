//! What the lab shows in a terminal: how things stand, drawn anew twice a second, or a line a second where that can't
//! be; and a summary at the end.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::Family;

use super::files::Files;
use super::topology::{INNER_PORT, OUTER_PORT};
use super::traffic::ledger::{Check, FAMILIES, Ledger, Row, Tally};
use crate::flags::lab::{LabArgs, Router};
use crate::message;
use crate::page::Board;
use crate::render::figures::{BitRate, Bytes, Count, Many};
use crate::survey::{LinkRate, Survey};

/// See the module's documentation.
pub(super) struct Screen {
    router: Router,
    page: Option<SocketAddr>,
    control: Option<PathBuf>,
    notes: String,
    manner: Manner,
    begin: Stopwatch,
    drawn: Option<Stopwatch>,
    height: usize,
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// In place.
    Terminal,
    /// Line by line.
    Lines,
    /// Only at the end, for machines.
    Json,
}

#[derive(Serialize)]
struct Summary {
    gateway: &'static str,
    seconds: f64,
    holds: bool,
    checks: Vec<Row>,
    survey: Option<Survey>,
}

impl Screen {
    /// Nothing is shown yet.
    pub(super) fn new(args: &LabArgs, page: Option<SocketAddr>, files: &Files) -> Self {
        let manner = match (args.json, io::stdout().is_terminal()) {
            (true, _) => Manner::Json,
            (false, true) => Manner::Terminal,
            (false, false) => Manner::Lines,
        };
        let router = args.gateway;
        let control = (router == Router::Tidegate).then(|| files.control());
        // The kernel has none.
        let notes = fs::read_to_string(files.log()).unwrap_or_default();
        let (begin, drawn) = (Stopwatch::start(), None);
        let screen = Self { router, page, control, notes, manner, begin, drawn, height: 0 };
        if args.command.is_empty() && manner != Manner::Json {
            screen.announce();
        }
        screen
    }

    /// Says what the gateway said, and where else to look.
    pub(super) fn announce(&self) {
        anstream::eprint!("{}", self.notes);
        if let Some(page) = self.page {
            message::note(format_args!("the lab's page is http://{page}/"));
        }
        if let Some(control) = &self.control {
            let control = control.display();
            message::note(format_args!("its table: tidegate list --socket {control}"));
        }
    }

    /// Shows how things stand, if it is time.
    pub(super) fn show(&mut self, board: &Board<'_>, ledger: &Ledger) {
        let pause = match self.manner {
            Manner::Terminal => Duration::from_millis(500),
            Manner::Lines => Duration::from_secs(1),
            Manner::Json => return,
        };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < pause) {
            return;
        }
        let Some(survey) = board.survey() else { return };
        self.drawn = Some(Stopwatch::start());
        if self.manner == Manner::Terminal {
            let frame = self.frame(&survey, ledger);
            self.draw(&frame);
        } else {
            let seconds = self.begin.elapsed().as_secs();
            let line = format!("{seconds:>4} s  {}  {}", headline(&survey), links(&survey));
            let (held, all) = (ledger.rows().iter().filter(|row| row.holds).count(), Check::ALL);
            anstream::println!("{line}  {held} of {} checks hold", all.len() * FAMILIES.len());
        }
    }

    /// Shows what it came to.
    pub(super) fn finish(&mut self, board: &Board<'_>, ledger: &Ledger) {
        let survey = board.survey();
        let seconds = self.begin.elapsed().as_secs_f64();
        if self.manner == Manner::Json {
            let (gateway, holds, checks) = (self.router.name(), ledger.holds(), ledger.rows());
            let summary = Summary { gateway, seconds, holds, checks, survey };
            let text = serde_json::to_string(&summary).unwrap_or_default();
            return anstream::println!("{text}");
        }
        if self.manner == Manner::Terminal {
            self.draw("");
        }
        let mut text = checks(ledger);
        faults(&mut text, ledger);
        if let Some(survey) = &survey {
            let _ = write!(text, "\n{}", states(survey));
            reasons(&mut text, survey);
        }
        let rows = ledger.rows();
        let sum = |of: fn(&Tally) -> u64| rows.iter().map(|row| of(&row.tally)).sum::<u64>();
        let failed = rows.iter().filter(|row| !row.holds).count();
        let _ = write!(
            text,
            "\n{} in {seconds:.1} s through {}: {} good, {} bad, {} of content compared\n",
            Many(sum(|tally| tally.good + tally.bad), "errand"),
            self.router.name(),
            Count(sum(|tally| tally.good)),
            Count(sum(|tally| tally.bad)),
            Bytes(sum(|tally| tally.bytes)),
        );
        let (style, verdict) = match failed {
            0 => (GOOD, "every check held".to_owned()),
            _ => (BAD, format!("{failed} of {} checks failed", rows.len())),
        };
        let _ = writeln!(text, "{style}{verdict}{style:#}");
        anstream::print!("{text}");
    }

    /// Draws over what was drawn before.
    fn draw(&mut self, frame: &str) {
        if self.height > 0 {
            // Not by way of anstream, which takes such words away where colours are not wanted.
            let _ = write!(io::stdout(), "\x1b[{}A\x1b[J", self.height);
        }
        let rows = tcgetwinsize(io::stdout()).map_or(usize::MAX, |size| size.ws_row.into());
        // What is longer or wider than the terminal would be drawn again and again below itself.
        let lines: Vec<&str> = frame.lines().take(rows.saturating_sub(1)).collect();
        self.height = lines.len();
        let _ = write!(io::stdout(), "{NO_WRAP}");
        for line in lines {
            anstream::println!("{line}");
        }
        let _ = write!(io::stdout(), "{WRAP}").and_then(|()| io::stdout().flush());
    }

    fn frame(&self, survey: &Survey, ledger: &Ledger) -> String {
        let seconds = self.begin.elapsed().as_secs();
        let mut text = format!(
            "{BOLD}tidegate lab{BOLD:#}  gateway: {}  {seconds} s  (Ctrl-C ends it)\n{}\n{}\n\n",
            self.router.name(),
            headline(survey),
            links(survey),
        );
        text += &checks(ledger);
        faults(&mut text, ledger);
        let _ = write!(text, "\n{}", states(survey));
        reasons(&mut text, survey);
        for row in survey.largest.iter().take(LARGEST) {
            let (proto, state) = (&row.proto, row.state);
            let bytes = Bytes(row.bytes);
            let _ = writeln!(text, "{proto:<6} {state:<12} {bytes:>9}  {} > {}", row.src, row.dst);
        }
        text
    }
}

/// The table and what passes, in a line.
fn headline(survey: &Survey) -> String {
    let mut line = Many(survey.entries, "flow").to_string();
    if let Some(max) = survey.max {
        let _ = write!(line, " of {}", Count(max));
    }
    if let Some(rate) = survey.new_rate {
        let _ = write!(line, ", {} new a second", Count(rate.round() as u64));
    }
    line
}

/// What comes in by the gateway's interfaces.
fn links(survey: &Survey) -> String {
    let link = |link: &LinkRate| {
        let packets = Count(link.packet_rate[0].round() as u64);
        format!("{} in {}, {packets} packets/s", link.name, BitRate(link.bit_rate[0]))
    };
    let ports = [INNER_PORT, OUTER_PORT];
    let links = survey.links.iter().filter(|link| ports.contains(&link.name.as_str()));
    links.map(link).collect::<Vec<_>>().join("  ")
}

/// Each check, a line with both families.
fn checks(ledger: &Ledger) -> String {
    let mut text = format!("{BOLD}{:<18}{:<28}{:<28}{BOLD:#}\n", "check", "ipv4", "ipv6");
    for check in Check::ALL {
        let _ = write!(text, "{:<18}", check.name());
        for family in FAMILIES {
            let tally = ledger.tally(check, family);
            let (style, cell) = cell(&tally);
            let _ = write!(text, "{style}{cell:<28}{style:#}");
        }
        text.push('\n');
    }
    text
}

fn cell(tally: &Tally) -> (Style, String) {
    let Tally { good, bad, bytes, .. } = *tally;
    match (good, bad) {
        (0, 0) => (Style::new().dimmed(), "not yet".to_owned()),
        (_, 0) if bytes > MUCH => (GOOD, format!("ok   {:>7}  {}", Count(good), Bytes(bytes))),
        (_, 0) => (GOOD, format!("ok   {:>7}", Count(good))),
        _ => (BAD, format!("FAIL {:>7} of {}", Count(bad), Count(good + bad))),
    }
}

/// Why checks failed.
fn faults(text: &mut String, ledger: &Ledger) {
    let of = |check: Check, family: Family| ledger.tally(check, family).fault;
    for (check, family) in
        Check::ALL.into_iter().flat_map(|check| FAMILIES.map(|family| (check, family)))
    {
        if let Some(fault) = of(check, family) {
            let family = super::traffic::ledger::family_name(family);
            let _ = writeln!(text, "{BAD}{} {family}{BAD:#}: {fault}", check.name());
        }
    }
}

fn states(survey: &Survey) -> String {
    let some = survey.states.iter().take(STATES);
    let words: Vec<String> =
        some.map(|(state, count)| format!("{state} {}", Count(*count))).collect();
    format!("{}\n", words.join(", "))
}

fn reasons(text: &mut String, survey: &Survey) {
    let words: Vec<String> = survey
        .reasons
        .iter()
        .map(|reason| format!("{}.{} {}", reason.class, reason.name, Count(reason.count)))
        .collect();
    if !words.is_empty() {
        let _ = writeln!(text, "{}", words.join(", "));
    }
}

const BOLD: Style = Style::new().bold();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// Bytes that are worth a word.
const MUCH: u64 = 10_000_000;
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const LARGEST: usize = 5;
const STATES: usize = 6;
