//! A simulated network for tests: loses, delays, reorders and doubles what is sent, the same way for the same seed.

use std::time::Duration;

/// A small pseudo-random generator (xorshift64*); good enough to shake packets.
#[derive(Clone, Debug)]
pub struct Xorshift(u64);

impl Xorshift {
    pub fn new(seed: u64) -> Self {
        Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in 0..1.
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}

/// What the network does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// Delay that every packet has.
    pub delay: Duration,
    /// Further delay, uniform from nothing to this, each packet for itself: packets overtake each other.
    pub jitter: Duration,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Probability that a packet comes twice, each copy with its own delay.
    pub duplicate: f64,
    /// Probability that a packet is held up by `detour`.
    pub reorder: f64,
    /// How long a packet is held up.
    pub detour: Duration,
    /// How much faster the sender's clock is than ours, in millionths.
    pub drift_ppm: f64,
}

/// One packet's arrival.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// On our clock, from the start.
    pub at: Duration,
    /// When it was sent, on our clock.
    pub sent: Duration,
    /// Which packet of the sender.
    pub index: u32,
}

/// Sends packets at the given times of the sender's clock; the arrivals come in order of time.
pub fn deliver(conditions: Conditions, seed: u64, sent: impl IntoIterator<Item = Duration>) -> Vec<Arrival> {
    let mut random = Xorshift::new(seed);
    let mut arrivals = Vec::new();
    for (index, sent) in (0..).zip(sent) {
        let sent = sent.div_f64(1.0 + conditions.drift_ppm / 1e6);
        if random.chance(conditions.loss) {
            continue;
        }
        for _ in 0..1 + u32::from(random.chance(conditions.duplicate)) {
            let mut at = sent + conditions.delay + conditions.jitter.mul_f64(random.uniform());
            if random.chance(conditions.reorder) {
                at += conditions.detour;
            }
            arrivals.push(Arrival { at, sent, index });
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}
