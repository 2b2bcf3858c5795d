//! What was measured: a row for each turn, and medians of all rounds beside those of the kernel.

use std::fmt;

use serde::Serialize;

use crate::account::Spent;

/// A turn.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) measure: &'static str,
    /// With which gateway.
    pub(crate) gateway: &'static str,
    /// The figure, in `unit`.
    pub(crate) value: f64,
    /// The unit.
    pub(crate) unit: &'static str,
    /// What one of a hundred exceeds, where single times are measured.
    pub(crate) worst: Option<f64>,
    /// How many packets, connections, kilobytes were counted.
    pub(crate) items: u64,
    /// How many were lost in the whole turn, and of how many.
    pub(crate) lost: u64,
    /// See `lost`.
    pub(crate) of: u64,
    /// Processor time of the bench (both hosts, and what the kernel does in their context), microseconds an item.
    pub(crate) bench_us: f64,
    /// Processor time of the gateway's process, microseconds an item.
    pub(crate) gateway_us: f64,
    /// Seconds by the clock on the wall.
    pub(crate) wall: f64,
    /// Processor seconds of soft interrupts of the whole machine, as sampled.
    pub(crate) softirq: f64,
    /// Processors that others kept busy meanwhile.
    pub(crate) others: f64,
    /// What else is to be said.
    pub(crate) note: String,
    /// What it took.
    #[serde(skip)]
    pub(crate) spent: Spent,
}

impl Row {
    /// A figure, and what it took.
    pub(crate) fn of(value: f64, unit: &'static str, spent: Spent) -> Self {
        Self { value, unit, spent, ..Self::default() }
    }

    fn finished(self) -> Self {
        let Spent { wall, bench, gateway, softirq, others } = self.spent;
        let each = |seconds: f64| seconds * 1e6 / self.items.max(1) as f64;
        let (bench_us, gateway_us) = (each(bench), each(gateway));
        Self { bench_us, gateway_us, wall, softirq, others: others / wall, ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.clone().finished();
        write!(
            f,
            "{:<12} {:<14} {:>10.2} {:<13} lost {} of {}, hosts {:.2} us, gateway {:.2} us, others {:.2}; {}",
            row.measure,
            row.gateway,
            row.value,
            row.unit,
            row.lost,
            row.of,
            row.bench_us,
            row.gateway_us,
            row.others,
            row.note,
        )
    }
}

/// All turns.
pub(crate) struct Report {
    rows: Vec<Row>,
    /// Of which all others are multiples.
    base: &'static str,
}

impl Report {
    /// One without turns, beside a gateway of this name.
    pub(crate) fn beside(base: &'static str) -> Self {
        Self { rows: Vec::new(), base }
    }

    /// Adds a turn.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row.finished());
    }

    /// All rows, a line each.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        let lines: serde_json::Result<Vec<String>> =
            self.rows.iter().map(serde_json::to_string).collect();
        Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
    }

    fn of(&self, measure: &str, gateway: &str) -> Vec<&Row> {
        let fits = |row: &&Row| row.measure == measure && row.gateway == gateway;
        self.rows.iter().filter(fits).collect()
    }

    /// Every measurement with every gateway, in the order of the first round.
    fn pairs(&self) -> Vec<(&'static str, &'static str)> {
        let mut pairs = Vec::new();
        for row in &self.rows {
            if !pairs.contains(&(row.measure, row.gateway)) {
                pairs.push((row.measure, row.gateway));
            }
        }
        pairs
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", HEADING.replace("/ kernel", &format!("/ {:<6}", self.base)))?;
        for (measure, gateway) in self.pairs() {
            let (rows, base) = (self.of(measure, gateway), self.of(measure, self.base));
            let of = |figure: fn(&Row) -> f64| median(rows.iter().map(|row| figure(row)).collect());
            let ratios = rows.iter().zip(&base).map(|(row, base)| row.value / base.value);
            let (lost, all): (u64, u64) =
                (rows.iter().map(|row| row.lost).sum(), rows.iter().map(|row| row.of).sum());
            let loss = if all == 0 { lost as f64 } else { lost as f64 * 100.0 / all as f64 };
            let sign = if all == 0 { ' ' } else { '%' };
            writeln!(
                f,
                "{measure:<12} {gateway:<14} {:>11.2} {:<13} {:>6.2} {loss:>8.2}{sign} {:>9.2} {:>10.2} {:>7.2}",
                of(|row| row.value),
                rows.first().map_or("", |row| row.unit),
                median(ratios.collect()),
                of(|row| row.bench_us),
                of(|row| row.gateway_us),
                of(|row| row.others),
            )?;
            if rows.iter().all(|row| row.worst.is_some()) {
                let worst = of(|row| row.worst.unwrap_or(f64::NAN));
                writeln!(f, "{:<12} {gateway:<14} {worst:>11.2} us", format!("{measure} p99"))?;
            }
        }
        Ok(())
    }
}

const HEADING: &str = "measure      gateway             median               / kernel     lost  hosts us gateway us  others";

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_one_round() {
        let mut report = Report::beside("kernel");
        for (kernel, other) in [(1.0, 2.0), (10.0, 40.0), (100.0, 300.0)] {
            for (gateway, value) in [("kernel", kernel), ("packet", other)] {
                let row = Row::of(value, "packets/s", Spent { wall: 1.0, ..Spent::default() });
                report.add(Row { measure: "udp", gateway, ..row });
            }
        }
        let text = report.to_string();
        let line = text.lines().find(|line| line.contains("packet  ")).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(&words[2..5], ["40.00", "packets/s", "3.00"], "{text}");
    }
}
