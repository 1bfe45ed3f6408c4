//! What stands in for Kubernetes' controllers, for the kubelets and for the pods: objects of pods that say that they run, and one
//! small HTTP server that answers for all of them. Only while it is switched on; before, Deployments stay without pods.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::trunks::Place;

/// Requests of the stand-in that are under way at a time.
const AT_A_TIME: usize = 16;
/// The port on which pods are asked.
const PORT: u16 = 8080;
/// Calls that each pod says it has.
const CALLS: u32 = 40;

/// Namespace and name of a Deployment.
type Key = (String, String);

/// A Deployment as its watch showed it last.
struct Shown {
    deployment: Deployment,
    /// When the watch first showed the number of calls that its pods take.
    since: Instant,
    calls: Option<u32>,
}

/// The pods that stand for a Deployment.
#[derive(Default)]
struct Stood {
    template: String,
    pods: Vec<String>,
}

/// All of it. Runs as long as its tasks do, to the end of the program.
pub(crate) struct Kubelet {
    client: Client,
    shown: Mutex<HashMap<Key, Shown>>,
    stood: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Stood>>>>,
    news: Notify,
    on: AtomicBool,
    busy: AtomicBool,
    addresses: AtomicU32,
    asked: Arc<AtomicU64>,
    permits: Semaphore,
}

impl Kubelet {
    /// Starts to watch, switched off, and to answer for pods.
    pub(crate) async fn start(client: Client) -> anyhow::Result<Arc<Self>> {
        let kubelet = Arc::new(Self {
            client,
            shown: Mutex::default(),
            stood: Mutex::default(),
            news: Notify::new(),
            on: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            // Behind the API server's own.
            addresses: AtomicU32::new(u32::from_be_bytes([10, 64, 1, 0])),
            asked: Arc::default(),
            permits: Semaphore::new(AT_A_TIME),
        });
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", PORT)).await.context("the pods' port")?;
        let answering = Arc::clone(&kubelet);
        let status = move || {
            let kubelet = Arc::clone(&answering);
            async move { kubelet.status() }
        };
        let router = Router::new()
            .route("/status", routing::get(status))
            .route("/drain", routing::post(async || StatusCode::ACCEPTED));
        tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::spawn(Arc::clone(&kubelet).watch());
        Ok(kubelet)
    }

    /// What a data-plane pod with [`CALLS`] calls says of itself, as long as one would.
    fn status(&self) -> String {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let more = if self.busy.load(Ordering::Relaxed) { u32::try_from(asked % 7).unwrap_or_default() } else { 0 };
        let call = |index: u32| {
            json!({
                "id": format!("3f9a1c52-8f6e-4b7a-9a51-{index:012}"), "caller": "+4915112345678", "dialed": "+4930555123",
                "state": "active", "started_at": "2026-01-01T12:00:00Z", "duration_seconds": 97, "turns": 6,
            })
        };
        let calls: Vec<_> = (0..CALLS + more).map(call).collect();
        json!({
            "version": "0.1.0", "uptime_seconds": 3600, "ready": true,
            "sessions": { "active": calls.len(), "capacity": 100, "accepting": true, "list": calls },
            "backend": { "kind": "openai", "circuits": [] }, "drain": { "draining": false },
        })
        .to_string()
    }

    /// How often pods were asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has calls come and go from now on: each answer has another number of them.
    pub(crate) fn calls_come_and_go(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    async fn watch(self: Arc<Self>) {
        let ours = watcher::Config::default().labels("app.kubernetes.io/managed-by=sofia-phone-operator");
        let events = watcher(Api::<Deployment>::all(self.client.clone()), ours).default_backoff().touched_objects();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            // An interrupted watch is taken up again.
            let Ok(deployment) = event else { continue };
            let key = (deployment.namespace().unwrap_or_default(), deployment.name_any());
            let calls = calls(&deployment);
            {
                let mut shown = self.shown();
                let before = shown.get(&key).filter(|before| before.calls == calls).map(|before| before.since);
                let since = before.unwrap_or_else(Instant::now);
                shown.insert(key.clone(), Shown { deployment, since, calls });
            }
            self.news.notify_waiters();
            if self.on.load(Ordering::Relaxed) {
                let kubelet = Arc::clone(&self);
                tokio::spawn(async move { kubelet.stand(&key).await });
            }
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many Deployments there are.
    pub(crate) fn deployments(&self) -> usize {
        self.shown().len()
    }

    /// Waits until the watch shows that the pods of a trunk take so many calls; tells when it first did.
    pub(crate) async fn shows(&self, place: &Place, wanted: u32, patience: Duration) -> anyhow::Result<Instant> {
        let key = (place.namespace.clone(), format!("{}-dataplane", place.name));
        let wait = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                let since = self.shown().get(&key).filter(|shown| shown.calls == Some(wanted)).map(|shown| shown.since);
                if let Some(since) = since {
                    return since;
                }
                news.await;
            }
        };
        tokio::time::timeout(patience, wait).await.with_context(|| format!("{key:?} does not change"))
    }

    /// Has pods stand for all Deployments, from now on.
    pub(crate) async fn switch_on(self: &Arc<Self>) {
        self.on.store(true, Ordering::Relaxed);
        let keys: Vec<_> = self.shown().keys().cloned().collect();
        futures_util::stream::iter(keys).for_each_concurrent(AT_A_TIME, async |key| self.stand(&key).await).await;
    }

    /// What Kubernetes would do for a Deployment, without its waits: pods of the newest template, ready, and the counts in its status.
    async fn stand(&self, key: &Key) {
        let stood =
            Arc::clone(self.stood.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
        let mut stood = stood.lock().await;
        let Some(deployment) = self.shown().get(key).map(|shown| shown.deployment.clone()) else { return };
        let status = deployment.status.clone().unwrap_or_default();
        if status.observed_generation >= deployment.metadata.generation && !stood.pods.is_empty() {
            return;
        }
        let Ok(_permit) = self.permits.acquire().await else { return };
        // What fails, as while the API server is away, is done at the Deployment's next event.
        if let Err(error) = self.replace(&deployment, &mut stood).await {
            eprintln!("the stand-in for {}/{} is late: {error:#}", key.0, key.1);
        }
    }

    async fn replace(&self, deployment: &Deployment, stood: &mut Stood) -> anyhow::Result<()> {
        let namespace = deployment.namespace().unwrap_or_default();
        let name = deployment.name_any();
        let spec = deployment.spec.as_ref().context("a Deployment without spec")?;
        let replicas = spec.replicas.unwrap_or(1);
        let template = serde_json::to_string(&spec.template)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        if stood.template != template {
            let generation = deployment.metadata.generation.unwrap_or_default();
            let mut newer = Vec::new();
            for index in 0..replicas {
                let pod = format!("{name}-{generation}-{index}");
                self.run(&pods, deployment, &pod).await?;
                newer.push(pod);
            }
            for older in std::mem::replace(&mut stood.pods, newer) {
                let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
                pods.delete(&older, &at_once).await?;
            }
            stood.template = template;
        }
        let status = json!({ "status": {
            "observedGeneration": deployment.metadata.generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [
                { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "simulated" },
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "simulated" },
            ],
        } });
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        deployments.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    async fn run(&self, pods: &Api<Pod>, deployment: &Deployment, name: &str) -> anyhow::Result<()> {
        let template = deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
        pod.metadata.name = Some(name.to_owned());
        let spec = pod.spec.get_or_insert_default();
        spec.node_name = Some(format!("node-{}", name.len() % 20));
        let containers: Vec<_> =
            spec.containers.iter().map(|container| (container.name.clone(), container.image.clone())).collect();
        match pods.create(&PostParams::default(), &pod).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            made => drop(made.with_context(|| format!("pod {name}"))?),
        }
        let address = std::net::Ipv4Addr::from(self.addresses.fetch_add(1, Ordering::Relaxed)).to_string();
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let conditions: Vec<_> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
            .map(|kind| json!({ "type": kind, "status": "True", "lastTransitionTime": now }))
            .into();
        let containers: Vec<_> = containers
            .into_iter()
            .map(|(name, image)| {
                json!({
                    "name": name, "image": image, "imageID": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
                    "containerID": "containerd://0000000000000000000000000000000000000000000000000000000000000000",
                    "ready": true, "started": true, "restartCount": 0, "state": { "running": { "startedAt": now } },
                })
            })
            .collect();
        let status = json!({ "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "hostIP": "10.64.0.2",
            "hostIPs": [{ "ip": "10.64.0.2" }], "startTime": now, "qosClass": "Burstable",
            "conditions": conditions, "containerStatuses": containers,
        } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}

/// How many calls each pod of a data-plane Deployment takes.
fn calls(deployment: &Deployment) -> Option<u32> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let mut variables = containers.iter().flat_map(|container| container.env.iter().flatten());
    variables.find(|variable| variable.name == "SOFIA_PHONE_MAX_SESSIONS")?.value.as_ref()?.parse().ok()
}
