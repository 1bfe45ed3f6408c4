//! Checks of single values. Each tells what was found and what was expected; where the field is, the caller knows.

use std::{collections::BTreeMap, net::IpAddr};

use http::Uri;
use regex::bytes::RegexBuilder;
use serde_json::Value;

use super::pattern;

/// Most bytes of a sentence that the data plane takes.
pub(super) const SENTENCE_BYTES: usize = 1000;
/// Most bytes of instructions for the language model.
pub(super) const PROMPT_BYTES: usize = 16_384;
/// Most bytes of the name of a model or voice.
pub(super) const NAME_BYTES: usize = 200;
/// Most bytes of a request's further fields, as JSON.
const PARAMETERS_BYTES: usize = 4000;
/// Most bytes that a compiled number pattern may take. Patterns of telephone numbers take less than a tenth of it;
/// repetitions of repetitions, which would also keep FreeSWITCH busy, take more.
const PATTERN_BYTES: usize = 1 << 16;

type Check = Result<(), String>;

/// A regular expression for dialled numbers.
pub(super) fn number_pattern(pattern: &str) -> Check {
    let whole =
        RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES).unicode(false).build().map_err(
            |error| match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("{pattern:?} is too large: expected fewer or smaller repetitions")
                }
                _ => format!("{pattern:?} is no regular expression: expected one such as \\+4930\\d+"),
            },
        )?;
    // A pattern such as `a)|(b` is one only between the parentheses put around it.
    if RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).unicode(false).build().is_err() {
        return Err(format!("{pattern:?} is no regular expression: its parentheses don't match"));
    }
    if !pattern::stands_alone(pattern) {
        return Err(format!(
            "{pattern:?} means something else in FreeSWITCH's dialplan: expected letters, digits and +*#_.,?|()[]{{}}\\- only, \
             \\ only before these and d, w, b and s, no (? but (?i), no [ within brackets"
        ));
    }
    if whole.is_match(b"") {
        return Err(format!("{pattern:?} matches the empty number: leave numbers out to answer all"));
    }
    Ok(())
}

/// An address range in CIDR notation, either version.
pub(super) fn cidr(text: &str) -> Check {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: u8 = digits.then(|| length.parse().ok())??;
        Some(length <= if address.is_ipv4() { 32 } else { 128 })
    });
    if parsed == Some(true) {
        Ok(())
    } else {
        Err(format!("{text:?} is no address range: expected CIDR notation such as 203.0.113.0/24"))
    }
}

/// An address that callers can send to.
pub(super) fn external_address(text: &str) -> Check {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            Err(format!("{text} is no address of a host: expected the one that callers send to"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is no IP address: expected one such as 203.0.113.7")),
    }
}

/// A URL as the data plane takes it: `http` or `https`, a host, no credentials.
pub(super) fn url(text: &str) -> Check {
    let fits = text.parse::<Uri>().is_ok_and(|uri| {
        let host = |authority: &http::uri::Authority| !authority.host().is_empty() && !authority.as_str().contains('@');
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(host)
    });
    if fits {
        Ok(())
    } else {
        // Not repeated in the message: what is wrong with it may be that it has a password in it.
        Err("is no URL: expected http(s)://host[:port]/path without user name and password".to_owned())
    }
}

/// A host with or without a port.
pub(super) fn host_and_port(text: &str) -> Check {
    let fits = text.parse::<http::uri::Authority>().is_ok_and(|authority| {
        let port_fits = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => true,
            Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)),
            None => false,
        };
        !authority.host().is_empty() && port_fits
    });
    if fits { Ok(()) } else { Err(format!("{text:?} is no host: expected one such as sip.example.com:5060")) }
}

/// Text for FreeSWITCH's configuration: what XML can't hold is refused.
pub(super) fn printable(text: &str) -> Check {
    if text.chars().any(char::is_control) { Err("has control characters: expected none".to_owned()) } else { Ok(()) }
}

/// One line of at most so many bytes. The schema counts characters, the data plane bytes.
pub(super) fn one_line(value: &str, max_bytes: usize) -> Check {
    printable(value)?;
    text(value, max_bytes)
}

/// Text of at most so many bytes.
pub(super) fn text(value: &str, max_bytes: usize) -> Check {
    if value.len() > max_bytes {
        return Err(format!("has {} bytes: expected at most {max_bytes}", value.len()));
    }
    if value.contains('\0') { Err("has a NUL character: expected none".to_owned()) } else { Ok(()) }
}

/// A sentence that the agent says.
pub(super) fn sentence(value: &str) -> Check {
    words(value, SENTENCE_BYTES)
}

/// Text of at most so many bytes that may also be left empty, to have none.
pub(super) fn words(value: &str, max_bytes: usize) -> Check {
    text(value, max_bytes)?;
    // In the data plane's settings the word stands for silence, and a variable can't be told from an unset one when
    // empty.
    if value.trim().eq_ignore_ascii_case("none") {
        return Err("would be taken for the word that stands for nothing: expected an empty text instead".to_owned());
    }
    Ok(())
}

/// Further fields of a request.
pub(super) fn parameters(parameters: &BTreeMap<String, Value>) -> Check {
    let bytes = serde_json::to_string(parameters).map_or(usize::MAX, |json| json.len());
    if bytes > PARAMETERS_BYTES {
        return Err(format!("has {bytes} bytes as JSON: expected at most {PARAMETERS_BYTES}"));
    }
    Ok(())
}

/// Key of a label, annotation or taint: a name of at most 63 characters, with or without a DNS name and a slash before it.
pub(super) fn qualified_name(text: &str) -> Check {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        (1..=253).contains(&prefix.len())
            && prefix.split('.').all(|part| {
                edged(part, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                    && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            })
    });
    if prefix_fits && is_name(name) {
        Ok(())
    } else {
        Err(format!("{text:?} is no key: expected one such as example.com/name"))
    }
}

/// Value of a label: empty or a name.
pub(super) fn label_value(text: &str) -> Check {
    if text.is_empty() || is_name(text) {
        Ok(())
    } else {
        Err(format!("{text:?} is no label value: expected at most 63 letters, digits, hyphens, underscores and dots"))
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && edged(text, |byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether there is a first and a last byte and both are of the kind.
fn edged(text: &str, kind: impl Fn(u8) -> bool) -> bool {
    match (text.bytes().next(), text.bytes().last()) {
        (Some(first), Some(last)) => kind(first) && kind(last),
        _ => false,
    }
}
