//! `${name}` and `${name:offset:length}` in the data of an action.

use crate::channel::Channel;

/// Values may hold further references; this deep, no more.
const MAX_DEPTH: usize = 8;

/// Replaces every `${name}` by the channel's value, an unknown one by nothing, as FreeSWITCH does. API calls
/// (`${name(arguments)}`) are not known here and become nothing too.
pub(crate) fn expand(text: &str, channel: &Channel) -> String {
    expand_within(text, channel, MAX_DEPTH)
}

fn expand_within(text: &str, channel: &Channel, depth: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let Some(end) = closing_brace(inside) else {
            out.push_str(&rest[start..]);
            return out;
        };
        let reference =
            if depth > 0 { expand_within(&inside[..end], channel, depth - 1) } else { inside[..end].to_owned() };
        out.push_str(&value(&reference, channel));
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    out
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn value(reference: &str, channel: &Channel) -> String {
    if reference.contains('(') {
        tracing::warn!(reference, "an API call inside the dialplan is not supported");
        return String::new();
    }
    let mut parts = reference.split(':');
    let whole = channel.lookup(parts.next().unwrap_or_default()).unwrap_or_default();
    let Some(offset) = parts.next().and_then(|part| part.parse::<i64>().ok()) else {
        return whole.into_owned();
    };
    let characters: Vec<char> = whole.chars().collect();
    let count = characters.len() as i64;
    let start = if offset < 0 { count + offset } else { offset }.clamp(0, count);
    let length = parts.next().and_then(|part| part.parse::<i64>().ok()).filter(|length| *length > 0).unwrap_or(count);
    characters[start as usize..(start.saturating_add(length)).min(count) as usize].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        let mut channel = Channel::new("id", "n".to_owned(), "+1555", "Ann", "100", "edge");
        channel.variables.set("a", "value");
        channel.variables.set("which", "a");
        channel
    }

    #[test]
    fn names_become_values() {
        assert_eq!(expand("x-${a}-${uuid}-${destination_number}", &channel()), "x-value-id-100");
        assert_eq!(expand("after-1-${nothing}", &channel()), "after-1-");
        assert_eq!(expand("${${which}}", &channel()), "value");
    }

    #[test]
    fn parts_of_values_can_be_taken() {
        assert_eq!(expand("${a:1}", &channel()), "alue");
        assert_eq!(expand("${a:1:2}", &channel()), "al");
        assert_eq!(expand("${a:-2}", &channel()), "ue");
        assert_eq!(expand("${a:9:2}", &channel()), "");
    }

    #[test]
    fn what_no_channel_variable_says_a_global_one_may() {
        let channel = channel();
        channel.globals.set("a", "global");
        channel.globals.set("draining", "true");
        assert_eq!(expand("${a} ${draining}", &channel), "value true");
        channel.globals.set("draining", "");
        assert_eq!(expand("<${draining}>", &channel), "<>");
    }

    #[test]
    fn broken_references_stay() {
        assert_eq!(expand("a ${b", &channel()), "a ${b");
        assert_eq!(expand("$", &channel()), "$");
    }
}
