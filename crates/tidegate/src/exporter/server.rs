//! The page over HTTP. However many ask, the table is read once in some seconds, and by one at a time.

use std::io;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

use super::census::Census;
use super::metrics;
use super::page::{Form, Page};
use crate::client::Place;
use crate::cmd::Failure;
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
    survey: Mutex<Survey>,
}

/// The last census, or why there is none.
struct Latest {
    taken: Stopwatch,
    census: Option<Census>,
    until_full: f64,
    passes: u64,
}

/// What the next census is compared with.
#[derive(Default)]
struct Survey {
    history: History,
    passes: u64,
}

impl Pages {
    /// Of a table.
    pub(crate) fn new(place: Place, terms: Terms) -> Self {
        let (latest, survey) = (Mutex::new(None), Mutex::new(Survey::default()));
        Self { place, terms, began: Stopwatch::start(), latest, survey }
    }

    /// The page. A table that can't be read makes a page that says so.
    pub(crate) fn page(&self, form: Form) -> String {
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

    /// Takes a census if the last one is too old. Who comes while another takes it gets the last one, if there is any.
    fn refresh(&self) {
        if self.is_fresh() {
            return;
        }
        let survey = match self.survey.try_lock() {
            Ok(survey) => Some(survey),
            Err(TryLockError::Poisoned(survey)) => Some(survey.into_inner()),
            Err(TryLockError::WouldBlock) if self.has_any() => None,
            Err(TryLockError::WouldBlock) => {
                Some(self.survey.lock().unwrap_or_else(PoisonError::into_inner))
            }
        };
        let Some(mut survey) = survey.filter(|_| !self.is_fresh()) else { return };
        let census = Census::take(&self.place).inspect_err(complain).ok();
        survey.passes += 1;
        let mut until_full = f64::INFINITY;
        if let Some(census) = &census {
            let (_, entries) = census.entries();
            survey.history.add(self.began.elapsed(), entries);
            let until = census.limit().and_then(|limit| survey.history.until_full(limit));
            until_full = until.map_or(f64::INFINITY, |until| until.as_secs_f64());
        }
        let latest =
            Latest { taken: Stopwatch::start(), census, until_full, passes: survey.passes };
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(latest);
    }

    fn is_fresh(&self) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().is_some_and(|latest| latest.taken.elapsed() < self.terms.lasts)
    }

    fn has_any(&self) -> bool {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
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
pub(crate) fn listen(address: &str) -> Result<Server, Failure> {
    Server::http(address).map_err(|error| Failure::System(format!("{address}: {error}")))
}

/// Answers all who ask, until the server is told to unblock. Some at a time, so that one who doesn't read holds up
/// nobody else.
pub(crate) fn serve(server: &Server, pages: &Pages) {
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Ok(request) = server.recv() {
                    // Who goes away before he has his answer doesn't want it.
                    let _ = answer(request, pages);
                }
            });
        }
    });
}

fn answer(request: Request, pages: &Pages) -> io::Result<()> {
    let path = request.url().split('?').next().unwrap_or_default();
    let is_read = matches!(request.method(), Method::Get | Method::Head);
    let (status, kind, text) = match path {
        _ if !is_read => (405, PLAIN, "only GET and HEAD\n".to_owned()),
        "/metrics" => {
            let form = accepted(&request);
            (200, form.content_type(), pages.page(form))
        }
        "/" => (200, HTML, ROOT.to_owned()),
        _ => (404, PLAIN, "there is nothing but /metrics\n".to_owned()),
    };
    let mut response = Response::from_string(text).with_status_code(StatusCode(status));
    if let Ok(header) = Header::from_bytes("Content-Type", kind) {
        response.add_header(header);
    }
    request.respond(response)
}

fn accepted(request: &Request) -> Form {
    let header = request.headers().iter().find(|header| header.field.equiv("Accept"));
    header.map_or(Form::default(), |header| Form::accepted(header.value.as_str()))
}

const AT_ONCE: usize = 4;
const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const ROOT: &str = "<!doctype html><title>tidegate</title><p><a href=\"/metrics\">metrics</a>\n";
