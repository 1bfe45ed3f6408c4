//! What the pods of both parts have in common: who they run as, what they may do, how they are spread, and how files get into them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, LocalObjectReference, PodSecurityContext,
        ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use sofia_crds::spec::SecretRef;

use super::{labels::Component, metadata::Context};

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

/// Over the nodes as evenly as they allow, each revision by itself, so that a lost node costs as few calls as can be.
pub(super) fn spread(context: &Context<'_>, component: Component) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(context.selector(component)),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}

/// What the spec says, else requests that let the scheduler place the pods sensibly. No limits then: a pod that is throttled is heard,
/// and one that is killed for its memory loses its calls.
pub(super) fn resources(spec: Option<&ResourceRequirements>, cpu: &str, memory: &str) -> ResourceRequirements {
    spec.cloned().unwrap_or_else(|| ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ])),
        ..ResourceRequirements::default()
    })
}

/// References to the Secrets with which the image is pulled.
pub(super) fn pull_secrets(secrets: &[SecretRef]) -> Option<Vec<LocalObjectReference>> {
    some_unless_empty(secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect())
}

/// A volume that is empty when the pod begins and goes with it.
pub(super) fn empty_volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
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
