//! H.235: tokens, clear and encrypted, which stand in the first version of one message only.

use super::address::{ALIAS, DATA, IDENTIFIER, OBJECT_IDENTIFIER};
use crate::helper::h323::per::Field::{May, Must};
use crate::helper::h323::per::Length::{Bits as InBits, TwoOctets, Variable};
use crate::helper::h323::per::Type::{self, *};

pub(super) const CLEAR_TOKENS: Type = List(0, &CLEAR_TOKEN);
pub(super) const CRYPTO_TOKENS: Type = List(0, &CRYPTO_H323_TOKEN);

/// A number of any length.
const BIG_NUMBER: Type = Text(Variable, 0, 8);
/// Bits, any number of them.
const BIT_STRING: Type = Text(Variable, 0, 1);
const SHORT_BIT_STRING: Type = Text(TwoOctets, 0, 1);

const DIFFIE_HELLMAN: Type = Sequence(
    0,
    &[Must(SHORT_BIT_STRING), Must(SHORT_BIT_STRING), Must(SHORT_BIT_STRING)],
    Some(&[]),
);

const CLEAR_TOKEN: Type = Sequence(
    8,
    &[
        Must(OBJECT_IDENTIFIER),
        May(Number),
        May(IDENTIFIER),
        May(DIFFIE_HELLMAN),
        May(Text(InBits(7), 8, 8)),
        May(BIG_NUMBER),
        May(Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(DATA)], Some(&[]))),
        May(IDENTIFIER),
        May(Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(DATA)], None)),
    ],
    Some(&[Open; 2]),
);

const PARAMETERS: Type = Sequence(2, &[May(BIG_NUMBER), May(Octets(8))], Some(&[Open]));

const HASHED: Type =
    Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(PARAMETERS), Must(BIT_STRING)], None);

const ENCRYPTED: Type = Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(PARAMETERS), Must(DATA)], None);

const SIGNED: Type =
    Sequence(0, &[Must(Open), Must(OBJECT_IDENTIFIER), Must(PARAMETERS), Must(BIT_STRING)], None);

const CRYPTO_TOKEN: Type = Choice(
    &[
        Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(ENCRYPTED)], None),
        Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(SIGNED)], None),
        Sequence(0, &[Must(OBJECT_IDENTIFIER), Must(CLEAR_TOKEN), Must(HASHED)], None),
        ENCRYPTED,
    ],
    Some(&[]),
);

const CRYPTO_H323_TOKEN: Type = Choice(
    &[
        Sequence(0, &[Must(ALIAS), Must(Number), Must(HASHED)], None),
        Sequence(0, &[Must(IDENTIFIER), Must(Number), Must(HASHED)], None),
        ENCRYPTED,
        ENCRYPTED,
        SIGNED,
        SIGNED,
        SIGNED,
        CRYPTO_TOKEN,
    ],
    Some(&[]),
);
