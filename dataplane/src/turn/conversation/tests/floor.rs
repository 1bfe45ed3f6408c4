//! Whose turn it is: signs of listening over the agent, answers to its questions, and what may hold an answer back.

use super::*;
use crate::turn::backchannel::Backchannels;

/// Somebody says `words` over the agent's first sentence, which pauses it.
fn over_the_agent(call: &mut Call, words: &str) -> TurnId {
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let next = call.utterance_ends(600 * MS);
    call.take();
    call.transcribed(next, words);
    next
}

fn speaking_with(backchannels: Backchannels) -> (Call, TurnId) {
    Call::speaking_with(ConversationSettings { backchannels: Arc::new(backchannels), ..Default::default() })
}

/// The agent has asked for a time and is saying `reply`.
fn saying(reply: &str) -> Call {
    let mut call = Call::listening();
    let turn = call.ask("A table for two, please.");
    call.reply(turn, reply);
    call.reply_ends(turn);
    call.play_next();
    call.take();
    call
}

#[test]
fn a_sign_of_listening_over_the_agent_lets_it_go_on_and_leaves_no_trace_in_the_history() {
    for words in ["Mm-hmm.", "ja", "OK.", "Yes, yes.", "D'accord !", "sí sí", "genau", "tak", "はい"] {
        let (mut call, turn) = Call::speaking();
        let heard = over_the_agent(&mut call, words);
        assert_eq!(call.take(), [Action::ResumePlayback], "{words}");
        assert_eq!(call.phase(), Phase::Speaking);
        assert!(call.has_marked(|mark| *mark == Mark::Backchannel { turn: heard, text: words.to_owned() }));
        assert!(!call.has_marked(|mark| matches!(mark, Mark::Interrupted { .. } | Mark::FalseAlarm)));
        call.reply_ends(turn);
        call.play_all();
        assert!(call.take().is_empty(), "nothing is asked of the model");
        let whole = "We are open from nine to five on weekdays. On Saturdays until noon.";
        assert_eq!(call.history()[1..], [user("When are you open?"), agent(whole)], "{words}");
    }
}

#[test]
fn words_that_mean_something_interrupt_however_few() {
    for words in ["No.", "Stop!", "Wait.", "nein", "Halt", "non", "ok, but on Sundays?", "Sundays"] {
        let (mut call, turn) = Call::speaking();
        over_the_agent(&mut call, words);
        assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback], "{words}");
    }
}

#[test]
fn the_same_word_is_an_answer_once_the_agent_has_finished() {
    let mut call = Call::listening();
    call.exchange("I want a table.", "I can book it for nine.");
    let turn = call.ask("Ok.");
    assert!(!call.has_marked(|mark| matches!(mark, Mark::Backchannel { .. })));
    assert_eq!(call.history().last(), Some(&user("Ok.")));
    call.reply(turn, "Done.");
}

#[test]
fn a_word_that_ended_before_the_agent_did_was_said_over_it_though_it_is_known_only_later() {
    let mut call = saying("You find us at the corner of the market.");
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.pass(300 * MS);
    // The agent ends while the caller is waited for.
    call.pass(300 * MS);
    call.end_playing();
    call.pass(500 * MS);
    call.input(Input::Utterance { speech: 500 * MS, ended_at: call.now - 800 * MS });
    let Some(Action::Transcribe { turn }) = call.take().pop() else { panic!("it is transcribed") };
    call.transcribed(turn, "Mhm.");
    assert!(call.take().is_empty());
    assert!(call.has_marked(|mark| matches!(mark, Mark::Backchannel { .. })));
    assert_eq!(call.phase(), Phase::Listening);
}

#[test]
fn a_word_over_the_end_of_a_question_answers_it() {
    let mut call = saying("Shall I book it for nine?");
    over_the_agent(&mut call, "Yes");
    assert!(call.take().contains(&Action::ClearPlayback));
    assert!(call.has_marked(|mark| matches!(mark, Mark::CallerSaid { .. })));

    // At its very beginning nobody knows what is asked.
    let mut call =
        saying("Shall I book it for nine in the evening, at the window with the view over the whole valley?");
    over_the_agent(&mut call, "Yes");
    assert_eq!(call.take(), [Action::ResumePlayback]);
}

#[test]
fn a_word_soon_after_a_question_answers_it_though_the_agent_speaks_on() {
    let mut call =
        saying("Shall I book it for nine? There is a table at the window, and there is another one in the garden.");
    call.pass(2 * SECOND);
    call.end_playing();
    call.play_next();
    over_the_agent(&mut call, "Yes, sure.");
    assert!(call.take().contains(&Action::ClearPlayback));
}

#[test]
fn a_word_that_began_before_the_agent_did_is_no_sign_of_listening() {
    let mut call = Call::listening();
    call.pass(10 * SECOND);
    call.input(Input::SpeechStarted);
    call.pass(700 * MS);
    // The silence prompt was on its way already.
    call.play_next();
    call.pass(400 * MS);
    call.input(Input::Utterance { speech: 500 * MS, ended_at: call.now - 800 * MS });
    let Some(Action::Transcribe { turn }) = call.take().pop() else { panic!("it is transcribed") };
    call.transcribed(turn, "Ok");
    assert_eq!(call.take(), [Action::ClearPlayback]);
    assert!(call.has_marked(|mark| matches!(mark, Mark::CallerSaid { .. })));
}

#[test]
fn whoever_was_silent_is_heard_whatever_they_say() {
    let mut call = Call::listening();
    call.pass(10 * SECOND);
    call.play_next();
    call.pass(100 * MS);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let turn = call.utterance_ends(300 * MS);
    call.take();
    call.transcribed(turn, "Yes.");
    assert_eq!(call.take(), [Action::ClearPlayback]);

    let settings = ConversationSettings { max_silence_prompts: 0, ..Default::default() };
    let mut call = Call::listening_with(settings);
    call.pass(10 * SECOND);
    call.play_next();
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let turn = call.utterance_ends(600 * MS);
    call.take();
    call.transcribed(turn, "Ja ja!");
    assert_eq!(hang_up(&call.take()), None);
    call.pass(SECOND);
    assert!(call.take().iter().any(|action| matches!(action, Action::Generate { .. })));
}

#[test]
fn a_sign_of_listening_does_not_stop_the_agent_from_connecting_the_caller() {
    let mut call = Call::listening();
    let turn = call.ask("Sales, please.");
    call.reply(turn, "I am connecting you with the sales department.");
    call.input(Input::ReplyTool { turn, call: ToolCall::Transfer { destination: "2000".into() } });
    call.reply_ends(turn);
    call.play_next();
    over_the_agent(&mut call, "ok");
    call.end_playing();
    assert!(matches!(call.take().last(), Some(Action::Transfer { .. })));
}

#[test]
fn several_signs_of_listening_are_one_and_words_among_them_are_words() {
    let (mut call, turn) = Call::speaking();
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let first = call.utterance_ends(600 * MS);
    let second = call.utter(600 * MS);
    call.take();
    call.transcribed(first, "mhm");
    call.transcribed(second, "ja");
    assert_eq!(call.take(), [Action::ResumePlayback]);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    let first = call.utterance_ends(600 * MS);
    let second = call.utter(600 * MS);
    call.take();
    call.transcribed(second, "and on Sundays?");
    call.transcribed(first, "mhm");
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
}

#[test]
fn all_words_interrupt_where_that_is_set() {
    let (mut call, turn) = speaking_with(Backchannels::none());
    over_the_agent(&mut call, "mhm");
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
}

#[test]
fn too_few_words_let_the_agent_go_on_where_that_is_set() {
    let (mut call, turn) = speaking_with(Backchannels::default().with_min_words(3));
    over_the_agent(&mut call, "Sundays though");
    assert_eq!(call.take(), [Action::ResumePlayback]);
    over_the_agent(&mut call, "Stop");
    assert_eq!(call.take(), [Action::Cancel { turn }, Action::ClearPlayback]);
}

#[test]
fn where_interruptions_are_deferred_a_sign_of_listening_is_not_answered_later_and_words_are() {
    let settings = ConversationSettings { interruptions: Interruptions::Deferred, ..Default::default() };
    let (mut call, turn) = Call::speaking_with(settings);
    call.pass(SECOND);
    for words in ["And on Sundays?", "mhm"] {
        let next = call.utter(SECOND);
        call.transcribed(next, words);
    }
    call.take();
    call.reply_ends(turn);
    call.play_all();
    assert!(matches!(call.take().last(), Some(Action::Generate { text, .. }) if text == "And on Sundays?"));
}

#[test]
fn a_sign_of_listening_while_the_answer_is_written_belongs_to_what_was_said() {
    let mut call = Call::listening();
    call.ask("A table for two.");
    call.take();
    let next = call.utter(600 * MS);
    call.transcribed(next, "yes");
    assert!(matches!(call.take().last(), Some(Action::Generate { text, .. }) if text == "A table for two. yes"));
}

#[test]
fn an_answer_is_expected_while_the_agent_waits_for_one() {
    let mut call = Call::with(ConversationSettings { greeting: String::new(), ..Default::default() });
    call.input(Input::Answered);
    assert!(!call.conversation.expects_answer(), "nothing was asked");

    let mut call = Call::with(ConversationSettings { greeting: "This is the town hall.".into(), ..Default::default() });
    call.input(Input::Answered);
    call.play_next();
    assert!(!call.conversation.expects_answer(), "the agent speaks");
    call.end_playing();
    assert!(call.conversation.expects_answer());
    let turn = call.ask("A table.");
    assert!(!call.conversation.expects_answer(), "it is the agent's turn");
    call.reply(turn, "For how many?");
    call.reply_ends(turn);
    assert!(!call.conversation.expects_answer());
    call.play_next();
    assert!(call.conversation.expects_answer(), "a question is being asked");
    call.end_playing();
    assert!(call.conversation.expects_answer());
    call.input(Input::CallerHungUp);
    assert!(!call.conversation.expects_answer());
}

#[test]
fn something_as_short_as_a_cough_that_cannot_be_transcribed_is_not_apologised_for() {
    let mut call = Call::listening();
    let turn = call.utter(360 * MS);
    call.take();
    call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
    assert!(call.take().is_empty());
    assert_eq!(call.phase(), Phase::Listening);
    let turn = call.utter(700 * MS);
    call.take();
    call.input(Input::Transcribed { turn, result: Err(Failure::Unavailable) });
    assert_eq!(spoken(&call.take()), ["<apology>"]);
}

#[test]
fn an_answer_that_is_ready_does_not_wait_for_something_short_to_be_called_nothing() {
    let mut call = Call::listening();
    let turn = call.ask("When are you open?");
    call.take();
    call.input(Input::SpeechStarted);
    call.reply(turn, "At nine. ");
    assert!(call.take().is_empty(), "the caller may have more to say");
    call.input(Input::SpeechFaltered);
    assert_eq!(spoken(&call.take()), ["At nine."]);
}

#[test]
fn an_answer_waits_again_for_whoever_speaks_on() {
    let mut call = Call::listening();
    let turn = call.ask("When are you open?");
    call.take();
    call.input(Input::SpeechStarted);
    call.input(Input::SpeechFaltered);
    call.input(Input::SpeechResumed);
    call.reply(turn, "At nine. ");
    assert!(call.take().is_empty());
    let next = call.utterance_ends(SECOND);
    call.take();
    call.transcribed(next, "On Sundays.");
    let actions = call.take();
    assert!(matches!(actions.last(), Some(Action::Generate { text, .. }) if text == "When are you open? On Sundays."));
}

/// An answer is ready and something is heard that goes on; it is asked what.
fn held_by_something() -> (Call, TurnId) {
    let mut call = Call::listening();
    let turn = call.ask("When are you open?");
    call.take();
    call.input(Input::SpeechStarted);
    call.reply(turn, "At nine. ");
    call.pass(2_500 * MS);
    let actions = call.take();
    let [Action::Glimpse { turn }] = actions[..] else { panic!("{actions:?}") };
    (call, turn)
}

#[test]
fn an_answer_that_is_ready_does_not_wait_for_something_without_words_that_goes_on() {
    let (mut call, glimpse) = held_by_something();
    call.transcribed(glimpse, " ");
    assert_eq!(spoken(&call.take()), ["At nine."]);
    assert!(!call.conversation.interruptible(), "nor is it interrupted by that");
    call.play_next();
    call.input(Input::BargeIn);
    assert_eq!(call.take(), [Action::ResumePlayback]);
    call.input(Input::SpeechDiscarded);
    assert!(call.conversation.interruptible());
}

#[test]
fn an_answer_waits_for_somebody_who_speaks_on_and_they_are_asked_about_once() {
    let (mut call, glimpse) = held_by_something();
    call.transcribed(glimpse, "on Sundays I");
    call.pass(10 * SECOND);
    assert!(call.take().is_empty());
    let next = call.utterance_ends(SECOND);
    call.take();
    call.transcribed(next, "On Sundays I mean.");
    let actions = call.take();
    assert!(matches!(actions.last(), Some(Action::Generate { text, .. }) if text.ends_with("On Sundays I mean.")));
}

#[test]
fn an_agent_that_is_paused_for_something_without_words_goes_on_before_it_ends() {
    let (mut call, _) = Call::speaking();
    call.pass(SECOND);
    call.input(Input::SpeechStarted);
    call.input(Input::BargeIn);
    call.pass(2_500 * MS);
    let actions = call.take();
    let [Action::Glimpse { turn: glimpse }] = actions[..] else { panic!("{actions:?}") };
    call.transcribed(glimpse, "");
    assert_eq!(call.take(), [Action::ResumePlayback]);
    // What it was is known in the end, and may be words all the same.
    let next = call.utterance_ends(4 * SECOND);
    call.take();
    call.transcribed(next, "Hello? Do you hear me?");
    assert!(call.take().contains(&Action::ClearPlayback));
}

#[test]
fn what_is_learnt_of_an_utterance_that_is_over_changes_nothing() {
    let (mut call, glimpse) = held_by_something();
    let next = call.utterance_ends(SECOND);
    call.take();
    call.transcribed(glimpse, "");
    assert!(call.take().is_empty(), "the whole of it is still being transcribed");
    call.transcribed(next, "On Sundays.");
    assert!(matches!(call.take().last(), Some(Action::Generate { .. })));
}

#[test]
fn nobody_is_asked_about_where_that_is_off_or_nothing_waits() {
    let settings = ConversationSettings { glimpse_after: Duration::ZERO, ..Default::default() };
    let mut call = Call::listening_with(settings);
    let turn = call.ask("When are you open?");
    call.input(Input::SpeechStarted);
    call.reply(turn, "At nine. ");
    call.take();
    call.pass(20 * SECOND);
    assert!(call.take().is_empty());
    let mut call = Call::listening();
    call.input(Input::SpeechStarted);
    call.pass(20 * SECOND);
    assert!(call.take().is_empty());
}
