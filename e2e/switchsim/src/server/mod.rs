//! A switch as a process of its own, in FreeSWITCH's place: SIP ports that probes can reach, the event socket, and the HTTP API
//! through which tests place callers ([`crate::control`]). Never takes a call over SIP.
//!
//! What the configuration names is really bound: each profile's SIP port (TCP and UDP), one RTP port on each profile's address,
//! the event socket. So an address that is not this machine's, or a port that is taken, is an error at the start, as it is for
//! FreeSWITCH.

mod event_socket;
mod sip;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::cause::Cause;
use crate::control;
use crate::run_state::Stop;
use crate::switch::{StartError, Switch, SwitchBuilder};

/// How long pods may take to hear that their calls are over, when the switch ends.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);
/// How often the end of the last call is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The switch itself.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An address or port that cannot be had.
    #[error("{what} on {address}: {source}")]
    Bind {
        /// What it is for.
        what: String,
        /// Where, with the port or the range of ports.
        address: String,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// A running server; it ends when it is dropped, then without telling anybody.
pub struct Server {
    switch: Switch,
    tasks: JoinSet<()>,
    sip: Vec<SocketAddr>,
    event_socket: Option<SocketAddr>,
    control: SocketAddr,
}

impl Server {
    /// Starts the switch and listens, with the control API on `control` (port 0 for a free one).
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(builder: SwitchBuilder, control: SocketAddr) -> Result<Self, ServeError> {
        let switch = builder.start()?;
        let core = switch.0.clone();
        let mut tasks = JoinSet::new();
        let mut sip = Vec::new();
        for profile in core.config.profiles() {
            let address = SocketAddr::new(profile.sip_ip, profile.sip_port);
            let what = format!("SIP of profile {}", profile.name);
            let tcp = TcpListener::bind(address).await.map_err(bind(&format!("{what}, TCP"), address))?;
            let address = tcp.local_addr().map_err(bind(&what, address))?;
            let udp = UdpSocket::bind(address).await.map_err(bind(&format!("{what}, UDP"), address))?;
            tasks.spawn(sip::serve_tcp(tcp, core.clone()));
            tasks.spawn(sip::serve_udp(udp, core.clone()));
            sip.push(address);
            check_rtp(&switch, &profile.name, profile.rtp_ip)?;
        }
        sip.sort_unstable();
        let event_socket = match &core.config.event_socket {
            None => None,
            Some(settings) => {
                let address = SocketAddr::new(settings.ip, settings.port);
                let listener = TcpListener::bind(address).await.map_err(bind("event socket", address))?;
                let address = listener.local_addr().map_err(bind("event socket", address))?;
                tasks.spawn(event_socket::serve(listener, core.clone(), settings.clone()));
                Some(address)
            }
        };
        let listener = TcpListener::bind(control).await.map_err(bind("control API", control))?;
        let control = listener.local_addr().map_err(bind("control API", control))?;
        let api = control::http::router(switch.clone());
        tasks.spawn(async move {
            // Ends with this task only: accept errors are waited out by axum.
            let _ = axum::serve(listener, api).await;
        });
        Ok(Self { switch, tasks, sip, event_socket, control })
    }

    /// The switch.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where the profiles listen, TCP and UDP.
    #[must_use]
    pub fn sip_addresses(&self) -> &[SocketAddr] {
        &self.sip
    }

    /// Where commands are taken, if the configuration has an event socket.
    #[must_use]
    pub fn event_socket_address(&self) -> Option<SocketAddr> {
        self.event_socket
    }

    /// Where the control API listens.
    #[must_use]
    pub fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// Waits until somebody had the switch shut down (`fsctl shutdown …`): with `elegant` and `asap` until no call is left.
    pub async fn stopped(&self) {
        let core = &self.switch.0;
        let mut stop = core.run_state.watch_stop();
        loop {
            // The sender lives as long as the switch.
            let _ = stop.wait_for(|stop| *stop != Stop::Run).await;
            while core.run_state.stopping() != Stop::Run {
                if core.run_state.stopping() == Stop::Now || self.switch.channel_count() == 0 {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Ends as FreeSWITCH does at SIGTERM: takes nothing any more, hangs all calls up and does not wait for what they think of it
    /// (but for the moment that it takes to tell their pods).
    pub async fn shut_down(mut self) {
        self.switch.0.run_state.stop(Stop::Now);
        self.switch.0.hang_up_all(Cause::SYSTEM_SHUTDOWN);
        // A pod that hangs, or that asked for a long linger, is not waited for.
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, self.switch.settled()).await;
        self.tasks.shutdown().await;
    }
}

fn bind(what: &str, address: SocketAddr) -> impl FnOnce(io::Error) -> ServeError + use<> {
    let (what, address) = (what.to_owned(), address.to_string());
    move |source| ServeError::Bind { what, address, source }
}

/// One port of the range is to be had on the profile's address: else every call would fail, each with an error of its own.
fn check_rtp(switch: &Switch, profile: &str, ip: IpAddr) -> Result<(), ServeError> {
    let ports = &switch.0.config.rtp_ports;
    let address = format!("{ip}, ports {} to {}", ports.start(), ports.end());
    let failed = |source| ServeError::Bind { what: format!("RTP of profile {profile}"), address, source };
    switch.0.bind_rtp(ip).map(drop).map_err(failed)
}
