//! A long run at a load that the pod is to hold for good: calls of every kind come and go, a second pod is killed again and again
//! and its calls are taken over, and nothing may grow. Prints a line for each sample and ends with a verdict.

mod calls;
mod verdict;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use switchsim::{CallHandle, CallPlan, Switch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::calls::{Caller, Tally};
use self::verdict::{Course, Sample, Verdict};
use super::callers;
use super::engine::Engine;
use super::figures::{Buckets, Metrics};
use super::load::PACING;
use crate::machine::{self, Usage, stolen};

/// What a pod logs when it takes no calls because its packets leave late.
const LATE: &str = "packets leave late: no new calls until they leave in time; calls in progress go on";
/// Lines that a run prints.
const SAMPLES: u32 = 30;
/// Fewer and farther between than this a sample says little.
const SHORTEST: Duration = Duration::from_secs(5);
/// The share of calls that the pod has that is killed.
const ON_THE_OTHER: usize = 10;
/// So often it is killed, and so long it stays away.
const KILLS: u32 = 8;
const AWAY: Duration = Duration::from_secs(3);
/// How often the first call is tried.
const TRIES: usize = 30;
/// Callers who say nothing are hung up on within a moment; everything else is as a user has it who sets nothing.
const SETTINGS: &[(&str, &str)] =
    &[("SILENCE_SECONDS", "4"), ("MAX_SILENCE_PROMPTS", "1"), ("SESSION_TIMEOUT", "1440")];

/// What to run.
pub(crate) struct Soak {
    /// The data plane, built for release.
    pub(crate) binary: PathBuf,
    /// Its core.
    pub(crate) core: usize,
    /// How long.
    pub(crate) length: Duration,
    /// Calls at a time.
    pub(crate) calls: usize,
}

/// Runs it; whether all was well is the verdict's to say. The calling thread is on the load's core.
pub(crate) fn run(soak: &Soak) -> Result<bool> {
    machine::raise_descriptor_limit();
    super::runtime()?.block_on(soaked(soak))
}

async fn soaked(soak: &Soak) -> Result<bool> {
    let clips = callers::clips()?;
    let others = (soak.calls / ON_THE_OTHER).max(1);
    // The pod that stays can take everybody, as it must when the other is away.
    let stays = Engine::start(&soak.binary, soak.core, soak.calls * 2, SETTINGS)?;
    let mut goes = Engine::start(&soak.binary, soak.core, others, SETTINGS)?;
    let other_address = goes.esl.clone();
    let switch = callers::switch(&[&goes.esl, &stays.esl])?;
    let only = callers::switch(&[&stays.esl])?;
    // What is made once is made by the first calls.
    for number in 0..3 {
        callers::short(only.clone(), number, Duration::from_secs(1)).await;
    }
    only.settled().await;
    sleep(Duration::from_secs(1)).await;
    let idle = stays.usage()?;

    let steady = steady_call(&only).await?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let start = Instant::now();
    let end = start + soak.length;
    let mut callers = JoinSet::new();
    // Nobody hangs up on cue with the others: they come within ten seconds and stay for different times.
    for slot in 0..soak.calls {
        let caller = Caller { switch: switch.clone(), clips: clips.clone(), tally: Arc::clone(&tally), end };
        let first = start + Duration::from_secs(10).mul_f64(slot as f64 / soak.calls as f64);
        callers.spawn(async move {
            sleep_until(first).await;
            caller.keeps_calling(slot).await;
        });
    }

    println!("{}", Sample::HEAD);
    let interval = (soak.length / SAMPLES).max(SHORTEST);
    let mut kills = tokio::time::interval_at(start + soak.length / (KILLS + 1), soak.length / (KILLS + 1));
    let mut course = Course::default();
    let mut seen = Seen::new(&stays, soak.core)?;
    let mut next = start + interval;
    while Instant::now() < end {
        tokio::select! {
            () = sleep_until(next.min(end)) => {
                let sample = seen.sample(&stays, &steady, start, &tally)?;
                println!("{}", course.add(sample));
                next += interval;
            }
            _ = kills.tick(), if course.kills < KILLS as usize => {
                goes.kill();
                course.kills += 1;
                sleep(AWAY).await;
                let port = other_address.rsplit_once(':').context("an address has a port")?.1;
                let settings: Vec<_> = SETTINGS.iter().copied().chain([("ESL_PORT", port)]).collect();
                goes = Engine::start(&soak.binary, soak.core, others, &settings)?;
            }
        }
    }
    callers.join_all().await;
    steady.hang_up();
    let steady = steady.outcome().await;
    switch.settled().await;
    only.settled().await;
    sleep(Duration::from_secs(3)).await;
    let (metrics, left) = (stays.metrics()?, stays.usage()?);
    course.late = stays.logged(LATE).len();
    let generator = switch.pump_report();
    let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    let verdict = Verdict::of(&course, &tally, &steady, (&idle, &left), &metrics);
    println!("\n{tally}");
    println!(
        "the load's own lateness p50 / p99: {:.2} / {:.2} ms",
        generator.lateness.p50_ms, generator.lateness.p99_ms
    );
    print!("{verdict}");
    Ok(verdict.is_well())
}

/// A call for the whole run. The echo test asks nobody whether they are still there.
async fn steady_call(switch: &Switch) -> Result<CallHandle> {
    for _ in 0..TRIES {
        let call = switch.dial(CallPlan::new(calls::ECHO).from("+15550000000").deaf());
        if call.answered(Duration::from_secs(5)).await.is_ok() {
            return Ok(call);
        }
        sleep(Duration::from_secs(1)).await;
    }
    bail!("expected a pod that takes the first call, but it refuses for {TRIES} s: is the machine quiet?")
}

/// What was known at the last sample.
struct Seen {
    core: usize,
    metrics: Metrics,
    cpu: Duration,
    stolen: Duration,
    at: Instant,
}

impl Seen {
    fn new(engine: &Engine, core: usize) -> Result<Self> {
        Ok(Self {
            core,
            metrics: engine.metrics()?,
            cpu: engine.usage()?.cpu(),
            stolen: stolen(core),
            at: Instant::now(),
        })
    }

    fn sample(&mut self, engine: &Engine, steady: &CallHandle, start: Instant, tally: &Mutex<Tally>) -> Result<Sample> {
        let (metrics, usage, now) = (engine.metrics()?, engine.usage()?, Instant::now());
        let stolen = stolen(self.core);
        let since = |name: &str| metrics.value(name) - self.metrics.value(name);
        let pacing: Buckets = metrics.histogram(PACING).since(&self.metrics.histogram(PACING));
        let Usage { rss_bytes, ref threads, descriptors, .. } = usage;
        let sample = Sample {
            at: now - start,
            calls: metrics.value("sofia_phone_sessions_active") as usize,
            core_percent: usage.cpu().saturating_sub(self.cpu).as_secs_f64() / (now - self.at).as_secs_f64() * 100.0,
            rss_mb: rss_bytes as f64 / 1e6,
            descriptors,
            threads: threads.len(),
            pacing_p99_ms: pacing.bound_ms(0.99),
            lateness_ms: metrics.value("sofia_phone_media_lateness_seconds") * 1e3,
            overruns: since("sofia_phone_media_overruns_total") as u64,
            stolen_ms: stolen.saturating_sub(self.stolen).as_millis() as u64,
            lost: tally.lock().unwrap_or_else(PoisonError::into_inner).lost,
            steady_packets: steady.snapshot().packets_received,
        };
        (self.metrics, self.cpu, self.stolen, self.at) = (metrics, usage.cpu(), stolen, now);
        Ok(sample)
    }
}
