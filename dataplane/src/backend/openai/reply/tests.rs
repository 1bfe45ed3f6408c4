//! Replies as servers send them, from bytes to parts.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::turn::tool::ToolError;

/// The telephone's tools, offered by a server of which it is known that it does not think aloud.
fn reading() -> Reading {
    let tool = |name: &str, main: Option<&str>| Tool { name: name.to_owned(), main_argument: main.map(str::to_owned) };
    let tools = vec![tool("hang_up", None), tool("transfer", Some("destination")), tool("send_dtmf", Some("digits"))];
    Reading { tools, habit: Habit::Answer }
}

/// The reply to a body that comes in these pieces.
fn reply(pieces: &[&[u8]]) -> Result<Vec<ReplyPart>, BackendError> {
    let mut completion = Completion::new(reading());
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
fn a_wrong_tool_call_is_told_and_not_done() {
    let wrong = tool(json!(0), json!("a"), json!("launch"), json!("{}"));
    let refused = ReplyPart::Refused(RefusedCall::new("launch", "{}", ToolError::UnknownTool));
    let parts = reply(&[stream(&[json!({ "content": "Sure." }), wrong.clone()]).as_bytes()]).unwrap();
    assert_eq!(parts, [ReplyPart::Text("Sure.".to_owned()), refused.clone()]);
    assert_eq!(reply(&[stream(&[wrong]).as_bytes()]).unwrap(), [refused]);
}

#[test]
fn a_stream_that_is_cut_off_is_an_error_and_one_that_only_lacks_done_is_not() {
    let whole = stream(&[json!({ "content": "Good day." })]);
    let without_done = whole.replace("data: [DONE]\n\n", "");
    assert_eq!(text(&reply(&[without_done.as_bytes()]).unwrap()), "Good day.");
    let said = |words: &str| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": words } }] }));
    assert_eq!(text(&reply(&[said("Good day.").as_bytes()]).unwrap()), "Good day.", "it just ends");
    assert_eq!(text(&reply(&[said("他说：“好。”").trim_end().as_bytes()]).unwrap()), "他说：“好。”");
    assert_eq!(reply(&[said("Good day. We").as_bytes()]).unwrap_err().kind(), BackendErrorKind::Unavailable);
    let call = json!({ "content": "One moment.", "tool_calls": [{ "index": 0, "function": { "name": "hang" } }] });
    let cut = format!("data: {}\n\n", json!({ "choices": [{ "delta": call }] }));
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
fn a_body_that_is_no_reply_at_all_is_invalid_and_one_that_breaks_off_is_not() {
    for body in ["\"an answer of another kind\"", "busy", "error: out of memory\n", "<html><body>Hello</body></html>\n"]
    {
        assert_eq!(reply(&[body.as_bytes()]).unwrap_err().kind(), BackendErrorKind::Invalid, "{body}");
    }
    for body in [": working\n\n", "data: {}\n\n", "event: ping\n\n", ""] {
        assert_eq!(reply(&[body.as_bytes()]).unwrap_err().kind(), BackendErrorKind::Unavailable, "{body}");
    }
}

#[test]
fn chunks_that_say_nothing_are_passed_over() {
    let text = "data: {\"choices\":[],\"usage\":{}}\n\ndata: {\"choices\":null}\n\ndata:\n\ndata: {}\n\n".to_owned();
    assert_eq!(reply(&[(text + &stream(&[])).as_bytes()]).unwrap(), []);
}

#[test]
fn a_reply_does_not_grow_without_bound() {
    let mut completion = Completion::new(reading());
    let comment = format!(": {}\n", "x".repeat(100_000));
    let result = (0..100).try_for_each(|_| completion.push(comment.as_bytes()));
    assert_eq!(result.unwrap_err().kind(), BackendErrorKind::Invalid);

    let argument = tool(json!(0), json!("a"), json!("hang_up"), json!("x".repeat(10_000)));
    let error = reply(&[stream(&[argument.clone(), argument]).as_bytes()]).unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Invalid);

    let calls: Vec<Value> = (0..9).map(|index| tool(json!(index), json!(null), json!("hang_up"), json!(""))).collect();
    assert_eq!(reply(&[stream(&calls).as_bytes()]).unwrap_err().kind(), BackendErrorKind::Invalid);
}

/// The body's words, calls and end, with the server of which so much is known.
fn read_with(habit: Habit, pieces: &[&[u8]]) -> Result<(String, Vec<ToolCall>), BackendError> {
    let mut completion = Completion::new(Reading { habit, ..reading() });
    let (mut words, mut calls) = (String::new(), Vec::new());
    pieces.iter().try_for_each(|piece| completion.push(piece))?;
    completion.finish()?;
    while let Some(part) = completion.pop() {
        match part {
            ReplyPart::Text(text) => words.push_str(&text),
            ReplyPart::Tool(call) => calls.push(call),
            // Neither said nor done: what becomes of it is for the asker to say.
            ReplyPart::Refused(_) => {}
            other => panic!("{other:?}"),
        }
    }
    Ok((words.trim_end().to_owned(), calls))
}

/// What a text becomes that a model writes: its words and its calls. It comes whole, in two pieces, and letter by
/// letter, which makes no difference.
fn said(text: &str) -> (String, Vec<ToolCall>) {
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let pieces = |pieces: &[&str]| {
        let deltas: Vec<Value> = pieces.iter().map(|piece| json!({ "content": piece })).collect();
        // A reply that holds nothing that can be used is none.
        read_with(Habit::Unknown, &[stream(&deltas).as_bytes()]).unwrap_or_default()
    };
    let whole = pieces(&[text]);
    assert_eq!(pieces(&letters.iter().map(String::as_str).collect::<Vec<_>>()), whole, "letter by letter: {text}");
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    for cut in cuts.iter().step_by(cuts.len() / 12 + 1) {
        assert_eq!(pieces(&[&text[..*cut], &text[*cut..]]), whole, "cut at {cut}: {text}");
    }
    whole
}

fn words(text: &str) -> String {
    let (words, calls) = said(text);
    assert_eq!(calls, [], "{text}");
    words
}

fn transfer() -> ToolCall {
    ToolCall::Transfer { destination: "200".to_owned() }
}

fn choice(delta: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta }] })
}

#[test]
fn a_whole_completion_is_taken_too() {
    let message = |content: Value| json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] });
    let whole =
        |body: Value| read_with(Habit::Unknown, &[serde_json::to_string_pretty(&body).unwrap().as_bytes()]).unwrap().0;
    assert_eq!(whole(message(json!("Good day."))), "Good day.");
    assert_eq!(whole(message(json!([{ "type": "text", "text": "Good day." }]))), "Good day.");
    let finished = json!({ "choices": [{ "message": { "content": "Good day." }, "finish_reason": "stop" }] });
    assert_eq!(whole(finished), "Good day.");
}

#[test]
fn what_a_body_is_its_bytes_tell() {
    let (good, day) = (choice(json!({ "content": "Good " })), choice(json!({ "content": "day." })));
    let stop = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let bodies = [
        format!("data: {good}\n\ndata: {day}\n\ndata: {stop}\n\n"),
        format!("data: {good}\ndata: {day}\ndata: {stop}\n"),
        format!("data: {good}\n\ndata: {day}\n\ndata: [DONE]\n\n"),
        format!("data: {good}\n\ndata: {day}\n\nevent: done\ndata:\n\n"),
        format!("{good}\n{day}\n{stop}\n"),
        format!("{good}{day}[DONE]"),
        format!("[{good},\n{day},{stop}]"),
        format!("\u{feff}\n: hi\n\nevent: message\nid: 1\ndata: {good}\n\ndata: {day}\n\n: ping\n\ndata: {stop}"),
        json!({ "message": { "content": "Good " }, "done": false }).to_string()
            + "\n"
            + &json!({ "message": { "content": "day." }, "done": true, "done_reason": "stop" }).to_string(),
    ];
    for body in bodies {
        let bytes = body.as_bytes();
        assert_eq!(read_with(Habit::Unknown, &[bytes]).unwrap().0, "Good day.", "{body}");
        for cut in (1..bytes.len()).step_by(3) {
            let cut = read_with(Habit::Unknown, &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(cut.unwrap().0, "Good day.", "{body}");
        }
    }
}

#[test]
fn a_finish_reason_gives_out_everything_and_what_follows_changes_nothing() {
    for reason in ["stop", "length", "tool_calls", "function_call", "content_filter", "eos", "end_turn"] {
        let mut completion = Completion::new(reading());
        let last = json!({ "choices": [{ "delta": { "content": "day. <" }, "finish_reason": reason }] });
        completion
            .push(format!("data: {}\n\ndata: {last}\n\n", choice(json!({ "content": "Good " }))).as_bytes())
            .unwrap();
        assert!(completion.has_finished() && !completion.is_done(), "{reason}");
        let parts: Vec<ReplyPart> = std::iter::from_fn(|| completion.pop()).collect();
        assert_eq!(text(&parts), "Good day. <", "{reason}");
        let later = "data: {\"choices\":[],\"usage\":{}}\n\n: ping\n\ndata: {\"error\":{\"message\":\"late\"}}\n\ndata: junk\n\n";
        completion.push(later.as_bytes()).unwrap();
        completion.close().unwrap();
        assert_eq!((completion.pop(), completion.is_done()), (None, true));
    }
    // An empty one is none, and content behind one is heard.
    let piece =
        |text: &str, reason: &str| json!({ "choices": [{ "delta": { "content": text }, "finish_reason": reason }] });
    let body = format!(
        "data: {}\n\ndata: {}\n\ndata: {}\n\n",
        piece("Good ", ""),
        piece("day, ", "stop"),
        piece("sir.", "stop")
    );
    assert_eq!(read_with(Habit::Answer, &[body.as_bytes()]).unwrap().0, "Good day, sir.");
}

#[test]
fn calls_come_with_the_finish_reason() {
    let mut completion = Completion::new(reading());
    let call = tool(json!(0), json!("a"), json!("hang_up"), json!("{}"));
    let stop = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] });
    completion.push(format!("data: {}\n\ndata: {stop}\n\n", choice(call)).as_bytes()).unwrap();
    assert_eq!(completion.pop(), Some(ReplyPart::Tool(ToolCall::HangUp)));
}

#[test]
fn a_call_that_is_in_the_text_too_is_carried_out_once() {
    let written =
        json!({ "content": "<tool_call>{\"name\": \"send_dtmf\", \"arguments\": {\"digits\": \"1\"}}</tool_call>" });
    let call = tool(json!(0), json!("a"), json!("send_dtmf"), json!("{\"digits\":\"1\"}"));
    let (_, calls) = read_with(Habit::Unknown, &[stream(&[written, call]).as_bytes()]).unwrap();
    assert_eq!(calls, [ToolCall::SendDtmf { digits: "1".to_owned() }]);
}

#[test]
fn an_old_function_call_is_one() {
    let pieces = [
        json!({ "function_call": { "name": "transfer", "arguments": "" } }),
        json!({ "function_call": { "arguments": "{\"destination\":" } }),
        json!({ "function_call": { "arguments": "\"200\"}" } }),
    ];
    assert_eq!(read_with(Habit::Unknown, &[stream(&pieces).as_bytes()]).unwrap().1, [transfer()]);
}

#[test]
fn a_message_that_repeats_the_whole_text_is_heard_once() {
    let whole = json!({ "choices": [{ "message": { "content": "Good day." }, "finish_reason": "stop" }] });
    let body = format!("data: {}\n\ndata: {whole}\n\n", choice(json!({ "content": "Good " })));
    assert_eq!(read_with(Habit::Unknown, &[body.as_bytes()]).unwrap().0, "Good day.");
}

#[test]
fn thoughts_between_marks_are_not_spoken() {
    let table = [
        "<think>\nHm, <b>é</b> </thin\n</think>\n\nGood day.",
        "<Thinking mode=\"deep\">Hm.</Thinking>Good day.",
        "<thought>Hm.</thought> Good day.",
        "<reasoning>Hm.</reasoning>Good day.",
        "<reflection>Hm.</reflection>Good day.",
        "<think>a</think> <think>b</think>Good day.",
        "<think></think>Good day.",
        "◁think▷Hm.◁/think▷Good day.",
        "[THINK]Hm.[/THINK]Good day.",
        "<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>Good day.<|end_of_solution|>",
        "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Good day.<|END_RESPONSE|>",
        "<|channel>thought\nHm.<channel|>Good day.<turn|>",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Good day.<|return|>",
        "analysisWe need to greet.assistantfinalGood day.",
        "Here is my thought process: Hm.\n\nHere is my response: Good day.",
        "<seed:think>Hm.</seed:think>Good day.",
        "<longcat_think>Hm.</longcat_think>Good day.",
        "<think >Hm.</think >Good day.",
        "<unused94>thought\nHm.<unused95>Good day.",
        "Thought: I should greet.\nFinal Answer: Good day.",
        "<think>Hm.</thinking>Good day.",
        "```thinking\nHm.\n```\nGood day.",
        "```thought\nHm.\n```\n\nGood day.",
        "```thoughts Hm.``` Good day.",
        "<details type=\"reasoning\" done=\"true\">\n<summary>Thought for 3 s</summary>\n> Hm.\n</details>\nGood day.",
        "Good day.\nThought: they want to go on.",
        "Good day.<think>And on and on",
        "Good day.<think>And on</think>",
    ];
    for text in table {
        assert_eq!(words(text), "Good day.", "{text}");
    }
    assert_eq!(words("<think>on and on"), "");
    assert_eq!(words("Good <think>Hm.</think>day."), "Good day.");
    assert_eq!(
        words(
            "<|channel|>commentary<|message|>One moment.<|end|><|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>"
        ),
        "One moment."
    );
}

#[test]
fn before_a_mark_that_only_closes_everything_was_a_thought() {
    for text in [
        "They want the hours. I say nine.</think>\n\nGood day.",
        "Okay, the user wants the hours.\n</think>\n\nGood day.",
        "Hm.[/THINK]Good day.",
        "Hm.◁/think▷Good day.",
        "Hm. {\"name\":\"hang_up\",\"arguments\":{}}\n</think>Good day.",
        "Here are my reasoning steps:\nHm.\n[BEGIN FINAL RESPONSE]\nGood day.\n[END FINAL RESPONSE]",
        "Hm.</think>Hm again.</think>Good day.",
    ] {
        assert_eq!(words(text), "Good day.", "{text}");
    }
}

#[test]
fn what_is_learnt_of_a_server_is_how_its_replies_begin() {
    let habit = |known, text: &str| {
        let mut completion = Completion::new(Reading { habit: known, ..reading() });
        completion.push(stream(&[json!({ "content": text })]).as_bytes()).unwrap();
        completion.habit()
    };
    assert_eq!(habit(Habit::Unknown, "Good day."), Some(Habit::Answer));
    assert_eq!(habit(Habit::Unknown, "<think>Hm.</think>Good day."), Some(Habit::Answer));
    assert_eq!(habit(Habit::Unknown, "Hm.</think>Good day."), Some(Habit::Thought));
    assert_eq!(habit(Habit::Answer, "Hm.</think>Good day."), Some(Habit::Thought));
    assert_eq!(habit(Habit::Thought, "Hm.</think>Good day."), Some(Habit::Thought));
    assert_eq!(habit(Habit::Thought, "Good day."), Some(Habit::Unknown));
    assert_eq!(habit(Habit::Unknown, "<think>Hm."), None);
}

#[test]
fn words_of_an_unknown_server_wait_until_they_are_released() {
    let mut completion = Completion::new(Reading { habit: Habit::Unknown, ..reading() });
    completion.push(format!("data: {}\n\n", choice(json!({ "content": "Good day." }))).as_bytes()).unwrap();
    assert_eq!((completion.pop(), completion.is_doubtful()), (None, true));
    completion.release();
    assert_eq!(completion.pop(), Some(ReplyPart::Text("Good day.".to_owned())));
    assert!(!completion.is_doubtful());

    let mut completion = Completion::new(Reading { habit: Habit::Unknown, ..reading() });
    let told_apart = choice(json!({ "reasoning_content": "Hm." }));
    let body = format!("data: {told_apart}\n\ndata: {}\n\n", choice(json!({ "content": "Good day." })));
    completion.push(body.as_bytes()).unwrap();
    assert_eq!(completion.pop(), Some(ReplyPart::Text("Good day.".to_owned())));
}

#[test]
fn what_turns_out_a_thought_too_late_is_taken_back() {
    let mut completion = Completion::new(reading());
    completion.push(format!("data: {}\n\n", choice(json!({ "content": "They want the hours." }))).as_bytes()).unwrap();
    assert!(completion.pop().is_some());
    completion.push(stream(&[json!({ "content": " I say nine.</think>At nine." })]).as_bytes()).unwrap();
    assert_eq!(completion.pop(), Some(ReplyPart::TakenBack));
    assert_eq!(completion.pop(), Some(ReplyPart::Text("At nine.".to_owned())));
    assert_eq!(completion.pop(), None);
}

#[test]
fn a_thought_that_reached_its_most_tokens_is_no_answer() {
    let body =
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": "Hm." }, "finish_reason": "length" }] }));
    assert_eq!(read_with(Habit::Thought, &[body.as_bytes()]).unwrap().0, "");
    assert_eq!(read_with(Habit::Unknown, &[body.as_bytes()]).unwrap().0, "Hm.");
}

#[test]
fn stop_tokens_end_a_reply_and_are_not_spoken() {
    for stop in [
        "<|im_end|>",
        "</s>",
        "<|eot_id|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "[/INST]",
        "<|end|>",
        "<｜end▁of▁sentence｜>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<|user|>",
        "<|im_start|>",
        "<eos>",
        "[|endofturn|]",
        "[end of text]",
        "assistant\n\n",
        "\n### User: ",
    ] {
        assert_eq!(words(&format!("Good day.{stop}user\nAnd you?")), "Good day.", "{stop}");
        assert_eq!(words(&format!("Good day.{stop}")), "Good day.", "{stop}");
    }
    assert_eq!(words("<|im_start|>assistant\nGood day.<|im_end|>"), "Good day.");
    assert_eq!(words("<|start_header_id|>assistant<|end_header_id|>\n\nGood day.<|eot_id|>"), "Good day.");
    assert_eq!(words("<start_of_turn>model\nGood day.<end_of_turn>"), "Good day.");
    assert_eq!(words("Good <|vision_pad|>day."), "Good day.");
    assert_eq!(words("[|assistant|]Good<0x20>day.[|endofturn|]"), "Goodday.");
    assert_eq!(words("<|header_start|>assistant<|header_end|>\n\nGood day."), "Good day.");
    assert_eq!(words("<|im_assistant|>assistant<|im_middle|>Good day."), "Good day.");
    assert_eq!(words("assistant\n\nGood day."), "Good day.");
    assert_eq!(words("Assistant: Good day.\nUser: And you?\nAssistant: Fine."), "Good day.");
    for plain in
        ["Assistants are here.", "Your user: anna", "Good day.\nUser: anna", "An assistant: Anna.", "I. Assist."]
    {
        assert_eq!(words(plain), plain);
    }
    assert_eq!(words("Nine <s>euros</s> dollars."), "Nine <s>euros dollars.", "that was struck out");

    let mut completion = Completion::new(reading());
    completion.push(format!("data: {}\n\n", choice(json!({ "content": "Good day.<|im_end|>" }))).as_bytes()).unwrap();
    assert!(completion.has_finished());
}

#[test]
fn calls_written_between_marks_are_carried_out_and_not_spoken() {
    for text in [
        r#"<tool_call>{"name": "transfer", "arguments": {"destination": "200"}}</tool_call>"#,
        "<tool_call>\n{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}\n</tool_call><|im_end|>",
        r#"<tool_call>{"name": "transfer", "arguments": {"destination": "200"}}"#,
        r#"<function=transfer>{"destination": "200"}</function>"#,
        "<tool_call><function=transfer><parameter=destination>\n200\n</parameter></function></tool_call>",
        r#"<function_calls><invoke name="transfer"><parameter name="destination">200</parameter></invoke></function_calls>"#,
        "<tool_call>transfer\n<arg_key>destination</arg_key>\n<arg_value>200</arg_value>\n</tool_call>",
        r#"<|python_tag|>{"type": "function", "name": "transfer", "parameters": {"destination": "200"}}<|eom_id|>"#,
        r#"<|python_tag|>transfer.call(destination="200")<|eom_id|>"#,
        r#"[TOOL_CALLS][{"name": "transfer", "arguments": {"destination": "200"}}]</s>"#,
        r#"[TOOL_CALLS]transfer[ARGS]{"destination": "200"}"#,
        r#"<function_call>{"name": "transfer", "arguments": {"destination": "200"}}</function_call>"#,
        r#"<|tool_call|>[{"name": "transfer", "arguments": {"destination": "200"}}]<|/tool_call|>"#,
        "<|tool_call>call:transfer{destination:<|\"|>200<|\"|>}<tool_call|>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>transfer\n```json\n{\"destination\": \"200\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>transfer<｜tool▁sep｜>{\"destination\": \"200\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "<|tool_call_start|>[transfer(destination=\"200\")]<|tool_call_end|>",
        r#"<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "transfer", "parameters": {"destination": "200"}}]<|END_ACTION|>"#,
        r#"[TOOL_CALLS]transfer[CALL_ID]a1b2c3d4e[ARGS]{"destination": "200"}"#,
        "<start_function_call>call:transfer{destination:<escape>200<escape>}<end_function_call>",
        r#"<|tool_call:begin|>abc<|tool_call:name|>transfer<|tool_call:args|>{"destination": "200"}<|tool_call:end|>"#,
        r#"<tool_use><name>transfer</name><arguments>{"destination": "200"}</arguments></tool_use>"#,
        r#"<tool name="transfer"><parameter name="destination">200</parameter></tool>"#,
        "<longcat_tool_call>transfer\n<arg_key>destination</arg_key>\n<arg_value>200</arg_value></longcat_tool_call>",
        "<|from|>assistant\n<|recipient|>transfer\n<|content|>{\"destination\": \"200\"}<|stop|>",
        ">>>transfer\n{\"destination\": \"200\"}",
        "<|channel|>commentary to=transfer <|constrain|>json<|message|>{\"destination\": \"200\"}<|call|>",
        "<|start|>assistant<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=transfer<|channel|>commentary json<|message|>{\"destination\":\"200\"}<|call|>",
    ] {
        assert_eq!(said(text), (String::new(), vec![transfer()]), "{text}");
        if !text.contains("<|start|>") && !text.starts_with(">>>") {
            assert_eq!(said(&format!("One moment. {text}")), ("One moment.".to_owned(), vec![transfer()]), "{text}");
        }
    }
    let two = "<tool_call>{\"name\":\"send_dtmf\",\"arguments\":{\"digits\":\"1\"}}</tool_call>\n<tool_call>{\"name\":\"hang_up\"}</tool_call>";
    assert_eq!(said(two).1, [ToolCall::SendDtmf { digits: "1".to_owned() }, ToolCall::HangUp]);
}

#[test]
fn bare_calls_are_carried_out_where_nothing_else_can_be_meant() {
    for text in [
        r#"{"name": "transfer", "arguments": {"destination": "200"}}"#,
        r#"{"type": "function", "name": "transfer", "parameters": {"destination": "200"}}"#,
        "```json\n{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}\n```",
        "```tool_code\ntransfer(destination=\"200\")\n```",
        "`{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}`",
        r#"[{"name": "transfer", "arguments": {"destination": "200"}}]"#,
        r#"[transfer(destination="200")]"#,
        r#"transfer(destination="200")"#,
        r#"transfer({"destination": "200"})"#,
        r#"transfer {"destination": "200"}"#,
        "<transfer><destination>200</destination></transfer>",
        "<transfer>{\"destination\": \"200\"}</transfer>",
        "<transfer>200</transfer>",
        "<transfer destination=\"200\"/>",
        "<transfer destination='200'></transfer>",
        "functools[{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}]",
        "to=functions.transfer {\"destination\": \"200\"}",
        r#"{"name": "transfer", "arguments": {"destination": "200"}"#,
        r#"{"tool_calls": [{"type": "function", "function": {"name": "transfer", "arguments": "{\"destination\": \"200\"}"}}]}"#,
    ] {
        let (words, calls) = said(text);
        assert_eq!((words.trim_matches('`'), calls), ("", vec![transfer()]), "{text}");
        let (words, calls) = said(&format!("One moment. {text}"));
        assert_eq!((words.trim_end_matches(['`', ' ']), calls), ("One moment.", vec![transfer()]), "{text}");
        let (words, calls) = said(&format!("One moment.\n\n{text}\n"));
        assert_eq!((words.trim_end_matches(['`', '\n']), calls), ("One moment.", vec![transfer()]), "{text}");
    }
    let first = "{\"name\": \"transfer\", \"arguments\": {\"destination\": \"200\"}}\nOne moment.";
    assert_eq!(said(first), ("One moment.".to_owned(), vec![transfer()]));
    for text in ["hang_up()", "<hang_up/>", "<hang_up></hang_up>", "<hang_up>"] {
        assert_eq!(said(text), (String::new(), vec![ToolCall::HangUp]), "{text}");
    }
}

#[test]
fn a_call_among_other_words_is_only_an_example() {
    let (words, calls) = said("With {\"name\": \"hang_up\", \"arguments\": {}} it would end.");
    assert_eq!((words.as_str(), calls), ("With  it would end.", vec![]));
}

#[test]
fn words_with_brackets_are_spoken() {
    for text in [
        "It is {open} [today] (until nine).",
        "Press [1] or {2}.",
        "{\"rooms\": 40} is what I see.",
        "{\"name\": \"Bellevue\"}",
        "[see our page](https://example.com)",
        "I can transfer (or hang up) if you like; a transfer (200) costs nothing.",
        "5 < 6 and 7 > 3, <b>bold</b>.",
        "Use `tools` or ```code```.",
        "```\nplain words\n```",
        "{\"name\":",
        "[1, 2",
        "He said <thing.",
        "a <transfer fee> of 200",
        "analysis of it",
        "Here is my answer.",
    ] {
        assert_eq!(words(text), text);
    }
}

#[test]
fn a_call_of_a_tool_that_was_not_offered_is_neither_spoken_nor_carried_out() {
    let read = |text: &str| {
        let mut completion = Completion::new(Reading::default());
        completion.push(stream(&[json!({ "content": text })]).as_bytes())?;
        Ok::<_, BackendError>(std::iter::from_fn(|| completion.pop()).collect::<Vec<_>>())
    };
    let call = "<tool_call>{\"name\": \"hang_up\", \"arguments\": {}}</tool_call>";
    assert_eq!(text(&read(&format!("Bye.{call}")).unwrap()), "Bye.");
    assert_eq!(read(call).unwrap_err().kind(), BackendErrorKind::Invalid);
}

#[test]
fn whatever_never_ends_is_bounded() {
    let endless = |open: &str, piece: &str| {
        let mut completion = Completion::new(reading());
        let event = |text: &str| format!("data: {}\n\n", choice(json!({ "content": text })));
        completion.push(event(open).as_bytes()).unwrap();
        for _ in 0..60 {
            completion.push(event(&piece.repeat(1_000)).as_bytes()).unwrap();
            assert!(completion.scanner.held_bytes() <= 2 * MAX_ARGUMENT_BYTES, "{open}");
            while completion.pop().is_some() {}
        }
    };
    for open in [
        "<think>",
        "<tool_call>",
        "{\"name\": \"",
        "[{\"name\": 1, ",
        "<|channel|>",
        "analysisW",
        "```json\n{\"name\": ",
        "<think ",
        "transfer(",
    ] {
        endless(open, "word ");
    }
}

#[test]
fn a_reply_of_nothing_but_marks_is_read_in_time() {
    for mark in [
        "<|x|>",
        "<think></think>",
        "</think>",
        "[",
        "{\"name\":",
        "<tool_call>{{{{{{{{{{</tool_call>",
        "`",
        "<",
        "transfer(",
        "```json\n{",
    ] {
        let text = mark.repeat((1 << 20) / mark.len());
        let _ = read_with(Habit::Unknown, &[stream(&[json!({ "content": text })]).as_bytes()]);
        let body = stream(&[json!({ "content": format!("<tool_call>{}", "{\"a\":[".repeat(2_000)) })]);
        let _ = read_with(Habit::Unknown, &[body.as_bytes()]);
    }
}

fn any_reply() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z]{1,7}[ .\\n]",
        3 => prop::sample::select(vec![
            "<think>", "</think>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷", "<tool_call>", "</tool_call>", "<|im_end|>",
            "<|channel|>", "analysis", "final", "<|message|>", "<|end|>", "<|start|>", "assistant", "```", "```json\n", "`",
            "{\"name\": \"hang_up\", \"arguments\": {}}", "{\"name\":", "transfer(", "transfer", "hang_up()", ")", "[", "{", "}", "]",
            "[TOOL_CALLS]", "<function=transfer>", "</function>", "<", ">", "é", "\"", "<|tool_call|>", "(", "functions.",
            "{\"destination\": \"200\"}", "to=transfer ", "\n", " ", "<s>", "</s>", "<|call|>", "<transfer>", "</transfer>", "<hang_up/>", "<hang_up>", "Here is my thought process:",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn how_a_body_is_cut_changes_nothing(
        text in any_reply(),
        habit in prop::sample::select(vec![Habit::Unknown, Habit::Thought]),
        letters in 1_usize..9,
        bytes in 1_usize..40,
    ) {
        let chars: Vec<char> = text.chars().collect();
        let deltas: Vec<Value> =
            chars.chunks(letters).map(|piece| json!({ "content": piece.iter().collect::<String>() })).collect();
        let one = stream(&[json!({ "content": text })]);
        let many = stream(&deltas);
        let whole = read_with(habit, &[one.as_bytes()]);
        let cut = read_with(habit, &many.as_bytes().chunks(bytes).collect::<Vec<_>>());
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn how_a_broken_body_is_cut_changes_nothing(
        parts in prop::collection::vec(prop::sample::select(vec![
            "data: ", "data:", "event: done", "event: error", "event: x", ": ping", "\n", "\n\n", "\r\n", "\r", "{", "}", "[", "]", "\"", ",",
            "{\"choices\":[{\"delta\":{\"content\":\"Good \"}}]}", "{\"choices\":[{\"finish_reason\":\"stop\"}]}", "[DONE]", "junk", "é",
            "{\"message\":{\"content\":\"a\"},\"done\":true}", "{\"error\":\"x\"}", "{}", "\u{feff}", " ", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}",
        ]), 0..20),
        size in 1_usize..12,
    ) {
        let bytes = parts.concat().into_bytes();
        let whole = read_with(Habit::Unknown, &[&bytes]);
        let cut = read_with(Habit::Unknown, &bytes.chunks(size).collect::<Vec<_>>());
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn no_bytes_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _ = read_with(Habit::Unknown, &pieces);
    }
}

#[test]
fn a_thought_an_action_and_its_input_in_lines_are_a_call() {
    for text in [
        "Thought: they want Anna.\nAction: transfer\nAction Input: {\"destination\": \"200\"}",
        "Action: transfer\nAction Input: 200\n",
        "Action: transfer(destination=\"200\")",
        "Action: ```json\n[{\"tool_name\": \"transfer\", \"parameters\": {\"destination\": \"200\"}}]\n```",
    ] {
        assert_eq!(said(text), (String::new(), vec![transfer()]), "{text}");
        let (words, calls) = said(&format!("One moment.\n{text}"));
        assert_eq!((words.trim_end(), calls), ("One moment.", vec![transfer()]));
    }
    assert_eq!(said("Bye.\nAction: hang_up"), ("Bye.".to_owned(), vec![ToolCall::HangUp]));
    assert_eq!(said("Bye. Action: ```json\n[{\"tool_name\": \"hang_up\", \"parameters\": {}}]\n```").0, "Bye.");
    for text in [
        "<|from|>assistant\n<|recipient|>all\n<|content|>Bye.\n<|from|>assistant\n<|recipient|>hang_up\n<|content|>{}<|stop|>",
        ">>>all\nBye.\n>>>hang_up\n{}",
    ] {
        assert_eq!(said(text), ("Bye.".to_owned(), vec![ToolCall::HangUp]), "{text}");
    }
    assert_eq!(said("Bye. [hang_up]"), ("Bye.".to_owned(), vec![ToolCall::HangUp]));
    for text in
        ["Action: none of these", "Our actions: transfer", "Action: transfers are free", "[transfer]", "We go to=200"]
    {
        assert_eq!(said(text), (text.to_owned(), vec![]), "{text}");
    }
}
