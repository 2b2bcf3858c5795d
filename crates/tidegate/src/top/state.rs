//! All that can be seen and asked for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::column::{Column, OF_FLOWS, OF_GROUPS, Order, Sort};
use super::filters::{Filters, Which};
use super::group::By;
use super::history::History;
use super::survey::{FlowRow, Question, Rows, Snapshot};
use crate::filter::Test;

/// The screen's contents, and what the next key means.
#[derive(Debug)]
pub(crate) struct State {
    /// Which table it is, in words.
    pub(crate) place: String,
    /// Conditions of the command line.
    pub(crate) base: Vec<Test>,
    /// Those that keys set.
    pub(crate) filters: Filters,
    /// What flows are grouped by.
    pub(crate) by: Option<By>,
    /// What flows are sorted by.
    pub(crate) flow_sort: Sort,
    /// What groups are sorted by.
    pub(crate) group_sort: Sort,
    /// The time between the beginnings of two passes.
    pub(crate) interval: Duration,
    /// Whether totals are shown.
    pub(crate) totals: bool,
    /// Whether counters are shown.
    pub(crate) counters: bool,
    /// Whether names are looked up.
    pub(crate) lookup: bool,
    /// The names that are known; `None`: it has none.
    pub(crate) names: HashMap<IpAddr, Option<String>>,
    /// What the next key means.
    pub(crate) mode: Mode,
    /// What is said below.
    pub(crate) message: Option<String>,
    /// What is wrong with the table at the moment.
    pub(crate) trouble: Option<String>,
    /// The last pass.
    pub(crate) snapshot: Option<Snapshot>,
    /// How many entries the whole table has and may have.
    pub(crate) counts: Option<(u64, Option<u64>)>,
    /// How it filled.
    pub(crate) history: History,
    /// Which row is chosen.
    pub(crate) cursor: usize,
    /// The row on top.
    pub(crate) offset: usize,
    /// How many rows there is room for.
    pub(crate) page: usize,
}

/// What the next key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One of the commands.
    Command,
    /// Part of an answer.
    Prompt(Prompt),
    /// Whether the flow of this message shall be deleted, which is this one in words.
    Confirm(Vec<u8>, String),
    /// The end of the help.
    Help,
}

/// A question, and the answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// What is asked for.
    pub(crate) what: Asked,
    /// The answer so far.
    pub(crate) text: String,
    /// Why it was not taken.
    pub(crate) mistake: Option<String>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A filter.
    Filter(Which),
    /// The seconds between two passes.
    Rate,
}

/// What somebody else must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Ask the table at once.
    Refresh,
    /// Delete the flow of this message.
    Delete(Vec<u8>),
    /// Stop until the shell continues it.
    Suspend,
    /// End.
    Quit,
}

/// What has come about.
#[derive(Debug)]
pub(crate) enum Report {
    /// A pass was made.
    Snapshot(Box<Snapshot>),
    /// So many entries there are and may be, so long after the beginning.
    Counts(Duration, u64, Option<u64>),
    /// The table gives no answer.
    Trouble(String),
    /// An address has this name, or none.
    Name(IpAddr, Option<String>),
}

impl State {
    /// Of a table, before anything is known of it.
    pub(crate) fn new(place: String, interval: Duration) -> Self {
        let by_rate = Order::usual(Column::ByteRate);
        let by_flows = Order::usual(Column::Flows);
        Self {
            place,
            base: Vec::new(),
            filters: Filters::default(),
            by: None,
            flow_sort: Sort { first: by_rate, second: Some(Order::usual(Column::Source)) },
            group_sort: Sort { first: by_flows, second: Some(Order::usual(Column::Source)) },
            interval,
            totals: true,
            counters: true,
            lookup: false,
            names: HashMap::new(),
            mode: Mode::Command,
            message: None,
            trouble: None,
            snapshot: None,
            counts: None,
            history: History::default(),
            cursor: 0,
            offset: 0,
            page: 0,
        }
    }

    /// What the table is to be asked.
    pub(crate) fn question(&self) -> Question {
        let filter = self.filters.filter(&self.base);
        let limit = (self.cursor + 1 + self.page).next_multiple_of(AT_LEAST);
        Question { filter, by: self.by, sort: *self.sort(), limit }
    }

    /// What rows are sorted by now.
    pub(crate) fn sort(&self) -> &Sort {
        if self.by.is_some() { &self.group_sort } else { &self.flow_sort }
    }

    /// The same, to be changed.
    pub(crate) fn sort_mut(&mut self) -> &mut Sort {
        if self.by.is_some() { &mut self.group_sort } else { &mut self.flow_sort }
    }

    /// The columns there are.
    pub(crate) fn columns(&self) -> &'static [Column] {
        if self.by.is_some() { &OF_GROUPS } else { &OF_FLOWS }
    }

    /// Takes note of what has come about.
    pub(crate) fn take(&mut self, report: Report) {
        match report {
            Report::Snapshot(snapshot) => {
                self.snapshot = Some(*snapshot);
                self.trouble = None;
                self.settle();
            }
            Report::Counts(at, entries, max) => {
                self.history.add(at, entries);
                self.counts = Some((entries, max));
            }
            Report::Trouble(text) => self.trouble = Some(text),
            Report::Name(address, name) => {
                self.names.insert(address, name);
            }
        }
    }

    /// There is room for so many rows.
    pub(crate) fn fit(&mut self, page: usize) {
        self.page = page;
        self.settle();
    }

    /// How many rows are known.
    pub(crate) fn rows(&self) -> usize {
        match self.snapshot.as_ref().map(|snapshot| &snapshot.rows) {
            None => 0,
            Some(Rows::Flows(rows)) => rows.len(),
            Some(Rows::Groups(rows, ..)) => rows.len(),
        }
    }

    /// The flow that is chosen, if flows are shown.
    pub(crate) fn chosen_flow(&self) -> Option<&FlowRow> {
        match &self.snapshot.as_ref()?.rows {
            Rows::Flows(rows) => rows.get(self.cursor),
            Rows::Groups(..) => None,
        }
    }

    /// Whether what is shown is what was asked for.
    pub(crate) fn is_up_to_date(&self) -> bool {
        let asked = self.question();
        self.snapshot.as_ref().is_some_and(|snapshot| {
            let shown = &snapshot.question;
            shown.filter == asked.filter && shown.by == asked.by && shown.sort == asked.sort
        })
    }

    /// The addresses on the screen that have no name yet, if names are wanted.
    pub(crate) fn nameless(&self) -> Vec<IpAddr> {
        let Some(Snapshot { rows: Rows::Flows(rows), .. }) = &self.snapshot else {
            return Vec::new();
        };
        let shown = rows.iter().skip(self.offset).take(self.page).filter(|_| self.lookup);
        let addresses = shown.flat_map(|row| [row.tuples[0].src, row.tuples[0].dst]).flatten();
        addresses.filter(|address| !self.names.contains_key(address)).collect()
    }

    /// Keeps the chosen row among those there are, and in sight.
    pub(crate) fn settle(&mut self) {
        self.cursor = self.cursor.min(self.rows().saturating_sub(1));
        let first = (self.cursor + 1).saturating_sub(self.page.max(1));
        self.offset = self.offset.clamp(first, self.cursor);
    }
}

/// So many rows are asked for, or so many times so many that there is a screen behind the cursor.
const AT_LEAST: usize = 500;
