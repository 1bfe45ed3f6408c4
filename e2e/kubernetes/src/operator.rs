//! The operator in the cluster: where it is, how it is installed, when it is there.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;

use crate::namespace::Namespace;
use crate::tools::{Command, variable};
use crate::wait::{eventually, when};

/// Namespace and name of the operator's release.
pub const OPERATOR_NAMESPACE: &str = "sofia-phone";

/// Runs helm against the operator's namespace.
pub async fn helm(arguments: &[&str]) -> Command {
    let all = [&["--namespace", OPERATOR_NAMESPACE], arguments].concat();
    Command::run(&variable("E2E_HELM"), &all).await
}

/// Installs the chart of this checkout, or upgrades what is there to it.
///
/// # Panics
/// When helm fails.
pub async fn install_this_release() {
    let chart = repository().join("charts/sofia-phone");
    let values = variable("E2E_HELM_VALUES");
    let chart = chart.to_str().expect("a path of text");
    let arguments = ["upgrade", "--install", "sofia-phone", chart, "--values", &values, "--take-ownership", "--wait"];
    drop(helm(&arguments).await.printed());
}

/// The file with the rendered chart and CustomResourceDefinition of the release before this one.
///
/// # Panics
/// When the environment names none.
#[must_use]
pub fn previous_release() -> String {
    variable("E2E_PREVIOUS")
}

/// Whether that one's programs are its own too; else only its manifests are.
#[must_use]
pub fn previous_release_is_built() -> bool {
    std::env::var_os("E2E_FORMER_BUILT").is_some()
}

/// Waits until the operator's pods are ready.
pub async fn wait_for_operator(namespace: &Namespace) {
    let deployments: Api<Deployment> = Api::namespaced(namespace.client.clone(), OPERATOR_NAMESPACE);
    let selector = ListParams::default().labels("app.kubernetes.io/name=sofia-phone-operator");
    eventually("the operator to be ready", async || {
        let found = deployments.list(&selector).await.map_err(|error| error.to_string())?.items;
        let deployment = found.first().ok_or("no Deployment")?;
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let there = status.observed_generation == deployment.metadata.generation
            && [status.replicas, status.updated_replicas, status.ready_replicas] == [wanted; 3];
        when(there, status)
    })
    .await;
}

/// The script that made the cluster, where it made one: it can restart parts of it and harm pods.
#[must_use]
pub fn cluster_tool() -> Option<String> {
    std::env::var("E2E_CLUSTER").ok()
}

/// Whether the cluster lives in a network namespace of its own, in which the test may do as it likes.
#[must_use]
pub fn own_network() -> bool {
    std::env::var("E2E_OWN_NETWORK").is_ok_and(|own| own == "1")
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("e2e/kubernetes lies two levels below the repository")
}
