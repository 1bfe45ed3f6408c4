//! A language of tones: each word is a pair of tones, so that what a caller heard is told word by word from the recording, without a
//! recogniser and without doubt. For conversations of minutes, in which every word counts.

use std::f64::consts::TAU;

/// First syllables, one a low tone.
const FIRST: [&str; 8] = ["ba", "de", "fi", "go", "ku", "la", "me", "ni"];
/// Second syllables, one a high tone.
const SECOND: [&str; 16] =
    ["pa", "re", "si", "to", "vu", "za", "he", "ji", "lo", "mu", "na", "pe", "ri", "so", "tu", "va"];
/// The lowest tone of each group and the distance to the next, in hertz. Above those of telephone keys and below 3 kHz.
const LOW_HZ: (f64, f64) = (400.0, 60.0);
const HIGH_HZ: (f64, f64) = (1_150.0, 80.0);
/// How long a word sounds, and the silence behind it.
const SOUND_MS: usize = 180;
const PAUSE_MS: usize = 60;
/// Of the recordings that are read: samples a second, those of a window and of a step.
const RATE: usize = 16_000;
const WINDOW: usize = RATE / 20;
const STEP: usize = RATE / 50;
/// How many steps a word is there for: of one that was cut, and of a whole one at most.
const LEAST_STEPS: usize = 2;
const MOST_STEPS: usize = 10;
/// Power of a window, of full scale squared, below which it is silent, and the share of it that two tones must have.
const SILENT: f64 = 1e-4;
const SHARE: f64 = 0.6;

/// How many words there are.
pub const WORDS: usize = FIRST.len() * SECOND.len();

/// The word of a number, which counts on at [`WORDS`] from the beginning.
#[must_use]
pub fn word(number: usize) -> String {
    let number = number % WORDS;
    format!("{}{}", FIRST[number / SECOND.len()], SECOND[number % SECOND.len()])
}

/// The words of a text that belong to the language, as their numbers, in order. Others are passed over.
#[must_use]
pub fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_alphabetic()).filter_map(|written| number(&written.to_ascii_lowercase())).collect()
}

fn number(word: &str) -> Option<usize> {
    let (first, second) = word.split_at_checked(2)?;
    let place = |of: &[&str], syllable: &str| of.iter().position(|known| *known == syllable);
    Some(place(&FIRST, first)? * SECOND.len() + place(&SECOND, second)?)
}

/// How the words of a text sound at `rate_hz`, mono.
#[must_use]
pub fn sound(text: &str, rate_hz: u32) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let samples = |ms: usize| (rate * ms as f64 / 1e3) as usize;
    let (length, ramp) = (samples(SOUND_MS), samples(8) as f64);
    let mut sound = Vec::new();
    for number in numbers(text) {
        let (low, high) = tones(number);
        sound.extend((0..length).map(|at| {
            let wave = (TAU * low * at as f64 / rate).sin() + (TAU * high * at as f64 / rate).sin();
            let edge = (at as f64 / ramp).min((length - at) as f64 / ramp).min(1.0);
            (wave * edge * 5_000.0) as i16
        }));
        sound.extend(std::iter::repeat_n(0, samples(PAUSE_MS)));
    }
    sound
}

fn tones(number: usize) -> (f64, f64) {
    let at = |(base, step): (f64, f64), place: usize| base + step * place as f64;
    (at(LOW_HZ, number / SECOND.len()), at(HIGH_HZ, number % SECOND.len()))
}

/// The words in a recording at 16 kHz, as their numbers, in order. A word that is interrupted and goes on is one.
#[must_use]
pub fn heard(recording: &[i16]) -> Vec<usize> {
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut run: Option<(usize, usize)> = None;
    let windows = (0..recording.len().saturating_sub(WINDOW)).step_by(STEP);
    for now in windows.map(|start| in_window(&recording[start..start + WINDOW])).chain([None]) {
        match (run, now) {
            (Some((word, steps)), Some(same)) if word == same => run = Some((word, steps + 1)),
            (ended, now) => {
                if let Some((word, steps)) = ended {
                    add(&mut words, word, steps);
                }
                run = now.map(|word| (word, 1));
            }
        }
    }
    words.into_iter().filter(|(_, steps)| *steps >= LEAST_STEPS).map(|(word, _)| word).collect()
}

/// Adds a sound of so many steps, to the word that it is the rest of or as one of its own.
fn add(words: &mut Vec<(usize, usize)>, word: usize, steps: usize) {
    match words.last_mut() {
        Some((last, before)) if *last == word && *before + steps <= MOST_STEPS => *before += steps,
        _ => words.push((word, steps)),
    }
}

/// The word that sounds through a window.
fn in_window(window: &[i16]) -> Option<usize> {
    // Half the rate is enough for these tones.
    let half: Vec<f64> =
        window.chunks_exact(2).map(|pair| (f64::from(pair[0]) + f64::from(pair[1])) / 65_536.0).collect();
    let power = half.iter().map(|sample| sample * sample).sum::<f64>() / half.len() as f64;
    if power < SILENT {
        return None;
    }
    let best = |(base, step): (f64, f64), count: usize| {
        let powers = (0..count).map(|place| (tone_power(&half, base + step * place as f64), place));
        powers.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are tones")
    };
    let (low, high) = (best(LOW_HZ, FIRST.len()), best(HIGH_HZ, SECOND.len()));
    (low.0 + high.0 > SHARE * power).then(|| low.1 * SECOND.len() + high.1)
}

/// The power of one tone in samples at 8 kHz, by Goertzel's algorithm under a Hann window.
fn tone_power(samples: &[f64], hz: f64) -> f64 {
    let length = samples.len() as f64;
    let coefficient = 2.0 * (TAU * hz / (RATE / 2) as f64).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * (at as f64 + 0.5) / length).cos();
        let now = sample * window + coefficient * last - before;
        (before, last) = (last, now);
    }
    let magnitude = last * last + before * before - coefficient * last * before;
    // A sine of amplitude a has power a²/2 and, windowed, the magnitude (a·n/4)².
    magnitude * 8.0 / (length * length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_word() -> String {
        (0..WORDS).map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_word_is_written_spoken_and_heard_as_itself() {
        let text = every_word();
        let all: Vec<usize> = (0..WORDS).collect();
        assert_eq!(numbers(&text), all);
        assert_eq!(heard(&sound(&text, 16_000)), all);
        assert_eq!(numbers("Hello, Bapa. Nothing else: nivA!"), [0, WORDS - 1]);
    }

    #[test]
    fn half_a_word_and_the_other_half_are_one_word_and_noise_is_none() {
        let (whole, pause) = (sound("kuto", 16_000), vec![0; 8_000]);
        let (first, second) = whole.split_at(1_500);
        assert_eq!(heard(&[first, &pause, second, &pause].concat()), numbers("kuto"));
        assert_eq!(heard(&[&whole[..], &whole, &pause].concat()), numbers("kuto kuto"));
        let noise: Vec<i16> = (0..48_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 18) as i16 - 8_192).collect();
        assert!(heard(&noise).is_empty());
    }
}
