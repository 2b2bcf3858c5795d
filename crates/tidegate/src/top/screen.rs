//! The terminal, and the threads that keep it supplied.
//!
//! One thread makes passes over the table, one looks at the gauge each second, one looks names up when they are wanted.
//! The terminal's own thread never waits for a table: a key is answered at once, however large the table is.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tidegate_gateway::clock::Stopwatch;

use super::keys::press;
use super::state::{Command, Report, State};
use super::survey::{Question, Stop, Survey};
use super::{lookup, view};
use crate::client::{ClientError, Flow, Place, Table, kept};
use crate::cmd::Failure;
use crate::cmd::count::counts;
use crate::cmd::delete::request;

/// Shows a table until `q`.
///
/// # Errors
/// The table can't be reached, or the terminal fails. A table that goes away later is told of on the screen.
pub(crate) fn run(state: State, place: &Place) -> Result<(), Failure> {
    counts_of(place)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
        signal_hook::flag::register(signal, is_over.clone())?;
    }
    let mut terminal = ratatui::try_init()?;
    let done = Screen::new(state, place).run(&mut terminal, &is_over);
    ratatui::try_restore()?;
    done
}

/// How many entries a table has and may have.
///
/// # Errors
/// It gives no answer.
pub(crate) fn counts_of(place: &Place) -> Result<(u64, Option<u64>), ClientError> {
    let counts = counts(&mut Table::open(place)?)?;
    Ok((counts.entries.into(), counts.max.map(u64::from)))
}

struct Screen<'a> {
    state: State,
    place: &'a Place,
    wish: Arc<Wish>,
    reports: Receiver<Report>,
    names: SyncSender<IpAddr>,
}

impl<'a> Screen<'a> {
    fn new(state: State, place: &'a Place) -> Self {
        let (report, reports) = channel();
        let wish = Arc::new(Wish::new(state.question(), state.interval));
        let names = lookup::start(report.clone());
        let (asked, table, to) = (wish.clone(), place.clone(), report.clone());
        thread::spawn(move || survey(&asked, table, &to));
        let table = place.clone();
        thread::spawn(move || watch_gauge(&table, &report));
        Self { state, place, wish, reports, names }
    }

    fn run(&mut self, terminal: &mut DefaultTerminal, is_over: &AtomicBool) -> Result<(), Failure> {
        while !is_over.load(Ordering::Relaxed) {
            let height = terminal.size()?.height;
            self.state.fit(view::room(&self.state, height));
            terminal.draw(|frame| view::draw(&self.state, frame))?;
            match self.wait()? {
                Some(Command::Quit) => return Ok(()),
                Some(Command::Suspend) => suspend(terminal)?,
                Some(Command::Refresh) => self.ask_again(),
                Some(Command::Delete(message)) => {
                    self.state.message = Some(delete(self.place, &message));
                    self.ask_again();
                }
                None => {}
            }
            self.ask_names();
        }
        Ok(())
    }

    /// Waits a moment for something that changes the screen, and tells what a key commands.
    fn wait(&mut self) -> Result<Option<Command>, Failure> {
        while let Ok(report) = self.reports.try_recv() {
            self.state.take(report);
        }
        if !event::poll(KEYS)? {
            return Ok(None);
        }
        match event::read()? {
            Event::Key(key) => Ok(press(&mut self.state, key)),
            _ => Ok(None),
        }
    }

    fn ask_again(&self) {
        self.wish.change(self.state.question(), self.state.interval);
    }

    fn ask_names(&mut self) {
        for address in self.state.nameless() {
            if self.names.try_send(address).is_err() {
                return;
            }
            self.state.names.insert(address, None);
        }
    }
}

/// Gives the terminal back and stops, as ctrl-Z does elsewhere; goes on when the shell continues it.
fn suspend(terminal: &mut DefaultTerminal) -> Result<(), Failure> {
    ratatui::try_restore()?;
    terminal.show_cursor()?;
    kill_process(getpid(), Signal::TSTP).map_err(io::Error::from)?;
    *terminal = ratatui::try_init()?;
    Ok(())
}

/// Deletes the flow of a message, and says what became of it.
fn delete(place: &Place, message: &[u8]) -> String {
    let done = || {
        let message = kept(message).ok_or(ClientError::Closed)?;
        Table::open(place)?.ask(&request(&Flow::parse(&message)?))
    };
    match done() {
        Ok(_) => "deleted".to_owned(),
        Err(error) if error.is_not_found() => "it had ended already".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What is to be asked, and how often.
#[derive(Debug)]
struct Wish {
    wanted: Mutex<(Question, Duration)>,
    changed: Condvar,
    version: AtomicU64,
}

impl Wish {
    fn new(question: Question, interval: Duration) -> Self {
        let wanted = Mutex::new((question, interval));
        Self { wanted, changed: Condvar::new(), version: AtomicU64::new(0) }
    }

    fn change(&self, question: Question, interval: Duration) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = (question, interval);
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    fn wanted(&self) -> (Question, u64) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        (wanted.0.clone(), self.version())
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits until it is time for the next pass, or something else is wanted. A pass is followed by as long a rest at
    /// least: no more than half a processor is taken.
    fn rest(&self, took: Duration, version: u64) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = wanted.1.saturating_sub(took).max(took);
        let is_same = |_: &mut _| self.version() == version;
        let _ = self.changed.wait_timeout_while(wanted, rest, is_same);
    }
}

/// Makes passes, as long as anybody wants to know.
fn survey(wish: &Wish, place: Place, reports: &Sender<Report>) {
    let mut survey = Survey::new(place);
    loop {
        let (question, version) = wish.wanted();
        let clock = Stopwatch::start();
        let report = match survey.pass(&question, &|| wish.version() != version) {
            Ok(snapshot) => Report::Snapshot(Box::new(snapshot)),
            Err(Stop::Superseded) => continue,
            Err(Stop::Table(error)) => error.into(),
        };
        if reports.send(report).is_err() {
            return;
        }
        wish.rest(clock.elapsed(), version);
    }
}

/// Looks at the gauge each second.
fn watch_gauge(place: &Place, reports: &Sender<Report>) {
    let clock = Stopwatch::start();
    loop {
        let report = match counts_of(place) {
            Ok((entries, max)) => Report::Counts(clock.elapsed(), entries, max),
            Err(error) => error.into(),
        };
        if reports.send(report).is_err() {
            return;
        }
        thread::sleep(GAUGE);
    }
}

/// So long it is waited for a key before reports are looked for.
const KEYS: Duration = Duration::from_millis(50);
const GAUGE: Duration = Duration::from_secs(1);
