//! Who speaks: the recorded callers, and speech of a dozen languages by `espeak-ng`, where it is installed. Each speaker is some
//! sentences at 8 kHz, the silence around them cut off.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sofia_dataplane::audio::SampleRate;

use crate::kernels::{at_rate, recordings};

/// Samples a second of everything here.
pub(super) const HZ: usize = 8_000;
/// Samples over which a level is taken.
const STEP: usize = 80;

/// `espeak-ng`'s voice, its variant, words a minute, pitch, and what is said.
const SPOKEN: [(&str, u32, u32, &[&str]); 14] = [
    (
        "en+m3",
        165,
        45,
        &["I would like to book a table for tomorrow evening.", "My order number is five three nine seven."],
    ),
    (
        "en+f2",
        175,
        60,
        &["Hello, I have a question about my bill.", "Can you tell me when the shop opens on Saturday?"],
    ),
    (
        "de+m2",
        160,
        40,
        &["Ich möchte einen Tisch für zwei Personen reservieren.", "Meine Kundennummer ist acht vier sieben."],
    ),
    ("de+f1", 175, 65, &["Guten Tag, ich habe eine Frage zu meiner Rechnung.", "Wann öffnen Sie morgen früh?"]),
    ("es+f3", 165, 55, &["Quisiera reservar una mesa para mañana por la noche.", "¿A qué hora abren el sábado?"]),
    (
        "fr+m4",
        170,
        45,
        &["Je voudrais réserver une table pour demain soir.", "Bonjour, j'ai une question sur ma facture."],
    ),
    ("it+f4", 165, 60, &["Vorrei prenotare un tavolo per due persone.", "A che ora aprite sabato mattina?"]),
    ("pl+m5", 160, 35, &["Chciałbym zarezerwować stolik na jutro wieczorem.", "Dzień dobry, mam pytanie o rachunek."]),
    ("ru+f2", 165, 55, &["Здравствуйте, у меня вопрос по счету.", "Я хотел бы заказать столик на завтра."]),
    ("cmn+f4", 160, 60, &["我想预订明天晚上两个人的桌子。", "请问你们星期六几点开门？"]),
    ("hi+m1", 165, 45, &["मुझे कल शाम के लिए एक मेज चाहिए।", "आप शनिवार को कब खोलते हैं?"]),
    ("tr+m6", 165, 40, &["Yarın akşam için bir masa ayırtmak istiyorum.", "Faturamla ilgili bir sorum var."]),
    ("sv+f5", 165, 80, &["Jag skulle vilja boka ett bord i morgon kväll.", "Hur dags öppnar ni på lördag?"]),
    ("pt+m7", 160, 45, &["Gostaria de reservar uma mesa para amanhã.", "A que horas abrem no sábado?"]),
];

/// One speaker's sentences.
pub(super) type Speaker = Vec<Vec<f32>>;

/// Everybody, and whether `espeak-ng` could be had: without it a few recorded callers are all.
pub(super) fn all() -> Result<(Vec<Speaker>, bool)> {
    let mut speakers: Vec<Speaker> = Vec::new();
    for recording in recordings()? {
        let sentences = apart(&at_rate(SampleRate::Hz8000, &recording));
        if !sentences.is_empty() {
            speakers.push(sentences);
        }
    }
    let recorded = speakers.len();
    for (voice, speed, pitch, sentences) in SPOKEN {
        let said: Result<Speaker> = sentences.iter().map(|sentence| speak(voice, speed, pitch, sentence)).collect();
        if let Ok(said) = said {
            speakers.push(said);
        }
    }
    let synthesised = speakers.len() > recorded;
    Ok((speakers, synthesised))
}

fn speak(voice: &str, speed: u32, pitch: u32, sentence: &str) -> Result<Vec<f32>> {
    let output = Command::new("espeak-ng")
        .args(["-v", voice, "-s", &speed.to_string(), "-p", &pitch.to_string(), "--stdout", sentence])
        .stderr(Stdio::null())
        .output()
        .context("espeak-ng")?;
    // It writes a WAV whose length it does not know yet: 44 bytes of head, then samples.
    ensure!(output.status.success() && output.stdout.len() > 44, "espeak-ng has no voice {voice}");
    let rate = u32::from_le_bytes([output.stdout[24], output.stdout[25], output.stdout[26], output.stdout[27]]);
    let (pairs, _) = output.stdout[44..].as_chunks::<2>();
    let samples: Vec<f32> = pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0).collect();
    Ok(trimmed(&slower(&samples, rate as f32 / HZ as f32)))
}

/// To 8 kHz from a rate so many times higher: a windowed sinc at each place.
fn slower(samples: &[f32], times: f32) -> Vec<f32> {
    let reach = (times * 12.0) as isize;
    (0..(samples.len() as f32 / times) as usize)
        .map(|at| {
            let place = at as f32 * times;
            let (mut sum, mut weights) = (0.0, 0.0);
            for near in place as isize - reach..=place as isize + reach {
                let apart = (near as f32 - place) / times;
                let window = (std::f32::consts::FRAC_PI_2 * apart / 13.0).cos().powi(2);
                let angle = std::f32::consts::PI * apart * 0.94;
                let weight = window * if angle.abs() < 1e-3 { 1.0 } else { angle.sin() / angle };
                weights += weight;
                sum += weight * usize::try_from(near).ok().and_then(|near| samples.get(near)).copied().unwrap_or(0.0);
            }
            sum / weights
        })
        .collect()
}

/// The power of each 10 ms.
fn powers(samples: &[f32]) -> Vec<f32> {
    samples
        .chunks_exact(STEP)
        .map(|step| step.iter().map(|sample| sample * sample).sum::<f32>() / STEP as f32)
        .collect()
}

fn loudest(powers: &[f32]) -> f32 {
    powers.iter().copied().fold(1e-12, f32::max)
}

/// Cut where the speaker pauses for 300 ms and more, or a pause would pass for the end; what is shorter than 700 ms is left out.
fn apart(samples: &[f32]) -> Speaker {
    const PAUSE: usize = 30;
    let powers = powers(samples);
    let least = loudest(&powers) * 1e-3;
    let mut parts = Vec::new();
    let (mut begin, mut end) = (None, 0);
    for (at, power) in powers.iter().chain(std::iter::repeat_n(&0.0, PAUSE)).enumerate() {
        if *power >= least {
            begin.get_or_insert(at);
            end = at + 1;
        } else if at >= end + PAUSE - 1
            && let Some(begin) = begin.take()
        {
            parts.push(samples[begin.saturating_sub(2) * STEP..samples.len().min((end + 2) * STEP)].to_vec());
        }
    }
    parts.retain(|part| part.len() >= HZ * 7 / 10);
    parts
}

/// Without what is 35 dB weaker than the loudest, before and after.
fn trimmed(samples: &[f32]) -> Vec<f32> {
    let (from, to) = spoken(samples, 35.0);
    samples[from.saturating_sub(2 * STEP)..samples.len().min(to + 2 * STEP)].to_vec()
}

/// The samples between which lies what is within so many dB of the loudest.
pub(super) fn spoken(samples: &[f32], within_db: f32) -> (usize, usize) {
    let powers = powers(samples);
    let least = loudest(&powers) * 10_f32.powf(-within_db / 10.0);
    let first = powers.iter().position(|power| *power >= least).unwrap_or(0);
    let last = powers.iter().rposition(|power| *power >= least).unwrap_or(0);
    (first * STEP, (last + 1) * STEP)
}

/// So loud that what is spoken of it, pauses left out, has this level.
pub(super) fn at_speech_level(samples: &[f32], dbfs: f32) -> Vec<f32> {
    let powers = powers(samples);
    let least = loudest(&powers) * 10_f32.powf(-2.5);
    let (sum, count) =
        powers.iter().filter(|power| **power >= least).fold((0.0, 0), |(sum, count), power| (sum + power, count + 1));
    scaled(samples, dbfs, sum / count.max(1) as f32)
}

/// So loud that all of it has this level.
pub(super) fn at_level(samples: &[f32], dbfs: f32) -> Vec<f32> {
    let power = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    scaled(samples, dbfs, power as f32)
}

fn scaled(samples: &[f32], dbfs: f32, power: f32) -> Vec<f32> {
    let gain = (10_f32.powf(dbfs / 10.0) / power.max(1e-12)).sqrt();
    samples.iter().map(|sample| sample * gain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_of_speech_without_its_pauses_and_of_noise_as_a_whole() {
        let mut speech = vec![0.0; HZ];
        speech.extend([0.5, -0.5].repeat(HZ / 2));
        let power = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
        assert!((10.0 * power(&at_speech_level(&speech, -20.0)[HZ..]).log10() + 20.0).abs() < 0.1);
        assert!((10.0 * power(&at_level(&speech, -20.0)).log10() + 20.0).abs() < 0.1);
        assert_eq!(spoken(&speech, 30.0), (HZ, 2 * HZ));
    }

    #[test]
    fn a_speaker_who_pauses_says_two_sentences() {
        let speech: Vec<f32> = (0..4 * HZ).map(|at| if (HZ..HZ + HZ / 2).contains(&at) { 0.0 } else { 0.5 }).collect();
        let lengths: Vec<usize> = apart(&speech).iter().map(Vec::len).collect();
        assert_eq!(lengths, [HZ + 2 * STEP, 5 * HZ / 2 + 2 * STEP]);
    }

    #[test]
    fn another_rate_keeps_a_tone() {
        let tone: Vec<f32> =
            (0..22_050).map(|at| (at as f32 * 1_000.0 / 22_050.0 * std::f32::consts::TAU).sin()).collect();
        let heard = slower(&tone, 22_050.0 / 8_000.0);
        let right = |at: usize| (at as f32 / 8.0 * std::f32::consts::TAU).sin();
        assert!((100..7_900).all(|at| (heard[at] - right(at)).abs() < 0.02));
    }
}
