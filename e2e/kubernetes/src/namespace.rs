//! A namespace of its own for each scenario; when the scenario is over it goes with everything in it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Namespace as KubeNamespace, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::tools::Images;
use crate::trunk::Trunk;
use crate::wait::eventually;

/// An administrator's client. A request is not repeated by itself, and none waits for ever: scenarios restart the API server and
/// lose pods behind its proxy, and [`eventually`] asks again.
async fn client() -> Client {
    let mut config = Config::infer().await.expect("a kubeconfig of a cluster that is up");
    config.default_retry = false;
    config.read_timeout = Some(Duration::from_secs(20));
    config.reset_reader_on_write = true;
    Client::try_from(config).expect("a client from a kubeconfig")
}

/// A namespace of a scenario.
#[derive(Clone)]
pub struct Namespace {
    /// Talks to the API server as an administrator.
    pub client: Client,
    /// Its name.
    pub name: String,
    /// The images that trunks in it use.
    pub images: Images,
    made: Instant,
}

impl Namespace {
    /// Makes a namespace for a scenario and waits until pods can be made in it.
    ///
    /// # Panics
    /// When there is no cluster.
    pub async fn create(scenario: &str) -> Self {
        let client = client().await;
        let namespaces: Api<KubeNamespace> = Api::all(client.clone());
        let labels = json!({"app.kubernetes.io/part-of": "sofia-phone-e2e"});
        let wanted = json!({"metadata": {"generateName": format!("e2e-{scenario}-"), "labels": labels}});
        let wanted = serde_json::from_value(wanted).expect("a namespace");
        let made = namespaces.create(&PostParams::default(), &wanted).await.expect("a namespace can be made");
        let name = made.metadata.name.expect("it has a name");
        let this = Self { client, name, images: Images::from_environment(), made: Instant::now() };
        let accounts: Api<ServiceAccount> = this.api();
        eventually("the namespace's default service account", async || {
            accounts.get("default").await.map_err(|error| error.to_string())
        })
        .await;
        this
    }

    /// The objects of a kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The objects of a kind in this namespace, listed.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn list<K>(&self, selector: &str) -> Vec<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.api::<K>().list(&ListParams::default().labels(selector)).await.expect("a list").items
    }

    /// A trunk of this namespace, made from a `spec` that says what matters to the scenario; the images are filled in.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn trunk(&self, name: &str, spec: Value) -> Trunk {
        let trunk = Trunk::new(self.clone(), name);
        trunk.apply(spec).await;
        trunk
    }

    /// A Secret of this namespace.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn secret(&self, name: &str, values: Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values});
        let parameters = PatchParams::apply("e2e").force();
        self.api::<Secret>().patch(name, &parameters, &Patch::Apply(secret)).await.expect("a Secret");
    }

    /// What was told of the objects of this namespace: `reason: message`.
    pub async fn events(&self) -> Vec<String> {
        let events: Vec<Event> = self.list("").await;
        events
            .into_iter()
            .map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect()
    }

    /// What a pod's admin HTTP shows to everybody at `path`; empty where there is none.
    ///
    /// # Panics
    /// When the pod has no name, which none has that is in the cluster.
    pub async fn ask_pod(&self, pod: &Pod, path: &str) -> String {
        let name = pod.metadata.name.as_deref().expect("pods have names");
        let path = format!("/api/v1/namespaces/{}/pods/http:{name}:8080/proxy/{path}", self.name);
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        self.client.request_text(request).await.unwrap_or_default()
    }

    /// Prints how far the scenario is, and since when it runs.
    pub fn say(&self, what: &str) {
        println!("{what}, after {:.0} s", self.made.elapsed().as_secs_f64());
    }

    /// Begins to remove the namespace with everything in it, and says how long the scenario took. Nobody waits here: `run.sh` does, once
    /// for all.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn delete(self) {
        let namespaces: Api<KubeNamespace> = Api::all(self.client.clone());
        namespaces.delete(&self.name, &DeleteParams::background()).await.expect("the namespace can be deleted");
        // Pods of a scenario that is over have no calls to be waited for.
        let hasty = DeleteParams::default().grace_period(0);
        let pods: Api<k8s_openapi::api::core::v1::Pod> = self.api();
        drop(pods.delete_collection(&hasty, &ListParams::default()).await);
        println!("took {:.0} s", self.made.elapsed().as_secs_f64());
    }
}
