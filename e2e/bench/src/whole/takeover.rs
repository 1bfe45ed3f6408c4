//! A pod dies in the middle of its calls: how long the callers hear nothing until another pod goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use switchsim::Clip;

use super::Run;
use super::callers::{self, Crowd};
use super::engine::Engine;
use super::load::TAKES_ALL;
use crate::timing::quantile;

const CALLS: usize = 50;

/// What became of the calls.
pub(super) struct Takeover {
    pub(super) calls: usize,
    /// Calls that another pod went on with.
    pub(super) continued: usize,
    pub(super) silence_p50_ms: f64,
    pub(super) silence_p95_ms: f64,
}

/// Two pods, one of which is killed.
pub(super) async fn measure(run: &Run, clips: &Arc<[Clip]>) -> Result<Takeover> {
    let mut first = Engine::start(&run.binary, run.core, CALLS * 2, TAKES_ALL)?;
    let second = Engine::start(&run.binary, run.core, CALLS * 2, TAKES_ALL)?;
    let switch = callers::switch(&[&first.esl, &second.esl])?;
    let crowd = Crowd::dial(&switch, clips, CALLS, 25.0, Duration::from_secs(20), 0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    first.kill();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut sum = crowd.hang_up().await;
    switch.settled().await;
    Ok(Takeover {
        calls: CALLS,
        continued: sum.legs.iter().filter(|legs| **legs == 2).count().saturating_sub(sum.cut),
        silence_p50_ms: quantile(&mut sum.longest_gap_ms, 0.5),
        silence_p95_ms: quantile(&mut sum.longest_gap_ms, 0.95),
    })
}
