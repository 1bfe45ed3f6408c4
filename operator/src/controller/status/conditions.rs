//! The six conditions. Each is judged on its own; what they share is in [`Fleet`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sofia_crds::spec::{BackendKind, NetworkType, ScalingMode, Switch};
use sofia_crds::status::{ConditionType, GatewayState, GatewayStatus};

use super::StatusInputs;
use super::text::{all_pods_are, message, pods};
use super::views::{Fleet, PodFacts, WorkloadView};

/// Reason of BuiltInBackend when carriers bring callers.
pub const REAL_CALLERS: &str = "RealCallers";

/// A condition before it has its time: whether it holds, and why.
struct Judgement {
    holds: Option<bool>,
    reason: &'static str,
    message: String,
}

impl Judgement {
    fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason, message: message.into() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: None, reason, message: message.into() }
    }
}

/// All conditions, in the order of [`ConditionType::ALL`].
pub(super) fn all(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Vec<Condition> {
    ConditionType::ALL
        .into_iter()
        .map(|kind| {
            let judgement = match kind {
                ConditionType::Ready => ready(inputs, fleet),
                ConditionType::Available => available(inputs, fleet),
                ConditionType::Progressing => progressing(inputs, fleet),
                ConditionType::Draining => draining(fleet),
                ConditionType::Degraded => degraded(inputs, fleet),
                ConditionType::BuiltInBackend => built_in_backend(inputs),
            };
            condition(inputs, kind, judgement)
        })
        .collect()
}

fn condition(inputs: &StatusInputs<'_>, kind: ConditionType, judgement: Judgement) -> Condition {
    let status = match judgement.holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let before = inputs
        .previous
        .and_then(|previous| previous.conditions.iter().find(|condition| condition.type_ == kind.as_str()));
    let last_transition_time = match before {
        Some(before) if before.status == status => before.last_transition_time.clone(),
        // The API has whole seconds; with more, what is read back would differ from what was written.
        _ => Time(Timestamp::from_second(inputs.now.as_second()).unwrap_or(inputs.now)),
    };
    Condition {
        last_transition_time,
        message: message(&judgement.message),
        observed_generation: inputs.trunk.metadata.generation,
        reason: judgement.reason.to_owned(),
        status: status.to_owned(),
        type_: kind.as_str().to_owned(),
    }
}

/// What stands between callers and an answer now, if anything.
enum Obstacle {
    /// It can't be told.
    Unknown(&'static str, String),
    /// Known: calls find nobody, although everything works.
    Full(String),
    /// Known: something is missing or broken.
    Broken(&'static str, String),
}

fn obstacle(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Option<Obstacle> {
    let Some(data_plane) = inputs.data_plane else {
        return Some(match inputs.outcome {
            Err(problem) if problem.leaves_the_state_unknown() => {
                Obstacle::Unknown(problem.reason(), problem.to_string())
            }
            Err(problem) => Obstacle::Broken(problem.reason(), problem.to_string()),
            Ok(()) => Obstacle::Broken("Starting", "the data plane's Deployment does not exist yet".to_owned()),
        });
    };
    if let Some((reason, why)) = switch_obstacle(inputs) {
        return Some(Obstacle::Broken(reason, why));
    }
    if fleet.taking_calls > 0 {
        return None;
    }
    if fleet.full > 0 {
        let why = if fleet.full == fleet.serving {
            format!("{} full", all_pods_are(fleet.full))
        } else {
            "the pods that work are full".to_owned()
        };
        return Some(Obstacle::Full(format!("{why}: callers hear 503 until a call ends or a pod is added")));
    }
    if inputs.serving == 0 && data_plane.desired == 0 {
        return Some(Obstacle::Broken(
            "ScaledToZero",
            "no pods are wanted, so nobody answers: raise spec.scaling.replicas".to_owned(),
        ));
    }
    let (reason, why) = first_trouble(inputs.data_plane_pods)
        .or_else(|| {
            data_plane.refused_pods.as_ref().map(|said| ("PodsRefused", format!("pods can't be created: {said}")))
        })
        .unwrap_or(("NoPodReady", format!("none of {} takes calls yet", pods(fleet.serving))));
    Some(Obstacle::Broken(reason, why))
}

/// What FreeSWITCH lacks; one that runs elsewhere is not known here and trusted.
fn switch_obstacle(inputs: &StatusInputs<'_>) -> Option<(&'static str, String)> {
    let Switch::Managed(_) = inputs.trunk.spec.switch() else { return None };
    let Some(workload) = inputs.free_switch else {
        return Some(("FreeSwitchNotReady", "FreeSWITCH's Deployment does not exist yet".to_owned()));
    };
    if workload.ready > 0 {
        return None;
    }
    let trouble = first_trouble(inputs.free_switch_pods);
    let refused = workload.refused_pods.as_ref().map(|said| ("PodsRefused", format!("pods can't be created: {said}")));
    let (reason, why) = trouble
        .or(refused)
        .unwrap_or(("FreeSwitchNotReady", format!("none of {} is ready yet", pods(workload.desired))));
    Some((reason, format!("FreeSWITCH: {why}")))
}

/// Ready: a caller would be answered now.
fn ready(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Judgement {
    match obstacle(inputs, fleet) {
        // Without how many: that changes with the calls, and is in the status by itself.
        None => Judgement::yes("TakesCalls", "a call finds a pod that takes it"),
        Some(Obstacle::Unknown(reason, why)) => Judgement::unknown(reason, why),
        Some(Obstacle::Full(why)) => Judgement::no("AllPodsFull", why),
        Some(Obstacle::Broken(reason, why)) => Judgement::no(reason, why),
    }
}

/// Available: enough pods work. A full pod works.
fn available(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Judgement {
    match obstacle(inputs, fleet) {
        Some(Obstacle::Unknown(reason, why)) => return Judgement::unknown(reason, why),
        Some(Obstacle::Broken(reason, why)) => return Judgement::no(reason, why),
        Some(Obstacle::Full(_)) | None => {}
    }
    if let Some((ready, needed)) = switches_missing(inputs) {
        return Judgement::no("FreeSwitchMissing", format!("{ready} of {} of FreeSWITCH ready", pods(needed)));
    }
    let working = fleet.working();
    let enough = enough_pods(inputs);
    if working < enough {
        let why = first_trouble(inputs.data_plane_pods).map(|(_, why)| format!(": {why}")).unwrap_or_default();
        return Judgement::no("TooFewPods", format!("{working} of at least {} work{why}", pods(enough)));
    }
    if fleet.taking_calls == 0 {
        return Judgement::yes("AllPodsFull", format!("{} full and none is broken", all_pods_are(fleet.full)));
    }
    Judgement::yes("EnoughPods", format!("{} of at least {} work", working, pods(enough)))
}

/// FreeSWITCH pods that are ready and that must be, when those are fewer. Its disruption budget lets one be away.
fn switches_missing(inputs: &StatusInputs<'_>) -> Option<(u32, u32)> {
    let workload = inputs.free_switch?;
    let needed = workload.desired.saturating_sub(1).max(1);
    (workload.ready < needed).then_some((workload.ready, needed))
}

/// Data-plane pods that must work: what never must be gone below, not what load asks for at the moment, so that scaling
/// up is no outage.
fn enough_pods(inputs: &StatusInputs<'_>) -> u32 {
    let scaling = &inputs.trunk.spec.scaling;
    match scaling.mode {
        ScalingMode::Manual => scaling.replicas,
        ScalingMode::Operator | ScalingMode::HorizontalPodAutoscaler => scaling.min_replicas,
    }
}

/// Progressing: something is being changed and gets on.
fn progressing(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Judgement {
    if let Err(problem) = inputs.outcome {
        let why = "nothing is changed before the problem that Degraded tells of is solved";
        return if problem.leaves_the_state_unknown() {
            Judgement::unknown(problem.reason(), why)
        } else {
            Judgement::no(problem.reason(), why)
        };
    }
    let parts = workloads(inputs);
    if let Some((name, why)) = parts.iter().find_map(|(name, view)| Some((name, view.stalled.as_ref()?))) {
        return Judgement::no("Stalled", format!("the rollout of {name} goes no further: {why}"));
    }
    let managed = matches!(inputs.trunk.spec.switch(), Switch::Managed(_));
    if inputs.data_plane.is_none() || (managed && inputs.free_switch.is_none()) {
        return Judgement::yes("Starting", "the objects are being created");
    }
    if let Some((name, view)) = parts.iter().find(|(_, view)| view.replicas > 0 && view.rolling_out()) {
        let updated = view.updated.min(view.desired);
        let why = format!("{name}: {updated} of {} of the newest revision", pods(view.desired));
        return Judgement::yes("RollingOut", why);
    }
    if let Some((name, view)) = parts.iter().find(|(_, view)| view.growing()) {
        return Judgement::yes("Scaling", format!("{name}: {} of {} exist", view.replicas, pods(view.desired)));
    }
    let waiting = inputs.serving.saturating_sub(fleet.working());
    if waiting > 0 && first_trouble(inputs.data_plane_pods).is_none() {
        return Judgement::yes("PodsStarting", format!("{} of {} are starting", waiting, pods(inputs.serving)));
    }
    Judgement::no("AsWanted", "everything is as the spec asks for")
}

/// Draining: pods end while their calls run on.
fn draining(fleet: &Fleet) -> Judgement {
    match fleet.draining {
        0 => Judgement::no("NoPodDrains", "no pod is being drained"),
        1 => Judgement::yes("PodsDrain", "1 pod takes no further calls and ends when its own have"),
        count => Judgement::yes("PodsDrain", format!("{count} pods take no further calls and end when their own have")),
    }
}

/// Degraded: something is wrong that does not go away by waiting.
fn degraded(inputs: &StatusInputs<'_>, fleet: &Fleet) -> Judgement {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    if let Err(problem) = inputs.outcome {
        found.push((problem.reason(), problem.to_string()));
    }
    for (name, facts) in [("FreeSWITCH", inputs.free_switch_pods), ("the data plane", inputs.data_plane_pods)] {
        found.extend(troubles(facts).into_iter().map(|(reason, why)| (reason, format!("{name}: {why}"))));
    }
    for (name, view) in workloads(inputs) {
        if let Some(said) = &view.refused_pods {
            let advice = "check quotas, pod security and admission webhooks of the namespace";
            found.push(("PodsRefused", format!("{name}: pods can't be created: {said}; {advice}")));
        }
        if let Some(said) = &view.stalled {
            found.push(("Stalled", format!("{name}: the rollout goes no further: {said}")));
        }
    }
    if let Some(why) = gateways_down(inputs) {
        found.push(("GatewayDown", why));
    }
    if let Some(why) = too_slow_for_takeovers(inputs) {
        found.push(("SessionRateTooLow", why));
    }
    if fleet.silent > 0 {
        let why = format!(
            "{} of {} could not be asked for their calls and count as busy: check that network policies let the operator reach \
             their port 8080",
            fleet.silent,
            pods(fleet.serving)
        );
        found.push(("PodsNotReached", why));
    }
    let Some((reason, _)) = found.first() else { return Judgement::no("AllWell", "nothing is known to be wrong") };
    let reason = *reason;
    let whys: Vec<String> = found.into_iter().map(|(_, why)| why).collect();
    Judgement::yes(reason, whys.join(". "))
}

/// Carriers that FreeSWITCH has not, as it says itself. One that is being registered with may come yet.
fn gateways_down(inputs: &StatusInputs<'_>) -> Option<String> {
    let whys: Vec<String> = super::gateways(inputs)
        .into_iter()
        .filter_map(|GatewayStatus { name, state, .. }| {
            let path = "spec.freeSwitch.gateways";
            match state {
                GatewayState::Failed => Some(format!(
                    "gateway {name} does not take FreeSWITCH's registration: check the username, the realm and the password in {path}, and \
                     that the carrier is reached at its proxy"
                )),
                GatewayState::Unreachable => Some(format!(
                    "gateway {name} does not answer FreeSWITCH: check its proxy in {path}, and what lies between"
                )),
                GatewayState::Unknown
                | GatewayState::Registered
                | GatewayState::Reachable
                | GatewayState::Registering => None,
            }
        })
        .collect();
    (!whys.is_empty()).then(|| whys.join("; "))
}

/// BuiltInBackend: callers are answered by the mock. By itself no fault, since that is how a trunk is tried; so it is not Degraded.
fn built_in_backend(inputs: &StatusInputs<'_>) -> Judgement {
    let spec = &inputs.trunk.spec;
    if !matches!(spec.backends().kind(), Some(BackendKind::Mock(_))) {
        return Judgement::no("OwnBackend", "callers are answered by the servers of spec.backends");
    }
    let way = match spec.switch() {
        Switch::External(_) => "a FreeSWITCH that runs elsewhere brings calls",
        Switch::Managed(managed) if !managed.gateways.is_empty() => "spec.freeSwitch.gateways names carriers",
        Switch::Managed(managed) => match managed.network.r#type {
            NetworkType::HostNetwork => "spec.freeSwitch.network is HostNetwork",
            NetworkType::LoadBalancer => "spec.freeSwitch.network is LoadBalancer",
            NetworkType::ClusterIP => {
                return Judgement::yes(
                    "ForTrials",
                    "the built-in backend answers, which understands nobody; no carrier is set to bring real callers",
                );
            }
        },
    };
    let why = format!(
        "real callers are answered by the built-in backend, which understands nobody and says recorded sentences: {way}, and \
         spec.backends names no servers. Set spec.backends.openAI"
    );
    Judgement::yes(REAL_CALLERS, why)
}

/// Seconds for which the dialplan tries to find another pod for a caller whose pod was lost, at least.
const TAKEOVER_SECONDS: u32 = 8;

/// Whether callers would be cut for want of FreeSWITCH's sessions where half the pods are lost at once.
fn too_slow_for_takeovers(inputs: &StatusInputs<'_>) -> Option<String> {
    let spec = &inputs.trunk.spec;
    let Switch::Managed(free_switch) = spec.switch() else { return None };
    let rate = spec.sessions_per_second(free_switch);
    let (lost, saved) =
        (spec.calls_lost_at_once(free_switch), rate.saturating_sub(1).saturating_mul(TAKEOVER_SECONDS) / 2);
    (lost > saved).then(|| {
        format!(
            "FreeSWITCH begins {rate} sessions a second: of {lost} calls that may lose their pods with a node only {saved} come to another \
             pod in time; raise spec.freeSwitch.sessionsPerSecond to {} or more, or leave it out",
            (lost * 2).div_ceil(TAKEOVER_SECONDS) + 1
        )
    })
}

/// The Deployments that exist, with names for people.
fn workloads<'a>(inputs: &StatusInputs<'a>) -> Vec<(&'static str, &'a WorkloadView)> {
    [("FreeSWITCH", inputs.free_switch), ("the data plane", inputs.data_plane)]
        .into_iter()
        .filter_map(|(name, view)| Some((name, view?)))
        .collect()
}

/// What is wrong with pods, the most certain first; the same trouble of several pods once.
fn troubles(facts: &[PodFacts]) -> Vec<(&'static str, String)> {
    let mut found: Vec<_> = facts.iter().filter_map(|pod| Some((pod.trouble.as_ref()?, pod.name.as_str()))).collect();
    found.sort_by_key(|(trouble, pod)| (trouble.kind, *pod));
    let mut told: Vec<(&'static str, String)> = Vec::new();
    for group in found.chunk_by(|(one, _), (other, _)| one.kind == other.kind) {
        let (trouble, pod) = group[0];
        let others = match group.len() - 1 {
            0 => String::new(),
            1 => " (and 1 other)".to_owned(),
            more => format!(" (and {more} others)"),
        };
        told.push((trouble.kind.reason(), format!("pod {pod}{others}: {}; {}", trouble.what, trouble.advice)));
    }
    told
}

fn first_trouble(facts: &[PodFacts]) -> Option<(&'static str, String)> {
    troubles(facts).into_iter().next()
}
