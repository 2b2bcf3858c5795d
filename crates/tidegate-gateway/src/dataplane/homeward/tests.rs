//! What the program chooses, as a machine of these few instructions runs it, is what the engine finds.

use tidegate_engine::rand::Rng;

use super::*;

/// Runs a program on a datagram (RFC 9669); what is in `r0` at the end.
fn run(program: &[Instruction], datagram: &[u8]) -> u64 {
    let mut registers = [0_u64; 10];
    let mut at = 0;
    loop {
        let bits = program[at].bits();
        let (code, registers_of) = (bits as u8, (bits >> 8) as u8);
        let (dst, src) = (usize::from(registers_of & 15), usize::from(registers_of >> 4));
        let (offset, value) = ((bits >> 16) as u16 as usize, (bits >> 32) as i32);
        let (own, other, wide) = (registers[dst], registers[src], i64::from(value) as u64);
        at += 1;
        let jumps = match code {
            0x95 => return registers[0],
            0x05 => true,
            0x15 => own == wide,
            0x55 => own != wide,
            0x2d => own > other,
            _ => false,
        };
        at += if jumps { offset } else { 0 };
        let place = value as usize;
        registers[dst] = match code {
            0x05 | 0x15 | 0x55 | 0x2d => own,
            0x30 => match datagram.get(place) {
                Some(byte) => u64::from(*byte),
                None => return 0,
            },
            0x28 => match datagram.get(place..place + 2) {
                Some(bytes) => u64::from(u16::from_be_bytes([bytes[0], bytes[1]])),
                None => return 0,
            },
            0x18 => {
                at += 1;
                program[at - 1].bits() & !0xffff_ffff | u64::from(value as u32)
            }
            0xb7 => wide,
            0xbf => other,
            0x0f => own.wrapping_add(other),
            0x27 => own.wrapping_mul(wide),
            0x4f => own | other,
            0xaf => own ^ other,
            0x57 => own & wide,
            0x67 => own << value,
            0x77 => own >> value,
            code => panic!("no such instruction: {code:#x}"),
        };
    }
}

fn datagram(is_v6: bool, proto: u8, ports: [u16; 2], fragment: u16) -> Vec<u8> {
    let mut bytes = vec![0; if is_v6 { 40 } else { 20 }];
    if is_v6 {
        (bytes[0], bytes[5], bytes[6]) = (0x60, 8, proto);
    } else {
        (bytes[0], bytes[3], bytes[8], bytes[9]) = (0x45, 28, 64, proto);
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
    }
    ports.iter().for_each(|port| bytes.extend(port.to_be_bytes()));
    bytes.extend([0, 8, 0, 0]);
    bytes
}

#[test]
fn packets_are_brought_to_their_homes() {
    let mut lot = Rng::new(7);
    for workers in [2, 3, 8, 256] {
        let steering = Steering::new(lot.next_u64(), 0, workers).expect("a worker");
        let program = program(&steering);
        for _ in 0..500 {
            let ports = [lot.next_u64() as u16, lot.next_u64() as u16];
            for (is_v6, proto) in [(false, 6), (false, 17), (true, 6), (true, 17)] {
                let packet = datagram(is_v6, proto, ports, 0x4000);
                let home = steering.home_of(&packet).expect("a home");
                assert_eq!(run(&program, &packet), home as u64, "{workers}: {ports:?}");
            }
        }
    }
}

/// Each row: what it is, and the packet.
#[test]
fn what_is_not_plain_comes_to_the_first() {
    let program = program(&Steering::new(9, 0, 16).expect("a worker"));
    for port in 1..60 {
        let rows = [
            ("a fragment", datagram(false, 17, [port, 53], 0x2000)),
            ("a later one", datagram(false, 17, [port, 53], 3)),
            ("another protocol", datagram(false, 1, [port, 53], 0)),
            ("cut off", datagram(true, 17, [port, 53], 0)[..41].to_vec()),
            ("no IP", vec![0x12; 60]),
            ("nothing", vec![]),
        ];
        for (what, packet) in rows {
            assert_eq!(run(&program, &packet), 0, "{what}");
        }
    }
}
