//! Backends that fail, and answers that get lost: the call never goes silent.

use super::*;

#[test]
fn a_failed_transcription_is_apologised_for() {
    let mut call = Call::listening();
    let turn = call.utter(SECOND);
    call.take();
    call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
    assert_eq!(spoken(&call.take()), ["<apology>"]);
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
    assert_eq!(call.history().len(), 1, "an apology is no part of the conversation");
}

#[test]
fn a_reply_that_fails_before_its_first_word_is_apologised_for_and_the_question_kept() {
    let mut call = Call::listening();
    let turn = call.ask("When are you open?");
    call.take();
    call.input(Input::ReplyEnded { turn, result: Err(Failure::Timeout) });
    assert_eq!(spoken(&call.take()), ["<apology>"]);
    call.play_all();
    let next = call.utter(SECOND);
    call.take();
    call.transcribed(next, "Hello?");
    let actions = call.take();
    assert!(
        matches!(&actions[..], [Action::Generate { text, .. }] if text == "When are you open? Hello?"),
        "{actions:?}"
    );
}

#[test]
fn a_reply_that_fails_midway_is_said_as_far_as_it_came() {
    let (mut call, turn) = Call::speaking();
    call.reply(turn, "And half a sent");
    call.input(Input::ReplyEnded { turn, result: Err(Failure::Unavailable) });
    assert_eq!(spoken(&call.take()), ["<apology>"], "after the sentences that are out already");
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
    assert_eq!(call.history()[2], agent("We are open from nine to five on weekdays. On Saturdays until noon."));
}

#[test]
fn an_empty_reply_is_a_failure() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.take();
    call.reply(turn, " 👍 ");
    call.reply_ends(turn);
    assert_eq!(spoken(&call.take()), ["<apology>"]);
}

#[test]
fn a_sentence_that_cannot_be_spoken_ends_the_reply_with_an_apology() {
    let (mut call, turn) = Call::speaking();
    let clip = call.clips.pop_front().expect("the second sentence");
    call.input(Input::ClipFailed { clip, failure: Failure::CircuitOpen });
    let actions = call.take();
    assert_eq!(actions[0], Action::Cancel { turn });
    assert_eq!(spoken(&actions), ["<apology>"]);
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
    assert_eq!(call.history()[2], agent("We are open from nine to five on weekdays."));
}

#[test]
fn what_was_to_follow_a_sentence_that_cannot_be_spoken_is_not_said_either() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.take();
    call.reply(
        turn,
        "This is the first sentence. This is the second one. This is the third one. And this is the last. ",
    );
    call.reply_ends(turn);
    let first = call.play_next();
    let out: Vec<ClipId> = call.clips.iter().copied().collect();
    assert!(out.len() >= 2, "{out:?}");
    call.take();
    call.input(Input::ClipFailed { clip: out[0], failure: Failure::Timeout });
    let actions = call.take();
    let dropped: Vec<ClipId> = actions
        .iter()
        .filter_map(|action| if let Action::DropClip { clip } = action { Some(*clip) } else { None })
        .collect();
    assert_eq!(dropped, out[1..]);
    assert_eq!(spoken(&actions), ["<apology>"]);
    assert!(!actions.contains(&Action::ClearPlayback), "the first is said to its end");
    call.clips.pop_front();
    assert_eq!(call.playing, Some(first));
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
    assert_eq!(call.history().last(), Some(&agent("This is the first sentence.")));
}

#[test]
fn speech_that_breaks_off_was_heard_as_far_as_it_was_played_and_is_apologised_for() {
    let (mut call, turn) = Call::speaking();
    let clip = call.playing.take().expect("the first sentence");
    call.input(Input::ClipBrokeOff { clip, heard: 0.5, failure: Failure::Unavailable });
    let actions = call.take();
    assert!(actions.contains(&Action::Cancel { turn }), "{actions:?}");
    assert_eq!(spoken(&actions), ["<apology>"]);
    assert_eq!(call.clips.len(), 1, "nothing but the apology is to be played: {:?}", call.clips);
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
    let heard = &call.history()[2];
    assert!(heard.1.starts_with("We are open") && heard.1.ends_with('…'), "{heard:?}");
    assert!(heard.1.chars().count() < 30, "{heard:?}");
}

#[test]
fn speech_that_breaks_off_after_it_was_interrupted_is_no_failure() {
    let (mut call, _) = Call::speaking();
    let clip = call.playing.expect("the first sentence");
    call.input(Input::BargeIn);
    let turn = call.utter(SECOND);
    call.input(Input::Transcribed { turn, result: Ok("Wait, please".to_owned()) });
    let actions = call.take();
    assert!(actions.contains(&Action::ClearPlayback), "{actions:?}");
    call.input(Input::ClipBrokeOff { clip, heard: 0.5, failure: Failure::Unavailable });
    assert!(!spoken(&call.take()).contains(&"<apology>"));
    assert!(call.marks.iter().all(|mark| !matches!(mark, Mark::Failed { .. })), "{:?}", call.marks);
}

#[test]
fn several_clips_that_fail_together_are_one_failure() {
    let (mut call, _) = Call::speaking();
    call.end_playing();
    for clip in std::mem::take(&mut call.clips) {
        call.input(Input::ClipFailed { clip, failure: Failure::Timeout });
    }
    assert_eq!(spoken(&call.take()), ["<apology>"]);
}

#[test]
fn a_greeting_that_cannot_be_spoken_is_replaced_by_the_apology() {
    let mut call = Call::with(ConversationSettings::default());
    call.input(Input::Answered);
    call.take();
    let clip = call.clips.pop_front().expect("the greeting");
    call.input(Input::ClipFailed { clip, failure: Failure::Timeout });
    assert_eq!(spoken(&call.take()), ["<apology>"]);
    call.play_all();
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn an_apology_that_fails_is_not_apologised_for() {
    let mut call = Call::listening();
    let turn = call.utter(SECOND);
    call.input(Input::Transcribed { turn, result: Err(Failure::Other) });
    let clip = call.clips.pop_front().expect("the apology");
    call.take();
    call.input(Input::ClipFailed { clip, failure: Failure::Other });
    assert!(call.take().is_empty());
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn after_three_failures_in_a_row_the_call_is_given_up() {
    let mut call = Call::listening();
    for n in 1..=3 {
        let turn = call.utter(SECOND);
        call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
        assert_eq!(call.phase(), if n == 3 { Phase::Closing } else { Phase::Speaking });
        call.play_all();
    }
    let actions = call.take();
    assert_eq!(spoken(&actions), ["<apology>"; 3]);
    assert_eq!(hang_up(&actions), Some(EndReason::BackendFailed));
}

#[test]
fn a_good_answer_ends_a_row_of_failures() {
    let mut call = Call::listening();
    for _ in 0..3 {
        for _ in 0..2 {
            let turn = call.utter(SECOND);
            call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
            call.play_all();
        }
        call.exchange("Hello?", "Here I am again.");
    }
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn an_apology_does_not_interrupt_a_caller_who_goes_on_speaking() {
    let mut call = Call::listening();
    let first = call.utter(SECOND);
    call.input(Input::SpeechStarted);
    call.take();
    call.input(Input::Transcribed { turn: first, result: Err(Failure::Unavailable) });
    assert!(call.take().is_empty());
    let second = call.utterance_ends(SECOND);
    call.transcribed(second, "Are you there?");
    let actions = call.take();
    assert_eq!(spoken(&actions), [] as [&str; 0]);
    assert!(matches!(actions.last(), Some(Action::Generate { .. })));
}

#[test]
fn a_lost_transcription_is_given_up() {
    let mut call = Call::listening();
    let turn = call.utter(SECOND);
    call.take();
    call.pass(35 * SECOND);
    let actions = call.take();
    assert_eq!(actions[0], Action::Cancel { turn });
    assert_eq!(spoken(&actions), ["<apology>"]);
}

#[test]
fn a_lost_reply_is_given_up() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.take();
    call.pass(35 * SECOND);
    let actions = call.take();
    assert_eq!(actions[0], Action::Cancel { turn });
    assert_eq!(spoken(&actions), ["<apology>"]);
}

#[test]
fn a_reply_that_dribbles_for_ever_is_given_up() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.take();
    for _ in 0..130 {
        call.reply(turn, "a");
        call.pass(SECOND);
    }
    assert!(call.take().contains(&Action::Cancel { turn }));
}

#[test]
fn a_clip_that_never_starts_is_given_up() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.reply(turn, "Hello to you. ");
    call.take();
    call.pass(20 * SECOND);
    let actions = call.take();
    assert_eq!(actions[..2], [Action::Cancel { turn }, Action::ClearPlayback]);
    assert_eq!(spoken(&actions), ["<apology>"]);
    let clip = call.play_next();
    assert_eq!(clip, ClipId(3));
    call.end_playing();
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn a_player_that_plays_nothing_at_all_does_not_keep_the_call_for_ever() {
    let mut call = Call::with(ConversationSettings::default());
    call.input(Input::Answered);
    call.pass(31 * 60 * SECOND);
    assert_eq!(call.phase(), Phase::Ended);
    assert!(hang_up(&call.take()).is_some());
}

#[test]
fn a_failed_transfer_leaves_the_caller_with_the_agent() {
    for lost in [false, true] {
        let mut call = Call::listening();
        let turn = call.ask("Sales");
        call.input(Input::ReplyTool { turn, call: ToolCall::Transfer { destination: "1001".into() } });
        call.reply_ends(turn);
        call.play_all();
        call.take();
        assert_eq!(call.phase(), Phase::Transferring);
        if lost {
            call.pass(60 * SECOND)
        } else {
            call.input(Input::TransferFailed)
        }
        assert_eq!(spoken(&call.take()), ["<apology>"]);
        call.play_all();
        assert_eq!(call.phase(), Phase::Listening);
    }
}

#[test]
fn a_backend_that_is_not_asked_ends_no_call() {
    let mut call = Call::listening();
    for _ in 0..10 {
        let turn = call.utter(SECOND);
        call.take();
        call.input(Input::Transcribed { turn, result: Err(Failure::CircuitOpen) });
        assert_eq!(spoken(&call.take()), ["<apology>"]);
        call.play_all();
        assert_eq!(call.phase(), Phase::Listening);
    }
    // It is asked again, and fails.
    for n in 1..=3 {
        let turn = call.utter(SECOND);
        call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
        call.play_all();
        assert_eq!(call.phase() == Phase::Ended, n == 3);
    }
}

#[test]
fn a_promise_that_cannot_be_kept_is_followed_by_the_apology() {
    for by_backend in [true, false] {
        let mut call = Call::listening();
        let turn = call.ask("Sales");
        call.reply(turn, "I am connecting you. ");
        call.input(if by_backend {
            Input::ReplyRefused { turn, reason: "no such destination".to_owned() }
        } else {
            Input::ReplyTool { turn, call: ToolCall::Transfer { destination: "1 XML default".into() } }
        });
        call.reply_ends(turn);
        assert_eq!(spoken(&call.take()), ["I am connecting you.", "<apology>"]);
        assert!(call.has_marked(|mark| matches!(mark, Mark::ToolRefused { .. })));
        call.play_all();
        assert_eq!(call.phase(), Phase::Listening);
    }
}

#[test]
fn what_a_model_wants_and_cannot_have_ends_no_call() {
    let mut call = Call::listening();
    for _ in 0..5 {
        let turn = call.ask("Sales");
        call.input(Input::ReplyRefused { turn, reason: "no such function".to_owned() });
        call.reply_ends(turn);
        call.play_all();
    }
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn a_transfer_is_only_tried_to_where_the_trunk_leads() {
    let settings = ConversationSettings { transfers: crate::turn::tool::Transfers::Numbers, ..Default::default() };
    for (destination, led) in [("+12025550143", true), ("anna@example.com", false), ("sales", false)] {
        let mut call = Call::listening_with(settings.clone());
        let turn = call.ask("Anna, please");
        call.reply(turn, "One moment. ");
        call.input(Input::ReplyTool { turn, call: ToolCall::Transfer { destination: destination.into() } });
        call.reply_ends(turn);
        call.play_all();
        assert_eq!(call.phase() == Phase::Transferring, led, "{destination}");
    }
}

#[test]
fn the_model_is_told_of_a_transfer_that_failed_with_the_callers_next_words() {
    let mut call = Call::listening();
    let turn = call.ask("Sales");
    call.reply(turn, "I am connecting you. ");
    call.input(Input::ReplyTool { turn, call: ToolCall::Transfer { destination: "1001".into() } });
    call.reply_ends(turn);
    call.play_all();
    call.input(Input::TransferFailed);
    call.play_all();
    call.take();
    let next = call.utter(SECOND);
    call.take();
    call.transcribed(next, "Hello?");
    let actions = call.take();
    let told = "[The transfer has failed. The caller is still here.] Hello?";
    assert!(matches!(&actions[..], [Action::Generate { text, .. }] if text == told), "{actions:?}");
}
