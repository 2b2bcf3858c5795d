//! Log words for the headers that both families carry: TCP, UDP, AH and ESP.

use core::ops::ControlFlow;

use tidegate_wire::packet::{TcpFlags, tcp, udp};
use tidegate_wire::proto;

use super::line::{Line, Told, u16_at, u32_at};
use crate::rules::ast::LogOptions;

impl Line<'_> {
    /// `fragment`: the header is in another fragment.
    pub(super) fn tcp(&mut self, at: usize, fragment: bool) -> Told {
        self.put(format_args!("PROTO=TCP "));
        if fragment {
            return ControlFlow::Continue(());
        }
        let Some(header) = self.header::<{ tcp::HEADER_LEN }>(at) else {
            self.put_incomplete(at);
            return ControlFlow::Break(());
        };
        self.put(format_args!("SPT={} DPT={} ", u16_at(header, 0), u16_at(header, 2)));
        if self.options.contains(LogOptions::TCP_SEQUENCE) {
            self.put(format_args!("SEQ={} ACK={} ", u32_at(header, 4), u32_at(header, 8)));
        }
        // Shifted as if CWR and ECE, which once were reserved too, came behind.
        let reserved = (header[12] & RESERVED) << 2;
        self.put(format_args!("WINDOW={} RES={reserved:#04x} ", u16_at(header, 14)));
        if header[12] & ACCURATE_ECN != 0 {
            self.put(format_args!("AE "));
        }
        self.tcp_flags(TcpFlags::from_bits(header[13]));
        self.put(format_args!("URGP={} ", u16_at(header, 18)));
        self.tcp_options(at, header[12] >> 4)
    }

    fn tcp_flags(&mut self, flags: TcpFlags) {
        for (flag, name) in FLAGS {
            if flags.contains(flag) {
                self.put(format_args!("{name} "));
            }
        }
    }

    fn tcp_options(&mut self, at: usize, words: u8) -> Told {
        let options = at + tcp::HEADER_LEN..at + 4 * usize::from(words);
        if !self.options.contains(LogOptions::TCP_OPTIONS) || options.is_empty() {
            return ControlFlow::Continue(());
        }
        let Some(options) = self.datagram.get(options) else {
            self.put(format_args!("OPT (TRUNCATED)"));
            return ControlFlow::Break(());
        };
        self.put_options(options);
        ControlFlow::Continue(())
    }

    /// UDP or UDP-Lite, by its number; `fragment` as above.
    pub(super) fn udp(&mut self, number: u8, at: usize, fragment: bool) -> Told {
        let name = if number == proto::UDP { "UDP" } else { "UDPLITE" };
        self.put(format_args!("PROTO={name} "));
        if fragment {
            return ControlFlow::Continue(());
        }
        let Some(header) = self.header::<{ udp::HEADER_LEN }>(at) else {
            self.put_incomplete(at);
            return ControlFlow::Break(());
        };
        let [source, destination, len] = [0, 2, 4].map(|at| u16_at(header, at));
        self.put(format_args!("SPT={source} DPT={destination} LEN={len} "));
        ControlFlow::Continue(())
    }

    /// The security parameters index of AH, at byte 4 of 12, or ESP, at byte 0 of 8.
    pub(super) fn spi<const LEN: usize>(&mut self, at: usize, index_at: usize) {
        match self.header::<LEN>(at) {
            Some(header) => self.put(format_args!("SPI={:#x} ", u32_at(header, index_at))),
            None => self.put_incomplete(at),
        }
    }
}

/// The reserved bits in octet 12.
const RESERVED: u8 = 0x0e;
/// The AE bit in octet 12 (RFC 9768), told by Linux since 6.15.
const ACCURATE_ECN: u8 = 0x01;

/// In the order in which they are told.
const FLAGS: [(TcpFlags, &str); 8] = [
    (TcpFlags::CWR, "CWR"),
    (TcpFlags::ECE, "ECE"),
    (TcpFlags::URG, "URG"),
    (TcpFlags::ACK, "ACK"),
    (TcpFlags::PSH, "PSH"),
    (TcpFlags::RST, "RST"),
    (TcpFlags::SYN, "SYN"),
    (TcpFlags::FIN, "FIN"),
];
