//! Destinations as models write them, brought into the form that the switch takes. Where a destination could mean two
//! things it is refused.

use super::ToolError;
use crate::esl::DestinationKind;

/// Words before a number that say no more than that it is one.
const LABELS: [&str; 9] = ["extension", "ext", "number", "phone", "tel", "telephone", "no", "nr", "nummer"];

/// The destination that `text` means:
///
/// - a telephone number without what only makes it easier to read: `+1 (202) 555-0143` is `+12025550143`, and so is
///   `tel:+1-202-555-0143` (RFC 3966);
/// - an address without brackets and display name: `"Anna" <sip:anna@example.com>` is `sip:anna@example.com`;
/// - anything else as it stands.
///
/// # Errors
/// [`ToolError::Destination`].
pub(super) fn read(text: &str) -> Result<String, ToolError> {
    let text = unquoted(text.trim());
    let text = match (text.find('<'), text.strip_suffix('>')) {
        (Some(at), Some(open)) => open[at + 1..].trim(),
        _ => text,
    };
    let read = match scheme(text) {
        Some(("tel" | "callto" | "phone", rest)) => number(rest),
        Some((scheme @ ("sip" | "sips"), rest)) => address(scheme, rest),
        // An address with a port, or nothing of ours.
        Some(_) | None => number(text).or_else(|| labelled(text)).or_else(|| Some(text.to_owned())),
    };
    read.filter(|text| DestinationKind::of(text).is_some()).ok_or(ToolError::Destination)
}

fn unquoted(text: &str) -> &str {
    for (open, close) in [('"', '"'), ('\'', '\''), ('“', '”'), ('`', '`')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|text| text.strip_suffix(close)) {
            return inner.trim();
        }
    }
    text
}

/// The scheme of a URI, in small letters, and what follows it.
fn scheme(text: &str) -> Option<(&'static str, &str)> {
    const SCHEMES: [&str; 5] = ["tel", "callto", "phone", "sip", "sips"];
    let (scheme, rest) = text.split_once(':')?;
    let scheme = SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme.trim()))?;
    Some((scheme, rest.trim().trim_start_matches("//")))
}

fn address(scheme: &'static str, rest: &str) -> Option<String> {
    let (address, parameters) = rest.split_once(';').map_or((rest, ""), |(address, parameters)| (address, parameters));
    let user = address.split_once('@').map(|(user, _)| user);
    if parameters.eq_ignore_ascii_case("user=phone") {
        // What is before the host is a telephone number of everywhere (RFC 3261 §19.1.1).
        return number(user?);
    }
    match user {
        _ if !parameters.is_empty() => None,
        Some(_) => Some(format!("{scheme}:{address}")),
        // By the book that is a host; what is meant is an extension.
        None => number(address),
    }
}

fn labelled(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphabetic())?;
    let (label, rest) = text.split_at(end);
    LABELS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(label))
        .then(|| number(rest.trim_start_matches(['.', ':', '#', ' '])))
        .flatten()
}

/// The number that `text` is, in its shortest form; `None` where it is none.
fn number(text: &str) -> Option<String> {
    let text = text.trim();
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return None;
    }
    let international = text.starts_with('+') || text.starts_with("00");
    // A number that went through a program as one.
    let is_whole = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let whole = text
        .split_once('.')
        .filter(|(whole, rest)| !international && is_whole(whole) && is_whole(rest) && rest.bytes().all(|b| b == b'0'));
    let text = whole.map_or(text, |(whole, _)| whole);
    // The zero that is dialled at home only.
    let home = ["(0)", "( 0 )"].into_iter().find(|zero| international && text.contains(zero));
    let text = home.map_or_else(|| text.to_owned(), |zero| text.replacen(zero, " ", 1));
    let separators = text.chars().filter(|c| is_separator(*c)).count();
    if separators == 1 && text.contains('.') && !international {
        // 2.5 is as little 25 as it is a number to be dialled.
        return None;
    }
    let mut number = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            '+' | '\u{ff0b}' if at == 0 => number.push('+'),
            '(' if at == 0 => {}
            c if digit(c).is_some() => number.extend(digit(c)),
            c if is_separator(c) && at > 0 => {}
            _ => return None,
        }
    }
    number.ends_with(|c: char| c.is_ascii_digit()).then_some(number)
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '-' | '\u{2010}'
            ..='\u{2015}' | '\u{2212}' | '.' | '(' | ')' | '/' | '·'
    )
}

/// A decimal digit of the scripts in which numbers are written, as the telephone knows it.
pub(super) fn digit(c: char) -> Option<char> {
    /// The zeros: Arabic, Persian, Devanagari, Bengali, Thai, full width.
    const ZEROS: [u32; 7] = [0x30, 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10];
    ZEROS.iter().find_map(|zero| char::from_digit(u32::from(c).checked_sub(*zero)?, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_brought_into_its_shortest_form() {
        let table = [
            ("+1 (202) 555-0143", "+12025550143"),
            ("(202) 555-0143", "2025550143"),
            ("tel:+1-202-555-0143", "+12025550143"),
            ("TEL: +1.202.555.0143", "+12025550143"),
            ("callto://+12025550143", "+12025550143"),
            ("+49 (0)30 / 12 34", "+49301234"),
            ("030/1234-0", "03012340"),
            ("+1\u{a0}202\u{2011}555\u{2013}0143", "+12025550143"),
            ("200.0", "200"),
            ("0301234", "0301234"),
            ("\"1001\"", "1001"),
            ("ext. 1001", "1001"),
            ("Extension: 1001", "1001"),
            ("sip:1001", "1001"),
            ("sip:+12025550143@carrier.example;user=phone", "+12025550143"),
            ("٢٠٠", "200"),
            ("２００", "200"),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn addresses_and_names_stay_as_they_are() {
        let table = [
            ("anna@example.com", "anna@example.com"),
            ("SIP:anna@example.com:5060", "sip:anna@example.com:5060"),
            ("\"Anna\" <sip:anna@example.com>", "sip:anna@example.com"),
            ("<anna@example.com>", "anna@example.com"),
            (" sales ", "sales"),
            ("front-desk", "front-desk"),
            ("10.0.0.1", "10.0.0.1"),
            ("1-800-FLOWERS", "1-800-FLOWERS"),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_or_a_command_is_refused() {
        for text in [
            "",
            " ",
            "+",
            "()",
            "+1 202 555 0143 ext. 5",
            "1001 or 1002",
            "1001, 1002",
            "1001;hangup",
            "1001 XML default",
            "1001\nx",
            "-bleg",
            "- 5",
            "sip:example.com",
            "sip:anna@example.com;transport=tcp",
            "sip:anna@example.com?x=y",
            "tel:",
            "tel:+1202;ext=12",
            "the sales department",
            "http://example.com",
            "${x}",
            "a/b",
            "a|b",
            "'1",
            "x<y",
        ] {
            assert_eq!(read(text), Err(ToolError::Destination), "{text:?}");
        }
    }
}
