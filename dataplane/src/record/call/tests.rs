//! What a record keeps, and where it stops.

use super::*;

fn begun() -> CallRecord {
    let at = "2025-11-22T12:03:14.12Z".parse().unwrap();
    CallRecord::new("0b8f", "+4915112345678", "1000", at, Privacy::Masked)
}

#[test]
fn a_record_comes_back_from_json_as_it_was() {
    let record = crate::record::page::sample::record();
    let json = serde_json::to_string(&record).unwrap();
    let read: CallRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read, record);
}

#[test]
fn a_record_says_its_version_and_keeps_its_field_names() {
    let mut record = begun();
    record.mark_keys(40, MarkKind::Dtmf, "7");
    record.close("2025-11-22T12:03:20Z".parse().unwrap(), Ending::CallerHungUp);
    let json = serde_json::to_value(&record).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["caller"], "+491…78");
    assert_eq!(json["started_at"], "2025-11-22T12:03:14.12Z");
    assert_eq!(json["ending"], "caller_hung_up");
    assert_eq!(json["marks"][0], serde_json::json!({"at_ms": 40, "kind": "dtmf", "detail": "•"}));
    assert_eq!(json["recording"], serde_json::json!({"state": "off"}));
    assert_eq!(record.duration_ms(), 5_880);
}

#[test]
fn a_callers_name_is_kept_as_it_came_where_callers_are_shown() {
    let at = "2025-11-22T12:03:14.12Z".parse().unwrap();
    for name in ["A \"quoted\" name", "line\nfeed\u{7}", "${uuid}", "</script>", "Jürgen 日本"] {
        let mut record = CallRecord::new("0b8f", "+4915112345678", "1000", at, Privacy::Shown);
        record.name_caller(name);
        let json = serde_json::to_string(&record).unwrap();
        assert!(!json.contains(char::is_control));
        assert_eq!(serde_json::from_str::<CallRecord>(&json).unwrap().caller_name, name);
        let mut masked = begun();
        masked.name_caller(name);
        assert!(!serde_json::to_string(&masked).unwrap().contains("caller_name"));
    }
}

#[test]
fn a_reader_takes_a_newer_writers_record() {
    let mut json = serde_json::to_value(begun()).unwrap();
    json["mood"] = "cheerful".into();
    json["marks"] = serde_json::json!([{"at_ms": 1, "kind": "sneeze", "detail": "loud"}]);
    let read: CallRecord = serde_json::from_value(json).unwrap();
    assert_eq!(read.marks[0].kind, MarkKind::Other);
}

#[test]
fn nothing_from_outside_makes_a_record_boundless() {
    let mut record = begun();
    for at_ms in 0..(MAX_ENTRIES as u64 + 50) {
        record.mark(at_ms, MarkKind::Dtmf, "1");
        record.add_caller_speech(at_ms * 10, at_ms * 10 + 5);
    }
    record.add_turn(Turn { agent_text: "ä".repeat(MAX_TEXT_CHARS * 3), ..Turn::default() });
    assert_eq!(record.marks.len(), MAX_ENTRIES);
    assert_eq!(record.speech.caller.len(), MAX_ENTRIES);
    assert_eq!(record.turns[0].agent_text.chars().count(), MAX_TEXT_CHARS + 1);
    assert!(record.truncated);
}

#[test]
fn speech_that_goes_on_is_one_span() {
    let mut record = begun();
    record.add_agent_speech(100, 200);
    record.add_agent_speech(200, 350);
    record.add_agent_speech(500, 400);
    let spans = [Span { start_ms: 100, end_ms: 350 }, Span { start_ms: 500, end_ms: 500 }];
    assert_eq!(record.speech.agent, spans);
}

#[test]
fn the_median_wait_is_one_that_was() {
    let mut record = begun();
    assert_eq!(record.median_wait_ms(), None);
    for total_ms in [900, 1400, 1000, 5000] {
        let latencies = Latencies { total_ms: Some(total_ms), ..Latencies::default() };
        record.add_turn(Turn { latencies, ..Turn::default() });
    }
    assert_eq!(record.median_wait_ms(), Some(1000));
}
