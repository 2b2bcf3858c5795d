//! A program for the kernel that brings packets home: it chooses the worker who owns a plain TCP or UDP datagram's flow,
//! as [`Steering::home_of`] does, before the packet is anybody's.
//!
//! It only saves the way from one worker to another. What it doesn't understand comes to the first worker, who hands it
//! over; and where no such program may be loaded the kernel chooses by a hash of its own, which is as good for
//! everything but speed.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;

use tidegate_engine::steer::Steering;
use tidegate_wire::proto;

use super::bpf::{Aim, Instruction, Register, aimed, load_chooser};

/// Loads the program. It begins at the network header.
///
/// # Errors
/// The kernel refuses: we may not (CAP_BPF).
pub(super) fn load(steering: &Steering) -> io::Result<OwnedFd> {
    load_chooser(&program(steering))
}

/// What is left when the packet has been read: the protocol, and the ports, the lower one first.
const PROTO: Register = 7;
const LOW: Register = 8;
const HIGH: Register = 9;
/// The state of SipHash, the block that it absorbs, and a register for between.
const V: [Register; 4] = [1, 2, 3, 4];
const BLOCK: Register = 5;
const SPARE: Register = 0;

fn program(steering: &Steering) -> Vec<Instruction> {
    let mut steps =
        vec![(Instruction::copy(6, 1), Aim::On), (Instruction::packet_byte(0), Aim::On)];
    let v6 = ports_of_v6();
    let mut v4 = ports_of_v4();
    v4.push((Instruction::skip().over(v6.len()), Aim::On));
    steps.push((Instruction::if_other(0, 0x45).over(v4.len()), Aim::On));
    steps.extend(v4);
    steps.extend(v6);
    steps.extend([
        (Instruction::if_equal(PROTO, proto::TCP.into()).over(1), Aim::On),
        (Instruction::if_other(PROTO, proto::UDP.into()), Aim::Pass),
        (Instruction::if_beyond(HIGH, LOW).over(3), Aim::On),
        (Instruction::copy(SPARE, LOW), Aim::On),
        (Instruction::copy(LOW, HIGH), Aim::On),
        (Instruction::copy(HIGH, SPARE), Aim::On),
    ]);
    let verdict = choice(steering);
    aimed(steps, &verdict, &[Instruction::set(0, 0), Instruction::EXIT])
}

/// Of a header without options, and of no fragment.
fn ports_of_v4() -> Vec<(Instruction, Aim)> {
    let mut steps = vec![
        (Instruction::packet_half(6), Aim::On),
        (Instruction::mask(0, 0x3fff), Aim::On),
        (Instruction::if_other(0, 0), Aim::Pass),
    ];
    steps.extend(fields([9, 20, 22]));
    steps
}

/// Of a header without extensions.
fn ports_of_v6() -> Vec<(Instruction, Aim)> {
    let mut steps =
        vec![(Instruction::mask(0, 0xf0), Aim::On), (Instruction::if_other(0, 0x60), Aim::Pass)];
    steps.extend(fields([6, 40, 42]));
    steps
}

/// Reads protocol and ports at these places.
fn fields([proto, one, other]: [i32; 3]) -> [(Instruction, Aim); 6] {
    [
        Instruction::packet_byte(proto),
        Instruction::copy(PROTO, 0),
        Instruction::packet_half(one),
        Instruction::copy(LOW, 0),
        Instruction::packet_half(other),
        Instruction::copy(HIGH, 0),
    ]
    .map(|step| (step, Aim::On))
}

/// SipHash-1-3 of protocol and ports, scaled to the number of workers.
fn choice(steering: &Steering) -> Vec<Instruction> {
    let [k0, k1] = steering.key();
    let start = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut steps: Vec<Instruction> = V
        .into_iter()
        .zip(start)
        .flat_map(|(word, value)| Instruction::constant(word, value))
        .collect();
    steps.extend([
        Instruction::copy(BLOCK, PROTO),
        Instruction::left(BLOCK, 16),
        Instruction::or(BLOCK, HIGH),
        Instruction::left(BLOCK, 16),
        Instruction::or(BLOCK, LOW),
    ]);
    absorb(&mut steps);
    // The last block: that there were eight bytes.
    steps.extend(Instruction::constant(BLOCK, 8 << 56));
    absorb(&mut steps);
    steps.extend([Instruction::set(SPARE, 0xff), Instruction::xor(V[2], SPARE)]);
    (0..3).for_each(|_| round(&mut steps));
    steps.push(Instruction::copy(0, V[0]));
    steps.extend(V[1..].iter().map(|word| Instruction::xor(0, *word)));
    let workers = steering.workers() as i32;
    steps.extend([
        Instruction::right(0, 32),
        Instruction::times(0, workers),
        Instruction::right(0, 32),
        Instruction::EXIT,
    ]);
    steps
}

fn absorb(steps: &mut Vec<Instruction>) {
    steps.push(Instruction::xor(V[3], BLOCK));
    round(steps);
    steps.push(Instruction::xor(V[0], BLOCK));
}

fn round(steps: &mut Vec<Instruction>) {
    let [v0, v1, v2, v3] = V;
    half_round(steps, [v0, v1, v2, v3], [13, 16]);
    half_round(steps, [v2, v1, v0, v3], [17, 21]);
}

fn half_round(steps: &mut Vec<Instruction>, [a, b, c, d]: [Register; 4], [one, other]: [i32; 2]) {
    steps.push(Instruction::add_register(a, b));
    steps.extend(rotated(b, one));
    steps.push(Instruction::xor(b, a));
    steps.extend(rotated(a, 32));
    steps.push(Instruction::add_register(c, d));
    steps.extend(rotated(d, other));
    steps.push(Instruction::xor(d, c));
}

fn rotated(word: Register, bits: i32) -> [Instruction; 4] {
    [
        Instruction::copy(SPARE, word),
        Instruction::left(word, bits),
        Instruction::right(SPARE, 64 - bits),
        Instruction::or(word, SPARE),
    ]
}
