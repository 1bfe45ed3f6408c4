//! Tells the agent's own voice, come back from the caller's telephone, from the caller. It compares levels: how loud what
//! is heard is with how loud what was sent just before was. It never sees audio and never reads a clock.
//!
//! # What comes back
//!
//! A loudspeaker that stands before a microphone, and a hybrid in an old exchange, send the agent's voice back: 40 to 400
//! ms later, weaker by the line's *loss*, and longer by the room's reverberation. To a voice detector that is a voice
//! like any other: the agent would interrupt itself, and then answer itself.
//!
//! # What is taken for it
//!
//! What is weaker than the loudest that was sent within the last half second, less an *allowance*. The allowance begins
//! with [`FIRST_ALLOWANCE_DB`], which holds off a speakerphone of 20 dB and hears a caller who speaks up. From then on it
//! is learnt, in stretches of some 0.45 s in which the agent speaks:
//!
//! - A stretch in which nothing that was heard is as loud shows that the line loses at least that much, whatever its
//!   delay: on a line without echo, callers at −40 dBFS are heard over an agent at −20 dBFS after a second.
//! - A stretch in which something louder was heard is the caller, unless its level goes up and down as the agent's does,
//!   at one and the same delay: then it is echo, and the allowance shrinks.
//! - After an interruption the line counts as unknown again, from the agent's next words on
//!   ([`EchoGuard::interrupted`]): a telephone that is switched to its loudspeaker in the middle of a call interrupts the
//!   agent once. Where nothing was said in it, what sounded like the caller was the line ([`EchoGuard::false_alarm`]).

/// Frames looked back for what may come back now: 512 ms.
const LAGS: usize = 32;
/// Digital silence, as the voice detector names it.
const SILENCE_DBFS: f32 = -120.0;
/// What was sent and is quieter than this comes back inaudible. Levels below it are all one.
const FAINT_DBFS: f32 = -55.0;
/// Only a stretch in which something was sent that is louder than this teaches anything.
const TELLING_DBFS: f32 = -35.0;
/// What is known of a line before anything was sent, and the bounds of what can be learnt. The greatest hears a caller at
/// −40 dBFS over an agent whose loudest sounds, at some −13 dBFS, come back unnoticed.
const FIRST_ALLOWANCE_DB: f32 = 18.0;
const LEAST_ALLOWANCE_DB: f32 = 8.0;
const GREATEST_ALLOWANCE_DB: f32 = 38.0;
/// So much louder than nothing at all an echo may yet be, and so much louder than one that was measured: rooms and
/// loudspeakers are not equally loud at all pitches.
const MARGIN_DB: f32 = 5.0;
const ECHO_MARGIN_DB: f32 = 7.0;
/// And so much until there is more to go by: a loudspeaker at its limits makes soft sounds louder than the loud ones show.
const SUSPECT_MARGIN_DB: f32 = 10.0;
/// How fast what the room keeps sounding fades, a frame: 60 dB in a second.
const REVERBERATION_DB: f32 = 1.0;
/// Frames of a stretch, 448 ms: what is sent in one comes back in it or in the next.
const STRETCH: u8 = 28;
/// Stretches that are remembered: the loudest of them counts.
const STRETCHES: usize = 3;
/// Frames in a row above the threshold that are the caller, and for how many frames the caller is then taken to speak on:
/// syllables have weak ends.
const SURE: u8 = 2;
const SPEAKS_ON: u8 = 6;
/// The weight of a new frame in the likeness of what is heard to what was sent: it looks back some 1.3 s.
const FORGETTING: f32 = 1.0 / 80.0;
/// Frames that must have been compared before likeness tells anything.
const COMPARED: u16 = 60;
/// From this correlation on, levels go up and down together. Two people's speech reaches 0.6 at its best delay.
const ALIKE: f32 = 0.75;
/// And from this one on where something that sounded like the caller was nobody.
const SUSPECT: f32 = 0.5;
/// Frames by which a delay that was found may grow before it is looked for again.
const DELAY_GROWTH: usize = 6;

/// Compares what one caller's line brings with what was sent to it. See the module's description. One frame is 16 ms.
#[derive(Debug, Clone)]
pub struct EchoGuard {
    /// Levels sent.
    sent: Levels,
    /// Frames since the last that was no silence.
    silent_for: u8,
    /// What could come back at the loudest, before any loss.
    reference_dbfs: f32,
    allowance_db: f32,
    /// How many of the lags can bring an echo: all, until its delay is known.
    lags: usize,
    above: u8,
    speaks_on: u8,
    stretch: Stretch,
    /// The loudest sent and heard in the two stretches before, the older first.
    before: [Loudest; 2],
    losses_db: [f32; STRETCHES],
    likeness: Likeness,
    /// Somebody interrupted, or something did.
    doubtful: bool,
}

#[derive(Debug, Clone, Copy)]
struct Loudest {
    sent_dbfs: f32,
    heard_dbfs: f32,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    frames: u8,
    loudest: Loudest,
}

const NOTHING: Loudest = Loudest { sent_dbfs: SILENCE_DBFS, heard_dbfs: SILENCE_DBFS };

impl Default for EchoGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl EchoGuard {
    /// A guard of a line of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sent: Levels::default(),
            silent_for: u8::MAX,
            reference_dbfs: SILENCE_DBFS,
            allowance_db: FIRST_ALLOWANCE_DB,
            lags: LAGS,
            above: 0,
            speaks_on: 0,
            stretch: Stretch { frames: 0, loudest: NOTHING },
            before: [NOTHING; 2],
            losses_db: [f32::MAX; STRETCHES],
            likeness: Likeness::new(),
            doubtful: false,
        }
    }

    /// How much weaker than what was sent something must be to be taken for its echo, in dB.
    #[must_use]
    pub const fn allowance_db(&self) -> f32 {
        self.allowance_db
    }

    /// Takes the level of the next 16 ms sent, silence too, in dBFS.
    pub fn sent(&mut self, dbfs: f32) {
        if self.doubtful && dbfs > FAINT_DBFS && usize::from(self.silent_for) >= LAGS {
            self.begin_anew();
        }
        self.sent.push(dbfs);
        self.silent_for = if dbfs > FAINT_DBFS { 0 } else { self.silent_for.saturating_add(1) };
    }

    /// Takes the level of the next 16 ms heard, in dBFS, and says whether it may be an echo.
    pub fn is_echo(&mut self, heard_dbfs: f32) -> bool {
        if self.is_idle() {
            return false;
        }
        let loudest_dbfs = self.sent.window()[LAGS - self.lags..].iter().copied().fold(SILENCE_DBFS, f32::max);
        self.reference_dbfs = loudest_dbfs.max(self.reference_dbfs - REVERBERATION_DB);
        self.likeness.compare(heard_dbfs, self.sent.window());
        self.learn(heard_dbfs);
        let below = heard_dbfs < self.reference_dbfs - self.allowance_db;
        self.above = if below { 0 } else { self.above.saturating_add(1) };
        self.speaks_on = if self.above >= SURE { SPEAKS_ON } else { self.speaks_on.saturating_sub(1) };
        below && self.speaks_on == 0
    }

    /// The agent was interrupted. By the caller, or by an echo that is new: which of the two, the agent's next words will
    /// show.
    pub fn interrupted(&mut self) {
        self.doubtful = true;
    }

    /// What was taken for the caller over the agent said nothing: less is enough now to take it for an echo.
    pub fn false_alarm(&mut self) {
        if self.likeness.best().is_none_or(|(_, likeness)| likeness < SUSPECT) {
            return;
        }
        self.lower(most_db(self.before[0], self.before[1], self.stretch.loudest));
        self.lags = LAGS;
    }

    /// The line may not be what it was.
    fn begin_anew(&mut self) {
        self.doubtful = false;
        self.allowance_db = self.allowance_db.min(FIRST_ALLOWANCE_DB);
        self.losses_db = [f32::MAX; STRETCHES];
        self.lags = LAGS;
        self.likeness = Likeness::new();
    }

    /// Nothing was sent that could still come back. What was learnt stays.
    fn is_idle(&mut self) -> bool {
        if self.silent_for <= 2 * STRETCH || self.reference_dbfs > FAINT_DBFS {
            return false;
        }
        self.reference_dbfs = SILENCE_DBFS;
        self.stretch = Stretch { frames: 0, loudest: NOTHING };
        self.before = [NOTHING; 2];
        (self.above, self.speaks_on) = (0, 0);
        true
    }

    fn learn(&mut self, heard_dbfs: f32) {
        let Stretch { frames, loudest } = &mut self.stretch;
        loudest.sent_dbfs = loudest.sent_dbfs.max(self.sent.newest());
        loudest.heard_dbfs = loudest.heard_dbfs.max(heard_dbfs);
        *frames += 1;
        if *frames < STRETCH {
            return;
        }
        let now = std::mem::replace(&mut self.stretch, Stretch { frames: 0, loudest: NOTHING }).loudest;
        let [earlier, before] = self.before;
        self.before = [before, now];
        if before.sent_dbfs < TELLING_DBFS {
            return;
        }
        // What was sent in the stretch before has come back by now, in that stretch or in this one.
        self.losses_db.rotate_left(1);
        self.losses_db[STRETCHES - 1] = before.sent_dbfs - before.heard_dbfs.max(now.heard_dbfs);
        let least_db = self.losses_db.iter().copied().fold(f32::MAX, f32::min);
        let (lag, likeness) = self.likeness.best().unwrap_or((LAGS, 0.0));
        let margin_db = if likeness < SUSPECT { MARGIN_DB } else { SUSPECT_MARGIN_DB };
        if least_db - margin_db > self.allowance_db {
            self.allowance_db = (least_db - margin_db).min(GREATEST_ALLOWANCE_DB);
        }
        self.lags = LAGS;
        if likeness >= ALIKE {
            self.lower(most_db(earlier, before, now));
            self.lags = (lag + 1 + DELAY_GROWTH).min(LAGS);
        }
    }

    fn lower(&mut self, loss_db: f32) {
        self.allowance_db = self.allowance_db.min((loss_db - ECHO_MARGIN_DB).max(LEAST_ALLOWANCE_DB));
    }
}

/// The newest levels. Each is kept twice, so that all of them lie in one piece, whatever place the newest has.
#[derive(Debug, Clone)]
struct Levels {
    twice: [f32; 2 * LAGS],
    newest: usize,
}

impl Default for Levels {
    fn default() -> Self {
        Self { twice: [SILENCE_DBFS; 2 * LAGS], newest: 0 }
    }
}

impl Levels {
    fn push(&mut self, dbfs: f32) {
        self.newest = (self.newest + 1) % LAGS;
        self.twice[self.newest] = dbfs;
        self.twice[self.newest + LAGS] = dbfs;
    }

    fn newest(&self) -> f32 {
        self.twice[self.newest]
    }

    /// The oldest first.
    fn window(&self) -> &[f32; LAGS] {
        self.twice[self.newest + 1..].first_chunk().expect("the newest is in the first half")
    }
}

/// What a line loses at most, if what was heard in the later two of three stretches is an echo of what was sent in them.
fn most_db(earlier: Loudest, before: Loudest, now: Loudest) -> f32 {
    earlier.sent_dbfs.max(before.sent_dbfs).max(now.sent_dbfs) - before.heard_dbfs.max(now.heard_dbfs)
}

/// How alike what is heard is to what was sent, at each delay: the correlation of their levels in dB, over the frames in
/// which there was something to compare.
#[derive(Debug, Clone)]
struct Likeness {
    frames: u16,
    heard: f32,
    heard_squared: f32,
    /// For each delay, the longest first.
    sent: [f32; LAGS],
    sent_squared: [f32; LAGS],
    product: [f32; LAGS],
}

impl Likeness {
    fn new() -> Self {
        Self {
            frames: 0,
            heard: 0.0,
            heard_squared: 0.0,
            sent: [0.0; LAGS],
            sent_squared: [0.0; LAGS],
            product: [0.0; LAGS],
        }
    }

    fn compare(&mut self, heard_dbfs: f32, levels: &[f32; LAGS]) {
        self.frames = self.frames.saturating_add(1);
        // A plain mean at first, so that little is enough to begin with.
        let weight = FORGETTING.max(1.0 / f32::from(self.frames));
        // Small numbers, whose squares keep their precision. What comes back is weaker: its silence lies deeper.
        let heard = heard_dbfs.max(FAINT_DBFS - 10.0) - FAINT_DBFS;
        self.heard += (heard - self.heard) * weight;
        self.heard_squared += (heard * heard - self.heard_squared) * weight;
        for (place, level) in levels.iter().enumerate() {
            let sent = level.max(FAINT_DBFS) - FAINT_DBFS;
            self.sent[place] += (sent - self.sent[place]) * weight;
            self.sent_squared[place] += (sent * sent - self.sent_squared[place]) * weight;
            self.product[place] += (sent * heard - self.product[place]) * weight;
        }
    }

    /// The delay at which they are most alike, in frames, and how much: 1 would be the same.
    fn best(&self) -> Option<(usize, f32)> {
        if self.frames < COMPARED {
            return None;
        }
        let heard_variance = self.heard_squared - self.heard * self.heard;
        let at = |place: usize| {
            let sent_variance = self.sent_squared[place] - self.sent[place] * self.sent[place];
            let covariance = self.product[place] - self.sent[place] * self.heard;
            covariance / (heard_variance * sent_variance).max(1.0).sqrt()
        };
        let best = (0..LAGS).map(|place| (LAGS - 1 - place, at(place)));
        best.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Somebody's levels: syllables of some 200 ms and pauses between, other ones for each seed.
    fn speech(seed: u32, dbfs: f32) -> impl FnMut() -> f32 {
        let mut random = seed.wrapping_mul(2_654_435_761) | 1;
        let (mut left, mut level) = (0, 0.0);
        move || {
            if left == 0 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                left = 4 + (random >> 28);
                level = if (random >> 20).is_multiple_of(4) { -60.0 } else { dbfs - ((random >> 8) % 12) as f32 };
            }
            left -= 1;
            level
        }
    }

    /// Lets the agent speak for so many frames over a line that brings `heard` of the levels sent, the newest last; gives
    /// the frames that were taken for the caller, of those that a voice detector would look at.
    fn converse(guard: &mut EchoGuard, frames: usize, seed: u32, mut heard: impl FnMut(&[f32]) -> f32) -> usize {
        let mut agent = speech(seed, -14.0);
        let mut sent = Vec::new();
        (0..frames)
            .filter(|_| {
                sent.push(agent());
                guard.sent(sent[sent.len() - 1]);
                let heard = heard(&sent);
                !guard.is_echo(heard) && heard > -56.0
            })
            .count()
    }

    /// What comes back of what was sent, `lag` frames later.
    fn echo(sent: &[f32], lag: usize, loss_db: f32) -> f32 {
        let back = sent.len().checked_sub(lag + 1).map_or(SILENCE_DBFS, |at| sent[at] - loss_db);
        back.max(-62.0)
    }

    #[test]
    fn while_nothing_is_sent_nothing_is_an_echo() {
        let mut guard = EchoGuard::new();
        for _ in 0..1_000 {
            guard.sent(SILENCE_DBFS);
            assert!(!guard.is_echo(-50.0));
        }
        converse(&mut guard, 200, 1, |sent| echo(sent, 8, 25.0));
        let mut echoes = 0;
        for _ in 0..1_000 {
            guard.sent(SILENCE_DBFS);
            echoes += usize::from(guard.is_echo(-50.0));
        }
        assert!(echoes < 60, "what was said fades within a second: {echoes}");
    }

    #[test]
    fn an_echo_is_told_from_the_first_word_on_and_louder_sounds_are_not_echoes() {
        for (lag, loss_db) in [(2, 20.0), (8, 25.0), (16, 30.0), (25, 35.0)] {
            let mut guard = EchoGuard::new();
            assert_eq!(converse(&mut guard, 600, 1, |sent| echo(sent, lag, loss_db)), 0, "{lag} {loss_db}");
            let allowed = guard.allowance_db();
            assert!(allowed < loss_db && allowed > loss_db - 13.0, "{lag} {loss_db}: {allowed}");
            assert!(!guard.is_echo(-10.0));
        }
    }

    #[test]
    fn a_line_without_echo_is_known_after_a_second_of_the_agents_speech() {
        let mut guard = EchoGuard::new();
        converse(&mut guard, 80, 1, |_| -62.0);
        assert_eq!(guard.allowance_db(), GREATEST_ALLOWANCE_DB);
        assert!(!guard.is_echo(-45.0));
    }

    #[test]
    fn a_caller_who_speaks_over_the_agent_does_not_become_its_echo() {
        for seed in 2..12 {
            let mut guard = EchoGuard::new();
            converse(&mut guard, 100, 1, |_| -62.0);
            let mut caller = speech(seed, -28.0);
            converse(&mut guard, 400, 1, |_| caller());
            assert_eq!(guard.allowance_db(), GREATEST_ALLOWANCE_DB, "{seed}");
        }
    }

    #[test]
    fn after_an_interruption_the_line_is_as_unknown_as_in_the_beginning() {
        let mut guard = EchoGuard::new();
        converse(&mut guard, 200, 1, |_| -62.0);
        guard.interrupted();
        assert_eq!(guard.allowance_db(), GREATEST_ALLOWANCE_DB, "whoever speaks is heard to the end");
        for _ in 0..60 {
            guard.sent(SILENCE_DBFS);
            guard.is_echo(-62.0);
        }
        assert_eq!(converse(&mut guard, 200, 2, |sent| echo(sent, 8, 22.0)), 0, "a loudspeaker was switched on");
        for _ in 0..60 {
            guard.sent(SILENCE_DBFS);
            guard.is_echo(-62.0);
        }
        converse(&mut guard, 200, 3, |_| -62.0);
        assert_eq!(guard.allowance_db(), GREATEST_ALLOWANCE_DB, "and off again");
    }

    #[test]
    fn what_interrupted_the_agent_and_was_nobody_is_held_off_if_it_is_like_the_agent() {
        let line = |sent: &[f32]| echo(sent, 8, 10.0);
        let mut guard = EchoGuard::new();
        converse(&mut guard, 90, 1, line);
        guard.interrupted();
        guard.false_alarm();
        assert_eq!(converse(&mut guard, 200, 1, |sent| echo(sent, 8, 17.0)), 0);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_and_heard_the_allowance_keeps_its_bounds(
            levels in prop::collection::vec((-130.0f32..10.0, -130.0f32..10.0, 0u8..40), 0..2_000),
        ) {
            let mut guard = EchoGuard::new();
            for (sent, heard, event) in levels {
                guard.sent(sent);
                let is_echo = guard.is_echo(heard);
                prop_assert!(!is_echo || heard < 10.0 - LEAST_ALLOWANCE_DB);
                match event {
                    0 => guard.interrupted(),
                    1 => guard.false_alarm(),
                    _ => {}
                }
                prop_assert!((LEAST_ALLOWANCE_DB..=GREATEST_ALLOWANCE_DB).contains(&guard.allowance_db()));
            }
        }
    }
}
