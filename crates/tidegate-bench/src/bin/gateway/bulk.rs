//! One TCP stream of the kernel's stacks, as fast as it goes.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::account::Account;
use crate::addresses::SERVER;
use crate::hosts::Hosts;
use crate::report::Row;
use crate::router::Gateway;

const PORT: u16 = 5001;
const PIECE: usize = 128 << 10;
/// Before anything is counted: the window opens.
const WARM_UP: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// Bits a second that arrive.
pub(crate) fn run(hosts: &Hosts, gateway: &Gateway, length: Duration) -> io::Result<Row> {
    gateway.release()?;
    let listener = hosts.server.within(|| TcpListener::bind((SERVER, PORT)))?;
    let client = hosts.client.within(|| TcpStream::connect((SERVER, PORT)))?;
    let (server, _) = listener.accept()?;
    let (arrived, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let retransmitted = || retransmitted(hosts);
    let before = retransmitted()?;
    let (bytes, spent) = thread::scope(|scope| {
        scope.spawn(|| talk(client, &is_over));
        scope.spawn(|| hear(server, &arrived));
        thread::sleep(WARM_UP);
        let (before, account) = (arrived.load(Ordering::Relaxed), Account::open(gateway.clock()));
        thread::sleep(length);
        let counted = (arrived.load(Ordering::Relaxed) - before, account.close());
        is_over.store(true, Ordering::Relaxed);
        counted
    });
    let lost = retransmitted()? - before;
    let note = "lost: segments sent again".to_owned();
    let rate = bytes as f64 * 8.0 / spent.wall / 1e9;
    Ok(Row { items: bytes >> 10, lost, of: 0, note, ..Row::of(rate, "Gbit/s", spent) })
}

fn talk(mut stream: TcpStream, is_over: &AtomicBool) {
    let piece = vec![b'x'; PIECE];
    let _ = stream.set_write_timeout(Some(PATIENCE));
    while !is_over.load(Ordering::Relaxed) && stream.write_all(&piece).is_ok() {}
}

fn hear(mut stream: TcpStream, arrived: &AtomicU64) {
    let mut piece = vec![0; PIECE];
    let _ = stream.set_read_timeout(Some(PATIENCE));
    while let Ok(len @ 1..) = stream.read(&mut piece) {
        arrived.fetch_add(len as u64, Ordering::Relaxed);
    }
}

/// Segments that the client has sent again.
fn retransmitted(hosts: &Hosts) -> io::Result<u64> {
    let text = hosts.client.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let at = names.split(' ').position(|name| name == "RetransSegs");
    let value = at.and_then(|at| values.split(' ').nth(at)?.parse().ok());
    value.ok_or_else(|| io::Error::other("no counter of segments that were sent again"))
}
