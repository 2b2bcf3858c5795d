//! The services that the traffic goes to. They speak as much of their protocols as programs like curl and dig need.
//!
//! * HTTP: the answer says whom the service saw: `you are 203.0.113.1 port 40000`;
//! * DNS: each name has an address;
//! * echo of datagrams;
//! * bulk: `U` or `D`, a seed and a length, both of eight bytes; then the content, or how much of it arrived.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::PATIENCE;
use super::content::Content;

/// HTTP.
pub(super) const HTTP: u16 = 80;
/// DNS over UDP.
pub(super) const DNS: u16 = 53;
/// Echo over UDP (RFC 862).
pub(super) const ECHO: u16 = 7;
/// Transfers of much content.
pub(super) const BULK: u16 = 9000;

/// Begins all services in the calling thread's network. They end with the process.
pub(super) fn begin() -> io::Result<()> {
    serve_streams(HTTP, answer_http)?;
    serve_streams(BULK, answer_bulk)?;
    serve_datagrams(DNS, answer_dns)?;
    serve_datagrams(ECHO, |datagram| Some(datagram.to_vec()))
}

fn serve_streams(port: u16, answer: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let patience = Some(PATIENCE);
                let is_ready = stream.set_read_timeout(patience).is_ok()
                    && stream.set_write_timeout(patience).is_ok();
                // What goes wrong is seen at the other end.
                let _ = is_ready.then(|| answer(stream));
            });
        }
    });
    Ok(())
}

fn serve_datagrams(
    port: u16,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            if let Some(answer) = answer(&buffer[..len]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

fn answer_http(mut stream: TcpStream) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    let mut lines = BufReader::new(stream.try_clone()?.take(LONGEST_REQUEST)).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let body = format!("you are {} port {}\n", peer.ip().to_canonical(), peer.port());
    let length = body.len();
    stream.write_all(
        format!(
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )
}

fn answer_bulk(mut stream: TcpStream) -> io::Result<()> {
    let mut order = [0; ORDER_LEN];
    stream.read_exact(&mut order)?;
    let number = |at: usize| {
        order[at..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_be_bytes(*bytes))
    };
    let (content, len) = (Content::of(number(1)), number(9));
    match order[0] {
        b'U' => {
            let good = content.receive(len, &mut stream)?;
            stream.write_all(&good.to_be_bytes())
        }
        _ => content.send(len, &mut stream),
    }
}

/// What is asked of the bulk service.
pub(super) fn bulk_order(kind: u8, seed: u64, len: u64) -> Vec<u8> {
    [&[kind][..], &seed.to_be_bytes(), &len.to_be_bytes()].concat()
}

/// A query for the address of a name (RFC 1035).
pub(super) fn dns_query(id: u16, name: &str) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, TYPE_A, 0, CLASS_IN]);
    query
}

/// The answer to a query: its own question, and for an A the address that [`address_of`] says.
pub(super) fn answer_dns(query: &[u8]) -> Option<Vec<u8>> {
    let name_len = query.get(HEADER_LEN..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(HEADER_LEN..HEADER_LEN + name_len + 4)?;
    let is_address = question[name_len..] == [0, TYPE_A, 0, CLASS_IN];
    let mut answer = query[..2].to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, is_address.into(), 0, 0, 0, 0]);
    answer.extend(question);
    if is_address {
        answer.extend([0xc0, HEADER_LEN as u8, 0, TYPE_A, 0, CLASS_IN, 0, 0, 0, 1, 0, 4]);
        answer.extend(address_of(&question[..name_len]));
    }
    Some(answer)
}

/// Each name has an address below 198.18.0.0/15: the sum of its bytes.
fn address_of(name: &[u8]) -> [u8; 4] {
    let sum =
        name.iter().fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let [high, low] = sum.to_be_bytes();
    [198, 18, high, low]
}

const LONGEST_REQUEST: u64 = 16 << 10;
const ORDER_LEN: usize = 17;
const HEADER_LEN: usize = 12;
const TYPE_A: u8 = 1;
const CLASS_IN: u8 = 1;
