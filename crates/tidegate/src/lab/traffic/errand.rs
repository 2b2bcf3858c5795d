//! The errands: what one host asks of another, once, and what must come of it.
//!
//! An errand knows neither how often it is run nor who counts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use tidegate_wire::Family;

use super::PATIENCE;
use super::content::Content;
use super::ledger::{Fault, is_silence};
use super::service::{self, BULK, DNS, ECHO, HTTP};
use crate::lab::topology::{Addresses, CLIENT, INSIDE, OUTER_MTU, OUTSIDE, SERVER};

/// The bytes that were carried and looked at, or what is wrong.
pub(super) type Outcome = Result<u64, Fault>;

/// From client to server, much.
pub(super) fn upload(family: Family, seed: u64) -> Outcome {
    let mut stream = connect((SERVER.of(family), BULK).into())?;
    let order = service::bulk_order(b'U', seed, BULK_LEN);
    stream.write_all(&order).map_err(sending)?;
    Content::of(seed).send(BULK_LEN, &mut stream).map_err(sending)?;
    let mut good = [0; 8];
    stream.read_exact(&mut good).map_err(receiving)?;
    whole(u64::from_be_bytes(good))
}

/// From server to client, much.
pub(super) fn download(family: Family, seed: u64) -> Outcome {
    let mut stream = connect((SERVER.of(family), BULK).into())?;
    stream.write_all(&service::bulk_order(b'D', seed, BULK_LEN)).map_err(sending)?;
    whole(Content::of(seed).receive(BULK_LEN, &mut stream).map_err(receiving)?)
}

fn whole(good: u64) -> Outcome {
    if good == BULK_LEN { Ok(good) } else { Err(Fault::Content(good)) }
}

/// A connection for one request.
pub(super) fn request(family: Family, _: u64) -> Outcome {
    let (body, _) = ask_http((SERVER.of(family), HTTP))?;
    Ok(body.len() as u64)
}

/// The server sees the gateway, and not the client.
pub(super) fn masquerade(family: Family, _: u64) -> Outcome {
    seen_as((SERVER.of(family), HTTP), OUTSIDE.of(family))
}

/// Through the gateway's outer address to the client, which sees the server as it is.
pub(super) fn port_forward(family: Family, _: u64) -> Outcome {
    seen_as((OUTSIDE.of(family), FORWARDED), SERVER.of(family))
}

/// The client by the outer address to itself: it sees the gateway.
pub(super) fn hairpin(family: Family, _: u64) -> Outcome {
    seen_as((OUTSIDE.of(family), FORWARDED), INSIDE.of(family))
}

fn seen_as(to: (IpAddr, u16), expected: IpAddr) -> Outcome {
    let (body, seen) = ask_http(to)?;
    if seen == expected { Ok(body.len() as u64) } else { Err(Fault::Seen(seen, expected)) }
}

/// Asks an HTTP service whom it sees.
fn ask_http(to: (IpAddr, u16)) -> Result<(String, IpAddr), Fault> {
    let mut stream = connect(to.into())?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(sending)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(receiving)?;
    let odd = || Fault::Answer(text.lines().next().unwrap_or("nothing").to_owned());
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(odd)?;
    let seen = body.split(' ').nth(2).and_then(|word| word.parse().ok());
    let is_well = head.starts_with("HTTP/1.0 200 ") && body.ends_with('\n');
    let seen = seen.filter(|_| is_well).ok_or_else(odd)?;
    Ok((body.to_owned(), seen))
}

/// A question and its answer, in a datagram each, from a port of its own.
pub(super) fn question(family: Family, seed: u64) -> Outcome {
    let query = service::dns_query(seed as u16, &format!("host{seed}.lab.example"));
    let right = service::answer_dns(&query).unwrap_or_default();
    exchange((SERVER.of(family), DNS), &query, &right)
}

/// An echo request of ICMP: to the server, every other time to the gateway itself.
pub(super) fn ping(family: Family, seed: u64) -> Outcome {
    let to = if seed.is_multiple_of(2) { SERVER } else { INSIDE };
    let (request, reply) = match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    };
    let socket = ping_socket(family).map_err(opening)?;
    socket.connect((to.of(family), 0)).map_err(opening)?;
    let [high, low] = (seed as u16).to_be_bytes();
    let content = Content::of(seed).first(56);
    let packet = [&[request, 0, 0, 0, 0, 0, high, low][..], &content].concat();
    socket.send(&packet).map_err(sending)?;
    let mut buffer = [0; 128];
    let len = socket.recv(&mut buffer).map_err(receiving)?;
    let answer = &buffer[..len];
    // The kernel sees to checksum and identifier of such sockets.
    let is_right = answer.first() == Some(&reply)
        && answer.get(6..) == Some(&[&[high, low][..], &content].concat());
    if is_right { Ok(len as u64) } else { Err(Fault::Answer(format!("{answer:02x?}"))) }
}

fn ping_socket(family: Family) -> io::Result<UdpSocket> {
    let (family, protocol) = match family {
        Family::V4 => (AddressFamily::INET, ipproto::ICMP),
        Family::V6 => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(protocol))?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A datagram and its echo, in fragments on every link.
pub(super) fn fragments(family: Family, seed: u64) -> Outcome {
    let content = Content::of(seed).first(FRAGMENTED_LEN);
    let to = (SERVER.of(family), ECHO);
    let mut outcome = exchange_within(RETRY_AFTER, to, &content, &content);
    // IPv6 tells the sender of a narrower link by dropping the first; who speaks UDP asks again.
    for _ in 0..RETRIES {
        match outcome {
            Err(Fault::Io(_, error)) if is_silence(&error) || is_too_long(&error) => {
                outcome = exchange_within(RETRY_AFTER, to, &content, &content);
            }
            _ => break,
        }
    }
    outcome
}

/// A packet that the outer link doesn't take is answered by the gateway with what it takes.
pub(super) fn path_mtu(family: Family, seed: u64) -> Outcome {
    let socket = datagrams((SERVER.of(family), ECHO), RETRY_AFTER)?;
    dont_fragment(&socket, family).map_err(opening)?;
    let content = Content::of(seed).first(INNER_LEN);
    for _ in 0..=RETRIES {
        match socket.send(&content) {
            Err(error) if is_too_long(&error) => break,
            sent => sent.map(drop).map_err(sending)?,
        }
        let mut buffer = [0; INNER_LEN];
        match socket.recv(&mut buffer) {
            Err(error) if is_silence(&error) || is_too_long(&error) => {}
            Err(error) => return Err(receiving(error)),
            Ok(len) => return Err(Fault::Answer(format!("{len} bytes that don't fit the link"))),
        }
    }
    let mtu = match family {
        Family::V4 => sockopt::ip_mtu(&socket),
        Family::V6 => sockopt::ipv6_mtu(&socket),
    };
    match mtu.map_err(|errno| opening(errno.into()))? {
        OUTER_MTU => Ok(INNER_LEN as u64),
        mtu => Err(Fault::Mtu(mtu, OUTER_MTU)),
    }
}

fn dont_fragment(socket: &UdpSocket, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?,
        Family::V6 => sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?,
    }
    Ok(())
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

/// From outside to what hosts serve and the rules don't open: the gateway's own services, and the client's behind it.
pub(super) fn refused(family: Family, seed: u64) -> Outcome {
    let hosts: [Addresses; 2] = [OUTSIDE, CLIENT];
    let to = hosts[(seed % 2) as usize].of(family);
    let (stream, datagram) = CLOSED[(seed / 2 % 2) as usize];
    refused_stream((to, stream))?;
    refused_datagram((to, datagram))?;
    Ok(0)
}

fn refused_stream(to: (IpAddr, u16)) -> Result<(), Fault> {
    match TcpStream::connect_timeout(&to.into(), PATIENCE) {
        Ok(_) => Err(Fault::Open(to.0, to.1)),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(Fault::Unrefused(to.0, to.1, error)),
    }
}

fn refused_datagram(to: (IpAddr, u16)) -> Result<(), Fault> {
    let socket = datagrams(to, PATIENCE)?;
    socket.send(b"is anybody there?").map_err(sending)?;
    match socket.recv(&mut [0; 64]) {
        Ok(_) => Err(Fault::Open(to.0, to.1)),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(Fault::Unrefused(to.0, to.1, error)),
    }
}

fn connect(to: SocketAddr) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(opening)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(opening)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(opening)?;
    Ok(stream)
}

fn exchange(to: (IpAddr, u16), question: &[u8], right: &[u8]) -> Outcome {
    exchange_within(PATIENCE, to, question, right)
}

fn exchange_within(
    patience: Duration,
    to: (IpAddr, u16),
    question: &[u8],
    right: &[u8],
) -> Outcome {
    let socket = datagrams(to, patience)?;
    socket.send(question).map_err(sending)?;
    let mut buffer = vec![0; right.len() + 1];
    let len = socket.recv(&mut buffer).map_err(receiving)?;
    match buffer[..len].iter().zip(right).position(|(is, right)| is != right) {
        None if len == right.len() => Ok(len as u64),
        place => Err(Fault::Content(place.unwrap_or(len.min(right.len())) as u64)),
    }
}

fn datagrams(to: (IpAddr, u16), patience: Duration) -> Result<UdpSocket, Fault> {
    let any: IpAddr = match to.0 {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(opening)?;
    socket.set_read_timeout(Some(patience)).map_err(opening)?;
    socket.connect(to).map_err(opening)?;
    Ok(socket)
}

fn opening(error: io::Error) -> Fault {
    Fault::Io("connecting", error)
}

fn sending(error: io::Error) -> Fault {
    Fault::Io("sending", error)
}

fn receiving(error: io::Error) -> Fault {
    Fault::Io("receiving", error)
}

/// A transfer.
const BULK_LEN: u64 = 4 << 20;
/// The port of the gateway that leads to the client's HTTP.
const FORWARDED: u16 = 8080;
/// What all three hosts serve by TCP and by UDP, and outsiders must not reach.
const CLOSED: [(u16, u16); 2] = [(HTTP, DNS), (BULK, ECHO)];
/// More than two links take.
const FRAGMENTED_LEN: usize = 4000;
/// With the longest headers this is what the inner link takes, and the outer one doesn't.
const INNER_LEN: usize = 1452;
const RETRIES: usize = 3;
const RETRY_AFTER: Duration = Duration::from_secs(1);
