//! The captures that a replay writes: of what left, and of what NFLOG rules copied.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use tidegate_engine::fib::PortId;
use tidegate_engine::log::PacketCopy;
use tidegate_gateway::replay::{Cause, Fault, Replay};
use tidegate_wire::pcap::nflog::Copied;
use tidegate_wire::pcap::{InterfaceDesc, LinkType, Writer};

use crate::flags::ReplayArgs;

/// Those that the user asks for.
#[derive(Default)]
pub(super) struct Captures {
    left: Option<Sink>,
    copied: Option<Sink>,
}

impl Captures {
    pub(super) fn create(args: &ReplayArgs) -> Result<Self, Fault> {
        let sink = |path: &Option<_>, ports| {
            path.as_deref().map(|path| Sink::create(path, ports)).transpose()
        };
        let ports = ["in0", "out0"].map(|name| InterfaceDesc { name, link: LinkType::RawIp });
        let copied = [InterfaceDesc { name: "nflog", link: LinkType::Nflog }];
        Ok(Self {
            left: sink(&args.write_pcap, &ports)?,
            copied: sink(&args.write_nflog, &copied)?,
        })
    }

    /// Whether the bytes of what leaves are wanted.
    pub(super) fn want_output(&self) -> bool {
        self.left.is_some()
    }

    /// Writes what the packet that passed last brought about.
    pub(super) fn write(&mut self, replay: &Replay) -> Result<(), Fault> {
        let time = replay.wall_clock(replay.now());
        if let Some(sink) = &mut self.left {
            for left in replay.outbox().left() {
                sink.write(u32::from(left.port.0), time, left.datagram)?;
            }
        }
        if let Some(sink) = &mut self.copied {
            for copy in replay.copies() {
                sink.write(0, time, &copied(copy, time).frame())?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Fault> {
        [self.left, self.copied].into_iter().flatten().try_for_each(Sink::finish)
    }
}

/// Ports are interfaces 1 and 2: an index of 0 is none.
fn copied(copy: &PacketCopy, time_ns: u64) -> Copied<'_> {
    let index = |port: Option<PortId>| port.map(|port| u32::from(port.0) + 1);
    Copied {
        family: copy.family,
        group: copy.group,
        prefix: &copy.prefix,
        hook: copy.hook as u8,
        in_index: index(copy.in_port),
        out_index: index(copy.out_port),
        mark: copy.mark,
        time_ns,
        payload: &copy.bytes,
    }
}

/// One capture.
struct Sink {
    file: String,
    writer: Writer<BufWriter<File>>,
}

impl Sink {
    fn create(path: &Path, interfaces: &[InterfaceDesc<'_>]) -> Result<Self, Fault> {
        let file = path.display().to_string();
        let sink = File::create(path).map(BufWriter::new);
        match sink.and_then(|sink| Writer::new(sink, interfaces)) {
            Ok(writer) => Ok(Self { file, writer }),
            Err(error) => Err(Fault::of(file, Cause::Io(error))),
        }
    }

    fn write(&mut self, interface: u32, time: u64, frame: &[u8]) -> Result<(), Fault> {
        let written = self.writer.write(interface, time, frame);
        written.map_err(|error| Fault::of(&self.file, Cause::Io(error)))
    }

    fn finish(self) -> Result<(), Fault> {
        let Self { file, writer } = self;
        writer.finish().map(drop).map_err(|error| Fault::of(file, Cause::Io(error)))
    }
}
