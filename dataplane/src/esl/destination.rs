//! Where a call can be transferred to: the one alphabet of destinations, for the model's function calls and for the
//! command that carries them out. It never judges whether somebody is there; the dialplan does.

/// The longest destination, in bytes.
pub const MAX_DESTINATION: usize = 64;
/// The longest port number, in digits.
const MAX_PORT_DIGITS: usize = 5;

/// What a destination is, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DestinationKind {
    /// Digits, with a `+` before them or not: a telephone number or an extension.
    Number,
    /// A name that the dialplan knows: letters, digits and `+ _ . -`.
    Name,
    /// `name@host` or `name@host:port`, with `sip:` or `sips:` before it or not. Nothing behind it: parameters and
    /// headers of a SIP URI (RFC 3261 §19.1) need characters that commands and dial strings take for their own.
    Address,
}

impl DestinationKind {
    /// What `destination` is; `None` where it is nothing that can be sent: empty, longer than [`MAX_DESTINATION`], or
    /// with a character that a command, a dial string or the dialplan would read as its own. A leading `-` would be an
    /// option of the command.
    #[must_use]
    pub fn of(destination: &str) -> Option<Self> {
        if !(1..=MAX_DESTINATION).contains(&destination.len()) {
            return None;
        }
        if is_number(destination) {
            return Some(Self::Number);
        }
        if let Some((user, host)) = destination.split_once('@') {
            let user = user.strip_prefix("sips:").or_else(|| user.strip_prefix("sip:")).unwrap_or(user);
            return (is_name(user) && is_host(host)).then_some(Self::Address);
        }
        is_name(destination).then_some(Self::Name)
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphanumeric())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'_' | b'.' | b'-'))
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| (1..=MAX_PORT_DIGITS).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DestinationKind::{Address, Name, Number};

    #[test]
    fn a_destination_is_known_by_its_form() {
        let table = [
            ("1001", Number),
            ("+12025550143", Number),
            ("sales", Name),
            ("front.desk_2", Name),
            ("+49-30-1234", Name),
            ("anna@example.com", Address),
            ("sip:anna@example.com", Address),
            ("sips:+12025550143@pbx-1.example.com:5061", Address),
            ("1001@10.0.0.1", Address),
        ];
        for (text, kind) in table {
            assert_eq!(DestinationKind::of(text), Some(kind), "{text}");
        }
    }

    #[test]
    fn what_a_command_or_a_dial_string_would_read_as_its_own_is_no_destination() {
        let long = "1".repeat(MAX_DESTINATION + 1);
        for text in [
            "",
            "+",
            "..",
            "-both",
            "9999 inline",
            "hangup:1",
            "a:b",
            ":x",
            "a,b",
            "a'b",
            "a|b",
            "a/b",
            "${x}",
            "1\n2",
            "ünï",
            "*98",
            "1#",
            "@example.com",
            "anna@",
            "anna@-x",
            "a@b@c",
            "anna@example.com;transport=tcp",
            "anna@example.com:",
            "anna@h:123456",
            "sip:@example.com",
            "sip:-x@example.com",
            "http://x@y",
            "anna@[::1]",
            &long,
        ] {
            assert_eq!(DestinationKind::of(text), None, "{text:?}");
        }
    }
}
