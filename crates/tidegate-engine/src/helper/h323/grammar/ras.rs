//! H.225.0: registration, admission and status, between endpoints and gatekeepers.

use super::address::*;
use crate::helper::h323::per::Field::{self, May, Must};
use crate::helper::h323::per::Mark;
use crate::helper::h323::per::Type::{self, *};

const RAS_ADDRESS: Type = As(Mark::RasAddress, &TRANSPORT_ADDRESS);
const SIGNAL_ADDRESS: Type = As(Mark::SignalAddress, &TRANSPORT_ADDRESS);
const RAS_ADDRESSES: Type = As(Mark::RasAddress, &TRANSPORT_ADDRESSES);
const SIGNAL_ADDRESSES: Type = As(Mark::SignalAddress, &TRANSPORT_ADDRESSES);
const CALL_MODEL: Type = Choice(&[Null; 2], Some(&[]));
const REST: Field = Must(End);

pub(in super::super) const RAS_MESSAGE: Type = NotedChoice(
    Mark::Ras,
    &[
        GATEKEEPER_REQUEST,
        GATEKEEPER_CONFIRM,
        End,
        REGISTRATION_REQUEST,
        REGISTRATION_CONFIRM,
        End,
        UNREGISTRATION_REQUEST,
        End,
        End,
        ADMISSION_REQUEST,
        ADMISSION_CONFIRM,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        LOCATION_REQUEST,
        LOCATION_CONFIRM,
        End,
        End,
        INFO_REQUEST_RESPONSE,
        End,
    ],
    Some(&[End; 8]),
);

const GATEKEEPER_REQUEST: Type = Sequence(
    4,
    &[Must(SEQUENCE_NUMBER), Must(OBJECT_IDENTIFIER), May(NON_STANDARD), Must(RAS_ADDRESS), REST],
    Some(&[]),
);

const GATEKEEPER_CONFIRM: Type = Sequence(
    2,
    &[
        Must(SEQUENCE_NUMBER),
        Must(OBJECT_IDENTIFIER),
        May(NON_STANDARD),
        May(IDENTIFIER),
        Must(RAS_ADDRESS),
    ],
    Some(&[End]),
);

const REGISTRATION_REQUEST: Type = Sequence(
    3,
    &[
        Must(SEQUENCE_NUMBER),
        Must(OBJECT_IDENTIFIER),
        May(NON_STANDARD),
        Must(Bits(1)),
        Must(SIGNAL_ADDRESSES),
        Must(RAS_ADDRESSES),
        Must(ENDPOINT_TYPE),
        May(ALIASES),
        May(IDENTIFIER),
        Must(VENDOR),
    ],
    Some(&[Open, NotedNumber(Mark::TimeToLive), End]),
);

const REGISTRATION_CONFIRM: Type = Sequence(
    3,
    &[
        Must(SEQUENCE_NUMBER),
        Must(OBJECT_IDENTIFIER),
        May(NON_STANDARD),
        Must(SIGNAL_ADDRESSES),
        May(ALIASES),
        May(IDENTIFIER),
        Must(IDENTIFIER),
    ],
    Some(&[Open, NotedNumber(Mark::TimeToLive), End]),
);

const UNREGISTRATION_REQUEST: Type =
    Sequence(3, &[Must(SEQUENCE_NUMBER), Must(SIGNAL_ADDRESSES), REST], Some(&[]));

const ADMISSION_REQUEST: Type = Sequence(
    7,
    &[
        Must(SEQUENCE_NUMBER),
        Must(CALL_TYPE),
        May(CALL_MODEL),
        Must(IDENTIFIER),
        May(ALIASES),
        May(As(Mark::DestinationAddress, &TRANSPORT_ADDRESS)),
        May(ALIASES),
        Must(ALIASES),
        May(As(Mark::SourceAddress, &TRANSPORT_ADDRESS)),
        REST,
    ],
    Some(&[]),
);

const ADMISSION_CONFIRM: Type = Sequence(
    2,
    &[Must(SEQUENCE_NUMBER), Must(Number), Must(CALL_MODEL), Must(SIGNAL_ADDRESS), REST],
    Some(&[]),
);

const LOCATION_REQUEST: Type = Sequence(
    2,
    &[Must(SEQUENCE_NUMBER), May(IDENTIFIER), Must(ALIASES), May(NON_STANDARD), Must(RAS_ADDRESS)],
    Some(&[End]),
);

const LOCATION_CONFIRM: Type =
    Sequence(1, &[Must(SEQUENCE_NUMBER), Must(SIGNAL_ADDRESS), Must(RAS_ADDRESS), REST], Some(&[]));

const INFO_REQUEST_RESPONSE: Type = Sequence(
    3,
    &[
        May(NON_STANDARD),
        Must(SEQUENCE_NUMBER),
        Must(ENDPOINT_TYPE),
        Must(IDENTIFIER),
        Must(RAS_ADDRESS),
        Must(SIGNAL_ADDRESSES),
        REST,
    ],
    Some(&[]),
);
