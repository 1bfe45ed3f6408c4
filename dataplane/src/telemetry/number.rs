//! Callers' numbers as they may be shown. A number identifies a person, and logs travel further than calls.

use std::borrow::Cow;

/// Longest number shown in full; beyond that it is none.
const SHOWN_CHARS: usize = 40;
/// Shortest number of which the beginning can be shown and still be anyone's.
const LONG_NUMBER_CHARS: usize = 9;

/// The number with its middle left out: `+15551234567` becomes `+155…67`. Of short ones only the last two characters stay,
/// of very short ones none. Control characters come out as `?`.
pub fn mask_number(number: &str) -> String {
    let plain: Vec<char> = number.trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let (head, tail) = match plain.len() {
        0 => return "anonymous".to_owned(),
        LONG_NUMBER_CHARS.. => (4, 2),
        5.. => (0, 2),
        _ => (0, 0),
    };
    let end = plain.len() - tail;
    plain[..head].iter().chain(&['…']).chain(&plain[end..]).collect()
}

/// The number in full where that was asked for, masked otherwise; always free of control characters and short.
pub fn shown_number(number: &str, in_full: bool) -> Cow<'_, str> {
    let number = number.trim();
    if !in_full || number.is_empty() {
        return mask_number(number).into();
    }
    // Almost every number is fit to be shown as it came.
    if number.len() <= SHOWN_CHARS && !number.contains(char::is_control) {
        return number.into();
    }
    number.chars().map(|c| if c.is_control() { '?' } else { c }).take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn the_middle_of_a_number_is_left_out() {
        assert_eq!(mask_number("+15551234567"), "+155…67");
        assert_eq!(mask_number("004366412345678"), "0043…78");
        assert_eq!(mask_number("5551234"), "…34");
        assert_eq!(mask_number("1001"), "…");
        assert_eq!(mask_number(""), "anonymous");
    }

    #[test]
    fn a_number_in_full_is_still_one_short_line() {
        assert_eq!(shown_number("+15551234567", true), "+15551234567");
        assert_eq!(shown_number("+15551234567", false), "+155…67");
        assert_eq!(shown_number("evil\r\nlevel=ERROR", true), "evil??level=ERROR");
        assert_eq!(shown_number(&"9".repeat(10_000), true).len(), SHOWN_CHARS);
    }

    proptest! {
        #[test]
        fn a_masked_number_shows_at_most_six_characters_and_no_control_ones(number in any::<String>()) {
            let masked = mask_number(&number);
            prop_assert!(masked == "anonymous" || masked.chars().count() <= 7);
            prop_assert!(!masked.chars().any(char::is_control));
        }
    }
}
