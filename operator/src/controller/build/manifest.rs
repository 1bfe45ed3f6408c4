//! Objects of any kind in the one form in which they are applied. Decides nothing about what is in them.

use k8s_openapi::{Metadata, NamespaceResourceScope, Resource, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::Value;

use super::{Objects, kind::Kind};

/// An object as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What it is.
    pub kind: Kind,
    /// Namespace that it is in.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole object, with `apiVersion` and `kind`.
    pub value: Value,
}

impl Objects {
    /// All objects in the order of application ([`Kind`]), those of a kind as they were built.
    pub fn manifests(self) -> Vec<Manifest> {
        // Without `..`: a kind that is built and not applied does not compile.
        let Self {
            service_accounts,
            secrets,
            config_maps,
            services,
            deployments,
            pod_disruption_budgets,
            network_policies,
            horizontal_pod_autoscalers,
            pod_monitors,
        } = self;
        let mut manifests = Vec::new();
        manifests.extend(service_accounts.iter().map(|object| typed(Kind::ServiceAccount, object)));
        manifests.extend(secrets.iter().map(|object| typed(Kind::Secret, object)));
        manifests.extend(config_maps.iter().map(|object| typed(Kind::ConfigMap, object)));
        manifests.extend(services.iter().map(|object| typed(Kind::Service, object)));
        manifests.extend(network_policies.iter().map(|object| typed(Kind::NetworkPolicy, object)));
        manifests.extend(deployments.iter().map(|object| typed(Kind::Deployment, object)));
        manifests.extend(pod_disruption_budgets.iter().map(|object| typed(Kind::PodDisruptionBudget, object)));
        manifests.extend(horizontal_pod_autoscalers.iter().map(|object| typed(Kind::HorizontalPodAutoscaler, object)));
        manifests.extend(pod_monitors.iter().map(|object| dynamic(Kind::PodMonitor, object)));
        manifests
    }
}

fn typed<K>(kind: Kind, object: &K) -> Manifest
where
    K: Resource<Scope = NamespaceResourceScope> + Metadata<Ty = ObjectMeta> + Serialize,
{
    manifest(kind, object.metadata(), object)
}

fn dynamic(kind: Kind, object: &DynamicObject) -> Manifest {
    manifest(kind, &object.metadata, object)
}

fn manifest(kind: Kind, metadata: &ObjectMeta, object: &impl Serialize) -> Manifest {
    Manifest {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        value: serde_json::to_value(object).expect("the types of the Kubernetes API are made for JSON"),
    }
}
