//! Renders FreeSWITCH's events of one channel: the same headers in the same order and encoding as the recordings. Never
//! changes the channel.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::encode;
use crate::channel::{Channel, State, now_us};

/// What all events of one switch have in common.
#[derive(Debug)]
pub struct EventSource {
    core_uuid: String,
    sequence: AtomicU64,
}

impl EventSource {
    pub(crate) fn new(core_uuid: String) -> Self {
        Self { core_uuid, sequence: AtomicU64::new(1) }
    }
}

/// An application run by a pod's `sendmsg` or by the dialplan.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) name: String,
    pub(super) data: String,
    pub(super) uuid: String,
}

/// The events that a pod sees.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    Data,
    Execute(&'a Application),
    ExecuteComplete(&'a Application),
    Answer,
    Hangup,
    Unpark,
    StateChange,
    HangupComplete,
}

impl Event<'_> {
    /// Event name, and file, function and line of FreeSWITCH 1.11 that the recordings name as its origin.
    const fn origin(self) -> (&'static str, &'static str, &'static str, u32) {
        match self {
            Self::Data => ("CHANNEL_DATA", "mod_event_socket.c", "parse_command", 2029),
            Self::Execute(_) => ("CHANNEL_EXECUTE", "switch_core_session.c", "switch_core_session_exec", 2949),
            Self::ExecuteComplete(_) => {
                ("CHANNEL_EXECUTE_COMPLETE", "switch_core_session.c", "switch_core_session_exec", 2972)
            }
            Self::Answer => ("CHANNEL_ANSWER", "switch_channel.c", "switch_channel_perform_mark_answered", 3848),
            Self::Hangup => ("CHANNEL_HANGUP", "switch_channel.c", "switch_channel_perform_hangup", 3447),
            Self::Unpark => ("CHANNEL_UNPARK", "switch_ivr.c", "switch_ivr_park", 1213),
            Self::StateChange => {
                ("CHANNEL_STATE", "switch_channel.c", "switch_channel_perform_set_running_state", 2409)
            }
            Self::HangupComplete => {
                ("CHANNEL_HANGUP_COMPLETE", "switch_core_state_machine.c", "switch_core_session_reporting_state", 943)
            }
        }
    }
}

/// Collects `Name: value` lines.
pub(super) struct Headers(String);

impl Headers {
    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.put_part("", name, value);
    }

    fn put_part(&mut self, prefix: &str, name: &str, value: &str) {
        self.0.push_str(prefix);
        self.0.push_str(name);
        self.0.push_str(": ");
        encode::append(&mut self.0, value);
        self.0.push('\n');
    }

    fn put_number(&mut self, prefix: &str, name: &str, value: u64) {
        let _ = writeln!(self.0, "{prefix}{name}: {value}");
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

/// The event as a message of `myevents plain`.
pub(super) fn message(source: &EventSource, channel: &Channel, event: Event<'_>) -> String {
    let body = headers(source, channel, event).finish();
    format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{body}", body.len())
}

/// A channel as text, as `uuid_dump` gives it.
pub(crate) fn dump(source: &EventSource, channel: &Channel) -> String {
    headers(source, channel, Event::Data).finish()
}

/// The event's headers, without the blank line behind them.
pub(super) fn headers(source: &EventSource, channel: &Channel, event: Event<'_>) -> Headers {
    let mut out = Headers(String::with_capacity(8 * 1024));
    let (name, file, function, line) = event.origin();
    out.put("Event-Name", name);
    out.put("Core-UUID", &source.core_uuid);
    out.put("FreeSWITCH-Hostname", "switchsim");
    out.put("FreeSWITCH-Switchname", "switchsim");
    out.put("FreeSWITCH-IPv4", "127.0.0.1");
    out.put("FreeSWITCH-IPv6", "::1");
    let now = now_us();
    out.put("Event-Date-Local", &local_time(now));
    out.put("Event-Date-GMT", &gmt(now));
    out.put_number("", "Event-Date-Timestamp", now);
    out.put("Event-Calling-File", file);
    out.put("Event-Calling-Function", function);
    out.put_number("", "Event-Calling-Line-Number", u64::from(line));
    out.put_number("", "Event-Sequence", source.sequence.fetch_add(1, Ordering::Relaxed));

    // The last event names the cause twice; so it is recorded.
    if let (Event::HangupComplete, Some(cause)) = (event, channel.cause) {
        out.put("Hangup-Cause", cause.name());
    }
    if matches!(event, Event::Data) {
        caller_profile(&mut out, "Channel-", channel);
    }
    out.put("Channel-State", channel.state.name());
    out.put("Channel-Call-State", channel.call_state.name());
    out.put_number("", "Channel-State-Number", u64::from(channel.state_number));
    out.put("Channel-Name", &channel.name);
    out.put("Unique-ID", &channel.uuid);
    out.put("Call-Direction", "inbound");
    out.put("Presence-Call-Direction", "inbound");
    out.put("Channel-HIT-Dialplan", "true");
    out.put("Channel-Call-UUID", &channel.uuid);
    out.put("Answer-State", channel.answer_state());
    if let Some(cause) = channel.cause {
        out.put("Hangup-Cause", cause.name());
    }
    caller_profile(&mut out, "Caller-", channel);
    if !matches!(event, Event::StateChange) {
        for (name, value) in channel.variables.iter() {
            out.put_part("variable_", name, value);
        }
    }
    match event {
        Event::Execute(application) => put_application(&mut out, application, false),
        Event::ExecuteComplete(application) => put_application(&mut out, application, true),
        _ => {}
    }
    out
}

fn put_application(out: &mut Headers, application: &Application, complete: bool) {
    out.put("Application", &application.name);
    if !application.data.is_empty() {
        out.put("Application-Data", &application.data);
    }
    if complete {
        out.put("Application-Response", "_none_");
    }
    out.put("Application-UUID", &application.uuid);
}

fn caller_profile(out: &mut Headers, prefix: &str, channel: &Channel) {
    for (name, value) in [
        ("Direction", "inbound"),
        ("Logical-Direction", "inbound"),
        ("Username", &channel.caller_number),
        ("Dialplan", "XML"),
        ("Caller-ID-Name", &channel.caller_name),
        ("Caller-ID-Number", &channel.caller_number),
        ("Orig-Caller-ID-Name", &channel.caller_name),
        ("Orig-Caller-ID-Number", &channel.caller_number),
        ("Network-Addr", &channel.network_addr),
        ("ANI", &channel.caller_number),
        ("Destination-Number", &channel.destination),
        ("Unique-ID", &channel.uuid),
        ("Source", "mod_sofia"),
        ("Context", &channel.context),
        ("Channel-Name", &channel.name),
        ("Profile-Index", "1"),
    ] {
        out.put_part(prefix, name, value);
    }
    let hangup_us = if channel.state == State::Reporting { channel.hangup_us } else { 0 };
    for (name, value) in [
        ("Profile-Created-Time", channel.created_us),
        ("Channel-Created-Time", channel.created_us),
        ("Channel-Answered-Time", channel.answered_us),
        ("Channel-Progress-Time", 0),
        ("Channel-Progress-Media-Time", 0),
        ("Channel-Hangup-Time", hangup_us),
        ("Channel-Transfer-Time", 0),
        ("Channel-Resurrect-Time", 0),
        ("Channel-Bridged-Time", 0),
        ("Channel-Last-Hold", 0),
        ("Channel-Hold-Accum", 0),
    ] {
        out.put_number(prefix, name, value);
    }
    for (name, value) in [("Screen-Bit", "true"), ("Privacy-Hide-Name", "false"), ("Privacy-Hide-Number", "false")] {
        out.put_part(prefix, name, value);
    }
}

fn timestamp(us: u64) -> Timestamp {
    i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-11-22 07:51:41`; this switch lives in UTC.
pub(super) fn local_time(us: u64) -> String {
    timestamp(us).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `Sun, 22 Nov 2026 07:51:41 GMT`
fn gmt(us: u64) -> String {
    timestamp(us).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_recorded() {
        assert_eq!(local_time(1_795_333_901_598_474), "2026-11-22 07:51:41");
        assert_eq!(gmt(1_795_333_901_598_474), "Sun, 22 Nov 2026 07:51:41 GMT");
    }
}
