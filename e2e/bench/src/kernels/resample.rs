//! Every pair of rates, this project's converter beside others' on the same speech: speed, and what it does to the telephone
//! band, measured the same way for all of them, with tones.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use sofia_dataplane::audio::{Resampler, SampleRate};

use super::packets::PTIME;
use super::sound::{Frames, at};
use crate::peers::{self, Peer};
use crate::table::{Report, Table, Verdict};
use crate::timing::{Run, Stopwatch};

use SampleRate::{Hz8000, Hz16000, Hz24000, Hz48000};

/// The pairs of which goals speak.
const PAIRS: [(SampleRate, SampleRate); 4] =
    [(Hz8000, Hz16000), (Hz16000, Hz8000), (Hz24000, Hz8000), (Hz48000, Hz16000)];
/// The telephone band, in hertz.
const BAND: (u32, u32) = (300, 3_400);
const RIPPLE_DB: f64 = 0.5;
const ALIAS_DB: f64 = -60.0;
const DELAY_MS: f64 = 5.0;

/// What a converter does to tones.
#[derive(Debug, Clone, Copy)]
struct Quality {
    /// Largest deviation from unity within the band.
    ripple_db: f64,
    /// The loudest thing that was not there, against the tone that caused it.
    alias_db: f64,
    /// Group delay and what it holds back, on blocks of 20 ms.
    delay_ms: f64,
}

impl Quality {
    fn holds(&self) -> bool {
        self.ripple_db <= RIPPLE_DB && self.alias_db <= ALIAS_DB && self.delay_ms <= DELAY_MS
    }
}

/// A tone's way through a converter.
struct Heard {
    /// Amplitude and phase (radians) of the same tone behind it, where it may be.
    gain: f64,
    phase: f64,
    /// Everything else, against the tone before it.
    rest: f64,
    /// The most that was given in but had not come out after a block, in seconds.
    held_s: f64,
}

const AMPLITUDE: f64 = 0.5;

fn tone(peer: &Peer, from: SampleRate, to: SampleRate, hz: u32) -> Option<Heard> {
    let mut stream = peer.stream(from, to)?;
    let (rate_in, rate_out) = (f64::from(from.hz()), f64::from(to.hz()));
    let block = from.samples(PTIME);
    let mut out = Vec::new();
    let mut held_s = 0.0_f64;
    for number in 0..60 {
        let sample = |at: usize| (AMPLITUDE * (TAU * f64::from(hz) * at as f64 / rate_in).sin()) as f32;
        let input: Vec<f32> = (number * block..(number + 1) * block).map(sample).collect();
        stream.feed(&input, &mut out);
        if number >= 20 {
            let given_s = ((number + 1) * block) as f64 / rate_in;
            held_s = held_s.max(given_s - out.len() as f64 / rate_out);
        }
    }
    // The last half second before the newest 100 ms, in which every filter has settled: a whole number of periods of any tone
    // that is a multiple of 2 Hz.
    let end = out.len().checked_sub(to.samples(Duration::from_millis(100)))?;
    let start = end.checked_sub(to.samples(Duration::from_millis(500)))?;
    let passes = hz * 2 < to.hz();
    let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
    for (at, sample) in out.iter().enumerate().take(end).skip(start) {
        let angle = TAU * f64::from(hz) * at as f64 / rate_out;
        sine += f64::from(*sample) * angle.sin();
        cosine += f64::from(*sample) * angle.cos();
        energy += f64::from(*sample).powi(2);
    }
    let count = (end - start) as f64;
    let (sine, cosine) = if passes { (2.0 * sine / count, 2.0 * cosine / count) } else { (0.0, 0.0) };
    let power = AMPLITUDE * AMPLITUDE / 2.0;
    let rest = (energy / count - (sine * sine + cosine * cosine) / 2.0).max(0.0);
    Some(Heard { gain: sine.hypot(cosine) / AMPLITUDE, phase: cosine.atan2(sine), rest: (rest / power).sqrt(), held_s })
}

/// Whether a tone that the new rate cannot carry would come back within the telephone band or below it.
fn disturbs(hz: u32, to: SampleRate) -> bool {
    let folded = hz % to.hz();
    hz * 2 >= to.hz() && folded.min(to.hz() - folded) <= BAND.1
}

fn quality(peer: &Peer, from: SampleRate, to: SampleRate) -> Option<Quality> {
    let decibels = |ratio: f64| 20.0 * ratio.max(1e-9).log10();
    let (mut ripple_db, mut alias_db) = (0.0_f64, -180.0_f64);
    for hz in (BAND.0..=BAND.1).step_by(100) {
        let heard = tone(peer, from, to, hz)?;
        ripple_db = ripple_db.max(decibels(heard.gain).abs());
        alias_db = alias_db.max(decibels(heard.rest));
    }
    for hz in (to.hz() / 2..from.hz() / 2).step_by(100).filter(|hz| disturbs(*hz, to)) {
        alias_db = alias_db.max(decibels(tone(peer, from, to, hz)?.rest));
    }
    let (low, high) = (tone(peer, from, to, 1_000)?, tone(peer, from, to, 1_010)?);
    let turned = (low.phase - high.phase).rem_euclid(TAU);
    // A little more than a whole turn backwards is a little ahead of time, not 100 ms late.
    let group_s = if turned > TAU / 2.0 { turned - TAU } else { turned } / (TAU * 10.0);
    Some(Quality { ripple_db, alias_db, delay_ms: (group_s + low.held_s.max(high.held_s)) * 1e3 })
}

pub(super) fn measure(report: &mut Report, stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<()> {
    let (peers, missing) = peers::all();
    let mut table = Table::new(
        "Resampling, beside others",
        &format!(
            "20 ms of recorded speech a block, one stream, one core; medians, all of a pair taking turns twice, of which the better counts. Passband: largest deviation \
             within {}–{} Hz. Alias: the loudest thing that was not in the tone. Delay: group delay and what is held back on blocks of \
             20 ms. `held`: within ±{RIPPLE_DB} dB, {ALIAS_DB} dB and {DELAY_MS} ms. soxr, speexdsp and libsamplerate are the system's \
             shared libraries.{}",
            BAND.0,
            BAND.1,
            missing.iter().map(|what| format!(" Not measured: {what}.")).collect::<String>()
        ),
        &["pair", "who", "µs", "against ours", "passband dB", "alias dB", "delay ms", "held"],
    );
    for (from, to) in PAIRS {
        let audio = at(from, speech);
        let length = from.samples(PTIME);
        let mut runs: Vec<Run<'_>> = Vec::new();
        let mut entrants = Vec::new();
        for peer in &peers {
            let (Some(mut stream), Some(quality)) = (peer.stream(from, to), quality(peer, from, to)) else { continue };
            let (mut frames, mut out) = (Frames::new(&audio, length), Vec::with_capacity(8_192));
            entrants.push((peer.name, quality));
            runs.push(Box::new(move || {
                out.clear();
                stream.feed(black_box(frames.next()), &mut out);
            }));
        }
        let pair = format!("{} → {}", from.hz() / 1_000, to.hz() / 1_000);
        let times = stopwatch.race_us(&format!("resample {} to {}", from.hz(), to.hz()), runs)?;
        let own = times[0];
        for ((name, quality), us) in entrants.iter().zip(&times) {
            table.row([
                pair.clone(),
                (*name).to_owned(),
                format!("{us:.2}"),
                format!("{:.2}×", us / own),
                format!("{:.2}", quality.ripple_db),
                format!("{:.0}", quality.alias_db),
                format!("{:.2}", quality.delay_ms),
                (if quality.holds() { "yes" } else { "no" }).to_owned(),
            ]);
        }
        goal(report, &pair, &entrants, &times, &missing);
    }
    report.tables.push(table);
    report.tables.push(every_pair(stopwatch, speech)?);
    Ok(())
}

fn goal(report: &mut Report, pair: &str, entrants: &[(&str, Quality)], times: &[f64], missing: &[String]) {
    let (own, own_quality) = (times[0], entrants[0].1);
    let others: Vec<_> = entrants.iter().zip(times).skip(1).collect();
    let faster: Vec<String> = others
        .iter()
        .filter(|(_, us)| **us < own)
        .map(|((name, quality), us)| {
            let how = if quality.holds() { "holds the quality" } else { "does not hold the quality" };
            format!("{name} {us:.2} ({how})")
        })
        .collect();
    let slower = others.iter().filter(|(_, us)| **us >= own);
    let fastest_slower = slower.min_by(|one, other| one.1.total_cmp(other.1));
    let beaten_by_equals = others.iter().any(|((_, quality), us)| **us < own && quality.holds());
    let measured = format!(
        "{own:.2} µs; {}{}",
        fastest_slower.map_or_else(String::new, |((name, _), us)| format!("next {name} {us:.2}; ")),
        if faster.is_empty() { "none is faster".to_owned() } else { format!("faster: {}", faster.join(", ")) },
    );
    let verdict = match (own_quality.holds() && !beaten_by_equals, missing.is_empty()) {
        (false, _) => Verdict::Missed,
        (true, true) => Verdict::Met,
        (true, false) => Verdict::Open,
    };
    report.goal(
        format!("resampling {pair} kHz, a frame"),
        "no slower than soxr, speexdsp, libsamplerate; ±0.5 dB, ≤ −60 dB, ≤ 5 ms",
        measured,
        verdict,
        format!(
            "{} others on the same speech; ours ±{:.2} dB, {:.0} dB, {:.1} ms; counted against those that hold the quality",
            others.len(),
            own_quality.ripple_db,
            own_quality.alias_db,
            own_quality.delay_ms
        ),
    );
}

fn every_pair(stopwatch: &mut Stopwatch, speech: &[f32]) -> Result<Table> {
    let note = "This project's own; silence is what follows 20 ms of silence.";
    let mut table = Table::new("Resampling, every pair", note, &["pair", "µs speech", "µs silence", "delay ms"]);
    for from in SampleRate::ALL {
        for to in SampleRate::ALL.into_iter().filter(|to| *to != from) {
            let audio = at(from, speech);
            let length = from.samples(PTIME);
            let (mut frames, mut out) = (Frames::new(&audio, length), Vec::with_capacity(8_192));
            let mut stream = Resampler::new(from, to);
            let name = format!("resample {} to {}", from.hz(), to.hz());
            let spoken = stopwatch.median_us(&format!("{name} speech"), || {
                out.clear();
                stream.process(black_box(frames.next()), &mut out);
            })?;
            let zeros = vec![0.0; length];
            let silent = stopwatch.median_us(&format!("{name} silence"), || {
                out.clear();
                stream.process(black_box(&zeros), &mut out);
            })?;
            table.row([
                format!("{} → {}", from.hz() / 1_000, to.hz() / 1_000),
                format!("{spoken:.2}"),
                format!("{silent:.2}"),
                format!("{:.1}", stream.delay().as_secs_f64() * 1e3),
            ]);
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_converter_keeps_what_it_promises() {
        let peers = peers::all().0;
        for (from, to) in PAIRS {
            let quality = quality(&peers[0], from, to).unwrap();
            assert!(quality.holds(), "{from} to {to}: {quality:?}");
            let promised = Resampler::new(from, to).delay().as_secs_f64() * 1e3;
            assert!((quality.delay_ms - promised).abs() < 0.2, "{from} to {to}: {quality:?}, promised {promised}");
        }
    }

    #[test]
    fn what_folds_into_the_band_disturbs() {
        assert!(disturbs(4_600, Hz8000) && disturbs(11_400, Hz8000));
        assert!(!disturbs(4_500, Hz8000) && !disturbs(3_000, Hz8000) && !disturbs(9_000, Hz16000));
    }
}
