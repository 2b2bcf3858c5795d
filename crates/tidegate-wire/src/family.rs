//! The address family, one of the few words that every layer above shares.

use core::fmt;
use core::net::IpAddr;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address. An IPv4-mapped IPv6 address is IPv6, as it is for the kernel.
    pub fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The kernel's number: 2 (`AF_INET`, `NFPROTO_IPV4`) or 10 (`AF_INET6`, `NFPROTO_IPV6`).
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    /// The name that `/proc/net/nf_conntrack` prints: `ipv4` or `ipv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_the_kernels() {
        let rows = [
            ("192.0.2.1", 2, "ipv4"),
            ("2001:db8::1", 10, "ipv6"),
            ("::ffff:192.0.2.1", 10, "ipv6"),
        ];
        for (addr, number, name) in rows {
            let family = Family::of(addr.parse().unwrap());
            assert_eq!((family.number(), family.name()), (number, name), "{addr}");
        }
    }
}
