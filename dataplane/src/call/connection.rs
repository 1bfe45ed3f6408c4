//! The TCP side of one call's event-socket session: bytes between the socket and [`Outbound`]. It decides nothing, and
//! every wait in it can be abandoned without losing a byte.

use std::io;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::esl::{Outbound, OutboundEvent, OutboundSettings};

/// Bytes read from the socket at a time, onto the stack: a call is silent here for minutes on end, so it keeps no buffer.
/// Events of one moment come as some 28 KB, in a few reads.
const READ_BYTES: usize = 8 << 10;
/// Reads in a row before the call looks at anything else.
const READS: usize = 8;

/// A silent peer is probed after 10 s and given up 15 s later.
const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5)).with_retries(3);

/// One call's connection from FreeSWITCH.
pub(super) struct Connection {
    socket: TcpStream,
    /// The session; requests made of it leave with the next [`Connection::push`] or [`Connection::next`].
    pub(super) outbound: Outbound,
    unsent: Vec<u8>,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, settings: OutboundSettings) -> Self {
        // Commands are small and answered one by one; waiting for more of them would only add to the set-up time.
        let _ = socket.set_nodelay(true);
        // A switch that vanished with its host sends no FIN; its calls must not hold their permits for hours.
        let _ = SockRef::from(&socket).set_tcp_keepalive(&KEEP_ALIVE);
        let outbound = Outbound::new(settings, Instant::now());
        Self { socket, outbound, unsent: Vec::new() }
    }

    /// The pod's address on this connection.
    pub(super) fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.socket.local_addr()
    }

    /// The switch's address on this connection.
    pub(super) fn peer_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.socket.peer_addr()
    }

    /// Sends what waits, as far as the socket takes it at once.
    pub(super) fn push(&mut self) {
        while let Some(bytes) = self.outbound.poll_transmit() {
            self.unsent.extend_from_slice(&bytes);
        }
        while !self.unsent.is_empty() {
            match self.socket.try_write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.outbound.handle_disconnect(),
            }
        }
        self.unsent = Vec::new();
    }

    /// The next event of the session. After [`OutboundEvent::Disconnected`] or [`OutboundEvent::Failed`] there is none.
    pub(super) async fn next(&mut self) -> OutboundEvent {
        loop {
            self.push();
            if let Some(event) = self.outbound.poll_event() {
                return event;
            }
            let interest =
                if self.unsent.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            tokio::select! {
                ready = self.socket.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => self.read(),
                    Ok(_) => {}
                    Err(_) => self.outbound.handle_disconnect(),
                },
                () = until(self.outbound.poll_timeout()) => self.outbound.handle_timeout(Instant::now()),
            }
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS {
            match self.socket.try_read(&mut buffer) {
                Ok(0) => return self.outbound.handle_disconnect(),
                Ok(length) => self.outbound.handle_bytes(Instant::now(), &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.outbound.handle_disconnect(),
            }
        }
    }
}

/// Sleeps until `at`; for ever where there is no such time.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
