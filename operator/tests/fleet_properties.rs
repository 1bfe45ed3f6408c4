//! What holds over any course of events: trunks with random wishes, loads, faults, rollouts and drained nodes live through hours
//! of the model, and each decision is judged by what the operator saw.

use jiff::SignedDuration;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use fleet_simulation::{Chance, Cluster, Lengths, Plan, STEP_SECONDS, Trunk};
use sofia_operator::fleet::decide::{Decision, FleetView, Memory, PodView, Wish, decide};
use sofia_operator::fleet::removal::may_go;

const MINUTE: usize = 60 / STEP_SECONDS;
const HOUR: usize = 60 * MINUTE;
const DEADLINE_MINUTES: usize = 5;
const NODES: usize = 4;

/// What happens to a trunk.
#[derive(Clone, Debug)]
struct Story {
    wish: Wish,
    up_seconds: i64,
    down_seconds: i64,
    /// Calls expected in a step, each for a part of the time.
    loads: Vec<f64>,
    chance: Chance,
    node_room: usize,
    rollouts: Vec<usize>,
    /// Nodes that are cordoned from a step on, for so many steps.
    cordons: Vec<(usize, usize, usize)>,
    max_evicted_percent: u32,
    seed: u64,
}

const STEPS: usize = 3 * HOUR;

impl Story {
    fn trunk(&self) -> Trunk {
        let plan = Plan {
            wish: self.wish,
            scale_up_stabilization: SignedDuration::from_secs(self.up_seconds),
            scale_down_stabilization: SignedDuration::from_secs(self.down_seconds),
            drain_deadline: SignedDuration::from_mins(DEADLINE_MINUTES as i64),
            max_evicted_percent: self.max_evicted_percent,
        };
        Trunk {
            plan,
            chance: self.chance,
            cluster: Cluster::new(20, DEADLINE_MINUTES * MINUTE, NODES, self.node_room),
            lengths: Lengths { mean_seconds: 180.0, sigma: 1.0 },
            memory: Memory::default(),
        }
    }

    /// Lives through it. `judge` sees each step's view and decision.
    fn live(&self, mut judge: impl FnMut(&FleetView, &Decision)) -> Trunk {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut trunk = self.trunk();
        for step in 0..STEPS {
            if self.rollouts.contains(&step) {
                trunk.cluster.roll_out();
            }
            let cordoned = |&&(_, since, lasts): &&(usize, usize, usize)| (since..since + lasts).contains(&step);
            trunk.cluster.cordoned =
                self.cordons.iter().filter(cordoned).map(|&(node, since, _)| (node, since)).collect();
            let load = self.loads[step * self.loads.len() / STEPS];
            let (view, decision) = trunk.step(step, load, &mut random);
            judge(&view, &decision);
        }
        trunk
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    let sessions = (1..4_u32, 0..20_u32, 1..=20_u32, 0..30_u32)
        .prop_map(|(min, more, target, buffer)| Wish::Sessions { min, max: min + more, target, buffer });
    prop_oneof![3 => sessions, 1 => (0..12_u32).prop_map(Wish::Replicas)]
}

fn chances() -> impl Strategy<Value = Chance> {
    let chance = || prop_oneof![2 => Just(0.0), 1 => 0.0..0.3];
    let evictions = prop_oneof![Just(0.0), Just(0.05), Just(0.5)];
    (chance(), chance(), prop_oneof![Just(0.0), Just(0.01)], evictions).prop_map(
        |(silent_pod, failed_action, restart, eviction)| Chance { silent_pod, failed_action, restart, eviction },
    )
}

fn stories() -> impl Strategy<Value = Story> {
    let loads = prop::collection::vec(prop_oneof![Just(0.0), 0.0..15.0], 1..8);
    let rollouts = prop::collection::vec(0..STEPS, 0..3);
    let cordons = prop::collection::vec((0..NODES, 0..STEPS, 1..HOUR), 0..4);
    let room = prop_oneof![Just(2_usize), Just(6), Just(100)];
    (
        wishes(),
        prop_oneof![Just(0), Just(60)],
        prop_oneof![Just(0), Just(120), Just(300)],
        loads,
        chances(),
        room,
        rollouts,
        (cordons, prop_oneof![3 => Just(25_u32), 1 => 0..=100_u32]),
        any::<u64>(),
    )
        .prop_map(
            |(wish, up_seconds, down_seconds, loads, chance, node_room, rollouts, (cordons, percent), seed)| Story {
                wish,
                up_seconds,
                down_seconds,
                loads,
                chance,
                node_room,
                rollouts,
                cordons,
                max_evicted_percent: percent,
                seed,
            },
        )
}

/// Nothing goes wrong, nothing but the load changes.
fn calm(wish: Wish, load: f64, seed: u64) -> Story {
    Story {
        wish,
        up_seconds: 0,
        down_seconds: 300,
        loads: vec![load],
        chance: Chance::default(),
        node_room: 100,
        rollouts: Vec::new(),
        cordons: Vec::new(),
        max_evicted_percent: 25,
        seed,
    }
}

fn named<'a>(view: &'a FleetView, name: &str) -> &'a PodView {
    view.pods.iter().find(|pod| pod.name == name).expect("a decision names pods that were seen")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_decision_keeps_to_the_rules(story in stories()) {
        let trunk = story.live(|view, decision| {
            // The bounds hold for the pods that serve; during a rollout none is given up for them.
            match view.wish {
                Wish::Sessions { min, max, .. } => {
                    assert!(decision.serving >= min, "{decision:?}");
                    assert!(decision.serving <= max || view.rolling_out, "{decision:?}");
                }
                Wish::Replicas(wanted) => {
                    assert!(decision.serving == wanted || view.rolling_out && decision.serving > wanted, "{decision:?}");
                }
            }
            let live = || view.pods.iter().filter(|pod| !pod.terminating);
            // Pods that drain and may not go yet are on top of those that serve, or they would be gone.
            let held = live().filter(|pod| pod.draining_since.is_some() && !may_go(pod, view)).count();
            assert!(decision.replicas as usize >= decision.serving as usize + held, "{decision:?} with {held} held");
            // Marked, deleted, or lowered by: only what has nothing to lose.
            for name in &decision.mark {
                assert!(may_go(named(view, name), view), "{name} is marked: {view:?}");
            }
            for name in &decision.delete {
                let pod = named(view, name);
                assert!(pod.marked && may_go(pod, view), "{name} is deleted: {view:?}");
            }
            for name in &decision.unmark {
                let pod = named(view, name);
                assert!(pod.marked && pod.figures.is_some() && !may_go(pod, view), "{name} is unmarked: {view:?}");
            }
            let free = live().filter(|pod| pod.marked && may_go(pod, view)).count();
            let before = view.replicas.expect("the model has a Deployment") as usize;
            let unmade = before.saturating_sub(live().count());
            assert!(decision.replicas as usize + free.max(unmade) >= before, "{before} → {decision:?}");
            // Nobody is drained who drains by their own word.
            for name in &decision.drain {
                let pod = named(view, name);
                let knows = pod.figures.is_some_and(|figures| figures.draining) && pod.draining_since.is_some();
                assert!(!knows && !pod.terminating, "{name} is drained again: {view:?}");
            }
        });
        prop_assert_eq!(trunk.cluster.tally.ended_early, 0, "a ReplicaSet took a pod with calls");
    }

    #[test]
    fn the_same_view_decides_the_same_again_at_any_time(story in stories()) {
        let mut random = StdRng::seed_from_u64(story.seed);
        let mut trunk = story.trunk();
        for step in 0..HOUR {
            let (view, _) = trunk.step(step, story.loads[0], &mut random);
            let again = decide(&view, &mut trunk.memory);
            prop_assert_eq!(&decide(&view, &mut trunk.memory), &again);
        }
    }

    #[test]
    fn no_call_is_cut_where_there_is_room_for_it(story in stories(), load in 0.0..15.0) {
        let wish = Wish::Sessions { min: 2, max: 1000, target: 14, buffer: 20 };
        // Who lets all pods be evicted together may have none left to hand over to.
        let max_evicted_percent = story.max_evicted_percent.min(25);
        let story =
            Story { wish, loads: vec![load], node_room: 100, cordons: Vec::new(), max_evicted_percent, ..story };
        prop_assert_eq!(story.live(|_, _| {}).cluster.tally.cut, 0);
    }

    #[test]
    fn a_fleet_that_does_as_it_is_told_comes_to_rest(story in stories(), wish in wishes()) {
        // Whatever happened before, two hours without any call or fault are enough.
        let mut random = StdRng::seed_from_u64(story.seed);
        let mut trunk = story.live(|_, _| {});
        trunk.plan.wish = wish;
        trunk.chance = Chance::default();
        trunk.cluster.cordoned.clear();
        trunk.cluster.node_room = 100;
        let mut last = None;
        for step in STEPS..STEPS + 3 * HOUR {
            let (view, decision) = trunk.step(step, 0.0, &mut random);
            if step >= STEPS + 2 * HOUR {
                prop_assert!(decision.drain.is_empty() && decision.mark.is_empty());
                prop_assert!(decision.unmark.is_empty() && decision.delete.is_empty());
                prop_assert_eq!(decision.replicas, decision.serving);
                prop_assert_eq!(view.pods.len(), decision.serving as usize);
                prop_assert_eq!(last.get_or_insert(decision.clone()), &decision);
            }
        }
        let rest = last.expect("it rested").serving;
        match wish {
            Wish::Replicas(wanted) => prop_assert_eq!(rest, wanted),
            Wish::Sessions { min, max, target, buffer } => prop_assert_eq!(rest, buffer.div_ceil(target).clamp(min, max)),
        }
    }

    #[test]
    fn a_load_that_only_jitters_turns_the_fleet_round_once_a_window_at_most(load in 1.0..15.0, seed in any::<u64>()) {
        let wish = Wish::Sessions { min: 1, max: 1000, target: 10, buffer: 5 };
        let (mut turns, mut last, mut falling) = (0, None, false);
        calm(wish, load, seed).live(|_, decision| {
            let before = last.replace(decision.serving).unwrap_or(decision.serving);
            if decision.serving != before && (decision.serving < before) != falling {
                falling = !falling;
                turns += 1;
            }
        });
        // Down only after five minutes without more, so down and up again take five minutes at least.
        prop_assert!(turns <= 2 * STEPS / (5 * MINUTE), "{turns} turns");
    }

    #[test]
    fn cordoned_nodes_become_empty_where_others_have_room(load in 0.0..15.0, seed in any::<u64>(), node in 0..NODES) {
        let wish = Wish::Sessions { min: 2, max: 1000, target: 14, buffer: 20 };
        let cordoned = Story { cordons: vec![(node, HOUR, HOUR)], ..calm(wish, load, seed) };
        let tally = cordoned.live(|_, _| {}).cluster.tally;
        // The replacements' start, the drain to its deadline, and a few passes of the operator.
        prop_assert!(tally.longest_node_drain <= (DEADLINE_MINUTES + 3) * MINUTE, "{tally:?}");
        prop_assert_eq!((tally.cut, tally.ended_early), (0, 0));
    }

    #[test]
    fn with_every_node_cordoned_callers_are_still_answered(load in 0.1..15.0, seed in any::<u64>()) {
        let wish = Wish::Sessions { min: 2, max: 1000, target: 14, buffer: 100 };
        let cordons = (0..NODES).map(|node| (node, HOUR, STEPS)).collect();
        let mut serving = Vec::new();
        let tally = Story { cordons, ..calm(wish, load, seed) }
            .live(|view, _| {
                let serves = |pod: &&PodView| pod.figures.is_some_and(|figures| !figures.draining);
                serving.push(view.pods.iter().filter(serves).count());
            })
            .cluster
            .tally;
        prop_assert!(serving[MINUTE..].iter().all(|&pods| pods > 0));
        prop_assert_eq!(tally.cut, 0);
    }
}
