//! H.245: what is sent in a channel. Only whether it is T.120 over a stack of its own is noted.

use super::address::{DATA, OBJECT_IDENTIFIER};
use crate::helper::h323::per::Field::{May, Must};
use crate::helper::h323::per::Mark;
use crate::helper::h323::per::Type::{self, *};

pub(super) const NON_STANDARD: Type = Sequence(
    0,
    &[Must(Choice(&[OBJECT_IDENTIFIER, Sequence(0, &[Must(Octets(4))], None)], None)), Must(DATA)],
    None,
);

pub(super) const DATA_TYPE: Type = Choice(
    &[NON_STANDARD, Null, VIDEO, AUDIO, DATA_CAPABILITY, Choice(&[NON_STANDARD, Null], Some(&[]))],
    Some(&[]),
);

const H261: Type = Sequence(
    2,
    &[May(Bits(2)), May(Bits(2)), Must(Bits(1)), Must(Octets(2)), Must(Bits(1))],
    Some(&[Open]),
);

const H262: Type = Sequence(
    6,
    &[
        Must(Bits(11)),
        May(Number),
        May(Number),
        May(Octets(2)),
        May(Octets(2)),
        May(Bits(4)),
        May(Number),
    ],
    Some(&[Open]),
);

const H263: Type = Sequence(
    7,
    &[
        May(Bits(5)),
        May(Bits(5)),
        May(Bits(5)),
        May(Bits(5)),
        May(Bits(5)),
        Must(Number),
        Must(Bits(5)),
        May(Number),
        May(Octets(2)),
    ],
    Some(&[Open; 8]),
);

const IS11172_VIDEO: Type = Sequence(
    6,
    &[
        Must(Bits(1)),
        May(Number),
        May(Number),
        May(Octets(2)),
        May(Octets(2)),
        May(Bits(4)),
        May(Number),
    ],
    Some(&[Open]),
);

const VIDEO: Type = Choice(&[NON_STANDARD, H261, H262, H263, IS11172_VIDEO], Some(&[]));

/// How many frames a packet has.
const FRAMES: Type = Octets(1);

const AUDIO: Type = Choice(
    &[
        NON_STANDARD,
        FRAMES,
        FRAMES,
        FRAMES,
        FRAMES,
        FRAMES,
        FRAMES,
        FRAMES,
        Sequence(0, &[Must(FRAMES), Must(Bits(1))], None),
        FRAMES,
        FRAMES,
        FRAMES,
        Sequence(0, &[Must(Bits(8)), Must(Octets(2))], Some(&[])),
        Sequence(0, &[Must(Bits(20)), Must(Octets(2))], Some(&[])),
    ],
    Some(&[]),
);

/// The protocols below an application.
const PROTOCOLS: &[Type] = &[NON_STANDARD, Null, Null, Null, Null, Null, Null];
const PROTOCOL: Type = Choice(PROTOCOLS, Some(&[]));

const T84_PROFILE: Type = Choice(&[Null, Sequence(0, &[Must(Bits(19))], Some(&[]))], None);

const APPLICATION: Type = Choice(
    &[
        NON_STANDARD,
        NotedChoice(Mark::DataProtocol, PROTOCOLS, Some(&[])),
        PROTOCOL,
        PROTOCOL,
        Sequence(0, &[Must(PROTOCOL), Must(T84_PROFILE)], None),
        PROTOCOL,
        PROTOCOL,
        Sequence(0, &[Must(PROTOCOL), Must(DATA)], None),
        Null,
        PROTOCOL,
    ],
    Some(&[]),
);

const DATA_CAPABILITY: Type = Sequence(0, &[Must(APPLICATION), Must(Number)], Some(&[]));
