//! One outbound ESL connection, seen from FreeSWITCH: commands in; replies, events and effects on the call out. Sans-IO:
//! never waits, never opens a socket; the leg that owns it decides when the next application runs.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::command::{Command, CommandParser, ProtocolError};
use super::event::{self, Application, Event, EventSource};
use super::variables::{USER_AGENT, set_report_variables, sip_token};
use crate::cause::Cause;
use crate::channel::{CallState, Channel, SharedChannel, State, now_us};

/// Applications that a bypassed channel takes without an effect that a pod could see beyond their two events.
const WITHOUT_EFFECT: &[&str] = &[
    "break",
    "event",
    "info",
    "log",
    "multiset",
    "park",
    "playback",
    "pre_answer",
    "record_session",
    "ring_ready",
    "send_dtmf",
    "sleep",
    "start_dtmf",
    "stop_dtmf",
    "verbose_events",
];
/// Applications waiting for their turn; FreeSWITCH's own queue is bounded too.
const MAX_QUEUED: usize = 1_000;
/// FreeSWITCH's farewell.
pub(super) const GOODBYE: &str = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n";

/// What `api` reaches: the rest of the switch.
pub trait Api {
    /// Runs one API command.
    fn call(&mut self, name: &str, arguments: &str) -> ApiResult;
}

/// An API command's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiResult {
    /// The response's body.
    Body(String),
    /// No such command.
    NotFound,
}

/// What `api` answers to a line.
pub(crate) fn api_response(line: &str, api: &mut dyn Api) -> String {
    let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match api.call(name, arguments.trim()) {
        ApiResult::Body(body) if body.is_empty() => "-ERR no reply\n".to_owned(),
        ApiResult::Body(body) => body,
        ApiResult::NotFound => format!("-ERR {name} Command not found!\n"),
    }
}

/// What a pod brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A command came, for the journal; never its body.
    Command(String),
    /// The call is answered with this SDP.
    Answer(String),
    /// The pod ended its channel; the events are written already.
    HangUp(Cause),
    /// The pod said `exit`.
    Exit,
}

/// How a channel came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// This channel itself hung up.
    Own,
    /// BYE from leg B.
    Bye,
    /// CANCEL from leg B: it was never answered.
    Cancel,
}

#[derive(Debug)]
enum Queued {
    Execute(Application),
    HangUp(Cause),
}

/// The connection's state.
#[derive(Debug)]
pub struct EslSession {
    parser: CommandParser,
    channel: SharedChannel,
    source: Arc<EventSource>,
    socket_application: Application,
    connected: bool,
    events: bool,
    linger_seconds: Option<u64>,
    ended: bool,
    queue: VecDeque<Queued>,
    last_application: String,
    output: Vec<u8>,
}

impl EslSession {
    /// A connection just made by the application `socket` with that data (`host:port|… async full`).
    #[must_use]
    pub fn new(channel: SharedChannel, source: Arc<EventSource>, socket_data: &str) -> Self {
        Self {
            parser: CommandParser::default(),
            channel,
            source,
            socket_application: Application {
                name: "socket".to_owned(),
                data: socket_data.to_owned(),
                uuid: Uuid::new_v4().to_string(),
            },
            connected: false,
            events: false,
            linger_seconds: None,
            ended: false,
            queue: VecDeque::new(),
            last_application: "socket".to_owned(),
            output: Vec::new(),
        }
    }

    /// Takes bytes from the pod.
    ///
    /// # Errors
    /// The stream cannot be read any further; the connection is to be closed.
    pub fn input(&mut self, bytes: &[u8], api: &mut dyn Api) -> Result<Vec<Effect>, ProtocolError> {
        self.parser.push(bytes);
        let mut effects = Vec::new();
        while let Some(command) = self.parser.next()? {
            self.command(&command, api, &mut effects);
        }
        Ok(effects)
    }

    /// What is to be written to the pod.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the pod has said `connect`.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether an application waits for its turn.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        !self.ended && !self.queue.is_empty()
    }

    /// How long the connection stays after the hang-up; `None`: not at all.
    #[must_use]
    pub fn linger_seconds(&self) -> Option<u64> {
        self.linger_seconds
    }

    fn reply(&mut self, text: &str) {
        self.output.extend_from_slice(format!("Content-Type: command/reply\nReply-Text: {text}\n\n").as_bytes());
    }

    fn send(&mut self, channel: &Channel, event: Event<'_>) {
        if self.events {
            self.output.extend_from_slice(event::message(&self.source, channel, event).as_bytes());
        }
    }

    fn command(&mut self, command: &Command, api: &mut dyn Api, effects: &mut Vec<Effect>) {
        let (verb, rest) = command.line.split_once(char::is_whitespace).unwrap_or((&command.line, ""));
        let rest = rest.trim();
        effects.push(Effect::Command(summary(command)));
        match verb {
            "connect" => self.connect(),
            "linger" => {
                // Without a number FreeSWITCH stays until the last event is read; half a minute is as good as for ever.
                let seconds = rest.parse().ok();
                self.linger_seconds = Some(seconds.unwrap_or(30));
                match seconds {
                    Some(seconds) => self.reply(&format!("+OK will linger {seconds} seconds")),
                    None => self.reply("+OK will linger"),
                }
            }
            "nolinger" => {
                self.linger_seconds = None;
                self.reply("+OK will not linger");
            }
            "myevents" => {
                self.events = true;
                self.reply("+OK Events Enabled");
            }
            "event" => {
                self.events = true;
                self.reply("+OK event listener enabled plain");
            }
            "noevents" => {
                self.events = false;
                self.reply("+OK no longer listening for events");
            }
            "resume" | "divert_events" => self.reply("+OK"),
            "getvar" => {
                let value = self.channel.lock().variables.get(rest).unwrap_or_default().to_owned();
                self.reply(&value);
            }
            "api" => {
                let body = api_response(rest, api);
                let message = format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len());
                self.output.extend_from_slice(message.as_bytes());
            }
            "bgapi" => {
                let job = Uuid::new_v4();
                self.reply(&format!("+OK Job-UUID: {job}\nJob-UUID: {job}"));
                api_response(rest, api);
            }
            "sendmsg" => self.sendmsg(command, rest),
            "exit" => {
                self.reply("+OK bye");
                effects.push(Effect::Exit);
            }
            _ => self.reply("-ERR command not found"),
        }
    }

    fn connect(&mut self) {
        let channel = self.channel.lock().clone();
        let mut headers = event::headers(&self.source, &channel, Event::Data);
        headers.put("Content-Type", "command/reply");
        headers.put("Reply-Text", "+OK\n");
        headers.put("Socket-Mode", "async");
        headers.put("Control", "full");
        self.output.extend_from_slice(headers.finish().as_bytes());
        self.connected = true;
    }

    fn sendmsg(&mut self, command: &Command, target: &str) {
        let own = self.channel.lock().uuid.clone();
        if self.ended || !(target.is_empty() || target == own) {
            let target = if target.is_empty() { &own } else { target };
            return self.reply(&format!("-ERR invalid session id [{target}]"));
        }
        if self.queue.len() >= MAX_QUEUED {
            return self.reply("-ERR memory error");
        }
        match command.header("call-command") {
            Some("execute") => {
                let data = command.header("execute-app-arg").map_or(&*command.body, |argument| argument);
                let uuid = command.header("event-uuid").map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
                let name = command.header("execute-app-name").unwrap_or_default().to_owned();
                self.queue.push_back(Queued::Execute(Application { name, data: data.to_owned(), uuid }));
            }
            Some("hangup") => {
                let cause = command.header("hangup-cause").map_or(Cause::NORMAL_CLEARING, Cause::named);
                self.queue.push_back(Queued::HangUp(cause));
            }
            _ => {}
        }
        self.reply("+OK");
    }

    /// Runs the next application of the queue, as FreeSWITCH's session thread does once a tick.
    pub fn run_next(&mut self) -> Option<Effect> {
        if self.ended {
            return None;
        }
        match self.queue.pop_front()? {
            Queued::HangUp(cause) => {
                self.hang_up(cause, Ending::Own);
                Some(Effect::HangUp(cause))
            }
            Queued::Execute(application) => self.execute(application),
        }
    }

    fn execute(&mut self, application: Application) -> Option<Effect> {
        {
            let mut channel = self.channel.lock();
            channel.variables.set("current_loop", "1");
            channel.variables.set("total_loops", "1");
        }
        let known = WITHOUT_EFFECT.contains(&application.name.as_str())
            || matches!(application.name.as_str(), "set" | "export" | "unset" | "answer" | "hangup");
        if !known {
            // Answered with +OK before; now it ends the call, without an event for the application.
            self.hang_up(Cause::DESTINATION_OUT_OF_ORDER, Ending::Own);
            return Some(Effect::HangUp(Cause::DESTINATION_OUT_OF_ORDER));
        }
        let shared = self.channel.clone();
        let mut channel = shared.lock();
        channel.variables.remove("current_application_data");
        channel.variables.set("current_application", application.name.as_str());
        channel.variables.set("current_application_data", application.data.as_str());
        self.send(&channel, Event::Execute(&application));
        // FreeSWITCH writes the name once more before the application runs, which changes the order of the two.
        channel.variables.set("current_application", application.name.as_str());

        let mut effect = None;
        match application.name.as_str() {
            "set" | "export" => {
                if let Some((name, value)) = application.data.split_once('=') {
                    channel.variables.set(name.trim(), value);
                }
            }
            "unset" => channel.variables.remove(application.data.trim()),
            "answer" if channel.answered_us == 0 => match channel.variables.get("switch_m_sdp").map(str::to_owned) {
                Some(sdp) => {
                    channel.answered_us = now_us();
                    channel.variables.set("rtp_local_sdp_str", sdp.as_str());
                    self.send(&channel, Event::Answer);
                    channel.call_state = CallState::Active;
                    channel.variables.set("endpoint_disposition", "ANSWER");
                    effect = Some(Effect::Answer(sdp));
                }
                None => {
                    drop(channel);
                    self.hang_up(Cause::INCOMPATIBLE_DESTINATION, Ending::Own);
                    return Some(Effect::HangUp(Cause::INCOMPATIBLE_DESTINATION));
                }
            },
            "hangup" => {
                let cause =
                    if application.data.is_empty() { Cause::NORMAL_CLEARING } else { Cause::named(&application.data) };
                drop(channel);
                self.hang_up(cause, Ending::Own);
                return Some(Effect::HangUp(cause));
            }
            _ => {}
        }
        self.send(&channel, Event::ExecuteComplete(&application));
        channel.variables.remove("current_loop");
        channel.variables.remove("total_loops");
        self.last_application = application.name;
        effect
    }

    /// The ACK for the 200 OK came: FreeSWITCH takes the dialog's headers from it.
    pub(crate) fn confirmed(&mut self) {
        let mut channel = self.channel.lock();
        let tag = sip_token(&Uuid::new_v4());
        let get = |channel: &Channel, name: &str| channel.variables.get(name).unwrap_or_default().to_owned();
        let port = get(&channel, "sip_network_port");
        let branch = sip_token(&Uuid::new_v4());
        let again = |channel: &mut Channel, name: &str| {
            let value = get(channel, name);
            channel.variables.set(name, value);
        };
        channel.variables.set("sip_to_tag", tag.as_str());
        again(&mut channel, "sip_from_tag");
        channel.variables.set("sip_cseq", "123113158");
        again(&mut channel, "sip_call_id");
        let host = get(&channel, "sip_network_ip");
        channel.variables.set("sip_full_via", format!("SIP/2.0/UDP {host}:{port};rport={port};branch=z9hG4bK{branch}"));
        again(&mut channel, "sip_from_display");
        again(&mut channel, "sip_full_from");
        let to = get(&channel, "sip_full_to");
        channel.variables.set("sip_full_to", format!("{to};tag={tag}"));
    }

    /// Ends the channel: writes the events of a hang-up and the notice that the connection lingers, if it does.
    pub(crate) fn hang_up(&mut self, cause: Cause, ending: Ending) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.queue.clear();
        let shared = self.channel.clone();
        let mut channel = shared.lock();
        channel.cause = Some(cause);
        channel.state_number = 10;
        channel.hangup_us = now_us();
        if ending == Ending::Bye {
            let number = cause.number();
            let kind = if number < 128 { "Q.850" } else { "SIP" };
            channel.variables.set("sip_reason", format!("{kind};cause={number};text=\"{cause}\""));
            channel.variables.set("sip_term_status", "200");
            channel.variables.set("proto_specific_hangup_cause", "sip:200");
            channel.variables.set("sip_term_cause", number.to_string());
        }
        self.send(&channel, Event::Hangup);
        channel.variables.remove("current_loop");
        channel.variables.remove("total_loops");
        if ending == Ending::Bye {
            channel.variables.set("sip_user_agent", USER_AGENT);
        }
        match ending {
            Ending::Bye => channel.variables.set("sip_hangup_disposition", "recv_bye"),
            Ending::Cancel => channel.variables.set("sip_hangup_disposition", "recv_cancel"),
            Ending::Own => {}
        }
        self.send(&channel, Event::Unpark);
        let socket = self.socket_application.clone();
        self.send(&channel, Event::ExecuteComplete(&socket));
        channel.state = State::Hangup;
        self.send(&channel, Event::StateChange);
        channel.state = State::Reporting;
        channel.call_state = CallState::Hangup;
        channel.state_number = 11;
        self.send(&channel, Event::StateChange);
        set_report_variables(&mut channel, &self.last_application);
        if ending == Ending::Own {
            let disposition = if channel.answered_us == 0 { "send_refuse" } else { "send_bye" };
            channel.variables.set("sip_hangup_disposition", disposition);
        }
        self.send(&channel, Event::HangupComplete);
        if let Some(seconds) = self.linger_seconds {
            let (uuid, name) = (&channel.uuid, channel.name.replace(['\r', '\n'], ""));
            let notice = format!(
                "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {uuid}\nContent-Disposition: linger\n\
                 Channel-Name: {name}\nLinger-Time: {seconds}\nContent-Length: 0\n\n"
            );
            self.output.extend_from_slice(notice.as_bytes());
        }
    }

    /// The last message before FreeSWITCH closes the connection.
    pub fn say_goodbye(&mut self) {
        let uuid = self.channel.lock().uuid.clone();
        let notice = format!(
            "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {uuid}\nContent-Disposition: disconnect\n\
             Content-Length: {}\n\n{GOODBYE}",
            GOODBYE.len()
        );
        self.output.extend_from_slice(notice.as_bytes());
    }
}

/// A command in few words, for the journal: state that a pod stores may be long, and private.
fn summary(command: &Command) -> String {
    let mut text: String = command.line.chars().take(120).collect();
    for name in ["call-command", "execute-app-name", "hangup-cause"] {
        if let Some(value) = command.header(name) {
            text.push(' ');
            text.extend(value.chars().take(60));
        }
    }
    text
}
