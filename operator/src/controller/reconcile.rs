//! One pass over one trunk: look up, check, ask the pods, decide, build, apply, act, tell. The order is what keeps calls: nothing is
//! lowered that was not drained and marked before.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{LoadBalancerStatus, Pod, Service},
};
use kube::{Api, Resource as _, ResourceExt as _, api::DynamicObject, core::ApiResource};
use sofia_crds::{
    VoiceTrunk, VoiceTrunkStatus,
    spec::{EslServiceType, FreeSwitch, NetworkType, Switch},
    validate::{self, validate},
};
use tracing::warn;

use super::{
    Context,
    act::{self, Fleet},
    apply::{Applied, Failure},
    build::kind::Kind,
    carry_out::{Carried, Site, carry_out},
    dereference::{self, Referenced, dereference},
    events::notices,
    in_force::{self, InForce, Means},
    look::{self, SwitchView},
    memory::{Checked, Entry, Memory, Read, Reported, about},
    observe::Outcome,
    report::{self, Subject},
    status::{EntryPointFacts, PodFacts, Problem, StatusInputs, WorkloadView, derive, node_addresses, trunk_figures},
    stores::{Guarded, TrunkKey, is_of},
};
use crate::fleet::{
    decide::decide,
    scrape::PodFigures,
    view::{self, Observed},
};
use crate::metrics::{ApplyResult, DrainEnd};
use crate::vocabulary::{labels::Component, names};

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

/// Looks at one trunk and does what is to be done. Never fails as such: what could not be done is in the status and in what is returned. `entry` is
/// what is remembered of it.
pub async fn pass(context: &Context, trunk: &Guarded, entry: &Entry) -> Option<Pass> {
    let metadata = trunk.meta();
    let (key, uid) = (TrunkKey::of(metadata)?, metadata.uid.clone()?);
    if metadata.deletion_timestamp.is_some() {
        // What was made for it goes with it, by its owner references; making anything anew would only delay that.
        return None;
    }
    let mut memory = entry.memory.lock().await;
    let memory = memory.for_trunk(&uid);
    Some(look(context, &key, trunk, memory).await)
}

async fn look(context: &Context, key: &TrunkKey, guarded: &Guarded, memory: &mut Memory) -> Pass {
    let (now, metadata) = (context.now(), guarded.meta());
    let surroundings = Surroundings::of(context, key, memory);
    let figures = ask(context, &surroundings.data_plane_pods, memory).await;
    let (in_force, mut problem) = spec_in_force(context, key, guarded, surroundings.data_plane.is_some(), memory).await;
    // What the status is about: with nothing in force, what the trunk asks for in vain.
    let trunk = match (&in_force, &guarded.0) {
        (Some(in_force), _) => Cow::Borrowed(&*in_force.trunk),
        (None, Ok(trunk)) => Cow::Borrowed(trunk),
        (None, Err(_)) => Cow::Owned(VoiceTrunk { metadata: metadata.clone(), ..VoiceTrunk::default() }),
    };
    let load_balancer = load_balancer(context, key, &trunk, memory).await;
    let switch = look_at_switch(context, key, &trunk, in_force.as_ref(), &surroundings.free_switch_pods, memory);
    let mut carried = Carried {
        serving: WorkloadView::of(&surroundings.data_plane.clone().unwrap_or_default()).desired,
        ..Carried::default()
    };
    if let Some(in_force) = &in_force {
        let observed = Observed {
            now,
            spec: &trunk.spec,
            deployment: surroundings.data_plane.as_deref(),
            leaving_nodes: &context.stores.nodes.leaving(),
            figures: &figures,
        };
        let view = observed.fleet(surroundings.data_plane_pods.iter().map(Arc::as_ref));
        let decision = decide(&view, &mut memory.fleet);
        let site = Site {
            context,
            key,
            in_force,
            load_balancer_address: load_balancer.as_ref().and_then(address_of),
            data_plane: surroundings.data_plane.as_deref(),
            fleet: fleet(context, key, &surroundings.data_plane_pods),
            now,
            memory,
        };
        carried = carry_out(site, &decision).await;
        carried.done.overdue = decision
            .mark
            .iter()
            .filter(|name| carried.acted.marked.contains(name))
            .map(|name| (name.clone(), figures.get(name).map(|figures| figures.active)))
            .filter(|(_, left)| *left != Some(0))
            .collect();
        problem = problem.or(carried.applied.problem.take()).or(carried.acted.problem.take());
    }
    if let (Switch::Managed(free_switch), true) = (trunk.spec.switch(), in_force.is_some() || guarded.0.is_ok()) {
        let calls = calls(&surroundings.data_plane_pods, &figures);
        if let Some(mark) = memory.guard.look(free_switch.node_removal(), calls, now) {
            let pods = fleet(context, key, &surroundings.free_switch_pods);
            let said = pods.say(mark, &mut memory.written).await;
            problem = problem.or_else(|| said.problem.clone());
            carried.acted.extend(said);
        }
    }
    let facts = |pods: &[Arc<Pod>]| facts(pods, &figures);
    let data_plane_facts = facts(&surroundings.data_plane_pods);
    let free_switch_facts = facts(&surroundings.free_switch_pods);
    let nodes = node_addresses(&surroundings.free_switch_pods);
    let standing = standing(context, key, guarded, memory).await;
    let data_plane = surroundings.data_plane.as_deref().map(WorkloadView::of);
    let mut status = derive(&StatusInputs {
        trunk: &trunk,
        previous: standing.as_ref(),
        now,
        outcome: problem.as_ref().map_or(Ok(()), Err),
        free_switch: surroundings.free_switch.as_deref().map(WorkloadView::of).as_ref(),
        data_plane: data_plane.as_ref(),
        free_switch_pods: &free_switch_facts,
        data_plane_pods: &data_plane_facts,
        serving: carried.serving,
        switch: switch.as_ref(),
        entry_point: EntryPointFacts { load_balancer: load_balancer.as_ref(), node_addresses: &nodes },
    });
    if in_force.is_none() && guarded.0.is_err() {
        // Where callers come in is not known from a spec that can't be read: it stays what it was.
        status.entry_point = standing.as_ref().and_then(|standing| standing.entry_point.clone());
        status.entry_points = standing.as_ref().map(|standing| standing.entry_points.clone()).unwrap_or_default();
    }
    let managed = matches!(trunk.spec.switch(), Switch::Managed(_));
    let of_free_switch = managed.then_some(free_switch_facts.as_slice());
    context.observe.fleet(key, &trunk_figures(&data_plane_facts, data_plane.as_ref(), of_free_switch));
    context.observe.switch(key, switch.as_ref());
    context.observe.conditions(key, &status.conditions);
    count(context, &carried);
    let told = notices(standing.as_ref(), &status, &carried.done);
    let unread = guarded.0.is_err().then(|| status.clone());
    let reported = tell(context, key, metadata, standing.as_ref(), status, memory).await;
    if let (Ok(false), None, Some(status)) = (&reported, &memory.reported, unread) {
        // Read from the API server; what stands there is not read again.
        memory.reported = Some(Reported { before: None, status, at: Instant::now() });
    }
    context.publisher.publish(&trunk.object_ref(&()), told).await;
    let wrote = carried.applied.wrote() || carried.acted.wrote();
    let waiting = carried.applied.waiting || carried.acted.waiting;
    finish(context, key, problem, reported, wrote, waiting, carried.applied.retry_after)
}

/// By which spec the trunk is run, and why that is not its own, or not with all that it refers to.
async fn spec_in_force<'t>(
    context: &Context,
    key: &TrunkKey,
    guarded: &'t Guarded,
    exists: bool,
    memory: &mut Memory,
) -> (Option<InForce<'t>>, Option<Problem>) {
    let problems = match &guarded.0 {
        Ok(trunk) => check(trunk, memory).to_vec(),
        Err(broken) => {
            vec![validate::Problem { path: "spec".to_owned(), message: format!("it does not parse: {}", broken.error) }]
        }
    };
    let problem = match &guarded.0 {
        Ok(trunk) if problems.is_empty() => match look_up(context, key, trunk, memory).await {
            (Some(referenced), problem) => return (Some(in_force::own(trunk, referenced, memory)), problem),
            (None, problem) => problem,
        },
        _ => Some(Problem::InvalidSpec(problems)),
    };
    (in_force::last(context, key, guarded.meta(), exists, memory).await, problem)
}

fn fleet<'a>(context: &'a Context, key: &'a TrunkKey, all: &'a [Arc<Pod>]) -> Fleet<'a> {
    Fleet { client: &context.client, trunk: key, all, pods: &*context.pods }
}

/// Asks the pods, and counts those that did not answer.
async fn ask(context: &Context, pods: &[Arc<Pod>], memory: &mut Memory) -> BTreeMap<String, PodFigures> {
    let figures = act::ask(&*context.pods, pods, &mut memory.heard, context.settings.ask_again).await;
    let asked = pods.iter().filter(|pod| view::address(pod).is_some()).count();
    (figures.len()..asked).for_each(|_| context.observe.scrape_failed());
    figures
}

/// What is known of the trunk's FreeSWITCH; nothing of one that runs elsewhere.
fn look_at_switch(
    context: &Context,
    key: &TrunkKey,
    trunk: &VoiceTrunk,
    in_force: Option<&InForce<'_>>,
    pods: &[Arc<Pod>],
    memory: &mut Memory,
) -> Option<SwitchView> {
    let Switch::Managed(free_switch) = trunk.spec.switch() else { return None };
    let password = in_force.and_then(|in_force| match &in_force.means {
        Means::Whole(referenced) => Some(&referenced.event_socket_password),
        Means::Pods(_) => None,
    });
    let next = || about(context.settings.switch_interval, context.chance());
    let sights = &mut memory.sights;
    Some(look::look(&*context.switches, &key.namespace, free_switch, password, pods, sights, next))
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

/// The status as it stands.
async fn standing(context: &Context, key: &TrunkKey, guarded: &Guarded, memory: &Memory) -> Option<VoiceTrunkStatus> {
    let reported = memory.reported.as_ref();
    match &guarded.0 {
        Ok(trunk) => {
            report::standing(trunk.metadata.resource_version.as_deref(), trunk.status.as_ref(), reported).cloned()
        }
        // The watch does not bring the status of what doesn't parse.
        Err(_) => match reported {
            Some(reported) => Some(reported.status.clone()),
            None => {
                let resource = ApiResource::erase::<VoiceTrunk>(&());
                let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
                let read = api.get_opt(&key.name).await.ok().flatten();
                read.and_then(|object| serde_json::from_value(object.data.get("status")?.clone()).ok())
            }
        },
    }
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
