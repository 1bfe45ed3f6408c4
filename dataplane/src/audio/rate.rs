//! Sample rates that the engine carries from end to end. Never a free number: whatever names a rate inside the data
//! plane names one of these four, and other rates are converted where they enter ([`super::wav`]).

use std::fmt;
use std::time::Duration;

/// A sample rate, in samples of one channel a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// Narrowband telephony: G.711.
    Hz8000,
    /// Wideband telephony: G.722; also the rate of voice activity, endpointing, backends' ears and records.
    Hz16000,
    /// What most speech synthesisers speak at.
    Hz24000,
    /// Full band; never on the wire here, but some backends send it.
    Hz48000,
}

impl SampleRate {
    /// Every supported rate, ascending.
    pub const ALL: [Self; 4] = [Self::Hz8000, Self::Hz16000, Self::Hz24000, Self::Hz48000];

    /// The rate in hertz.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
            Self::Hz48000 => 48_000,
        }
    }

    /// How many whole samples `duration` holds, rounded down. All rates are whole numbers of samples a millisecond.
    #[must_use]
    pub const fn samples(self, duration: Duration) -> usize {
        // u64 holds 2^64 / 48 kHz of nanosecond products only for some days; go through u128, the division is exact.
        (duration.as_nanos() * self.hz() as u128 / 1_000_000_000) as usize
    }

    /// How long `samples` samples of one channel last.
    #[must_use]
    pub const fn duration(self, samples: usize) -> Duration {
        // 24 and 48 kHz do not divide a second in whole nanoseconds a sample: multiply first.
        let nanos = samples as u128 * 1_000_000_000 / self.hz() as u128;
        Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
    }
}

/// A rate that the engine does not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sample rate {hz} Hz is not supported: expected 8000, 16000, 24000 or 48000")]
pub struct UnsupportedRate {
    /// The rate that was asked for, in hertz.
    pub hz: u32,
}

impl TryFrom<u32> for SampleRate {
    type Error = UnsupportedRate;

    fn try_from(hz: u32) -> Result<Self, UnsupportedRate> {
        Self::ALL.into_iter().find(|rate| rate.hz() == hz).ok_or(UnsupportedRate { hz })
    }
}

impl fmt::Display for SampleRate {
    /// Writes `16000 Hz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.hz())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_20_ms_has_a_fiftieth_of_a_second_of_samples() {
        for rate in SampleRate::ALL {
            let frame = Duration::from_millis(20);
            assert_eq!(rate.samples(frame), rate.hz() as usize / 50);
            assert_eq!(rate.duration(rate.samples(frame)), frame);
        }
    }

    #[test]
    fn a_part_of_a_sample_is_not_counted() {
        assert_eq!(SampleRate::Hz8000.samples(Duration::from_micros(249)), 1);
        assert_eq!(SampleRate::Hz8000.samples(Duration::ZERO), 0);
    }

    #[test]
    fn only_the_four_rates_are_taken_and_the_error_names_them() {
        for rate in SampleRate::ALL {
            assert_eq!(SampleRate::try_from(rate.hz()), Ok(rate));
        }
        let error = SampleRate::try_from(44_100).unwrap_err();
        assert_eq!(error.to_string(), "sample rate 44100 Hz is not supported: expected 8000, 16000, 24000 or 48000");
    }
}
