//! The operator's plain HTTP: whether it lives, whether it is ready, its figures. Whoever connects, and however slowly:
//! connections, their number, their length and the wait for a request are bounded, and of too many those that keep it waiting give way, so
//! that probes get through at once.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::seats::{Seat, Seats};

/// How long the controller may have work and get nothing done before it counts as stuck: longer than a request to an
/// API server that hangs.
const STUCK_AFTER: Duration = Duration::from_secs(600);
/// Connections at a time. For a further one the one that is waited for longest is closed.
const CONNECTIONS: usize = 256;
/// Longest wait for the head of a request, idle time between two requests included.
const HEADER_TIME: Duration = Duration::from_secs(60);
/// Longest wait for the answers begun when the server stops.
const CLOSING_TIME: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;
/// Rest after the system gave no connection, mostly for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What this replica is doing, as far as probes want to know.
#[derive(Debug)]
pub struct Health(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    stage: Stage,
    queued: usize,
    running: usize,
    /// When work last began or ended, or there was none.
    moved: Instant,
}

/// What this replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not found out yet whether it leads.
    Starting,
    /// Another replica leads; this one would take over.
    StandingBy,
    /// It leads and reads what there is.
    Reading,
    /// It leads and knows what there is.
    Leading,
    /// It ends.
    Ending,
}

impl Health {
    /// A replica that starts.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Progress { stage: Stage::Starting, queued: 0, running: 0, moved: now }))
    }

    /// What it does from now on.
    pub fn enters(&self, stage: Stage) {
        self.with(|state| state.stage = stage);
    }

    /// The controller began to look at a trunk.
    pub fn pass_began(&self, now: Instant) {
        self.with(|state| {
            state.running += 1;
            state.moved = now;
        });
    }

    /// The controller has looked at a trunk.
    pub fn pass_ended(&self, now: Instant) {
        self.with(|state| {
            state.running = state.running.saturating_sub(1);
            state.moved = now;
        });
    }

    /// So many trunks wait to be looked at.
    pub fn queue_is(&self, queued: usize, now: Instant) {
        self.with(|state| {
            if state.queued == 0 && state.running == 0 {
                state.moved = now;
            }
            state.queued = queued;
        });
    }

    /// Nothing when the process gets on, else why it should be started anew.
    fn stuck(&self, now: Instant) -> Option<String> {
        self.with(|state| {
            let still = now.saturating_duration_since(state.moved);
            let busy = state.queued + state.running > 0;
            (busy && still > STUCK_AFTER).then(|| {
                format!(
                    "{} VoiceTrunks are looked at, {} wait, and nothing moved for {still:?}",
                    state.running, state.queued
                )
            })
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Progress) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The routes `/livez`, `/readyz` and `/metrics`.
pub fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(figures).with_state(metrics))
}

async fn livez(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    match health.stuck(Instant::now()) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: {why}\n")),
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, &'static str) {
    match health.with(|state| state.stage) {
        Stage::Leading => (StatusCode::OK, "leads\n"),
        Stage::StandingBy => (StatusCode::OK, "stands by\n"),
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Stage::Reading => (StatusCode::SERVICE_UNAVAILABLE, "the first lists are not complete\n"),
        Stage::Ending => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
    }
}

async fn figures(State(metrics): State<Arc<Metrics>>) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    let kind = |kind| [(header::CONTENT_TYPE, kind)];
    match metrics.text(Instant::now()) {
        Ok(text) => (StatusCode::OK, kind("text/plain; version=0.0.4; charset=utf-8"), text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, kind("text/plain"), format!("{error}\n")),
    }
}

/// Listens. For the IPv6 address of all interfaces, a machine without IPv6 listens on those of IPv4.
///
/// # Errors
/// When the address can't be had.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// Answers in plain HTTP/1.1 until `stop` is cancelled, then finishes the answers begun.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_each(listener, stop, |stream, seat, stop| {
        // One answer each, or whoever asks for pages without end on a few hundred connections takes every turn from those who wait.
        converse(stream, router.clone(), KeepAlive::No, seat, stop)
    })
    .await;
}

/// Takes connections, a bounded number at a time, until `stop` is cancelled; then waits for those that are open.
pub(crate) async fn serve_each<F>(
    listener: TcpListener,
    stop: CancellationToken,
    mut converse: impl FnMut(TcpStream, Seat, CancellationToken) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seats = Seats::new(CONNECTIONS);
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let (stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((stream, seats.take(peer.ip().to_canonical()).await))
        };
        let accepted = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, seat)) => {
                // Answers are small and whole: waiting for more to send with them only delays them.
                let _ = stream.set_nodelay(true);
                let conversation = converse(stream, seat.clone(), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = conversation => {}
                        () = seat.needed() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be taken");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// Whether a connection may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepAlive {
    /// For as long as it likes: for those who are known.
    Yes,
    /// Once.
    No,
}

/// Answers on one connection.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    keep_alive: KeepAlive,
    seat: Seat,
    stop: CancellationToken,
) {
    let routes = TowerToHyperService::new(router);
    let answer = service_fn(move |request| {
        let (answering, answer) = (seat.answering(), routes.call(request));
        async move {
            let answer = answer.await;
            drop(answering);
            answer
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(keep_alive == KeepAlive::Yes)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How a connection fails is its client's affair.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(CLOSING_TIME, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_idle_controller_is_not_stuck_however_long() {
        let start = now();
        let health = Health::new(start);
        assert_eq!(health.stuck(start + STUCK_AFTER * 100), None);
        health.pass_began(start);
        health.pass_ended(start);
        assert_eq!(health.stuck(start + STUCK_AFTER * 100), None);
    }

    #[test]
    fn a_pass_that_never_ends_is_stuck() {
        let start = now();
        let health = Health::new(start);
        health.pass_began(start);
        assert_eq!(health.stuck(start + STUCK_AFTER), None);
        assert!(health.stuck(start + STUCK_AFTER * 2).expect("stuck").contains("1 VoiceTrunks are looked at"));
        health.pass_ended(start + STUCK_AFTER * 2);
        assert_eq!(health.stuck(start + STUCK_AFTER * 9), None);
    }

    #[test]
    fn a_queue_that_nobody_looks_at_is_stuck_from_when_it_filled() {
        let start = now();
        let health = Health::new(start);
        let filled = start + STUCK_AFTER * 50;
        health.queue_is(1, filled);
        health.queue_is(2, filled + STUCK_AFTER / 2);
        assert_eq!(health.stuck(filled + STUCK_AFTER), None);
        assert!(health.stuck(filled + STUCK_AFTER * 2).is_some());
    }

    #[test]
    fn a_controller_that_gets_on_with_others_is_not_stuck() {
        let start = now();
        let health = Health::new(start);
        health.pass_began(start);
        for step in 1..100 {
            let at = start + STUCK_AFTER / 2 * step;
            health.pass_began(at);
            health.pass_ended(at);
            assert_eq!(health.stuck(at), None);
        }
    }

    struct Running {
        address: SocketAddr,
        health: Arc<Health>,
        stop: CancellationToken,
        server: tokio::task::JoinHandle<()>,
    }

    async fn running() -> Running {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let health = Arc::new(Health::new(now()));
        let stop = CancellationToken::new();
        let router = router(Arc::clone(&health), Arc::new(Metrics::new(now())));
        let server = tokio::spawn(serve(listener, router, stop.clone()));
        Running { address, health, stop, server }
    }

    impl Running {
        async fn get(&self, path: &str) -> (u16, String) {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let answer = client.get(format!("http://{}{path}", self.address)).send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        }
    }

    #[tokio::test]
    async fn a_replica_is_ready_when_it_leads_or_stands_by() {
        let server = running().await;
        for (stage, status) in [
            (Stage::Starting, 503),
            (Stage::StandingBy, 200),
            (Stage::Reading, 503),
            (Stage::Leading, 200),
            (Stage::Ending, 503),
        ] {
            server.health.enters(stage);
            assert_eq!(server.get("/readyz").await.0, status, "{stage:?}");
            assert_eq!(server.get("/livez").await.0, 200, "{stage:?}");
        }
    }

    #[tokio::test]
    async fn figures_are_served_and_other_paths_are_not() {
        let server = running().await;
        let (status, text) = server.get("/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("# TYPE sofia_operator_reconciles_total counter"), "{text}");
        assert_eq!(server.get("/debug").await.0, 404);
    }

    #[tokio::test]
    async fn a_crowd_of_half_requests_keeps_no_probe_waiting() {
        let server = running().await;
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS * 3 {
            let mut half = TcpStream::connect(server.address).await.expect("a connection");
            tokio::io::AsyncWriteExt::write_all(&mut half, b"GET /metrics HTTP/1.1\r\nHost:")
                .await
                .expect("half a request");
            crowd.push(half);
        }
        let probed = tokio::time::timeout(HEADER_TIME / 2, server.get("/livez"));
        assert_eq!(probed.await.expect("long before any of them times out").0, 200);
    }

    #[tokio::test]
    async fn the_server_ends_when_it_is_told_to_although_someone_is_connected() {
        let server = running().await;
        let _idle = TcpStream::connect(server.address).await.expect("a connection");
        assert_eq!(server.get("/livez").await.0, 200);
        server.stop.cancel();
        server.server.await.expect("no panic");
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
