//! Screens without a terminal: flows in, keys, lines of text out.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{Counters, ProtoInfo, TcpInfo};

use super::keys::press;
use super::page::{rendered, text};
use super::state::{Command, Mode, Report, State};
use super::survey::Survey;
use super::{picture, view};
use crate::client::names::{bit, tcp_state_number};
use crate::client::{Flow, Place};

/// A line of a table: protocol, source, destination, state or status, seconds left, packets and bytes, what its source
/// or destination becomes.
struct Entry(&'static str, &'static str, &'static str, &'static str, u32, u64, u64, &'static str);

const TABLE: [Entry; 9] = [
    Entry(
        "tcp",
        "10.42.7.19:40112",
        "203.0.113.9:443",
        "ESTABLISHED",
        431_990,
        90_210,
        81_000_000,
        "src 198.51.100.1:40112",
    ),
    Entry(
        "tcp",
        "10.42.7.19:40113",
        "203.0.113.9:443",
        "ESTABLISHED",
        420_300,
        12,
        2_400,
        "src 198.51.100.1:40113",
    ),
    Entry(
        "tcp",
        "10.42.7.19:40114",
        "203.0.113.9:443",
        "ESTABLISHED",
        399_100,
        12,
        2_400,
        "src 198.51.100.1:40114",
    ),
    Entry(
        "tcp",
        "192.0.2.77:51000",
        "198.51.100.1:80",
        "TIME_WAIT",
        44,
        20,
        9_000,
        "dst 10.42.0.8:8080",
    ),
    Entry("udp", "10.42.3.4:53120", "10.96.0.10:53", "unreplied", 29, 4, 260, "dst 10.42.9.9:53"),
    Entry("udp", "[2001:db8:42::7]:5353", "[2001:db8::53]:53", "assured", 117, 300, 41_000, ""),
    Entry(
        "tcp",
        "[2001:db8:42::7]:40200",
        "[2001:db8:9::1]:22",
        "ESTABLISHED",
        431_999,
        5_100,
        700_000,
        "",
    ),
    Entry("tcp", "10.42.1.2:39000", "10.42.0.8:8080", "SYN_SENT", 112, 2, 120, ""),
    Entry("tcp", "127.0.0.1:50000", "127.0.0.1:9100", "ESTABLISHED", 86_000, 40, 52_000, ""),
];

/// The flows after so many seconds, in which the first four and the last of them carried something.
fn flows(seconds: u64) -> Vec<Flow<'static>> {
    let rate = [120_000, 0, 0, 64, 31, 900, 18_000, 0, 4_000];
    TABLE.iter().zip(rate).map(|(entry, rate)| flow(entry, rate * seconds)).collect()
}

fn flow(entry: &Entry, more: u64) -> Flow<'static> {
    let Entry(proto, source, destination, state, left, packets, bytes, becomes) = entry;
    let proto = if *proto == "tcp" { 6 } else { 17 };
    let tuple = |source: &str, destination: &str| {
        let ends: [std::net::SocketAddr; 2] =
            [source, destination].map(|end| end.parse().expect("an end"));
        Tuple {
            src: Some(ends[0].ip()),
            dst: Some(ends[1].ip()),
            sport: Some(ends[0].port()),
            dport: Some(ends[1].port()),
            proto: Some(proto),
            ..Tuple::default()
        }
    };
    let reply = match becomes.split_once(' ') {
        Some(("src", source)) => tuple(destination, source),
        Some((_, destination)) => tuple(destination, source),
        None => tuple(destination, source),
    };
    let tcp =
        tcp_state_number(state).map(|state| TcpInfo { state: Some(state), ..TcpInfo::default() });
    let status = match *state {
        "unreplied" | "SYN_SENT" => 0,
        _ => bit::SEEN_REPLY | bit::ASSURED,
    };
    let counted = Counters {
        packets: Some(packets + more / 900),
        bytes: Some(bytes + more),
        ..Counters::default()
    };
    Flow {
        family: if source.starts_with('[') { 10 } else { 2 },
        tuples: [tuple(source, destination), reply],
        info: ProtoInfo { tcp, ..ProtoInfo::default() },
        status: Some(status),
        timeout: Some(*left),
        counters: [Some(counted), None],
        ..Flow::default()
    }
}

/// A screen on which keys are pressed.
struct Stage {
    state: State,
    survey: Survey,
    seconds: u64,
}

const SIZE: (u16, u16) = (140, 24);

impl Stage {
    fn new() -> Self {
        let state = State::new("kernel".to_owned(), Duration::from_secs(1));
        let survey = Survey::new(Place::Kernel(None));
        let mut stage = Self { state, survey, seconds: 0 };
        stage.look();
        stage.look();
        for second in 0..12 {
            let report =
                Report::Counts(Duration::from_secs(second), 200_000 + 900 * second, Some(262_144));
            stage.state.take(report);
        }
        stage
    }

    /// A second passes.
    fn look(&mut self) {
        let since = (self.seconds > 0).then_some(Duration::from_secs(1));
        self.seconds += 1;
        let question = self.state.question();
        let mut snapshot = self.survey.over(&question, since, &flows(self.seconds));
        (snapshot.at, snapshot.took) = (1_795_316_861_000_000_000, Duration::from_micros(2_100));
        self.state.take(Report::Snapshot(Box::new(snapshot)));
        self.state.fit(view::room(&self.state, SIZE.1));
    }

    /// Presses keys one after the other; `^g` and the like with control, `⏎` is Enter. The table is asked when a key
    /// wants it.
    fn press(&mut self, keys: &str) -> Option<Command> {
        let mut last = None;
        let mut letters = keys.chars();
        while let Some(letter) = letters.next() {
            let none = KeyModifiers::NONE;
            let key = match letter {
                '⏎' => KeyEvent::new(KeyCode::Enter, none),
                '⌫' => KeyEvent::new(KeyCode::Backspace, none),
                '↓' => KeyEvent::new(KeyCode::Down, none),
                '↑' => KeyEvent::new(KeyCode::Up, none),
                '⇟' => KeyEvent::new(KeyCode::PageDown, none),
                '^' => KeyEvent::new(KeyCode::Char(letters.next().unwrap()), KeyModifiers::CONTROL),
                other => KeyEvent::new(KeyCode::Char(other), none),
            };
            last = press(&mut self.state, key);
            if last == Some(Command::Refresh) {
                self.look();
            }
        }
        last
    }

    fn lines(&self) -> Vec<String> {
        text(&rendered(&self.state, SIZE.0, SIZE.1))
    }

    /// The first words of the rows.
    fn rows(&self) -> Vec<String> {
        let lines = self.lines();
        let titles = lines.iter().position(|line| line.contains("PACKETS/S")).expect("titles");
        let rows = lines[titles + 1..lines.len() - 1].iter().filter(|line| !line.is_empty());
        rows.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
    }

    fn shows(&self, part: &str) -> bool {
        self.lines().iter().any(|line| line.contains(part))
    }
}

#[test]
fn the_screen_shows_the_table() {
    let stage = Stage::new();
    let lines = stage.lines();
    assert_eq!(
        lines[0],
        "tidegate top  kernel  2026-11-22 03:07:41 UTC  took 2.1 ms, every 1 s  sorted by -bps,src"
    );
    assert_eq!(
        lines[1],
        "table 209,900 of 262,144 (80.1 %) [########################------]  +900.0/s  full in 58.0 s"
    );
    assert_eq!(lines[2], "history ▁▁▂▂▃▄▄▅▆▆▇█");
    assert_eq!(lines[3], "flows 9  tcp 7  udp 2  icmp 0  sctp 0  other 0  ipv6 2");
    assert_eq!(
        lines[4],
        "established 5  assured 7  unreplied 2  snat 3  dnat 2  1.1 Mbit/s  158 packets/s"
    );
    assert!(lines[5].starts_with("SOURCE"), "{}", lines[5]);
    let first = "10.42.7.19:40112        203.0.113.9:443     tcp    ESTABLISHED   4d23h   90,476   81.2 MB        133  120.0 kB  src 198.51.100.1:40112";
    assert_eq!(lines[6], first);
    assert_eq!(stage.rows().len(), TABLE.len());
    assert!(lines.last().is_some_and(|line| line.starts_with("h help")));
}

/// Each row: keys, what the first row begins with, what is sorted by.
#[test]
fn keys_sort_as_iptstates_do() {
    let rows = [
        ("", "10.42.7.19:40112", "-bps,src"),
        ("r", "10.42.1.2:39000", "bps,src"),
        ("BBBBBBBBBB", "10.42.1.2:39000", "src"),
        ("bbb", "10.42.1.2:39000", "src"),
        ("bbbb", "[2001:db8:42::7]:5353", "sport,src"),
        ("bbbbr", "10.42.3.4:53120", "-sport,src"),
        ("B", "10.42.7.19:40112", "-pps,src"),
        ("BBBB", "10.42.3.4:53120", "timeout,src"),
        ("BBBBB2bbbbb", "10.42.7.19:40112", "-bps,state"),
    ];
    for (keys, first, sorted) in rows {
        let mut stage = Stage::new();
        stage.press(keys);
        let title = stage.lines().remove(0);
        assert!(title.ends_with(&format!("sorted by {sorted}")), "{keys}: {title}");
        assert_eq!(stage.rows()[0], first, "{keys}");
    }
}

/// Each row: keys, how many rows are left, a part of the screen.
#[test]
fn filters_are_typed_cleared_and_cancelled() {
    let rows = [
        ("s10.42.7.19⏎", 3, "only source 10.42.7.19"),
        ("s10/8^g", 9, "all stays as it was"),
        ("s10.0.0.0/8⏎s⏎", 9, "flows 9"),
        ("d203.0.113.9⏎", 3, "only destination 203.0.113.9"),
        ("S40112⏎", 1, "only source port 40112"),
        ("D53⏎", 2, "only destination port 53"),
        ("D53⏎s2001:db8::/32⏎", 1, "only source 2001:db8::/32, destination port 53"),
        ("f", 8, "only no loopback"),
        ("ff", 9, "flows 9"),
        ("/state established ( dport = :443 or ip6 )⏎", 4, "only filter state established"),
        ("/udp or state x⏎", 9, "no state that conntrack knows"),
        ("/udpx⌫⏎", 2, "only filter udp"),
        ("sabc", 9, "source (now none; blank clears, ctrl-G cancels): abc_"),
        ("s10.42.7.19⏎s", 3, "source (now 10.42.7.19; blank clears"),
    ];
    for (keys, count, part) in rows {
        let mut stage = Stage::new();
        stage.press(keys);
        let shown = stage.state.rows();
        assert_eq!(shown, count, "{keys}");
        assert!(stage.shows(part), "{keys}: {:#?}", stage.lines());
    }
}

#[test]
fn a_mistake_in_a_filter_is_shown_with_its_place() {
    let mut stage = Stage::new();
    stage.press("/tcp and sate x⏎");
    let lines = stage.lines();
    let typed = lines.iter().position(|line| line.contains("tcp and sate x") && line.contains('│'));
    let typed = typed.unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(lines[typed + 1].contains("         ^^^^"), "{lines:#?}");
    stage.press("^utcp⏎");
    assert_eq!(stage.state.rows(), 7);
}

/// Each row: how many times `g` is pressed, the first rows.
#[test]
fn flows_are_grouped() {
    let rows: [(&str, &[&str]); 6] = [
        ("g", &["10.42.7.19", "2001:db8:42::7"]),
        ("gg", &["203.0.113.9"]),
        ("ggg", &["tcp 443", "udp 53", "tcp 22"]),
        ("gggg", &["tcp ESTABLISHED", "tcp SYN_SENT", "tcp TIME_WAIT"]),
        ("G", &["0"]),
        ("gGgG", &["10.42.7.19:40112"]),
    ];
    for (keys, expected) in rows {
        let mut stage = Stage::new();
        stage.press(keys);
        let shown = stage.rows();
        assert_eq!(shown[..expected.len()], *expected, "{keys}: {:#?}", stage.lines());
    }
    let mut stage = Stage::new();
    stage.press("g");
    stage.look();
    assert!(
        stage.shows("10.42.7.19          3  33.3 %          0     +0.0"),
        "{:#?}",
        stage.lines()
    );
    assert!(stage.shows("6 groups"));
}

#[test]
fn enter_opens_a_group() {
    let mut stage = Stage::new();
    stage.press("g⏎");
    assert_eq!(stage.rows(), ["10.42.7.19:40112", "10.42.7.19:40113", "10.42.7.19:40114"]);
    assert!(stage.shows("only filter src host 10.42.7.19"));
    stage.press("ggg⏎");
    assert!(stage.shows("only filter ( src host 10.42.7.19 ) and proto 6 dport = 443"));
    assert_eq!(stage.state.rows(), 3);
}

#[test]
fn a_flow_is_deleted_after_asking_only() {
    let mut stage = Stage::new();
    assert_eq!(stage.press("↓x"), None);
    let question = "delete tcp [2001:db8:42::7]:40200 > [2001:db8:9::1]:22 ESTABLISHED? (y/n)";
    assert!(stage.shows(question), "{:#?}", stage.lines());
    assert_eq!(stage.press("n"), None);
    assert!(stage.shows("nothing was deleted"));
    assert_eq!(stage.press("xy"), Some(Command::Delete(vec![6])));
    assert_eq!(stage.press("gx"), None);
    assert!(stage.shows("only flows can be deleted"));
}

#[test]
fn the_rest_of_the_keys() {
    let mut stage = Stage::new();
    assert_eq!(stage.press("q"), Some(Command::Quit));
    assert_eq!(stage.press("^c"), Some(Command::Quit));
    assert_eq!(stage.press("^z"), Some(Command::Suspend));
    assert_eq!(stage.press(" "), Some(Command::Refresh));
    stage.press("R0.05⏎");
    assert!(matches!(stage.state.mode, Mode::Prompt(_)) && stage.shows("a tenth at least"));
    stage.press("^g");
    stage.press("R2.5⏎");
    assert_eq!(stage.state.interval, Duration::from_millis(2500));
    stage.press("h");
    assert!(stage.shows("any key ends this"));
    stage.press("q");
    assert!(!stage.shows("any key ends this"), "this key only ended the help");
    stage.press("tC");
    let lines = stage.lines();
    assert!(lines[3].starts_with("SOURCE") && !lines[3].contains("BYTES  "), "{lines:#?}");
    stage.press("⇟");
    assert_eq!(stage.state.cursor, 8, "there are no more rows");
    stage.press("↑");
    assert_eq!(stage.state.cursor, 7);
}

#[test]
fn the_cursor_stays_in_sight() {
    let mut stage = Stage::new();
    stage.state.fit(4);
    stage.press("↓↓↓↓↓");
    assert_eq!((stage.state.cursor, stage.state.offset), (5, 2));
    stage.press("↑↑↑↑");
    assert_eq!((stage.state.cursor, stage.state.offset), (1, 1));
}

/// A table that was gone is told of as long as it is.
#[test]
fn trouble_passes() {
    let mut stage = Stage::new();
    stage.state.take(Report::Trouble("the engine closed the conversation".to_owned()));
    assert!(stage.shows("the engine closed the conversation"));
    stage.look();
    assert!(!stage.shows("the engine closed the conversation"));
}

#[test]
fn more_rows_are_asked_for_where_they_end() {
    let mut stage = Stage::new();
    assert_eq!(stage.state.question().limit, 500);
    let question = stage.state.question();
    let many: Vec<Flow<'_>> = (0..500).map(|_| flows(1).remove(0)).collect();
    let snapshot = stage.survey.over(&question, None, &many[..250]);
    stage.state.take(Report::Snapshot(Box::new(snapshot)));
    assert_eq!(stage.press("⇟"), None);
    let snapshot = stage.survey.over(&question, None, &many);
    stage.state.take(Report::Snapshot(Box::new(snapshot)));
    stage.state.cursor = 482;
    assert_eq!(stage.press("↓"), Some(Command::Refresh));
}

/// Where nobody counts, it is said.
#[test]
fn rates_that_are_not_known_are_not_shown_as_zero() {
    let mut stage = Stage::new();
    let question = stage.state.question();
    let silent: Vec<Flow<'_>> =
        flows(1).into_iter().map(|flow| Flow { counters: [None, None], ..flow }).collect();
    let snapshot = stage.survey.over(&question, None, &silent);
    stage.state.take(Report::Snapshot(Box::new(snapshot)));
    assert!(stage.shows("no rates: nobody counts (nf_conntrack_acct is 0)"));
    assert!(stage.shows("        -      -          -        -"), "{:#?}", stage.lines());
}

#[test]
fn names_are_shown_when_they_are_wanted() {
    let mut stage = Stage::new();
    assert!(stage.state.nameless().is_empty());
    stage.press("l");
    let address = "203.0.113.9".parse().unwrap();
    assert!(stage.state.nameless().contains(&address));
    stage.state.take(Report::Name(address, Some("www.example.net".to_owned())));
    assert!(stage.shows("www.example.net:443") && !stage.state.nameless().contains(&address));
    stage.press("l");
    assert!(!stage.shows("www.example.net"));
}

/// No size of a terminal is too small.
#[test]
fn small_screens_are_cut() {
    for keys in ["", "h", "g", "/x y⏎"] {
        let mut stage = Stage::new();
        stage.press(keys);
        for (width, height) in [(1, 1), (3, 40), (200, 2), (20, 6), (80, 24)] {
            stage.state.fit(view::room(&stage.state, height));
            rendered(&stage.state, width, height);
        }
    }
}

/// The README's picture is this screen. `TIDEGATE_WRITE_PICTURE=1 cargo test -p tidegate picture` draws it anew.
#[test]
fn the_picture_is_this_screen() {
    let stage = Stage::new();
    let drawn = picture::svg(&rendered(&stage.state, SIZE.0, 17));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/top.svg");
    if std::env::var_os("TIDEGATE_WRITE_PICTURE").is_some() {
        std::fs::write(path, &drawn).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    assert!(known == drawn, "docs/top.svg is not what `top' shows");
}
