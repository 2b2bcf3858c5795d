//! Scenarios about what becomes of connections, and what all scenarios say alike.

use super::cases::{Kind, Service};
use super::moves::Opt::{Mss, Nop, Sack, SackPermitted, Scale, Stamps};
use super::moves::{ACK, FIN_ACK, Move, RST, RST_ACK, SYN, SYN_ACK, client, server};

const FULL: &str = " --sack-perm --timestamp --wscale 9 --mss 1400";
pub(super) const USUAL: Kind = Kind {
    name: "",
    about: "",
    service: Service::Direct,
    offer: FULL,
    untracks: true,
    states: "INVALID,UNTRACKED",
    rules: &[],
    settings: &[],
    moves: Vec::new,
};

pub(super) static LIVES: &[Kind] = &[
    Kind {
        name: "repetitions",
        about: "SYN, ACK, SYN/ACK and data come again; the client sends data before the server has answered",
        moves: || {
            let [syn, ack, answer] =
                <[Move; 3]>::try_from(open()).unwrap_or_else(|_| unreachable!());
            vec![
                syn.clone(),
                syn.after(200),
                ack.clone(),
                ack.clone().after(100),
                client(ACK, 1).ack(1).stamps(5, 0).data(50),
                answer.clone(),
                answer.clone().after(50),
                ack,
                client(ACK, 1).ack(1).stamps(6, 0).data(50),
                client(ACK, 1).ack(1).stamps(7, 0).data(50),
                server(ACK, 1).ack(51).stamps(9, 6).data(70),
                server(ACK, 1).ack(51).stamps(10, 6).data(70),
                client(ACK, 51).ack(1).stamps(8, 9),
                client(ACK, 51).ack(71).stamps(9, 10),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "bad-cookies",
        about: "ACKs that quote no cookie of ours: another number, another client, another SYN, none at all",
        moves: || {
            vec![
                client(ACK, 1).ack(0x5555_0000).stamps(1, 0),
                open().remove(0),
                client(ACK, 1).ack(2).stamps(1, 0),
                client(ACK, 2).ack(1).stamps(1, 0),
                client(ACK, 1).ack(1).stamps(1, 0).of_connection(1),
                client(ACK, 1).ack(0x0100_0001).stamps(1, 0),
                client(ACK, 1).ack(1).stamps(1, 0),
                client(ACK, 1).ack(9).stamps(1, 0),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "other-segments",
        about: "the rule passes over what is neither SYN nor ACK, and drops what has a wrong checksum",
        moves: || {
            vec![
                client(SYN, 0).with_bad_checksum(),
                client(FIN_ACK, 5).ack(1),
                client(RST, 5),
                client(RST_ACK, 5).ack(1),
                client(SYN_ACK, 5).ack(1),
                client(SYN | tidegate_wire::packet::tcp::TcpFlags::FIN, 5),
                client(tidegate_wire::packet::tcp::TcpFlags::empty(), 5),
                client(ACK, 5).ack(1).with_bad_checksum(),
                client(SYN | tidegate_wire::packet::tcp::TcpFlags::PSH, 5).data(9),
            ]
        },
        ..USUAL
    },
    Kind {
        name: "server-refuses",
        about: "the server resets what the client believes to be established; the client tries again",
        moves: || {
            let refused = [&open()[..2], &[server(RST_ACK, 0).ack(1)][..]].concat();
            let bare = [&again()[..2], &[server(RST, 1)][..]].concat();
            [refused, again(), bare].concat()
        },
        ..USUAL
    },
    Kind {
        name: "server-resets",
        about: "the server resets an established connection, and the client begins another one with the same ports",
        moves: || {
            let reset = server(RST, 201).after(1);
            [open(), talk(), vec![reset], again(), talk()].concat()
        },
        ..USUAL
    },
    Kind {
        name: "client-resets",
        about: "the client resets an established connection, and begins another one with the same ports",
        moves: || {
            let reset = client(RST_ACK, 151).ack(301).stamps(60, 60);
            [open(), talk(), vec![reset], again(), talk()].concat()
        },
        ..USUAL
    },
    Kind {
        name: "begun-again",
        about: "a connection that was closed is begun again with the same ports",
        moves: || [open(), talk(), close(), again(), talk()].concat(),
        ..USUAL
    },
    Kind {
        name: "challenge",
        about: "the server answers the SYN with an ACK of something else, then with a SYN/ACK",
        moves: || {
            let [syn, ack, answer] =
                <[Move; 3]>::try_from(open()).unwrap_or_else(|_| unreachable!());
            let challenge = server(ACK, 700).ack(900).stamps(3, 3);
            vec![syn, ack.clone(), challenge, ack, answer, client(ACK, 1).ack(1).stamps(4, 0)]
        },
        ..USUAL
    },
    Kind {
        name: "keep-alive",
        about: "an octet that was sent already asks whether anybody is there, before and after the server has answered",
        moves: || {
            let mut moves = open();
            moves.insert(2, client(ACK, 0).ack(1).stamps(2, 0));
            let probes = [
                client(ACK, 150).ack(301).stamps(70, 60),
                server(ACK, 301).ack(151).stamps(90, 70),
                server(ACK, 300).ack(151).stamps(95, 70),
                client(ACK, 151).ack(301).stamps(75, 95),
            ];
            [moves, talk(), probes.to_vec()].concat()
        },
        ..USUAL
    },
    Kind {
        name: "forgotten",
        about: "the table is flushed in the middle: what the ends say is INVALID, and no cookie",
        moves: || {
            let lost = [
                client(ACK, 151).ack(301).stamps(80, 60).data(10).after_flush(),
                server(ACK, 301).ack(151).stamps(80, 60).data(10),
                client(SYN, 0).stamps(0, 0),
            ];
            [open(), talk(), lost.to_vec()].concat()
        },
        ..USUAL
    },
    Kind {
        name: "tracked",
        about: "SYNs are tracked, and the rule takes them as NEW; nothing of them stays in the table",
        states: "NEW,INVALID",
        untracks: false,
        moves: || [open(), talk()].concat(),
        ..USUAL
    },
    Kind {
        name: "loose",
        about: "an ACK may begin a flow: it is NEW, and the rule takes that too",
        states: "NEW,INVALID,UNTRACKED",
        untracks: false,
        settings: &[("tcp_loose", "1")],
        moves: || [open(), talk(), vec![client(ACK, 7).ack(9).of_connection(1)]].concat(),
        ..USUAL
    },
    Kind {
        name: "tracked-again",
        about: "where SYNs are tracked, a connection that was closed can be begun again",
        states: "NEW,INVALID",
        untracks: false,
        moves: || [open(), talk(), close(), again(), talk()].concat(),
        ..USUAL
    },
    Kind {
        name: "tracked-after-reset",
        about: "a SYN of a connection that the server has reset is its old entry's: it goes to the server as it is",
        states: "NEW,INVALID",
        untracks: false,
        moves: || {
            let mut again = again();
            again.remove(1);
            let reset = server(RST, 301).after(1);
            let data = server(ACK, 1).ack(1).stamps(90, 1).data(20);
            [open(), talk(), vec![reset], again, vec![data]].concat()
        },
        ..USUAL
    },
    Kind {
        name: "masked",
        about: "the server sees the router as the client",
        service: Service::Masked,
        rules: &[("nat", "-A POSTROUTING -o in0 -p tcp -j SNAT --to-source INSIDE")],
        moves: || [open(), talk(), close()].concat(),
        ..USUAL
    },
    Kind {
        name: "published",
        about: "the client sees the router as the server: the proxy works at INPUT, the translation at OUTPUT",
        service: Service::Published,
        rules: &[(
            "nat",
            "-A OUTPUT -p tcp -m tcp --dport 443 -j DNAT --to-destination SERVER:8443",
        )],
        moves: || [open(), talk(), close()].concat(),
        ..USUAL
    },
    Kind {
        name: "output-rules",
        about: "what rules at OUTPUT see of the proxy's own packets: the SYN is NEW even in the raw table, and no rule can untrack it or put it in a zone; the SYN/ACK is INVALID",
        rules: &[
            ("raw", "-A OUTPUT -p tcp -m conntrack --ctstate NEW"),
            ("raw", "-A OUTPUT -p tcp -m tcp --dport 443 -j CT --zone 7"),
            ("raw", "-A OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j CT --notrack"),
            ("filter", "-A OUTPUT -p tcp -m conntrack --ctstate NEW"),
            ("filter", "-A OUTPUT -p tcp -m conntrack --ctstate INVALID"),
            ("filter", "-A OUTPUT -p tcp -m conntrack --ctstate ESTABLISHED"),
        ],
        moves: || open()[..2].to_vec(),
        ..USUAL
    },
    Kind {
        name: "invalid-output",
        about: "who drops INVALID packets at OUTPUT drops the answers to clients",
        rules: &[("filter", "-A OUTPUT -m conntrack --ctstate INVALID -j DROP")],
        moves: || open()[..1].to_vec(),
        ..USUAL
    },
    Kind {
        name: "odd-places",
        about: "time stamps at odd places and twice, and a list of options that breaks off",
        moves: || {
            let odd = [Nop, Stamps(41, 20), Nop];
            let twice = [Nop, Nop, Stamps(42, 20), Nop, Nop, Stamps(43, 20)];
            vec![
                client(ACK, 151).ack(301).with(&odd),
                server(ACK, 301).ack(151).with(&odd),
                server(ACK, 301).ack(151).with(&twice),
                client(ACK, 151).ack(301).with(&twice),
                server(ACK, 301).ack(151).with(&[Nop, Sack(1, 5), Nop]),
            ]
            .into_iter()
            .fold([open(), talk()].concat(), |moves, one| [moves, vec![one]].concat())
        },
        ..USUAL
    },
    Kind {
        name: "own-service",
        about: "the host itself is behind the proxy, and refuses",
        service: Service::Own,
        moves: || open()[..2].to_vec(),
        ..USUAL
    },
    Kind {
        name: "counted",
        about: "which packets count for the entry",
        settings: &[("acct", "1"), ("timestamp", "1")],
        moves: || [open(), talk(), close()].concat(),
        ..USUAL
    },
    Kind {
        name: "rejected",
        about: "a rule resets the connection because of what the client sends, and another one because of what the server sends",
        rules: &[(
            "filter",
            "-A FORWARD -p tcp -m length --length 1000:1500 -j REJECT --reject-with tcp-reset",
        )],
        moves: || {
            let by_client = client(ACK, 151).ack(301).stamps(90, 60).data(1200);
            let late = client(ACK, 151).ack(301).stamps(95, 60);
            let one = [open(), talk(), vec![by_client, late]].concat();
            let by_server = server(ACK, 301).ack(151).stamps(90, 60).data(1200);
            let late = server(ACK, 301).ack(151).stamps(95, 60);
            let other = [open(), talk(), vec![by_server, late]].concat();
            let other = other.into_iter().map(|one| one.of_connection(1));
            one.into_iter().chain(other).collect()
        },
        ..USUAL
    },
    Kind {
        name: "lost-acks",
        about: "the ACK to the server is lost, and the server repeats its SYN/ACK",
        rules: &[("filter", "-A OUTPUT -p tcp -m tcp --dport 443 --tcp-flags SYN,ACK ACK -j DROP")],
        moves: || [open(), vec![open().remove(2).after(5)], talk()].concat(),
        ..USUAL
    },
];

pub(super) fn open() -> Vec<Move> {
    let all = |scale: u8, own: u32, other: u32| {
        [Mss(1460), SackPermitted, Stamps(own, other), Nop, Scale(scale)]
    };
    vec![
        client(SYN, 0).with(&all(7, 0, 0)).window(64_000),
        client(ACK, 1).ack(1).stamps(1, 0).window(500),
        server(SYN_ACK, 0).ack(1).with(&all(5, 0, 1)).window(20_000),
    ]
}

/// Another one, when the router's clock has gone on.
fn again() -> Vec<Move> {
    let mut moves = open();
    moves[0].pause = std::time::Duration::from_millis(400);
    moves
}

/// After it the client has sent 150 octets and the server 300.
pub(super) fn talk() -> Vec<Move> {
    vec![
        client(ACK, 1).ack(1).stamps(10, 0).data(100),
        server(ACK, 1).ack(101).stamps(20, 10),
        server(ACK, 1).ack(101).stamps(21, 10).data(100),
        // The second hundred is lost for a while.
        server(ACK, 201).ack(101).stamps(23, 10).data(100),
        client(ACK, 101).ack(101).stamps(31, 21).with(&[Nop, Nop, Sack(201, 301)]),
        server(ACK, 101).ack(101).stamps(40, 31).data(100),
        client(ACK, 101).ack(301).stamps(45, 40),
        // And of the client's the first of two.
        client(ACK, 126).ack(301).stamps(50, 40).data(25),
        server(ACK, 301).ack(101).stamps(55, 45).with(&[Nop, Nop, Sack(126, 151)]),
        client(ACK, 101).ack(301).stamps(58, 55).data(25),
        server(ACK, 301).ack(151).stamps(60, 58),
    ]
}

pub(super) fn close() -> Vec<Move> {
    vec![
        client(FIN_ACK, 151).ack(301).stamps(70, 60),
        server(ACK, 301).ack(152).stamps(75, 70),
        server(FIN_ACK, 301).ack(152).stamps(76, 70),
        client(ACK, 152).ack(302).stamps(80, 76),
    ]
}
