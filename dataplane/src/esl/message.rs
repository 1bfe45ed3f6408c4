//! What the event socket says: replies, events, the channel's data, the notice before it closes. Never decides what
//! a message means for a call.

use super::headers::Headers;
use std::time::Duration;

/// One message from FreeSWITCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EslMessage {
    /// `command/reply`: the answer to a command other than `api` and `connect`.
    CommandReply(CommandReply),
    /// `api/response`: the answer to an `api` command.
    ApiResponse(ApiResponse),
    /// `command/reply` to `connect`: all that is known of the channel.
    ChannelData(ChannelData),
    /// `text/event-plain`.
    Event(Event),
    /// `text/disconnect-notice`: the channel has ended, or the socket is about to close.
    Disconnect(DisconnectNotice),
    /// A content type that this pod has no use for; a newer switch may send such.
    Other {
        /// The content type, escaped and shortened.
        content_type: String,
    },
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReply {
    /// Whether the command was accepted. `+OK` to `sendmsg` means queued, not done.
    pub ok: bool,
    /// `Reply-Text` as it came, such as `+OK will linger 2 seconds` or `-ERR command not found`.
    pub text: String,
}

impl CommandReply {
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim();
        Self { ok: !text.starts_with('-'), text: text.to_owned() }
    }
}

/// The answer to an `api` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// The body as it came: mostly `+OK…` or `-ERR …` with a line feed; for `uuid_getvar` the bare value.
    pub body: String,
}

impl ApiResponse {
    /// The trimmed text: `Err` for `-ERR …` and `-USAGE: …`, the leading `+OK` kept otherwise.
    ///
    /// # Errors
    /// The switch's own words when it refused.
    pub fn result(&self) -> Result<&str, &str> {
        let text = self.body.trim();
        if text.starts_with("-ERR") || text.starts_with("-USAGE") { Err(text) } else { Ok(text) }
    }
}

/// An event of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Event-Name`, such as `CHANNEL_ANSWER`; empty when the event has none.
    pub name: String,
    /// The event's headers, percent-decoding done.
    pub headers: Headers,
    /// The event's own body, when it has one.
    pub body: Option<String>,
}

impl Event {
    pub(super) fn new(headers: Headers, body: Option<String>) -> Self {
        Self { name: headers.get("Event-Name").unwrap_or("").to_owned(), headers, body }
    }

    /// The channel that the event is about.
    pub fn unique_id(&self) -> Option<&str> {
        self.headers.get("Unique-ID")
    }

    /// Why the channel ended, in the events that tell.
    pub fn hangup_cause(&self) -> Option<&str> {
        self.headers.get("Hangup-Cause")
    }
}

/// The notice before the socket closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisconnectNotice {
    /// How long the socket stays open for the last events; `None` when it closes now.
    pub linger: Option<Duration>,
}

impl DisconnectNotice {
    pub(super) fn new(headers: &Headers) -> Self {
        let lingers = headers.get("Content-Disposition").is_some_and(|value| value.eq_ignore_ascii_case("linger"));
        let seconds = headers.get("Linger-Time").and_then(|value| value.trim().parse::<u32>().ok()).unwrap_or(0);
        Self { linger: lingers.then(|| Duration::from_secs(seconds.into())) }
    }
}

/// What is known of the channel: the reply to `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelData {
    headers: Headers,
}

impl ChannelData {
    pub(super) fn new(headers: Headers) -> Self {
        Self { headers }
    }

    /// All headers, percent-decoding done.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The channel that this socket controls: leg C.
    pub fn unique_id(&self) -> Option<&str> {
        self.headers.get("Unique-ID").filter(|id| !id.is_empty())
    }

    /// The caller's number as the switch has it, such as `+15550001`; empty when withheld.
    pub fn caller_number(&self) -> &str {
        self.headers.get("Caller-Caller-ID-Number").unwrap_or("")
    }

    /// The caller's display name.
    pub fn caller_name(&self) -> &str {
        self.headers.get("Caller-Caller-ID-Name").unwrap_or("")
    }

    /// Whether the switch shows another number or name than the caller's own (SIP header `X-Caller: replaced`), because that would
    /// not get through a SIP header. Leg A has the caller's.
    pub fn caller_was_replaced(&self) -> bool {
        self.sip_header("X-Caller") == Some("replaced")
    }

    /// The number that was dialled.
    pub fn destination(&self) -> &str {
        self.headers.get("Caller-Destination-Number").unwrap_or("")
    }

    /// A channel variable. Like the switch's own look-up it does not mind case.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variable_of("", name)
    }

    /// A SIP header of the INVITE that the switch keeps as variable `sip_h_<name>`: only `X-…` headers are kept.
    pub fn sip_header(&self, name: &str) -> Option<&str> {
        self.variable_of("sip_h_", name)
    }

    /// The SDP offer, empty offers counted as none.
    pub fn offer(&self) -> Option<&str> {
        self.variable("switch_r_sdp").filter(|sdp| !sdp.is_empty())
    }

    /// The caller's own channel, leg A, which outlives this one.
    pub fn call_uuid(&self) -> Option<&str> {
        self.sip_header("X-Call-UUID").filter(|id| !id.is_empty())
    }

    /// Which try at this caller this is, from 1; 2 and more mean that a pod before this one lost the call or handed it over. The
    /// switch counts anew after each handover, and passes on what was before.
    pub fn attempt(&self) -> u32 {
        let number = |name| self.sip_header(name).and_then(|value| value.trim().parse::<u32>().ok());
        number("X-Attempt").unwrap_or(1).max(1).saturating_add(number("X-Earlier-Attempts").unwrap_or(0))
    }

    /// Whether a pod before this one has answered the caller.
    pub fn was_answered(&self) -> bool {
        self.sip_header("X-Answered") == Some("true")
    }

    /// The switch's name for why a transfer of this caller's came to nothing, where that is why the call comes; anything may stand in it.
    pub fn transfer_failed(&self) -> Option<&str> {
        self.sip_header("X-Transfer-Failed").filter(|cause| !cause.is_empty())
    }

    /// Looks `variable_<prefix><name>` up without building that string.
    fn variable_of(&self, prefix: &str, name: &str) -> Option<&str> {
        let strip = |text: &'_ str, prefix: &str| -> Option<usize> {
            text.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix)).map(str::len)
        };
        self.headers.iter().find_map(|(header, value)| {
            let rest = &header[strip(header, "variable_")?..];
            let rest = &rest[strip(rest, prefix)?..];
            rest.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esl::headers::Encoding;

    fn channel(fields: &[(&str, &str)]) -> ChannelData {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes(), Encoding::Percent, &mut Vec::new());
        }
        ChannelData::new(headers)
    }

    #[test]
    fn variables_and_sip_headers_are_found() {
        let data = channel(&[
            ("variable_sip_h_X-Call-UUID", "leg-a"),
            ("variable_sip_h_X-Attempt", "2"),
            ("variable_switch_r_sdp", "v%3D0%0D%0A"),
        ]);
        assert_eq!(data.call_uuid(), Some("leg-a"));
        assert_eq!((data.attempt(), data.was_answered()), (2, false));
        assert_eq!(data.offer(), Some("v=0\r\n"));
        assert_eq!(data.variable("SIP_H_x-attempt"), Some("2"));
        assert_eq!(data.variable("sip_h_X"), None);
    }

    #[test]
    fn attempts_go_on_counting_over_handovers() {
        let data = channel(&[
            ("variable_sip_h_X-Attempt", "2"),
            ("variable_sip_h_X-Earlier-Attempts", "7"),
            ("variable_sip_h_X-Answered", "true"),
        ]);
        assert_eq!((data.attempt(), data.was_answered()), (9, true));
        assert_eq!(data.transfer_failed(), None);
        let data = channel(&[("variable_sip_h_X-Earlier-Attempts", "4294967295")]);
        assert_eq!(data.attempt(), u32::MAX);
    }

    #[test]
    fn what_is_missing_has_a_harmless_value() {
        let data = channel(&[("variable_sip_h_X-Attempt", "many"), ("variable_switch_r_sdp", "")]);
        assert_eq!(
            (data.unique_id(), data.caller_number(), data.caller_name(), data.destination()),
            (None, "", "", "")
        );
        assert_eq!((data.attempt(), data.offer(), data.call_uuid()), (1, None, None));
    }

    #[test]
    fn refusals_of_an_api_call_are_told_from_values() {
        let result =
            |body: &str| ApiResponse { body: body.to_owned() }.result().map(str::to_owned).map_err(str::to_owned);
        assert_eq!(result("+OK\n"), Ok("+OK".to_owned()));
        assert_eq!(result("-ERR No such channel!\n"), Err("-ERR No such channel!".to_owned()));
        assert_eq!(result("-USAGE: <uuid>\n"), Err("-USAGE: <uuid>".to_owned()));
        assert_eq!(result("-15"), Ok("-15".to_owned()));
    }
}
