//! One pass over one trunk: look up, check, ask the pods, decide, build, apply, act, tell. The order is what keeps calls: nothing is
//! lowered that was not drained and marked before.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{LoadBalancerStatus, Pod, Service},
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::DynamicObject,
    core::{ApiResource, error_boundary::InvalidObject},
};
use sofia_crds::{
    VoiceTrunk, VoiceTrunkSpec, VoiceTrunkStatus,
    spec::{EslServiceType, FreeSwitch, NetworkType, Switch},
    validate::{self, validate},
};
use tracing::{info, warn};

use super::{
    Context,
    act::{self, Acted, Fleet},
    apply::{self, Applied, BuiltFrom, Failure, Target},
    build::{self, Inputs, kind::Kind, labels::Component, names},
    dereference::{self, Referenced, dereference},
    events::{Done, notices},
    memory::{Checked, Memory, Read, about},
    observe::Outcome,
    report::{self, Subject},
    status::{EntryPointFacts, PodFacts, Problem, StatusInputs, WorkloadView, derive, trunk_figures},
    stores::{Guarded, TrunkKey, is_of},
};
use crate::fleet::{
    decide::{Decision, decide},
    scrape::PodFigures,
    view::{self, Observed},
};
use crate::metrics::{ApplyResult, DrainEnd};

/// What a pass came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether something is to be looked at again soon rather than at the next interval.
    pub waiting: bool,
    /// How long the API server asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What is known of a trunk's part of the cluster when a pass begins.
struct Surroundings {
    data_plane: Option<Arc<Deployment>>,
    free_switch: Option<Arc<Deployment>>,
    data_plane_pods: Vec<Arc<Pod>>,
    free_switch_pods: Vec<Arc<Pod>>,
}

impl Surroundings {
    fn of(context: &Context, trunk: &TrunkKey, memory: &mut Memory) -> Self {
        let stores = &context.stores;
        let (mut data_plane_pods, mut free_switch_pods) = (Vec::new(), Vec::new());
        for (_, pod) in stores.pods.of(trunk) {
            if is_of(&pod, Component::DataPlane) {
                data_plane_pods.push(pod);
            } else if is_of(&pod, Component::FreeSwitch) {
                free_switch_pods.push(pod);
            }
        }
        memory.written.overlay(&mut data_plane_pods);
        Self {
            data_plane: memory.newest(stores.deployments.get(trunk, &names::data_plane(&trunk.name))),
            free_switch: stores.deployments.get(trunk, &names::free_switch(&trunk.name)),
            data_plane_pods,
            free_switch_pods,
        }
    }
}

/// What was done, for the status and the events.
#[derive(Default)]
struct Carried {
    applied: Applied,
    acted: Acted,
    done: Done,
    serving: u32,
}

/// Looks at one trunk and does what is to be done. Never fails as such: what could not be done is in the status and in what is returned.
pub async fn pass(context: &Context, trunk: &Guarded) -> Option<Pass> {
    let metadata = trunk.meta();
    let (key, uid) = (TrunkKey::of(metadata)?, metadata.uid.clone()?);
    if metadata.deletion_timestamp.is_some() {
        // What was made for it goes with it, by its owner references; making anything anew would only delay that.
        return None;
    }
    let entry = context.memories.of(&key);
    let mut memory = entry.memory.lock().await;
    let memory = memory.for_trunk(&uid);
    let pass = match &trunk.0 {
        Ok(trunk) => whole(context, &key, trunk, memory).await,
        Err(broken) => malformed(context, &key, broken, memory).await,
    };
    Some(pass)
}

async fn whole(context: &Context, key: &TrunkKey, trunk: &VoiceTrunk, memory: &mut Memory) -> Pass {
    let now = context.now();
    let surroundings = Surroundings::of(context, key, memory);
    let figures = ask(context, &surroundings.data_plane_pods).await;
    let problems = check(trunk, memory).to_vec();
    let referenced = if problems.is_empty() {
        look_up(context, key, trunk, memory).await
    } else {
        (None, Some(Problem::InvalidSpec(problems)))
    };
    let observed = Observed {
        now,
        spec: &trunk.spec,
        deployment: surroundings.data_plane.as_deref(),
        leaving_nodes: &context.stores.nodes.leaving(),
        figures: &figures,
    };
    let load_balancer = load_balancer(context, key, trunk, memory).await;
    let address = load_balancer.as_ref().and_then(address_of);
    let (mut carried, mut problem) = (Carried::default(), referenced.1);
    carried.serving = WorkloadView::of(&surroundings.data_plane.clone().unwrap_or_default()).desired;
    if let Some(referenced) = &referenced.0 {
        let view = observed.fleet(surroundings.data_plane_pods.iter().map(Arc::as_ref));
        let decision = decide(&view, &mut memory.fleet);
        let inputs = Inputs {
            trunk,
            referenced: referenced.as_ref(),
            release: &context.release,
            data_plane_replicas: decision.replicas,
            data_plane_serving: decision.serving,
            crowded: decision.crowded,
            pod_monitors: context.stores.owned.contains_key(&Kind::PodMonitor),
            load_balancer_address: address,
        };
        carried = carry_out(context, key, &inputs, &surroundings, &decision, now, memory).await;
        carried.done.overdue = decision
            .mark
            .iter()
            .filter(|name| carried.acted.marked.contains(name))
            .map(|name| (name.clone(), figures.get(name).map(|figures| figures.active)))
            .filter(|(_, left)| *left != Some(0))
            .collect();
        problem = problem.or(carried.applied.problem.take()).or(carried.acted.problem.take());
    }
    if let Switch::Managed(free_switch) = trunk.spec.switch() {
        let calls = calls(&surroundings.data_plane_pods, &figures);
        if let Some(mark) = memory.guard.look(free_switch.node_removal(), calls, now) {
            let all = &surroundings.free_switch_pods;
            let pods = Fleet { client: &context.client, trunk: key, all, pods: &*context.pods };
            let said = pods.say(mark, &mut memory.written).await;
            problem = problem.or_else(|| said.problem.clone());
            carried.acted.extend(said);
        }
    }
    let facts = |pods: &[Arc<Pod>]| facts(pods, &figures);
    let data_plane_facts = facts(&surroundings.data_plane_pods);
    let first_node = surroundings.free_switch_pods.iter().find_map(|pod| pod.status.as_ref()?.host_ip.clone());
    let standing =
        report::standing(trunk.metadata.resource_version.as_deref(), trunk.status.as_ref(), memory.reported.as_ref())
            .cloned();
    let data_plane = surroundings.data_plane.as_deref().map(WorkloadView::of);
    let status = derive(&StatusInputs {
        trunk,
        previous: standing.as_ref(),
        now,
        outcome: problem.as_ref().map_or(Ok(()), Err),
        free_switch: surroundings.free_switch.as_deref().map(WorkloadView::of).as_ref(),
        data_plane: data_plane.as_ref(),
        free_switch_pods: &facts(&surroundings.free_switch_pods),
        data_plane_pods: &data_plane_facts,
        serving: carried.serving,
        entry_point: EntryPointFacts {
            load_balancer: load_balancer.as_ref(),
            first_node_address: first_node.as_deref(),
        },
    });
    context.observe.fleet(key, &trunk_figures(&data_plane_facts, data_plane.as_ref()));
    count(context, &carried);
    let told = notices(standing.as_ref(), &status, &carried.done);
    let reported = tell(context, key, &trunk.metadata, standing.as_ref(), status, memory).await;
    context.publisher.publish(&trunk.object_ref(&()), told).await;
    let wrote = carried.applied.wrote() || carried.acted.wrote();
    let waiting = carried.applied.waiting || carried.acted.waiting;
    finish(context, key, problem, reported, wrote, waiting, carried.applied.retry_after)
}

/// Asks the pods, and counts those that did not answer.
async fn ask(context: &Context, pods: &[Arc<Pod>]) -> BTreeMap<String, PodFigures> {
    let figures = act::ask(&*context.pods, pods).await;
    let asked = pods.iter().filter(|pod| view::address(pod).is_some()).count();
    (figures.len()..asked).for_each(|_| context.observe.scrape_failed());
    figures
}

/// Calls in progress, if every pod that can be asked told its own.
fn calls(pods: &[Arc<Pod>], figures: &BTreeMap<String, PodFigures>) -> Option<u32> {
    let mut asked = pods.iter().filter(|pod| view::address(pod).is_some());
    asked.try_fold(0_u32, |sum, pod| Some(sum.saturating_add(figures.get(&pod.name_any())?.active)))
}

fn facts(pods: &[Arc<Pod>], figures: &BTreeMap<String, PodFigures>) -> Vec<PodFacts> {
    pods.iter().map(|pod| PodFacts::of(pod, figures.get(&pod.name_any()).copied())).collect()
}

/// Counts what a pass did.
fn count(context: &Context, carried: &Carried) {
    let Applied { created, changed, deleted, failed, .. } = &carried.applied;
    for (kind, _) in created.iter().chain(changed) {
        context.observe.applied(kind.plural(), ApplyResult::Applied);
    }
    for (kind, _) in deleted {
        context.observe.applied(kind.plural(), ApplyResult::Deleted);
    }
    for kind in failed {
        context.observe.applied(kind.plural(), ApplyResult::Failed);
    }
    carried.acted.began.iter().for_each(|_| context.observe.drain_began());
    for pod in &carried.acted.marked {
        let overdue = carried.done.overdue.iter().any(|(name, _)| name == pod);
        context.observe.drain_ended(if overdue { DrainEnd::Deadline } else { DrainEnd::Empty });
    }
}

/// What is wrong with the spec; looked for once a generation.
fn check<'m>(trunk: &VoiceTrunk, memory: &'m mut Memory) -> &'m [validate::Problem] {
    let generation = trunk.metadata.generation;
    let known = memory.checked.take().filter(|checked| checked.generation == generation);
    let checked = known.unwrap_or_else(|| Checked { generation, problems: validate(&trunk.spec) });
    &memory.checked.insert(checked).problems
}

/// What the trunk refers to, and what is wrong with it. What could be used before is used on as long as the spec is the same: a Secret that
/// vanishes stops no drain and no scaling.
async fn look_up(
    context: &Context,
    key: &TrunkKey,
    trunk: &VoiceTrunk,
    memory: &mut Memory,
) -> (Option<Arc<Referenced>>, Option<Problem>) {
    let generation = trunk.metadata.generation;
    let own_names = [names::esl(&key.name), names::internal(&key.name)];
    let own = own_names.each_ref().map(|name| context.stores.owned(key, Kind::Secret, name).map(|secret| secret.stamp));
    let is_fresh = |read: &&Read| read.read_for == generation && read.own == own && Instant::now() < read.until;
    if memory.referenced.as_ref().filter(is_fresh).is_none() {
        let earlier = memory.referenced.take();
        let known = earlier.as_ref().and_then(|read| Some((read.referenced.clone()?, read.taken)));
        // The watch tells when one of those changes that were made for the trunk; the others it doesn't see.
        let changed = own_names
            .into_iter()
            .enumerate()
            .filter(|(at, _)| known.as_ref().is_none_or(|(_, taken)| taken[*at] != own[*at]));
        let result = match dereference::read(&context.client, key, &trunk.spec, changed.map(|(_, name)| name)).await {
            Ok(secrets) => {
                let earlier = known.as_ref().map(|(referenced, _)| &**referenced);
                context.with_random(|random| dereference(trunk, &secrets, earlier, random))
            }
            Err(error) => {
                let action = "read the Secrets that the VoiceTrunk names".to_owned();
                Err(Failure::new(action, error).problem().unwrap_or_else(|| Problem::ApiError {
                    action: "read Secrets".to_owned(),
                    message: "they are being changed".to_owned(),
                }))
            }
        };
        let settings = &context.settings;
        let interval = if result.is_ok() { settings.secrets_interval } else { settings.repair_interval };
        let until = Instant::now() + about(interval, context.chance());
        memory.referenced = Some(match result {
            Ok(referenced) => {
                let same = known.map(|(earlier, _)| earlier).filter(|earlier| **earlier == referenced);
                let referenced = Some(same.unwrap_or_else(|| Arc::new(referenced)));
                Read { referenced, generation, problem: None, own, taken: own, read_for: generation, until }
            }
            Err(problem) => Read {
                generation: earlier.as_ref().and_then(|read| read.generation),
                taken: earlier.as_ref().map_or([None; 2], |read| read.taken),
                referenced: earlier.and_then(|read| read.referenced),
                problem: Some(problem),
                own,
                read_for: generation,
                until,
            },
        });
    }
    let Some(read) = &memory.referenced else { return (None, None) };
    let usable = read.referenced.clone().filter(|_| read.generation == generation);
    (usable, read.problem.clone())
}

/// The one step that changes the cluster.
async fn carry_out(
    context: &Context,
    key: &TrunkKey,
    inputs: &Inputs<'_>,
    surroundings: &Surroundings,
    decision: &Decision,
    now: Timestamp,
    memory: &mut Memory,
) -> Carried {
    let fleet = Fleet { client: &context.client, trunk: key, all: &surroundings.data_plane_pods, pods: &*context.pods };
    // By name each, so that nothing that is decided is left undone.
    let Decision { replicas: _, serving: _, crowded: _, drain, mark, unmark, delete } = decision;
    let mut acted = fleet.unmark(unmark, &mut memory.written).await;
    acted.extend(fleet.mark(mark, &mut memory.written).await);
    let token = &inputs.referenced.admin_token;
    let target = Target { client: &context.client, stores: &context.stores, trunk: key, uid: &memory.uid, key: token };
    let referenced = memory.referenced.as_ref().and_then(|read| read.referenced.as_ref());
    let from = BuiltFrom::of(inputs, referenced.expect("the inputs were made from it"));
    let applied = if apply::is_as_seen(target, &from, &mut memory.seen) {
        Applied::default()
    } else {
        match build::build(inputs) {
            Ok(objects) => apply::apply(target, from, objects.manifests(), &mut memory.seen).await,
            Err(error) => {
                Applied { problem: Some(Problem::Build { message: error.to_string() }), ..Applied::default() }
            }
        }
    };
    let name = names::data_plane(&key.name);
    let mut done = Done::default();
    if let Some(&(generation, replicas)) = applied.deployments.get(&name) {
        memory.data_plane = Some((generation, replicas));
        let before = surroundings.data_plane.as_deref().map(|deployment| WorkloadView::of(deployment).desired);
        done.replicas = before.filter(|before| *before != replicas).map(|before| (before, replicas));
        done.created = applied.created.contains(&(Kind::Deployment, name));
        if let Some((before, after)) = done.replicas {
            info!(trunk = %key, before, after, serving = decision.serving, "the data plane's replicas were changed");
        }
    }
    acted.extend(fleet.drain(drain, now, token, &mut memory.written).await);
    acted.extend(fleet.delete(delete).await);
    done.began.clone_from(&acted.began);
    Carried { applied, acted, done, serving: decision.serving }
}

/// What became of the trunk's Service of type LoadBalancer, where it has one. Read again when the Service has changed.
async fn load_balancer(
    context: &Context,
    key: &TrunkKey,
    trunk: &VoiceTrunk,
    memory: &mut Memory,
) -> Option<LoadBalancerStatus> {
    let name = match trunk.spec.switch() {
        Switch::Managed(FreeSwitch { network, .. }) if network.r#type == NetworkType::LoadBalancer => {
            names::free_switch(&key.name)
        }
        Switch::External(external) if external.esl_service.r#type == EslServiceType::LoadBalancer => {
            names::esl(&key.name)
        }
        Switch::Managed(_) | Switch::External(_) => return None,
    };
    let stamp = context.stores.owned(key, Kind::Service, &name)?.stamp;
    if let Some((_, known)) = memory.load_balancer.as_ref().filter(|(known, _)| *known == stamp) {
        return Some(known.clone());
    }
    let api: Api<Service> = Api::namespaced(context.client.clone(), &key.namespace);
    match api.get_opt(&name).await {
        Ok(service) => {
            let status = service.and_then(|service| service.status?.load_balancer).unwrap_or_default();
            memory.load_balancer = Some((stamp, status.clone()));
            Some(status)
        }
        Err(error) => {
            warn!(trunk = %key, %error, service = name, "could not read the Service; its address is told later");
            memory.load_balancer.as_ref().map(|(_, status)| status.clone())
        }
    }
}

fn address_of(status: &LoadBalancerStatus) -> Option<&str> {
    let ways = status.ingress.as_deref().unwrap_or_default();
    let set = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let way = ways.iter().find(|way| set(&way.ip) || set(&way.hostname))?;
    if set(&way.ip) { way.ip.as_deref() } else { way.hostname.as_deref() }
}

/// A trunk whose spec doesn't parse: what is wrong is written to its status; what was made for it before stays as it is.
async fn malformed(context: &Context, key: &TrunkKey, broken: &InvalidObject, memory: &mut Memory) -> Pass {
    let metadata = &broken.metadata;
    let mut standing = memory.reported.as_ref().map(|reported| reported.status.clone());
    if standing.is_none() {
        // The watch does not bring the status of what doesn't parse.
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), &key.namespace, &ApiResource::erase::<VoiceTrunk>(&()));
        let read = api.get_opt(&key.name).await.ok().flatten();
        let status = read.and_then(|object| object.data.get("status").cloned());
        standing = status.and_then(|status| serde_json::from_value(status).ok());
    }
    let surroundings = Surroundings::of(context, key, memory);
    let figures = ask(context, &surroundings.data_plane_pods).await;
    let problem = Problem::InvalidSpec(vec![validate::Problem {
        path: "spec".to_owned(),
        message: format!("it does not parse: {}", broken.error),
    }]);
    let trunk = VoiceTrunk { metadata: metadata.clone(), spec: VoiceTrunkSpec::default(), status: None };
    let facts = |pods: &[Arc<Pod>]| facts(pods, &figures);
    let data_plane = surroundings.data_plane.as_deref().map(WorkloadView::of);
    let mut status = derive(&StatusInputs {
        trunk: &trunk,
        previous: standing.as_ref(),
        now: context.now(),
        outcome: Err(&problem),
        free_switch: surroundings.free_switch.as_deref().map(WorkloadView::of).as_ref(),
        data_plane: data_plane.as_ref(),
        free_switch_pods: &facts(&surroundings.free_switch_pods),
        data_plane_pods: &facts(&surroundings.data_plane_pods),
        serving: data_plane.as_ref().map_or(0, |view| view.desired),
        entry_point: EntryPointFacts::default(),
    });
    // Where callers come in is not known from a spec that can't be read: it stays what it was.
    status.entry_point = standing.as_ref().and_then(|standing| standing.entry_point.clone());
    let told = notices(standing.as_ref(), &status, &Done::default());
    let reported = tell(context, key, metadata, standing.as_ref(), status.clone(), memory).await;
    if let (Ok(false), None) = (&reported, &memory.reported) {
        memory.reported = Some(super::memory::Reported { before: None, status, at: Instant::now() });
    }
    context.publisher.publish(&trunk.object_ref(&()), told).await;
    finish(context, key, Some(problem), reported, false, false, None)
}

async fn tell(
    context: &Context,
    key: &TrunkKey,
    metadata: &kube::core::ObjectMeta,
    standing: Option<&VoiceTrunkStatus>,
    status: VoiceTrunkStatus,
    memory: &mut Memory,
) -> Result<bool, Option<Problem>> {
    let Memory { uid, reported, .. } = memory;
    let subject = Subject { trunk: key, uid, version: metadata.resource_version.as_deref() };
    report::report(&context.client, subject, standing, status, reported, context.settings.totals_interval).await
}

fn finish(
    context: &Context,
    key: &TrunkKey,
    problem: Option<Problem>,
    reported: Result<bool, Option<Problem>>,
    wrote: bool,
    waiting: bool,
    retry_after: Option<Duration>,
) -> Pass {
    let (told, unreported) = match reported {
        Ok(told) => (told, None),
        Err(problem) => (false, problem),
    };
    for problem in problem.iter().chain(&unreported) {
        context.observe.error(problem.reason());
        warn!(trunk = %key, reason = problem.reason(), %problem, "the trunk could not be carried out");
    }
    // Only what the API server didn't do is repeated with growing pauses; what a person has to mend is looked at as often as ever.
    let of_the_api = |problem: &Problem| {
        matches!(problem, Problem::ApiError { .. } | Problem::Forbidden { .. } | Problem::Refused { .. })
    };
    let outcome = if problem.iter().chain(&unreported).any(of_the_api) {
        Outcome::Failed
    } else if problem.is_some() {
        Outcome::Problem
    } else if wrote || told {
        Outcome::Changed
    } else {
        Outcome::Unchanged
    };
    Pass { outcome, waiting, retry_after }
}
