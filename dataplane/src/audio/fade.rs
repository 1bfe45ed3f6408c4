//! Short gain ramps, so that cutting speech off or taking it up again makes no click. Never decides when: it is told.

use std::time::Duration;

use super::SampleRate;

/// How long an agent that is interrupted takes to fall silent.
pub const BARGE_IN: Duration = Duration::from_millis(40);

/// A gain between 0 and 1 that moves along an S-curve (`3t² − 2t³`: level at both ends, so neither end clicks).
///
/// Turning round in mid-ramp goes on from the gain that was reached.
#[derive(Debug, Clone)]
pub struct Fade {
    rate: SampleRate,
    start: f32,
    end: f32,
    position: usize,
    length: usize,
}

impl Fade {
    /// At full gain, for a stream of `rate`.
    #[must_use]
    pub const fn open(rate: SampleRate) -> Self {
        Self { rate, start: 1.0, end: 1.0, position: 0, length: 0 }
    }

    /// At zero gain, for a stream of `rate`.
    #[must_use]
    pub const fn closed(rate: SampleRate) -> Self {
        Self { rate, start: 0.0, end: 0.0, position: 0, length: 0 }
    }

    /// From here on falls to silence over `duration`.
    pub fn fade_out(&mut self, duration: Duration) {
        self.turn_to(0.0, duration);
    }

    /// From here on rises to full gain over `duration`.
    pub fn fade_in(&mut self, duration: Duration) {
        self.turn_to(1.0, duration);
    }

    fn turn_to(&mut self, end: f32, duration: Duration) {
        self.start = self.gain();
        self.end = end;
        self.position = 0;
        // A ramp of no length would jump; one sample is the shortest there is.
        self.length = if self.start == end { 0 } else { self.rate.samples(duration).max(1) };
    }

    /// The gain of the next sample.
    #[must_use]
    pub fn gain(&self) -> f32 {
        if self.position >= self.length {
            return self.end;
        }
        let t = self.position as f32 / self.length as f32;
        self.start + (self.end - self.start) * t * t * (3.0 - 2.0 * t)
    }

    /// Whether the ramp is over.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.position >= self.length
    }

    /// Whether the ramp is over and nothing is heard any more.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.is_settled() && self.end == 0.0
    }

    /// Applies the gain to the next samples of the stream, in place. Free of cost at full gain.
    pub fn apply(&mut self, block: &mut [f32]) {
        let ramp = (self.length - self.position.min(self.length)).min(block.len());
        let (moving, settled) = block.split_at_mut(ramp);
        for sample in moving {
            *sample *= self.gain();
            self.position += 1;
        }
        if self.end == 0.0 {
            settled.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;

    fn faded(fade: &mut Fade, samples: usize) -> Vec<f32> {
        let mut block = vec![1.0; samples];
        fade.apply(&mut block);
        block
    }

    #[test]
    fn a_fade_out_takes_its_time_and_ends_in_silence() {
        let mut fade = Fade::open(RATE);
        assert_eq!(faded(&mut fade, 10), [1.0; 10]);
        fade.fade_out(BARGE_IN);
        let ramp = faded(&mut fade, 320);
        assert!(ramp.windows(2).all(|pair| pair[1] <= pair[0]));
        assert!((ramp[160] - 0.5).abs() < 0.01);
        assert!(fade.is_silent());
        assert_eq!(faded(&mut fade, 10), [0.0; 10]);
    }

    #[test]
    fn no_sample_jumps_even_when_the_fade_turns_round() {
        let mut fade = Fade::open(RATE);
        let mut gains = faded(&mut fade, 5);
        fade.fade_out(BARGE_IN);
        gains.extend(faded(&mut fade, 130));
        fade.fade_in(BARGE_IN);
        gains.extend(faded(&mut fade, 500));
        assert!(gains.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.006));
        assert_eq!(gains.last(), Some(&1.0));
        assert!(fade.is_settled() && !fade.is_silent());
    }

    #[test]
    fn block_lengths_do_not_change_a_ramp() {
        let (mut one, mut many) = (Fade::closed(RATE), Fade::closed(RATE));
        one.fade_in(BARGE_IN);
        many.fade_in(BARGE_IN);
        let whole = faded(&mut one, 400);
        let parts: Vec<f32> = [1, 0, 99, 200, 100].into_iter().flat_map(|n| faded(&mut many, n)).collect();
        assert_eq!(whole, parts);
    }
}
