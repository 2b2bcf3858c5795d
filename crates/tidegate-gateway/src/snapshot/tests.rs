//! What is written comes back; what was cut or damaged is told, wherever it was.

use std::io::Cursor;

use tidegate_wire::netlink::conntrack::Attribute;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Messages, Writer as MessageWriter};

use super::*;

fn opening() -> Opening {
    Opening {
        time: 1_700_000_000_000_000_000,
        release: "6.18.44".to_owned(),
        table: "kernel".to_owned(),
        place: "test".to_owned(),
        program: "test".to_owned(),
        order: byte_order().to_owned(),
        listens_since: None,
        is_redacted: false,
    }
}

fn datagram(number: u32) -> Vec<u8> {
    let kind = Header::kind_of(Subsystem::Conntrack, 0);
    let header = Header { kind, flags: Flags::MULTI, seq: 0, pid: 0 };
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes).message(header, Family::default(), |writer| {
        Attribute::Timeout(number).write(writer);
        if number.is_multiple_of(3) {
            Attribute::Mark(number).write(writer);
        }
    });
    bytes
}

fn file(flows: u32) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &opening()).expect("memory");
    writer.settings(&[("a".to_owned(), "1".to_owned())]).expect("memory");
    for number in 0..flows {
        let bytes = datagram(number);
        let message = Messages::new(&bytes).next().expect("one").expect("whole");
        writer.message(Kind::Flows, &message).expect("memory");
    }
    writer.close(5).expect("memory");
    let bytes = datagram(7);
    let message = Messages::new(&bytes).next().expect("one").expect("whole");
    writer.event(99, &message).expect("memory");
    writer.gap(&Gap { from: 1, to: 2 }).expect("memory");
    writer.flush().expect("memory");
    writer.into_inner()
}

/// All that can be read, in words, and what stopped it.
fn read(bytes: &[u8]) -> (Vec<String>, Option<Fault>) {
    let mut said = Vec::new();
    let fault = read_into(bytes, &mut said).err();
    (said, fault)
}

fn read_into(bytes: &[u8], said: &mut Vec<String>) -> Result<(), Fault> {
    let mut reader = Reader::new(Path::new("f"), Cursor::new(bytes))?;
    said.push(format!("{:?}", reader.opening()));
    while let Some(part) = reader.part()? {
        match part {
            Part::Settings(all) => said.push(format!("{all:?}")),
            Part::Closing(closing) => said.push(format!("{closing:?}")),
            Part::Gap(gap) => said.push(format!("{gap:?}")),
            Part::Statistics(mut all)
            | Part::Expectations(mut all)
            | Part::Flows(mut all)
            | Part::Events(mut all) => all.each(|time, message| {
                said.push(format!("{time} {:?}", message.payload));
                Ok::<_, Fault>(())
            })?,
        }
    }
    Ok(())
}

#[test]
fn what_is_written_comes_back_in_its_order() {
    let (said, fault) = read(&file(10_000));
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(said.len(), 1 + 1 + 10_000 + 1 + 1 + 1);
    for number in [0_u32, 1, 3, 4095, 4096, 9_999] {
        let bytes = datagram(number);
        let message = Messages::new(&bytes).next().expect("one").expect("whole");
        assert_eq!(said[2 + number as usize], format!("0 {:?}", message.payload));
    }
    assert!(said[10_002].contains("flows: 10000"));
    assert!(said[10_003].starts_with("99 ["));
    assert_eq!(said[10_004], "Gap { from: 1, to: 2 }");
}

#[test]
fn a_file_cut_anywhere_gives_what_is_whole_and_says_so() {
    let whole = file(5);
    let (all, _) = read(&whole);
    for len in 0..whole.len() {
        let (said, fault) = read(&whole[..len]);
        assert!(all.starts_with(&said), "cut at {len}");
        assert!(said.len() < all.len(), "cut at {len}");
        // Where a cut falls between two blocks only the missing end tells, which is the caller's to see.
        assert!(fault.is_none_or(|fault| fault.cause.is_early_end()), "cut at {len}");
    }
}

#[test]
fn no_damage_goes_unnoticed() {
    let whole = file(5);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let (_, fault) = read(&damaged);
        // The two bytes behind the version are not used yet.
        assert_eq!(fault.is_none(), at == 10 || at == 11, "byte {at}");
    }
}

#[test]
fn a_fault_names_file_block_and_byte() {
    let mut bytes = file(5);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let fault = read(&bytes).1.expect("a fault").to_string();
    assert!(fault.starts_with("f: block 5 at byte "), "{fault}");
    assert!(fault.ends_with("it was damaged or overwritten"), "{fault}");
}
