//! Why a configuration cannot be rendered. Never repeats the value: it may be a password.

/// A value that FreeSWITCH's configuration has no place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} can't be written into FreeSWITCH's configuration: expected {expected}")]
pub struct RenderError {
    /// Path of the field, such as `spec.freeSwitch.gateways[0].username`, or the name of what the operator made itself.
    pub field: String,
    /// What it would have to be.
    pub expected: &'static str,
}

impl RenderError {
    pub(super) fn new(field: impl Into<String>, expected: &'static str) -> Self {
        Self { field: field.into(), expected }
    }
}
