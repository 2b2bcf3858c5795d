//! A page that shows a table, served over HTTP from one file that is part of the program.
//!
//! ```text
//! Board      what is shown: the last survey of a table, and the lab's checks
//! serve      GET /            the page
//!            GET /api/state   what the board says
//!            GET /api/explain what would become of a packet
//! ```
//!
//! It only reads. A request must name the server by an address or as localhost: a foreign site whose name was bent to
//! a loopback address gets nothing.

mod board;
mod explain;

use std::io::Cursor;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tiny_http::{Header, Method, Request, Response, Server};

pub(crate) use self::board::Board;

/// Answers until it is told to stop.
pub(crate) fn serve(listener: TcpListener, board: &Board<'_>, stop: &AtomicBool) {
    let Ok(server) = Server::from_listener(listener, None) else { return };
    while !stop.load(Ordering::Relaxed) {
        if let Ok(Some(request)) = server.recv_timeout(LOOK) {
            let answer = answer(&request, board);
            // Who doesn't wait for the answer needs none.
            let _ = request.respond(answer);
        }
    }
}

type Answer = Response<Cursor<Vec<u8>>>;

fn answer(request: &Request, board: &Board<'_>) -> Answer {
    let host = request.headers().iter().find(|header| header.field.equiv("Host"));
    if !host.is_some_and(|host| is_own(host.value.as_str())) {
        return text(421, "This page answers to an address or localhost only.\n");
    }
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    match (request.method(), path) {
        (Method::Get | Method::Head, "/") => {
            typed(PAGE.as_bytes().to_vec(), "text/html; charset=utf-8")
        }
        (Method::Get, "/api/state") => typed(board.state().into_bytes(), "application/json"),
        (Method::Get, "/api/explain") => match explain::explain(board.place(), query) {
            Ok(steps) => text(200, &steps),
            Err(fault) => text(400, &fault),
        },
        (Method::Get | Method::Head, _) => text(404, "There is no such page.\n"),
        _ => text(405, "This page changes nothing.\n"),
    }
}

/// Whether a request's host is an address or localhost.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<IpAddr>().is_ok()
}

fn text(status: u16, words: &str) -> Answer {
    typed(words.as_bytes().to_vec(), "text/plain; charset=utf-8").with_status_code(status)
}

fn typed(body: Vec<u8>, kind: &str) -> Answer {
    let fields = [("Content-Type", kind), ("Cache-Control", "no-store"), POLICY, SNIFFING];
    let headers = fields.iter().filter_map(|(name, value)| Header::from_bytes(*name, *value).ok());
    headers.fold(Response::from_data(body), Response::with_header)
}

const PAGE: &str = include_str!("page.html");
const POLICY: (&str, &str) = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const SNIFFING: (&str, &str) = ("X-Content-Type-Options", "nosniff");
/// So often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_answered() {
        let rows = [
            ("127.0.0.1:8473", true),
            ("[::1]:8473", true),
            ("[::1]", true),
            ("localhost:8473", true),
            ("localhost", true),
            ("10.0.0.1", true),
            ("evil.example:8473", false),
            ("localhost.evil.example", false),
            ("", false),
        ];
        for (host, expected) in rows {
            assert_eq!(is_own(host), expected, "{host}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for foreign in ["http://", "https://", "src=\"//", "@import", "url("] {
            let allowed = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!allowed.contains(foreign), "the page has {foreign}");
        }
    }
}
