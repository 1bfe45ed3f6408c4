use super::*;

use proptest::prelude::*;

const LIMITS: PaceLimits = PaceLimits { max_missed: 0.01, max_load: Some(0.9) };
/// Packets of a call in the time of a reading, all but exactly.
const PACKETS: f64 = 12.5;
/// What a caller's jitter buffer holds.
const PLAYOUT: f64 = 40.0;

/// A pod on a machine: what its workers count of calls that cost so much of a core each, while the machine stands still for some
/// milliseconds in each reading.
struct Machine {
    pace: Pace,
    start: Instant,
    at: u32,
    calls: usize,
    cost: f64,
}

impl Machine {
    fn new(limits: Option<PaceLimits>, cost: f64) -> Self {
        Self { pace: Pace::new(limits), start: Instant::now(), at: 0, calls: 0, cost }
    }

    /// A quarter of a second in which everything stands still for `stall_ms` once.
    fn passes(&mut self, stall_ms: f64) {
        self.at += 1;
        // Whoever asks for more than there is has less sent in time: what is left over waits, and the buffers behind run dry.
        let wanted = self.calls as f64 * self.cost;
        let behind = (wanted - 1.0).max(0.0) / wanted.max(1.0);
        let due = self.calls as f64 * PACKETS;
        let stalled = self.calls as f64 * (stall_ms - PLAYOUT).max(0.0) / 20.0;
        let reading = Reading {
            lateness: Duration::from_secs_f64(stall_ms / 1e3),
            due: due as u64,
            missed: (stalled + due * behind) as u64,
            load: (wanted + stall_ms / 250.0).min(1.0),
            calls: self.calls,
        };
        self.pace.observe(self.start + READING_INTERVAL * self.at, reading, self.calls);
    }

    fn seconds(&mut self, seconds: u32, stall_ms: impl Fn(u32) -> f64) -> Vec<(bool, bool)> {
        let judge = |at| {
            self.passes(stall_ms(at));
            (self.pace.is_late(), self.pace.is_busy())
        };
        (0..seconds * 4).map(judge).collect()
    }

    /// Offers so many calls a second for so long; says how many were taken, and how many were missed of the packets of these.
    fn offers(&mut self, rate: usize, seconds: u32) -> f64 {
        let mut worst: f64 = 0.0;
        for quarter in 0..seconds as usize * 4 {
            let before = quarter * rate / 4;
            for _ in before..(quarter + 1) * rate / 4 {
                let refused = self.pace.is_late() || self.pace.would_be_busy(self.calls);
                self.calls += usize::from(!refused);
            }
            self.passes(0.0);
            worst = worst.max(self.pace.missed());
        }
        worst
    }
}

/// A stall once a second.
fn once_a_second(ms: f64) -> impl Fn(u32) -> f64 {
    move |at| if at % 4 == 0 { ms } else { 0.0 }
}

#[test]
fn a_machine_that_stands_still_for_a_moment_each_second_keeps_nobody_away() {
    for stall_ms in [5.0, 15.0, 39.0] {
        for calls in [1, 20, 300] {
            let mut machine = Machine::new(Some(LIMITS), 0.001);
            machine.calls = calls;
            let judged = machine.seconds(60, once_a_second(stall_ms));
            assert!(judged.iter().all(|(late, busy)| !late && !busy), "{stall_ms} ms, {calls} calls");
        }
    }
}

#[test]
fn hiccups_that_callers_hear_now_and_then_keep_nobody_away_and_again_and_again_they_do() {
    let mut machine = Machine::new(Some(LIMITS), 0.001);
    machine.calls = 100;
    let rare = machine.seconds(60, |at| if at % 60 == 0 { 150.0 } else { 0.0 });
    assert!(rare.iter().all(|(late, _)| !late), "one hole in a quarter of a minute");
    let frequent = machine.seconds(10, once_a_second(150.0));
    let at = frequent.iter().position(|(late, _)| *late).expect("one each second is heard");
    assert!(at >= 8, "and not by the first two: {at}");
}

#[test]
fn more_calls_than_the_core_carries_are_turned_away_before_anybody_misses_a_packet() {
    for (cost, rate) in [(0.000_99, 50), (0.001_55, 50), (0.001_55, 200), (0.001_55, 1_000), (0.004, 100)] {
        let mut machine = Machine::new(Some(LIMITS), cost);
        let missed = machine.offers(rate, 40);
        let fit = 1.0 / cost;
        assert_eq!(missed, 0.0, "{cost} at {rate} a second: {} taken", machine.calls);
        let taken = machine.calls as f64 / fit;
        assert!((0.85..=0.9).contains(&taken), "{cost} at {rate} a second: {taken} of what fits was taken");
    }
}

#[test]
fn without_foresight_the_missed_alone_decide() {
    let mut machine = Machine::new(Some(PaceLimits { max_load: None, ..LIMITS }), 0.001_55);
    machine.offers(50, 40);
    assert!(machine.pace.is_late() && !machine.pace.is_busy());
}

#[test]
fn a_few_calls_that_cost_much_each_say_nothing_of_many() {
    let mut machine = Machine::new(Some(LIMITS), 0.01);
    machine.calls = 2;
    machine.seconds(4, |_| 0.0);
    assert!(!machine.pace.would_be_busy(150), "the first calls of a burst are not told by what one costs alone");
}

#[test]
fn calls_are_taken_again_once_nothing_was_missed_for_a_while() {
    let mut machine = Machine::new(Some(LIMITS), 0.001);
    machine.calls = 100;
    machine.seconds(10, once_a_second(200.0));
    assert!(machine.pace.is_late());
    let calm = machine.seconds(20, |_| 0.0);
    let back = calm.iter().position(|(late, _)| !late).expect("it comes back");
    let took = READING_INTERVAL * u32::try_from(back + 1).expect("a few");
    assert!(took >= CALM && took <= READING_INTERVAL * WINDOW as u32 + CALM * 2, "{took:?}");
    assert!(calm[back..].iter().all(|(late, _)| !late));
}

#[test]
fn a_pod_at_its_limit_does_not_flap_and_is_not_shut_for_good() {
    let mut machine = Machine::new(Some(LIMITS), 0.001);
    machine.calls = 920;
    assert!(machine.seconds(5, |_| 0.0).last().is_some_and(|(late, busy)| !late && *busy));
    machine.calls = 870;
    let wavering = machine.seconds(30, |_| 0.0);
    let back = wavering.iter().position(|(_, busy)| !busy).expect("it comes back");
    let took = READING_INTERVAL * u32::try_from(back + 1).expect("a few");
    assert!(took >= IN_TIME && took <= IN_TIME * 2, "{took:?}");
    assert!(wavering[back..].iter().all(|(_, busy)| !busy));
    machine.calls = 920;
    machine.seconds(5, |_| 0.0);
    machine.calls = 500;
    let light = machine.seconds(10, |_| 0.0);
    let soon = light.iter().position(|(_, busy)| !busy).expect("it comes back");
    assert!(soon <= LOAD_WINDOW + 5, "well below the limit it is back at once: {soon}");
}

#[test]
fn without_limits_nothing_is_late_and_all_is_told() {
    let mut machine = Machine::new(None, 0.002);
    machine.calls = 600;
    assert!(machine.seconds(10, once_a_second(200.0)).iter().all(|(late, busy)| !late && !busy));
    assert!(!machine.pace.would_be_busy(10_000));
    assert!(machine.pace.load() > 0.99 && machine.pace.missed() > 0.1);
    machine.seconds(1, |_| 50.0);
    assert_eq!(machine.pace.lateness(), Duration::from_millis(50));
}

#[test]
fn one_hiccup_in_a_second_is_not_what_lateness_is_told_as() {
    let mut machine = Machine::new(None, 0.001);
    machine.seconds(2, once_a_second(50.0));
    assert_eq!(machine.pace.lateness(), Duration::ZERO);
}

proptest! {
    #[test]
    fn it_turns_only_with_a_reason(
        readings in proptest::collection::vec((0_u64..200, 0_u64..8, 0.0_f64..1.2, 0_usize..50), 1..200),
    ) {
        let mut pace = Pace::new(Some(LIMITS));
        let start = Instant::now();
        let mut was = (false, false);
        for (at, (due, missed, load, calls)) in readings.iter().enumerate() {
            let reading = Reading { due: *due, missed: *missed.min(due), load: *load, calls: *calls, ..Reading::default() };
            pace.observe(start + READING_INTERVAL * u32::try_from(at).expect("few"), reading, *calls);
            let is = (pace.is_late(), pace.is_busy());
            let window = &readings[(at + 1).saturating_sub(WINDOW)..=at];
            let hit = window.iter().filter(|(due, missed, ..)| missed.min(due) > &0).count();
            match (was.0, is.0) {
                (false, true) => prop_assert!(hit >= AGAIN && pace.missed() > LIMITS.max_missed),
                (true, false) => prop_assert!(pace.missed() <= LIMITS.max_missed),
                _ => {}
            }
            let load = pace.load_with(calls + 1, 0.9);
            match (was.1, is.1) {
                (false, true) => prop_assert!(load > 0.9, "{load}"),
                (true, false) => prop_assert!(load <= 0.9, "{load}"),
                _ => {}
            }
            prop_assert!((0.0..=1.0).contains(&pace.missed()));
            was = is;
        }
    }
}

#[test]
fn a_pod_without_a_call_takes_one_however_busy_its_cores_are() {
    let mut pace = Pace::new(Some(PaceLimits { max_missed: 0.01, max_load: Some(0.9) }));
    let start = Instant::now();
    for n in 0..20 {
        pace.observe(start + READING_INTERVAL * n, Reading { load: 1.0, ..Reading::default() }, 0);
        assert!(!pace.is_busy() && !pace.would_be_busy(0), "its start, or a neighbour");
    }
    assert!(pace.would_be_busy(1), "and none beside it");
}
