//! TCP connections of the kernel's stacks: connect, ask, be answered, close. Many threads do it side by side.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};

use crate::account::Account;
use crate::addresses::SERVER;
use crate::hosts::Hosts;
use crate::report::Row;
use crate::router::Gateway;

/// Pairs of threads.
const PAIRS: u16 = 16;
const FIRST_PORT: u16 = 8000;
const REQUEST: [u8; 64] = [b'?'; 64];
const ANSWER: [u8; 512] = [b'!'; 512];
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(200);
/// For a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Tally {
    good: AtomicU64,
    bad: AtomicU64,
    is_over: AtomicBool,
}

/// Connections a second that are made and closed.
pub(crate) fn run(hosts: &Hosts, gateway: &Gateway, length: Duration) -> io::Result<Row> {
    gateway.release()?;
    let tally = Tally::default();
    let listen = |pair| TcpListener::bind((SERVER, FIRST_PORT + pair));
    let listeners = || (0..PAIRS).map(listen).collect::<io::Result<Vec<_>>>();
    let listeners = hosts.server.within(listeners)?;
    let good = || tally.good.load(Ordering::Relaxed);
    let (made, spent) = thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(|| serve(listener));
        }
        for pair in 0..PAIRS {
            let tally = &tally;
            scope.spawn(move || hosts.client.enter().map(|()| ask(pair, tally)));
        }
        thread::sleep(WARM_UP);
        let (before, account) = (good(), Account::open(gateway.clock()));
        thread::sleep(length);
        let counted = (good() - before, account.close());
        tally.is_over.store(true, Ordering::Relaxed);
        thread::sleep(WARM_UP);
        for listener in &listeners {
            let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
        }
        counted
    });
    let lost = tally.bad.load(Ordering::Relaxed);
    let rate = made as f64 / spent.wall;
    let row = Row::of(rate, "connections/s", spent);
    Ok(Row { items: made, lost, of: good() + lost, ..row })
}

fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let _ = answer(&mut stream);
    }
}

fn answer(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = REQUEST;
    stream.read_exact(&mut request)?;
    stream.write_all(&ANSWER)?;
    stream.read(&mut request).map(drop)
}

fn ask(pair: u16, tally: &Tally) {
    let server = SocketAddr::from((SERVER, FIRST_PORT + pair));
    while !tally.is_over.load(Ordering::Relaxed) {
        let outcome = if once(server).is_ok() { &tally.good } else { &tally.bad };
        outcome.fetch_add(1, Ordering::Relaxed);
    }
}

fn once(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&REQUEST)?;
    let mut answer = ANSWER;
    stream.read_exact(&mut answer)
}
