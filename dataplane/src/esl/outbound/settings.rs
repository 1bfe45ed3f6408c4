//! What a session is told once: the token, the deadlines, the limits. Never read from the environment here.

use crate::esl::codec::Limits;
use std::fmt;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Settings of an outbound session, the same for every call of a pod.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// How long the switch keeps the socket after the hang-up, seconds. Events of the call's end arrive in it.
    pub linger_secs: u32,
    /// What the channel must carry to be served; `None` serves every switch that can reach the port.
    pub token: Option<Token>,
    /// From the socket's opening to the channel's data.
    pub handshake_timeout: Duration,
    /// From a command to its reply. Without `connect`, `linger`, `myevents`, `set`, `answer` and `hangup` there is no call: the session
    /// fails. Any other command fails alone.
    pub command_timeout: Duration,
    /// From there until a reply that has still not come is lost for good, and the session with it.
    pub lost_timeout: Duration,
    /// From the reply to `answer` to the channel being answered.
    pub answer_timeout: Duration,
    /// How large messages may be.
    pub limits: Limits,
    /// Commands without a reply plus events that were not taken yet; requests beyond that are refused.
    pub max_outstanding: usize,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        Self {
            linger_secs: 2,
            token: None,
            handshake_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            lost_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            max_outstanding: 64,
        }
    }
}

/// A shared secret that the dialplan puts on the channel, so that the pod serves its own switch only.
///
/// The variable is named as the switch names it: `sip_h_X-Sofia-Token` for a SIP header that leg B sends, or a plain
/// variable such as `sofia_phone_token`.
#[derive(Clone)]
pub struct Token {
    variable: String,
    secret: String,
}

impl Token {
    /// A token in a channel variable, without the `variable_` that events put before it.
    pub fn new(variable: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { variable: variable.into(), secret: secret.into() }
    }

    /// The variable's name.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// Compares in constant time: how long it takes tells the secret's length, and nothing of its content. An empty
    /// secret matches nothing, so that a setting left blank does not open the door.
    pub fn matches(&self, presented: Option<&str>) -> bool {
        let presented = presented.unwrap_or("");
        !self.secret.is_empty() && bool::from(self.secret.as_bytes().ct_eq(presented.as_bytes()))
    }
}

/// Never shows the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("variable", &self.variable).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_matches() {
        let token = Token::new("sofia_phone_token", "s3cret");
        assert!(token.matches(Some("s3cret")));
        for wrong in [None, Some(""), Some("s3cre"), Some("s3crett"), Some("S3cret")] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_secret_matches_nothing() {
        let token = Token::new("sofia_phone_token", "");
        assert!(!token.matches(None));
        assert!(!token.matches(Some("")));
    }

    #[test]
    fn the_secret_is_not_in_debug_output() {
        assert!(!format!("{:?}", Token::new("v", "s3cret")).contains("s3cret"));
    }
}
