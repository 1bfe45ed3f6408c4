//! Every kind of object that the operator owns, in the order in which they are applied. Watches, applies and prunes go through this
//! table, so that none of them knows a kind that the others don't.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of object that the operator owns. The order is that of application: what pods refer to, what guards them, the pods, what
/// counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Identity of pods.
    ServiceAccount,
    /// Passwords, tokens, and files with them.
    Secret,
    /// What an external FreeSWITCH needs to know.
    ConfigMap,
    /// Ways to pods.
    Service,
    /// Who may reach what. Before the pods: they are never reachable without it.
    NetworkPolicy,
    /// Pods.
    Deployment,
    /// How many pods may be evicted at a time.
    PodDisruptionBudget,
    /// Who changes the number of pods.
    HorizontalPodAutoscaler,
    /// Where Prometheus finds the pods' metrics; not known to every cluster.
    PodMonitor,
}

impl Kind {
    /// Every kind, in the order of application. Deletion goes the other way round.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::Service,
        Self::NetworkPolicy,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::PodMonitor,
    ];

    /// Its name in manifests, such as `Service`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.row().group
    }

    /// The version of the group in which it is written, such as `v1`.
    pub fn version(self) -> &'static str {
        self.row().version
    }

    /// Its name in URLs and RBAC rules, such as `services`.
    pub fn plural(self) -> &'static str {
        self.row().plural
    }

    /// Whether the API server counts changes of its `spec` in `metadata.generation`. Where it does not, only
    /// `metadata.resourceVersion` tells one state of an object from the next.
    pub fn has_generation(self) -> bool {
        self.row().has_generation
    }

    /// Whether every cluster knows it. One that doesn't is only watched and applied where discovery found it.
    pub fn built_in(self) -> bool {
        self != Self::PodMonitor
    }

    /// What kube's dynamic requests need to know of it.
    pub fn api_resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(self.group(), self.version(), self.name()),
            self.plural(),
        )
    }

    fn row(self) -> Row {
        let (group, version, name, plural, has_generation) = match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts", false),
            Self::Secret => ("", "v1", "Secret", "secrets", false),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps", false),
            Self::Service => ("", "v1", "Service", "services", false),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments", true),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", false)
            }
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", true),
        };
        Row { group, version, name, plural, has_generation }
    }
}

struct Row {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    has_generation: bool,
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        Resource,
        api::{
            apps::v1::Deployment,
            autoscaling::v2::HorizontalPodAutoscaler,
            core::v1::{ConfigMap, Secret, Service, ServiceAccount},
            networking::v1::NetworkPolicy,
            policy::v1::PodDisruptionBudget,
        },
    };

    use super::*;

    fn assert_row<K: Resource>(kind: Kind) {
        let written = (kind.group(), kind.version(), kind.name(), kind.plural());
        assert_eq!(written, (K::GROUP, K::VERSION, K::KIND, K::URL_PATH_SEGMENT));
        assert_eq!(kind.api_resource().api_version, K::API_VERSION);
    }

    #[test]
    fn the_table_agrees_with_the_types_of_the_kubernetes_api() {
        assert_row::<ServiceAccount>(Kind::ServiceAccount);
        assert_row::<Secret>(Kind::Secret);
        assert_row::<ConfigMap>(Kind::ConfigMap);
        assert_row::<Service>(Kind::Service);
        assert_row::<NetworkPolicy>(Kind::NetworkPolicy);
        assert_row::<Deployment>(Kind::Deployment);
        assert_row::<PodDisruptionBudget>(Kind::PodDisruptionBudget);
        assert_row::<HorizontalPodAutoscaler>(Kind::HorizontalPodAutoscaler);
        assert_eq!(Kind::PodMonitor.api_resource().api_version, "monitoring.coreos.com/v1");
    }

    #[test]
    fn all_kinds_are_listed_once_in_the_order_of_application() {
        assert!(Kind::ALL.is_sorted_by(|a, b| a < b));
    }
}
