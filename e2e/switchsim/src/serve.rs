//! `switchsim serve`: a server until SIGTERM or `fsctl shutdown`. Says on its standard output, in one line of JSON, where it can be
//! reached.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use switchsim::SwitchBuilder;
use switchsim::server::Server;
use tokio::signal::unix::{SignalKind, signal};

/// What SIGTERM means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// The end, at once.
    Now,
    /// No new calls, and the end when the last is over; the second one is the end at once.
    Elegant,
}

/// Serves.
///
/// # Errors
/// The configuration, an address or a port.
pub async fn run(builder: SwitchBuilder, control: SocketAddr, term: Term) -> Result<ExitCode> {
    // First of all: whoever starts this may end it at any time.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let server = Server::start(builder, control).await?;
    let ready = json!({"ready": {
        "control": server.control_address(),
        "event_socket": server.event_socket_address(),
        "sip": server.sip_addresses(),
    }});
    println!("{ready}");
    tokio::select! {
        () = server.stopped() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {
            if term == Term::Elegant {
                let _ = server.switch().api("fsctl shutdown elegant");
                tokio::select! {
                    () = server.stopped() => {}
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
        }
    }
    server.shut_down().await;
    Ok(ExitCode::SUCCESS)
}
