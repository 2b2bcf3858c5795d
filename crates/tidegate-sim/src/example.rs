//! The example capture: one busy minute at a small gateway, made by our own code.
//!
//! It shows what people ask about: clients behind MASQUERADE, a server behind
//! DNAT, names and pings, an unanswered port scan, a connection that is refused,
//! a late segment that conntrack calls INVALID, an ICMP error that is RELATED,
//! and IPv6 without translation. `cargo run -p tidegate-sim -- example DIR`
//! writes it again, byte for byte.

pub(crate) mod frame;

use std::net::IpAddr;

use tidegate_wire::packet::tcp::TcpFlags;

use self::frame::{Endpoint, Side, ping, quote_unreachable, tcp, udp};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
const PSH_ACK: TcpFlags = TcpFlags::PSH.union(TcpFlags::ACK);
const RST_ACK: TcpFlags = TcpFlags::RST.union(TcpFlags::ACK);

const MILLISECOND: u64 = 1_000_000;

/// Frames in the order of their times.
#[derive(Default)]
struct Story {
    frames: Vec<(u64, Vec<u8>)>,
    now: u64,
}

impl Story {
    fn at(&mut self, ms: u64) {
        self.now = ms * MILLISECOND;
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.frames.push((self.now, frame));
        self.now += 7 * MILLISECOND;
    }

    /// A whole TCP conversation: `request` and `reply` are lengths in bytes.
    /// `gateway` is how the server sees the client, if that is translated.
    fn conversation(&mut self, talk: &Talk, request: usize, reply: usize) {
        let Talk { client, server, seen_client, seen_server, .. } = *talk;
        let [c, s] = [1_000_u32, 9_000];
        let out =
            |flags, seq, ack, len| tcp(talk.side, client, seen_server, flags, (seq, ack), len);
        let back = |flags, seq, ack, len| {
            tcp(talk.side.opposite(), server, seen_client, flags, (seq, ack), len)
        };
        self.send(out(SYN, c, 0, 0));
        self.send(back(SYN_ACK, s, c + 1, 0));
        self.send(out(ACK, c + 1, s + 1, 0));
        let (mut c, mut s) = (c + 1, s + 1);
        self.send(out(PSH_ACK, c, s, request));
        c += request as u32;
        for chunk in chunks(reply) {
            self.send(back(PSH_ACK, s, c, chunk));
            s += chunk as u32;
            self.send(out(ACK, c, s, 0));
        }
        self.send(back(FIN_ACK, s, c, 0));
        self.send(out(FIN_ACK, c, s + 1, 0));
        self.send(back(ACK, s + 1, c + 1, 0));
    }
}

/// Who talks to whom, and how each appears to the other.
#[derive(Clone, Copy)]
struct Talk {
    side: Side,
    client: Endpoint,
    server: Endpoint,
    seen_client: Endpoint,
    seen_server: Endpoint,
}

impl Talk {
    /// From the inside; the server sees the gateway's address.
    fn masqueraded(client: Endpoint, server: Endpoint) -> Self {
        let gateway = (address(GATEWAY), client.1);
        Self { side: Side::Lan, client, server, seen_client: gateway, seen_server: server }
    }

    /// From the inside, in IPv6: nothing is translated.
    fn plain(client: Endpoint, server: Endpoint) -> Self {
        Self { side: Side::Lan, client, server, seen_client: client, seen_server: server }
    }

    /// From the outside to a port of the gateway that leads to `server`.
    fn forwarded(client: Endpoint, public: Endpoint, server: Endpoint) -> Self {
        Self { side: Side::Wan, client, server, seen_client: client, seen_server: public }
    }
}

fn chunks(mut len: usize) -> Vec<usize> {
    let mut chunks = Vec::new();
    while len > 0 {
        let chunk = len.min(1400);
        chunks.push(chunk);
        len -= chunk;
    }
    chunks
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

const GATEWAY: &str = "203.0.113.1";
const LAPTOP: &str = "10.0.1.20";
const PHONE: &str = "10.0.1.21";
const NAS: &str = "10.0.1.10";
const WEB: &str = "203.0.113.80";
const RESOLVER: &str = "203.0.113.53";
const VISITOR: &str = "203.0.113.99";
const SCANNER: &str = "203.0.113.66";
const LAPTOP6: &str = "fd00:1::20";
const WEB6: &str = "2001:db8:1::80";

/// The files of the example: capture, rules, settings and a word about it.
#[must_use]
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("about.txt", ABOUT.into()),
        ("packets.pcap", frame::capture(&story().frames)),
        ("rules.v4", RULES_V4.into()),
        ("rules.v6", RULES_V6.into()),
        ("sysctl.conf", SYSCTL.into()),
    ]
}

fn story() -> Story {
    let mut story = Story::default();
    browse(&mut story);
    serve(&mut story);
    misfortunes(&mut story);
    scan(&mut story);
    story.frames.sort_by_key(|(time, _)| *time);
    story
}

/// Names, pages and pings of the people inside.
fn browse(story: &mut Story) {
    let resolver = (address(RESOLVER), 53);
    for (i, host) in [LAPTOP, PHONE, LAPTOP, PHONE].into_iter().enumerate() {
        let port = 40_000 + i as u16;
        story.at(500 * i as u64);
        story.send(udp(Side::Lan, (address(host), port), resolver, 33));
        story.send(udp(Side::Wan, resolver, (address(GATEWAY), port), 120));
        let talk = Talk::masqueraded((address(host), 50_000 + i as u16), (address(WEB), 443));
        story.conversation(&talk, 310, 4_000 + 3_000 * i);
    }
    story.at(3_000);
    let talk = Talk::plain((address(LAPTOP6), 50_100), (address(WEB6), 443));
    story.conversation(&talk, 280, 6_000);
    for seq in 0..4 {
        story.at(5_000 + 1_000 * u64::from(seq));
        story.send(ping(Side::Lan, address(LAPTOP), address(WEB), true, (77, seq)));
        story.send(ping(Side::Wan, address(WEB), address(GATEWAY), false, (77, seq)));
    }
}

/// A visitor reaches the box behind port 8080.
fn serve(story: &mut Story) {
    story.at(9_500);
    let public = (address(GATEWAY), 8080);
    let talk = Talk::forwarded((address(VISITOR), 33_000), public, (address(NAS), 80));
    story.conversation(&talk, 200, 2_500);
}

/// A refused connection, an unreachable port, and a segment that comes too late.
fn misfortunes(story: &mut Story) {
    let (phone, web, gateway) = (address(PHONE), address(WEB), address(GATEWAY));
    story.at(12_000);
    story.send(tcp(Side::Lan, (phone, 51_000), (web, 25), SYN, (500, 0), 0));
    story.send(tcp(Side::Wan, (web, 25), (gateway, 51_000), RST_ACK, (0, 501), 0));
    story.at(13_000);
    story.send(udp(Side::Lan, (phone, 51_001), (web, 123), 48));
    story.send(quote_unreachable((web, gateway), (gateway, 51_001), (web, 123), 48));
    story.at(14_000);
    // To a connection that ended long ago, far outside of any window.
    story.send(tcp(Side::Wan, (web, 443), (gateway, 50_000), PSH_ACK, (900_000, 1_311), 100));
    story.send(tcp(Side::Wan, (web, 443), (gateway, 59_999), FIN_ACK, (1, 1), 0));
}

/// Somebody outside tries the usual ports.
fn scan(story: &mut Story) {
    for (i, port) in
        [21, 22, 23, 80, 443, 445, 1433, 3306, 3389, 5900, 6379, 8443].into_iter().enumerate()
    {
        story.at(20_000 + 90 * i as u64);
        let scanner = (address(SCANNER), 61_000 + i as u16);
        story.send(tcp(Side::Wan, scanner, (address(GATEWAY), port), SYN, (42, 0), 0));
    }
}

const ABOUT: &str =
    "A busy minute at a small gateway: two clients behind MASQUERADE, a server behind DNAT,
names, pings, a refused connection, an ICMP error, a stray segment, a port scan, and IPv6.
The router is 10.0.1.1 and fd00:1::1 on in0, 203.0.113.1 and 2001:db8:1::1 on out0.
";

const RULES_V4: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i out0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.1.10:80
-A POSTROUTING -o out0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:LOGDROP - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i in0 -j ACCEPT
-A INPUT -m limit --limit 5/sec -j LOG --log-prefix \"refused: \"
-A FORWARD -m conntrack --ctstate INVALID -j LOGDROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i in0 -o out0 -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -i out0 -m conntrack --ctstate DNAT -j ACCEPT
-A FORWARD -j REJECT --reject-with icmp-admin-prohibited
-A LOGDROP -j LOG --log-prefix \"invalid: \"
-A LOGDROP -j DROP
COMMIT
";

const RULES_V6: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i in0 -o out0 -j ACCEPT
COMMIT
";

const SYSCTL: &str = "# What this gateway changes from the kernel's defaults.
net.netfilter.nf_conntrack_acct = 1
net.netfilter.nf_conntrack_tcp_timeout_established = 7200
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_example_is_what_this_code_makes() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/home-gateway/");
        for (name, bytes) in files() {
            let committed = std::fs::read(format!("{dir}{name}"));
            assert!(committed.is_ok_and(|committed| committed == bytes), "{name} differs");
        }
    }
}
