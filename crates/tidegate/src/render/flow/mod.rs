//! Flows and expectations, one a line, in the form that was asked for.
//!
//! A [`Printer`] writes what it is handed at once and remembers nothing but widths of columns, so that a listing of
//! any length takes the same memory.

mod csv;
mod json;
pub(crate) mod proc;
mod table;
mod text;
mod words;
mod xml;

use std::io::{self, Write};

pub(crate) use self::words::Words;
use super::figures::{Asctime, Rfc3339};
use crate::client::labels::Labels;
use crate::client::{Expected, Flow};

/// How flows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// As what.
    pub(crate) shape: Shape,
    /// Text with the address family in front.
    pub(crate) extended: bool,
    /// Text with the entry's number.
    pub(crate) id: bool,
    /// Text with the table's timestamps.
    pub(crate) ktimestamp: bool,
    /// Text with labels.
    pub(crate) labels: bool,
    /// Events with the time in front.
    pub(crate) timestamp: bool,
}

/// As what flows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Lines of conntrack(8).
    #[default]
    Text,
    /// Its XML.
    Xml,
    /// An object a line.
    Json,
    /// Comma-separated values under a line of names.
    Csv,
    /// Columns for people.
    Table,
}

/// What is said of an event beside the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occasion {
    /// What happened.
    pub(crate) kind: Kind,
    /// When, in nanoseconds since 1970.
    pub(crate) time: u64,
    /// Whose netlink socket caused it; 0: nobody's.
    pub(crate) port: u32,
    /// Its number, if the table gives them.
    pub(crate) number: Option<u64>,
}

/// What happened to a flow or an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It came into being.
    New,
    /// It changed.
    Update,
    /// It ended.
    Destroy,
    /// Unknown: events were lost.
    Gap,
}

impl Kind {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Update => "UPDATE",
            Self::Destroy => "DESTROY",
            Self::Gap => "GAP",
        }
    }
}

/// Writes flows.
pub(crate) struct Printer<W> {
    out: W,
    style: Style,
    labels: Labels,
    line: Words,
    table: table::Widths,
    has_head: bool,
    shown: u64,
    now: u64,
}

impl<W: Write> Printer<W> {
    /// Writes in a style to `out`. `now` is in nanoseconds since 1970.
    pub(crate) fn new(out: W, style: Style, now: u64) -> Self {
        // Labels have a place of their own where there are fields; in text they must be asked for.
        let labels = if style.shape == Shape::Text && !style.labels {
            Labels::default()
        } else {
            Labels::of_machine()
        };
        let (line, table) = (Words::default(), table::Widths::default());
        Self { out, style, labels, line, table, has_head: false, shown: 0, now }
    }

    /// How many were shown.
    pub(crate) fn shown(&self) -> u64 {
        self.shown
    }

    /// Writes a flow, and what happened to it if that is known.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn flow(&mut self, flow: &Flow<'_>, on: Option<Occasion>) -> io::Result<()> {
        self.head()?;
        self.line.0.clear();
        let now = on.map_or(self.now, |on| on.time);
        let (line, style, labels) = (&mut self.line, &self.style, &self.labels);
        match style.shape {
            Shape::Text => {
                prefix(line, style, on);
                text::write(line, flow, style, (labels, now));
                suffix(line, on);
                line.end();
            }
            Shape::Xml => {
                xml::write(line, flow, (style, on), (labels, now));
                suffix(line, on);
                line.end();
            }
            Shape::Json => json::write(line, flow, on, labels)?,
            Shape::Csv => csv::write(line, flow, on, labels),
            Shape::Table => self.table.write(line, flow, on),
        }
        self.shown += 1;
        self.out.write_all(&self.line.0)
    }

    /// Writes an expectation, and what happened to it if that is known.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn expected(
        &mut self,
        expected: &Expected<'_>,
        on: Option<Occasion>,
    ) -> io::Result<()> {
        self.line.0.clear();
        if self.style.shape == Shape::Json {
            json::write_expected(&mut self.line, expected, on)?;
        } else {
            prefix(&mut self.line, &self.style, on);
            text::write_expected(&mut self.line, expected);
            suffix(&mut self.line, on);
            self.line.end();
        }
        self.shown += 1;
        self.out.write_all(&self.line.0)
    }

    /// Writes that events were lost: those from one number to another, if the table gives them.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn gap(&mut self, time: u64, lost: Option<(u64, u64)>) -> io::Result<()> {
        let on = Some(Occasion { kind: Kind::Gap, time, port: 0, number: None });
        self.head()?;
        self.line.0.clear();
        match self.style.shape {
            Shape::Json => json::write_gap(&mut self.line, time, lost)?,
            Shape::Xml => {
                self.line.text("<gap/>\n");
            }
            Shape::Csv => {
                self.line.text("GAP").text(&",".repeat(csv::HEAD.matches(',').count())).end();
            }
            Shape::Text | Shape::Table => {
                prefix(&mut self.line, &self.style, on);
                match lost {
                    Some((first, last)) => {
                        self.line.text("events ").number(first).text(" to ").number(last);
                        self.line.text(" were lost here").end();
                    }
                    None => self.line.text("events were lost here").end(),
                }
            }
        }
        self.out.write_all(&self.line.0)
    }

    /// Writes what stands at the end, and passes everything on.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self.style.shape {
            Shape::Xml if self.has_head => self.out.write_all(xml::END.as_bytes())?,
            Shape::Csv | Shape::Table => self.head()?,
            Shape::Text | Shape::Xml | Shape::Json => {}
        }
        self.flush()
    }

    /// Passes on what was written.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What stands in front of the first.
    fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_head, true) {
            return Ok(());
        }
        match self.style.shape {
            Shape::Xml => self.out.write_all(xml::HEAD.as_bytes()),
            Shape::Csv => writeln!(self.out, "{}", csv::HEAD),
            Shape::Table => self.out.write_all(self.table.head().as_bytes()),
            Shape::Text | Shape::Json => Ok(()),
        }
    }
}

fn prefix(line: &mut Words, style: &Style, on: Option<Occasion>) {
    let Some(Occasion { kind, time, .. }) = on else { return };
    if style.timestamp {
        let (seconds, micros) = (time / 1_000_000_000, time / 1000 % 1_000_000);
        line.text(&format!("[{seconds}.{micros:06}]\t"));
    }
    line.text(&format!("{:>9} ", format!("[{}]", kind.name())));
}

fn suffix(line: &mut Words, on: Option<Occasion>) {
    if let Some(port) = on.map(|on| on.port).filter(|port| *port != 0) {
        line.text("[USERSPACE] portid=").number(port).text(" ");
    }
}

/// How long a flow has lived, or lived, in seconds as conntrack(8) counts them: whole seconds of the clock.
fn lifetime(flow: &Flow<'_>, now: u64) -> Option<u64> {
    let times = flow.times.as_ref()?;
    let [start, stop] = [times.start?, times.stop.unwrap_or(now)].map(|time| time / 1_000_000_000);
    Some(stop.saturating_sub(start))
}

/// A time in the words of asctime(3), in UTC.
fn utc_words(nanos: u64) -> String {
    Asctime(nanos).to_string()
}

/// A time as machines read it.
fn utc(nanos: u64) -> String {
    Rfc3339(nanos).to_string()
}

#[cfg(test)]
mod tests;
