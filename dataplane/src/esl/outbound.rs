//! One call's outbound event-socket session: handshake, pipelined commands and their replies, deadlines. It never
//! decides anything about the conversation, and never opens a socket or reads a clock.
//!
//! The driver feeds [`Outbound::handle_bytes`], [`Outbound::handle_timeout`] and [`Outbound::handle_disconnect`], and
//! after each of them drains [`Outbound::poll_event`], makes its requests, and then drains [`Outbound::poll_transmit`],
//! until [`Outbound::is_closed`]. Then it sends what is left and closes the socket. An idle but dead peer is not noticed
//! here: TCP keep-alive and the missing RTP tell.
//!
//! FreeSWITCH has one reader for a socket and answers each command in turn, an `api` call within the same turn.
//! So replies match commands first in, first out, and commands need not wait for each other: `linger`, `myevents`, `set`
//! and `answer` leave in one write.

mod request;
mod settings;

pub use request::{CommandKind, RequestError, RequestId};
pub use settings::{OutboundSettings, Token};

use super::codec::Parser;
use super::command::Command;
use super::error::EslError;
use super::message::{ApiResponse, ChannelData, CommandReply, DisconnectNotice, EslMessage, Event};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What happened on the session. [`Failed`](Self::Failed) and [`Disconnected`](Self::Disconnected) are the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundEvent {
    /// The switch offers a call; the token, where one is expected, was right. Answer it or hang it up.
    Offered(ChannelData),
    /// The channel is answered (`CHANNEL_ANSWER`): RTP flows.
    Answered,
    /// The channel has ended.
    HungUp {
        /// The switch's name for the reason, such as `NORMAL_CLEARING`; see [`super::HangupCause::from_name`].
        cause: String,
    },
    /// The outcome of [`Outbound::get_leg_a_variable`].
    VariableRead {
        /// What was asked.
        request: RequestId,
        /// The value, `None` when the variable is not set; or the switch's refusal.
        result: Result<Option<String>, String>,
    },
    /// The outcome of [`Outbound::set_leg_a_variable`], [`Outbound::transfer`] or [`Outbound::api`].
    ApiResult {
        /// What was asked.
        request: RequestId,
        /// The switch's trimmed reply, or its refusal.
        result: Result<String, String>,
    },
    /// The switch refused a command that has no request id. After a refused `set` or `answer` there will be no media.
    CommandFailed {
        /// Which command.
        what: CommandKind,
        /// The switch's words.
        text: String,
    },
    /// The channel is gone; the socket stays open this long for the last events.
    Lingering {
        /// How long the switch waits.
        duration: Duration,
    },
    /// The session is over in an orderly way, or the peer closed the socket.
    Disconnected,
    /// The session is over because of this error. Nothing more is sent.
    Failed(EslError),
}

/// One call's session.
#[derive(Debug, Clone)]
pub struct Outbound {
    settings: OutboundSettings,
    parser: Parser,
    phase: Phase,
    unique_id: String,
    leg_a: String,
    /// Commands that were sent and not answered yet, oldest first. One that is given up keeps its place for the reply.
    pending: VecDeque<Pending>,
    /// What must happen next on the channel, and until when.
    awaited: Option<(Awaited, Instant)>,
    lingering: bool,
    transmit: Vec<u8>,
    events: VecDeque<OutboundEvent>,
    next_request: u32,
}

/// How far the call is. Only ever moves downwards in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Connecting,
    Offered,
    Answering,
    Answered,
    HungUp,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    ChannelData,
    Answer,
    HangUp,
    Disconnect,
}

#[derive(Debug, Clone)]
struct Pending {
    what: CommandKind,
    request: Option<RequestId>,
    deadline: Instant,
    /// Its outcome was told before its reply came.
    given_up: bool,
}

impl Outbound {
    /// A session on a socket that the switch has just opened; `connect` is ready to be sent.
    pub fn new(settings: OutboundSettings, now: Instant) -> Self {
        let mut session = Self {
            parser: Parser::new(settings.limits.clone()),
            phase: Phase::Connecting,
            unique_id: String::new(),
            leg_a: String::new(),
            pending: VecDeque::new(),
            awaited: Some((Awaited::ChannelData, now + settings.handshake_timeout)),
            lingering: false,
            transmit: Vec::new(),
            events: VecDeque::new(),
            next_request: 0,
            settings,
        };
        session.send(now, CommandKind::Connect, None, &Command::connect());
        session
    }

    /// Takes bytes as they were read from the socket.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        self.parser.push(bytes);
        while !self.is_closed() {
            match self.parser.next_message() {
                Ok(Some(message)) => self.handle_message(now, message),
                Ok(None) => return,
                Err(error) => self.fail(error),
            }
        }
    }

    /// The peer closed the socket, or it broke.
    pub fn handle_disconnect(&mut self) {
        self.close(OutboundEvent::Disconnected);
    }

    /// How many commands were sent and have no reply yet.
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reply = self.pending.iter().map(|pending| pending.deadline);
        let awaited = self.awaited.map(|(_, deadline)| deadline);
        reply.chain(awaited).min()
    }

    /// Checks the deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((awaited, _)) = self.awaited.filter(|(_, deadline)| *deadline <= now) {
            match awaited {
                Awaited::ChannelData => self.fail(EslError::HandshakeTimeout),
                Awaited::Answer => self.fail(EslError::AnswerTimeout),
                Awaited::HangUp => self.fail(EslError::HangUpTimeout),
                // The call is over and told; a switch that forgets to close is no failure of it.
                Awaited::Disconnect => self.close(OutboundEvent::Disconnected),
            }
            return;
        }
        for at in 0..self.pending.len() {
            let pending = &mut self.pending[at];
            if pending.deadline > now {
                continue;
            }
            let what = pending.what;
            match pending.request {
                // A switch that is slow for a moment: nothing but this request is harmed.
                Some(request) if !pending.given_up => {
                    pending.given_up = true;
                    pending.deadline += self.settings.lost_timeout;
                    let waited = self.settings.command_timeout.as_secs_f32();
                    let text = format!("expected a reply to {what} within {waited} s, came none");
                    self.events.push_back(refused(what, request, text));
                }
                // Without these there is no call, or its replies are lost for good.
                _ => return self.fail(EslError::CommandTimeout { what }),
            }
        }
    }

    /// Bytes for the socket, everything queued so far in one piece.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.transmit.is_empty()).then(|| std::mem::take(&mut self.transmit))
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<OutboundEvent> {
        self.events.pop_front()
    }

    /// Whether the session is over: send what [`poll_transmit`](Self::poll_transmit) still gives and close the socket.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The channel that the socket controls, leg C; empty before [`OutboundEvent::Offered`].
    pub fn unique_id(&self) -> &str {
        &self.unique_id
    }

    /// The caller's channel, leg A; `None` before the offer, or when the dialplan did not name it.
    pub fn leg_a(&self) -> Option<&str> {
        (!self.leg_a.is_empty()).then_some(&self.leg_a)
    }

    fn handle_message(&mut self, now: Instant, message: EslMessage) {
        match message {
            EslMessage::ChannelData(data) => match self.pending.pop_front() {
                Some(pending) if pending.what == CommandKind::Connect => self.handle_channel_data(now, data),
                other => self.fail_unexpected("channel data", other),
            },
            EslMessage::CommandReply(reply) => match self.pending.pop_front() {
                Some(pending) => self.handle_reply(now, pending, reply),
                None => self.fail_unexpected("command/reply", None),
            },
            EslMessage::ApiResponse(response) => match self.pending.pop_front() {
                Some(Pending { given_up: true, .. }) => {}
                Some(Pending { what, request: Some(request), .. }) => {
                    self.handle_api_response(what, request, &response)
                }
                other => self.fail_unexpected("api/response", other),
            },
            EslMessage::Event(event) => self.handle_event(now, &event),
            EslMessage::Disconnect(notice) => self.handle_disconnect_notice(now, &notice),
            EslMessage::Other { .. } => {}
        }
    }

    fn handle_channel_data(&mut self, now: Instant, data: ChannelData) {
        if let Some(token) = &self.settings.token
            && !token.matches(data.variable(token.variable()))
        {
            return self.fail(EslError::WrongToken);
        }
        let Some(unique_id) = data.unique_id() else {
            return self.fail(EslError::MissingUniqueId);
        };
        self.unique_id = unique_id.to_owned();
        self.leg_a = data.call_uuid().unwrap_or("").to_owned();
        self.phase = Phase::Offered;
        self.awaited = None;
        // These two wait for the driver's answer and leave with it, or alone when it asks something first.
        self.send(now, CommandKind::Linger, None, &Command::linger(self.settings.linger_secs));
        self.send(now, CommandKind::MyEvents, None, &Command::my_events());
        self.events.push_back(OutboundEvent::Offered(data));
    }

    fn handle_reply(&mut self, now: Instant, pending: Pending, reply: CommandReply) {
        let CommandReply { ok, text } = reply;
        if pending.given_up {
            return;
        }
        if let Some(request) = pending.request {
            // An API call is answered this way only when the switch won't run it at all.
            return self.events.push_back(refused(pending.what, request, text));
        }
        match pending.what {
            CommandKind::Connect => self.fail(EslError::ConnectRefused { text }),
            what if !ok => {
                if what == CommandKind::Answer {
                    self.awaited = None;
                }
                self.events.push_back(OutboundEvent::CommandFailed { what, text });
            }
            CommandKind::Answer if self.phase == Phase::Answering => {
                self.awaited = Some((Awaited::Answer, now + self.settings.answer_timeout));
            }
            CommandKind::HangUp if self.phase < Phase::HungUp => {
                self.awaited = Some((Awaited::HangUp, now + self.settings.command_timeout));
            }
            _ => {}
        }
    }

    fn handle_api_response(&mut self, what: CommandKind, request: RequestId, response: &ApiResponse) {
        self.events.push_back(match response.result() {
            Err(text) => refused(what, request, text.to_owned()),
            Ok(text) if what == CommandKind::GetVariable => {
                let value = (text != "_undef_").then(|| text.to_owned());
                OutboundEvent::VariableRead { request, result: Ok(value) }
            }
            Ok(text) => OutboundEvent::ApiResult { request, result: Ok(text.to_owned()) },
        });
    }

    fn handle_event(&mut self, now: Instant, event: &Event) {
        if event.unique_id().is_some_and(|id| id != self.unique_id) {
            return;
        }
        match event.name.as_str() {
            "CHANNEL_ANSWER" if self.phase == Phase::Answering => {
                self.phase = Phase::Answered;
                if let Some((Awaited::Answer, _)) = self.awaited {
                    self.awaited = None;
                }
                self.events.push_back(OutboundEvent::Answered);
            }
            // COMPLETE comes later with the same cause: it counts only if the first was missed.
            "CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE" if (Phase::Offered..Phase::HungUp).contains(&self.phase) => {
                self.phase = Phase::HungUp;
                let linger = Duration::from_secs(self.settings.linger_secs.into());
                self.awaited = Some((Awaited::Disconnect, now + linger + self.settings.command_timeout));
                let cause = event.hangup_cause().unwrap_or("NORMAL_UNSPECIFIED").to_owned();
                self.events.push_back(OutboundEvent::HungUp { cause });
            }
            _ => {}
        }
    }

    fn handle_disconnect_notice(&mut self, now: Instant, notice: &DisconnectNotice) {
        match notice.linger {
            None => self.close(OutboundEvent::Disconnected),
            // Told once: a switch that repeats itself must not make the queue grow or the deadline move.
            Some(_) if self.lingering => {}
            Some(announced) => {
                let duration = announced.min(Duration::from_secs(self.settings.linger_secs.into()));
                self.awaited = Some((Awaited::Disconnect, now + duration + self.settings.command_timeout));
                self.lingering = true;
                self.events.push_back(OutboundEvent::Lingering { duration });
            }
        }
    }

    /// Queues a command whose reply will be awaited.
    fn send(&mut self, now: Instant, what: CommandKind, request: Option<RequestId>, command: &Command) {
        self.transmit.extend_from_slice(command.as_bytes());
        let deadline = now + self.settings.command_timeout;
        self.pending.push_back(Pending { what, request, deadline, given_up: false });
    }

    fn fail_unexpected(&mut self, reply: &'static str, awaited: Option<Pending>) {
        let awaited = awaited.map_or_else(|| "none".to_owned(), |pending| pending.what.to_string());
        self.fail(EslError::UnexpectedReply { reply, awaited });
    }

    /// Ends the session because of an error; what was queued is not sent any more.
    fn fail(&mut self, error: EslError) {
        self.transmit.clear();
        self.close(OutboundEvent::Failed(error));
    }

    /// Ends the session; requests that were not answered end first, so that nobody waits for them for ever.
    fn close(&mut self, last: OutboundEvent) {
        if self.is_closed() {
            return;
        }
        self.phase = Phase::Closed;
        self.awaited = None;
        for Pending { what, request, given_up, .. } in std::mem::take(&mut self.pending) {
            if let Some(request) = request.filter(|_| !given_up) {
                self.events.push_back(refused(what, request, "the connection closed before the reply".to_owned()));
            }
        }
        self.events.push_back(last);
    }
}

/// The outcome of a request that the switch did not carry out.
fn refused(what: CommandKind, request: RequestId, text: String) -> OutboundEvent {
    match what {
        CommandKind::GetVariable => OutboundEvent::VariableRead { request, result: Err(text) },
        _ => OutboundEvent::ApiResult { request, result: Err(text) },
    }
}

#[cfg(test)]
mod tests;
