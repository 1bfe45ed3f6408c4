//! Access lists by network: `acl.conf`, a CIDR in a list's place, and the lists that FreeSWITCH makes by itself. Never resolves
//! a name.

use std::net::IpAddr;

use roxmltree::Node;

use super::ConfigError;
use super::xml::{attribute, bad, line};

/// One network, and whether it is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) network: IpAddr,
    pub(super) length: u8,
}

impl Rule {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                prefix(u128::from(net.to_bits()), 32, self.length) == prefix(u128::from(ip.to_bits()), 32, self.length)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                prefix(net.to_bits(), 128, self.length) == prefix(ip.to_bits(), 128, self.length)
            }
            _ => false,
        }
    }
}

fn prefix(bits: u128, width: u8, length: u8) -> u128 {
    bits.checked_shr(u32::from(width.saturating_sub(length))).unwrap_or(0)
}

/// A list of networks with a default.
#[derive(Debug, Default)]
pub struct AccessList {
    pub(super) allow_by_default: bool,
    pub(super) rules: Vec<Rule>,
}

impl AccessList {
    /// Whether `address` is let in; the last rule that holds it decides.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        // A dual-stack listener writes IPv4 addresses in IPv6's way.
        let address = address.to_canonical();
        self.rules.iter().rev().find(|rule| rule.holds(address)).map_or(self.allow_by_default, |rule| rule.allow)
    }

    /// What a name means that `acl.conf` does not define: networks (`192.0.2.0/24,…`) or one of FreeSWITCH's own lists.
    pub(super) fn implied(name: &str) -> Option<Self> {
        let networks = match name {
            "loopback.auto" => "127.0.0.0/8,::1/128",
            "rfc1918.auto" => "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
            "any_v4.auto" => "0.0.0.0/0",
            "any_v6.auto" => "::/0",
            networks if networks.contains('/') => networks,
            _ => return None,
        };
        Some(Self { allow_by_default: false, rules: networks.split(',').map(allowed).collect::<Option<_>>()? })
    }
}

fn allowed(network: &str) -> Option<Rule> {
    let (network, length) = cidr(network)?;
    Some(Rule { allow: true, network, length })
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, length) = text.trim().split_once('/')?;
    let (ip, length): (IpAddr, u8) = (ip.parse().ok()?, length.parse().ok()?);
    (length <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, length))
}

/// Reads a `<list>`.
pub(super) fn read(node: Node<'_, '_>) -> Result<AccessList, ConfigError> {
    let allow = |node: Node<'_, '_>, name: &str| match attribute(node, name)? {
        "allow" => Ok(true),
        "deny" => Ok(false),
        other => Err(bad(line(node), name, other, "allow or deny")),
    };
    let mut list = AccessList { allow_by_default: allow(node, "default")?, rules: Vec::new() };
    for entry in node.children().filter(|child| child.has_tag_name("node")) {
        let networks = entry.attribute("cidr").ok_or_else(|| ConfigError::Unsupported {
            line: line(entry),
            what: "an access-list node without cidr".to_owned(),
        })?;
        let allow = allow(entry, "type")?;
        for network in networks.split(',') {
            let (network, length) =
                cidr(network).ok_or_else(|| bad(line(entry), "cidr", network, "a network such as 192.0.2.0/24"))?;
            list.rules.push(Rule { allow, network, length });
        }
    }
    Ok(list)
}
