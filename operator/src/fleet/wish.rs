//! How many serving pods are wanted, by whoever sets their number. Knows nothing of what was wanted before.

use jiff::SignedDuration;

use super::decide::{FleetView, PodView, Wish};

/// A pod may run this long before it is expected to answer; until then it has few calls or none.
const STARTING: SignedDuration = SignedDuration::from_secs(120);

/// A number that is known only roughly, because some pods could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// If the pods that could not be asked are like the others.
    pub least: u32,
    /// If they are all full.
    pub most: u32,
}

/// Calls in progress, over all pods: also those on pods that drain or that Kubernetes is ending. Such calls may come back to the
/// serving pods by handover, and a number that left them out would fall with each pod that drains, so that one drain would bring
/// the next.
///
/// A pod that runs and could not be asked counts as full in `most`, so that no pod goes because one is not seen. In `least` it
/// counts as the mean of the serving pods that answered, not as full: its calls are real, but would each silent pod bring one and
/// a half new ones that are silent for a moment too, a fault of the network between operator and pods would fill the cluster. One
/// that just began, drains or is being ended has no such guess: it counts as empty there. A pod that does not run has no calls.
pub fn calls(view: &FleetView) -> Estimate {
    let answered = |pod: &&PodView| serves(pod) && pod.figures.is_some();
    let known: u32 = view.pods.iter().map(active).fold(0, u32::saturating_add);
    let serving: u64 = view.pods.iter().filter(answered).map(|pod| u64::from(active(pod))).sum();
    let mean = serving.checked_div(view.pods.iter().filter(answered).count() as u64).unwrap_or(0);
    let mean = u32::try_from(mean).unwrap_or(u32::MAX);
    let silent = |pod: &&PodView| pod.running && pod.figures.is_none();
    let settled =
        |pod: &&PodView| serves(pod) && pod.started.is_some_and(|started| view.now.duration_since(started) >= STARTING);
    let count = |pods: usize| u32::try_from(pods).unwrap_or(u32::MAX);
    let full = count(view.pods.iter().filter(silent).count());
    let like_others = count(view.pods.iter().filter(silent).filter(settled).count());
    Estimate {
        least: known.saturating_add(like_others.saturating_mul(mean)),
        most: known.saturating_add(full.saturating_mul(view.max_per_pod)),
    }
}

/// Serving pods that are wanted: what a user or an autoscaler says, or what the calls need.
pub fn wanted(view: &FleetView) -> Estimate {
    match view.wish {
        Wish::Replicas(replicas) => Estimate { least: replicas, most: replicas },
        Wish::Sessions { target, buffer, .. } => {
            let pods = |calls: u32| bounded(view.wish, calls.saturating_add(buffer).div_ceil(target.max(1)));
            let Estimate { least, most } = calls(view);
            Estimate { least: pods(least), most: pods(most) }
        }
    }
}

/// Serving pods without which callers would be turned away: enough for the calls in progress and the buffer when each pod is
/// full, and one.
pub fn needed(view: &FleetView) -> u32 {
    let buffer = match view.wish {
        Wish::Sessions { buffer, .. } => buffer,
        Wish::Replicas(_) => 0,
    };
    calls(view).most.saturating_add(buffer).div_ceil(view.max_per_pod.max(1)).max(1)
}

/// A number of serving pods within the bounds that hold. Where they contradict each other, which the API server refuses, the
/// upper one counts.
pub fn bounded(wish: Wish, pods: u32) -> u32 {
    match wish {
        Wish::Sessions { min, max, .. } => pods.max(min).min(max),
        Wish::Replicas(replicas) => replicas,
    }
}

fn active(pod: &PodView) -> u32 {
    pod.figures.map_or(0, |figures| figures.active)
}

fn serves(pod: &PodView) -> bool {
    !pod.terminating && pod.draining_since.is_none()
}
