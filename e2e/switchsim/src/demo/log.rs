//! The pod's log, one JSON object a line, as far as the demo has something to tell of it. Skips what it does not know.

use std::time::Duration;

use serde::Deserialize;
use sofia_dataplane::record::Latencies;

/// A line of the pod's log that matters here.
#[derive(Debug, Clone, PartialEq)]
pub enum PodEvent {
    /// The pod takes calls now.
    Ready(Ready),
    /// The agent's first sound of a reply left.
    Answered {
        /// When, in the call.
        at: Duration,
        /// How long the caller waited, and for what.
        waits: Latencies,
    },
    /// The caller has heard this of the agent.
    AgentSaid {
        /// When the last of it was heard.
        at: Duration,
        /// The turn, unless the agent spoke by itself.
        turn: Option<u32>,
        /// The words.
        text: String,
    },
    /// This was understood of the caller.
    CallerSaid {
        /// When.
        at: Duration,
        /// The words, or the keys.
        text: String,
    },
    /// The caller interrupted the agent, and meant it.
    Interrupted,
    /// A warning or an error.
    Complaint(String),
}

/// Where the pod can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// `ip:port` for FreeSWITCH.
    pub esl: String,
}

#[derive(Deserialize)]
struct Line {
    level: String,
    message: String,
    #[serde(default)]
    at_ms: u64,
    turn: Option<u32>,
    text: Option<String>,
    esl: Option<String>,
    #[serde(flatten)]
    waits: Latencies,
}

/// The event of a line, if it has one.
pub fn parse(line: &str) -> Option<PodEvent> {
    let Line { level, message, at_ms, turn, text, esl, waits } = serde_json::from_str(line).ok()?;
    let at = Duration::from_millis(at_ms);
    Some(match message.as_str() {
        "ready for calls" => PodEvent::Ready(Ready { esl: esl? }),
        "the agent answered" => PodEvent::Answered { at, waits },
        "agent said" => PodEvent::AgentSaid { at, turn, text: text? },
        "caller said" => PodEvent::CallerSaid { at, text: text? },
        "the caller interrupted the agent" => PodEvent::Interrupted,
        _ if level == "WARN" || level == "ERROR" => PodEvent::Complaint(message),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_events() {
        let ready = r#"{"level":"INFO","message":"ready for calls","esl":"127.0.0.1:8084","http":"127.0.0.1:8080","rtp":"[16384]"}"#;
        assert_eq!(parse(ready), Some(PodEvent::Ready(Ready { esl: "127.0.0.1:8084".to_owned() })));
        let said = r#"{"level":"DEBUG","message":"agent said","call":"x","at_ms":2525,"text":"Hello?","target":"t"}"#;
        let at = Duration::from_millis(2525);
        assert_eq!(parse(said), Some(PodEvent::AgentSaid { at, turn: None, text: "Hello?".to_owned() }));
        let answered = r#"{"level":"INFO","message":"the agent answered","turn":1,"at_ms":6649,"endpointing_ms":800,"total_ms":1287}"#;
        let waits = Latencies { endpointing_ms: Some(800), total_ms: Some(1287), ..Latencies::default() };
        assert_eq!(parse(answered), Some(PodEvent::Answered { at: Duration::from_millis(6649), waits }));
    }

    #[test]
    fn warnings_are_told_and_the_rest_is_skipped() {
        let warning = r#"{"level":"WARN","message":"something went wrong in a call","stage":"speak"}"#;
        assert_eq!(parse(warning), Some(PodEvent::Complaint("something went wrong in a call".to_owned())));
        assert_eq!(parse(r#"{"level":"INFO","message":"a call ended"}"#), None);
        assert_eq!(parse("no JSON"), None);
    }
}
