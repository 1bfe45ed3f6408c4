//! Figures: a histogram of durations, and what one stream of RTP packets did (RFC 3550 A.1, A.8). Never prints.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::media::rtp::Packet;

/// Width of a fine bucket; the first 40 ms have these.
const FINE: Duration = Duration::from_micros(20);
const FINE_BUCKETS: usize = 2_000;
/// Width of a coarse bucket; the rest has these, up to ten seconds.
const COARSE: Duration = Duration::from_millis(1);
const BUCKETS: usize = FINE_BUCKETS + 9_960;

/// Counts durations in buckets of 20 µs up to 40 ms, of 1 ms from there to 10 s; the maximum is exact.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: Duration,
}

fn bucket_of(value: Duration) -> usize {
    let fine = FINE * FINE_BUCKETS as u32;
    let bucket = match value.checked_sub(fine) {
        None => value.as_nanos() / FINE.as_nanos(),
        Some(above) => FINE_BUCKETS as u128 + above.as_nanos() / COARSE.as_nanos(),
    };
    (bucket as usize).min(BUCKETS - 1)
}

fn upper_edge(bucket: usize) -> Duration {
    let fine = FINE * (bucket + 1).min(FINE_BUCKETS) as u32;
    fine + COARSE * (bucket + 1).saturating_sub(FINE_BUCKETS) as u32
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, value: Duration) {
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            // Grows with what is seen: most calls stay within a few milliseconds.
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The upper edge of the bucket that holds the quantile (0 to 1), never above the maximum.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = (self.count as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return if bucket == BUCKETS - 1 { self.max } else { upper_edge(bucket).min(self.max) };
            }
        }
        self.max
    }

    /// The figures that reports show.
    #[must_use]
    pub fn summary(&self) -> Spread {
        let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        Spread {
            count: self.count,
            p50_ms: ms(self.quantile(0.5)),
            p95_ms: ms(self.quantile(0.95)),
            p99_ms: ms(self.quantile(0.99)),
            max_ms: ms(self.max),
        }
    }
}

/// Quantiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many values.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 95 %.
    pub p95_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

/// What came in on one leg.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    stream: Option<Stream>,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    pub(crate) streams: u32,
    pub(crate) pacing: Histogram,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    first: u64,
    highest: u64,
    /// Bit n: `highest − n` was seen.
    seen: u64,
    unique: u64,
    arrival: Instant,
    timestamp: u32,
    jitter_s: f64,
}

impl Stream {
    fn new(packet: &Packet<'_>, arrival: Instant) -> Self {
        let first = u64::from(packet.sequence) + 0x1_0000;
        Self {
            ssrc: packet.ssrc,
            first,
            highest: first,
            seen: 1,
            unique: 1,
            arrival,
            timestamp: packet.timestamp,
            jitter_s: 0.0,
        }
    }

    fn missing(&self) -> u64 {
        (self.highest - self.first + 1).saturating_sub(self.unique)
    }
}

impl Reception {
    /// Counts a packet. `paced` is false for telephone-events, whose timestamps stand still.
    pub(crate) fn on_packet(&mut self, packet: &Packet<'_>, arrival: Instant, clock_hz: u32, paced: bool) {
        self.received += 1;
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == packet.ssrc) else {
            self.lost += self.stream.as_ref().map_or(0, Stream::missing);
            self.streams += 1;
            self.stream = Some(Stream::new(packet, arrival));
            return;
        };
        let ahead = packet.sequence.wrapping_sub(stream.highest as u16) as i16;
        if ahead > 0 {
            if paced {
                let spacing = packet.timestamp.wrapping_sub(stream.timestamp) as i32;
                let transit_s = arrival.saturating_duration_since(stream.arrival).as_secs_f64()
                    - f64::from(spacing) / f64::from(clock_hz);
                stream.jitter_s += (transit_s.abs() - stream.jitter_s) / 16.0;
                if ahead == 1 {
                    self.pacing.add(Duration::from_secs_f64(transit_s.abs().min(3_600.0)));
                }
                (stream.arrival, stream.timestamp) = (arrival, packet.timestamp);
            }
            stream.highest += ahead as u64;
            stream.seen = stream.seen.checked_shl(ahead as u32).unwrap_or(0) | 1;
            stream.unique += 1;
        } else {
            let bit = 1_u64.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0);
            if bit == 0 || stream.seen & bit != 0 {
                self.duplicated += 1;
            } else {
                stream.seen |= bit;
                stream.unique += 1;
                self.reordered += 1;
            }
        }
    }

    pub(crate) fn lost_so_far(&self) -> u64 {
        self.lost + self.stream.as_ref().map_or(0, Stream::missing)
    }

    pub(crate) fn jitter_ms(&self) -> f64 {
        self.stream.as_ref().map_or(0.0, |stream| (stream.jitter_s * 1e6).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(sequences: &[u16]) -> Reception {
        let start = Instant::now();
        let mut reception = Reception::default();
        for sequence in sequences {
            let at = sequence.wrapping_sub(sequences[0]);
            let packet = Packet {
                payload_type: 0,
                marker: false,
                sequence: *sequence,
                timestamp: u32::from(at) * 160,
                ssrc: 1,
                payload: &[],
            };
            reception.on_packet(&packet, start + Duration::from_millis(20) * u32::from(at), 8_000, true);
        }
        reception
    }

    #[test]
    fn a_steady_stream_loses_nothing_over_the_wrap() {
        let reception = feed(&[65_534, 65_535, 0, 1]);
        assert_eq!(
            (reception.received, reception.lost_so_far(), reception.reordered, reception.duplicated),
            (4, 0, 0, 0)
        );
        assert_eq!(reception.pacing.summary().max_ms, 0.0);
    }

    #[test]
    fn loss_reordering_and_duplicates_are_told_apart() {
        let reception = feed(&[10, 12, 11, 11, 15]);
        assert_eq!((reception.lost_so_far(), reception.reordered, reception.duplicated), (2, 1, 1));
    }

    #[test]
    fn quantiles_are_never_above_the_maximum() {
        let mut histogram = Histogram::default();
        for ms in 1..=100 {
            histogram.add(Duration::from_millis(ms));
        }
        let spread = histogram.summary();
        assert_eq!(spread.max_ms, 100.0);
        for (quantile, from, to) in [(0.1, 10.0, 10.05), (0.8, 80.0, 81.0)] {
            let ms = histogram.quantile(quantile).as_secs_f64() * 1e3;
            assert!((from..=to).contains(&ms), "{quantile}: {ms}");
        }
        assert!(spread.p99_ms <= spread.max_ms);
        let mut sum = Histogram::default();
        sum.merge(&histogram);
        assert_eq!(sum.summary(), spread);
    }
}
