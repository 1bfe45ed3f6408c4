//! A model's answer, cut in two ways: neither may panic, and both must give the same words and calls. The same goes for
//! what is spoken of them, and for the pieces in which it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::backend::ReplyPart;
use sofia_dataplane::backend::openai::read_recorded;
use sofia_dataplane::turn::sentence::{SentenceSplitter, SplitSettings};
use sofia_dataplane::turn::speakable::Speakable;
use sofia_dataplane::turn::tool::ToolCall;

fn words_and_calls(parts: Vec<ReplyPart>) -> (String, Vec<ToolCall>) {
    let (mut words, mut calls) = (String::new(), Vec::new());
    for part in parts {
        match part {
            ReplyPart::Text(text) => words.push_str(&text),
            ReplyPart::Tool(call) => calls.push(call),
            ReplyPart::Pause | ReplyPart::TakenBack | ReplyPart::Refused(_) => {}
        }
    }
    (words, calls)
}

fn spoken(pieces: &[String]) -> Vec<String> {
    let mut speakable = Speakable::default();
    let mut splitter = SentenceSplitter::new(SplitSettings::default());
    let mut sentences = Vec::new();
    for piece in pieces {
        let mut spoken = String::new();
        speakable.push(piece, &mut spoken);
        splitter.push(&spoken, &mut sentences);
    }
    let mut spoken = String::new();
    speakable.finish(&mut spoken);
    splitter.push(&spoken, &mut sentences);
    sentences.extend(splitter.finish());
    sentences
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = read_recorded([bytes]).map(words_and_calls);
    let cut = read_recorded(bytes.chunks(usize::from(size) + 1)).map(words_and_calls);
    assert_eq!(whole.as_ref().ok(), cut.as_ref().ok());

    let text = String::from_utf8_lossy(bytes);
    // The text as a model's own words, so that the fuzzer need not write JSON.
    let escaped: String = text.chars().flat_map(|c| format!("\\u{:04x}", u32::from(c).min(0xD7FF)).into_bytes()).map(char::from).collect();
    let event = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{escaped}\"}},\"finish_reason\":\"stop\"}}]}}\n\n");
    let _ = read_recorded([event.as_bytes()]);
    let letters: Vec<String> = text.chars().map(String::from).collect();
    assert_eq!(spoken(&[text.into_owned()]), spoken(&letters));
});
