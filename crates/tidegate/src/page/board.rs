//! What a page shows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tidegate_gateway::clock::Stopwatch;

use crate::client::Place;
use crate::lab::traffic::ledger::{Ledger, Row};
use crate::survey::{Survey, Surveyor};

/// The last survey of a table, and the lab's checks if there is a lab.
#[derive(Debug)]
pub(crate) struct Board<'a> {
    title: String,
    place: Place,
    ledger: Option<&'a Ledger>,
    last: Mutex<Last>,
}

#[derive(Clone, Debug, Default)]
struct Last {
    survey: Option<Survey>,
    fault: Option<String>,
    history: VecDeque<[f64; 2]>,
}

#[derive(Serialize)]
struct State<'a> {
    title: &'a str,
    /// Whether the table can say what would become of a packet.
    explains: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    survey: Option<Survey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Row>>,
    /// Of each look: flows that began a second, bits a second that came in.
    history: VecDeque<[f64; 2]>,
}

impl Last {
    fn take(&mut self, survey: Survey) {
        let bit_rate = survey.links.iter().map(|link| link.bit_rate[0]).sum();
        if let Some(new_rate) = survey.new_rate {
            self.history.push_back([new_rate, bit_rate]);
        }
        if self.history.len() > REMEMBERED {
            self.history.pop_front();
        }
        (self.survey, self.fault) = (Some(survey), None);
    }
}

impl<'a> Board<'a> {
    /// An empty board for a table.
    pub(crate) fn new(title: String, place: Place, ledger: Option<&'a Ledger>) -> Self {
        Self { title, place, ledger, last: Mutex::default() }
    }

    /// Looks at the table until it is told to stop, from a thread of the table's network. A table that takes long to
    /// read is read less often.
    pub(crate) fn watch(&self, stop: &AtomicBool) {
        let mut surveyor = Surveyor::of(self.place.clone());
        while !stop.load(Ordering::Relaxed) {
            let begin = Stopwatch::start();
            let seen = surveyor.look();
            match seen {
                Ok(survey) => self.last().take(survey),
                Err(error) => self.last().fault = Some(error.to_string()),
            }
            let rest = OFTEN.max(begin.elapsed() * SHARE);
            let pause = Stopwatch::start();
            while pause.elapsed() < rest && !stop.load(Ordering::Relaxed) {
                thread::sleep(BREATH);
            }
        }
    }

    /// The last survey.
    pub(crate) fn survey(&self) -> Option<Survey> {
        self.last().survey.clone()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// All of it as JSON.
    pub(super) fn state(&self) -> String {
        let Last { survey, fault, history } = self.last().clone();
        let explains = matches!(self.place, Place::Engine(_));
        let checks = self.ledger.map(Ledger::rows);
        let state = State { title: &self.title, explains, fault, survey, checks, history };
        serde_json::to_string(&state).unwrap_or_default()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two looks at a small table.
const OFTEN: Duration = Duration::from_millis(900);
/// Reading a large one takes at most one part in so many of the time.
const SHARE: u32 = 5;
/// Looks that the curves show.
const REMEMBERED: usize = 120;
const BREATH: Duration = Duration::from_millis(50);
