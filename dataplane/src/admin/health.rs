//! Liveness: whether the parts of the pod still run. Restarts nothing itself; a failed vital part makes `/health` fail, and
//! Kubernetes restarts the pod.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::metrics::WorkerCounters;

/// A media worker beats every few milliseconds; one that was silent for this long does nothing for its calls any more.
const WORKER_SILENCE: Duration = Duration::from_secs(5);

/// The calls' tasks are looked after every second; where that did not happen for so long, none of them gets on. Long enough for a process
/// that was stopped, or a machine that was, to come back.
const TASKS_SILENCE: Duration = Duration::from_secs(30);

type Check = Box<dyn Fn(Instant) -> Result<(), String> + Send + Sync>;

struct Component {
    name: String,
    vital: bool,
    check: Check,
}

/// The parts that are watched. Their names become label values, so they come from the program alone.
#[derive(Default)]
pub struct Health {
    components: Mutex<Vec<Component>>,
}

/// A part that says itself how it is.
#[derive(Clone)]
pub struct ComponentFlag(Arc<AtomicBool>);

impl ComponentFlag {
    /// Says whether the part works.
    pub fn set(&self, healthy: bool) {
        self.0.store(healthy, Ordering::Release);
    }
}

/// A part that has to say again and again that it lives.
#[derive(Clone)]
pub struct Heart(Arc<Beats>);

struct Beats {
    epoch: Instant,
    last_ms: AtomicU64,
}

impl Heart {
    /// Says that the part lives at `now`.
    pub fn beat(&self, now: Instant) {
        self.0.last_ms.store(self.milliseconds(now), Ordering::Release);
    }

    fn silent_for(&self, now: Instant) -> Duration {
        Duration::from_millis(self.milliseconds(now).saturating_sub(self.0.last_ms.load(Ordering::Acquire)))
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Whether it works.
    pub healthy: bool,
    /// Whether the pod is of no use without it.
    pub vital: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How all parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether every vital part works.
    pub alive: bool,
    /// The parts by name.
    pub components: BTreeMap<String, ComponentReport>,
}

impl Health {
    /// Nothing watched yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches a part by asking it. Without a `vital` part the pod is of no use and shall be restarted; a restart must be
    /// able to help, so what lies outside the pod is never vital. `check` shall take no time; its error says what is wrong.
    pub fn watch(
        &self,
        name: impl Into<String>,
        vital: bool,
        check: impl Fn(Instant) -> Result<(), String> + Send + Sync + 'static,
    ) {
        let component = Component { name: name.into(), vital, check: Box::new(check) };
        self.components.lock().unwrap_or_else(PoisonError::into_inner).push(component);
    }

    /// Watches a part that tells by itself; it counts as working until it says otherwise.
    pub fn flag(&self, name: impl Into<String>, vital: bool) -> ComponentFlag {
        let flag = ComponentFlag(Arc::new(AtomicBool::new(true)));
        let watched = flag.clone();
        self.watch(name, vital, move |_| {
            if watched.0.load(Ordering::Acquire) { Ok(()) } else { Err("reported as not working".to_owned()) }
        });
        flag
    }

    /// Watches media worker `index` by its heartbeat, as `media-<index>`.
    pub fn watch_worker(&self, index: usize, counters: Arc<WorkerCounters>) {
        self.watch(format!("media-{index}"), true, move |now| match counters.silent_for(now) {
            silence if silence < WORKER_SILENCE => Ok(()),
            silence => Err(format!("no sign of life for {} s", silence.as_secs())),
        });
    }

    /// Watches the calls' tasks as `tasks`, by a beat that one of them gives every second: what answers probes runs apart from them, and must
    /// not be alive for them.
    pub fn watch_tasks(&self, now: Instant) -> Heart {
        let heart = Heart(Arc::new(Beats { epoch: now, last_ms: AtomicU64::new(0) }));
        let watched = heart.clone();
        self.watch("tasks", true, move |now| match watched.silent_for(now) {
            silence if silence < TASKS_SILENCE => Ok(()),
            silence => Err(format!("no sign of life for {} s", silence.as_secs())),
        });
        heart
    }

    /// Asks every part.
    pub fn report(&self, now: Instant) -> HealthReport {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let components: BTreeMap<_, _> = components
            .iter()
            .map(|component| {
                let problem = (component.check)(now).err();
                let report = ComponentReport { healthy: problem.is_none(), vital: component.vital, problem };
                (component.name.clone(), report)
            })
            .collect();
        HealthReport { alive: components.values().all(|report| report.healthy || !report.vital), components }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_nothing_moves_make_the_pod_not_alive_and_a_moment_of_it_does_not() {
        let health = Health::new();
        let start = Instant::now();
        let heart = health.watch_tasks(start);
        heart.beat(start + Duration::from_secs(100));
        assert!(health.report(start + Duration::from_secs(110)).alive);
        let report = health.report(start + Duration::from_secs(131));
        assert!(!report.alive);
        assert_eq!(report.components["tasks"].problem.as_deref(), Some("no sign of life for 31 s"));
    }

    #[test]
    fn a_worker_that_hangs_makes_the_pod_not_alive() {
        let health = Health::new();
        let counters = Arc::new(WorkerCounters::new());
        health.watch_worker(0, Arc::clone(&counters));
        counters.beat();
        let now = Instant::now();
        assert!(health.report(now).alive);
        let report = health.report(now + WORKER_SILENCE + Duration::from_secs(1));
        assert!(!report.alive);
        let problem = report.components["media-0"].problem.as_deref();
        assert!(problem.is_some_and(|problem| problem.starts_with("no sign of life for ")), "{problem:?}");
    }

    #[test]
    fn what_a_restart_does_not_mend_does_not_ask_for_one() {
        let health = Health::new();
        let backend = health.flag("backend", false);
        let listener = health.flag("esl", true);
        backend.set(false);
        let report = health.report(Instant::now());
        assert!(report.alive && !report.components["backend"].healthy);
        listener.set(false);
        assert!(!health.report(Instant::now()).alive);
        listener.set(true);
        backend.set(true);
        assert!(health.report(Instant::now()).alive);
    }
}
