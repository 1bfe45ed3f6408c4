//! What becomes of whole lines: the detector's verdicts through endpointing, in virtual time.

use std::time::Duration;

use super::lines::{CALLERS, HZ, Sound, at_level, at_speech_level, caller, over_the_line};
use crate::audio::{VoiceDetector, VoiceSettings};
use crate::turn::endpointing::{EndpointEvent, Endpointer, EndpointingSettings};

/// What endpointing told, with the second of each.
#[derive(Debug, Default)]
struct Heard {
    ended: Vec<f32>,
    barged_in: Vec<f32>,
    open: bool,
}

impl Heard {
    fn nothing(&self) -> bool {
        self.ended.is_empty() && self.barged_in.is_empty() && !self.open
    }
}

/// Listens to a line of 16 kHz with an agent that is audible in the first three seconds or not at all.
fn listen(audio: &[f32], greeted: bool) -> Heard {
    let mut detector = VoiceDetector::new(VoiceSettings::default());
    let mut endpointer = Endpointer::new(EndpointingSettings::default());
    let (mut heard, mut now) = (Heard::default(), 0.0);
    for block in over_the_line(audio).chunks(320) {
        detector.push(block, |frame| {
            now += 0.016;
            match endpointer.push(Duration::from_millis(16), frame.voiced, greeted && now < 3.0) {
                Some(EndpointEvent::SpeechEnded { .. }) => heard.ended.push(now),
                Some(EndpointEvent::BargeIn) => heard.barged_in.push(now),
                _ => {}
            }
        });
    }
    heard.open = endpointer.is_speech();
    heard
}

/// A caller who speaks after so many seconds, with something else all the time; the line, and the second of the last word.
fn sentence(name: &str, dbfs: f32, after: f32, other: Option<(Sound, f32)>, seed: u32) -> (Vec<f32>, f32) {
    let said = at_speech_level(&caller(name), dbfs);
    let from = (after * HZ as f32) as usize;
    let mut line = vec![0.0; from + said.len() + 3 * HZ];
    line[from..from + said.len()].copy_from_slice(&said);
    if let Some((sound, dbfs)) = other {
        let other = at_level(&sound.samples(line.len(), seed), dbfs);
        line.iter_mut().zip(other).for_each(|(sample, other)| *sample += other);
    }
    (line, after + said.len() as f32 / HZ as f32)
}

/// How many of the callers are answered within so many seconds of the end silence after the last word, and nothing else.
fn answered(within: f32, line: impl Fn(&'static str, u32) -> (Vec<f32>, f32)) -> usize {
    let on_time = CALLERS.iter().zip(0..).filter(|(name, number)| {
        let (audio, end) = line(name, *number);
        let heard = listen(&audio, false);
        let late = heard.ended.last().map_or(f32::INFINITY, |at| at - end - 0.8);
        let fine = heard.ended.len() == 1 && late.abs() <= within;
        if !fine {
            eprintln!("{name}: ended at {:?}, the last word at {end:.2}, open {}", heard.ended, heard.open);
        }
        fine
    });
    on_time.count()
}

#[test]
fn callers_are_answered_in_silence_whether_soft_or_loud_and_from_the_first_packet_on() {
    for (dbfs, after) in [(-20.0, 1.0), (-12.0, 1.0), (-40.0, 1.0), (-20.0, 0.0), (-32.0, 0.0)] {
        let fine = answered(0.3, |name, seed| sentence(name, dbfs, after, None, seed));
        assert!(fine >= 5, "{fine} of 6 at {dbfs} dBFS after {after} s");
    }
}

#[test]
fn a_sentence_in_noise_is_answered_as_in_silence() {
    for sound in [Sound::White, Sound::Pink, Sound::Brown] {
        for below in [20.0, 11.0, 10.0] {
            let fine = answered(0.3, |name, seed| sentence(name, -20.0, 2.0, Some((sound, -20.0 - below)), seed));
            assert!(fine >= 5, "{fine} of 6 in {sound:?} {below} dB weaker");
        }
    }
}

#[test]
fn a_sentence_in_the_babble_of_six_others_is_answered_as_in_silence() {
    for below in [45.0, 40.0, 30.0, 25.0, 20.0, 10.0] {
        let fine = answered(0.4, |name, seed| {
            sentence(name, -20.0, 2.0, Some((Sound::BabbleWithout(name), -20.0 - below)), seed)
        });
        assert!(fine >= 5, "{fine} of 6, {below} dB weaker");
    }
}

#[test]
fn no_noise_breaks_the_greeting_of_a_silent_caller_or_is_an_utterance() {
    for sound in [Sound::White, Sound::Pink, Sound::Brown, Sound::BabbleWithout("nobody")] {
        for dbfs in [-50.0, -40.0, -36.0] {
            let whole =
                (0..8).filter(|seed| listen(&at_level(&sound.samples(7 * HZ, *seed), dbfs), true).nothing()).count();
            assert!(whole >= 6, "{whole} of 8 greetings in {sound:?} at {dbfs} dBFS");
        }
    }
}

#[test]
fn tones_keys_and_machines_are_no_voice() {
    let tones = [
        ("ringing", Sound::Tones(&[425.0], 1.0, 4.0)),
        ("ringing, two tones", Sound::Tones(&[440.0, 480.0], 2.0, 4.0)),
        ("busy", Sound::Tones(&[480.0, 620.0], 0.5, 0.5)),
        ("congestion", Sound::Tones(&[425.0], 0.25, 0.25)),
        ("dial tone", Sound::Tones(&[350.0, 440.0], 60.0, 0.0)),
        ("fax, calling", Sound::Tones(&[1_100.0], 0.5, 3.0)),
        ("fax, answering", Sound::Tones(&[2_100.0], 3.0, 1.0)),
        ("out of service", Sound::Tones(&[950.0], 0.33, 0.7)),
        ("a voicemail's beep", Sound::Tones(&[1_400.0], 0.5, 2.0)),
        ("keys", Sound::Keys),
        ("a modem", Sound::Modem),
        ("typing", Sound::Typing),
        ("breath", Sound::Breath),
    ];
    for (name, sound) in tones {
        for dbfs in [-14.0, -24.0, -34.0] {
            let heard = listen(&at_level(&sound.samples(7 * HZ, 1), dbfs), true);
            assert!(heard.nothing(), "{name} at {dbfs} dBFS: {heard:?}");
        }
    }
}

#[test]
fn a_tone_before_speech_does_not_deafen() {
    let (mut line, end) = sentence("go_forward", -20.0, 2.0, None, 0);
    let tone = at_level(&Sound::Tones(&[425.0], 1.0, 9.0).samples(2 * HZ, 0), -20.0);
    line[..2 * HZ].copy_from_slice(&tone);
    let heard = listen(&line, false);
    assert!(matches!(heard.ended[..], [at] if (at - end - 0.8).abs() < 0.3), "{heard:?}, {end}");
}

#[test]
fn music_on_hold_is_seldom_an_utterance() {
    let mut quiet = 0;
    for sound in [Sound::Drums, Sound::Strings, Sound::Piano] {
        for dbfs in [-16.0, -22.0, -28.0] {
            quiet += usize::from(listen(&at_level(&sound.samples(7 * HZ, 1), dbfs), false).nothing());
        }
    }
    assert!(quiet >= 6, "{quiet} of 9 without one");
}

#[test]
fn an_interruption_is_found_within_a_third_of_a_second() {
    // One of them begins with a weak consonant.
    let found = CALLERS.iter().filter(|name| {
        let (mut line, _) = sentence(name, -20.0, 1.0, None, 0);
        line.truncate(4 * HZ);
        matches!(listen(&line, true).barged_in[..], [at, ..] if (1.0..1.34).contains(&at))
    });
    let found = found.count();
    assert!(found >= 5, "{found} of 6");
}
