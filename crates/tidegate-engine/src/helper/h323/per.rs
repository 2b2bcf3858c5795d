//! The packed encoding of H.323's messages (X.691, aligned), walked by a grammar.
//!
//! Nothing is built of a message: what a helper wants is noted on the way, with its place
//! ([`Found`]), and everything else is stepped over. The walk goes as deep as the grammar, whose
//! tables have an end, and each step is checked against the message's. Reads as laxly as Linux does
//! (`nf_conntrack_h323_asn1.c`), which decides what is a message at all.

use alloc::vec::Vec;

use tidegate_wire::Family;

/// How values of a type are encoded.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Null,
    /// Nothing is encoded; it is noted that this is where it would be.
    Begin(Mark),
    /// So many bits: a truth value, a number of few values, octets that are not aligned.
    Bits(usize),
    /// So many octets from the next whole one on.
    Octets(usize),
    /// A network address, to be noted, and the port behind it.
    Endpoint(Family),
    /// A number whose length, of one to four octets, stands in front in two bits.
    Number,
    /// [`Type::Number`] from 1 on, to be noted. Linux steps over it twice.
    NotedNumber(Mark),
    /// A string: how its length is told, the least length, and the bits of an element.
    Text(Length, usize, usize),
    /// Components, with a bitmap of so many that are optional, and what newer versions have added.
    Sequence(usize, &'static [Field], Additions),
    /// One of these, or of what newer versions have added.
    Choice(&'static [Type], Additions),
    /// [`Type::Choice`], whose number is noted.
    NotedChoice(Mark, &'static [Type], Additions),
    /// Any number of elements, of which so many are noted.
    List(usize, &'static Type),
    /// [`Type::List`], each element in a field of its own length.
    OpenList(usize, &'static Type),
    /// What is noted of it goes by this name.
    As(Mark, &'static Type),
    /// Nothing is noted of it.
    Unnoted(&'static Type),
    /// A field of its own length that is stepped over.
    Open,
    /// Nobody wants what follows: the enclosing type ends here.
    End,
}

/// What the versions since the first have added, as far as Linux knows them, each in a field of its
/// own length. `None` if nothing may be added.
pub(super) type Additions = Option<&'static [Type]>;

/// A component of a sequence.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Must(Type),
    May(Type),
}

/// How a length is told.
#[derive(Clone, Copy)]
pub(super) enum Length {
    /// In so many bits.
    Bits(usize),
    Octet,
    TwoOctets,
    /// In an octet, or in 14 bits of two.
    Variable,
}

/// The names of what is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Which message of RAS it is.
    Ras,
    /// Which message of Q.931 it is.
    Call,
    /// Why a call's course changes.
    Reason,
    /// Which kind of message of H.245 begins.
    Control,
    /// A logical channel begins.
    Channel,
    /// The protocol below T.120.
    DataProtocol,
    TimeToLive,
    RasAddress,
    SignalAddress,
    SourceAddress,
    DestinationAddress,
    AlternativeAddress,
    H245Address,
    MediaAddress,
    StackAddress,
    AckStackAddress,
}

/// Something noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mark: Mark,
    /// Its number in the list that it is an element of, if it is.
    pub(super) nth: usize,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number, or which alternative is chosen.
    Number(u32),
    /// An address, at this offset of the message, and the port behind it.
    Endpoint(Family, usize),
}

/// The message ends too early, or holds what no value of its type is encoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Step = Result<(), Malformed>;

/// What is noted in a message of this type, which begins at `from` of `bytes`. Offsets are those of
/// `bytes`.
pub(super) fn decode(bytes: &[u8], from: usize, ty: &Type) -> Result<Vec<Found>, Malformed> {
    let (at, steps) = (from * OCTET, bytes.len() * STEPS_PER_OCTET + SPARE_STEPS);
    let (mark, notes) = (None, true);
    let mut walk = Walk { bytes, at, steps, mark, notes, nth: 0, found: Vec::new() };
    walk.step(ty)?;
    Ok(walk.found)
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// Where in the message it is, in bits.
    at: usize,
    /// How many more values are looked at. What an open field holds may claim more than the field, and what
    /// comes behind the field is read once more then: a message of such fields would take its length squared.
    steps: usize,
    /// What addresses are noted as.
    mark: Option<Mark>,
    /// Whether anything is noted.
    notes: bool,
    nth: usize,
    found: Vec<Found>,
}

const OCTET: usize = 8;
/// More than the values of any message whose fields hold what they say; Linux has no such bound.
const STEPS_PER_OCTET: usize = 16;
const SPARE_STEPS: usize = 256;
/// A sequence knows no more additions.
const MOST_ADDITIONS: usize = 32;

impl Walk<'_> {
    fn step(&mut self, ty: &Type) -> Step {
        self.steps = self.steps.checked_sub(1).ok_or(Malformed)?;
        match *ty {
            Type::Null | Type::End => Ok(()),
            Type::Begin(mark) => {
                self.note(mark, Value::Number(0));
                Ok(())
            }
            Type::Bits(bits) => self.skip(bits),
            Type::Octets(octets) => self.octets(octets),
            Type::Endpoint(family) => self.endpoint(family),
            Type::Number => {
                let len = self.number_len()?;
                self.skip(len * OCTET)
            }
            Type::NotedNumber(mark) => self.noted_number(mark),
            Type::Text(length, least, unit) => {
                let count = self.length(length)? + least;
                self.skip(count * unit)
            }
            Type::Sequence(optional, root, additions) => self.sequence(optional, root, additions),
            Type::Choice(root, additions) => self.choice(None, root, additions),
            Type::NotedChoice(mark, root, additions) => self.choice(Some(mark), root, additions),
            Type::List(most, item) => self.list(most, item),
            Type::OpenList(most, item) => self.open_list(most, item),
            Type::As(mark, inner) => {
                let outer = self.mark.replace(mark);
                let step = self.step(inner);
                self.mark = outer;
                step
            }
            Type::Unnoted(inner) => self.with_notes(false, inner),
            Type::Open => self.open(ty),
        }
    }

    fn note(&mut self, mark: Mark, value: Value) {
        if self.notes {
            self.found.push(Found { mark, nth: self.nth, value });
        }
    }

    fn with_notes(&mut self, notes: bool, ty: &Type) -> Step {
        let outer = core::mem::replace(&mut self.notes, notes);
        let step = self.step(ty);
        self.notes = outer;
        step
    }

    fn endpoint(&mut self, family: Family) -> Step {
        self.align();
        if let Some(mark) = self.mark {
            self.note(mark, Value::Endpoint(family, self.at / OCTET));
        }
        self.octets(address_len(family))?;
        self.octets(PORT_LEN)
    }

    fn noted_number(&mut self, mark: Mark) -> Step {
        let len = self.number_len()?;
        if !self.notes {
            return self.skip(len * OCTET);
        }
        let number = (0..len).fold(0u32, |number, _| number << OCTET | self.octet() as u32);
        self.note(mark, Value::Number(number.wrapping_add(1)));
        self.skip(len * OCTET)
    }

    fn number_len(&mut self) -> Result<usize, Malformed> {
        self.need(2)?;
        let len = self.bits(2) as usize + 1;
        self.need(len * OCTET)?;
        self.align();
        Ok(len)
    }

    fn length(&mut self, length: Length) -> Result<usize, Malformed> {
        match length {
            Length::Bits(bits) => {
                self.need(bits)?;
                let count = self.bits(bits) as usize;
                self.align();
                Ok(count)
            }
            Length::Octet => {
                self.align();
                self.need(OCTET)?;
                Ok(self.octet())
            }
            Length::TwoOctets => {
                self.align();
                self.need(2 * OCTET)?;
                Ok(self.octet() << OCTET | self.octet())
            }
            Length::Variable => {
                self.align();
                self.variable_length()
            }
        }
    }

    /// Two octets are asked for even where one says it all.
    fn variable_length(&mut self) -> Result<usize, Malformed> {
        self.need(2 * OCTET)?;
        match self.octet() {
            first if first & 0x80 == 0 => Ok(first),
            first => Ok((first & 0x3f) << OCTET | self.octet()),
        }
    }

    fn sequence(&mut self, optional: usize, root: &[Field], additions: Additions) -> Step {
        self.need(1)?;
        let is_extended = additions.is_some() && self.bits(1) == 1;
        self.need(optional)?;
        let mut present = self.bitmap(optional);
        for field in root {
            let ty = match field {
                Field::Must(Type::End) | Field::May(Type::End) => return Ok(()),
                Field::Must(ty) => Some(ty),
                Field::May(ty) => {
                    let is_there = present >> 31 == 1;
                    present <<= 1;
                    Some(ty).filter(|_| is_there)
                }
            };
            ty.map_or(Ok(()), |ty| self.step(ty))?;
        }
        match additions.filter(|_| is_extended) {
            Some(known) => self.additions(known),
            None => Ok(()),
        }
    }

    /// Linux takes additions that it doesn't know to be there, whatever the bitmap says.
    fn additions(&mut self, known: &[Type]) -> Step {
        self.need(7)?;
        let count = self.bits(7) as usize + 1;
        self.need(count)?;
        if count > MOST_ADDITIONS {
            return Err(Malformed);
        }
        let present = self.bitmap(count);
        self.align();
        for nth in 0..count {
            match known.get(nth) {
                None => self.open(&Type::Open)?,
                Some(Type::End) => return Ok(()),
                Some(ty) if present << nth >> 31 == 1 => self.open(ty)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn choice(&mut self, mark: Option<Mark>, root: &[Type], additions: Additions) -> Step {
        self.need(1)?;
        let is_addition = additions.is_some() && self.bits(1) == 1;
        let bits = if is_addition { 7 } else { root.len().next_power_of_two().ilog2() as usize };
        self.need(bits)?;
        let nth = self.bits(bits) as usize;
        let chosen = if is_addition { nth + root.len() } else { nth };
        if let Some(mark) = mark {
            self.note(mark, Value::Number(chosen as u32));
        }
        if !is_addition {
            return root.get(nth).map_or(Err(Malformed), |ty| self.step(ty));
        }
        match additions.and_then(|known| known.get(nth)).unwrap_or(&Type::Open) {
            Type::End => Ok(()),
            ty => {
                self.align();
                self.open(ty)
            }
        }
    }

    fn list(&mut self, most: usize, item: &Type) -> Step {
        let count = self.length(Length::Variable)?;
        for nth in 0..count {
            self.nth = nth;
            self.with_notes(self.notes && nth < most, item)?;
        }
        self.nth = 0;
        Ok(())
    }

    fn open_list(&mut self, most: usize, item: &Type) -> Step {
        let (count, notes) = (self.length(Length::Variable)?, self.notes);
        for nth in 0..count {
            self.align();
            let end = self.open_end()?;
            if notes {
                self.with_notes(nth < most, item)?;
            }
            self.at = end;
        }
        Ok(())
    }

    /// A field of its own length. What it holds may claim more than that.
    fn open(&mut self, ty: &Type) -> Step {
        let end = self.open_end()?;
        if self.notes && !matches!(ty, Type::Open) {
            self.step(ty)?;
        }
        self.at = end;
        Ok(())
    }

    fn open_end(&mut self) -> Result<usize, Malformed> {
        let len = self.variable_length()?;
        self.need(len * OCTET)?;
        Ok(self.at + len * OCTET)
    }

    fn octets(&mut self, octets: usize) -> Step {
        self.align();
        self.skip(octets * OCTET)
    }

    fn skip(&mut self, bits: usize) -> Step {
        self.at += bits;
        self.need(0)
    }

    fn need(&self, bits: usize) -> Step {
        if self.at + bits > self.bytes.len() * OCTET { Err(Malformed) } else { Ok(()) }
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(OCTET);
    }

    /// The octet here, whichever of its bits have been read.
    fn octet(&mut self) -> usize {
        let octet = self.bytes.get(self.at / OCTET).copied().unwrap_or(0);
        self.at += OCTET;
        octet.into()
    }

    fn bits(&mut self, bits: usize) -> u32 {
        let value = self.peek(self.at, bits);
        self.at += bits;
        value
    }

    /// So many bits, from the highest on. Linux forgets which bits of the first octet have been read
    /// if the last octet ends with the bitmap and is the fourth.
    fn bitmap(&mut self, bits: usize) -> u32 {
        let read = self.at % OCTET;
        let from = if read + bits == 32 { self.at - read } else { self.at };
        let value = self.peek(from, bits);
        self.at += bits;
        value.checked_shl(32 - bits as u32).unwrap_or(0)
    }

    fn peek(&self, from: usize, bits: usize) -> u32 {
        (from..from + bits).fold(0, |value, at| {
            let octet = self.bytes.get(at / OCTET).copied().unwrap_or(0);
            value << 1 | u32::from(octet >> (OCTET - 1 - at % OCTET) & 1)
        })
    }
}

/// How long the family's addresses are, in octets.
pub(super) fn address_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

const PORT_LEN: usize = 2;
