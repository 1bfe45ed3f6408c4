//! Kubernetes' own controllers, as far as the operator depends on them: Deployments get pods, lose those of the lowest deletion cost first, and
//! say so in their status.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::api::Api;

/// The controllers as they run.
pub struct Cluster {
    api: Api,
    ready: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Starts them.
    pub fn start(api: &Api) -> Self {
        let ready = Arc::new(AtomicBool::new(true));
        let (of_task, mut changes) = (Arc::clone(&ready), api.changes());
        let at = api.clone();
        let task = tokio::spawn(async move {
            loop {
                step(&at, of_task.load(Ordering::Relaxed));
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { api: api.clone(), ready, task }
    }

    /// Whether pods become ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        step(&self.api, ready);
    }
}

fn step(api: &Api, ready: bool) {
    for deployment in api.all("apps", "deployments") {
        let pods = pods_of(api, &deployment);
        let replicas = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1)).expect("a small number");
        let template = &deployment["spec"]["template"];
        let (current, old): (Vec<Value>, Vec<Value>) = pods
            .into_iter()
            .partition(|pod| pod["metadata"]["annotations"]["test/template"] == template.to_string().as_str());
        for pod in old {
            api.delete("", "pods", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        }
        for _ in current.len()..replicas {
            make_pod(api, &deployment);
        }
        let mut surplus = current.clone();
        surplus.sort_by_key(|pod| {
            let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
            cost.and_then(|cost| cost.parse::<i64>().ok()).unwrap_or(0)
        });
        for pod in surplus.iter().take(current.len().saturating_sub(replicas)) {
            api.delete("", "pods", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        }
        for pod in pods_of(api, &deployment) {
            // A pod that drains says so by its readiness.
            let drains = pod["metadata"]["annotations"]["test/drains"].is_string();
            set_ready(api, &pod, ready && !drains);
        }
        let status = json!({ "status": {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": if ready { replicas } else { 0 },
        } });
        let metadata = &deployment["metadata"];
        api.change("apps", "deployments", text(&metadata["namespace"]), text(&metadata["name"]), &status);
    }
}

fn pods_of(api: &Api, deployment: &Value) -> Vec<Value> {
    let mut pods = api.all("", "pods");
    pods.retain(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]);
    pods
}

fn make_pod(api: &Api, deployment: &Value) {
    let template = &deployment["spec"]["template"];
    let mut pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
    let taken: Vec<String> = api.all("", "pods").iter().map(|pod| text(&pod["status"]["podIP"]).to_owned()).collect();
    let number = (1..250).find(|number| !taken.contains(&format!("10.1.0.{number}"))).expect("fewer than 250 pods");
    let metadata = &mut pod["metadata"];
    metadata["name"] = json!(format!("{}-{number}", text(&deployment["metadata"]["name"])));
    metadata["namespace"] = deployment["metadata"]["namespace"].clone();
    metadata["annotations"]["test/template"] = json!(template.to_string());
    metadata["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
        "name": deployment["metadata"]["name"], "uid": deployment["metadata"]["uid"] }]);
    pod["spec"]["nodeName"] = json!("node-1");
    pod["status"] = json!({ "phase": "Running", "podIP": format!("10.1.0.{number}"), "hostIP": "192.0.2.1" });
    api.put("", "pods", pod);
}

fn set_ready(api: &Api, pod: &Value, ready: bool) {
    let container = json!({ "name": pod["spec"]["containers"][0]["name"], "ready": ready, "restartCount": 0,
        "image": "image", "imageID": "image", "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } });
    let patch = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        "containerStatuses": [container],
    } });
    api.change("", "pods", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]), &patch);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
