//! Log words for IPv6, its extension headers, and ICMPv6.

use core::fmt;
use core::net::Ipv6Addr;
use core::ops::ControlFlow;

use tidegate_wire::packet::{icmp, icmpv6, ipv6};
use tidegate_wire::proto;

use super::line::{Depth, Line, Told, u16_at, u32_at};
use crate::rules::ast::LogOptions;

/// Where the walk along the extension headers is.
struct Walk {
    next: u8,
    at: usize,
    /// A fragment header for a later fragment was met.
    fragment: bool,
}

impl Line<'_> {
    /// The IPv6 datagram that starts at `at`.
    pub(super) fn ipv6(&mut self, at: usize, depth: Depth) -> Told {
        let Some(header) = self.header::<{ ipv6::HEADER_LEN }>(at) else {
            self.put(format_args!("TRUNCATED"));
            return ControlFlow::Break(());
        };
        self.ipv6_header(header);
        let mut walk = Walk { next: header[6], at: at + ipv6::HEADER_LEN, fragment: false };
        while walk.next != proto::NO_NEXT_HEADER && is_extension(walk.next) {
            self.extension(&mut walk)?;
        }
        self.ipv6_payload(&walk, depth)?;
        self.put_mark(depth);
        ControlFlow::Continue(())
    }

    fn ipv6_header(&mut self, header: &[u8; ipv6::HEADER_LEN]) {
        let (source, destination) = (Groups::at(header, 8), Groups::at(header, 24));
        let len = ipv6::HEADER_LEN + usize::from(u16_at(header, 4));
        let (class, label) = ((u16_at(header, 0) >> 4) as u8, u32_at(header, 0) & 0x000f_ffff);
        self.put(format_args!("SRC={source} DST={destination} LEN={len} "));
        self.put(format_args!("TC={class} HOPLIMIT={} FLOWLBL={label} ", header[7]));
    }

    /// One extension header. Only fragment headers are told unless options are asked for.
    fn extension(&mut self, walk: &mut Walk) -> Told {
        let Some(&[next, len]) = self.header::<2>(walk.at) else {
            self.put(format_args!("TRUNCATED"));
            return ControlFlow::Break(());
        };
        let asked = self.options.contains(LogOptions::IP_OPTIONS);
        if asked {
            self.put(format_args!("OPT ( "));
        }
        let len = match walk.next {
            proto::IPV6_FRAGMENT => {
                self.fragment_header(walk)?;
                ipv6::FRAGMENT_HEADER_LEN
            }
            proto::AH => {
                if asked {
                    self.extension_spi::<12>("AH ", walk, 4)?;
                }
                4 * (usize::from(len) + 2)
            }
            proto::ESP => {
                if asked {
                    self.extension_spi::<8>("ESP ", walk, 0)?;
                    self.put(format_args!(")"));
                }
                return ControlFlow::Break(());
            }
            _ if walk.fragment => return self.close(asked),
            _ => 8 * (usize::from(len) + 1),
        };
        if asked {
            self.put(format_args!(") "));
        }
        (walk.next, walk.at) = (next, walk.at + len);
        ControlFlow::Continue(())
    }

    fn fragment_header(&mut self, walk: &mut Walk) -> Told {
        self.put(format_args!("FRAG:"));
        let Some(header) = self.header::<{ ipv6::FRAGMENT_HEADER_LEN }>(walk.at) else {
            self.put(format_args!("TRUNCATED "));
            return ControlFlow::Break(());
        };
        let (place, id) = (u16_at(header, 2), u32_at(header, 4));
        self.put(format_args!("{} ", place & !7));
        if place & 1 != 0 {
            self.put(format_args!("INCOMPLETE "));
        }
        self.put(format_args!("ID:{id:08x} "));
        walk.fragment |= place & !7 != 0;
        ControlFlow::Continue(())
    }

    fn extension_spi<const LEN: usize>(&mut self, name: &str, walk: &Walk, at: usize) -> Told {
        self.put(format_args!("{name}"));
        if walk.fragment {
            return self.close(true);
        }
        let here = self.header::<LEN>(walk.at).is_some();
        self.spi::<LEN>(walk.at, at);
        if here { ControlFlow::Continue(()) } else { self.close(true) }
    }

    /// Ends the line within an extension header.
    fn close(&mut self, asked: bool) -> Told {
        if asked {
            self.put(format_args!(")"));
        }
        ControlFlow::Break(())
    }

    fn ipv6_payload(&mut self, walk: &Walk, depth: Depth) -> Told {
        match walk.next {
            proto::TCP => self.tcp(walk.at, walk.fragment),
            proto::UDP | proto::UDPLITE => self.udp(walk.next, walk.at, walk.fragment),
            proto::ICMPV6 => {
                self.put(format_args!("PROTO=ICMPv6 "));
                if walk.fragment { ControlFlow::Continue(()) } else { self.icmpv6(walk.at, depth) }
            }
            number => {
                self.put(format_args!("PROTO={number} "));
                ControlFlow::Continue(())
            }
        }
    }

    fn icmpv6(&mut self, at: usize, depth: Depth) -> Told {
        let Some(header) = self.header::<{ icmp::HEADER_LEN }>(at) else {
            self.put_incomplete(at);
            return ControlFlow::Break(());
        };
        let kind = header[0];
        self.put(format_args!("TYPE={kind} CODE={} ", header[1]));
        match kind {
            icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY => {
                self.put(format_args!("ID={} SEQ={} ", u16_at(header, 4), u16_at(header, 6)));
            }
            icmpv6::UNREACHABLE
            | icmpv6::PACKET_TOO_BIG
            | icmpv6::TIME_EXCEEDED
            | icmpv6::PARAMETER_PROBLEM => self.icmpv6_error(at, kind, u32_at(header, 4), depth),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn icmpv6_error(&mut self, at: usize, kind: u8, rest: u32, depth: Depth) {
        if kind == icmpv6::PARAMETER_PROBLEM {
            self.put(format_args!("POINTER={rest:08x} "));
        }
        if depth == Depth::Packet {
            self.put(format_args!("["));
            let _ = self.ipv6(at + icmp::HEADER_LEN, Depth::Quoted);
            self.put(format_args!("] "));
        }
        if kind == icmpv6::PACKET_TOO_BIG {
            self.put(format_args!("MTU={rest} "));
        }
    }
}

/// Unlike elsewhere in the kernel, ESP is one here. Linux: `nf_ip6_ext_hdr`.
fn is_extension(next_header: u8) -> bool {
    proto::is_ipv6_extension(next_header) || next_header == proto::ESP
}

/// An address in full: eight groups of four digits.
struct Groups(Ipv6Addr);

impl Groups {
    /// => `at + 16 <= header.len()`
    fn at(header: &[u8], at: usize) -> Self {
        Self(Ipv6Addr::from_segments(core::array::from_fn(|group| u16_at(header, at + 2 * group))))
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.0.segments().into_iter().enumerate() {
            write!(f, "{}{group:04x}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}
