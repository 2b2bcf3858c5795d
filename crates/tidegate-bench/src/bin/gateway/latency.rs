//! A short datagram to the server and back, one after the other.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use crate::account::Account;
use crate::addresses::{CLIENT, SERVER};
use crate::hosts::Hosts;
use crate::report::Row;
use crate::router::Gateway;

const PORT: u16 = 5002;
const PAYLOAD: [u8; 18] = [7; 18];
const PATIENCE: Duration = Duration::from_millis(200);

/// Microseconds there and back: the median, and what one of a hundred exceeds.
pub(crate) fn run(hosts: &Hosts, gateway: &Gateway, length: Duration) -> io::Result<Row> {
    gateway.release()?;
    let server = hosts.server.within(|| UdpSocket::bind((SERVER, PORT)))?;
    let client = hosts.client.within(|| UdpSocket::bind((CLIENT, PORT)))?;
    client.connect((SERVER, PORT))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let is_over = AtomicBool::new(false);
    let account = Account::open(gateway.clock());
    let (mut times, lost) = thread::scope(|scope| {
        scope.spawn(|| echo(&server, &is_over));
        let outcome = ask(&client, length);
        is_over.store(true, Ordering::Relaxed);
        outcome
    })?;
    let spent = account.close();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(f64::NAN);
    let (items, of) = (times.len() as u64, times.len() as u64 + lost);
    let note = format!("p99 {:.0} us", at(99));
    Ok(Row { items, lost, of, note, worst: Some(at(99)), ..Row::of(at(50), "us", spent) })
}

fn ask(client: &UdpSocket, length: Duration) -> io::Result<(Vec<f64>, u64)> {
    let (begin, mut times, mut lost) = (Stopwatch::start(), Vec::new(), 0);
    while begin.elapsed() < length {
        let sent = Stopwatch::start();
        client.send(&PAYLOAD)?;
        match client.recv(&mut [0; 64]) {
            Ok(_) => times.push(sent.elapsed().as_secs_f64() * 1e6),
            Err(_) => lost += 1,
        }
    }
    Ok((times, lost))
}

fn echo(server: &UdpSocket, is_over: &AtomicBool) {
    let mut bytes = [0; 64];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((len, peer)) = server.recv_from(&mut bytes) {
            let _ = server.send_to(&bytes[..len], peer);
        }
    }
}
