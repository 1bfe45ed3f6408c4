//! A chat completion as it arrives, put together into reply parts. Sans-IO: bytes in, parts out; it asks nobody.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::sse::SseParser;
use super::thinking::ThinkingFilter;
use crate::backend::{BackendError, ReplyPart};
use crate::turn::tool::ToolCall;

/// The most bytes of one reply, protocol included. A spoken reply of five minutes is under 10 KiB of words.
pub(super) const MAX_REPLY_BYTES: usize = 4 << 20;
/// The most tool calls of one reply.
const MAX_TOOL_CALLS: usize = 8;
/// The most bytes of one tool call's arguments.
const MAX_ARGUMENT_BYTES: usize = 16 << 10;

/// One `chat.completion.chunk`, or a whole `chat.completion`: the same but for `message` instead of `delta`. Servers
/// differ in what they leave out and what they send as `null`.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    /// JSON in a string by the protocol; some servers send the object itself.
    arguments: Option<Value>,
}

#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// Puts one streamed completion together.
#[derive(Debug, Default)]
pub(super) struct Completion {
    events: SseParser,
    thinking: ThinkingFilter,
    calls: Vec<PartialCall>,
    ready: VecDeque<ReplyPart>,
    bytes: usize,
    /// The model said why it stopped.
    finished: bool,
    /// The stream said that it is over.
    done: bool,
    answered: bool,
}

impl Completion {
    /// Takes the next bytes of an event stream.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.bytes += bytes.len();
        if self.bytes > MAX_REPLY_BYTES {
            return Err(too_long());
        }
        let mut events = Vec::new();
        self.events
            .push(bytes, |data| events.push(data.to_owned()))
            .map_err(|error| BackendError::invalid(error.to_string()))?;
        events.iter().try_for_each(|data| self.event(data))
    }

    /// The stream has ended. An error if it was cut off.
    pub(super) fn finish(&mut self) -> Result<(), BackendError> {
        let mut last = None;
        self.events
            .finish(|data| last = Some(data.to_owned()))
            .map_err(|error| BackendError::invalid(error.to_string()))?;
        if let Some(data) = last {
            self.event(&data)?;
        }
        if self.done {
            return Ok(());
        }
        if !self.finished {
            return Err(BackendError::unavailable("expected the reply's end, came the stream's"));
        }
        self.close()
    }

    /// Takes a whole completion, from a server that does not stream.
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<(), BackendError> {
        let body = String::from_utf8_lossy(body);
        self.event(&body)?;
        self.close()
    }

    /// The next part that is complete.
    pub(super) fn pop(&mut self) -> Option<ReplyPart> {
        self.ready.pop_front()
    }

    /// Whether the reply is complete. Parts may still be waiting.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    fn event(&mut self, data: &str) -> Result<(), BackendError> {
        if self.done || data.trim().is_empty() {
            return Ok(());
        }
        if data.trim() == "[DONE]" {
            return self.close();
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            // The error's own text quotes the data, which is what the model says to the caller.
            let (what, column) = (error.classify(), error.column());
            BackendError::invalid(format!("expected a completion chunk, came other JSON or none: {what:?} at {column}"))
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let reason = [error.get("message"), Some(&error)].into_iter().flatten().find_map(Value::as_str);
            let reason = super::endpoint::one_line(reason.unwrap_or("no reason given"));
            return Err(BackendError::unavailable(format!("expected a reply, came an error: {reason}")));
        }
        for choice in chunk.choices.unwrap_or_default().into_iter().take(1) {
            if let Some(delta) = choice.delta {
                self.delta(delta)?;
            }
            self.finished |= choice.finish_reason.is_some();
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta) -> Result<(), BackendError> {
        if let Some(content) = delta.content {
            let text = self.thinking.push(&content);
            self.text(text);
        }
        delta.tool_calls.unwrap_or_default().into_iter().try_for_each(|call| self.call(call))
    }

    fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.answered |= !text.trim().is_empty();
            self.ready.push_back(ReplyPart::Text(text));
        }
    }

    fn call(&mut self, delta: CallDelta) -> Result<(), BackendError> {
        let id = delta.id.unwrap_or_default();
        let function = delta.function.unwrap_or(FunctionDelta { name: None, arguments: None });
        let name = function.name.unwrap_or_default();
        // By the protocol the index tells calls apart. Some servers leave it out, or send 0 for each of several calls.
        let same = |call: &PartialCall| match delta.index {
            Some(_) => call.index == delta.index && (id.is_empty() || call.id.is_empty() || call.id == id),
            None if id.is_empty() => name.is_empty(),
            None => call.id == id,
        };
        let position = match self.calls.iter().rposition(same) {
            Some(position) => position,
            None if self.calls.len() == MAX_TOOL_CALLS => {
                return Err(BackendError::invalid(format!("expected at most {MAX_TOOL_CALLS} tool calls, came more")));
            }
            None => {
                self.calls.push(PartialCall { index: delta.index, ..PartialCall::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[position];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match function.arguments {
            Some(Value::String(piece)) => call.arguments.push_str(&piece),
            Some(whole @ Value::Object(_)) => call.arguments = whole.to_string(),
            _ => {}
        }
        if call.arguments.len() > MAX_ARGUMENT_BYTES {
            let message = format!("expected tool arguments of at most {MAX_ARGUMENT_BYTES} bytes, came longer ones");
            return Err(BackendError::invalid(message));
        }
        Ok(())
    }

    /// The reply is complete: its tool calls are too.
    fn close(&mut self) -> Result<(), BackendError> {
        self.done = true;
        let held = self.thinking.finish();
        self.text(held);
        let mut refused = None;
        for call in std::mem::take(&mut self.calls) {
            let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
            match ToolCall::parse(&call.name, arguments) {
                Ok(call) => {
                    self.answered = true;
                    self.ready.push_back(ReplyPart::Tool(call));
                }
                Err(error) => {
                    tracing::warn!(%error, "the model called a tool wrongly, which is passed over");
                    refused = Some(error);
                }
            }
        }
        match refused {
            // A reply that was nothing but a wrong call would leave the caller in silence.
            Some(error) if !self.answered => {
                Err(BackendError::invalid(format!("expected a reply, came only: {error}")))
            }
            _ => Ok(()),
        }
    }
}

fn too_long() -> BackendError {
    BackendError::invalid(format!("expected a reply of at most {MAX_REPLY_BYTES} bytes, came a longer one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendErrorKind;
    use serde_json::json;

    /// The reply to an event stream that comes in these pieces.
    fn reply(pieces: &[&[u8]]) -> Result<Vec<ReplyPart>, BackendError> {
        let mut completion = Completion::default();
        pieces.iter().try_for_each(|piece| completion.push(piece))?;
        completion.finish()?;
        Ok(std::iter::from_fn(|| completion.pop()).collect())
    }

    fn stream(deltas: &[Value]) -> String {
        let chunk = |delta: &Value| format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }));
        let stop = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        deltas.iter().map(chunk).collect::<String>() + &format!("data: {stop}\n\ndata: [DONE]\n\n")
    }

    fn text(parts: &[ReplyPart]) -> String {
        parts.iter().map(|part| if let ReplyPart::Text(text) = part { text.as_str() } else { "" }).collect()
    }

    fn tool(index: Value, id: Value, name: Value, arguments: Value) -> Value {
        json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": arguments } }] })
    }

    #[test]
    fn a_stream_cut_at_any_byte_gives_the_same_reply() {
        let deltas = [
            json!({ "role": "assistant", "content": "" }),
            json!({ "content": "Grüß " }),
            json!({ "content": "Gott. €" }),
            tool(json!(0), json!("c1"), json!("send_dtmf"), json!("")),
            tool(json!(0), json!(null), json!(null), json!("{\"digits\":")),
            tool(json!(0), json!(null), json!(null), json!("\"12#\"}")),
        ];
        let bytes = stream(&deltas).replace('\n', "\r\n").into_bytes();
        let whole = reply(&[&bytes]).unwrap();
        assert_eq!(text(&whole), "Grüß Gott. €");
        assert_eq!(whole.last(), Some(&ReplyPart::Tool(ToolCall::SendDtmf { digits: "12#".to_owned() })));
        for cut in 1..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(reply(&[head, tail]).unwrap(), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(reply(&single).unwrap(), whole);
    }

    #[test]
    fn tool_calls_are_told_apart_by_index_or_by_id_or_by_name() {
        let two = |first: Value, second: Value| {
            let parts = reply(&[stream(&[first, second]).as_bytes()]).unwrap();
            assert_eq!(parts.len(), 2, "{parts:?}");
        };
        let dtmf = json!("{\"digits\":\"1\"}");
        let by_index = |index, id| tool(json!(index), id, json!("send_dtmf"), dtmf.clone());
        two(by_index(0, json!("a")), by_index(1, json!("b")));
        two(by_index(0, json!("a")), by_index(0, json!("b")));
        let by_name = |id| tool(json!(null), id, json!("send_dtmf"), dtmf.clone());
        two(by_name(json!("a")), by_name(json!("b")));
        two(by_name(json!(null)), by_name(json!(null)));
    }

    #[test]
    fn arguments_may_be_an_object_or_missing() {
        let call = tool(json!(0), json!("a"), json!("send_dtmf"), json!({ "digits": "7" }));
        let parts = reply(&[stream(&[call]).as_bytes()]).unwrap();
        assert_eq!(parts, [ReplyPart::Tool(ToolCall::SendDtmf { digits: "7".to_owned() })]);
        let call = tool(json!(0), json!("a"), json!("hang_up"), json!(null));
        assert_eq!(reply(&[stream(&[call]).as_bytes()]).unwrap(), [ReplyPart::Tool(ToolCall::HangUp)]);
    }

    #[test]
    fn a_wrong_tool_call_is_passed_over_unless_it_is_all_there_is() {
        let wrong = tool(json!(0), json!("a"), json!("launch"), json!("{}"));
        let parts = reply(&[stream(&[json!({ "content": "Sure." }), wrong.clone()]).as_bytes()]).unwrap();
        assert_eq!(parts, [ReplyPart::Text("Sure.".to_owned())]);
        let error = reply(&[stream(&[wrong]).as_bytes()]).unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Invalid);
    }

    #[test]
    fn a_stream_that_is_cut_off_is_an_error_and_one_that_only_lacks_done_is_not() {
        let whole = stream(&[json!({ "content": "Good day." })]);
        let without_done = whole.replace("data: [DONE]\n\n", "");
        assert_eq!(text(&reply(&[without_done.as_bytes()]).unwrap()), "Good day.");
        let cut = &whole[..whole.find("\n\n").unwrap() + 2];
        assert_eq!(reply(&[cut.as_bytes()]).unwrap_err().kind(), BackendErrorKind::Unavailable);
        assert_eq!(reply(&[]).unwrap_err().kind(), BackendErrorKind::Unavailable);
    }

    #[test]
    fn an_error_in_the_stream_is_told() {
        let error = reply(&[b"data: {\"error\":{\"message\":\"out of memory\"}}\n\n"]).unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unavailable);
        assert!(error.to_string().contains("out of memory"));
    }

    #[test]
    fn garbage_is_invalid_and_not_quoted() {
        for data in ["secret words", "[1]", "{\"choices\":\"secret words\"}"] {
            let error = reply(&[format!("data: {data}\n\n").as_bytes()]).unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Invalid, "{data}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn chunks_that_say_nothing_are_passed_over() {
        let text =
            "data: {\"choices\":[],\"usage\":{}}\n\ndata: {\"choices\":null}\n\ndata:\n\ndata: {}\n\n".to_owned();
        assert_eq!(reply(&[(text + &stream(&[])).as_bytes()]).unwrap(), []);
    }

    #[test]
    fn a_reply_does_not_grow_without_bound() {
        let mut completion = Completion::default();
        let comment = format!(": {}\n", "x".repeat(100_000));
        let result = (0..100).try_for_each(|_| completion.push(comment.as_bytes()));
        assert_eq!(result.unwrap_err().kind(), BackendErrorKind::Invalid);

        let argument = tool(json!(0), json!("a"), json!("hang_up"), json!("x".repeat(10_000)));
        let error = reply(&[stream(&[argument.clone(), argument]).as_bytes()]).unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Invalid);

        let calls: Vec<Value> =
            (0..9).map(|index| tool(json!(index), json!(null), json!("hang_up"), json!(""))).collect();
        assert_eq!(reply(&[stream(&calls).as_bytes()]).unwrap_err().kind(), BackendErrorKind::Invalid);
    }

    #[test]
    fn a_whole_completion_is_taken_too() {
        let body = json!({ "choices": [{ "message": { "role": "assistant", "content": "Good day." } }] }).to_string();
        let mut completion = Completion::default();
        completion.whole(body.as_bytes()).unwrap();
        assert_eq!(completion.pop(), Some(ReplyPart::Text("Good day.".to_owned())));
        assert!(completion.is_done());
    }
}
