//! Whether media can be sent to an offered address: what no switch can have, and what would lead back to this pod, is refused by
//! name. It compares addresses; it opens no socket and resolves no name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What the answerer knows of its own surroundings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Of the offer's addresses those that are this pod's own: its media workers receive there, RTP or RTCP.
    pub own: &'a [SocketAddr],
    /// Whether the switch runs on this host, so that its loopback addresses are this pod's too.
    pub switch_is_here: bool,
}

/// Why no media can be sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressFault {
    /// A media worker of this pod receives there: the pod would talk to itself.
    Own,
    /// A loopback address, from a switch on another host: here it means this one.
    Loopback,
    /// `0.0.0.0` or `::` in an offer that wants to be sent to.
    Unspecified,
    /// A group of hosts.
    Multicast,
    /// All hosts of a network.
    Broadcast,
    /// An IPv6 address that means something on one link only, and the offer has no way to say which.
    LinkLocal,
    /// A block that no host can be reached in: `0.0.0.0/8` (RFC 1122 §3.2.1.3), IPv4-compatible IPv6 (RFC 4291 §2.5.5.1).
    Unroutable,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "this pod's own: it would talk to itself",
            Self::Loopback => "loopback, and the switch is on another host",
            Self::Unspecified => "unspecified: nobody can be sent to there",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::LinkLocal => "link-local, without its link",
            Self::Unroutable => "of a block that no host is reached in",
        })
    }
}

impl Surroundings<'_> {
    /// What is wrong with sending to `remote`. Unspecified addresses pass here: whether they are a hold, the direction tells.
    pub(super) fn fault(&self, remote: SocketAddr) -> Option<AddressFault> {
        let ip = remote.ip().to_canonical();
        let of_kind = match ip {
            _ if ip.is_unspecified() => None,
            _ if ip.is_multicast() => Some(AddressFault::Multicast),
            _ if ip.is_loopback() => (!self.switch_is_here).then_some(AddressFault::Loopback),
            IpAddr::V4(v4) if v4.is_broadcast() => Some(AddressFault::Broadcast),
            IpAddr::V4(v4) => (v4.octets()[0] == 0).then_some(AddressFault::Unroutable),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(AddressFault::LinkLocal),
            IpAddr::V6(v6) => (v6.segments()[..6] == [0; 6]).then_some(AddressFault::Unroutable),
        };
        let own = || self.own.iter().any(|own| own.port() == remote.port() && own.ip().to_canonical() == ip);
        of_kind.or_else(|| own().then_some(AddressFault::Own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(surroundings: Surroundings<'_>, remote: &str) -> Option<AddressFault> {
        surroundings.fault(remote.parse().expect("an address"))
    }

    #[test]
    fn addresses_that_no_switch_can_have_are_named() {
        for (remote, expected) in [
            ("192.0.2.1:4000", None),
            ("10.244.1.7:4000", None),
            ("169.254.7.7:4000", None),
            ("[2001:db8::1]:4000", None),
            ("[fd00::1]:4000", None),
            ("[::ffff:192.0.2.1]:4000", None),
            ("0.0.0.0:4000", None),
            ("[::]:4000", None),
            ("224.0.0.1:4000", Some(AddressFault::Multicast)),
            ("239.255.255.250:4000", Some(AddressFault::Multicast)),
            ("[ff02::1]:4000", Some(AddressFault::Multicast)),
            ("[::ffff:224.0.0.1]:4000", Some(AddressFault::Multicast)),
            ("255.255.255.255:4000", Some(AddressFault::Broadcast)),
            ("0.1.2.3:4000", Some(AddressFault::Unroutable)),
            ("127.0.0.1:4000", Some(AddressFault::Loopback)),
            ("127.9.9.9:4000", Some(AddressFault::Loopback)),
            ("[::1]:4000", Some(AddressFault::Loopback)),
            ("[::ffff:127.0.0.1]:4000", Some(AddressFault::Loopback)),
            ("[fe80::1]:4000", Some(AddressFault::LinkLocal)),
            ("[::192.0.2.1]:4000", Some(AddressFault::Unroutable)),
        ] {
            assert_eq!(fault(Surroundings::default(), remote), expected, "{remote}");
        }
    }

    #[test]
    fn the_loopback_of_a_switch_on_this_host_is_its_own() {
        let here = Surroundings { switch_is_here: true, ..Surroundings::default() };
        for remote in ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            assert_eq!(fault(here, remote), None, "{remote}");
        }
        assert_eq!(fault(here, "224.0.0.1:4000"), Some(AddressFault::Multicast));
    }

    #[test]
    fn this_pods_own_ports_are_known_in_every_spelling() {
        let own = ["127.0.0.1:16384".parse().expect("an address"), "[2001:db8::2]:16385".parse().expect("an address")];
        let pod = Surroundings { own: &own, switch_is_here: true };
        for remote in ["127.0.0.1:16384", "[::ffff:127.0.0.1]:16384", "[2001:db8::2]:16385"] {
            assert_eq!(fault(pod, remote), Some(AddressFault::Own), "{remote}");
        }
        for remote in ["127.0.0.1:16386", "127.0.0.2:16384", "[2001:db8::2]:16384"] {
            assert_eq!(fault(pod, remote), None, "{remote}");
        }
    }
}
