//! Pods on nodes that are going away: which of them are drained now. They are replaced first: the Deployment gets as many
//! replicas more, and each is drained when another pod is there in its stead. Uncordons nothing, evicts nothing.
//!
//! Where the cluster has no room for replacements, they are not waited for, as long as the pods that stay can take the calls
//! there are. The last of them are kept: were every node cordoned, draining all pods would turn every caller away, while the pods
//! themselves run on well. The disruption budget holds the last of several too, until there is a place for them (see
//! [`super::eviction`]). Pods that somebody evicts before, as far as it lets them go, drain by themselves as they end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::decide::{FleetView, PodView, load};
use super::wish;

/// How long replacements are waited for before the fleet makes do with fewer pods: about what a pod takes to be scheduled and to
/// start.
const REPLACEMENT_TIME: SignedDuration = SignedDuration::from_secs(60);

/// Since when pods have been on nodes that are leaving, by name.
pub type LeavingSince = BTreeMap<String, Timestamp>;

/// The pods on leaving nodes that are to be drained now. `others` are the pods that serve and are not about to be drained for
/// another reason; `serving` is how many there shall be.
pub fn to_drain<'a>(
    view: &FleetView,
    others: &[&'a PodView],
    serving: u32,
    since: &mut LeavingSince,
) -> Vec<&'a PodView> {
    let mut leaving: Vec<&PodView> = others.iter().copied().filter(|pod| pod.node_leaving).collect();
    since.retain(|name, _| leaving.iter().any(|pod| pod.name == *name));
    leaving.sort_by_key(|pod| (load(pod), pod.name.as_str()));
    // Who did not answer may be dead: it is nobody's replacement.
    let takes_calls = |pod: &PodView| pod.figures.is_some_and(|figures| !figures.draining);
    let mut staying = u32::try_from(others.iter().filter(|pod| takes_calls(pod)).count()).unwrap_or(u32::MAX);
    let needed = wish::needed(view).min(serving);
    let mut chosen = Vec::new();
    for pod in leaving {
        let waited = view.now.duration_since(*since.entry(pod.name.clone()).or_insert(view.now));
        let floor = if waited < REPLACEMENT_TIME { serving } else { needed };
        let left = staying.saturating_sub(u32::from(takes_calls(pod)));
        if !pod.running || left >= floor {
            staying = left;
            chosen.push(pod);
        }
    }
    chosen
}
