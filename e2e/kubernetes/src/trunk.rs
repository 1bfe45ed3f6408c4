//! A VoiceTrunk of a scenario: what it says of itself, its pods, and the callers in its FreeSWITCH.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use sofia_crds::{VoiceTrunk, VoiceTrunkStatus};

use crate::callers::Callers;
use crate::namespace::Namespace;
use crate::operator::cluster_tool;
use crate::tools::Command;
use crate::wait::{eventually, when};

/// A VoiceTrunk of a scenario.
#[derive(Clone)]
pub struct Trunk {
    /// Where it is.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
}

impl Trunk {
    /// A trunk that may or may not be there.
    #[must_use]
    pub fn new(namespace: Namespace, name: &str) -> Self {
        Self { namespace, name: name.to_owned() }
    }

    /// The trunks of the namespace.
    #[must_use]
    pub fn api(&self) -> Api<VoiceTrunk> {
        self.namespace.api()
    }

    /// `kubectl apply`: makes the trunk, or changes it to this spec. The images are filled in where it names none.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(&self, mut spec: Value) {
        let images = &self.namespace.images;
        let object = spec.as_object_mut().expect("a spec is an object");
        if !object.contains_key("externalFreeSwitch") {
            let switch = object.entry("freeSwitch").or_insert_with(|| json!({}));
            let switch = switch.as_object_mut().expect("freeSwitch is an object");
            switch.entry("image").or_insert_with(|| json!(images.switch));
            switch.entry("resources").or_insert_with(|| json!({"requests": {"cpu": "10m", "memory": "32Mi"}}));
        }
        let data_plane = object.entry("dataPlane").or_insert_with(|| json!({}));
        let data_plane = data_plane.as_object_mut().expect("dataPlane is an object");
        data_plane.entry("image").or_insert_with(|| json!(images.data_plane));
        data_plane.entry("resources").or_insert_with(|| json!({"requests": {"cpu": "10m", "memory": "32Mi"}}));
        // `null` leaves it out: the operator's own is taken.
        data_plane.retain(|_, value| !value.is_null());
        // A whole cluster shares the machine, and builds may too: that pods are late there says nothing of a scenario.
        let sessions = object.entry("sessions").or_insert_with(|| json!({}));
        let sessions = sessions.as_object_mut().expect("sessions is an object");
        sessions.entry("maxLatenessMilliseconds").or_insert_with(|| json!(0));
        // `null` leaves it out: a release may not know it.
        sessions.retain(|_, value| !value.is_null());
        let whole = json!({
            "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk", "metadata": {"name": self.name}, "spec": spec,
        });
        let parameters = PatchParams::apply("e2e").force();
        self.api().patch(&self.name, &parameters, &Patch::Apply(whole)).await.expect("the trunk is accepted");
    }

    /// Changes some fields: a merge patch, tried again while the API server is away.
    pub async fn change(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        eventually("a change to be accepted", async || {
            let changed = self.api().patch(&self.name, &PatchParams::default(), &patch).await;
            changed.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Deletes the trunk and waits until it and its pods are gone.
    ///
    /// # Panics
    /// When they don't go.
    pub async fn delete(&self) {
        self.api().delete(&self.name, &DeleteParams::default()).await.expect("the trunk can be deleted");
        eventually("the end of the trunk", async || {
            let there = self.api().get_opt(&self.name).await.map_err(|error| error.to_string())?;
            when(there.is_none(), there.map(|trunk| trunk.status))?;
            let pods: Vec<Pod> = self.namespace.list(&format!("app.kubernetes.io/instance={}", self.name)).await;
            when(pods.is_empty(), names(&pods))
        })
        .await;
    }

    /// What the operator says of it; nothing yet counts as empty.
    ///
    /// # Panics
    /// When the trunk is not there.
    pub async fn status(&self) -> VoiceTrunkStatus {
        self.api().get(&self.name).await.expect("the trunk is there").status.unwrap_or_default()
    }

    /// Waits until a condition has a value, and returns its `reason: message`.
    pub async fn condition(&self, kind: &str, value: &str) -> String {
        eventually(&format!("condition {kind} to be {value} of {}", self.name), async || {
            let trunk = self.api().get(&self.name).await.map_err(|error| error.to_string())?;
            let conditions = trunk.status.map(|status| status.conditions).unwrap_or_default();
            conditions
                .iter()
                .find(|condition| {
                    condition.type_ == kind
                        && condition.status == value
                        && condition.observed_generation == trunk.metadata.generation
                })
                .map(|condition| format!("{}: {}", condition.reason, condition.message))
                .ok_or_else(|| format!("{conditions:?}"))
        })
        .await
    }

    /// Waits until callers can be answered by this many pods, with nothing under way.
    pub async fn ready(&self, pods: u32) {
        self.condition("Ready", "True").await;
        eventually(&format!("{pods} ready pods of {}", self.name), async || {
            let trunk = self.api().get(&self.name).await.map_err(|error| error.to_string())?;
            let status = trunk.status.unwrap_or_default();
            when(status.ready_replicas == pods && status.replicas == pods, status)
        })
        .await;
    }

    /// The pods of a part of it, `dataplane` or `freeswitch`, without those that Kubernetes is ending.
    pub async fn pods(&self, component: &str) -> Vec<Pod> {
        let mut pods = self.every_pod(component).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// The pods of a part of it, also those that are ending.
    pub async fn every_pod(&self, component: &str) -> Vec<Pod> {
        let selector = format!("app.kubernetes.io/instance={},app.kubernetes.io/component={component}", self.name);
        self.namespace.list(&selector).await
    }

    /// The data-plane pod with this address.
    ///
    /// # Panics
    /// When there is none.
    pub async fn pod_at(&self, address: &str) -> Pod {
        let has = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.pod_ip.as_deref() == Some(address));
        let pods = self.every_pod("dataplane").await;
        pods.into_iter().find(has).unwrap_or_else(|| panic!("no data-plane pod has the address {address}"))
    }

    /// Does to a pod what no API offers, by the tool that made the cluster: sends its processes a signal, cuts its network.
    ///
    /// # Panics
    /// When the cluster can't.
    pub async fn harm(&self, pod: &Pod, how: &[&str]) {
        let tool = cluster_tool().expect("the cluster is one that this test may harm");
        let name = name(pod);
        let arguments = [&["pod", &self.namespace.name, &name], how].concat();
        drop(Command::run(&tool, &arguments).await.printed());
    }

    /// The callers that live in its FreeSWITCH.
    ///
    /// # Panics
    /// When there is no FreeSWITCH pod, or several.
    pub async fn callers(&self) -> Callers {
        let pods = self.pods("freeswitch").await;
        let [pod] = pods.as_slice() else { panic!("one FreeSWITCH was expected, there are {:?}", names(&pods)) };
        Callers::new(self.namespace.client.clone(), &self.namespace.name, &name(pod))
    }
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(name).collect()
}
