use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::turn::history::{Message, Role};
use crate::turn::state::{SavedReply, SavedState};
use crate::turn::tool::ToolCall;

/// What releases have written: `<reader>-<what>.txt`. A release's files are never changed; one that writes another form
/// adds its own.
const GOLDEN: [(&str, &str); 5] = [
    ("1-full", include_str!("../../../tests/fixtures/saved_state/1-full.txt")),
    ("1-young", include_str!("../../../tests/fixtures/saved_state/1-young.txt")),
    ("2-full", include_str!("../../../tests/fixtures/saved_state/2-full.txt")),
    ("2-paced", include_str!("../../../tests/fixtures/saved_state/2-paced.txt")),
    ("2-young", include_str!("../../../tests/fixtures/saved_state/2-young.txt")),
];

fn message(role: Role, content: &str) -> Message {
    Message { role, content: content.to_owned() }
}

fn encoded(value: &Value) -> String {
    encoded_text(&value.to_string())
}

fn encoded_text(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// What the golden files hold: a conversation with everything in it.
fn full() -> SavedState {
    SavedState {
        call_id: "6f1c1c1e-9d0a-4b7e-8a55-2f8f4f0f7c11".into(),
        caller: "+4930123456".into(),
        language: "de-AT".into(),
        turn: 7,
        elapsed_ms: 61_234,
        takeovers: 1,
        failures: 2,
        silence_prompts: 1,
        history: vec![
            message(Role::Assistant, "Grüß Gott, wie kann ich helfen?"),
            message(Role::User, "Ich hätte gern \"zwei\" Karten.\n[DTMF: 12#]"),
            message(Role::Assistant, "Für welchen Abend …"),
            message(Role::User, "Für den 日本 Abend"),
        ],
        reply: Some(SavedReply { heard: "Gern.".into(), rest: "Ich verbinde Sie.".into(), ..Default::default() }),
        unanswered: "und noch etwas".into(),
        closing: Some(ToolCall::Transfer { destination: "sip:anna@example.com:5060".into() }),
        ..Default::default()
    }
}

/// The same, of a pod that knows how fast its voice speaks.
fn paced() -> SavedState {
    SavedState { chars_per_minute: 780, ..full() }
}

/// And one that has just begun.
fn young() -> SavedState {
    SavedState {
        call_id: "6f1c1c1e-9d0a-4b7e-8a55-2f8f4f0f7c12".into(),
        language: "en".into(),
        elapsed_ms: 2_100,
        history: vec![message(Role::Assistant, "Hello, how can I help you?")],
        ..SavedState::default()
    }
}

#[test]
fn what_every_release_has_written_is_read() {
    for (name, text) in GOLDEN {
        let expected = match name.split_once('-') {
            Some((_, "full")) => full(),
            Some((_, "paced")) => paced(),
            _ => young(),
        };
        assert_eq!(read::<SavedState>(text.trim_end()), Ok(expected), "{name}");
    }
}

#[test]
fn what_this_release_writes_is_its_golden_file() {
    for (name, state) in [("2-full", full()), ("2-paced", paced()), ("2-young", young())] {
        let (_, golden) = GOLDEN.iter().find(|(golden, _)| *golden == name).expect("there is one");
        assert_eq!(
            write(&state),
            golden.trim_end(),
            "{name}: a new form needs a new file, and a new reader where old ones fail"
        );
    }
}

/// How the first release reads: all or nothing.
mod first_release {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    pub struct SavedState {
        pub v: u32,
        #[serde(default)]
        pub call_id: String,
        #[serde(default)]
        pub turn: u32,
        #[serde(default)]
        pub elapsed_ms: u64,
        #[serde(default)]
        pub takeovers: u32,
        #[serde(default)]
        pub history: Vec<Message>,
        #[serde(default)]
        pub reply: Option<Reply>,
        #[serde(default)]
        pub unanswered: String,
    }

    #[derive(Debug, Deserialize)]
    pub struct Message {
        pub role: Role,
        pub content: String,
    }

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Role {
        System,
        User,
        Assistant,
    }

    #[derive(Debug, Deserialize)]
    pub struct Reply {
        pub heard: String,
        pub rest: String,
    }
}

#[test]
fn the_first_release_goes_on_from_what_this_one_writes() {
    let json = URL_SAFE_NO_PAD.decode(write(&full())).expect("just written");
    let read: first_release::SavedState = serde_json::from_slice(&json).expect("it reads along");
    assert_eq!((read.v, read.turn, read.elapsed_ms, read.takeovers), (1, 7, 61_234, 1));
    assert_eq!((read.call_id, read.unanswered), (full().call_id, full().unanswered));
    let contents: Vec<String> = read.history.iter().map(|message| message.content.clone()).collect();
    assert_eq!(contents, full().history.iter().map(|message| message.content.clone()).collect::<Vec<_>>());
    assert!(read.history.iter().all(|message| message.role != first_release::Role::System));
    assert_eq!(read.reply.map(|reply| (reply.heard, reply.rest)), full().reply.map(|reply| (reply.heard, reply.rest)));
}

#[test]
fn what_a_later_release_adds_costs_nothing_else() {
    let history = json!([
        {"role": "assistant", "content": "Hello."},
        {"role": "function", "content": "{\"price\": 7}"},
        {"role": "user", "content": "How much?", "said_at": 7},
        {"part": "of another shape"},
        7
    ]);
    let later = json!({
        "v": 3, "min_reader": 2, "kind": "turns", "mood": "fine", "turn": 2, "history": history,
        "reply": {"heard": 7}, "closing": {"tool": "park"}, "takeovers": "many",
    });
    let state: SavedState = read(&encoded(&later)).expect("readable");
    let expected = SavedState {
        turn: 2,
        history: vec![message(Role::Assistant, "Hello."), message(Role::User, "How much?")],
        ..SavedState::default()
    };
    assert_eq!(state, expected);
}

#[test]
fn a_closing_that_this_release_does_not_know_or_would_not_do_costs_the_closing_alone() {
    for closing in [
        json!({"tool": "transfer", "destination": "1 XML default"}),
        json!({"tool": "transfer", "destination": "a:b"}),
        json!({"tool": "park"}),
        json!(7),
    ] {
        let state: SavedState = read(&encoded(&json!({"v": 1, "turn": 3, "closing": closing}))).expect("readable");
        assert_eq!((state.turn, state.closing), (3, None), "{closing}");
    }
}

#[test]
fn what_a_release_must_not_read_is_refused_by_name() {
    let refused = |value: Value| read::<SavedState>(&encoded(&value)).expect_err("refused");
    assert_eq!(refused(json!({"v": 3, "min_reader": 3, "history": 7})), StateError::TooNew { needed: 3 });
    assert_eq!(refused(json!({"v": 3, "history": 7})), StateError::TooNew { needed: 3 });
    assert_eq!(refused(json!({"v": 1, "kind": "a stream"})), StateError::OtherKind { expected: "turns" });
}

#[test]
fn hostile_text_is_refused_and_never_panics() {
    assert_eq!(read::<SavedState>(&"A".repeat(16_385)), Err(StateError::TooLong { length: 16_385 }));
    assert_eq!(read::<SavedState>("not base64!"), Err(StateError::Encoding));
    for json in ["", "[]", "{}", "{", r#"{"v":-1}"#, r#"{"v":1,"kind":7}"#, r#"{"v":1,"history":7}"#] {
        let result = read::<SavedState>(&encoded_text(json));
        assert!(matches!(result, Err(StateError::Shape { .. })), "{json}: {result:?}");
    }
    let deep = format!(r#"{{"v":1,"history":{}{}}}"#, "[".repeat(6_000), "]".repeat(6_000));
    assert!(read::<SavedState>(&encoded_text(&deep)).is_err());
}

#[test]
fn an_error_quotes_nothing_of_the_conversation() {
    for value in [json!({"v": 1, "history": "my card is 4111"}), json!({"v": "4111"}), json!({"v": 1, "kind": "4111"})]
    {
        let error = read::<SavedState>(&encoded(&value)).expect_err("no such shape");
        assert!(!error.to_string().contains("4111"), "{error}");
    }
}

#[test]
fn the_oldest_turns_are_left_out_until_it_fits() {
    let turn = |n: usize| [message(Role::User, &format!("q{n}")), message(Role::Assistant, &"long answer ".repeat(80))];
    let history: Vec<Message> = (0..25).flat_map(turn).collect();
    let text = write(&SavedState { history: history.clone(), ..SavedState::default() });
    assert!(text.len() <= MAX_ENCODED && text.len() > MAX_ENCODED / 5 * 4, "{}", text.len());
    let back = read::<SavedState>(&text).expect("just written").history;
    assert!(back.len() >= 20 && history.ends_with(&back));
    assert_eq!(back[0].role, Role::User, "whole turns");
}

#[test]
fn a_last_turn_that_is_too_long_keeps_its_end() {
    let history =
        vec![message(Role::User, "q"), message(Role::Assistant, &format!("{}the end", "\u{1}".repeat(4_000)))];
    let text = write(&SavedState { history, ..SavedState::default() });
    assert!(text.len() <= MAX_ENCODED);
    let back = read::<SavedState>(&text).expect("just written").history;
    assert_eq!(back.len(), 1);
    assert!(back[0].content.ends_with("the end"));
}

fn any_content() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        "[\\x00-\\x7f]{0,40}",
        (0usize..4_000).prop_map(|n| "\u{1}".repeat(n)),
        (0usize..4_000).prop_map(|n| "水".repeat(n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_state_fits_and_is_read_back_to_the_end_of_its_history(
        contents in prop::collection::vec(any_content(), 0..50),
        labels in (any_content(), any_content(), any_content()),
        unanswered in any_content(),
        reply in prop::option::of((any_content(), any_content())),
    ) {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let history: Vec<Message> =
            contents.into_iter().zip(roles).map(|(content, role)| Message { role, content }).collect();
        let state = SavedState {
            call_id: labels.0, caller: labels.1, language: labels.2, unanswered, turn: u32::MAX,
            elapsed_ms: u64::MAX, takeovers: u32::MAX, failures: u32::MAX, silence_prompts: u32::MAX,
            reply: reply.map(|(heard, rest)| SavedReply { heard, rest, ..Default::default() }),
            closing: Some(ToolCall::Transfer { destination: "d".repeat(64) }),
            history: history.clone(),
            ..Default::default()
        };
        let text = write(&state);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert!(text.len() <= MAX_ENCODED, "{}", text.len());
        let back = read::<SavedState>(&text).expect("just written").history;
        if let Some((first, others)) = back.split_first() {
            prop_assert!(history.ends_with(others));
            let original = &history[history.len() - back.len()];
            prop_assert!(original.role == first.role && original.content.ends_with(&first.content));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9_-]{0,400}|\\PC{0,100}", json in "\\PC{0,200}") {
        let _ = read::<SavedState>(&text);
        let _ = read::<SavedState>(&encoded_text(&json));
    }
}
