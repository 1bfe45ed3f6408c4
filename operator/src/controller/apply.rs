//! Brings a trunk's objects into the cluster and takes away what is no longer wanted, with as few requests as it takes: none when nothing
//! changed. What the objects are is not decided here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::Mac as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    build::{Inputs, kind::Kind, manifest::Manifest},
    compare,
    dereference::{Referenced, hexadecimal, keyed},
    status::Problem,
    stores::{OwnedObject, Stores, TrunkKey, controller_of, stamp},
};
use crate::secret_text::SecretText;
use crate::vocabulary::{labels, names};

/// How long the watch may take to bring what was just applied, before what it shows counts against it.
const WATCH_LAG: Duration = Duration::from_secs(10);

/// A state of an object that was seen to be as desired.
#[derive(Clone, Debug)]
struct Known {
    /// Hash of what was desired.
    hash: String,
    /// The state that it then had.
    stamp: u64,
    /// The state before that (none: it did not exist) and when it was replaced: what a watch that lags still shows.
    before: Option<(Option<u64>, Instant)>,
}

/// States of a trunk's objects that were seen to be as desired. Lost with the process; then each object is read once.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    known: HashMap<(Kind, String), Known>,
    /// What they were built from, if all of them were as desired then.
    built_from: Option<BuiltFrom>,
}

/// What tells the objects of a trunk that were built once from those that would be built now. The trunk's uid and the operator's release
/// are not among it: with others everything that is remembered is gone.
#[derive(Clone, Debug)]
pub struct BuiltFrom {
    generation: Option<i64>,
    /// What it refers to: the same as long as nothing of it has changed.
    referenced: Arc<Referenced>,
    data_plane_replicas: u32,
    data_plane_serving: u32,
    crowded: bool,
    load_balancer_address: Option<String>,
}

impl BuiltFrom {
    /// Takes down what `inputs` are; `generation` is that of the spec, which the trunk may have had before, and `referenced` is what they
    /// refer to, where it is kept.
    pub fn of(inputs: &Inputs<'_>, generation: Option<i64>, referenced: &Arc<Referenced>) -> Self {
        // Each of them is compared, or the same for the life of the process: the release, and which kinds the cluster knows.
        let Inputs {
            trunk: _,
            referenced: _,
            release: _,
            data_plane_replicas,
            data_plane_serving,
            crowded,
            pod_monitors: _,
            load_balancer_address,
        } = inputs;
        Self {
            generation,
            referenced: Arc::clone(referenced),
            data_plane_replicas: *data_plane_replicas,
            data_plane_serving: *data_plane_serving,
            crowded: *crowded,
            load_balancer_address: load_balancer_address.map(str::to_owned),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let Self { generation, referenced, data_plane_replicas, data_plane_serving, crowded, load_balancer_address } =
            self;
        *generation == other.generation
            && *data_plane_replicas == other.data_plane_replicas
            && *data_plane_serving == other.data_plane_serving
            && *crowded == other.crowded
            && *load_balancer_address == other.load_balancer_address
            && Arc::ptr_eq(referenced, &other.referenced)
    }
}

/// What applying a trunk's objects came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// Objects that were made anew.
    pub created: Vec<(Kind, String)>,
    /// Objects that were changed.
    pub changed: Vec<(Kind, String)>,
    /// Objects that were deleted.
    pub deleted: Vec<(Kind, String)>,
    /// Kinds of the objects that could not be written, one for each.
    pub failed: Vec<Kind>,
    /// What the API server answered to the Deployments that were written: generation and replicas by name.
    pub deployments: HashMap<String, (i64, u32)>,
    /// Why it could not be finished; the first of several.
    pub problem: Option<Problem>,
    /// Whether something is on its way out of the cluster and must be waited for.
    pub waiting: bool,
    /// How long the API server asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Applied {
    /// Whether anything was written.
    pub fn wrote(&self) -> bool {
        !(self.created.is_empty() && self.changed.is_empty() && self.deleted.is_empty())
    }
}

/// Whose objects they are, and where.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// What is known of it.
    pub stores: &'a Stores,
    /// The trunk.
    pub trunk: &'a TrunkKey,
    /// Its uid.
    pub uid: &'a str,
    /// Keys the hashes that stand on the objects: they tell nothing of the passwords in them.
    pub key: &'a SecretText,
}

/// What became of one object.
enum Step {
    Unchanged,
    Written { created: bool },
    Waiting,
}

/// Whether the objects that would be built from this are in the cluster as they were seen there, and no others of the trunk are: then they
/// need not be built. What happens at nearly every pass.
pub fn is_as_seen(target: Target<'_>, from: &BuiltFrom, seen: &mut Seen) -> bool {
    if !seen.built_from.as_ref().is_some_and(|built_from| built_from.is_same(from)) {
        return false;
    }
    let Seen { known, .. } = seen;
    let kept = known.iter_mut().all(|((kind, name), known)| {
        let state = |object: &OwnedObject| (object.deleting, object.stamp);
        let shown = target.stores.owned.get(kind).and_then(|store| store.look(target.trunk, name, state));
        !shown.is_some_and(|(deleting, _)| deleting) && known.is(shown.map(|(_, stamp)| stamp))
    });
    kept && target.stores.owned.iter().all(|(kind, store)| {
        let of_this_trunk = |object: &OwnedObject| object.owner.as_deref() == Some(target.uid) && !object.deleting;
        store.all(target.trunk, |name, object| !of_this_trunk(object) || known.contains_key(&(*kind, name.to_owned())))
    })
}

/// Applies a trunk's objects in their order, then deletes those of the trunk that are not among them. What fails doesn't keep the others
/// from being applied, except the Deployments: pods aren't made or changed while what they refer to isn't in place.
pub async fn apply(target: Target<'_>, from: BuiltFrom, manifests: Vec<Manifest>, seen: &mut Seen) -> Applied {
    let mut applied = Applied::default();
    seen.built_from = None;
    let wanted: HashSet<(Kind, String)> =
        manifests.iter().map(|manifest| (manifest.kind, manifest.name.clone())).collect();
    for manifest in manifests {
        if manifest.kind == Kind::Deployment && (applied.problem.is_some() || applied.waiting) {
            continue;
        }
        apply_and_note(target, manifest, seen, &mut applied).await;
    }
    if applied.problem.is_none() && !applied.waiting {
        prune(target, &wanted, &mut applied).await;
    }
    seen.known.retain(|object, _| wanted.contains(object));
    if applied.problem.is_none() && !applied.waiting && applied.deleted.is_empty() {
        seen.built_from = Some(from);
    }
    applied
}

/// Of a trunk whose objects can't be built, brings the number of pods into the Deployment that is there (`live`), and `followers` into the
/// cluster. Nothing else is touched, made or deleted.
pub async fn resize(
    target: Target<'_>,
    live: Option<&Deployment>,
    replicas: u32,
    followers: Vec<Manifest>,
    seen: &mut Seen,
) -> Applied {
    let mut applied = Applied::default();
    seen.built_from = None;
    let name = names::data_plane(&target.trunk.name);
    let owner = target.stores.owned(target.trunk, Kind::Deployment, &name).and_then(|owned| owned.owner);
    let now = live.and_then(|live| live.spec.as_ref()?.replicas).and_then(|now| u32::try_from(now).ok());
    if owner.as_deref() == Some(target.uid) && now.is_some_and(|now| now != replicas) {
        let api: Api<Deployment> = Api::namespaced(target.client.clone(), &target.trunk.namespace);
        let uid = live.and_then(|live| live.metadata.uid.as_ref());
        let patch = json!({ "metadata": { "uid": uid }, "spec": { "replicas": replicas } });
        let parameters = PatchParams { field_manager: Some(labels::MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch(&name, &parameters, &Patch::Merge(&patch)).await {
            Ok(live) => {
                applied.deployments.insert(name.clone(), (live.metadata.generation.unwrap_or_default(), replicas));
                applied.changed.push((Kind::Deployment, name));
            }
            Err(error) => applied.fail(Kind::Deployment, Failure::new(format!("resize Deployment {name}"), error)),
        }
    }
    for manifest in followers {
        apply_and_note(target, manifest, seen, &mut applied).await;
    }
    applied
}

async fn apply_and_note(target: Target<'_>, manifest: Manifest, seen: &mut Seen, applied: &mut Applied) {
    let (kind, name) = (manifest.kind, manifest.name.clone());
    match apply_one(target, manifest, seen, &mut applied.deployments).await {
        Ok(Step::Unchanged) => {}
        Ok(Step::Written { created: true }) => applied.created.push((kind, name)),
        Ok(Step::Written { created: false }) => applied.changed.push((kind, name)),
        Ok(Step::Waiting) => applied.waiting = true,
        // Whoever took the kind away wants none of it: the rest goes on, and the cluster is asked what it knows.
        Err(failure) if failure.is_missing && !kind.built_in() => target.stores.kind_is_gone.notify_one(),
        Err(failure) => applied.fail(kind, failure),
    }
}

async fn apply_one(
    target: Target<'_>,
    manifest: Manifest,
    seen: &mut Seen,
    deployments: &mut HashMap<String, (i64, u32)>,
) -> Result<Step, Failure> {
    let Manifest { kind, namespace, name, mut value } = manifest;
    let hash = hash(target.key, &value);
    value["metadata"]["annotations"][labels::APPLIED_HASH] = json!(hash);
    let object = (kind, name.clone());
    let watched = target.stores.owned(target.trunk, kind, &name);
    if watched.as_ref().is_some_and(|watched| watched.deleting) {
        return Ok(Step::Waiting);
    }
    let now = watched.as_ref().map(|watched| watched.stamp);
    if seen.knows(&object, &hash, now) {
        return Ok(Step::Unchanged);
    }
    let api: Api<DynamicObject> = Api::namespaced_with(target.client.clone(), &namespace, &kind.api_resource());
    let action = |verb: &str| format!("{verb} {} {name}", kind.name());
    // Written at once only where the watch shows that it is the trunk's and was applied differently; otherwise it is looked at.
    let look = watched.as_ref().is_none_or(|watched| {
        watched.owner.as_deref() != Some(target.uid) || watched.applied_hash.as_deref() == Some(hash.as_str())
    });
    let mut before = now;
    let mut exists = watched.is_some();
    if look {
        let live = api.get_opt(&name).await.map_err(|error| Failure::new(action("read"), error))?;
        exists = live.is_some();
        before = live.as_ref().map(|live| stamp(kind, &live.metadata));
        if let Some(live) = live {
            let owner = controller_of(&live.metadata);
            if live.metadata.deletion_timestamp.is_some()
                || owner.is_some_and(|(name, uid)| name == target.trunk.name && uid != target.uid)
            {
                // It belonged to an earlier trunk of the same name, and goes with it.
                return Ok(Step::Waiting);
            }
            let ours = owner.map(|(_, uid)| uid) == Some(target.uid);
            let orphaned = live.metadata.owner_references.as_ref().is_none_or(Vec::is_empty)
                && live.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(labels::APPLIED_HASH));
            if !ours && !orphaned {
                return Err(Failure::taken(kind, name));
            }
            let state = stamp(kind, &live.metadata);
            let live = serde_json::to_value(&live).expect("an object that came as JSON is JSON");
            if compare::contains(kind, &live, &value) {
                seen.known.insert(object, Known { hash, stamp: state, before: Some((now, Instant::now())) });
                return Ok(Step::Unchanged);
            }
        }
    }
    let parameters = PatchParams::apply(labels::MANAGER).force();
    let result = api.patch(&name, &parameters, &Patch::Apply(&value)).await;
    let live = result.map_err(|error| Failure::new(action("apply"), error))?;
    debug!(trunk = %target.trunk, kind = kind.name(), %name, "applied");
    if kind == Kind::Deployment {
        let replicas = live.data.pointer("/spec/replicas").and_then(Value::as_u64);
        let replicas = replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or_default();
        deployments.insert(name, (live.metadata.generation.unwrap_or_default(), replicas));
    }
    let state = stamp(kind, &live.metadata);
    seen.known.insert(object, Known { hash, stamp: state, before: Some((before, Instant::now())) });
    Ok(Step::Written { created: !exists })
}

impl Seen {
    /// Whether an object in this state is known to be as desired. A state that was just replaced counts too: the watch lags.
    fn knows(&mut self, object: &(Kind, String), hash: &str, now: Option<u64>) -> bool {
        self.known.get_mut(object).is_some_and(|known| known.hash == hash && known.is(now))
    }
}

impl Known {
    /// Whether it is the state that the watch shows, or the one after.
    fn is(&mut self, now: Option<u64>) -> bool {
        if now == Some(self.stamp) {
            self.before = None;
            return true;
        }
        self.before.is_some_and(|(before, since)| before == now && since.elapsed() < WATCH_LAG)
    }
}

/// Deletes the trunk's objects that are not wanted, those first that were applied last.
async fn prune(target: Target<'_>, wanted: &HashSet<(Kind, String)>, applied: &mut Applied) {
    for (kind, store) in target.stores.owned.iter().rev() {
        for (name, object) in store.of(target.trunk) {
            let name = String::from(name);
            let object_key = (*kind, name.clone());
            if object.owner.as_deref() != Some(target.uid) || object.deleting || wanted.contains(&object_key) {
                continue;
            }
            match delete(target, *kind, &name, &object).await {
                Ok(true) => {
                    info!(trunk = %target.trunk, kind = kind.name(), %name, "deleted: no longer wanted");
                    applied.deleted.push(object_key);
                }
                Ok(false) => {}
                Err(failure) => applied.fail(*kind, failure),
            }
        }
    }
}

/// Deletes an object if it is still the one that was seen; whether it did.
async fn delete(target: Target<'_>, kind: Kind, name: &str, object: &OwnedObject) -> Result<bool, Failure> {
    let resource = kind.api_resource();
    let api: Api<DynamicObject> = Api::namespaced_with(target.client.clone(), &target.trunk.namespace, &resource);
    let parameters = DeleteParams::background()
        .preconditions(Preconditions { uid: Some(object.uid.clone()), resource_version: None });
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(true),
        // Gone already, or another object took its name since: the watch will tell.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(Failure::new(format!("delete {} {name}", kind.name()), error)),
    }
}

/// Hash of an object as it is desired.
fn hash(key: &SecretText, value: &Value) -> String {
    let mut mac = keyed(key);
    mac.update(value.to_string().as_bytes());
    hexadecimal(&mac.finalize().into_bytes()[..16])
}

/// A request that was not carried out.
pub(super) struct Failure {
    /// What was asked for does not exist, be it the kind.
    is_missing: bool,
    problem: Option<Problem>,
    waiting: bool,
    retry_after: Option<Duration>,
}

impl Failure {
    fn taken(kind: Kind, name: String) -> Self {
        let problem = Problem::NameTaken { kind: kind.name().to_owned(), name };
        Self { is_missing: false, problem: Some(problem), waiting: false, retry_after: None }
    }

    /// What an error of the API server means for the trunk; `action` is what the operator was about to do.
    pub(super) fn new(action: String, error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            let message = error.to_string();
            let problem = Some(Problem::ApiError { action, message });
            return Self { is_missing: false, problem, waiting: false, retry_after: None };
        };
        let details = status.details.as_ref();
        let retry_after = details
            .filter(|details| details.retry_after_seconds > 0)
            .map(|details| Duration::from_secs(details.retry_after_seconds.into()));
        let ending =
            details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
        let message = status.message.clone();
        let problem = match status.code {
            // The namespace is being deleted, and the trunk with it: nothing is wrong.
            403 if ending => return Self { is_missing: false, problem: None, waiting: true, retry_after },
            // What was changed meanwhile is looked at again.
            409 => return Self { is_missing: false, problem: None, waiting: true, retry_after },
            // A quota or a webhook says no with the same code as RBAC, which alone names the user.
            401 => Problem::Forbidden { action, message },
            403 if message.contains("User \"") => Problem::Forbidden { action, message },
            400 | 403 | 422 => Problem::Refused { action, message },
            _ => Problem::ApiError { action, message },
        };
        Self { is_missing: status.code == 404, problem: Some(problem), waiting: false, retry_after }
    }

    /// The problem that it is, if it is one.
    pub(super) fn problem(self) -> Option<Problem> {
        self.problem
    }
}

impl Applied {
    fn fail(&mut self, kind: Kind, failure: Failure) {
        self.failed.push(kind);
        let Failure { is_missing: _, problem, waiting, retry_after } = failure;
        self.waiting |= waiting;
        self.retry_after = self.retry_after.max(retry_after);
        if let Some(problem) = problem {
            // What is certain is told rather than what may be over in a moment.
            if self.problem.as_ref().is_none_or(|first| first.leaves_the_state_unknown()) {
                self.problem = Some(problem);
            }
        }
    }
}
