//! Barge-in, by voice and by key.

use super::*;

/// The agent is paused by speech over its first sentence.
fn paused() -> (Call, TurnId) {
    let (mut call, turn) = Call::speaking();
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    assert_eq!(call.phase(), Phase::Interrupted);
    (call, turn)
}

#[test]
fn words_over_the_agent_stop_it_and_the_history_keeps_what_was_heard() {
    let (mut call, turn) = paused();
    let clip = call.playing.expect("it was playing");
    let next = call.utterance_ends(600 * MS);
    assert_eq!(call.take(), [Action::Transcribe { turn: next }], "nothing is cancelled on suspicion");
    call.transcribed(next, "And on Sundays?");
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
    call.input(Input::ClipCut { clip, heard: 0.5 });
    let actions = call.take();
    let Action::Generate { text, history, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(text, "And on Sundays?");
    assert_eq!(history.last().map(|message| message.content.as_str()), Some("We are open from nine…"));
    assert!(call.has_marked(|mark| *mark == Mark::Interrupted { turn: Some(turn) }));
}

#[test]
fn a_cough_over_the_agent_resumes_it() {
    let (mut call, turn) = paused();
    call.reply(turn, "And never ever on Sundays. ");
    assert!(call.take().is_empty(), "the reply is written on, but nothing new is given out");
    call.input(Input::SpeechDiscarded);
    let actions = call.take();
    assert_eq!(actions[0], Action::ResumePlayback);
    assert_eq!(spoken(&actions), ["And never ever on Sundays."]);
    assert_eq!(call.phase(), Phase::Speaking);
    assert!(call.has_marked(|mark| *mark == Mark::FalseAlarm));
}

#[test]
fn noise_over_the_agent_that_is_no_words_resumes_it_however_long() {
    for speech in [600 * MS, 5 * SECOND] {
        let (mut call, _) = paused();
        let next = call.utterance_ends(speech);
        call.take();
        call.transcribed(next, "");
        assert_eq!(call.take(), [Action::ResumePlayback]);
        assert_eq!(call.phase(), Phase::Speaking);
    }
}

#[test]
fn long_speech_that_cannot_be_transcribed_stops_the_agent_and_short_does_not() {
    let (mut call, turn) = paused();
    let next = call.utterance_ends(1_200 * MS);
    call.take();
    call.input(Input::Transcribed { turn: next, result: Err(Failure::Unavailable) });
    let actions = call.take();
    assert_eq!(actions[..2], [Action::Cancel { turn }, Action::ClearPlayback]);
    assert_eq!(spoken(&actions), ["<apology>"]);

    let (mut call, _) = paused();
    let next = call.utterance_ends(500 * MS);
    call.take();
    call.input(Input::Transcribed { turn: next, result: Err(Failure::Unavailable) });
    assert_eq!(call.take(), [Action::ResumePlayback]);
}

#[test]
fn an_agent_stays_paused_while_the_caller_speaks_again() {
    let (mut call, _) = paused();
    let next = call.utterance_ends(600 * MS);
    call.input(Input::SpeechStarted);
    call.take();
    call.transcribed(next, "");
    assert!(call.take().is_empty());
    assert_eq!(call.phase(), Phase::Interrupted);
    call.input(Input::SpeechDiscarded);
    assert_eq!(call.take(), [Action::ResumePlayback]);
}

#[test]
fn a_pause_that_is_never_explained_ends_by_itself() {
    let (mut call, turn) = paused();
    call.reply_ends(turn);
    call.pass(36 * SECOND);
    assert!(call.take().contains(&Action::ResumePlayback));
}

#[test]
fn a_player_that_does_not_say_what_was_heard_is_not_waited_for() {
    let (mut call, _) = paused();
    let next = call.utterance_ends(600 * MS);
    call.transcribed(next, "Stop.");
    assert!(matches!(call.take().last(), Some(Action::ClearPlayback)));
    call.pass(250 * MS);
    assert!(matches!(call.take()[..], [Action::Generate { .. }]));
    // One second was played, at some fourteen characters a second.
    assert_eq!(call.history()[2], agent("We are open…"));
}

#[test]
fn an_agent_interrupted_between_two_sentences_keeps_the_first() {
    let (mut call, _) = Call::speaking();
    call.end_playing();
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let next = call.utterance_ends(600 * MS);
    call.transcribed(next, "Thanks.");
    assert!(matches!(call.take().last(), Some(Action::Generate { .. })), "nothing to wait for");
    assert_eq!(call.history()[2], agent("We are open from nine to five on weekdays. …"));
}

#[test]
fn a_clip_that_ended_before_it_could_be_cut_was_heard_whole() {
    let (mut call, turn) = paused();
    let clip = call.playing.expect("it was playing");
    call.reply_ends(turn);
    let next = call.utterance_ends(600 * MS);
    call.transcribed(next, "Thanks.");
    call.input(Input::ClipEnded { clip });
    assert_eq!(call.history()[2], agent("We are open from nine to five on weekdays."));
    assert!(matches!(call.take().last(), Some(Action::Generate { .. })));
}

#[test]
fn words_without_a_barge_in_stop_the_agent_too() {
    let (mut call, turn) = Call::speaking();
    let next = call.utter(600 * MS);
    call.take();
    call.transcribed(next, "Wait.");
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
}

#[test]
fn the_greeting_can_be_interrupted() {
    let mut call = Call::with(ConversationSettings::default());
    call.input(Input::Answered);
    let clip = call.play_next();
    call.input(Input::BargeIn);
    let turn = call.utterance_ends(SECOND);
    call.transcribed(turn, "Sales!");
    call.input(Input::ClipCut { clip, heard: 0.4 });
    assert_eq!(call.history(), [agent("Hello, how…"), user("Sales!")]);
}

#[test]
fn a_caller_can_talk_the_agent_out_of_hanging_up() {
    let mut call = Call::listening();
    let turn = call.ask("That is all.");
    call.reply(turn, "Goodbye then");
    call.input(Input::ReplyTool { turn, call: ToolCall::HangUp });
    call.reply_ends(turn);
    let clip = call.play_next();
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let next = call.utterance_ends(SECOND);
    call.transcribed(next, "Wait, one more thing.");
    call.input(Input::ClipCut { clip, heard: 0.9 });
    let actions = call.take();
    assert_eq!(hang_up(&actions), None);
    assert!(matches!(actions.last(), Some(Action::Generate { .. })));
}

#[test]
fn the_call_does_not_end_while_the_caller_may_be_saying_something() {
    let mut call = Call::listening();
    let turn = call.ask("That is all.");
    call.reply(turn, "Goodbye then");
    call.input(Input::ReplyTool { turn, call: ToolCall::HangUp });
    call.reply_ends(turn);
    call.play_next();
    call.input(Input::SpeechStarted);
    call.end_playing();
    assert_eq!(hang_up(&call.take()), None);
    call.input(Input::SpeechDiscarded);
    assert_eq!(hang_up(&call.take()), Some(EndReason::AgentHungUp));
}

#[test]
fn where_interruptions_are_deferred_the_agent_finishes_and_then_answers() {
    let settings = ConversationSettings { interruptions: Interruptions::Deferred, ..Default::default() };
    let (mut call, turn) = Call::speaking_with(settings);
    assert!(!call.conversation.interruptible());
    call.input(Input::BargeIn);
    assert_eq!(call.take(), [Action::ResumePlayback], "should the media plane do it all the same");
    let next = call.utter(SECOND);
    call.transcribed(next, "And on Sundays?");
    assert_eq!(call.take(), [Action::Transcribe { turn: next }]);
    call.reply_ends(turn);
    call.play_all();
    assert!(matches!(call.take().last(), Some(Action::Generate { text, .. }) if text == "And on Sundays?"));
}

#[test]
fn a_key_stops_the_agent_at_once() {
    let (mut call, turn) = Call::speaking();
    let clip = call.playing.expect("it was playing");
    call.input(Input::Dtmf { digit: '5' });
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
    call.input(Input::ClipCut { clip, heard: 0.5 });
    call.pass(2 * SECOND);
    let actions = call.take();
    assert!(matches!(&actions[..], [Action::Generate { text, .. }] if text == "[DTMF: 5]"), "{actions:?}");
}

#[test]
fn a_key_can_be_set_not_to_interrupt() {
    let settings = ConversationSettings { dtmf_interruptions: Interruptions::Deferred, ..Default::default() };
    let (mut call, turn) = Call::speaking_with(settings);
    call.input(Input::Dtmf { digit: '#' });
    assert!(call.take().is_empty());
    call.reply_ends(turn);
    call.play_all();
    assert!(matches!(call.take().last(), Some(Action::Generate { text, .. }) if text == "[DTMF: #]"));
}

#[test]
fn digits_of_a_paused_reply_wait() {
    let (mut call, turn) = paused();
    call.input(Input::ReplyTool { turn, call: ToolCall::SendDtmf { digits: "1".into() } });
    assert!(call.take().is_empty());
    call.input(Input::SpeechDiscarded);
    assert!(call.take().contains(&Action::SendDtmf { digits: "1".into() }));
}
