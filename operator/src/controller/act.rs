//! Carries out on pods what was decided about a fleet: writes since when they drain, asks them to drain, marks those that are drained.
//! Decides nothing.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{apply::Failure, guard::Mark, status::Problem, stores::TrunkKey};
use crate::vocabulary::labels;
use crate::{
    fleet::{
        scrape::{PodFigures, Scraper},
        view,
    },
    secret_text::SecretText,
};

/// Pods of a trunk that are asked at a time.
const ASKED_AT_A_TIME: usize = 32;
/// How long the watch may take to bring what was written on a pod.
const WATCH_LAG: Duration = Duration::from_secs(10);

/// How the data-plane pods are spoken to.
pub trait Pods: Send + Sync + 'static {
    /// What a pod says of itself; nothing when it doesn't answer in time, or not as a data-plane pod does.
    fn figures(&self, address: IpAddr) -> BoxFuture<'_, Option<PodFigures>>;

    /// Asks a pod to drain. The error says what came instead of consent.
    fn drain<'a>(&'a self, address: IpAddr, token: &'a SecretText) -> BoxFuture<'a, Result<(), String>>;
}

impl Pods for Scraper {
    fn figures(&self, address: IpAddr) -> BoxFuture<'_, Option<PodFigures>> {
        Box::pin(async move {
            let figures = Self::figures(self, address).await;
            figures
                .inspect_err(|error| debug!(%address, %error, "a pod did not tell its figures and counts as busy"))
                .ok()
        })
    }

    fn drain<'a>(&'a self, address: IpAddr, token: &'a SecretText) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { Self::drain(self, address, token).await.map_err(|error| error.to_string()) })
    }
}

/// What was written on pods and may not be in the watch yet, by the pod's uid.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pods: HashMap<String, Marks>,
    /// What FreeSWITCH's pods were made to say.
    said: HashMap<String, (Mark, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    draining_since: Option<Timestamp>,
    marked: bool,
    at: Instant,
}

impl Written {
    /// Brings the times that were written into what the watch shows, so that no other pod is chosen in place of one that drains. Marks are
    /// not: they count once the watch shows them, since then Kubernetes' own controllers have had the chance to see them too.
    pub fn overlay(&mut self, pods: &mut [Arc<Pod>]) {
        self.pods.retain(|_, marks| marks.at.elapsed() < WATCH_LAG);
        self.said.retain(|_, (_, at)| at.elapsed() < WATCH_LAG);
        for pod in pods {
            let marks = pod.metadata.uid.as_ref().and_then(|uid| self.pods.get(uid));
            let Some(since) = marks.and_then(|marks| marks.draining_since) else { continue };
            if !pod.annotations().contains_key(labels::DRAINING_SINCE) {
                Arc::make_mut(pod).annotations_mut().insert(labels::DRAINING_SINCE.to_owned(), since.to_string());
            }
        }
    }

    fn is_marked(&self, pod: &Pod) -> bool {
        pod.metadata.uid.as_ref().and_then(|uid| self.pods.get(uid)).is_some_and(|marks| marks.marked)
    }

    fn forget_mark(&mut self, pod: &Pod) {
        if let Some(marks) = pod.metadata.uid.as_ref().and_then(|uid| self.pods.get_mut(uid)) {
            marks.marked = false;
        }
    }

    fn says(&self, pod: &Pod, mark: Mark) -> bool {
        let said = pod.metadata.uid.as_ref().and_then(|uid| self.said.get(uid));
        said.is_some_and(|(said, _)| *said == mark)
    }

    fn note(&mut self, pod: &Pod, draining_since: Option<Timestamp>, marked: bool) {
        let uid = pod.uid().unwrap_or_default();
        let earlier = self.pods.get(&uid).copied();
        let draining_since = draining_since.or(earlier.and_then(|marks| marks.draining_since));
        let marked = marked || earlier.is_some_and(|marks| marks.marked);
        self.pods.insert(uid, Marks { draining_since, marked, at: Instant::now() });
    }
}

/// What the pods of a large fleet said a moment ago.
#[derive(Debug, Default)]
pub struct Heard {
    at: Option<Instant>,
    figures: BTreeMap<String, PodFigures>,
}

/// Asks all pods that can be asked, by name. Of a fleet with more than can be asked at a time, those that answered less than `fresh` ago are not
/// asked again: each of their events brings a pass, and where hundreds are full now and then each would be asked several times a second.
pub async fn ask(
    pods: &dyn Pods,
    all: &[Arc<Pod>],
    heard: &mut Heard,
    fresh: Duration,
) -> BTreeMap<String, PodFigures> {
    let known = if all.len() > ASKED_AT_A_TIME && heard.at.is_some_and(|at| at.elapsed() < fresh) {
        std::mem::take(&mut heard.figures)
    } else {
        heard.at = Some(Instant::now());
        BTreeMap::new()
    };
    let mut figures = BTreeMap::new();
    let mut answers: Vec<BoxFuture<'_, Option<(String, PodFigures)>>> = Vec::new();
    for pod in all {
        let (name, Some(address)) = (pod.name_any(), view::address(pod)) else { continue };
        if let Some(said) = known.get(&name) {
            figures.insert(name, *said);
        } else {
            answers.push(Box::pin(async move { Some((name, pods.figures(address).await?)) }));
        }
    }
    let asked: Vec<_> =
        stream::iter(answers).buffer_unordered(ASKED_AT_A_TIME).filter_map(std::future::ready).collect().await;
    figures.extend(asked);
    heard.figures = if all.len() > ASKED_AT_A_TIME { figures.clone() } else { BTreeMap::new() };
    figures
}

/// One trunk's pods, to be acted on.
pub struct Fleet<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// The trunk.
    pub trunk: &'a TrunkKey,
    /// Its pods, of one part.
    pub all: &'a [Arc<Pod>],
    /// How they are spoken to.
    pub pods: &'a dyn Pods,
}

/// What acting on pods came to.
#[derive(Debug, Default)]
pub struct Acted {
    /// Pods whose drain began now.
    pub began: Vec<String>,
    /// Pods that were marked as drained now.
    pub marked: Vec<String>,
    /// Pods whose mark was changed otherwise: taken off, or what node autoscalers read.
    pub changed: Vec<String>,
    /// Pods that were deleted now.
    pub deleted: Vec<String>,
    /// Why it could not be finished.
    pub problem: Option<Problem>,
    /// Whether a pod changed meanwhile and is to be looked at again.
    pub waiting: bool,
}

impl Fleet<'_> {
    /// Marks drained pods, so that lowering the replicas takes just those and evictions don't count them.
    pub async fn mark(&self, names: &[String], written: &mut Written) -> Acted {
        let mut acted = Acted::default();
        for pod in self.named(names) {
            let name = pod.name_any();
            if written.is_marked(pod) {
                continue;
            }
            let patch = json!({ "metadata": {
                "uid": pod.metadata.uid,
                "labels": { labels::DRAINED: "true" },
                "annotations": { labels::POD_DELETION_COST: "-1000" },
            } });
            if self.patch(&name, patch, &mut acted).await {
                written.note(pod, None, true);
                info!(trunk = %self.trunk, pod = %name, "drained; marked to go first");
                acted.marked.push(name);
            }
        }
        acted
    }

    /// Takes the mark off pods that have calls again, so that neither the replicas nor evictions treat them as empty.
    pub async fn unmark(&self, names: &[String], written: &mut Written) -> Acted {
        let mut acted = Acted::default();
        for pod in self.named(names) {
            let name = pod.name_any();
            let patch = json!({ "metadata": {
                "uid": pod.metadata.uid,
                "labels": { labels::DRAINED: null },
                "annotations": { labels::POD_DELETION_COST: null },
            } });
            if self.patch(&name, patch, &mut acted).await {
                written.forget_mark(pod);
                info!(trunk = %self.trunk, pod = %name, "has calls again; no longer marked to go first");
                acted.changed.push(name);
            }
        }
        acted
    }

    /// Has all pods that Kubernetes is not ending tell node autoscalers whether their nodes may be taken away.
    pub async fn say(&self, mark: Mark, written: &mut Written) -> Acted {
        let mut acted = Acted::default();
        for pod in self.all.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let name = pod.name_any();
            if mark.is_on(pod) || written.says(pod, mark) {
                continue;
            }
            let patch = json!({ "metadata": { "uid": pod.metadata.uid, "annotations": mark.annotations() } });
            if self.patch(&name, patch, &mut acted).await {
                written.said.insert(pod.uid().unwrap_or_default(), (mark, Instant::now()));
                debug!(trunk = %self.trunk, pod = %name, ?mark, "tells node autoscalers");
                acted.changed.push(name);
            }
        }
        acted
    }

    /// Has pods drain: first writes on the pod since when, so that an operator that starts anew knows, then asks the pod.
    pub async fn drain(&self, names: &[String], now: Timestamp, token: &SecretText, written: &mut Written) -> Acted {
        let mut acted = Acted::default();
        for pod in self.named(names) {
            let name = pod.name_any();
            if !pod.annotations().contains_key(labels::DRAINING_SINCE) {
                let since = now.round(jiff::Unit::Second).unwrap_or(now);
                let patch = json!({ "metadata": {
                    "uid": pod.metadata.uid,
                    "annotations": { labels::DRAINING_SINCE: since.to_string() },
                } });
                if !self.patch(&name, patch, &mut acted).await {
                    continue;
                }
                written.note(pod, Some(since), false);
                acted.began.push(name.clone());
            }
            // A pod without an address has no calls, and is told when it has one.
            let Some(address) = view::address(pod) else { continue };
            match self.pods.drain(address, token).await {
                Ok(()) => info!(trunk = %self.trunk, pod = %name, "drains"),
                Err(error) => warn!(trunk = %self.trunk, pod = %name, %error, "does not drain yet; it is asked again"),
            }
        }
        acted
    }

    /// Deletes drained pods that the ReplicaSet would pass over.
    pub async fn delete(&self, names: &[String]) -> Acted {
        let mut acted = Acted::default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.trunk.namespace);
        for pod in self.named(names) {
            let name = pod.name_any();
            let same = Preconditions { uid: pod.uid(), resource_version: None };
            match api.delete(&name, &DeleteParams::default().preconditions(same)).await {
                Ok(_) => {
                    info!(trunk = %self.trunk, pod = %name, "drained; deleted by name");
                    acted.deleted.push(name);
                }
                Err(error) => acted.fail(format!("delete Pod {name}"), error),
            }
        }
        acted
    }

    fn named(&self, names: &[String]) -> impl Iterator<Item = &Arc<Pod>> {
        self.all.iter().filter(|pod| names.contains(&pod.name_any()))
    }

    /// Writes on a pod if it is still the one that was seen (its uid is part of the patch); whether it did.
    async fn patch(&self, name: &str, patch: Value, acted: &mut Acted) -> bool {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.trunk.namespace);
        match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => true,
            Err(error) => {
                acted.fail(format!("write on Pod {name}"), error);
                false
            }
        }
    }
}

impl Acted {
    fn fail(&mut self, action: String, error: kube::Error) {
        self.waiting = true;
        // A pod that is gone, or another one by now, is no problem.
        if !matches!(&error, kube::Error::Api(status) if status.code == 404) {
            self.problem = self.problem.take().or(Failure::new(action, error).problem());
        }
    }

    /// Adds what further acting came to.
    pub fn extend(&mut self, other: Self) {
        let Self { began, marked, changed, deleted, problem, waiting } = other;
        self.began.extend(began);
        self.marked.extend(marked);
        self.changed.extend(changed);
        self.deleted.extend(deleted);
        self.problem = self.problem.take().or(problem);
        self.waiting |= waiting;
    }

    /// Whether anything was written.
    pub fn wrote(&self) -> bool {
        let Self { began, marked, changed, deleted, problem: _, waiting: _ } = self;
        ![began, marked, changed, deleted].iter().all(|names| names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Pods that all say the same, and count how often they are asked.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Pods for Counted {
        fn figures(&self, _: IpAddr) -> BoxFuture<'_, Option<PodFigures>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(Some(PodFigures::default())))
        }

        fn drain<'a>(&'a self, _: IpAddr, _: &'a SecretText) -> BoxFuture<'a, Result<(), String>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn fleet(count: usize) -> Vec<Arc<Pod>> {
        let pod = |index: usize| {
            let running = json!({ "name": "dataplane", "ready": true, "state": { "running": {} } });
            json!({ "metadata": { "name": format!("pod-{index}") }, "status": {
                "phase": "Running", "podIP": format!("10.0.{}.{}", index / 200, index % 200 + 1), "containerStatuses": [running],
            } })
        };
        (0..count).map(|index| Arc::new(serde_json::from_value(pod(index)).expect("a pod"))).collect()
    }

    #[tokio::test]
    async fn a_large_fleet_is_not_asked_again_at_once_and_what_is_new_in_it_is() {
        let (pods, mut heard) = (Counted::default(), Heard::default());
        let long = Duration::from_secs(600);
        for (count, fresh, asked) in [
            (100, long, 100),
            (100, long, 100),
            (103, long, 103),
            (40, long, 103),
            (100, Duration::ZERO, 203),
            (20, long, 223),
            (20, long, 243),
        ] {
            assert_eq!(ask(&pods, &fleet(count), &mut heard, fresh).await.len(), count);
            assert_eq!(pods.0.load(Ordering::SeqCst), asked, "{count}");
        }
    }
}
