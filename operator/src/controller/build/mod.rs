//! From a checked VoiceTrunk to its objects: pure, no cluster is asked, and the same inputs give the same objects.
//!
//! | to find | look in |
//! |---|---|
//! | FreeSWITCH's Deployment | `free_switch.rs` |
//! | the data plane's Deployment | `data_plane.rs` |
//! | the data plane's settings (`SOFIA_PHONE_…`) and the files with its secrets | `environment.rs` |
//! | Services | `service.rs` |
//! | Secrets | `secret.rs` |
//! | the ConfigMap for an external FreeSWITCH | `config_map.rs` |
//! | ServiceAccounts | `account.rs` |
//! | PodDisruptionBudgets | `budget.rs` |
//! | NetworkPolicies | `policy.rs` |
//! | HorizontalPodAutoscaler, PodMonitor | `autoscaler.rs`, `monitor.rs` |
//! | names, ports, keys; labels and annotations | [`crate::vocabulary`] |
//! | owner references; what all pods have in common | `metadata.rs`; `pod.rs` |
//! | the kinds, their order, and the form in which they are applied | `kind.rs`, `manifest.rs` |

mod account;
mod autoscaler;
mod budget;
mod config_map;
mod data_plane;
mod environment;
mod free_switch;
mod hash;
pub mod kind;
pub mod manifest;
mod metadata;
mod monitor;
mod pod;
mod policy;
mod secret;
mod service;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::api::DynamicObject;
use sofia_crds::{
    VoiceTrunk,
    spec::{ExternalFreeSwitch, FreeSwitch, NetworkType, ScalingMode, Switch},
};

pub use self::{kind::Kind, manifest::Manifest};

use self::{labels::Component, metadata::Context};
use super::dereference::Referenced;
use crate::{
    freeswitch::{self, RenderError, SwitchConfig},
    release::Release,
    vocabulary::{Labels, labels, names},
};

/// What the objects of a VoiceTrunk are built from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The trunk; checked, and with a name, a namespace and a uid.
    pub trunk: &'a VoiceTrunk,
    /// What it refers to.
    pub referenced: &'a Referenced,
    /// What the operator's release brings along.
    pub release: &'a Release,
    /// Number of data-plane pods that the Deployment shall have.
    pub data_plane_replicas: u32,
    /// Number of data-plane pods that shall take calls: its replicas without those that are going.
    pub data_plane_serving: u32,
    /// Whether some of them have been full, or late, lately.
    pub crowded: bool,
    /// Whether the cluster knows `monitoring.coreos.com/v1` PodMonitors.
    pub pod_monitors: bool,
    /// Address, or name, that the cluster gave the trunk's Service of type LoadBalancer: FreeSWITCH's, or with an external FreeSWITCH the
    /// one of the ESL. Nothing without such a Service, and until it has one. FreeSWITCH tells it to its callers, so it is restarted
    /// when it changes.
    pub load_balancer_address: Option<&'a str>,
}

/// The objects of a VoiceTrunk, kind by kind. An absent one is not wanted, and deleted where it exists.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Of FreeSWITCH and of the data plane: neither may talk to the API server.
    pub service_accounts: Vec<ServiceAccount>,
    /// `freeswitch.xml` with its passwords; the tokens.
    pub secrets: Vec<Secret>,
    /// What an external FreeSWITCH needs to know.
    pub config_maps: Vec<ConfigMap>,
    /// SIP and audio towards FreeSWITCH, ESL towards the pods, the headless Service of the pods.
    pub services: Vec<Service>,
    /// FreeSWITCH and the data plane.
    pub deployments: Vec<Deployment>,
    /// Of FreeSWITCH and of the data plane.
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
    /// Who may reach what.
    pub network_policies: Vec<NetworkPolicy>,
    /// In mode HorizontalPodAutoscaler.
    pub horizontal_pod_autoscalers: Vec<HorizontalPodAutoscaler>,
    /// Where the cluster has that kind.
    pub pod_monitors: Vec<DynamicObject>,
}

/// Why the objects of a VoiceTrunk can't be built. It was checked before, so these are seldom: what only a Secret's value can have
/// wrong, and what an API server would have refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// An object that no API server gave out.
    #[error("the VoiceTrunk has no metadata.{field}; expected one that was read from the API server")]
    Incomplete {
        /// The field.
        field: &'static str,
    },
    /// Neither kind of backend, or both.
    #[error("spec.backends has no kind or both; set exactly one of mock and openAI")]
    Backends,
    /// A value that FreeSWITCH's configuration can't hold.
    #[error(transparent)]
    FreeSwitch(#[from] RenderError),
}

/// Builds the objects of a VoiceTrunk.
///
/// # Errors
/// The first thing that can't be built.
pub fn build(inputs: &Inputs<'_>) -> Result<Objects, BuildError> {
    let context = Context::of(inputs)?;
    let mut objects = data_plane_objects(&context)?;
    match context.spec.switch() {
        Switch::Managed(managed) => add_free_switch(&mut objects, &context, managed)?,
        Switch::External(external) => add_external(&mut objects, &context, external)?,
    }
    Ok(objects)
}

/// Of a VoiceTrunk's objects those that follow the number of its pods and have nothing in them of what it refers to. The Deployment, whose
/// replicas do too, is not among them.
///
/// # Errors
/// As [`build`].
pub fn build_followers(inputs: &Inputs<'_>) -> Result<Objects, BuildError> {
    let context = Context::of(inputs)?;
    Ok(Objects { pod_disruption_budgets: vec![budget::data_plane(&context)], ..Objects::default() })
}

fn data_plane_objects(context: &Context<'_>) -> Result<Objects, BuildError> {
    let Inputs { release, pod_monitors, .. } = *context.inputs;
    let mode = context.spec.scaling.mode;
    Ok(Objects {
        service_accounts: vec![account::account(context, Component::DataPlane, names::data_plane(context.name))],
        secrets: vec![secret::internal(context)],
        config_maps: Vec::new(),
        services: vec![service::pods(context)],
        deployments: vec![data_plane::deployment(context)?],
        pod_disruption_budgets: vec![budget::data_plane(context)],
        network_policies: when(release.network_policies, || policy::data_plane(context)),
        horizontal_pod_autoscalers: when(mode == ScalingMode::HorizontalPodAutoscaler, || {
            autoscaler::data_plane(context)
        }),
        pod_monitors: when(pod_monitors, || monitor::data_plane(context)),
    })
}

fn add_free_switch(objects: &mut Objects, context: &Context<'_>, spec: &FreeSwitch) -> Result<(), BuildError> {
    let told = with_load_balancer_address(spec, context.inputs.load_balancer_address);
    let (esl_host, takeover_host) = (names::esl(context.name), names::takeover(context.name));
    let config = switch_config(context, &told, [&esl_host, &takeover_host]);
    let freeswitch_xml = freeswitch::render(&config)?;
    let fs_cli_conf = freeswitch::render_fs_cli(&config)?;
    let hash = hash::of(&[&freeswitch_xml, &fs_cli_conf]);
    objects.service_accounts.push(account::account(context, Component::FreeSwitch, names::free_switch(context.name)));
    objects.secrets.push(secret::free_switch_config(context, &freeswitch_xml, &fs_cli_conf));
    objects.secrets.push(secret::esl_token(context));
    objects.services.push(service::free_switch(context, spec));
    objects.services.push(service::esl(context, None));
    objects.services.push(service::takeover(context));
    objects.deployments.push(free_switch::deployment(context, spec, hash));
    objects.pod_disruption_budgets.push(budget::free_switch(context));
    if context.inputs.release.network_policies {
        objects.network_policies.extend(policy::free_switch(context, spec));
    }
    Ok(())
}

fn add_external(objects: &mut Objects, context: &Context<'_>, spec: &ExternalFreeSwitch) -> Result<(), BuildError> {
    let esl_host = context
        .inputs
        .load_balancer_address
        .map_or_else(|| format!("{}.{}.svc", names::esl(context.name), context.namespace), str::to_owned);
    let example = FreeSwitch::default();
    let freeswitch_xml = freeswitch::render(&switch_config(context, &example, [&esl_host; 2]))?;
    objects.secrets.push(secret::external(context, &freeswitch_xml));
    if spec.esl_token_secret_ref.is_none() {
        objects.secrets.push(secret::esl_token(context));
    }
    objects.config_maps.push(config_map::external(context, &esl_host));
    objects.services.push(service::esl(context, Some(&spec.esl_service)));
    Ok(())
}

/// `hosts` are those of new calls and of calls whose pod was lost.
fn switch_config<'a>(
    context: &Context<'a>,
    free_switch: &'a FreeSwitch,
    [esl_host, takeover_host]: [&'a str; 2],
) -> SwitchConfig<'a> {
    let referenced = context.inputs.referenced;
    SwitchConfig {
        free_switch,
        sessions_per_second: context.spec.sessions_per_second(free_switch),
        numbers: &context.spec.numbers,
        transfers: &context.spec.transfers,
        echo_number: &context.spec.echo_number,
        codecs: &context.spec.data_plane.codecs,
        esl_host,
        takeover_host,
        esl_port: names::ESL_PORT,
        esl_token: &referenced.esl_token,
        event_socket_password: &referenced.event_socket_password,
        gateway_passwords: &referenced.gateway_passwords,
    }
}

/// Behind a load balancer FreeSWITCH can't see the address that callers reach it at; where the spec does not say it, the Service does,
/// as far as it is an address and no name.
fn with_load_balancer_address(spec: &FreeSwitch, address: Option<&str>) -> FreeSwitch {
    let mut told = spec.clone();
    if told.network.r#type == NetworkType::LoadBalancer && told.network.external_address.is_none() {
        told.network.external_address = address.filter(|text| text.parse::<IpAddr>().is_ok()).map(str::to_owned);
    }
    told
}

fn when<T>(wanted: bool, object: impl FnOnce() -> T) -> Vec<T> {
    wanted.then(object).into_iter().collect()
}
