//! Replays recorded event-socket traffic of real calls against the parser and the session: whatever the network cuts the
//! stream into, the same messages and events come out, and what the pod sends is byte for byte what FreeSWITCH was
//! seen to accept.

use sofia_dataplane::esl::{
    ChannelData, EslMessage, HangupCause, Outbound, OutboundEvent, OutboundSettings, Parser, Token,
};
use std::time::{Duration, Instant};

/// One read of a recording; an empty one is the end of that side's stream.
#[derive(serde::Deserialize)]
struct Read {
    from: String,
    data: String,
}

struct Recording {
    reads: Vec<Read>,
}

impl Recording {
    fn load(jsonl: &str) -> Self {
        let reads = jsonl.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
        Self { reads }
    }

    /// Everything that one side sent.
    fn sent_by(&self, side: &str) -> String {
        self.reads.iter().filter(|read| read.from == side).map(|read| read.data.as_str()).collect()
    }

    /// The SDP answer that the pod gave.
    fn answer(&self) -> &str {
        let set = self.reads.iter().find_map(|read| read.data.split_once("\n\nswitch_m_sdp=")).expect("an answer");
        set.1
    }

    /// The call as the session's driver lives it: the driver's own requests, and what the switch says between two things
    /// that the pod sent. What the session sends by itself, or together with the answer, is no request.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for read in &self.reads {
            if read.from == "pod" {
                steps.extend(request(&read.data).map(Step::Request));
                steps.push(Step::Bytes(Vec::new()));
            } else if let Some(Step::Bytes(bytes)) = steps.last_mut() {
                bytes.extend_from_slice(read.data.as_bytes());
            } else {
                panic!("the switch speaks before the pod");
            }
        }
        steps
    }
}

enum Step {
    Bytes(Vec<u8>),
    Request(Request),
}

enum Request {
    Api(String, String),
    Transfer(String, String),
    HangUp(HangupCause),
    Leave,
}

/// The driver's request that makes these bytes.
fn request(sent: &str) -> Option<Request> {
    if let Some(api) = sent.strip_prefix("api ") {
        let words: Vec<&str> = api.trim_end().split(' ').collect();
        return Some(match words[..] {
            ["uuid_transfer", _, destination, "XML", context] => {
                Request::Transfer(destination.to_owned(), context.to_owned())
            }
            [command, ..] => Request::Api(command.to_owned(), words[1..].join(" ")),
            [] => unreachable!("split gives at least one word"),
        });
    }
    if let Some(cause) = sent.strip_prefix("sendmsg\ncall-command: hangup\nhangup-cause: ") {
        return Some(Request::HangUp(HangupCause::from_name(cause.trim_end()).expect("a known cause")));
    }
    (sent == "exit\n\n").then_some(Request::Leave)
}

/// A session with its driver, which answers every offer at once; cloned to try one moment in many ways.
#[derive(Clone)]
struct Driven<'a> {
    session: Outbound,
    answer: &'a str,
    now: Instant,
    events: Vec<OutboundEvent>,
    sent: Vec<u8>,
}

impl<'a> Driven<'a> {
    fn new(recording: &'a Recording, now: Instant) -> Self {
        let session = Outbound::new(OutboundSettings::default(), now);
        let mut driven = Self { session, answer: recording.answer(), now, events: Vec::new(), sent: Vec::new() };
        driven.drain();
        driven
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.now, bytes);
        self.drain();
    }

    fn request(&mut self, request: &Request) {
        let now = self.now;
        match request {
            Request::Api(command, arguments) => self.session.api(now, command, arguments).map(drop),
            Request::Transfer(destination, context) => self.session.transfer(now, destination, context).map(drop),
            Request::HangUp(cause) => self.session.hang_up(now, *cause),
            Request::Leave => self.session.leave(now),
        }
        .expect("the recorded call was in a state for it");
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if matches!(event, OutboundEvent::Offered(_)) {
                self.session.answer(self.now, self.answer).expect("the call was just offered");
            }
            self.events.push(event);
        }
        self.sent.extend(std::iter::from_fn(|| self.session.poll_transmit()).flatten());
    }

    fn outcome(&self) -> (&[OutboundEvent], &[u8]) {
        (&self.events, &self.sent)
    }
}

/// Where each message of a stream ends, found by feeding it byte by byte.
fn message_ends(stream: &[u8]) -> Vec<usize> {
    let mut parser = Parser::default();
    let mut ends = Vec::new();
    for (index, &byte) in stream.iter().enumerate() {
        parser.push(&[byte]);
        while parser.next_message().expect("a recording is valid").is_some() {
            ends.push(index + 1);
        }
    }
    assert_eq!(ends.last(), Some(&stream.len()).filter(|_| !stream.is_empty()), "the recording ends amid a message");
    ends
}

fn messages(chunks: &[&[u8]]) -> Vec<EslMessage> {
    let mut parser = Parser::default();
    let mut messages = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        while let Some(message) = parser.next_message().expect("a recording is valid") {
            messages.push(message);
        }
    }
    messages
}

/// Plays the whole call with the stream cut into chunks of `size` bytes.
fn play(recording: &Recording, now: Instant, size: usize) -> Driven<'_> {
    let mut driven = Driven::new(recording, now);
    for step in recording.steps() {
        match step {
            Step::Bytes(bytes) => bytes.chunks(size).for_each(|chunk| driven.bytes(chunk)),
            Step::Request(request) => driven.request(&request),
        }
    }
    driven
}

fn messages_survive_every_cut(recording: &Recording) {
    let stream = recording.sent_by("freeswitch");
    let stream = stream.as_bytes();
    let whole = messages(&[stream]);
    let ends = message_ends(stream);
    assert_eq!(whole.len(), ends.len());
    for size in [1, 2, 3, 7, 61, 1024, 4096] {
        assert_eq!(messages(&stream.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
    }
    let mut start = 0;
    for (message, end) in whole.iter().zip(ends) {
        for cut in start..=end {
            let parts = messages(&[&stream[start..cut], &stream[cut..end]]);
            assert_eq!(parts.as_slice(), std::slice::from_ref(message), "cut at byte {cut}");
        }
        start = end;
    }
}

fn the_session_survives_every_cut(recording: &Recording) {
    let now = Instant::now();
    let whole = play(recording, now, usize::MAX);
    for size in [1, 2, 3, 7, 61, 1024, 4096] {
        assert_eq!(play(recording, now, size).outcome(), whole.outcome(), "chunks of {size}");
    }
    let mut reached = Driven::new(recording, now);
    for step in recording.steps() {
        let bytes = match step {
            Step::Request(request) => {
                reached.request(&request);
                continue;
            }
            Step::Bytes(bytes) => bytes,
        };
        let mut start = 0;
        for end in message_ends(&bytes) {
            let before = Driven { events: Vec::new(), sent: Vec::new(), ..reached.clone() };
            let mut expected = before.clone();
            expected.bytes(&bytes[start..end]);
            for cut in start..=end {
                let mut driven = before.clone();
                driven.bytes(&bytes[start..cut]);
                driven.bytes(&bytes[cut..end]);
                assert_eq!(driven.outcome(), expected.outcome(), "cut at byte {cut}");
            }
            reached.bytes(&bytes[start..end]);
            start = end;
        }
    }
    assert_eq!(reached.outcome(), whole.outcome());
}

/// The events of a call, in few words.
fn story(events: &[OutboundEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            OutboundEvent::Offered(data) => format!("offered, attempt {}", data.attempt()),
            OutboundEvent::Answered => "answered".to_owned(),
            OutboundEvent::HungUp { cause } => format!("hung up: {cause}"),
            OutboundEvent::ApiResult { result, .. } => format!("api: {result:?}"),
            OutboundEvent::Lingering { duration } => format!("lingering: {duration:?}"),
            OutboundEvent::Disconnected => "disconnected".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// Everything that is asked of a recording.
fn check(recording: &Recording, expected: &[&str]) {
    let played = play(recording, Instant::now(), usize::MAX);
    assert_eq!(story(&played.events), expected);
    assert_eq!(String::from_utf8_lossy(&played.sent), recording.sent_by("pod"), "what the pod sends");
    messages_survive_every_cut(recording);
    the_session_survives_every_cut(recording);
}

fn offered(recording: &Recording) -> ChannelData {
    let messages = messages(&[recording.sent_by("freeswitch").as_bytes()]);
    match messages.into_iter().next() {
        Some(EslMessage::ChannelData(data)) => data,
        other => panic!("the first message is {other:?}"),
    }
}

#[test]
fn a_caller_hangs_up() {
    let recording = Recording::load(include_str!("fixtures/esl/caller-hangup-dtmf.jsonl"));
    let story = ["offered, attempt 1", "answered", "hung up: NORMAL_CLEARING", "lingering: 2s", "disconnected"];
    check(&recording, &story);
}

#[test]
fn a_caller_holds_and_comes_back() {
    let recording = Recording::load(include_str!("fixtures/esl/caller-hold-unhold.jsonl"));
    let story = ["offered, attempt 1", "answered", "hung up: NORMAL_CLEARING", "lingering: 2s", "disconnected"];
    check(&recording, &story);
}

#[test]
fn the_pod_hangs_up() {
    let recording = Recording::load(include_str!("fixtures/esl/pod-hangup.jsonl"));
    let story = ["offered, attempt 1", "answered", "hung up: NORMAL_CLEARING", "lingering: 2s", "disconnected"];
    check(&recording, &story);
}

#[test]
fn the_pod_transfers_the_caller() {
    let recording = Recording::load(include_str!("fixtures/esl/pod-transfer.jsonl"));
    let story = [
        "offered, attempt 1",
        "answered",
        "api: Ok(\"+OK\")",
        "hung up: NORMAL_CLEARING",
        "lingering: 2s",
        "disconnected",
    ];
    check(&recording, &story);
}

#[test]
fn a_lost_pod_sees_the_socket_close() {
    let recording = Recording::load(include_str!("fixtures/esl/pod-lost-takeover.jsonl"));
    check(&recording, &["offered, attempt 1", "answered", "disconnected"]);
}

#[test]
fn the_next_pod_takes_the_caller_over() {
    let recording = Recording::load(include_str!("fixtures/esl/pod-lost-takeover-2.jsonl"));
    let story = ["offered, attempt 2", "answered", "hung up: NORMAL_CLEARING", "lingering: 2s", "disconnected"];
    check(&recording, &story);

    let first = Recording::load(include_str!("fixtures/esl/pod-lost-takeover.jsonl"));
    let (before, after) = (offered(&first), offered(&recording));
    assert_eq!(before.call_uuid(), after.call_uuid(), "the caller's leg is the same");
    assert_ne!(before.unique_id(), after.unique_id(), "the pod's leg is another");
}

#[test]
fn what_the_switch_refuses_is_told_and_ends_nothing_else() {
    let mut recording = Recording::load(include_str!("fixtures/esl/command-errors.jsonl"));
    // An unknown application and an unknown command: the session offers no way to send either, so they and the reply
    // that follows each are taken out. What the application did to the call stays.
    for sent in ["sendmsg\ncall-command: execute\nexecute-app-name: nonesuch\n\n", "bogus\n\n"] {
        let at = recording.reads.iter().position(|read| read.data == sent).expect("it was recorded");
        let reply = &recording.reads[at + 1].data;
        assert!(reply.starts_with("Content-Type: command/reply\n") && reply.matches("\n\n").count() == 1);
        recording.reads.drain(at..at + 2);
    }
    let story = [
        "offered, attempt 1",
        "answered",
        "api: Err(\"-ERR uuid_nonesuch Command not found!\")",
        "hung up: DESTINATION_OUT_OF_ORDER",
        "lingering: 2s",
        "api: Err(\"-ERR No such channel!\")",
        "disconnected",
    ];
    check(&recording, &story);
}

#[test]
fn unknown_commands_are_parsed_as_refusals() {
    let recording = Recording::load(include_str!("fixtures/esl/command-errors.jsonl"));
    let messages = messages(&[recording.sent_by("freeswitch").as_bytes()]);
    let refusals: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            EslMessage::CommandReply(reply) if !reply.ok => Some(reply.text.as_str()),
            EslMessage::ApiResponse(response) => response.result().err(),
            _ => None,
        })
        .collect();
    assert_eq!(refusals, ["-ERR uuid_nonesuch Command not found!", "-ERR command not found", "-ERR No such channel!"]);
}

#[test]
fn the_channels_data_tells_who_calls_whom() {
    let data = offered(&Recording::load(include_str!("fixtures/esl/pod-transfer.jsonl")));
    assert_eq!(data.caller_number(), "+15550001");
    assert_eq!(data.caller_name(), "+15550001");
    assert_eq!(data.destination(), "15550100");
    assert_eq!(data.call_uuid(), Some("0de39b21-a54f-4131-b373-27c2b5ad042f"));
    assert_eq!(data.unique_id(), data.variable("uuid"));
    assert_eq!(data.headers().get("Reply-Text"), Some("+OK\n"));
    let offer = data.offer().expect("an SDP offer");
    assert!(offer.starts_with("v=0\r\n") && offer.ends_with("a=ptime:20\r\n"), "{offer}");
}

#[test]
fn a_token_in_a_variable_of_the_recorded_channel_is_checked() {
    let recording = Recording::load(include_str!("fixtures/esl/pod-hangup.jsonl"));
    let reply = &recording.reads[1].data;
    for (secret, accepted) in [("agent", true), ("agents", false)] {
        let token = Some(Token::new("sofia_profile_name", secret));
        let now = Instant::now();
        let mut session = Outbound::new(OutboundSettings { token, ..OutboundSettings::default() }, now);
        session.handle_bytes(now, reply.as_bytes());
        assert_eq!(matches!(session.poll_event(), Some(OutboundEvent::Offered(_))), accepted);
        assert_eq!(session.is_closed(), !accepted);
    }
}

#[test]
fn nothing_is_awaited_while_a_recorded_call_goes_on() {
    let recording = Recording::load(include_str!("fixtures/esl/caller-hangup-dtmf.jsonl"));
    let now = Instant::now();
    let mut driven = Driven::new(&recording, now);
    for read in recording.reads.iter().filter(|read| read.from == "freeswitch") {
        driven.bytes(read.data.as_bytes());
        match driven.events.last() {
            Some(OutboundEvent::Answered) => assert_eq!(driven.session.poll_timeout(), None),
            Some(OutboundEvent::Disconnected) => assert_eq!(driven.session.poll_timeout(), None),
            _ => assert!(driven.session.poll_timeout().is_some_and(|at| at <= now + Duration::from_secs(10))),
        }
    }
}
