//! Flows that last: the kernel's own stacks on both sides, used all the time, and every byte compared.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::addresses::{CLIENT, OUTSIDE, SERVER};
use crate::hosts::Hosts;

const STREAMS: usize = 32;
const PORT: u16 = 6000;
/// The longest piece that is sent and comes back.
const PIECE: usize = 8192;
/// Loss is made good by TCP well within it.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// See the module's documentation.
pub(super) struct Lasting {
    streams: Vec<TcpStream>,
    socket: UdpSocket,
    echoes: Vec<TcpStream>,
    echo: UdpSocket,
}

impl Lasting {
    /// Connects all of them.
    pub(super) fn open(hosts: &Hosts) -> io::Result<Self> {
        let listener = hosts.server.within(|| TcpListener::bind((SERVER, PORT)))?;
        let (mut streams, mut echoes) = (Vec::new(), Vec::new());
        for _ in 0..STREAMS {
            streams.push(hosts.client.within(|| TcpStream::connect((SERVER, PORT)))?);
            let (echo, peer) = listener.accept()?;
            if peer.ip() != OUTSIDE {
                return Err(io::Error::other(format!("the server sees {peer}")));
            }
            echoes.push(echo);
        }
        for stream in streams.iter().chain(&echoes) {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
        }
        let echo = hosts.server.within(|| UdpSocket::bind((SERVER, PORT)))?;
        let socket = hosts.client.within(|| UdpSocket::bind((CLIENT, PORT)))?;
        socket.connect((SERVER, PORT))?;
        for socket in [&socket, &echo] {
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        }
        Ok(Self { streams, socket, echoes, echo })
    }

    /// Uses them until it is over; how many pieces came back.
    pub(super) fn keep_on(self, is_over: &AtomicBool) -> io::Result<u64> {
        let Self { streams, socket, echoes, echo } = self;
        thread::scope(|scope| {
            let echo = &echo;
            for stream in echoes {
                scope.spawn(move || give_back(stream));
            }
            scope.spawn(move || give_back_datagrams(echo, is_over));
            ask(streams, &socket, is_over)
        })
    }
}

/// One after the other, and a datagram after each round. Dropping the streams ends their echoes.
fn ask(mut streams: Vec<TcpStream>, socket: &UdpSocket, is_over: &AtomicBool) -> io::Result<u64> {
    let mut exchanged = 0;
    let mut source = None;
    while !is_over.load(Ordering::Relaxed) {
        for stream in &mut streams {
            compare(stream, exchanged)?;
            exchanged += 1;
            thread::sleep(PAUSE);
        }
        // Datagrams may be lost. The one who answers names the port that he sees: it must stay the same.
        let mut answer = [0; 8];
        socket.send(&exchanged.to_ne_bytes())?;
        if let Ok(2) = socket.recv(&mut answer) {
            let seen = [answer[0], answer[1]];
            if *source.get_or_insert(seen) != seen {
                return Err(io::Error::other(
                    "a datagrams' flow was lost: its port is another one",
                ));
            }
        }
    }
    Ok(exchanged)
}

fn compare(stream: &mut TcpStream, number: u64) -> io::Result<()> {
    let len = 1 + (number as usize).wrapping_mul(2_654_435_761) % PIECE;
    let piece: Vec<u8> = (0..len).map(|at| ((at as u64 * 31 + number * 7) >> 3) as u8).collect();
    let lost = |error| io::Error::other(format!("a lasting flow was lost: {error}"));
    stream.write_all(&piece).map_err(lost)?;
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer).map_err(lost)?;
    if answer == piece { Ok(()) } else { Err(io::Error::other("a lasting flow was garbled")) }
}

fn give_back(mut stream: TcpStream) {
    let mut piece = [0; PIECE];
    while let Ok(len @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..len]).is_err() {
            break;
        }
    }
}

fn give_back_datagrams(echo: &UdpSocket, is_over: &AtomicBool) {
    let mut bytes = [0; 8];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((_, peer)) = echo.recv_from(&mut bytes) {
            let _ = echo.send_to(&peer.port().to_ne_bytes(), peer);
        }
    }
}
