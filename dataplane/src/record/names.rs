//! Names that come from outside, made fit for a record: callers masked, file names safe. Never looks anything up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What stands for characters that are not shown. Always as many, so that it does not tell how many there were.
const HIDDEN: &str = "••••";
/// How much of a call's id goes into its file name.
const MAX_ID_CHARS: usize = 80;

/// Whether records show who called and which keys were pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// The last three digits of a number; no keys. The default.
    #[default]
    Masked,
    /// Everything as it came.
    Shown,
}

/// `caller` as a record shows it: of a number its last three digits, of a name its first letter, of a number of fewer
/// than seven digits (an extension) nothing.
///
/// ```
/// # use sofia_dataplane::record::{mask_caller, Privacy};
/// assert_eq!(mask_caller("+49 30 1234567", Privacy::Masked), "+••••567");
/// assert_eq!(mask_caller("1001", Privacy::Masked), "••••");
/// assert_eq!(mask_caller("alice", Privacy::Masked), "a••••");
/// assert_eq!(mask_caller("1001", Privacy::Shown), "1001");
/// ```
#[must_use]
pub fn mask_caller(caller: &str, privacy: Privacy) -> String {
    let caller = caller.trim();
    if privacy == Privacy::Shown || caller.is_empty() || caller.eq_ignore_ascii_case("anonymous") {
        return caller.to_owned();
    }
    let digits: Vec<char> = caller.chars().filter(char::is_ascii_digit).collect();
    let is_number = caller.chars().all(|c| c.is_ascii_digit() || "+-.()/ ".contains(c));
    if !is_number {
        return caller.chars().next().map_or_else(String::new, |first| format!("{first}{HIDDEN}"));
    }
    let sign = if caller.starts_with('+') { "+" } else { "" };
    let shown: String = if digits.len() >= 7 { digits[digits.len() - 3..].iter().collect() } else { String::new() };
    format!("{sign}{HIDDEN}{shown}")
}

/// Keys that were pressed, as a record shows them: often a PIN.
#[must_use]
pub fn mask_digits(digits: &str, privacy: Privacy) -> String {
    match privacy {
        Privacy::Masked => "•".repeat(digits.chars().count().min(64)),
        Privacy::Shown => digits.to_owned(),
    }
}

/// The file name, without extension, of a call's record: when it began and its id, so that a folder sorts by time.
///
/// Whatever the id holds, the name is of `[0-9A-Za-z_-]` only, neither hidden nor a path, and shorter than 120 bytes.
#[must_use]
pub fn file_stem(call_id: &str, started_at: Timestamp, attempt: u32) -> String {
    let when = started_at.strftime("%Y%m%dT%H%M%SZ");
    let id: String = call_id
        .chars()
        .take(MAX_ID_CHARS)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect();
    let id = if id.is_empty() { "call" } else { &id };
    if attempt > 1 { format!("{when}-{id}-{attempt}") } else { format!("{when}-{id}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_masked_number_keeps_its_last_three_digits_and_hides_its_length() {
        assert_eq!(mask_caller("+4915112345678", Privacy::Masked), "+••••678");
        assert_eq!(mask_caller("030 / 123-4567", Privacy::Masked), "••••567");
        assert_eq!(mask_caller("110", Privacy::Masked), "••••");
        assert_eq!(mask_caller("sip:alice@example.org", Privacy::Masked), "s••••");
        assert_eq!(mask_caller("anonymous", Privacy::Masked), "anonymous");
        assert_eq!(mask_caller("", Privacy::Masked), "");
        assert_eq!(mask_digits("1234#", Privacy::Masked), "•••••");
        assert_eq!(mask_digits("1234#", Privacy::Shown), "1234#");
    }

    #[test]
    fn a_record_is_named_by_its_time_and_id() {
        let at: Timestamp = "2025-11-22T12:03:14.5Z".parse().unwrap();
        assert_eq!(file_stem("8a1f-77", at, 1), "20251122T120314Z-8a1f-77");
        assert_eq!(file_stem("8a1f-77", at, 2), "20251122T120314Z-8a1f-77-2");
        assert_eq!(file_stem("../../etc/passwd\0", at, 1), "20251122T120314Z-______etc_passwd_");
        assert_eq!(file_stem("", at, 1), "20251122T120314Z-call");
    }

    proptest! {
        #[test]
        fn no_id_makes_a_name_that_leaves_the_folder(id in any::<String>(), attempt in any::<u32>()) {
            let name = file_stem(&id, Timestamp::UNIX_EPOCH, attempt);
            prop_assert!(name.len() < 120);
            prop_assert!(name.starts_with("19700101T000000Z-"));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }

        #[test]
        fn no_masked_number_shows_more_than_three_digits(number in "\\+?[0-9 ]{0,30}") {
            let shown = mask_caller(&number, Privacy::Masked).chars().filter(char::is_ascii_digit).count();
            prop_assert!(shown <= 3);
        }
    }
}
