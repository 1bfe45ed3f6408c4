//! The HTTP API through which a test places callers in a pod where this stand-in takes FreeSWITCH's place, and its
//! [`Client`]. It is for tests alone: whoever reaches it may call anybody, so nothing secret passes through it, and a real
//! FreeSWITCH has nothing like it.
//!
//! Bodies are JSON (64 KiB at most), unknown fields are refused, errors are `{"error": "…"}` with a 4xx status. Times are
//! milliseconds where a name ends in `_ms`. An id of a call is leg A's, `X-Call-UUID`: pods' records and logs have the same.
//!
//! # Calls
//!
//! `POST /calls` places one caller ([`NewCall`]); only `to` is needed. Steps are lines as scripts have them
//! ([`CallPlan::script`]), with the voices that the binary carries; without steps the caller listens until somebody hangs up.
//!
//! ```json
//! {
//!   "to": "15550100",
//!   "from": "+15550001",
//!   "name": "Ann",
//!   "context": "edge",
//!   "network_addr": "203.0.113.7",
//!   "script": ["wait-for-agent", "say go_forward", "wait-for-agent", "wait-for-attempt 2", "dtmf 12#", "hangup"],
//!   "impairments": {"loss": 0.05, "jitter_ms": 60, "reorder": 0.02, "duplicate": 0.01, "clock_drift_ppm": 150, "seed": 7},
//!   "record": true,
//!   "step_timeout_ms": 30000,
//!   "answer_timeout_ms": 30000
//! }
//! ```
//!
//! Answer: `201` with `{"id": "0f9c…"}`.
//!
//! `GET /calls/{id}` tells how it is ([`CallStatus`]): while `state` is `running`, `now` is what a test would wait for
//! ([`Snapshot`]); once it is `ended`, `report` is the whole call ([`CallOutcome`]), and `now` is `null`.
//!
//! ```json
//! {
//!   "id": "0f9c…", "state": "running", "to": "15550100", "from": "+15550001",
//!   "now": {
//!     "at_ms": 2310.4, "progress": "answered", "answered": true, "packets_received": 101, "agent_speaks": true,
//!     "agent_quiet_ms": 12.1, "agent_speech": [{"start_ms": 210.0, "end_ms": 2290.0}], "digits": "",
//!     "longest_gap_ms": 21.3, "gaps": [{"at_ms": 900.0, "ms": 130.2}],
//!     "legs": [{"attempt": 1, "remote": "10.0.0.7:16384", "lost": 0, "…": "see LegReport"}],
//!     "timeline": [{"at_ms": 1.2, "event": "esl_connected", "host": "main-esl:8084"}]
//!   },
//!   "report": null
//! }
//! ```
//!
//! ```json
//! {
//!   "id": "0f9c…", "state": "ended", "to": "15550100", "from": "+15550001", "now": null,
//!   "report": {
//!     "uuid": "0f9c…", "to": "15550100", "from": "+15550001", "answered": false, "answered_after_ms": null,
//!     "sip_status": 503, "sip_headers": {"Retry-After": "30"}, "cause": "NORMAL_TEMPORARY_FAILURE", "ended_by": "switch",
//!     "duration_ms": 12.0, "attempts": 5, "legs": [], "longest_gap_ms": 0.0, "gaps": [],
//!     "pacing": {"count": 0, "p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0, "max_ms": 0.0},
//!     "agent_speech": [], "digits_heard": [], "variables": {"sofia_phone_dialed": "15550100"},
//!     "script_error": null, "timeline": [{"at_ms": 0.2, "event": "esl_refused", "host": "main-esl:8084", "error": "…"}]
//!   }
//! }
//! ```
//!
//! - `GET /calls`: `{"calls": [{"id": "0f9c…", "state": "ended", "to": "15550100", "from": "+15550001"}]}`
//! - `DELETE /calls/{id}`: the caller hangs up; answers with the status as it is then. The report stays.
//! - `GET /calls/{id}/heard.wav`: what the caller heard, 16-bit mono at 16 kHz, from dialling on. `409` while the call runs or if it
//!   was not recorded, `410` when so many calls ended since that it was given up.
//!
//! # Load
//!
//! `POST /load` keeps `calls` calls up ([`NewLoad`]): a call that ends is at once replaced by another caller, at most `rate` new
//! ones a second, for `seconds` or until it is stopped.
//!
//! ```json
//! {
//!   "to": "15550100", "calls": 20, "rate": 5.0, "length": {"uniform": {"min_seconds": 20, "max_seconds": 40}},
//!   "say": "go_forward", "seconds": 300, "from_prefix": "+1555", "network_addr": "203.0.113.7",
//!   "impairments": {}, "seed": 1
//! }
//! ```
//!
//! Only `to` and `calls` are needed. `length` may be `"forever"` (the default), `{"fixed": {"seconds": 30}}`,
//! `{"uniform": {"min_seconds": 20, "max_seconds": 40}}` or `{"exponential": {"mean_seconds": 30}}`, from the answer on. `say` is said
//! again and again. Answer: `201` with `{"id": "…"}`.
//!
//! `GET /load/{id}` ([`LoadStatus`]): `report` counts the calls that are over ([`LoadReport`]), `running` those that are not,
//! `notable` are the first calls that were cut, refused or had a gap, whole.
//!
//! ```json
//! {
//!   "id": "…", "state": "running", "level": 20, "offered": 34,
//!   "running": {"calls": 20, "answered": 19, "taken_over": 0, "packets_received": 21000, "packets_lost": 0, "longest_gap_ms": 24.0, "calls_with_gap": 0},
//!   "report": {
//!     "calls": 14, "answered": 12, "refused": {"503": 2}, "gave_up": 0, "cut": 0, "cut_causes": {}, "calls_with_gap": 1,
//!     "gaps": [{"from_ms": 60, "below_ms": 100, "count": 0}, {"from_ms": 100, "below_ms": 150, "count": 1}],
//!     "taken_over": 1, "one_way": 0, "esl_refused": 10, "sent": 18000, "send_errors": 0, "received": 18000, "lost": 0, "reordered": 0,
//!     "foreign": 0, "longest_gap": {"count": 12, "p50_ms": 22.0, "p95_ms": 131.0, "p99_ms": 131.0, "max_ms": 131.0}
//!   },
//!   "notable": []
//! }
//! ```
//!
//! - `PUT /load/{id}` (or `POST`) with `{"calls": 30}` and, if wanted, `"rate": 2.0`: another level. With a lower one the longest calls
//!   hang up. Answers with the status.
//! - `DELETE /load/{id}`: all callers hang up; `state` is `stopping`, then `ended`. Answers with the status.
//! - `GET /load`: `{"loads": ["…"]}`
//!
//! # The switch
//!
//! - `GET /state`: [`SwitchState`], e.g. `{"paused_inbound": false, "paused_outbound": false, "shutting_down": false, "calls": 20,
//!   "channels": 60, "uptime_ms": 61000.0}`
//! - `GET /voices`: `{"voices": [{"name": "five_five", "text": "five five", "ms": 1400.0}]}`
//!
//! [`CallPlan::script`]: crate::CallPlan::script
//! [`CallOutcome`]: crate::CallOutcome
//! [`LoadReport`]: crate::load::LoadReport
//! [`Snapshot`]: crate::Snapshot

mod calls;
mod client;
pub(crate) mod http;
mod loads;
mod types;

pub use client::{Client, ClientError, Transport};
pub use types::{
    CallBrief, CallState, CallStatus, Length, LoadState, LoadStatus, NewCall, NewLevel, NewLoad, RunningTotals,
    SwitchState,
};
