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

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::AtomicBool;

pub(crate) use self::board::Board;
use crate::http::{self, Answer, Request};
use crate::message;

/// Answers until it is told to stop.
pub(crate) fn serve(listener: TcpListener, board: &Board<'_>, stop: &AtomicBool) {
    if let Err(error) = http::serve(&listener, stop, |request| answer(request, board)) {
        message::error(format_args!("the page is served no more: {error}"));
    }
}

fn answer(request: &Request, board: &Board<'_>) -> Answer {
    if !request.field("host").is_some_and(is_own) {
        return text(421, "This page answers to an address or localhost only.\n");
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", "/") => typed(PAGE.as_bytes().to_vec(), "text/html; charset=utf-8"),
        ("GET", "/api/state") => typed(board.state().into_bytes(), "application/json"),
        ("GET", "/api/explain") => match explain::explain(board.place(), query) {
            Ok(steps) => text(200, &steps),
            Err(fault) => text(400, &fault),
        },
        _ if request.is_read() => text(404, "There is no such page.\n"),
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
    Answer { status, ..typed(words.as_bytes().to_vec(), "text/plain; charset=utf-8") }
}

fn typed(body: Vec<u8>, kind: &'static str) -> Answer {
    let fields = vec![("Content-Type", kind), ("Cache-Control", "no-store"), POLICY, SNIFFING];
    Answer { status: 200, fields, body }
}

const PAGE: &str = include_str!("page.html");
const POLICY: (&str, &str) = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const SNIFFING: (&str, &str) = ("X-Content-Type-Options", "nosniff");

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
