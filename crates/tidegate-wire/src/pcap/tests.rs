//! Capture files by hand, in every byte order and resolution, and damaged ones.

use std::borrow::{Cow, ToOwned};
use std::io::{self, Read};
use std::string::ToString;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use pcap_file::pcap::{PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::PcapNgReader;
use proptest::prelude::*;

use super::*;
use crate::family::Family;
use crate::packet::MacAddr;

/// A frame that owns its bytes: time, link, interface, bytes, length on the wire.
type Kept = (u64, LinkType, u32, Vec<u8>, u32);

fn keep(frame: Frame<'_>) -> Kept {
    (frame.time, frame.link, frame.interface, frame.data.to_vec(), frame.orig_len)
}

/// All frames, and the error that ended them if one did.
fn read(file: &[u8]) -> (Vec<Kept>, Option<CaptureError>) {
    let mut kept = vec![];
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(error) => return (kept, Some(error)),
    };
    loop {
        match capture.next_frame() {
            Ok(Some(frame)) => kept.push(keep(frame)),
            Ok(None) => return (kept, None),
            Err(error) => {
                assert!(matches!(capture.next_frame(), Ok(None)), "an error is the last word");
                return (kept, Some(error));
            }
        }
    }
}

/// Builds the integers of a file in one byte order.
#[derive(Clone, Copy, Debug)]
enum Endian {
    Big,
    Little,
}

impl Endian {
    fn u16(self, value: u16) -> Vec<u8> {
        match self {
            Self::Big => value.to_be_bytes().to_vec(),
            Self::Little => value.to_le_bytes().to_vec(),
        }
    }

    fn u32(self, value: u32) -> Vec<u8> {
        match self {
            Self::Big => value.to_be_bytes().to_vec(),
            Self::Little => value.to_le_bytes().to_vec(),
        }
    }

    fn u64(self, value: u64) -> Vec<u8> {
        match self {
            Self::Big => value.to_be_bytes().to_vec(),
            Self::Little => value.to_le_bytes().to_vec(),
        }
    }

    fn u32s(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn classic(self, magic: u32, link: u32) -> Vec<u8> {
        [self.u32(magic), self.u16(2), self.u16(4), self.u32s(&[0, 0, 65535, link])].concat()
    }

    fn record(self, seconds: u32, fraction: u32, data: &[u8], orig_len: u32) -> Vec<u8> {
        [self.u32s(&[seconds, fraction, data.len() as u32, orig_len]), data.to_vec()].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(body.len() as u32 + 12);
        [self.u32(kind), len.clone(), body, len].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0), self.u64(u64::MAX)].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
        let body = [self.u16(link), self.u16(0), self.u32(snap_len), options.to_vec()].concat();
        self.block(1, &body)
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut padded = value.to_vec();
        padded.resize(value.len().next_multiple_of(4), 0);
        [self.u16(code), self.u16(value.len() as u16), padded].concat()
    }

    fn enhanced(self, interface: u32, stamp: u64, data: &[u8], orig_len: u32) -> Vec<u8> {
        let (high, low) = ((stamp >> 32) as u32, stamp as u32);
        let fields = self.u32s(&[interface, high, low, data.len() as u32, orig_len]);
        let mut data = data.to_vec();
        data.resize(data.len().next_multiple_of(4), 0);
        // A comment, so that there is something behind the data.
        self.block(6, &[fields, data, self.option(1, b"hello")].concat())
    }

    fn simple(self, data: &[u8], orig_len: u32) -> Vec<u8> {
        self.block(3, &[self.u32(orig_len), data.to_vec()].concat())
    }
}

const BOTH: [Endian; 2] = [Endian::Big, Endian::Little];

#[test]
fn classic_in_both_orders_and_resolutions() {
    for order in BOTH {
        for (magic, unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let file = [
                order.classic(magic, 1),
                order.record(1_700_000_000, 999_999, &[1, 2, 3], 3),
                order.record(1_700_000_001, 0, &[], 60),
                order.record(u32::MAX, 5, &[9; 70], 1500),
            ]
            .concat();
            let (frames, error) = read(&file);
            assert!(error.is_none(), "{order:?} {error:?}");
            let want: [Kept; 3] = [
                (
                    1_700_000_000_000_000_000 + 999_999 * unit,
                    LinkType::Ethernet,
                    0,
                    vec![1, 2, 3],
                    3,
                ),
                (1_700_000_001_000_000_000, LinkType::Ethernet, 0, vec![], 60),
                (4_294_967_295_000_000_000 + 5 * unit, LinkType::Ethernet, 0, vec![9; 70], 1500),
            ];
            assert_eq!(frames, want, "{order:?} {magic:x}");
        }
    }
}

#[test]
fn classic_link_type_without_its_upper_half() {
    // The length of the frame check sequence, 4 bytes, as some tools write it.
    let file = Endian::Little.classic(0xa1b2_c3d4, 0x5400_0071);
    let capture = Capture::open(&file[..]).unwrap();
    assert_eq!(capture.interface(0).unwrap().link, LinkType::LinuxSll);
    assert_eq!(capture.interface(1), None);
}

#[test]
fn pcapng_in_both_orders() {
    for order in BOTH {
        let file = [
            order.section(),
            order.block(0x0bad, &[1, 2, 3, 4]),
            order.interface(1, 0, &[order.option(2, b"eth0"), order.option(0, &[])].concat()),
            order.interface(101, 2, &order.option(9, &[9])),
            order.enhanced(0, 1_700_000_000_123_456, &[1, 2, 3, 4, 5], 99),
            order.block(5, &[0; 12]),
            order.enhanced(1, 1_700_000_000_123_456_789, &[], 0),
            order.simple(&[7, 7, 7], 3),
        ]
        .concat();
        let (frames, error) = read(&file);
        assert!(error.is_none(), "{order:?} {error:?}");
        let want: [Kept; 3] = [
            (1_700_000_000_123_456_000, LinkType::Ethernet, 0, vec![1, 2, 3, 4, 5], 99),
            (1_700_000_000_123_456_789, LinkType::RawIp, 1, vec![], 0),
            (1_700_000_000_123_456_789, LinkType::Ethernet, 0, vec![7, 7, 7], 3),
        ];
        assert_eq!(frames, want, "{order:?}");
    }
}

#[test]
fn pcapng_interfaces_are_those_of_the_section() {
    let (big, little) = (Endian::Big, Endian::Little);
    let file = [
        big.section(),
        big.interface(1, 0, &big.option(2, b"first")),
        big.interface(1, 64, &[]),
        big.enhanced(1, 1, &[1], 1),
        little.section(),
        little.interface(276, 0, &little.option(2, &[0xff, 0xfe])),
        little.enhanced(0, 2, &[2], 1),
        little.enhanced(1, 3, &[3], 1),
    ]
    .concat();
    let mut capture = Capture::open(&file[..]).unwrap();
    let frame = keep(capture.next_frame().unwrap().unwrap());
    assert_eq!(frame, (1000, LinkType::Ethernet, 1, vec![1], 1));
    let first = Interface { name: Some("first".to_owned()), link: LinkType::Ethernet, snap_len: 0 };
    assert_eq!(capture.interface(0), Some(&first));
    assert_eq!(capture.interface(1).unwrap().snap_len, 64);
    let frame = keep(capture.next_frame().unwrap().unwrap());
    assert_eq!(frame, (2000, LinkType::LinuxSll2, 0, vec![2], 1));
    assert_eq!(capture.interface(0).unwrap().name, None, "a name that isn't UTF-8 is none");
    let offset = (file.len() - little.enhanced(1, 3, &[3], 1).len()) as u64;
    match capture.next_frame() {
        Err(CaptureError::UnknownInterface { offset: at, interface: 1, described: 1 }) => {
            assert_eq!(at, offset);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pcapng_resolutions_and_offsets() {
    // What, if_tsresol, if_tsoffset, stamp, nanoseconds.
    type Row = (&'static str, Option<u8>, Option<i64>, u64, u64);
    let rows: [Row; 14] = [
        ("none given: microseconds", None, None, 1_500_000, 1_500_000_000),
        ("seconds", Some(0), None, 3, 3_000_000_000),
        ("milliseconds", Some(3), None, 3, 3_000_000),
        ("nanoseconds", Some(9), None, 3, 3),
        ("picoseconds", Some(12), None, 3999, 3),
        ("10^-28 s", Some(28), None, u64::MAX, 1),
        ("finer than a nanosecond's worth of stamps", Some(29), None, u64::MAX, 0),
        ("10^-127 s", Some(127), None, u64::MAX, 0),
        ("2^-10 s", Some(0x8a), None, 1536, 1_500_000_000),
        ("2^-32 s", Some(0xa0), None, 0x1_8000_0000, 1_500_000_000),
        ("2^-127 s", Some(0xff), None, u64::MAX, 0),
        ("an offset", Some(9), Some(1_700_000_000), 5, 1_700_000_000_000_000_005),
        ("an offset backwards", Some(9), Some(-1), 1_500_000_000, 500_000_000),
        ("before 1970 is 1970", Some(6), Some(i64::MIN), 1, 0),
    ];
    for order in BOTH {
        for (what, resolution, offset, stamp, want) in rows {
            let mut options = vec![];
            options.extend(resolution.map(|value| order.option(9, &[value])));
            options.extend(offset.map(|value| order.option(14, &order.u64(value.cast_unsigned()))));
            let description = order.interface(1, 0, &options.concat());
            let file = [order.section(), description, order.enhanced(0, stamp, &[], 0)].concat();
            assert_eq!(read(&file).0[0].0, want, "{order:?}: {what}");
        }
    }
}

#[test]
fn simple_packets_are_cut_by_the_snap_length() {
    let order = Endian::Big;
    let file = [order.section(), order.interface(1, 2, &[]), order.simple(&[1, 2], 1500)].concat();
    assert_eq!(read(&file).0, [(0, LinkType::Ethernet, 0, vec![1, 2], 1500)]);
}

#[test]
fn obsolete_packet_blocks_are_read() {
    let order = Endian::Little;
    let fields = [order.u16(0), order.u16(7), order.u32s(&[0, 5, 2, 9]), vec![1, 2]].concat();
    let file = [order.section(), order.interface(1, 0, &[]), order.block(2, &fields)].concat();
    assert_eq!(read(&file).0, [(5000, LinkType::Ethernet, 0, vec![1, 2], 9)]);
}

/// Every way to cut a file short: all whole frames come first, then the error says which one is cut
/// and where.
fn cuts(file: &[u8], header: usize, ends: &[usize]) {
    for end in 0..file.len() {
        let (frames, error) = read(&file[..end]);
        let whole = ends.iter().filter(|at| **at <= end).count();
        let record = ends.iter().copied().filter(|at| *at <= end).max().unwrap_or(header);
        if end < header {
            let short =
                matches!(error, Some(CaptureError::HeaderCutShort { have, .. }) if have == end);
            assert!(short || end < 4 && error.is_some(), "{end}: {error:?}");
            continue;
        }
        assert_eq!(frames.len(), whole, "cut at {end}");
        match error {
            None => assert_eq!(end, record, "a cut between records is an end"),
            Some(CaptureError::CutShort { packet, offset }) => {
                assert_eq!((packet, offset), (whole as u64, record as u64), "cut at {end}");
            }
            Some(other) => panic!("cut at {end}: {other}"),
        }
    }
}

#[test]
fn every_cut_of_a_classic_file() {
    let order = Endian::Little;
    let mut file = order.classic(0xa1b2_c3d4, 1);
    let mut ends = vec![];
    for len in [3, 0, 9] {
        file.extend(order.record(1, 2, &vec![5; len], 60));
        ends.push(file.len());
    }
    cuts(&file, 24, &ends);
}

#[test]
fn every_cut_of_a_pcapng_file() {
    let order = Endian::Big;
    let mut file = order.section();
    let description = order.interface(1, 0, &order.option(2, b"eth0"));
    for end in 0..description.len() {
        let (frames, error) = read(&[&file, &description[..end]].concat());
        assert!(frames.is_empty() && (end == 0) == error.is_none(), "{end} of the description");
    }
    file.extend(description);
    let header = file.len();
    let mut ends = vec![];
    for len in [3, 0, 9] {
        file.extend(order.enhanced(0, 1, &vec![5; len], 60));
        ends.push(file.len());
    }
    let tail = &file[header..];
    for end in 0..tail.len() {
        let (frames, error) = read(&file[..header + end]);
        let whole = ends.iter().filter(|at| **at <= header + end).count();
        let record = ends[..whole].last().copied().unwrap_or(header) as u64;
        assert_eq!(frames.len(), whole);
        match error {
            None => assert_eq!(record, (header + end) as u64),
            Some(CaptureError::CutShort { packet, offset }) => {
                assert_eq!((packet, offset), (whole as u64, record));
            }
            Some(other) => panic!("cut at {end}: {other}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn bad_files_say_where_and_what() {
    let order = Endian::Big;
    let section = order.section();
    let start = [&section[..], &order.interface(1, 0, &[])].concat();
    let classic = order.classic(0xa1b2_c3d4, 1);
    let huge = order.u32s(&[1, 2, 0x0500_0000, 60]);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = [&start[..], &order.enhanced(0, 1, &[1, 2, 3, 4], 4)].concat();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    // What, the file, its message.
    let rows: [(&str, Vec<u8>, &str); 14] = [
        ("an empty file", vec![], "cut short: at byte 0 expected a header of 4 bytes, found 0"),
        (
            "another format",
            b"\x1f\x8b\x08\x00rest".to_vec(),
            "neither pcap nor pcapng: at byte 0 expected a magic number, found 1f8b0800",
        ),
        (
            "half a file header",
            classic[..20].to_vec(),
            "cut short: at byte 0 expected a header of 24 bytes, found 20",
        ),
        (
            "half a section header",
            section[..20].to_vec(),
            "cut short: at byte 0 expected a header of 28 bytes, found 20",
        ),
        (
            "a frame of 80 MiB",
            [&classic[..], &huge].concat(),
            "bad record at byte 24: expected a captured length from 0 to 67108864, found 83886080",
        ),
        (
            "no byte order",
            with(8, &[0; 4]),
            "bad section at byte 0: expected byte-order magic 1a2b3c4d, found 00000000",
        ),
        (
            "a version to come",
            with(12, &[0, 2]),
            "bad record at byte 0: expected a major version of 1, found 2",
        ),
        (
            "a block of 8 bytes",
            with(52, &[0, 0, 0, 8]),
            "bad record at byte 48: expected a block length from 12 to 67174400, found 8",
        ),
        (
            "a block of 13 bytes",
            with(52, &[0, 0, 0, 13]),
            "bad record at byte 48: expected a remainder of the block length by 4 of 0, found 1",
        ),
        (
            "a block of 3 GiB",
            with(52, &[0xc0, 0, 0, 0]),
            "bad record at byte 48: expected a block length from 12 to 67174400, found 3221225472",
        ),
        (
            "lengths that differ",
            with(92, &[0, 0, 0, 44]),
            "bad block at byte 48: expected its length, 48, at its end, found 44",
        ),
        (
            "a packet longer than its block",
            with(68, &[0, 0, 0, 17]),
            "bad record at byte 48: expected a captured length from 0 to 16, found 17",
        ),
        (
            "an interface not described",
            with(56, &[0, 0, 0, 1]),
            "bad packet at byte 48: expected interface below 1, found 1",
        ),
        (
            "a packet block too short to be one",
            [&start[..], &order.block(6, &[0; 16])].concat(),
            "bad record at byte 48: expected a block length from 32 to 67174400, found 28",
        ),
    ];
    for (what, file, message) in rows {
        let (frames, error) = read(&file);
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(message), "{what}");
        assert!(frames.is_empty(), "{what}");
    }
}

#[test]
fn damaged_options_are_read_as_far_as_they_go() {
    let order = Endian::Little;
    // What, the option bytes; the name is found in all of them.
    let name = order.option(2, b"wan");
    let rows: [(&str, Vec<u8>); 3] = [
        ("no end marker", name.clone()),
        ("the next one is longer than the block", [name.clone(), vec![9, 0, 200, 0]].concat()),
        (
            "rubbish behind the end marker",
            [name, order.option(0, &[]), vec![9, 0, 1, 0, 0, 0, 0, 0]].concat(),
        ),
    ];
    for (what, options) in rows {
        let file = [order.section(), order.interface(1, 0, &options), order.enhanced(0, 7, &[], 0)]
            .concat();
        let mut capture = Capture::open(&file[..]).unwrap();
        assert_eq!(capture.next_frame().unwrap().unwrap().time, 7000, "{what}");
        assert_eq!(capture.interface(0).unwrap().name.as_deref(), Some("wan"), "{what}");
    }
}

/// A source that gives a byte at a time, is interrupted in between and fails at its end.
struct Dripping<'a>(&'a [u8], bool);

impl Read for Dripping<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let [first, rest @ ..] = self.0 else { return Err(io::ErrorKind::TimedOut.into()) };
        (buf[0], self.0) = (*first, rest);
        Ok(1)
    }
}

#[test]
fn a_slow_source_gives_the_same_and_its_error_is_passed_on() {
    let order = Endian::Big;
    let file = [order.classic(0xa1b2_3c4d, 1), order.record(1, 2, &[3; 50], 50)].concat();
    let mut capture = Capture::open(Dripping(&file, false)).unwrap();
    assert_eq!(capture.next_frame().unwrap().unwrap().data, [3; 50]);
    let error = capture.next_frame().unwrap_err();
    assert!(matches!(&error, CaptureError::Io { offset: 90, .. }), "{error}");
    assert_eq!((capture.packets(), capture.offset()), (1, 90));
}

#[test]
fn frames_larger_than_the_buffer() {
    let order = Endian::Little;
    let big: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let records = [order.record(1, 0, &big, 9), order.record(2, 0, &big[..10], 9)].concat();
    let file = [order.classic(0xa1b2_c3d4, 1), records].concat();
    let (frames, error) = read(&file);
    assert!(error.is_none() && frames.len() == 2);
    assert!(frames[0].3 == big && frames[1].3 == big[..10]);
}

fn interfaces() -> [InterfaceDesc<'static>; 3] {
    [
        InterfaceDesc { name: "lan0", link: LinkType::Ethernet },
        InterfaceDesc { name: "", link: LinkType::RawIp },
        InterfaceDesc { name: "wan", link: LinkType::LinuxSll2 },
    ]
}

fn written(frames: &[(u32, u64, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(vec![], &interfaces()).unwrap();
    for (interface, time, data) in frames {
        writer.write(*interface, *time, data).unwrap();
    }
    writer.finish().unwrap()
}

fn frames() -> impl Strategy<Value = Vec<(u32, u64, Vec<u8>)>> {
    prop::collection::vec((0u32..3, any::<u64>(), any::<Vec<u8>>()), 0..20)
}

#[test]
fn the_writer_refuses_what_it_has_not_described() {
    let mut writer = Writer::new(vec![], &interfaces()).unwrap();
    assert_eq!(writer.write(3, 0, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let file = writer.finish().unwrap();
    let mut capture = Capture::open(&file[..]).unwrap();
    assert!(capture.next_frame().unwrap().is_none());
    let names: Vec<_> = (0..3).map(|n| capture.interface(n).unwrap().name.as_deref()).collect();
    assert_eq!(names, [Some("lan0"), None, Some("wan")]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in frames()) {
        let (found, error) = read(&written(&frames));
        prop_assert!(error.is_none());
        let link = |interface: u32| interfaces()[interface as usize].link;
        let want: Vec<Kept> = frames
            .into_iter()
            .map(|(interface, time, data)| {
                let len = data.len() as u32;
                (time, link(interface), interface, data, len)
            })
            .collect();
        prop_assert_eq!(found, want);
    }

    #[test]
    fn another_reader_agrees_with_the_writer(frames in frames()) {
        let file = written(&frames);
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let mut found = vec![];
        while let Some(block) = reader.next_block() {
            if let Some(packet) = block.unwrap().into_enhanced_packet() {
                // That reader takes every time stamp for nanoseconds.
                let time = packet.timestamp.as_nanos() as u64;
                found.push((packet.interface_id, time, packet.data.into_owned()));
            }
        }
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn another_writer_agrees_with_the_reader(
        frames in prop::collection::vec((any::<u32>(), 0u32..1_000_000, any::<Vec<u8>>()), 0..20),
    ) {
        let mut writer = PcapWriter::new(vec![]).unwrap();
        for (seconds, micros, data) in &frames {
            let time = Duration::new(u64::from(*seconds), micros * 1000);
            writer.write_packet(&PcapPacket::new(time, data.len() as u32, data)).unwrap();
        }
        let file = writer.into_writer();
        let mut other = PcapReader::new(&file[..]).unwrap();
        let (found, error) = read(&file);
        prop_assert!(error.is_none() && found.len() == frames.len());
        for (time, link, _, data, orig_len) in found {
            let packet = other.next_packet().unwrap().unwrap();
            prop_assert_eq!(u128::from(time), packet.timestamp.as_nanos());
            prop_assert_eq!((Cow::from(&data), orig_len), (packet.data, packet.orig_len));
            prop_assert_eq!(link, LinkType::Ethernet);
        }
    }

    #[test]
    fn no_damage_panics(
        frames in frames(),
        edits in prop::collection::vec(any::<(usize, u8)>(), 1..6),
        classic: bool,
    ) {
        let mut file = written(&frames);
        if classic {
            let order = Endian::Little;
            file = order.classic(0xa1b2_c3d4, 1);
            for (_, time, data) in &frames {
                file.extend(order.record(*time as u32, 0, data, 60));
            }
        }
        for (at, byte) in edits {
            let at = at % file.len();
            file[at] = byte;
        }
        let (found, error) = read(&file);
        prop_assert!(found.len() <= file.len() / 12);
        prop_assert!(error.is_none_or(|error| !error.to_string().is_empty()));
    }

    #[test]
    fn no_frame_panics_in_any_link_layer(
        frame in prop::collection::vec(any::<u8>(), 0..64),
        number in 0u16..300,
    ) {
        for end in 0..=frame.len() {
            let link = datagram(LinkType::from_number(number), &frame[..end]);
            prop_assert!(link.offset <= end);
            prop_assert!(link.datagram.is_none_or(|datagram| datagram == &frame[link.offset..end]));
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn link_rows() {
    use LinkType::*;
    let mac = |last| Some(MacAddr([2, 0, 0, 0, 0, last]));
    let ethernet = |rest: &[u8]| [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], rest].concat();
    let sll = |rest: &[u8]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 3, 0, 0], rest].concat();
    let sll2 = |kind: [u8; 2], address_len, rest: &[u8]| {
        let header = [&kind[..], &[0, 0, 0, 0, 0, 4, 0, 1, 0, address_len]].concat();
        [&header[..], &[2, 0, 0, 0, 0, 5, 0, 0], rest].concat()
    };
    // What, link type, frame, EtherType, whether it is IP, offset, source, destination.
    type Row = (
        &'static str,
        LinkType,
        Vec<u8>,
        Option<u16>,
        bool,
        usize,
        Option<MacAddr>,
        Option<MacAddr>,
    );
    let rows: Vec<Row> = vec![
        ("IPv4", Ethernet, ethernet(&[8, 0, 0x45]), Some(0x0800), true, 14, mac(2), mac(1)),
        ("ARP", Ethernet, ethernet(&[8, 6, 0, 1]), Some(0x0806), false, 14, mac(2), mac(1)),
        ("an 802.3 length", Ethernet, ethernet(&[0, 3, 0xaa]), None, false, 14, mac(2), mac(1)),
        (
            "two tags",
            Ethernet,
            ethernet(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x86, 0xdd, 0x60]),
            Some(0x86dd),
            true,
            22,
            mac(2),
            mac(1),
        ),
        ("half a tag", Ethernet, ethernet(&[0x81, 0, 0]), None, false, 15, None, None),
        ("a short header", Ethernet, vec![0; 13], None, false, 13, None, None),
        ("raw IPv4", RawIp, vec![0x45, 0], Some(0x0800), true, 0, None, None),
        ("raw IPv6", RawIp, vec![0x60, 0], Some(0x86dd), true, 0, None, None),
        ("raw neither", RawIp, vec![0x10, 0], None, false, 0, None, None),
        ("raw nothing", RawIp, vec![], None, false, 0, None, None),
        ("named IPv4", Ipv4, vec![0x45], Some(0x0800), true, 0, None, None),
        ("named IPv6", Ipv6, vec![0x60], Some(0x86dd), true, 0, None, None),
        ("cooked", LinuxSll, sll(&[8, 0, 0x45]), Some(0x0800), true, 16, mac(3), None),
        (
            "cooked, tagged",
            LinuxSll,
            sll(&[0x81, 0, 0, 5, 8, 0, 0x45]),
            Some(0x0800),
            true,
            20,
            mac(3),
            None,
        ),
        ("cooked, short", LinuxSll, sll(&[8]), None, false, 15, None, None),
        (
            "cooked 2",
            LinuxSll2,
            sll2([0x86, 0xdd], 6, &[0x60]),
            Some(0x86dd),
            true,
            20,
            mac(5),
            None,
        ),
        (
            "cooked 2, no address",
            LinuxSll2,
            sll2([8, 0], 0, &[0x45]),
            Some(0x0800),
            true,
            20,
            None,
            None,
        ),
        (
            "cooked 2, tagged",
            LinuxSll2,
            sll2([0x81, 0], 6, &[0, 5, 8, 0, 0x45]),
            Some(0x0800),
            true,
            24,
            mac(5),
            None,
        ),
        (
            "BSD loopback, little-endian",
            Null,
            vec![2, 0, 0, 0, 0x45],
            Some(0x0800),
            true,
            4,
            None,
            None,
        ),
        (
            "BSD loopback, big-endian",
            Null,
            vec![0, 0, 0, 30, 0x60],
            Some(0x86dd),
            true,
            4,
            None,
            None,
        ),
        ("BSD loopback, neither", Null, vec![7, 0, 0, 0, 0x60], None, false, 4, None, None),
        ("OpenBSD loopback", Loop, vec![0, 0, 0, 24, 0x60], Some(0x86dd), true, 4, None, None),
        ("unsupported", Unsupported(147), vec![0x45; 30], None, false, 30, None, None),
    ];
    for (what, link_type, frame, ethertype, is_ip, offset, src, dst) in rows {
        let link = datagram(link_type, &frame);
        let want =
            super::Link { datagram: is_ip.then(|| &frame[offset..]), offset, ethertype, src, dst };
        assert_eq!(link, want, "{what}");
        assert_eq!(link.family().is_some(), is_ip, "{what}");
    }
    let six = datagram(Null, &[10, 0, 0, 0]);
    assert_eq!((six.family(), six.datagram), (Some(Family::V6), Some(&[][..])));
}

#[test]
fn link_type_numbers() {
    for number in 0..300 {
        let back = LinkType::from_number(number).number();
        let raw = matches!(number, 12 | 14 | 101);
        assert_eq!(back, if raw { 101 } else { number });
    }
}
