//! Why an event-socket connection cannot go on. Never carries a token, and of what the peer sent only a short,
//! escaped excerpt.

use super::outbound::CommandKind;

/// What ended the connection. Every variant is final: the caller of this module closes the socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EslError {
    /// One header line grew past the limit without a line feed.
    #[error("a header line is longer than {limit} bytes")]
    HeaderLineTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// The headers of one message together grew past the limit.
    #[error("a header block is longer than {limit} bytes")]
    HeaderBlockTooLong {
        /// The limit, bytes.
        limit: usize,
    },
    /// One message has more header lines than allowed.
    #[error("a message has more than {limit} headers")]
    TooManyHeaders {
        /// The limit, lines.
        limit: usize,
    },
    /// `Content-Length` announces more than is accepted. Found as soon as the header is read, before any of the body.
    #[error("a body of {length} bytes is announced, at most {limit} are accepted")]
    BodyTooLong {
        /// What was announced, bytes.
        length: u64,
        /// The limit, bytes.
        limit: usize,
    },
    /// `Content-Length` is not a plain decimal number.
    #[error("Content-Length is not a number: {value:?}")]
    InvalidContentLength {
        /// What stood there, escaped and shortened.
        value: String,
    },
    /// `Content-Length` stands more than once in a message, so its end is ambiguous.
    #[error("Content-Length stands twice in a message")]
    DuplicateContentLength,
    /// A NUL byte stands where a header should.
    #[error("a NUL byte in a header")]
    NulInHeader,
    /// A line of the header block is not `Name: value`.
    #[error("not a header line: {line:?}")]
    MalformedHeader {
        /// The line, escaped and shortened.
        line: String,
    },
    /// A header block without `Content-Type`: whoever connected does not speak this protocol.
    #[error("a message without Content-Type")]
    MissingContentType,

    /// The switch refused `connect`.
    #[error("connect was refused: {text}")]
    ConnectRefused {
        /// The switch's reply.
        text: String,
    },
    /// The reply to `connect` names no channel.
    #[error("the reply to connect has no Unique-ID")]
    MissingUniqueId,
    /// The channel does not carry the token that this pod expects.
    #[error("the call does not carry the expected token")]
    WrongToken,
    /// A reply came that no command of ours asked for.
    #[error("unexpected reply {reply} while waiting for {awaited}")]
    UnexpectedReply {
        /// The reply's kind: `command/reply`, `api/response` or `channel data`.
        reply: &'static str,
        /// The command that is waiting, or `none`.
        awaited: String,
    },
    /// The reply to `connect` did not come in time.
    #[error("no reply to connect in time")]
    HandshakeTimeout,
    /// The reply to a later command did not come in time.
    #[error("no reply to {what} in time")]
    CommandTimeout {
        /// The command that was not answered.
        what: CommandKind,
    },
    /// The switch accepted `answer`, but the channel did not become answered in time.
    #[error("the channel was not answered in time")]
    AnswerTimeout,
    /// The switch accepted `hangup`, but the channel did not end in time.
    #[error("the channel did not hang up in time")]
    HangUpTimeout,
}

impl EslError {
    /// What kind of error it is, as a metric's label: one of a handful of words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::HeaderLineTooLong { .. }
            | Self::HeaderBlockTooLong { .. }
            | Self::TooManyHeaders { .. }
            | Self::BodyTooLong { .. } => "too_long",
            Self::WrongToken => "wrong_token",
            Self::HandshakeTimeout | Self::CommandTimeout { .. } | Self::AnswerTimeout | Self::HangUpTimeout => {
                "timeout"
            }
            _ => "protocol",
        }
    }
}

/// A short, printable excerpt of what a peer sent, for error texts and logs: at most 48 bytes of it, escaped.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const LENGTH: usize = 48;
    let mut text = bytes[..bytes.len().min(LENGTH)].escape_ascii().to_string();
    if bytes.len() > LENGTH {
        text.push('…');
    }
    text
}
