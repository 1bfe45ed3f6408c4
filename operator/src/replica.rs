//! One replica of the operator from its start to its end: it serves probes, stands by, leads, and gives the lease back.
//! Does none of the work itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use kube::{Api, Client, Config};
use sofia_operator::args::{CustomMetrics, Settings};
use sofia_operator::controller::{self, Parts};
use sofia_operator::custom_metrics::{self, AskPod, api::Served, keeper::Keeper};
use sofia_operator::fleet::scrape::Scraper;
use sofia_operator::lease::{Candidate, EXIT_LEASE_LOST, Leader};
use sofia_operator::metrics::{Metrics, observer::Observer};
use sofia_operator::server::{self, Health, Stage};
use sofia_operator::switch::forward::Forwarded;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the API server may say nothing: longer than a watch lasts (290 s), which says nothing while nothing changes.
const ANSWER_TIME: Duration = Duration::from_secs(310);

/// Runs until the process is told to end, or can't go on.
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    // Whoever speaks TLS here does so with ring; set once, before the first client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = client().await.context("no way to the API server: neither a kubeconfig nor a ServiceAccount")?;
    let metrics = Arc::new(Metrics::new(Instant::now()));
    let health = Arc::new(Health::new(Instant::now()));
    let scraper = Scraper::new().context("no client for the pods' figures")?;
    let (stop, servers_stop) = (stop_on_signal()?, CancellationToken::new());
    let servers = TaskTracker::new();

    let listener =
        server::listen(settings.listen).await.with_context(|| format!("can't listen on {}", settings.listen))?;
    let router = server::router(Arc::clone(&health), Arc::clone(&metrics));
    servers.spawn(server::serve(listener, router, servers_stop.clone()));
    let (leads, leading) = watch::channel(false);
    if let Some(custom) = &settings.custom_metrics {
        let namespace = &settings.release.operator_namespace;
        serve_custom_metrics(&client, namespace, custom, scraper.clone(), leading, &servers, &servers_stop).await?;
    }

    let leases = Api::namespaced(client.clone(), &settings.release.operator_namespace);
    let candidate = Candidate::new(leases, &settings.lease_name, &identity(&settings), settings.lease);
    health.enters(Stage::StandingBy);
    let ended = match candidate.acquire(&stop).await {
        None => Ok(ExitCode::SUCCESS),
        Some(leader) => {
            health.enters(Stage::Reading);
            metrics.leads(true);
            leads.send_replace(true);
            let observe = Arc::new(Observer { metrics: Arc::clone(&metrics), health: Arc::clone(&health) });
            let switches = Arc::new(Forwarded::new(client.clone()));
            let parts = Parts {
                client: leader.tenure().writes_of(&client),
                instance: settings.pod_name.clone(),
                settings: controller::Settings {
                    namespace: settings.watch_namespace.clone(),
                    interval: settings.interval,
                    totals_interval: settings.status_interval,
                    concurrency: settings.concurrency,
                    class: settings.class.clone(),
                    nodes: settings.watch_nodes,
                    ..controller::Settings::default()
                },
                release: settings.release,
                pods: Arc::new(scraper),
                switches,
                observe,
                clock: Arc::new(Timestamp::now),
                random: Box::new(rand::make_rng::<rand::rngs::StdRng>()),
            };
            lead(leader, parts, &stop).await
        }
    };
    health.enters(Stage::Ending);
    servers_stop.cancel();
    servers.close();
    servers.wait().await;
    ended
}

/// Does the work until told to stop. When the lease is lost, the process ends at once: another replica may already be
/// at work.
async fn lead(leader: Leader, parts: Parts, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    // The last resort, from a thread that runs when no task does.
    leader.tenure().guard(|| std::process::exit(EXIT_LEASE_LOST.into())).context("no thread to guard the lease")?;
    let work_ended = CancellationToken::new();
    let mut keeping = tokio::spawn(leader.keep(work_ended.clone()));
    let worked = tokio::select! {
        worked = controller::run(parts, stop.clone()) => worked,
        kept = &mut keeping => {
            tracing::error!(why = ?kept, "the lease is lost");
            std::process::exit(EXIT_LEASE_LOST.into());
        }
    };
    work_ended.cancel();
    if let Ok(Err(lost)) = keeping.await {
        tracing::warn!(%lost, "the lease was lost while the work ended");
    }
    worked.map(|()| ExitCode::SUCCESS).context("the controller ended")
}

async fn serve_custom_metrics(
    client: &Client,
    namespace: &str,
    settings: &CustomMetrics,
    scraper: Scraper,
    leading: watch::Receiver<bool>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let ask: AskPod = Arc::new(move |address| {
        let scraper = scraper.clone();
        Box::pin(async move { scraper.figures(address).await.ok() })
    });
    let listener =
        server::listen(settings.listen).await.with_context(|| format!("can't listen on {}", settings.listen))?;
    let router = custom_metrics::api::router(Served::new(client.clone(), ask));
    let (keeper, offers) = Keeper::new(client.clone(), namespace, &settings.service, leading);
    tasks.spawn(keeper.run(stop.clone()));
    tasks.spawn(custom_metrics::serve(listener, router, offers, stop.clone()));
    Ok(())
}

/// This replica's name in the lease; started again, it is another one.
fn identity(settings: &Settings) -> String {
    format!("{}_{:016x}", settings.pod_name.as_deref().unwrap_or("operator"), rand::random::<u64>())
}

/// Cancelled by SIGTERM and SIGINT; a second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("told to end");
        stopping.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("told again: ending at once");
        std::process::exit(1);
    });
    Ok(stop)
}

async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await?;
    // The controller repeats what failed, and does as the API server asks; a request that repeats itself would hold up a whole pass.
    config.default_retry = false;
    // An API server that vanished sends no reset; without this a pass would wait a quarter of an hour, until TCP gives up.
    config.read_timeout = Some(ANSWER_TIME);
    config.reset_reader_on_write = true;
    Ok(Client::try_from(config)?)
}
