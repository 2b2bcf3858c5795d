//! Links are opened, each by the plane that was asked for or that works here, and a forwarder is put between them.

use std::io;

use tidegate_engine::fib::PortId;

use super::tun::{self, Queues};
use super::world::{World, port_named};
use super::xdp::{self, Checksums};
use super::{Forwarder, Link, LinkLayer, host, packet, pcap, system};
use crate::config::{Checksum, Interface, Plane};
use crate::replay::{Cause, Fault};

/// The interface by which the host's own packets come and go, or the first free one of such a name.
const HOST: &str = "tidegate%d";

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

/// Opens links.
///
/// # Errors
/// An interface isn't there, or can't be opened as asked for.
pub fn open<W: World>(
    world: W,
    interfaces: &[Interface],
) -> Result<(Forwarder<W>, Vec<Note>), Fault> {
    let system = |error| Fault::of("the data plane", Cause::Io(error));
    let mut ports = Vec::new();
    for interface in interfaces {
        let fault = |error| Fault::of(&interface.name, Cause::Io(error));
        let port = port_named(&world, &interface.name);
        ports.push(port.ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?);
    }
    let mut forwarder = Forwarder::new(world).map_err(system)?;
    let mut notes = Vec::new();
    let mut fenced = Vec::new();
    for (interface, port) in interfaces.iter().zip(&ports) {
        let opened = open_one(forwarder.world_mut(), interface, *port);
        let (link, note) = opened.map_err(|error| Fault::of(&interface.name, Cause::Io(error)))?;
        let world = forwarder.world_mut();
        let (index, header) = (world.hardware(*port).index, header(world, *port));
        // What goes into a TUN interface is for the kernel; of captures it knows nothing.
        if !matches!(interface.plane, Plane::Tun | Plane::Pcap) {
            fenced.push(host::Fenced { name: interface.name.clone(), index, header });
        }
        forwarder.add(*port, link).map_err(system)?;
        notes.push(note);
    }
    if fenced.is_empty() {
        return Ok((forwarder, notes));
    }
    match host::open(HOST, &fenced) {
        Ok((link, fence, name)) => {
            notes.push(Note::Host(name, fence.kind()));
            forwarder.set_host(link, fence).map_err(system)?;
        }
        Err(error) => notes.push(Note::Unfenced(error)),
    }
    Ok((forwarder, notes))
}

/// What is in front of a port's datagrams: an interface with a hardware address is as Ethernet.
fn header(world: &impl World, port: PortId) -> LinkLayer {
    match world.hardware(port).address {
        Some(_) => LinkLayer::Ethernet,
        None => LinkLayer::Raw,
    }
}

fn open_one(world: &impl World, interface: &Interface, port: PortId) -> io::Result<(Link, Note)> {
    let (index, header) = (world.hardware(port).index, header(world, port));
    let (link, plane, why) = match interface.plane {
        Plane::Auto => {
            let why = "which keeps superframes and works with every driver";
            (packet::open(index, header)?, Plane::AfPacket, why)
        }
        Plane::AfPacket => (packet::open(index, header)?, Plane::AfPacket, "as asked for"),
        Plane::AfXdp => {
            let (link, is_generic) = xdp::open(&interface.name, index, checksums(interface))?;
            let why = if is_generic { "as asked for, behind the driver" } else { "as asked for" };
            (link, Plane::AfXdp, why)
        }
        Plane::Tun => {
            let (link, _) = tun::open(&interface.name, Queues::Single, LinkLayer::Raw)?;
            (link, Plane::Tun, "as asked for")
        }
        Plane::Pcap => {
            let none = || io::Error::other("no captures are named for it (`read', `write')");
            let files = interface.capture.as_ref().ok_or_else(none)?;
            (pcap::open(&interface.name, files, header)?, Plane::Pcap, "as asked for")
        }
    };
    let (name, why) = (interface.name.clone(), why.to_owned());
    Ok((link, Note::Served { name, plane, why }))
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
