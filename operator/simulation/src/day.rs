//! A day of many trunks: two busy spells, a quiet night, bursts, a rollout at noon, nodes drained one after the other by night
//! and a few by day. The same seed gives the same day, on however many processors.

use std::f64::consts::TAU;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::calls::{Lengths, poisson};
use crate::cluster::{Cluster, STEP_SECONDS, Tally};
use crate::trunk::{Chance, Plan, Trunk};
use sofia_operator::fleet::decide::{Memory, Wish};
use sofia_operator::fleet::wish::bounded;

/// Steps of a day.
const STEPS: usize = 24 * HOUR;
/// Steps of the evening before, which is not counted: the day begins with calls in progress.
const EVE: usize = 2 * HOUR;
const HOUR: usize = 3600 / STEP_SECONDS;
const MINUTE: usize = 60 / STEP_SECONDS;

const MIN_PODS: u32 = 2;
const MAX_PODS: u32 = 1000;
const TARGET: u32 = 70;
const BUFFER: u32 = 10;
const MAX_PER_POD: u32 = 100;
const DRAIN_DEADLINE: SignedDuration = SignedDuration::from_mins(9);
const NODES: usize = 60;

/// What is simulated. What is not named here is as in a `VoiceTrunk` that says nothing of it, but for the greatest number of
/// pods, which is never reached.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Number of trunks. Their sizes differ lognormally: a few are hundreds of times larger than most.
    pub trunks: usize,
    /// Calls at a time, over all trunks, at the busiest hour.
    pub peak_calls: f64,
    /// What makes the day this one.
    pub seed: u64,
    /// Processors that are used.
    pub threads: usize,
}

/// What a day came to.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What happened to calls and pods.
    pub tally: Tally,
    /// Times that the number of serving pods of a trunk was raised.
    pub raised: u64,
    /// Times that it was lowered.
    pub lowered: u64,
    /// Decisions that were taken.
    pub decisions: u64,
    /// Calls in progress, by step.
    pub calls: Vec<u32>,
    /// Pods there were, those that drain, start and end included, by step.
    pub pods: Vec<u32>,
    /// Pods that would do: calls by the target, rounded up for each trunk, by step.
    pub ideal: Vec<u32>,
    /// Pods that the trunks ask for, with their least number and their buffer, by step.
    pub asked: Vec<u32>,
    /// Pods it would take all day without any scaling: what each trunk asks for at its busiest.
    pub unscaled: u64,
}

/// One trunk's share of the day.
struct Demand {
    /// Calls at a time at its busiest, bursts apart.
    peak: f64,
    /// By how many steps its clock is ahead.
    shift: f64,
}

/// Lives through the day.
pub fn run(day: &Day) -> Picture {
    let demands = demands(day);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut picture = Picture::empty();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(demand) = demands.get(index) else { return picture };
            live(day, index, demand, &mut picture);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..day.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().fold(Picture::empty(), |mut sum, thread| {
            sum.add(&thread.join().expect("a trunk's day does not panic"));
            sum
        })
    })
}

/// How the trunks share the calls. Their sum has the day's peak.
fn demands(day: &Day) -> Vec<Demand> {
    let mut random = StdRng::seed_from_u64(day.seed);
    let mut demands: Vec<Demand> = (0..day.trunks)
        .map(|_| {
            // Twelve uniform numbers are as good as a normal one here.
            let normal = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
            Demand { peak: (1.3 * normal).exp(), shift: (random.random::<f64>() - 0.5) * 3.0 * HOUR as f64 }
        })
        .collect();
    let sum = |step: usize| demands.iter().map(|demand| demand.peak * demand.shape(step)).sum::<f64>();
    let busiest = (0..STEPS).step_by(10 * MINUTE).map(sum).fold(f64::MIN_POSITIVE, f64::max);
    for demand in &mut demands {
        demand.peak *= day.peak_calls / busiest;
    }
    demands
}

impl Demand {
    /// Share of the peak at a step: busy at half past ten and at three, quiet before dawn.
    fn shape(&self, step: usize) -> f64 {
        let hour = (step as f64 + self.shift) / HOUR as f64;
        let spell = |at: f64, width: f64| {
            // The day before and the day after belong to it.
            let distance = (hour - at + 36.0).rem_euclid(24.0) - 12.0;
            (-(distance / width).powi(2)).exp()
        };
        let weekday = 0.92 * spell(10.5, 2.2) + 0.95 * spell(15.0, 2.6) + 0.25 * spell(20.0, 2.0);
        0.04 + 0.01 * (TAU * hour / 24.0).sin() + weekday
    }
}

/// A burst: for a while there come several times as many calls.
struct Burst {
    begins: usize,
    lasts: usize,
    factor: f64,
}

fn live(day: &Day, index: usize, demand: &Demand, picture: &mut Picture) {
    let mut random = StdRng::seed_from_u64(day.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64));
    let lengths = Lengths { mean_seconds: 180.0, sigma: 1.0 };
    let bursts: Vec<Burst> = (0..poisson(2.0, &mut random))
        .map(|_| Burst {
            begins: random.random_range(7 * HOUR..21 * HOUR),
            lasts: random.random_range(5 * MINUTE..20 * MINUTE),
            factor: random.random_range(1.5..3.0),
        })
        .collect();
    let wish = Wish::Sessions { min: MIN_PODS, max: MAX_PODS, target: TARGET, buffer: BUFFER };
    let plan = Plan {
        wish,
        scale_up_stabilization: SignedDuration::ZERO,
        scale_down_stabilization: SignedDuration::from_mins(5),
        drain_deadline: DRAIN_DEADLINE,
        max_evicted_percent: 25,
    };
    let deadline = usize::try_from(DRAIN_DEADLINE.as_secs()).unwrap_or(0) / STEP_SECONDS;
    let mut trunk = Trunk {
        plan,
        chance: Chance {
            silent_pod: 0.002,
            failed_action: 0.002,
            restart: 1.0 / (6 * HOUR) as f64,
            eviction: 0.5 / HOUR as f64,
        },
        cluster: Cluster::new(MAX_PER_POD, deadline, NODES, usize::MAX),
        lengths,
        memory: Memory::default(),
    };
    let (mut serving, mut most_asked) = (None, 0);
    let calls = |demand: &Demand, clock: usize| {
        let burst = |burst: &Burst| {
            if (burst.begins..burst.begins + burst.lasts).contains(&clock) { burst.factor } else { 1.0 }
        };
        let rate = demand.peak * demand.shape(clock) / lengths.mean_seconds;
        rate * bursts.iter().map(burst).product::<f64>() * STEP_SECONDS as f64
    };
    for step in 0..EVE {
        trunk.step(step, calls(demand, STEPS - EVE + step), &mut random);
    }
    trunk.cluster.tally = Tally::default();
    for step in 0..STEPS {
        // Trunk after trunk within ten minutes, as an operator's new release would have it.
        if step == 12 * HOUR + index % (10 * MINUTE) {
            trunk.cluster.roll_out();
        }
        trunk.cluster.cordoned = cordoned(step);
        let (_, decision) = trunk.step(EVE + step, calls(demand, step), &mut random);

        let calls = trunk.cluster.active();
        let asked = bounded(wish, (calls + BUFFER).div_ceil(TARGET));
        most_asked = most_asked.max(asked);
        picture.calls[step] += calls;
        picture.pods[step] += u32::try_from(trunk.cluster.pods.len()).unwrap_or(u32::MAX);
        picture.ideal[step] += calls.div_ceil(TARGET);
        picture.asked[step] += asked;
        let before = serving.replace(decision.serving).unwrap_or(decision.serving);
        picture.raised += u64::from(decision.serving > before);
        picture.lowered += u64::from(decision.serving < before);
        picture.decisions += 1;
    }
    picture.unscaled += u64::from(most_asked);
    picture.tally.add(&trunk.cluster.tally);
}

/// Nodes that are being drained at a step of the day, with the step since when, counted from the eve: by night all of them one
/// after the other, by day a few.
fn cordoned(step: usize) -> Vec<(usize, usize)> {
    let lasts = 25 * MINUTE;
    let by_night = (0..NODES).map(|node| (node, 2 * HOUR + node * 4 * MINUTE));
    let by_day = [(7, 9 * HOUR), (23, 11 * HOUR), (42, 12 * HOUR + 3 * MINUTE), (11, 15 * HOUR), (30, 19 * HOUR)];
    by_night
        .chain(by_day)
        .filter(|&(_, since)| (since..since + lasts).contains(&step))
        .map(|(node, since)| (node, EVE + since))
        .collect()
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.handed_over += other.handed_over;
        self.cut += other.cut;
        self.ended_early += other.ended_early;
        self.evicted += other.evicted;
        self.longest_node_drain = self.longest_node_drain.max(other.longest_node_drain);
    }
}

impl Picture {
    fn empty() -> Self {
        let zeros = || vec![0; STEPS];
        Self { calls: zeros(), pods: zeros(), ideal: zeros(), asked: zeros(), ..Self::default() }
    }

    fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.raised += other.raised;
        self.lowered += other.lowered;
        self.decisions += other.decisions;
        self.unscaled += other.unscaled;
        for (sums, others) in [
            (&mut self.calls, &other.calls),
            (&mut self.pods, &other.pods),
            (&mut self.ideal, &other.ideal),
            (&mut self.asked, &other.asked),
        ] {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Day = Day { trunks: 12, peak_calls: 1500.0, seed: 7, threads: 2 };

    #[test]
    fn a_day_cuts_no_call_and_wastes_few_pods() {
        let picture = run(&SMALL);
        let Tally { answered, refused, handed_over, cut, ended_early, evicted, longest_node_drain } = picture.tally;
        assert!(answered > 100_000, "{answered} calls are no day");
        assert_eq!((cut, ended_early), (0, 0));
        assert!(evicted > 40, "{evicted} pods with calls were evicted");
        assert!(handed_over > 0, "the rollout and the drained nodes have calls beyond their deadline");
        assert!(refused * 1000 < answered, "{refused} refused");
        assert!(longest_node_drain <= 12 * MINUTE, "{longest_node_drain} steps to drain a node");
        let pods: u64 = picture.pods.iter().copied().map(u64::from).sum();
        let asked: u64 = picture.asked.iter().copied().map(u64::from).sum();
        assert!(pods * 100 < asked * 125, "{pods} pod-steps, where {asked} were asked for");
        assert!(picture.lowered > 0 && picture.raised > 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_day_on_any_number_of_processors() {
        let day = Day { trunks: 3, peak_calls: 300.0, ..SMALL };
        let (one, two) = (run(&Day { threads: 1, ..day }), run(&day));
        assert_eq!((one.tally, one.pods, one.decisions), (two.tally, two.pods, two.decisions));
    }
}
