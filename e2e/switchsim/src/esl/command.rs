//! A pod's commands, cut out of its byte stream: a line, optional headers, optional body. Bounded: a pod that never ends a
//! command is an error, not memory.

/// Longest line and headers of one command, in bytes. FreeSWITCH reads a little less.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longest body, and longest command line, in bytes: above the 500,000 characters that `uuid_setvar` was tried with.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What a pod must not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No blank line for too long.
    #[error("command of more than {limit} bytes without an end")]
    HeadTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// `content-length` that is no number or too big.
    #[error("content-length {value:?} is not a number up to {limit}")]
    ContentLength {
        /// As sent.
        value: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Not text.
    #[error("a command that is not UTF-8")]
    NotText,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its first line, trimmed.
    pub line: String,
    /// Headers behind it, in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// As many bytes as `content-length` said, as text.
    pub body: String,
}

impl Command {
    /// A header's value; names are compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(existing, _)| existing.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Collects bytes, gives commands.
#[derive(Debug, Default)]
pub struct CommandParser {
    buffer: Vec<u8>,
    /// No blank line begins before this: a long head is not searched again at each read.
    searched: usize,
}

impl CommandParser {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole command; `None` until more bytes come.
    ///
    /// # Errors
    /// The stream cannot be read any further.
    pub fn next(&mut self) -> Result<Option<Command>, ProtocolError> {
        if self.searched == 0 {
            let blank = self.buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            self.buffer.drain(..blank);
        }
        let Some((head_end, body_start)) = self.blank_line() else {
            self.searched = self.buffer.len().saturating_sub(3);
            // `api uuid_setvar` carries its value in the line, so the line may be as long as a body.
            return if self.buffer.len() > MAX_HEAD_BYTES + MAX_BODY_BYTES {
                Err(ProtocolError::HeadTooLong { limit: MAX_HEAD_BYTES + MAX_BODY_BYTES })
            } else {
                Ok(None)
            };
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).map_err(|_| ProtocolError::NotText)?;
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let line = lines.next().unwrap_or_default().trim().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let length = match headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            None => 0,
            Some((_, value)) => value
                .parse()
                .ok()
                .filter(|length| *length <= MAX_BODY_BYTES)
                .ok_or_else(|| ProtocolError::ContentLength { value: value.clone(), limit: MAX_BODY_BYTES })?,
        };
        let Some(body) = self.buffer.get(body_start..body_start + length) else {
            self.searched = head_end;
            return Ok(None);
        };
        let body = std::str::from_utf8(body).map_err(|_| ProtocolError::NotText)?.to_owned();
        self.buffer.drain(..body_start + length);
        self.searched = 0;
        Ok(Some(Command { line, headers, body }))
    }

    /// Where the head ends and where the body begins.
    fn blank_line(&self) -> Option<(usize, usize)> {
        let mut at = self.searched;
        while let Some(end) = self.buffer[at..].iter().position(|byte| *byte == b'\n').map(|offset| at + offset) {
            match &self.buffer[end + 1..] {
                [b'\n', ..] => return Some((end, end + 2)),
                [b'\r', b'\n', ..] => return Some((end, end + 3)),
                _ => at = end + 1,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(chunks: &[&[u8]]) -> Vec<Command> {
        let mut parser = CommandParser::default();
        let mut out = Vec::new();
        for chunk in chunks {
            parser.push(chunk);
            while let Some(command) = parser.next().unwrap() {
                out.push(command);
            }
        }
        out
    }

    const TWO: &[u8] =
        b"sendmsg\ncall-command: execute\nexecute-app-name: set\ncontent-length: 8\n\nx=1\r\ny\n\nconnect\n\n";

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let whole = commands(&[TWO]);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].body, "x=1\r\ny\n\n");
        assert_eq!(whole[1].line, "connect");
        for cut in 0..TWO.len() {
            assert_eq!(commands(&[&TWO[..cut], &TWO[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn header_names_have_no_case() {
        let command = &commands(&[b"sendmsg\nCall-Command: hangup\r\nHangup-Cause: NORMAL_CLEARING\r\n\r\n"])[0];
        assert_eq!(command.header("call-command"), Some("hangup"));
        assert_eq!(command.header("hangup-cause"), Some("NORMAL_CLEARING"));
    }

    #[test]
    fn a_body_has_a_limit() {
        let mut parser = CommandParser::default();
        parser.push(b"sendmsg\ncontent-length: 99999999\n\n");
        assert!(matches!(parser.next(), Err(ProtocolError::ContentLength { .. })));
        let mut parser = CommandParser::default();
        parser.push(b"sendmsg\ncontent-length: -1\n\n");
        assert!(parser.next().is_err());
    }

    #[test]
    fn a_command_without_an_end_has_a_limit() {
        let mut parser = CommandParser::default();
        let mut result = Ok(None);
        for _ in 0..2_000 {
            parser.push(&[b'x'; 1024]);
            result = parser.next();
            if result.is_err() {
                break;
            }
        }
        assert!(matches!(result, Err(ProtocolError::HeadTooLong { .. })));
    }
}
