//! What can be told of an audio stream's health by its samples alone: clipping, silence, levels. Never judges: thresholds
//! for alarms are the reader's.

use super::{SampleRate, pcm};
use std::time::Duration;

/// From here on a sample counts as clipped: just under the largest values that G.711 can carry (0.980 in µ-law, 0.984 in
/// A-law), since what was clipped before the encoder comes out at these.
const CLIPPED: f32 = 0.979;
/// Windows quieter than this are silent. Idle A-law makes -72 dBFS, a quiet room on a telephone some -60 dBFS.
const SILENT_DBFS: f32 = -65.0;
/// The length of the windows that are silent or not.
const WINDOW: Duration = Duration::from_millis(20);

/// Samples that are measured side by side. All windows are a multiple of it long.
const LANES: usize = 8;

/// The figures of one stream so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioQuality {
    /// How much was heard.
    pub duration: Duration,
    /// The share of samples at the codec's limit, 0 to 1.
    pub clipped_ratio: f32,
    /// The share of 20 ms windows that hold nothing but idle noise, 0 to 1. Near 1 in one direction of a call whose other
    /// direction speaks: one-way audio.
    pub silent_ratio: f32,
    /// The largest magnitude, in dBFS; -120 for digital silence.
    pub peak_dbfs: f32,
    /// The level over all the windows that are not silent, in dBFS (a full-scale sine has -3); -120 if there is none.
    pub rms_dbfs: f32,
}

/// Gathers [`AudioQuality`] from a stream of samples. Costs one pass over each block.
#[derive(Debug, Clone)]
pub struct QualityMeter {
    rate: SampleRate,
    window: usize,
    filled: usize,
    energy: [f32; LANES],
    samples: u64,
    clipped: u64,
    windows: u64,
    silent_windows: u64,
    /// Sum of the mean squares of the windows that were not silent.
    active_power: f64,
    peak: [f32; LANES],
}

impl QualityMeter {
    /// A meter for a stream of `rate` that has heard nothing.
    #[must_use]
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            window: rate.samples(WINDOW),
            filled: 0,
            energy: [0.0; LANES],
            samples: 0,
            clipped: 0,
            windows: 0,
            silent_windows: 0,
            active_power: 0.0,
            peak: [0.0; LANES],
        }
    }

    /// Takes the next samples of the stream.
    pub fn push(&mut self, mut samples: &[f32]) {
        self.samples += samples.len() as u64;
        while !samples.is_empty() {
            let (block, rest) = samples.split_at(samples.len().min(self.window - self.filled));
            self.measure(block);
            samples = rest;
            if self.filled == self.window {
                self.close_window();
            }
        }
    }

    /// Side by side in lanes, each sample in the lane that its place in the window names: so the figures are the same however
    /// the stream is cut.
    fn measure(&mut self, block: &[f32]) {
        let (first, block) = block.split_at(block.len().min((LANES - self.filled % LANES) % LANES));
        let (chunks, last) = block.as_chunks::<LANES>();
        self.measure_few(first);
        let mut clipped = [0_u32; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                let magnitude = chunk[lane].abs();
                self.energy[lane] += magnitude * magnitude;
                self.peak[lane] = if magnitude > self.peak[lane] { magnitude } else { self.peak[lane] };
                clipped[lane] += u32::from(magnitude >= CLIPPED);
            }
        }
        self.clipped += u64::from(clipped.iter().sum::<u32>());
        self.filled += chunks.len() * LANES;
        self.measure_few(last);
    }

    fn measure_few(&mut self, samples: &[f32]) {
        for sample in samples {
            let (magnitude, lane) = (sample.abs(), self.filled % LANES);
            self.energy[lane] += magnitude * magnitude;
            self.peak[lane] = self.peak[lane].max(magnitude);
            self.clipped += u64::from(magnitude >= CLIPPED);
            self.filled += 1;
        }
    }

    fn close_window(&mut self) {
        let power = self.energy.iter().sum::<f32>() / self.window as f32;
        self.windows += 1;
        if pcm::mean_square_dbfs(power) < SILENT_DBFS {
            self.silent_windows += 1;
        } else {
            self.active_power += f64::from(power);
        }
        self.filled = 0;
        self.energy = [0.0; LANES];
    }

    /// The figures so far; a window that is not yet full counts for clipping and peak only.
    #[must_use]
    pub fn report(&self) -> AudioQuality {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { (part as f64 / whole as f64) as f32 };
        let active = self.windows - self.silent_windows;
        let peak = self.peak.into_iter().fold(0.0, f32::max);
        let power = if active == 0 { 0.0 } else { self.active_power / active as f64 };
        AudioQuality {
            duration: self.rate.duration(self.samples as usize),
            clipped_ratio: share(self.clipped, self.samples),
            silent_ratio: share(self.silent_windows, self.windows),
            peak_dbfs: pcm::mean_square_dbfs(peak * peak),
            rms_dbfs: pcm::mean_square_dbfs(power as f32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| amplitude * (n as f32 * 0.785).sin()).collect()
    }

    #[test]
    fn a_meter_that_heard_nothing_reports_nothing() {
        let report = QualityMeter::new(SampleRate::Hz8000).report();
        assert_eq!((report.clipped_ratio, report.silent_ratio, report.duration), (0.0, 0.0, Duration::ZERO));
        assert_eq!((report.peak_dbfs, report.rms_dbfs), (-120.0, -120.0));
    }

    #[test]
    fn levels_are_those_of_the_active_part() {
        let mut meter = QualityMeter::new(SampleRate::Hz8000);
        meter.push(&tone(0.1, 8000));
        meter.push(&[0.0; 24_000]);
        let report = meter.report();
        assert_eq!(report.duration, Duration::from_secs(4));
        assert!((report.silent_ratio - 0.75).abs() < 0.01);
        assert!((report.rms_dbfs + 23.0).abs() < 0.2);
        assert!((report.peak_dbfs + 20.0).abs() < 0.2);
        assert_eq!(report.clipped_ratio, 0.0);
    }

    #[test]
    fn clipping_shows_even_through_g711() {
        let mut meter = QualityMeter::new(SampleRate::Hz8000);
        let mut clipped = tone(4.0, 1600);
        clipped.iter_mut().for_each(|sample| *sample = sample.clamp(-32_124.0 / 32_768.0, 32_124.0 / 32_768.0));
        meter.push(&clipped);
        assert!(meter.report().clipped_ratio > 0.5);
    }

    #[test]
    fn idle_a_law_is_silence() {
        let mut meter = QualityMeter::new(SampleRate::Hz8000);
        meter.push(&[8.0 / 32_768.0; 1600]);
        assert_eq!(meter.report().silent_ratio, 1.0);
    }

    #[test]
    fn block_lengths_do_not_matter() {
        let samples = tone(0.3, 1000);
        let (mut one, mut many) = (QualityMeter::new(SampleRate::Hz16000), QualityMeter::new(SampleRate::Hz16000));
        one.push(&samples);
        samples.chunks(77).for_each(|block| many.push(block));
        assert_eq!(one.report(), many.report());
    }
}
