//! What the pods of both parts have in common: who they run as, what they may do, how they are spread, and how files get into them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, LocalObjectReference, PodSecurityContext, PodSpec,
        ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use sofia_crds::spec::{PodTemplate, SecretRef, ZoneSpread};

use super::{Labels, labels::Component, metadata::Context};

/// User and group of the processes, as in the data plane's image. It owns nothing.
pub(super) const USER: i64 = 65532;

/// Mode of files with secrets: readable to the group, which is the pods' `fsGroup`.
pub(super) const SECRET_MODE: i32 = 0o440;

/// Not root, files readable to the group, only the usual system calls: what the restricted pod security standard demands of a pod.
pub(super) fn security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// No capabilities but the named ones, no way to more of them, no writing but to volumes.
pub(super) fn container_security(capabilities: &[&str]) -> SecurityContext {
    let added = capabilities.iter().map(|&name| name.to_owned()).collect();
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: (!capabilities.is_empty()).then_some(added),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Over the nodes and their zones as evenly as they allow, each revision by itself, so that what is lost costs as few calls as can be.
pub(super) fn spread(
    context: &Context<'_>,
    component: Component,
    template: &PodTemplate,
) -> Vec<TopologySpreadConstraint> {
    let over = |topology_key: &str, when_unsatisfiable: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: when_unsatisfiable.to_owned(),
        label_selector: Some(context.selector(component)),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    };
    let zone = match template.zone_spread {
        ZoneSpread::Preferred => Some("ScheduleAnyway"),
        ZoneSpread::Required => Some("DoNotSchedule"),
        ZoneSpread::Ignored => None,
    };
    let nodes = over("kubernetes.io/hostname", "ScheduleAnyway");
    [nodes].into_iter().chain(zone.map(|unless| over("topology.kubernetes.io/zone", unless))).collect()
}

/// Adds what the trunk wants its pods to have besides, to the one container too. The operator's own stays: variables that come later count
/// more, and names and paths of its own were refused before.
pub(super) fn with_template(spec: PodSpec, template: &PodTemplate) -> PodSpec {
    let mut spec = PodSpec {
        affinity: template.affinity(),
        runtime_class_name: template.runtime_class_name.clone(),
        volumes: joined(spec.volumes, template.volumes()),
        ..spec
    };
    for container in &mut spec.containers {
        container.volume_mounts = joined(container.volume_mounts.take(), template.volume_mounts());
        container.env = joined(Some(template.env()), container.env.take().unwrap_or_default());
    }
    spec
}

fn joined<T>(first: Option<Vec<T>>, then: Vec<T>) -> Option<Vec<T>> {
    some_unless_empty(first.unwrap_or_default().into_iter().chain(then).collect())
}

/// What the pods of a part take of a node when the spec doesn't say.
pub(super) struct Usual {
    pub(super) cpu: &'static str,
    pub(super) memory: &'static str,
    /// Of the node's disk: logs and empty volumes.
    pub(super) disk: &'static str,
    /// More than the empty volumes may hold, and the logs that a kubelet keeps by default.
    pub(super) disk_limit: &'static str,
}

const DISK: &str = "ephemeral-storage";

/// What the spec says, else requests that let the scheduler place the pods sensibly. No limits on processor and memory then: a pod that is
/// throttled is heard, and one that is killed for its memory loses its calls. Of the node's disk there are both unless the spec says one of
/// them: when a node's disk is full the kubelet evicts pods, first those that take more of it than they asked for.
pub(super) fn resources(spec: Option<&ResourceRequirements>, usual: &Usual) -> ResourceRequirements {
    let quantity = |amount: &str| Quantity(amount.to_owned());
    let mut resources = spec.cloned().unwrap_or_else(|| ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), quantity(usual.cpu)),
            ("memory".to_owned(), quantity(usual.memory)),
        ])),
        ..ResourceRequirements::default()
    });
    let said = [&resources.requests, &resources.limits].into_iter().flatten().any(|amounts| amounts.contains_key(DISK));
    if !said {
        resources.requests.get_or_insert_default().insert(DISK.to_owned(), quantity(usual.disk));
        resources.limits.get_or_insert_default().insert(DISK.to_owned(), quantity(usual.disk_limit));
    }
    resources
}

/// References to the Secrets with which the image is pulled.
pub(super) fn pull_secrets(secrets: &[SecretRef]) -> Option<Vec<LocalObjectReference>> {
    some_unless_empty(secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect())
}

/// A volume that is empty when the pod begins and goes with it. One that grows beyond the limit costs the pod its place, not the node its
/// disk.
pub(super) fn empty_volume(name: &str, limit: &str) -> Volume {
    let empty_dir =
        EmptyDirVolumeSource { size_limit: Some(Quantity(limit.to_owned())), ..EmptyDirVolumeSource::default() };
    Volume { name: name.to_owned(), empty_dir: Some(empty_dir), ..Volume::default() }
}

/// What keeps service meshes out, in the words of each: a sidecar takes connections for a port that is closed, which is how a pod says that
/// it is full, and knows nothing of RTP. [`STAY_OUT_ANNOTATIONS`] are the others' words.
const STAY_OUT_LABELS: [(&str, &str); 3] = [
    ("sidecar.istio.io/inject", "false"),
    ("istio.io/dataplane-mode", "none"),
    ("kuma.io/sidecar-injection", "disabled"),
];
const STAY_OUT_ANNOTATIONS: [(&str, &str); 2] =
    [("linkerd.io/inject", "disabled"), ("consul.hashicorp.com/connect-inject", "false")];

/// Metadata of a pod template: of the same key the user's word counts more than a default, and the operator's own more than both. Without the
/// release's version: a new operator that changes nothing about the pods must not roll them.
pub(super) fn template_metadata(
    own: (Labels, Labels),
    users_labels: &BTreeMap<String, String>,
    users_annotations: &BTreeMap<String, String>,
) -> ObjectMeta {
    let merged = |defaults: &[(&str, &str)], users: &BTreeMap<String, String>, own: Labels| {
        let mut all: Labels = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        all.extend(users.clone());
        all.extend(own);
        Some(all)
    };
    let (labels, annotations) = own;
    ObjectMeta {
        labels: merged(&STAY_OUT_LABELS, users_labels, labels),
        annotations: merged(&STAY_OUT_ANNOTATIONS, users_annotations, annotations),
        ..ObjectMeta::default()
    }
}

/// A whole volume at a path.
pub(super) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// A port of a container.
pub(super) fn port(name: &str, protocol: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        container_port: number.into(),
        ..ContainerPort::default()
    }
}

/// Absent rather than empty: the API server drops empty lists, so they would look changed for ever.
pub(super) fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
