//! The report for people: the verdict first, 30 lines at the most, ASCII, in as many columns as there are. What is least
//! needed goes first when there is no room for all. Lines to paste are folded with backslashes, never cut.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::checks::{Severity, percent};
use super::foreign::{parts, shown};
use super::report::{Report, Status, Who};
use crate::render::figures::{Brief, Count};

/// Lines that go together, and how much they are needed: 0 always.
struct Block {
    need: u8,
    lines: Vec<String>,
}

/// Lines in as many columns.
struct Page {
    width: usize,
    blocks: Vec<Block>,
}

/// The whole page, its lines ended.
pub(crate) fn page(report: &Report, width: usize, is_whole: bool) -> String {
    let mut page = Page { width: width.max(NARROWEST), blocks: Vec::new() };
    page.head(report);
    if report.status != Status::Ok || is_whole {
        page.state(report);
        page.who(report);
        page.causes(report, is_whole);
        page.steps(report, is_whole);
        page.end(report);
    }
    page.saved(report);
    // What is seen of the table itself is enough to call it healthy.
    if report.status != Status::Ok || report.partial || is_whole {
        page.blind(report);
    }
    page.finish(if is_whole { usize::MAX } else { TALLEST })
}

impl Page {
    fn add(&mut self, need: u8, line: String) {
        self.blocks.push(Block { need, lines: vec![shown(&line)] });
    }

    /// Adds words behind a heading, in as many lines as they need.
    fn fold(&mut self, need: u8, heading: &str, text: &str) {
        self.blocks.push(Block { need, lines: folded(heading, text, self.width) });
    }

    fn head(&mut self, report: &Report) {
        let (word, colour) = match report.status {
            Status::Ok => ("OK", AnsiColor::Green),
            Status::Warning => ("WARNING", AnsiColor::Yellow),
            Status::Critical => ("CRITICAL", AnsiColor::Red),
            Status::Unknown => ("UNKNOWN", AnsiColor::Yellow),
        };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let partial = if report.partial { ", partial" } else { "" };
        let time = report.time.split_once('T').map_or("", |(_, time)| time);
        let time = time.split_once('.').map_or("", |(time, _)| time);
        let place = format!(
            "{}   Linux {}   {time}Z   (took {:.1} s{partial}, read-only)",
            report.place, report.kernel, report.seconds
        );
        let (summary, place) = (shown(&report.summary), shown(&place));
        let is_short = summary.len() + word.len() + place.len() + 8 <= self.width;
        if is_short && report.status != Status::Ok {
            let line = format!("{style}{word}{style:#}  {summary}   {place}");
            self.blocks.push(Block { need: 0, lines: vec![line] });
            return;
        }
        let mut lines = folded(&format!("{word}  "), &summary, self.width);
        lines[0] = lines[0].replacen(word, &format!("{style}{word}{style:#}"), 1);
        self.blocks.push(Block { need: 0, lines });
        if report.status != Status::Ok {
            self.add(2, format!("  {place}"));
        }
    }

    fn state(&mut self, report: &Report) {
        let flow = &report.flow;
        if report.feels_like.is_some() || flow.refused > 0.0 {
            let since = report.since.as_ref().map_or_else(
                || "unknown (nothing in the kernel log)".to_owned(),
                |since| {
                    let (time, _) = since.time.split_once('.').unwrap_or((&since.time, ""));
                    format!("{time}Z ({}, {})", brief(since.seconds), since.source)
                },
            );
            let text = format!(
                "{since}   refused {} new flows, {:.0}/s now",
                Count(flow.refused_in_all),
                flow.refused
            );
            self.fold(1, "  since       ", &text);
        }
        if let Some(text) = &report.feels_like {
            self.fold(3, "  feels like  ", text);
        }
    }

    fn who(&mut self, report: &Report) {
        if report.who.is_empty() {
            return;
        }
        let width = report.who.iter().map(|who| who.label.len()).max().unwrap_or(0).max(15);
        for (number, who) in report.who.iter().enumerate() {
            let heading = if number == 0 { "WHO" } else { "" };
            let line = format!(
                "{heading:<4}{}  {:<width$}  {:>9}  {:>6}  {}{}",
                number + 1,
                who.label,
                format!("{}{}", if who.missed > 0 { ">=" } else { "" }, Count(who.flows)),
                percent(who.permille),
                who.class,
                idle(who),
            );
            match &who.owner {
                Some(owner) if line.len() + owner.len() + 3 > self.width => {
                    self.add(1, line);
                    self.fold(2, "       ", owner);
                }
                Some(owner) => self.add(1, format!("{line}   {owner}")),
                None => self.add(1, line),
            }
        }
        let sources = report
            .rest
            .sources
            .map_or_else(|| "very many".to_owned(), |count| Count(count as u64).to_string());
        self.add(
            3,
            format!(
                "    -  {:<width$}  {:>9}  (the whole table: {sources} sources)",
                "everything else",
                Count(report.rest.flows)
            ),
        );
        self.flow(report);
    }

    fn flow(&mut self, report: &Report) {
        let flow = &report.flow;
        let new = flow.new.map_or_else(
            || "unknown".to_owned(),
            |rate| format!("{}{rate:.0}/s", if flow.is_lossy { "more than " } else { "" }),
        );
        let until = match flow.until_full {
            Some(seconds) if seconds < 1.0 => {
                let left = report.who.first().and_then(|who| who.left_median);
                let stays =
                    |left| format!("untouched it stays full, half of 1 for {} more", brief(left));
                left.map_or_else(|| "it is full".to_owned(), stays)
            }
            Some(seconds) => format!("full in {}", brief(seconds as u64)),
            None => "it does not fill at this rate".to_owned(),
        };
        let text = format!(
            "new {new}, table {:+.0}/s, refused {:.0}/s, evicted {:.0}/s; {until}",
            flow.growth, flow.refused, flow.evicted
        );
        self.fold(3, "    flow  ", &text);
    }

    fn causes(&mut self, report: &Report, is_whole: bool) {
        let shown =
            report.findings.iter().filter(|finding| is_whole || finding.severity > Severity::Note);
        for (number, finding) in shown.enumerate() {
            let heading = if number == 0 { "WHY " } else { "    " };
            self.fold(if number < 3 { 1 } else { 4 }, heading, &finding.symptom);
            for evidence in &finding.evidence {
                self.fold(if number == 0 { 3 } else { 5 }, "      ", evidence);
            }
        }
        if !report.ruled_out.is_empty() {
            self.fold(4, "    ruled out  ", &report.ruled_out.join(", "));
        }
    }

    fn steps(&mut self, report: &Report, is_whole: bool) {
        let notes =
            report.findings.iter().filter(|finding| is_whole && finding.severity == Severity::Note);
        let steps: Vec<_> =
            report.steps.iter().chain(notes.flat_map(|finding| &finding.steps)).collect();
        if steps.is_empty() {
            return;
        }
        let has_lines = steps.iter().any(|step| step.command.is_some());
        let paste = if has_lines { ", paste the lines" } else { "" };
        let part = report.listed * 1000 / report.count.max(1);
        let sample = format!(
            "; numbers are of the {} flows ({}) that were listed in time",
            Count(report.listed),
            percent(part.min(1000))
        );
        let sample = if report.partial { sample.as_str() } else { "" };
        self.fold(0, "DO NOW  ", &format!("nothing was changed yet{paste}{sample}"));
        for (index, step) in steps.iter().enumerate() {
            let letter = char::from(b'A' + (index % 26) as u8);
            let need = if index < 3 { 0 } else { 4 };
            self.fold(need, &format!("  {letter}  "), &step.what);
            for line in step.command.iter().flat_map(|command| command.lines()) {
                command(line, self.width).into_iter().for_each(|line| self.add(need, line));
            }
            step.lines.iter().for_each(|line| self.add(need, format!("       {line}")));
            if let Some(undo) = step.undo.as_ref().filter(|_| is_whole || index < 4) {
                let undo = undo.lines().collect::<Vec<_>>().join("; ");
                command(&undo, self.width - 5).into_iter().enumerate().for_each(
                    |(number, line)| {
                        let word = if number == 0 { "undo" } else { "    " };
                        self.add(need + 2, format!("     {word}{}", &line[4..]));
                    },
                );
            }
        }
    }

    fn end(&mut self, report: &Report) {
        let worst = report.findings.iter().filter(|finding| finding.severity > Severity::Note);
        for (number, dont) in worst.flat_map(|finding| &finding.donts).take(3).enumerate() {
            self.fold(
                if number == 0 { 1 } else { 3 },
                if number == 0 { "DO NOT  " } else { "        " },
                dont,
            );
        }
        if !report.after.is_empty() {
            self.fold(2, "AFTER   ", &report.after.join("; "));
        }
    }

    fn saved(&mut self, report: &Report) {
        if let Some(file) = &report.saved {
            self.fold(2, "SAVED   ", &format!("{file}  ({AGAIN})"));
        }
    }

    fn blind(&mut self, report: &Report) {
        let unchecked = report.unchecked.join(", ");
        let unchecked = (!unchecked.is_empty()).then(|| format!("so not checked: {unchecked}"));
        let blind: Vec<_> = report.blind.iter().cloned().chain(unchecked).collect();
        if !blind.is_empty() {
            self.fold(2, "NOT SEEN  ", &blind.join("; "));
        }
    }

    /// Leaves out what is least needed, from the end, until the rest fits.
    fn finish(mut self, tallest: usize) -> String {
        let height = |blocks: &[Block]| blocks.iter().map(|block| block.lines.len()).sum::<usize>();
        while height(&self.blocks) > tallest {
            let most = self.blocks.iter().map(|block| block.need).max().unwrap_or(0);
            let Some(index) = self.blocks.iter().rposition(|block| block.need == most) else {
                break;
            };
            if most == 0 {
                break;
            }
            self.blocks.remove(index);
        }
        let lines = self.blocks.into_iter().flat_map(|block| block.lines);
        lines.map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

fn idle(who: &Who) -> String {
    who.idle_median
        .map_or_else(String::new, |seconds| format!("  idle p50 ~{}", brief(seconds.into())))
}

fn brief(seconds: u64) -> String {
    Brief(Duration::from_secs(seconds)).to_string()
}

/// Words behind a heading, folded; the lines that follow are indented like the first word.
fn folded(heading: &str, text: &str, width: usize) -> Vec<String> {
    let text = shown(text).replace(" %", GLUED);
    let lines = laid(heading, text.split(' '), width);
    lines.iter().map(|line| line.replace(GLUED, " %")).collect()
}

fn laid<'a>(heading: &str, words: impl Iterator<Item = &'a str>, width: usize) -> Vec<String> {
    let indent = " ".repeat(heading.len());
    let (mut lines, mut line) = (Vec::new(), heading.to_owned());
    let mut is_empty = true;
    for word in words {
        if !is_empty && line.len() + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// A line to paste, folded as a shell reads it.
fn command(text: &str, width: usize) -> Vec<String> {
    let text = shown(text);
    let mut lines = laid("       ", parts(&text).into_iter(), width - 2);
    let last = lines.len() - 1;
    lines[..last].iter_mut().for_each(|line| line.push_str(" \\"));
    lines
}

/// A number and its sign stay together; of the same length as what is shown.
const GLUED: &str = "\u{1}%";
/// What becomes of the file.
const AGAIN: &str = "tidegate doctor -r FILE looks again, with --redact for others to see";
/// Lines of a page for 3 a.m.
const TALLEST: usize = 30;
/// Columns.
const NARROWEST: usize = 60;
