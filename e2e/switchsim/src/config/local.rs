//! The addresses that FreeSWITCH finds by itself at its start and calls `local_ip_v4` and `local_ip_v6`: those from which this
//! machine would reach the rest of the world. Sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddresses {
    /// `$${local_ip_v4}`
    pub v4: IpAddr,
    /// `$${local_ip_v6}`
    pub v6: IpAddr,
}

impl LocalAddresses {
    /// What a machine without a network has.
    pub const LOOPBACK: Self = Self { v4: IpAddr::V4(Ipv4Addr::LOCALHOST), v6: IpAddr::V6(Ipv6Addr::LOCALHOST) };
    /// One of the root name servers: outside of every network that this could run in, so the default route leads there.
    const ELSEWHERE: Self = Self {
        v4: IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
        v6: IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
    };

    /// Asks the routing table; loopback where there is no way out.
    #[must_use]
    pub fn find() -> Self {
        Self {
            v4: towards(Self::ELSEWHERE.v4).unwrap_or(Self::LOOPBACK.v4),
            v6: towards(Self::ELSEWHERE.v6).unwrap_or(Self::LOOPBACK.v6),
        }
    }
}

/// The source address of a datagram to `there`, by the routing table: connecting a UDP socket sends nothing.
fn towards(there: IpAddr) -> Option<IpAddr> {
    let any = if there.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(there, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_loopback_begins_at_loopback() {
        assert_eq!(towards(LocalAddresses::LOOPBACK.v4), Some(LocalAddresses::LOOPBACK.v4));
    }

    #[test]
    fn an_address_of_this_machine_is_found_or_loopback_it_is() {
        let found = LocalAddresses::find();
        assert!(found.v4.is_ipv4() && found.v6.is_ipv6());
        UdpSocket::bind((found.v4, 0)).expect("it is an address of this machine");
    }
}
