//! The part of Kubernetes that moves pods: Deployment and ReplicaSet controllers, a scheduler, nodes that are drained, and the
//! pods' own way to end. Follows `pkg/controller/deployment/rolling.go` and `pkg/controller/controller_utils.go` of Kubernetes
//! 1.34, but spreads no change of the replicas over old and new pods during a rollout: the new ones get it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt as _};

use crate::calls::Calls;

/// Length of a step.
pub const STEP_SECONDS: usize = 10;

/// The time of a step.
pub fn time_of(step: usize) -> Timestamp {
    let seconds = i64::try_from(step * STEP_SECONDS).unwrap_or(i64::MAX);
    Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// A pod of the model.
#[derive(Clone, Debug)]
pub struct ModelPod {
    /// Stands for its name.
    pub id: u32,
    /// Revision of the Deployment that it is of.
    pub revision: u32,
    /// Its node; none while there is no room.
    pub node: Option<usize>,
    /// Step in which it was created.
    pub created: usize,
    /// Step in which its container runs, once it has a node.
    pub starts: Option<usize>,
    /// What the operator noted on it.
    pub draining_since: Option<Timestamp>,
    /// Whether it bears the operator's mark.
    pub marked: bool,
    /// Since which step it has been draining by its own knowledge.
    pub drains: Option<usize>,
    /// Since which step Kubernetes has been ending it.
    pub terminating: Option<usize>,
    /// Whether Kubernetes knows it as ready: what was true a step ago.
    pub seen_ready: bool,
    /// Its calls.
    pub calls: Calls,
}

impl ModelPod {
    /// Whether its container runs.
    pub fn runs(&self, now: usize) -> bool {
        self.starts.is_some_and(|starts| starts <= now)
    }
}

/// What happened to calls and pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls for which no pod had room.
    pub refused: u64,
    /// Calls that went over to another pod at a deadline.
    pub handed_over: u64,
    /// Calls that ended with their pod, against their callers' will.
    pub cut: u64,
    /// Pods with calls that a ReplicaSet ended outside a rollout before the deadline of their drain: the operator's mistakes.
    pub ended_early: u64,
    /// Pods with calls that were evicted.
    pub evicted: u64,
    /// Longest time, in steps, from a node's cordon until the trunk's last pod had left it.
    pub longest_node_drain: usize,
}

/// One trunk's Deployment and pods, and the nodes.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Calls that a pod takes at a time.
    pub max_per_pod: u32,
    /// Steps from the beginning of a pod's drain to the handover of its calls.
    pub deadline: usize,
    /// Steps that a pod has to end after Kubernetes told it to.
    pub grace: usize,
    /// Number of nodes.
    pub nodes: usize,
    /// Pods of this trunk that a node has room for.
    pub node_room: usize,
    /// Cordoned nodes, each with the step since when.
    pub cordoned: Vec<(usize, usize)>,
    /// `spec.replicas` of the Deployment.
    pub replicas: u32,
    /// `spec.minAvailable` of the disruption budget.
    pub least_ready: u32,
    /// Whether its `spec.unhealthyPodEvictionPolicy` is `IfHealthyBudget`, unless it asks for no pod at all.
    pub holds_unready: bool,
    /// Revision of the Deployment.
    pub revision: u32,
    /// The pods.
    pub pods: Vec<ModelPod>,
    /// Replicas of the ReplicaSets, by revision.
    sets: Vec<u32>,
    next_id: u32,
    /// What happened.
    pub tally: Tally,
}

impl Cluster {
    /// A cluster without pods.
    pub fn new(max_per_pod: u32, deadline: usize, nodes: usize, node_room: usize) -> Self {
        Self {
            max_per_pod,
            deadline,
            grace: deadline + 60 / STEP_SECONDS,
            nodes,
            node_room,
            cordoned: Vec::new(),
            replicas: 0,
            least_ready: 0,
            holds_unready: true,
            revision: 0,
            pods: Vec::new(),
            sets: vec![0],
            next_id: 0,
            tally: Tally::default(),
        }
    }

    /// Whether pods of older revisions are left that nothing is ending yet.
    pub fn rolling_out(&self) -> bool {
        self.sets.len() as u32 != self.revision + 1 || self.live().any(|pod| pod.revision != self.revision)
    }

    /// The pods that Kubernetes is not ending.
    pub fn live(&self) -> impl Iterator<Item = &ModelPod> {
        self.pods.iter().filter(|pod| pod.terminating.is_none())
    }

    /// Calls in progress.
    pub fn active(&self) -> u32 {
        self.pods.iter().map(|pod| pod.calls.active()).sum()
    }

    /// Begins a rollout.
    pub fn roll_out(&mut self) {
        self.revision += 1;
    }

    /// One step of everything but the operator: controllers work, calls end and begin, pods drain.
    pub fn step(&mut self, now: usize, arrivals: impl IntoIterator<Item = usize>, random: &mut impl Rng) {
        // Controllers act within milliseconds on what the operator wrote at the end of the step before.
        self.deploy();
        self.replicate(now);
        self.drain_nodes(now);
        self.schedule(now, random);
        for pod in &mut self.pods {
            pod.calls.end(now);
        }
        self.hand_over(now, random);
        self.admit(now, arrivals, random);
        self.end_pods(now);
        let max_per_pod = self.max_per_pod;
        for pod in &mut self.pods {
            pod.seen_ready = takes_calls(pod, now, max_per_pod);
        }
    }

    /// New calls go to any pod that has room.
    fn admit(&mut self, now: usize, arrivals: impl IntoIterator<Item = usize>, random: &mut impl Rng) {
        let mut open = self.open(now);
        for length in arrivals {
            match self.place(now + length, &mut open, random) {
                true => self.tally.answered += 1,
                false => self.tally.refused += 1,
            }
        }
    }

    /// Pods at their deadline hand their calls over; those that nobody has room for are cut.
    fn hand_over(&mut self, now: usize, random: &mut impl Rng) {
        let mut open = None;
        for index in 0..self.pods.len() {
            let due = self.pods[index].drains.is_some_and(|since| now >= since + self.deadline);
            if due && self.pods[index].calls.active() > 0 {
                for end in self.pods[index].calls.take(now) {
                    let open = open.get_or_insert_with(|| self.open(now));
                    match self.place(end, open, random) {
                        true => self.tally.handed_over += 1,
                        false => self.tally.cut += 1,
                    }
                }
            }
        }
    }

    fn open(&self, now: usize) -> Vec<usize> {
        (0..self.pods.len()).filter(|&index| takes_calls(&self.pods[index], now, self.max_per_pod)).collect()
    }

    fn place(&mut self, end: usize, open: &mut Vec<usize>, random: &mut impl Rng) -> bool {
        if open.is_empty() {
            return false;
        }
        let choice = random.random_range(0..open.len());
        let calls = &mut self.pods[open[choice]].calls;
        calls.begin(end);
        if calls.active() >= self.max_per_pod {
            open.swap_remove(choice);
        }
        true
    }

    /// A pod that was told to end drains by itself; it goes when it is empty, or is killed when its grace is over.
    fn end_pods(&mut self, now: usize) {
        let (grace, cut) = (self.grace, &mut self.tally.cut);
        self.pods.retain_mut(|pod| {
            let Some(since) = pod.terminating else { return true };
            pod.drains.get_or_insert(now);
            let killed = now >= since + grace;
            *cut += if killed { u64::from(pod.calls.active()) } else { 0 };
            pod.calls.active() > 0 && !killed
        });
    }

    /// `kubectl drain` on the cordoned nodes: asks for each pod there, and again in the next step.
    fn drain_nodes(&mut self, now: usize) {
        for (node, since) in self.cordoned.clone() {
            for index in 0..self.pods.len() {
                if self.pods[index].node == Some(node) {
                    self.tally.longest_node_drain = self.tally.longest_node_drain.max(now - since);
                    self.evict(index, now);
                }
            }
        }
    }

    /// Somebody asks for a pod, as node autoscalers do.
    pub fn evict_any(&mut self, now: usize, random: &mut impl Rng) {
        if !self.pods.is_empty() {
            let index = random.random_range(0..self.pods.len());
            self.evict(index, now);
        }
    }

    /// The eviction API, as in `pkg/registry/core/pod/storage/eviction.go`: the budget is not asked about pods that do not run, and does
    /// not count marked ones.
    fn evict(&mut self, index: usize, now: usize) {
        let pod = &self.pods[index];
        if pod.terminating.is_some() {
            return;
        }
        let ready = self.live().filter(|pod| !pod.marked && pod.seen_ready).count();
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let let_go = if pod.marked || !pod.runs(now) {
            true
        } else if pod.seen_ready {
            ready > self.least_ready
        } else {
            self.least_ready == 0 || !self.holds_unready || ready >= self.least_ready
        };
        if let_go {
            self.tally.evicted += u64::from(pod.calls.active() > 0);
            self.pods[index].terminating = Some(now);
        }
    }

    /// The Deployment's controller, with `maxUnavailable: 0` and `maxSurge: 25%`.
    fn deploy(&mut self) {
        self.sets.resize(self.revision as usize + 1, 0);
        let newest = self.revision as usize;
        if self.sets[..newest].iter().all(|&replicas| replicas == 0) {
            self.sets[newest] = self.replicas;
            return;
        }
        let available = |cluster: &Self, revision: usize| {
            let count = cluster.live().filter(|pod| pod.revision as usize == revision && pod.seen_ready).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let total: u32 = self.sets.iter().sum();
        let surge = self.replicas.div_ceil(4);
        let room = (self.replicas + surge).saturating_sub(total);
        self.sets[newest] += room.min(self.replicas.saturating_sub(self.sets[newest]));
        self.sets[newest] = self.sets[newest].min(self.replicas);

        let total: u32 = self.sets.iter().sum();
        let starting = self.sets[newest].saturating_sub(available(self, newest));
        let mut unhealthy = total.saturating_sub(self.replicas + starting);
        for old in 0..newest {
            let broken = self.sets[old].saturating_sub(available(self, old)).min(unhealthy);
            self.sets[old] -= broken;
            unhealthy -= broken;
        }
        let ready: u32 = (0..=newest).map(|revision| available(self, revision)).sum();
        let mut healthy = if total > self.replicas + starting { ready.saturating_sub(self.replicas) } else { 0 };
        for old in 0..newest {
            let gone = self.sets[old].min(healthy);
            self.sets[old] -= gone;
            healthy -= gone;
        }
    }

    /// The ReplicaSets' controller: makes pods that are missing, ends those that are too many in Kubernetes' order.
    fn replicate(&mut self, now: usize) {
        let rolling_out = self.rolling_out();
        for revision in 0..self.sets.len() {
            let wanted = self.sets[revision] as usize;
            let mut order: Vec<usize> = (0..self.pods.len())
                .filter(|&index| {
                    self.pods[index].revision as usize == revision && self.pods[index].terminating.is_none()
                })
                .collect();
            for _ in order.len()..wanted {
                self.create(u32::try_from(revision).unwrap_or(u32::MAX), now);
            }
            if order.len() <= wanted {
                continue;
            }
            order.sort_by_key(|&index| {
                let pod = &self.pods[index];
                let together =
                    self.live().filter(|other| other.node == pod.node && other.revision == pod.revision).count();
                let cost = if pod.marked { -1000 } else { 0 };
                let youngest = std::cmp::Reverse(pod.created);
                (pod.node.is_some(), pod.runs(now), pod.seen_ready, cost, std::cmp::Reverse(together), youngest)
            });
            let surplus = order.len() - wanted;
            for &index in &order[..surplus] {
                let pod = &mut self.pods[index];
                let deadline =
                    SignedDuration::from_secs(i64::try_from(self.deadline * STEP_SECONDS).unwrap_or(i64::MAX));
                let had_its_time =
                    pod.draining_since.is_some_and(|since| time_of(now).duration_since(since) >= deadline);
                if pod.calls.active() > 0 && !had_its_time && !rolling_out {
                    self.tally.ended_early += 1;
                }
                pod.terminating = Some(now);
            }
        }
    }

    fn create(&mut self, revision: u32, now: usize) {
        self.next_id += 1;
        self.pods.push(ModelPod {
            id: self.next_id,
            revision,
            node: None,
            created: now,
            starts: None,
            draining_since: None,
            marked: false,
            drains: None,
            terminating: None,
            seen_ready: false,
            calls: Calls::default(),
        });
    }

    /// The scheduler: the emptiest node that is not cordoned. A pod runs 20 to 40 seconds later.
    fn schedule(&mut self, now: usize, random: &mut impl Rng) {
        if self.pods.iter().all(|pod| pod.node.is_some()) {
            return;
        }
        let cordoned: BTreeSet<usize> = self.cordoned.iter().map(|&(node, _)| node).collect();
        let mut room = vec![self.node_room; self.nodes];
        for node in self.pods.iter().filter_map(|pod| pod.node) {
            room[node] = room[node].saturating_sub(1);
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.node.is_none() && pod.terminating.is_none()) {
            let free = (0..self.nodes).filter(|node| !cordoned.contains(node) && room[*node] > 0);
            if let Some(node) = free.max_by_key(|&node| room[node]) {
                room[node] -= 1;
                pod.node = Some(node);
                pod.starts = Some(now + random.random_range(2..=4));
            }
        }
    }
}

fn takes_calls(pod: &ModelPod, now: usize, max_per_pod: u32) -> bool {
    pod.runs(now) && pod.drains.is_none() && pod.terminating.is_none() && pod.calls.active() < max_per_pod
}
