//! One task tree a call: it takes the offer that FreeSWITCH brings, answers it with a media worker's address, and
//! leads the conversation between media, backend and switch. Everything of a call ends with its task.

pub(crate) mod agent;
mod caller;
mod connection;
mod dialogue;
mod driver;
mod hold;
mod journal;
mod leg;
pub(crate) mod listener;
mod returned;
pub mod state;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::audio::Codec;
use crate::backend::clips::Clip;
use crate::esl::{ChannelData, HangupCause, OutboundEvent, OutboundSettings};
use crate::metrics::Metrics;
use crate::record::{Delivery, Privacy};
use crate::sdp::{AnswerParams, NegotiatedMedia, Offer, Surroundings};
use crate::sessions::{Admission, DuplicateSession, Handover, NewSession, Permit, Registry, SessionGuard};
use crate::telemetry::shown_number;
use crate::worker::{InbandKeys, MediaEvent, StreamHandle, StreamSeed, StreamSpec, Taps, WorkerError, Workers};
use agent::{AgentProfile, Agents};
use caller::Caller;
use connection::Connection;
use driver::Driver;
use journal::CallIdentity;
pub use journal::TRANSCRIPT;

/// The variable of leg A that holds the conversation's state, where the next pod finds it.
pub const STATE_VARIABLE: &str = "sofia_phone_state";

/// The variable of leg A that tells the switch that what becomes of this leg is no failure of those before it, and how many legs the call has
/// had: it counts attempts anew. It is set by a pod that hands the call over, and by one that has had it for long enough; the switch takes it
/// away when it has counted anew, so each time needs another pod that sets it.
pub const HANDED_OVER_VARIABLE: &str = "sofia_phone_handed_over";

/// How long a call that was refused may take to be gone.
const REFUSAL: Duration = Duration::from_secs(2);

/// What every call of a pod shares.
pub struct Calls {
    pub(crate) config: CallsConfig,
    pub(crate) parts: CallsParts,
}

/// What a pod's calls are set to.
pub(crate) struct CallsConfig {
    pub(crate) outbound: OutboundSettings,
    /// Codecs that may be answered, best first.
    pub(crate) codecs: Vec<Codec>,
    /// The address that answers name; `None`: that of the call's own connection.
    pub(crate) rtp_address: Option<IpAddr>,
    pub(crate) inband_keys: InbandKeys,
    pub(crate) jitter_max: Duration,
    /// For how long a call that was taken over has to go well until the losses before it count no more.
    pub(crate) settled_after: Duration,
    /// Who answers which number.
    pub(crate) agents: Agents,
    pub(crate) privacy: Privacy,
    /// The pod's name in records.
    pub(crate) pod: Option<String>,
}

/// The parts of the pod that calls use.
pub(crate) struct CallsParts {
    pub(crate) workers: Workers,
    pub(crate) apology: Clip,
    pub(crate) admission: Admission,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    /// Tells calls when they are to be handed to other pods.
    pub(crate) handover: Handover,
    pub(crate) records: Option<Delivery>,
    /// Those who have brought no call yet, and those who are told that it is not taken.
    pub(crate) arriving: TaskTracker,
}

/// Why a call could not be begun.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error(transparent)]
    Offer(#[from] crate::sdp::SdpError),
    #[error(transparent)]
    Answer(#[from] crate::sdp::AnswerError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Request(#[from] crate::esl::RequestError),
    #[error(transparent)]
    Duplicate(#[from] DuplicateSession),
    #[error("expected the connection's addresses, came: {0}")]
    Addresses(#[from] std::io::Error),
    #[error(
        "expected an SDP offer in the channel's data (variable_switch_r_sdp), came none; is inbound-bypass-media set on the profile?"
    )]
    NoOffer,
}

impl SetupError {
    /// The reason as a metric's label, and the cause that the switch is given. With a passing failure it tries another
    /// pod.
    fn refusal(&self) -> (&'static str, HangupCause) {
        match self {
            Self::Offer(error) => ("offer", error.hangup_cause()),
            Self::NoOffer => ("offer", HangupCause::IncompatibleDestination),
            Self::Answer(error) => (error.reason(), error.hangup_cause()),
            Self::Worker(_) => ("media", HangupCause::NormalTemporaryFailure),
            Self::Request(_) | Self::Duplicate(_) | Self::Addresses(_) => {
                ("setup", HangupCause::NormalTemporaryFailure)
            }
        }
    }
}

/// A stream that is open, and what the call was offered.
struct Begun {
    identity: CallIdentity,
    session: SessionGuard,
    media: NegotiatedMedia,
    stream: StreamHandle,
    events: tokio::sync::mpsc::Receiver<MediaEvent>,
    agent: Arc<AgentProfile>,
    comes_from: Origin,
}

/// What the switch tells of the time before a call came to this pod.
#[derive(Debug, Clone, Copy, Default)]
struct Origin {
    /// A pod before this one has answered the caller.
    talking: bool,
    /// Why the transfer that the caller comes back from has failed, in words.
    returned: Option<&'static str>,
}

impl Calls {
    pub(crate) fn new(config: CallsConfig, parts: CallsParts) -> Self {
        Self { config, parts }
    }

    /// Waits for the call that a connection brings, and takes a permit for it: there is no word before that costs anybody a place. One that
    /// gets none is told so: the switch hears that at once, but a connection that is closed before `connect` only when its time for an
    /// answer is over.
    async fn arrive(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, accepted: Instant) {
        let mut connection = Connection::new(socket, self.config.outbound.clone());
        let data = match connection.next().await {
            OutboundEvent::Offered(data) => data,
            OutboundEvent::Failed(error) => {
                tracing::warn!(%error, "a connection to the ESL port brought no call");
                return self.parts.metrics.esl_error(error.kind());
            }
            // Port scans and TCP health probes come and go.
            _ => return tracing::debug!("a connection to the ESL port was closed before it brought a call"),
        };
        match self.admission().try_admit() {
            Ok(permit) => drop(tokio::spawn(self.serve(connection, data, permit, accepted))),
            Err(refusal) => {
                tracing::info!(%peer, reason = refusal.as_str(), "a call was refused");
                self.metrics().call_refused(refusal);
                refuse(connection, HangupCause::NormalTemporaryFailure).await;
            }
        }
    }

    /// Serves one call to its end. A panic in here is a bug of ours; it ends this call, and the
    /// permit, the stream and the session go with it.
    async fn serve(self: Arc<Self>, connection: Connection, data: ChannelData, permit: Permit, accepted: Instant) {
        let call = AssertUnwindSafe(self.call(connection, data, permit, accepted)).catch_unwind();
        if call.await.is_err() {
            tracing::error!("a call ended by a fault in its task");
            self.parts.metrics.session_ended("panic", accepted.elapsed());
        }
    }

    async fn call(&self, mut connection: Connection, data: ChannelData, mut permit: Permit, accepted: Instant) {
        let Ok(caller) = Caller::of(&data, &mut connection).await else {
            return tracing::debug!("a call was over before it was known who calls");
        };
        let identity = self.identify(&data, caller);
        if let Err(refusal) = permit.limit_caller(&identity.caller, data.was_answered()) {
            tracing::info!(call = identity.call_id, reason = refusal.as_str(), "a call was refused");
            self.parts.metrics.call_refused(refusal);
            return refuse(connection, HangupCause::CallRejected).await;
        }
        if !data.was_answered()
            && let Err(refusal) = permit.admit_new(accepted)
        {
            tracing::info!(call = identity.call_id, reason = refusal.as_str(), "a call was refused");
            self.parts.metrics.call_refused(refusal);
            // It was never one of the pod's calls: it must not look full for it.
            drop(permit);
            return refuse(connection, HangupCause::NormalTemporaryFailure).await;
        }
        let begun = match self.begin(&mut connection, &data, identity) {
            Ok(begun) => begun,
            Err(error) => {
                let (reason, cause) = error.refusal();
                tracing::warn!(%error, cause = cause.as_str(), "a call could not be begun");
                self.parts.metrics.call_refused_for(reason);
                return refuse(connection, cause).await;
            }
        };
        connection.push();
        self.parts.metrics.setup.observe(accepted.elapsed().as_secs_f64());
        // Some 10 KB of headers, of which the call has what it needs.
        drop(data);
        Driver::new(self, connection, begun, accepted).run(permit).await;
    }

    fn identify(&self, data: &ChannelData, caller: Caller) -> CallIdentity {
        // Leg A's id lasts through takeovers, so it names the call; without one, nothing can be taken over.
        let call_id = data.call_uuid().or(data.unique_id()).unwrap_or_default().to_owned();
        CallIdentity {
            call_id,
            caller: caller.number,
            caller_name: caller.name,
            dialed: data.destination().to_owned(),
            attempt: data.attempt(),
            pod: self.config.pod.clone(),
            privacy: self.config.privacy,
        }
    }

    /// Answers the offer: opens the stream first, so that not one of the caller's packets finds the door shut.
    fn begin(
        &self,
        connection: &mut Connection,
        data: &ChannelData,
        identity: CallIdentity,
    ) -> Result<Begun, SetupError> {
        let offer = Offer::parse(data.offer().ok_or(SetupError::NoOffer)?)?;
        let workers = &self.parts.workers;
        let place = workers.place();
        let here = connection.local_addr()?.ip().to_canonical();
        let address = self.config.rtp_address.unwrap_or(here);
        let own: Vec<SocketAddr> = offer.remotes().filter(|remote| workers.receive_at(*remote, address)).collect();
        let switch = connection.peer_addr()?.ip().to_canonical();
        let answer = offer.answer(&AnswerParams {
            address: SocketAddr::new(address, place.port()),
            codecs: &self.config.codecs,
            session_id: rand::random::<u32>().into(),
            surroundings: Surroundings { own: &own, switch_is_here: switch.is_loopback() || switch == here },
        })?;
        let session = self.register(&identity, data)?;
        let agent = Arc::clone(self.config.agents.answering(&identity.dialed));
        let (stream, events) = place.open(StreamSpec {
            media: answer.media.clone(),
            mode: agent.dialogue.stream_mode(),
            endpointing: agent.endpointing.clone(),
            voice: agent.voice,
            inband_keys: self.config.inband_keys,
            jitter_max: self.config.jitter_max,
            taps: Taps { recording: self.parts.records.is_some(), frames: None },
            seed: StreamSeed { ssrc: rand::random(), sequence: rand::random(), timestamp: rand::random() },
            cname: format!("{:016x}", rand::random::<u64>()),
        })?;
        connection.outbound.answer(Instant::now(), &answer.sdp)?;
        let comes_from =
            Origin { talking: data.was_answered(), returned: data.transfer_failed().map(returned::in_words) };
        Ok(Begun { identity, session, media: answer.media, stream, events, agent, comes_from })
    }

    fn register(&self, identity: &CallIdentity, data: &ChannelData) -> Result<SessionGuard, DuplicateSession> {
        let session = |id: &str| NewSession {
            id: id.to_owned(),
            caller: shown_number(&identity.caller, self.config.privacy == Privacy::Shown).into_owned(),
            dialed: identity.dialed.clone(),
            started: Instant::now(),
            started_at: SystemTime::now(),
        };
        let registry = &self.parts.registry;
        // A call that comes back to the pod that has just lost it finds its own name still taken for a moment.
        registry
            .register(session(&identity.call_id))
            .or_else(|_| registry.register(session(data.unique_id().unwrap_or_default())))
    }

    /// The pod's permits.
    pub(crate) fn admission(&self) -> &Admission {
        &self.parts.admission
    }

    /// The pod's figures.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }
}

/// Hangs up and waits, a moment at most, until the switch has understood.
async fn refuse(mut connection: Connection, cause: HangupCause) {
    if connection.outbound.hang_up(Instant::now(), cause).is_err() {
        return;
    }
    let gone = async {
        while !matches!(
            connection.next().await,
            OutboundEvent::HungUp { .. } | OutboundEvent::Disconnected | OutboundEvent::Failed(_)
        ) {}
    };
    let _ = tokio::time::timeout(REFUSAL, gone).await;
}
