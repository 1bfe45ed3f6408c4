//! Names of functions as models and their servers write them.

/// The functions, by their plain names: lower case, letters only.
const KNOWN: [(&str, &str); 10] = [
    ("hangup", "hang_up"),
    ("hangupcall", "hang_up"),
    ("endcall", "hang_up"),
    ("endthecall", "hang_up"),
    ("transfer", "transfer"),
    ("transfercall", "transfer"),
    ("transfercaller", "transfer"),
    ("senddtmf", "send_dtmf"),
    ("dtmf", "send_dtmf"),
    ("senddtmfdigits", "send_dtmf"),
];
/// Words before a name that say no more than that it is one.
const KINDS: [&str; 6] = ["tools", "tool", "functions", "function", "fn", "call"];
/// Longest name that is looked at, in bytes.
const MAX_NAME: usize = 128;

/// The function that is meant by `name`, as it is offered: `functions.hangUp`, `tool:hang-up` and `HANG_UP` are
/// `hang_up`. `None` where it is none of ours.
pub fn canonical_name(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        return None;
    }
    // Marks of a model's own protocol that the server left behind it, and empty brackets.
    let name = name.split("<|").next().unwrap_or_default();
    let name = name.split('(').next().unwrap_or_default();
    let mut segments = name.split(['.', ':', '/', '\\']).map(plain);
    // Some number their calls: `functions.transfer:0`.
    let last = segments.rfind(|segment| !segment.is_empty())?;
    let find = |plain: &str| KNOWN.iter().find(|(known, _)| *known == plain).map(|(_, name)| *name);
    find(&last).or_else(|| KINDS.iter().filter_map(|kind| last.strip_prefix(kind)).find_map(find))
}

fn plain(segment: &str) -> String {
    segment.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_however_it_is_dressed() {
        for name in [
            "hang_up",
            "hangup",
            "hangUp",
            "HANG_UP",
            "hang-up",
            " hang up ",
            "functions.hang_up",
            "tool:hang_up",
            "functions.hang_up:0",
            "default_api.hang_up",
            "`hang_up`",
            "hang_up()",
            "hang_up<|channel|>commentary",
            "tools/hang_up",
            "function_hang_up",
            "end_call",
            "\"hang_up\"",
        ] {
            assert_eq!(canonical_name(name), Some("hang_up"), "{name}");
        }
        assert_eq!(canonical_name("functions::transfer"), Some("transfer"));
        assert_eq!(canonical_name("Send_DTMF"), Some("send_dtmf"));
    }

    #[test]
    fn another_name_is_not_ours() {
        let long = format!("{}hang_up", "a.".repeat(100));
        for name in ["", "transfer_money", "get_weather", "hang_up_later", "hang_up.now", ":0", "call", &long] {
            assert_eq!(canonical_name(name), None, "{name}");
        }
    }
}
