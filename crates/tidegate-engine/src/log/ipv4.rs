//! Log words for IPv4 and ICMP.

use core::net::Ipv4Addr;
use core::ops::ControlFlow;

use tidegate_wire::packet::icmp::{
    ADDRESS_MASK, ADDRESS_MASK_REPLY, ECHO_REPLY, ECHO_REQUEST, PARAMETER_PROBLEM, REDIRECT,
    SOURCE_QUENCH, TIME_EXCEEDED, TIMESTAMP, TIMESTAMP_REPLY, UNREACHABLE,
};
use tidegate_wire::packet::{icmp, ipv4};
use tidegate_wire::proto;

use super::line::{Depth, Line, Told, u16_at, u32_at};
use crate::rules::ast::LogOptions;

impl Line<'_> {
    /// The IPv4 datagram that starts at `at`.
    pub(super) fn ipv4(&mut self, at: usize, depth: Depth) -> Told {
        let Some(header) = self.header::<{ ipv4::HEADER_LEN }>(at) else {
            self.put(format_args!("TRUNCATED"));
            return ControlFlow::Break(());
        };
        self.ipv4_header(header);
        let next = at + 4 * usize::from(header[0] & 0x0f);
        self.ipv4_options(at + ipv4::HEADER_LEN, next)?;
        let fragment = u16_at(header, FRAGMENT) & OFFSET != 0;
        self.ipv4_payload(header[PROTO], next, fragment, depth)?;
        self.put_mark(depth);
        ControlFlow::Continue(())
    }

    fn ipv4_header(&mut self, header: &[u8; ipv4::HEADER_LEN]) {
        let [source, destination] = [12, 16].map(|at| Ipv4Addr::from_bits(u32_at(header, at)));
        let (len, tos, ttl, id) = (u16_at(header, 2), header[1], header[8], u16_at(header, 4));
        self.put(format_args!("SRC={source} DST={destination} LEN={len} "));
        let (service, precedence) = (tos & 0x1e, tos & 0xe0);
        self.put(format_args!("TOS=0x{service:02X} PREC=0x{precedence:02X} TTL={ttl} ID={id} "));
        let fragment = u16_at(header, FRAGMENT);
        for (flag, name) in [(0x8000, "CE"), (0x4000, "DF"), (0x2000, "MF")] {
            if fragment & flag != 0 {
                self.put(format_args!("{name} "));
            }
        }
        if fragment & OFFSET != 0 {
            self.put(format_args!("FRAG:{} ", fragment & OFFSET));
        }
    }

    fn ipv4_options(&mut self, start: usize, end: usize) -> Told {
        if self.options.contains(LogOptions::IP_OPTIONS) && end > start {
            let Some(options) = self.datagram.get(start..end) else {
                self.put(format_args!("TRUNCATED"));
                return ControlFlow::Break(());
            };
            self.put_options(options);
        }
        ControlFlow::Continue(())
    }

    fn ipv4_payload(&mut self, number: u8, at: usize, fragment: bool, depth: Depth) -> Told {
        match number {
            proto::TCP => return self.tcp(at, fragment),
            proto::UDP | proto::UDPLITE => return self.udp(number, at, fragment),
            proto::ICMP => {
                self.put(format_args!("PROTO=ICMP "));
                if !fragment {
                    self.icmp(at, depth);
                }
            }
            // Unlike the others, a later fragment of AH isn't even named.
            proto::AH if fragment => {}
            proto::AH => {
                self.put(format_args!("PROTO=AH "));
                self.spi::<12>(at, 4);
            }
            proto::ESP => {
                self.put(format_args!("PROTO=ESP "));
                if !fragment {
                    self.spi::<8>(at, 0);
                }
            }
            _ => self.put(format_args!("PROTO={number} ")),
        }
        ControlFlow::Continue(())
    }

    fn icmp(&mut self, at: usize, depth: Depth) {
        let Some(header) = self.header::<{ icmp::HEADER_LEN }>(at) else {
            return self.put_incomplete(at);
        };
        let (kind, code) = (header[0], header[1]);
        self.put(format_args!("TYPE={kind} CODE={code} "));
        if self.datagram.len() - at < least(kind) {
            return self.put_incomplete(at);
        }
        match kind {
            ECHO_REPLY | ECHO_REQUEST => {
                self.put(format_args!("ID={} SEQ={} ", u16_at(header, 4), u16_at(header, 6)));
            }
            PARAMETER_PROBLEM => self.put(format_args!("PARAMETER={} ", header[4])),
            REDIRECT | UNREACHABLE | SOURCE_QUENCH | TIME_EXCEEDED => {
                self.icmp_error(at, header, depth);
            }
            _ => {}
        }
    }

    fn icmp_error(&mut self, at: usize, header: &[u8; icmp::HEADER_LEN], depth: Depth) {
        if header[0] == REDIRECT {
            let gateway = Ipv4Addr::from_bits(u32_at(header, 4));
            self.put(format_args!("GATEWAY={gateway} "));
        }
        if depth == Depth::Packet {
            self.put(format_args!("["));
            let _ = self.ipv4(at + icmp::HEADER_LEN, Depth::Quoted);
            self.put(format_args!("] "));
        }
        if (header[0], header[1]) == (UNREACHABLE, FRAGMENTATION_NEEDED) {
            self.put(format_args!("MTU={} ", u16_at(header, 6)));
        }
    }
}

/// How long a message of this type must be to be told in full.
fn least(kind: u8) -> usize {
    match kind {
        UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            icmp::HEADER_LEN + ipv4::HEADER_LEN
        }
        TIMESTAMP | TIMESTAMP_REPLY => 20,
        ADDRESS_MASK | ADDRESS_MASK_REPLY => 12,
        _ => icmp::HEADER_LEN,
    }
}

const FRAGMENT: usize = 6;
const PROTO: usize = 9;
/// The fragment's offset, in units of 8 bytes.
const OFFSET: u16 = 0x1fff;
const FRAGMENTATION_NEEDED: u8 = 4;
