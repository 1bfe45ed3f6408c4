//! Silence, duration, hold, and the ways in which a call ends.

use super::*;

#[test]
fn a_silent_caller_is_asked_three_times_and_then_let_go() {
    let mut call = Call::listening();
    for number in 1..=3 {
        call.pass(9_999 * MS);
        assert!(call.take().is_empty());
        call.pass(MS);
        assert_eq!(spoken(&call.take()), ["Are you still there?"]);
        assert!(call.has_marked(|mark| *mark == Mark::SilencePrompt { number }));
        call.play_all();
    }
    call.pass(10 * SECOND);
    assert_eq!(spoken(&call.take()), ["Thank you for calling. Goodbye."]);
    assert_eq!(call.phase(), Phase::Closing);
    call.play_all();
    assert_eq!(hang_up(&call.take()), Some(EndReason::CallerSilent));
}

#[test]
fn a_caller_who_speaks_up_starts_the_count_anew() {
    let mut call = Call::listening();
    for _ in 0..4 {
        for _ in 0..3 {
            call.pass(10 * SECOND);
            assert_eq!(spoken(&call.take()), ["Are you still there?"]);
            call.play_all();
        }
        call.exchange("Yes", "Good to hear.");
    }
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn a_caller_can_speak_up_even_over_the_goodbye() {
    let mut call = Call::listening_with(ConversationSettings { max_silence_prompts: 0, ..Default::default() });
    call.pass(10 * SECOND);
    call.take();
    let clip = call.play_next();
    assert!(call.conversation.interruptible());
    call.input(Input::BargeIn);
    let turn = call.utterance_ends(SECOND);
    call.transcribed(turn, "I am here!");
    call.input(Input::ClipCut { clip, heard: 0.3 });
    let actions = call.take();
    assert!(matches!(actions.last(), Some(Action::Generate { .. })), "{actions:?}");
    assert_eq!(call.phase(), Phase::Thinking);
}

#[test]
fn a_caller_who_is_speaking_is_not_silent() {
    let mut call = Call::listening();
    call.pass(9 * SECOND);
    call.input(Input::SpeechStarted);
    call.pass(20 * SECOND);
    assert!(call.take().is_empty());
}

#[test]
fn the_longest_call_ends_with_a_goodbye() {
    let settings = ConversationSettings { max_duration: 20 * SECOND, ..Default::default() };
    let (mut call, turn) = Call::speaking_with(settings);
    call.input(Input::SpeechStarted);
    call.pass(20 * SECOND);
    let actions = call.take();
    assert_eq!(actions[..2], [Action::Cancel { turn }, Action::ClearPlayback]);
    assert_eq!(spoken(&actions), ["Thank you for calling. Goodbye."]);
    assert!(!call.conversation.interruptible());
    call.input(Input::BargeIn);
    assert_eq!(call.take().first(), Some(&Action::ResumePlayback));
}

#[test]
fn a_goodbye_that_takes_too_long_does_not_hold_the_call() {
    let mut call = Call::listening_with(ConversationSettings { max_duration: 8 * SECOND, ..Default::default() });
    call.pass(8 * SECOND);
    call.play_next();
    assert_eq!(hang_up(&call.take()), None);
    call.pass(10 * SECOND);
    assert_eq!(hang_up(&call.take()), Some(EndReason::MaxDuration));
}

#[test]
fn on_hold_the_clocks_stand_still_and_nothing_is_said() {
    let mut call = Call::listening();
    call.pass(5 * SECOND);
    call.input(Input::Hold);
    assert_eq!(call.conversation.session_state(), SessionState::OnHold);
    call.pass(300 * SECOND);
    assert!(call.take().is_empty());
    call.input(Input::Unhold);
    call.pass(4_999 * MS);
    assert!(call.take().is_empty());
    call.pass(MS);
    assert_eq!(spoken(&call.take()), ["Are you still there?"]);
}

#[test]
fn an_answer_that_comes_during_a_hold_waits() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.take();
    call.input(Input::Hold);
    call.reply(turn, "Hello to you. ");
    call.reply_ends(turn);
    assert!(call.take().is_empty());
    call.input(Input::Unhold);
    assert_eq!(spoken(&call.take()), ["Hello to you."]);
}

#[test]
fn a_hold_does_not_outlast_the_longest_call() {
    let mut call = Call::listening_with(ConversationSettings { max_duration: 60 * SECOND, ..Default::default() });
    call.input(Input::Hold);
    call.pass(71 * SECOND);
    assert_eq!(hang_up(&call.take()), Some(EndReason::MaxDuration));
}

#[test]
fn when_the_caller_hangs_up_everything_is_cancelled_and_nothing_more_is_said() {
    let (mut call, turn) = Call::speaking();
    let hearing = call.utter(SECOND);
    call.take();
    call.input(Input::CallerHungUp);
    assert_eq!(call.take(), [Action::Cancel { turn: hearing }, Action::Cancel { turn }]);
    assert_eq!(call.conversation.end_reason(), Some(EndReason::CallerHungUp));
    assert!(call.has_marked(|mark| matches!(mark, Mark::AgentSaid { .. })), "the record tells what was heard");
    call.input(Input::Answered);
    call.input(Input::Reply { turn, text: "More. ".into() });
    assert!(call.take().is_empty());
    assert_eq!(call.conversation.session_state(), SessionState::Ended);
}

#[test]
fn a_call_that_is_stopped_from_outside_hangs_up_at_once() {
    let (mut call, turn) = Call::speaking();
    call.input(Input::Stop { reason: EndReason::MediaLost });
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::HangUp { cause: EndReason::MediaLost }]);
    assert_eq!(call.conversation.session_state(), SessionState::Error);
}

#[test]
fn a_call_that_is_never_answered_ends() {
    let mut call = Call::with(ConversationSettings::default());
    call.pass(60 * SECOND);
    assert_eq!(hang_up(&call.take()), Some(EndReason::NotAnswered));
}

#[test]
fn a_caller_who_speaks_faster_than_it_is_transcribed_fills_no_queue() {
    let mut call = Call::listening();
    for _ in 0..20 {
        call.utter(500 * MS);
    }
    let cancelled = call.take().iter().filter(|action| matches!(action, Action::Cancel { .. })).count();
    assert_eq!(cancelled, 12);
    assert_eq!(call.conversation.caller.hearing.len(), caller::MAX_HEARING);
}

#[test]
fn reasons_are_named_alike_everywhere() {
    for reason in [EndReason::CallerHungUp, EndReason::MaxDuration, EndReason::HandedOver, EndReason::NotAnswered] {
        assert_eq!(serde_json::to_string(&reason).expect("a name"), format!("\"{}\"", reason.as_str()));
    }
}
