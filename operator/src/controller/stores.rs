//! What is known of the cluster from its watches, by trunk, in as few bytes as the passes need. Asks no cluster, decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{Container, ContainerStatus, Node, Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    ResourceExt as _,
    core::DeserializeGuard,
    runtime::{reflector, watcher},
};
use sofia_crds::VoiceTrunk;

use super::build::kind::Kind;
use crate::fleet::view;
use crate::vocabulary::labels::{self, Component};

/// A VoiceTrunk, or what is left of one that doesn't parse.
pub type Guarded = DeserializeGuard<VoiceTrunk>;

/// Which trunk: objects of the same trunk have the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl TrunkKey {
    /// The key of a trunk by its metadata; nothing without namespace or name, which no object from an API server lacks.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: metadata.namespace.clone()?, name: metadata.name.clone()? })
    }
}

impl fmt::Display for TrunkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The trunk that an object belongs to: that of its controller, or of its label when somebody took the owner reference away.
fn trunk_of(metadata: &ObjectMeta) -> Option<TrunkKey> {
    let owner = controller_of(metadata).map(|(name, _)| name);
    let name = owner.or_else(|| metadata.labels.as_ref()?.get(labels::INSTANCE).map(String::as_str))?;
    Some(TrunkKey { namespace: metadata.namespace.clone()?, name: name.to_owned() })
}

/// Name and uid of the VoiceTrunk that controls an object.
pub(super) fn controller_of(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let owners = metadata.owner_references.iter().flatten();
    owners
        .filter(|owner| owner.controller == Some(true) && owner.kind == "VoiceTrunk")
        .find(|owner| owner.api_version.starts_with("sofia-phone.io/"))
        .map(|owner| (owner.name.as_str(), owner.uid.as_str()))
}

/// An object that the operator made, as far as its metadata tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedObject {
    /// Its uid.
    pub uid: String,
    /// Uid of the VoiceTrunk that controls it.
    pub owner: Option<String>,
    /// What tells this state of it from the next.
    pub stamp: u64,
    /// Hash of what was last applied.
    pub applied_hash: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl OwnedObject {
    /// Takes what matters from an object's metadata.
    pub fn of(kind: Kind, metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: controller_of(metadata).map(|(_, uid)| uid.to_owned()),
            stamp: stamp(kind, metadata),
            applied_hash: metadata.annotations.as_ref().and_then(|all| all.get(labels::APPLIED_HASH)).cloned(),
            deleting: metadata.deletion_timestamp.is_some(),
        }
    }
}

/// What tells one state of an object from the next: its uid, the version of its content, and the metadata that don't count in
/// `metadata.generation`.
pub fn stamp(kind: Kind, metadata: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    metadata.uid.hash(&mut hasher);
    match metadata.generation.filter(|_| kind.has_generation()) {
        Some(generation) => generation.hash(&mut hasher),
        None => metadata.resource_version.hash(&mut hasher),
    }
    metadata.labels.hash(&mut hasher);
    // Counted up by the Deployment's controller at each rollout.
    let annotations = metadata.annotations.iter().flatten();
    annotations.filter(|(key, _)| *key != "deployment.kubernetes.io/revision").for_each(|pair| pair.hash(&mut hasher));
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.uid, owner.controller).hash(&mut hasher);
    }
    hasher.finish()
}

/// A Deployment without what nobody here reads: its pods' spec.
pub fn strip_deployment(deployment: &Deployment) -> Arc<Deployment> {
    let spec = deployment.spec.as_ref().map(|spec| DeploymentSpec {
        replicas: spec.replicas,
        template: PodTemplateSpec {
            metadata: spec
                .template
                .metadata
                .as_ref()
                .map(|metadata| ObjectMeta { annotations: metadata.annotations.clone(), ..ObjectMeta::default() }),
            spec: None,
        },
        ..DeploymentSpec::default()
    });
    let metadata = ObjectMeta {
        name: deployment.metadata.name.clone(),
        namespace: deployment.metadata.namespace.clone(),
        uid: deployment.metadata.uid.clone(),
        generation: deployment.metadata.generation,
        ..ObjectMeta::default()
    };
    Arc::new(Deployment { metadata, spec, status: deployment.status.clone() })
}

/// A pod without what nobody here reads: most of its spec and status, and the metadata of others. There are more of them than of anything
/// else, and a container's spec alone is several kilobytes, be it ever so empty.
pub fn strip_pod(pod: &Pod) -> Arc<Pod> {
    const LABELS: [&str; 2] = [labels::COMPONENT, labels::DRAINED];
    const ANNOTATIONS: [&str; 4] =
        [labels::CONFIGURATION_HASH, labels::RESTARTED_AT, labels::DRAINING_SINCE, labels::POD_DELETION_COST];
    let kept = |all: &Option<BTreeMap<String, String>>, read: &[&str]| {
        let all = all.iter().flatten().filter(|(key, _)| read.contains(&key.as_str()));
        Some(all.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let metadata = ObjectMeta {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        labels: kept(&pod.metadata.labels, &LABELS),
        annotations: kept(&pod.metadata.annotations, &ANNOTATIONS),
        creation_timestamp: pod.metadata.creation_timestamp.clone(),
        deletion_timestamp: pod.metadata.deletion_timestamp.clone(),
        ..ObjectMeta::default()
    };
    let waits = pod.status.as_ref().is_some_and(|status| {
        let mut containers = status.container_statuses.iter().flatten();
        containers.any(|container| container.state.as_ref().is_some_and(|state| state.waiting.is_some()))
    });
    let spec = pod.spec.as_ref().map(|spec| PodSpec {
        node_name: spec.node_name.clone(),
        // Which image can't be pulled; asked of containers that wait only.
        containers: spec
            .containers
            .iter()
            .filter(|_| waits)
            .map(|container| Container {
                name: container.name.clone(),
                image: container.image.clone(),
                ..Container::default()
            })
            .collect(),
        ..PodSpec::default()
    });
    Arc::new(Pod { metadata, spec, status: pod.status.as_ref().map(strip_status) })
}

fn strip_status(status: &PodStatus) -> PodStatus {
    let container = |container: &ContainerStatus| ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone(),
        state: container.state.clone(),
        last_state: container.last_state.clone(),
        ..ContainerStatus::default()
    };
    let containers = |all: &Option<Vec<ContainerStatus>>| all.as_ref().map(|all| all.iter().map(container).collect());
    // That it is ready; what else is true is as it should be.
    let told = |condition: &&PodCondition| condition.type_ == "Ready" || condition.status != "True";
    PodStatus {
        phase: status.phase.clone(),
        pod_ip: status.pod_ip.clone(),
        host_ip: status.host_ip.clone(),
        conditions: status.conditions.as_ref().map(|all| all.iter().filter(told).cloned().collect()),
        container_statuses: containers(&status.container_statuses),
        init_container_statuses: containers(&status.init_container_statuses),
        ..PodStatus::default()
    }
}

/// Whether a pod is of this part of its trunk.
pub fn is_of(pod: &Pod, component: Component) -> bool {
    pod.labels().get(labels::COMPONENT).is_some_and(|name| name == component.as_str())
}

/// The objects of one trunk, sorted by name: a handful, for which a tree would take several times the room.
type Named<V> = Vec<(Box<str>, V)>;

fn find<V>(all: &Named<V>, name: &str) -> Result<usize, usize> {
    all.binary_search_by(|(known, _)| (**known).cmp(name))
}

/// Enters an object; whether that is news.
fn enter<V: PartialEq>(all: &mut Named<V>, name: &str, value: V) -> bool {
    match find(all, name) {
        Ok(at) if all[at].1 == value => false,
        Ok(at) => {
            all[at].1 = value;
            true
        }
        Err(at) => {
            all.reserve_exact(1);
            all.insert(at, (name.into(), value));
            true
        }
    }
}

/// Objects of one kind, by trunk and name.
#[derive(Debug)]
pub struct ByTrunk<V> {
    objects: RwLock<HashMap<TrunkKey, Named<V>>>,
}

impl<V> Default for ByTrunk<V> {
    fn default() -> Self {
        Self { objects: RwLock::default() }
    }
}

impl<V: Clone + PartialEq> ByTrunk<V> {
    /// A trunk's objects, by name.
    pub fn of(&self, trunk: &TrunkKey) -> Vec<(Box<str>, V)> {
        self.read().get(trunk).cloned().unwrap_or_default()
    }

    /// One object of a trunk.
    pub fn get(&self, trunk: &TrunkKey, name: &str) -> Option<V> {
        self.look(trunk, name, V::clone)
    }

    /// What `read` finds in one object of a trunk.
    pub fn look<T>(&self, trunk: &TrunkKey, name: &str, read: impl FnOnce(&V) -> T) -> Option<T> {
        let objects = self.read();
        let all = objects.get(trunk)?;
        Some(read(&all[find(all, name).ok()?].1))
    }

    /// Whether `test` is true of all objects of a trunk.
    pub fn all(&self, trunk: &TrunkKey, test: impl Fn(&str, &V) -> bool) -> bool {
        self.read().get(trunk).is_none_or(|all| all.iter().all(|(name, object)| test(name, object)))
    }

    /// The trunks that have an object of which `test` is true.
    pub fn trunks_with(&self, test: impl Fn(&V) -> bool) -> BTreeSet<TrunkKey> {
        let objects = self.read();
        let has = |all: &Named<V>| all.iter().any(|(_, object)| test(object));
        objects.iter().filter(|(_, all)| has(all)).map(|(trunk, _)| trunk.clone()).collect()
    }

    /// Enters an object as it is now; whether that is news.
    pub fn put(&self, trunk: &TrunkKey, name: &str, value: V) -> bool {
        let mut objects = self.write();
        if let Some(all) = objects.get_mut(trunk) {
            return enter(all, name, value);
        }
        objects.insert(trunk.clone(), vec![(name.into(), value)]);
        true
    }

    /// Strikes an object out; whether it was known.
    pub fn remove(&self, trunk: &TrunkKey, name: &str) -> bool {
        let mut objects = self.write();
        let Some(all) = objects.get_mut(trunk) else { return false };
        let known = find(all, name).map(|at| all.remove(at)).is_ok();
        if all.is_empty() {
            objects.remove(trunk);
        }
        known
    }

    /// Takes a complete list for what there is; tells the trunks for which it is news.
    pub fn replace(&self, list: HashMap<TrunkKey, Vec<(Box<str>, V)>>) -> BTreeSet<TrunkKey> {
        let mut objects = self.write();
        let known = std::mem::replace(&mut *objects, list);
        let differs = |trunk: &&TrunkKey| known.get(*trunk) != objects.get(*trunk);
        known.keys().chain(objects.keys()).filter(differs).cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<TrunkKey, Named<V>>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<TrunkKey, Named<V>>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A complete list on its way: what a watch brings between [`watcher::Event::Init`] and [`watcher::Event::InitDone`].
#[derive(Debug)]
pub struct Listing<V> {
    list: HashMap<TrunkKey, Named<V>>,
}

impl<V> Default for Listing<V> {
    fn default() -> Self {
        Self { list: HashMap::new() }
    }
}

impl<V: Clone + PartialEq> Listing<V> {
    /// Brings an event of a watch into `store`; `read` takes what matters from an object. Tells the trunks for which it is news.
    pub fn enter<K>(
        &mut self,
        store: &ByTrunk<V>,
        event: &watcher::Event<K>,
        read: impl Fn(&K) -> Option<V>,
    ) -> BTreeSet<TrunkKey>
    where
        K: kube::Resource,
    {
        match event {
            watcher::Event::Init => self.list.clear(),
            watcher::Event::InitApply(object) => {
                if let (Some(trunk), Some(value)) = (trunk_of(object.meta()), read(object)) {
                    enter(self.list.entry(trunk).or_default(), &object.name_any(), value);
                }
            }
            watcher::Event::InitDone => return store.replace(std::mem::take(&mut self.list)),
            watcher::Event::Apply(object) => {
                if let (Some(trunk), Some(value)) = (trunk_of(object.meta()), read(object)) {
                    let news = store.put(&trunk, &object.name_any(), value);
                    return news.then_some(trunk).into_iter().collect();
                }
            }
            watcher::Event::Delete(object) => {
                if let Some(trunk) = trunk_of(object.meta()) {
                    let news = store.remove(&trunk, &object.name_any());
                    return news.then_some(trunk).into_iter().collect();
                }
            }
        }
        BTreeSet::new()
    }
}

/// Names of the nodes that are cordoned or about to go away. Others are not kept.
#[derive(Debug, Default)]
pub struct Nodes {
    leaving: RwLock<Arc<BTreeSet<String>>>,
}

impl Nodes {
    /// The nodes that go.
    pub fn leaving(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.leaving.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings an event of the watch in, with `listing` for a complete list on its way; tells the nodes for which it is news.
    pub fn enter(&self, listing: &mut BTreeSet<String>, event: watcher::Event<Node>) -> BTreeSet<String> {
        let known = self.leaving();
        let mut leaving = BTreeSet::clone(&known);
        match event {
            watcher::Event::Init => listing.clear(),
            watcher::Event::InitApply(node) if view::is_leaving(&node) => {
                listing.insert(node.name_any());
            }
            watcher::Event::InitApply(_) => {}
            watcher::Event::InitDone => leaving = std::mem::take(listing),
            watcher::Event::Apply(node) if view::is_leaving(&node) => {
                leaving.insert(node.name_any());
            }
            watcher::Event::Apply(node) | watcher::Event::Delete(node) => {
                leaving.remove(&node.name_any());
            }
        }
        let news: BTreeSet<String> = known.symmetric_difference(&leaving).cloned().collect();
        if !news.is_empty() {
            *self.leaving.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(leaving);
        }
        news
    }
}

/// Everything that is known of the cluster.
#[derive(Debug)]
pub struct Stores {
    /// The trunks.
    pub trunks: reflector::Store<Guarded>,
    /// What the operator made, by kind.
    pub owned: BTreeMap<Kind, ByTrunk<OwnedObject>>,
    /// The trunks' Deployments, stripped.
    pub deployments: ByTrunk<Arc<Deployment>>,
    /// The trunks' pods, stripped.
    pub pods: ByTrunk<Arc<Pod>>,
    /// The nodes that go.
    pub nodes: Nodes,
    /// Told when an object could not be written because the cluster does not know its kind any more.
    pub kind_is_gone: tokio::sync::Notify,
}

impl Stores {
    /// Empty ones, for the kinds that the cluster knows.
    pub fn new(trunks: reflector::Store<Guarded>, kinds: &[Kind]) -> Self {
        Self {
            trunks,
            owned: kinds.iter().map(|kind| (*kind, ByTrunk::default())).collect(),
            deployments: ByTrunk::default(),
            pods: ByTrunk::default(),
            nodes: Nodes::default(),
            kind_is_gone: tokio::sync::Notify::new(),
        }
    }

    /// An object that the operator made for a trunk.
    pub fn owned(&self, trunk: &TrunkKey, kind: Kind, name: &str) -> Option<OwnedObject> {
        self.owned.get(&kind)?.get(trunk, name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(state: serde_json::Value) -> Pod {
        let pod = json!({
            "metadata": {
                "name": "a", "namespace": "n", "labels": { labels::COMPONENT: "dataplane", "team": "voice" },
                "annotations": { labels::CONFIGURATION_HASH: "1", "cni.example.com/status": "long" },
            },
            "spec": { "nodeName": "node-1", "containers": [{ "name": "dataplane", "image": "dp:1", "env": [] }] },
            "status": {
                "phase": "Running", "podIP": "192.0.2.1", "hostIP": "192.0.2.9",
                "conditions": [
                    { "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "True" },
                    { "type": "PodScheduled", "status": "False", "reason": "Unschedulable" },
                ],
                "containerStatuses": [{ "name": "dataplane", "image": "dp:1", "imageID": "sha256:1", "ready": true,
                    "restartCount": 0, "state": state }],
            },
        });
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn of_a_pod_is_kept_what_is_read_of_it() {
        let kept = strip_pod(&pod(json!({ "running": {} })));
        assert_eq!(view::address(&kept), "192.0.2.1".parse().ok());
        assert!(is_of(&kept, Component::DataPlane) && kept.annotations().contains_key(labels::CONFIGURATION_HASH));
        assert_eq!((kept.labels().len(), kept.annotations().len()), (1, 1), "others' are not kept");
        let status = kept.status.as_ref().expect("it has one");
        let conditions: Vec<&str> = status.conditions.iter().flatten().map(|all| all.type_.as_str()).collect();
        assert_eq!(conditions, ["Ready", "PodScheduled"]);
        assert_eq!(status.host_ip.as_deref(), Some("192.0.2.9"));
        let spec = kept.spec.as_ref().expect("it has one");
        assert_eq!((spec.node_name.as_deref(), spec.containers.len()), (Some("node-1"), 0));
    }

    #[test]
    fn the_image_of_a_container_that_waits_is_kept() {
        let kept = strip_pod(&pod(json!({ "waiting": { "reason": "ImagePullBackOff" } })));
        let images: Vec<_> = kept.spec.iter().flat_map(|spec| &spec.containers).map(|all| all.image.clone()).collect();
        assert_eq!(images, [Some("dp:1".to_owned())]);
    }

    #[test]
    fn a_trunks_objects_are_found_by_name_and_only_news_is_news() {
        let (trunk, store) = (TrunkKey { namespace: "n".to_owned(), name: "main".to_owned() }, ByTrunk::default());
        assert!(store.put(&trunk, "b", 2) && store.put(&trunk, "a", 1) && store.put(&trunk, "c", 3));
        assert!(!store.put(&trunk, "b", 2) && store.put(&trunk, "b", 4));
        assert_eq!(["a", "b", "c", "d"].map(|name| store.get(&trunk, name)), [Some(1), Some(4), Some(3), None]);
        assert!(store.all(&trunk, |name, _| name != "d") && !store.all(&trunk, |_, value| *value < 4));
        assert!(store.remove(&trunk, "a") && !store.remove(&trunk, "a"));
        assert_eq!(store.trunks_with(|value| *value == 3).len(), 1);
        let news = store.replace(HashMap::from([(trunk.clone(), vec![("b".into(), 4), ("c".into(), 3)])]));
        assert!(news.is_empty());
    }
}
