//! What matches that keep count by address share: which end, and masks.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::{Family, Headers};

use crate::rules::ast::Network;

/// An end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Side {
    Source,
    Destination,
}

impl Side {
    /// Its address.
    pub(super) fn of(self, headers: &Headers) -> IpAddr {
        match self {
            Self::Source => headers.src,
            Self::Destination => headers.dst,
        }
    }
}

/// The mask of a single host.
pub(super) fn full_mask(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::BROADCAST),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
    }
}

/// The bits in an address of the family.
pub(super) fn width(family: Family) -> u32 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// The address without the bits behind a prefix of this length, which is at most the family's width.
pub(crate) fn prefix_of(address: IpAddr, length: u32) -> IpAddr {
    let mask = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(
            u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0),
        )),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(
            u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0),
        )),
    };
    Network { address, mask }.masked().address
}
