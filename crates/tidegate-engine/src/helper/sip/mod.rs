//! SIP: calls, whose media the session descriptions announce, and registrations, behind which calls
//! come in.
//!
//! ```text
//! hear --> a message --> request or response --> session: its media are expected
//!                                            \-> register: incoming calls are expected
//!                    --> rewrite, where the connection is translated
//! ```
//!
//! Media and calls are expected from the other end of the signalling only, unless the settings say that they may be
//! anybody's. Linux: `nf_conntrack_sip.c`, `nf_nat_sip.c`.

mod header;
mod register;
mod rewrite;
mod sdp;
mod session;

use core::ops::Range;

use tidegate_wire::proto;

use self::header::{Found, Header, Text, uint};
use super::text::begins;
use super::{Hearing, HelperFault, Memory, Outcome};
use crate::expect::Expectation;

/// The classes of expectations.
pub(super) const SIGNALLING: u8 = 0;
pub(super) const AUDIO: u8 = 1;
pub(super) const VIDEO: u8 = 2;
pub(super) const IMAGE: u8 = 3;

/// `SIP/2.0 200`: the shortest message.
const SHORTEST: usize = 11;

/// What is remembered of a dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// The numbers of the last requests.
    register: u32,
    invite: u32,
    /// The port that a telephone wants its responses at, other than that which it sends from.
    answer_port: Option<u16>,
}

/// A message on its way.
pub(super) struct Sip<'h, 'e, 'm> {
    hearing: &'h mut Hearing<'e, 'm>,
    /// Where in the payload the message begins, and how long it is.
    at: usize,
    len: usize,
}

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Invite,
    Update,
    Ack,
    Prack,
    Bye,
    Register,
}

const METHODS: [(&[u8], Method); 6] = [
    (b"INVITE", Method::Invite),
    (b"UPDATE", Method::Update),
    (b"ACK", Method::Ack),
    (b"PRACK", Method::Prack),
    (b"BYE", Method::Bye),
    (b"REGISTER", Method::Register),
];

pub(super) fn hear(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let is_tcp = hearing.flow.orig.proto == proto::TCP;
    if is_tcp && !hearing.is_established() {
        return Ok(());
    }
    let len = hearing.message.data().len();
    if len == 0 {
        return Ok(());
    }
    let timeout = hearing.parameters().sip_timeout.as_duration();
    hearing.flow.refresh(hearing.now, timeout);
    hearing.message.linearize();
    if len < SHORTEST {
        return Ok(());
    }
    if is_tcp { hear_stream(hearing) } else { Sip { hearing, at: 0, len }.process() }
}

/// A segment holds any number of messages, each with its length.
fn hear_stream(hearing: &mut Hearing<'_, '_>) -> Outcome {
    let seq = hearing.message.seq();
    let before = hearing.message.data().len();
    let mut at = 0;
    loop {
        let family = hearing.flow.orig.family();
        let rest = Text { bytes: &hearing.message.data()[at..], family };
        let len = match message_len(&rest) {
            Some(len) if len > rest.bytes.len() => return Ok(()),
            Some(len) => len,
            None => break,
        };
        let mut sip = Sip { hearing, at, len };
        sip.process()?;
        at += sip.len;
    }
    let growth = hearing.message.data().len() as i32 - before as i32;
    if let Some(seq) = seq.filter(|_| hearing.is_translated()) {
        hearing.correct(seq, growth);
    }
    Ok(())
}

/// How long the first message is, by its `Content-Length`.
fn message_len(text: &Text<'_>) -> Option<usize> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let Found::Value(span) = text.header(0, Header::ContentLength) else { return None };
    let (content, digits) = uint(&text.bytes[span.start..]);
    if digits == 0 || content as usize > text.bytes.len() {
        return None;
    }
    let from = span.start + digits;
    let header_end = super::text::find(&text.bytes[from..], BLANK_LINE)?;
    Some(from + header_end + BLANK_LINE.len() + content as usize)
}

impl Sip<'_, '_, '_> {
    fn process(&mut self) -> Outcome {
        if begins(self.bytes(), b"SIP/2.0 ") {
            self.response()?;
        } else {
            self.request()?;
        }
        if self.hearing.is_translated() { self.rewrite() } else { Ok(()) }
    }

    fn request(&mut self) -> Outcome {
        self.note_answer_port();
        let text = self.bytes();
        let named = METHODS.into_iter().find(|(name, _)| {
            begins(text, name)
                && matches!(text.get(name.len()..name.len() + 2), Some([b' ', c]) if c.is_ascii_alphabetic())
        });
        let Some((_, method)) = named else { return Ok(()) };
        let (number, _) = self.sequence()?;
        match method {
            Method::Invite => {
                self.flush_media();
                self.session()?;
                self.dialog_mut(|dialog| dialog.invite = number);
                Ok(())
            }
            Method::Update | Method::Ack | Method::Prack => self.session(),
            Method::Bye => {
                self.flush_media();
                Ok(())
            }
            Method::Register => self.register_request(number),
        }
    }

    /// Some telephones send from one port and listen at another, as `Via` says.
    fn note_answer_port(&mut self) {
        let own = self.hearing.own();
        if let Ok(Some(via)) = self.text().uri(Header::ViaUdp)
            && via.port != own.sport
            && via.addr == own.src
        {
            self.dialog_mut(|dialog| dialog.answer_port = Some(via.port));
        }
    }

    fn response(&mut self) -> Outcome {
        const CODE: usize = 8;
        if self.len < SHORTEST {
            return Ok(());
        }
        let (code, _) = uint(&self.bytes()[CODE..]);
        if code == 0 {
            return Err(HelperFault::Malformed("get code"));
        }
        let (number, end) = self.sequence()?;
        let rest = self.bytes().get(end + 1..).unwrap_or_default();
        let named = METHODS
            .into_iter()
            .filter(|(_, method)| !matches!(method, Method::Ack | Method::Bye))
            .find(|(name, _)| begins(rest, name));
        match named {
            None => Ok(()),
            Some((_, Method::Register)) => self.register_response(number, code),
            Some(_) => self.session_response(number, code),
        }
    }

    fn session_response(&mut self, number: u32, code: u32) -> Outcome {
        if (100..300).contains(&code) {
            return self.session();
        }
        if self.dialog().invite == number {
            self.flush_media();
        }
        Ok(())
    }

    /// The number that requests and their responses have in common, and where it ends.
    fn sequence(&self) -> Result<(u32, usize), HelperFault> {
        let Found::Value(span) = self.text().header(0, Header::Cseq) else {
            return Err(HelperFault::Malformed("parse cseq"));
        };
        match uint(&self.bytes()[span.start..]) {
            (_, 0) => Err(HelperFault::Malformed("get cseq")),
            (number, _) => Ok((number, span.end)),
        }
    }

    fn flush_media(&mut self) {
        let is_media = |one: &Expectation| one.class != SIGNALLING;
        let Hearing { engine, id, now, .. } = &mut *self.hearing;
        engine.table.expectations.withdraw_of(
            *id,
            (is_media, usize::MAX),
            *now,
            &mut engine.events,
        );
    }

    fn bytes(&self) -> &[u8] {
        &self.hearing.message.data()[self.at..self.at + self.len]
    }

    fn text(&self) -> Text<'_> {
        Text { bytes: self.bytes(), family: self.hearing.flow.orig.family() }
    }

    fn dialog(&self) -> Dialog {
        match self.hearing.care.memory {
            Memory::Sip(dialog) => dialog,
            _ => Dialog::default(),
        }
    }

    fn dialog_mut(&mut self, change: impl FnOnce(&mut Dialog)) {
        if let Memory::Sip(dialog) = &mut self.hearing.care.memory {
            change(dialog);
        }
    }

    /// Rewrites a part of the message; the segment's growth is noted when all messages are done.
    fn replace(&mut self, span: Range<usize>, with: &str) -> Outcome {
        let range = self.at + span.start..self.at + span.end;
        self.hearing.message.replace(range, with.as_bytes())?;
        self.len = self.len + with.len() - span.len();
        Ok(())
    }
}
