//! One VoiceTrunk at a time: what it refers to is looked up, it is checked, its objects are built, applied, and what became of
//! them is written to its status.
//!
//! | to find | look in |
//! |---|---|
//! | what is watched, and what makes a pass happen | [`watches`] |
//! | what is known of the cluster | [`stores`] |
//! | the order of a pass | [`reconcile`] |
//! | which spec counts while the trunk's own can't be carried out | [`in_force`] |
//! | Secrets and generated tokens | [`dereference`] |
//! | the objects | [`build`] |
//! | why nothing is written when nothing changed | [`apply`], [`compare`] |
//! | what was decided is done | [`carry_out`] |
//! | draining, marking | [`act`] |
//! | whether node autoscalers may take FreeSWITCH's node | [`guard`] |
//! | what FreeSWITCH says of itself | [`look`] |
//! | the status, and when it is written | [`status`], [`report`] |
//! | events | [`events`] |

pub mod act;
pub mod apply;
pub mod build;
pub mod carry_out;
pub mod compare;
pub mod dereference;
pub mod events;
pub mod guard;
pub mod in_force;
pub mod look;
pub mod memory;
pub mod observe;
pub mod reconcile;
pub mod report;
pub mod status;
pub mod stores;
pub mod watches;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::{
    Client, Resource as _,
    runtime::{
        controller::{Action, Config, Controller},
        reflector::{self, ObjectRef},
    },
};
use rand::{CryptoRng, RngExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    act::Pods,
    build::kind::Kind,
    events::Publisher,
    memory::{Memories, about, pause},
    observe::{Observe, Outcome},
    stores::{Guarded, Stores, TrunkKey},
    watches::Watches,
};
use crate::{release::Release, switch::Switches};

/// Where, how often, how long and how much at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The one namespace whose trunks are looked after; those of all namespaces when there is none.
    pub namespace: Option<String>,
    /// How often each trunk is looked at and its pods are asked when nothing happens.
    pub interval: Duration,
    /// How often sums of calls alone are written to the status at most.
    pub totals_interval: Duration,
    /// How often the Secrets that trunks name are read.
    pub secrets_interval: Duration,
    /// How often they are read while one of them is missing or can't be used.
    pub repair_interval: Duration,
    /// How soon a pod of a large fleet is asked again when there are news of others.
    pub ask_again: Duration,
    /// How often FreeSWITCH is asked for its gateways and channels.
    pub switch_interval: Duration,
    /// How soon a trunk is looked at again when something is on its way out of the cluster or was changed by others meanwhile.
    pub waiting_interval: Duration,
    /// Longest pause before a pass that the API server failed is repeated.
    pub longest_pause: Duration,
    /// How long news of a trunk are gathered before it is looked at.
    pub debounce: Duration,
    /// Trunks that are looked at at a time.
    pub concurrency: u16,
    /// Class of the operator: it looks after the trunks whose label [`crate::vocabulary::labels::OPERATOR_CLASS`] has it, without one after those that
    /// have no such label.
    pub class: Option<String>,
    /// Whether nodes are watched. Without the right to do so pods on nodes that go away are drained when they are evicted, not before.
    pub nodes: bool,
    /// How often the cluster is asked which kinds it knows.
    pub discovery_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            interval: Duration::from_secs(5),
            totals_interval: Duration::from_secs(15),
            secrets_interval: Duration::from_secs(30),
            repair_interval: Duration::from_secs(5),
            ask_again: Duration::from_secs(1),
            switch_interval: Duration::from_secs(30),
            waiting_interval: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            debounce: Duration::from_millis(100),
            concurrency: 16,
            class: None,
            nodes: true,
            discovery_interval: Duration::from_secs(60),
        }
    }
}

/// What the controller is started with.
pub struct Parts {
    /// The cluster.
    pub client: Client,
    /// What the operator's release brings along.
    pub release: Release,
    /// Where, how often, how long and how much at a time.
    pub settings: Settings,
    /// How the data-plane pods are spoken to.
    pub pods: Arc<dyn Pods>,
    /// How FreeSWITCH is looked at.
    pub switches: Arc<dyn Switches>,
    /// Who counts.
    pub observe: Arc<dyn Observe>,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where tokens and jitter come from.
    pub random: Box<dyn CryptoRng + Send>,
    /// Name of the operator's own pod, for the events.
    pub instance: Option<String>,
}

/// What every pass needs.
pub struct Context {
    client: Client,
    release: Release,
    settings: Settings,
    pods: Arc<dyn Pods>,
    switches: Arc<dyn Switches>,
    observe: Arc<dyn Observe>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    random: Arc<Mutex<Box<dyn CryptoRng + Send>>>,
    publisher: Publisher,
    stores: Arc<Stores>,
    memories: Memories,
    queued: Mutex<HashSet<TrunkKey>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Context {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn with_random<T>(&self, take: impl FnOnce(&mut dyn CryptoRng) -> T) -> T {
        take(&mut **self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        self.with_random(|random| random.random())
    }

    fn queue(&self, change: impl FnOnce(&mut HashSet<TrunkKey>)) {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queued);
        self.observe.queue_depth(queued.len());
    }

    fn forget(&self, trunk: &TrunkKey) {
        self.memories.forget(trunk);
        self.queue(|queued| {
            queued.remove(trunk);
        });
        self.observe.forget(trunk);
        debug!(%trunk, "is no more");
    }
}

/// Why the controller ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster could not be asked which kinds it knows.
    #[error("could not ask the API server whether it knows PodMonitors: {0}. Check that it can be reached from here")]
    Discovery(#[source] Box<kube::Error>),
    /// A watch ended, which none does.
    #[error("a watch ended by itself; the operator has to be started anew")]
    WatchEnded,
}

/// A pass that the API server failed.
#[derive(Debug, thiserror::Error)]
#[error("the API server failed")]
struct Failed {
    retry_after: Option<Duration>,
}

/// Looks after all trunks until told to stop, then ends as soon as the passes that run have ended. To be run by the leader only: nothing
/// here asks whether it still is one. When the cluster learns or forgets a kind that is not built in, the work is taken up anew, as by an
/// operator that has just started.
pub async fn run(parts: Parts, stop: CancellationToken) -> Result<(), Error> {
    let Parts { client, release, settings, pods, switches, observe, clock, random, instance } = parts;
    let random = Arc::new(Mutex::new(random));
    let mut monitors = knows_pod_monitors(&client).await?;
    while !stop.is_cancelled() {
        let (trunks, writer) = reflector::store();
        let stores = Arc::new(Stores::new(trunks, &kinds(monitors)));
        let context = Arc::new(Context {
            publisher: Publisher::new(client.clone(), instance.clone()),
            client: client.clone(),
            release: release.clone(),
            settings: settings.clone(),
            pods: Arc::clone(&pods),
            switches: Arc::clone(&switches),
            observe: Arc::clone(&observe),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            stores,
            memories: Memories::default(),
            queued: Mutex::default(),
        });
        let until = stop.child_token();
        let mut work = Box::pin(work(Arc::clone(&context), writer, until.clone()));
        tokio::select! {
            ended = &mut work => return ended,
            now = another_kind(&context, monitors) => {
                info!(pod_monitors = now, "the cluster knows other kinds than before; the work is taken up anew");
                monitors = now;
                until.cancel();
                work.await?;
            }
        }
    }
    Ok(())
}

fn kinds(monitors: bool) -> Vec<Kind> {
    Kind::ALL.into_iter().filter(|kind| monitors || kind.built_in()).collect()
}

/// Waits until the cluster knows PodMonitors, or no longer, other than it `did`; whether it does now. Asked now and then, and when one could
/// not be written because its kind is gone.
async fn another_kind(context: &Context, did: bool) -> bool {
    loop {
        let pause = about(context.settings.discovery_interval, context.chance());
        // Whoever asks for it would otherwise ask at each pass.
        tokio::time::sleep(context.settings.waiting_interval.min(pause)).await;
        let _ = tokio::time::timeout(pause, context.stores.kind_is_gone.notified()).await;
        match knows_pod_monitors(&context.client).await {
            Ok(does) if does != did => return does,
            Ok(_) => {}
            Err(error) => debug!(%error, "which kinds the cluster knows is asked again"),
        }
    }
}

async fn work(
    context: Arc<Context>,
    writer: reflector::store::Writer<Guarded>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let trunks = context.stores.trunks.clone();
    let (trigger, mut triggers) = mpsc::unbounded_channel();
    let (go, mut gone) = mpsc::unbounded_channel();
    let watches = Watches {
        client: context.client.clone(),
        settings: context.settings.clone(),
        stores: Arc::clone(&context.stores),
        triggers: trigger,
        gone: go,
        observe: Arc::clone(&context.observe),
    };
    let mut watches = watches.start(writer);
    tokio::select! {
        () = watches.ready() => {}
        () = stop.cancelled() => return Ok(()),
    }
    info!(trunks = trunks.len(), "the first lists are complete");
    context.observe.lists_complete();
    let queue = Arc::clone(&context);
    let news = stream::poll_fn(move |task| triggers.poll_recv(task)).map(move |trunk| {
        let object = ObjectRef::<Guarded>::new(&trunk.name).within(&trunk.namespace);
        queue.queue(|queued| {
            queued.insert(trunk);
        });
        object
    });
    let config = Config::default().concurrency(context.settings.concurrency).debounce(context.settings.debounce);
    let controller = Controller::for_stream(stream::pending(), trunks)
        .with_config(config)
        .reconcile_on(news)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(look_at, again, Arc::clone(&context))
        .for_each(|_| std::future::ready(()));
    tokio::pin!(controller);
    loop {
        tokio::select! {
            () = &mut controller => return Ok(()),
            Some(trunk) = gone.recv() => context.forget(&trunk),
            () = watches.ended() => return Err(Error::WatchEnded),
        }
    }
}

async fn look_at(trunk: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Failed> {
    let Some(key) = TrunkKey::of(trunk.meta()) else { return Ok(Action::await_change()) };
    context.queue(|queued| {
        queued.remove(&key);
    });
    let began = Instant::now();
    context.observe.reconcile_started();
    let entry = context.memories.of(&key);
    let pass = tokio::select! {
        biased;
        () = entry.gone.cancelled() => None,
        pass = reconcile::pass(&context, &trunk, &entry) => pass,
    };
    let outcome = pass.as_ref().map_or(Outcome::Unchanged, |pass| pass.outcome);
    context.observe.reconcile_finished(began.elapsed(), outcome);
    let Some(pass) = pass else { return Ok(Action::await_change()) };
    debug!(trunk = %key, outcome = outcome.as_str(), "looked at");
    if outcome == Outcome::Failed {
        return Err(Failed { retry_after: pass.retry_after });
    }
    entry.succeeded();
    let soon = if pass.waiting { context.settings.waiting_interval } else { context.settings.interval };
    let soon = about(soon, context.chance());
    Ok(Action::requeue(pass.retry_after.map_or(soon, |asked| soon.max(asked.min(context.settings.longest_pause)))))
}

/// When a pass that failed is repeated.
fn again(trunk: Arc<Guarded>, failed: &Failed, context: Arc<Context>) -> Action {
    let Some(key) = TrunkKey::of(trunk.meta()) else { return Action::await_change() };
    let failures = context.memories.of(&key).failed();
    let longest = context.settings.longest_pause;
    let pause = pause(failures, longest, context.chance()).max(failed.retry_after.unwrap_or_default().min(longest));
    warn!(trunk = %key, failures, pause_seconds = pause.as_secs_f64(), "the pass is repeated after a pause");
    Action::requeue(pause)
}

async fn knows_pod_monitors(client: &Client) -> Result<bool, Error> {
    let resource = Kind::PodMonitor.api_resource();
    match client.list_api_group_resources(&resource.api_version).await {
        Ok(list) => Ok(list.resources.iter().any(|known| known.name == resource.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::Discovery(Box::new(error))),
    }
}
