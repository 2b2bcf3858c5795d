//! A large capture for measuring: many flows, interleaved at random.
//!
//! Half of the flows are TCP connections that open, exchange data and stay
//! open; half are UDP conversations. Which flow speaks next is drawn from a
//! seeded generator, so the same arguments make the same file.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use tidegate_engine::rand::Rng;
use tidegate_wire::packet::tcp::TcpFlags;

use crate::example::frame::{Endpoint, Side, capture_head, tcp, udp, write_frame};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
const PSH_ACK: TcpFlags = TcpFlags::PSH.union(TcpFlags::ACK);
/// Bytes of payload of a data packet.
const DATA: u32 = 32;
/// Time between two packets, in nanoseconds.
const GAP: u64 = 10_000;

/// One conversation and how far it is.
#[derive(Clone, Copy)]
struct Flow {
    client: Endpoint,
    server: Endpoint,
    is_tcp: bool,
    step: u32,
    seq: [u32; 2],
}

/// Writes a capture of `packets` packets of `flows` flows.
///
/// # Errors
/// What the sink says.
pub fn write(mut sink: impl Write, packets: u64, flows: u32) -> io::Result<()> {
    let mut all: Vec<Flow> = (0..flows).map(Flow::numbered).collect();
    let mut rng = Rng::new(1);
    sink.write_all(&capture_head())?;
    for number in 0..packets {
        let flow = &mut all[rng.below(flows) as usize];
        write_frame(&mut sink, number * GAP, &flow.next_frame())?;
    }
    sink.flush()
}

impl Flow {
    fn numbered(number: u32) -> Self {
        let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (number / 50_000 + 2)));
        let server = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_7100 | (number % 200 + 2)));
        let port = (number % 50_000 + 10_000) as u16;
        let is_tcp = number.is_multiple_of(2);
        let server = (server, if is_tcp { 443 } else { 53 });
        Self { client: (client, port), server, is_tcp, step: 0, seq: [1_000, 9_000] }
    }

    fn next_frame(&mut self) -> Vec<u8> {
        let step = self.step;
        self.step += 1;
        let from_client = step.is_multiple_of(2);
        let (side, from, to) = if from_client {
            (Side::Lan, self.client, self.server)
        } else {
            (Side::Wan, self.server, self.client)
        };
        if !self.is_tcp {
            return udp(side, from, to, DATA as usize);
        }
        let (own, peer) = if from_client { (0, 1) } else { (1, 0) };
        let (flags, len, advance) = match step {
            0 => (SYN, 0, 1),
            1 => (SYN_ACK, 0, 1),
            2 => (ACK, 0, 0),
            _ => (PSH_ACK, DATA, DATA),
        };
        let ack = if step == 0 { 0 } else { self.seq[peer] };
        let frame = tcp(side, from, to, flags, (self.seq[own], ack), len as usize);
        self.seq[own] = self.seq[own].wrapping_add(advance);
        frame
    }
}
