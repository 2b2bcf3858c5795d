//! The lab's hosts and cables:
//!
//! ```text
//!  client                     gateway                      server
//!  eth0 --------------- lan0          wan0 --------------- eth0
//!  10.77.1.2        10.77.1.1    203.0.113.1        203.0.113.2
//!  fd77:1::2        fd77:1::1    2001:db8:77::1     2001:db8:77::2
//!         MTU 1500                        MTU 1400
//! ```
//!
//! The client's addresses are private ones. The server has a route to them all the same: it is an outsider who tries
//! what a neighbour could.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use tidegate_wire::Family;

use super::Obstacle;
use super::links::{End, Kind, Links};
use super::namespace::Network;

/// A host's addresses of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(pub(crate) Ipv4Addr, pub(crate) Ipv6Addr);

impl Addresses {
    /// The one of a family.
    pub(crate) fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.0.into(),
            Family::V6 => self.1.into(),
        }
    }

    fn both(self) -> [IpAddr; 2] {
        [self.0.into(), self.1.into()]
    }
}

/// The client.
pub(crate) const CLIENT: Addresses = Addresses(ipv4([10, 77, 1, 2]), ipv6([0xfd77, 1, 0, 2]));
/// The gateway, for the client.
pub(crate) const INSIDE: Addresses = Addresses(ipv4([10, 77, 1, 1]), ipv6([0xfd77, 1, 0, 1]));
/// The gateway, for everybody else.
pub(crate) const OUTSIDE: Addresses =
    Addresses(ipv4([203, 0, 113, 1]), ipv6([0x2001, 0xdb8, 0x77, 1]));
/// The server.
pub(crate) const SERVER: Addresses =
    Addresses(ipv4([203, 0, 113, 2]), ipv6([0x2001, 0xdb8, 0x77, 2]));

/// The gateway's interface towards the client.
pub(crate) const INNER_PORT: &str = "lan0";
/// The gateway's interface towards the server.
pub(crate) const OUTER_PORT: &str = "wan0";
/// What a packet between gateway and server may be long.
pub(crate) const OUTER_MTU: u32 = 1400;
const INNER_MTU: u32 = 1500;
const INNER_NETWORK: Addresses = Addresses(ipv4([10, 77, 1, 0]), ipv6([0xfd77, 1, 0, 0]));

/// The networks of the three hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// The client's.
    pub(super) client: Network,
    /// The gateway's.
    pub(super) gateway: Network,
    /// The server's.
    pub(super) server: Network,
}

impl Hosts {
    /// Makes them, with all cables plugged in, which have so many queues.
    pub(super) fn build(queues: u32) -> Result<Self, Obstacle> {
        let (client, gateway, server) =
            (Network::create()?, Network::create()?, Network::create()?);
        let hosts = Self { client, gateway, server };
        for network in [&hosts.client, &hosts.gateway, &hosts.server] {
            network.within(prepare)?.map_err(Obstacle::Links)?;
        }
        let (client, server) = (hosts.client.as_fd(), hosts.server.as_fd());
        let cables = || -> io::Result<()> {
            let mut links = Links::open()?;
            let [inner, outer] = [INNER_MTU, OUTER_MTU].map(|mtu| Kind { mtu, queues });
            links.cable(INNER_PORT, &End { name: HOST_PORT, network: client }, inner)?;
            links.cable(OUTER_PORT, &End { name: HOST_PORT, network: server }, outer)?;
            plug(&mut links, INNER_PORT, INSIDE)?;
            plug(&mut links, OUTER_PORT, OUTSIDE)
        };
        hosts.gateway.within(cables)?.map_err(Obstacle::Links)?;
        let (client, server) = (|| host(CLIENT, INSIDE), || outsider(SERVER, OUTSIDE));
        hosts.client.within(client)?.map_err(Obstacle::Links)?;
        hosts.server.within(server)?.map_err(Obstacle::Links)?;
        Ok(hosts)
    }
}

/// Switches loopback on. Addresses are good at once, and everybody may ping.
fn prepare() -> io::Result<()> {
    write_setting("net/ipv6/conf/all/accept_dad", "0")?;
    write_setting("net/ipv6/conf/default/accept_dad", "0")?;
    write_setting("net/ipv4/ping_group_range", "0 0")?;
    Links::open()?.switch_on("lo")
}

fn host(own: Addresses, gateway: Addresses) -> io::Result<()> {
    let mut links = Links::open()?;
    plug(&mut links, HOST_PORT, own)?;
    let anywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let mut routes = anywhere.into_iter().zip(gateway.both());
    routes.try_for_each(|(to, gateway)| links.route((to, 0), gateway))
}

/// The client's networks are routed by the gateway.
fn outsider(own: Addresses, gateway: Addresses) -> io::Result<()> {
    let mut links = Links::open()?;
    plug(&mut links, HOST_PORT, own)?;
    let mut routes = INNER_NETWORK.both().into_iter().zip(PREFIXES).zip(gateway.both());
    routes.try_for_each(|(to, gateway)| links.route(to, gateway))
}

fn plug(links: &mut Links, name: &str, own: Addresses) -> io::Result<()> {
    for (address, prefix) in own.both().into_iter().zip(PREFIXES) {
        links.address(name, address, prefix)?;
    }
    links.switch_on(name)
}

/// Writes a setting of the network that the thread is in.
pub(super) fn write_setting(name: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/{name}");
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    fs::write(&path, value).map_err(at)
}

const fn ipv4([a, b, c, d]: [u8; 4]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The first three groups and the last one.
const fn ipv6([a, b, c, z]: [u16; 4]) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, z)
}

const HOST_PORT: &str = "eth0";
const PREFIXES: [u8; 2] = [24, 64];
