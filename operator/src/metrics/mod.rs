//! The operator's figures for Prometheus: one registry, made once; its methods are named after what happened. Labels
//! are known beforehand, but for the names of VoiceTrunks, whose series go when they do.

pub mod observer;
mod process;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::controller::status::Problem;

/// Buckets of a reconciliation, in seconds: from one that writes nothing to one that waits for a slow API server.
const RECONCILE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// The trunk is as its spec asks for; something was written.
    Changed,
    /// The trunk is as its spec asks for; nothing had to be written.
    Unchanged,
    /// The trunk has a problem that only people can solve.
    Problem,
    /// It failed and is tried again.
    Failed,
}

impl ReconcileOutcome {
    const ALL: [Self; 4] = [Self::Changed, Self::Unchanged, Self::Problem, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Problem => "problem",
            Self::Failed => "failed",
        }
    }
}

/// What became of an object that was looked at in order to apply it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyResult {
    /// It was applied.
    Applied,
    /// It was no longer wanted and was deleted.
    Deleted,
    /// The request failed.
    Failed,
}

impl ApplyResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
        }
    }
}

/// How the drain of a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Its last call ended.
    Empty,
    /// The deadline passed with calls in progress, which the pod hands over.
    Deadline,
}

impl DrainEnd {
    const ALL: [Self; 2] = [Self::Empty, Self::Deadline];

    fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Deadline => "deadline",
        }
    }
}

/// The figures of one trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkFigures {
    /// Calls in progress.
    pub active: u32,
    /// Calls that its serving pods take at a time.
    pub capacity: u32,
    /// Pods that take calls.
    pub accepting: u32,
    /// Pods that work and take no further call.
    pub full: u32,
    /// Pods that end once their calls have.
    pub draining: u32,
    /// Pods that do not work, yet or any more.
    pub not_working: u32,
    /// FreeSWITCH's pods; none where it runs elsewhere.
    pub free_switch: Option<SwitchPods>,
}

/// FreeSWITCH's pods of one trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchPods {
    /// Pods that take calls.
    pub ready: u32,
    /// Pods that end once their calls have.
    pub draining: u32,
    /// Pods that do not work, yet or any more.
    pub not_ready: u32,
}

impl SwitchPods {
    fn by_state(&self) -> [(&'static str, u32); 3] {
        [("ready", self.ready), ("draining", self.draining), ("not_ready", self.not_ready)]
    }
}

/// What a trunk's FreeSWITCH said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchFigures {
    /// Its channels, if they are known.
    pub channels: Option<u32>,
    /// The most sessions that began in a second of the last five minutes, and how many may, if they are known.
    pub sessions_per_second: Option<(u32, u32)>,
    /// Its gateways by name, those that are known, and whether each is up.
    pub gateways: BTreeMap<String, bool>,
}

/// What a condition says: its type, its status, its reason.
pub type Said = [String; 3];

/// Labels of [`Metrics::conditions_are`]'s series.
const CONDITION_LABELS: [&str; 5] = ["namespace", "trunk", "type", "status", "reason"];

/// Every figure of the operator.
pub struct Metrics {
    registry: Registry,
    started: Instant,
    uptime: Gauge,
    memory: IntGauge,
    cpu: Gauge,
    reconciles: IntCounterVec,
    reconcile_errors: IntCounterVec,
    reconcile_seconds: Histogram,
    queue_depth: IntGauge,
    leader: IntGauge,
    applies: IntCounterVec,
    sessions_active: IntGaugeVec,
    sessions_capacity: IntGaugeVec,
    pods: IntGaugeVec,
    free_switch_pods: IntGaugeVec,
    conditions: IntGaugeVec,
    /// The series of `conditions` that there are, by namespace and trunk.
    said: Mutex<HashMap<(String, String), Vec<Said>>>,
    channels: IntGaugeVec,
    session_rate: IntGaugeVec,
    session_rate_limit: IntGaugeVec,
    gateways: IntGaugeVec,
    /// What [`Metrics::switch_is`] was last told, by namespace and trunk.
    switches: Mutex<HashMap<(String, String), SwitchFigures>>,
    looks_failed: IntCounter,
    watch_failures: IntCounterVec,
    scrape_failures: IntCounter,
    drains_started: IntCounter,
    drains: IntCounterVec,
}

impl Metrics {
    /// All figures at zero. Series with known labels exist from the start, so that a rate over the first event is not
    /// lost.
    pub fn new(now: Instant) -> Self {
        let registry = Registry::new();
        let r = &registry;
        gauges(r, "build_info", "1; the label tells the version.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let reconcile_seconds = HistogramOpts::new(name("reconcile_seconds"), "Time that reconciliations took.")
            .buckets(RECONCILE_SECONDS.to_vec());
        let trunk = &["namespace", "trunk"];
        let metrics = Self {
            started: now,
            uptime: gauge(r, "uptime_seconds", "Time since the process started."),
            memory: int_gauge(r, "memory_rss_bytes", "Resident memory of the process."),
            cpu: gauge(r, "cpu_seconds_total", "Processor time that the process used."),
            reconciles: counters(r, "reconciles_total", "Reconciliations, by how they ended.", &["outcome"]),
            reconcile_errors: counters(
                r,
                "reconcile_errors_total",
                "Reconciliations that met a problem, by the reason that the trunk's condition Degraded has.",
                &["reason"],
            ),
            reconcile_seconds: register(r, Histogram::with_opts(reconcile_seconds)),
            queue_depth: int_gauge(r, "queue_depth", "VoiceTrunks that wait to be reconciled."),
            leader: int_gauge(r, "leader", "1 while this replica does the work."),
            applies: counters(r, "applies_total", "Objects looked at in order to apply them.", &["kind", "result"]),
            sessions_active: gauges(r, "trunk_sessions_active", "Calls in progress, by trunk.", trunk),
            sessions_capacity: gauges(
                r,
                "trunk_sessions_capacity",
                "Calls that the pods which do not drain take at a time, by trunk.",
                trunk,
            ),
            pods: gauges(r, "trunk_pods", "Data-plane pods, by trunk and state.", &["namespace", "trunk", "state"]),
            free_switch_pods: gauges(
                r,
                "trunk_freeswitch_pods",
                "FreeSWITCH's pods, by trunk and state.",
                &["namespace", "trunk", "state"],
            ),
            conditions: gauges(r, "trunk_condition", "1: what a condition of a trunk says now.", &CONDITION_LABELS),
            said: Mutex::default(),
            channels: gauges(
                r,
                "trunk_freeswitch_channels",
                "Channels of FreeSWITCH, of which a call has three.",
                trunk,
            ),
            session_rate: gauges(
                r,
                "trunk_freeswitch_sessions_per_second",
                "Most sessions that a FreeSWITCH began in a second of the last five minutes.",
                trunk,
            ),
            session_rate_limit: gauges(
                r,
                "trunk_freeswitch_sessions_per_second_limit",
                "Sessions a second above which FreeSWITCH throttles.",
                trunk,
            ),
            gateways: gauges(
                r,
                "trunk_gateway_up",
                "1 while the gateway takes calls in every FreeSWITCH: registered where it registers, and answering.",
                &["namespace", "trunk", "gateway"],
            ),
            switches: Mutex::default(),
            looks_failed: counter(
                r,
                "freeswitch_looks_failed_total",
                "FreeSWITCHs that could not be asked for their gateways and channels.",
            ),
            watch_failures: counters(r, "watch_failures_total", "Watches that were interrupted.", &["kind"]),
            scrape_failures: counter(
                r,
                "scrape_failures_total",
                "Data-plane pods that could not be asked for their calls.",
            ),
            drains_started: counter(r, "drains_started_total", "Drains of data-plane pods that the operator began."),
            drains: counters(r, "drains_total", "Drains of data-plane pods that ended, by how they did.", &["end"]),
            registry,
        };
        for outcome in ReconcileOutcome::ALL {
            metrics.reconciles.with_label_values(&[outcome.as_str()]);
        }
        for reason in Problem::REASONS {
            metrics.reconcile_errors.with_label_values(&[reason]);
        }
        for end in DrainEnd::ALL {
            metrics.drains.with_label_values(&[end.as_str()]);
        }
        metrics
    }

    /// A reconciliation ended.
    pub fn reconciled(&self, outcome: ReconcileOutcome, took: Duration) {
        self.reconciles.with_label_values(&[outcome.as_str()]).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// A reconciliation met a problem; `reason` is [`Problem::reason`].
    pub fn problem_met(&self, reason: &str) {
        self.reconcile_errors.with_label_values(&[reason]).inc();
    }

    /// So many VoiceTrunks wait to be reconciled.
    pub fn queue_is(&self, depth: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// This replica does the work from now on, or no longer.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// An object of a kind, such as `Deployment`, was looked at.
    pub fn applied(&self, kind: &str, result: ApplyResult) {
        self.applies.with_label_values(&[kind, result.as_str()]).inc();
    }

    /// A trunk's figures are these.
    pub fn trunk_is(&self, namespace: &str, trunk: &str, figures: &TrunkFigures) {
        let labels = &[namespace, trunk];
        self.sessions_active.with_label_values(labels).set(figures.active.into());
        self.sessions_capacity.with_label_values(labels).set(figures.capacity.into());
        for (state, count) in figures.pods() {
            self.pods.with_label_values(&[namespace, trunk, state]).set(count.into());
        }
        for (state, count) in figures.free_switch.iter().flat_map(SwitchPods::by_state) {
            self.free_switch_pods.with_label_values(&[namespace, trunk, state]).set(count.into());
        }
    }

    /// The conditions of a trunk say this now.
    pub fn conditions_are(&self, namespace: &str, trunk: &str, now: Vec<Said>) {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.entry((namespace.to_owned(), trunk.to_owned())).or_default();
        if *before == now {
            return;
        }
        for [kind, status, reason] in before.iter().filter(|said| !now.contains(said)) {
            let _ = self.conditions.remove_label_values(&[namespace, trunk, kind, status, reason]);
        }
        for [kind, status, reason] in &now {
            self.conditions.with_label_values(&[namespace, trunk, kind, status, reason]).set(1);
        }
        *before = now;
    }

    /// A trunk's FreeSWITCH said this of itself. What is no longer known has no series.
    pub fn switch_is(&self, namespace: &str, trunk: &str, now: SwitchFigures) {
        let mut all = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.entry((namespace.to_owned(), trunk.to_owned())).or_default();
        if *before == now {
            return;
        }
        let labels = &[namespace, trunk];
        let tell = |gauge: &IntGaugeVec, value: Option<u32>| match value {
            Some(value) => gauge.with_label_values(labels).set(value.into()),
            None => drop(gauge.remove_label_values(labels)),
        };
        tell(&self.channels, now.channels);
        tell(&self.session_rate, now.sessions_per_second.map(|(rate, _)| rate));
        tell(&self.session_rate_limit, now.sessions_per_second.map(|(_, limit)| limit));
        for name in before.gateways.keys().filter(|name| !now.gateways.contains_key(*name)) {
            let _ = self.gateways.remove_label_values(&[namespace, trunk, name]);
        }
        for (name, up) in &now.gateways {
            self.gateways.with_label_values(&[namespace, trunk, name]).set((*up).into());
        }
        *before = now;
    }

    /// A FreeSWITCH could not be looked at.
    pub fn look_failed(&self) {
        self.looks_failed.inc();
    }

    /// A trunk is gone, and its series with it.
    pub fn trunk_is_gone(&self, namespace: &str, trunk: &str) {
        self.switch_is(namespace, trunk, SwitchFigures::default());
        self.conditions_are(namespace, trunk, Vec::new());
        let key = (namespace.to_owned(), trunk.to_owned());
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.switches.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        for (state, _) in SwitchPods::default().by_state() {
            let _ = self.free_switch_pods.remove_label_values(&[namespace, trunk, state]);
        }
        // What was never set can't be removed, which is as good.
        let _ = self.sessions_active.remove_label_values(&[namespace, trunk]);
        let _ = self.sessions_capacity.remove_label_values(&[namespace, trunk]);
        for (state, _) in TrunkFigures::default().pods() {
            let _ = self.pods.remove_label_values(&[namespace, trunk, state]);
        }
    }

    /// The watch of a kind, such as `deployments`, was interrupted.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_failures.with_label_values(&[kind]).inc();
    }

    /// A pod could not be asked for its calls.
    pub fn scrape_failed(&self) {
        self.scrape_failures.inc();
    }

    /// The operator asked a pod to drain for the first time.
    pub fn drain_began(&self) {
        self.drains_started.inc();
    }

    /// The drain of a pod ended.
    pub fn drain_ended(&self, end: DrainEnd) {
        self.drains.with_label_values(&[end.as_str()]).inc();
    }

    /// Everything in Prometheus' text format, those of the process as of now.
    ///
    /// # Errors
    /// When a figure can't be written as text, which none of these does.
    pub fn text(&self, now: Instant) -> Result<String, prometheus::Error> {
        self.uptime.set(now.saturating_duration_since(self.started).as_secs_f64());
        self.memory.set(i64::try_from(process::resident_bytes()).unwrap_or(i64::MAX));
        self.cpu.set(process::cpu_time().as_secs_f64());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl TrunkFigures {
    fn pods(&self) -> [(&'static str, u32); 4] {
        [
            ("accepting", self.accepting),
            ("full", self.full),
            ("draining", self.draining),
            ("not_working", self.not_working),
        ]
    }
}

fn name(name: &str) -> String {
    format!("sofia_operator_{name}")
}

/// Registers what was made from a constant name and constant labels.
fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("names and labels are constants and valid");
    registry.register(Box::new(collector.clone())).expect("every name is registered once");
    collector
}

fn counter(registry: &Registry, short: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name(short), help))
}

fn counters(registry: &Registry, short: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name(short), help), labels))
}

fn gauge(registry: &Registry, short: &str, help: &str) -> Gauge {
    register(registry, Gauge::new(name(short), help))
}

fn int_gauge(registry: &Registry, short: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name(short), help))
}

fn gauges(registry: &Registry, short: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name(short), help), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.text(metrics.started).expect("figures are text")
    }

    #[test]
    fn known_series_exist_before_anything_happened() {
        let text = text(&Metrics::new(Instant::now()));
        for line in [
            "sofia_operator_reconciles_total{outcome=\"failed\"} 0",
            "sofia_operator_reconcile_errors_total{reason=\"MissingSecret\"} 0",
            "sofia_operator_drains_total{end=\"deadline\"} 0",
            "sofia_operator_leader 0",
            "sofia_operator_queue_depth 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn what_happened_is_counted_under_its_labels() {
        let metrics = Metrics::new(Instant::now());
        metrics.reconciled(ReconcileOutcome::Changed, Duration::from_millis(20));
        metrics.problem_met("ApiError");
        metrics.applied("Deployment", ApplyResult::Applied);
        metrics.drain_began();
        metrics.drain_ended(DrainEnd::Empty);
        metrics.scrape_failed();
        metrics.leads(true);
        metrics.queue_is(7);
        let text = text(&metrics);
        for line in [
            "sofia_operator_reconciles_total{outcome=\"changed\"} 1",
            "sofia_operator_reconcile_seconds_bucket{le=\"0.025\"} 1",
            "sofia_operator_reconcile_seconds_bucket{le=\"0.01\"} 0",
            "sofia_operator_reconcile_errors_total{reason=\"ApiError\"} 1",
            "sofia_operator_applies_total{kind=\"Deployment\",result=\"applied\"} 1",
            "sofia_operator_drains_started_total 1",
            "sofia_operator_drains_total{end=\"empty\"} 1",
            "sofia_operator_scrape_failures_total 1",
            "sofia_operator_leader 1",
            "sofia_operator_queue_depth 7",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_deleted_trunk_leaves_no_series_and_takes_none_of_others() {
        let metrics = Metrics::new(Instant::now());
        let figures = TrunkFigures { active: 3, capacity: 200, accepting: 2, ..TrunkFigures::default() };
        metrics.trunk_is("voice", "main", &figures);
        metrics.trunk_is("voice", "other", &figures);
        let before = text(&metrics);
        assert!(
            before.contains("sofia_operator_trunk_sessions_active{namespace=\"voice\",trunk=\"main\"} 3"),
            "{before}"
        );
        assert!(
            before.contains("sofia_operator_trunk_pods{namespace=\"voice\",state=\"accepting\",trunk=\"main\"} 2"),
            "{before}"
        );
        metrics.trunk_is("voice", "main", &TrunkFigures { free_switch: Some(SwitchPods::default()), ..figures });
        metrics.conditions_are("voice", "main", vec![["Ready", "True", "TakesCalls"].map(str::to_owned)]);
        metrics.trunk_is_gone("voice", "main");
        metrics.trunk_is_gone("voice", "never-seen");
        let after = text(&metrics);
        assert!(!after.contains("trunk=\"main\""), "{after}");
        assert_eq!(after.matches("trunk=\"other\"").count(), 6, "{after}");
    }

    #[test]
    fn a_condition_is_told_as_it_is_now_and_no_other() {
        let metrics = Metrics::new(Instant::now());
        let series = |metrics: &Metrics| -> Vec<String> {
            let text = text(metrics);
            text.lines().filter(|line| line.starts_with("sofia_operator_trunk_condition{")).map(str::to_owned).collect()
        };
        let tell = |all: &[[&str; 3]]| {
            let all = all.iter().map(|said| said.map(str::to_owned)).collect();
            metrics.conditions_are("voice", "main", all);
        };
        tell(&[["Ready", "True", "TakesCalls"], ["Degraded", "False", "AllWell"]]);
        tell(&[["Ready", "False", "FreeSwitchNotReady"], ["Degraded", "False", "AllWell"]]);
        let label = |kind: &str, status: &str, reason: &str| {
            format!(
                "sofia_operator_trunk_condition{{namespace=\"voice\",reason=\"{reason}\",status=\"{status}\",trunk=\"main\",\
                 type=\"{kind}\"}} 1"
            )
        };
        let mut expected = vec![label("Degraded", "False", "AllWell"), label("Ready", "False", "FreeSwitchNotReady")];
        let mut found = series(&metrics);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn freeswitchs_pods_are_told_where_it_is_run_here() {
        let metrics = Metrics::new(Instant::now());
        metrics.trunk_is("voice", "external", &TrunkFigures::default());
        assert!(!text(&metrics).contains("trunk_freeswitch_pods{"));
        let pods = SwitchPods { ready: 0, draining: 1, not_ready: 2 };
        metrics.trunk_is("voice", "main", &TrunkFigures { free_switch: Some(pods), ..TrunkFigures::default() });
        let text = text(&metrics);
        for (state, count) in [("ready", 0), ("draining", 1), ("not_ready", 2)] {
            let line = format!(
                "sofia_operator_trunk_freeswitch_pods{{namespace=\"voice\",state=\"{state}\",trunk=\"main\"}} {count}"
            );
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn what_freeswitch_says_is_told_while_it_is_known() {
        let metrics = Metrics::new(Instant::now());
        let gateways = |all: &[(&str, bool)]| all.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect();
        let known = SwitchFigures {
            channels: Some(6),
            sessions_per_second: Some((4, 1000)),
            gateways: gateways(&[("carrier", true), ("pbx", false)]),
        };
        metrics.switch_is("voice", "main", known.clone());
        let told = text(&metrics);
        for line in [
            "sofia_operator_trunk_freeswitch_channels{namespace=\"voice\",trunk=\"main\"} 6",
            "sofia_operator_trunk_freeswitch_sessions_per_second{namespace=\"voice\",trunk=\"main\"} 4",
            "sofia_operator_trunk_freeswitch_sessions_per_second_limit{namespace=\"voice\",trunk=\"main\"} 1000",
            "sofia_operator_trunk_gateway_up{gateway=\"carrier\",namespace=\"voice\",trunk=\"main\"} 1",
            "sofia_operator_trunk_gateway_up{gateway=\"pbx\",namespace=\"voice\",trunk=\"main\"} 0",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        let one = SwitchFigures { channels: None, gateways: gateways(&[("carrier", false)]), ..known };
        metrics.switch_is("voice", "main", one);
        let told = text(&metrics);
        assert!(!told.contains("pbx") && !told.contains("freeswitch_channels{"), "{told}");
        metrics.trunk_is_gone("voice", "main");
        assert!(!text(&metrics).contains("trunk=\"main\""));
    }

    #[test]
    fn the_process_tells_its_age() {
        let metrics = Metrics::new(Instant::now());
        let later = metrics.started + Duration::from_secs(90);
        let text = metrics.text(later).expect("figures are text");
        assert!(text.contains("sofia_operator_uptime_seconds 90\n"), "{text}");
        assert!(text.contains(&format!("sofia_operator_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
    }
}
