//! The watches that fill the stores and tell which trunk is to be looked at. They read; what follows from it is not theirs.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Node, Pod},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::warn;

use super::{
    Settings,
    build::kind::Kind,
    observe::Observe,
    stores::{Guarded, Listing, OwnedObject, Stores, TrunkKey, strip_deployment, strip_pod},
};
use crate::vocabulary::labels::{self, Component};

/// Objects in a page of a list. All lists are read at the same time, at the start and whenever a watch is lost: what they take while they
/// are read is most of what the process ever takes.
const PAGE: u32 = 100;

/// What the watches run on.
pub struct Watches {
    /// The cluster.
    pub client: Client,
    /// Which namespace is watched, whose trunks, and whether nodes are.
    pub settings: Settings,
    /// Where what they see goes.
    pub stores: Arc<Stores>,
    /// Where the keys of the trunks go that are to be looked at.
    pub triggers: mpsc::UnboundedSender<TrunkKey>,
    /// Where trunks go that are no more.
    pub gone: mpsc::UnboundedSender<TrunkKey>,
    /// Where failures are counted.
    pub observe: Arc<dyn Observe>,
}

/// The watches as they run. Dropped, they end.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<()>,
    ready: Vec<(&'static str, watch::Receiver<bool>)>,
}

impl Running {
    /// Waits until every watch has brought its first complete list. Until then nothing may be concluded from an absence.
    pub async fn ready(&mut self) {
        for (name, ready) in &mut self.ready {
            while tokio::time::timeout(Duration::from_secs(30), ready.wait_for(|ready| *ready)).await.is_err() {
                warn!(watch = name, "still waits for the first list; see the errors of this watch");
            }
        }
    }

    /// Waits for a watch to end, which none does by itself.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

impl Watches {
    /// Starts all of them.
    pub fn start(self, trunks: reflector::store::Writer<Guarded>) -> Running {
        let mut running = Running { tasks: JoinSet::new(), ready: Vec::new() };
        let ours = watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
        for kind in self.stores.owned.keys().copied().filter(|kind| *kind != Kind::Deployment) {
            let api = self.metadata_of(kind);
            let mut listing = Listing::default();
            let (stores, triggers) = (Arc::clone(&self.stores), self.triggers.clone());
            self.follow(&mut running, kind.plural(), api, ours.clone(), move |event| {
                let news = listing.enter(&stores.owned[&kind], &event, |object: &PartialObjectMeta<DynamicObject>| {
                    Some(OwnedObject::of(kind, &object.metadata))
                });
                trigger(&triggers, news);
            });
        }
        self.follow_deployments(&mut running, ours);
        self.follow_pods(&mut running);
        if self.settings.nodes {
            self.follow_nodes(&mut running);
        }
        self.follow_trunks(&mut running, trunks);
        running
    }

    fn follow_deployments(&self, running: &mut Running, config: watcher::Config) {
        let (stores, triggers) = (Arc::clone(&self.stores), self.triggers.clone());
        let (mut objects, mut deployments) = (Listing::default(), Listing::default());
        let api: Api<Deployment> = self.api();
        self.follow(running, Kind::Deployment.plural(), api, config, move |event| {
            let owned = &stores.owned[&Kind::Deployment];
            let mut news = objects.enter(owned, &event, |deployment: &Deployment| {
                Some(OwnedObject::of(Kind::Deployment, &deployment.metadata))
            });
            news.extend(
                deployments.enter(&stores.deployments, &event, |deployment| Some(strip_deployment(deployment))),
            );
            trigger(&triggers, news);
        });
    }

    fn follow_pods(&self, running: &mut Running) {
        let parts = [Component::DataPlane, Component::FreeSwitch].map(Component::as_str).join(",");
        let selector = format!("{}={},{} in ({parts})", labels::NAME, labels::APPLICATION, labels::COMPONENT);
        let (stores, triggers) = (Arc::clone(&self.stores), self.triggers.clone());
        let mut listing = Listing::default();
        let api: Api<Pod> = self.api();
        self.follow(running, "pods", api, watcher::Config::default().labels(&selector), move |event| {
            trigger(&triggers, listing.enter(&stores.pods, &event, |pod| Some(strip_pod(pod))));
        });
    }

    fn follow_nodes(&self, running: &mut Running) {
        let (stores, triggers) = (Arc::clone(&self.stores), self.triggers.clone());
        let mut listing = BTreeSet::new();
        let api: Api<Node> = Api::all(self.client.clone());
        self.follow(running, "nodes", api, watcher::Config::default(), move |event| {
            let news = stores.nodes.enter(&mut listing, event);
            if !news.is_empty() {
                let affected = |pod: &Arc<Pod>| {
                    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
                    node.is_some_and(|node| news.contains(node))
                };
                trigger(&triggers, stores.pods.trunks_with(affected));
            }
        });
    }

    fn follow_trunks(&self, running: &mut Running, mut writer: reflector::store::Writer<Guarded>) {
        let (triggers, gone) = (self.triggers.clone(), self.gone.clone());
        let stores = Arc::clone(&self.stores);
        let api: Api<Guarded> = self.api();
        let mut known = BTreeSet::new();
        // The label and not a field of the spec: it is there when the spec doesn't parse, and the API server itself keeps others' trunks away.
        let config = watcher::Config::default().labels(&match &self.settings.class {
            Some(class) => format!("{}={class}", labels::OPERATOR_CLASS),
            None => format!("!{}", labels::OPERATOR_CLASS),
        });
        self.follow(running, "voicetrunks", api, config, move |event| {
            let event = event.modify(strip);
            let before = match &event {
                watcher::Event::Apply(trunk) => stores.trunks.get(&reflector::ObjectRef::from_obj(trunk)),
                _ => None,
            };
            writer.apply_watcher_event(&event);
            match &event {
                watcher::Event::Apply(trunk) => {
                    // What the operator itself writes to the status is no news.
                    let same = before.is_some_and(|before| version(&before) == version(trunk));
                    known.extend(TrunkKey::of(trunk.meta()));
                    if !same {
                        trigger(&triggers, TrunkKey::of(trunk.meta()));
                    }
                }
                watcher::Event::Delete(trunk) => {
                    if let Some(key) = TrunkKey::of(trunk.meta()) {
                        known.remove(&key);
                        tell(&gone, key);
                    }
                }
                watcher::Event::InitDone => {
                    let listed: BTreeSet<_> =
                        stores.trunks.state().iter().filter_map(|trunk| TrunkKey::of(trunk.meta())).collect();
                    known.difference(&listed).for_each(|key| tell(&gone, key.clone()));
                    known.clone_from(&listed);
                    trigger(&triggers, listed);
                }
                watcher::Event::Init | watcher::Event::InitApply(_) => {}
            }
        });
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        match &self.settings.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn metadata_of(&self, kind: Kind) -> Api<PartialObjectMeta<DynamicObject>> {
        match &self.settings.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource()),
            None => Api::all_with(self.client.clone(), &kind.api_resource()),
        }
    }

    /// Runs a watch for ever, through errors, with growing pauses.
    fn follow<K>(
        &self,
        running: &mut Running,
        name: &'static str,
        api: Api<K>,
        config: watcher::Config,
        mut enter: impl FnMut(watcher::Event<K>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (done, ready) = watch::channel(false);
        let observe = Arc::clone(&self.observe);
        running.ready.push((name, ready));
        running.tasks.spawn(async move {
            let events = watcher(api, config.page_size(PAGE)).default_backoff();
            pin_mut!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let complete = matches!(event, watcher::Event::InitDone);
                        enter(event);
                        if complete {
                            done.send_replace(true);
                        }
                    }
                    Err(error) => {
                        observe.watch_failed(name);
                        warn!(watch = name, %error, "the watch was interrupted; it is taken up again");
                    }
                }
            }
        });
    }
}

/// What of a trunk makes a pass necessary when it changes: its spec, counted in its generation, and that it goes.
fn version(trunk: &Guarded) -> (Option<String>, Option<i64>, bool) {
    let metadata = trunk.meta();
    (metadata.uid.clone(), metadata.generation, metadata.deletion_timestamp.is_some())
}

fn strip(trunk: &mut Guarded) {
    trunk.managed_fields_mut().clear();
    // Kept by `kubectl apply`: the whole manifest once more.
    trunk.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

fn trigger(triggers: &mpsc::UnboundedSender<TrunkKey>, trunks: impl IntoIterator<Item = TrunkKey>) {
    trunks.into_iter().for_each(|trunk| tell(triggers, trunk));
}

fn tell(channel: &mpsc::UnboundedSender<TrunkKey>, trunk: TrunkKey) {
    // Nobody listens any more only when the controller is ending.
    let _ = channel.send(trunk);
}
