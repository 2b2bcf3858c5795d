//! H.245: logical channels, and the messages that open them.

use tidegate_wire::Family;

use super::address::{DATA, DIGITS};
use super::capability::{DATA_TYPE, NON_STANDARD};
use crate::helper::h323::per::Field::{May, Must};
use crate::helper::h323::per::Length::Bits as InBits;
use crate::helper::h323::per::Mark;
use crate::helper::h323::per::Type::{self, *};

pub(in super::super) const CONTROL_MESSAGE: Type =
    NotedChoice(Mark::Control, &[REQUEST, RESPONSE, End, End], Some(&[]));

const REQUEST: Type = Choice(
    &[End, End, End, OPEN_LOGICAL_CHANNEL, End, End, End, End, End, End, End],
    Some(&[End; 4]),
);

const RESPONSE: Type = Choice(
    &[
        End,
        End,
        End,
        End,
        End,
        OPEN_LOGICAL_CHANNEL_ACK,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
        End,
    ],
    Some(&[End; 5]),
);

pub(super) const OPEN_LOGICAL_CHANNEL: Type = Sequence(
    1,
    &[
        Must(Begin(Mark::Channel)),
        Must(CHANNEL_NUMBER),
        Must(FORWARD),
        May(Sequence(1, &[Must(Unnoted(&DATA_TYPE)), May(REVERSE_MULTIPLEX)], Some(&[Open; 2]))),
    ],
    Some(&[As(Mark::StackAddress, &NETWORK_ACCESS), End]),
);

const OPEN_LOGICAL_CHANNEL_ACK: Type = Sequence(
    1,
    &[
        Must(Begin(Mark::Channel)),
        Must(CHANNEL_NUMBER),
        May(Sequence(
            2,
            &[Must(CHANNEL_NUMBER), May(Octets(2)), May(ACK_REVERSE_MULTIPLEX)],
            Some(&[Open]),
        )),
    ],
    Some(&[As(Mark::AckStackAddress, &NETWORK_ACCESS), Choice(&[H2250_ACK], Some(&[])), End]),
);

const CHANNEL_NUMBER: Type = Octets(2);

const FORWARD: Type = Sequence(
    1,
    &[May(Octets(2)), Must(DATA_TYPE), Must(Choice(&[H222, H223, V76], Some(&[H2250])))],
    Some(&[Open; 2]),
);

const REVERSE_MULTIPLEX: Type = Choice(&[H223, V76], Some(&[H2250]));
const ACK_REVERSE_MULTIPLEX: Type = Choice(&[H222], Some(&[H2250]));

const H222: Type = Sequence(
    3,
    &[Must(Octets(2)), Must(Octets(2)), May(Octets(2)), May(DATA), May(DATA)],
    Some(&[]),
);

const ADAPTATION_LAYER: Type = Choice(
    &[NON_STANDARD, Null, Null, Null, Null, Sequence(0, &[Must(Bits(2)), Must(Number)], None)],
    Some(&[]),
);

const H223: Type = Sequence(0, &[Must(ADAPTATION_LAYER), Must(Bits(1))], Some(&[]));

const ONE_OF_THREE: Type = Choice(&[Null; 3], Some(&[]));
const HDLC: Type = Sequence(0, &[Must(ONE_OF_THREE), Must(Octets(2)), Must(Bits(1))], Some(&[]));
const ERROR_RECOVERY: Type = Sequence(0, &[Must(Bits(7)), Must(ONE_OF_THREE)], Some(&[]));

const V76: Type = Sequence(
    0,
    &[
        Must(HDLC),
        Must(ONE_OF_THREE),
        Must(Bits(1)),
        Must(Choice(&[ERROR_RECOVERY, Null], Some(&[]))),
        Must(Sequence(0, &[Must(Bits(1))], Some(&[]))),
    ],
    Some(&[]),
);

const NON_STANDARDS: Type = List(0, &NON_STANDARD);
const MEDIA_ADDRESS: Type = As(Mark::MediaAddress, &TRANSPORT_ADDRESS);

/// Media of IP networks.
const H2250: Type = Sequence(
    10,
    &[
        May(NON_STANDARDS),
        Must(Octets(1)),
        May(Bits(8)),
        May(MEDIA_ADDRESS),
        May(Bits(1)),
        May(MEDIA_ADDRESS),
        Must(End),
    ],
    Some(&[]),
);

const H2250_ACK: Type = Sequence(
    5,
    &[May(NON_STANDARDS), May(Bits(8)), May(MEDIA_ADDRESS), May(MEDIA_ADDRESS), May(Bits(5))],
    Some(&[Open; 2]),
);

const SOURCE_ROUTE: Type = Sequence(
    0,
    &[Must(Choice(&[Null; 2], None)), Must(Octets(4)), Must(Octets(2)), Must(List(0, &Octets(4)))],
    Some(&[]),
);

const UNICAST: Type = Choice(
    &[
        Sequence(0, &[Must(Endpoint(Family::V4))], Some(&[])),
        Sequence(0, &[Must(Octets(10)), Must(Bits(16))], Some(&[])),
        Sequence(0, &[Must(Endpoint(Family::V6))], Some(&[])),
        Octets(16),
        SOURCE_ROUTE,
    ],
    Some(&[]),
);

const MULTICAST: Type = Choice(
    &[Sequence(0, &[Must(Octets(6))], Some(&[])), Sequence(0, &[Must(Octets(18))], Some(&[]))],
    Some(&[]),
);

const TRANSPORT_ADDRESS: Type = Choice(&[UNICAST, MULTICAST], Some(&[]));

const SUBADDRESS: Type = Text(InBits(5), 1, 8);

const Q2931_ADDRESS: Type = Sequence(
    1,
    &[Must(Choice(&[Text(InBits(4), 1, 4), SUBADDRESS], Some(&[]))), May(SUBADDRESS)],
    Some(&[]),
);

const NETWORK_ACCESS: Type = Sequence(
    2,
    &[
        May(Choice(&[Null; 2], Some(&[]))),
        Must(Choice(&[Q2931_ADDRESS, DIGITS, TRANSPORT_ADDRESS], Some(&[]))),
        Must(Bits(1)),
        May(Text(InBits(8), 1, 8)),
    ],
    Some(&[Open]),
);
