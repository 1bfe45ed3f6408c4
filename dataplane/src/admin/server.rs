//! Serves the routes over TCP with HTTP/1.1. Whoever connects, and however slowly: connections, their number, their length
//! and the wait for a request are bounded, so that probes always get through in the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at a time; further ones wait in the system's queue.
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
            max_connections: 64,
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

    /// Answers until `stop` is cancelled, then finishes the answers begun.
    pub async fn serve(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let connections = TaskTracker::new();
        let mut failing = false;
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
                (self.listener.accept().await, slot)
            };
            let (accepted, slot) = tokio::select! {
                next = next => next,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    let (router, limits, stop) = (self.router.clone(), self.limits, stop.clone());
                    connections.spawn(async move {
                        converse(stream, router, limits, stop).await;
                        drop(slot);
                    });
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

async fn converse(stream: TcpStream, router: Router, limits: ServerLimits, stop: CancellationToken) {
    // Answers are small and whole: waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How a connection fails is its client's affair.
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(limits.connection_time) => {}
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.closing_time, connection).await;
}
