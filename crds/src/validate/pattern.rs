//! Which regular expressions for numbers can stand among others in FreeSWITCH's dialplan and mean there what they mean here. Whether
//! they compile is asked elsewhere.

/// Longest pattern, in bytes; the schema says the same.
const BYTES: usize = 128;

/// Whether a pattern can stand within `^(?:…|…)$` of the dialplan: its parentheses and brackets are its own, it has nothing that
/// FreeSWITCH's expansion of variables would change before the pattern is compiled (`$`, `\\`, `\'`), nor a construct that PCRE reads
/// in another way than the regular expressions of Rust do.
pub fn stands_alone(pattern: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+*#_.,?|()[]{}\\-".contains(&byte);
    if !(1..=BYTES).contains(&pattern.len()) || !pattern.bytes().all(plain) {
        return false;
    }
    let mut depth = 0_u32;
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let tail = &rest[1..];
        rest = match character {
            // A reference such as \1, or \Q or \K, would not mean there what it means here.
            '\\' if tail.starts_with(|next: char| "dDwWbBsS".contains(next) || next.is_ascii_punctuation())
                && !tail.starts_with('\\') =>
            {
                &tail[1..]
            }
            '\\' => return false,
            '[' if in_class || tail.starts_with([']', '[']) => return false,
            '[' => {
                in_class = true;
                tail
            }
            ']' if !in_class => return false,
            ']' => {
                in_class = false;
                tail
            }
            _ if in_class => tail,
            '(' => {
                depth += 1;
                match tail.strip_prefix('?') {
                    Some(option) if !option.starts_with("i)") => return false,
                    _ if tail.starts_with('*') => return false,
                    _ => tail,
                }
            }
            ')' if depth == 0 => return false,
            ')' => {
                depth -= 1;
                tail
            }
            _ => tail,
        };
    }
    depth == 0 && !in_class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_telephone_numbers_pass() {
        let ordinary =
            ["15550100", r"\+4930\d+", r"\d{3}", "(1|2)3", "[0-9*#]{2,5}", r"\*99\#", "(?i)sales", "x(y(z))"];
        for pattern in ordinary.into_iter().chain([r"[\]\-]1", "a.b", "1|2"]) {
            assert!(stands_alone(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_would_leave_its_place_or_mean_something_else_there_does_not() {
        let open = ["", "a)|(b", "(a", "a)", "[a", "a]", r"a\", r"a\\", "[[a]", "[]a]"];
        let other = ["(?R)", "(?x)1#", "(?P", "(?:1)", "(*ACCEPT)", r"\Qa", r"\K1", r"(1)\1"];
        let foreign = ["$", "^1", "${x}", "a b", "1\n", "é", "a'b", "<", "&", "\""];
        for pattern in open.into_iter().chain(other).chain(foreign) {
            assert!(!stands_alone(pattern), "{pattern}");
        }
    }
}
