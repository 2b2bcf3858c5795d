//! `tidegate run FILE` between real hosts: the world of the machine is followed, rules are read again under traffic, and
//! what is taken over is given back.
//!
//! ```text
//!   client ---- lan [ gateway ] wan ---- server
//!   10.0.1.2    .1              .1       10.0.2.2
//!   fd01::2     ::1             ::1      fd02::2
//! ```
//!
//! Takes root, or user namespaces for everybody: `cargo test -p tidegate --test gateway`. The gateway's namespace is the
//! test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "not every test needs all of it")]
mod ends;
mod stage;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use self::ends::{
    CLIENT, Host, INSIDE, Net, OUTSIDE, RULES, SERVER, both_sides, exchange, received_from,
    rules_and,
};
use self::stage::{Program, TIDEGATE, call, command_of, new_network, play, until};

const FILE: &str = "
rules4 = \"rules\"
rules6 = \"rules\"
take-over = true
[control]
socket = \"socket\"
[[interface]]
name = \"lan\"
[[interface]]
name = \"wan\"
";

fn main() -> ExitCode {
    play(
        &[
            ("neighbours_are_found_and_used", neighbours_are_found_and_used),
            ("masquerade_follows_the_address", masquerade_follows_the_address),
            ("a_link_that_goes_takes_its_flows_along", a_link_that_goes_takes_its_flows_along),
            ("routes_are_followed", routes_are_followed),
            ("what_is_too_big_is_told", what_is_too_big_is_told),
            ("rules_change_under_traffic", rules_change_under_traffic),
            ("what_happens_is_told", what_happens_is_told),
            ("the_kernel_gets_back_what_was_taken", the_kernel_gets_back_what_was_taken),
            ("privileges_are_given_up", privileges_are_given_up),
            ("a_service_manager_is_told", a_service_manager_is_told),
            ("a_world_from_the_file", a_world_from_the_file),
            ("what_rules_say_is_written_down", what_rules_say_is_written_down),
            ("who_writes_to_nobody_is_told", who_writes_to_nobody_is_told),
            ("without_its_fence_a_gateway_ends", without_its_fence_a_gateway_ends),
            ("an_upgrade_loses_no_connection", an_upgrade_loses_no_connection),
            ("a_killed_gateway_picks_connections_up", a_killed_gateway_picks_connections_up),
            ("the_host_s_own_programs_are_told", the_host_s_own_programs_are_told),
        ],
        new_network,
    )
}

impl Net {
    fn new() -> Self {
        Self::with(FILE, |_| {})
    }

    fn with(file: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::with_rules(file, RULES, prepare)
    }

    fn with_rules(file: &str, rules: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::by(&[TIDEGATE], file, rules, prepare)
    }

    /// The gateway's command line begins with these words.
    fn by(words: &[&str], file: &str, rules: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        for switch in SWITCHES {
            fs::write(switch, "1").unwrap();
        }
        let mut net = Self::between(both_sides(), |place| {
            fs::write(place.join("rules"), rules).unwrap();
            fs::write(place.join("gateway.toml"), file).unwrap();
            let log = fs::File::create(place.join("log")).unwrap();
            let mut command = command_of(words[0], &words[1..]);
            command.arg("run").arg(place.join("gateway.toml")).stderr(Stdio::from(log));
            prepare(&mut command);
            Program(command.spawn().unwrap())
        });
        until(|| {
            let has_ended = net.gateway.0.try_wait().unwrap().is_some();
            assert!(!has_ended, "{}", net.log());
            (net.log().contains("drops:") && net.socket().exists()).then_some(())
        });
        net
    }

    /// Starts another gateway in the place of one that has ended.
    fn start_again(&mut self) {
        assert!(self.gateway.0.try_wait().unwrap().is_some());
        fs::write(self.place.path().join("log"), "").unwrap();
        let log = fs::File::create(self.place.path().join("log")).unwrap();
        let mut command = command_of(TIDEGATE, &["run"]);
        command.arg(self.place.path().join("gateway.toml")).stderr(Stdio::from(log));
        self.gateway = Program(command.spawn().unwrap());
        until(|| (self.log().contains("drops:") && self.socket().exists()).then_some(()));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    /// What `tidegate` says when it is asked about the gateway.
    fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(TIDEGATE);
        command.args(args).arg("--socket").arg(self.socket()).output().unwrap()
    }

    fn flows(&self) -> String {
        let listed = self.ask(&["list"]);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        String::from_utf8(listed.stdout).unwrap()
    }

    /// A connection from the client, with both its ends and whom the server takes for its peer.
    fn connect(&self, to: IpAddr) -> (TcpStream, TcpStream, IpAddr) {
        let listener = self.server.within(|| TcpListener::bind((to, 0)).unwrap());
        let to = listener.local_addr().unwrap();
        let stream = self.client.within(|| connect(to)).unwrap_or_else(|error| {
            panic!("{to}: {error}\n{}\n{}", self.log(), self.flows());
        });
        let (accepted, peer) = listener.accept().unwrap();
        (stream, accepted, peer.ip())
    }
}

const SWITCHES: [&str; 2] =
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&to, Duration::from_secs(3))
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Waits until an interface's addresses may be used: even without a question that takes the kernel a moment.
fn settle(port: &str) {
    let tentative = ["-6", "address", "show", "dev", port, "tentative"];
    until(|| call("ip", &tentative).is_empty().then_some(()));
}

/// A few words from one end to the other.
fn say(mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    to.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    from.write_all(b"hello")?;
    to.read_exact(&mut [0; 5])
}

fn neighbours_are_found_and_used() {
    let net = Net::new();
    for family in 0..2 {
        let server = addr(SERVER[family]);
        // Nobody has ever spoken to either of them.
        let source = received_from(&net.client, &net.server, SocketAddr::new(server, 53), 100);
        assert_eq!(source.ip(), addr(OUTSIDE[family]));
        let (stream, accepted, peer) = net.connect(server);
        assert_eq!(peer, addr(OUTSIDE[family]));
        say(&stream, &accepted).unwrap();
        // One who isn't there can't be reached; when he has come he can.
        let late = ["10.0.2.3", "fd02::3"][family];
        let reach =
            || net.client.output("ping", &["-c", "1", "-W", "1", late]).contains(" 1 received");
        for _ in 0..5 {
            assert!(!reach());
        }
        let with_length = format!("{late}/{}", ["24", "64"][family]);
        let nodad: &[&str] = [&[][..], &["nodad"]][family];
        net.server.call("ip", &[&["address", "add", &with_length, "dev", "eth0"], nodad].concat());
        until(|| reach().then_some(()));
    }
}

fn masquerade_follows_the_address() {
    let net = Net::new();
    let changed = [("10.0.2.1/24", "10.0.2.9/24"), ("fd02::1/64", "fd02::9/64")];
    for (family, (old, new)) in changed.into_iter().enumerate() {
        let server = addr(SERVER[family]);
        let (stream, accepted, peer) = net.connect(server);
        assert_eq!(peer, addr(OUTSIDE[family]));
        say(&stream, &accepted).unwrap();
        let masqueraded = format!("dst={}", if family == 0 { "10.0.2.1" } else { "fd02::1" });
        let is_listed =
            |net: &Net| net.flows().lines().any(|line| line.contains(&format!("{masqueraded} ")));
        assert!(is_listed(&net), "{}", net.flows());
        call("ip", &["address", "del", old, "dev", "wan"]);
        let nodad: &[&str] = [&[][..], &["nodad"]][family];
        call("ip", &[&["address", "add", new, "dev", "wan"], nodad].concat());
        settle("wan");
        until(|| (!is_listed(&net)).then_some(()));
        let (stream, accepted, peer) = net.connect(server);
        assert_eq!(peer, addr(new.split('/').next().unwrap()));
        say(&stream, &accepted).unwrap();
    }
}

fn a_link_that_goes_takes_its_flows_along() {
    let net = Net::new();
    for server in SERVER.map(addr) {
        let (stream, accepted, _) = net.connect(server);
        say(&stream, &accepted).unwrap();
    }
    assert!(net.flows().contains("dst=10.0.2.1 ") && net.flows().contains("dst=fd02::1 "));
    call("ip", &["link", "set", "wan", "down"]);
    until(|| net.flows().is_empty().then_some(()));
    // IPv6 addresses went with the link.
    call("ip", &["link", "set", "wan", "up"]);
    call("ip", &["address", "add", "fd02::1/64", "dev", "wan", "nodad"]);
    settle("wan");
    for server in SERVER.map(addr) {
        let (stream, accepted, _) = net.connect(server);
        say(&stream, &accepted).unwrap();
    }
}

/// A network behind the server, to which there is no way at first.
fn routes_are_followed() {
    let net = Net::new();
    let behind = [("10.7.0.1", "10.7.0.0/16", "32"), ("fd07::1", "fd07::/16", "128")];
    for (family, (host, network, bits)) in behind.into_iter().enumerate() {
        net.server.call("ip", &["address", "add", &format!("{host}/{bits}"), "dev", "lo"]);
        let told = net.client.output("ping", &["-c", "1", "-W", "2", host]).to_lowercase();
        assert!(told.contains("unreachable") || told.contains("no route"), "{told}");
        call("ip", &["route", "add", network, "via", SERVER[family]]);
        let (stream, accepted, peer) = net.connect(addr(host));
        assert_eq!(peer, addr(OUTSIDE[family]));
        say(&stream, &accepted).unwrap();
        call("ip", &["route", "del", network]);
        let told = net.client.output("ping", &["-c", "1", "-W", "2", host]).to_lowercase();
        assert!(told.contains("unreachable") || told.contains("no route"), "{told}");
    }
}

fn what_is_too_big_is_told() {
    let net = Net::new();
    call("ip", &["link", "set", "wan", "mtu", "1300"]);
    for (family, server) in SERVER.into_iter().enumerate() {
        let options = ["-c", "1", "-W", "3", "-M", "do", "-s", "1400", server];
        let told = net.client.output("ping", &options);
        assert!(told.contains("mtu = 1300") || told.contains("mtu=1300"), "{told}");
        // The kernel has learnt it, and a stream gets through.
        let learnt = net.client.call("ip", &["route", "get", server]);
        assert!(learnt.contains("mtu 1300"), "{learnt}");
        let (mut stream, mut accepted, peer) = net.connect(addr(server));
        assert_eq!(peer, addr(OUTSIDE[family]));
        accepted.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sender =
            std::thread::spawn(move || stream.write_all(&[7; 1 << 20]).map(|()| drop(stream)));
        let mut heard = Vec::new();
        accepted.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), 1 << 20);
        sender.join().unwrap().unwrap();
    }
    net.client.call("ip", &["route", "flush", "cache"]);
    net.client.call("ip", &["-6", "route", "flush", "cache"]);
    // A stream that finds it out by itself: its segments are too big when it begins.
    for server in SERVER {
        let (mut stream, mut accepted, _) = net.connect(addr(server));
        accepted.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sender =
            std::thread::spawn(move || stream.write_all(&[7; 1 << 20]).map(|()| drop(stream)));
        let mut heard = Vec::new();
        accepted.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), 1 << 20);
        sender.join().unwrap().unwrap();
    }
}

fn rules_change_under_traffic() {
    let net = Net::new();
    let streams = SERVER.map(|server| net.connect(addr(server)));
    let listeners =
        SERVER.map(|server| net.server.within(|| TcpListener::bind((addr(server), 99)).unwrap()));
    let closed = RULES.replace("-i lan -o wan -m conntrack --ctstate NEW", "-p tcp --dport 1");
    fs::write(net.place.path().join("rules"), &closed).unwrap();
    let told = net.ask(&["reload"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    for (stream, accepted, _) in &streams {
        say(stream, accepted).unwrap();
    }
    let quick = |to| TcpStream::connect_timeout(&to, Duration::from_millis(300));
    for listener in &listeners {
        let to = listener.local_addr().unwrap();
        assert!(net.client.within(|| quick(to)).is_err(), "new ones are refused now");
    }
    // What is at fault changes nothing, and is told.
    fs::write(net.place.path().join("rules"), RULES.replace("MASQUERADE", "MASQUERAID")).unwrap();
    let told = net.ask(&["reload"]);
    assert_eq!(told.status.code(), Some(1));
    let words = String::from_utf8(told.stderr).unwrap();
    assert!(words.contains("rules:6:") && words.contains("MASQUERAID"), "{words}");
    assert!(words.contains("nothing has changed"), "{words}");
    let to = listeners[0].local_addr().unwrap();
    assert!(net.client.within(|| quick(to)).is_err());
    fs::write(net.place.path().join("rules"), RULES).unwrap();
    assert!(net.ask(&["reload"]).status.success());
    for listener in &listeners {
        net.client.within(|| connect(listener.local_addr().unwrap())).unwrap();
    }
    for (stream, accepted, _) in &streams {
        say(accepted, stream).unwrap();
    }
}

fn what_happens_is_told() {
    let net = Net::new();
    let logging = RULES.replace(
        "-A FORWARD -i lan",
        "-A FORWARD -p tcp -m conntrack --ctstate NEW -j LOG --log-prefix \"new: \"\n-A FORWARD -i lan",
    );
    fs::write(net.place.path().join("rules"), logging).unwrap();
    assert!(net.ask(&["reload"]).status.success());
    for server in SERVER {
        net.connect(addr(server));
        until(|| {
            let log = net.log();
            let mut lines = log.lines().filter(|line| line.starts_with("new: IN=lan OUT=wan"));
            lines.any(|line| line.contains("PROTO=TCP")).then_some(())
        });
    }
    // A policy rule that can't be served isn't passed over in silence.
    call("ip", &["rule", "add", "sport", "80", "priority", "77", "table", "100"]);
    until(|| net.log().contains("policy rule 77 is passed over: ports").then_some(()));
}

fn the_kernel_gets_back_what_was_taken() {
    let conf = "/proc/sys/net/ipv6/conf/lan/forwarding";
    let read = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
    let mut net = Net::with(FILE, |_| {
        // One interface that did not forward before.
        fs::write(conf, "0").unwrap();
    });
    assert!(SWITCHES.iter().all(|switch| read(switch) == "0"));
    assert!(net.log().contains("the kernel no longer forwards"), "{}", net.log());
    net.gateway.end();
    assert!(SWITCHES.iter().all(|switch| read(switch) == "1"));
    assert_eq!((read(conf), read(&conf.replace("lan", "wan"))), ("0".to_owned(), "1".to_owned()));
    assert!(!net.socket().exists());
}

fn privileges_are_given_up() {
    let net = Net::new();
    let status = fs::read_to_string(format!("/proc/{}/status", net.gateway.0.id())).unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let (read_search, admin, raw) = (1 << 2, 1 << 12, 1 << 13);
    for set in ["CapPrm:", "CapEff:"] {
        assert_eq!(
            u64::from_str_radix(field(set), 16).unwrap(),
            read_search | admin | raw,
            "{set}"
        );
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert!(net.log().contains("may still: CAP_NET_ADMIN, CAP_NET_RAW"), "{}", net.log());
}

fn a_service_manager_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut net = Net::with(FILE, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    let mut told = String::new();
    let mut until_told = |words: &[&str]| {
        for word in words {
            while !told.contains(word) {
                let mut bytes = [0; 256];
                let len = manager.recv(&mut bytes).expect("it is told");
                told += str::from_utf8(&bytes[..len]).unwrap();
            }
        }
        told.clear();
    };
    until_told(&["READY=1", "WATCHDOG=1"]);
    until_told(&["WATCHDOG=1"]);
    assert!(net.ask(&["reload"]).status.success());
    until_told(&["RELOADING=1", "MONOTONIC_USEC=", "READY=1"]);
    net.gateway.end();
    until_told(&["STOPPING=1"]);
}

/// Addresses, routes and neighbours of the gateway are in the file alone: the kernel has none of them.
fn a_world_from_the_file() {
    let server = Host::new();
    let client = Host::new();
    for (host, port, own, last) in [(&client, "lan", CLIENT, 1), (&server, "wan", SERVER, 2)] {
        host.join(port);
        host.dress(port, own, if last == 1 { INSIDE } else { OUTSIDE });
        call("ip", &["link", "set", port, "address", &format!("02:00:00:00:00:{last:02}")]);
        host.call("ip", &["link", "set", "eth0", "address", &format!("02:00:00:00:01:{last:02}")]);
        call("ip", &["address", "flush", "dev", port]);
        let router = if last == 1 { INSIDE } else { OUTSIDE };
        for router in router {
            let mac = format!("02:00:00:00:00:{last:02}");
            host.call("ip", &["neigh", "replace", router, "lladdr", &mac, "dev", "eth0"]);
        }
    }
    for router in INSIDE {
        client.call("ip", &["route", "add", "default", "via", router]);
    }
    let place = tempfile::tempdir().unwrap();
    let mut file = FILE.to_owned();
    for (port, last, own, peers) in [("lan", 1, INSIDE, CLIENT), ("wan", 2, OUTSIDE, SERVER)] {
        file += &format!(
            "[[world.link]]\nname = \"{port}\"\nmac = \"02:00:00:00:00:{last:02}\"\n\
             addresses = [\"{}/24\", \"{}/64\"]\n",
            own[0], own[1]
        );
        for peer in peers {
            file += &format!(
                "[[world.neighbour]]\nport = \"{port}\"\naddress = \"{peer}\"\nmac = \"02:00:00:00:01:{last:02}\"\n"
            );
        }
    }
    fs::write(place.path().join("rules"), RULES).unwrap();
    fs::write(place.path().join("gateway.toml"), file).unwrap();
    let mut command = Command::new(TIDEGATE);
    let gateway =
        Program(command.arg("run").arg(place.path().join("gateway.toml")).spawn().unwrap());
    until(|| place.path().join("socket").exists().then_some(()));
    let net = Net { client, server, gateway, place };
    fs::write(net.place.path().join("log"), "").unwrap();
    for (family, server) in SERVER.into_iter().enumerate() {
        let (stream, accepted, peer) = net.connect(addr(server));
        assert_eq!(peer, addr(OUTSIDE[family]));
        say(&stream, &accepted).unwrap();
    }
}

/// Lines as the kernel writes them, and copies as dumpcap reads them; what the capture has no room for is told.
fn what_rules_say_is_written_down() {
    let rules = rules_and(
        "-A FORWARD -p udp -m udp --dport 53 -j LOG --log-prefix \"asks: \"\n\
         -A FORWARD -p udp -m udp --dport 53 -j NFLOG --nflog-group 7 --nflog-prefix copied\n",
    );
    // Rules are appended behind those that accept: they see what those leave.
    let (accepting, logging): (Vec<&str>, Vec<&str>) =
        rules.lines().partition(|line| !line.contains("--dport 53"));
    let at = accepting.iter().position(|line| line.starts_with("-A FORWARD")).unwrap();
    let rules = [&accepting[..at], &logging, &accepting[at..], &[""]].concat().join("\n");
    let file = format!("{FILE}[log]\nnflog = \"copies\"\nnflog-limit = 3000\n");
    let net = Net::with_rules(&file, &rules, |_| {});
    for (server, len) in [(SERVER[0], 100), (SERVER[1], 100), (SERVER[0], 4000)] {
        received_from(&net.client, &net.server, SocketAddr::new(addr(server), 53), len);
    }
    let said = until(|| {
        let log = net.log();
        log.contains("log.nflog-limit").then_some(log)
    });
    let line = "asks: IN=lan OUT=wan MAC=";
    assert!(said.contains(line) && said.contains(" SRC=10.0.1.2 DST=10.0.2.2 LEN=128 "), "{said}");
    assert!(said.contains(" SRC=fd01:0000:0000:0000:0000:0000:0000:0002 "), "{said}");
    let written = fs::read(net.place.path().join("copies")).unwrap();
    let mut capture = tidegate_wire::pcap::Capture::open(&written[..]).unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = capture.next_frame().unwrap() {
        seen.push(frame.data.to_vec());
    }
    assert_eq!(seen.len(), 2, "the third is larger than what was left");
    for (frame, family) in seen.iter().zip([2, 10]) {
        assert_eq!(frame[..4], [family, 0, 0, 7]);
        assert!(frame.windows(7).any(|bytes| bytes == b"copied\0"));
    }
    let mut net = net;
    net.gateway.end();
    assert!(net.log().contains("1 lines and copies of packets were lost"), "{}", net.log());
}

/// By the kernel's word that nobody answers, and where the kernel says nothing.
fn who_writes_to_nobody_is_told() {
    use std::io::ErrorKind::HostUnreachable;
    let net = Net::new();
    let retransmit =
        ["ipv4", "ipv6"].map(|family| format!("/proc/sys/net/{family}/neigh/wan/retrans_time_ms"));
    for (is_silent, last) in [(false, 77), (true, 78), (true, 78)] {
        if is_silent {
            retransmit.iter().for_each(|path| fs::write(path, "60000").unwrap());
        }
        for absent in [format!("10.0.2.{last}"), format!("fd02::{last}")] {
            let absent = SocketAddr::new(addr(&absent), 80);
            let long = Duration::from_secs(8);
            let told = net.client.within(|| TcpStream::connect_timeout(&absent, long).unwrap_err());
            assert_eq!(told.kind(), HostUnreachable, "{absent}, silent: {is_silent}: {told}");
        }
    }
}

/// What a rule of OUTPUT refuses.
fn the_host_s_own_programs_are_told() {
    let rules = rules_and(
        "-A OUTPUT -p tcp -m tcp --dport 10 -j REJECT --reject-with tcp-reset\n\
         -A OUTPUT -p tcp -m tcp --dport 11 -j REJECT\n-A OUTPUT -p udp -m udp --dport 11 -j REJECT\n",
    );
    let net = Net::with_rules(FILE, &rules, |_| {});
    for server in SERVER.map(addr) {
        for port in [10, 11] {
            let told = connect(SocketAddr::new(server, port)).unwrap_err();
            assert_eq!(
                told.kind(),
                std::io::ErrorKind::ConnectionRefused,
                "{server}: {port}: {told}"
            );
        }
        let any: IpAddr = if server.is_ipv4() { addr("0.0.0.0") } else { addr("::") };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.connect((server, 11)).unwrap();
        socket.send(b"hello").unwrap();
        let told = socket.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(told.kind(), std::io::ErrorKind::ConnectionRefused, "{server}: {told}");
    }
    drop(net);
}

/// Who may not load programs for the kernel has a table of nftables, which belongs to a process.
fn without_its_fence_a_gateway_ends() {
    let words = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", TIDEGATE];
    let mut net = Net::by(&words, FILE, RULES, |_| {});
    assert!(net.log().contains("fenced by nftables"), "{}", net.log());
    received_from(&net.client, &net.server, SocketAddr::new(addr(SERVER[0]), 53), 100);
    // Nobody else can take it away.
    let _ = command_of("nft", &["flush", "ruleset"]).output().unwrap();
    assert!(call("nft", &["list", "ruleset"]).contains("table netdev tidegate_"));
    let gateway = net.gateway.0.id().to_string();
    let owner = call("pgrep", &["-P", &gateway, "-x", "nft"]);
    call("kill", &["-KILL", owner.trim()]);
    let status = until(|| net.gateway.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(net.log().contains("what kept the kernel away"), "{}", net.log());
}

/// Flows are saved at the end and taken over at the start, with what they are translated to.
fn an_upgrade_loses_no_connection() {
    // The server's side can't begin anything: what comes from there must belong to a flow.
    let mut net = Net::with(&format!("state = \"flows\"\n{FILE}"), |_| {});
    let connections: Vec<_> = SERVER.iter().map(|server| net.connect(addr(server))).collect();
    let udp = SERVER.map(|server| {
        let listener = net.server.within(|| UdpSocket::bind((addr(server), 5000)).unwrap());
        let any: IpAddr = if addr(server).is_ipv4() { addr("0.0.0.0") } else { addr("::") };
        let socket = net.client.within(|| UdpSocket::bind((any, 0)).unwrap());
        socket.connect((addr(server), 5000)).unwrap();
        socket.send(b"hello").unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let (_, seen) = listener.recv_from(&mut [0; 8]).unwrap();
        (listener, socket, seen)
    });
    for (stream, accepted, _) in &connections {
        say(stream, accepted).unwrap();
        say(accepted, stream).unwrap();
    }
    let tuples = |listed: &str| {
        let mut tuples: Vec<String> = listed
            .lines()
            .filter(|line| line.contains("tcp") || line.contains("udp"))
            .map(|line| {
                line.split(' ').filter(|word| word.contains('=')).collect::<Vec<_>>().join(" ")
            })
            .collect();
        tuples.sort();
        tuples
    };
    let before = tuples(&net.flows());
    net.gateway.end();
    assert!(net.log().contains("flows saved in"), "{}", net.log());
    assert!(net.place.path().join("flows").exists());
    net.start_again();
    assert!(net.log().contains("flows taken over"), "{}", net.log());
    // It goes by what is in it, once the gateway is at work.
    until(|| (!net.place.path().join("flows").exists()).then_some(()));
    assert_eq!(tuples(&net.flows()), before);
    // The server speaks first: without its flow nobody would know for whom that is.
    for (stream, accepted, _) in &connections {
        say(accepted, stream).unwrap();
        say(stream, accepted).unwrap();
        exchange(stream, accepted, 4 << 20);
    }
    for (listener, socket, seen) in &udp {
        listener.send_to(b"again", seen).unwrap();
        socket.recv(&mut [0; 8]).unwrap();
        socket.send(b"hello").unwrap();
        assert_eq!(listener.recv_from(&mut [0; 8]).unwrap().1, *seen);
    }
    // What is masqueraded still follows its address.
    call("ip", &["address", "del", "10.0.2.1/24", "dev", "wan"]);
    until(|| (!net.flows().contains("dst=10.0.2.1")).then_some(()));
}

/// Without translation a connection can be picked up from the middle (nf_conntrack_tcp_loose), also by a gateway that
/// knows nothing.
fn a_killed_gateway_picks_connections_up() {
    let rules: String = RULES
        .lines()
        .filter(|line| !line.contains("MASQUERADE"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut net = Net::with_rules(FILE, &rules, |_| {});
    net.server.call("ip", &["route", "add", "10.0.1.0/24", "via", OUTSIDE[0]]);
    net.server.call("ip", &["route", "add", "fd01::/64", "via", OUTSIDE[1]]);
    let connections: Vec<_> = SERVER.iter().map(|server| net.connect(addr(server))).collect();
    for (at, (stream, accepted, peer)) in connections.iter().enumerate() {
        assert_eq!(*peer, addr(CLIENT[at]));
        say(stream, accepted).unwrap();
    }
    call("kill", &["-KILL", &net.gateway.0.id().to_string()]);
    net.gateway.0.wait().unwrap();
    net.start_again();
    assert!(!net.flows().contains("tcp"));
    for (stream, accepted, _) in &connections {
        say(stream, accepted).unwrap();
        say(accepted, stream).unwrap();
        exchange(stream, accepted, 4 << 20);
    }
}
