//! Calls that come at a rate: how soon the data plane answers, by its own histogram and as the switch sees it.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Run;
use super::callers::{self, Called, Sum};
use super::engine::Engine;
use super::figures::{Buckets, bound};
use super::load::TAKES_ALL;
use crate::timing::quantile;

/// For so long calls come.
const LONG: Duration = Duration::from_secs(8);
/// So long each lasts: a quarter of the goal's calls are up at a time.
const CALL: Duration = Duration::from_millis(1_500);

/// What one rate taught.
pub(super) struct Setups {
    pub(super) rate: usize,
    /// From the ESL connection to the answer sent, by the data plane.
    pub(super) own: Buckets,
    sum: Sum,
    generator_lateness_p99_ms: f64,
}

/// Calls at `rate` a second on a data plane of their own.
pub(super) async fn measure(run: &Run, rate: usize) -> Result<Setups> {
    let engine = Engine::start(&run.binary, run.core, rate * 4 + 100, TAKES_ALL)?;
    let switch = callers::switch(&[&engine.esl])?;
    callers::short(switch.clone(), 0, Duration::from_secs(1)).await;
    let name = "sofia_phone_setup_seconds";
    let before = engine.metrics()?.histogram(name);
    let count = rate * LONG.as_secs() as usize;
    let mut calls = JoinSet::new();
    let start = Instant::now();
    for at in 0..count {
        sleep_until(start + LONG.mul_f64(at as f64 / count as f64)).await;
        calls.spawn(callers::short(switch.clone(), at + 1, CALL));
    }
    let mut sum = Sum::default();
    for outcome in calls.join_all().await {
        sum.add(Called { outcome, talked_over: Vec::new() });
    }
    let own = engine.metrics()?.histogram(name).since(&before);
    switch.settled().await;
    Ok(Setups { rate, own, sum, generator_lateness_p99_ms: switch.pump_report().lateness.p99_ms })
}

impl Setups {
    /// What the table's columns are.
    pub(super) const HEAD: [&str; 6] = [
        "calls a second",
        "calls",
        "own p50 / p99 ms",
        "seen by the switch p50 / p99 ms",
        "load's lateness p99 ms",
        "remarks",
    ];

    /// One row of the table.
    pub(super) fn cells(&self) -> Vec<String> {
        let seen = |at| quantile(&mut self.sum.setup_ms.clone(), at);
        let trouble = self.sum.trouble();
        vec![
            self.rate.to_string(),
            format!("{:.0}", self.own.count()),
            format!("{} / {}", bound(self.own.bound_ms(0.5)), bound(self.own.bound_ms(0.99))),
            format!("{:.2} / {:.2}", seen(0.5), seen(0.99)),
            format!("{:.2}", self.generator_lateness_p99_ms),
            if trouble.is_empty() { "all answered".to_owned() } else { trouble },
        ]
    }
}
