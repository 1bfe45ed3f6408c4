//! The hash on pod templates by which a changed configuration rolls the pods.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Hash of some texts, 64 hexadecimal digits. It tells a text from another, and of a text that has a random token of 256 bits in it,
/// nothing; so what is hashed here with passwords must have such a token in it too.
pub(super) fn of(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        // The length before each, so that moving text from one to the next is a change.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("writing to a string does not fail");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_same_text_in_other_pieces_is_another_configuration() {
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&[]).len(), 64);
    }
}
