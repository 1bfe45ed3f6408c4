//! What a page shows, and what it never does.

use super::*;
use crate::record::call::{MarkKind, Turn};
use proptest::prelude::*;

const NONCE: &str = "n0nce";

fn page(record: &CallRecord) -> String {
    draw(record, Some("call.json"), NONCE)
}

/// Whether no figure of the drawing became something else.
fn has_only_numbers(page: &str) -> bool {
    let drawn = page.replace(SCRIPT, "");
    !["NaN", "\"inf", "-inf"].iter().any(|no_number| drawn.contains(no_number))
}

#[test]
fn a_page_shows_both_sides_turns_marks_and_waits() {
    let record = sample::record();
    let page = page(&record);
    for shown in [
        "+491…78",
        "22 November 2025, 12:03:14 UTC",
        "The agent hung up",
        "wave caller",
        "wave agent",
        "speech caller",
        "mark barge-in",
        "mark dtmf",
        "mark false-alarm",
        "class=\"held\"",
        "go forward ten meters",
        "<del title=\"Not heard by the caller\">Thank you for your patience.</del>",
        "title=\"First token\"><i class=\"stage2\"></i>1204<",
        "Lost on the way",
        "no answer within 1 s; sent again",
        "href=\"call.json\"",
    ] {
        assert!(page.contains(shown), "{shown:?} is missing");
    }
    assert_eq!(page.matches("class=\"turn\"").count(), record.turns.len());
    let drawn = page.matches("data-seek-ms").count() - SCRIPT.matches("data-seek-ms").count();
    // A line for each side of four turns and the greeting, each mark but the answer (two keys are one), and the error.
    assert_eq!(drawn, 9 + record.marks.len() - 2 + record.errors.len());
}

#[test]
fn a_call_that_was_taken_over_begins_with_what_was_said_before() {
    let mut record = sample::record();
    record.attempt = 2;
    record.add_before(crate::record::Side::Caller, "my number is five");
    record.add_before(crate::record::Side::Agent, "Thank you.");
    let page = page(&record);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(place("my number is five") < place("Thank you.") && place("Thank you.") < place("go forward ten meters"));
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let evil = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\u{202e}";
    let mut record = sample::record();
    record.call_id = evil.to_owned();
    record.caller = evil.to_owned();
    record.caller_name = evil.to_owned();
    record.dialed = evil.to_owned();
    record.pod = Some(evil.to_owned());
    record.codec = Some(evil.to_owned());
    record.recording = RecordingNote::Kept { file: evil.to_owned(), duration_ms: 1, bytes: 1 };
    record.add_before(crate::record::Side::Caller, evil);
    record.others.push(crate::record::OtherRecord { attempt: 1, started_at: record.started_at, name: evil.to_owned() });
    record.add_turn(Turn {
        index: 9,
        caller_text: evil.to_owned(),
        agent_text: evil.to_owned(),
        heard_text: "</script".to_owned(),
        interrupted: true,
        ..Turn::default()
    });
    record.mark(10, MarkKind::Transfer, evil);
    record.mark(10, MarkKind::Dtmf, "<");
    record.add_error(5, evil, evil);
    let clean = page(&sample::record());
    let page = draw(&record, Some(evil), "\"><script>");
    assert!(!page.contains("<img") && !page.contains("alert(1)</script>") && !page.contains('\u{202e}'));
    assert_eq!(page.matches("<script").count(), clean.matches("<script").count());
    assert_eq!(page.matches("</script").count(), 1);
    assert!(page.contains("nonce=\"script\""), "a nonce is letters and digits only");
    assert!(!page.contains("<audio"), "a name that is a path or worse gets no player");
    record.recording = RecordingNote::Dropped { reason: evil.to_owned() };
    assert!(!draw(&record, None, NONCE).contains("<img"));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = page(&sample::record());
    for elsewhere in ["http://", "https://", "//cdn", "@import", "url(", "<link", "<iframe", " style=\"", " onclick"] {
        let allowed = page.matches("url(#hatch)").count();
        let found = page.matches(elsewhere).count();
        assert_eq!(found, if elsewhere == "url(" { allowed } else { 0 }, "{elsewhere:?}");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("nonce=\"n0nce\"").count(), 2);
}

#[test]
fn the_player_is_there_only_with_a_recording() {
    let mut record = sample::record();
    assert!(page(&record).contains("No recording was made."));
    record.recording = RecordingNote::Dropped { reason: "the disk fell 8 s behind".to_owned() };
    let given_up = page(&record);
    assert!(given_up.contains("The recording was given up: the disk fell 8 s behind.") && !given_up.contains("<audio"));
    record.recording = RecordingNote::Kept { file: "call.wav".to_owned(), duration_ms: 36_240, bytes: 2_319_404 };
    assert!(page(&record).contains("<audio id=\"audio\" preload=\"metadata\" src=\"call.wav\">"));
}

#[test]
fn a_call_of_which_nothing_is_known_has_a_page_too() {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let record = CallRecord::new("", "", "", at, crate::record::Privacy::Shown);
    let page = page(&record);
    assert!(page.contains("unknown caller") && page.contains("Nothing was said."));
    assert!(has_only_numbers(&page));
}

#[test]
fn a_page_stays_small_however_long_the_call_was() {
    let mut record = sample::record();
    let mut peaks = crate::record::PeakTrack::new(16_000);
    let loud: Vec<i16> = (0..16_000_i32).map(|n| if n % 2 == 0 { 32_000 } else { -32_000 }).collect();
    for _ in 0..7_200 {
        peaks.push(&loud, &loud);
    }
    record.waveform = peaks.finish(0);
    assert!(page(&record).len() < 200_000);
}

proptest! {
    #[test]
    fn no_times_break_the_drawing(times in proptest::collection::vec(any::<u64>(), 6), wait in any::<u32>()) {
        let mut record = sample::record();
        record.add_caller_speech(times[0], times[1]);
        record.mark(times[2], MarkKind::BargeIn, "");
        record.mark(times[3], MarkKind::Hold, "");
        let latencies = crate::record::Latencies { first_token_ms: Some(wait), total_ms: Some(wait), ..Default::default() };
        record.add_turn(Turn {
            started_ms: times[4],
            ended_ms: times[5],
            speech_ended_ms: Some(times[2]),
            agent_text: "x".to_owned(),
            latencies,
            ..Turn::default()
        });
        let page = draw(&record, None, NONCE);
        prop_assert!(has_only_numbers(&page));
    }
}
