//! `GET /status`: what the pod is doing, for people and for the operator.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use serde::{Serialize, Serializer};

use super::AdminParts;
use crate::metrics::CircuitLevel;
use crate::sessions::{SessionSnapshot, SessionState};

/// What can be told of the speech backend.
#[derive(Debug, Clone, Serialize)]
pub struct BackendStatus {
    /// Its kind, such as `mock`.
    pub kind: &'static str,
    /// Its circuits; of several backends the primary's first.
    pub circuits: Vec<CircuitStatus>,
}

/// One circuit.
#[derive(Debug, Clone, Serialize)]
pub struct CircuitStatus {
    /// The backend's name in logs and errors.
    pub backend: String,
    /// The stage of a turn, such as `transcribe`.
    pub stage: &'static str,
    /// The circuit's state.
    #[serde(serialize_with = "circuit_name")]
    pub state: CircuitLevel,
}

fn circuit_name<S: Serializer>(state: &CircuitLevel, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready_reason: Option<&'static str>,
    sessions: Sessions,
    backend: BackendStatus,
    drain: DrainStatus,
}

#[derive(Serialize)]
struct Sessions {
    active: usize,
    capacity: usize,
    accepting: bool,
    late: bool,
    busy: bool,
    lateness_ms: f64,
    missed_percent: f64,
    load_percent: f64,
    list: Vec<SessionStatus>,
}

#[derive(Serialize)]
struct SessionStatus {
    id: String,
    caller: String,
    dialed: String,
    state: SessionState,
    started_at: String,
    duration_seconds: u64,
    turns: u32,
}

impl From<SessionSnapshot> for SessionStatus {
    fn from(session: SessionSnapshot) -> Self {
        let SessionSnapshot { id, caller, dialed, state, started_at, duration, turns } = session;
        let started_at = rfc3339(started_at);
        Self { id, caller, dialed, state, started_at, duration_seconds: duration.as_secs(), turns }
    }
}

#[derive(Serialize)]
struct DrainStatus {
    draining: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_seconds: Option<u64>,
}

pub(super) async fn get_status(State(parts): State<Arc<AdminParts>>) -> Json<Status> {
    let now = Instant::now();
    let admission = parts.admission.state();
    let pace = parts.admission.pace();
    let not_ready = parts.readiness.check().err();
    Json(Status {
        version: parts.version,
        uptime_seconds: parts.metrics.uptime(now).as_secs(),
        ready: not_ready.is_none(),
        not_ready_reason: not_ready.map(|reason| reason.as_str()),
        sessions: Sessions {
            active: admission.active,
            capacity: admission.capacity,
            accepting: admission.accepting,
            late: admission.late,
            busy: admission.busy,
            lateness_ms: super::milliseconds(pace.lateness),
            missed_percent: super::percent(pace.missed),
            load_percent: super::percent(pace.load),
            list: parts.registry.list(now).into_iter().map(SessionStatus::from).collect(),
        },
        backend: (parts.backend)(),
        drain: DrainStatus {
            draining: admission.draining,
            remaining_seconds: parts.drain.remaining(now).map(|time| time.as_secs()),
        },
    })
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    #[test]
    fn times_are_written_in_utc_to_the_second() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1_738_367_999_900)), "2025-01-31T23:59:59Z");
    }
}
