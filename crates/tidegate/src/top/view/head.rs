//! What stands above the rows: which table, how full, how fast, of what kind.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::sorted_by;
use crate::render::figures::{BitRate, Count, Many, Span as TimeSpan, Utc};
use crate::top::state::State;
use crate::top::survey::{REMEMBERED, Rows, Snapshot, Totals};

/// How many lines there are.
pub(super) fn height(state: &State) -> usize {
    3 + if state.totals { 2 } else { 0 } + usize::from(filter_line(state).is_some())
}

/// The lines.
pub(super) fn lines(state: &State, width: u16) -> Vec<Line<'static>> {
    let mut lines = vec![title(state), fill(state), history(state, width)];
    if state.totals {
        let none = Totals::default();
        let totals = state.snapshot.as_ref().map_or(&none, |snapshot| &snapshot.totals);
        lines.extend([kinds(totals), conditions(totals, state.snapshot.is_some())]);
    }
    lines.extend(filter_line(state));
    lines
}

fn title(state: &State) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans =
        vec![Span::styled("tidegate top", bold), Span::raw(format!("  {}", state.place))];
    match &state.snapshot {
        None => spans.push(Span::raw("  asking the table ...")),
        Some(Snapshot { at, took, .. }) => {
            // A pass rests as long as it took.
            let rate = state.interval.max(*took * 2).as_secs_f64();
            let (took, rate) = (TimeSpan(*took), (rate * 10.0).round() / 10.0);
            spans.push(Span::raw(format!("  {}  took {took}, every {rate} s", Utc(*at))));
        }
    }
    spans.push(Span::raw(format!("  sorted by {}", sorted_by(state))));
    if state.snapshot.is_some() && !state.is_up_to_date() {
        spans.push(Span::styled("  asking again ...", bold));
    }
    Line::from(spans)
}

/// The gauge, and when it will be full.
fn fill(state: &State) -> Line<'static> {
    let Some((entries, max)) = state.counts else { return Line::raw("table") };
    let count = Count(entries);
    let Some(max) = max.filter(|max| *max > 0) else {
        return Line::raw(format!("table {count} entries, no limit{}", growth(state)));
    };
    let share = entries as f64 / max as f64;
    let colour = match share {
        ..0.75 => Color::Green,
        0.75..0.95 => Color::Yellow,
        _ => Color::Red,
    };
    let filled = ((share * GAUGE as f64).round() as usize).min(GAUGE);
    let until = match state.history.until_full(max) {
        None => String::new(),
        Some(Duration::ZERO) => "  FULL".to_owned(),
        Some(until) => format!("  full in {}", TimeSpan(until)),
    };
    let of = format!("table {count} of {} ({:.1} %) [", Count(max), share * 100.0);
    Line::from(vec![
        Span::raw(of),
        Span::styled("#".repeat(filled), Style::new().fg(colour)),
        Span::raw("-".repeat(GAUGE - filled)),
        Span::raw(format!("]{}", growth(state))),
        Span::styled(until, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
    ])
}

fn growth(state: &State) -> String {
    state.history.growth().map_or_else(String::new, |growth| format!("  {growth:+.1}/s"))
}

/// How many entries there were, a bar for each look at the gauge.
fn history(state: &State, width: u16) -> Line<'static> {
    let counts = state.history.counts(usize::from(width).saturating_sub(TITLE.len()));
    let (least, most) =
        (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    let bar = |count: &u64| match most - least {
        0 => BARS[0],
        range => BARS[((count - least) * (BARS.len() as u64 - 1) / range) as usize],
    };
    let bars: String = counts.iter().map(bar).collect();
    Line::from(vec![Span::raw(TITLE), Span::styled(bars, Style::new().fg(Color::Cyan))])
}

fn kinds(totals: &Totals) -> Line<'static> {
    let Totals { all, protocols: [tcp, udp, icmp, sctp, other], ipv6, .. } = totals;
    let named = [("tcp", tcp), ("udp", udp), ("icmp", icmp), ("sctp", sctp), ("other", other)];
    let parts = named.map(|(name, count)| format!("{name} {}", Count(*count))).join("  ");
    Line::raw(format!("flows {}  {parts}  ipv6 {}", Count(all.flows), Count(*ipv6)))
}

fn conditions(totals: &Totals, is_known: bool) -> Line<'static> {
    let [source, destination] = totals.translated;
    let parts = [
        ("established", totals.established),
        ("assured", totals.assured),
        ("unreplied", totals.all.unreplied),
        ("snat", source),
        ("dnat", destination),
    ];
    let parts = parts.map(|(name, count)| format!("{name} {}", Count(count))).join("  ");
    let traffic = if is_known { traffic(totals) } else { String::new() };
    Line::raw(format!("{parts}  {traffic}"))
}

/// What a second brings, or why that isn't known.
fn traffic(totals: &Totals) -> String {
    let flows = totals.all.flows;
    if flows > 0 && totals.counted == 0 {
        return "no rates: nobody counts (nf_conntrack_acct is 0)".to_owned();
    }
    let Some(rate) = totals.all.rate else {
        return if flows == 0 { String::new() } else { "rates come with the next look".to_owned() };
    };
    let rates = format!("{}  {} packets/s", BitRate(rate.bytes * 8.0), Count(rate.packets as u64));
    match totals.rated {
        rated if rated == flows => rates,
        rated if totals.counted > rated && rated >= REMEMBERED as u64 => {
            format!("{rates} (of {} flows, no more are remembered)", Count(rated))
        }
        rated => {
            format!("{rates} (of {} flows; others began before nf_conntrack_acct)", Count(rated))
        }
    }
}

/// Which flows are meant, and how many groups there are.
fn filter_line(state: &State) -> Option<Line<'static>> {
    let mut words = Vec::new();
    let summary = state.filters.summary();
    if !summary.is_empty() {
        words.push(format!("only {summary}"));
    }
    if !state.base.is_empty() {
        words.push("only what the command line says".to_owned());
    }
    if let Some(Snapshot { rows: Rows::Groups(_, count, is_all), .. }) = &state.snapshot {
        let at_least = if *is_all { "" } else { "at least " };
        words.push(format!("{at_least}{}", Many(*count as u64, "group")));
    }
    let style = Style::new().add_modifier(Modifier::BOLD);
    (!words.is_empty()).then(|| Line::styled(words.join("; "), style))
}

const GAUGE: usize = 30;
const TITLE: &str = "history ";
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
