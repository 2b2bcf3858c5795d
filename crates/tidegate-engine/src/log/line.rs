//! The line of a LOG rule, word for word as `nf_log_syslog` writes it.
//!
//! Every word is followed by a blank. A header that should be there and isn't ends the line where it is told so
//! ("INCOMPLETE", "TRUNCATED"), often without the packet's mark: [`ControlFlow::Break`] means that nothing follows.
//!
//! This file holds the frame of the line and what both families share; `ipv4`, `ipv6` and `transport` tell the headers.

use alloc::string::String;
use core::fmt::{self, Write};
use core::ops::ControlFlow;

use tidegate_wire::Family;

use super::{LogLine, LogTopic};
use crate::packet::LinkHeader;
use crate::rules::ast::{LogOptions, LogTarget};

/// A packet as a LOG rule sees it.
pub(crate) struct Sighting<'a> {
    /// The datagram, without what pads it.
    pub(crate) datagram: &'a [u8],
    /// Its family.
    pub(crate) family: Family,
    /// The link header it came with.
    pub(crate) link: Option<LinkHeader>,
    /// The port it came in by, where the hook knows one.
    pub(crate) in_name: Option<&'a str>,
    /// The port it will leave by, where the hook knows one.
    pub(crate) out_name: Option<&'a str>,
    /// Its mark.
    pub(crate) mark: u32,
}

impl Sighting<'_> {
    /// The line that a rule writes.
    pub(crate) fn line(&self, target: &LogTarget) -> LogLine {
        let text = self.text(target.prefix.clone(), target.options);
        LogLine { text, level: target.level, topic: LogTopic::Rule }
    }

    /// The line about a packet that conntrack has doubts about: who says what.
    pub(crate) fn doubt(&self, who: fmt::Arguments<'_>, what: fmt::Arguments<'_>) -> LogLine {
        let mut prefix = alloc::format!("nf_ct_{who}: {what} ");
        prefix.truncate(PREFIX);
        let text = self.text(prefix, LogOptions::USUAL);
        LogLine { text, level: NOTICE, topic: LogTopic::Invalid }
    }

    fn text(&self, prefix: String, options: LogOptions) -> String {
        let mut line = Line { text: prefix, datagram: self.datagram, options, mark: self.mark };
        let [input, output] = [self.in_name, self.out_name].map(Option::unwrap_or_default);
        line.put(format_args!("IN={input} OUT={output} "));
        if self.in_name.is_some() {
            line.link(self.link);
        }
        // Whatever ended the headers, the line ends with them.
        let _ = match self.family {
            Family::V4 => line.ipv4(0, Depth::Packet),
            Family::V6 => line.ipv6(0, Depth::Packet),
        };
        line.finish()
    }
}

/// A line in the making.
pub(super) struct Line<'a> {
    text: String,
    pub(super) datagram: &'a [u8],
    pub(super) options: LogOptions,
    pub(super) mark: u32,
}

/// Which datagram is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The packet itself.
    Packet,
    /// The one that an ICMP error quotes. What that quotes in turn isn't told.
    Quoted,
}

/// Whether the line goes on.
pub(super) type Told = ControlFlow<()>;

impl<'a> Line<'a> {
    /// Adds words.
    pub(super) fn put(&mut self, words: fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = self.text.write_fmt(words);
    }

    /// Adds a list of options in hexadecimal.
    pub(super) fn put_options(&mut self, bytes: &[u8]) {
        self.put(format_args!("OPT ("));
        for byte in bytes {
            self.put(format_args!("{byte:02X}"));
        }
        self.put(format_args!(") "));
    }

    /// Says that the datagram ends within the header at `at`. A length that a header lies about may point beyond the
    /// end; the difference wraps as the kernel's does.
    pub(super) fn put_incomplete(&mut self, at: usize) {
        let left = (self.datagram.len() as u32).wrapping_sub(at as u32);
        self.put(format_args!("INCOMPLETE [{left} bytes] "));
    }

    /// Adds the packet's mark, once and if it has one.
    pub(super) fn put_mark(&mut self, depth: Depth) {
        let mark = self.mark;
        if depth == Depth::Packet && mark != 0 {
            self.put(format_args!("MARK={mark:#x} "));
        }
    }

    /// The first `N` bytes of the header at `at`, if all are there.
    pub(super) fn header<const N: usize>(&self, at: usize) -> Option<&'a [u8; N]> {
        self.datagram.get(at..)?.first_chunk()
    }

    fn link(&mut self, link: Option<LinkHeader>) {
        match link {
            Some(LinkHeader { dst, src, ethertype })
                if self.options.contains(LogOptions::MACDECODE) =>
            {
                self.put(format_args!("MACSRC={src} MACDST={dst} MACPROTO={ethertype:04x} "));
            }
            Some(LinkHeader { dst, src, ethertype }) => {
                let [high, low] = ethertype.to_be_bytes();
                self.put(format_args!("MAC={dst}:{src}:{high:02x}:{low:02x} "));
            }
            None => self.put(format_args!("MAC= ")),
        }
    }

    /// The line, cut to the kernel's buffer.
    fn finish(self) -> String {
        let mut text = self.text;
        if text.len() > BUFFER {
            text.truncate(BUFFER);
        }
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

/// How much fits the kernel's buffer for what stands before the packet.
const PREFIX: usize = 127;

const NOTICE: u8 = 5;

/// How much fits the kernel's buffer, behind the two bytes that tell the level.
const BUFFER: usize = 1016;

/// The 16-bit number at `at`. => `at + 2 <= header.len()`
pub(super) fn u16_at(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The 32-bit number at `at`. => `at + 4 <= header.len()`
pub(super) fn u32_at(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
