//! The summary as a page of text. Each section is one small function; the page
//! always carries its colours, and whoever prints it takes them out where they
//! are not wanted.

use std::fmt::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{Host, Reasons, Summary};
use crate::render::figures::{BitRate, Bytes, Count, Span, Utc};

const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const ODD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// A share of INVALID packets with wrong checksums that asks for an
/// explanation, in percent.
const SUSPICIOUS: u64 = 20;
/// A capture shorter than this holds flows that had no time to expire.
const SHORT: Duration = Duration::from_secs(600);

impl Summary {
    /// The page.
    pub(super) fn page(&self) -> String {
        let mut page = Page(String::new());
        self.head(&mut page);
        if self.packets.frames > 0 {
            self.packets(&mut page);
            self.flows(&mut page);
            self.nat(&mut page);
            self.talkers(&mut page);
            self.reasons(&mut page);
            self.table(&mut page);
            self.unlike_linux(&mut page);
        }
        page.0
    }

    fn head(&self, page: &mut Page) {
        let (capture, packets) = (&self.capture, &self.packets);
        page.line(format_args!("{HEADING}{}{HEADING:#}", capture.name));
        if packets.frames == 0 {
            page.line("  no packets in it");
            return;
        }
        let links = capture.links.join(", ");
        let (frames, bytes) = (Count(packets.frames), Bytes(packets.bytes));
        let span = Span(capture.span);
        page.line(format_args!("  {frames} packets, {bytes}, {links}, over {span}"));
        page.line(format_args!("  from {}{}", Utc(capture.start_ns), self.rates()));
        let took = self.elapsed.as_secs_f64().max(1e-9);
        let speed = Count((packets.frames as f64 / took) as u64);
        page.line(format_args!(
            "  {FAINT}replayed in {}, {speed} packets/s{FAINT:#}",
            Span(self.elapsed)
        ));
    }

    fn rates(&self) -> String {
        let seconds = self.capture.seconds;
        if seconds <= 0.0 {
            return String::new();
        }
        let packets = Count((self.packets.frames as f64 / seconds) as u64);
        let bits = BitRate(self.packets.bytes as f64 * 8.0 / seconds);
        format!(", {packets} packets/s, {bits}")
    }

    fn packets(&self, page: &mut Page) {
        let packets = &self.packets;
        page.heading("Packets");
        let tracked: Reasons = packets.states.iter().filter(|(_, n)| *n > 0).copied().collect();
        page.entries("", &tracked);
        let fates = [
            ("forwarded", packets.forwarded),
            ("to the router", packets.local),
            ("dropped", packets.dropped),
            ("not IP", packets.not_ip),
        ];
        page.entries("", &fates.into_iter().filter(|(_, n)| *n > 0).collect::<Reasons>());
        if packets.cut_short > 0 {
            page.note(format_args!(
                "{} were cut short by the capture: filled with zeros, checksums not verified",
                Count(packets.cut_short)
            ));
        }
        if packets.ttl_raised > 0 {
            let count = Count(packets.ttl_raised);
            page.note(format_args!("{count} with a TTL below 2: raised to 2, to be forwarded"));
        }
    }

    fn flows(&self, page: &mut Page) {
        let flows = &self.flows;
        page.heading("Flows");
        if flows.events_are_off {
            page.note("nf_conntrack_events is 0: flows that have ended are not counted");
        }
        page.line(format_args!(
            "  {} begun by {} hosts, {} in the table at the end",
            Count(flows.total),
            Count(flows.hosts as u64),
            Count(flows.in_table as u64)
        ));
        for (l4, states) in &flows.kinds {
            let mut states: Reasons = states.iter().map(|(name, count)| (*name, *count)).collect();
            states.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            page.entries(l4, &states);
        }
    }

    fn nat(&self, page: &mut Page) {
        let nat = &self.nat;
        let all = [("source", nat.source), ("destination", nat.destination), ("both", nat.both)];
        let some: Reasons = all.into_iter().filter(|(_, count)| *count > 0).collect();
        if !some.is_empty() {
            page.heading("Translated flows");
            page.entries("", &some);
        }
    }

    fn talkers(&self, page: &mut Page) {
        if self.talkers.by_flows.is_empty() {
            return;
        }
        page.heading("Top talkers");
        page.line(format_args!(
            "  {FAINT}{:<40}{:>12}{:>12}{FAINT:#}",
            "by flows", "flows", "bytes"
        ));
        self.talkers.by_flows.iter().for_each(|host| page.host(host));
        page.line(format_args!("  {FAINT}by bytes{FAINT:#}"));
        self.talkers.by_bytes.iter().for_each(|host| page.host(host));
    }

    fn reasons(&self, page: &mut Page) {
        if !self.invalid.is_empty() {
            page.alarm("INVALID by reason");
            page.list(&self.invalid);
        }
        let bad = self.invalid.iter().find(|(name, _)| *name == "bad_checksum");
        let seen = self.packets.frames - self.packets.not_ip;
        if bad.is_some_and(|(_, count)| count * 100 > seen * SUSPICIOUS) {
            page.note(
                "many wrong checksums: was this captured on the sender, with checksum offload?",
            );
            page.note("then replay it with net.netfilter.nf_conntrack_checksum = 0 (--sysctl)");
        }
        if !self.dropped.is_empty() {
            page.alarm("Dropped by reason");
            page.list(&self.dropped);
        }
    }

    fn table(&self, page: &mut Page) {
        let table = &self.table;
        page.heading("Table");
        let after = Span(Duration::try_from_secs_f64(table.peak_after_seconds).unwrap_or_default());
        let peak = Count(table.peak as u64);
        page.line(format_args!("  at most {peak} flows, {after} after the first packet"));
        if table.peak as u64 >= u64::from(table.max) || table.early_drops > 0 {
            page.note(format_args!(
                "the table was full: nf_conntrack_max is {}, {} flows were evicted early",
                Count(table.max.into()),
                Count(table.early_drops)
            ));
        }
        self.forecast(page);
    }

    fn forecast(&self, page: &mut Page) {
        let (table, forecast) = (&self.table, &self.table.forecast);
        let size = Count(forecast.size);
        if forecast.reached {
            page.line(format_args!("  a table of {size} would have been full within the capture"));
            return;
        }
        let Some(growth) = &table.growth else {
            page.line("  too short to say how fast it grows");
            return;
        };
        let half = Duration::try_from_secs_f64(growth.seconds).unwrap_or_default();
        page.line(format_args!(
            "  in the second half, {}, it grew by {} flows ({:.1}/s)",
            Span(half),
            growth.flows,
            growth.per_second
        ));
        match forecast.fills_after {
            Some(time) => page.line(format_args!(
                "  at that pace a table of {size} is full {} after the end",
                Span(time)
            )),
            None => page.line(format_args!("  at that pace a table of {size} never fills")),
        }
        if forecast.fills_after.is_some() && self.capture.span < SHORT {
            page.note("a capture this short overstates growth: flows stay until they time out");
        }
    }

    fn unlike_linux(&self, page: &mut Page) {
        if self.unlike_linux.is_empty() {
            return;
        }
        page.heading("Not as Linux does it");
        for (what, count) in &self.unlike_linux {
            let how = match *what {
                "fragments" => "not reassembled yet: dropped",
                _ => "tracked by addresses only, as in Linux 6.18",
            };
            page.note(format_args!("{} packets of {what}: {how}", Count(*count)));
        }
    }
}

/// Text that grows line by line.
struct Page(String);

impl Page {
    fn line(&mut self, text: impl std::fmt::Display) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn heading(&mut self, text: &str) {
        self.line(format_args!("\n{HEADING}{text}{HEADING:#}"));
    }

    fn alarm(&mut self, text: &str) {
        self.line(format_args!("\n{BAD}{text}{BAD:#}"));
    }

    fn note(&mut self, text: impl std::fmt::Display) {
        self.line(format_args!("  {ODD}{text}{ODD:#}"));
    }

    /// Counts side by side, after a name and their sum if there is a name.
    fn entries(&mut self, name: &str, entries: &[(&str, u64)]) {
        if entries.is_empty() {
            return;
        }
        let mut text = String::from("  ");
        if !name.is_empty() {
            let sum = entries.iter().map(|(_, count)| count).sum();
            let _ = write!(text, "{name:<8}{:>12}   ", Count(sum));
        }
        for (index, (what, count)) in entries.iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            let _ = write!(text, "{gap}{what} {}", Count(*count));
        }
        self.line(text);
    }

    /// Counts below each other.
    fn list(&mut self, entries: &[(&str, u64)]) {
        for (what, count) in entries {
            self.line(format_args!("  {what:<20}{:>12}", Count(*count)));
        }
    }

    fn host(&mut self, host: &Host) {
        let (flows, bytes) = (Count(host.flows), Bytes(host.bytes));
        self.line(format_args!("  {:<40}{flows:>12}{bytes:>12}", host.address.to_string()));
    }
}
