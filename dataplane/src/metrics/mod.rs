//! The pod's figures for Prometheus: one registry, made once, every name and label value known beforehand. Never labels
//! by anything that comes from outside (numbers, paths, ids), so the number of series is bounded.
//!
//! Counters of events are pushed where they happen; states (sessions, circuits, health) are pulled at each scrape through
//! [`Metrics::at_scrape`]; media workers count in [`WorkerCounters`], which a scrape sums up.

mod labels;
mod process;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::backend::resilience::Adaptation;
pub use labels::{AudioFault, CircuitLevel, RequestPath, TurnStage};
use process::ProcessFigures;
pub(crate) use process::cpu_time;
use worker::WorkerCollector;
pub use worker::{PACING_BOUNDS_MS, PacingCounts, WorkerCounters};

/// Buckets of call set-up, in seconds: a set-up is a millisecond's work.
const SETUP_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Buckets of the stages of a turn, in seconds: from the engine's own work to a slow model.
const TURN_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0,
];
/// Buckets of a call's jitter, in seconds: half a frame of 20 ms up to what no buffer mends.
const JITTER_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2];
/// Buckets of a call's length, in seconds.
const SESSION_SECONDS: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];

type ScrapeHook = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Every figure of the pod.
pub struct Metrics {
    registry: Registry,
    started: Instant,
    process: Mutex<ProcessFigures>,
    hooks: Mutex<Vec<ScrapeHook>>,

    uptime: Gauge,
    memory: IntGauge,
    cpu: Gauge,
    http_requests: IntCounterVec,
    component_health: IntGaugeVec,

    /// `sofia_phone_sessions_active`: calls that the pod has; set at scrape from the permits.
    pub sessions_active: IntGauge,
    /// `sofia_phone_sessions_capacity`: calls that the pod takes.
    pub sessions_capacity: IntGauge,
    /// `sofia_phone_accepting`: 1 while the next call would find a permit.
    pub accepting: IntGauge,
    /// `sofia_phone_ready`: 1 while calls should be sent here.
    pub ready: IntGauge,
    /// `sofia_phone_draining`: 1 while the pod drains.
    pub draining: IntGauge,
    /// `sofia_phone_late`: 1 while no call is taken because packets leave late.
    pub late: IntGauge,
    /// `sofia_phone_busy`: 1 while no call is taken because one more would be too much for the cores.
    pub busy: IntGauge,
    /// `sofia_phone_media_load_ratio`: how busy the busiest of media workers and cores is.
    pub media_load: Gauge,
    /// `sofia_phone_media_missed_ratio`: the share of the packets that callers missed lately.
    pub media_missed: Gauge,
    /// `sofia_phone_media_lateness_seconds`: how late packets leave, as admission judges it.
    pub media_lateness: Gauge,
    sessions_ended: IntCounterVec,
    calls_refused: IntCounterVec,
    /// `sofia_phone_session_duration_seconds`: how long calls lasted.
    pub session_duration: Histogram,
    /// `sofia_phone_setup_seconds`: from the ESL connection to `answer` sent.
    pub setup: Histogram,

    turn_latency: HistogramVec,
    /// `sofia_phone_turns_total`: turns of callers that were answered.
    pub turns: IntCounter,
    /// `sofia_phone_barge_ins_total`: agent's speech cut by the caller.
    pub barge_ins: IntCounter,
    /// `sofia_phone_barge_in_false_alarms_total`: agent's speech paused and resumed, because nothing was said.
    pub barge_in_false_alarms: IntCounter,
    /// `sofia_phone_backchannels_total`: callers' signs over the agent that they listen; the agent went on.
    pub backchannels: IntCounter,
    /// `sofia_phone_apologies_total`: apologies played, because a backend failed.
    pub apologies: IntCounter,
    /// `sofia_phone_dtmf_received_total`: keys that callers pressed.
    pub dtmf_received: IntCounter,

    /// `sofia_phone_rtp_jitter_seconds`: interarrival jitter of a call (RFC 3550 §6.4.1), one observation a call at its end.
    pub rtp_jitter: Histogram,
    audio_faults: IntCounterVec,
    esl_errors: IntCounterVec,
    backend_errors: IntCounterVec,
    backend_retries: IntCounterVec,
    model_adaptations: IntCounterVec,
    circuit_state: IntGaugeVec,
    /// `sofia_phone_takeovers_total`: calls continued that another pod lost or handed over.
    pub takeovers: IntCounter,
    takeovers_failed: IntCounterVec,
    /// `sofia_phone_transfers_returned_total`: callers who came back to the agent, since their transfer failed.
    pub transfers_returned: IntCounter,
    /// `sofia_phone_handovers_total`: calls handed to other pods at the end of a drain.
    pub handovers: IntCounter,
    records: IntCounter,
    records_failed: IntCounter,
    /// `sofia_phone_log_lines_dropped_total`, set at scrape.
    log_lines_dropped: IntCounter,
}

impl Metrics {
    /// All figures at zero, `workers` summed up in the RTP ones. Series with known labels exist from the start, so that a
    /// rate over the first event is not lost.
    pub fn new(workers: Vec<Arc<WorkerCounters>>, now: Instant) -> Self {
        let registry = Registry::new();
        let r = &registry;
        register(r, WorkerCollector::new(workers));
        gauges(r, "sofia_phone_build_info", "1; the label tells the version.", "version")
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let metrics = Self {
            started: now,
            process: Mutex::new(ProcessFigures::new(now)),
            hooks: Mutex::new(Vec::new()),
            uptime: gauge(r, "sofia_phone_uptime_seconds", "Time since the process started."),
            memory: int_gauge(r, "sofia_phone_memory_rss_bytes", "Resident memory of the process."),
            cpu: gauge(
                r,
                "sofia_phone_cpu_percent",
                "Processor time of the process since the last scrape, in percent of one core.",
            ),
            http_requests: counters(
                r,
                "sofia_phone_http_requests_total",
                "Requests to the admin server.",
                &["path", "status"],
            ),
            component_health: gauges(
                r,
                "sofia_phone_component_health",
                "1: the component works; 0: it does not.",
                "component",
            ),
            sessions_active: int_gauge(r, "sofia_phone_sessions_active", "Calls in progress."),
            sessions_capacity: int_gauge(r, "sofia_phone_sessions_capacity", "Calls that the pod takes at a time."),
            accepting: int_gauge(r, "sofia_phone_accepting", "1 while the next call would be taken."),
            ready: int_gauge(r, "sofia_phone_ready", "1 while calls should be sent to the pod."),
            draining: int_gauge(r, "sofia_phone_draining", "1 while the pod drains."),
            late: int_gauge(r, "sofia_phone_late", "1 while no call is taken because callers miss packets."),
            busy: int_gauge(
                r,
                "sofia_phone_busy",
                "1 while no call is taken because one more would be too much for the cores.",
            ),
            media_load: gauge(
                r,
                "sofia_phone_media_load_ratio",
                "How busy the busiest of media workers and cores was over the last two seconds, 0 to 1.",
            ),
            media_missed: gauge(
                r,
                "sofia_phone_media_missed_ratio",
                "The share of the last five seconds' packets that callers missed, 0 to 1.",
            ),
            media_lateness: gauge(
                r,
                "sofia_phone_media_lateness_seconds",
                "How late packets leave: 99 % of them were in time for this, in the second-worst quarter of the last second.",
            ),
            sessions_ended: counters(
                r,
                "sofia_phone_sessions_total",
                "Calls that ended, by why they did.",
                &["outcome"],
            ),
            calls_refused: counters(r, "sofia_phone_calls_refused_total", "Calls not taken, by why.", &["reason"]),
            session_duration: histogram(
                r,
                "sofia_phone_session_duration_seconds",
                "How long calls lasted.",
                SESSION_SECONDS,
            ),
            setup: histogram(
                r,
                "sofia_phone_setup_seconds",
                "From the ESL connection to the answer sent.",
                SETUP_SECONDS,
            ),
            turn_latency: turn_latency(r),
            turns: counter(r, "sofia_phone_turns_total", "Turns of callers that were answered."),
            barge_ins: counter(r, "sofia_phone_barge_ins_total", "Interruptions of the agent by the caller."),
            barge_in_false_alarms: counter(
                r,
                "sofia_phone_barge_in_false_alarms_total",
                "Interruptions in which nothing was said; the agent went on.",
            ),
            backchannels: counter(
                r,
                "sofia_phone_backchannels_total",
                "Signs over the agent that the caller listens (mm-hmm, ok); the agent went on.",
            ),
            apologies: counter(r, "sofia_phone_apologies_total", "Apologies played because a backend failed."),
            dtmf_received: counter(r, "sofia_phone_dtmf_received_total", "Keys that callers pressed."),
            rtp_jitter: histogram(
                r,
                "sofia_phone_rtp_jitter_seconds",
                "Interarrival jitter of a call.",
                JITTER_SECONDS,
            ),
            audio_faults: counters(r, "sofia_phone_audio_faults_total", "Calls whose audio had the fault.", &["fault"]),
            esl_errors: counters(r, "sofia_phone_esl_errors_total", "ESL connections that failed, by how.", &["kind"]),
            backend_errors: counters(
                r,
                "sofia_phone_backend_errors_total",
                "Backend calls that failed after their retries.",
                &["stage", "kind"],
            ),
            backend_retries: counters(
                r,
                "sofia_phone_backend_retries_total",
                "Backend attempts that failed and were repeated.",
                &["stage"],
            ),
            model_adaptations: counters(
                r,
                "sofia_phone_model_adaptations_total",
                "Turns in which the language model was asked otherwise than was meant first, by how.",
                &["how"],
            ),
            circuit_state: gauges(
                r,
                "sofia_phone_circuit_state",
                "State of the backend's circuit. 0: closed, 1: half open, 2: open.",
                "stage",
            ),
            takeovers: counter(
                r,
                "sofia_phone_takeovers_total",
                "Calls continued that another pod lost or handed over.",
            ),
            takeovers_failed: counters(
                r,
                "sofia_phone_takeovers_failed_total",
                "Calls begun anew, since what the pod before had kept could not be read, by why.",
                &["reason"],
            ),
            transfers_returned: counter(
                r,
                "sofia_phone_transfers_returned_total",
                "Callers who came back to the agent, since their transfer failed. Not among the takeovers.",
            ),
            handovers: counter(r, "sofia_phone_handovers_total", "Calls handed over to other pods."),
            records: counter(r, "sofia_phone_records_total", "Call records delivered."),
            records_failed: counter(r, "sofia_phone_records_failed_total", "Call records that could not be delivered."),
            log_lines_dropped: counter(r, "sofia_phone_log_lines_dropped_total", "Log lines that were not written."),
            registry,
        };
        metrics.touch_known_series();
        metrics
    }

    fn touch_known_series(&self) {
        for reason in crate::sessions::Refusal::ALL {
            self.calls_refused.with_label_values(&[reason.as_str()]);
        }
        for reason in crate::call::state::UNREAD {
            self.takeovers_failed.with_label_values(&[reason]);
        }
        for stage in TurnStage::ALL {
            self.turn_latency.with_label_values(&[stage.as_str()]);
        }
        for fault in AudioFault::ALL {
            self.audio_faults.with_label_values(&[fault.as_str()]);
        }
        for how in Adaptation::ALL {
            self.model_adaptations.with_label_values(&[how.as_str()]);
        }
        for path in RequestPath::ALL {
            self.http_requests.with_label_values(&[path.as_str(), "200"]);
        }
    }

    /// Runs `hook` before each scrape, to bring states up to date. It shall take no time and not scrape.
    pub fn at_scrape(&self, hook: impl Fn(&Self) + Send + Sync + 'static) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// A call of another pod was begun anew, since what that had kept could not be read. `reason` is a word of the program's.
    pub fn takeover_failed(&self, reason: &'static str) {
        self.takeovers_failed.with_label_values(&[reason]).inc();
    }

    /// A call ended. `outcome` is a word of the program's, such as `caller_hung_up`; never text from outside.
    pub fn session_ended(&self, outcome: &'static str, duration: Duration) {
        self.sessions_ended.with_label_values(&[outcome]).inc();
        self.session_duration.observe(duration.as_secs_f64());
    }

    /// A call was not taken.
    pub fn call_refused(&self, reason: crate::sessions::Refusal) {
        self.calls_refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// A call was not taken for a reason that admission does not know, such as an offer without a usable codec.
    pub fn call_refused_for(&self, reason: &'static str) {
        self.calls_refused.with_label_values(&[reason]).inc();
    }

    /// A stage of a turn took so long.
    pub fn turn_stage(&self, stage: TurnStage, took: Duration) {
        self.turn_latency.with_label_values(&[stage.as_str()]).observe(took.as_secs_f64());
    }

    /// A call's audio had a fault; once a call and fault.
    pub fn audio_fault(&self, fault: AudioFault) {
        self.audio_faults.with_label_values(&[fault.as_str()]).inc();
    }

    /// An ESL connection failed; `kind` is a word of the program's.
    pub fn esl_error(&self, kind: &'static str) {
        self.esl_errors.with_label_values(&[kind]).inc();
    }

    /// A backend call failed after its retries; both are words of the program's.
    pub fn backend_error(&self, stage: &'static str, kind: &'static str) {
        self.backend_errors.with_label_values(&[stage, kind]).inc();
    }

    /// A backend attempt failed and is repeated.
    pub fn backend_retry(&self, stage: &'static str) {
        self.backend_retries.with_label_values(&[stage]).inc();
    }

    /// The language model was asked otherwise than was meant first.
    pub fn model_adapted(&self, how: Adaptation) {
        self.model_adaptations.with_label_values(&[how.as_str()]).inc();
    }

    /// The state of a stage's circuit.
    pub fn set_circuit(&self, stage: &'static str, level: CircuitLevel) {
        self.circuit_state.with_label_values(&[stage]).set(level as i64);
    }

    /// Whether a component works. `component` is a name of the program's.
    pub fn set_component_health(&self, component: &str, healthy: bool) {
        self.component_health.with_label_values(&[component]).set(i64::from(healthy));
    }

    /// The log lines dropped since the start; a lower count than before is ignored.
    pub fn set_log_lines_dropped(&self, count: u64) {
        self.log_lines_dropped.inc_by(count.saturating_sub(self.log_lines_dropped.get()));
    }

    /// The call records delivered and lost since the start; lower counts than before are ignored.
    pub fn set_records(&self, delivered: u64, failed: u64) {
        self.records.inc_by(delivered.saturating_sub(self.records.get()));
        self.records_failed.inc_by(failed.saturating_sub(self.records_failed.get()));
    }

    /// The admin server answered a request.
    pub fn http_request(&self, path: RequestPath, status: u16) {
        let mut digits = [0; 3];
        self.http_requests.with_label_values(&[path.as_str(), three_digits(status, &mut digits)]).inc();
    }

    /// Time since the process started.
    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Everything, in the text format of Prometheus 0.0.4.
    pub fn scrape(&self, now: Instant) -> String {
        for hook in self.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook(self);
        }
        self.uptime.set(self.uptime(now).as_secs_f64());
        {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            self.memory.set(i64::try_from(process::resident_bytes()).unwrap_or(i64::MAX));
            self.cpu.set(process.cpu_percent(now));
        }
        let mut text = String::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .expect("the encoder fails only at families without samples, which gather leaves out");
        text
    }
}

fn three_digits(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, place) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / place % 10).expect("a digit");
    }
    std::str::from_utf8(digits).expect("digits are ASCII")
}

/// Names and labels are constants of this module, so that what `prometheus` refuses would be refused in every test.
const CONSTANT: &str = "metric names and labels are constants, valid and used once";

fn register<C: Collector + 'static>(registry: &Registry, collector: C) {
    registry.register(Box::new(collector)).expect(CONSTANT);
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect(CONSTANT);
    register(registry, collector.clone());
    collector
}

fn gauge(r: &Registry, name: &str, help: &str) -> Gauge {
    registered(r, Gauge::new(name, help))
}

fn int_gauge(r: &Registry, name: &str, help: &str) -> IntGauge {
    registered(r, IntGauge::new(name, help))
}

fn gauges(r: &Registry, name: &str, help: &str, label: &str) -> IntGaugeVec {
    registered(r, IntGaugeVec::new(Opts::new(name, help), &[label]))
}

fn counter(r: &Registry, name: &str, help: &str) -> IntCounter {
    registered(r, IntCounter::new(name, help))
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(r, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histogram(r: &Registry, name: &str, help: &str, bounds: &[f64]) -> Histogram {
    registered(r, Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec())))
}

fn turn_latency(r: &Registry) -> HistogramVec {
    let opts = HistogramOpts::new("sofia_phone_turn_latency_seconds", "How long the stages of turns took.");
    registered(r, HistogramVec::new(opts.buckets(TURN_SECONDS.to_vec()), &["stage"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::Ordering;

    fn metrics() -> Metrics {
        Metrics::new(vec![], Instant::now())
    }

    #[test]
    fn the_names_that_users_know_are_there() {
        let metrics = metrics();
        metrics.set_component_health("media-0", true);
        metrics.set_circuit("generate", CircuitLevel::Open);
        metrics.session_ended("caller_hung_up", Duration::from_secs(61));
        metrics.backend_error("speak", "timeout");
        metrics.http_request(RequestPath::Ready, 503);
        metrics.turn_stage(TurnStage::Total, Duration::from_millis(700));
        let text = metrics.scrape(Instant::now());
        for line in [
            "sofia_phone_uptime_seconds ",
            "sofia_phone_memory_rss_bytes ",
            "sofia_phone_cpu_percent ",
            "sofia_phone_http_requests_total{path=\"/ready\",status=\"503\"} 1",
            "sofia_phone_component_health{component=\"media-0\"} 1",
            "sofia_phone_sessions_active 0",
            "sofia_phone_sessions_capacity 0",
            "sofia_phone_sessions_total{outcome=\"caller_hung_up\"} 1",
            "sofia_phone_calls_refused_total{reason=\"full\"} 0",
            "sofia_phone_turn_latency_seconds_bucket{stage=\"total\",le=\"0.75\"} 1",
            "sofia_phone_turn_latency_seconds_count{stage=\"transcribe\"} 0",
            "sofia_phone_setup_seconds_count 0",
            "sofia_phone_barge_ins_total 0",
            "sofia_phone_barge_in_false_alarms_total 0",
            "sofia_phone_backchannels_total 0",
            "sofia_phone_backend_errors_total{kind=\"timeout\",stage=\"speak\"} 1",
            "sofia_phone_circuit_state{stage=\"generate\"} 2",
            "sofia_phone_takeovers_total 0",
            "sofia_phone_handovers_total 0",
            "sofia_phone_records_failed_total 0",
            "sofia_phone_rtp_packets_received_total 0",
            "sofia_phone_rtp_jitter_seconds_count 0",
        ] {
            assert!(text.lines().any(|written| written.starts_with(line)), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn every_family_has_a_name_of_ours_a_unit_or_total_where_due_and_a_help_text() {
        let text = metrics().scrape(Instant::now());
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().expect("name"), words.next().expect("type"));
            assert!(name.starts_with("sofia_phone_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }

    #[test]
    fn states_are_brought_up_to_date_by_each_scrape() {
        let metrics = metrics();
        let calls = Arc::new(std::sync::atomic::AtomicI64::new(3));
        metrics.at_scrape({
            let calls = Arc::clone(&calls);
            move |metrics| metrics.sessions_active.set(calls.load(Ordering::Relaxed))
        });
        assert!(metrics.scrape(Instant::now()).contains("\nsofia_phone_sessions_active 3\n"));
        calls.store(1, Ordering::Relaxed);
        assert!(metrics.scrape(Instant::now()).contains("\nsofia_phone_sessions_active 1\n"));
    }

    #[test]
    fn dropped_log_lines_only_ever_grow() {
        let metrics = metrics();
        metrics.set_log_lines_dropped(5);
        metrics.set_log_lines_dropped(2);
        assert!(metrics.scrape(Instant::now()).contains("\nsofia_phone_log_lines_dropped_total 5\n"));
    }

    #[test]
    fn uptime_counts_from_the_start() {
        let start = Instant::now();
        let metrics = Metrics::new(vec![], start);
        let text = metrics.scrape(start + Duration::from_secs(90));
        assert!(text.contains("\nsofia_phone_uptime_seconds 90\n"));
    }
}
