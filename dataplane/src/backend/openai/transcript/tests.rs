use super::*;
use proptest::prelude::*;
use serde_json::json;

fn text(body: &str) -> String {
    read(body.as_bytes(), true).unwrap_or_else(|error| panic!("{body}: {error}"))
}

#[test]
fn the_text_is_found_wherever_servers_put_it() {
    let table = [
        r#"{"text":" Good day. ","language":"en"}"#,
        r#""Good day.""#,
        "Good day.",
        "\u{feff}{\"text\":\"Good day.\"}",
        "\u{feff}Good day.\n",
        r#"[{"text":"Good day."}]"#,
        r#"[{"text":"Good"},{"text":"day."}]"#,
        r#"["Good","day."]"#,
        r#"{"segments":[{"text":" Good"},{"text":" day."}]}"#,
        r#"{"text":null,"segments":[{"id":0,"text":"Good day."}]}"#,
        r#"{"text":"","segments":[{"id":0,"text":"Good day."}]}"#,
        r#"{"text":{"text":"Good day."}}"#,
        r#"{"result":"Good day."}"#,
        r#"{"result":{"text":"Good day."}}"#,
        r#"{"results":[{"alternatives":[{"transcript":"Good","confidence":0.9},{"transcript":"Wood"}]},{"alternatives":[{"transcript":"day."}]}]}"#,
        r#"{"results":{"channels":[{"alternatives":[{"transcript":"Good day.","words":[{"word":"good"}]}]}]}}"#,
        r#"{"results":{"transcripts":[{"transcript":"Good day."}],"items":[{"alternatives":[{"content":"x"}]}]}}"#,
        r#"{"transcript":"Good day."}"#,
        r#"{"transcription":"Good day."}"#,
        r#"{"transcription":[{"timestamps":{"from":"0"},"text":" Good day."}]}"#,
        r#"{"status":"success","data":{"text":"Good day."}}"#,
        r#"{"code":0,"result":[{"key":"a","text":"Good day."}]}"#,
        r#"{"RecognitionStatus":"Success","DisplayText":"Good day.","Offset":0}"#,
        r#"{"combinedPhrases":[{"text":"Good day."}],"phrases":[{"text":"x"}]}"#,
        r#"{"result":[{"conf":1.0,"word":"Good"},{"conf":1.0,"word":"day."}]}"#,
        r#"{"choices":[{"message":{"content":"Good day."}}]}"#,
        r#"{"error":null,"text":"Good day."}"#,
        r#"{"result":{"text":"Good day.","words":[]},"success":true,"errors":[],"messages":[]}"#,
        r#"{"pred_text":"Good day."}"#,
        r#"[{"generated_text":"Good day."}]"#,
        r#"{"outputs":[{"text":"Good day."}]}"#,
        r#"{"RecognitionStatus":"Success","NBest":[{"Display":"Good day."},{"Display":"Wood day."}]}"#,
        r#"{"status":0,"hypotheses":[{"utterance":"Good day."}]}"#,
        r#"{"monologues":[{"speaker":0,"elements":[{"type":"text","value":"Good"},{"type":"punct","value":" "},{"type":"text","value":"day"},{"type":"punct","value":"."}]}]}"#,
        "start\tend\ttext\n0\t900\tGood\n900\t2000\tday.\n",
        "{\"text\":\"Good\"}\n{\"text\":\"day.\"}\n",
        "{\"partial\":\"goo\"}\n{\"text\":\"Good day.\"}",
        "{\"text\":\"Goo\",\"is_final\":false}\n{\"text\":\"Good day.\",\"is_final\":true}",
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Good\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\" day.\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Good day.\"}\n\ndata: [DONE]\n\n",
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Good\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\" day.\"}\n\n",
        "event: transcript.text.done\r\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Good day.\"}\r\n\r\n",
        ": keep-alive\n\ndata: {\"text\":\"Good\"}\n\ndata: {\"text\":\"day.\"}\n\n",
        "data: {\"text\":\"Good\"}\n\ndata: {\"text\":\"Good day.\"}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Good\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" day.\"}}]}\n\ndata: [DONE]\n\n",
        "data: Good day.\n\n",
        "1\n00:00:00,000 --> 00:00:01,000\nGood\n\n2\n00:00:01,000 --> 00:00:02,000\nday.\n",
        "WEBVTT\n\n00:00.000 --> 00:02.000\nGood day.\n",
    ];
    for body in table {
        assert_eq!(text(body), "Good day.", "{body}");
    }
    let wide: Vec<u8> = "\u{feff}Good day.".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&wide, true).unwrap(), "Good day.");
    assert_eq!(read(b"Gr\xFC\xDF Gott, wie geht es Ihnen?", true).unwrap(), "Grüß Gott, wie geht es Ihnen?");
    assert_eq!(text(r#"{"segments":[{"text":"ご視聴"},{"text":"です"}]}"#), "ご視聴です");
    assert_eq!(text("[Music]"), "[Music]", "a remark, judged elsewhere");
    assert_eq!(text("\"Good,\" she said"), "\"Good,\" she said");
}

#[test]
fn nothing_is_nothing() {
    for body in [
        "",
        " \n",
        "null",
        "\"\"",
        "[]",
        "{}",
        r#"{"text":null}"#,
        r#"{"text":""}"#,
        r#"{"text":"  "}"#,
        r#"{"segments":[]}"#,
        r#"{"language":"en","duration":1.2}"#,
        r#"{"text":null,"segments":null}"#,
        r#"{"results":[]}"#,
        r#"{"results":[{}]}"#,
        r#"{"transcription":[]}"#,
        r#"{"result":{"hypotheses":[]}}"#,
        "data: [DONE]\n\n",
        "data: {\"text\":null}\n\n",
        "{\"partial\":\"\"}",
        "\u{feff}",
        r#"{"RecognitionStatus":"NoMatch","Offset":1,"Duration":2}"#,
        r#"{"totalBilledTime":"1s","requestId":"7"}"#,
    ] {
        assert_eq!(text(body), "", "{body}");
    }
}

#[test]
fn what_is_no_transcript_is_told_without_quoting_it() {
    let table = [
        ("<!DOCTYPE html><html>secret</html>", "expected a transcript, came a page of HTML or XML"),
        (r#"{"text": "secre"#, "expected a transcript, came JSON that can't be read"),
        (r#"{"foo":"secret"}"#, "expected a transcript, came JSON without a text"),
        ("true", "true"),
        (r#"{"error":{"message":"model is\nloading"}}"#, "expected a transcript, came an error: model is loading"),
        (r#"{"detail":[{"input":"secret"}]}"#, "expected a transcript, came an error"),
        (r#"{"RecognitionStatus":"Error"}"#, "expected a transcript, came an error"),
        (r#"{"success":false,"result":null}"#, "expected a transcript, came an error"),
        ("data: {\"type\":\"error\",\"message\":\"busy\"}\n\n", "expected a transcript, came an error: busy"),
        (r#"[[[[[[[[[["secret"]]]]]]]]]]"#, "expected a transcript, came JSON that is too deep"),
    ];
    for (body, expected) in table {
        match read(body.as_bytes(), true) {
            Err(error) => assert_eq!(error.to_string(), expected, "{body}"),
            Ok(text) => assert_eq!(text, expected, "{body}"),
        }
    }
    for bytes in [&b"\x89PNG\r\n\x1a\n\0\0"[..], &[0xFF; 40], b"RIFF\0\0\0\0WAVE"] {
        assert_eq!(read(bytes, true), Err(Unreadable::Kind("bytes that are no text")), "{bytes:?}");
    }
}

fn verbose(text: &str, no_speech: f64, log_probability: f64) -> String {
    let segment =
        json!({ "text": text, "no_speech_prob": no_speech, "avg_logprob": log_probability, "compression_ratio": 1.1 });
    json!({ "text": text, "segments": [segment] }).to_string()
}

#[test]
fn words_of_which_the_server_says_that_there_was_no_speech_are_nothing() {
    for (words, no_speech, log_probability) in [
        ("Thank you.", 0.93, -1.1),
        ("Thank you.", 0.8, -0.5),
        ("Thank you for watching!", 0.55, -0.4),
        ("you", 0.94, -0.6),
        ("The weather is nice.", 0.92, -0.7),
        ("The weather is nice.", 0.65, -1.2),
    ] {
        assert_eq!(text(&verbose(words, no_speech, log_probability)), "", "{words} {no_speech} {log_probability}");
        let believed = read(verbose(words, no_speech, log_probability).as_bytes(), false);
        assert_eq!(believed.unwrap(), words, "where nobody doubts");
    }
    assert_eq!(text(r#"{"text":"Thank you.","no_speech_prob":0.9}"#), "");
    assert_eq!(text(r#"[{"text":"Thank you.","no_speech_prob":0.9}]"#), "");
    assert_eq!(text("data: {\"text\":\"you\",\"no_speech_prob\":0.95,\"avg_logprob\":-1.2}\n\n"), "");
}

#[test]
fn words_of_which_the_server_is_sure_are_heard() {
    for (words, no_speech, log_probability) in [
        ("Thank you.", 0.2, -0.5),
        ("Thank you.", 0.6, -0.6),
        ("Thank you for watching!", 0.02, -0.2),
        ("Go.", 0.68, -0.83),
        ("Go forward ten meters.", 0.06, -0.76),
        ("Yes.", 0.9, -0.1),
        ("Yes.", 0.0, -2.0),
    ] {
        assert_eq!(text(&verbose(words, no_speech, log_probability)), words, "{no_speech} {log_probability}");
    }
    assert_eq!(text(r#"{"text":"Thank you.","segments":[{"text":"Thank you."}]}"#), "Thank you.");
}

#[test]
fn of_several_segments_only_those_with_speech_count() {
    let body = json!({
        "text": " I'd like a table. Thank you for watching!",
        "segments": [
            { "text": " I'd like a table.", "no_speech_prob": 0.05, "avg_logprob": -0.3 },
            { "text": " Thank you for watching!", "no_speech_prob": 0.88, "avg_logprob": -0.6 },
        ],
    });
    assert_eq!(text(&body.to_string()), "I'd like a table.");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, true);
    }

    #[test]
    fn no_text_panics(body in "[a-z\\[\\]{}\":,.<>\n 0-9\\-]{0,80}", head in "(data: |\\{\"text\":|\\[|\"|<|)") {
        let _ = read(format!("{head}{body}").as_bytes(), true);
    }

    #[test]
    fn any_words_come_back_from_each_of_the_usual_forms(words in "[A-Za-zäßéñ]{1,9}( [a-zäßéñ']{1,9}){0,8}[.?!]?") {
        let forms = [
            json!({ "text": words }).to_string(),
            json!({ "segments": [{ "text": words }] }).to_string(),
            json!(words).to_string(),
            words.clone(),
            format!("data: {}\n\n", json!({ "type": "transcript.text.done", "text": words })),
        ];
        for form in forms {
            prop_assert_eq!(read(form.as_bytes(), true).unwrap(), words.clone(), "{}", form);
        }
    }
}
