//! Writes pcapng: one little-endian section, nanosecond time stamps.

use std::io::{self, ErrorKind, Write};
use std::vec::Vec;

use super::LinkType;
use super::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OPT_END, OPT_NAME, OPT_RESOLUTION,
    SECTION_HEADER,
};

/// An interface to be described in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceDesc<'a> {
    /// Its name, at most 65535 bytes; empty for none.
    pub name: &'a str,
    /// What its frames start with.
    pub link: LinkType,
}

/// A pcapng file being written. Each frame is one write: give it a buffered sink.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    block: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Writer<W> {
    /// Writes the section header and describes the interfaces, numbered from 0 in this order.
    pub fn new(sink: W, interfaces: &[InterfaceDesc<'_>]) -> io::Result<Self> {
        let mut this = Self { sink, block: Vec::new(), interfaces: 0 };
        this.section_header()?;
        for interface in interfaces {
            this.interface(interface)?;
        }
        Ok(this)
    }

    /// Writes a whole frame, captured on `interface` at `time_ns` nanoseconds since 1970. An
    /// interface that wasn't described is an error of kind `InvalidInput`.
    pub fn write(&mut self, interface: u32, time_ns: u64, data: &[u8]) -> io::Result<()> {
        let len = u32::try_from(data.len()).map_err(|_| ErrorKind::InvalidInput)?;
        if interface >= self.interfaces {
            return Err(ErrorKind::InvalidInput.into());
        }
        self.start(ENHANCED_PACKET);
        for field in [interface, (time_ns >> 32) as u32, time_ns as u32, len, len] {
            self.u32(field);
        }
        self.padded(data);
        self.end()
    }

    /// Flushes the sink.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Flushes the sink and gives it back.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn section_header(&mut self) -> io::Result<()> {
        self.start(SECTION_HEADER);
        self.u32(BYTE_ORDER_MAGIC);
        self.u16(1);
        self.u16(0);
        self.block.extend((-1i64).to_le_bytes());
        self.end()
    }

    fn interface(&mut self, interface: &InterfaceDesc<'_>) -> io::Result<()> {
        self.start(INTERFACE_DESCRIPTION);
        self.u16(interface.link.number());
        self.u16(0);
        self.u32(0);
        if !interface.name.is_empty() {
            self.option(OPT_NAME, interface.name.as_bytes())?;
        }
        self.option(OPT_RESOLUTION, &[NANOSECONDS])?;
        self.option(OPT_END, &[])?;
        self.interfaces += 1;
        self.end()
    }

    fn option(&mut self, code: u16, value: &[u8]) -> io::Result<()> {
        let len = u16::try_from(value.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.u16(code);
        self.u16(len);
        self.padded(value);
        Ok(())
    }

    /// Starts a block; its length is filled in at its end.
    fn start(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        self.u32(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.block.len() + 4).map_err(|_| ErrorKind::InvalidInput)?;
        self.block[4..8].copy_from_slice(&len.to_le_bytes());
        self.u32(len);
        self.sink.write_all(&self.block)
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn u16(&mut self, value: u16) {
        self.block.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend(value.to_le_bytes());
    }
}

/// Option if_tsresol: 10^-9 s.
const NANOSECONDS: u8 = 9;
