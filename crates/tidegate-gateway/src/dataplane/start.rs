//! Links are opened, each by the plane that was asked for or that works here, and a forwarder is put between them.

use std::io;

use tidegate_engine::fib::PortId;
use tidegate_engine::steer::Steering;

use super::tun;
use super::world::{World, port_named};
use super::xdp::{self, Checksums};
use super::{Forwarder, Link, LinkLayer, host, packet, pcap, system};
use crate::config::{Checksum, Interface, Plane};
use crate::replay::{Cause, Fault};

/// The interface by which the host's own packets come and go, or the first free one of such a name.
const HOST: &str = "tidegate%d";
/// How the driver of VLAN interfaces calls itself.
const VLAN_DRIVER: &str = "802.1Q VLAN Support";

/// What an operator should know about how the links were opened.
#[derive(Debug)]
pub enum Note {
    /// An interface is served by this plane, for this reason.
    Served {
        /// Its name.
        name: String,
        /// The plane.
        plane: Plane,
        /// Why this one.
        why: String,
    },
    /// The host's own packets come and go by this interface, and this keeps the kernel from going around it.
    Host(String, &'static str),
    /// The kernel could not be kept away from the same packets: it answers for the host itself, no rule sees what it
    /// receives and sends, and it may refuse connections that are translated.
    Unfenced(io::Error),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served { name, plane, why } => write!(f, "{name}: {}, {why}", plane.name()),
            Self::Host(name, fence) => {
                write!(
                    f,
                    "the host's own packets pass the rules by way of {name}, fenced by {fence}"
                )
            }
            Self::Unfenced(error) => write!(
                f,
                "the kernel can't be kept away from the same packets ({error}): it answers for this host without any \
                 rule, and may refuse connections that are translated"
            ),
        }
    }
}

/// Opens links: a forwarder for each worker, who has a world of his own. Without `steering` there is one worker.
///
/// # Errors
/// An interface isn't there, or can't be opened as asked for.
pub fn open<W: World>(
    worlds: Vec<W>,
    interfaces: &[Interface],
    steering: Option<&Steering>,
) -> Result<(Vec<Forwarder<W>>, Vec<Note>), Fault> {
    let system = |error| Fault::of("the data plane", Cause::Io(error));
    let ports = ports(&worlds, interfaces)?;
    let forwarders = worlds.into_iter().map(Forwarder::new);
    let mut forwarders: Vec<_> = forwarders.collect::<io::Result<_>>().map_err(system)?;
    let mut notes = Vec::new();
    let mut fenced = Vec::new();
    for (interface, port) in interfaces.iter().zip(&ports) {
        let fault = |error| Fault::of(&interface.name, Cause::Io(error));
        let world = forwarders[0].world_mut();
        let (links, note) = open_one(world, interface, *port, steering).map_err(fault)?;
        let (index, header) = (world.hardware(*port).index, header(world, *port));
        // What goes into a TUN interface is for the kernel; of captures it knows nothing.
        if !matches!(interface.plane, Plane::Tun | Plane::Pcap) {
            fenced.push(host::Fenced { name: interface.name.clone(), index, header });
        }
        for (forwarder, link) in forwarders.iter_mut().zip(links) {
            forwarder.add(*port, link).map_err(system)?;
        }
        notes.push(note);
    }
    if !fenced.is_empty() {
        notes.push(open_host(&mut forwarders, &fenced, steering).map_err(system)?);
    }
    Ok((forwarders, notes))
}

/// The interfaces' ports. Worlds that were read one after the other may have numbered them differently.
fn ports<W: World>(worlds: &[W], interfaces: &[Interface]) -> Result<Vec<PortId>, Fault> {
    let port = |interface: &Interface| {
        let fault = |error| Fault::of(&interface.name, Cause::Io(error));
        let mut found = worlds.iter().map(|world| port_named(world, &interface.name));
        let first = found.next().flatten();
        let port = first.ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        if found.all(|other| other == Some(port)) {
            return Ok(port);
        }
        Err(fault(io::Error::other("interfaces came or went just now: try again")))
    };
    interfaces.iter().map(port).collect()
}

fn open_host<W: World>(
    forwarders: &mut [Forwarder<W>],
    fenced: &[host::Fenced],
    steering: Option<&Steering>,
) -> io::Result<Note> {
    let (links, fence, name) = match host::open(HOST, fenced, steering) {
        Ok(opened) => opened,
        Err(error) => return Ok(Note::Unfenced(error)),
    };
    let note = Note::Host(name, fence.kind());
    for (forwarder, link) in forwarders.iter_mut().zip(links) {
        forwarder.set_host(link)?;
    }
    forwarders[0].set_fence(fence);
    Ok(note)
}

/// What is in front of a port's datagrams: an interface with a hardware address is as Ethernet.
fn header(world: &impl World, port: PortId) -> LinkLayer {
    match world.hardware(port).address {
        Some(_) => LinkLayer::Ethernet,
        None => LinkLayer::Raw,
    }
}

/// A link for each worker.
fn open_one(
    world: &impl World,
    interface: &Interface,
    port: PortId,
    steering: Option<&Steering>,
) -> io::Result<(Vec<Link>, Note)> {
    let (index, header) = (world.hardware(port).index, header(world, port));
    let (links, plane, why) = match interface.plane {
        Plane::Auto => {
            let why = "which keeps superframes and works with every driver";
            (packet::share(index, header, steering)?, Plane::AfPacket, why)
        }
        Plane::AfPacket => {
            (packet::share(index, header, steering)?, Plane::AfPacket, "as asked for")
        }
        Plane::AfXdp => {
            refuse_vlan(&interface.name)?;
            let (checksums, workers) =
                (checksums(interface), steering.map_or(1, Steering::workers));
            let (links, is_generic) = xdp::open(&interface.name, index, checksums, workers)?;
            let why = if is_generic { "as asked for, behind the driver" } else { "as asked for" };
            (links, Plane::AfXdp, why)
        }
        Plane::Tun => {
            let (links, _) = tun::open(&interface.name, LinkLayer::Raw, steering)?;
            (links, Plane::Tun, "as asked for")
        }
        Plane::Pcap if steering.is_some() => {
            return Err(io::Error::other("a capture is read and written by one worker"));
        }
        Plane::Pcap => {
            let none = || io::Error::other("no captures are named for it (`read', `write')");
            let files = interface.capture.as_ref().ok_or_else(none)?;
            (vec![pcap::open(&interface.name, files, header)?], Plane::Pcap, "as asked for")
        }
    };
    let (name, why) = (interface.name.clone(), why.to_owned());
    Ok((links, Note::Served { name, plane, why }))
}

/// A VLAN interface is above the place where a driver would run a program, and hands up what was gathered below: frames
/// longer than a place of AF_XDP's memory, which would be lost.
fn refuse_vlan(name: &str) -> io::Result<()> {
    match system::driver(name) {
        Ok(driver) if driver == VLAN_DRIVER => Err(io::Error::other(
            "a VLAN interface has superframes, which AF_XDP does not take: packet sockets serve it",
        )),
        _ => Ok(()),
    }
}

/// What AF_XDP is to think of checksums: between virtual interfaces nobody has finished them.
fn checksums(interface: &Interface) -> Checksums {
    let is_virtual = || system::driver(&interface.name).is_ok_and(|driver| driver == "veth");
    match interface.checksum {
        Checksum::Metadata => Checksums::Begun,
        Checksum::Trust if is_virtual() => Checksums::Begun,
        Checksum::Trust => Checksums::Whole,
    }
}
