//! `GET /debug/structures`: how much calls hold, to see what grows. Numbers only.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::{AdminParts, auth};
use crate::sessions::{PodEntries, SessionEntries};

#[derive(Serialize)]
pub(super) struct Structures {
    /// Permits that are out.
    permits: usize,
    /// Callers whose calls are counted.
    callers: usize,
    /// Sessions on the list.
    sessions: usize,
    #[serde(flatten)]
    pod: PodEntries,
    /// All calls together.
    total: SessionEntries,
    /// Each call by its id; at most as many as there are permits.
    calls: BTreeMap<String, SessionEntries>,
}

pub(super) async fn get_structures(State(parts): State<Arc<AdminParts>>, _: auth::Authorized) -> Json<Structures> {
    let calls: BTreeMap<String, SessionEntries> = parts.registry.entries().into_iter().collect();
    Json(Structures {
        permits: parts.admission.state().active,
        callers: parts.admission.callers(),
        sessions: calls.len(),
        pod: (parts.entries)(),
        total: calls.values().fold(SessionEntries::default(), |total, call| total.plus(*call)),
        calls,
    })
}
