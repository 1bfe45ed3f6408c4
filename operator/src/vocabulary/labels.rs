//! The labels and annotations by which objects are found, grouped and told apart. They are part of what users script against: none
//! is renamed.

use super::Labels;

/// The operator's field manager in server-side apply, and the value of [`MANAGED_BY`].
pub const MANAGER: &str = "sofia-phone-operator";

/// Who looks after an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What an object belongs to: the name of the VoiceTrunk.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Which part of a trunk an object is: a [`Component`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// What the whole is called.
pub const NAME: &str = "app.kubernetes.io/name";
/// Release of the operator that wrote the object.
pub const VERSION: &str = "app.kubernetes.io/version";

/// Value of [`NAME`].
pub const APPLICATION: &str = "sofia-phone";

/// On a data-plane pod: since when it is being drained, RFC 3339. The operator writes it before it asks the pod to drain.
pub const DRAINING_SINCE: &str = "sofia-phone.io/draining-since";
/// On a data-plane pod: that it is drained and empty, `true`. The disruption budget does not count such pods.
pub const DRAINED: &str = "sofia-phone.io/drained";
/// Kubernetes' own: pods with a lower value go first. Written on drained pods only.
pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// On the pod templates: a hash of the pods' spec and of what is in the Secrets that it names, so that a change of those rolls them too.
pub const CONFIGURATION_HASH: &str = "sofia-phone.io/configuration-hash";
/// kubectl's own, on pod templates: when `kubectl rollout restart` was asked for.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// What tells one revision of a pod template from the next: pods have the same as the template that they were made from.
pub const OF_TEMPLATES: [&str; 2] = [CONFIGURATION_HASH, RESTARTED_AT];
/// On every object: a hash of what was applied, by which the operator sees that nothing changed.
pub const APPLIED_HASH: &str = "sofia-phone.io/applied-hash";
/// On the data plane's Deployment: the spec that it was built from, as JSON. It stays in force while the trunk has one that can't be carried
/// out, also for an operator that has just started.
pub const LAST_SPEC: &str = "sofia-phone.io/last-spec";

/// On a VoiceTrunk: the class of the operator that looks after it. Without it, an operator without a class does.
pub const OPERATOR_CLASS: &str = "sofia-phone.io/operator-class";

/// On a namespace, with the value `true`: its pods may read the data-plane pods' metrics where network policies are made.
pub const METRICS_ACCESS: &str = "sofia-phone.io/metrics";
/// Kubernetes' own, on every namespace: its name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A part of a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// FreeSWITCH.
    FreeSwitch,
    /// The data-plane pods.
    DataPlane,
}

impl Component {
    /// The value of [`COMPONENT`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FreeSwitch => "freeswitch",
            Self::DataPlane => "dataplane",
        }
    }
}

/// The labels by which the pods of a part of a trunk are selected; never change for the life of a trunk, since selectors can't.
pub fn selector(trunk: &str, component: Component) -> Labels {
    [(NAME, APPLICATION), (INSTANCE, trunk), (COMPONENT, component.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of an object of a trunk.
pub fn object(trunk: &str, component: Component, version: &str) -> Labels {
    let mut labels = selector(trunk, component);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(VERSION.to_owned(), version.to_owned());
    labels
}
