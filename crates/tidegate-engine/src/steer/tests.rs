//! Homes of tuples and packets, shares of a limit, and engines that hand packets over.

use alloc::vec;
use core::net::IpAddr;

use tidegate_wire::Family;
use tidegate_wire::packet::tcp::TcpFlags;

use super::*;
use crate::expect::Mask;
use crate::limits::Limits;
use crate::testkit::{Datagram, Host, World, icmp, other, ping, pong, tcp, udp, unreachable};
use crate::time::Instant;
use crate::{Engine, Packet, Settings, Verdict};

fn steering(workers: usize) -> Steering {
    Steering::new(7, 0, workers).expect("a worker")
}

#[test]
fn a_worker_is_one_of_those_that_there_are() {
    for (own, workers, exists) in [(0, 1, true), (3, 4, true), (4, 4, false), (0, 0, false)] {
        assert_eq!(Steering::new(1, own, workers).is_some(), exists, "{own} of {workers}");
    }
}

/// Each row: what it shows, two packets of one conversation.
#[test]
fn a_conversation_has_one_home() {
    let syn = || tcp(Host::Client, TcpFlags::SYN, 1, 0).ports(1000, 80);
    let question = || udp(Host::Client, 9).ports(5000, 53);
    let rows = [
        ("the answer", syn(), tcp(Host::Server, TcpFlags::ACK, 1, 0).ports(80, 1000)),
        ("another address that keeps its port", syn(), syn().to(Host::Between)),
        ("a datagram's answer", question(), udp(Host::Server, 9).ports(53, 5000)),
        ("an error about it", question(), unreachable(Host::Server, &question())),
        ("an error from a router", question(), unreachable(Host::Between, &question())),
        ("a ping's answer", ping(Host::Client, 77), pong(Host::Server, 77)),
        (
            "an error about a ping",
            ping(Host::Client, 77),
            unreachable(Host::Between, &ping(Host::Client, 77)),
        ),
        ("no ports at all", other(Host::Client, 50, &[1; 8]), other(Host::Server, 50, &[2; 8])),
    ];
    for workers in [2, 3, 16] {
        for (what, one, other) in &rows {
            for family in [Family::V4, Family::V6] {
                let [one, other] =
                    [one, other].map(|one| steering(workers).home_of(&one.bytes(family)));
                assert!(
                    one.is_some() && one == other,
                    "{what}: {one:?} and {other:?} of {workers}"
                );
            }
        }
    }
}

/// What a glance at fixed places says is what the dissected tuple says.
#[test]
fn a_packet_s_home_is_its_tuple_s() {
    for port in 1..200 {
        let rows = [
            udp(Host::Client, 9).ports(port, 53),
            tcp(Host::Server, TcpFlags::ACK, 1, 1).ports(port, 99),
            ping(Host::Client, port),
        ];
        for (datagram, family) in rows.iter().flat_map(|one| [(one, Family::V4), (one, Family::V6)])
        {
            let home = steering(5).home_of(&datagram.bytes(family));
            assert_eq!(home, Some(steering(5).home(&datagram.tuple(family))));
        }
    }
}

#[test]
fn homes_are_spread() {
    let mut counts = [0; 4];
    for port in 0..4000 {
        let datagram = udp(Host::Client, 9).ports(1024 + port, 53);
        counts[steering(4).home(&datagram.tuple(Family::V4))] += 1;
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn whoever_knows_no_home_is_at_home_anywhere() {
    assert_eq!(steering(3).home_of(&[]), None);
    assert_eq!(steering(3).home_of(&[0x45; 12]), None, "cut off");
    let short = icmp(Host::Client, 3, 1, 0).bytes(Family::V4);
    assert_eq!(steering(3).home_of(&short), None, "an error about nothing");
}

/// Each row: the limit, what each has, what each may have.
#[test]
fn a_limit_is_shared_out_whole() {
    let rows: [(u32, &[usize], &[usize]); 6] = [
        (100, &[0, 0], &[50, 50]),
        (100, &[90, 0, 0], &[94, 3, 3]),
        (10, &[6, 6], &[5, 5]),
        (10, &[20, 0, 1], &[9, 0, 0]),
        (0, &[6, 1], &[6, 1]),
        (7, &[1, 1, 1], &[3, 2, 2]),
    ];
    for (max, counts, expected) in rows {
        assert_eq!(shares(max, counts), expected, "{max}: {counts:?}");
    }
}

/// Each row: what it shows, the limit, what workers were told of their shares.
#[test]
fn there_are_never_more_flows_than_the_limit() {
    let rows: [(&str, u32, Option<[usize; 3]>); 4] = [
        ("before anything was told", 2, None),
        ("a share is nothing", 2, Some([0, 2, 0])),
        ("all of them are nothing", 1, Some([0; 3])),
        ("a limit that can be divided", 6, Some([2; 3])),
    ];
    for (what, max, told) in rows {
        let mut team = team_with(3, Limits { max, ..Limits::default() });
        for (engine, share) in team.iter_mut().zip(told.into_iter().flatten()) {
            engine.set_share(share);
        }
        for port in 2000..2050 {
            take_in(&mut team, &udp(Host::Client, 9).ports(port, 53), 0);
        }
        let expected = told.map_or(max as usize, |told| told.iter().sum());
        assert_eq!(team.iter().map(Engine::count).sum::<usize>(), expected, "{what}");
    }
}

fn team(workers: usize) -> alloc::vec::Vec<Engine> {
    team_with(workers, Limits::default())
}

fn team_with(workers: usize, limits: Limits) -> alloc::vec::Vec<Engine> {
    let engine = |number| {
        let mut engine = Engine::new(Settings { limits, ..Settings::default() });
        engine.join(Steering::new(7, number, workers).expect("a worker"));
        engine
    };
    (0..workers).map(engine).collect()
}

/// Takes a packet in at a worker that it isn't at home with; the worker that has it in the end, and the verdict.
fn take_in(team: &mut [Engine], datagram: &Datagram, at: usize) -> (usize, Verdict) {
    let mut bytes = datagram.bytes(Family::V4);
    let mut packet = Packet::received(&mut bytes, datagram.from.ingress());
    let mut last = (at, team[at].process(Instant::ZERO, &mut packet, &World::new()).verdict);
    let mut from = at;
    let mut hops = 0;
    while let Some((to, mut parcel)) = team[from].poll_parcel() {
        assert_eq!(last.1, Verdict::Held, "a packet that was handed over is nowhere else");
        hops += 1;
        assert!(hops <= 8, "handed to and fro");
        last = (to, team[to].accept(Instant::ZERO, &mut parcel, &World::new()).verdict);
        from = to;
    }
    last
}

#[test]
fn a_flow_is_its_home_s_wherever_its_packets_come_in() {
    let mut team = team(4);
    for port in 2000..2050 {
        let question = udp(Host::Client, 9).ports(port, 53);
        let home = steering(4).home(&question.tuple(Family::V4));
        for (number, datagram) in
            [question, udp(Host::Server, 9).ports(53, port)].iter().enumerate()
        {
            let (worker, verdict) = take_in(&mut team, datagram, (usize::from(port) + number) % 4);
            assert_eq!(worker, home);
            assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        }
    }
    assert_eq!(team.iter().map(Engine::count).sum::<usize>(), 50);
    let states = |engine: &Engine| {
        engine.flows().filter(|(_, flow)| flow.is(crate::flow::Status::SEEN_REPLY)).count()
    };
    assert_eq!(team.iter().map(states).sum::<usize>(), 50, "each has its answer");
}

/// With source ports that are all taken into one home, each worker finds ports of its own.
#[test]
fn a_translated_reply_is_at_home_with_its_flow() {
    let text = "*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -p udp -j SNAT --to-source 192.0.2.9:3000-4000\nCOMMIT\n";
    let rules = crate::rules::parse(Family::V4, "rules", text).expect("rules");
    let mut team = team(3);
    team.iter_mut().for_each(|engine| engine.replace_rules(&rules));
    for port in 5000..5040 {
        let question = udp(Host::Client, 9).ports(port, 53);
        let home = steering(3).home(&question.tuple(Family::V4));
        assert_eq!(take_in(&mut team, &question, 0).0, home);
    }
    let mut replies = vec![];
    for (number, engine) in team.iter().enumerate() {
        for (_, flow) in engine.flows() {
            assert_eq!(steering(3).home(&flow.reply), number);
            assert!((3000..=4000).contains(&flow.reply.dport));
            replies.push((flow.reply.src, flow.reply.sport, flow.reply.dport));
        }
    }
    let count = replies.len();
    replies.sort_unstable();
    replies.dedup();
    assert_eq!((count, replies.len()), (40, 40), "nobody's reply is another one's");
}

/// A single port can be at home with one worker only: the others' flows are refused, and none is mixed up.
#[test]
fn a_flow_whose_reply_can_t_be_at_home_is_refused() {
    let text = "*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -p udp -j SNAT --to-source 192.0.2.9:3000\nCOMMIT\n";
    let rules = crate::rules::parse(Family::V4, "rules", text).expect("rules");
    let mut team = team(2);
    team.iter_mut().for_each(|engine| engine.replace_rules(&rules));
    let source: IpAddr = Host::Client.address(Family::V4);
    let mut verdicts = [0, 0];
    for port in 5000..5040 {
        let question = udp(Host::Client, 9).ports(port, port);
        assert_eq!(question.tuple(Family::V4).src, source);
        match take_in(&mut team, &question, 0).1 {
            Verdict::Forward { .. } => verdicts[0] += 1,
            Verdict::Drop(crate::DropReason::NatFailed(_)) => verdicts[1] += 1,
            verdict => panic!("{verdict:?}"),
        }
    }
    assert!(verdicts.iter().all(|count| *count > 5), "{verdicts:?}");
}

/// A home that is told of a flow that nobody has hands its packets over, gets them back, and keeps them in the end.
#[test]
fn a_packet_that_nobody_wants_stays_at_home() {
    let question = udp(Host::Client, 9).ports(5000, 53);
    let tuple = question.tuple(Family::V4);
    let home = steering(2).home(&tuple);
    for at in 0..2 {
        let mut team = team(2);
        team[home].heed(1 - home, &Notice(notice::Word::Hosts(tuple, 0)));
        let (worker, verdict) = take_in(&mut team, &question, at);
        assert_eq!(worker, home, "taken in at {at}");
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        assert_eq!(team[home].count(), 1);
    }
}

/// Without a rule that would have to be asked, too. Each row: what a home has heard of a flow that is to begin with it.
#[test]
fn a_first_packet_that_another_worker_may_know_is_offered_to_him() {
    let question = udp(Host::Client, 9).ports(5000, 53);
    let tuple = question.tuple(Family::V4);
    let home = steering(2).home(&tuple);
    let wanted = Wanted {
        number: 1,
        tuple: Tuple { sport: 0, ..tuple },
        mask: Mask { src: Host::Client.address(Family::V4), sport: 0 },
        zone: 0,
    };
    let rows = [
        ("nothing", None, false),
        ("another one has it", Some(notice::Word::Hosts(tuple, 0)), true),
        ("another one expects it", Some(notice::Word::Expects(wanted)), true),
    ];
    for (what, word, is_offered) in rows {
        let mut team = team(2);
        word.into_iter().for_each(|word| team[home].heed(1 - home, &Notice(word)));
        let mut bytes = question.bytes(Family::V4);
        let mut packet = Packet::received(&mut bytes, question.from.ingress());
        let verdict = team[home].process(Instant::ZERO, &mut packet, &World::new()).verdict;
        assert_eq!(verdict == Verdict::Held, is_offered, "{what}: {verdict:?}");
        assert_eq!(team[home].count(), usize::from(!is_offered), "{what}");
        let to = team[home].poll_parcel().map(|(to, _)| to);
        assert_eq!(to, is_offered.then_some(1 - home), "{what}");
    }
}
