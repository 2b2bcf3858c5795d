//! Tables in files: every command that reads one answers from a file as it would from the table itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_gateway::snapshot::{Kind, Opening, Writer, byte_order};
use tidegate_wire::netlink::conntrack::{Attribute, ProtoInfo, TcpInfo, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{
    Attr, Family, Flags, Header, Messages, Tuple, Writer as MessageWriter, stats,
};

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A snapshot of connections that have been idle 100 s, 200 s and so on.
fn snapshot(dir: &Path, flows: u16) -> PathBuf {
    let path = dir.join("table.ctsnap");
    let order = byte_order().to_owned();
    let opening = Opening { time: 1_700_000_000_000_000_000, order, ..Opening::default() };
    let mut writer = Writer::begin(BufWriter::new(File::create(&path).unwrap()), &opening).unwrap();
    let setting = |name: &str, value: &str| (format!("net.netfilter.{name}"), value.to_owned());
    writer
        .settings(&[
            setting("nf_conntrack_max", "5000"),
            setting("nf_conntrack_tcp_timeout_established", "432000"),
        ])
        .unwrap();
    let mut put = |kind, number, family, body: &dyn Fn(&mut MessageWriter<'_>)| {
        let kind_of = Header::kind_of(Subsystem::Conntrack, number);
        let header = Header { kind: kind_of, flags: Flags::MULTI, seq: 0, pid: 0 };
        let mut bytes = Vec::new();
        MessageWriter::new(&mut bytes).message(header, family, body);
        writer.message(kind, &Messages::new(&bytes).next().unwrap().unwrap()).unwrap();
    };
    put(Kind::Statistics, message::GET_STATS, Family::default(), &|writer| {
        let count = u32::from(flows).to_be_bytes();
        writer.attr(Attr { kind: stats::ENTRIES, nested: false, value: &count });
        writer.attr(Attr { kind: stats::MAX_ENTRIES, nested: false, value: &count });
    });
    let v4 = Family { family: Family::V4, ..Family::default() };
    for number in 0..flows {
        put(Kind::Flows, message::NEW, v4, &|writer| write_flow(writer, number));
    }
    writer.close(1_700_000_000_000_000_000).unwrap();
    path
}

fn write_flow(writer: &mut MessageWriter<'_>, number: u16) {
    let original = Tuple {
        src: Some("10.0.0.7".parse().unwrap()),
        dst: Some("192.0.2.1".parse().unwrap()),
        proto: Some(6),
        sport: Some(1000 + number),
        dport: Some(443),
        ..Tuple::default()
    };
    let reply = Tuple {
        src: original.dst,
        dst: original.src,
        sport: original.dport,
        dport: original.sport,
        ..original.clone()
    };
    Attribute::Original(original).write(writer);
    Attribute::Reply(reply).write(writer);
    Attribute::Status(0xe).write(writer);
    Attribute::Timeout(432_000 - 100 * (u32::from(number) % 4000 + 1)).write(writer);
    let tcp = TcpInfo { state: Some(3), ..TcpInfo::default() };
    Attribute::ProtoInfo(ProtoInfo { tcp: Some(tcp), ..ProtoInfo::default() }).write(writer);
}

/// What the program printed, both ways, and its exit status.
fn call(args: &[&str]) -> (String, String, i32) {
    let output = Command::new(TIDEGATE).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

#[test]
fn every_reading_command_takes_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), 50);
    let file = path.to_str().unwrap();
    let rows: [(&[&str], &str, usize); 8] = [
        (&["list", "-r", file], "sport=1007 dport=443", 50),
        (&["list", "--read", file, "-p", "tcp", "--sport", "1003"], "sport=1003", 1),
        (&["list", "-r", file, "--idle", ">4000"], "sport=1040", 10),
        (&["list", "-r", file, "--by", "src"], "10.0.0.7", 2),
        (&["count", "-r", file, "--max"], "50 of 50", 1),
        (&["sysctl", "-r", file, "nf_conntrack_max"], "nf_conntrack_max = 5000", 1),
        (
            &[
                "get",
                "-r",
                file,
                "-p",
                "tcp",
                "-s",
                "10.0.0.7",
                "-d",
                "192.0.2.1",
                "--sport",
                "1001",
                "--dport",
                "443",
            ],
            "sport=1001",
            1,
        ),
        (&["expect", "list", "-r", file], "", 0),
    ];
    for (args, part, lines) in rows {
        let (out, err, status) = call(args);
        assert_eq!(status, 0, "{args:?}: {err}");
        assert!(out.contains(part), "{args:?}: {out}");
        assert_eq!(out.lines().count(), lines, "{args:?}: {out}");
    }
}

#[test]
fn a_snapshot_of_a_snapshot_is_a_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), 50);
    let part = dir.path().join("part.ctsnap");
    let (file, part) = (path.to_str().unwrap(), part.to_str().unwrap());
    let (_, err, status) = call(&["snapshot", "-r", file, "--sport", "1000-1004", "-o", part]);
    assert_eq!(status, 0, "{err}");
    let listed = |file, more: &[&str]| call(&[&["list", "-r", file, "-j"], more].concat()).0;
    assert_eq!(listed(part, &[]), listed(file, &["--sport", "1000-1004"]));
}

#[test]
fn what_would_change_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), 2);
    let file = path.to_str().unwrap();
    let rows: [&[&str]; 5] = [
        &["retime", "-r", file, "-p", "tcp", "--to", "5", "--yes"],
        &["delete", "-r", file, "-p", "tcp", "--yes"],
        &["update", "-r", file, "--set-mark", "1", "--yes"],
        &["flush", "--read", file, "--yes"],
        &["sysctl", "-r", file, "nf_conntrack_max=1"],
    ];
    for args in rows {
        let (_, err, status) = call(args);
        assert_eq!(status, 1, "{args:?}");
        assert!(err.contains("a file can only be read"), "{args:?}: {err}");
    }
}

#[test]
fn a_cut_file_shows_what_is_whole_and_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = snapshot(dir.path(), 5000);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let (out, err, status) = call(&["list", "-r", path.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert_eq!(out.lines().count(), 5000);
    assert!(err.contains("table.ctsnap: block 5 at byte "), "{err}");
}

#[test]
fn a_forecast_looks_at_every_snapshot_of_a_recording() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    fs::create_dir(&recording).unwrap();
    for (name, flows) in [("1.ctsnap", 60), ("2.ctsnap", 100), ("3.ctsnap", 80)] {
        fs::rename(snapshot(dir.path(), flows), recording.join(name)).unwrap();
    }
    let (dir, svg) = (recording.to_str().unwrap(), dir.path().join("plot.svg"));
    let set = ["--set", "tcp_timeout_established=5000", "--set", "max=70"];
    let plot = ["--plot", svg.to_str().unwrap()];
    let (out, err, status) = call(&[&["what-if", "-r", dir], &set[..], &plot[..]].concat());
    assert_eq!(status, 0, "{err}");
    assert!(
        out.contains("of 3 snapshots 2 held as many as there may be then; 0 would have"),
        "{out}"
    );
    assert!(out.contains("AS IS     80 flows"), "{out}");
    assert!(out.contains("THEN      50 flows (71 % of 70)"), "{out}");
    assert!(fs::read_to_string(&svg).unwrap().contains("recorded"));
    assert_eq!(err.matches("timeout policies").count(), 1, "{err}: once, not of each snapshot");
    let (out, _, status) =
        call(&["plan", "-r", dir, "--growth", "100", "--fill", "50", "--keep-timeouts"]);
    assert_eq!(status, 0);
    // The most that was recorded, a hundred times, in twice the room: 20,000, in steps of 512.
    assert!(out.contains("net.netfilter.nf_conntrack_max = 20480"), "{out}");
    // One listing knows no peak: what would lower the limit is left as a comment.
    let one = recording.join("1.ctsnap");
    let (out, _, status) = call(&["plan", "-r", one.to_str().unwrap(), "--keep-timeouts"]);
    assert_eq!(status, 0);
    assert!(out.contains("\n#net.netfilter.nf_conntrack_max = 1024"), "{out}");
    let (_, err, status) = call(&["what-if", "-r", dir, "--set", "tcp_timeout_estblished=5"]);
    assert_eq!(status, 2);
    assert!(err.contains("the table has no such timeout"), "{err}");
}
