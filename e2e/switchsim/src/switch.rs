//! A running switch: its configuration, its media thread, its channels and ports. Starts calls, never runs one itself.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use uuid::Uuid;

use crate::call::{self, Control, LegCommand};
use crate::cause::Cause;
use crate::channel::{Globals, SharedChannel};
use crate::config::{Config, ConfigError, Dialplan, LocalAddresses};
use crate::esl::EventSource;
use crate::handle::CallHandle;
use crate::media::PumpReport;
use crate::media::pump::Pump;
use crate::plan::CallPlan;
use crate::report::CallOutcome;
use crate::run_state::RunState;
use crate::throttle::Throttle;

/// The configuration that comes with this crate.
const DEMO: &str = include_str!("../freeswitch.xml");
/// FreeSWITCH's session threads look for work once a 20 ms frame: so long after a pod's command its application runs, so long
/// after a lost pod its channel ends, so long after that the caller's channel goes on.
const TICK: Duration = Duration::from_millis(20);

/// Why a switch cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The media thread.
    #[error("media thread: {0}")]
    Media(#[from] io::Error),
}

/// A switch in the making: a configuration and what is to differ from it.
#[derive(Debug, Clone)]
pub struct SwitchBuilder {
    xml: String,
    /// Where `xml` is from.
    path: Option<PathBuf>,
    globals: HashMap<String, String>,
    aliases: HashMap<String, String>,
    outside_failures: HashMap<String, Cause>,
    tick: Duration,
}

impl SwitchBuilder {
    /// From the text of a `freeswitch.xml`; read when the switch starts.
    #[must_use]
    pub fn from_xml(xml: impl Into<String>) -> Self {
        Self {
            xml: xml.into(),
            path: None,
            globals: HashMap::new(),
            aliases: HashMap::new(),
            outside_failures: HashMap::new(),
            tick: TICK,
        }
    }

    /// From a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Ok(Self { path: Some(path.to_owned()), ..Self::from_xml(read(path)?) })
    }

    /// With the `freeswitch.xml` of this crate: three attempts, every number a pod's, 503 with Retry-After when all are full.
    ///
    /// # Errors
    /// None today; the configuration is checked when the switch starts.
    pub fn demo() -> Result<Self, ConfigError> {
        Ok(Self::from_xml(DEMO))
    }

    /// Sets the global `$${name}`, over the file's own `set`.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.globals.insert(name.into(), value.into());
        self
    }

    /// Sets `$${esl_hosts}`, `$${esl_hosts_2}` and `$${esl_hosts_3}` to these pods (`host:port`), each list beginning with the
    /// next pod, so that no attempt starts where the last one failed.
    #[must_use]
    pub fn with_esl_hosts<H: AsRef<str>>(mut self, hosts: &[H]) -> Self {
        let hosts: Vec<&str> = hosts.iter().map(AsRef::as_ref).collect();
        for (shift, name) in ["esl_hosts", "esl_hosts_2", "esl_hosts_3"].into_iter().enumerate() {
            let mut rotated = hosts.clone();
            if !rotated.is_empty() {
                rotated.rotate_left(shift % hosts.len());
            }
            self.globals.insert(name.to_owned(), rotated.join("|"));
        }
        self
    }

    /// Connects to `actual` wherever the dialplan's `socket` says `written` (both `host:port`): a hosts file, for configurations
    /// that are not to be changed.
    #[must_use]
    pub fn with_host_alias(mut self, written: impl Into<String>, actual: impl Into<String>) -> Self {
        self.aliases.insert(written.into(), actual.into());
        self
    }

    /// Has calls to `number` by any gateway fail with `cause`; others are answered at once.
    #[must_use]
    pub fn with_outside_failure(mut self, number: impl Into<String>, cause: Cause) -> Self {
        self.outside_failures.insert(number.into(), cause);
        self
    }

    /// Sets the pace of the session threads instead of FreeSWITCH's 20 ms.
    #[must_use]
    pub const fn with_tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Reads the configuration and starts the media thread. Calls need a tokio runtime; this does not.
    ///
    /// # Errors
    /// The configuration, or no descriptors for the media thread.
    pub fn start(self) -> Result<Switch, StartError> {
        let local = LocalAddresses::find();
        let config = Config::parse(&self.xml, &self.globals, local)?;
        let first_port = *config.rtp_ports.start();
        // Many switches on one machine (tests) begin at different places of the range.
        let pairs = (config.rtp_ports.len() / 2).max(1);
        let start = first_port.saturating_add((Uuid::new_v4().as_u128() % pairs as u128) as u16 * 2);
        Ok(Switch(Arc::new(Core {
            dialplan: RwLock::new(config.dialplan.clone()),
            globals: Globals::new(config.globals.clone()),
            run_state: RunState::new(Instant::now()),
            throttle: Throttle::new(config.sessions_per_second, Instant::now()),
            source: Source { path: self.path, globals: self.globals, local },
            config,
            events: Arc::new(EventSource::new(Uuid::new_v4().to_string())),
            pump: Pump::start()?,
            channels: Mutex::default(),
            unregistered: Mutex::default(),
            next_id: AtomicU64::new(1),
            next_port: AtomicU16::new(start),
            sessions: AtomicUsize::new(0),
            pod_legs: watch::Sender::new(0),
            aliases: self.aliases,
            outside_failures: self.outside_failures,
            tick: self.tick,
        })))
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.display().to_string(), source })
}

/// Where the configuration is from, to read it again.
struct Source {
    path: Option<PathBuf>,
    globals: HashMap<String, String>,
    local: LocalAddresses,
}

/// A channel that other channels' API commands can reach.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) channel: SharedChannel,
    pub(crate) control: Reach,
}

/// How.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// A caller's leg.
    Caller(UnboundedSender<Control>),
    /// A pod's leg.
    Pod(UnboundedSender<LegCommand>),
}

/// What the calls of one switch share.
pub(crate) struct Core {
    /// As at the start, but for [`Core::dialplan`].
    pub(crate) config: Config,
    dialplan: RwLock<Arc<Dialplan>>,
    pub(crate) globals: Globals,
    pub(crate) run_state: RunState,
    pub(crate) throttle: Throttle,
    source: Source,
    pub(crate) events: Arc<EventSource>,
    pub(crate) pump: Pump,
    channels: Mutex<HashMap<String, Registered>>,
    /// Gateways that gave their registration back.
    unregistered: Mutex<BTreeSet<String>>,
    next_id: AtomicU64,
    next_port: AtomicU16,
    sessions: AtomicUsize,
    /// Pods' legs whose tasks run, those with lingering connections too.
    pub(crate) pod_legs: watch::Sender<usize>,
    aliases: HashMap<String, String>,
    /// What becomes of calls to numbers outside, of those that fail.
    pub(crate) outside_failures: HashMap<String, Cause>,
    pub(crate) tick: Duration,
}

/// Frees a call's sessions when it is over.
pub(crate) struct Sessions(Arc<Core>, usize);

impl Drop for Sessions {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Core {
    /// The dialplan as it is now. A call goes on with the actions that it has already.
    pub(crate) fn dialplan(&self) -> Arc<Dialplan> {
        self.dialplan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `reloadxml`: reads the file again and takes its dialplan. As in FreeSWITCH, everything else stays as it was at the start.
    pub(crate) fn reload_dialplan(&self) -> Result<(), ConfigError> {
        let Some(path) = &self.source.path else { return Ok(()) };
        let config = Config::parse(&read(path)?, &self.source.globals, self.source.local)?;
        *self.dialplan.write().unwrap_or_else(PoisonError::into_inner) = config.dialplan;
        Ok(())
    }

    /// Gateways that gave their registration back. No registrar is asked by this stand-in: the others count as registered.
    pub(crate) fn unregistered(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unregistered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the lists, if a caller from `address` may not come in at profile `edge`.
    pub(crate) fn refused_by_access_list(&self, address: &str) -> Option<String> {
        let profile = self.config.profile("edge")?;
        let admitted = match address.parse() {
            Ok(address) => self.config.admits(profile, address),
            Err(_) => profile.inbound_acls.is_empty(),
        };
        (!admitted).then(|| profile.inbound_acls.join(", "))
    }

    /// Ends every caller's channel, and with it its pod's.
    pub(crate) fn hang_up_all(&self, cause: Cause) {
        for registered in self.channels().values() {
            if let Reach::Caller(control) = &registered.control {
                // A call that is over already has nobody to hear it.
                let _ = control.send(Control::Kill(cause));
            }
        }
    }

    /// Legs A that are up, and legs C.
    pub(crate) fn legs_up(&self) -> (usize, usize) {
        let channels = self.channels();
        let callers = channels.values().filter(|registered| matches!(registered.control, Reach::Caller(_))).count();
        (callers, channels.len() - callers)
    }

    /// Channels that ever were, roughly: each leg that has an id.
    pub(crate) fn sessions_since_start(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed).saturating_sub(1)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// `None` when `max-sessions` would be passed.
    pub(crate) fn take_sessions(self: &Arc<Self>, count: usize) -> Option<Sessions> {
        let limit = self.config.max_sessions;
        let add = |taken: usize| (taken + count <= limit).then_some(taken + count);
        self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Sessions(self.clone(), count))
    }

    pub(crate) fn channels(&self) -> MutexGuard<'_, HashMap<String, Registered>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to connect for a target of the dialplan.
    pub(crate) fn resolve(&self, written: &str) -> String {
        self.aliases.get(written).cloned().unwrap_or_else(|| written.to_owned())
    }

    /// A socket on the next free even port of the range: RTP ports are even, the odd ones are RTCP's (RFC 3550 §11).
    pub(crate) fn bind_rtp(&self, ip: IpAddr) -> io::Result<UdpSocket> {
        let (first, last) = (*self.config.rtp_ports.start(), *self.config.rtp_ports.end());
        let first = first + (first & 1);
        let next = |port: u16| {
            let next = port.checked_add(2).filter(|port| *port <= last).unwrap_or(first);
            Some(next.max(first))
        };
        for _ in 0..=self.config.rtp_ports.len() / 2 {
            let port = self.next_port.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(first);
            let port = (port + (port & 1)).clamp(first, last);
            match UdpSocket::bind(SocketAddr::new(ip, port)) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    return Ok(socket);
                }
                // Not this machine's address: no other port would help.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return Err(error),
                Err(_) => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port between {first} and {last} on {ip}")))
    }
}

/// A running switch; cheap to clone. Calls in progress keep it alive.
#[derive(Clone)]
pub struct Switch(pub(crate) Arc<Core>);

impl Switch {
    /// Starts a call and hands it over while it runs. Returns at once: the caller hears nothing yet. Must be called inside a
    /// tokio runtime.
    #[must_use]
    pub fn dial(&self, plan: CallPlan) -> CallHandle {
        call::start(&self.0, plan)
    }

    /// Makes a whole call: dials, plays the plan's steps, hangs up if they don't, and tells what happened.
    pub async fn call(&self, plan: CallPlan) -> CallOutcome {
        self.dial(plan).outcome().await
    }

    /// Waits until no pod has a connection any more: after a call's end they linger, so that the pod hears how it ended. A process
    /// that goes away earlier looks to its pods like a switch that was lost.
    pub async fn settled(&self) {
        // The sender lives as long as this switch.
        let _ = self.0.pod_legs.subscribe().wait_for(|legs| *legs == 0).await;
    }

    /// Runs a command of FreeSWITCH's API (`fsctl pause inbound`, `show channels count`, …) as its event socket would, and returns
    /// what it answers.
    #[must_use]
    pub fn api(&self, command: &str) -> String {
        call::api(&self.0, command)
    }

    /// How well the media thread kept time so far.
    #[must_use]
    pub fn pump_report(&self) -> PumpReport {
        self.0.pump.report()
    }

    /// Waits until no channel is up; false after `timeout`. A pod's channel ends a little later than its caller's.
    pub async fn idle(&self, timeout: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + timeout;
        while self.channel_count() > 0 {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Channels that are up now: a connected call has two here (its own and its pod's).
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.0.channels().len()
    }
}
