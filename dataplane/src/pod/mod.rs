//! A pod's life: it starts the parts in their order, takes calls, drains when it is told to stop, and stops when the
//! last call is gone.

mod configure;
mod descriptors;
mod pace;

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminParts, AdminServer, Health, ServerLimits};
use crate::backend::clips::ClipError;
use crate::backend::{Resilient, SetupError, VoiceBackend, apology};
use crate::call::{Calls, CallsParts, listener};
use crate::metrics::{Metrics, WorkerCounters};
use crate::record::{Delivery, StartError};
use crate::sessions::{Admission, Drain, DrainOutcome, Handover, PodEntries, Readiness, Registry, WorkerEntries};
use crate::settings::Settings;
use crate::telemetry;
use crate::worker::{WorkerError, Workers, WorkersConfig};

/// How long records may take to be delivered once the calls are over.
const RECORDS: Duration = Duration::from_secs(15);
/// How long those may take to be told who were not taken.
const REFUSALS: Duration = Duration::from_secs(3);
/// How often the backend is asked whether it can be reached.
const BACKEND_CHECK: Duration = Duration::from_secs(10);

/// How often a task shows that tasks get on.
const BEAT: Duration = Duration::from_secs(1);

/// Why a pod could not start.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A port is taken.
    #[error("expected to listen on {address} for {purpose}, came: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What for.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The media workers could not start.
    #[error(transparent)]
    Workers(#[from] WorkerError),
    /// The backend's settings do not make one.
    #[error("the backend could not be set up: {0}")]
    Backend(#[from] SetupError),
    /// The apology is not to be had.
    #[error("SOFIA_PHONE_APOLOGY_FILE: {0}")]
    Apology(#[from] ClipError),
    /// Records have nowhere to go.
    #[error("call records: {0}")]
    Records(#[from] StartError),
    /// The signals could not be watched.
    #[error("expected to watch for SIGTERM, came: {0}")]
    Signals(io::Error),
}

/// A pod that runs.
pub struct Pod {
    calls: Arc<Calls>,
    drain: Drain,
    drained: JoinHandle<DrainOutcome>,
    listening: JoinHandle<()>,
    esl: SocketAddr,
    health: Option<SocketAddr>,
    stop: CancellationToken,
    admin: Option<oneshot::Receiver<()>>,
}

/// Runs a pod with a backend of one's own until SIGTERM or SIGINT has drained it.
///
/// `backend` is guarded like the built-in ones: deadlines, retries and circuit breakers of the settings hold for it.
///
/// # Errors
/// When the pod cannot start.
pub async fn run(settings: Settings, backend: Arc<dyn VoiceBackend>) -> Result<(), PodError> {
    until_stopped(Pod::start_with(settings, backend).await?).await
}

/// Runs a pod with the backend that the settings name until SIGTERM or SIGINT has drained it.
///
/// # Errors
/// When the pod cannot start.
pub async fn run_as_set(settings: Settings) -> Result<(), PodError> {
    until_stopped(Pod::start(settings).await?).await
}

async fn until_stopped(pod: Pod) -> Result<(), PodError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(PodError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(PodError::Signals)?;
    let told = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = told, "told to stop: taking no more calls");
    pod.drain();
    tokio::select! {
        () = pod.stop() => {}
        // Whoever presses the key twice means it.
        _ = interrupt.recv() => tracing::warn!("told to stop at once"),
    }
    Ok(())
}

impl Pod {
    /// Starts a pod with the backend that the settings name.
    ///
    /// # Errors
    /// The first part that could not start.
    pub async fn start(settings: Settings) -> Result<Self, PodError> {
        let metrics = new_metrics(&settings);
        let backend = configure::backend(&settings, &metrics.0)?;
        Self::start_guarded(settings, metrics, backend).await
    }

    /// Starts a pod with a backend of one's own.
    ///
    /// # Errors
    /// The first part that could not start.
    pub async fn start_with(settings: Settings, backend: Arc<dyn VoiceBackend>) -> Result<Self, PodError> {
        let metrics = new_metrics(&settings);
        let backend = configure::guard(&settings, &metrics.0, backend);
        Self::start_guarded(settings, metrics, backend).await
    }

    async fn start_guarded(
        settings: Settings,
        (metrics, counters): (Arc<Metrics>, Vec<Arc<WorkerCounters>>),
        backend: Resilient,
    ) -> Result<Self, PodError> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        descriptors::provide_for(settings.limits.max_sessions);
        let now = Instant::now();
        let apology = apology::load(settings.apology_file.as_deref())?.clone();
        let workers =
            Workers::start(WorkersConfig { host: settings.rtp_host, start_port: settings.rtp_start_port }, &counters)?;
        let admission = Admission::new(settings.limits, now);
        let registry = Registry::new();
        let drain =
            Drain::new(admission.clone(), settings.drain_deadline, Handover::new(settings.switch_sessions_per_second));
        let readiness = Readiness::new(admission.clone());
        let stop = CancellationToken::new();
        let records = configure::records(&settings)?;
        if let Some(records) = records.clone() {
            tokio::spawn(stop.clone().run_until_cancelled_owned(records.clone().sweep()));
            metrics.at_scrape(move |metrics| {
                let figures = records.figures();
                metrics.set_records(figures.written + figures.posted, figures.failed + figures.dropped);
            });
        }
        let backend = Arc::new(backend);
        let arriving = TaskTracker::new();

        let health = Arc::new(Health::new());
        for (index, counters) in counters.iter().enumerate() {
            health.watch_worker(index, Arc::clone(counters));
        }
        let heart = health.watch_tasks(now);
        // A backend that is away is no reason to restart the pod, and every call still gets its apology.
        let backend_flag = health.flag("backend", false);
        // Whoever else has the port now would have it after a restart, too; what has failed by a fault is mended by one.
        let esl_port = health.flag("esl-port", false);
        let parts_flag = health.flag("parts", true);
        let admin = match settings.health {
            None => None,
            Some(address) => {
                let parts = AdminParts {
                    admission: admission.clone(),
                    registry: registry.clone(),
                    drain: drain.clone(),
                    readiness: readiness.clone(),
                    health: Arc::clone(&health),
                    metrics: Arc::clone(&metrics),
                    admin_token: settings.admin_token.clone(),
                    backend: configure::backend_status(&settings, Arc::clone(&backend)),
                    entries: entries(&counters, &arriving, records.as_ref()),
                    version: env!("CARGO_PKG_VERSION"),
                };
                let listen = |source| PodError::Listen { address, purpose: "health, metrics and status", source };
                let server =
                    AdminServer::bind(address, admin::router(parts), ServerLimits::default()).await.map_err(listen)?;
                let local = server.local_addr().map_err(listen)?;
                Some((local, server.serve_apart(stop.clone()).map_err(listen)?))
            }
        };

        let listen =
            |source| PodError::Listen { address: settings.esl, purpose: "FreeSWITCH's connections (ESL)", source };
        let listener = listener::bind(settings.esl).map_err(listen)?;
        let esl = listener.local_addr().map_err(listen)?;
        let guarded: Arc<dyn VoiceBackend> = Arc::clone(&backend) as _;
        let handover = drain.handover().clone();
        let parts = CallsParts { workers, apology, admission, registry, metrics, handover, records, arriving };
        let calls = Arc::new(Calls::new(configure::calls(&settings, Arc::clone(&guarded)), parts));
        let port = readiness.clone();
        let tell_port = move |open: bool| {
            esl_port.set(open);
            port.set_port(open);
        };
        let vital = |name, part| tokio::spawn(supervised(name, parts_flag.clone(), part));
        let listening = vital("listener", listener::run(Arc::clone(&calls), listener, tell_port).boxed());
        let until_stop = |part| stop.clone().run_until_cancelled_owned(part).map(drop).boxed();
        vital("pace", until_stop(pace::watch(counters, calls.admission().clone()).boxed()));
        vital("backend watch", until_stop(watch_backend(guarded, backend_flag).boxed()));
        vital("heart", until_stop(beat(heart).boxed()));
        let drained = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run().await }
        });
        readiness.set_started();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            esl = %esl,
            http = admin.as_ref().map(|(address, _)| tracing::field::display(*address)),
            rtp = ?calls.parts.workers.ports().collect::<Vec<_>>(),
            capacity = settings.limits.max_sessions,
            backend = settings.backend.as_str(),
            "ready for calls"
        );
        let (health, admin) = admin.map_or((None, None), |(address, task)| (Some(address), Some(task)));
        Ok(Self { calls, drain, drained, listening, esl, health, stop, admin })
    }

    /// Where FreeSWITCH's connections are taken.
    #[must_use]
    pub fn esl_address(&self) -> SocketAddr {
        self.esl
    }

    /// Where health, metrics and status are served, if they are.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health
    }

    /// Takes no more calls from now on.
    pub fn drain(&self) {
        self.drain.start(Instant::now());
    }

    /// Waits until a drain has emptied the pod, then for the calls' records, and stops the rest.
    pub async fn stop(self) {
        match self.drained.await {
            Ok(DrainOutcome::Emptied) => tracing::info!("the pod is empty"),
            Ok(DrainOutcome::HandedOver { calls }) => tracing::info!(calls, "calls were handed over to other pods"),
            Ok(DrainOutcome::Stuck { calls }) => tracing::warn!(calls, "calls that would not go are cut off"),
            Err(_) => tracing::error!("the drain ended by a fault"),
        }
        // Those who came too late and are not told so yet would wait for nobody.
        let _ = tokio::time::timeout(REFUSALS, self.listening).await;
        if let Some(records) = &self.calls.parts.records {
            let left = records.finish(RECORDS).await;
            if left > 0 {
                tracing::warn!(left, "call records could not be delivered in time");
            }
        }
        self.stop.cancel();
        if let Some(admin) = self.admin {
            let _ = admin.await;
        }
    }
}

fn new_metrics(settings: &Settings) -> (Arc<Metrics>, Vec<Arc<WorkerCounters>>) {
    let playout = settings.limits.max_lateness;
    let counters = || playout.map_or_else(WorkerCounters::new, WorkerCounters::with_playout);
    let counters: Vec<_> = (0..settings.rtp_workers).map(|_| Arc::new(counters())).collect();
    let metrics = Metrics::new(counters.clone(), Instant::now());
    metrics.at_scrape(|metrics| metrics.set_log_lines_dropped(telemetry::dropped_lines()));
    (Arc::new(metrics), counters)
}

/// Tells what the pod holds of its calls beside them.
fn entries(
    counters: &[Arc<WorkerCounters>],
    arriving: &TaskTracker,
    records: Option<&Delivery>,
) -> Arc<dyn Fn() -> PodEntries + Send + Sync> {
    let (counters, arriving, records) = (counters.to_vec(), arriving.clone(), records.cloned());
    Arc::new(move || {
        let (records_pending, records_running) = records.as_ref().map_or((0, 0), Delivery::entries);
        let worker = |counters: &Arc<WorkerCounters>| WorkerEntries {
            calls: counters.calls.load(Ordering::Relaxed),
            addresses: counters.addresses.load(Ordering::Relaxed),
            scheduled: counters.scheduled.load(Ordering::Relaxed),
        };
        let workers = counters.iter().map(worker).collect();
        PodEntries { arriving: arriving.len(), records_pending, records_running, workers }
    })
}

/// Runs a part without which the pod is of no use. A panic in it is a bug of ours: the pod is not alive without it, and is restarted.
async fn supervised(name: &'static str, alive: admin::ComponentFlag, part: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(part).catch_unwind().await.is_err() {
        tracing::error!(part = name, "a part of the pod ended by a fault");
        alive.set(false);
    }
}

/// Shows that tasks get on.
async fn beat(heart: admin::Heart) {
    loop {
        heart.beat(Instant::now());
        tokio::time::sleep(BEAT).await;
    }
}

/// Keeps the health page true about the backend.
async fn watch_backend(backend: Arc<dyn VoiceBackend>, flag: admin::ComponentFlag) {
    let mut reachable = true;
    loop {
        let checked = backend.health().await;
        if checked.is_ok() != reachable {
            reachable = checked.is_ok();
            match &checked {
                Ok(()) => tracing::info!("the backend can be reached again"),
                Err(error) => tracing::warn!(%error, "the backend cannot be reached; callers hear an apology"),
            }
        }
        flag.set(reachable);
        tokio::time::sleep(BACKEND_CHECK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_a_fault_makes_the_pod_not_alive_and_one_that_ends_does_not() {
        let health = Health::new();
        let alive = health.flag("parts", true);
        supervised("a part", alive.clone(), async {}.boxed()).await;
        assert!(health.report(Instant::now()).alive);
        supervised("a part", alive, async { panic!("a test wants it to fail") }.boxed()).await;
        assert!(!health.report(Instant::now()).alive);
    }
}
