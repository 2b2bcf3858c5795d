//! What can be wrong with a capture file. The messages don't name the file: its reader knows no
//! name.

use core::fmt;
use std::error::Error;
use std::io;

/// Why reading a capture ends early. Offsets count bytes from the start of the file.
#[derive(Debug)]
pub enum CaptureError {
    /// Reading failed.
    Io {
        /// How far reading had come.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The file doesn't start like a pcap or pcapng file.
    UnknownFormat {
        /// Its first bytes, zero where there are none.
        magic: [u8; 4],
    },
    /// The file ends before its first header does.
    HeaderCutShort {
        /// Bytes needed for the header.
        need: usize,
        /// Bytes in the file.
        have: usize,
    },
    /// The file ends in the middle of a record. All frames before it have been delivered.
    CutShort {
        /// The index of the frame that the rest of the record would have given, from 0.
        packet: u64,
        /// Where the record starts.
        offset: u64,
    },
    /// A field has a value it can't have.
    BadField {
        /// Where its record starts.
        offset: u64,
        /// The field.
        field: Field,
        /// Its value.
        found: u64,
        /// The smallest value that can be.
        least: u64,
        /// The largest value that can be.
        most: u64,
    },
    /// The lengths at a pcapng block's start and end differ.
    LengthMismatch {
        /// Where the block starts.
        offset: u64,
        /// Length at its start.
        start: u32,
        /// Length at its end.
        end: u32,
    },
    /// A pcapng section starts with a wrong byte-order magic.
    BadByteOrder {
        /// Where the section starts.
        offset: u64,
        /// The magic found.
        magic: [u8; 4],
    },
    /// A packet names an interface that its section doesn't describe.
    UnknownInterface {
        /// Where the packet's block starts.
        offset: u64,
        /// The interface's number.
        interface: u32,
        /// How many interfaces the section has described so far.
        described: usize,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { offset, source } => write!(f, "read error at byte {offset}: {source}"),
            Self::UnknownFormat { magic } => write!(
                f,
                "neither pcap nor pcapng: at byte 0 expected a magic number, found {:08x}",
                u32::from_be_bytes(*magic)
            ),
            Self::HeaderCutShort { need, have } => {
                write!(f, "cut short: at byte 0 expected a header of {need} bytes, found {have}")
            }
            Self::CutShort { packet, offset } => {
                write!(
                    f,
                    "cut short: the file ends within packet {packet}, which starts at byte {offset}"
                )
            }
            Self::BadField { offset, field, found, least, most } if least == most => {
                write!(f, "bad record at byte {offset}: expected {field} of {most}, found {found}")
            }
            Self::BadField { offset, field, found, least, most } => write!(
                f,
                "bad record at byte {offset}: expected {field} from {least} to {most}, found {found}"
            ),
            Self::LengthMismatch { offset, start, end } => write!(
                f,
                "bad block at byte {offset}: expected its length, {start}, at its end, found {end}"
            ),
            Self::BadByteOrder { offset, magic } => write!(
                f,
                "bad section at byte {offset}: expected byte-order magic 1a2b3c4d, found {:08x}",
                u32::from_be_bytes(*magic)
            ),
            Self::UnknownInterface { offset, interface, described } => write!(
                f,
                "bad packet at byte {offset}: expected interface below {described}, found {interface}"
            ),
        }
    }
}

impl Error for CaptureError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A field whose value [`CaptureError::BadField`] refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The number of bytes captured of a packet.
    CapturedLength,
    /// A pcapng block's total length.
    BlockLength,
    /// What is left over when a pcapng block's total length is divided by 4.
    BlockAlignment,
    /// A section's major version.
    MajorVersion,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CapturedLength => "a captured length",
            Self::BlockLength => "a block length",
            Self::BlockAlignment => "a remainder of the block length by 4",
            Self::MajorVersion => "a major version",
        })
    }
}
