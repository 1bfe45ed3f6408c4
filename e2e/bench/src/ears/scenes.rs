//! Scenes: some seconds of a caller's line each, as they come through PCMU, with what is in them.

use super::random::Random;
use super::sounds::Sound;
use super::voices::{HZ, Speaker, at_level, at_speech_level, spoken};
use crate::kernels::over_the_line_8k;

/// What a scene is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One sentence, that is to be answered.
    Sentence,
    /// The caller is silent and is greeted for 3 s.
    Greeted,
    /// A sentence over the agent.
    Interruption,
}

/// Seconds of a greeting, from the first packet on.
pub(super) const GREETING: f32 = 3.0;

/// One caller's line at 16 kHz.
pub(super) struct Scene {
    pub(super) audio: Vec<f32>,
    /// Between which seconds the caller speaks.
    pub(super) speech: (f32, f32),
}

/// Scenes that are alike but for who, what and when.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) scenes: Vec<Scene>,
}

/// What else is heard.
struct Setting {
    /// Level of the caller in dBFS.
    caller: f32,
    /// What else, and its level.
    other: Option<(Sound, f32)>,
    /// Seconds before the sentence.
    before: f32,
}

pub(super) fn all(speakers: &[Speaker], count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut sentence = |name: String, setting: &Setting| {
        let scenes = (0..count).map(|number| sentence_scene(&name, number, speakers, setting)).collect();
        rows.push(Row { name, kind: Kind::Sentence, scenes });
    };
    for (name, caller, before) in [
        ("in silence", -20.0, 2.0),
        ("in silence, loud", -12.0, 2.0),
        ("in silence, −45 dBFS", -45.0, 2.0),
        ("from the first packet", -20.0, 0.0),
    ] {
        sentence(name.into(), &Setting { caller, other: None, before });
    }
    let noises = [Sound::White, Sound::Pink, Sound::Brown, Sound::Babble(6)];
    let ratios = noises.into_iter().flat_map(|sound| [20.0, 10.0, 5.0].map(|db| (sound, db)));
    let more = [
        (Sound::Babble(6), 45.0),
        (Sound::Babble(6), 40.0),
        (Sound::Babble(6), 30.0),
        (Sound::Babble(6), 25.0),
        (Sound::Babble(1), 20.0),
        (Sound::Melody, 20.0),
    ];
    for (sound, db) in ratios.chain(more) {
        let name = format!("{}, {db:.0} dB weaker", sound.name());
        sentence(name, &Setting { caller: -20.0, other: Some((sound, -20.0 - db)), before: 2.0 });
    }
    let at_once = "babble of six, 10 dB weaker, from the first packet";
    sentence(at_once.into(), &Setting { caller: -20.0, other: Some((Sound::Babble(6), -30.0)), before: 0.0 });
    for sound in noises {
        for dbfs in [-50.0, -40.0, -36.0] {
            rows.push(greeted(format!("{}, {dbfs:.0} dBFS", sound.name()), sound, speakers, count, |_| dbfs));
        }
    }
    for sound in Sound::ALONE {
        rows.push(greeted(sound.name().into(), sound, speakers, count, |number| -14.0 - 6.0 * (number % 4) as f32));
    }
    let name = "over the agent".to_owned();
    let setting = Setting { caller: -20.0, other: Some((Sound::Pink, -55.0)), before: 2.0 };
    let scenes = (0..count).map(|number| sentence_scene(&name, number, speakers, &setting)).collect();
    rows.push(Row { name, kind: Kind::Interruption, scenes });
    rows
}

fn greeted(name: String, sound: Sound, speakers: &[Speaker], count: usize, level: impl Fn(usize) -> f32) -> Row {
    let others: Vec<&Speaker> = speakers.iter().collect();
    let scenes = (0..count)
        .map(|number| {
            let mut random = Random::of(&name, number);
            let samples = at_level(&sound.samples(9 * HZ, &mut random, &others), level(number));
            Scene { audio: over_the_line_8k(&samples), speech: (0.0, 0.0) }
        })
        .collect();
    Row { name, kind: Kind::Greeted, scenes }
}

fn sentence_scene(name: &str, number: usize, speakers: &[Speaker], setting: &Setting) -> Scene {
    let Mixed { clean, heard } = mixed(name, number, speakers, setting);
    let (from, to) = spoken(&clean, 30.0);
    let second = |at: usize| at as f32 / HZ as f32;
    Scene { audio: over_the_line_8k(&heard), speech: (second(from), second(to)) }
}

/// A line before it is sent, at 8 kHz.
struct Mixed {
    /// The caller alone.
    clean: Vec<f32>,
    heard: Vec<f32>,
}

fn mixed(name: &str, number: usize, speakers: &[Speaker], setting: &Setting) -> Mixed {
    let mut random = Random::of(name, number);
    let who = number % speakers.len();
    let said = at_speech_level(random.one_of::<Vec<f32>>(&speakers[who]), setting.caller);
    let before = (setting.before * HZ as f32) as usize;
    let mut clean = vec![0.0; before + said.len() + 4 * HZ];
    clean[before..before + said.len()].copy_from_slice(&said);
    let mut heard = clean.clone();
    if let Some((sound, dbfs)) = setting.other {
        let others: Vec<&Speaker> =
            speakers.iter().enumerate().filter(|(other, _)| *other != who).map(|(_, speaker)| speaker).collect();
        let other = at_level(&sound.samples(heard.len(), &mut random, &others), dbfs);
        heard.iter_mut().zip(other).for_each(|(sample, other)| *sample += other);
    }
    Mixed { clean, heard }
}

/// Sentences with something so many dB weaker behind: each line at 16 kHz as it arrives, and the caller alone at 8 kHz.
pub(super) fn sentences_in(
    sound: Sound,
    db: f32,
    speakers: &[Speaker],
    count: usize,
) -> impl Iterator<Item = (Vec<f32>, Vec<f32>)> {
    let setting = Setting { caller: -20.0, other: Some((sound, -20.0 - db)), before: 2.0 };
    (0..count).map(move |number| {
        let Mixed { clean, heard } = mixed(&format!("{} {db}", sound.name()), number, speakers, &setting);
        (over_the_line_8k(&heard), clean)
    })
}
