//! The summary as a page of text. Each section is one small function; the page
//! always carries its colours, and whoever prints it takes them out where they
//! are not wanted.

use std::fmt::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::{Host, Reasons, Summary};
use crate::render::figures::{BitRate, Bytes, Count, Many, Span, Utc};

const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const ODD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// A share of packets with wrong checksums that asks for an explanation, in
/// percent.
const SUSPICIOUS: u64 = 5;
/// Growth by fewer flows than this says nothing of the future.
const LEAST_GROWTH: i64 = 10;
/// From so many packets on the speed of the replay means something.
const MANY_PACKETS: u64 = 10_000;
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
            self.not_tracked_in_full(&mut page);
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
        let (frames, bytes) = (Many(packets.frames, "packet"), Bytes(packets.bytes));
        let span = Span(capture.span);
        page.line(format_args!("  {frames}, {bytes}, {links}, over {span}"));
        page.line(format_args!("  from {}{}", Utc(capture.start_ns), self.rates()));
        if packets.frames >= MANY_PACKETS {
            let speed = Count((packets.frames as f64 / self.elapsed.as_secs_f64()) as u64);
            let took = Span(self.elapsed);
            page.line(format_args!("  {FAINT}replayed in {took}, {speed} packets/s{FAINT:#}"));
        }
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
            ("fragments held", packets.fragments_held),
            ("dropped", packets.dropped),
            ("not IP", packets.not_ip),
        ];
        page.entries("", &fates.into_iter().filter(|(_, n)| *n > 0).collect::<Reasons>());
        let oddities = [
            (
                packets.cut_short,
                "cut short by the capture: filled with zeros, checksums not verified",
            ),
            (packets.ttl_raised, "with a TTL below 2: raised to 2"),
            (packets.checksums_completed, "with checksums left to the network card: completed"),
        ];
        for (count, what) in oddities.iter().filter(|(count, _)| *count > 0) {
            page.note(format_args!("{} {what}", Many(*count, "packet")));
        }
    }

    fn flows(&self, page: &mut Page) {
        let flows = &self.flows;
        page.heading("Flows");
        if flows.events_are_off {
            page.note("nf_conntrack_events is 0: flows that have ended are not counted");
        }
        let (all, hosts) = (Many(flows.total, "flow"), Many(flows.hosts as u64, "host"));
        let kept = Count(flows.in_table as u64);
        page.line(format_args!("  {all}, begun by {hosts}; {kept} in the table at the end"));
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
        let all_are_listed = self.flows.hosts <= self.talkers.by_flows.len();
        let order = if all_are_listed { "" } else { "by flows" };
        page.line(format_args!("  {FAINT}{order:<40}{:>12}{:>12}{FAINT:#}", "flows", "bytes"));
        self.talkers.by_flows.iter().for_each(|host| page.host(host));
        if !all_are_listed {
            page.line(format_args!("  {FAINT}by bytes{FAINT:#}"));
            self.talkers.by_bytes.iter().for_each(|host| page.host(host));
        }
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
                "many wrong checksums: was this captured on the sender, before its network card?",
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
        let peak = Many(table.peak as u64, "flow");
        page.line(format_args!("  at most {peak}, {after} after the first packet"));
        if table.peak as u64 >= u64::from(table.max) || table.early_drops > 0 {
            page.note(format_args!(
                "the table was full: nf_conntrack_max is {}, {} evicted early",
                Count(table.max.into()),
                Many(table.early_drops, "flow")
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
        let half = Span(Duration::try_from_secs_f64(growth.seconds).unwrap_or_default());
        if growth.flows < LEAST_GROWTH {
            page.line(format_args!("  in the second half, {half}, it did not grow to speak of"));
            return;
        }
        let (grown, pace) = (Many(growth.flows.unsigned_abs(), "flow"), growth.per_second);
        page.line(format_args!("  in the second half, {half}, it grew by {grown} ({pace:.1}/s)"));
        if let Some(time) = forecast.fills_after {
            let time = Span(time);
            page.line(format_args!(
                "  at that pace a table of {size} is full {time} after the end"
            ));
        }
        if self.capture.span < SHORT {
            page.note("a capture this short overstates growth: flows stay until they time out");
        }
    }

    fn not_tracked_in_full(&self, page: &mut Page) {
        if self.not_tracked_in_full.is_empty() {
            return;
        }
        page.heading("Not tracked in full");
        for (what, count) in &self.not_tracked_in_full {
            let how = "tracked by addresses only, as Linux 6.18 does";
            page.note(format_args!("{what}, {}: {how}", Many(*count, "packet")));
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
