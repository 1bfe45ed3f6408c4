//! How loud the line is when nobody speaks. It follows what is known to be no voice, and rises to what never ceases: a steady
//! noise has no gaps, as speech has. What is steady need not be shown to the network.

/// The floor is never taken to be above this, so that speech has room above the loudest noise.
const HIGHEST_DBFS: f32 = -20.0;
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
/// A noise whose mean stays within so many dB over them all is steady: no voice, and no room full of them, is.
const STEADY_DB: f32 = 6.0;
/// What stands out of a steady noise by so much is something else.
const OUT_OF_DB: f32 = 3.0;

/// Follows one stream, a level for each frame of 16 ms.
#[derive(Debug, Clone)]
pub(super) struct NoiseFloor {
    dbfs: f32,
    mean_dbfs: f32,
    /// The quietest moments of the stretches before, and of the one that lasts.
    quietest: [f32; STRETCHES],
    quietest_now: f32,
    /// The loudest ones likewise.
    loudest: [f32; STRETCHES],
    loudest_now: f32,
    frames: u8,
}

impl NoiseFloor {
    /// Of a line that has not been heard yet.
    pub(super) fn new(dbfs: f32) -> Self {
        Self {
            dbfs,
            mean_dbfs: dbfs,
            quietest: [f32::MIN; STRETCHES],
            quietest_now: f32::MAX,
            loudest: [f32::MAX; STRETCHES],
            loudest_now: f32::MIN,
            frames: 0,
        }
    }

    pub(super) fn dbfs(&self) -> f32 {
        self.dbfs
    }

    /// Whether a frame of this level is nothing but the noise that has been there, unchanged, for a second and a half.
    pub(super) fn is_only_noise(&self, frame_dbfs: f32) -> bool {
        let quietest = self.quietest.iter().copied().fold(self.quietest_now, f32::min);
        let loudest = self.loudest.iter().copied().fold(self.loudest_now, f32::max);
        loudest - quietest < STEADY_DB && frame_dbfs < self.dbfs + OUT_OF_DB
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
        self.loudest_now = self.loudest_now.max(self.mean_dbfs);
        self.frames += 1;
        if self.frames == STRETCH {
            self.frames = 0;
            self.quietest.rotate_left(1);
            self.quietest[STRETCHES - 1] = std::mem::replace(&mut self.quietest_now, f32::MAX);
            self.loudest.rotate_left(1);
            self.loudest[STRETCHES - 1] = std::mem::replace(&mut self.loudest_now, f32::MIN);
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
    fn a_steady_noise_is_known_and_what_stands_out_of_it_or_wavers_is_not() {
        let mut steady = NoiseFloor::new(-60.0);
        (0..200).for_each(|n| steady.follow(-45.0 + (n % 3) as f32 * 0.5, false));
        assert!(steady.is_only_noise(-44.5) && !steady.is_only_noise(-40.0));
        let mut room = NoiseFloor::new(-60.0);
        (0..200).for_each(|n| room.follow(-45.0 + 8.0 * (n as f32 * 0.2).sin(), false));
        assert!(!room.is_only_noise(-45.0));
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
