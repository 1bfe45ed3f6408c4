//! One trunk of the model, with its operator: what the operator would see is put into a view, and what it decides is done.

use futures_util::FutureExt as _;
use jiff::SignedDuration;
use rand::{Rng, RngExt as _};

use crate::calls::{Lengths, poisson};
use crate::cluster::{Cluster, ModelPod, time_of};
use sofia_operator::fleet::decide::{Decision, FleetView, Memory, PodView, Standing, Wish, decide};
use sofia_operator::fleet::eviction::least_ready;
use sofia_operator::fleet::execute::{Hands, Size, execute};
use sofia_operator::fleet::scrape::PodFigures;

/// What a trunk asks for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Who sets the number of pods.
    pub wish: Wish,
    /// How long more pods must have been wanted before they are added.
    pub scale_up_stabilization: SignedDuration,
    /// How long fewer pods must have been wanted before any is drained.
    pub scale_down_stabilization: SignedDuration,
    /// How long a pod's calls may run on after its drain began; at least a step.
    pub drain_deadline: SignedDuration,
    /// How many of the serving pods may be evicted at a time, in percent.
    pub max_evicted_percent: u32,
}

/// What goes wrong between operator and cluster, each with its probability at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chance {
    /// A pod can't be asked.
    pub silent_pod: f64,
    /// Something that was decided does not get done.
    pub failed_action: f64,
    /// The operator loses its memory.
    pub restart: f64,
    /// Somebody asks for a pod to be evicted, whatever its node.
    pub eviction: f64,
}

/// One trunk with its operator.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// What it asks for.
    pub plan: Plan,
    /// What goes wrong.
    pub chance: Chance,
    /// Its pods.
    pub cluster: Cluster,
    /// How long its calls last.
    pub lengths: Lengths,
    /// What its operator remembers.
    pub memory: Memory,
}

impl Trunk {
    /// One step: `calls` are expected to arrive. Gives what the operator saw, and what it decided.
    pub fn step(&mut self, now: usize, calls: f64, random: &mut (impl Rng + Send)) -> (FleetView, Decision) {
        let lengths: Vec<usize> = (0..poisson(calls, random)).map(|_| self.lengths.draw(random)).collect();
        self.cluster.step(now, lengths, random);
        if self.chance.eviction > 0.0 && random.random_bool(self.chance.eviction) {
            self.cluster.evict_any(now, random);
        }
        if self.chance.restart > 0.0 && random.random_bool(self.chance.restart) {
            self.memory = Memory::default();
        }
        let view = self.view(now, random);
        let decision = decide(&view, &mut self.memory);
        let mut hands = ModelHands {
            cluster: &mut self.cluster,
            max_evicted_percent: self.plan.max_evicted_percent,
            failure: self.chance.failed_action,
            now,
            random,
        };
        execute(&decision, &mut hands).now_or_never().expect("nothing in the model waits");
        (view, decision)
    }

    fn view(&self, now: usize, random: &mut impl Rng) -> FleetView {
        let Plan { wish, scale_up_stabilization, scale_down_stabilization, drain_deadline, max_evicted_percent: _ } =
            self.plan;
        FleetView {
            now: time_of(now),
            wish,
            max_per_pod: self.cluster.max_per_pod,
            scale_up_stabilization,
            scale_down_stabilization,
            drain_deadline,
            replicas: Some(self.cluster.replicas),
            rolling_out: self.cluster.rolling_out(),
            pods: self.cluster.pods.iter().map(|pod| self.pod(pod, now, random)).collect(),
        }
    }

    fn pod(&self, pod: &ModelPod, now: usize, random: &mut impl Rng) -> PodView {
        let running = pod.runs(now);
        let silent = self.chance.silent_pod > 0.0 && random.random_bool(self.chance.silent_pod);
        let (active, capacity, draining) = (pod.calls.active(), self.cluster.max_per_pod, pod.drains.is_some());
        let figures = PodFigures { active, capacity, accepting: !draining && active < capacity, draining };
        PodView {
            name: name(pod),
            created: time_of(pod.created),
            started: pod.starts.filter(|_| running).map(time_of),
            running,
            standing: match (pod.node, running, pod.seen_ready) {
                (None, ..) => Standing::Unscheduled,
                (_, false, _) => Standing::Pending,
                (_, true, false) => Standing::NotReady,
                (_, true, true) => Standing::Ready,
            },
            terminating: pod.terminating.is_some(),
            node_leaving: pod.node.is_some_and(|node| self.cluster.cordoned.iter().any(|&(other, _)| other == node)),
            current_revision: pod.revision == self.cluster.revision,
            draining_since: pod.draining_since,
            marked: pod.marked,
            figures: (running && !silent).then_some(figures),
        }
    }
}

/// The operator's hands in the model: what they do may fail.
struct ModelHands<'a, R> {
    cluster: &'a mut Cluster,
    max_evicted_percent: u32,
    failure: f64,
    now: usize,
    random: &'a mut R,
}

impl<R: Rng> ModelHands<'_, R> {
    fn each(&mut self, names: &[String], act: impl Fn(&mut ModelPod, &mut dyn FnMut() -> bool)) {
        let (failure, random) = (self.failure, &mut *self.random);
        let mut done = || failure == 0.0 || !random.random_bool(failure);
        for pod in &mut self.cluster.pods {
            if !names.is_empty() && names.binary_search(&name(pod)).is_ok() && done() {
                act(pod, &mut done);
            }
        }
    }
}

impl<R: Rng + Send> Hands for ModelHands<'_, R> {
    async fn unmark(&mut self, pods: &[String]) {
        self.each(pods, |pod, _| pod.marked = false);
    }

    async fn mark(&mut self, pods: &[String]) {
        self.each(pods, |pod, _| pod.marked = true);
    }

    async fn resize(&mut self, size: Size) {
        if self.failure == 0.0 || !self.random.random_bool(self.failure) {
            self.cluster.replicas = size.replicas;
            self.cluster.least_ready = least_ready(size.serving, self.max_evicted_percent);
            self.cluster.holds_unready = size.crowded || self.max_evicted_percent == 0;
        }
    }

    async fn drain(&mut self, pods: &[String]) {
        let now = self.now;
        self.each(pods, |pod, done| {
            pod.draining_since.get_or_insert(time_of(now));
            // What is noted and what the pod knows are two requests.
            if pod.runs(now) && done() {
                pod.drains.get_or_insert(now);
            }
        });
    }

    async fn delete(&mut self, pods: &[String]) {
        let now = self.now;
        self.each(pods, |pod, _| {
            pod.terminating.get_or_insert(now);
        });
    }
}

fn name(pod: &ModelPod) -> String {
    // With zeros before, so that names sort as the numbers do.
    format!("pod-{:08}", pod.id)
}
