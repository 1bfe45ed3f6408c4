//! One JSON value of an answer, read for what it says: text, tool calls, an end, an error. Servers differ in what they
//! leave out, what they send as `null`, and in what shape they send it, so nothing here is an error but an error.

use serde_json::{Map, Value};

/// How deep blocks of content may lie in blocks.
const MAX_DEPTH: usize = 6;

/// One thing that a chunk says, in the order in which it does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// More of the answer's text.
    Text(String),
    /// The whole text so far, or all of it: servers that repeat themselves.
    Whole(String),
    /// More of a thought, which the server told apart itself.
    Thought,
    /// More of a tool call.
    Call(CallPiece),
    /// The reply has ended, for this reason.
    End(End),
}

/// Why a reply has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was cut off: it reached the most tokens that it may have.
    Cut,
    /// Anything else.
    Whole,
}

/// More of a tool call, as the protocol tells its pieces apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct CallPiece {
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    /// A string is a piece of the arguments; anything else is all of them.
    pub(super) arguments: Option<Value>,
}

/// What a chunk is that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The server says that it failed, with its reason if there is one; `refused` where it is the request that is at
    /// fault, which says nothing about the server's health.
    Error { reason: Option<String>, refused: bool },
    /// Nothing that a completion is made of.
    Shape,
}

/// Reads one event. `choice` is the index of the choice that is listened to, once it is known: a reply is one of them.
pub(super) fn read(name: &str, chunk: &Value, choice: &mut Option<u64>) -> Result<Vec<Said>, Flaw> {
    let mut said = Vec::new();
    match chunk {
        // All chunks in one array.
        Value::Array(chunks) if !chunks.is_empty() && chunks.iter().all(Value::is_object) => {
            for chunk in chunks {
                said.extend(read(name, chunk, choice)?);
            }
        }
        Value::Object(chunk) => object(name, chunk, choice, &mut said)?,
        Value::Null => {}
        _ => return Err(Flaw::Shape),
    }
    Ok(said)
}

fn object(name: &str, chunk: &Map<String, Value>, choice: &mut Option<u64>, said: &mut Vec<Said>) -> Result<(), Flaw> {
    let is_error = ["object", "type"].iter().any(|key| chunk.get(*key).and_then(Value::as_str) == Some("error"));
    if let Some(error) = chunk.get("error").filter(|error| is_something(error)) {
        return Err(failure(error));
    }
    let choices = match chunk.get("choices") {
        Some(Value::Array(choices)) => choices.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        None | Some(Value::Null) if is_error || name.eq_ignore_ascii_case("error") => {
            return Err(failure(&Value::Object(chunk.clone())));
        }
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(Flaw::Shape),
    };
    for one in choices.into_iter().filter_map(Value::as_object) {
        let index = one.get("index").and_then(Value::as_u64).unwrap_or(0);
        if *choice.get_or_insert(index) != index {
            continue;
        }
        if let Some(error) = one.get("error").filter(|error| is_something(error)) {
            return Err(failure(error));
        }
        match (one.get("delta").filter(|delta| is_something(delta)), one.get("message")) {
            (Some(delta), _) => message(delta, Said::Text, said),
            (None, Some(whole)) => {
                message(whole, Said::Whole, said);
                if chunk.get("object").and_then(Value::as_str) == Some("chat.completion") {
                    // A whole completion has ended whatever it says why.
                    said.push(Said::End(End::Whole));
                }
            }
            (None, None) => text_of(one.get("text"), 0, said, &Said::Text),
        }
        let finish = one.get("finish_reason").or_else(|| one.get("finishReason"));
        match finish.map(end) {
            Some(Ok(Some(end))) => said.push(Said::End(end)),
            Some(Err(())) => return Err(Flaw::Error { reason: None, refused: false }),
            Some(Ok(None)) | None => {}
        }
    }
    // What Ollama's own routes send: increments without choices.
    if !chunk.contains_key("choices") {
        if let Some(increment) = chunk.get("message").filter(|message| message.is_object()) {
            message(increment, Said::Text, said);
        }
        text_of(chunk.get("response").filter(|text| text.is_string()), 0, said, &Said::Text);
    }
    if chunk.get("done") == Some(&Value::Bool(true)) {
        let reason = chunk.get("done_reason").and_then(|reason| end(reason).ok().flatten());
        said.push(Said::End(reason.unwrap_or(End::Whole)));
    }
    Ok(())
}

/// A `delta` or a `message`.
fn message(message: &Value, text: fn(String) -> Said, said: &mut Vec<Said>) {
    let Some(fields) = message.as_object() else {
        // The text itself.
        return text_of(Some(message), 0, said, &text);
    };
    for key in ["reasoning_content", "reasoning", "thinking", "reasoning_details", "thought", "thoughts"] {
        if fields.get(key).is_some_and(is_something) {
            said.push(Said::Thought);
        }
    }
    text_of(fields.get("content").or_else(|| fields.get("parts")), 0, said, &text);
    // What a model says instead of an answer is what the caller should hear.
    text_of(fields.get("refusal").filter(|refusal| refusal.is_string()), 0, said, &text);
    match fields.get("tool_calls") {
        Some(Value::Array(calls)) => calls.iter().for_each(|one| call(one, said)),
        Some(one @ Value::Object(_)) => call(one, said),
        _ => {}
    }
    if let Some(old @ Value::Object(_)) = fields.get("function_call") {
        call(old, said);
    }
}

/// The text of `content`: a string, a block with a type, or a list of either. Blocks of types that hold no words for the
/// caller are dropped, unknown ones among them.
fn text_of(content: Option<&Value>, depth: usize, said: &mut Vec<Said>, make: &impl Fn(String) -> Said) {
    match content {
        Some(Value::String(text)) if !text.is_empty() => said.push(make(text.clone())),
        Some(Value::Array(blocks)) if depth < MAX_DEPTH => {
            let mut inner = Vec::new();
            blocks.iter().for_each(|block| text_of(Some(block), depth + 1, &mut inner, &Said::Text));
            // The blocks of one message are one text.
            let mut joined = String::new();
            for one in inner {
                match one {
                    Said::Text(text) => joined.push_str(&text),
                    other => said.push(other),
                }
            }
            if !joined.is_empty() {
                said.push(make(joined));
            }
        }
        Some(Value::Object(block)) if depth < MAX_DEPTH => {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("text").to_ascii_lowercase();
            if block.get("thought") == Some(&Value::Bool(true)) {
                return said.push(Said::Thought);
            }
            let inner = match kind.as_str() {
                "text" | "output_text" | "text_delta" | "message" | "output" | "content" => {
                    ["text", "value", "content", "parts"].iter().find_map(|key| block.get(*key))
                }
                "refusal" => block.get("refusal").or_else(|| block.get("text")),
                "tool_use" | "tool_call" | "function_call" | "function" => {
                    return call(&Value::Object(block.clone()), said);
                }
                thought if ["think", "reason", "thought"].iter().any(|word| thought.contains(word)) => {
                    return said.push(Said::Thought);
                }
                _ => None,
            };
            text_of(inner, depth + 1, said, make);
        }
        _ => {}
    }
}

/// A tool call: with its name and arguments under `function`, or beside its `id`.
fn call(call: &Value, said: &mut Vec<Said>) {
    let Some(outer) = call.as_object() else { return };
    let inner = outer.get("function").and_then(Value::as_object).unwrap_or(outer);
    let text = |fields: &Map<String, Value>, key| {
        fields.get(key).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    said.push(Said::Call(CallPiece {
        index: outer.get("index").and_then(Value::as_u64),
        id: text(outer, "id"),
        name: text(inner, "name"),
        arguments: ["arguments", "parameters", "input", "args"]
            .iter()
            .find_map(|key| inner.get(*key))
            .filter(|arguments| !arguments.is_null())
            .cloned(),
    }));
}

/// What a finish reason means: none, an end, or (`Err`) a failure.
fn end(reason: &Value) -> Result<Option<End>, ()> {
    let text = match reason {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        // Some servers wrap it, some number it. That it is there is what counts.
        Value::Object(fields) => match fields.get("type").or_else(|| fields.get("reason")) {
            Some(inner @ Value::String(_)) => return end(inner),
            _ => String::from("stop"),
        },
        _ => String::from("stop"),
    };
    match text.as_str() {
        "" | "null" | "none" => Ok(None),
        "error" => Err(()),
        "length" | "max_tokens" | "max_output_tokens" | "model_length" => Ok(Some(End::Cut)),
        _ => Ok(Some(End::Whole)),
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// What an error that came in the midst of a success means.
fn failure(error: &Value) -> Flaw {
    // A status is a number under one of these keys, or a text of digits; others are names such as `tool_use_failed`.
    let status = ["code", "status", "status_code"].iter().find_map(|key| match error.get(*key)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    });
    let named = ["type", "code", "param"].iter().filter_map(|key| error.get(*key)?.as_str()).any(|name| {
        const NAMES: [&str; 7] = [
            "invalid_request",
            "bad_request",
            "badrequest",
            "tool_use_failed",
            "context_length",
            "not_found",
            "validation",
        ];
        NAMES.iter().any(|known| name.to_ascii_lowercase().contains(known))
    });
    // 408, 425 and 429 are about the moment, not about the request.
    let refused = match status {
        Some(408 | 425 | 429) => false,
        Some(status) if (400..600).contains(&status) => status < 500,
        _ => named,
    };
    Flaw::Error { reason: reason(error), refused }
}

/// What an error says of itself, in its usual places.
fn reason(error: &Value) -> Option<String> {
    [error.get("message"), error.get("detail"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(chunk: Value) -> Vec<Said> {
        read("", &chunk, &mut None).unwrap()
    }

    fn words(content: Value) -> String {
        let said = said(json!({ "choices": [{ "delta": { "content": content } }] }));
        said.iter().map(|one| if let Said::Text(text) = one { text.as_str() } else { "" }).collect()
    }

    #[test]
    fn content_is_text_in_whatever_shape() {
        let table = [
            (json!("Good day."), "Good day."),
            (json!(null), ""),
            (json!([]), ""),
            (json!({}), ""),
            (json!(7), ""),
            (json!([{ "type": "text", "text": "Good " }, { "type": "output_text", "text": "day." }]), "Good day."),
            (json!({ "type": "text", "text": "Good day." }), "Good day."),
            (json!({ "type": "text", "text": { "value": "Good day.", "annotations": [] } }), "Good day."),
            (json!({ "text": "Good day." }), "Good day."),
            (json!(["Good ", "day."]), "Good day."),
            (
                json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "Hm." }] }, { "type": "text", "text": "Yes." }]),
                "Yes.",
            ),
            (json!([{ "type": "reasoning", "text": "Hm." }, { "type": "text", "text": "Yes." }]), "Yes."),
            (json!([{ "text": "Hm.", "thought": true }, { "text": "Yes." }]), "Yes."),
            (
                json!([{ "type": "reference", "reference_ids": [1] }, { "type": "text", "text": "Yes." }, null, 3]),
                "Yes.",
            ),
            (json!([{ "type": "refusal", "refusal": "I can't help with that." }]), "I can't help with that."),
            (json!([{ "type": "message", "content": [{ "type": "output_text", "text": "Yes." }] }]), "Yes."),
            (json!([[[[[[[["too deep"]]]]]]]]), ""),
        ];
        for (content, expected) in table {
            assert_eq!(words(content.clone()), expected, "{content}");
        }
    }

    #[test]
    fn a_refusal_and_the_text_of_plain_completions_are_the_answer() {
        let text = [Said::Text("No.".to_owned())];
        assert_eq!(said(json!({ "choices": [{ "delta": { "content": null, "refusal": "No." } }] })), text);
        assert_eq!(said(json!({ "choices": [{ "text": "No." }] })), text);
        assert_eq!(said(json!({ "choices": { "delta": { "content": "No." } } })), text);
        assert_eq!(said(json!({ "choices": [{ "delta": "No." }] })), text);
    }

    #[test]
    fn a_thought_that_the_server_told_apart_is_none_of_the_text() {
        for key in ["reasoning_content", "reasoning", "thinking"] {
            assert_eq!(said(json!({ "choices": [{ "delta": { (key): "Hm." } }] })), [Said::Thought], "{key}");
            assert_eq!(said(json!({ "choices": [{ "delta": { (key): "" } }] })), [], "{key}");
        }
    }

    #[test]
    fn every_finish_reason_but_none_is_the_end() {
        for reason in ["stop", "tool_calls", "function_call", "content_filter", "eos", "end_turn", "STOP", "eos_token"]
        {
            let chunk = json!({ "choices": [{ "delta": {}, "finish_reason": reason }] });
            assert_eq!(said(chunk), [Said::End(End::Whole)], "{reason}");
        }
        for reason in ["length", "max_tokens"] {
            let chunk = json!({ "choices": [{ "delta": { "content": "a" }, "finish_reason": reason }] });
            assert_eq!(said(chunk), [Said::Text("a".to_owned()), Said::End(End::Cut)], "{reason}");
        }
        for reason in [json!(""), json!(null), json!("null"), json!(false)] {
            let chunk = json!({ "choices": [{ "delta": { "content": "a" }, "finish_reason": reason }] });
            assert_eq!(said(chunk), [Said::Text("a".to_owned())], "{reason}");
        }
        assert_eq!(said(json!({ "choices": [{ "finish_reason": { "type": "stop" } }] })), [Said::End(End::Whole)]);
        assert_eq!(said(json!({ "done": true, "done_reason": "length" })), [Said::End(End::Cut)]);
        assert_eq!(said(json!({ "message": { "content": "a" }, "done": false })), [Said::Text("a".to_owned())]);
    }

    #[test]
    fn one_choice_is_listened_to() {
        let mut choice = None;
        let chunk = |index: u64, text: &str| json!({ "choices": [{ "index": index, "delta": { "content": text }, "finish_reason": null }] });
        assert_eq!(read("", &chunk(0, "a"), &mut choice), Ok(vec![Said::Text("a".to_owned())]));
        assert_eq!(read("", &chunk(1, "b"), &mut choice), Ok(vec![]));
        let end = json!({ "choices": [{ "index": 1, "finish_reason": "stop" }] });
        assert_eq!(read("", &end, &mut choice), Ok(vec![]));
    }

    #[test]
    fn a_delta_goes_before_the_message_beside_it() {
        let chunk = json!({ "choices": [{ "delta": { "content": "day." }, "message": { "content": "Good day." } }] });
        assert_eq!(said(chunk), [Said::Text("day.".to_owned())]);
    }

    #[test]
    fn chunks_without_choices_say_nothing() {
        for chunk in [json!({}), json!(null), json!({ "choices": null, "usage": {} }), json!({ "choices": [null] })] {
            assert_eq!(said(chunk), []);
        }
    }

    #[test]
    fn an_error_is_one_in_whatever_shape() {
        let reason = |name: &str, chunk: Value| read(name, &chunk, &mut None);
        let told = Err(Flaw::Error { reason: Some("full".to_owned()), refused: false });
        assert_eq!(reason("", json!({ "error": { "message": "full" } })), told);
        assert_eq!(reason("", json!({ "error": "full", "choices": [] })), told);
        assert_eq!(reason("", json!({ "object": "error", "message": "full" })), told);
        assert_eq!(reason("error", json!({ "message": "full" })), told);
        assert_eq!(reason("", json!({ "choices": [{ "error": { "message": "full" } }] })), told);
        assert_eq!(
            reason("", json!({ "choices": [{ "delta": {}, "finish_reason": "error" }] })),
            Err(Flaw::Error { reason: None, refused: false })
        );
        assert_eq!(reason("", json!({ "error": null })), Ok(vec![]));
        assert_eq!(reason("", json!({ "choices": "words" })), Err(Flaw::Shape));
        assert_eq!(reason("", json!([1])), Err(Flaw::Shape));
    }

    #[test]
    fn an_error_that_refuses_the_request_is_told_from_a_servers_own() {
        let refused = |error: Value| match read("", &json!({ "error": error }), &mut None) {
            Err(Flaw::Error { refused, .. }) => refused,
            other => panic!("{other:?}"),
        };
        for error in [
            json!({ "message": "x", "type": "invalid_request_error", "code": "tool_use_failed" }),
            json!({ "message": "x", "code": 400 }),
            json!({ "message": "x", "code": "404" }),
            json!({ "message": "x", "type": "BadRequestError", "code": 400 }),
        ] {
            assert!(refused(error.clone()), "{error}");
        }
        for error in [
            json!("x"),
            json!({ "message": "x" }),
            json!({ "message": "x", "code": 429 }),
            json!({ "message": "x", "code": 503, "type": "invalid_request_error" }),
            json!({ "message": "x", "type": "server_error", "code": "overloaded" }),
        ] {
            assert!(!refused(error.clone()), "{error}");
        }
    }
}
