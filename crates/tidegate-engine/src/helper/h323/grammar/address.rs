//! H.225.0: addresses, names and kinds of endpoints.

use tidegate_wire::Family;

use crate::helper::h323::per::Field::{May, Must};
use crate::helper::h323::per::Length::{Bits as InBits, Octet, Variable};
use crate::helper::h323::per::Type::{self, *};

pub(super) const OBJECT_IDENTIFIER: Type = Text(Octet, 0, 8);
/// Octets, any number of them.
pub(super) const DATA: Type = Text(Variable, 0, 8);
/// Names of up to 128 characters of two octets.
pub(super) const IDENTIFIER: Type = Text(InBits(7), 1, 16);
/// Up to 128 digits.
pub(super) const DIGITS: Type = Text(InBits(7), 1, 4);
pub(super) const SEQUENCE_NUMBER: Type = Octets(2);
pub(super) const GUID: Type = Octets(16);

const H221_NON_STANDARD: Type = Sequence(0, &[Must(Octets(4))], Some(&[]));

pub(super) const NON_STANDARD: Type = Sequence(
    0,
    &[Must(Choice(&[OBJECT_IDENTIFIER, H221_NON_STANDARD], Some(&[]))), Must(DATA)],
    None,
);

const ROUTE: Type = List(0, &Octets(4));

const SOURCE_ROUTE: Type = Sequence(
    0,
    &[Must(Octets(4)), Must(Octets(2)), Must(ROUTE), Must(Choice(&[Null; 2], Some(&[])))],
    Some(&[]),
);

pub(super) const TRANSPORT_ADDRESS: Type = Choice(
    &[
        Sequence(0, &[Must(Endpoint(Family::V4))], None),
        SOURCE_ROUTE,
        Sequence(0, &[Must(Octets(10)), Must(Bits(16))], None),
        Sequence(0, &[Must(Endpoint(Family::V6))], Some(&[])),
        Octets(16),
        Text(InBits(5), 1, 8),
        NON_STANDARD,
    ],
    Some(&[]),
);

/// Linux notes no more of them.
pub(super) const TRANSPORT_ADDRESSES: Type = List(10, &TRANSPORT_ADDRESS);

pub(super) const ALIAS: Type = Choice(&[DIGITS, Text(Octet, 1, 16)], Some(&[]));
pub(super) const ALIASES: Type = List(0, &ALIAS);

const NAME: Type = Text(Octet, 1, 8);

pub(super) const VENDOR: Type =
    Sequence(2, &[Must(H221_NON_STANDARD), May(NAME), May(NAME)], Some(&[]));

const ONLY_NON_STANDARD: Type = Sequence(1, &[May(NON_STANDARD)], Some(&[]));

/// Of H.310 and its like; data rates and prefixes were added.
const CAPABILITIES: Type = Sequence(1, &[May(NON_STANDARD)], Some(&[Open; 2]));

const PROTOCOL: Type = Choice(
    &[
        NON_STANDARD,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
        CAPABILITIES,
    ],
    Some(&[]),
);

const GATEWAY: Type = Sequence(2, &[May(List(0, &PROTOCOL)), May(NON_STANDARD)], Some(&[]));
const MCU: Type = Sequence(1, &[May(NON_STANDARD)], Some(&[Open]));

pub(super) const ENDPOINT_TYPE: Type = Sequence(
    6,
    &[
        May(NON_STANDARD),
        May(VENDOR),
        May(ONLY_NON_STANDARD),
        May(GATEWAY),
        May(MCU),
        May(ONLY_NON_STANDARD),
        Must(Bits(2)),
    ],
    Some(&[Open; 2]),
);

/// Point to point, and so on.
pub(super) const CALL_TYPE: Type = Choice(&[Null; 4], Some(&[]));
