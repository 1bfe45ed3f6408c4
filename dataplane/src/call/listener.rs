//! Takes FreeSWITCH's connections, exactly while a permit is free: a pod that can take no call has no open port, so
//! the switch is refused at once and tries the next pod. Who only connects holds no permit: that is for who brings a call.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::Calls;
use crate::sessions::AdmissionState;

/// Connections that may wait to be taken; they wait for microseconds.
const BACKLOG: i32 = 1_024;
/// Connections at a time that have brought no call yet, or are being told that it is not taken. A switch brings its call within
/// milliseconds: beyond that number those go first that have said nothing for the longest time.
const ARRIVALS: usize = 1_024;
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
    let arriving = calls.parts.arriving.clone();
    let mut door = Door { calls, oldest: VecDeque::new() };
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
            arriving.close();
            return arriving.wait().await;
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
                Ok((socket, peer)) => door.let_in(socket, peer),
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
    /// Those who are arriving, the oldest first, with some that have gone on.
    oldest: VecDeque<AbortHandle>,
}

impl Door {
    /// A stranger who says nothing, or not what a switch says, takes no call's place.
    fn let_in(&mut self, socket: TcpStream, peer: SocketAddr) {
        if self.oldest.len() >= ARRIVALS {
            self.oldest.retain(|arriving| !arriving.is_finished());
        }
        while self.oldest.len() >= ARRIVALS
            && let Some(stranger) = self.oldest.pop_front()
        {
            stranger.abort();
        }
        let arriving = Arc::clone(&self.calls).arrive(socket, peer, Instant::now());
        self.oldest.push_back(self.calls.parts.arriving.spawn(arriving).abort_handle());
    }

    /// Closes the port, after all that were connected to it already: nobody else would tell the switch about these. No wait stands
    /// between the last of them and the end of the port.
    fn close(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..2 * BACKLOG {
            match listener.accept() {
                Ok((socket, peer)) => {
                    let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
                    if let Ok(socket) = socket {
                        self.let_in(socket, peer);
                    }
                }
                // Gone before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return,
            }
        }
    }
}
