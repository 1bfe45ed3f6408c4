//! What keeps a pod from working, from what Kubernetes says of it, in words that say what to do.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt as _;

use super::text::foreign;
use crate::vocabulary::labels::{self, Component};

/// Exit status of a data plane whose settings can't be used: `EX_CONFIG` of sysexits.h.
const EX_CONFIG: i32 = 78;
/// Exit status of a process that was ended by SIGKILL, mostly for want of memory.
const KILLED: i32 = 137;

/// A kind of trouble, the more certain the earlier: what stands first is told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TroubleKind {
    /// The image can't be had.
    ImagePull,
    /// The container can't be made from the pod's spec, mostly because a Secret is missing.
    ContainerConfig,
    /// The data plane says that its settings are wrong.
    Settings,
    /// The container ran out of memory.
    OutOfMemory,
    /// The container ends again and again.
    CrashLoop,
    /// No node takes the pod.
    Unschedulable,
}

impl TroubleKind {
    /// The condition's reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ImagePull => "ImagePullFailed",
            Self::ContainerConfig => "ContainerConfigError",
            Self::Settings => "SettingsRefused",
            Self::OutOfMemory => "OutOfMemory",
            Self::CrashLoop => "CrashLoop",
            Self::Unschedulable => "Unschedulable",
        }
    }
}

/// What keeps a pod from working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind it is.
    pub kind: TroubleKind,
    /// What is wrong, about a pod that is named elsewhere: `its image x cannot be pulled: …`.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Trouble {
    /// The pod's trouble, if it has one; of several containers' the first.
    pub fn of(pod: &Pod) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let section = Section::of(pod);
        let containers = [&status.init_container_statuses, &status.container_statuses];
        let in_a_container =
            containers.into_iter().flatten().flatten().find_map(|container| of_container(container, section, pod));
        in_a_container.or_else(|| {
            let refused = status.conditions.iter().flatten().find(|condition| {
                condition.type_ == "PodScheduled"
                    && condition.status == "False"
                    && condition.reason.as_deref() == Some("Unschedulable")
            })?;
            Some(Self {
                kind: TroubleKind::Unschedulable,
                what: format!(
                    "no node takes it: {}",
                    foreign(refused.message.as_deref().unwrap_or("no reason was given"))
                ),
                advice: format!(
                    "check {0}.resources, {0}.nodeSelector and {0}.tolerations, or add nodes",
                    section.path()
                ),
            })
        })
    }
}

/// The section of the spec that a pod is made from.
#[derive(Clone, Copy)]
struct Section(Component);

impl Section {
    fn of(pod: &Pod) -> Self {
        let free_switch =
            pod.labels().get(labels::COMPONENT).is_some_and(|value| value == Component::FreeSwitch.as_str());
        Self(if free_switch { Component::FreeSwitch } else { Component::DataPlane })
    }

    fn path(self) -> &'static str {
        match self.0 {
            Component::FreeSwitch => "spec.freeSwitch",
            Component::DataPlane => "spec.dataPlane",
        }
    }
}

fn of_container(container: &ContainerStatus, section: Section, pod: &Pod) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let said = foreign(waiting.message.as_deref().unwrap_or("no reason was given"));
    let path = section.path();
    match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            let image = foreign(image(container, pod));
            Some(Trouble {
                kind: TroubleKind::ImagePull,
                what: format!("its image {image} cannot be pulled: {said}"),
                advice: format!("check {path}.image and {path}.imagePullSecrets"),
            })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some(Trouble {
            kind: TroubleKind::ContainerConfig,
            what: format!("its container {} cannot be made: {said}", foreign(&container.name)),
            advice: "create what is missing there; it goes on by itself then".to_owned(),
        }),
        "CrashLoopBackOff" => Some(crashed(container, section)),
        _ => None,
    }
}

/// The image as the spec has it: before it was pulled, the status may lack it.
fn image<'a>(container: &'a ContainerStatus, pod: &'a Pod) -> &'a str {
    let in_spec = pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    in_spec
        .filter(|wanted| wanted.name == container.name)
        .find_map(|wanted| wanted.image.as_deref())
        .unwrap_or(&container.image)
}

fn crashed(container: &ContainerStatus, section: Section) -> Trouble {
    let ended = container.last_state.as_ref().and_then(|state: &ContainerState| state.terminated.as_ref());
    let code = ended.map(|ended| ended.exit_code);
    let out_of_memory = ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"));
    let log = format!("read its log: kubectl logs --previous -c {}", foreign(&container.name));
    match (code, section.0) {
        (Some(EX_CONFIG), Component::DataPlane) => Trouble {
            kind: TroubleKind::Settings,
            what: "it says that its settings are wrong (exit status 78) and names them in its log".to_owned(),
            advice: format!("{log}; an image of another release than the operator's may not know all of them"),
        },
        _ if out_of_memory => Trouble {
            kind: TroubleKind::OutOfMemory,
            what: "it needs more memory than it may have and is killed".to_owned(),
            advice: format!("raise {0}.resources.limits.memory", section.path()),
        },
        (Some(KILLED), _) => Trouble {
            kind: TroubleKind::CrashLoop,
            what: "it is killed again and again (exit status 137)".to_owned(),
            advice: format!("look at the pod's events for failed probes; {log}"),
        },
        (Some(code), _) => Trouble {
            kind: TroubleKind::CrashLoop,
            what: format!("it ends again and again, with exit status {code}"),
            advice: log,
        },
        (None, _) => Trouble { kind: TroubleKind::CrashLoop, what: "it ends again and again".to_owned(), advice: log },
    }
}
