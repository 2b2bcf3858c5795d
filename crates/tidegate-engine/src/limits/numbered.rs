//! Timeouts by number: as ctnetlink names them, protocol by protocol (`CTA_TIMEOUT_TCP_…` and its like).

use alloc::vec::Vec;

use tidegate_wire::proto;

use super::{TcpTimeouts, Timeout, Timeouts};

/// Of all protocols without a tracker of their own.
pub(super) const GENERIC: u8 = 255;

impl Timeouts {
    /// Numbers and seconds of a protocol's timeouts; 255 stands for all protocols without a tracker. `None`: it is one
    /// of those itself.
    #[must_use]
    pub fn numbered(&self, proto: u8) -> Option<Vec<(u16, u32)>> {
        let mut own = *self;
        let slots = own.slots(proto)?;
        let mut found: Vec<_> = slots.into_iter().map(|(number, slot)| (number, slot.0)).collect();
        if proto == proto::TCP {
            found.push((TCP_SYN_SENT2, TcpTimeouts::SYN_SENT2.0));
            found.sort_unstable();
        }
        Some(found)
    }

    /// Sets the timeout of that number; one that there isn't is not looked at.
    pub fn set_numbered(&mut self, proto: u8, number: u16, seconds: u32) {
        let slots = self.slots(proto).unwrap_or_default();
        for (_, slot) in slots.into_iter().filter(|(known, _)| *known == number) {
            *slot = Timeout(seconds);
        }
    }

    fn slots(&mut self, proto: u8) -> Option<Vec<(u16, &mut Timeout)>> {
        let slots = match proto {
            proto::TCP => return Some(self.tcp.slots()),
            proto::SCTP => return Some(self.sctp_slots()),
            proto::UDP | proto::UDPLITE => [(1, &mut self.udp), (2, &mut self.udp_stream)].into(),
            proto::GRE => [(1, &mut self.gre), (2, &mut self.gre_stream)].into(),
            proto::ICMP => [(1, &mut self.icmp)].into(),
            proto::ICMPV6 => [(1, &mut self.icmpv6)].into(),
            GENERIC => [(1, &mut self.generic)].into(),
            _ => return None,
        };
        Some(slots)
    }

    fn sctp_slots(&mut self) -> Vec<(u16, &mut Timeout)> {
        let sctp = &mut self.sctp;
        let slots = [
            &mut sctp.closed,
            &mut sctp.cookie_wait,
            &mut sctp.cookie_echoed,
            &mut sctp.established,
            &mut sctp.shutdown_sent,
            &mut sctp.shutdown_recd,
            &mut sctp.shutdown_ack_sent,
            &mut sctp.heartbeat_sent,
        ];
        (1..).zip(slots).collect()
    }
}

/// A simultaneous open, whose timeout is not set by anybody here.
const TCP_SYN_SENT2: u16 = 9;

impl TcpTimeouts {
    fn slots(&mut self) -> Vec<(u16, &mut Timeout)> {
        [
            (1, &mut self.syn_sent),
            (2, &mut self.syn_recv),
            (3, &mut self.established),
            (4, &mut self.fin_wait),
            (5, &mut self.close_wait),
            (6, &mut self.last_ack),
            (7, &mut self.time_wait),
            (8, &mut self.close),
            (10, &mut self.max_retrans),
            (11, &mut self.unacknowledged),
        ]
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_under_a_number_is_shown_under_it() {
        let rows = [(proto::TCP, 11), (proto::UDP, 2), (proto::UDPLITE, 2), (proto::SCTP, 8)];
        let more = [(proto::GRE, 2), (proto::ICMP, 1), (proto::ICMPV6, 1), (GENERIC, 1)];
        for (proto, count) in rows.into_iter().chain(more) {
            let mut timeouts = Timeouts::default();
            for number in 1..=count {
                timeouts.set_numbered(proto, number, 1000 + u32::from(number));
            }
            timeouts.set_numbered(proto, 99, 7);
            let expected = (1..=count).map(|number| match (proto, number) {
                (proto::TCP, TCP_SYN_SENT2) => (number, 120),
                _ => (number, 1000 + u32::from(number)),
            });
            assert_eq!(timeouts.numbered(proto), Some(expected.collect()), "{proto}");
        }
        assert_eq!(Timeouts::default().numbered(50), None, "ESP");
    }
}
