//! Verdicts on tables that never were: no kernel, no privilege. What the kernel makes of the advice is told by
//! `tests/incidents.rs`.

use std::net::IpAddr;
use std::time::Duration;

use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{ProtoInfo, TcpInfo};

use super::advice::Step;
use super::blind::Blind;
use super::census::{Backend, Census, Heavy, Source, Spot};
use super::facts::{
    Arrivals, Counters, Expected, Facts, Log, Memory, Range, Rise, Room, Rules, Scene, Space,
    Spell, Ssh,
};
use super::page::page;
use super::report::{Report, Status};
use crate::client::Flow;
use crate::client::names::bit;
use crate::record::fills::Fill;
use crate::timers::{PREFIX, Timers};

const NOW: u64 = 1_800_000_000_000_000_000;
const ANSWERED: u32 = bit::SEEN_REPLY | bit::ASSURED | bit::CONFIRMED;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn timers() -> Timers {
    let rows = [
        ("tcp_timeout_established", "432000"),
        ("tcp_timeout_time_wait", "120"),
        ("tcp_timeout_syn_recv", "60"),
        ("tcp_timeout_syn_sent", "120"),
        ("udp_timeout", "30"),
        ("udp_timeout_stream", "120"),
    ];
    Timers::of(&rows.map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned())))
}

/// A table of ten thousand, with nobody in it.
fn facts() -> Facts {
    Facts {
        scene: Scene { is_first: true, kernel: "6.18".to_owned(), time: NOW, ..Scene::default() },
        room: Room { count: 0, max: Some(10_000), buckets: Some(10_000) },
        counters: Counters { span: Duration::from_secs(2), ..Counters::default() },
        arrivals: Some(Arrivals {
            new: 200,
            span: Duration::from_secs(2),
            is_lossy: false,
            sources: Heavy::new(8),
        }),
        census: Census::new(timers(), NOW),
        log: Some(Log::default()),
        past: Vec::new(),
        memory: Memory { available: Some(1 << 30), flow: Some(256) },
        spaces: Vec::new(),
        elsewhere: Vec::new(),
        maps: Vec::new(),
        rules: Rules { has_iptables: true, ..Rules::default() },
        local: Vec::new(),
        log_invalid: Some(6),
        ssh: None,
        owners: Vec::new(),
        refreshed: Vec::new(),
        expected: Expected { count: 0, max: Some(100), ..Expected::default() },
        blind: Blind::default(),
    }
}

/// A flow from a source to a destination; TCP if it has a state.
fn flow(from: (&str, u16), to: (&str, u16), state: Option<u8>, left: u32) -> Flow<'static> {
    let proto = Some(if state.is_some() { 6 } else { 17 });
    let tuple = |(src, sport): (&str, u16), (dst, dport): (&str, u16)| Tuple {
        src: Some(address(src)),
        dst: Some(address(dst)),
        proto,
        sport: Some(sport),
        dport: Some(dport),
        ..Tuple::default()
    };
    let tcp = state.map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() });
    Flow {
        tuples: [tuple(from, to), tuple(to, from)],
        status: Some(if state.is_some() { ANSWERED } else { bit::CONFIRMED }),
        info: ProtoInfo { tcp, ..ProtoInfo::default() },
        timeout: Some(left),
        ..Flow::default()
    }
}

fn fill(facts: &mut Facts, count: u32, make: impl Fn(u32) -> Flow<'static>) {
    (0..count).for_each(|number| facts.census.add(&make(number)));
    facts.room.count += u64::from(count);
}

/// The line to paste; empty if there is none.
fn line(step: &Step) -> &str {
    step.command.as_deref().unwrap_or_default()
}

/// Ports of a protocol that sources are translated to.
fn of_ports((proto, first, last): (u8, u16, u16)) -> Range {
    Range { address: address("198.51.100.1"), proto: Some(proto), first, last }
}

/// One source, idle for three hours.
fn idle(number: u32) -> Flow<'static> {
    flow(("10.0.0.1", number as u16), ("192.0.2.1", 443), Some(3), 421_200)
}

/// Somebody who speaks.
fn live(number: u32) -> Flow<'static> {
    flow(
        (&format!("10.1.{}.{}", number / 250, number % 250), 5000),
        ("192.0.2.2", 443),
        Some(3),
        431_990,
    )
}

fn full() -> Facts {
    let mut facts = facts();
    fill(&mut facts, 7000, idle);
    fill(&mut facts, 3000, live);
    facts.counters.totals = vec![("drop", 5000)];
    facts.counters.grown = vec![("drop", 200)];
    facts
}

type Stage = fn(&mut Facts);

/// Each row: what is staged, how, the status, the first finding's check, words in its culprit, words of a step.
const INCIDENTS: [(&str, Stage, Status, &str, &str, &str); 11] = [
    (
        "idle TCP",
        |f| *f = full(),
        Status::Critical,
        "table",
        "",
        "retime -p tcp --state ESTABLISHED --idle '>2h4m' --to 30s --yes",
    ),
    (
        "DNS without answers",
        |f| {
            fill(f, 4000, |n| {
                flow((&format!("10.2.{}.{}", n / 250, n % 250), 53), ("10.96.0.10", 53), None, 20)
            })
        },
        Status::Warning,
        "unreplied",
        "> 10.96.0.10:53",
        "delete -p udp -u UNREPLIED -d 10.96.0.10 --dport 53 --yes",
    ),
    (
        "a SYN flood by IPv6",
        |f| {
            fill(f, 4000, |n| {
                flow((&format!("2001:db8:{n:x}::1"), 9), ("2001:db8::80", 80), Some(2), 20)
            })
        },
        Status::Warning,
        "half-open",
        "> [2001:db8::80]:80",
        "-d 2001:db8::80 --dport 80 --idle '>10s' --to 1s --yes",
    ),
    (
        "a proxy",
        |f| fill(f, 4000, |n| flow(("10.0.0.5", n as u16), ("10.0.1.1", 80), Some(7), 60)),
        Status::Warning,
        "time-wait",
        "10.0.0.5 > 10.0.1.1:80",
        "nf_conntrack_tcp_timeout_time_wait=30",
    ),
    (
        "ports",
        |f| {
            f.rules.ranges.push(of_ports((6, 4000, 4099)));
            // The same rule, as nft lists it, a part of it, and one of another protocol.
            f.rules
                .ranges
                .extend([(6, 4000, 4099), (6, 4050, 4099), (17, 5000, 5999)].map(of_ports));
            fill(f, 99, |n| {
                let mut flow = idle(n);
                flow.tuples[1].dst = Some(address("198.51.100.1"));
                flow
            });
        },
        Status::Critical,
        "ports",
        "198.51.100.1 > 192.0.2.1:443",
        "-n 198.51.100.1 -r 192.0.2.1 --reply-sport 443",
    ),
    (
        "another namespace",
        |f| {
            let who = "pod shop/crawler".to_owned();
            f.spaces.push(Space { inode: 5, place: "77".to_owned(), who, count: 10_000, drops: 3 });
        },
        Status::Critical,
        "namespace",
        "pod shop/crawler",
        "doctor --netns 77",
    ),
    (
        "a dead server",
        |f| {
            let spot = |text| Spot { proto: 17, address: address(text), port: Some(53) };
            fill(f, 9, |n| {
                let mut flow = flow(("10.0.0.9", n as u16), ("10.96.0.10", 53), None, 29);
                flow.tuples[1].src = Some(address("10.42.3.4"));
                flow
            });
            f.refreshed
                .push((Backend { service: spot("10.96.0.10"), server: spot("10.42.3.4") }, 9));
        },
        Status::Warning,
        "stale-dnat",
        "10.96.0.10:53 > 10.42.3.4:53",
        "delete -p udp -u UNREPLIED -d 10.96.0.10 -g 10.42.3.4 --dport 53 --yes",
    ),
    (
        "expectations",
        |f| {
            f.expected = Expected {
                count: 100,
                max: Some(100),
                helper: Some(("sip".to_owned(), 98)),
                source: None,
            };
        },
        Status::Critical,
        "expectations",
        "sip",
        "nf_conntrack_expect_max=400",
    ),
    (
        "elsewhere",
        |f| {
            f.elsewhere.push(Rise {
                name: "eth0 conntrack_allowance_exceeded".to_owned(),
                rate: 4211.0,
                ..Rise::default()
            })
        },
        Status::Warning,
        "elsewhere",
        "allowance",
        "",
    ),
    (
        "a source that isn't idle",
        |f| fill(f, 4000, |n| flow(("10.0.0.1", n as u16), ("192.0.2.1", 443), Some(3), 431_990)),
        Status::Warning,
        "source",
        "10.0.0.1",
        "--connlimit-above 1000 -j REJECT",
    ),
    ("references that leak", |f| f.room.count = 484, Status::Warning, "drift", "", ""),
];

#[test]
fn each_incident_is_told_for_what_it_is() {
    for (what, stage, status, check, culprit, command) in INCIDENTS {
        let mut facts = facts();
        stage(&mut facts);
        let report = Report::new(&facts);
        assert_eq!(report.status, status, "{what}: {report:#?}");
        let finding = &report.findings[0];
        assert_eq!(finding.check, check, "{what}: {report:#?}");
        assert!(
            finding.culprit.as_deref().unwrap_or_default().contains(culprit),
            "{what}: {finding:#?}"
        );
        let is_there = |step: &super::advice::Step| {
            step.command.as_ref().is_some_and(|line| line.contains(command))
        };
        assert!(command.is_empty() || report.steps.iter().any(is_there), "{what}: {report:#?}");
        for width in [80, 120] {
            let text = anstream::adapter::strip_str(&page(&report, width, false)).to_string();
            assert!(text.lines().count() <= 30 && text.is_ascii(), "{what}: {text}");
        }
    }
}

#[test]
fn a_healthy_table_takes_one_line() {
    let mut facts = facts();
    fill(&mut facts, 1200, live);
    let report = Report::new(&facts);
    let text = anstream::adapter::strip_str(&page(&report, 120, false)).to_string();
    assert_eq!(text, "OK  12.0 % (1,200/10,000), top source 0.0 %, 0 refused, full in > 90 d\n");
}

/// A day of snapshots, a quarter of an hour apart: the highest twentieth is left out.
#[test]
fn a_recording_tells_how_full_a_healthy_table_was() {
    const QUARTER: u64 = 900_000_000_000;
    let mut facts = facts();
    fill(&mut facts, 1200, live);
    let fill = |number| Fill {
        time: NOW - 86_000_000_000_000 + number * QUARTER,
        permille: if number < 4 { 900 } else { 80 + number },
    };
    facts.past = (0..95).map(fill).collect();
    let text = page(&Report::new(&facts), 120, false);
    assert!(text.contains("12.0 % (1,200/10,000) p95 24 h 17.4 %, top source"), "{text}");
    facts.scene.time += 7_200_000_000_000;
    let text = page(&Report::new(&facts), 120, false);
    assert!(text.contains(" p95 24 h until 2027-01-15 07:36:40 UTC 17.4 %"), "{text}");
    facts.past = facts.past.split_off(92);
    assert!(!page(&Report::new(&facts), 120, false).contains("p95"), "of three moments");
}

#[test]
fn a_recording_tells_since_when_where_the_log_is_silent() {
    let mut facts = full();
    let rows = [(3600, 1000), (2700, 500), (1800, 995), (900, 1000)];
    let fill = |(ago, permille): (u64, u64)| Fill { time: NOW - ago * 1_000_000_000, permille };
    facts.past = rows.map(fill).to_vec();
    assert_eq!(Report::new(&facts).since.map(|since| since.seconds), Some(1800));
    facts.past.push(fill((1, 10)));
    assert_eq!(Report::new(&facts).since, None, "it was over");
    facts.past = vec![fill((80_000, 1000)), fill((7200, 1000))];
    assert_eq!(Report::new(&facts).since, None, "the recording has ended");
}

#[test]
fn every_step_says_how_many_live_flows_it_touches() {
    let mut facts = full();
    facts.ssh = Some(Ssh { client: address("198.51.100.7"), is_tracked: true });
    let report = Report::new(&facts);
    let drain = &report.steps[0];
    assert_eq!((drain.frees, drain.live, drain.cut), (Some(7000), 0, 0));
    let donts: Vec<_> = report.findings.iter().flat_map(|finding| &finding.donts).collect();
    assert!(
        donts[0].contains(
            "0 live NATed flows die, 3,000 others lose their state, your ssh from 198.51.100.7"
        ),
        "{donts:?}"
    );
    assert_eq!(report.after[0], "A alone: 30.0 %, full again in 1m10s at this rate");
    let cap = "A+C: 40.0 % at the most, if the others hold what they hold";
    assert!(report.after.iter().any(|line| line == cap), "{:?}", report.after);
    // Which is the limit of B, whatever the table holds after A.
    assert!(line(&report.steps[1]).ends_with("net.netfilter.nf_conntrack_max=40000"));
    let kept = "B lasts over a boot with net.netfilter.nf_conntrack_max=40000 in /etc/sysctl.d/50-conntrack.conf";
    assert_eq!(report.after.last().map(String::as_str), Some(kept));
}

#[test]
fn the_log_tells_since_when() {
    let mut facts = full();
    let spell = Spell { inode: None, first: NOW - 331_000_000_000, last: NOW - 3_000_000_000 };
    facts.log = Some(Log { full: vec![spell.clone()], expectations: None });
    assert_eq!(Report::new(&facts).since.map(|since| since.seconds), Some(331));
    // What ended an hour ago, or is another namespace's, says nothing of now.
    for other in [
        Spell { last: NOW - 3_600_000_000_000, ..spell.clone() },
        Spell { inode: Some(7), ..spell },
    ] {
        facts.log = Some(Log { full: vec![other], expectations: None });
        assert_eq!(Report::new(&facts).since, None);
    }
}

#[test]
fn what_is_translated_is_not_left_untracked() {
    let mut facts = facts();
    let ask = |n: u32| flow(("10.0.0.9", n as u16), ("192.0.2.53", 53), None, 20);
    fill(&mut facts, 2000, ask);
    let steps = |facts: &Facts| {
        let report = Report::new(facts);
        let finding = report.findings.into_iter().find(|finding| finding.check == "notrack");
        finding.expect("there is a candidate").steps
    };
    let rules = steps(&facts);
    for part in [
        "-t raw -I PREROUTING -p udp -d 192.0.2.53 --dport 53",
        "-t raw -I OUTPUT -p udp -s 192.0.2.53 --sport 53",
        "--ctstate UNTRACKED -j ACCEPT",
    ] {
        assert!(line(&rules[0]).contains(part), "{part}: {rules:#?}");
    }
    assert!(
        line(&rules[1]).contains("notrack")
            && line(&rules[1]).contains("ct state untracked accept")
    );
    fill(&mut facts, 1, |_| {
        let mut flow = ask(5000);
        flow.tuples[1].dst = Some(address("198.51.100.1"));
        flow
    });
    assert_eq!(steps(&facts), []);
}

/// An engine's packets pass no rule of the system.
#[test]
fn what_an_engine_need_not_track_belongs_into_its_rules() {
    let mut facts = facts();
    facts.scene.table = super::facts::Whose::Engine;
    facts.scene.options = " --socket /run/t.sock".to_owned();
    fill(&mut facts, 2000, |n| {
        flow((&format!("2001:db8::{n:x}"), 9), ("2001:db8::53", 53), None, 20)
    });
    let report = Report::new(&facts);
    let finding = report.findings.iter().find(|finding| finding.check == "notrack");
    let [step] = &finding.expect("there is a candidate").steps[..] else { panic!("{finding:#?}") };
    assert_eq!((step.command.as_deref(), step.lines.len()), (None, 12));
    assert!(step.what.contains("IPv6") && step.what.contains("reload --socket /run/t.sock"));
    assert_eq!(
        [&step.lines[0], &step.lines[1]],
        ["*raw", "-A PREROUTING -p udp -d 2001:db8::53 --dport 53 -j CT --notrack"]
    );
    assert!(!step.lines.iter().any(|line| line.contains("iptables")), "{step:#?}");
    assert!(page(&report, 80, true).contains("\n       -A OUTPUT -p udp -s 2001:db8::53"));
}

/// Lines to paste are folded, never wider than the page: the longest addresses there are.
#[test]
fn a_line_of_nft_fits_the_page() {
    let from = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
    for (width, state) in [(80, Some(3)), (80, None), (60, Some(3)), (60, None)] {
        let mut facts = facts();
        facts.rules.has_iptables = false;
        fill(&mut facts, 4000, |n| {
            flow((from, n as u16), ("2001:db8:1111:2222:3333:4444:5555:6666", 443), state, 431_990)
        });
        let text =
            anstream::adapter::strip_str(&page(&Report::new(&facts), width, true)).to_string();
        let from_nft = text.lines().skip_while(|line| !line.starts_with("       nft "));
        let lines: Vec<_> = from_nft.take_while(|line| line.starts_with("     ")).collect();
        assert!(lines.len() > 1 && lines[0].ends_with(" \\"), "{text}");
        lines.iter().for_each(|line| assert!(line.len() <= width, "{width}: {line}"));
        assert!(text.contains("2001:db8:aaaa:bbbb::/64"), "{text}");
    }
}

#[test]
fn a_source_of_ipv6_is_its_64() {
    assert_eq!(Source::of(address("2001:db8:1:2:3::4")).to_string(), "2001:db8:1:2::/64");
    let mut facts = facts();
    fill(&mut facts, 4000, |n| {
        flow((&format!("2001:db8::{n:x}"), 9), ("2001:db8:1::80", 80), Some(3), 431_990)
    });
    let report = Report::new(&facts);
    assert_eq!(report.who[0].label, "2001:db8::/64 > [2001:db8:1::80]:80");
    let cap = report.steps.iter().find(|step| line(step).starts_with("ip6tables")).expect("a cap");
    assert!(
        line(cap).contains("-s 2001:db8::/64") && line(cap).contains("--connlimit-mask 64"),
        "{cap:#?}"
    );
}

#[test]
fn a_cap_stands_where_the_packets_pass() {
    let flood = |udp: bool| {
        move |n| {
            let state = (!udp).then_some(3);
            flow(("10.0.0.1", n as u16), ("192.0.2.1", 443), state, 431_990)
        }
    };
    let rows = [
        ("through", None, false, "-I FORWARD -s 10.0.0.1 -p tcp --syn"),
        ("to this machine", Some("192.0.2.1"), false, "-I INPUT -s 10.0.0.1 -p tcp --syn"),
        ("from this machine", Some("10.0.0.1"), false, "-I OUTPUT -s 10.0.0.1 -p tcp --syn"),
        ("UDP", None, true, "-p udp -m conntrack --ctstate NEW -m connlimit"),
    ];
    for (what, local, udp, expected) in rows {
        let mut facts = facts();
        facts.local.extend(local.map(address));
        fill(&mut facts, 4000, flood(udp));
        let cap = |facts: &Facts| {
            let steps = Report::new(facts).steps;
            steps.into_iter().find(|step| line(step).contains("connlimit"))
        };
        let step = cap(&facts).expect(what);
        assert!(line(&step).contains(expected), "{what}: {step:#?}");
        facts.scene.table = super::facts::Whose::Engine;
        assert_eq!(cap(&facts), None, "{what}");
    }
}

#[test]
fn a_table_of_another_kind_is_told_of() {
    let mut facts = facts();
    facts.maps.push("cilium_ct4_global".to_owned());
    let report = Report::new(&facts);
    assert_eq!((report.status, report.findings[0].check), (Status::Ok, "cilium"));
    assert!(page(&report, 120, true).contains("cilium-dbg bpf ct list global"));
    // Who doesn't ask for all is told that there is more to ask for.
    let text = page(&report, 120, false);
    assert!(text.ends_with("; Cilium has a table of its own, not looked at: --all\n"), "{text}");
    // Where packets are lost, and not here, nobody has to ask.
    facts.elsewhere.push(Rise { name: "loss".to_owned(), rate: 9.0, ..Rise::default() });
    let report = Report::new(&facts);
    assert!(report.summary.ends_with("but loss +9/s"), "{}", report.summary);
    let text = page(&report, 120, false);
    assert!(text.contains("cilium-dbg bpf ct list global"), "{text}");
    assert!(text.contains("raise nf_conntrack_max for it"), "{text}");
}

/// A tenth of the table was listed in time: what fills it is known all the same.
#[test]
fn a_sample_stands_for_the_table() {
    let mut facts = facts();
    fill(&mut facts, 700, idle);
    fill(&mut facts, 300, live);
    (facts.room.count, facts.census.is_partial) = (10_000, true);
    let report = Report::new(&facts);
    let drain = &report.steps[0];
    assert!(line(drain).contains("--idle '>2h4m'"), "{report:#?}");
    assert_eq!((drain.frees, report.listed), (Some(700), 1000));
    assert_eq!(report.after[0], "A alone: 30.0 %, does not fill at this rate");
    let text = page(&report, 120, false);
    assert!(text.contains("numbers are of the 1,000 flows (10.0 %) that were listed"), "{text}");
    assert!(text.contains("300 others lose their state (of those that were listed)"), "{text}");
}

/// A cap is below what the source holds, or it cures nothing; of a sample both are taken for what they stand for.
#[test]
fn a_cap_is_lower_than_what_the_source_holds() {
    let rows = [
        // The source, the next, of ten thousand; the limit.
        ("the next is small", [4000, 200], None, Some(1000)),
        ("twice the next", [4000, 1500], None, Some(3000)),
        ("the next is nearly as large", [3600, 3400], None, None),
        ("a tenth of the table was seen", [450, 150], Some(10_000), Some(3000)),
        ("a tenth, the next is nearly as large", [380, 340], Some(10_000), None),
    ];
    for (what, [flows, next], partial, limit) in rows {
        let mut facts = facts();
        fill(&mut facts, flows, idle);
        let of_next = |n: u32| flow(("10.0.0.2", n as u16), ("192.0.2.1", 443), Some(3), 421_200);
        fill(&mut facts, next, of_next);
        fill(&mut facts, if partial.is_some() { 1000 } else { 10_000 } - flows - next, live);
        if let Some(count) = partial {
            (facts.room.count, facts.census.is_partial) = (count, true);
        }
        let report = Report::new(&facts);
        assert!(report.findings.iter().any(|finding| finding.check == "source"), "{what}");
        let cap = report.steps.iter().find(|step| line(step).contains("connlimit"));
        assert_eq!(cap.and_then(|cap| cap.settles), limit, "{what}: {:#?}", report.steps);
        let most =
            limit.map(|limit| 10_000 - u64::from(flows) * 10_000 / facts.census.seen + limit);
        assert_eq!(cap.and_then(|cap| cap.leaves), most, "{what}");
    }
}

/// Five flows of three thousand say nothing of the others.
#[test]
fn a_handful_is_no_sample() {
    let mut facts = facts();
    fill(&mut facts, 5, idle);
    (facts.room.count, facts.census.is_partial) = (3000, true);
    let report = Report::new(&facts);
    assert_eq!((report.status, facts.estimate(5)), (Status::Ok, 5), "{report:#?}");
}

/// Nobody is told that there are none of what was not seen.
#[test]
fn what_was_not_listed_is_not_ruled_out() {
    let mut facts = facts();
    facts.census.is_partial = true;
    facts.expected.max = None;
    let report = Report::new(&facts);
    let ruled_out = report.ruled_out.join(", ");
    for figure in ["half-open", "unanswered", "top source", "expectations"] {
        assert!(!ruled_out.contains(figure), "{ruled_out}");
    }
    assert!(report.unchecked.contains(&"half-open") && report.unchecked.contains(&"drift"));
    assert!(page(&report, 120, false).contains("NOT SEEN  so not checked: ports,"));
}

#[test]
fn expectations_and_ports_are_no_entries_of_the_table() {
    let mut facts = facts();
    fill(&mut facts, 6000, live);
    facts.expected = Expected { count: 5000, max: Some(5000), ..Expected::default() };
    let report = Report::new(&facts);
    assert_eq!(report.findings[0].check, "expectations");
    assert_eq!(report.after, [""; 0]);
}

#[test]
fn advice_takes_back_what_was_there() {
    let mut facts = facts();
    facts.counters.grown = vec![("invalid", 4000)];
    let report = Report::new(&facts);
    let undo = report.steps.iter().find_map(|step| step.undo.as_deref()).expect("a way back");
    assert!(undo.ends_with("nf_conntrack_log_invalid=6"), "{undo}");
    // Who doesn't know what was there doesn't say 0.
    facts.log_invalid = None;
    let report = Report::new(&facts);
    let step = report.steps.iter().find(|step| line(step).contains("log_invalid=255"));
    let step = step.expect("a step");
    assert!(step.undo.is_none() && step.what.contains("could not be read"), "{step:#?}");
}

#[test]
fn advice_that_is_no_command_is_not_to_be_pasted() {
    let mut facts = facts();
    let advice = "raise its ring";
    facts.elsewhere.push(Rise { rate: 9.0, advice, ..Rise::default() });
    let report = Report::new(&facts);
    assert_eq!((report.steps[0].what.as_str(), &report.steps[0].command), (advice, &None));
    assert!(!page(&report, 80, false).contains("paste"));
}

#[test]
fn nobody_forges_a_line_of_the_page() {
    let mut facts = full();
    facts.owners.push(super::facts::Owner {
        address: address("10.0.0.1"),
        who: "x\u{1b}[2J\nDO NOW  paste\r".to_owned(),
    });
    let text = anstream::adapter::strip_str(&page(&Report::new(&facts), 80, true)).to_string();
    assert_eq!(text.matches("\nDO NOW").count(), 1, "{text}");
    assert!(text.contains("x?[2J?DO NOW"), "{text}");
}
