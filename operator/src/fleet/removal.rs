//! Which pods the Deployment's replicas may be lowered by, given that not the operator but the ReplicaSet picks who goes. Removes
//! nothing.
//!
//! A ReplicaSet that has too many pods sorts them and deletes from the front (`ActivePodsWithRanks` in Kubernetes'
//! `pkg/controller/controller_utils.go`): pods without a node, then those in phase Pending, Unknown, Running; of those the not
//! ready ones first; and only then by `controller.kubernetes.io/pod-deletion-cost`. So a mark alone is no promise:
//!
//! - a pod that still starts goes before a marked one: lowering takes the pod that was just wanted, and the marked one stays;
//! - a full pod is not ready. Should a marked pod be ready still, because its probe lags or because it never heard of its drain,
//!   lowering takes the full pod with all its calls.
//!
//! Hence the replicas are lowered only by as many pods as stand, marked and free to go, at the front of that very order. Where
//! marked pods stay behind others for longer than a pod takes to start, they are deleted by name; the ReplicaSet then makes a new
//! pod in their place, which stands at the front of the order itself and is the next to go, before it has a call.

use jiff::SignedDuration;

use super::decide::{FleetView, PodView, Standing};

/// What a pod has to hand its last calls over after the deadline: ten seconds by its own rule, and what telling it to drain took.
const HANDOVER_MARGIN: SignedDuration = SignedDuration::from_secs(20);

/// How many of the pods at the front of the ReplicaSet's order are marked and may go. One that is still ready never counts:
/// before the ReplicaSet looks, a busy pod may have become full, and stand before it.
pub fn removable(live: &[&PodView], view: &FleetView) -> u32 {
    // Such a pod has the same cost as those that may go. It loses it now; until then nothing is left to chance.
    if live.iter().any(|pod| is_marked_in_vain(pod, view)) {
        return 0;
    }
    let goes = |pod: &PodView| pod.standing < Standing::Ready && may_go(pod, view);
    let mut order: Vec<_> = live.iter().map(|pod| (pod.standing, !pod.marked, goes(pod))).collect();
    // Among equals the ReplicaSet decides by what is not known here: those that may not go count as the first.
    order.sort_unstable();
    let count = order.iter().take_while(|&&(_, unmarked, goes)| !unmarked && goes).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a pod has nothing to lose: it drains, and is empty by its own word, has had its time, or does not run.
pub fn may_go(pod: &PodView, view: &FleetView) -> bool {
    let Some(since) = pod.draining_since else { return false };
    let empty = pod.figures.is_some_and(|figures| figures.draining && figures.active == 0);
    let overdue = view.now.duration_since(since) >= view.drain_deadline.saturating_add(HANDOVER_MARGIN);
    empty || overdue || !pod.running
}

/// Whether a pod bears the mark though it is known to have calls, or to take some.
pub fn is_marked_in_vain(pod: &PodView, view: &FleetView) -> bool {
    pod.marked && pod.figures.is_some() && !may_go(pod, view)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::fleet::decide::fixtures::{draining, fleet, pod};

    fn marked(name: &str, standing: Standing) -> PodView {
        PodView { marked: true, standing, ..draining(name, 0) }
    }

    fn count(pods: Vec<PodView>) -> u32 {
        let view = fleet(pods);
        removable(&view.pods.iter().collect::<Vec<_>>(), &view)
    }

    #[test]
    fn a_pod_that_starts_stands_before_a_marked_one() {
        let pending = PodView { running: false, standing: Standing::Pending, figures: None, ..pod("b", 0) };
        assert_eq!(count(vec![marked("a", Standing::NotReady), pending]), 0);
        assert_eq!(count(vec![marked("a", Standing::NotReady), pod("b", 0)]), 1);
    }

    #[test]
    fn a_full_pod_stands_before_a_marked_one_that_is_ready_still() {
        let full = PodView { standing: Standing::NotReady, ..pod("b", 100) };
        assert_eq!(count(vec![marked("a", Standing::Ready), full.clone()]), 0);
        assert_eq!(count(vec![marked("a", Standing::NotReady), full]), 1);
        assert_eq!(count(vec![marked("a", Standing::Ready), pod("b", 99)]), 0, "it may be full in a moment");
    }

    #[test]
    fn a_marked_pod_that_has_calls_again_holds_the_others() {
        let busy = PodView { marked: true, standing: Standing::NotReady, ..draining("b", 3) };
        assert_eq!(count(vec![marked("a", Standing::NotReady), busy, pod("c", 0)]), 0);
    }
}
