//! Reads a capture of either format, frame by frame, with one copy from the source and none after.

use core::fmt;
use std::borrow::ToOwned;
use std::io::Read;
use std::string::String;

use super::classic::Classic;
use super::input::Input;
use super::pcapng::Pcapng;
use super::{CaptureError, LinkType};

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured, in nanoseconds since 1970. A pcapng "simple packet" has no time of its
    /// own and gets that of the frame before it.
    pub time: u64,
    /// What its first header is.
    pub link: LinkType,
    /// The number of the interface that saw it, from 0 in each section of a pcapng file; 0 in a
    /// pcap file.
    pub interface: u32,
    /// The bytes captured.
    pub data: &'a [u8],
    /// How long it was on the wire, in bytes.
    pub orig_len: u32,
}

/// What a capture says about one of its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, if the file gives one.
    pub name: Option<String>,
    /// What its frames start with.
    pub link: LinkType,
    /// The most bytes captured of a frame; 0 means no limit.
    pub snap_len: u32,
}

/// A capture file being read.
pub struct Capture<R> {
    input: Input<R>,
    format: Format,
    /// Frames delivered so far.
    packets: u64,
    ended: bool,
}

impl<R: Read> Capture<R> {
    /// Reads the file's first header and finds out its format. `reader` needs no buffer of its own.
    pub fn open(reader: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(reader);
        let format = Format::detect(&mut input)?;
        Ok(Self { input, format, packets: 0, ended: false })
    }

    /// The next frame; `None` at the end of the file and after an error.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input),
        };
        match found {
            Ok(Some(record)) => {
                self.packets += 1;
                Ok(Some(record.frame(&self.input)))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(stop) => {
                self.ended = true;
                Err(stop.error(self.packets))
            }
        }
    }

    /// The interface of that number, of the section being read.
    pub fn interface(&self, number: u32) -> Option<&Interface> {
        match &self.format {
            Format::Classic(classic) => (number == 0).then_some(&classic.interface),
            Format::Pcapng(pcapng) => pcapng.interface(number),
        }
    }

    /// How many frames have been delivered.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// How far into the file reading has come, in bytes.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }
}

impl<R> fmt::Debug for Capture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            Format::Classic(_) => "pcap",
            Format::Pcapng(_) => "pcapng",
        };
        f.debug_struct("Capture")
            .field("format", &format)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

impl Format {
    fn detect<R: Read>(input: &mut Input<R>) -> Result<Self, CaptureError> {
        let first = input.peek(4)?;
        let Some(magic) = first.first_chunk::<4>().copied() else {
            return Err(CaptureError::HeaderCutShort { need: 4, have: first.len() });
        };
        if Pcapng::starts_with(magic) {
            return Pcapng::open(input).map(Self::Pcapng);
        }
        Classic::open(magic, input)?.map(Self::Classic).ok_or(CaptureError::UnknownFormat { magic })
    }
}

/// A record that has been consumed: where its frame lies among the bytes consumed last, and all
/// else about it.
pub(super) struct Record {
    pub(super) time: u64,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) orig_len: u32,
    /// Bytes captured.
    pub(super) len: usize,
    /// Bytes of the record behind the frame's.
    pub(super) trailer: usize,
}

impl Record {
    #[inline]
    fn frame<R: Read>(self, input: &Input<R>) -> Frame<'_> {
        let data = &input.consumed(self.len + self.trailer)[..self.len];
        let Self { time, link, interface, orig_len, .. } = self;
        Frame { time, link, interface, data, orig_len }
    }
}

/// Why there is no next record.
pub(super) enum Stop {
    /// The file ends within the record that starts at this offset.
    CutShort(u64),
    /// Anything else.
    Error(CaptureError),
}

impl Stop {
    fn error(self, packet: u64) -> CaptureError {
        match self {
            Self::CutShort(offset) => CaptureError::CutShort { packet, offset },
            Self::Error(error) => error,
        }
    }
}

impl From<CaptureError> for Stop {
    fn from(error: CaptureError) -> Self {
        Self::Error(error)
    }
}

/// The byte order of a file or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// => `at + 4 <= bytes.len()`
    #[inline]
    pub(super) fn u32_at(self, bytes: &[u8], at: usize) -> u32 {
        let octets = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Big => u32::from_be_bytes(octets),
            Self::Little => u32::from_le_bytes(octets),
        }
    }

    /// => `at + 2 <= bytes.len()`
    #[inline]
    pub(super) fn u16_at(self, bytes: &[u8], at: usize) -> u16 {
        let octets = [bytes[at], bytes[at + 1]];
        match self {
            Self::Big => u16::from_be_bytes(octets),
            Self::Little => u16::from_le_bytes(octets),
        }
    }
}

/// The longest packet believed: 64 MiB, far above any MTU and any offload.
pub(super) const MAX_PACKET: u32 = 64 << 20;

impl Interface {
    pub(super) fn new(name: Option<&str>, link: LinkType, snap_len: u32) -> Self {
        Self { name: name.map(ToOwned::to_owned), link, snap_len }
    }
}
