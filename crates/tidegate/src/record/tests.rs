//! Recordings made by hand: what they held at each moment, wherever they were cut.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_gateway::snapshot::{Gap, Kind, Opening, Writer, byte_order};
use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Attr, Family, Flags, Header, Tuple, Writer as MessageWriter, stats};

use super::fills::fills;
use super::past::Past;
use super::recorder::{self, Recorder};
use super::*;
use crate::client::{ClientError, Flow, Place, Saved, kept};
use crate::cmd::Failure;

const SECOND: u64 = 1_000_000_000;

/// A message about the flow of this source port, which has so many seconds left.
fn about(number: u8, flags: Flags, port: u16, rest: u32) -> Vec<u8> {
    let header =
        Header { kind: Header::kind_of(Subsystem::Conntrack, number), flags, seq: 0, pid: 0 };
    let family = Family { family: Family::V4, ..Family::default() };
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes).message(header, family, |writer| {
        let original = Tuple {
            src: Some([10, 0, 0, 1].into()),
            dst: Some([10, 0, 0, 2].into()),
            proto: Some(17),
            sport: Some(port),
            dport: Some(53),
            ..Tuple::default()
        };
        Attribute::Original(original).write(writer);
        if number != message::DELETE {
            Attribute::Timeout(rest).write(writer);
        }
    });
    bytes
}

/// What happens to which flow.
#[derive(Clone, Copy)]
enum Event {
    New(u16, u32),
    Changed(u16, u32),
    Ended(u16),
    Gap(u64),
}

/// Writes a segment that begins at second `time` with the flows of these ports, 100 s each.
fn write_segment(dir: &Path, time: u64, ports: &[u16], events: &[(u64, Event)]) -> PathBuf {
    let path = dir.join(segment_name(time * SECOND));
    let order = byte_order().to_owned();
    let opening =
        Opening { time: time * SECOND, order, listens_since: Some(0), ..Opening::default() };
    let mut writer = Writer::begin(Vec::new(), &opening).expect("memory");
    for port in ports {
        let bytes = about(message::NEW, Flags::MULTI, *port, 100);
        writer.message(Kind::Flows, &kept(&bytes).expect("a message")).expect("memory");
    }
    writer.close(time * SECOND).expect("memory");
    for (time, event) in events {
        let bytes = match event {
            Event::New(port, rest) => about(message::NEW, Flags::CREATE, *port, *rest),
            Event::Changed(port, rest) => about(message::NEW, Flags::empty(), *port, *rest),
            Event::Ended(port) => about(message::DELETE, Flags::empty(), *port, 0),
            Event::Gap(until) => {
                let gap = Gap { from: time * SECOND, to: until * SECOND };
                writer.gap(&gap).expect("memory");
                continue;
            }
        };
        writer.event(time * SECOND, &kept(&bytes).expect("a message")).expect("memory");
        // Each event in a block of its own, as if a second apart.
        writer.flush().expect("memory");
    }
    fs::write(&path, writer.into_inner()).expect("a file");
    path
}

/// The ports and rests of the flows at a second.
fn flows_at(path: &Path, second: u64) -> Result<Vec<(u16, u32)>, ClientError> {
    let past = Past::open(path, Some(second * SECOND))?;
    let mut flows = Vec::new();
    past.each_flow(|message| {
        let flow = Flow::parse(message)?;
        flows.push((flow.tuples[0].sport.unwrap_or(0), flow.timeout.unwrap_or(0)));
        Ok::<_, ClientError>(())
    })?;
    flows.sort_unstable();
    Ok(flows)
}

/// Ports 1 to 3; 4 comes and goes, 2 goes, 3 is refreshed, 5 comes, and a new snapshot has 3, 5 and 6.
fn recording(dir: &Path) -> [PathBuf; 2] {
    let events = [
        (1010, Event::New(4, 30)),
        (1012, Event::Ended(2)),
        (1020, Event::Changed(3, 120)),
        (1025, Event::Ended(4)),
        (1030, Event::New(5, 30)),
    ];
    let later = [(1110, Event::Ended(6)), (1120, Event::Gap(1125)), (1126, Event::Ended(5))];
    [write_segment(dir, 1000, &[1, 2, 3], &events), write_segment(dir, 1100, &[3, 5, 6], &later)]
}

#[test]
fn each_moment_is_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    recording(dir.path());
    let rows: [(u64, &[(u16, u32)]); 7] = [
        (1000, &[(1, 100), (2, 100), (3, 100)]),
        (1011, &[(1, 89), (2, 89), (3, 89), (4, 29)]),
        (1013, &[(1, 87), (3, 87), (4, 27)]),
        (1024, &[(1, 76), (3, 116), (4, 16)]),
        (1040, &[(1, 60), (3, 100), (5, 20)]),
        (1105, &[(3, 95), (5, 95), (6, 95)]),
        (1115, &[(3, 85), (5, 85)]),
    ];
    for (second, expected) in rows {
        assert_eq!(flows_at(dir.path(), second).expect("recorded"), expected, "{second}");
    }
    assert!(matches!(flows_at(dir.path(), 999), Err(ClientError::NotRecorded(_))));
}

/// A tuple that is used again and again hides what the snapshot had under it, to its last end.
#[test]
fn a_flow_of_the_snapshot_stays_gone_when_its_tuple_is_used_again() {
    let ended = (1010, Event::Ended(1));
    let again = [(1012, Event::New(1, 30)), (1014, Event::Changed(1, 60)), (1016, Event::Ended(1))];
    let rows: [(&str, &[(u64, Event)]); 3] = [
        ("its end was told", &[&[ended][..], &again].concat()),
        (
            "it changed, and its end was told",
            &[&[(1005, Event::Changed(1, 90)), ended][..], &again].concat(),
        ),
        ("its end was missed", &[&[(1010, Event::Gap(1011))][..], &again].concat()),
    ];
    for (what, events) in rows {
        let dir = tempfile::tempdir().expect("a directory");
        write_segment(dir.path(), 1000, &[1, 2], events);
        let found = flows_at(dir.path(), 1015).expect("recorded");
        assert_eq!(found, [(1, 59), (2, 85)], "{what}");
        assert_eq!(flows_at(dir.path(), 1016).expect("recorded"), [(2, 84)], "{what}");
    }
}

#[test]
fn what_is_missing_is_marked() {
    let dir = tempfile::tempdir().expect("a directory");
    recording(dir.path());
    let gaps = |second: u64| Past::open(dir.path(), Some(second * SECOND)).expect("recorded").gaps;
    assert_eq!(gaps(1115), [], "before the gap");
    assert_eq!(gaps(1125), [Gap { from: 1120 * SECOND, to: 1125 * SECOND }]);
    let end = Gap { from: 1126 * SECOND, to: 2000 * SECOND };
    assert_eq!(gaps(2000).last(), Some(&end), "nobody listened any more");
    assert_eq!(Past::open(dir.path(), None).expect("recorded").at, 1126 * SECOND);
}

/// A kernel whose `nf_conntrack_events` is 2 says nothing of flows that nobody listened to when they began.
#[test]
fn who_was_there_before_the_recorder_ends_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    for (value, expected) in [("2", &[][..]), ("1", &[(7, 0)][..])] {
        let path = dir.path().join(segment_name(1000 * SECOND));
        let order = byte_order().to_owned();
        let listens_since = Some(999 * SECOND);
        let opening = Opening { time: 1000 * SECOND, order, listens_since, ..Opening::default() };
        let mut writer = Writer::begin(Vec::new(), &opening).expect("memory");
        let name = "net.netfilter.nf_conntrack_events".to_owned();
        writer.settings(&[(name, value.to_owned())]).expect("memory");
        let bytes = about(message::NEW, Flags::MULTI, 7, 100);
        writer.message(Kind::Flows, &kept(&bytes).expect("a message")).expect("memory");
        writer.close(1000 * SECOND).expect("memory");
        fs::write(&path, writer.into_inner()).expect("a file");
        assert_eq!(flows_at(&path, 1099).expect("recorded"), [(7, 1)]);
        assert_eq!(flows_at(&path, 1101).expect("recorded"), expected, "events are {value}");
    }
}

/// However much of the last segment a crash leaves, the table is as it was at some earlier moment, never a fault and never
/// a mixture.
#[test]
fn a_recording_cut_anywhere_is_good_up_to_the_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let [_, last] = recording(dir.path());
    let whole = fs::read(&last).expect("a file");
    let ports =
        |flows: Vec<(u16, u32)>| flows.into_iter().map(|(port, _)| port).collect::<Vec<_>>();
    let possible = [vec![1, 3, 5], vec![3, 5, 6], vec![3, 5], vec![3]];
    let mut reached = 0;
    for len in 0..=whole.len() {
        fs::write(&last, &whole[..len]).expect("a file");
        let found = ports(flows_at(dir.path(), 1130).expect("what is before the cut"));
        let state = possible.iter().position(|possible| *possible == found);
        let state = state.unwrap_or_else(|| panic!("cut at {len}: {found:?}"));
        assert!(state >= reached, "cut at {len}");
        reached = state;
    }
    assert_eq!(reached, 3);
}

#[test]
fn damage_hides_what_is_behind_it_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let [_, last] = recording(dir.path());
    let whole = fs::read(&last).expect("a file");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&last, &damaged).expect("a file");
        let found = flows_at(dir.path(), 1130);
        assert!(found.is_ok(), "damage at {at}: {:?}", found.err().map(|error| error.to_string()));
    }
}

/// A recorder whose snapshot can't be made leaves nothing unfinished, neither its own nor an earlier one's, and names the
/// file.
#[test]
fn nothing_unfinished_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = write_segment(dir.path(), 1000, &[1], &[]);
    let whole = fs::read(&table).expect("a file");
    let ring = dir.path().join("ring");
    fs::create_dir(&ring).expect("a directory");
    let stale = ring.join(segment_name(1000 * SECOND)).with_extension("part");
    fs::write(&stale, "half").expect("a file");
    fs::write(ring.join("thesis.part"), "somebody's").expect("a file");
    // The table ends in the middle of its flows.
    fs::write(&table, &whole[..whole.len() - 60]).expect("a file");
    let recorder = Recorder {
        place: Place::File(Saved::new(&table, None)),
        dir: ring.clone(),
        every: Duration::from_secs(1),
        keep: 1 << 30,
        events: false,
        redactor: None,
    };
    assert!(recorder.run(&Arc::default()).is_err());
    let entries = fs::read_dir(&ring).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "thesis.part"]);
}

#[test]
fn who_cannot_write_is_told_where() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let failure = recorder::named(Path::new("/ring/a.part"), full.into());
    assert!(
        matches!(&failure, Failure::Table(ClientError::File { path, .. }) if path.ends_with("a.part")),
        "{failure:?}"
    );
}

#[test]
fn the_oldest_segments_go_first() {
    let dir = tempfile::tempdir().expect("a directory");
    for time in [1, 2, 3] {
        fs::write(dir.path().join(segment_name(time * SECOND)), [0; 100]).expect("a file");
    }
    fs::write(dir.path().join("lock"), [0; 100]).expect("a file");
    let names = || {
        let all = segments(dir.path()).expect("a directory");
        all.iter()
            .map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
            .collect::<Vec<_>>()
    };
    prune(dir.path(), 250).expect("pruned");
    assert_eq!(names(), [2, 3].map(|time| Some(segment_name(time * SECOND))));
    prune(dir.path(), 10).expect("pruned");
    assert_eq!(names(), [Some(segment_name(3 * SECOND))], "the newest stays");
    assert_eq!(segment_name(3 * SECOND + 5), "19700101T000003.000000005Z.ctsnap");
}

/// A segment that tells how many flows there are and may be, and nothing of them.
fn write_count(dir: &Path, time: u64, place: &str, counts: [u32; 2]) {
    let order = byte_order().to_owned();
    let opening =
        Opening { time: time * SECOND, order, place: place.to_owned(), ..Opening::default() };
    let mut writer = Writer::begin(Vec::new(), &opening).expect("memory");
    let kind = Header::kind_of(Subsystem::Conntrack, message::GET_STATS);
    let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes).message(header, Family::default(), |writer| {
        for (kind, count) in [stats::ENTRIES, stats::MAX_ENTRIES].into_iter().zip(counts) {
            writer.attr(Attr { kind, nested: false, value: &count.to_be_bytes() });
        }
    });
    writer.message(Kind::Statistics, &kept(&bytes).expect("a message")).expect("memory");
    writer.close(time * SECOND).expect("memory");
    fs::write(dir.join(segment_name(time * SECOND)), writer.into_inner()).expect("a file");
}

#[test]
fn a_recording_tells_how_full_the_table_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    for (time, count) in [(100, 10), (200, 500), (300, 1000)] {
        write_count(dir, time, "ours", [count, 1000]);
    }
    write_count(dir, 250, "another's", [1, 1000]);
    write_count(dir, 260, "ours", [1, 0]);
    fs::write(dir.join(segment_name(270 * SECOND)), "torn").expect("a file");
    let found = fills(dir, [150 * SECOND, 300 * SECOND], |opening| opening.place == "ours");
    let found: Vec<_> = found.iter().map(|fill| (fill.time / SECOND, fill.permille)).collect();
    assert_eq!(found, [(200, 500), (300, 1000)], "what has no limit isn't full");
}
