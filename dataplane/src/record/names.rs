//! Names that come from outside, made fit for a record: keys masked, file names safe. Never looks anything up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How much of a call's id goes into its file name.
const MAX_ID_CHARS: usize = 80;

/// Whether records show who called and which keys were pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// Numbers as the log masks them, see [`crate::telemetry::mask_number`]; no keys. The default.
    #[default]
    Masked,
    /// Everything as it came.
    Shown,
}

/// Keys that were pressed, as a record shows them: often a PIN.
#[must_use]
pub fn mask_digits(digits: &str, privacy: Privacy) -> String {
    match privacy {
        Privacy::Masked => "•".repeat(digits.chars().count().min(64)),
        Privacy::Shown => digits.to_owned(),
    }
}

/// A caller's words with the keys in them, `[DTMF: 12#]`, as a record shows them. Spoken words hold no square brackets.
#[must_use]
pub fn mask_keys(text: &str, privacy: Privacy) -> String {
    const BEFORE: &str = "[DTMF: ";
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((words, keys)) = rest.split_once(BEFORE) {
        let (keys, behind) = keys.split_at(keys.find(']').unwrap_or(keys.len()));
        masked.push_str(words);
        masked.push_str(BEFORE);
        masked.push_str(&mask_digits(keys, privacy));
        rest = behind;
    }
    masked.push_str(rest);
    masked
}

/// The file name, without extension, of a call's record: when it began and its id, so that a folder sorts by time.
///
/// Whatever the id holds, the name is of `[0-9A-Za-z_-]` only, neither hidden nor a path, and shorter than 120 bytes.
#[must_use]
pub fn file_stem(call_id: &str, started_at: Timestamp, attempt: u32) -> String {
    let when = started_at.strftime("%Y%m%dT%H%M%SZ");
    let id = id_in_names(call_id);
    if attempt > 1 { format!("{when}-{id}-{attempt}") } else { format!("{when}-{id}") }
}

/// The part of a file's name that is the call's id.
pub(super) fn id_in_names(call_id: &str) -> String {
    let id: String = call_id
        .chars()
        .take(MAX_ID_CHARS)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect();
    if id.is_empty() { "call".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_hidden_unless_shown() {
        assert_eq!(mask_digits("1234#", Privacy::Masked), "•••••");
        assert_eq!(mask_digits("1234#", Privacy::Shown), "1234#");
    }

    #[test]
    fn keys_among_words_are_masked_and_the_words_are_not() {
        let said = "my code is [DTMF: 84#] no [DTMF: 12] 7";
        assert_eq!(mask_keys(said, Privacy::Masked), "my code is [DTMF: •••] no [DTMF: ••] 7");
        assert_eq!(mask_keys(said, Privacy::Shown), said);
        assert_eq!(mask_keys("[DTMF: 84", Privacy::Masked), "[DTMF: ••");
        assert_eq!(mask_keys("no keys", Privacy::Masked), "no keys");
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
    }
}
