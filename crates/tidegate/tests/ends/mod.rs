//! Hosts at the ends of a gateway: namespaces with a link to it, and what is said between them.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use crate::stage::{Program, TIDEGATE, call, command_of, until, workers};

/// The host behind the gateway's `lan`, in both families, and the one behind its `wan`.
pub(crate) const CLIENT: [&str; 2] = ["10.0.1.2", "fd01::2"];
pub(crate) const SERVER: [&str; 2] = ["10.0.2.2", "fd02::2"];
/// The gateway, as either sees it.
pub(crate) const INSIDE: [&str; 2] = ["10.0.1.1", "fd01::1"];
pub(crate) const OUTSIDE: [&str; 2] = ["10.0.2.1", "fd02::1"];

/// State match and masquerade: who is inside may go out, nobody may come in.
pub(crate) const RULES: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -m conntrack --ctstate NEW -j ACCEPT
COMMIT
";

/// The same, and more lines of the filter table.
pub(crate) fn rules_and(more: &str) -> String {
    format!("{}{more}COMMIT\n", RULES.strip_suffix("COMMIT\n").unwrap())
}

/// A gateway with a host on either side, and the directory of its files.
pub(crate) struct Net {
    pub(crate) client: Host,
    pub(crate) server: Host,
    pub(crate) gateway: Program,
    pub(crate) place: TempDir,
}

impl Net {
    /// A gateway that is started with its files in a directory.
    pub(crate) fn between(
        [client, server]: [Host; 2],
        start: impl FnOnce(&Path) -> Program,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let gateway = start(place.path());
        Self { client, server, gateway, place }
    }

    /// A gateway with these rules for both families, by one plane, without a file; what it says is in `log`.
    pub(crate) fn by_plane(plane: &str, rules: &str, hosts: [Host; 2]) -> Self {
        Self::between(hosts, |place| {
            let [rules_file, socket] = ["rules", "socket"].map(|name| place.join(name));
            fs::write(&rules_file, rules).unwrap();
            let mut command = Command::new(TIDEGATE);
            command.arg("run").arg("--control").arg(&socket);
            command.arg("--rules4").arg(&rules_file).arg("--rules6").arg(&rules_file);
            command.args(["--interface", "lan", "--interface", "wan", "--plane", plane]);
            let log = File::create(place.join("log")).unwrap();
            let gateway = Program(command.stderr(Stdio::from(log)).spawn().unwrap());
            until(|| socket.exists().then_some(()));
            gateway
        })
    }

    /// The gateway's control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    /// What `tidegate` says when it is asked about the gateway.
    pub(crate) fn told(&self, args: &[&str]) -> String {
        let socket = self.socket().display().to_string();
        call(TIDEGATE, &[args, &["--socket", &socket]].concat())
    }

    /// After all of it: the gateway is there, and nobody saw a wrong checksum.
    pub(crate) fn check(mut self) {
        assert!(self.gateway.0.try_wait().unwrap().is_none(), "the gateway has ended");
        for (name, host) in [("client", &self.client), ("server", &self.server)] {
            for counter in ["Tcp InCsumErrors", "Udp InCsumErrors", "Icmp InCsumErrors"] {
                assert_eq!(host.counter(counter), 0, "{name}: {counter}");
            }
        }
        self.gateway.end();
    }
}

/// Addresses of both families.
pub(crate) fn addresses(list: [&str; 2]) -> [IpAddr; 2] {
    list.map(|addr| addr.parse().unwrap())
}

/// The client, whose way out is the gateway, and the server, who knows no way to the client.
pub(crate) fn both_sides() -> [Host; 2] {
    both_sides_joined(Host::join)
}

/// The same with other cables.
pub(crate) fn both_sides_joined(mut join: impl FnMut(&Host, &str)) -> [Host; 2] {
    let sides = [("lan", CLIENT, INSIDE), ("wan", SERVER, OUTSIDE)];
    let [client, server] = sides.map(|(port, addresses, router)| {
        let host = Host::new();
        join(&host, port);
        host.dress(port, addresses, router);
        host
    });
    for router in INSIDE {
        client.call("ip", &["route", "add", "default", "via", router]);
    }
    [client, server]
}

/// A network namespace, with a process that keeps it.
pub(crate) struct Host {
    keeper: Program,
    space: File,
}

impl Host {
    /// A host without any link.
    pub(crate) fn new() -> Self {
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "3600"]).stdin(Stdio::null());
        let keeper = Program(command.spawn().unwrap());
        let path = format!("/proc/{}/ns/net", keeper.0.id());
        until(|| (fs::read_link(&path).ok()? != own).then_some(()));
        let host = Self { space: File::open(path).unwrap(), keeper };
        host.call("ip", &["link", "set", "lo", "up"]);
        host
    }

    /// The process that keeps it.
    pub(crate) fn pid(&self) -> String {
        self.keeper.0.id().to_string()
    }

    /// Joins the host's `eth0` to an interface of the gateway's.
    pub(crate) fn join(&self, port: &str) {
        cable(port, "eth0", self);
    }

    /// Gives both ends an address of each family.
    pub(crate) fn dress(&self, port: &str, addresses: [&str; 2], router: [&str; 2]) {
        for (own, router) in addresses.into_iter().zip(router) {
            let prefix = if own.contains(':') { "64" } else { "24" };
            let nodad: &[&str] = if own.contains(':') { &["nodad"] } else { &[] };
            let (own, router) = (format!("{own}/{prefix}"), format!("{router}/{prefix}"));
            self.call("ip", &[&["address", "add", &own, "dev", "eth0"], nodad].concat());
            call("ip", &[&["address", "add", &router, "dev", port], nodad].concat());
        }
        self.call("ip", &["link", "set", "eth0", "up"]);
        call("ip", &["link", "set", port, "up"]);
    }

    /// Does something there. Sockets that are made there stay there.
    pub(crate) fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// Moves this thread there.
    pub(crate) fn enter(&self) {
        setns(&self.space, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// What a program there printed; it must succeed.
    pub(crate) fn call(&self, program: &str, args: &[&str]) -> String {
        let pid = self.keeper.0.id().to_string();
        call("nsenter", &[&["--target", &pid, "--net", program], args].concat())
    }

    /// What a program there printed, whether or not it succeeds.
    pub(crate) fn output(&self, program: &str, args: &[&str]) -> String {
        let pid = self.keeper.0.id().to_string();
        let args = [&["--target", &pid, "--net", program], args].concat();
        String::from_utf8(command_of("nsenter", &args).output().unwrap().stdout).unwrap()
    }

    /// One of the kernel's counters there: `Tcp InCsumErrors`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.within(|| sum_of(name))
    }
}

/// A cable between an interface of the gateway's and one of a host's. It has as many queues as there are workers: each end
/// receives by those that the other one sends by.
pub(crate) fn cable(port: &str, far: &str, host: &Host) {
    let (pid, workers) = (host.pid(), workers().to_string());
    let queues = ["numrxqueues", &workers, "numtxqueues", &workers];
    let near = [&["link", "add", port][..], &queues, &["type", "veth", "peer", "name", far]];
    call("ip", &[&near.concat()[..], &["netns", &pid], &queues].concat());
}

/// One of the kernel's counters of this thread's namespace.
pub(crate) fn sum_of(name: &str) -> u64 {
    let (group, field) = name.split_once(' ').unwrap();
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{group}:")));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|word| word == field).expect("a counter of that name");
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

/// Sends this many bytes both ways at once, to the end of both streams; they must arrive as they were.
pub(crate) fn exchange(one: &TcpStream, other: &TcpStream, bytes: usize) {
    for stream in [one, other] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    thread::scope(|scope| {
        for (from, to, seed) in [(one, other, 1), (other, one, 7)] {
            scope.spawn(move || talk(from, bytes, seed));
            scope.spawn(move || hear(to, bytes, seed));
        }
    });
}

/// Bytes of which none is like its neighbours.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (((at + seed) * 2_654_435_761_usize) >> 13) as u8).collect()
}

fn talk(mut stream: &TcpStream, bytes: usize, seed: usize) {
    stream.write_all(&pattern(bytes, seed)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}

fn hear(mut stream: &TcpStream, bytes: usize, seed: usize) {
    let mut heard = Vec::with_capacity(bytes);
    stream.read_to_end(&mut heard).unwrap();
    assert!(heard == pattern(bytes, seed), "{} bytes of {bytes} arrived, or others", heard.len());
}

/// Has a datagram of this length travel to the server and back; from whom it came, as the server saw it.
pub(crate) fn received_from(
    client: &Host,
    server: &Host,
    to: SocketAddr,
    len: usize,
) -> SocketAddr {
    let listener = server.within(|| UdpSocket::bind(to).unwrap());
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = client.within(|| UdpSocket::bind((any, 0)).unwrap());
    for socket in [&listener, &socket] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    let said = pattern(len, len);
    let mut heard = vec![0; 65_536];
    socket.send_to(&said, to).unwrap();
    let (count, source) = listener.recv_from(&mut heard).expect("it reaches the server");
    assert!(heard[..count] == said[..]);
    listener.send_to(&said, source).unwrap();
    let (count, peer) = socket.recv_from(&mut heard).expect("it comes back");
    assert!(heard[..count] == said[..] && peer == to);
    source
}
