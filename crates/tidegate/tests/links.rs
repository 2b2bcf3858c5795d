//! Links that not every kernel has: VLAN interfaces (8021q), and cables that netem makes worse.
//!
//! ```text
//!   client eth0 = trunk, VLAN 7 ---- lan-trunk, VLAN 7 = lan [ gateway ] wan = wan-trunk, VLAN 8 ---- trunk, VLAN 8 = eth0 server
//! ```
//!
//! Takes what `forward` takes, `tc`, and a kernel with 8021q and sch_netem: `cargo test -p tidegate --test links`. Where the
//! kernel has neither, `contrib/other-kernel.sh` runs it with another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod stage;

use std::io::read_to_string;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};

use self::ends::{
    Host, Net, OUTSIDE, RULES, SERVER, addresses, both_sides, both_sides_joined, cable, exchange,
    received_from, sum_of,
};
use self::stage::{Program, TIDEGATE, call, new_network, play, until, words};

/// What netem does to a cable.
const FAULTS: &str = "delay 2ms reorder 75% 50% loss 0.5% duplicate 1%";

fn main() -> ExitCode {
    let tests: [(&str, fn()); 5] = [
        ("packet_sockets_serve_vlans", serves_vlans),
        ("packet_sockets_serve_a_trunk", serves_a_trunk),
        ("packet_sockets_amid_netem", || carries_amid_netem("packet")),
        ("xdp_refuses_vlans", xdp_refuses_vlans),
        ("xdp_amid_netem", || carries_amid_netem("xdp")),
    ];
    play(&tests, new_network)
}

/// Client and server, each in a VLAN of a cable of its own.
fn serves_vlans() {
    let net = Net::by_plane(
        "packet",
        RULES,
        both_sides_joined(|host, port| {
            let trunk = format!("{port}-trunk");
            lay_trunk(&trunk, host);
            call("ip", &vlan(&trunk, port));
            host.call("ip", &vlan("trunk", port));
            host.call("ip", &["link", "set", port, "name", "eth0"]);
        }),
    );
    net.carries(8 << 20);
    net.carries_datagrams();
    net.check();
}

/// Client and server behind a switch, which has one cable to the gateway. A third VLAN of that cable is the kernel's.
fn serves_a_trunk() {
    let switch = Host::new();
    lay_trunk("trunk", &switch);
    for (own, far) in [(true, "10.0.9.1/24"), (false, "10.0.9.2/24")] {
        let run = |args: &[&str]| if own { call("ip", args) } else { switch.call("ip", args) };
        run(&vlan("trunk", "other"));
        run(&["address", "add", far, "dev", "other"]);
        run(&["link", "set", "other", "up"]);
    }
    let net = Net::by_plane(
        "packet",
        RULES,
        both_sides_joined(|host, port| {
            call("ip", &vlan("trunk", port));
            switch.call("ip", &vlan("trunk", port));
            switch.call("ip", &["link", "set", port, "netns", &host.pid(), "name", "eth0"]);
        }),
    );
    net.carries(8 << 20);
    net.carries_datagrams();
    switch.call("ping", &["-c", "2", "-i", "0.2", "-W", "5", "10.0.9.1"]);
    net.check();
}

/// A VLAN interface has superframes that AF_XDP would lose, and the gateway says so.
fn xdp_refuses_vlans() {
    let far = Host::new();
    lay_trunk("trunk", &far);
    call("ip", &vlan("trunk", "lan"));
    let mut command = Command::new(TIDEGATE);
    command.args(["run", "--interface", "lan", "--plane", "xdp"]);
    let mut gateway = Program(command.stderr(Stdio::piped()).spawn().unwrap());
    let status = until(|| gateway.0.try_wait().unwrap());
    let said = read_to_string(gateway.0.stderr.take().unwrap()).unwrap();
    assert!(!status.success() && said.contains("lan: a VLAN interface"), "{said}");
}

/// A cable between an interface of the gateway's and a host's `trunk`.
fn lay_trunk(name: &str, host: &Host) {
    cable(name, "trunk", host);
    call("ip", &["link", "set", name, "up"]);
    host.call("ip", &["link", "set", "trunk", "up"]);
}

/// What ip(8) is told to make a VLAN interface of this name.
fn vlan<'a>(trunk: &'a str, name: &'a str) -> [&'a str; 10] {
    let id = match name {
        "lan" => "7",
        "wan" => "8",
        _ => "9",
    };
    ["link", "add", "link", trunk, "name", name, "type", "vlan", "id", id]
}

/// Segments are late, lost, doubled, and overtaken: TCP gets everything through, by the flows that it began with.
fn carries_amid_netem(plane: &str) {
    let ends = both_sides();
    for host in &ends {
        // So that single segments have these fates, not all that is sent at once.
        host.call("ethtool", &["-K", "eth0", "tso", "off", "gso", "off", "gro", "off"]);
        let worse = ["qdisc", "add", "dev", "eth0", "root", "netem"];
        host.call("tc", &[&worse[..], &words(FAULTS)].concat());
    }
    let net = Net::by_plane(plane, RULES, ends);
    net.carries(2 << 20);
    let table = net.told(&["list"]);
    let connections: Vec<&str> = table.lines().filter(|line| line.contains("tcp")).collect();
    assert_eq!(connections.len(), 2, "each has the flow that it began with: {table}");
    assert!(connections.iter().all(|line| line.contains("ASSURED")), "{table}");
    for host in [&net.client, &net.server] {
        let told = host.call("tc", &["-s", "qdisc", "show", "dev", "eth0"]);
        assert!(!told.contains("dropped 0"), "netem did nothing: {told}");
    }
    net.check();
}

impl Net {
    /// So many bytes by TCP both ways, over both families; the server sees the gateway's address.
    fn carries(&self, bytes: usize) {
        for (server, outside) in addresses(SERVER).into_iter().zip(addresses(OUTSIDE)) {
            let listener = self.server.within(|| TcpListener::bind((server, 80)).unwrap());
            let stream = self.client.within(|| TcpStream::connect((server, 80)).unwrap());
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), outside);
            exchange(&stream, &accepted, bytes);
        }
        assert_eq!(sum_of("Tcp OutRsts"), 0, "the gateway's kernel refuses nothing");
    }

    /// Datagrams there and back, short and in fragments.
    fn carries_datagrams(&self) {
        for (server, outside) in addresses(SERVER).into_iter().zip(addresses(OUTSIDE)) {
            for len in [1, 1200, 5000] {
                let to = SocketAddr::new(server, 53);
                assert_eq!(received_from(&self.client, &self.server, to, len).ip(), outside);
            }
        }
    }
}
