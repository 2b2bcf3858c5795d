//! The conditions that a table can try itself, as attributes of the request.
//!
//! Linux knows the family, status bits, the mark, the zone's number (of whichever direction), and since 5.8 exact parts
//! of the tuples, though only together with a family (`ctnetlink_alloc_filter`). What goes along lets through at
//! least what the filter lets through; so addresses of IPv6 don't, for Linux 6.18 takes those for what is *not* wanted.

use std::net::IpAddr;

use tidegate_wire::netlink::conntrack::{self, Attribute};
use tidegate_wire::netlink::{Family, Tuple, Writer};
use tidegate_wire::proto;

use super::{Filter, Masked, Spot, Test};

impl Filter {
    /// The family that a request can be about.
    pub(crate) fn family(&self) -> Family {
        let of = |test: &Test| match test {
            Test::Family(family) => Some(*family),
            Test::Address(_, prefix) => Some(prefix.family()),
            Test::Translated(_, Some(prefix)) => Some(prefix.family()),
            _ => None,
        };
        self.tests.iter().find_map(of).map_or(Family::default(), Family::of)
    }

    /// Writes what a dump request can be narrowed down by.
    pub(crate) fn push(&self, writer: &mut Writer<'_>) {
        let status = self.status();
        if status.mask != 0 {
            Attribute::Status(status.value).write(writer);
            Attribute::StatusMask(status.mask).write(writer);
        }
        for test in &self.tests {
            match test {
                Test::Mark(Masked { value, mask }) => {
                    Attribute::Mark(*value).write(writer);
                    Attribute::MarkMask(*mask).write(writer);
                }
                // For the kernel a flow that is of a zone in one direction only isn't of zone 0.
                Test::Zone(zone) if *zone != 0 => Attribute::Zone(*zone).write(writer),
                _ => {}
            }
        }
        if self.family().family != Family::ANY {
            self.push_tuples(writer);
        }
    }

    /// All conditions on status bits in one.
    fn status(&self) -> Masked {
        let all = self.tests.iter().filter_map(|test| match test {
            Test::Status(bits) => Some(bits),
            _ => None,
        });
        all.fold(Masked::default(), |sum, bits| Masked {
            value: sum.value | bits.value,
            mask: sum.mask | bits.mask,
        })
    }

    fn push_tuples(&self, writer: &mut Writer<'_>) {
        let parts = [self.part(0), self.part(1)];
        let [original, reply] = &parts;
        if original.bits == 0 && reply.bits == 0 {
            return;
        }
        if original.bits != 0 {
            Attribute::Original(original.tuple.clone()).write(writer);
        }
        if reply.bits != 0 {
            Attribute::Reply(reply.tuple.clone()).write(writer);
        }
        let bits = |part: &Part| Some(part.bits);
        let filter = conntrack::Filter {
            original: bits(original),
            reply: bits(reply),
            ..conntrack::Filter::default()
        };
        Attribute::Filter(filter).write(writer);
    }

    /// What is known exactly of the tuple of a direction.
    fn part(&self, dir: usize) -> Part {
        let mut part = Part::default();
        for test in &self.tests {
            match test {
                Test::Protocol(number) => part.protocol(*number),
                Test::Address(spot, prefix) => {
                    let Some(address) = prefix.single().filter(IpAddr::is_ipv4) else { continue };
                    if *spot == Spot::Source(dir) {
                        (part.tuple.src, part.bits) = (Some(address), part.bits | SOURCE);
                    } else if *spot == Spot::Destination(dir) {
                        (part.tuple.dst, part.bits) = (Some(address), part.bits | DESTINATION);
                    }
                }
                Test::Port(spot, ports) if self.has_ports() => {
                    let Some(port) = ports.single() else { continue };
                    if *spot == Spot::Source(dir) {
                        (part.tuple.sport, part.bits) = (Some(port), part.bits | SOURCE_PORT);
                    } else if *spot == Spot::Destination(dir) {
                        (part.tuple.dport, part.bits) = (Some(port), part.bits | DESTINATION_PORT);
                    }
                }
                _ => {}
            }
        }
        part
    }

    /// Whether only protocols are meant for which the kernel compares ports.
    fn has_ports(&self) -> bool {
        let named = |test: &Test| match test {
            Test::Protocol(number) => Some(*number),
            _ => None,
        };
        let number = self.tests.iter().find_map(named);
        number.is_some_and(|number| {
            [proto::TCP, proto::UDP, proto::UDPLITE, proto::SCTP].contains(&number)
        })
    }
}

/// Part of a tuple, and which part.
#[derive(Default)]
struct Part {
    tuple: Tuple,
    bits: u32,
}

impl Part {
    fn protocol(&mut self, number: u8) {
        self.tuple.proto = Some(number);
        self.bits |= PROTOCOL;
    }
}

/// `CTA_FILTER_F_CTA_…`.
const SOURCE: u32 = 1;
const DESTINATION: u32 = 1 << 1;
const PROTOCOL: u32 = 1 << 3;
const SOURCE_PORT: u32 = 1 << 4;
const DESTINATION_PORT: u32 = 1 << 5;
