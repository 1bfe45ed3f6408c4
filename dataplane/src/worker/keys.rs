//! The caller's keys, from telephone-events (RFC 4733) and from the sound, each told once. Sans-IO.

use std::time::{Duration, Instant};

use crate::audio::{KeyTones, SampleRate};

/// When keys are looked for in the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InbandKeys {
    /// Never.
    Disabled,
    /// Until the first telephone-event: a leg that sends them sends all keys by them.
    Auto,
    /// Always.
    Enabled,
}

/// A key in the sound waits so long for an event that says the same: carriers and gateways that make events of tones let the beginning of a
/// tone through, and the event ends later than that.
const WAIT: Duration = Duration::from_millis(300);
/// A key in the sound is one that events told if the last of these came no longer ago.
const TOLD: Duration = Duration::from_millis(500);

/// So long after a key nothing is taken for voice: a voice detector rings on behind a tone, and whoever types goes on typing.
const RINGS_ON: Duration = Duration::from_millis(300);

/// Listens to one leg's sound for keys.
pub(super) struct SoundKeys {
    mode: InbandKeys,
    tones: Option<KeyTones>,
    /// Whether the leg may send events.
    events_agreed: bool,
    events_came: bool,
    last_event: Option<(char, Instant)>,
    waiting: Option<(char, Instant)>,
    last_pressed: Option<Instant>,
    no_voice: bool,
}

impl SoundKeys {
    pub(super) fn new(mode: InbandKeys, rate: SampleRate, events_agreed: bool) -> Self {
        let tones = (mode != InbandKeys::Disabled).then(|| KeyTones::new(rate));
        Self {
            mode,
            tones,
            events_agreed,
            events_came: false,
            last_event: None,
            waiting: None,
            last_pressed: None,
            no_voice: false,
        }
    }

    /// An event packet of this key came.
    pub(super) fn event(&mut self, now: Instant, key: char) {
        self.events_came = true;
        self.last_event = Some((key, now));
        self.waiting = self.waiting.filter(|(waiting, _)| *waiting != key);
    }

    /// The next frame of the leg's sound.
    pub(super) fn hear(&mut self, now: Instant, frame: &[f32], mut told: impl FnMut(char)) {
        let Self { mode, tones, events_agreed, events_came, last_event, waiting, last_pressed, no_voice } = self;
        let Some(tones) = tones else { return };
        tones.process(frame, |key| {
            let by_event =
                last_event.is_some_and(|(last, at)| last == key && now.saturating_duration_since(at) <= TOLD);
            if by_event || (*events_came && *mode == InbandKeys::Auto) {
                return;
            }
            // Never two at a time: a press and its pause take longer than the frame in which one ended.
            if let Some((earlier, _)) = waiting.take() {
                told(earlier);
            }
            if *events_agreed {
                *waiting = Some((key, now + WAIT));
            } else {
                told(key);
            }
        });
        if tones.is_pressed() {
            *last_pressed = Some(now);
        }
        let rings_on = last_pressed.is_some_and(|at| now.saturating_duration_since(at) <= RINGS_ON);
        *no_voice = tones.is_key() || rings_on;
        if let Some((key, _)) = waiting.take_if(|(_, until)| *until <= now) {
            told(key);
        }
    }

    /// Whether the latest frame is a key's, and no voice.
    pub(super) fn is_key(&self) -> bool {
        self.no_voice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;

    /// A press of 5 and its pause, in frames of 20 ms.
    fn press() -> Vec<Vec<f32>> {
        let wave = |hz: f32, n: usize| (std::f32::consts::TAU * hz * n as f32 / 8_000.0).sin();
        let sample = |n: usize| if n < 800 { (wave(770.0, n) + wave(1_336.0, n)) * 0.2 } else { 0.0 };
        let samples: Vec<f32> = (0..1_600).map(sample).collect();
        samples.chunks_exact(160).map(<[f32]>::to_vec).collect()
    }

    struct Leg {
        keys: SoundKeys,
        start: Instant,
        at: u64,
        told: String,
    }

    impl Leg {
        fn new(mode: InbandKeys, events_agreed: bool) -> Self {
            Self { keys: SoundKeys::new(mode, RATE, events_agreed), start: Instant::now(), at: 0, told: String::new() }
        }

        fn hear(&mut self, frames: &[Vec<f32>]) {
            for frame in frames {
                self.at += 20;
                let now = self.now();
                self.keys.hear(now, frame, |key| self.told.push(key));
            }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.at)
        }

        fn event(&mut self, key: char) {
            let now = self.now();
            self.keys.event(now, key);
        }

        fn silence(&mut self, frames: usize) {
            self.hear(&vec![vec![0.0; 160]; frames]);
        }
    }

    #[test]
    fn without_events_a_key_is_told_at_its_end_and_with_events_a_little_later() {
        let mut without = Leg::new(InbandKeys::Auto, false);
        without.hear(&press());
        assert_eq!(without.told, "5");
        let mut with = Leg::new(InbandKeys::Auto, true);
        with.hear(&press());
        assert_eq!(with.told, "", "an event may still say it");
        with.silence(15);
        assert_eq!(with.told, "5");
    }

    #[test]
    fn an_event_takes_the_place_of_its_tone_and_ends_the_listening() {
        let mut leg = Leg::new(InbandKeys::Auto, true);
        leg.hear(&press()[..5]);
        leg.event('5');
        leg.hear(&press()[5..]);
        leg.silence(40);
        leg.hear(&press());
        leg.silence(40);
        assert_eq!(leg.told, "", "this leg says its keys by events");
        assert!(!leg.keys.is_key());
    }

    #[test]
    fn an_event_of_another_key_takes_nothing_away() {
        let mut leg = Leg::new(InbandKeys::Enabled, true);
        leg.hear(&press());
        leg.event('7');
        leg.silence(40);
        assert_eq!(leg.told, "5");
    }

    #[test]
    fn where_it_is_always_listened_to_later_keys_in_the_sound_are_told_too() {
        let mut leg = Leg::new(InbandKeys::Enabled, true);
        leg.event('5');
        leg.silence(50);
        leg.hear(&press());
        leg.silence(40);
        assert_eq!(leg.told, "5");
    }

    #[test]
    fn where_nobody_listens_nothing_is_told() {
        let mut leg = Leg::new(InbandKeys::Disabled, false);
        leg.hear(&press());
        leg.silence(40);
        assert_eq!((leg.told.as_str(), leg.keys.is_key()), ("", false));
    }
}
