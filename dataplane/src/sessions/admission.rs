//! Admission: a call takes a permit before it is answered and holds it to its end. Never queues: who gets none is refused
//! at once, so that the switch tries the next pod.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::pace::{Pace, Reading};
use super::rate::TokenBucket;
use crate::settings::CallLimits;

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Every permit is out.
    #[error("the pod has as many calls as it takes")]
    Full,
    /// The pod is being emptied.
    #[error("the pod is draining")]
    Draining,
    /// This caller has as many calls as one caller may have.
    #[error("the caller has as many calls as one caller may have")]
    CallerLimit,
    /// Calls come faster than they may.
    #[error("calls come faster than the pod takes them")]
    RateLimited,
    /// Callers miss packets of the calls in progress, because they leave late.
    #[error("the pod does not keep the pace of the calls that it has")]
    Late,
    /// The cores would not keep the pace of one call more.
    #[error("one call more would take more of the cores than calls may")]
    Busy,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Draining, Self::CallerLimit, Self::RateLimited, Self::Late, Self::Busy];

    /// The reason as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Draining => "draining",
            Self::CallerLimit => "caller_limit",
            Self::RateLimited => "rate_limited",
            Self::Late => "late",
            Self::Busy => "busy",
        }
    }
}

/// What listeners and probes need to know, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionState {
    /// Permits that are out: calls that the pod has.
    pub active: usize,
    /// Permits in all.
    pub capacity: usize,
    /// Whether a drain has begun; it is never taken back.
    pub draining: bool,
    /// Whether a permit is free: the ESL listener is open exactly while this is so.
    pub open: bool,
    /// Whether the next new call would be taken. A caller who was talking with another pod is taken whenever a permit is free.
    pub accepting: bool,
    /// Whether the pod was full and has not come down to its low-water mark since. Not ready, though it may be accepting.
    pub recovering: bool,
    /// Whether calls are refused because callers miss packets.
    pub late: bool,
    /// Whether calls are refused because one more would be too much for the cores.
    pub busy: bool,
}

/// How well a pod keeps its calls' pace, as it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceFigures {
    /// How late packets leave.
    pub lateness: Duration,
    /// The share of them that callers miss, 0 to 1.
    pub missed: f64,
    /// How busy the busiest of workers and cores is, 0 to 1.
    pub load: f64,
}

/// What a reading changed; `None`: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PaceNews {
    /// Whether calls are refused for what callers miss.
    pub late: Option<bool>,
    /// Whether they are for what one more would take.
    pub busy: Option<bool>,
}

struct Inner {
    active: usize,
    draining: bool,
    recovering: bool,
    pace: Pace,
    /// Calls by hash of the caller's number. Never longer than `active`: numbers without calls are removed.
    callers: HashMap<u64, usize>,
    setup_rate: Option<TokenBucket>,
}

impl Inner {
    /// One call of the caller's less; numbers without calls are removed.
    fn forget(&mut self, key: u64) {
        if let Some(calls) = self.callers.get_mut(&key) {
            *calls -= 1;
            if *calls == 0 {
                self.callers.remove(&key);
            }
        }
    }
}

struct Shared {
    limits: CallLimits,
    inner: Mutex<Inner>,
    state: watch::Sender<AdmissionState>,
    hasher: RandomState,
}

/// The pod's permits. Clones share them.
#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

impl Admission {
    /// All permits free.
    pub fn new(limits: CallLimits, now: Instant) -> Self {
        let inner = Inner {
            active: 0,
            draining: false,
            recovering: false,
            pace: Pace::new(limits.pace()),
            callers: HashMap::new(),
            setup_rate: limits.setup_rate_per_second.map(|rate| TokenBucket::new(rate, now)),
        };
        let (state, _) = watch::channel(describe(&inner, &limits));
        Self { shared: Arc::new(Shared { limits, inner: Mutex::new(inner), state, hasher: RandomState::new() }) }
    }

    /// Takes a permit for a connection that is to bring a call. Who calls, and whether another pod has answered already, is not known
    /// before the switch was asked, so what depends on that comes after: [`Permit::admit_new`], [`Permit::limit_caller`].
    ///
    /// # Errors
    /// [`Refusal`], at once.
    pub fn try_admit(&self) -> Result<Permit, Refusal> {
        let mut inner = self.shared.lock();
        let inner = &mut *inner;
        if inner.draining {
            return Err(Refusal::Draining);
        }
        if inner.active >= self.shared.limits.max_sessions {
            return Err(Refusal::Full);
        }
        inner.active += 1;
        inner.recovering |= inner.active >= self.shared.limits.max_sessions;
        self.shared.publish(inner);
        Ok(Permit { shared: Arc::clone(&self.shared), caller: None })
    }

    /// Hears what the media workers did since the last time; every [`super::READING_INTERVAL`]. Says what is news of it.
    pub fn observe_pace(&self, now: Instant, reading: Reading) -> PaceNews {
        let mut inner = self.shared.lock();
        let active = inner.active;
        let before = (inner.pace.is_late(), inner.pace.is_busy());
        inner.pace.observe(now, reading, active);
        let after = (inner.pace.is_late(), inner.pace.is_busy());
        if before != after {
            self.shared.publish(&inner);
        }
        let news = |before: bool, after: bool| (before != after).then_some(after);
        PaceNews { late: news(before.0, after.0), busy: news(before.1, after.1) }
    }

    /// How well the calls' pace is kept, as it is judged.
    pub fn pace(&self) -> PaceFigures {
        let inner = self.shared.lock();
        PaceFigures { lateness: inner.pace.lateness(), missed: inner.pace.missed(), load: inner.pace.load() }
    }

    /// What holds now.
    pub fn state(&self) -> AdmissionState {
        *self.shared.state.borrow()
    }

    /// What holds now and whenever it changes.
    pub fn watch(&self) -> watch::Receiver<AdmissionState> {
        self.shared.state.subscribe()
    }

    /// Of how many callers calls are counted.
    pub fn callers(&self) -> usize {
        self.shared.lock().callers.len()
    }

    /// Refuses every call from now on; says whether that is news. Calls that have a permit keep it.
    pub fn start_draining(&self) -> bool {
        let mut inner = self.shared.lock();
        let news = !std::mem::replace(&mut inner.draining, true);
        self.shared.publish(&inner);
        news
    }
}

impl Shared {
    /// A key for callers that can be told apart. Hashing with a random key keeps numbers out of memory dumps and makes
    /// collisions nobody's tool.
    fn caller_key(&self, caller: &str) -> Option<u64> {
        const WITHHELD: [&str; 6] = ["anonymous", "unknown", "restricted", "private", "unavailable", "withheld"];
        // Punctuation and the plus are the trunk's habit, not the caller's: 1-555-1234 and +15551234 are one.
        let plain: String =
            caller.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(64).collect();
        (!plain.is_empty() && !WITHHELD.contains(&plain.as_str())).then(|| self.hasher.hash_one(plain))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing inside panics half-way, so what a panicking thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the lock held, so that watchers see changes in their order.
    fn publish(&self, inner: &Inner) {
        self.state.send_replace(describe(inner, &self.limits));
    }
}

fn describe(inner: &Inner, limits: &CallLimits) -> AdmissionState {
    let (late, busy) = (inner.pace.is_late(), inner.pace.is_busy());
    let open = !inner.draining && inner.active < limits.max_sessions;
    AdmissionState {
        active: inner.active,
        capacity: limits.max_sessions,
        draining: inner.draining,
        open,
        accepting: open && !late && !busy,
        recovering: inner.recovering,
        late,
        busy,
    }
}

/// The right to one call; dropping it gives it back.
#[must_use = "a call without its permit is not counted"]
pub struct Permit {
    shared: Arc<Shared>,
    caller: Option<u64>,
}

impl Permit {
    /// Asks whether a caller may come whom no pod has answered yet.
    ///
    /// # Errors
    /// [`Refusal::Late`], [`Refusal::Busy`] or [`Refusal::RateLimited`]; only what was taken counts against the set-up rate. The permit is still out then:
    /// it comes free when it is dropped.
    pub fn admit_new(&self, now: Instant) -> Result<(), Refusal> {
        let mut inner = self.shared.lock();
        if inner.pace.is_late() {
            return Err(Refusal::Late);
        }
        // Its own permit is out already.
        if inner.pace.would_be_busy(inner.active - 1) {
            return Err(Refusal::Busy);
        }
        if inner.setup_rate.as_mut().is_some_and(|bucket| !bucket.try_take(now)) {
            return Err(Refusal::RateLimited);
        }
        Ok(())
    }

    /// Counts the call as one of `caller`'s, as the switch presents the number. Withheld numbers are all alike, so the limit
    /// does not apply to them. Told again, the call counts as the later caller's. A call that was `talking` to another pod counts too, and
    /// is not refused.
    ///
    /// # Errors
    /// [`Refusal::CallerLimit`]. The permit is still out then: it comes free when it is dropped.
    pub fn limit_caller(&mut self, caller: &str, talking: bool) -> Result<(), Refusal> {
        let Some(limit) = self.shared.limits.max_sessions_per_caller else { return Ok(()) };
        self.count_as(caller, (!talking).then_some(limit.get()))
    }

    fn count_as(&mut self, caller: &str, limit: Option<usize>) -> Result<(), Refusal> {
        let key = self.shared.caller_key(caller);
        let mut inner = self.shared.lock();
        if let Some(earlier) = self.caller.take() {
            inner.forget(earlier);
        }
        let Some(key) = key else { return Ok(()) };
        let calls = inner.callers.entry(key).or_insert(0);
        if limit.is_some_and(|limit| *calls >= limit) {
            return Err(Refusal::CallerLimit);
        }
        *calls += 1;
        self.caller = Some(key);
        Ok(())
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.active -= 1;
        if inner.active <= self.shared.limits.ready_low_water {
            inner.recovering = false;
        }
        if let Some(key) = self.caller {
            inner.forget(key);
        }
        self.shared.publish(&inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::num::{NonZeroU32, NonZeroUsize};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;

    fn limits(max_sessions: usize, ready_low_water: usize) -> CallLimits {
        CallLimits {
            max_sessions,
            ready_low_water,
            max_sessions_per_caller: None,
            setup_rate_per_second: None,
            max_lateness: None,
            max_missed_percent: 1,
            max_load_percent: NonZeroU32::new(90),
        }
    }

    #[test]
    fn a_call_that_was_up_with_another_pod_is_not_cut_off_by_the_limit_of_its_caller_but_counts() {
        let limits = CallLimits { max_sessions_per_caller: NonZeroUsize::new(1), ..limits(4, 0) };
        let admission = Admission::new(limits, Instant::now());
        let mut up: Vec<Permit> = (0..3).map(|_| admission.try_admit().expect("free")).collect();
        for permit in &mut up {
            permit.limit_caller("+15551234567", true).expect("talking");
        }
        let mut new = admission.try_admit().expect("free");
        assert_eq!(new.limit_caller("+15551234567", false), Err(Refusal::CallerLimit));
        new.limit_caller("+15550000000", false).expect("nobody else's");
        up.clear();
        new.limit_caller("+15551234567", false).expect("all of them are over");
    }

    #[test]
    fn a_full_pod_refuses_the_next_call_and_takes_one_as_soon_as_one_ends() {
        let now = Instant::now();
        let admission = Admission::new(limits(2, 0), now);
        let first = admission.try_admit().expect("free");
        let _second = admission.try_admit().expect("free");
        assert_eq!(admission.try_admit().expect_err("full"), Refusal::Full);
        assert!(!admission.state().accepting);
        drop(first);
        assert!(admission.state().accepting);
        assert!(admission.try_admit().is_ok());
    }

    #[test]
    fn after_full_the_pod_recovers_only_at_the_low_water_mark() {
        let now = Instant::now();
        let admission = Admission::new(limits(4, 2), now);
        let mut permits: Vec<_> = (0..3).map(|_| admission.try_admit().expect("free")).collect();
        assert!(!admission.state().recovering, "three of four is not full");
        permits.push(admission.try_admit().expect("free"));
        assert!(admission.state().recovering);
        permits.pop();
        assert!(admission.state().recovering && admission.state().accepting, "three is above the mark");
        permits.pop();
        assert!(!admission.state().recovering, "two is the mark");
        permits.push(admission.try_admit().expect("free"));
        assert!(!admission.state().recovering, "only full begins it again");
    }

    fn call_from(admission: &Admission, caller: &str) -> Result<Permit, Refusal> {
        let mut permit = admission.try_admit()?;
        permit.limit_caller(caller, false)?;
        Ok(permit)
    }

    fn limited_per_caller(calls: usize) -> Admission {
        let per_caller = CallLimits { max_sessions_per_caller: NonZeroUsize::new(calls), ..limits(100, 90) };
        Admission::new(per_caller, Instant::now())
    }

    #[test]
    fn a_caller_has_no_more_calls_than_one_caller_may() {
        let admission = limited_per_caller(2);
        let first = call_from(&admission, "+1 555 123-4567").expect("free");
        let _second = call_from(&admission, "15551234567").expect("free");
        assert_eq!(call_from(&admission, "+15551234567").expect_err("third"), Refusal::CallerLimit);
        assert_eq!(admission.state().active, 2, "the refused call gave its permit back");
        let _other = call_from(&admission, "+15551234568").expect("another caller");
        drop(first);
        assert!(call_from(&admission, "+15551234567").is_ok());
    }

    #[test]
    fn a_caller_who_was_talking_is_never_one_too_many_but_counts() {
        let admission = limited_per_caller(1);
        let mut taken_over: Vec<Permit> = Vec::new();
        for _ in 0..3 {
            let mut permit = admission.try_admit().expect("free");
            permit.limit_caller("+15551234567", true).expect("talking");
            taken_over.push(permit);
        }
        assert_eq!(call_from(&admission, "+15551234567").expect_err("a new one"), Refusal::CallerLimit);
        taken_over.clear();
        assert!(call_from(&admission, "+15551234567").is_ok());
    }

    #[test]
    fn withheld_numbers_do_not_count_as_one_caller() {
        let admission = limited_per_caller(1);
        let withheld = ["", "anonymous", "Anonymous", "unknown", "", "++"];
        let permits: Vec<_> = withheld.iter().map(|caller| call_from(&admission, caller)).collect();
        assert!(permits.iter().all(Result::is_ok));
    }

    #[test]
    fn a_call_counts_as_its_latest_callers_only() {
        let admission = limited_per_caller(1);
        let mut call = call_from(&admission, "+15551234567").expect("free");
        call.limit_caller("+15551234567", false).expect("the same call is not a second one");
        call.limit_caller("+15550000000", false).expect("nobody else's");
        assert!(call_from(&admission, "+15551234567").is_ok());
        assert!(call_from(&admission, "+15550000000").is_err());
    }

    #[test]
    fn callers_without_calls_are_forgotten() {
        let admission = limited_per_caller(1);
        for caller in 0..1000 {
            drop(call_from(&admission, &format!("+1555{caller:07}")).expect("free"));
        }
        assert_eq!(admission.shared.lock().callers.len(), 0);
    }

    #[test]
    fn calls_that_come_too_fast_are_refused_and_refused_calls_cost_no_tokens() {
        let start = Instant::now();
        let slow = CallLimits { setup_rate_per_second: NonZeroU32::new(2), ..limits(3, 1) };
        let admission = Admission::new(slow, start);
        let new_call = |now| {
            let permit = admission.try_admit()?;
            permit.admit_new(now).map(|()| permit)
        };
        let mut permits: Vec<_> = (0..2).map(|_| new_call(start).expect("a burst of two")).collect();
        assert_eq!(new_call(start).expect_err("too fast"), Refusal::RateLimited);
        assert_eq!(admission.state().active, 2, "the refused call gave its permit back");
        let later = start + Duration::from_millis(500);
        permits.push(new_call(later).expect("a token has grown"));
        let much_later = start + Duration::from_secs(10);
        for _ in 0..10 {
            assert_eq!(new_call(much_later).expect_err("full"), Refusal::Full);
        }
        permits.pop();
        assert!(new_call(much_later).is_ok());
    }

    #[test]
    fn a_draining_pod_refuses_and_keeps_the_calls_it_has() {
        let now = Instant::now();
        let admission = Admission::new(limits(2, 1), now);
        let call = admission.try_admit().expect("free");
        assert!(admission.start_draining());
        assert!(!admission.start_draining(), "the second time is no news");
        assert_eq!(admission.try_admit().expect_err("draining"), Refusal::Draining);
        assert_eq!(admission.state().active, 1);
        drop(call);
        assert_eq!(
            admission.state(),
            AdmissionState {
                active: 0,
                capacity: 2,
                draining: true,
                open: false,
                accepting: false,
                recovering: false,
                late: false,
                busy: false,
            }
        );
    }

    /// A quarter of a second of a pod whose calls miss packets, or none, and take so much of its cores.
    fn reading(missed: u64, load: f64) -> Reading {
        Reading { lateness: Duration::from_millis(7), due: 100, missed, load, calls: 1 }
    }

    #[test]
    fn a_late_pod_refuses_new_calls_alone_until_it_is_in_time_again() {
        let start = Instant::now();
        let limit = Duration::from_millis(40);
        let admission = Admission::new(CallLimits { max_lateness: Some(limit), ..limits(5, 4) }, start);
        let _call = admission.try_admit().expect("free");
        let mut watch = admission.watch();
        let mut now = start;
        let mut observe = |missed| {
            now += super::super::READING_INTERVAL;
            admission.observe_pace(now, reading(missed, 0.1))
        };
        let late = |late| PaceNews { late, busy: None };
        assert_eq!([observe(30), observe(30), observe(30)], [late(None), late(None), late(Some(true))]);
        assert_eq!(observe(30), late(None), "no news");
        assert!(watch.has_changed().expect("the sender lives"), "the listener is told");
        let state = *watch.borrow_and_update();
        assert!(state.late && !state.accepting && !state.recovering && state.active == 1, "{state:?}");
        assert!(state.open, "callers of a pod that was lost may come");
        let taken_over = admission.try_admit().expect("free");
        assert_eq!(taken_over.admit_new(start).expect_err("late"), Refusal::Late);
        assert_eq!(admission.pace().lateness, Duration::from_millis(7));

        let back = (0..60).map(|_| observe(0)).find(|news| news.late.is_some());
        assert_eq!(back, Some(late(Some(false))));
        assert!(watch.has_changed().expect("the sender lives") && watch.borrow_and_update().accepting);
        assert!(taken_over.admit_new(start).is_ok());
    }

    #[test]
    fn a_pod_whose_cores_are_taken_refuses_new_calls_before_any_is_late() {
        let start = Instant::now();
        let limits = CallLimits { max_lateness: Some(Duration::from_millis(40)), ..limits(100, 90) };
        let admission = Admission::new(limits, start);
        let mut permits: Vec<Permit> = (0..10).map(|_| admission.try_admit().expect("free")).collect();
        // Eight of ten show in the reading: each takes a tenth of the cores.
        let reading = Reading { calls: 8, ..reading(0, 0.8) };
        let news = admission.observe_pace(start + super::super::READING_INTERVAL, reading);
        assert_eq!(news, PaceNews { late: None, busy: Some(true) }, "those that were just taken count");
        let state = admission.state();
        assert!(state.busy && !state.late && !state.accepting && state.open, "{state:?}");
        let more = admission.try_admit().expect("a permit is free");
        assert_eq!(more.admit_new(start).expect_err("busy"), Refusal::Busy);
        drop(more);
        permits.truncate(5);
        let back = (2..60).find_map(|at| {
            let now = start + super::super::READING_INTERVAL * at;
            admission.observe_pace(now, Reading { calls: 5, load: 0.5, ..reading }).busy
        });
        assert_eq!(back, Some(false));
        assert!(admission.try_admit().expect("free").admit_new(start).is_ok());
    }

    #[tokio::test]
    async fn a_listener_is_told_when_to_close_and_when_to_open_again() {
        let now = Instant::now();
        let admission = Admission::new(limits(1, 0), now);
        let mut watch = admission.watch();
        let permit = admission.try_admit().expect("free");
        watch.wait_for(|state| !state.open).await.expect("the sender lives");
        let waiting = tokio::spawn(async move { watch.wait_for(|state| state.open).await.map(|state| state.active) });
        drop(permit);
        assert_eq!(waiting.await.expect("no panic").expect("the sender lives"), 0);
    }

    #[test]
    fn threads_never_hold_more_permits_than_there_are() {
        const CAPACITY: usize = 7;
        let now = Instant::now();
        let admission = Admission::new(limits(CAPACITY, 3), now);
        let held = AtomicUsize::new(0);
        let admitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (admission, held, admitted) = (&admission, &held, &admitted);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let Ok(permit) = admission.try_admit() else {
                            continue;
                        };
                        assert!(held.fetch_add(1, Ordering::SeqCst) < CAPACITY);
                        admitted.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert!(admitted.into_inner() > 0);
        assert_eq!(
            admission.state(),
            AdmissionState {
                active: 0,
                capacity: CAPACITY,
                draining: false,
                open: true,
                accepting: true,
                recovering: false,
                late: false,
                busy: false,
            }
        );
    }

    proptest! {
        #[test]
        fn the_published_state_always_follows_from_the_permits(
            capacity in 1_usize..6, low in 0_usize..6, steps in proptest::collection::vec((any::<bool>(), 0_usize..6), 0..80),
        ) {
            let low = low.min(capacity - 1);
            let now = Instant::now();
            let admission = Admission::new(limits(capacity, low), now);
            let (mut permits, mut recovering) = (Vec::new(), false);
            for (take, index) in steps {
                if take {
                    if let Ok(permit) = admission.try_admit() { permits.push(permit); }
                } else if index < permits.len() {
                    drop(permits.swap_remove(index));
                }
                recovering = permits.len() == capacity || (recovering && permits.len() > low);
                let state = admission.state();
                prop_assert_eq!(state.active, permits.len());
                prop_assert_eq!((state.open, state.accepting), (permits.len() < capacity, permits.len() < capacity));
                prop_assert_eq!(state.recovering, recovering);
            }
        }
    }
}
