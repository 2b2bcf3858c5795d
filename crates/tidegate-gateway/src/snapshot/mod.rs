//! Files of what a connection tracking table held at a moment, and of what happened to it since: the kernel's or an
//! engine's, in the words of ctnetlink, whole and unchanged.
//!
//! ```text
//! "CTSNAP\r\n", version u16, 0 u16
//! Opening     time, kernel, which table            (JSON)
//! Settings    names and values                     (JSON)
//! Statistics  messages: counters, how many entries
//! Expectations
//! Flows       messages, block after block
//! Closing     how many there were: the snapshot is whole (JSON)
//! Events      messages with times                  (recordings only, as are gaps)
//! Gap         from when to when something was missed
//! ```
//!
//! Each part is a row of blocks (`frame`) with checksums, messages stand in columns (`columns`): a flow of an ordinary
//! table takes some 20 bytes. Reader and writer hold one block, whatever the file's size. Numbers *in* messages are in
//! the byte order of the machine that wrote them, which the opening names.

mod columns;
mod fault;
mod frame;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_wire::netlink::{Attrs, Flags, Header, Message};

use self::columns::{Columns, Strings};
pub use self::fault::{Cause, Fault};
use self::frame::Blocks;

/// The version that is written, and the only one that is read.
pub const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"CTSNAP\r\n";

/// What a file begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// When the table was asked, in nanoseconds since 1970.
    pub time: u64,
    /// The kernel's release, such as 6.18.44.
    pub release: String,
    /// Whose table it is: `kernel` or `engine`.
    pub table: String,
    /// Which one: a network namespace or a socket's path.
    pub place: String,
    /// The program that wrote the file.
    pub program: String,
    /// `little` or `big`: the byte order of numbers in messages.
    pub order: String,
    /// Since when whoever wrote it hears of events, in nanoseconds since 1970; only in recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens_since: Option<u64>,
    /// Addresses are not the real ones.
    #[serde(default)]
    pub is_redacted: bool,
}

/// What a snapshot ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Flows that were listed.
    pub flows: u64,
    /// Expectations.
    pub expectations: u64,
    /// When the table's last answer came, in nanoseconds since 1970.
    pub time: u64,
}

/// A time of which events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last moment before it, in nanoseconds since 1970.
    pub from: u64,
    /// The first moment behind it.
    pub to: u64,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// [`Opening`].
    Opening = 1,
    /// Names and values.
    Settings = 2,
    /// Messages of statistics.
    Statistics = 3,
    /// Messages about expectations.
    Expectations = 4,
    /// Messages about flows.
    Flows = 5,
    /// [`Closing`].
    Closing = 6,
    /// Messages with times.
    Events = 7,
    /// [`Gap`].
    Gap = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Opening,
        Self::Settings,
        Self::Statistics,
        Self::Expectations,
        Self::Flows,
        Self::Closing,
        Self::Events,
        Self::Gap,
    ];

    fn of_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// Writes a file, part by part in the order of the file.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    columns: Columns,
    /// What the messages in `columns` are.
    kind: Kind,
    closing: Closing,
    scratch: Vec<u8>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn begin(mut out: W, opening: &Opening) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&u32::from(VERSION).to_le_bytes())?;
        let (columns, kind, closing) = (Columns::default(), Kind::Opening, Closing::default());
        let written = MAGIC.len() as u64 + 4;
        let mut writer = Self { out, columns, kind, closing, scratch: Vec::new(), written };
        writer.json(Kind::Opening, opening)?;
        Ok(writer)
    }

    /// Writes the table's settings.
    ///
    /// # Errors
    /// Nothing can be written there; so for all that follow.
    pub fn settings(&mut self, settings: &[(String, String)]) -> io::Result<()> {
        self.json(Kind::Settings, &settings)
    }

    /// Writes a message of statistics, about an expectation or a flow.
    ///
    /// # Errors
    /// Nothing can be written there, or it is longer than any table's.
    pub fn message(&mut self, kind: Kind, message: &Message<'_>) -> io::Result<()> {
        match kind {
            Kind::Flows => self.closing.flows += 1,
            Kind::Expectations => self.closing.expectations += 1,
            _ => {}
        }
        self.push(kind, None, message)
    }

    /// Ends the snapshot at `time`.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn close(&mut self, time: u64) -> io::Result<Closing> {
        self.closing.time = time;
        let closing = self.closing;
        self.json(Kind::Closing, &closing)?;
        self.out.flush()?;
        Ok(closing)
    }

    /// Writes what happened at `time`. It is safe in the file after [`Self::flush`].
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn event(&mut self, time: u64, message: &Message<'_>) -> io::Result<()> {
        self.push(Kind::Events, Some(time), message)
    }

    /// Writes that something was missed.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.json(Kind::Gap, gap)
    }

    /// Writes what waits as a block of its own.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_columns()?;
        self.out.flush()
    }

    /// Bytes that were written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What the file is written to.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.out
    }

    fn push(&mut self, kind: Kind, time: Option<u64>, message: &Message<'_>) -> io::Result<()> {
        if self.kind != kind || self.columns.is_full() {
            self.write_columns()?;
            self.kind = kind;
        }
        let Message { header, payload } = message;
        self.scratch.clear();
        if let Some(time) = time {
            self.scratch.extend_from_slice(&time.to_le_bytes());
        }
        self.scratch.extend_from_slice(&header.kind.to_le_bytes());
        self.scratch.extend_from_slice(&header.flags.bits().to_le_bytes());
        self.scratch.extend_from_slice(payload);
        if self.scratch.len() > LONGEST {
            return Err(io::Error::other("a message is longer than any table's"));
        }
        self.columns.push(shape_of(message), &self.scratch);
        Ok(())
    }

    fn write_columns(&mut self) -> io::Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        self.scratch.clear();
        self.columns.take(&mut self.scratch);
        self.written += frame::write(&mut self.out, self.kind as u16, &self.scratch)? as u64;
        Ok(())
    }

    fn json(&mut self, kind: Kind, value: &impl Serialize) -> io::Result<()> {
        self.write_columns()?;
        let text = serde_json::to_vec(value).map_err(io::Error::from)?;
        self.written += frame::write(&mut self.out, kind as u16, &text)? as u64;
        Ok(())
    }
}

/// The same for messages that have the same attributes of the same lengths.
fn shape_of(message: &Message<'_>) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mix = |sum: u64, number: u64| (sum ^ number).wrapping_mul(PRIME);
    let first = mix(u64::from(message.header.kind), u64::from(message.header.flags.bits()));
    let attrs = Attrs::new(message.payload.get(4..).unwrap_or_default()).flatten();
    attrs.fold(first, |sum, attr| mix(sum, (u64::from(attr.kind) << 16) | attr.value.len() as u64))
}

/// Reads a file, part by part.
#[derive(Debug)]
pub struct Reader<R = BufReader<File>> {
    path: PathBuf,
    blocks: Blocks<R>,
    opening: Opening,
    /// The last block: its number and where it begins.
    block: (u64, u64),
    /// The same of the next one.
    next: (u64, u64),
}

/// A block of a file, and what it holds.
#[derive(Debug)]
pub enum Part<'a> {
    /// Names and values.
    Settings(Vec<(String, String)>),
    /// Statistics.
    Statistics(Records<'a>),
    /// Expectations.
    Expectations(Records<'a>),
    /// Flows.
    Flows(Records<'a>),
    /// The snapshot is whole.
    Closing(Closing),
    /// What happened since.
    Events(Records<'a>),
    /// Something was missed.
    Gap(Gap),
}

impl Reader {
    /// Opens a file and reads its opening.
    ///
    /// # Errors
    /// There is none, or it is no snapshot.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let at = |error: io::Error| Fault { path: path.into(), block: None, cause: error.into() };
        Self::new(path, BufReader::with_capacity(BUFFER, File::open(path).map_err(at)?))
    }
}

impl<R: Read> Reader<R> {
    /// Reads the opening of what `input` holds, which faults call `path`.
    ///
    /// # Errors
    /// It is no snapshot.
    pub fn new(path: &Path, mut input: R) -> Result<Self, Fault> {
        let bad = |cause| Fault { path: path.into(), block: None, cause };
        let mut head = [0; 12];
        let len = frame::read_up_to(&mut input, &mut head).map_err(|error| bad(error.into()))?;
        if len < head.len() || !head.starts_with(MAGIC) {
            return Err(bad(if len < head.len() && MAGIC.starts_with(&head[..len.min(8)]) {
                Cause::Cut
            } else {
                Cause::NoSnapshot
            }));
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != VERSION {
            return Err(bad(Cause::Version(version)));
        }
        let (path, blocks) = (path.to_owned(), Blocks::new(input));
        let at = head.len() as u64;
        let opening = Opening::default();
        let mut reader = Self { path, blocks, opening, block: (0, at), next: (0, at) };
        let kind = reader.advance()?;
        if kind != Some(Kind::Opening) {
            let cause = if kind.is_none() { Cause::Cut } else { Cause::Damaged("is no opening") };
            return Err(reader.fault(cause));
        }
        reader.opening = reader.json()?;
        if reader.opening.order != byte_order() {
            return Err(reader.fault(Cause::ByteOrder));
        }
        Ok(reader)
    }

    /// What the file begins with.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The next part; `None` where the file ends between two.
    ///
    /// # Errors
    /// It is damaged, or cut off; nothing behind it can be read.
    pub fn part(&mut self) -> Result<Option<Part<'_>>, Fault> {
        let Some(kind) = self.advance()? else { return Ok(None) };
        Ok(Some(match kind {
            Kind::Opening => return Err(self.fault(Cause::Damaged("is a second opening"))),
            Kind::Settings => Part::Settings(self.json()?),
            Kind::Closing => Part::Closing(self.json()?),
            Kind::Gap => Part::Gap(self.json()?),
            Kind::Statistics => Part::Statistics(self.records(false)?),
            Kind::Expectations => Part::Expectations(self.records(false)?),
            Kind::Flows => Part::Flows(self.records(false)?),
            Kind::Events => Part::Events(self.records(true)?),
        }))
    }

    /// Where the last part that was read ends.
    pub fn position(&self) -> u64 {
        self.next.1
    }

    /// A fault of the last part that was read.
    pub fn fault(&self, cause: Cause) -> Fault {
        Fault { path: self.path.clone(), block: Some(self.block), cause }
    }

    fn advance(&mut self) -> Result<Option<Kind>, Fault> {
        self.block = self.next;
        let read = self.blocks.read().map_err(|cause| self.fault(cause))?;
        let Some((kind, len)) = read else { return Ok(None) };
        self.next = (self.block.0 + 1, self.block.1 + len);
        let kind = Kind::of_number(kind);
        kind.map(Some).ok_or_else(|| self.fault(Cause::Damaged("is of a kind that there isn't")))
    }

    fn json<T: for<'a> Deserialize<'a>>(&self) -> Result<T, Fault> {
        let damaged = |_| self.fault(Cause::Damaged("is not the text that it should be"));
        serde_json::from_slice(self.blocks.raw()).map_err(damaged)
    }

    fn records(&self, have_times: bool) -> Result<Records<'_>, Fault> {
        let strings = Strings::parse(self.blocks.raw());
        let strings = strings.map_err(|_| self.fault(Cause::Damaged("holds no messages")))?;
        Ok(Records { path: &self.path, block: self.block, strings, have_times })
    }
}

/// The messages of a part.
#[derive(Debug)]
pub struct Records<'a> {
    path: &'a Path,
    block: (u64, u64),
    strings: Strings<'a>,
    have_times: bool,
}

impl Records<'_> {
    /// Hands over each message, and when it came; 0 if that isn't said.
    ///
    /// # Errors
    /// The part is damaged, or `each` wants no more.
    pub fn each<E: From<Fault>>(
        &mut self,
        mut each: impl FnMut(u64, &Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (path, block, have_times) = (self.path, self.block, self.have_times);
        let damaged = || Fault {
            path: path.into(),
            block: Some(block),
            cause: Cause::Damaged("holds no messages"),
        };
        while let Some(string) = self.strings.next().map_err(|_| damaged())? {
            let (time, message) = message(string, have_times).ok_or_else(damaged)?;
            each(time, &message)?;
        }
        Ok(())
    }
}

fn message(string: &[u8], has_time: bool) -> Option<(u64, Message<'_>)> {
    let (time, rest) = match has_time {
        true => string.split_first_chunk().map(|(time, rest)| (u64::from_le_bytes(*time), rest))?,
        false => (0, string),
    };
    let ([k0, k1, f0, f1], payload) = rest.split_first_chunk()?;
    let flags = Flags::from_bits_retain(u16::from_le_bytes([*f0, *f1]));
    let header = Header { kind: u16::from_le_bytes([*k0, *k1]), flags, seq: 0, pid: 0 };
    Some((time, Message { header, payload }))
}

/// What [`Opening::order`] is on this machine.
#[must_use]
pub fn byte_order() -> &'static str {
    if cfg!(target_endian = "big") { "big" } else { "little" }
}

/// As much is read at once.
const BUFFER: usize = 256 << 10;
/// No message is longer.
const LONGEST: usize = 60_000;
