//! How long a caller talks against the agent: from the caller's first loud packet to the agent's last one at full volume, both as
//! they were on the wire. Pure.

use sofia_dataplane::audio::fade;
use switchsim::Burst;

/// Samples a millisecond of what callers hear.
const PER_MS: usize = 16;
/// An interruption that takes longer was none, or was not heard as one.
const LONGEST_MS: f64 = 1_000.0;
/// The agent is at full volume when it is louder than this before it is faded, in dBFS: softer sounds may be the end of a word,
/// which tells nothing.
const FULL_VOLUME_DBFS: f32 = -34.0;
/// Looked at for that: so long a time before the fade.
const BEFORE_MS: usize = 60;

/// Milliseconds from `spoke_ms` on, when the caller's first packet left, to the agent's last packet that was not faded; `None`
/// where that can't be told: the agent was not speaking, or in a pause of its own. `heard` is what the caller heard, from 0 ms on.
pub(super) fn talked_over_ms(spoke_ms: f64, bursts: &[Burst], heard: &[i16]) -> Option<f64> {
    let burst = bursts.iter().find(|burst| burst.start_ms < spoke_ms && burst.end_ms > spoke_ms)?;
    // The last loud packet is the fade's last but for what is inaudible: its packets are all loud but the very end.
    let fade_ms = fade::BARGE_IN.as_secs_f64() * 1e3;
    let last_full_ms = burst.end_ms - fade_ms;
    let over = last_full_ms - spoke_ms;
    if !(0.0..LONGEST_MS).contains(&over) {
        return None;
    }
    // Where the sound ends on the axis of what was heard, which may differ from the packets' times by a frame.
    let end = loud_end(heard, burst.end_ms as usize + 60)?;
    let fade = fade::BARGE_IN.as_millis() as usize * PER_MS;
    let full = heard.get(end.checked_sub(fade + BEFORE_MS * PER_MS)?..end.checked_sub(fade)?)?;
    let steady = full.chunks(20 * PER_MS).all(|frame| dbfs(frame) > FULL_VOLUME_DBFS);
    steady.then_some(over)
}

/// The end of the last 5 ms before `until_ms` that are not silent.
fn loud_end(heard: &[i16], until_ms: usize) -> Option<usize> {
    let end = heard.len().min(until_ms * PER_MS);
    let step = 5 * PER_MS;
    let mut at = end / step * step;
    while at >= step {
        if dbfs(&heard[at - step..at]) > -50.0 {
            return Some(at);
        }
        at -= step;
    }
    None
}

/// The level, in dBFS.
pub(super) fn dbfs(samples: &[i16]) -> f32 {
    let energy: f64 = samples.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum();
    10.0 * (energy / samples.len().max(1) as f64).max(1e-12).log10() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone until `full_ms`, faded over 40 ms.
    fn faded(full_ms: usize) -> Vec<i16> {
        let fade = 40 * PER_MS;
        (0..2_000 * PER_MS)
            .map(|at| {
                let past = at.saturating_sub(full_ms * PER_MS);
                let gain = 1.0 - past.min(fade) as f32 / fade as f32;
                (8_000.0 * gain * (at as f32 * 0.3).sin()) as i16
            })
            .collect()
    }

    #[test]
    fn the_fade_is_not_counted() {
        let bursts = [Burst { start_ms: 0.0, end_ms: 1_160.0 }];
        let over = talked_over_ms(1_000.0, &bursts, &faded(1_120)).unwrap();
        assert!((over - 120.0).abs() < 1.0, "{over}");
    }

    #[test]
    fn a_pause_of_the_agents_own_tells_nothing() {
        let bursts = [Burst { start_ms: 0.0, end_ms: 1_160.0 }];
        let mut heard = faded(1_120);
        heard[1_000 * PER_MS..1_100 * PER_MS].fill(0);
        assert_eq!(talked_over_ms(1_000.0, &bursts, &heard), None);
        assert_eq!(talked_over_ms(1_500.0, &bursts, &heard), None);
    }
}
