//! Whether node autoscalers may take the node of a trunk's FreeSWITCH away. Decides and reads marks; writes nothing.
//!
//! Callers' legs live in FreeSWITCH and can't be handed over: what has not ended when its time to end is over is cut. So its pods are
//! marked as long as there are calls, in the words of those who choose nodes by themselves: Cluster Autoscaler and Karpenter. Who drains
//! a node by hand is not held by such marks; the pod then ends its calls in its preStop.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use sofia_crds::spec::NodeRemoval;

/// Read by Cluster Autoscaler. `true` also lets a pod with volumes on its node go, which would hold it else; FreeSWITCH's are empty.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Read by Karpenter.
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";

/// How long there must have been no call: a trunk that has some each quarter of an hour is not worth moving, and is not written to with
/// each of them.
const IDLE: SignedDuration = SignedDuration::from_mins(10);

/// What FreeSWITCH's pods shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Their node stays.
    Keep,
    /// Their node may be taken away.
    Free,
}

impl Mark {
    /// The annotations that say so; `null` is none.
    pub fn annotations(self) -> Value {
        match self {
            Self::Keep => json!({ SAFE_TO_EVICT: "false", DO_NOT_DISRUPT: "true" }),
            Self::Free => json!({ SAFE_TO_EVICT: "true", DO_NOT_DISRUPT: null }),
        }
    }

    /// Whether a pod says so already.
    pub fn is_on(self, pod: &Pod) -> bool {
        let annotations = pod.annotations();
        let wanted = self.annotations();
        [SAFE_TO_EVICT, DO_NOT_DISRUPT]
            .iter()
            .all(|key| annotations.get(*key).map(String::as_str) == wanted[*key].as_str())
    }
}

/// Since when a trunk has had no call. Lost with the process, which only delays what takes marks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guard {
    idle_since: Option<Timestamp>,
}

impl Guard {
    /// What FreeSWITCH's pods shall say now; nothing when they are to be left as they are. `calls` are those in progress, if all pods
    /// told theirs.
    pub fn look(&mut self, removal: NodeRemoval, calls: Option<u32>, now: Timestamp) -> Option<Mark> {
        match (removal, calls) {
            (NodeRemoval::Never, _) => Some(Mark::Keep),
            (NodeRemoval::WhenIdle, Some(0)) => {
                let since = *self.idle_since.get_or_insert(now);
                (now.duration_since(since) >= IDLE).then_some(Mark::Free)
            }
            (NodeRemoval::WhenIdle, calls) => {
                self.idle_since = None;
                calls.map(|_| Mark::Keep)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + 60 * minutes).expect("a time")
    }

    #[test]
    fn a_node_is_kept_from_the_first_call_until_ten_minutes_after_the_last() {
        let mut guard = Guard::default();
        let mut look = |calls, minutes| guard.look(NodeRemoval::WhenIdle, calls, at(minutes));
        assert_eq!(look(Some(0), 0), None, "who has just begun knows nothing of the minutes before");
        assert_eq!(look(Some(3), 5), Some(Mark::Keep));
        assert_eq!(look(Some(0), 6), None);
        assert_eq!(look(Some(1), 14), Some(Mark::Keep));
        assert_eq!(look(Some(0), 15), None);
        assert_eq!(look(Some(0), 24), None);
        assert_eq!(look(Some(0), 25), Some(Mark::Free));
        assert_eq!(look(Some(1), 26), Some(Mark::Keep));
    }

    #[test]
    fn a_pod_that_does_not_answer_may_have_calls() {
        let mut guard = Guard::default();
        let mut look = |calls, minutes| guard.look(NodeRemoval::WhenIdle, calls, at(minutes));
        assert_eq!(look(Some(0), 0), None);
        assert_eq!(look(None, 9), None);
        assert_eq!(look(Some(0), 10), None, "the ten minutes begin anew");
    }

    #[test]
    fn a_node_that_callers_know_is_always_kept() {
        assert_eq!(Guard::default().look(NodeRemoval::Never, Some(0), at(0)), Some(Mark::Keep));
    }

    #[test]
    fn a_mark_is_known_again_on_a_pod() {
        let pod = |annotations: Value| -> Pod {
            serde_json::from_value(json!({ "metadata": { "annotations": annotations } })).expect("a pod")
        };
        let kept = pod(Mark::Keep.annotations());
        assert!(Mark::Keep.is_on(&kept) && !Mark::Free.is_on(&kept));
        let free = pod(json!({ SAFE_TO_EVICT: "true" }));
        assert!(Mark::Free.is_on(&free) && !Mark::Keep.is_on(&free));
        assert!(!Mark::Free.is_on(&pod(json!({}))) && !Mark::Keep.is_on(&pod(json!({}))));
    }
}
