//! The outline of a call's sound: the smallest and largest sample of each stretch of time, gathered while the call runs
//! in memory that does not grow with it. Never keeps the sound itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// No outline has more buckets than this; a call that needs more has longer ones.
pub const MAX_BUCKETS: usize = 2_000;
/// The first bucket length: 20 ms at 16 kHz.
const FIRST_BUCKET_SAMPLES: u32 = 320;

/// The smallest and largest sample of a bucket, the upper eight bits of each.
type MinMax = [i8; 2];

/// The outline of one side.
///
/// In JSON it is base64 of two signed bytes a bucket, smallest and largest sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peaks(Vec<MinMax>);

impl Peaks {
    /// Smallest and largest sample of each bucket, -1 to 1.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (f32, f32)> + '_ {
        self.0.iter().map(|&[low, high]| (f32::from(low) / 128.0, f32::from(high) / 128.0))
    }

    /// The largest magnitude of all, 0 to 1.
    #[must_use]
    pub fn loudest(&self) -> f32 {
        self.iter().fold(0.0, |loudest, (low, high)| loudest.max(-low).max(high))
    }
}

impl Serialize for Peaks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flatten().map(|&value| value as u8).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Peaks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        if bytes.len() > 2 * MAX_BUCKETS {
            return Err(D::Error::custom(format_args!("at most {MAX_BUCKETS} buckets expected")));
        }
        Ok(Self(bytes.chunks_exact(2).map(|pair| [pair[0] as i8, pair[1] as i8]).collect()))
    }
}

/// The outline of both sides, on the recording's time axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waveform {
    /// The rate of the samples that were outlined.
    pub rate_hz: u32,
    /// How many samples of each side a bucket stands for; the last one may stand for fewer.
    pub bucket_samples: u32,
    /// When on the call's axis the first bucket begins, in milliseconds.
    #[serde(default)]
    pub offset_ms: u64,
    /// The caller.
    pub caller: Peaks,
    /// The agent.
    pub agent: Peaks,
}

impl Waveform {
    /// How long a bucket lasts, in milliseconds.
    #[must_use]
    pub fn bucket_ms(&self) -> f64 {
        f64::from(self.bucket_samples) * 1000.0 / f64::from(self.rate_hz.max(1))
    }
}

/// Gathers a [`Waveform`]. When it is full, neighbours are merged and buckets last twice as long, so that its memory
/// stays below 8 KB and its resolution above 1,000 buckets.
#[derive(Debug, Clone)]
pub struct PeakTrack {
    rate_hz: u32,
    bucket_samples: u32,
    caller: Side,
    agent: Side,
}

#[derive(Debug, Clone)]
struct Side {
    done: Vec<MinMax>,
    current: MinMax,
    filled: u32,
}

impl Side {
    const EMPTY: MinMax = [i8::MAX, i8::MIN];

    fn new() -> Self {
        Self { done: Vec::with_capacity(MAX_BUCKETS), current: Self::EMPTY, filled: 0 }
    }

    fn push(&mut self, sample: i16, bucket_samples: u32) {
        let value = (sample >> 8) as i8;
        self.current = [self.current[0].min(value), self.current[1].max(value)];
        self.filled += 1;
        if self.filled == bucket_samples {
            self.done.push(self.current);
            self.current = Self::EMPTY;
            self.filled = 0;
        }
    }

    fn halve(&mut self) {
        let merged = self
            .done
            .chunks(2)
            .map(|pair| pair.iter().fold(Self::EMPTY, |whole, part| [whole[0].min(part[0]), whole[1].max(part[1])]));
        self.done = merged.collect();
        self.done.reserve_exact(MAX_BUCKETS - self.done.len());
    }

    fn finish(mut self) -> Peaks {
        if self.filled > 0 && self.done.len() < MAX_BUCKETS {
            self.done.push(self.current);
        }
        Peaks(self.done)
    }
}

impl PeakTrack {
    /// An outline of nothing yet, for samples of `rate_hz`.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        Self { rate_hz, bucket_samples: FIRST_BUCKET_SAMPLES, caller: Side::new(), agent: Side::new() }
    }

    /// Takes the next samples of both sides. Where one is shorter, it is taken to be silent at the end.
    pub fn push(&mut self, caller: &[i16], agent: &[i16]) {
        for index in 0..caller.len().max(agent.len()) {
            self.caller.push(caller.get(index).copied().unwrap_or(0), self.bucket_samples);
            self.agent.push(agent.get(index).copied().unwrap_or(0), self.bucket_samples);
            // Both sides have equally many. An even bound leaves no half bucket behind.
            if self.caller.done.len() == MAX_BUCKETS {
                self.caller.halve();
                self.agent.halve();
                self.bucket_samples = self.bucket_samples.saturating_mul(2);
            }
        }
    }

    /// The outline, which begins `offset_ms` after the call's begin; `None` when there was no sample.
    #[must_use]
    pub fn finish(self, offset_ms: u64) -> Option<Waveform> {
        let Self { rate_hz, bucket_samples, caller, agent } = self;
        let (caller, agent) = (caller.finish(), agent.finish());
        (!caller.0.is_empty()).then_some(Waveform { rate_hz, bucket_samples, offset_ms, caller, agent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_extremes_and_sides_stay_in_step() {
        let mut track = PeakTrack::new(16_000);
        let mut caller = vec![0_i16; 640];
        caller[10] = 16_384;
        caller[400] = -32_768;
        track.push(&caller, &[256; 320]);
        let outline = track.finish(40).unwrap();
        assert_eq!(outline.caller.0, [[0, 64], [-128, 0]]);
        assert_eq!(outline.agent.0, [[1, 1], [0, 0]]);
        assert_eq!((outline.offset_ms, outline.bucket_ms()), (40, 20.0));
        assert_eq!(outline.caller.loudest(), 1.0);
    }

    #[test]
    fn an_hour_has_as_few_buckets_as_a_minute() {
        let mut track = PeakTrack::new(16_000);
        let second = vec![100_i16; 16_000];
        for _ in 0..3600 {
            track.push(&second, &second);
        }
        let outline = track.finish(0).unwrap();
        assert!((1_000..=MAX_BUCKETS).contains(&outline.caller.iter().len()));
        assert_eq!(outline.caller.iter().len(), outline.agent.iter().len());
        let told_s = outline.bucket_ms() * outline.caller.iter().len() as f64 / 1000.0;
        assert!((3600.0..3603.0).contains(&told_s), "{told_s} s");
    }

    #[test]
    fn an_outline_comes_back_from_json_and_a_hostile_one_is_refused() {
        let mut track = PeakTrack::new(16_000);
        track.push(&[-300; 900], &[300; 900]);
        let outline = track.finish(0).unwrap();
        let json = serde_json::to_string(&outline).unwrap();
        assert_eq!(serde_json::from_str::<Waveform>(&json).unwrap(), outline);
        let huge = format!("\"{}\"", STANDARD.encode(vec![0_u8; 2 * MAX_BUCKETS + 2]));
        assert!(serde_json::from_str::<Peaks>(&huge).is_err());
        assert!(serde_json::from_str::<Peaks>("\"no base64!\"").is_err());
    }

    #[test]
    fn nothing_has_no_outline() {
        assert_eq!(PeakTrack::new(16_000).finish(0), None);
    }
}
