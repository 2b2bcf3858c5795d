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

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use self::ends::{
    CLIENT, Host, INSIDE, OUTSIDE, RULES, SERVER, both_sides, exchange, received_from, rules_and,
    sum_of,
};
use self::stage::{Program, TIDEGATE, call, new_network, play, until};

/// Whoever passes it is refused by nobody.
const OWN_RULE: &str = "-A OUTPUT -p tcp --dport 9 -j DROP\n";

fn main() -> ExitCode {
    let anybody: [(&str, fn()); 5] = [
        ("packet_sockets_carry_tcp", || carries_tcp("packet")),
        ("packet_sockets_carry_datagrams", || carries_datagrams("packet")),
        ("packet_sockets_serve_the_host", || serves_the_host("packet")),
        ("packet_sockets_without_offloads", || without_offloads("packet")),
        ("tun_carries_tcp_and_datagrams", tun_carries_tcp_and_datagrams),
    ];
    let root: [(&str, fn()); 4] = [
        ("xdp_carries_tcp", || carries_tcp("xdp")),
        ("xdp_carries_datagrams", || carries_datagrams("xdp")),
        ("xdp_serves_the_host", || serves_the_host("xdp")),
        ("xdp_without_offloads", || without_offloads("xdp")),
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

/// A gateway with a host on either side.
struct Net {
    client: Host,
    server: Host,
    /// With its directory.
    gateway: Program,
    _place: tempfile::TempDir,
}

impl Net {
    fn new(plane: &str) -> Self {
        let [client, server] = both_sides();
        let place = tempfile::tempdir().unwrap();
        let gateway = start(plane, place.path());
        Self { client, server, gateway, _place: place }
    }

    /// After all of it: nobody saw a wrong checksum, and the gateway's kernel has kept out of it.
    fn check(mut self) {
        assert!(self.gateway.0.try_wait().unwrap().is_none(), "the gateway has ended");
        for (name, host) in [("client", &self.client), ("server", &self.server)] {
            for counter in ["Tcp InCsumErrors", "Udp InCsumErrors", "Icmp InCsumErrors"] {
                assert_eq!(host.counter(counter), 0, "{name}: {counter}");
            }
        }
        self.gateway.end();
    }
}

fn start(plane: &str, place: &Path) -> Program {
    let (rules, socket) = (place.join("rules"), place.join("socket"));
    fs::write(&rules, rules_and(OWN_RULE)).unwrap();
    let mut command = Command::new(TIDEGATE);
    command.arg("run").arg("--control").arg(&socket);
    command.arg("--rules4").arg(&rules).arg("--rules6").arg(&rules);
    command.args(["--interface", "lan", "--interface", "wan", "--plane", plane]);
    let log = fs::File::create(place.join("log")).unwrap();
    let gateway = Program(command.stderr(Stdio::from(log)).spawn().unwrap());
    until(|| socket.exists().then_some(()));
    gateway
}

fn addresses(list: [&str; 2]) -> [IpAddr; 2] {
    list.map(|addr| addr.parse().unwrap())
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
