//! An answer that is no data: the request succeeded, or it failed, and why.
//!
//! It repeats the request's header, and after a failure its payload, unless the asker has switched that off
//! (`NETLINK_CAP_ACK`). Behind it may stand details (`NETLINK_EXT_ACK`): a text, and which attribute is at fault.

use alloc::vec::Vec;

use super::attr::{Attr, AttrError, Attrs};
use super::frame::{Flags, FrameError, HEADER_LEN, Header, Message, Messages, Writer};

/// An answer (`struct nlmsgerr`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Whose socket asked.
    pub pid: u32,
    /// 0: the request succeeded; else why it did not.
    pub errno: i32,
    /// The request; its payload is empty if only the header is repeated.
    pub request: Message<'a>,
    /// How long the request's payload was.
    pub request_len: usize,
    /// What else is said.
    pub details: Details<'a>,
}

/// What is said of a request beside the number (`NLMSGERR_ATTR_…`). Numbers are in the machine's byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// A sentence, without the zero behind it.
    pub text: Option<&'a [u8]>,
    /// Where in the request the attribute at fault begins, in bytes.
    pub offset: Option<u32>,
    /// An attribute of this kind is missing.
    pub missing: Option<u32>,
    /// Where in the request the list begins that it is missing from.
    pub missing_from: Option<u32>,
    /// What else is said.
    pub unknown: Vec<u8>,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// What it repeats of the request can't be read.
    Request(FrameError),
    /// The details can't be read.
    Details(AttrError),
}

impl core::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Request(error) => write!(f, "the repeated request: {error}"),
            Self::Details(error) => write!(f, "the details: {error}"),
        }
    }
}

impl core::error::Error for AnswerError {}

const CODE_LEN: usize = 4;

const TEXT: u16 = 1;
const OFFSET: u16 = 2;
const MISSING: u16 = 5;
const MISSING_FROM: u16 = 6;

impl<'a> Answer<'a> {
    /// Reads the message; `None` if it is no answer.
    ///
    /// # Errors
    /// It is one, and cut or damaged.
    pub fn parse(message: &Message<'a>) -> Option<Result<Self, AnswerError>> {
        const ERROR: u16 = 2;
        (message.header.kind == ERROR).then(|| Self::read(message))
    }

    fn read(message: &Message<'a>) -> Result<Self, AnswerError> {
        let cut = AnswerError::Request(FrameError::Header(0));
        let (code, rest) = message.payload.split_first_chunk::<CODE_LEN>().ok_or(cut)?;
        let is_capped = message.header.flags.contains(Flags::CAPPED);
        let (header, len) = Header::parse(rest).map_err(AnswerError::Request)?;
        let repeated = if is_capped { HEADER_LEN } else { len };
        let too_long = AnswerError::Request(FrameError::Length(0, len as u32));
        let payload = rest.get(HEADER_LEN..repeated).ok_or(too_long)?;
        let behind = rest.get(repeated.next_multiple_of(4)..).unwrap_or_default();
        let has_details = message.header.flags.contains(Flags::ACK_TLVS);
        let behind = if has_details { behind } else { &[] };
        Ok(Self {
            pid: message.header.pid,
            errno: i32::from_ne_bytes(*code).wrapping_neg(),
            request: Message { header, payload },
            request_len: len - HEADER_LEN,
            details: Details::parse(behind).map_err(AnswerError::Details)?,
        })
    }

    /// The answer to a request. `repeats`: a failed one's payload is wanted back.
    #[must_use]
    pub fn to(request: Message<'a>, errno: i32, repeats: bool) -> Self {
        let request_len = request.payload.len();
        let payload = if repeats && errno != 0 { request.payload } else { &[] };
        let request = Message { payload, ..request };
        let pid = request.header.pid;
        Self { pid, errno, request, request_len, details: Details::default() }
    }
}

impl<'a> Details<'a> {
    fn parse(list: &'a [u8]) -> Result<Self, AttrError> {
        let mut found = Self::default();
        let number = |attr: &Attr<'_>| attr.bytes().map(u32::from_ne_bytes);
        for attr in Attrs::new(list) {
            let attr = attr?;
            match attr.kind {
                TEXT => found.text = Some(attr.string()),
                OFFSET => found.offset = Some(number(&attr)?),
                MISSING => found.missing = Some(number(&attr)?),
                MISSING_FROM => found.missing_from = Some(number(&attr)?),
                _ => Writer::new(&mut found.unknown).attr(attr),
            }
        }
        Ok(found)
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        if let Some(text) = self.text {
            writer.string(TEXT, text);
        }
        let numbers =
            [(OFFSET, self.offset), (MISSING, self.missing), (MISSING_FROM, self.missing_from)];
        for (kind, number) in numbers {
            if let Some(number) = number {
                writer.value(kind, number.to_ne_bytes());
            }
        }
        writer.unknown(&self.unknown);
    }
}

impl Writer<'_> {
    /// Writes an answer.
    pub fn answer(&mut self, answer: &Answer<'_>) {
        let Answer { pid, errno, request, request_len, details } = answer;
        let is_capped = request.payload.len() < *request_len || *errno == 0;
        let mut flags = if is_capped { Flags::CAPPED } else { Flags::empty() };
        flags.set(Flags::ACK_TLVS, !details.is_empty());
        self.framed_error((request.header.seq, *pid), flags, |writer| {
            writer.put(&errno.wrapping_neg().to_ne_bytes());
            writer.header(request.header, *request_len);
            if !is_capped {
                writer.put(request.payload);
                writer.pad();
            }
            details.write(writer);
        });
    }
}

/// The messages of a datagram that are answers.
///
/// # Errors
/// Each item: the message is cut or damaged.
pub fn answers(datagram: &[u8]) -> impl Iterator<Item = Result<Answer<'_>, AnswerError>> {
    Messages::new(datagram).flatten().filter_map(|message| Answer::parse(&message))
}
