//! Why a backend did not answer. Says what was expected, what came and where; never holds keys, query strings, or what a
//! caller said.

use std::fmt;
use std::time::Duration;

use super::resilience::Verdict;

/// What went wrong, as far as it decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendErrorKind {
    /// No answer, or no next piece of one, within the deadline.
    Timeout,
    /// Not reachable, connection lost, or the server says that it is at fault (5xx).
    Unavailable,
    /// The server asks for fewer requests: 429, or a 503 that says when to come again.
    RateLimited {
        /// How long the server asked to wait.
        retry_after: Option<Duration>,
    },
    /// The server refuses this request and would refuse it again (4xx): wrong key, model, or parameters.
    Rejected,
    /// An answer came but is not what the protocol says, or exceeds a bound.
    Invalid,
    /// Not asked at all: the stage failed too often of late.
    CircuitOpen,
    /// The asker lost interest.
    Cancelled,
}

impl BackendErrorKind {
    /// The kind's name in metrics, logs and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected => "rejected",
            Self::Invalid => "invalid",
            Self::CircuitOpen => "circuit_open",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same request may succeed when it is sent again a little later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable | Self::RateLimited { .. })
    }

    /// What it says about the backend's health.
    ///
    /// A refused request says that the server is up: one caller's odd input must not take the backend from all others.
    /// So does a server that asks for fewer requests: what it wants is that its askers wait, which they do. An answer
    /// that can't be read is one turn's fault, unless all are so.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Timeout | Self::Unavailable => Verdict::Failure,
            Self::Invalid => Verdict::Unreadable,
            Self::RateLimited { .. } | Self::Rejected => Verdict::Success,
            Self::CircuitOpen | Self::Cancelled => Verdict::Abandoned,
        }
    }
}

impl fmt::Display for BackendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a backend did not answer.
///
/// Displays as `kind: message (site)`, for example
/// `unavailable: expected 200, came 503 Service Unavailable (http://whisper:8000/v1/audio/transcriptions)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}{}", Site(.site))]
pub struct BackendError {
    kind: BackendErrorKind,
    message: String,
    site: Option<String>,
}

impl BackendError {
    /// An error of `kind`. `message` says what was expected and what came, without secrets and without a caller's words.
    #[must_use]
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), site: None }
    }

    /// Shorthand for [`BackendErrorKind::Timeout`].
    #[must_use]
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(BackendErrorKind::Timeout, message)
    }

    /// Shorthand for [`BackendErrorKind::Unavailable`].
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(BackendErrorKind::Unavailable, message)
    }

    /// Shorthand for [`BackendErrorKind::Rejected`].
    #[must_use]
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(BackendErrorKind::Rejected, message)
    }

    /// Shorthand for [`BackendErrorKind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(BackendErrorKind::Invalid, message)
    }

    /// Adds where it happened: scheme, host and path of a URL, or another name without credentials or query.
    #[must_use]
    pub fn at(mut self, site: impl Into<String>) -> Self {
        self.site = Some(site.into());
        self
    }

    /// What went wrong, as far as it decides what happens next.
    #[must_use]
    pub const fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    /// What was expected and what came.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it happened, when that is known.
    #[must_use]
    pub fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// How long the server asked to wait before the next request.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            BackendErrorKind::RateLimited { retry_after } => retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed when it is sent again a little later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

struct Site<'a>(&'a Option<String>);

impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(site) => write!(f, " ({site})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_kind_message_and_place() {
        let error = BackendError::unavailable("expected 200, came 503").at("http://tts/v1/audio/speech");
        assert_eq!(error.to_string(), "unavailable: expected 200, came 503 (http://tts/v1/audio/speech)");
        assert_eq!(BackendError::timeout("no answer").to_string(), "timeout: no answer");
    }

    #[test]
    fn each_kind_says_whether_it_is_retried_and_what_it_says_of_the_backend() {
        use BackendErrorKind::*;
        let table = [
            (Timeout, true, Verdict::Failure),
            (Unavailable, true, Verdict::Failure),
            (RateLimited { retry_after: None }, true, Verdict::Success),
            (Rejected, false, Verdict::Success),
            (Invalid, false, Verdict::Unreadable),
            (CircuitOpen, false, Verdict::Abandoned),
            (Cancelled, false, Verdict::Abandoned),
        ];
        for (kind, retryable, verdict) in table {
            assert_eq!(kind.is_retryable(), retryable, "{kind}");
            assert_eq!(kind.verdict(), verdict, "{kind}");
        }
    }
}
