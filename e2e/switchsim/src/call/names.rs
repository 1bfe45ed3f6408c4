//! What becomes of a caller's number and name on the way from leg A to leg C, through two SIP headers, as a FreeSWITCH 1.11 was seen to
//! do it. Never looks at what the dialplan does about it.

use crate::channel::Channel;

/// What leg B shows of the caller, as leg C gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) number: String,
    pub(super) name: String,
}

/// A number or name of an INVITE as leg A has it: nothing that looks like a variable is let in.
pub(super) fn taken(text: &str) -> String {
    text.replace("${", "%{")
}

/// The number and the name that the dialplan chose, or the caller's own.
///
/// # Errors
/// The INVITE of leg B can't be made: why.
pub(super) fn present(caller: &Channel) -> Result<Presented, String> {
    let chosen = |variable: &str, own: &str| caller.variables.get(variable).unwrap_or(own).to_owned();
    let number = decoded(&chosen("effective_caller_id_number", &caller.caller_number));
    let name = decoded(&chosen("effective_caller_id_name", &caller.caller_name));
    if name.contains(['"', '\\', '\n', '\r']) {
        return Err(format!("leg B: no From header can be made of the name {name:?}"));
    }
    if number.contains(['{', '}', '$', '"', '<', '>', '\\', '\n', '\r']) {
        return Err(format!("leg B: no From header can be made of the number {number:?}"));
    }
    // What stands before a slash or a colon is taken for a scheme or a path.
    let name = name.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    Ok(Presented { number, name })
}

/// Undoes percent-encoding, which is done once more than it was asked for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = (byte == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex.and_then(|digits| std::str::from_utf8(digits).ok()).filter(|digits| !digits.starts_with('+'));
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(number: &str, name: &str) -> Result<Presented, String> {
        present(&Channel::new("id", "n".to_owned(), &taken(number), &taken(name), "100", "edge"))
    }

    #[test]
    fn plain_names_get_through() {
        for name in ["Ann", "Jürgen 日本", "a, b; c = d [e] (f) 'g' ~", " lead trail ", ""] {
            assert_eq!(presented("+15550001", name).unwrap().name, name);
        }
    }

    #[test]
    fn names_and_numbers_are_broken_as_freeswitch_breaks_them() {
        assert_eq!(presented("1", "Dr: Who").unwrap().name, " Who");
        assert_eq!(presented("1", "eq/slash?q").unwrap().name, "slash?q");
        assert_eq!(presented("1", "100%25 off").unwrap().name, "100% off");
        for name in ["A \"quoted\" name", "back\\slash", "line\nfeed", "line%0Afeed"] {
            assert!(presented("1", name).is_err(), "{name}");
        }
        for number in ["100{a}", "${uuid}", "a\nb", "a%0Ab", "a\"b"] {
            assert!(presented(number, "x").is_err(), "{number}");
        }
    }
}
