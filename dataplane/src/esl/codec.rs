//! Cuts the event socket's byte stream into messages, wherever the stream was cut, in linear time and within limits.
//! It never interprets what a message means for a call.

use super::error::{EslError, excerpt};
use super::headers::{Encoding, Headers, split_line};
use super::message::{ApiResponse, ChannelData, CommandReply, DisconnectNotice, EslMessage, Event};

/// How large a message may be. The defaults are far above what FreeSWITCH sends (a channel's data is some 6 KiB) and
/// leave room for a state variable of 16 KiB in which percent-encoding triples every byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One header line without its line feed, bytes.
    pub header_line: usize,
    /// All header lines of one message, bytes. An event's own headers count as body.
    pub header_block: usize,
    /// Header lines in one message; an event's own headers are counted apart, against the same limit.
    pub headers: usize,
    /// One body, bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_line: 64 << 10, header_block: 1 << 20, headers: 1024, body: 1 << 20 }
    }
}

/// What an idle parser keeps of its buffers: enough for a short reply, bytes and header lines.
const IDLE_CAPACITY: usize = 256;
const IDLE_FIELDS: usize = 8;

/// The incremental parser: [`push`](Self::push) what was read, then take messages until there is none.
///
/// Memory: what was pushed since the last `Ok(None)`, and of an unfinished message at most
/// [`Limits::header_block`] + [`Limits::body`]. Time: each byte is looked at once, also when it arrives alone.
#[derive(Debug, Clone)]
pub struct Parser {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the message being read begins in `buffer`; what stands before it is spent.
    start: usize,
    /// Beginning of the line being read, counted from `start`.
    line: usize,
    /// How far that line has been searched for its line feed, counted from `start`.
    scanned: usize,
    fields: Vec<RawField>,
    content_length: Option<usize>,
    /// Set when the header block is whole: where the body begins, counted from `start`.
    body_at: Option<usize>,
    scratch: Vec<u8>,
    failed: Option<EslError>,
}

/// A header line that stays in the buffer until the block is whole, because only then it is known whether it is
/// percent-encoded. Positions are counted from the message's start, so that compaction doesn't move them.
#[derive(Debug, Clone, Copy)]
struct RawField {
    line: usize,
    end: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Parser {
    /// A parser at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            line: 0,
            scanned: 0,
            fields: Vec::new(),
            content_length: None,
            body_at: None,
            scratch: Vec::new(),
            failed: None,
        }
    }

    /// Appends bytes as they came from the socket. After an error they are ignored.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // Spent bytes are dropped only when they are at least half of what is held: then moving the rest costs no more
        // than was once paid to read the spent part.
        if self.start > 0 && self.start >= self.buffer.len() - self.start {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// What makes the stream unreadable; the same error is then returned for ever.
    pub fn next_message(&mut self) -> Result<Option<EslMessage>, EslError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance();
        match &result {
            Err(error) => {
                self.failed = Some(error.clone());
                self.buffer = Vec::new();
                self.start = 0;
                self.fields = Vec::new();
            }
            // A call is silent here for minutes on end: what the burst of set-up events needed is given back.
            Ok(None) if self.start == self.buffer.len() => {
                self.buffer.clear();
                self.buffer.shrink_to(IDLE_CAPACITY);
                self.fields.shrink_to(IDLE_FIELDS);
                self.scratch = Vec::new();
                self.start = 0;
            }
            Ok(_) => {}
        }
        result
    }

    /// Bytes that are held for a message that is not whole yet.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn advance(&mut self) -> Result<Option<EslMessage>, EslError> {
        let body_at = match self.body_at {
            Some(at) => at,
            None => match self.read_header_block()? {
                Some(at) => at,
                None => return Ok(None),
            },
        };
        self.body_at = Some(body_at);
        let end = body_at + self.content_length.unwrap_or(0);
        if self.buffer.len() - self.start < end {
            return Ok(None);
        }
        let message = self.assemble(body_at, end)?;
        self.start += end;
        self.line = 0;
        self.scanned = 0;
        self.fields.clear();
        self.content_length = None;
        self.body_at = None;
        Ok(Some(message))
    }

    /// Reads header lines until the blank one; the position after it, or `None` when the bytes end before.
    fn read_header_block(&mut self) -> Result<Option<usize>, EslError> {
        loop {
            let held = &self.buffer[self.start..];
            let fresh = &held[self.scanned..];
            let found = fresh.iter().position(|&byte| byte == b'\n');
            let line_end = self.scanned + found.unwrap_or(fresh.len());
            if line_end - self.line > self.limits.header_line {
                return Err(EslError::HeaderLineTooLong { limit: self.limits.header_line });
            }
            if line_end > self.limits.header_block {
                return Err(EslError::HeaderBlockTooLong { limit: self.limits.header_block });
            }
            if held[self.scanned..line_end].contains(&0) {
                return Err(EslError::NulInHeader);
            }
            if found.is_none() {
                self.scanned = line_end;
                return Ok(None);
            }
            let line = &held[self.line..line_end];
            if line.is_empty() || line == b"\r" {
                if self.fields.is_empty() {
                    // Blank lines between messages mean nothing: skip them, so that they never add up to a block.
                    self.start += line_end + 1;
                    self.line = 0;
                    self.scanned = 0;
                    continue;
                }
                return Ok(Some(line_end + 1));
            }
            let (name, value) = split_line(line).ok_or_else(|| EslError::MalformedHeader { line: excerpt(line) })?;
            if name.eq_ignore_ascii_case(b"Content-Length") {
                if self.content_length.is_some() {
                    return Err(EslError::DuplicateContentLength);
                }
                self.content_length = Some(content_length(value, self.limits.body)?);
            }
            if self.fields.len() == self.limits.headers {
                return Err(EslError::TooManyHeaders { limit: self.limits.headers });
            }
            self.fields.push(RawField { line: self.line, end: line_end });
            self.line = line_end + 1;
            self.scanned = self.line;
        }
    }

    fn assemble(&mut self, body_at: usize, end: usize) -> Result<EslMessage, EslError> {
        let held = &self.buffer[self.start..];
        let body = &held[body_at..end];
        let lines = || self.fields.iter().filter_map(|field| split_line(&held[field.line..field.end]));
        let raw = |wanted: &str| lines().find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).map(|(_, v)| v);
        let content_type = raw("Content-Type").ok_or(EslError::MissingContentType)?;

        // The reply to `connect` is the one whose headers are the channel's data, percent-encoded as in an event.
        let channel_data = content_type == b"command/reply" && raw("Event-Name").is_some();
        let encoding = if channel_data { Encoding::Percent } else { Encoding::Plain };
        let mut headers = Headers::with_capacity(body_at, self.fields.len());
        for (name, value) in lines() {
            headers.push(name, value, encoding, &mut self.scratch);
        }

        Ok(match content_type {
            b"command/reply" if channel_data => EslMessage::ChannelData(ChannelData::new(headers)),
            b"command/reply" => EslMessage::CommandReply(CommandReply::new(headers.get("Reply-Text").unwrap_or(""))),
            b"api/response" => {
                EslMessage::ApiResponse(ApiResponse { body: String::from_utf8_lossy(body).into_owned() })
            }
            b"text/event-plain" => EslMessage::Event(parse_event(body, &self.limits, &mut self.scratch)?),
            b"text/disconnect-notice" => EslMessage::Disconnect(DisconnectNotice::new(&headers)),
            other => EslMessage::Other { content_type: excerpt(other) },
        })
    }
}

/// An event: its own headers, percent-encoded, and perhaps its own body.
///
/// The event's extent is certain by now, so one odd line in it is skipped rather than ending a caller's call.
fn parse_event(block: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<Event, EslError> {
    let mut headers = Headers::with_capacity(block.len(), 160);
    let mut rest = block;
    while !rest.is_empty() {
        let (line, after) = match rest.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        if line.is_empty() || line == b"\r" {
            break;
        }
        let Some((name, value)) = split_line(line) else { continue };
        if headers.len() == limits.headers {
            return Err(EslError::TooManyHeaders { limit: limits.headers });
        }
        headers.push(name, value, Encoding::Percent, scratch);
    }
    let body = match headers.get("Content-Length") {
        Some(length) => {
            let length = content_length(length.as_bytes(), limits.body)?.min(rest.len());
            Some(String::from_utf8_lossy(&rest[..length]).into_owned())
        }
        None => None,
    };
    Ok(Event::new(headers, body))
}

/// A `Content-Length` value: decimal digits only, so that neither a sign nor a blank passes, and within the limit.
fn content_length(value: &[u8], limit: usize) -> Result<usize, EslError> {
    let value = value.trim_ascii_end();
    let invalid = || EslError::InvalidContentLength { value: excerpt(value) };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    let text = std::str::from_utf8(value).map_err(|_| invalid())?;
    let length: u64 = text.parse().map_err(|_| invalid())?;
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(EslError::BodyTooLong { length, limit }),
    }
}

#[cfg(test)]
mod tests;
