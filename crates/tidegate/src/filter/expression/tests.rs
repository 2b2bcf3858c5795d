//! Expressions against flows, and what can't be understood.

use proptest::prelude::*;
use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{Counters, ProtoInfo, TcpInfo};

use super::*;
use crate::filter::Filter;

fn flow(line: &str) -> Flow<'static> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [proto, src, sport, dst, dport, state, status, mark] = words[..] else { panic!("{line}") };
    let tuple = |src: &str, dst: &str, sport: &str, dport: &str| Tuple {
        src: src.parse().ok(),
        dst: dst.parse().ok(),
        proto: proto.parse().ok(),
        sport: sport.parse().ok(),
        dport: dport.parse().ok(),
        ..Tuple::default()
    };
    let tcp = state.parse().ok().map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() });
    let counters = Counters { packets: Some(5), bytes: Some(1500), ..Counters::default() };
    Flow {
        family: if src.contains(':') { 10 } else { 2 },
        tuples: [tuple(src, dst, sport, dport), tuple(dst, src, dport, sport)],
        info: ProtoInfo { tcp, ..ProtoInfo::default() },
        status: status.parse().ok(),
        timeout: Some(100),
        mark: mark.parse().ok(),
        counters: [Some(counters), None],
        ..Flow::default()
    }
}

fn flows() -> [Flow<'static>; 4] {
    [
        flow("6 10.0.0.1 40000 192.0.2.80 443 3 14 7"),
        flow("17 10.0.0.2 5353 192.0.2.53 53 - 8 0"),
        flow("6 2001:db8::1 40001 2001:db8::2 80 7 14 0"),
        flow("1 192.168.1.9 - 10.0.0.1 - - 10 0"),
    ]
}

/// Which of the four flows an expression means.
fn meant(text: &str) -> String {
    let expression: Expression = text.parse().unwrap_or_else(|mistake| panic!("{mistake}"));
    let filter = Filter::new(expression.into_tests());
    let letters = flows().into_iter().zip("web6p".chars().filter(|c| *c != 'e'));
    letters.filter(|(flow, _)| filter.accepts(flow, 0)).map(|(_, letter)| letter).collect()
}

/// The flows: `w` TCP to the web by IPv4, `b` UDP to a name server, `6` TCP by IPv6, `p` a ping.
#[test]
fn expressions_mean_flows() {
    let rows = [
        ("", "wb6p"),
        ("tcp", "w6"),
        ("not tcp", "bp"),
        ("! tcp", "bp"),
        ("ip6", "6"),
        ("ip", "wbp"),
        ("icmp or udp", "bp"),
        ("tcp port 443", "w"),
        ("port 80 or 443", "w6"),
        ("tcp port 53 or 80", "6"),
        ("host 10.0.0.1", "wp"),
        ("src host 10.0.0.1", "w"),
        ("dst 10.0.0.1", "p"),
        ("src or dst host 10.0.0.1", "wp"),
        ("src and dst net 10/8", ""),
        ("src 10/8", "wb"),
        ("net 192.168", "p"),
        ("src net 10.0.0.2/31", "b"),
        ("10.0.0.1", "wp"),
        ("dst [2001:db8::2]:80", "6"),
        ("dst 2001:db8::/32", "6"),
        ("dst :443", "w"),
        ("dst 192.0.2.80:443", "w"),
        ("dst 192.0.2.80:80", ""),
        ("dst != 10.0.0.1", "wb6"),
        ("dport = :443", "w"),
        ("dport=443", "w"),
        ("dport >= 443", "w"),
        ("dport lt :100", "b6"),
        ("sport > :1024 and sport <= :40000", "wb"),
        ("dport != :53", "w6p"),
        ("portrange 50-100", "b6"),
        ("state established", "w"),
        ("state ESTABLISHED,TIME_WAIT", "w6"),
        ("state time-wait state established", "w6"),
        ("state connected", "w6"),
        ("exclude time-wait tcp", "w"),
        ("state established ( dport = :443 or src 172.16/12 )", "w"),
        ("state established ( dport = :80 or src 172.16/12 )", ""),
        ("( tcp or udp ) and not ( port 53 or port 443 )", "6"),
        ("tcp and port 80 or udp", "b6"),
        ("assured", "w6"),
        ("unreplied", "b"),
        ("replied", "w6p"),
        ("mark 7", "w"),
        ("fwmark = 0x3/0x3", "w"),
        ("mark != 7", "b6p"),
        ("nat", ""),
        ("zone 0", "wb6p"),
        ("proto 1", "p"),
        ("ip proto tcp", "w"),
        ("bytes >= 1k and timeout < 2m", "wb6p"),
        ("packets > 5", ""),
        ("timeout 90..110", "wb6p"),
        ("not not tcp && !ip6", "w"),
    ];
    for (text, expected) in rows {
        assert_eq!(meant(text), expected, "{text}");
    }
}

/// Each row: what is typed, what is marked, a word of the reason.
#[test]
fn what_is_wrong_is_told_and_where() {
    let rows = [
        ("tcp and and udp", "and", "missing before"),
        ("tcp and", "", "a condition is missing here"),
        ("( tcp", "(", "not closed"),
        ("tcp )", ")", "no parenthesis"),
        ("tcp or udp and port 53", "and", "parentheses say which"),
        ("tcp or udp port 53 port 54", "port", "parentheses say which"),
        ("state happy", "happy", "there are NONE"),
        ("state listening", "listening", "no state that conntrack knows"),
        ("src 10.0.0.0/33", "10.0.0.0/33", "no address"),
        ("dst host", "", "an address is missing"),
        ("port http", "http", "a port is 0 to 65535"),
        ("src < 10.0.0.1", "<", "no order"),
        ("mark > 5", ">", "no order"),
        ("dport < :0", ":0", "no port is"),
        ("dport > :65535", ":65535", "no port is"),
        ("proto warp", "warp", "no protocol"),
        ("dev eth0", "dev", "no such thing"),
        ("tcp and something", "something", "no condition"),
        ("bytes > many", "many", "an amount is like"),
        ("tcp = 5", "=", "no condition"),
        ("é", "é", "no condition"),
    ];
    for (text, marked, word) in rows {
        let mistake = text.parse::<Expression>().expect_err(text);
        assert_eq!(&text[mistake.at.clone()], marked, "{text}: {mistake}");
        assert!(mistake.why.contains(word), "{text}: {mistake}");
    }
}

#[test]
fn a_mistake_is_marked_below_the_text() {
    let mistake = "é and state happy".parse::<Expression>().expect_err("é is no condition");
    assert!(mistake.to_string().ends_with("\n  é and state happy\n  ^"), "{mistake}");
    let mistake = "tcp  or ( udp".parse::<Expression>().expect_err("it is open");
    assert!(mistake.to_string().ends_with("\n  tcp  or ( udp\n          ^"), "{mistake}");
}

/// What must hold in any case can be sent along to the table; what is an alternative can't.
#[test]
fn conditions_that_must_hold_are_tests_of_their_own() {
    let tests = |text: &str| text.parse::<Expression>().expect(text).into_tests().len();
    let rows = [
        ("tcp and src 10/8 and port 80", 3),
        ("tcp port 80 or 443", 1),
        ("tcp ( udp or icmp )", 2),
    ];
    for (text, expected) in rows {
        assert_eq!(tests(text), expected, "{text}");
    }
}

/// An expression as a tree, with what it means beside its text.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(usize),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

const LEAVES: [&str; 6] =
    ["tcp", "port 53", "src 10/8", "state established", "dport >= :80", "unreplied"];

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Leaf(index) => LEAVES[*index].to_owned(),
            Self::Not(inner) => format!("not ( {} )", inner.text()),
            Self::And(a, b) => format!("( {} ) and ({})", a.text(), b.text()),
            Self::Or(a, b) => format!("({}) || ( {} )", a.text(), b.text()),
        }
    }

    fn holds(&self, flow: &Flow<'_>) -> bool {
        match self {
            Self::Leaf(index) => {
                LEAVES[*index].parse::<Expression>().expect("a leaf").holds(flow, 0)
            }
            Self::Not(inner) => !inner.holds(flow),
            Self::And(a, b) => a.holds(flow) && b.holds(flow),
            Self::Or(a, b) => a.holds(flow) || b.holds(flow),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    (0..LEAVES.len()).prop_map(Tree::Leaf).prop_recursive(5, 40, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|tree| Tree::Not(Box::new(tree))),
            pair.clone().prop_map(|(a, b)| Tree::And(Box::new(a), Box::new(b))),
            pair.prop_map(|(a, b)| Tree::Or(Box::new(a), Box::new(b))),
        ]
    })
}

proptest! {
    #[test]
    fn a_text_means_what_its_tree_means(tree in trees()) {
        let expression: Expression = tree.text().parse().expect("a tree's text");
        for flow in flows() {
            prop_assert_eq!(expression.holds(&flow, 0), tree.holds(&flow), "{}", tree.text());
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,40}") {
        if let Err(mistake) = text.parse::<Expression>() {
            prop_assert!(text.get(mistake.at.clone()).is_some(), "{:?}", mistake);
            mistake.to_string();
        }
    }

    #[test]
    fn no_words_are_too_strange(words in prop::collection::vec(0..WORDS.len(), 0..12)) {
        let text: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        let text = text.join(" ");
        if let Err(mistake) = text.parse::<Expression>() {
            prop_assert!(text.get(mistake.at.clone()).is_some(), "{:?}", mistake);
        }
    }
}

const WORDS: [&str; 24] = [
    "and",
    "or",
    "not",
    "(",
    ")",
    "src",
    "dst",
    "host",
    "net",
    "port",
    "tcp",
    "ip",
    "proto",
    "state",
    "established",
    "10/8",
    "::1",
    ":80",
    "80",
    "=",
    ">",
    "!=",
    "mark",
    "age",
];

/// Nesting ends before the stack does.
#[test]
fn depth_has_a_limit() {
    let deep = |depth: usize| format!("{}tcp{}", "( ".repeat(depth), " )".repeat(depth));
    assert!(deep(64).parse::<Expression>().is_ok());
    assert!(deep(65).parse::<Expression>().is_err());
    assert!("! ".repeat(100_000).parse::<Expression>().is_err());
}
