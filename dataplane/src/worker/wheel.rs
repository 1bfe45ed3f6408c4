//! A timing wheel with 1 ms slots: which streams are due next. It holds keys and times only; it never reads a clock.

use std::time::{Duration, Instant};

/// Slots of the wheel; longer than the longest packet time (60 ms), so that a due time names its slot without
/// ambiguity.
const SLOTS: u64 = 64;
/// A round with so many streams, some 0.3 ms, is worth its wake-up.
const SHARED: usize = 32;
/// Width of a slot.
const SLOT_NANOS: u128 = 1_000_000;

/// A slot, counted from the wheel's beginning; never the same twice.
pub(super) type SlotNumber = u64;

/// Keys by due time. Nothing is taken back: who is put in anew, for an earlier time, keeps the number of that slot, and what comes out of
/// any other is let go.
pub(super) struct Wheel<K> {
    origin: Instant,
    /// The next slot, counted from `origin`, that has not been taken yet.
    cursor: u64,
    slots: [Vec<K>; SLOTS as usize],
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel whose slots are counted from `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, cursor: 0, slots: std::array::from_fn(|_| Vec::new()), len: 0 }
    }

    /// Puts `key` in for `due`. What is already past is due at once; what lies further ahead than the wheel reaches is
    /// put as far as it reaches. Says into which slot.
    pub(super) fn insert(&mut self, due: Instant, key: K) -> SlotNumber {
        let slot = self.slot_for(due);
        self.slots[(slot % SLOTS) as usize].push(key);
        self.len += 1;
        slot
    }

    /// The slot into which a key for `due` would come now.
    pub(super) fn slot_for(&self, due: Instant) -> SlotNumber {
        self.slot_of(due).clamp(self.cursor, self.cursor + SLOTS - 1)
    }

    /// Keys that are in, those too that will be let go.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Moves all keys due by `now` into `due`, in order of their slots, each with its slot.
    pub(super) fn take_due(&mut self, now: Instant, due: &mut Vec<(SlotNumber, K)>) {
        let current = u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX);
        if self.len == 0 {
            self.cursor = self.cursor.max(current + 1);
            return;
        }
        let last = current.min(self.cursor.saturating_add(SLOTS - 1));
        while self.cursor <= last {
            let slot = &mut self.slots[(self.cursor % SLOTS) as usize];
            self.len -= slot.len();
            due.extend(slot.drain(..).map(|key| (self.cursor, key)));
            self.cursor += 1;
        }
        self.cursor = self.cursor.max(current + 1);
    }

    /// When the next key is due; `None` when the wheel is empty.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        (self.cursor..self.cursor + SLOTS)
            .find(|slot| !self.slots[(slot % SLOTS) as usize].is_empty())
            .map(|slot| self.origin + Duration::from_millis(slot))
    }

    /// The phase, a whole number of milliseconds in `0..period`, at which a new stream is served best. Keys gather in every
    /// second slot first, for a round costs a wake-up and two system calls however few it serves; once these are well
    /// filled, where the fewest keys are due, so that the work of a period is spread over it.
    pub(super) fn best_phase(&self, now: Instant, period: Duration) -> Instant {
        let period = (period.as_millis() as u64).clamp(1, SLOTS);
        let start = self.slot_of(now).max(self.cursor);
        let crowd = |slot: &u64| {
            let keys = self.slots[(slot % SLOTS) as usize].len();
            (!slot.is_multiple_of(2) || keys >= SHARED, keys)
        };
        let slot = (start..start + period).min_by_key(crowd).unwrap_or(start);
        self.origin + Duration::from_millis(slot)
    }

    fn slot_of(&self, at: Instant) -> u64 {
        // Rounded up: nothing is taken before it is due.
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos.div_ceil(SLOT_NANOS)).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn taken(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(now, &mut due);
        due.into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn keys_come_out_when_they_are_due_and_not_before() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        wheel.insert(start + ms(20), 1);
        wheel.insert(start + ms(5), 2);
        assert_eq!(wheel.next_due(), Some(start + ms(5)));
        assert!(taken(&mut wheel, start + ms(4)).is_empty());
        assert_eq!(taken(&mut wheel, start + ms(5)), [2]);
        assert!(taken(&mut wheel, start + ms(19)).is_empty());
        assert_eq!(taken(&mut wheel, start + ms(21)), [1]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_worker_that_was_held_up_for_long_finds_all_its_keys_due() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for key in 0..60 {
            wheel.insert(start + ms(u64::from(key)), key);
        }
        assert_eq!(taken(&mut wheel, start + ms(10_000)).len(), 60);
        wheel.insert(start + ms(1), 7);
        assert_eq!(wheel.next_due(), Some(start + ms(10_001)), "a time that is past is due at the next slot");
    }

    /// The numbers of keys in the slots of a period after `count` streams were put in.
    fn crowds(count: u32) -> Vec<usize> {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for key in 0..count {
            let due = wheel.best_phase(start, ms(20));
            wheel.insert(due, key);
        }
        (0..20).map(|slot| taken(&mut wheel, start + ms(slot)).len()).collect()
    }

    #[test]
    fn a_few_streams_share_rounds() {
        let crowds = crowds(200);
        assert_eq!(crowds.iter().filter(|crowd| **crowd > 0).count(), 10, "every 2 ms");
        assert_eq!(crowds.into_iter().max(), Some(20));
    }

    #[test]
    fn many_streams_are_spread_over_the_period() {
        assert_eq!(crowds(1_000), [50; 20]);
    }
}
