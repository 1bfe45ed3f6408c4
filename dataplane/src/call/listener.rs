//! Takes FreeSWITCH's connections, exactly while a permit is free: a pod that can take no call has no open port, so
//! the switch is refused at once and tries the next pod.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::Calls;
use crate::sessions::AdmissionState;

/// Connections that may wait to be taken; they wait for microseconds.
const BACKLOG: i32 = 1_024;
/// Connections that are told at a time that their calls are not taken. Beyond that they are closed without a word.
const REFUSALS: usize = 1_024;
/// Pause after the port could not be opened again, or the system had no descriptor left for a connection.
const RETRY: Duration = Duration::from_millis(50);
/// The longest such pause while the port can't be had.
const SLOWEST_RETRY: Duration = Duration::from_secs(1);

/// Binds `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of calls that are over must not keep the port from being opened again.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves calls until a drain begins, and returns when those that came too late were told so; calls in progress go on without it. `tell_port`
/// hears when the port can't be opened again, and when it is.
pub(crate) async fn run(calls: Arc<Calls>, listener: TcpListener, tell_port: impl Fn(bool) + Send + 'static) {
    let mut state = calls.admission().watch();
    let Ok(address) = listener.local_addr() else { return };
    let door = Door { calls: Arc::clone(&calls), refused: TaskTracker::new() };
    let mut open = Some(listener);
    let mut outage: Option<Duration> = None;
    loop {
        let AdmissionState { open: may_open, draining, .. } = *state.borrow_and_update();
        if (draining || !may_open)
            && let Some(listener) = open.take()
        {
            door.close(listener);
        }
        if draining {
            door.refused.close();
            return door.refused.wait().await;
        }
        if !may_open {
            // Until a permit is free.
        } else if open.is_none() {
            match bind(address) {
                Ok(listener) => {
                    open = Some(listener);
                    if outage.take().is_some() {
                        tracing::info!(%address, "the ESL port is open again");
                        tell_port(true);
                    }
                }
                Err(error) => {
                    if outage.is_none() {
                        tracing::error!(%address, %error, "the ESL port could not be opened again; trying on");
                        tell_port(false);
                    }
                    outage = Some(outage.map_or(RETRY, |pause| (pause * 2).min(SLOWEST_RETRY)));
                }
            }
        }
        tokio::select! {
            connection = accept(open.as_ref()) => match connection {
                Ok((socket, peer)) => door.admit(socket, peer),
                Err(error) => {
                    // Descriptors have run out, or the peer is gone already.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(RETRY).await;
                }
            },
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(outage.unwrap_or(RETRY)), if may_open && open.is_none() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Who lets calls in.
struct Door {
    calls: Arc<Calls>,
    /// Those who are being told that they are not.
    refused: TaskTracker,
}

impl Door {
    /// The permit is taken before the first word is said; a connection that gets none is told so, and the switch goes on to the next
    /// pod.
    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let accepted = Instant::now();
        let calls = Arc::clone(&self.calls);
        match calls.admission().try_admit() {
            Ok(permit) => drop(tokio::spawn(calls.serve(socket, permit, accepted))),
            Err(refusal) => {
                tracing::info!(%peer, reason = refusal.as_str(), "a call was refused");
                calls.metrics().call_refused(refusal);
                if self.refused.len() < REFUSALS {
                    self.refused.spawn(calls.turn_away(socket));
                }
            }
        }
    }

    /// Closes the port, after all that were connected to it already: nobody else would tell the switch about these. No wait stands
    /// between the last of them and the end of the port.
    fn close(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..2 * BACKLOG {
            match listener.accept() {
                Ok((socket, peer)) => {
                    let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
                    if let Ok(socket) = socket {
                        self.admit(socket, peer);
                    }
                }
                // Gone before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return,
            }
        }
    }
}
