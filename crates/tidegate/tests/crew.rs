//! A gateway with several workers, as its operator sees it: one table, by the system's own conntrack(8) too, however packets
//! are shared.
//!
//! ```text
//!   client ---- lan [ gateway ] wan ---- server
//!   10.0.1.2    .1              .1       10.0.2.2
//!   fd01::2     ::1             ::1      fd02::2
//! ```
//!
//! Takes root, or user namespaces for everybody, conntrack(8), and the library of `tidegate-preload`:
//!
//!     cargo build -p tidegate -p tidegate-preload && cargo test -p tidegate --test crew
//!
//! That packets pass as with one worker is what the other tests with a kernel show, with TIDEGATE_WORKERS=2.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use self::ends::{Net, OUTSIDE, RULES, SERVER, both_sides};
use self::stage::{Program, TIDEGATE, call, command_of, new_network, play, until};

fn main() -> ExitCode {
    play(
        &[
            ("an_operator_sees_one_table", an_operator_sees_one_table),
            ("a_flow_made_by_hand_is_found", a_flow_made_by_hand_is_found),
            ("a_packet_is_explained_by_its_owner", a_packet_is_explained_by_its_owner),
            ("the_limit_is_shared_out", the_limit_is_shared_out),
            ("workers_keep_to_their_processors", workers_keep_to_their_processors),
            ("flows_go_from_two_workers_to_three_and_to_one", flows_go_to_other_workers),
        ],
        new_network,
    )
}

impl Net {
    fn new(workers: &str, settings: &str) -> Self {
        Self::between(both_sides(), |place| {
            fs::write(place.join("rules"), RULES).unwrap();
            fs::write(place.join("sysctl"), settings).unwrap();
            start(place, workers)
        })
    }

    /// The gateway ends, and another one begins with so many workers.
    fn go_on_with(&mut self, workers: &str) {
        self.gateway.end();
        self.gateway = start(self.place.path(), workers);
    }

    /// What conntrack(8) prints on the gateway's table; it must succeed.
    fn conntrack(&self, args: &[&str]) -> String {
        let socket = self.socket().display().to_string();
        call(TIDEGATE, &[&["exec", "--socket", &socket, "--", "conntrack"], args].concat())
    }

    fn count(&self) -> usize {
        self.conntrack(&["-C"]).trim().parse().unwrap()
    }

    /// What each worker has counted under a name.
    fn counted(&self, name: &str) -> Vec<u64> {
        let row = |line: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            word?.strip_prefix('=')?.parse().ok()
        };
        self.conntrack(&["-S"]).lines().filter_map(row).collect()
    }

    /// How often the thread of each worker has slept.
    fn woken(&self) -> Vec<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.gateway.0.id())).unwrap();
        let of = |status: &str, name: &str| {
            let field = |line: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
            status.lines().find_map(field).unwrap()
        };
        let statuses = threads
            .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
        let workers = statuses.filter(|status| of(status, "Name:").starts_with("worker "));
        workers.map(|status| of(&status, "voluntary_ctxt_switches:").parse().unwrap()).collect()
    }

    /// A socket of the client's whose first datagram has reached a port of the server's.
    fn flow(&self, family: usize, port: u16) -> UdpSocket {
        let any: IpAddr = ["0.0.0.0", "::"][family].parse().unwrap();
        let to: IpAddr = SERVER[family].parse().unwrap();
        let listener = self.server.within(|| UdpSocket::bind((to, port)).unwrap());
        listener.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let socket = self.client.within(|| UdpSocket::bind((any, 0)).unwrap());
        socket.connect((to, port)).unwrap();
        socket.send(b"hello").unwrap();
        let (_, from) = listener.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip(), OUTSIDE[family].parse::<IpAddr>().unwrap());
        socket
    }
}

fn start(place: &Path, workers: &str) -> Program {
    let at = |name: &str| place.join(name).display().to_string();
    let (rules, log) = (at("rules"), fs::File::create(at("log")).unwrap());
    let mut command = command_of(TIDEGATE, &["run", "--workers", workers]);
    command.args(["--interface", "lan", "--interface", "wan", "--control", &at("socket")]);
    command.args(["--rules4", &rules, "--rules6", &rules, "--sysctl", &at("sysctl")]);
    command.args(["--state", &at("flows")]).stderr(Stdio::from(log));
    let gateway = Program(command.spawn().unwrap());
    until(|| fs::read_to_string(at("log")).unwrap().contains("drops:").then_some(()));
    until(|| fs::exists(at("socket")).unwrap().then_some(()));
    gateway
}

/// What the kernel says under a name of the thread of each worker, in their order.
fn told_of_workers(gateway: &Program, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.0.id())).unwrap();
    let of = |status: &str, name: &str| {
        let field = |line: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
        status.lines().find_map(field).unwrap()
    };
    let statuses =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    let workers = statuses.filter(|status| of(status, "Name:").starts_with("worker "));
    let mut workers: Vec<_> =
        workers.map(|status| (of(&status, "Name:"), of(&status, name))).collect();
    workers.sort();
    workers.into_iter().map(|(_, told)| told).collect()
}

/// Flows of all workers are listed, counted, told and deleted as those of one table.
fn an_operator_sees_one_table() {
    let net = Net::new("2", "");
    let told = net.place.path().join("told");
    let socket = net.socket().display().to_string();
    let listening = ["exec", "--socket", &socket, "--", "conntrack", "-E", "-p", "udp"];
    let mut listener = command_of(TIDEGATE, &listening);
    let listener = listener.stdout(fs::File::create(&told).unwrap()).stderr(Stdio::null());
    let _listener = Program(listener.spawn().unwrap());
    sleep(Duration::from_millis(300));
    let sockets: Vec<UdpSocket> =
        (0..40).map(|number| net.flow(number % 2, 5000 + number as u16)).collect();
    let ports: Vec<u16> = sockets.iter().map(|one| one.local_addr().unwrap().port()).collect();
    assert_eq!(net.counted("insert").len(), 2, "a row for each worker");
    let woken = net.woken();
    assert!(woken.len() == 2 && woken.iter().all(|count| *count > 10), "{woken:?}");
    let listed: String =
        ["ipv4", "ipv6"].iter().map(|family| net.conntrack(&["-L", "-f", family])).collect();
    for (port, to) in ports.iter().zip(5000..) {
        let flow = format!("sport={port} dport={to} ");
        assert_eq!(listed.matches(&flow).count(), 1, "{flow}: {listed}");
    }
    let before = net.count();
    for (number, port) in ports.iter().enumerate().take(20) {
        let family = ["ipv4", "ipv6"][number % 2];
        let port = port.to_string();
        net.conntrack(&["-D", "-f", family, "-p", "udp", "--orig-port-src", &port]);
    }
    assert_eq!(net.count(), before - 20);
    net.conntrack(&["-F"]);
    assert_eq!(net.count(), 0);
    let of = |kind: &str, port: u16| {
        let told = fs::read_to_string(&told).unwrap();
        let word = format!("sport={port} ");
        told.lines().position(|line| line.contains(kind) && line.contains(&word))
    };
    for port in &ports {
        let ended = until(|| of("[DESTROY]", *port));
        assert!(of("[NEW]", *port).is_some_and(|began| began < ended), "{port}");
    }
}

/// What is made by hand is made where its packets will look for it, whoever that is.
fn a_flow_made_by_hand_is_found() {
    let net = Net::new("3", "");
    for port in 1000..1040 {
        let port = port.to_string();
        let orig = ["-p", "udp", "-s", "10.0.1.2", "-d", "10.0.2.2", "--sport", &port];
        let orig = [&orig[..], &["--dport", "53"]].concat();
        net.conntrack(&[&["-I", "-t", "100"], &orig[..]].concat());
        net.conntrack(&[&["-U", "-m", "7"], &orig[..]].concat());
        let found = net.conntrack(&[&["-G"], &orig[..]].concat());
        assert!(found.contains("mark=7") && found.contains(&format!("sport={port} ")), "{found}");
    }
    assert_eq!(net.count(), 40);
    // One run in four million leaves a worker without any: where a flow is at home nobody can tell before.
    assert!(net.counted("insert").iter().all(|count| *count > 0), "{}", net.conntrack(&["-S"]));
    // The server may answer what nobody has asked by a packet: the flow says so.
    let client = net.client.within(|| UdpSocket::bind("10.0.1.2:1007").unwrap());
    client.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let server = net.server.within(|| UdpSocket::bind("10.0.2.2:53").unwrap());
    net.server.call("ip", &["route", "add", "10.0.1.0/24", "via", OUTSIDE[0]]);
    server.send_to(b"answer", "10.0.1.2:1007").unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 6);
    assert_eq!(net.count(), 40);
}

/// Whoever has a flow is asked what would become of its packets.
fn a_packet_is_explained_by_its_owner() {
    let net = Net::new("2", "");
    let socket = net.socket().display().to_string();
    for number in 0..6 {
        let flow = net.flow(0, 7000 + number);
        let port = flow.local_addr().unwrap().port();
        let what = [
            "explain",
            "--socket",
            &socket,
            "--in",
            "wan",
            "--proto",
            "udp",
            "--src=10.0.2.2",
            "--dst=10.0.2.1",
            &format!("--sport={}", 7000 + number),
            &format!("--dport={port}"),
        ];
        let told = call(TIDEGATE, &what);
        assert!(told.contains("ESTABLISHED") && told.contains("lan"), "{told}");
    }
}

/// Never more flows in all than the limit, and nearly as many if they are wanted, whoever has them.
fn the_limit_is_shared_out() {
    let net = Net::new("2", "net.netfilter.nf_conntrack_max = 200\n");
    let to: IpAddr = SERVER[0].parse().unwrap();
    let _listener = net.server.within(|| UdpSocket::bind((to, 9000)).unwrap());
    let mut most = 0;
    let mut sockets = Vec::new();
    for number in 0..400 {
        let socket = net.client.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.send_to(b"hello", (to, 9000)).unwrap();
        sockets.push(socket);
        if number % 50 == 49 {
            sleep(Duration::from_millis(100));
            most = most.max(net.count());
            assert!(most <= 200, "{most}");
        }
    }
    assert!(most >= 190, "{most}");
}

fn workers_keep_to_their_processors() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let processors = std::thread::available_parallelism().unwrap().get();
    let last = processors - 1;
    let file = format!("workers = 3\npin = [{last}, 0]\n[control]\nsocket = \"socket\"\n");
    fs::write(at("file"), file).unwrap();
    let mut command = command_of(TIDEGATE, &["run", &at("file")]);
    let gateway = command.env_remove("TIDEGATE_WORKERS").spawn().unwrap();
    let gateway = Program(gateway);
    let expected = [last, 0, last].map(|processor| processor.to_string());
    until(|| (told_of_workers(&gateway, "Cpus_allowed_list:") == expected).then_some(()));
}

/// A table that is saved is taken over by another number of workers, and every connection goes on.
fn flows_go_to_other_workers() {
    let mut net = Net::new("2", "");
    let connections: Vec<(TcpStream, TcpStream)> = (0..16)
        .map(|number| {
            let to: IpAddr = SERVER[number % 2].parse().unwrap();
            let listener = net.server.within(|| TcpListener::bind((to, 0)).unwrap());
            let to = listener.local_addr().unwrap();
            let stream = net.client.within(|| TcpStream::connect(to).unwrap());
            (stream, listener.accept().unwrap().0)
        })
        .collect();
    let tuples = |net: &Net| -> BTreeMap<String, ()> {
        let listed =
            call(TIDEGATE, &["list", "-p", "tcp", "--socket", &net.socket().display().to_string()]);
        let tuple = |line: &str| {
            line.split(' ').filter(|word| word.contains('=')).collect::<Vec<_>>().join(" ")
        };
        listed.lines().map(|line| (tuple(line), ())).collect()
    };
    let before = tuples(&net);
    assert_eq!(before.len(), 16, "{before:?}");
    for workers in ["3", "1", "2"] {
        net.go_on_with(workers);
        assert_eq!(tuples(&net), before, "{workers} workers");
        for (stream, accepted) in &connections {
            // The server speaks first: without its flow nobody would know for whom that is.
            say(accepted, stream);
            say(stream, accepted);
        }
    }
}

fn say(mut from: &TcpStream, mut to: &TcpStream) {
    to.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    from.write_all(b"hello").unwrap();
    to.read_exact(&mut [0; 5]).unwrap();
}
