//! Scenarios about what the ends offer each other.

use tidegate_wire::packet::tcp::TcpFlags;

use super::cases::Kind;
use super::moves::Opt::{Mss, Nop, SackPermitted, Scale, Stamps};
use super::moves::{ACK, ECN, FIN_ACK, SYN, SYN_ACK, client, server};
use super::scripts::{USUAL, close, open, talk};

pub(super) static HANDSHAKES: &[Kind] = &[
    Kind {
        name: "whole-life",
        about: "from the SYN to the last ACK, with all options, data and SACKs in both directions",
        moves: || [open(), talk(), close()].concat(),
        ..USUAL
    },
    Kind {
        name: "no-options",
        about: "neither end has any options, and the rule offers none",
        offer: "",
        moves: || {
            vec![
                client(SYN, 0),
                client(ACK, 1).ack(1),
                server(SYN_ACK, 0).ack(1).window(100),
                client(ACK, 1).ack(1).data(10),
                server(ACK, 1).ack(11).data(20),
                client(FIN_ACK, 11).ack(21),
                server(FIN_ACK, 21).ack(12),
                client(ACK, 12).ack(22),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "no-timestamps",
        about: "a rule without --timestamp can offer a segment size and nothing else",
        offer: " --sack-perm --wscale 9 --mss 1400 --ecn",
        moves: || [open(), talk()].concat(),
        ..USUAL
    },
    Kind {
        name: "client-without-timestamps",
        about: "a client without time stamps is offered a segment size and nothing else; a server with time stamps finds its own again",
        moves: || {
            vec![
                client(SYN, 0).with(&[Mss(1460), SackPermitted, Nop, Scale(7), Nop]),
                client(ACK, 1).ack(1),
                server(SYN_ACK, 0).ack(1).with(&[Mss(1460), Nop, Nop, Stamps(0, 0)]),
                client(ACK, 1).ack(1).data(10),
                server(ACK, 1).ack(11).stamps(30, 5).data(20),
                client(ACK, 11).ack(21).stamps(30, 5),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "offers-less",
        about: "what the client understands and the rule does not offer is not offered, nor asked of the server",
        offer: " --timestamp --mss 1300",
        moves: || [open(), talk()].concat(),
        ..USUAL
    },
    Kind {
        name: "understands-less",
        about: "what the rule offers and the client does not understand is not offered, nor asked of the server",
        offer: " --sack-perm --timestamp --wscale 9 --mss 1400 --ecn",
        moves: || {
            vec![
                client(SYN, 0).stamps(0, 0),
                client(ACK, 1).ack(1).stamps(1, 0),
                server(SYN_ACK, 0).ack(1).stamps(0, 1),
                client(ACK, 1).ack(1).stamps(2, 0).data(5),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "ecn",
        about: "congestion notification is negotiated with both ends",
        offer: " --sack-perm --timestamp --wscale 9 --mss 1400 --ecn",
        moves: || {
            let mut moves = open();
            moves[0].flags = SYN | ECN;
            moves[2].flags = SYN_ACK | TcpFlags::ECE;
            [moves, talk()].concat()
        },
        ..USUAL
    },
    Kind {
        name: "half-ecn",
        about: "ECE without CWR in a SYN asks for nothing",
        offer: " --timestamp --ecn",
        moves: || {
            let mut moves = open();
            moves[0].flags = SYN | TcpFlags::ECE;
            moves
        },
        ..USUAL
    },
    Kind {
        name: "segment-sizes",
        about: "the server is told what the cookie can say of the segment size that the client offered",
        moves: || {
            let sizes = [None, Some(0), Some(536), Some(1299), Some(1300), Some(1420), Some(1439)];
            let sizes = sizes.into_iter().chain([Some(1440), Some(1459), Some(1460), Some(9000)]);
            let numbered = sizes.zip(0..);
            let both = numbered.flat_map(|(size, connection)| {
                let options = size.map(Mss);
                let syn = client(SYN, 0).with(options.as_slice());
                [syn, client(ACK, 1).ack(1)].map(|one| one.of_connection(connection))
            });
            both.collect()
        },
        ..USUAL
    },
    Kind {
        name: "odd-scales",
        about: "the largest window scale, one beyond it, and none",
        moves: || {
            let scales = [Some(14), Some(15), Some(200), Some(0), None];
            let numbered = scales.into_iter().zip(0..);
            let all = numbered.flat_map(|(scale, connection)| {
                let options: Vec<_> = scale.map(Scale).into_iter().chain([Nop]).collect();
                let syn = client(SYN, 0).stamps(0, 0).with(&options);
                let answer = server(SYN_ACK, 0).ack(1).stamps(0, 1).with(&options);
                let ack = client(ACK, 1).ack(1).stamps(1, 0);
                [syn, ack, answer.window(60_000)].map(|one| one.of_connection(connection))
            });
            all.collect()
        },
        ..USUAL
    },
];
