//! Real hosts on both sides of a live gateway: TCP, UDP and ICMP of both families pass, translated and with sound
//! checksums, by each plane.
//!
//! ```text
//!   client ---- lan [ gateway ] wan ---- server
//!   10.0.1.2    .1              .1       10.0.2.2
//!   fd01::2     ::1             ::1      fd02::2
//! ```
//!
//! Takes root, or user namespaces for everybody, and `ip`, `ping` and `nsenter`: `cargo test --test forward`. The gateway's
//! namespace is the test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod stage;
mod tunnels;
mod wires;

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use tidegate_gateway::dataplane::{Frame, HEADROOM};

use self::ends::{
    CLIENT, Host, INSIDE, Net, OUTSIDE, RULES, SERVER, addresses, both_sides, both_sides_joined,
    exchange, received_from, rules_and, sum_of,
};
use self::stage::{call, new_network, play, until};
use self::wires::{Faults, Wire};

/// Whoever passes it is refused by nobody.
const OWN_RULE: &str = "-A OUTPUT -p tcp --dport 9 -j DROP\n";

fn main() -> ExitCode {
    let anybody: [(&str, fn()); 8] = [
        ("packet_sockets_carry_tcp", || carries_tcp("packet")),
        ("packet_sockets_carry_datagrams", || carries_datagrams("packet")),
        ("packet_sockets_serve_the_host", || serves_the_host("packet")),
        ("packet_sockets_without_offloads", || without_offloads("packet")),
        ("tun_carries_tcp_and_datagrams", tun_carries_tcp_and_datagrams),
        ("packet_sockets_rest_while_a_link_is_down", || rests_while_a_link_is_down("packet")),
        ("packet_sockets_over_a_bad_wire", || carries_over_a_bad_wire("packet")),
        ("packet_sockets_take_priorities", || takes_priorities("packet")),
    ];
    let root: [(&str, fn()); 7] = [
        ("xdp_carries_tcp", || carries_tcp("xdp")),
        ("xdp_carries_datagrams", || carries_datagrams("xdp")),
        ("xdp_serves_the_host", || serves_the_host("xdp")),
        ("xdp_without_offloads", || without_offloads("xdp")),
        ("xdp_rests_while_a_link_is_down", || rests_while_a_link_is_down("xdp")),
        ("xdp_over_a_bad_wire", || carries_over_a_bad_wire("xdp")),
        ("xdp_takes_priorities", || takes_priorities("xdp")),
    ];
    if may_load_programs() {
        return play(&[&anybody[..], &root].concat(), new_network);
    }
    println!("left out: xdp, as nobody loads programs for the kernel in a user namespace");
    play(&anybody, new_network)
}

/// Whether this is root outside of any user namespace.
fn may_load_programs() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    nix::unistd::geteuid().is_root() && stage::words(&map) == ["0", "0", "4294967295"]
}

impl Net {
    fn new(plane: &str) -> Self {
        Self::amid(plane, both_sides())
    }

    fn amid(plane: &str, hosts: [Host; 2]) -> Self {
        Self::by_plane(plane, &rules_and(OWN_RULE), hosts)
    }

    /// What the gateway has taken of it, in hundredths of a second.
    fn processor_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.gateway.0.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        stage::words(fields)[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
    }
}

/// Much data in both directions, which takes superframes where there are any.
fn carries_tcp(plane: &str) {
    let net = Net::new(plane);
    for (server, outside) in addresses(SERVER).into_iter().zip(addresses(OUTSIDE)) {
        let listener = net.server.within(|| TcpListener::bind((server, 80)).unwrap());
        let stream = net.client.within(|| TcpStream::connect((server, 80)).unwrap());
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), outside, "the server sees the gateway");
        exchange(&stream, &accepted, 24 << 20);
    }
    assert_eq!(sum_of("Tcp OutRsts"), 0, "the gateway's kernel refuses nothing");
    for client in addresses(CLIENT) {
        let refused = net.server.within(|| connect(SocketAddr::new(client, 80)));
        assert!(refused.is_err(), "nobody comes in from outside");
    }
    net.check();
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&to, Duration::from_millis(500))
}

/// Short datagrams, long ones in fragments, and echo requests.
fn carries_datagrams(plane: &str) {
    let net = Net::new(plane);
    for (at, server) in addresses(SERVER).into_iter().enumerate() {
        let outside = addresses(OUTSIDE)[at];
        for len in [1, 18, 1200, 5000, 40_000] {
            let source = received_from(&net.client, &net.server, SocketAddr::new(server, 53), len);
            assert_eq!(source.ip(), outside, "{len} bytes to {server}");
        }
        net.client.call("ping", &["-c", "2", "-i", "0.2", "-W", "5", SERVER[at]]);
        net.client.call("ping", &["-c", "1", "-W", "5", "-s", "3000", SERVER[at]]);
    }
    let expired = net.client.output("ping", &["-c", "1", "-W", "5", "-t", "1", SERVER[0]]);
    assert!(expired.contains("Time to live exceeded"), "{expired}");
    net.check();
}

/// What is for the gateway reaches its own stack, and what that sends passes OUTPUT.
fn serves_the_host(plane: &str) {
    let net = Net::new(plane);
    for (at, own) in addresses(INSIDE).into_iter().enumerate() {
        let listener = TcpListener::bind((own, 22)).unwrap();
        let stream = net.client.within(|| TcpStream::connect((own, 22)).unwrap());
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), addresses(CLIENT)[at]);
        exchange(&stream, &accepted, 4 << 20);
        let closed = net.client.within(|| connect(SocketAddr::new(own, 23)));
        assert_eq!(closed.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);

        let server = addresses(SERVER)[at];
        let listener = net.server.within(|| TcpListener::bind((server, 80)).unwrap());
        let stream = connect(SocketAddr::new(server, 80)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        exchange(&stream, &accepted, 4 << 20);
        // Nobody listens there: without OUTPUT's rule the server would refuse.
        let dropped = connect(SocketAddr::new(server, 9)).unwrap_err();
        assert_eq!(dropped.kind(), std::io::ErrorKind::TimedOut, "OUTPUT's rule");
        call("ping", &["-c", "1", "-W", "5", SERVER[at]]);
    }
    net.check();
}

/// Hosts with a TUN interface each, and nothing but an engine between.
fn tun_carries_tcp_and_datagrams() {
    let [client, server] = [Host::new(), Host::new()];
    let ends = [(&client, CLIENT, INSIDE), (&server, SERVER, OUTSIDE)];
    tunnels::between(ends, RULES, || {
        for (server_addr, outside) in addresses(SERVER).into_iter().zip(addresses(OUTSIDE)) {
            let listener = server.within(|| TcpListener::bind((server_addr, 80)).unwrap());
            let stream = client.within(|| TcpStream::connect((server_addr, 80)).unwrap());
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), outside);
            exchange(&stream, &accepted, 8 << 20);
            for len in [1, 1200, 5000] {
                let source = received_from(&client, &server, SocketAddr::new(server_addr, 53), len);
                assert_eq!(source.ip(), outside, "{len} bytes");
            }
        }
    });
    for host in [&client, &server] {
        for counter in ["Tcp InCsumErrors", "Udp InCsumErrors"] {
            assert_eq!(host.counter(counter), 0, "{counter}");
        }
    }
}

/// The same with hosts that do everything themselves.
fn without_offloads(plane: &str) {
    let net = Net::new(plane);
    for host in [&net.client, &net.server] {
        host.call(
            "ethtool",
            &["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"],
        );
    }
    for server in addresses(SERVER) {
        let listener = net.server.within(|| TcpListener::bind((server, 80)).unwrap());
        let stream = net.client.within(|| TcpStream::connect((server, 80)).unwrap());
        let (accepted, _) = listener.accept().unwrap();
        exchange(&stream, &accepted, 2 << 20);
        received_from(&net.client, &net.server, SocketAddr::new(server, 53), 1200);
    }
    net.check();
}

/// An interface that is set down, at either side of either end, costs no time, and works when it is up again.
fn rests_while_a_link_is_down(plane: &str) {
    let net = Net::new(plane);
    let server: IpAddr = SERVER[0].parse().unwrap();
    received_from(&net.client, &net.server, SocketAddr::new(server, 53), 100);
    for (is_ours, name) in [(true, "lan"), (true, "wan"), (false, "eth0")] {
        let set = |state: &str| {
            let args = ["link", "set", name, state];
            if is_ours { call("ip", &args) } else { net.server.call("ip", &args) }
        };
        set("down");
        // Somebody wants something nevertheless.
        let socket = net.client.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        for _ in 0..20 {
            let _ = socket.send_to(b"hello", (server, 53));
        }
        sleep(Duration::from_millis(300));
        let before = net.processor_time();
        sleep(Duration::from_secs(1));
        let spent = net.processor_time() - before;
        set("up");
        assert!(spent < 20, "{name} is down: {spent} hundredths of a second in one");
        net.client.output("ip", &["route", "add", "default", "via", INSIDE[0]]);
        until(|| {
            let reached = net.client.output("ping", &["-c", "1", "-W", "1", SERVER[0]]);
            reached.contains(" 1 received").then_some(())
        });
        received_from(&net.client, &net.server, SocketAddr::new(server, 53), 100);
    }
    net.check();
}

/// Frames with a tag of VLAN 0, which says nothing but a priority, are the interface's own; those of a VLAN are not.
fn takes_priorities(plane: &str) {
    let net = Net::new(plane);
    let server: IpAddr = SERVER[0].parse().unwrap();
    // Now everybody knows his neighbours.
    received_from(&net.client, &net.server, SocketAddr::new(server, 53), 100);
    let listener = net.server.within(|| UdpSocket::bind((server, 54)).unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let router = bytes_of(&call("ip", &["-o", "link", "show", "lan"]));
    let client = bytes_of(&net.client.call("ip", &["-o", "link", "show", "eth0"]));
    for (tag, passes) in [(0xe000_u16, true), (0x0000, true), (0x0007, false), (0xe001, false)] {
        let tagged = [&[0x81, 0x00], &tag.to_be_bytes()[..], &[8, 0]].concat();
        let frame = [&router[..], &client, &tagged, &greeting(54)].concat();
        net.client.within(|| send_frame("eth0", &frame));
        let came = listener.recv_from(&mut [0; 64]).map(|(_, from)| from.ip());
        assert_eq!(came.ok(), passes.then(|| OUTSIDE[0].parse().unwrap()), "{plane}: {tag:#06x}");
    }
    net.check();
}

/// A UDP datagram from the client to the server, without a checksum.
fn greeting(port: u16) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2];
    bytes.extend([0x80, 0]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 13, 0, 0]);
    bytes.extend(b"hello");
    tidegate_wire::packet::Ipv4::new(&mut bytes[..]).unwrap().fill_checksum();
    bytes
}

/// Sends a frame by an interface of this thread's namespace.
fn send_frame(name: &str, bytes: &[u8]) {
    let mut link = wires::open(name);
    let mut buffer = [&[0; HEADROOM], bytes].concat();
    let place = (HEADROOM, HEADROOM + 18, buffer.len());
    link.sender.send(&mut [Frame::prepared(&mut buffer, place).unwrap()]);
    assert_eq!(link.sender.counters().sent, 1);
}

/// The hardware address in a line of ip(8).
fn bytes_of(line: &str) -> Vec<u8> {
    let address = wires::address_of(line);
    address.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Frames are lost, come twice, or are overtaken by others: TCP gets everything through, by the flows that it began with, and
/// datagrams that come are whole.
fn carries_over_a_bad_wire(plane: &str) {
    let faults = Faults { lost: 5, doubled: 10, delayed: 50 };
    let mut wires = Vec::new();
    let ends = both_sides_joined(|host, port| match port {
        "lan" => wires.push(Wire::join(host, port, faults)),
        _ => host.join(port),
    });
    let net = Net::amid(plane, ends);
    // So that single segments are lost and overtaken, not all that is sent at once.
    for name in ["tso", "gso", "gro"] {
        net.client.call("ethtool", &["-K", "eth0", name, "off"]);
        net.server.call("ethtool", &["-K", "eth0", name, "off"]);
    }
    let mut kept = Vec::new();
    for server in addresses(SERVER) {
        let listener = net.server.within(|| TcpListener::bind((server, 80)).unwrap());
        let stream = net.client.within(|| TcpStream::connect((server, 80)).unwrap());
        let (accepted, _) = listener.accept().unwrap();
        exchange(&stream, &accepted, 4 << 20);
        kept.push((stream, accepted));
    }
    let table = net.told(&["list"]);
    let connections: Vec<&str> = table.lines().filter(|line| line.contains("tcp")).collect();
    assert_eq!(connections.len(), 2, "each has the flow that it began with: {table}");
    assert!(connections.iter().all(|line| line.contains("ASSURED")), "{table}");
    let wire = &wires[0];
    for counter in [&wire.happened.lost, &wire.happened.doubled, &wire.happened.delayed] {
        assert!(counter.load(Ordering::Relaxed) > 20, "{plane}");
    }
    datagrams_come_whole(&net);
    net.check();
}

/// Of two hundred datagrams most come, some twice, and what comes was sent.
fn datagrams_come_whole(net: &Net) {
    let server: IpAddr = SERVER[0].parse().unwrap();
    let listener = net.server.within(|| UdpSocket::bind((server, 53)).unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let socket = net.client.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for number in 0..200_u8 {
        socket.send_to(&[number; 500], (server, 53)).unwrap();
        sleep(Duration::from_millis(1));
    }
    let (mut heard, mut buffer) = (Vec::new(), [0; 1500]);
    while let Ok((len, _)) = listener.recv_from(&mut buffer) {
        assert!(len == 500 && buffer[..len].iter().all(|byte| *byte == buffer[0]));
        heard.push(buffer[0]);
    }
    assert!(!heard.is_sorted(), "some are overtaken");
    heard.sort_unstable();
    heard.dedup();
    assert!((150..=200).contains(&heard.len()), "{}", heard.len());
}
