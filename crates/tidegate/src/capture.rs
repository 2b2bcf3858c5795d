//! Captures that are written: pcapng, frame by frame.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use tidegate_engine::log::PacketCopy;
use tidegate_gateway::replay::{Cause, Fault};
use tidegate_wire::pcap::nflog::Copied;
use tidegate_wire::pcap::{InterfaceDesc, LinkType, Writer};

/// What a capture of copies says of where they come from.
pub(crate) const NFLOG: InterfaceDesc<'static> =
    InterfaceDesc { name: "nflog", link: LinkType::Nflog };

/// A copy as NFLOG hands it out; `indices` are those of the interfaces that it came by and leaves by.
pub(crate) fn copied(
    copy: &PacketCopy,
    [in_index, out_index]: [Option<u32>; 2],
    time_ns: u64,
) -> Copied<'_> {
    Copied {
        family: copy.family,
        group: copy.group,
        prefix: &copy.prefix,
        hook: copy.hook as u8,
        in_index,
        out_index,
        mark: copy.mark,
        time_ns,
        payload: &copy.bytes,
    }
}

/// One capture.
pub(crate) struct Sink {
    file: String,
    writer: Writer<BufWriter<File>>,
}

impl Sink {
    /// Makes a file, in the place of what was there.
    ///
    /// # Errors
    /// It can't be made.
    pub(crate) fn create(path: &Path, interfaces: &[InterfaceDesc<'_>]) -> Result<Self, Fault> {
        Self::new(path, File::create(path), interfaces)
    }

    /// The same of a file that was opened, if it was.
    ///
    /// # Errors
    /// It was not, or can't be written.
    pub(crate) fn new(
        path: &Path,
        file: std::io::Result<File>,
        interfaces: &[InterfaceDesc<'_>],
    ) -> Result<Self, Fault> {
        let label = path.display().to_string();
        match file.map(BufWriter::new).and_then(|sink| Writer::new(sink, interfaces)) {
            Ok(writer) => Ok(Self { file: label, writer }),
            Err(error) => Err(Fault::of(label, Cause::Io(error))),
        }
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// It can't be written; so for what follows.
    pub(crate) fn write(&mut self, interface: u32, time: u64, frame: &[u8]) -> Result<(), Fault> {
        let written = self.writer.write(interface, time, frame);
        written.map_err(|error| Fault::of(&self.file, Cause::Io(error)))
    }

    /// Hands over what waits to the system.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.writer.flush().map_err(|error| Fault::of(&self.file, Cause::Io(error)))
    }

    /// Ends the capture.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        let Self { file, writer } = self;
        writer.finish().map(drop).map_err(|error| Fault::of(file, Cause::Io(error)))
    }
}
