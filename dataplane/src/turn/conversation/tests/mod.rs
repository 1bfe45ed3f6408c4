//! A call for tests: a conversation, its clock, and a player that plays clips when it is told to.

mod dialogue;
mod failure;
mod floor;
mod interruption;
mod limits;
mod random;
mod takeover;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::*;
use crate::call::state;
use crate::turn::{
    history::{Message, Role},
    state::SavedState,
    tool::ToolCall,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

struct Call {
    conversation: Conversation,
    now: Instant,
    /// Actions not looked at yet, marks and saves apart.
    actions: VecDeque<Action>,
    marks: Vec<Mark>,
    saved: Option<String>,
    saves: usize,
    /// Clips given out and not over yet.
    clips: VecDeque<ClipId>,
    playing: Option<ClipId>,
    texts: Vec<String>,
}

impl Call {
    fn with(settings: ConversationSettings) -> Self {
        let now = Instant::now();
        Self::of(Conversation::new(settings, now), now)
    }

    fn resumed(settings: ConversationSettings, saved: &str) -> Self {
        let now = Instant::now();
        let saved = state::read(saved).expect("a conversation wrote it");
        let mut call = Self::of(Conversation::resume(settings, saved, Duration::ZERO, now), now);
        call.input(Input::Answered);
        call
    }

    fn of(conversation: Conversation, now: Instant) -> Self {
        Self {
            conversation,
            now,
            actions: VecDeque::new(),
            marks: Vec::new(),
            saved: None,
            saves: 0,
            clips: VecDeque::new(),
            playing: None,
            texts: Vec::new(),
        }
    }

    /// A call whose greeting has been heard.
    fn listening_with(settings: ConversationSettings) -> Self {
        let mut call = Self::with(settings);
        call.input(Input::Answered);
        call.play_all();
        call.take();
        assert_eq!(call.conversation.phase(), Phase::Listening);
        call
    }

    fn listening() -> Self {
        Self::listening_with(ConversationSettings::default())
    }

    /// A call in which the agent has begun to say the first of two sentences.
    fn speaking() -> (Self, TurnId) {
        Self::speaking_with(ConversationSettings::default())
    }

    fn speaking_with(settings: ConversationSettings) -> (Self, TurnId) {
        let mut call = Self::listening_with(settings);
        let turn = call.ask("When are you open?");
        call.reply(turn, "We are open from nine to five on weekdays. On Saturdays until noon. ");
        call.play_next();
        call.take();
        assert_eq!(call.conversation.phase(), Phase::Speaking);
        (call, turn)
    }

    fn input(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Mark(mark) => {
                    self.marks.push(mark);
                    continue;
                }
                Action::SaveState(state) => {
                    self.saved = Some(state::write(&*state));
                    self.saves += 1;
                    continue;
                }
                Action::Speak { clip, ref text, .. } => {
                    self.clips.push_back(clip);
                    self.texts.push(text.clone());
                }
                Action::PlayApology { clip } => self.clips.push_back(clip),
                Action::DropClip { clip } => self.clips.retain(|waiting| *waiting != clip),
                Action::ClearPlayback => {
                    self.clips.clear();
                    self.playing = None;
                }
                _ => {}
            }
            self.actions.push_back(action);
        }
    }

    /// Lets time pass, with every timeout at its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.conversation.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.conversation.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// The actions since the last time, marks and saves apart.
    fn take(&mut self) -> Vec<Action> {
        self.actions.drain(..).collect()
    }

    fn play_next(&mut self) -> ClipId {
        let clip = self.clips.pop_front().expect("something to play");
        self.playing = Some(clip);
        self.input(Input::ClipStarted { clip });
        clip
    }

    fn end_playing(&mut self) {
        let clip = self.playing.take().expect("something is playing");
        self.input(Input::ClipEnded { clip });
    }

    fn play_all(&mut self) {
        if self.playing.is_some() {
            self.end_playing();
        }
        while !self.clips.is_empty() {
            self.play_next();
            self.pass(SECOND);
            self.end_playing();
        }
    }

    /// The caller speaks and pauses; gives the turn.
    fn utter(&mut self, speech: Duration) -> TurnId {
        self.input(Input::SpeechStarted);
        self.utterance_ends(speech)
    }

    fn utterance_ends(&mut self, speech: Duration) -> TurnId {
        self.pass(speech + 800 * MS);
        self.input(Input::Utterance { speech, ended_at: self.now - 800 * MS });
        match self.actions.back() {
            Some(Action::Transcribe { turn }) => *turn,
            other => panic!("expected a transcription, got {other:?}"),
        }
    }

    fn transcribed(&mut self, turn: TurnId, text: &str) {
        self.pass(200 * MS);
        self.input(Input::Transcribed { turn, result: Ok(text.to_owned()) });
    }

    /// The caller says something and the model is asked; gives the turn.
    fn ask(&mut self, text: &str) -> TurnId {
        let turn = self.utter(SECOND);
        self.transcribed(turn, text);
        assert!(matches!(self.actions.back(), Some(Action::Generate { .. })), "{:?}", self.actions);
        turn
    }

    fn reply(&mut self, turn: TurnId, text: &str) {
        self.pass(100 * MS);
        self.input(Input::Reply { turn, text: text.to_owned() });
    }

    fn reply_ends(&mut self, turn: TurnId) {
        self.input(Input::ReplyEnded { turn, result: Ok(()) });
    }

    /// A whole exchange, up to listening again.
    fn exchange(&mut self, question: &str, answer: &str) {
        let turn = self.ask(question);
        self.reply(turn, answer);
        self.reply_ends(turn);
        self.play_all();
        self.take();
    }

    fn history(&self) -> Vec<(Role, String)> {
        self.conversation.history().messages().map(|message| (message.role, message.content.clone())).collect()
    }

    fn phase(&self) -> Phase {
        self.conversation.phase()
    }

    fn has_marked(&self, wanted: impl Fn(&Mark) -> bool) -> bool {
        self.marks.iter().any(wanted)
    }
}

fn user(text: &str) -> (Role, String) {
    (Role::User, text.to_owned())
}

fn agent(text: &str) -> (Role, String) {
    (Role::Assistant, text.to_owned())
}

fn spoken(actions: &[Action]) -> Vec<&str> {
    let texts = actions.iter().filter_map(|action| match action {
        Action::Speak { text, .. } => Some(text.as_str()),
        Action::PlayApology { .. } => Some("<apology>"),
        _ => None,
    });
    texts.collect()
}

fn hang_up(actions: &[Action]) -> Option<EndReason> {
    actions.iter().find_map(|action| match action {
        Action::HangUp { cause } => Some(*cause),
        _ => None,
    })
}
