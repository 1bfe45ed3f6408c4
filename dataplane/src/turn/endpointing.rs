//! Endpointing: when a caller begins to speak, speaks over the agent, and has finished. It counts frames of "voiced or
//! not"; it never sees audio and never reads a clock.
//!
//! # What the media worker does with it
//!
//! - It pushes every frame that the voice detector judged, in order, whether or not the agent is audible.
//! - It keeps the newest [`EndpointingSettings::max_lookback`] of caller audio in a ring at all times. At
//!   [`EndpointEvent::SpeechStarted`] the utterance's audio begins `lookback` before the end of the frame just pushed,
//!   and grows frame by frame until the event that ends it. Without that pre-roll the first consonant is lost:
//!   fricatives are quiet, so a detector finds a word at its vowel.
//! - The pre-roll never reaches back over the end of the former utterance, or a word would be transcribed twice.
//! - At [`EndpointEvent::SpeechEnded`] the last `silence` of the audio kept is silence; a little of it (200 ms) helps a
//!   recogniser, the rest may be cut.
//!
//! # How speech is measured
//!
//! Silence counts as speech for its first [`EndpointingSettings::hangover`]: the closures inside words ("ta-p-e") and
//! the breath between two of them are part of talking. So a plain "yes", some 300 ms of voice, measures 500 ms and is
//! an utterance under the default settings, while a click of 50 ms measures 250 ms and is not.
//!
//! Two things guard against flicker of single frames. Voice must be confirmed by [`EndpointingSettings::onset`] of
//! evidence (voiced frames add, others subtract) before speech starts, and again before it goes on after a pause longer
//! than the hangover: a click does not restart the wait for the end. Barge-in counts its own evidence, without
//! hangover, and only while the agent is audible.
//!
//! Where an answer is expected ([`Endpointer::expect_answer`]), less is enough: a "no" of 190 ms of voice measures some
//! 390 ms, a click of 50 ms still only 250.
//!
//! # Speech that falters
//!
//! Something short with a long silence behind it will most likely come to nothing, but that is only known at the end of
//! [`EndpointingSettings::end_silence`]. Half of it is enough to say so: whoever waits for the caller to finish need not
//! wait for that. Where they speak on, that is told too.

use std::time::Duration;

/// The thresholds of endpointing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointingSettings {
    /// Least speech that makes an utterance; less is a cough. Default 500 ms, hangover included.
    pub min_speech: Duration,
    /// The same where the agent waits for an answer, which may be as short as "no". No longer than `min_speech` in any
    /// case. Default 300 ms, hangover included.
    pub short_answer: Duration,
    /// Silence that ends an utterance. Default 800 ms.
    pub end_silence: Duration,
    /// Longest utterance, pauses included; then its end is forced. Default 30 s.
    pub max_utterance: Duration,
    /// Speech over the audible agent that counts as an interruption; `None` turns barge-in off. Default 100 ms.
    pub barge_in_after: Option<Duration>,
    /// Audio kept from before the first voiced frame. Default 300 ms.
    pub pre_roll: Duration,
    /// Evidence that confirms a beginning of speech. Default 48 ms: three frames of 16 ms.
    pub onset: Duration,
    /// Silence that still counts as speech. Default 200 ms.
    pub hangover: Duration,
    /// Whether the agent's own voice that comes back from the caller's telephone is told from the caller's, see
    /// [`super::echo_guard`]. The endpointing itself is only told of the caller's. Default true.
    pub echo_guard: bool,
}

impl Default for EndpointingSettings {
    fn default() -> Self {
        Self {
            min_speech: Duration::from_millis(500),
            short_answer: Duration::from_millis(300),
            end_silence: Duration::from_millis(800),
            max_utterance: Duration::from_secs(30),
            barge_in_after: Some(Duration::from_millis(100)),
            pre_roll: Duration::from_millis(300),
            onset: Duration::from_millis(48),
            hangover: Duration::from_millis(200),
            echo_guard: true,
        }
    }
}

impl EndpointingSettings {
    /// The largest `lookback` that [`EndpointEvent::SpeechStarted`] can carry: how much caller audio to keep in the
    /// ring.
    pub fn max_lookback(&self) -> Duration {
        self.pre_roll.saturating_add(self.max_onset_run())
    }

    /// With frames that flicker, evidence gathers slower than time passes; past this the run's beginning is forgotten.
    fn max_onset_run(&self) -> Duration {
        self.onset.saturating_mul(4)
    }
}

/// What the caller did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointEvent {
    /// The caller speaks; keep the audio from now on.
    SpeechStarted {
        /// How long before the end of the frame just pushed the utterance's audio begins, pre-roll included.
        lookback: Duration,
    },
    /// What has begun is too short for an utterance so far, and silence has lasted for half the time that ends it.
    SpeechFaltered,
    /// It goes on all the same.
    SpeechResumed,
    /// The caller has spoken over the agent for long enough: fade it out and pause it. Comes after
    /// [`Self::SpeechStarted`], at most once while the agent stays audible.
    BargeIn,
    /// The caller has finished an utterance.
    SpeechEnded {
        /// Speech in it, hangovers included.
        speech: Duration,
        /// Silence since its last voiced frame: how long ago the caller stopped. Zero where the end was forced.
        silence: Duration,
    },
    /// What had started was too short to be an utterance; drop its audio.
    SpeechDiscarded {
        /// Speech in it, hangovers included.
        speech: Duration,
    },
}

/// Evidence of voice: grows with voiced frames, shrinks with others.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    voice: Duration,
    /// Time since the first of the voiced frames.
    run: Duration,
}

impl Evidence {
    fn push(&mut self, frame: Duration, voiced: bool) {
        if voiced {
            self.voice = self.voice.saturating_add(frame);
        } else {
            self.voice = self.voice.saturating_sub(frame);
        }
        self.run = if self.voice.is_zero() { Duration::ZERO } else { self.run.saturating_add(frame) };
    }
}

#[derive(Debug, Clone, Copy)]
struct Utterance {
    speech: Duration,
    /// Silence since the last frame that counted as voice.
    gap: Duration,
    total: Duration,
    faltered: bool,
}

/// Counts one caller's frames. See the module's description.
#[derive(Debug, Clone)]
pub struct Endpointer {
    settings: EndpointingSettings,
    utterance: Option<Utterance>,
    evidence: Evidence,
    over_agent: Evidence,
    barged_in: bool,
    answer_expected: bool,
}

impl Endpointer {
    /// An endpointer that has heard nothing yet.
    pub fn new(settings: EndpointingSettings) -> Self {
        Self {
            settings,
            utterance: None,
            evidence: Evidence::default(),
            over_agent: Evidence::default(),
            barged_in: false,
            answer_expected: false,
        }
    }

    /// Whether the agent waits for an answer from now on. It counts at the end of what is being said.
    pub fn expect_answer(&mut self, expected: bool) {
        self.answer_expected = expected;
    }

    /// The thresholds it works with.
    pub fn settings(&self) -> &EndpointingSettings {
        &self.settings
    }

    /// Is an utterance open: is its audio to be kept?
    pub fn is_speech(&self) -> bool {
        self.utterance.is_some()
    }

    /// Speech in the open utterance so far, hangovers included.
    pub fn speech(&self) -> Option<Duration> {
        self.utterance.map(|utterance| utterance.speech)
    }

    /// Forgets what was heard so far, without an event: on hold, or when another party takes the line.
    pub fn reset(&mut self) {
        self.utterance = None;
        self.evidence = Evidence::default();
        self.over_agent = Evidence::default();
        self.barged_in = false;
    }

    /// Takes the next frame: its duration, whether it holds voice, and whether the agent was audible during it.
    ///
    /// At most one event a frame; where two fall together, the later of them comes with the next frame.
    pub fn push(&mut self, frame: Duration, voiced: bool, agent_audible: bool) -> Option<EndpointEvent> {
        if agent_audible {
            self.over_agent.push(frame, voiced);
        } else {
            self.over_agent = Evidence::default();
            self.barged_in = false;
        }
        let event = match self.utterance {
            None => self.push_idle(frame, voiced),
            Some(utterance) => self.push_speech(utterance, frame, voiced),
        };
        event.or_else(|| self.barge_in())
    }

    fn push_idle(&mut self, frame: Duration, voiced: bool) -> Option<EndpointEvent> {
        self.evidence.push(frame, voiced);
        if !voiced || self.evidence.voice < self.settings.onset {
            return None;
        }
        let run = self.evidence.run.min(self.settings.max_onset_run().max(frame));
        self.utterance = Some(Utterance { speech: run, gap: Duration::ZERO, total: run, faltered: false });
        self.evidence = Evidence::default();
        let lookback = run.saturating_add(self.settings.pre_roll).min(self.settings.max_lookback());
        Some(EndpointEvent::SpeechStarted { lookback })
    }

    fn push_speech(&mut self, mut open: Utterance, frame: Duration, voiced: bool) -> Option<EndpointEvent> {
        open.total = open.total.saturating_add(frame);
        if open.gap >= self.settings.hangover && !open.gap.is_zero() {
            // A real pause: voice has to be confirmed anew, so that a click does not hold the utterance open.
            self.evidence.push(frame, voiced);
            if voiced && self.evidence.voice >= self.settings.onset {
                open.speech = open.speech.saturating_add(self.evidence.run.min(self.settings.max_onset_run()));
                open.gap = Duration::ZERO;
                self.evidence = Evidence::default();
            } else {
                open.gap = open.gap.saturating_add(frame);
            }
        } else if voiced {
            open.speech = open.speech.saturating_add(frame);
            open.gap = Duration::ZERO;
        } else {
            let counted = frame.min(self.settings.hangover.saturating_sub(open.gap));
            open.speech = open.speech.saturating_add(counted);
            open.gap = open.gap.saturating_add(frame);
        }
        if open.gap < self.settings.end_silence && open.total < self.settings.max_utterance {
            return self.go_on(open);
        }
        let least = match self.answer_expected {
            true => self.settings.short_answer.min(self.settings.min_speech),
            false => self.settings.min_speech,
        };
        self.utterance = None;
        self.evidence = Evidence::default();
        self.over_agent = Evidence::default();
        self.barged_in = false;
        Some(if open.speech >= least {
            EndpointEvent::SpeechEnded { speech: open.speech, silence: open.gap }
        } else {
            EndpointEvent::SpeechDiscarded { speech: open.speech }
        })
    }

    fn go_on(&mut self, mut open: Utterance) -> Option<EndpointEvent> {
        let silence = (self.settings.end_silence / 2).max(self.settings.hangover);
        let falters = open.gap >= silence && open.speech < self.settings.min_speech;
        // One that has faltered resumes with voice, not by what is measured.
        let changed = if open.faltered { open.gap.is_zero() } else { falters };
        open.faltered ^= changed;
        self.utterance = Some(open);
        changed.then_some(if open.faltered { EndpointEvent::SpeechFaltered } else { EndpointEvent::SpeechResumed })
    }

    fn barge_in(&mut self) -> Option<EndpointEvent> {
        let after = self.settings.barge_in_after?;
        let enough = !self.over_agent.voice.is_zero() && self.over_agent.voice >= after;
        if self.barged_in || self.utterance.is_none() || !enough {
            return None;
        }
        self.barged_in = true;
        Some(EndpointEvent::BargeIn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: Duration = Duration::from_millis(16);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Pushes `length` of frames and gives the events with the time at which each came.
    fn feed(
        endpointer: &mut Endpointer,
        length: Duration,
        voiced: bool,
        audible: bool,
    ) -> Vec<(Duration, EndpointEvent)> {
        let frames = length.as_micros().div_ceil(FRAME.as_micros()) as u32;
        (1..=frames).filter_map(|n| endpointer.push(FRAME, voiced, audible).map(|event| (FRAME * n, event))).collect()
    }

    #[test]
    fn an_utterance_ends_after_the_end_silence() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        let events = feed(&mut endpointer, ms(1_600), true, false);
        assert_eq!(events, [(ms(48), EndpointEvent::SpeechStarted { lookback: ms(348) })]);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        assert_eq!(events, [(ms(800), EndpointEvent::SpeechEnded { speech: ms(1_800), silence: ms(800) })]);
        assert!(!endpointer.is_speech());
    }

    #[test]
    fn a_short_yes_is_an_utterance() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(304), true, false);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        assert!(
            matches!(events[..], [(_, EndpointEvent::SpeechEnded { speech, .. })] if speech == ms(504)),
            "{events:?}"
        );
    }

    #[test]
    fn a_cough_is_discarded() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(160), true, false);
        let events = feed(&mut endpointer, ms(2_000), false, false);
        assert_eq!(events[1..], [(ms(800), EndpointEvent::SpeechDiscarded { speech: ms(360) })]);
    }

    #[test]
    fn a_very_short_word_is_an_utterance_where_an_answer_is_expected_and_a_click_is_not() {
        let spoken = |voice, expected| {
            let mut endpointer = Endpointer::new(EndpointingSettings::default());
            feed(&mut endpointer, ms(voice), true, false);
            // The agent falls silent only now.
            endpointer.expect_answer(expected);
            let ended = feed(&mut endpointer, ms(2_000), false, false).pop();
            matches!(ended, Some((_, EndpointEvent::SpeechEnded { .. })))
        };
        for voice in [112, 144, 192, 288] {
            assert!(spoken(voice, true), "{voice}");
            assert!(!spoken(voice, false), "{voice}");
        }
        assert!(!spoken(48, true) && !spoken(80, true));
    }

    #[test]
    fn an_expected_answer_never_needs_more_than_any_other() {
        let settings = EndpointingSettings { min_speech: ms(250), short_answer: ms(900), ..Default::default() };
        let mut endpointer = Endpointer::new(settings);
        endpointer.expect_answer(true);
        feed(&mut endpointer, ms(96), true, false);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        assert!(matches!(events[..], [(_, EndpointEvent::SpeechEnded { .. })]), "{events:?}");
    }

    #[test]
    fn something_short_falters_after_half_the_end_silence_and_resumes_with_the_next_word() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(96), true, false);
        assert_eq!(feed(&mut endpointer, ms(640), false, false), [(ms(400), EndpointEvent::SpeechFaltered)]);
        assert_eq!(feed(&mut endpointer, ms(96), true, false), [(ms(48), EndpointEvent::SpeechResumed)]);
        assert_eq!(feed(&mut endpointer, ms(480), false, false).len(), 0, "what was said is long enough by now");
    }

    #[test]
    fn an_utterance_that_is_long_enough_never_falters() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(400), true, false);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        assert!(matches!(events[..], [(_, EndpointEvent::SpeechEnded { .. })]), "{events:?}");
    }

    #[test]
    fn single_voiced_frames_start_nothing() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        for _ in 0..100 {
            assert_eq!(endpointer.push(FRAME, true, true), None);
            assert_eq!(feed(&mut endpointer, ms(48), false, true), []);
        }
        assert!(!endpointer.is_speech());
    }

    #[test]
    fn short_gaps_count_as_speech_and_pauses_do_not() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(160), true, false);
        feed(&mut endpointer, ms(160), false, false);
        feed(&mut endpointer, ms(160), true, false);
        feed(&mut endpointer, ms(640), false, false);
        feed(&mut endpointer, ms(160), true, false);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        // 160 + 160 (gap) + 160 + 200 (hangover) + 160 + 200 (hangover)
        assert!(
            matches!(events[..], [(_, EndpointEvent::SpeechEnded { speech, .. })] if speech == ms(1_040)),
            "{events:?}"
        );
    }

    #[test]
    fn a_click_in_the_end_silence_does_not_prolong_it() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(800), true, false);
        feed(&mut endpointer, ms(400), false, false);
        assert_eq!(endpointer.push(FRAME, true, false), None);
        let events = feed(&mut endpointer, ms(1_000), false, false);
        assert_eq!(events[0].0, ms(384), "the wait goes on: 400 + 16 + 384 = 800 ms");
    }

    #[test]
    fn an_endless_utterance_is_forced_to_end_and_a_new_one_begins() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        let events = feed(&mut endpointer, ms(31_000), true, false);
        let kinds: Vec<_> = events.iter().map(|(_, event)| *event).collect();
        assert!(
            matches!(
                kinds[..],
                [
                    EndpointEvent::SpeechStarted { .. },
                    EndpointEvent::SpeechEnded { silence: Duration::ZERO, .. },
                    EndpointEvent::SpeechStarted { .. }
                ]
            ),
            "{events:?}"
        );
    }

    #[test]
    fn speech_over_the_agent_is_a_barge_in_after_100_ms() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        let events = feed(&mut endpointer, ms(400), true, true);
        assert_eq!(events[1], (ms(112), EndpointEvent::BargeIn));
        assert_eq!(events.len(), 2, "once");
    }

    #[test]
    fn only_speech_while_the_agent_is_audible_counts_for_a_barge_in() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(400), true, false);
        let events = feed(&mut endpointer, ms(200), true, true);
        assert_eq!(events, [(ms(112), EndpointEvent::BargeIn)]);
    }

    #[test]
    fn silence_after_a_word_is_no_barge_in() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(80), true, true);
        let events = feed(&mut endpointer, ms(1_000), false, true);
        assert!(!events.iter().any(|(_, event)| *event == EndpointEvent::BargeIn), "{events:?}");
    }

    #[test]
    fn a_resumed_agent_can_be_interrupted_again() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        let mut barge_ins = 0;
        for _ in 0..2 {
            barge_ins += feed(&mut endpointer, ms(200), true, true).len();
            feed(&mut endpointer, ms(1_000), false, false);
        }
        assert_eq!(barge_ins, 4, "a start and a barge-in each");
    }

    #[test]
    fn barge_in_can_be_turned_off() {
        let mut endpointer = Endpointer::new(EndpointingSettings { barge_in_after: None, ..Default::default() });
        let events = feed(&mut endpointer, ms(400), true, true);
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn a_reset_forgets_the_open_utterance() {
        let mut endpointer = Endpointer::new(EndpointingSettings::default());
        feed(&mut endpointer, ms(800), true, false);
        endpointer.reset();
        assert_eq!(feed(&mut endpointer, ms(2_000), false, false), []);
    }

    proptest! {
        #[test]
        fn events_alternate_and_keep_their_bounds(
            frames in prop::collection::vec((1u64..60, any::<bool>(), any::<bool>()), 0..3_000),
            min_speech in 0u64..1_000, end_silence in 0u64..1_500, onset in 0u64..200, hangover in 0u64..400,
            barge_in in prop::option::of(0u64..300),
        ) {
            let settings = EndpointingSettings {
                min_speech: ms(min_speech), end_silence: ms(end_silence), onset: ms(onset), hangover: ms(hangover),
                barge_in_after: barge_in.map(ms), max_utterance: ms(5_000), ..Default::default()
            };
            let mut endpointer = Endpointer::new(settings.clone());
            let mut open = false;
            for (frame, voiced, audible) in frames {
                match endpointer.push(ms(frame), voiced, audible) {
                    Some(EndpointEvent::SpeechStarted { lookback }) => {
                        prop_assert!(!open && lookback <= settings.max_lookback());
                        open = true;
                    }
                    Some(EndpointEvent::SpeechFaltered | EndpointEvent::SpeechResumed) => prop_assert!(open),
                    Some(EndpointEvent::BargeIn) => prop_assert!(open && audible && barge_in.is_some()),
                    Some(EndpointEvent::SpeechEnded { speech, .. }) => {
                        prop_assert!(open && speech >= settings.min_speech);
                        open = false;
                    }
                    Some(EndpointEvent::SpeechDiscarded { speech }) => {
                        prop_assert!(open && speech < settings.min_speech);
                        open = false;
                    }
                    None => {}
                }
                prop_assert_eq!(open, endpointer.is_speech());
            }
        }
    }
}
