//! Deployment of the data plane: the pods that hold the conversations. How many there are is decided elsewhere.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, HTTPGetAction, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, Volume, VolumeProjection,
        },
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    BuildError,
    environment::{self, Environment},
    hash,
    labels::{self, Component},
    metadata::Context,
    names,
    pod::{self, Usual},
};

/// Of a pod whose spec says nothing: a hundred calls with a backend elsewhere take less. It writes logs, and no other file.
const USUAL: Usual = Usual { cpu: "250m", memory: "128Mi", disk: "64Mi", disk_limit: "512Mi" };

const SECRETS: &str = "secrets";

/// The Deployment of the data-plane pods.
pub(super) fn deployment(context: &Context<'_>) -> Result<Deployment, BuildError> {
    let Environment { variables, files } = environment::data_plane(context)?;
    let container = Container { env: Some(variables), ..container(context) };
    Ok(Deployment {
        metadata: metadata(context),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::try_from(context.inputs.data_plane_replicas).unwrap_or(i32::MAX)),
            selector: context.selector(Component::DataPlane),
            // New pods first, then old ones end, each at the pace of its calls.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(3),
            template: template(
                context,
                pod::with_template(pod_spec(context, container, files), &context.spec.data_plane.pod_template),
            ),
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

/// With the spec, for the time when the trunk has one that can't be carried out.
fn metadata(context: &Context<'_>) -> ObjectMeta {
    let spec = serde_json::to_string(context.spec).expect("a spec that came as JSON is JSON");
    let annotations = BTreeMap::from([(labels::LAST_SPEC.to_owned(), spec)]);
    context.annotated(Component::DataPlane, names::data_plane(context.name), &annotations)
}

/// The annotation tells this template from the one before.
fn template(context: &Context<'_>, spec: PodSpec) -> PodTemplateSpec {
    let data_plane = &context.spec.data_plane;
    // The settings are in the spec; what is in the Secrets is not.
    let written = serde_json::to_string(&(&spec, &data_plane.pod_labels, &data_plane.pod_annotations));
    let written = written.expect("the types of the Kubernetes API are made for JSON");
    let hash = hash::of(&[&context.inputs.referenced.data_plane_fingerprint, &written]);
    let own = (
        labels::selector(context.name, Component::DataPlane),
        BTreeMap::from([(labels::CONFIGURATION_HASH.to_owned(), hash)]),
    );
    let metadata = pod::template_metadata(own, &data_plane.pod_labels, &data_plane.pod_annotations);
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn pod_spec(context: &Context<'_>, container: Container, files: Vec<VolumeProjection>) -> PodSpec {
    let data_plane = &context.spec.data_plane;
    PodSpec {
        service_account_name: Some(names::data_plane(context.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(context.spec.drain.grace_period_seconds().into()),
        priority_class_name: data_plane.priority_class_name.clone(),
        node_selector: (!data_plane.node_selector.is_empty()).then(|| data_plane.node_selector.clone()),
        tolerations: pod::some_unless_empty(data_plane.tolerations.clone()),
        topology_spread_constraints: Some(pod::spread(context, Component::DataPlane, &data_plane.pod_template)),
        image_pull_secrets: pod::pull_secrets(&data_plane.image_pull_secrets),
        security_context: Some(pod::security()),
        containers: vec![container],
        volumes: Some(vec![Volume {
            name: SECRETS.to_owned(),
            projected: Some(ProjectedVolumeSource { default_mode: Some(pod::SECRET_MODE), sources: Some(files) }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn container(context: &Context<'_>) -> Container {
    let data_plane = &context.spec.data_plane;
    let image = data_plane.image.as_ref().unwrap_or(&context.inputs.release.data_plane_image);
    Container {
        name: Component::DataPlane.as_str().to_owned(),
        image: Some(image.clone()),
        ports: Some(vec![
            pod::port("esl", "TCP", names::ESL_PORT),
            pod::port(names::ADMIN_PORT_NAME, "TCP", names::ADMIN_PORT),
            // The first media worker's. The others' follow it; how many there are depends on the node.
            pod::port("rtp", "UDP", names::RTP_START_PORT),
        ]),
        resources: Some(pod::resources(data_plane.resources.as_ref(), &USUAL)),
        startup_probe: Some(Probe { failure_threshold: Some(60), ..probe("/health", 1) }),
        liveness_probe: Some(Probe { failure_threshold: Some(3), timeout_seconds: Some(5), ..probe("/health", 10) }),
        // Soon and at the first answer: a pod that is full or draining refuses calls by itself, but each try costs the caller a moment.
        // One that hangs takes connections and answers none: until it is out of the Service, each new call that meets it waits.
        readiness_probe: Some(Probe { failure_threshold: Some(1), timeout_seconds: Some(1), ..probe("/ready", 1) }),
        security_context: Some(pod::container_security(&[])),
        volume_mounts: Some(vec![pod::mount(SECRETS, environment::SECRETS_PATH, true)]),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(names::ADMIN_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        ..Probe::default()
    }
}
