//! Fields of the IP header that rules look at and change, alike in both families.

use tidegate_wire::Family;
use tidegate_wire::packet::{Ipv4, Ipv6};

use super::RuleContext;
use crate::fib::Fib;

impl<F: Fib> RuleContext<'_, F> {
    /// IPv4's time to live or IPv6's hop limit.
    pub(in crate::rules) fn hop_limit(&self) -> u8 {
        match self.headers.family {
            Family::V4 => Ipv4::new(&*self.bytes).map_or(0, |ip| ip.ttl()),
            Family::V6 => Ipv6::new(&*self.bytes).map_or(0, |ip| ip.hop_limit()),
        }
    }

    /// Sets it.
    pub(in crate::rules) fn set_hop_limit(&mut self, hops: u8) {
        let bytes = &mut *self.bytes;
        match self.headers.family {
            Family::V4 => {
                if let Some(mut ip) = Ipv4::new(bytes) {
                    ip.set_ttl(hops);
                }
            }
            Family::V6 => {
                if let Some(mut ip) = Ipv6::new(bytes) {
                    ip.set_hop_limit(hops);
                }
            }
        }
    }

    /// IPv4's type of service or IPv6's traffic class.
    pub(in crate::rules) fn traffic_class(&self) -> u8 {
        match self.headers.family {
            Family::V4 => Ipv4::new(&*self.bytes).map_or(0, |ip| ip.tos()),
            Family::V6 => Ipv6::new(&*self.bytes).map_or(0, |ip| ip.traffic_class()),
        }
    }

    /// Sets it.
    pub(in crate::rules) fn set_traffic_class(&mut self, class: u8) {
        let bytes = &mut *self.bytes;
        match self.headers.family {
            Family::V4 => {
                if let Some(mut ip) = Ipv4::new(bytes) {
                    ip.set_tos(class);
                }
            }
            Family::V6 => {
                if let Some(mut ip) = Ipv6::new(bytes) {
                    ip.set_traffic_class(class);
                }
            }
        }
    }
}
