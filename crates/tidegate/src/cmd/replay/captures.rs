//! The captures that a replay writes: of what left, and of what NFLOG rules copied.

use tidegate_gateway::replay::{Fault, Replay};
use tidegate_wire::pcap::{InterfaceDesc, LinkType};

use crate::capture::{NFLOG, Sink, copied};
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
        Ok(Self {
            left: sink(&args.write_pcap, &ports[..])?,
            copied: sink(&args.write_nflog, &[NFLOG][..])?,
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
                // Ports are interfaces 1 and 2: an index of 0 is none.
                let indices = [copy.in_port, copy.out_port];
                let indices = indices.map(|port| port.map(|port| u32::from(port.0) + 1));
                sink.write(0, time, &copied(copy, indices, time).frame())?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Fault> {
        [self.left, self.copied].into_iter().flatten().try_for_each(Sink::finish)
    }
}
