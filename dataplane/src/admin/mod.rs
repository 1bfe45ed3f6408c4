//! The admin server: liveness, readiness, figures and status of the pod over HTTP, and two verbs for who has the token. Knows
//! nothing of media; never shows a caller's number that the log would mask.
//!
//! | request | answer |
//! |---|---|
//! | `GET /health` | 200 while every vital component is alive, else 503: restart the pod |
//! | `GET /ready` | 200 while calls should be sent here, else 503 with the reason |
//! | `GET /metrics` | figures in the text format of Prometheus |
//! | `GET /status` | version, sessions, backend, drain as JSON |
//! | `GET /debug/structures` | how much calls and pod hold, in numbers (bearer token) |
//! | `POST /drain` | begins the drain (bearer token) |
//! | `DELETE /sessions/{id}` | hangs a call up (bearer token) |

mod auth;
mod error;
mod health;
mod seats;
mod server;
mod status;
mod structures;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::json;

pub use error::ApiError;
pub use health::{ComponentFlag, ComponentReport, Health, HealthReport, Heart};
pub use server::{AdminServer, ServerLimits};
pub use status::{BackendStatus, CircuitStatus};

use crate::backend::Secret;
use crate::metrics::{Metrics, RequestPath};
use crate::sessions::{Admission, Drain, PodEntries, Readiness, Registry};

/// Longest body that is let pass; no route needs any.
const MAX_BODY_BYTES: u64 = 16 * 1024;
/// Longest time for one answer. Handlers only read memory, so only a pod in distress gets there.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What the admin server shows and moves.
#[derive(Clone)]
pub struct AdminParts {
    /// The pod's permits.
    pub admission: Admission,
    /// The list of sessions.
    pub registry: Registry,
    /// The drain.
    pub drain: Drain,
    /// Whether calls should be sent here.
    pub readiness: Readiness,
    /// The components.
    pub health: Arc<Health>,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Token of the two verbs and of what is for debugging; without one all of them are refused.
    pub admin_token: Option<Secret>,
    /// What can be told of the backend at the moment. Called at each scrape and status request; shall take no time.
    pub backend: Arc<dyn Fn() -> BackendStatus + Send + Sync>,
    /// What the pod holds of its calls beside them. Called at each request for it; shall take no time.
    pub entries: Arc<dyn Fn() -> PodEntries + Send + Sync>,
    /// The program's version.
    pub version: &'static str,
}

/// The routes over `parts`. Also has the figures of sessions, components and circuits brought up to date at each scrape.
pub fn router(parts: AdminParts) -> Router {
    connect_metrics(&parts);
    let parts = Arc::new(parts);
    Router::new()
        .route("/health", get(get_health))
        .route("/ready", get(get_ready))
        .route("/metrics", get(get_metrics))
        .route("/status", get(status::get_status))
        .route("/debug/structures", get(structures::get_structures))
        .route("/drain", post(post_drain))
        .route("/sessions/{id}", delete(delete_session))
        .fallback(async || ApiError::not_found("there is no such page"))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn_with_state(Arc::clone(&parts), guard))
        .with_state(parts)
}

fn connect_metrics(parts: &AdminParts) {
    let AdminParts { admission, readiness, health, backend, .. } = parts.clone();
    parts.metrics.at_scrape(move |metrics| {
        let state = admission.state();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.sessions_active.set(gauge(state.active));
        metrics.sessions_capacity.set(gauge(state.capacity));
        metrics.accepting.set(i64::from(state.accepting));
        metrics.ready.set(i64::from(readiness.check().is_ok()));
        metrics.draining.set(i64::from(state.draining));
        metrics.late.set(i64::from(state.late));
        metrics.busy.set(i64::from(state.busy));
        let pace = admission.pace();
        metrics.media_lateness.set(pace.lateness.as_secs_f64());
        metrics.media_missed.set(pace.missed);
        metrics.media_load.set(pace.load);
        for (name, component) in health.report(Instant::now()).components {
            metrics.set_component_health(&name, component.healthy);
        }
        // Of a stage with fallback backends the primary's circuit is shown, which is named first.
        let circuits = backend().circuits;
        for (index, circuit) in circuits.iter().enumerate() {
            if circuits[..index].iter().all(|earlier| earlier.stage != circuit.stage) {
                metrics.set_circuit(circuit.stage, circuit.state);
            }
        }
    });
}

/// Around every route: bounds on body and time, headers, the count of requests.
async fn guard(State(parts): State<Arc<AdminParts>>, request: Request, next: Next) -> Response {
    let path = RequestPath::of(request.uri().path());
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut response = if declared.is_some_and(|bytes: u64| bytes > MAX_BODY_BYTES) {
        ApiError::too_large(MAX_BODY_BYTES).into_response()
    } else {
        // Bodies are never read: the connection ends with the answer to a request that has not been read to its end.
        let answer = tokio::time::timeout(ANSWER_TIME, next.run(request)).await;
        answer.unwrap_or_else(|_| ApiError::timeout().into_response())
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    parts.metrics.http_request(path, response.status().as_u16());
    response
}

async fn get_health(State(parts): State<Arc<AdminParts>>) -> Response {
    let report = parts.health.report(Instant::now());
    let code = if report.alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(report)).into_response()
}

async fn get_ready(State(parts): State<Arc<AdminParts>>) -> Response {
    let state = parts.admission.state();
    let (code, reason) = match parts.readiness.check() {
        Ok(()) => (StatusCode::OK, None),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, Some(reason.as_str())),
    };
    let pace = parts.admission.pace();
    let body = json!({
        "ready": reason.is_none(),
        "reason": reason,
        "active": state.active,
        "capacity": state.capacity,
        "lateness_ms": milliseconds(pace.lateness),
        "missed_percent": percent(pace.missed),
        "load_percent": percent(pace.load),
    });
    (code, Json(body)).into_response()
}

/// To the tenth, for people.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

/// To the tenth, for people.
fn percent(share: f64) -> f64 {
    (share * 1e3).round() / 10.0
}

async fn get_metrics(State(parts): State<Arc<AdminParts>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, parts.metrics.scrape(Instant::now())).into_response()
}

async fn post_drain(State(parts): State<Arc<AdminParts>>, _: auth::Authorized) -> Response {
    let now = Instant::now();
    if parts.drain.start(now) {
        tracing::info!("drain asked for over HTTP");
    }
    let body = json!({
        "draining": true,
        "active": parts.admission.state().active,
        "remaining_seconds": parts.drain.remaining(now).map(|time| time.as_secs()),
    });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

async fn delete_session(
    State(parts): State<Arc<AdminParts>>,
    _: auth::Authorized,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("there is no such session");
    let Path(id) = id.map_err(|_| unknown())?;
    if !parts.registry.end(&id) {
        return Err(unknown());
    }
    tracing::info!(session = %id, "end of the call asked for over HTTP");
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "state": "ending" }))).into_response())
}
