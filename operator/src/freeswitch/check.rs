//! What a text may consist of to stand in a certain place: an application's data, a SIP URI, fs_cli's file. The spec was
//! validated before; this looks again because what gets through here is run by FreeSWITCH. Never repairs a value.

use std::net::IpAddr;

use sofia_crds::validate::pattern::stands_alone;

use super::error::RenderError;
use super::xml::is_writable;

/// Longest host name (RFC 1035 §2.3.4), and room for a port.
const HOST_BYTES: usize = 253;
/// Longest password and token: beyond what any generator makes.
const SECRET_BYTES: usize = 512;

type Check = Result<(), RenderError>;

fn ensure(fits: bool, field: &str, expected: &'static str) -> Check {
    if fits { Ok(()) } else { Err(RenderError::new(field, expected)) }
}

fn consists_of(text: &str, lengths: std::ops::RangeInclusive<usize>, allowed: impl Fn(u8) -> bool) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(allowed)
}

/// A secret that the operator made (base64 in either alphabet, or a word): it goes into dial strings and fs_cli's file, where
/// commas, brackets, quotes and blanks have meanings.
pub(super) fn word(field: &str, secret: &str) -> Check {
    let fits = consists_of(secret, 1..=SECRET_BYTES, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    ensure(fits, field, "1 to 512 letters, digits and -._~+/=")
}

/// A secret that people chose. Digest authentication takes any text; XML does not.
pub(super) fn password(field: &str, secret: &str) -> Check {
    let fits = (1..=SECRET_BYTES).contains(&secret.len()) && is_writable(secret);
    ensure(fits, field, "a password of 1 to 512 bytes in one line, without control characters")
}

/// A host name or an IPv4 address.
pub(super) fn host(field: &str, text: &str) -> Check {
    let fits = consists_of(text, 1..=HOST_BYTES, |byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        && !text.starts_with(['-', '.'])
        && !text.ends_with('-');
    ensure(fits, field, "a host name such as sip.example.com")
}

/// A gateway's name: it is a word of a dial string.
pub(super) fn gateway_name(field: &str, text: &str) -> Check {
    let letters = consists_of(text, 1..=63, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    ensure(letters && !text.starts_with('-'), field, "at most 63 lower-case letters, digits and hyphens")
}

/// A host with or without a port, an IPv6 address in brackets; returns the host.
pub(super) fn host_and_port<'a>(field: &str, text: &'a str) -> Result<&'a str, RenderError> {
    let wrong = || RenderError::new(field, "a host such as sip.example.com, with or without :5060 behind it");
    let end = match text.strip_prefix('[') {
        Some(inside) => inside.find(']').ok_or_else(wrong)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(end);
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => {}
        Some(_) => return Err(wrong()),
        None => host(field, name).map_err(|_| wrong())?,
    }
    let port_fits = rest.strip_prefix(':').is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if (rest.is_empty() || rest.starts_with(':')) && port_fits { Ok(name) } else { Err(wrong()) }
}

/// A user name for digest authentication, which separates its parts by colons.
pub(super) fn user_name(field: &str, text: &str) -> Check {
    let fits = (1..=128).contains(&text.len())
        && is_writable(text)
        && !text.chars().any(|c| c.is_whitespace() || matches!(c, ':' | '"' | '\\' | '<' | '>' | '&'));
    ensure(fits, field, "a user name without blanks and : \" \\ < > &")
}

/// A realm: it is compared and never put into a URI.
pub(super) fn realm(field: &str, text: &str) -> Check {
    let fits = (1..=HOST_BYTES).contains(&text.len())
        && is_writable(text)
        && !text.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '\\' | '<' | '>' | '&'));
    ensure(fits, field, "a realm without blanks and \" \\ < > &")
}

/// An address range in CIDR notation.
pub(super) fn cidr(field: &str, text: &str) -> Check {
    let fits = text.split_once('/').is_some_and(|(address, length)| {
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        digits && length.parse::<u8>().is_ok_and(|length| length <= most)
    });
    ensure(fits, field, "an address range such as 203.0.113.0/24")
}

/// An address that callers can send to.
pub(super) fn external_address(field: &str, text: &str) -> Result<IpAddr, RenderError> {
    match text.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(address),
        _ => Err(RenderError::new(field, "an IP address of a host, such as 203.0.113.7")),
    }
}

/// A pattern for dialled numbers that can stand within `^(?:…|…)$`: what validation asked already, asked again where it is written.
pub(super) fn number_pattern(field: &str, pattern: &str) -> Check {
    let expected = "a regular expression for numbers such as \\+4930\\d+, with balanced parentheses, without (? other than \
                    (?i), without [ inside a class and without \\\\";
    ensure(stands_alone(pattern), field, expected)
}

/// A name of a destination of transfers: it stands in an expression.
pub(super) fn destination_name(field: &str, name: &str) -> Check {
    let fits = consists_of(name, 1..=63, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && name.starts_with(|first: char| first.is_ascii_alphabetic());
    ensure(fits, field, "at most 63 letters, digits and . _ -, a letter first")
}

/// A number as it is dialled: it stands in a dial string.
pub(super) fn number(field: &str, number: &str) -> Check {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let fits = consists_of(digits, 1..=63, |byte| byte.is_ascii_alphanumeric() || b"*#".contains(&byte));
    ensure(fits, field, "a number as it is dialled, such as +4930555100")
}

/// A caller's number that others are shown: it stands in a dial string and in a SIP header.
pub(super) fn caller_id(field: &str, number: &str) -> Check {
    let digits = number.strip_prefix('+').unwrap_or(number);
    ensure(consists_of(digits, 1..=32, |byte| byte.is_ascii_digit()), field, "at most 32 digits, with or without +")
}

/// The echo number: digits and letters as callers dial them.
pub(super) fn echo_number(field: &str, number: &str) -> Check {
    let fits = consists_of(number, 0..=32, |byte| byte.is_ascii_alphanumeric() || b"+*#".contains(&byte));
    ensure(fits, field, "at most 32 digits, letters and + * #")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_telephone_numbers_pass() {
        for pattern in [
            "15550100",
            r"\+4930\d+",
            r"\d{3}",
            "(1|2)3",
            "[0-9*#]{2,5}",
            r"\*99\#",
            "(?i)sales",
            "a.b",
            r"[\]\-]1",
            "1|2",
            "x(y(z))",
        ] {
            assert_eq!(number_pattern("f", pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_would_leave_its_place_is_refused() {
        for pattern in [
            "",
            "a)|(b",
            "(a",
            "a)",
            "[a",
            "a]",
            r"a\",
            r"a\\",
            "(?R)",
            "(?x)1#",
            "(?P",
            "(*ACCEPT)",
            "[[a]",
            "[]a]",
            "$",
            "^1",
            "${x}",
            "a b",
            "1\n",
            "é",
            r"\Qa",
            r"\K1",
            r"(1)\1",
            "a'b",
            "<",
            "&",
            "\"",
        ] {
            assert!(number_pattern("f", pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn hosts_may_have_ports() {
        for (text, host) in [
            ("sip.example.com", "sip.example.com"),
            ("192.0.2.1:5080", "192.0.2.1"),
            ("[2001:db8::1]:5061", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host_and_port("f", text).unwrap(), host);
        }
        for text in [
            "",
            ":5060",
            "a:0",
            "a:65536",
            "a:+5",
            "a:",
            "a b",
            "a;b",
            "a@b",
            "[::1",
            "[x]",
            "2001:db8::1",
            "[::1]x",
            "a/b",
            "-a",
        ] {
            assert!(host_and_port("f", text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_of_either_version() {
        assert!(["10.0.0.0/8", "::/0", "fc00::/7", "203.0.113.7/32"].iter().all(|range| cidr("f", range).is_ok()));
        assert!(
            ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/ 8", "10.0.0.0/+8", "::1%eth0/64"]
                .iter()
                .all(|range| cidr("f", range).is_err())
        );
    }
}
