//! The inbound event socket's connections: who may connect, how many, and the bytes to and from
//! [`crate::esl`]'s session. Knows no command.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::call::SwitchApi;
use crate::config::EventSocket;
use crate::esl::InboundSession;
use crate::switch::Core;

/// Connections at once.
const MAX_CONNECTIONS: usize = 32;
/// How long a peer may take to give the password.
const AUTHENTICATION: Duration = Duration::from_secs(5);
/// A peer that reads nothing for so long is gone.
const WRITE: Duration = Duration::from_secs(5);
/// After an error of accepting: no descriptors are left, for the moment.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(listener: TcpListener, core: Arc<Core>, settings: EventSocket) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let admitted = core.config.event_socket_admits(&settings, peer.ip());
                let (core, password) = (core.clone(), settings.password.0.clone());
                tokio::spawn(async move {
                    if admitted {
                        connection(stream, &core, &password).await;
                    } else {
                        tracing::warn!(%peer, "event socket: refused by its access list");
                        refuse(stream).await;
                    }
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn refuse(mut stream: TcpStream) {
    // The peer may be gone already.
    let _ = timeout(WRITE, stream.write_all(&InboundSession::rejection())).await;
}

async fn connection(mut stream: TcpStream, core: &Arc<Core>, password: &str) {
    let mut session = InboundSession::new(password);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let output = session.take_output();
        if !matches!(timeout(WRITE, stream.write_all(&output)).await, Ok(Ok(()))) {
            return;
        }
        if session.is_closed() {
            // Only a matter of politeness.
            let _ = stream.shutdown().await;
            return;
        }
        let read = stream.read(&mut buffer);
        let read = if session.is_authenticated() {
            read.await
        } else {
            let Ok(read) = timeout(AUTHENTICATION, read).await else { return };
            read
        };
        match read {
            Ok(length) if length > 0 => {
                let input = session.input(&buffer[..length], &mut SwitchApi { core });
                if input.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
