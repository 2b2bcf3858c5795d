//! The page over HTTP. However many ask, the table is read once in some seconds, and by one at a time.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use super::census::Census;
use super::metrics;
use super::page::{Form, Page};
use crate::client::Place;
use crate::cmd::Failure;
use crate::http::{self, Answer, Request};
use crate::message;
use crate::top::history::History;

/// How the page is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// So many sources, destinations and zones are named.
    pub(crate) top: usize,
    /// So long a census serves all who ask.
    pub(crate) lasts: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { top: 10, lasts: Duration::from_secs(5) }
    }
}

/// A table's page, and what is remembered of it.
pub(crate) struct Pages {
    place: Place,
    terms: Terms,
    began: Stopwatch,
    latest: Mutex<Option<Latest>>,
    /// There is a later one.
    is_later: Condvar,
    /// The table is being read.
    is_underway: AtomicBool,
    history: Mutex<History>,
}

/// The last census, or that there is none.
struct Latest {
    taken: Stopwatch,
    census: Option<Census>,
    until_full: f64,
    passes: u64,
}

impl Pages {
    /// Of a table.
    pub(crate) fn new(place: Place, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            place,
            terms,
            began: Stopwatch::start(),
            latest: Mutex::new(None),
            is_later: Condvar::new(),
            is_underway: AtomicBool::new(false),
            history: Mutex::new(History::default()),
        })
    }

    /// The page. A table that can't be read makes a page that says so.
    pub(crate) fn page(self: &Arc<Self>, form: Form) -> String {
        self.refresh();
        let mut page = Page::new(form);
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let census = latest.as_ref().and_then(|latest| latest.census.as_ref());
        page.one(metrics::UP, f64::from(u8::from(census.is_some())));
        page.many(metrics::BUILD, [(self.build(), 1.0)]);
        if let Some(latest) = latest.as_ref() {
            page.one(metrics::PASSES, latest.passes as f64);
            if let Some(census) = &latest.census {
                census.write(&mut page, self.terms.top);
                page.one(metrics::UNTIL_FULL, latest.until_full);
            }
        }
        page.finish()
    }

    fn build(&self) -> Vec<(&'static str, String)> {
        let table = match &self.place {
            Place::Kernel(_) => "kernel",
            Place::Engine(_) => "engine",
            Place::File(_) => "file",
        };
        vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("table", table.to_owned())]
    }

    /// If the last census is too old, sees to it that one is taken, and waits for it: a while if there is an older one.
    fn refresh(self: &Arc<Self>) {
        let before = self.passes();
        if self.is_fresh() {
            return;
        }
        if !self.is_underway.swap(true, Ordering::AcqRel) {
            let pages = self.clone();
            thread::spawn(move || pages.look());
        }
        let is_same = |latest: &mut Option<Latest>| passes(latest) == before;
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if before == 0 {
            drop(self.is_later.wait_while(latest, is_same));
        } else {
            drop(self.is_later.wait_timeout_while(latest, PATIENCE, is_same));
        }
    }

    /// Takes a census.
    fn look(&self) {
        let census = Census::take(&self.place).inspect_err(complain).ok();
        let mut until_full = f64::INFINITY;
        if let Some(census) = &census {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.add(self.began.elapsed(), census.entries());
            let until = census.limit().and_then(|limit| history.until_full(limit));
            until_full = until.map_or(f64::INFINITY, |until| until.as_secs_f64());
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let passes = passes(&latest) + 1;
        *latest = Some(Latest { taken: Stopwatch::start(), census, until_full, passes });
        // Before anybody sees this one, so that who finds it too old can ask for the next.
        self.is_underway.store(false, Ordering::Release);
        self.is_later.notify_all();
    }

    fn is_fresh(&self) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().is_some_and(|latest| latest.taken.elapsed() < self.terms.lasts)
    }

    fn passes(&self) -> u64 {
        passes(&self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn passes(latest: &Option<Latest>) -> u64 {
    latest.as_ref().map_or(0, |latest| latest.passes)
}

fn complain(failure: &Failure) {
    match failure {
        Failure::Table(error) => message::error(error),
        other => message::error(format_args!("{other:?}")),
    }
}

/// Begins to listen.
///
/// # Errors
/// The address is taken, or not ours.
pub(crate) fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| Failure::System(format!("{address}: {error}")))
}

/// Answers all who ask, as long as the process lives.
pub(crate) fn serve(listener: &TcpListener, pages: &Arc<Pages>) {
    let never = AtomicBool::new(false);
    if let Err(error) = http::serve(listener, &never, |request| answer(request, pages)) {
        message::error(format_args!("metrics are served no more: {error}"));
    }
}

fn answer(request: &Request, pages: &Arc<Pages>) -> Answer {
    let path = request.target.split('?').next().unwrap_or_default();
    let (status, kind, text) = match path {
        _ if !request.is_read() => (405, PLAIN, "only GET and HEAD\n".to_owned()),
        "/metrics" => {
            let form = request.field("accept").map_or(Form::default(), Form::accepted);
            (200, form.content_type(), pages.page(form))
        }
        "/" => (200, HTML, ROOT.to_owned()),
        _ => (404, PLAIN, "there is nothing but /metrics\n".to_owned()),
    };
    Answer { status, fields: vec![("Content-Type", kind)], body: text.into_bytes() }
}

/// Prometheus waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const ROOT: &str = "<!doctype html><title>tidegate</title><p><a href=\"/metrics\">metrics</a>\n";
