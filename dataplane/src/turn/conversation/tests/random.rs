//! Any inputs, in any order, for a long time: what holds always.

use proptest::prelude::*;

use super::*;
use crate::call::state::MAX_ENCODED;
use crate::turn::history::MAX_MESSAGES;

/// An input whose turn or clip is the newest one, less a few.
fn any_input() -> impl Strategy<Value = Step> {
    let failure = || prop::sample::select(vec![Failure::Timeout, Failure::Unavailable, Failure::CircuitOpen]);
    let words = prop_oneof![
        4 => "([A-Z][a-z]{1,8} [a-z]{1,9}[.!?] ){1,3}",
        1 => "\\PC{0,40}",
        1 => Just(String::new()),
        1 => (0usize..5_000).prop_map(|n| "word ".repeat(n)),
    ];
    let call = prop_oneof![
        Just(ToolCall::HangUp),
        "[0-9 ]{0,4}".prop_map(|destination| ToolCall::Transfer { destination }),
        "[0-9w#]{0,4}".prop_map(|digits| ToolCall::SendDtmf { digits }),
    ];
    let back = 0u32..3;
    prop_oneof![
        2 => Just(Step::Event(Input::Answered)),
        8 => Just(Step::Event(Input::SpeechStarted)),
        3 => Just(Step::Event(Input::SpeechDiscarded)),
        4 => Just(Step::Event(Input::BargeIn)),
        1 => Just(Step::Event(Input::Hold)),
        2 => Just(Step::Event(Input::Unhold)),
        1 => Just(Step::Event(Input::TransferFailed)),
        2 => prop::sample::select(vec!['0', '1', '9', '*', '#', 'A', 'x']).prop_map(|digit| Step::Event(Input::Dtmf { digit })),
        8 => (0u64..3_000).prop_map(Step::Utterance),
        10 => (back.clone(), words.clone()).prop_map(|(back, text)| Step::Transcribed(back, Ok(text))),
        1 => (back.clone(), failure()).prop_map(|(back, failure)| Step::Transcribed(back, Err(failure))),
        12 => (back.clone(), words).prop_map(|(back, text)| Step::Reply(back, text)),
        1 => (back.clone(), call).prop_map(|(back, call)| Step::Tool(back, call)),
        6 => back.clone().prop_map(|back| Step::ReplyEnded(back, Ok(()))),
        3 => back.clone().prop_map(Step::ReplyPaused),
        2 => back.clone().prop_map(Step::ReplyTakenBack),
        1 => (back.clone(), failure()).prop_map(|(back, failure)| Step::ReplyEnded(back, Err(failure))),
        12 => back.clone().prop_map(Step::ClipStarted),
        12 => back.clone().prop_map(Step::ClipEnded),
        4 => (back.clone(), any::<f32>()).prop_map(|(back, heard)| Step::ClipCut(back, heard)),
        1 => (back.clone(), any::<f32>(), failure()).prop_map(|(back, heard, failure)| Step::ClipBrokeOff(back, heard, failure)),
        1 => (back, failure()).prop_map(|(back, failure)| Step::ClipFailed(back, failure)),
        8 => (0u64..15_000).prop_map(Step::Pass),
        1 => Just(Step::TakeOver),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Event(Input),
    Utterance(u64),
    Transcribed(u32, Result<String, Failure>),
    Reply(u32, String),
    Tool(u32, ToolCall),
    ReplyPaused(u32),
    ReplyTakenBack(u32),
    ReplyEnded(u32, Result<(), Failure>),
    ClipStarted(u32),
    ClipEnded(u32),
    ClipCut(u32, f32),
    ClipFailed(u32, Failure),
    ClipBrokeOff(u32, f32, Failure),
    Pass(u64),
    TakeOver,
}

/// Carries a step out on a conversation and checks every action it gives.
struct Run {
    conversation: Conversation,
    now: Instant,
    last_turn: u32,
    last_clip: u32,
    held: bool,
    hung_up: bool,
    paused: bool,
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        let conversation = Conversation::new(ConversationSettings::default(), now);
        Self { conversation, now, last_turn: 0, last_clip: 0, held: false, hung_up: false, paused: false }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let turn = |back: u32| TurnId(self.last_turn.saturating_sub(back));
        let clip = |back: u32| ClipId(self.last_clip.saturating_sub(back));
        let input = match step {
            Step::Event(input) => input,
            Step::Utterance(ms) => Input::Utterance { speech: MS * ms as u32, ended_at: self.now },
            Step::Transcribed(back, result) => Input::Transcribed { turn: turn(back), result },
            Step::Reply(back, text) => Input::Reply { turn: turn(back), text },
            Step::Tool(back, call) => Input::ReplyTool { turn: turn(back), call },
            Step::ReplyTakenBack(back) => Input::ReplyTakenBack { turn: turn(back) },
            Step::ReplyPaused(back) => Input::ReplyPaused { turn: turn(back) },
            Step::ReplyEnded(back, result) => Input::ReplyEnded { turn: turn(back), result },
            Step::ClipStarted(back) => Input::ClipStarted { clip: clip(back) },
            Step::ClipEnded(back) => Input::ClipEnded { clip: clip(back) },
            Step::ClipCut(back, heard) => Input::ClipCut { clip: clip(back), heard },
            Step::ClipBrokeOff(back, heard, failure) => Input::ClipBrokeOff { clip: clip(back), heard, failure },
            Step::ClipFailed(back, failure) => Input::ClipFailed { clip: clip(back), failure },
            Step::Pass(ms) => return self.pass(MS * ms as u32),
            Step::TakeOver => return self.take_over(),
        };
        match input {
            Input::BargeIn => self.paused = true,
            Input::Hold if self.conversation.phase() != Phase::Created => self.held = true,
            Input::Unhold => self.held = false,
            _ => {}
        }
        self.conversation.handle(self.now, input);
        self.check()
    }

    fn pass(&mut self, time: Duration) -> Result<(), TestCaseError> {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.conversation.poll_timeout().filter(|at| *at <= end) {
            rounds += 1;
            prop_assert!(rounds < 100, "time stands still");
            self.now = self.now.max(at);
            self.conversation.handle_timeout(self.now);
            self.check()?;
            prop_assert!(self.conversation.poll_timeout().is_none_or(|next| next > self.now), "a timeout was handled");
        }
        self.now = end;
        Ok(())
    }

    fn take_over(&mut self) -> Result<(), TestCaseError> {
        if self.conversation.end_reason().is_some() {
            return Ok(());
        }
        let before = self.conversation.saved_state(self.now);
        let saved = state::read::<SavedState>(&state::write(&before));
        prop_assert!(saved.is_ok(), "{saved:?}");
        let Ok(saved) = saved else { return Ok(()) };
        prop_assert!(before.history.ends_with(&saved.history) || saved.history.len() <= 2);
        self.conversation = Conversation::resume(ConversationSettings::default(), saved, Duration::ZERO, self.now);
        (self.last_clip, self.held, self.paused) = (0, false, false);
        self.conversation.handle(self.now, Input::Answered);
        self.check()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let mut actions = 0;
        while let Some(action) = self.conversation.poll_action() {
            actions += 1;
            if !matches!(action, Action::Mark(_)) {
                prop_assert!(!self.hung_up, "after hanging up: {action:?}");
            }
            match action {
                Action::Speak { clip, text, .. } => {
                    prop_assert!(clip.0 > self.last_clip && !text.trim().is_empty() && !text.contains('\n'));
                    prop_assert!(text.chars().count() <= 200);
                    self.last_clip = clip.0;
                }
                Action::PlayApology { clip } => {
                    prop_assert!(clip.0 > self.last_clip);
                    self.last_clip = clip.0;
                }
                Action::Transcribe { turn } => self.last_turn = turn.0,
                Action::Generate { turn, text, history } => {
                    prop_assert!(!text.is_empty() && history.len() <= 21);
                    prop_assert!(history.last().is_none_or(|message| message.role == Role::Assistant));
                    self.last_turn = turn.0;
                }
                Action::SaveState(state) => {
                    let text = state::write(&*state);
                    prop_assert!(text.len() <= MAX_ENCODED);
                    prop_assert!(state::read::<SavedState>(&text).is_ok());
                }
                Action::ResumePlayback | Action::ClearPlayback => self.paused = false,
                Action::HangUp { .. } => self.hung_up = true,
                Action::Transfer { destination } => {
                    prop_assert_eq!(ToolCall::Transfer { destination }.validate(), Ok(()));
                }
                Action::SendDtmf { digits } => prop_assert_eq!(ToolCall::SendDtmf { digits }.validate(), Ok(())),
                Action::Glimpse { turn } => self.last_turn = turn.0,
                Action::DropClip { clip } => prop_assert!(clip.0 <= self.last_clip),
                Action::Cancel { .. } | Action::Mark(_) => {}
            }
        }
        prop_assert!(actions < 64, "{actions} actions for one input");
        let [waiting, out, cutting] = self.conversation.playout.sizes();
        prop_assert!(waiting < 1_000 && out <= playout::MAX_OUT && cutting <= playout::MAX_OUT);
        let caller = &self.conversation.caller;
        prop_assert!(caller.hearing.len() <= caller::MAX_HEARING && caller.keys.len() < 32);
        let history = self.conversation.history();
        prop_assert!(history.len() <= MAX_MESSAGES);
        let roles: Vec<Role> = history.messages().map(|message| message.role).collect();
        prop_assert!(roles.windows(2).all(|pair| pair[0] != pair[1]));
        match self.conversation.end_reason() {
            Some(_) => prop_assert!(self.conversation.poll_timeout().is_none()),
            None => {
                let next = self.conversation.poll_timeout();
                prop_assert!(next.is_some(), "nothing to wait for in {:?}", self.conversation.phase());
                let soon = self.now + 121 * SECOND;
                prop_assert!(
                    self.held || next.is_some_and(|at| at <= soon),
                    "stuck in {:?}",
                    self.conversation.phase()
                );
                let interrupted = matches!(self.conversation.phase(), Phase::Interrupted);
                prop_assert!(!interrupted || self.paused, "paused by nobody");
                let talking = !matches!(self.conversation.phase(), Phase::Created | Phase::Transferring);
                prop_assert!(
                    !self.paused || interrupted || !talking || self.conversation.closing.is_some(),
                    "never resumed"
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_conversation_goes_on_or_ends(steps in prop::collection::vec(any_input(), 1..400)) {
        let mut run = Run::new();
        run.conversation.handle(run.now, Input::Answered);
        run.check()?;
        for step in steps {
            run.step(step)?;
        }
    }

    #[test]
    fn left_alone_after_anything_the_call_comes_to_its_end(steps in prop::collection::vec(any_input(), 1..60)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step)?;
        }
        // Nobody answers any more: neither backend, nor player, nor caller.
        run.pass(2 * 3_600 * SECOND)?;
        prop_assert!(run.conversation.end_reason().is_some(), "still in {:?}", run.conversation.phase());
    }
}
