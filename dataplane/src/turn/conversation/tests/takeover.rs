//! A pod is lost, or gives its calls away, and another goes on.

use super::*;

fn resumed(saved: Option<String>) -> Call {
    Call::resumed(ConversationSettings::default(), &saved.expect("something was saved"))
}

#[test]
fn the_next_pod_does_not_greet_again() {
    let mut call = Call::listening();
    call.exchange("Hi", "Hello to you.");
    let mut next = resumed(call.saved);
    assert!(next.take().is_empty());
    assert_eq!(next.phase(), Phase::Listening);
    assert_eq!(next.conversation.takeovers(), 1);
    assert_eq!(next.history(), [agent("Hello, how can I help you?"), user("Hi"), agent("Hello to you.")]);
}

#[test]
fn a_question_without_an_answer_is_answered_at_once() {
    let mut call = Call::listening();
    let turn = call.ask("When are you open?");
    call.reply(turn, "We are op");
    let mut next = resumed(call.saved);
    let actions = next.take();
    let Action::Generate { turn: again, text, history } = &actions[0] else { panic!("{actions:?}") };
    assert!(*again > turn);
    assert_eq!((text.as_str(), history.len()), ("When are you open?", 1));
}

#[test]
fn a_reply_goes_on_after_the_last_sentence_that_was_heard() {
    let (mut call, turn) = Call::speaking();
    call.reply_ends(turn);
    call.end_playing();
    call.play_next();
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()), ["On Saturdays until noon."]);
    next.play_all();
    assert_eq!(next.history()[2], agent("We are open from nine to five on weekdays. On Saturdays until noon."));
    assert_eq!(next.phase(), Phase::Listening);
}

#[test]
fn a_finished_reply_of_which_nothing_was_heard_is_not_asked_for_again() {
    let mut call = Call::listening();
    let turn = call.ask("Hi");
    call.reply(turn, "Hello to you.");
    call.reply_ends(turn);
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()), ["Hello to you."]);
}

/// A call whose agent has said that it connects the caller.
fn transferring() -> Call {
    let mut call = Call::listening();
    let turn = call.ask("Sales, please");
    call.reply(turn, "I am connecting you. ");
    call.input(Input::ReplyTool { turn, call: ToolCall::Transfer { destination: "1001".into() } });
    call.reply_ends(turn);
    call.play_all();
    call
}

#[test]
fn a_caller_whose_transfer_failed_is_back_with_an_agent_who_knows_of_it() {
    let mut call = transferring();
    assert_eq!(call.phase(), Phase::Transferring);
    call.input(Input::Transferred);
    let mut next = resumed(call.saved);
    let actions = next.take();
    let told = "[The transfer has failed. The caller is still here.]";
    assert!(matches!(&actions[..], [Action::Generate { text, .. }] if text == told), "{actions:?}");
    assert_ne!(next.phase(), Phase::Transferring, "it is not tried again by itself");
}

#[test]
fn a_model_is_told_why_a_transfer_failed_once() {
    let call = transferring();
    let told = "[The transfer has failed: the line is busy. The caller is still here.]";
    let asked = |call: &mut Call| {
        call.input(Input::Answered);
        let actions = call.take();
        let [Action::Generate { text, .. }] = &actions[..] else { panic!("{actions:?}") };
        text.clone()
    };
    // The conversation is known, or it is not.
    let now = Instant::now();
    let saved = state::read(&call.saved.expect("saved")).expect("readable");
    let mut known = Call::of(Conversation::resume(ConversationSettings::default(), saved, Duration::ZERO, now), now);
    let mut unknown = Call::of(Conversation::new(ConversationSettings::default(), now), now);
    unknown.conversation.goes_on_unknown();
    for next in [&mut known, &mut unknown] {
        next.conversation.came_back("the line is busy");
        assert_eq!(asked(next), told);
    }
    assert_eq!(known.history().last(), Some(&user(told)));
}

#[test]
fn a_caller_who_was_talking_is_not_greeted_again_where_nobody_knows_of_what() {
    let lost = ConversationSettings::default().lost_words_phrase;
    for (takeover_phrase, said) in [(None, lost.as_str()), (Some("Sorry, please go on."), "Sorry, please go on.")] {
        let settings =
            ConversationSettings { takeover_phrase: takeover_phrase.map(str::to_owned), ..Default::default() };
        let now = Instant::now();
        let mut call = Call::of(Conversation::new(settings, now), now);
        call.conversation.goes_on_unknown();
        call.input(Input::Answered);
        call.play_all();
        let agent_said: String = call.history().into_iter().map(|(_, text)| text).collect();
        assert_eq!(agent_said, said);
        assert_eq!(call.phase(), Phase::Listening);
    }
}

#[test]
fn a_call_on_its_way_to_an_end_ends() {
    let mut call = Call::listening();
    let turn = call.ask("Bye");
    call.reply(turn, "Goodbye then");
    call.input(Input::ReplyTool { turn, call: ToolCall::HangUp });
    call.reply_ends(turn);
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()), ["Goodbye then"]);
    next.play_all();
    assert_eq!(hang_up(&next.take()), Some(EndReason::AgentHungUp));
}

#[test]
fn the_takeover_can_be_owned_up_to() {
    let mut call = Call::listening();
    call.exchange("Hi", "Hello to you.");
    let settings = ConversationSettings { takeover_phrase: Some("Sorry, please go on.".into()), ..Default::default() };
    let mut next = Call::resumed(settings, &call.saved.expect("saved"));
    assert_eq!(spoken(&next.take()), ["Sorry, please go on."]);
}

#[test]
fn a_handover_saves_and_does_not_hang_up() {
    let (mut call, turn) = Call::speaking();
    call.reply(turn, "And always by appointment. ");
    call.end_playing();
    call.take();
    call.saved = None;
    call.input(Input::HandOver);
    assert_eq!(call.take(), [Action::Cancel { turn }]);
    assert_eq!(call.conversation.end_reason(), Some(EndReason::HandedOver));
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()), ["On Saturdays until noon.", "And always by appointment."]);
}

#[test]
fn a_call_handed_over_before_a_word_was_said_is_greeted() {
    let mut call = Call::with(ConversationSettings::default());
    call.input(Input::HandOver);
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()), ["Hello, how can I help you?"]);
}

#[test]
fn a_call_handed_over_twice_in_a_row_loses_nothing() {
    let mut call = Call::listening();
    call.ask("Hi");
    let saved = state::read::<SavedState>(&call.saved.expect("saved")).expect("readable");
    let now = Instant::now();
    let mut between = Call::of(Conversation::resume(ConversationSettings::default(), saved, Duration::ZERO, now), now);
    between.input(Input::HandOver);
    let mut next = resumed(between.saved);
    assert!(matches!(&next.take()[..], [Action::Generate { text, .. }] if text == "Hi"));
    assert_eq!(next.conversation.takeovers(), 2);
}

#[test]
fn words_that_waited_for_the_agent_to_finish_are_answered() {
    let settings = ConversationSettings { interruptions: Interruptions::Deferred, ..Default::default() };
    let (mut call, turn) = Call::speaking_with(settings);
    call.reply_ends(turn);
    let asked = call.utter(SECOND);
    call.transcribed(asked, "And on Sundays?");
    call.input(Input::HandOver);
    let mut next = resumed(call.saved);
    assert_eq!(spoken(&next.take()).len(), 2);
    next.play_all();
    assert!(matches!(next.take().last(), Some(Action::Generate { text, .. }) if text == "And on Sundays?"));
}

#[test]
fn the_longest_duration_counts_across_pods() {
    let settings = ConversationSettings { max_duration: 60 * SECOND, ..Default::default() };
    let mut call = Call::listening_with(settings.clone());
    for _ in 0..4 {
        call.pass(9 * SECOND);
        call.exchange("Hi", "Hello to you.");
    }
    let lasted = call.conversation.lasted(call.now);
    let mut next = Call::resumed(settings, &call.saved.expect("saved"));
    assert_eq!(next.conversation.lasted(next.now).as_secs(), lasted.as_secs());
    next.pass(61 * SECOND - lasted);
    assert_eq!(next.phase(), Phase::Closing);
}

#[test]
fn a_row_of_failures_counts_across_pods() {
    let mut call = Call::listening();
    for _ in 0..2 {
        let turn = call.utter(SECOND);
        call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
        call.play_all();
    }
    let mut next = resumed(call.saved);
    let turn = next.utter(SECOND);
    next.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
    next.play_all();
    assert_eq!(hang_up(&next.take()), Some(EndReason::BackendFailed));
}

/// The next pod, where the sentence was played on for so long after the state was kept.
fn resumed_after(saved: Option<String>, played_since: Duration) -> Call {
    let now = Instant::now();
    let saved = state::read(&saved.expect("something was saved")).expect("a conversation wrote it");
    let mut call = Call::of(Conversation::resume(ConversationSettings::default(), saved, played_since, now), now);
    call.input(Input::Answered);
    call
}

#[test]
fn a_sentence_goes_on_where_the_caller_last_heard_the_agent() {
    let (mut call, turn) = Call::speaking();
    call.reply_ends(turn);
    let mut next = resumed_after(call.saved.clone(), 1_500 * MS);
    assert_eq!(spoken(&next.take()), ["nine to five on weekdays.", "On Saturdays until noon."]);
    next.play_all();
    assert_eq!(next.history()[2], agent("We are open from nine to five on weekdays. On Saturdays until noon."));

    // A voice that is known to be twice as fast has come further.
    let mut saved: SavedState = state::read(call.saved.as_ref().expect("saved")).expect("readable");
    saved.chars_per_minute = 28 * 60;
    let mut next = resumed_after(Some(state::write(&saved)), 1_500 * MS);
    assert_eq!(spoken(&next.take())[0], "weekdays.");

    // Kept later, when the second sentence had begun.
    call.end_playing();
    call.play_next();
    let mut next = resumed_after(call.saved, SECOND);
    assert_eq!(spoken(&next.take()), ["until noon."]);
    next.play_all();
    assert_eq!(next.history()[2], agent("We are open from nine to five on weekdays. On Saturdays until noon."));
}

#[test]
fn a_sentence_of_which_nothing_or_all_but_a_word_was_heard_is_said_as_it_was() {
    let (mut call, turn) = Call::speaking();
    call.reply_ends(turn);
    for (played, expected) in [(50 * MS, "We are open from nine to five on weekdays."), (60 * SECOND, "weekdays.")] {
        let mut next = resumed_after(call.saved.clone(), played);
        assert_eq!(spoken(&next.take())[0], expected);
    }
}

#[test]
fn a_paused_or_drained_agent_is_not_taken_to_have_gone_on() {
    let (mut call, turn) = Call::speaking();
    call.reply_ends(turn);
    call.pass(1_500 * MS);
    call.input(Input::HandOver);
    let mut next = resumed_after(call.saved, 10 * SECOND);
    assert_eq!(spoken(&next.take())[0], "nine to five on weekdays.");
}

#[test]
fn a_first_sentence_is_not_begun_again_though_the_model_was_still_writing() {
    let (call, _) = Call::speaking();
    let mut next = resumed_after(call.saved, 1_500 * MS);
    assert_eq!(spoken(&next.take()), ["nine to five on weekdays.", "On Saturdays until noon."]);
}

#[test]
fn a_caller_whose_words_were_lost_is_told_within_a_second_and_a_half() {
    let lost_words = ConversationSettings::default().lost_words_phrase;
    for transcribing in [false, true] {
        let mut call = Call::listening();
        call.exchange("Hi", "Hello to you.");
        call.input(Input::SpeechStarted);
        if transcribing {
            call.utterance_ends(SECOND);
        }
        let mut next = resumed(call.saved);
        assert_eq!(spoken(&next.take()), [""; 0], "they may be speaking still");
        next.pass(1_500 * MS);
        assert_eq!(spoken(&next.take()), [lost_words.as_str()]);
        next.play_all();
        assert_eq!(next.phase(), Phase::Listening);
        assert!(!state::read::<SavedState>(&next.saved.unwrap()).unwrap().hearing);
    }
}

#[test]
fn a_caller_who_goes_on_speaking_is_not_interrupted_and_the_model_is_told() {
    let mut call = Call::listening();
    call.exchange("Hi", "Hello to you.");
    call.input(Input::SpeechStarted);
    let mut next = resumed(call.saved);
    let turn = next.utter(3 * SECOND);
    next.pass(2 * SECOND);
    next.take();
    next.transcribed(turn, "two tickets please");
    let actions = next.take();
    let Some(Action::Generate { text, .. }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(text, "[The beginning of these words was lost.] two tickets please");
    next.pass(5 * SECOND);
    assert_eq!(spoken(&next.take()), [""; 0], "said once, to the model");
}

#[test]
fn words_that_were_none_or_were_answered_are_not_said_to_be_lost() {
    let mut call = Call::listening();
    call.exchange("Hi", "Hello to you.");
    call.input(Input::SpeechStarted);
    call.input(Input::SpeechDiscarded);
    let mut next = resumed(call.saved.clone());
    next.pass(3 * SECOND);
    assert_eq!(spoken(&next.take()), [""; 0]);
    let turn = call.utter(SECOND);
    call.transcribed(turn, "");
    let mut next = resumed(call.saved);
    next.pass(3 * SECOND);
    assert_eq!(spoken(&next.take()), [""; 0]);
}
