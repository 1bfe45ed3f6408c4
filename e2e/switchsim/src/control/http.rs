//! The control API's routes: bytes to types and back. Decides nothing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use super::calls::{Calls, Refusal};
use super::loads::Loads;
use super::types::{CallList, Created, Failure, LoadList, SwitchState, VoiceList};
use crate::run_state::Stop;
use crate::switch::Switch;
use crate::voices;

/// Longest body of a request, in bytes: a script of a thousand steps.
const MAX_BODY: usize = 64 * 1024;

struct Control {
    switch: Switch,
    calls: Calls,
    loads: Loads,
}

type Shared = State<Arc<Control>>;

/// The routes of [`crate::control`] on this switch.
pub(crate) fn router(switch: Switch) -> Router {
    let control = Control { switch, calls: Calls::default(), loads: Loads::default() };
    Router::new()
        .route("/calls", get(list_calls).post(place_call))
        .route("/calls/{id}", get(call_status).delete(hang_up))
        .route("/calls/{id}/heard.wav", get(heard))
        .route("/load", get(list_loads).post(start_load))
        .route("/load/{id}", get(load_status).put(set_level).post(set_level).delete(stop_load))
        .route("/state", get(switch_state))
        .route("/voices", get(all_voices))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(control))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(Failure { error: self.error })).into_response()
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, format!("body: {error}")))
}

async fn nowhere() -> Refusal {
    Refusal::new(404, "there is no such path; there are /calls, /load, /state and /voices")
}

async fn wrong_method() -> Refusal {
    Refusal::new(405, "this path does not take that method")
}

async fn list_calls(State(control): Shared) -> Response {
    Json(CallList { calls: control.calls.list() }).into_response()
}

async fn place_call(State(control): Shared, body: Bytes) -> Result<Response, Refusal> {
    let id = control.calls.place(&control.switch, &read(&body)?)?;
    Ok((StatusCode::CREATED, Json(Created { id })).into_response())
}

async fn call_status(State(control): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(control.calls.status(&id)?).into_response())
}

async fn hang_up(State(control): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(control.calls.hang_up(&id)?).into_response())
}

async fn heard(State(control): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(([(header::CONTENT_TYPE, "audio/wav")], control.calls.heard(&id)?).into_response())
}

async fn list_loads(State(control): Shared) -> Response {
    Json(LoadList { loads: control.loads.list() }).into_response()
}

async fn start_load(State(control): Shared, body: Bytes) -> Result<Response, Refusal> {
    let id = control.loads.start(&control.switch, read(&body)?)?;
    Ok((StatusCode::CREATED, Json(Created { id })).into_response())
}

async fn load_status(State(control): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(control.loads.status(&control.switch, &id)?).into_response())
}

async fn set_level(State(control): Shared, Path(id): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    Ok(Json(control.loads.set_level(&control.switch, &id, read(&body)?)?).into_response())
}

async fn stop_load(State(control): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(Json(control.loads.stop(&control.switch, &id)?).into_response())
}

async fn switch_state(State(control): Shared) -> Response {
    let core = &control.switch.0;
    let (callers, pods) = core.legs_up();
    Json(SwitchState {
        paused_inbound: core.run_state.paused_inbound(),
        paused_outbound: core.run_state.paused_outbound(),
        shutting_down: core.run_state.stopping() != Stop::Run,
        calls: callers,
        channels: callers + 2 * pods,
        uptime_ms: core.run_state.started.elapsed().as_secs_f64() * 1e3,
    })
    .into_response()
}

async fn all_voices() -> Response {
    Json(VoiceList { voices: voices::all() }).into_response()
}
