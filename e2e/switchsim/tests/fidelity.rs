//! Plays the pod's side of each recording against the switch and compares what it says with what FreeSWITCH said: the same
//! messages, headers, order, encoding and values, but for ids, times and ports.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use serde::Deserialize;
use switchsim::{CallHandle, CallPlan, SwitchBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[derive(Deserialize)]
struct Read {
    from: String,
    data: String,
}

/// A message of FreeSWITCH: its headers, raw, and its body.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn is_event(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "Content-Type" && value == "text/event-plain")
    }

    fn is_linger_notice(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "Content-Disposition" && value == "linger")
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn event(&self) -> Option<Message> {
        let headers = self.is_event().then(|| headers(self.body.trim_end()))?;
        Some(Message { headers, body: String::new() })
    }

    fn name(&self) -> String {
        let event = self.event();
        let name = event.as_ref().and_then(|event| event.get("Event-Name")).or_else(|| self.get("Content-Type"));
        name.unwrap_or("?").to_owned()
    }
}

fn headers(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// Takes whole messages off the front of `buffer`.
fn take_messages(buffer: &mut String) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = buffer.split_once("\n\n") {
        let headers = headers(head);
        let length =
            headers.iter().find(|(name, _)| name == "Content-Length").map_or(0, |(_, value)| value.parse().unwrap());
        if rest.len() < length {
            break;
        }
        let (body, rest) = rest.split_at(length);
        messages.push(Message { headers, body: body.to_owned() });
        *buffer = rest.to_owned();
    }
    messages
}

/// What one side did, in the recording's order; FreeSWITCH's messages between two of the pod's doings are one group.
enum Doing {
    Pod(String),
    PodCloses,
    FreeSwitch(Vec<Message>),
    FreeSwitchCloses,
}

fn recording(name: &str) -> Vec<Doing> {
    let path = format!("{}/tests/fixtures/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let mut doings = Vec::new();
    let mut buffer = String::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let read: Read = serde_json::from_str(line).unwrap();
        match (read.from.as_str(), read.data.is_empty()) {
            ("pod", true) => doings.push(Doing::PodCloses),
            ("pod", false) => doings.push(Doing::Pod(read.data)),
            (_, true) => doings.push(Doing::FreeSwitchCloses),
            (_, false) => {
                buffer.push_str(&read.data);
                let messages = take_messages(&mut buffer);
                match doings.last_mut() {
                    Some(Doing::FreeSwitch(group)) => group.extend(messages),
                    _ => doings.push(Doing::FreeSwitch(messages)),
                }
            }
        }
    }
    assert!(buffer.is_empty(), "half a message at the end: {buffer:?}");
    doings
}

fn decode(value: &str) -> String {
    static ESCAPE: LazyLock<Regex> = LazyLock::new(|| Regex::new("%([0-9A-F]{2})").unwrap());
    let decoded = |escape: &Captures<'_>| char::from(u8::from_str_radix(&escape[1], 16).unwrap()).to_string();
    ESCAPE.replace_all(value, decoded).into_owned()
}

/// What differs from machine to machine.
const OF_THE_MACHINE: &[&str] = &[
    "Core-UUID",
    "FreeSWITCH-Hostname",
    "FreeSWITCH-Switchname",
    "FreeSWITCH-IPv4",
    "FreeSWITCH-IPv6",
    "Content-Length",
];

/// Replaces ids, times, ports and random names by what they are.
fn generalised(name: &str, value: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
            (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "TIME"),
            (r"\b1[67]\d{14}\b|\b1[67]\d{8}\b", "TIME"),
            (r"o=FreeSWITCH \w+ \w+", "o=FreeSWITCH N N"),
            (r"m=audio \d+", "m=audio PORT"),
            (r"tag=[0-9A-Za-z]{13}", "tag=TOKEN"),
            (r"branch=z9hG4bK[0-9A-Za-z]{13}", "branch=TOKEN"),
        ]
        .into_iter()
        .map(|(pattern, text)| (Regex::new(pattern).unwrap(), text))
        .collect()
    });
    let number = ["Event-Sequence", "variable_session_id", "variable_sip_cseq"].contains(&name)
        || ["sec", "duration"].iter().any(|end| name.ends_with(end));
    if number && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return "NUMBER".to_owned();
    }
    if name.ends_with("_tag") && value.len() == 13 {
        return "TOKEN".to_owned();
    }
    RULES.iter().fold(value.to_owned(), |value, (rule, text)| rule.replace_all(&value, *text).into_owned())
}

/// Which characters are escaped and which are not; words shortened to `w`.
fn shape(value: &str) -> String {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new("%[0-9A-F]{2}|[0-9A-Za-z]+").unwrap());
    let shortened = |word: &Captures<'_>| if word[0].starts_with('%') { word[0].to_owned() } else { "w".to_owned() };
    WORD.replace_all(value, shortened).into_owned()
}

/// What the dialplan sends along now and did not when the recordings were made.
const NEWER: &[&str] = &["variable_sip_h_X-Earlier-Attempts", "variable_sip_h_X-Answered", "variable_sip_h_X-Caller"];

fn compare(recording: &str, expected: &Message, actual: &Message, skip: &[&str]) {
    let what = format!("{recording}: {}", expected.name());
    let ours: Vec<_> = actual.headers.iter().filter(|(name, _)| !NEWER.contains(&name.as_str())).collect();
    let differs = ours.iter().zip(&expected.headers).find(|((ours, _), (theirs, _))| ours != theirs);
    assert_eq!(differs, None, "{what}: names and order of the headers");
    assert_eq!(ours.len(), expected.headers.len(), "{what}: number of headers");
    for ((name, theirs), (_, ours)) in expected.headers.iter().zip(ours) {
        if OF_THE_MACHINE.contains(&name.as_str()) || skip.contains(&name.as_str()) {
            continue;
        }
        let (theirs_decoded, ours_decoded) = (decode(theirs), decode(ours));
        assert_eq!(generalised(name, &ours_decoded), generalised(name, &theirs_decoded), "{what}: {name}");
        assert_eq!(shape(ours), shape(theirs), "{what}: the encoding of {name}");
    }
    match (expected.event(), actual.event()) {
        (Some(expected), Some(actual)) => compare(recording, &expected, &actual, skip),
        (None, None) => assert_eq!(actual.body, expected.body, "{what}: body"),
        _ => panic!("{what}: only one of the two is an event"),
    }
}

/// A pod's end of one connection to the switch.
struct Pod {
    stream: TcpStream,
    buffer: String,
    waiting: Vec<Message>,
}

impl Pod {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
        Self { stream, buffer: String::new(), waiting: Vec::new() }
    }

    async fn next(&mut self) -> Option<Message> {
        while self.waiting.is_empty() {
            let mut bytes = [0; 8192];
            let count =
                timeout(Duration::from_secs(10), self.stream.read(&mut bytes)).await.expect("a message").ok()?;
            if count == 0 {
                return None;
            }
            self.buffer.push_str(std::str::from_utf8(&bytes[..count]).expect("headers are ASCII"));
            self.waiting = take_messages(&mut self.buffer);
        }
        Some(self.waiting.remove(0))
    }
}

/// The configuration of the recordings: codecs as FreeSWITCH chose them, no media timeout (nobody sends RTP here), the hosts as
/// recorded.
fn switch(listener: &TcpListener) -> SwitchBuilder {
    let xml = include_str!("../freeswitch.xml")
        .replace("media_timeout=1500,", "")
        .replace("absolute_codec_string=${sofia_phone_codecs},", "")
        .replace(
            r#""inbound-codec-prefs" value="L16@16000h,G722,PCMU,PCMA""#,
            r#""inbound-codec-prefs" value="PCMU,PCMA,G722""#,
        );
    let address = listener.local_addr().unwrap().to_string();
    SwitchBuilder::from_xml(xml)
        .with_variable("esl_hosts_2", "127.0.0.1:8084|127.0.0.1:8085")
        .with_host_alias("127.0.0.1:8084", address)
}

/// Plays the pod of a recording. The caller hangs up where FreeSWITCH's next message says that somebody did and the pod did
/// not.
async fn replay(name: &str, mut pod: Pod, call: &CallHandle, caller_hangs_up: bool, skip: &[&str]) {
    let mut uuids: Vec<(String, String)> = Vec::new();
    for doing in recording(name) {
        match doing {
            Doing::Pod(mut data) => {
                for (theirs, ours) in &uuids {
                    data = data.replace(theirs, ours);
                }
                pod.stream.write_all(data.as_bytes()).await.unwrap();
            }
            Doing::PodCloses => {
                if pod.stream.shutdown().await.is_err() {
                    return;
                }
            }
            Doing::FreeSwitch(mut expected) => {
                let mut actual = Vec::new();
                for message in &expected {
                    if caller_hangs_up && message.name() == "CHANNEL_HANGUP" {
                        call.hang_up();
                    }
                    let next = pod.next().await;
                    actual.push(next.unwrap_or_else(|| panic!("{name}: closed instead of {}", message.name())));
                }
                // Another thread of FreeSWITCH writes the notice: it stands somewhere among the last events.
                expected.sort_by_key(Message::is_linger_notice);
                actual.sort_by_key(Message::is_linger_notice);
                let names = |messages: &[Message]| messages.iter().map(Message::name).collect::<Vec<_>>();
                assert_eq!(names(&actual), names(&expected), "{name}: order of the messages");
                for (expected, actual) in expected.iter().zip(&actual) {
                    compare(name, expected, actual, skip);
                    for header in ["Unique-ID", "variable_sip_h_X-Call-UUID"] {
                        if let (Some(theirs), Some(ours)) = (expected.get(header), actual.get(header)) {
                            uuids.push((theirs.to_owned(), ours.to_owned()));
                        }
                    }
                }
            }
            Doing::FreeSwitchCloses => assert_eq!(pod.next().await, None, "{name}: FreeSWITCH closes"),
        }
    }
}

async fn replay_first_attempt(name: &str, caller_hangs_up: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = switch(&listener).start().unwrap().dial(CallPlan::new("15550100").from("+15550001").codecs("PCMU,PCMA"));
    let pod = Pod::accept(&listener).await;
    replay(name, pod, &call, caller_hangs_up, &[]).await;
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_looks_as_recorded() {
    replay_first_attempt("caller-hangup-dtmf", true).await;
}

#[tokio::test]
async fn hold_is_not_seen_on_the_pods_channel() {
    replay_first_attempt("caller-hold-unhold", true).await;
}

#[tokio::test]
async fn a_pod_that_hangs_up_sees_what_was_recorded() {
    replay_first_attempt("pod-hangup", false).await;
}

#[tokio::test]
async fn a_transfer_looks_as_recorded() {
    replay_first_attempt("pod-transfer", false).await;
}

#[tokio::test]
async fn errors_are_answered_as_recorded() {
    replay_first_attempt("command-errors", false).await;
}

#[tokio::test]
async fn a_lost_pod_gets_the_farewell_that_was_recorded() {
    replay_first_attempt("pod-lost-takeover", false).await;
}

#[tokio::test]
async fn the_pod_that_takes_over_sees_what_was_recorded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The recorded configuration had called the caller's own number here.
    let call =
        switch(&listener).start().unwrap().dial(CallPlan::new("+15550001").from("+15550001").codecs("PCMU,PCMA"));
    let mut first = Pod::accept(&listener).await;
    for doing in recording("pod-lost-takeover") {
        match doing {
            Doing::Pod(data) => first.stream.write_all(data.as_bytes()).await.unwrap(),
            Doing::FreeSwitch(messages) => {
                for _ in messages {
                    first.next().await;
                }
            }
            Doing::PodCloses => break,
            Doing::FreeSwitchCloses => {}
        }
    }
    drop(first);
    let second = Pod::accept(&listener).await;
    // Its dialplan matched on the number where this one matches on the attempt.
    replay("pod-lost-takeover-2", second, &call, true, &["variable_DP_MATCH"]).await;
    call.hang_up();
    assert_eq!(call.outcome().await.attempts, 2);
}
