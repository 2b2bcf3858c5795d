//! The host itself, behind the engine: what is for it goes up by a TUN interface of ours, and what it sends comes down
//! by the same.
//!
//! Two small programs on each port keep the kernel's hands off. The one on arrival drops IP, which the engine has a copy
//! of; ARP and neighbour discovery stay the kernel's. The one on departure turns the host's own unicast away to the TUN
//! interface, so that it comes by OUTPUT and POSTROUTING like everybody's. Both end with this process.
//!
//! ```text
//!     sockets of the host
//!        |  ^
//!        v  |            tidegate0 (TUN)
//!      routing <------------- Local ------+
//!        |                                |
//!        v       redirect                 |
//!    port, egress ---> tidegate0 ---> engine <--- packet socket <--- port, ingress -x
//!                                         +-----> packet socket ---> port
//! ```
//!
//! Broadcasts and multicasts of the host, and neighbour discovery, pass the second program as they are: they leave
//! without a rule having seen them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::netdevice::name_to_index;
use tidegate_engine::steer::Steering;

use super::bpf::{Aim, Hook, Instruction, aimed, attach};
use super::nft::Table;
use super::tun;
use super::{Link, LinkLayer};

/// What keeps the kernel away, as long as it lives.
#[derive(Debug)]
pub enum Fence {
    /// Programs in the kernel.
    Programs(Vec<OwnedFd>),
    /// A table of nftables.
    Table(Table),
}

impl Fence {
    /// What it is made of.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Programs(_) => "programs (tcx)",
            Self::Table(_) => "nftables",
        }
    }

    /// What becomes readable when it is no more. Programs are as long as we hold them.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Programs(_) => None,
            Self::Table(table) => Some(table.fd()),
        }
    }

    /// Whether it is no more.
    pub fn has_ended(&mut self) -> bool {
        match self {
            Self::Programs(_) => false,
            Self::Table(table) => table.has_ended(),
        }
    }
}

/// A port that is fenced.
#[derive(Clone, Debug)]
pub struct Fenced {
    /// Its name and number.
    pub name: String,
    /// See `name`.
    pub index: u32,
    /// What is in front of its datagrams.
    pub header: LinkLayer,
}

/// The interface's longest datagram: as of loopback, since no wire is behind it.
const MTU: u32 = 65_535;

/// Makes the host's links, one for each worker (without `steering` one), and keeps the kernel away from ports, by programs
/// or, where those are forbidden, by nftables; what the links' interface is called.
///
/// # Errors
/// TUN interfaces can't be had, or neither is possible: why the first is not.
pub fn open(
    name: &str,
    ports: &[Fenced],
    steering: Option<&Steering>,
) -> io::Result<(Vec<Link>, Fence, String)> {
    let (links, own) = make(name, LinkLayer::Raw, steering)?;
    let refused = match load(ports, index_of(&own)?) {
        Ok(programs) => return Ok((links, Fence::Programs(programs), own)),
        Err(error) => error,
    };
    drop(links);
    let (links, own) = make(name, LinkLayer::Ethernet, steering)?;
    let names: Vec<_> = ports.iter().map(|port| (port.name.clone(), port.header)).collect();
    match Table::new(&names, &own) {
        Ok(table) => Ok((links, Fence::Table(table), own)),
        Err(_) => Err(refused),
    }
}

fn make(
    name: &str,
    comes: LinkLayer,
    steering: Option<&Steering>,
) -> io::Result<(Vec<Link>, String)> {
    let (links, name) = tun::open(name, comes, steering)?;
    // No address of its own, or the kernel would talk by it. Where the files are not, neither is the family.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/addr_gen_mode"), "1");
    // What comes up by it has come from elsewhere, and was judged there; an error about what a program of the host has
    // sent comes from the host itself.
    let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0");
    let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/accept_local"), "1");
    tun::raise(&name, MTU)?;
    Ok((links, name))
}

fn index_of(name: &str) -> io::Result<u32> {
    let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM);
    let socket = rustix::net::socket(family, kind, None)?;
    Ok(name_to_index(&socket, name)?)
}

fn load(ports: &[Fenced], host: u32) -> io::Result<Vec<OwnedFd>> {
    let mut programs = Vec::new();
    for port in ports {
        programs.push(attach(&arrival(port.header), Hook::Ingress, port.index)?);
        programs.push(attach(&departure(port.header, host), Hook::Egress, port.index)?);
    }
    Ok(programs)
}

/// Offsets in `__sk_buff`.
const PROTOCOL: i16 = 16;
const VLAN_TCI: i16 = 24;
/// The part of it that is the VLAN's number.
const VID: i32 = 0x0fff;
/// `TCX_NEXT`, `TCX_DROP`.
const NEXT: i32 = -1;
const DROP: i32 = 2;
/// `bpf_redirect`
const REDIRECT: i32 = 23;

pub(super) const ETHERTYPE_IPV4: i32 = 0x0800_u16.to_be() as i32;
pub(super) const ETHERTYPE_IPV6: i32 = 0x86dd_u16.to_be() as i32;
pub(super) const ETHERTYPE_VLAN: i32 = 0x8100_u16.to_be() as i32;
const ETHERTYPE_SERVICE_VLAN: i32 = 0x88a8_u16.to_be() as i32;
pub(super) const ICMPV6: i32 = 58;
/// Neighbour discovery's types (RFC 4861 section 4).
pub(super) const FIRST_DISCOVERY: i32 = 133;
pub(super) const LAST_DISCOVERY: i32 = 137;

/// Drops IP but neighbour discovery, and whatever has a second tag behind one of VLAN 0: the kernel takes any number of
/// those off.
fn arrival(header: LinkLayer) -> Vec<Instruction> {
    let tags = [
        (Instruction::if_equal(7, ETHERTYPE_VLAN), Aim::Verdict),
        (Instruction::if_equal(7, ETHERTYPE_SERVICE_VLAN), Aim::Verdict),
    ];
    program(header, &tags, &[Instruction::set(0, DROP), Instruction::EXIT])
}

/// Turns IP away but neighbour discovery and what goes to many.
fn departure(header: LinkLayer, host: u32) -> Vec<Instruction> {
    let to_many = [
        (Instruction::packet_byte(0), Aim::On),
        (Instruction::mask(0, 1), Aim::On),
        (Instruction::if_other(0, 0), Aim::Pass),
    ];
    let verdict = [
        Instruction::set(1, host as i32),
        Instruction::set(2, 0),
        Instruction::call(REDIRECT),
        Instruction::EXIT,
    ];
    match header {
        LinkLayer::Ethernet => program(header, &to_many, &verdict),
        LinkLayer::Raw => program(header, &[], &verdict),
    }
}

/// A program with a verdict about the interface's own IP, but for neighbour discovery and what `first` decides. Frames of
/// VLANs are those of other interfaces; what has a tag of VLAN 0, which only gives
/// a priority (IEEE 802.1Q), is the interface's own.
fn program(
    header: LinkLayer,
    first: &[(Instruction, Aim)],
    verdict: &[Instruction],
) -> Vec<Instruction> {
    let ip = match header {
        LinkLayer::Ethernet => 14,
        LinkLayer::Raw => 0,
    };
    let mut steps = vec![
        (Instruction::copy(6, 1), Aim::On),
        (Instruction::load(0, 6, VLAN_TCI), Aim::On),
        (Instruction::mask(0, VID), Aim::On),
        (Instruction::if_other(0, 0), Aim::Pass),
        (Instruction::load(7, 6, PROTOCOL), Aim::On),
    ];
    steps.extend(first);
    steps.extend([
        (Instruction::if_equal(7, ETHERTYPE_IPV4), Aim::Verdict),
        (Instruction::if_other(7, ETHERTYPE_IPV6), Aim::Pass),
        (Instruction::packet_byte(ip + 6), Aim::On),
        (Instruction::if_other(0, ICMPV6), Aim::Verdict),
        (Instruction::packet_byte(ip + 40), Aim::On),
        (Instruction::if_more(0, LAST_DISCOVERY), Aim::Verdict),
        (Instruction::if_more(0, FIRST_DISCOVERY - 1), Aim::Pass),
    ]);
    aimed(steps, verdict, &[Instruction::set(0, NEXT), Instruction::EXIT])
}
