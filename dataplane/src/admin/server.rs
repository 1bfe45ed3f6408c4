//! Serves the routes over TCP with HTTP/1.1. Whoever connects, and however slowly: connections, their number, their length
//! and the wait for a request are bounded, and of too many those that keep it waiting give way, so that probes get through at once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::seats::{Seat, Seats};

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at a time. For a further one the one that is waited for longest is closed: half a request, an idle one, or one that
    /// does not take its answer.
    pub max_connections: usize,
    /// Longest wait for the head of a request, idle time between two requests included.
    pub header_time: Duration,
    /// Longest life of a connection; then its current answer is the last.
    pub connection_time: Duration,
    /// Longest wait for that last answer to be taken.
    pub closing_time: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            header_time: Duration::from_secs(10),
            connection_time: Duration::from_secs(60),
            closing_time: Duration::from_secs(5),
        }
    }
}

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// Rest after the system gave no connection, mostly for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The server, listening.
pub struct AdminServer {
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
}

impl AdminServer {
    /// Listens; nothing is answered before [`Self::serve`].
    ///
    /// # Errors
    /// When the address can't be had.
    pub async fn bind(address: SocketAddr, router: Router, limits: ServerLimits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, router, limits })
    }

    /// The address, with the port that was given for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers on a thread of its own, so that no crowd of calls keeps a probe waiting and no crowd of strangers a call, until `stop` is
    /// cancelled. What it returns says when the answers begun are finished.
    ///
    /// # Errors
    /// When the thread can't be had.
    pub fn serve_apart(self, stop: CancellationToken) -> io::Result<oneshot::Receiver<()>> {
        let (over, ended) = oneshot::channel();
        let Self { listener, router, limits } = self;
        let listener = listener.into_std()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => Self { listener, router, limits }.serve(stop).await,
                    Err(error) => tracing::error!(%error, "the admin server could not take its port over"),
                }
            });
            let _ = over.send(());
        })?;
        Ok(ended)
    }

    /// Answers until `stop` is cancelled, then finishes the answers begun.
    pub async fn serve(self, stop: CancellationToken) {
        let seats = Seats::new(self.limits.max_connections);
        let connections = TaskTracker::new();
        let mut failing = false;
        loop {
            let next = async {
                let (stream, peer) = self.listener.accept().await?;
                Ok::<_, io::Error>((stream, seats.take(peer.ip().to_canonical()).await))
            };
            let accepted = tokio::select! {
                next = next => next,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, seat)) => {
                    failing = false;
                    connections.spawn(converse(stream, self.router.clone(), self.limits, seat, stop.clone()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "admin server gets no connection");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
        connections.close();
        // Each connection bounds its own end.
        connections.wait().await;
    }
}

async fn converse(stream: TcpStream, router: Router, limits: ServerLimits, seat: Seat, stop: CancellationToken) {
    // Answers are small and whole: waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(router);
    let answer = service_fn(|request| {
        let (answering, answer) = (seat.answering(), routes.call(request));
        async move {
            let answer = answer.await;
            drop(answering);
            answer
        }
    });
    let connection = http1::Builder::new()
        // One answer each, or whoever asks for pages without end on a few hundred connections takes every turn from those who wait.
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How a connection fails is its client's affair.
        _ = connection.as_mut() => return,
        () = seat.needed() => return,
        () = tokio::time::sleep(limits.connection_time) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = tokio::time::timeout(limits.closing_time, connection) => {}
        () = seat.needed() => {}
    }
}
