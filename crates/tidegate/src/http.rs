//! The little HTTP/1.1 that pages and metrics are served with: GET and HEAD, one request a connection.
//!
//! Connections are bounded in number and time, so whoever opens thousands of them costs [`MOST`] descriptors and threads,
//! and delays others: by [`PATIENCE`] for each [`MOST`] of his. That accepting fails ends nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use tidegate_gateway::clock::Stopwatch;

/// What somebody asks for.
#[derive(Debug)]
pub(crate) struct Request {
    /// `GET` or another.
    pub(crate) method: String,
    /// The path and the query.
    pub(crate) target: String,
    fields: Vec<(String, String)>,
}

/// What he gets.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Such as 200.
    pub(crate) status: u16,
    /// Names and values of header fields, but for those of the connection.
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    /// Behind the head.
    pub(crate) body: Vec<u8>,
}

/// Answers all who ask, until it is told to stop.
///
/// # Errors
/// The listener isn't a socket that can be waited for.
pub(crate) fn serve(
    listener: &TcpListener,
    stop: &AtomicBool,
    answer: impl Fn(&Request) -> Answer + Sync,
) -> io::Result<()> {
    set_socket_timeout(listener, Timeout::Recv, Some(LOOK))?;
    let (seats, answer) = (Seats::default(), &answer);
    thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            let seat = seats.take();
            match listener.accept() {
                Ok((stream, _)) => {
                    let talk = move || {
                        // Who goes away before he has his answer doesn't want it.
                        let _ = converse(&stream, answer);
                        drop(seat);
                    };
                    // Without a thread there is no answer, but perhaps for the next.
                    let _ = thread::Builder::new().spawn_scoped(scope, talk);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Descriptors or memory are missing, and come back.
                Err(_) => thread::sleep(LOOK),
            }
        }
    });
    Ok(())
}

fn converse(stream: &TcpStream, answer: impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(head) = read_head(stream)? else { return Ok(()) };
    let refusal = || Answer { status: 400, fields: Vec::new(), body: Vec::new() };
    let request = Request::parse(&head);
    let answer = request.as_ref().map_or_else(refusal, answer);
    let is_whole = request.is_none_or(|request| request.method != "HEAD");
    write_answer(stream, &answer, is_whole)?;
    stream.shutdown(Shutdown::Write)
}

/// What comes up to the first empty line; `None` if that doesn't come in time, or is too long.
fn read_head(mut stream: &TcpStream) -> io::Result<Option<String>> {
    let began = Stopwatch::start();
    let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
    while head.len() < LONGEST {
        let left = PATIENCE.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes)? {
            0 => return Ok(None),
            len => head.extend_from_slice(&bytes[..len]),
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
    }
    Ok(None)
}

fn write_answer(mut stream: &TcpStream, answer: &Answer, is_whole: bool) -> io::Result<()> {
    let (status, len) = (answer.status, answer.body.len());
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for (name, value) in &answer.fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(
        format!("Content-Length: {len}\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    if is_whole {
        bytes.extend_from_slice(&answer.body);
    }
    stream.write_all(&bytes)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        _ => "Bad Request",
    }
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        words.next().filter(|version| version.starts_with("HTTP/1."))?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let fields = lines.take_while(|line| !line.is_empty()).map(field);
        Some(Self { method, target, fields: fields.collect::<Option<_>>()? })
    }

    /// The value of a header field, by its name in small letters.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it only reads.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// Places for connections.
#[derive(Default)]
struct Seats {
    taken: Mutex<usize>,
    left: Condvar,
}

/// A connection's place.
struct Seat<'a>(&'a Seats);

impl Seats {
    /// Waits until there is one.
    fn take(&self) -> Seat<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.left.wait_while(taken, |taken| *taken >= MOST);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Seat(self)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

/// As many connections there are at once.
const MOST: usize = 32;
/// So long it is waited for a request, and for each part of an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// No head of a request is longer.
const LONGEST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: std::net::SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("a server");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    /// More connections than there are places say nothing; who asks behind them is answered all the same.
    #[test]
    fn idle_connections_hold_up_nobody_for_good() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let (address, stop) = (listener.local_addr().expect("an address"), AtomicBool::new(false));
        let answer = |request: &Request| {
            let agent = request.field("user-agent").unwrap_or("nobody");
            let body = format!("{} for {agent}", request.target).into_bytes();
            Answer { status: 200, fields: vec![("Content-Type", "text/plain")], body }
        };
        thread::scope(|scope| {
            scope.spawn(|| serve(&listener, &stop, answer));
            let idle: Vec<_> = (0..MOST + 8).map(|_| TcpStream::connect(address)).collect();
            assert!(idle.iter().all(Result::is_ok));
            let text = ask(address, "GET /a?b HTTP/1.1\r\nUser-Agent: me\r\n\r\n");
            assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), "{text}");
            assert!(text.ends_with("\r\n\r\n/a?b for me"), "{text}");
            let text = ask(address, "HEAD / HTTP/1.1\r\n\r\n");
            assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
            assert!(ask(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
            stop.store(true, Ordering::Relaxed);
        });
    }
}
