//! FreeSWITCH's URL encoding of event headers.

/// Printable characters that are encoded nevertheless; everything outside printable ASCII is, too.
const UNSAFE: &[u8] = b"\r\n \"#%&+:;<=>?@[\\]^`{|}";
/// For each byte, whether it stays as it is.
const IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = true;
        byte += 1;
    }
    let mut at = 0;
    while at < UNSAFE.len() {
        plain[UNSAFE[at] as usize] = false;
        at += 1;
    }
    plain
};
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends one header's value, encoded. A `%` in front of two upper-case hexadecimal digits stays as it is: FreeSWITCH takes it for
/// already encoded, so a value that holds one comes out of a decoder changed.
pub(crate) fn append(out: &mut String, value: &str) {
    let bytes = value.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(|digit| HEX.contains(digit));
    // What is plain ASCII is copied in one piece: a call's events are a hundred kilobytes of it.
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if IS_PLAIN[usize::from(byte)] || (byte == b'%' && is_hex(at + 1) && is_hex(at + 2)) {
            continue;
        }
        // Nothing lies between the bytes of a character of several.
        if plain_from < at {
            out.push_str(&value[plain_from..at]);
        }
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
        plain_from = at + 1;
    }
    out.push_str(&value[plain_from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: &str) -> String {
        let mut out = String::new();
        append(&mut out, value);
        out
    }

    #[test]
    fn recorded_values_come_out_as_recorded() {
        assert_eq!(encode("sofia/agent/+15550001@127.0.0.1"), "sofia/agent/%2B15550001%40127.0.0.1");
        assert_eq!(encode("INVITE, ACK"), "INVITE,%20ACK");
        assert_eq!(encode("FreeSWITCH-mod_sofia/1.11.3-dev+git~2026"), "FreeSWITCH-mod_sofia/1.11.3-dev%2Bgit~2026");
        assert_eq!(encode("Q.850;cause=16;text=\"X\""), "Q.850%3Bcause%3D16%3Btext%3D%22X%22");
    }

    #[test]
    fn a_callers_line_end_cannot_forge_a_header() {
        assert_eq!(encode("x\r\nContent-Length: 5"), "x%0D%0AContent-Length%3A%205");
        assert_eq!(encode("Zoë"), "Zo%C3%AB");
    }

    #[test]
    fn a_percent_sign_is_kept_only_in_front_of_an_escape() {
        assert_eq!(encode("100%"), "100%25");
        assert_eq!(encode("%41"), "%41");
        assert_eq!(encode("%4a"), "%254a");
    }

    #[test]
    fn what_is_encoded_is_one_line_of_printable_ascii() {
        for value in ["v=0\r\no=x y\r\n", "Zoë & co", "\u{0}\u{7f}"] {
            assert!(encode(value).bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
        }
    }
}
