//! The plot: nanoseconds per packet and bytes per flow over the number of flows.
//!
//! Two panels side by side, logarithmic to the right and upwards. It is text written by hand: no
//! library draws it, and it looks the same on light and dark pages, because all that is not a series
//! is grey and nothing lies underneath.

use core::fmt::Write as _;

use crate::report::table;
use crate::session::Row;

/// The plot of the IPv4 rows.
#[must_use]
pub fn plot(rows: &[Row]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#808080\">\n\
         <title>Tidegate: time per packet and memory per flow</title>\n"
    );
    let time = Panel::new("ns per packet of an established flow", 60.0, rows, time_of);
    let memory = Panel::new("bytes per flow", 560.0, rows, bytes_of);
    time.draw(&mut text, rows);
    memory.draw(&mut text, rows);
    text + "</svg>\n"
}

fn time_of(row: &Row) -> Option<f64> {
    row.ns
}

/// What a small table weighs is its fixed part, not its flows.
fn bytes_of(row: &Row) -> Option<f64> {
    row.bytes_per_flow.filter(|_| row.flows >= 100_000)
}

/// A row that is drawn.
struct Series {
    row: &'static str,
    label: &'static str,
    colour: &'static str,
    dashes: &'static str,
}

const SERIES: [Series; 4] = [
    Series { row: "tcp_established", label: "Tidegate, TCP", colour: "#1a7fd4", dashes: "" },
    Series { row: "hashbrown_fast", label: "hash map", colour: "#d9822b", dashes: "" },
    Series { row: "floor", label: "floor", colour: "#2a9d58", dashes: "6 3" },
    Series { row: "limit", label: "limit", colour: "#a05cc0", dashes: "2 3" },
];

/// One diagram: what it shows, where it stands, and how values become places.
struct Panel {
    title: &'static str,
    left: f64,
    value: fn(&Row) -> Option<f64>,
    flows: (f64, f64),
    values: (f64, f64),
}

impl Panel {
    fn new(title: &'static str, left: f64, rows: &[Row], value: fn(&Row) -> Option<f64>) -> Self {
        let drawn = || rows.iter().filter(|row| SERIES.iter().any(|series| is_of(row, series)));
        let flows = drawn().filter(|row| value(row).is_some()).map(|row| f64::from(row.flows));
        let (flows, values) = (span(flows), span(drawn().filter_map(value)));
        Self { title, left, value, flows, values: round_out(values) }
    }

    fn draw(&self, text: &mut String, rows: &[Row]) {
        let (middle, below) = (self.left + PANEL / 2.0, TOP - 14.0);
        put(text, middle, below, "middle", self.title);
        self.grid(text, rows);
        let mut labels: Vec<f64> = Vec::new();
        for series in &SERIES {
            let points: Vec<_> = rows
                .iter()
                .filter(|row| is_of(row, series))
                .filter_map(|row| Some(self.place(f64::from(row.flows), (self.value)(row)?)))
                .collect();
            self.curve(text, series, &points, &mut labels);
        }
    }

    /// Lines at 1, 2 and 5 times the powers of ten, and a mark at each size.
    fn grid(&self, text: &mut String, rows: &[Row]) {
        let (low, high) = self.values;
        let steps = (-1..7).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
        for value in steps.filter(|value| (low..=high).contains(value)) {
            let y = self.place(self.flows.0, value).1;
            stroke(text, (self.left, y), (self.left + PANEL, y));
            put(text, self.left - 8.0, y + 4.0, "end", &value.to_string());
        }
        let mut sizes: Vec<u32> = rows.iter().map(|row| row.flows).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let (first, last) = self.flows;
        for flows in sizes.into_iter().filter(|flows| (first..=last).contains(&f64::from(*flows))) {
            let x = self.place(f64::from(flows), low).0;
            stroke(text, (x, TOP + TALL), (x, TOP + TALL + 5.0));
            put(text, x, TOP + TALL + 20.0, "middle", &table::flows(flows));
        }
        put(text, self.left + PANEL / 2.0, TOP + TALL + 40.0, "middle", "flows");
    }

    fn curve(
        &self,
        text: &mut String,
        series: &Series,
        points: &[(f64, f64)],
        labels: &mut Vec<f64>,
    ) {
        let Series { label, colour, dashes, .. } = series;
        let Some((x, y)) = points.last() else { return };
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        let _ = writeln!(
            text,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dashes}\"/>"
        );
        for (x, y) in points {
            let _ =
                writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let y = free(labels, *y);
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{label}</text>",
            x + 8.0,
            y + 4.0
        );
    }

    fn place(&self, flows: f64, value: f64) -> (f64, f64) {
        let share = |x: f64, (low, high): (f64, f64)| (x / low).ln() / (high / low).ln().max(1e-9);
        (
            self.left + PANEL * share(flows, self.flows),
            TOP + TALL * (1.0 - share(value, self.values)),
        )
    }
}

fn is_of(row: &Row, series: &Series) -> bool {
    row.row == series.row && row.family == "ipv4"
}

/// The least and the greatest; 1 and 10 of none.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, 0.0), |(low, high), x| (x.min(low), x.max(high)));
    if high == 0.0 { (1.0, 10.0) } else { (low, high) }
}

/// Out to the next lines of the grid.
fn round_out((low, high): (f64, f64)) -> (f64, f64) {
    let power = |x: f64| 10f64.powf(x.log10().floor());
    let below = [5.0, 2.0, 1.0].map(|step| step * power(low)).into_iter().find(|x| *x <= low);
    let above =
        [1.0, 2.0, 5.0, 10.0].map(|step| step * power(high)).into_iter().find(|x| *x >= high);
    (below.unwrap_or(low), above.unwrap_or(high))
}

/// A height for a label that keeps clear of those that are there.
fn free(labels: &mut Vec<f64>, wanted: f64) -> f64 {
    let mut y = wanted;
    while labels.iter().any(|other| (other - y).abs() < 15.0) {
        y += 1.0;
    }
    labels.push(y);
    y
}

fn stroke(text: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        text,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#808080\" \
         stroke-opacity=\"0.35\"/>"
    );
}

fn put(text: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ =
        writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 400;
const PANEL: f64 = 320.0;
const TOP: f64 = 40.0;
const TALL: f64 = 300.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_and_named() {
        let row = |row, flows, ns| Row {
            row,
            family: "ipv4",
            flows,
            ns: Some(ns),
            bytes_per_flow: Some(80.0),
            ..Row::default()
        };
        let rows: Vec<Row> = SERIES
            .iter()
            .flat_map(|series| [row(series.row, 1000, 5.0), row(series.row, 1_000_000, 50.0)])
            .collect();
        let text = plot(&rows);
        for series in &SERIES {
            assert!(text.contains(&format!(">{}</text>", series.label)), "{}", series.label);
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
