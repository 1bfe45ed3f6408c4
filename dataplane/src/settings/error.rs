//! What is wrong with the environment: all of it at once, each with the variable, what came and what was expected.

use std::fmt;

/// Longest part of an unsuitable value that is repeated in a message.
const SHOWN_CHARS: usize = 80;

/// One thing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// The variable, or the file, that is wrong.
    pub name: String,
    /// The value that came, quoted and cut for display; `None` for secrets and for what is missing.
    pub got: Option<String>,
    /// What was expected instead.
    pub expected: String,
}

impl SettingsError {
    pub(super) fn new(name: &str, got: Option<&str>, expected: impl Into<String>) -> Self {
        Self { name: name.to_owned(), got: got.map(shown), expected: expected.into() }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.got {
            Some(got) => write!(f, "{} is {got}; expected {}", self.name, self.expected),
            None => write!(f, "{}: expected {}", self.name, self.expected),
        }
    }
}

/// Everything that is wrong; never empty. `Display` is one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<SettingsError>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} setting{} can't be used:", if count == 1 { "" } else { "s" })?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

/// A value in quotes: control characters escaped, cut when long, and without what may be secret in a URL: user name and
/// password, and the query.
fn shown(value: &str) -> String {
    let mut value = value.to_owned();
    if let Some((scheme, rest)) = value.split_once("://") {
        // A wrong URL has no sure end of its authority, so whatever stands before the last @ goes.
        let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
        let rest = rest.split_once('?').map_or_else(|| rest.clone(), |(before, _)| format!("{before}?…"));
        value = format!("{scheme}://{rest}");
    }
    let mut cut: String = value.chars().take(SHOWN_CHARS).collect();
    if cut.len() < value.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_of_a_value_is_short_harmless_and_not_secret() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown("http://joe:pa/ss@host/v1?key=abc"), r#""http://…@host/v1?…""#);
        assert!(shown(&"ä".repeat(1000)).chars().count() < 100);
    }
}
