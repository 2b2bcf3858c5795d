//! The router of the scenario format, made of the running kernel: two network namespaces, one
//! with the router and one with the far ends of its two ports.
//!
//! The namespaces have no names. They belong to the thread that made them and to the sockets that
//! were opened in them, so they are gone when those are, however the program ends.

use std::fs::{self, File};
use std::io;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use super::error::KernelError;
use super::netlink::Netlink;
use super::port::Port;
use super::tool;
use super::trace::PROBE;
use crate::campaign::experiment::{Experiment, Ruleset, Side};

/// A fresh router with an experiment's rules and settings. The calling thread is in its namespace.
pub(super) struct Router {
    /// The far ends: LAN, WAN.
    pub(super) peers: [Port; 2],
    /// The router's own end of the LAN side, to send what tells that a packet is through.
    near_end: Port,
    /// For requests.
    pub(super) control: Netlink,
    /// Hears of entries.
    pub(super) events: Netlink,
    /// Hears of packets.
    pub(super) trace: Netlink,
    barriers: u64,
}

impl Router {
    /// Builds the router.
    ///
    /// # Errors
    /// The machine forbids namespaces, a tool is missing, or the kernel refuses rules or settings.
    pub(super) fn new(experiment: &Experiment) -> Result<Self, KernelError> {
        new_namespace()?;
        let outside = File::open(NAMESPACE).map_err(KernelError::at("its network namespace"))?;
        write_settings(&OUTSIDE_SETTINGS)?;
        new_namespace()?;
        write_settings(&SETTINGS)?;
        write_settings(&LATER_SETTINGS)?;
        link(experiment, &outside)?;
        let inside = File::open(NAMESPACE).map_err(KernelError::at("its network namespace"))?;
        let enter = |namespace: &File| {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(KernelError::at("setns"))
        };
        enter(&outside)?;
        tool::run("ip", &["-batch", "-"], OUTSIDE_LINKS)?;
        let peers = [open("lan0", true), open("wan0", true)];
        enter(&inside)?;
        let [lan, wan] = peers;
        tool::run("ip", &["-batch", "-"], ROUTES)?;
        tool::run("nft", &["-f", "-"], PROBE)?;
        configure(experiment)?;
        let netlink = |groups| Netlink::open(groups).map_err(KernelError::at("netlink"));
        Ok(Self {
            peers: [lan?, wan?],
            near_end: open("in0", false)?,
            control: netlink(0)?,
            events: netlink(ENTRY_GROUPS)?,
            trace: netlink(TRACE_GROUP)?,
            barriers: 0,
        })
    }

    /// Sends a frame into the router by a port, and returns when all that it caused at once is
    /// done.
    pub(super) fn inject(&mut self, side: Side, frame: &[u8]) -> io::Result<Vec<(Side, Vec<u8>)>> {
        self.peers[side.index()].send(frame)?;
        let mut left = Vec::new();
        // What the packet caused was queued before the first barrier, and what that caused
        // before the second.
        for _ in 0..2 {
            self.barrier(&mut left)?;
        }
        self.collect(&mut left)?;
        Ok(left)
    }

    /// The datagrams that left since the last look, those by the LAN port first.
    pub(super) fn left(&mut self) -> io::Result<Vec<(Side, Vec<u8>)>> {
        let mut left = Vec::new();
        self.collect(&mut left)?;
        Ok(left)
    }

    /// Frames between the ends of a link are queued by processor, in order, and all of this
    /// happens on one processor.
    fn barrier(&mut self, left: &mut Vec<(Side, Vec<u8>)>) -> io::Result<()> {
        self.barriers += 1;
        let frame = [&BARRIER_HEAD[..], &self.barriers.to_ne_bytes(), &[0; 38]].concat();
        self.near_end.send(&frame)?;
        loop {
            while let Some(received) = self.peers[0].receive()? {
                if received.get(..frame.len()) == Some(&frame[..]) {
                    return Ok(());
                }
                left.extend(datagram(&received).map(|datagram| (Side::Lan, datagram)));
            }
            if !self.peers[0].wait(BARRIER_TIMEOUT)? {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a frame was lost"));
            }
        }
    }

    fn collect(&mut self, left: &mut Vec<(Side, Vec<u8>)>) -> io::Result<()> {
        for side in [Side::Lan, Side::Wan] {
            while let Some(frame) = self.peers[side.index()].receive()? {
                left.extend(datagram(&frame).map(|datagram| (side, datagram)));
            }
        }
        Ok(())
    }
}

fn open(name: &'static str, listens: bool) -> Result<Port, KernelError> {
    Port::open(name, listens).map_err(KernelError::at(name))
}

fn new_namespace() -> Result<(), KernelError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(KernelError::Forbidden)
}

fn link(experiment: &Experiment, outside: &File) -> Result<(), KernelError> {
    use std::os::fd::AsRawFd;
    let place = format!("/proc/{}/fd/{}", std::process::id(), outside.as_raw_fd());
    let mut batch = INSIDE_LINKS.replace("OUTSIDE", &place);
    for (port, mtu) in &experiment.mtus {
        batch += &format!("link set {port} mtu {mtu}\n");
    }
    tool::run("ip", &["-batch", "-"], &batch)?;
    for port in ["in0", "out0"] {
        let features = ["-K", port, "tx", "off", "rx", "off", "sg", "off", "tso", "off"];
        tool::run("ethtool", &features, "")?;
    }
    Ok(())
}

/// Loads the rules of a family; tables that they don't name stay.
pub(super) fn load_rules(is_v6: bool, rules: &Ruleset) -> Result<(), KernelError> {
    tool::run(RESTORE[usize::from(is_v6)], &["-w"], &rules.to_string())?;
    Ok(())
}

fn configure(experiment: &Experiment) -> Result<(), KernelError> {
    if !experiment.sets.is_empty() {
        tool::run("ipset", &["restore"], &(experiment.sets.join("\n") + "\n"))?;
    }
    for policy in &experiment.policies {
        tool::run("nfct", &policy.split(' ').collect::<Vec<_>>(), "")?;
    }
    for (is_v6, rules) in [false, true].into_iter().zip(&experiment.rules) {
        rules.as_ref().map_or(Ok(()), |rules| load_rules(is_v6, rules))?;
    }
    for (key, value) in &experiment.settings {
        write_setting(key, value)?;
    }
    Ok(())
}

/// Writes a setting by its full name.
pub(super) fn write_setting(key: &str, value: &str) -> Result<(), KernelError> {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    fs::write(&path, value).map_err(|error| KernelError::System { what: path, error })
}

fn write_settings(settings: &[(&str, &str)]) -> Result<(), KernelError> {
    settings.iter().try_for_each(|(key, value)| write_setting(key, value))
}

/// The datagram in a frame that the router sent; what a port sends itself is heard there, too.
fn datagram(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = frame.split_first_chunk::<14>()?;
    let is_from_router = head[6..11] == [2, 0, 0, 0, 1] || head[6..11] == [2, 0, 0, 0, 2];
    let is_ip = head[12..] == [0x08, 0x00] || head[12..] == [0x86, 0xdd];
    let len = match rest.first()? >> 4 {
        4 => usize::from(u16::from_be_bytes(*rest.get(2..)?.first_chunk()?)),
        _ => 40 + usize::from(u16::from_be_bytes(*rest.get(4..)?.first_chunk()?)),
    };
    let len = if (20..=rest.len()).contains(&len) { len } else { rest.len() };
    (is_from_router && head[11] == 1 && is_ip).then(|| rest[..len].to_vec())
}

const NAMESPACE: &str = "/proc/thread-self/ns/net";
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);
/// To the LAN peer, from nobody, of an Ethernet type for experiments.
const BARRIER_HEAD: [u8; 14] = [2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 0xff, 0x88, 0xb5];
const ENTRY_GROUPS: u32 = 0b11_1111;
const TRACE_GROUP: u32 = 1 << 8;
/// The tools that load rules: IPv4, IPv6.
const RESTORE: [&str; 2] = ["iptables-legacy-restore", "ip6tables-legacy-restore"];

const INSIDE_LINKS: &str = "\
link set lo up
link add in0 address 02:00:00:00:01:01 mtu 1500 type veth peer name lan0 address 02:00:00:00:01:02 netns OUTSIDE
link add out0 address 02:00:00:00:02:01 mtu 1500 type veth peer name wan0 address 02:00:00:00:02:02 netns OUTSIDE
link set in0 addrgenmode none arp off
link set out0 addrgenmode none arp off
addr add 10.0.1.1/24 dev in0
addr add 203.0.113.1/24 dev out0
addr add fd00:1::1/64 dev in0 nodad
addr add 2001:db8:1::1/64 dev out0 nodad
link set in0 up
link set out0 up
";
const OUTSIDE_LINKS: &str = "\
link set lan0 addrgenmode none arp off
link set wan0 addrgenmode none arp off
link set lan0 up
link set wan0 up
";

/// Only what is up on both ends has routes.
const ROUTES: &str = "\
route add default via 203.0.113.254 dev out0
route add ::/0 via 2001:db8:1::fe dev out0
";

const SETTINGS: [(&str, &str); 20] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.icmp_msgs_per_sec", "1000000"),
    ("net.ipv4.icmp_msgs_burst", "1000000"),
    ("net.ipv6.icmp.ratelimit", "0"),
    ("net.ipv6.conf.all.accept_ra", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.autoconf", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
];

/// The first one keeps the router's host from learning path MTUs from errors about its own
/// packets, which a replay's host does not.
const LATER_SETTINGS: [(&str, &str); 3] = [
    ("net.ipv4.route.min_pmtu", "1500"),
    ("net.ipv6.auto_flowlabels", "0"),
    ("net.netfilter.nf_conntrack_events", "1"),
];

const OUTSIDE_SETTINGS: [(&str, &str); 3] = [
    ("net.ipv6.conf.all.disable_ipv6", "1"),
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    ("net.ipv4.ip_forward", "0"),
];
