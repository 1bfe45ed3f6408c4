//! Text that is never shown: passwords and tokens between the Secret they came from and the Secret they go to.

use std::fmt;

/// A password or token. Its `Debug` form hides it; only [`SecretText::expose`] gives it out.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a text that shall not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for writing it where it belongs: a Secret or a request's header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretText(…)")
    }
}
