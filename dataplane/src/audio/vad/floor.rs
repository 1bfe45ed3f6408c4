//! How loud the line is when nobody speaks. It follows what is known to be no voice, and rises to what never ceases: a steady
//! noise that the network takes for a voice has no gaps, as speech has.

/// The floor is never taken to be above this, so that a loud steady noise cannot shut the gate on speech.
const HIGHEST_DBFS: f32 = -35.0;
/// The share of the way to a quieter level that the floor goes with each frame.
const FALL: f32 = 0.2;
/// The share of the way to a louder one's, if it is no voice: 300 ms to learn a new noise.
const RISE: f32 = 0.05;
/// The share of a new frame's level in the mean that is followed: four frames or so.
const SMOOTHING: f32 = 0.25;
/// Frames, half a second, of which the quietest moment is kept, and how many such stretches: speech has a gap between words
/// or syllables within them all.
const STRETCH: u8 = 32;
const STRETCHES: usize = 3;

/// Follows one stream, a level for each frame of 16 ms.
#[derive(Debug, Clone)]
pub(super) struct NoiseFloor {
    dbfs: f32,
    mean_dbfs: f32,
    /// The quietest moments of the stretches before, and of the one that lasts.
    quietest: [f32; STRETCHES],
    quietest_now: f32,
    frames: u8,
}

impl NoiseFloor {
    /// Of a line that has not been heard yet.
    pub(super) fn new(dbfs: f32) -> Self {
        Self { dbfs, mean_dbfs: dbfs, quietest: [f32::MIN; STRETCHES], quietest_now: f32::MAX, frames: 0 }
    }

    pub(super) fn dbfs(&self) -> f32 {
        self.dbfs
    }

    pub(super) fn follow(&mut self, frame_dbfs: f32, voiced: bool) {
        // One frame's level says little of a hum, whose periods are longer than a frame.
        self.mean_dbfs += (frame_dbfs - self.mean_dbfs) * SMOOTHING;
        let share = if self.mean_dbfs < self.dbfs {
            FALL
        } else if voiced {
            0.0
        } else {
            RISE
        };
        self.dbfs += (self.mean_dbfs - self.dbfs) * share;

        self.quietest_now = self.quietest_now.min(self.mean_dbfs);
        self.frames += 1;
        if self.frames == STRETCH {
            self.frames = 0;
            self.quietest.rotate_left(1);
            self.quietest[STRETCHES - 1] = std::mem::replace(&mut self.quietest_now, f32::MAX);
            let never_below = self.quietest.iter().copied().fold(f32::MAX, f32::min);
            self.dbfs = self.dbfs.max(never_below);
        }
        self.dbfs = self.dbfs.min(HIGHEST_DBFS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noise_that_never_ceases_becomes_the_floor_even_where_it_is_taken_for_a_voice() {
        let mut floor = NoiseFloor::new(-60.0);
        (0..200).for_each(|n| floor.follow(-45.0 + (n % 3) as f32, true));
        assert!((-45.0..-41.0).contains(&floor.dbfs()), "{}", floor.dbfs());
    }

    #[test]
    fn speech_with_its_gaps_does_not_raise_the_floor() {
        let mut floor = NoiseFloor::new(-60.0);
        // Words of 0.8 s with 100 ms between them.
        (0..1_000).for_each(|n| floor.follow(if n % 56 < 50 { -25.0 } else { -58.0 }, n % 56 < 50));
        assert!(floor.dbfs() < -45.0, "{}", floor.dbfs());
    }

    #[test]
    fn however_loud_the_noise_speech_has_room_above_the_floor() {
        let mut floor = NoiseFloor::new(-60.0);
        (0..1_000).for_each(|_| floor.follow(-15.0, false));
        assert_eq!(floor.dbfs(), HIGHEST_DBFS);
    }

    #[test]
    fn the_floor_falls_at_once_when_the_noise_ends() {
        let mut floor = NoiseFloor::new(-60.0);
        (0..200).for_each(|_| floor.follow(-45.0, true));
        (0..20).for_each(|_| floor.follow(-58.0, false));
        assert!(floor.dbfs() < -57.0, "{}", floor.dbfs());
    }
}
