//! H.225.0: call signalling, which a message of Q.931 carries.

use super::address::*;
use super::channel::{CONTROL_MESSAGE, OPEN_LOGICAL_CHANNEL};
use super::token::{CLEAR_TOKENS, CRYPTO_TOKENS};
use crate::helper::h323::per::Field::{May, Must};
use crate::helper::h323::per::Mark;
use crate::helper::h323::per::Type::{self, *};

pub(in super::super) const USER_INFORMATION: Type = Sequence(1, &[Must(PDU), Must(End)], Some(&[]));

/// Linux notes no more than four tunnelled messages of H.245.
const PDU: Type = Sequence(
    1,
    &[Must(BODY), May(NON_STANDARD)],
    Some(&[Open, Open, OpenList(4, &CONTROL_MESSAGE), End]),
);

const BODY: Type = NotedChoice(
    Mark::Call,
    &[SETUP, CALL_PROCEEDING, CONNECT, ALERTING, INFORMATION, RELEASE_COMPLETE, FACILITY],
    Some(&[PROGRESS]),
);

const H245_ADDRESS: Type = As(Mark::H245Address, &TRANSPORT_ADDRESS);
/// Linux notes no more than 30 channels.
const FAST_START: Type = OpenList(30, &OPEN_LOGICAL_CHANNEL);

/// Supplementary services, some of them in a sequence of their own.
const CALL_SERVICES: Type =
    Sequence(0, &[Must(Bits(7)), Must(Sequence(0, &[Must(Bits(2))], Some(&[])))], Some(&[]));

const SETUP: Type = Sequence(
    7,
    &[
        Must(OBJECT_IDENTIFIER),
        May(H245_ADDRESS),
        May(ALIASES),
        Must(ENDPOINT_TYPE),
        May(ALIASES),
        May(As(Mark::DestinationAddress, &TRANSPORT_ADDRESS)),
        May(ALIASES),
        May(List(0, &Octets(2))),
        Must(Bits(1)),
        Must(GUID),
        Must(Choice(&[Null; 3], Some(&[]))),
        May(CALL_SERVICES),
        Must(CALL_TYPE),
    ],
    Some(&[
        As(Mark::SourceAddress, &TRANSPORT_ADDRESS),
        Open,
        Open,
        Open,
        Open,
        Open,
        FAST_START,
        Open,
        Open,
        End,
    ]),
);

const CALL_PROCEEDING: Type = Sequence(
    1,
    &[Must(OBJECT_IDENTIFIER), Must(ENDPOINT_TYPE), May(H245_ADDRESS)],
    Some(&[Open, Open, Open, Open, FAST_START, Open, Open, Open, Open]),
);

const CONNECT: Type = Sequence(
    1,
    &[Must(OBJECT_IDENTIFIER), May(H245_ADDRESS), Must(ENDPOINT_TYPE), Must(GUID)],
    Some(&[
        Open, Open, Open, Open, FAST_START, Open, Open, Open, Open, Open, Open, Open, Open, Open,
        Open,
    ]),
);

const ALERTING: Type = Sequence(
    1,
    &[Must(OBJECT_IDENTIFIER), Must(ENDPOINT_TYPE), May(H245_ADDRESS)],
    Some(&[
        Open, Open, Open, Open, FAST_START, Open, Open, Open, Open, Open, Open, Open, Open, Open,
    ]),
);

const INFORMATION: Type = Sequence(0, &[Must(OBJECT_IDENTIFIER)], Some(&[Open; 6]));

const RELEASE_COMPLETE: Type =
    Sequence(1, &[Must(OBJECT_IDENTIFIER), May(Choice(&[Null; 12], Some(&[])))], Some(&[Open; 9]));

const FACILITY: Type = Sequence(
    3,
    &[
        Must(OBJECT_IDENTIFIER),
        May(As(Mark::AlternativeAddress, &TRANSPORT_ADDRESS)),
        May(ALIASES),
        May(GUID),
        Must(NotedChoice(Mark::Reason, &[Null; 4], Some(&[]))),
    ],
    Some(&[
        Open,
        Open,
        Open,
        Open,
        Open,
        Open,
        H245_ADDRESS,
        FAST_START,
        Open,
        Open,
        Open,
        Open,
        Open,
        Open,
        Open,
        Open,
    ]),
);

const SECURITY_SERVICE: Type = Choice(&[NON_STANDARD, Null, Null], Some(&[]));

const SECURITY_CAPABILITIES: Type = Sequence(
    1,
    &[May(NON_STANDARD), Must(SECURITY_SERVICE), Must(SECURITY_SERVICE), Must(SECURITY_SERVICE)],
    Some(&[]),
);

const H245_SECURITY: Type =
    Choice(&[NON_STANDARD, Null, SECURITY_CAPABILITIES, SECURITY_CAPABILITIES], Some(&[]));

const PROGRESS: Type = Sequence(
    5,
    &[
        Must(OBJECT_IDENTIFIER),
        Must(ENDPOINT_TYPE),
        May(H245_ADDRESS),
        Must(Sequence(0, &[Must(GUID)], Some(&[]))),
        May(H245_SECURITY),
        May(CLEAR_TOKENS),
        May(CRYPTO_TOKENS),
        May(FAST_START),
    ],
    Some(&[Open; 3]),
);
