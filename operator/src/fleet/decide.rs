//! How many pods there shall be and which one goes: a pure function of what is known of the fleet. Asks nothing, changes nothing.
//!
//! The Deployment has as many replicas as there are serving pods, pods that drain, and pods on nodes that go away. A pod that
//! goes takes these steps, each decided from what the one before it left behind in the cluster, so that an operator that dies
//! between two steps leaves nothing undone:
//!
//! 1. chosen: in [`Decision::drain`]; the operator notes the time on it and tells it to drain. It serves no more, and there is no
//!    way back.
//! 2. empty by its own word, or past its deadline: in [`Decision::mark`]; it gets the lowest deletion cost, and may be evicted.
//! 3. marked: [`Decision::replicas`] falls by as many as [`removal`] finds at the front of the ReplicaSet's order. Those that
//!    stay behind other pods for long, or that hinder a rollout, are in [`Decision::delete`].
//!
//! More pods than are chosen may be wanted at any time: the replicas rise at once. During a rollout no scale-down is begun, since
//! Kubernetes itself is replacing every pod; drains that began go on.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::scrape::PodFigures;
use super::stabilize::Stabilizer;
use super::wish;
use super::{leaving, removal};

/// How long what hinders the replicas from being lowered may last before it is dealt with: longer than a pod takes to be made, to
/// start or to be found not ready, and than any cache lags.
const PATIENCE: SignedDuration = SignedDuration::from_secs(45);

/// How long after a pod last refused calls the fleet counts as crowded: so long that one that is full now and then does not make the
/// budget change with each call.
const CROWDED: SignedDuration = SignedDuration::from_mins(10);

/// How far a pod has come, in the order in which a ReplicaSet deletes; see [`removal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It has no node yet.
    Unscheduled,
    /// It has a node and does not run yet.
    Pending,
    /// Its node does not say.
    Unknown,
    /// It runs and is not ready: full, draining, starting or broken.
    NotReady,
    /// It is ready.
    Ready,
}

/// What is known of one data-plane pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Since when its container runs, if it does.
    pub started: Option<Timestamp>,
    /// Whether it has a node and its container runs. One that does not can have no calls.
    pub running: bool,
    /// Where a ReplicaSet ranks it among those to delete.
    pub standing: Standing,
    /// Whether Kubernetes is ending it (it has a deletion timestamp).
    pub terminating: bool,
    /// Whether its node is cordoned, or tainted because it is going away.
    pub node_leaving: bool,
    /// Whether it is of the Deployment's newest revision.
    pub current_revision: bool,
    /// Since when the operator has been draining it (its annotation).
    pub draining_since: Option<Timestamp>,
    /// Whether it bears the mark of a drained pod and its deletion cost.
    pub marked: bool,
    /// What it says of itself; nothing when it could not be asked, which counts as busy.
    pub figures: Option<PodFigures>,
}

/// Who sets the number of pods, with the bounds that hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The operator, from the pods' figures.
    Sessions {
        /// Least number of pods.
        min: u32,
        /// Greatest number of pods.
        max: u32,
        /// Calls that a pod shall have on average.
        target: u32,
        /// Room for calls beyond those in progress.
        buffer: u32,
    },
    /// A user or an autoscaler: this number.
    Replicas(u32),
}

/// What a decision is made from.
#[derive(Clone, Debug)]
pub struct FleetView {
    /// Now.
    pub now: Timestamp,
    /// Who sets the number of pods.
    pub wish: Wish,
    /// Calls that a pod takes at a time, for pods that could not be asked.
    pub max_per_pod: u32,
    /// How long more pods must have been wanted before they are added.
    pub scale_up_stabilization: SignedDuration,
    /// How long fewer pods must have been wanted before any is drained.
    pub scale_down_stabilization: SignedDuration,
    /// How long a pod's calls may run on after its drain began.
    pub drain_deadline: SignedDuration,
    /// Replicas of the Deployment as it is; none before it exists.
    pub replicas: Option<u32>,
    /// Whether the Deployment is in the middle of a rollout.
    pub rolling_out: bool,
    /// Every pod of the fleet, also those that Kubernetes is ending; not those that have ended.
    pub pods: Vec<PodView>,
}

/// What shall be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Replicas that the Deployment shall have: those that serve and those that are going.
    pub replicas: u32,
    /// How many of them shall serve, those on leaving nodes not counted.
    pub serving: u32,
    /// Pods that shall be drained from now on, or asked again because they don't know yet.
    pub drain: Vec<String>,
    /// Pods that are drained and empty, or past their deadline: to be marked before the replicas are lowered.
    pub mark: Vec<String>,
    /// Pods that bear the mark and have calls: one that did not run yet when it was marked, or whose container was restarted. The
    /// mark shall be taken off, label and cost, until they are empty again.
    pub unmark: Vec<String>,
    /// Marked pods that shall be deleted by name, because lowering the replicas would take others.
    pub delete: Vec<String>,
    /// Whether pods have been full, or late, lately: some that are not ready have calls then, and are not let go together.
    pub crowded: bool,
}

/// What is remembered between the decisions about one fleet. Lost with the operator's leadership, which only delays what takes
/// pods away.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    wanted: Stabilizer,
    /// Pods that were chosen: one whose annotation is not seen yet must not be chosen a second time in the shape of another pod.
    chosen: BTreeMap<String, Timestamp>,
    leaving: leaving::LeavingSince,
    /// Since when marked pods have been waiting behind others.
    blocked: Option<Timestamp>,
    /// Since when the Deployment has had fewer pods than replicas.
    short: Option<Timestamp>,
    /// When a pod that serves last refused calls.
    refused: Option<Timestamp>,
}

/// Decides.
pub fn decide(view: &FleetView, memory: &mut Memory) -> Decision {
    memory.chosen.retain(|name, _| view.pods.iter().any(|pod| pod.name == *name && !pod.terminating));
    let live: Vec<&PodView> = view.pods.iter().filter(|pod| !pod.terminating).collect();
    let (draining, others): (Vec<&PodView>, Vec<&PodView>) =
        live.iter().partition(|pod| pod.draining_since.is_some() || memory.chosen.contains_key(&pod.name));

    let counts = Counts::of(view, &live, &draining, &others);
    let serving = serving(view, counts.serving, memory);
    let missing = counts.missing(memory, view.now);

    // Pods that do not exist yet make up for a surplus before any that does.
    let surplus = counts.serving.unwrap_or(0).saturating_sub(serving);
    let chosen = surplus_pods(&others, surplus.saturating_sub(missing.now));
    let staying: Vec<&PodView> = others.iter().copied().filter(|pod| !is_in(&chosen, pod)).collect();
    let left = leaving::to_drain(view, &staying, serving, &mut memory.leaving);
    for pod in chosen.iter().chain(&left) {
        memory.chosen.insert(pod.name.clone(), view.now);
    }

    let removal = removals(view, &live, &counts, serving, memory);
    let replicas = match counts.serving {
        None => serving.saturating_add(counts.going),
        Some(current) => counts
            .replicas
            .saturating_add(serving.saturating_sub(current))
            .saturating_sub(removal.lowered)
            .saturating_sub(surplus.min(missing.lasting)),
    };
    let unaware = draining.iter().filter(|pod| {
        pod.draining_since.is_none() || pod.running && pod.figures.is_none_or(|figures| !figures.draining)
    });
    let busy = live.iter().filter(|pod| removal::is_marked_in_vain(pod, view));
    let refuses = |pod: &&PodView| pod.figures.is_some_and(|figures| !figures.accepting && !figures.draining);
    if live.iter().any(refuses) {
        memory.refused = Some(view.now);
    }
    let ready_to_mark = draining.iter().filter(|pod| !pod.marked && removal::may_go(pod, view));
    Decision {
        replicas,
        serving,
        drain: names(unaware.chain(&chosen).chain(&left)),
        mark: names(ready_to_mark),
        unmark: names(busy),
        delete: removal.by_name,
        crowded: memory.refused.is_some_and(|last| view.now.duration_since(last) < CROWDED),
    }
}

/// How many pods there are of each sort.
struct Counts {
    /// Replicas of the Deployment.
    replicas: u32,
    /// Pods that are there and not being ended.
    live: u32,
    /// Pods that drain or are on leaving nodes, and that the replicas still count.
    going: u32,
    /// Replicas that are for serving pods; unknown without a Deployment.
    serving: Option<u32>,
    rolling_out: bool,
}

/// Replicas for which there is no pod.
struct Missing {
    /// At this moment.
    now: u32,
    /// For so long that none will come, for want of quota perhaps.
    lasting: u32,
}

impl Counts {
    fn of(view: &FleetView, live: &[&PodView], draining: &[&PodView], others: &[&PodView]) -> Self {
        let replicas = view.replicas.unwrap_or(0);
        let live = count(live);
        // Where the replicas were lowered and the pods are still seen, those are not counted any more. In a rollout there are
        // more pods than replicas all the time.
        let lowered = if view.rolling_out || view.replicas.is_none() { 0 } else { live.saturating_sub(replicas) };
        let leaving = others.iter().filter(|pod| pod.node_leaving).count();
        let going = count(draining).saturating_sub(lowered).saturating_add(u32::try_from(leaving).unwrap_or(u32::MAX));
        let serving = view.replicas.map(|replicas| replicas.saturating_sub(going));
        Self { replicas, live, going, serving, rolling_out: view.rolling_out }
    }

    fn missing(&self, memory: &mut Memory, now: Timestamp) -> Missing {
        let missing = self.replicas.saturating_sub(self.live);
        let lasts = lasts(&mut memory.short, missing > 0 && !self.rolling_out, now);
        Missing { now: missing, lasting: if lasts { missing } else { 0 } }
    }
}

/// How many pods shall serve.
fn serving(view: &FleetView, current: Option<u32>, memory: &mut Memory) -> u32 {
    let wanted = wish::wanted(view);
    let settled = match (view.wish, current) {
        (Wish::Sessions { .. }, Some(current)) => {
            let (up, down) = (view.scale_up_stabilization, view.scale_down_stabilization);
            // Bounds hold at once, whatever was wanted before they were set.
            wish::bounded(view.wish, memory.wanted.settle(view.now, current, wanted, up, down))
        }
        (Wish::Sessions { .. }, None) => wanted.least,
        (Wish::Replicas(replicas), _) => {
            // An autoscaler has windows of its own, a user means it.
            memory.wanted.clear();
            replicas
        }
    };
    if view.rolling_out { settled.max(current.unwrap_or(0)) } else { settled }
}

/// The pods that are given up for a surplus: those that lose least.
fn surplus_pods<'a>(others: &[&'a PodView], surplus: u32) -> Vec<&'a PodView> {
    let mut candidates: Vec<&PodView> = others.iter().copied().filter(|pod| !pod.node_leaving).collect();
    candidates.sort_by_key(|pod| (load(pod), std::cmp::Reverse(pod.created), pod.name.as_str()));
    candidates.truncate(usize::try_from(surplus).unwrap_or(usize::MAX));
    candidates
}

/// What a pod's end would cost, the least first: one that does not run (in the order of the ReplicaSet, or it would be passed
/// over), one that a rollout left behind, one with few calls. One that could not be asked comes last.
pub(super) fn load(pod: &PodView) -> (bool, Standing, bool, u32) {
    let standing = if pod.running { Standing::Ready } else { pod.standing };
    (pod.running, standing, pod.current_revision, pod.figures.map_or(u32::MAX, |figures| figures.active))
}

/// How marked pods go.
#[derive(Default)]
struct Removals {
    /// By how many the replicas are lowered.
    lowered: u32,
    /// Who is deleted by name instead.
    by_name: Vec<String>,
}

fn removals(view: &FleetView, live: &[&PodView], counts: &Counts, serving: u32, memory: &mut Memory) -> Removals {
    let free = |pod: &&PodView| pod.marked && removal::may_go(pod, view);
    // With more pods or fewer than replicas the ReplicaSet is at work, and lowering would mean something else to it.
    let still = !view.rolling_out && counts.live == counts.replicas && serving <= counts.serving.unwrap_or(0);
    let lowered = if still { removal::removable(live, view) } else { 0 };
    // A rollout ends the older pods itself, those first that are not ready. But a drained pod of the new revision never becomes
    // available, and with `maxUnavailable: 0` the rollout would wait for it for ever.
    let behind = |pod: &&PodView| match view.rolling_out {
        true => pod.current_revision,
        false => lowered == 0 && counts.live <= counts.replicas,
    };
    let waiting: Vec<&PodView> = live.iter().copied().filter(free).filter(behind).collect();
    let long = lasts(&mut memory.blocked, !waiting.is_empty(), view.now);
    Removals { lowered, by_name: if long { names(waiting.iter()) } else { Vec::new() } }
}

/// Whether something has been so for longer than it should.
fn lasts(since: &mut Option<Timestamp>, so: bool, now: Timestamp) -> bool {
    if !so {
        *since = None;
        return false;
    }
    now.duration_since(*since.get_or_insert(now)) >= PATIENCE
}

fn is_in(pods: &[&PodView], pod: &PodView) -> bool {
    pods.iter().any(|other| other.name == pod.name)
}

fn names<'a>(pods: impl Iterator<Item = &'a &'a PodView>) -> Vec<String> {
    let mut names: Vec<String> = pods.map(|pod| pod.name.clone()).collect();
    names.sort_unstable();
    names
}

fn count(pods: &[&PodView]) -> u32 {
    u32::try_from(pods.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;
