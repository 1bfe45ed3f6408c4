//! The data plane of Sofia Phone: it holds telephone calls that FreeSWITCH hands it over outbound ESL, exchanges their
//! audio over RTP, and lets a speech backend answer the callers.
//!
//! - Protocols without IO, each testable alone: [`esl`], [`sdp`], [`rtp`], [`audio`], [`turn`].
//! - [`worker`]: the media plane, one thread and one UDP port a core.
//! - [`call`]: one task tree a call; [`backend`]: what answers; [`record`]: what is kept of a call.
//! - [`sessions`], [`admin`], [`metrics`], [`telemetry`], [`settings`]: how a pod is run.
//!
//! Own backends: implement [`backend::VoiceBackend`] and give it to [`run`].

pub mod admin;
pub mod audio;
pub mod backend;
pub mod call;
pub mod esl;
pub mod metrics;
mod pod;
pub mod record;
pub mod rtp;
pub mod sdp;
pub mod sessions;
pub mod settings;
pub mod telemetry;
pub mod turn;
pub mod worker;

pub use pod::{Pod, PodError, run, run_as_set};
pub use settings::Settings;
