//! Rules for texts that go to the data plane, which counts bytes where a schema counts characters.

use kube::core::cel::Rule;

/// Takes texts of at most so many bytes.
pub(super) fn at_most_bytes(count: u32) -> Rule {
    let message = format!(
        "shorten this to at most {count} bytes: a letter of another alphabet takes two or three, an emoji four"
    );
    Rule::new(format!("size(bytes(self)) <= {count}")).message(message.as_str())
}

/// Refuses the word that stands for nothing in the data plane's settings.
pub(super) fn not_none() -> Rule {
    Rule::new(r"!self.matches('^\\s*[Nn][Oo][Nn][Ee]\\s*$')")
        .message("leave this empty to have none; the word itself would be taken for that")
}
