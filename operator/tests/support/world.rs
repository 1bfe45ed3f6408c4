//! A whole of API server, cluster, pods and operator, and the words in which scenarios speak of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use sofia_operator::{
    controller::{
        self, Error, Parts, Settings,
        look::SwitchView,
        observe::{Observe, Outcome},
        stores::TrunkKey,
    },
    metrics::{ApplyResult, DrainEnd, TrunkFigures},
    release::Release,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{api::Api, cluster::Cluster, fleet::FakeFleet};

/// Where the trunks of the scenarios are.
pub const NAMESPACE: &str = "telephony";

/// How long a scenario waits for what must come. Only one that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts passes.
#[derive(Default)]
pub struct Passes {
    finished: AtomicUsize,
    unchanged_in_a_row: AtomicUsize,
    failed: AtomicUsize,
    forgotten: AtomicUsize,
    /// What was last told of each trunk's figures.
    pub figures: Mutex<HashMap<String, TrunkFigures>>,
    /// What was last told of each trunk's conditions: type, status, reason.
    pub conditions: Mutex<HashMap<String, Vec<[String; 3]>>>,
}

impl Observe for Passes {
    fn reconcile_started(&self) {}

    fn reconcile_finished(&self, _: Duration, outcome: Outcome) {
        self.finished.fetch_add(1, Ordering::SeqCst);
        if matches!(outcome, Outcome::Unchanged | Outcome::Problem) {
            self.unchanged_in_a_row.fetch_add(1, Ordering::SeqCst);
        } else {
            self.unchanged_in_a_row.store(0, Ordering::SeqCst);
        }
        if outcome == Outcome::Failed {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn error(&self, _: &str) {}
    fn watch_failed(&self, _: &str) {}
    fn queue_depth(&self, _: usize) {}
    fn lists_complete(&self) {}
    fn applied(&self, _: &str, _: ApplyResult) {}
    fn scrape_failed(&self) {}
    fn drain_began(&self) {}
    fn drain_ended(&self, _: DrainEnd) {}

    fn fleet(&self, trunk: &TrunkKey, figures: &TrunkFigures) {
        self.figures.lock().expect("no test panics while it holds them").insert(trunk.name.clone(), *figures);
    }

    fn conditions(&self, trunk: &TrunkKey, conditions: &[Condition]) {
        let said = conditions.iter().map(|said| [&said.type_, &said.status, &said.reason].map(String::clone)).collect();
        self.conditions.lock().expect("no test panics while it holds them").insert(trunk.name.clone(), said);
    }

    fn switch(&self, _: &TrunkKey, _: Option<&SwitchView>) {}

    fn forget(&self, _: &TrunkKey) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

/// The whole.
pub struct World {
    /// The API server.
    pub api: Api,
    /// Kubernetes' controllers.
    pub cluster: Cluster,
    /// The pods.
    pub fleet: FakeFleet,
    /// The passes of the operator.
    pub passes: Arc<Passes>,
    ahead_seconds: Arc<AtomicI64>,
    /// Class of the operator that is started next.
    pub class: Option<String>,
    /// Whether it watches nodes.
    pub nodes: bool,
    operator: Option<(CancellationToken, JoinHandle<Result<(), Error>>)>,
}

impl World {
    /// A cluster without the operator, and nothing in it.
    pub fn empty() -> Self {
        let api = Api::default();
        api.put(
            "",
            "nodes",
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-1" }, "spec": {} }),
        );
        Self {
            cluster: Cluster::start(&api),
            fleet: FakeFleet::new(api.clone()),
            passes: Arc::default(),
            ahead_seconds: Arc::default(),
            class: None,
            nodes: true,
            operator: None,
            api,
        }
    }

    /// A cluster with the operator.
    pub fn start() -> Self {
        let mut world = Self::empty();
        world.start_operator();
        world
    }

    /// Starts the operator, which remembers nothing of an earlier one.
    pub fn start_operator(&mut self) {
        let stop = CancellationToken::new();
        let ahead = Arc::clone(&self.ahead_seconds);
        let parts = Parts {
            client: self.api.client(),
            release: release(),
            settings: Settings {
                namespace: None,
                interval: Duration::from_millis(10),
                totals_interval: Duration::from_millis(50),
                secrets_interval: Duration::from_millis(50),
                repair_interval: Duration::from_millis(20),
                waiting_interval: Duration::from_millis(5),
                longest_pause: Duration::from_millis(30),
                debounce: Duration::from_millis(1),
                concurrency: 4,
                class: self.class.clone(),
                nodes: self.nodes,
                discovery_interval: Duration::from_millis(30),
                ask_again: Duration::ZERO,
                switch_interval: Duration::from_millis(20),
            },
            pods: Arc::new(self.fleet.clone()),
            switches: Arc::new(self.fleet.clone()),
            observe: self.passes.clone(),
            clock: Arc::new(move || Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::SeqCst))),
            random: Box::new(StdRng::seed_from_u64(1)),
            instance: Some("operator-1".to_owned()),
        };
        let task = tokio::spawn(controller::run(parts, stop.clone()));
        self.operator = Some((stop, task));
    }

    /// Ends the operator as a graceful shutdown does.
    pub async fn stop_operator(&mut self) {
        let (stop, task) = self.operator.take().expect("the operator runs");
        stop.cancel();
        task.await.expect("the operator does not panic").expect("the operator ends in good order");
    }

    /// Ends the operator wherever it is, as a lost lease does.
    pub async fn kill_operator(&mut self) {
        let (_, task) = self.operator.take().expect("the operator runs");
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()), "the operator had ended by itself");
    }

    /// Lets time pass for the operator's decisions.
    pub fn advance(&self, seconds: i64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Makes a VoiceTrunk, or gives it another spec.
    pub fn apply(&self, name: &str, spec: Value) {
        let object = json!({ "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk",
            "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
        match self.api.get("sofia-phone.io", "voicetrunks", NAMESPACE, name) {
            Some(mut live) => {
                live["spec"] = spec;
                self.api.put("sofia-phone.io", "voicetrunks", live);
            }
            None => self.api.put("sofia-phone.io", "voicetrunks", object),
        }
    }

    /// Makes a Secret of the user's.
    pub fn secret(&self, name: &str, key: &str, value: &str) {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.encode(value);
        self.api.put(
            "",
            "secrets",
            json!({ "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": NAMESPACE }, "data": { key: value } }),
        );
    }

    /// An object of the trunks' namespace.
    pub fn get(&self, group: &str, resource: &str, name: &str) -> Option<Value> {
        self.api.get(group, resource, NAMESPACE, name)
    }

    /// A condition of a VoiceTrunk: its status, reason and message.
    pub fn condition(&self, trunk: &str, kind: &str) -> Option<[String; 3]> {
        let trunk = self.get("sofia-phone.io", "voicetrunks", trunk)?;
        let all = trunk["status"]["conditions"].as_array()?;
        let condition = all.iter().find(|condition| condition["type"] == kind)?;
        Some(["status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default().to_owned()))
    }

    /// Whether a condition of a VoiceTrunk has this status.
    pub fn is(&self, trunk: &str, kind: &str, status: &str) -> bool {
        self.condition(trunk, kind).is_some_and(|condition| condition[0] == status)
    }

    /// Whether a condition of a VoiceTrunk has this reason.
    pub fn is_because(&self, trunk: &str, kind: &str, reason: &str) -> bool {
        self.condition(trunk, kind).is_some_and(|condition| condition[1] == reason)
    }

    /// The reasons of all events so far.
    pub fn told(&self) -> Vec<String> {
        let events = self.api.all("events.k8s.io", "events");
        events.iter().map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Name and address of the data-plane pods of a trunk.
    pub fn pods(&self, trunk: &str) -> Vec<(String, IpAddr)> {
        let mut pods = self.api.all("", "pods");
        pods.retain(|pod| {
            let labels = &pod["metadata"]["labels"];
            labels["app.kubernetes.io/instance"] == trunk && labels["app.kubernetes.io/component"] == "dataplane"
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        pods.iter()
            .map(|pod| (text(&pod["metadata"]["name"]), text(&pod["status"]["podIP"]).parse().expect("an address")))
            .collect()
    }

    /// Replicas of a trunk's data plane.
    pub fn replicas(&self, trunk: &str) -> Option<u64> {
        self.get("apps", "deployments", &format!("{trunk}-dataplane"))?["spec"]["replicas"].as_u64()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                assert!(self.operator.as_ref().is_none_or(|(_, task)| !task.is_finished()), "the operator ended");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let trunks = self.api.all("sofia-phone.io", "voicetrunks");
            let status: Vec<&Value> = trunks.iter().map(|trunk| &trunk["status"]).collect();
            let asked: Vec<String> = self
                .api
                .asked()
                .iter()
                .rev()
                .take(20)
                .map(|a| format!("{} {} {:?}", a.verb, a.resource, a.name))
                .collect();
            panic!("waited in vain until {what}; the trunks say {status:#?}; last asked {asked:#?}");
        }
    }

    /// Waits until a VoiceTrunk is ready.
    pub async fn until_ready(&self, trunk: &str) {
        self.until(&format!("{trunk} is ready"), |world| world.is(trunk, "Ready", "True")).await;
    }

    /// Waits until nothing has been left to do for some passes.
    pub async fn until_settled(&self) {
        self.passes.unchanged_in_a_row.store(0, Ordering::SeqCst);
        self.until("nothing is left to do", |world| world.passes.unchanged_in_a_row.load(Ordering::SeqCst) > 12).await;
    }

    /// Waits for so many further passes.
    pub async fn passes(&self, count: usize) {
        let end = self.passes.finished.load(Ordering::SeqCst) + count;
        self.until("the passes are over", |world| world.passes.finished.load(Ordering::SeqCst) >= end).await;
    }

    /// Passes that failed so far.
    pub fn failed_passes(&self) -> usize {
        self.passes.failed.load(Ordering::SeqCst)
    }

    /// Trunks that were forgotten so far.
    pub fn forgotten(&self) -> usize {
        self.passes.forgotten.load(Ordering::SeqCst)
    }
}

fn release() -> Release {
    Release {
        version: "0.1.0".to_owned(),
        data_plane_image: "example.com/sofia-dataplane:0.1.0".to_owned(),
        free_switch_image: "example.com/freeswitch:1.10".to_owned(),
        operator_namespace: "sofia-phone".to_owned(),
        operator_labels: [("app.kubernetes.io/name".to_owned(), "sofia-operator".to_owned())].into(),
        network_policies: true,
    }
}
