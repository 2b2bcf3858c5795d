//! Protocol numbers (IANA "Assigned Internet Protocol Numbers"), of upper layers and of IPv6
//! extension headers.

/// Whether `next_header` is an extension header for Linux (`ipv6_ext_hdr`). "No next header" is
/// one, ESP is not.
pub fn is_ipv6_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HOP_BY_HOP | IPV6_ROUTING | IPV6_FRAGMENT | AH | NO_NEXT_HEADER | DESTINATION_OPTIONS
    )
}

/// IPv6 hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// IGMP.
pub const IGMP: u8 = 2;
/// IPv4 in IP.
pub const IPIP: u8 = 4;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// DCCP.
pub const DCCP: u8 = 33;
/// IPv6 in IP.
pub const IPV6: u8 = 41;
/// IPv6 routing header.
pub const IPV6_ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const IPV6_FRAGMENT: u8 = 44;
/// GRE.
pub const GRE: u8 = 47;
/// IPsec ESP.
pub const ESP: u8 = 50;
/// IPsec AH: an upper layer for IPv4, an extension header for IPv6.
pub const AH: u8 = 51;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// IPv6 "no next header".
pub const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
/// SCTP.
pub const SCTP: u8 = 132;
/// IPv6 mobility header: Linux takes it for an upper layer.
pub const MOBILITY: u8 = 135;
/// UDP-Lite.
pub const UDPLITE: u8 = 136;
