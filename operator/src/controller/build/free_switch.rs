//! Deployment of FreeSWITCH. What it is configured with is rendered elsewhere; here it is run: with which files, on which network, how
//! it begins and how it ends without cutting calls.
//!
//! What works with stock images: the configuration is one file, every folder that FreeSWITCH writes to is given on the command line
//! and is an empty volume, and nothing of the image's own configuration is used. So it needs no root, no capability and no writable
//! file system, only that its program may be read by everyone, as in Debian's packages. It is not given the right to real-time
//! priority, which it can do without (`-np`).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, ContainerPort, EnvVar, ExecAction, KeyToPath, Lifecycle, LifecycleHandler, PodSecurityContext,
            PodSpec, PodTemplateSpec, Probe, SecretVolumeSource, Sysctl, TCPSocketAction, Toleration, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use sofia_crds::spec::{FreeSwitch, NetworkType, Registration};

use super::{
    labels::{self, Component},
    metadata::Context,
    names,
    pod::{self, Usual},
};
use crate::freeswitch::{AGENT_SIP_PORT, DRAINING_VARIABLE, EDGE_PROFILE, EVENT_SOCKET_PORT};

/// Of a pod whose spec says nothing: enough for some fifty calls.
const USUAL: Usual = Usual { cpu: "500m", memory: "256Mi", disk: "64Mi", disk_limit: "2Gi" };

/// What Kubernetes taints a node with that doesn't answer.
const LOST_NODE_TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// How long such a node is waited for: longer than a kubelet takes to start anew.
const LOST_NODE_SECONDS: i64 = 15;

/// Below this, a port is only given to processes that have the right to it.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

const CONFIGURATION: &str = "configuration";
const DATA: &str = "data";
const TEMPORARY: &str = "tmp";
/// Databases, and core dumps of which there are none: some megabytes are in use.
const DATA_LIMIT: &str = "1Gi";
const TEMPORARY_LIMIT: &str = "256Mi";
const CONFIGURATION_PATH: &str = "/etc/freeswitch";
const DATA_PATH: &str = "/var/freeswitch";

/// The Deployment of FreeSWITCH. `configuration_hash` changes with its configuration.
pub(super) fn deployment(context: &Context<'_>, free_switch: &FreeSwitch, configuration_hash: String) -> Deployment {
    let grace_period_seconds = context.spec.drain.grace_period_seconds();
    Deployment {
        metadata: context.metadata(Component::FreeSwitch, names::free_switch(context.name)),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::try_from(free_switch.replicas).unwrap_or(i32::MAX)),
            selector: context.selector(Component::FreeSwitch),
            strategy: Some(strategy(free_switch.network.r#type)),
            revision_history_limit: Some(3),
            // A new pod may have to wait for the port of one that still ends its calls; that is progress too.
            progress_deadline_seconds: Some(
                i32::try_from(grace_period_seconds.saturating_add(600)).unwrap_or(i32::MAX),
            ),
            template: PodTemplateSpec {
                metadata: Some(pod::template_metadata(
                    (
                        labels::selector(context.name, Component::FreeSwitch),
                        BTreeMap::from([(labels::CONFIGURATION_HASH.to_owned(), configuration_hash)]),
                    ),
                    &free_switch.pod_labels,
                    &free_switch.pod_annotations,
                )),
                spec: Some(pod::with_template(
                    pod_spec(context, free_switch, grace_period_seconds),
                    &free_switch.pod_template,
                )),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// How one configuration gives way to the next while the calls of the old one end.
fn strategy(network: NetworkType) -> DeploymentStrategy {
    let rolling = |max_surge, max_unavailable| DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(max_surge)),
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
        }),
    };
    match network {
        // Signalling and audio of a call go to the pod's own address, so old and new can be there at once.
        NetworkType::ClusterIP => rolling(1, 0),
        // The port is taken on the node until the old pod is gone.
        NetworkType::HostNetwork => rolling(0, 1),
        // The audio of calls in progress comes through the Service. It stays with a pod that ends as long as there is no other one; a
        // new one beside it would be sent the old one's audio, and its callers would hear nothing more.
        NetworkType::LoadBalancer => DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None },
    }
}

fn pod_spec(context: &Context<'_>, free_switch: &FreeSwitch, grace_period_seconds: u32) -> PodSpec {
    let on_host = free_switch.network.r#type == NetworkType::HostNetwork;
    PodSpec {
        service_account_name: Some(names::free_switch(context.name)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_network: on_host.then_some(true),
        // Else names of Services, among them the data plane's, would not be found from the node's network.
        dns_policy: on_host.then(|| "ClusterFirstWithHostNet".to_owned()),
        termination_grace_period_seconds: Some(grace_period_seconds.into()),
        node_selector: (!free_switch.node_selector.is_empty()).then(|| free_switch.node_selector.clone()),
        tolerations: Some(tolerations(free_switch)),
        priority_class_name: free_switch.priority_class_name.clone(),
        topology_spread_constraints: Some(pod::spread(context, Component::FreeSwitch, &free_switch.pod_template)),
        image_pull_secrets: pod::pull_secrets(&free_switch.image_pull_secrets),
        security_context: Some(security(free_switch)),
        containers: vec![container(context, free_switch)],
        volumes: Some(vec![
            configuration_volume(context),
            pod::empty_volume(DATA, DATA_LIMIT),
            pod::empty_volume(TEMPORARY, TEMPORARY_LIMIT),
        ]),
        ..PodSpec::default()
    }
}

/// The spec's, and for nodes that don't answer a short time unless it says another one: the calls of such a node are lost anyway, and nobody
/// is answered before another FreeSWITCH is up. Kubernetes' own default is five minutes.
fn tolerations(free_switch: &FreeSwitch) -> Vec<Toleration> {
    let mut tolerations = free_switch.tolerations.clone();
    for key in LOST_NODE_TAINTS {
        let says = |toleration: &Toleration| {
            let every = toleration.key.as_deref().is_none_or(str::is_empty);
            let executes = toleration.effect.as_deref().is_none_or(|effect| matches!(effect, "" | "NoExecute"));
            executes && (every || toleration.key.as_deref() == Some(key))
        };
        if !free_switch.tolerations.iter().any(says) {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(LOST_NODE_SECONDS),
                value: None,
            });
        }
    }
    tolerations
}

fn container(context: &Context<'_>, free_switch: &FreeSwitch) -> Container {
    let image = free_switch.image.as_ref().unwrap_or(&context.inputs.release.free_switch_image);
    let registers = free_switch.gateways.iter().any(|gateway| gateway.registration == Registration::Enabled);
    Container {
        name: Component::FreeSwitch.as_str().to_owned(),
        image: Some(image.clone()),
        command: Some(command()),
        // With standard input at its end, the console of some builds reads it again and again, on two cores.
        stdin: Some(true),
        // Where `fs_cli` would look for its own files.
        env: Some(vec![EnvVar { name: "HOME".to_owned(), value: Some(DATA_PATH.to_owned()), ..EnvVar::default() }]),
        ports: Some(ports(free_switch)),
        resources: Some(pod::resources(free_switch.resources.as_ref(), &USUAL)),
        startup_probe: Some(Probe { failure_threshold: Some(60), ..sip_probe(free_switch.sip_port, 2) }),
        readiness_probe: Some(Probe { failure_threshold: Some(3), ..sip_probe(free_switch.sip_port, 5) }),
        liveness_probe: Some(Probe {
            exec: Some(ExecAction { command: Some(["fs_cli", "-x", "status"].map(str::to_owned).to_vec()) }),
            period_seconds: Some(15),
            timeout_seconds: Some(10),
            // Its calls end with a restart, and one that is short of processor time is slow to answer while they go on: it is given two
            // minutes to come round. One that has ended is restarted at once in any case.
            failure_threshold: Some(8),
            ..Probe::default()
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(vec![
                        "sh".to_owned(),
                        "-c".to_owned(),
                        drain_script(context.spec.drain.deadline_seconds, registers),
                    ]),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(pod::container_security(if needs_root(free_switch) {
            &["NET_BIND_SERVICE"]
        } else {
            &[]
        })),
        volume_mounts: Some(mounts()),
        ..Container::default()
    }
}

fn command() -> Vec<String> {
    let mut command =
        ["freeswitch", "-nonat", "-np", "-nf", "-c", "-conf", CONFIGURATION_PATH].map(str::to_owned).to_vec();
    for folder in ["log", "db", "run", "cache", "storage", "recordings"] {
        command.extend([format!("-{folder}"), format!("{DATA_PATH}/{folder}")]);
    }
    command.extend(["-temp".to_owned(), "/tmp".to_owned()]);
    command
}

/// Takes no new calls, then waits for the last one to end, or the deadline. Kubernetes ends FreeSWITCH after it.
///
/// A carrier that this FreeSWITCH registered with goes on sending it calls until it gives the registration back, which it does by itself
/// only when it ends; so it is told to before. New calls are refused by the dialplan, which looks at a variable, and not by `fsctl pause
/// inbound`: the pod's leg of every call is inbound too, so a caller whose pod is lost during the drain could not be taken over.
///
/// One that doesn't answer may be busy: it is told again. One that never does is hung, and nothing is won by keeping it.
fn drain_script(deadline_seconds: u32, registers: bool) -> String {
    let unregister = match registers {
        true => format!("tell 'sofia profile {EDGE_PROFILE} unregister all' || exit 0\n"),
        false => String::new(),
    };
    format!(
        "tell() {{\n  \
         tries=5\n  \
         until fs_cli -x \"$1\"; do\n    \
         tries=$((tries - 1))\n    \
         [ \"$tries\" -gt 0 ] || return 1\n    \
         sleep 1\n  \
         done\n\
         }}\n\
         {unregister}\
         tell 'global_setvar {DRAINING_VARIABLE}=true' || exit 0\n\
         deadline=$(($(date +%s) + {deadline_seconds}))\n\
         until fs_cli -x 'show channels count' | grep -q '^0 total' || [ \"$(date +%s)\" -ge \"$deadline\" ]; do\n  \
         sleep 1\n\
         done\n"
    )
}

fn sip_probe(sip_port: u16, period_seconds: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(sip_port.into()), host: None }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// On the node's network, the ports there are named too: the scheduler then keeps two FreeSWITCHs, also those of two trunks, off one
/// node, where they would fight over SIP or over the ports on loopback.
fn ports(free_switch: &FreeSwitch) -> Vec<ContainerPort> {
    let sip = free_switch.sip_port;
    let mut ports = vec![pod::port("sip-udp", "UDP", sip), pod::port("sip-tcp", "TCP", sip)];
    if free_switch.network.r#type == NetworkType::HostNetwork {
        let loopback = [
            pod::port("agent-udp", "UDP", AGENT_SIP_PORT),
            pod::port("agent-tcp", "TCP", AGENT_SIP_PORT),
            pod::port("event-socket", "TCP", EVENT_SOCKET_PORT),
        ];
        for port in loopback {
            // A port and protocol can be listed once only; where SIP has it, it is reserved by that.
            if port.container_port != i32::from(sip) {
                ports.push(ContainerPort { host_ip: Some("127.0.0.1".to_owned()), ..port });
            }
        }
        for port in &mut ports {
            port.host_port = Some(port.container_port);
        }
    }
    ports
}

fn configuration_volume(context: &Context<'_>) -> Volume {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    Volume {
        name: CONFIGURATION.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names::free_switch_config(context.name)),
            default_mode: Some(pod::SECRET_MODE),
            items: Some(vec![item(names::FREE_SWITCH_XML_KEY), item(names::FS_CLI_KEY)]),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn mounts() -> Vec<VolumeMount> {
    vec![
        pod::mount(CONFIGURATION, CONFIGURATION_PATH, true),
        VolumeMount {
            sub_path: Some(names::FS_CLI_KEY.to_owned()),
            ..pod::mount(CONFIGURATION, "/etc/fs_cli.conf", true)
        },
        pod::mount(DATA, DATA_PATH, false),
        pod::mount(TEMPORARY, "/tmp", false),
    ]
}

/// Ports below 1024: within a network of its own the pod may lower the bound; on the node's it may not, and the right to such ports
/// is only effective for root there.
fn security(free_switch: &FreeSwitch) -> PodSecurityContext {
    let security = pod::security();
    if needs_root(free_switch) {
        PodSecurityContext { run_as_non_root: Some(false), run_as_user: Some(0), ..security }
    } else if free_switch.sip_port < FIRST_UNPRIVILEGED_PORT {
        let bound =
            Sysctl { name: "net.ipv4.ip_unprivileged_port_start".to_owned(), value: free_switch.sip_port.to_string() };
        PodSecurityContext { sysctls: Some(vec![bound]), ..security }
    } else {
        security
    }
}

fn needs_root(free_switch: &FreeSwitch) -> bool {
    free_switch.sip_port < FIRST_UNPRIVILEGED_PORT && free_switch.network.r#type == NetworkType::HostNetwork
}
