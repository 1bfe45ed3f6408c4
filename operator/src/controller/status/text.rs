//! Texts for people, of bounded length. What comes from elsewhere (the API server, the kubelet) is cut and put on one
//! line.

/// Longest text taken over from elsewhere, in characters.
const FOREIGN_CHARACTERS: usize = 400;
/// Longest message of a condition, in characters; the API server takes 32768.
const MESSAGE_CHARACTERS: usize = 2000;

/// A text from elsewhere: on one line, without control characters, and short.
pub(super) fn foreign(text: &str) -> String {
    let line: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    shortened(&line.join(" "), FOREIGN_CHARACTERS)
}

/// A condition's message.
pub(super) fn message(text: &str) -> String {
    shortened(text, MESSAGE_CHARACTERS)
}

fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(characters - 1).chain(['…']).collect(),
    }
}

/// `1 pod`, `2 pods`.
pub(super) fn pods(count: u32) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

/// `the only pod is`, `all 4 pods are`.
pub(super) fn all_pods_are(count: u32) -> String {
    if count == 1 { "the only pod is".to_owned() } else { format!("all {count} pods are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_elsewhere_becomes_one_line() {
        assert_eq!(foreign(" failed:\n\tno \u{1b}[2Jsuch   image\r\n"), "failed: no [2Jsuch image");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = foreign(&"é".repeat(10_000));
        assert_eq!(cut.chars().count(), FOREIGN_CHARACTERS);
        assert!(cut.ends_with("é…"));
        assert_eq!(message(&"ö".repeat(MESSAGE_CHARACTERS)).chars().count(), MESSAGE_CHARACTERS);
        assert!(!message(&"ö".repeat(MESSAGE_CHARACTERS)).ends_with('…'));
        assert_eq!(message(&"ö".repeat(MESSAGE_CHARACTERS + 1)).chars().count(), MESSAGE_CHARACTERS);
    }
}
