//! What the controller tells whoever counts it. Keeps no figures itself.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{look::SwitchView, stores::TrunkKey};
use crate::metrics::{ApplyResult, DrainEnd, TrunkFigures};

/// How a pass over one trunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything is as it should be, and nothing was written.
    Unchanged,
    /// Something was written.
    Changed,
    /// The trunk can't be carried out until somebody mends it.
    Problem,
    /// The API server failed; the pass is repeated.
    Failed,
}

impl Outcome {
    /// The outcome as a label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Problem => "problem",
            Self::Failed => "failed",
        }
    }
}

/// Counts what the controller does. Called often and from many tasks: implementations don't wait.
pub trait Observe: Send + Sync + 'static {
    /// A pass over a trunk begins.
    fn reconcile_started(&self);
    /// It has ended.
    fn reconcile_finished(&self, duration: Duration, outcome: Outcome);
    /// Something went wrong; `reason` is one of `status::Problem::REASONS`.
    fn error(&self, reason: &str);
    /// A watch was interrupted; `kind` is the plural name of what it watches.
    fn watch_failed(&self, kind: &str);
    /// Trunks with news whose pass has not begun yet.
    fn queue_depth(&self, trunks: usize);
    /// The first lists of everything that is watched are complete.
    fn lists_complete(&self);
    /// Objects of a kind were applied, or applying one failed.
    fn applied(&self, kind: &str, result: ApplyResult);
    /// A pod could not be asked for its figures.
    fn scrape_failed(&self);
    /// A pod was asked to drain for the first time.
    fn drain_began(&self);
    /// A pod's drain is over.
    fn drain_ended(&self, end: DrainEnd);
    /// Calls and pods of one trunk.
    fn fleet(&self, trunk: &TrunkKey, figures: &TrunkFigures);
    /// What one trunk's conditions say.
    fn conditions(&self, trunk: &TrunkKey, conditions: &[Condition]);
    /// What one trunk's FreeSWITCH said of itself; nothing where it runs elsewhere.
    fn switch(&self, trunk: &TrunkKey, switch: Option<&SwitchView>);
    /// A trunk is no more; its series end.
    fn forget(&self, trunk: &TrunkKey);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observe for Unobserved {
    fn reconcile_started(&self) {}
    fn reconcile_finished(&self, _: Duration, _: Outcome) {}
    fn error(&self, _: &str) {}
    fn watch_failed(&self, _: &str) {}
    fn queue_depth(&self, _: usize) {}
    fn lists_complete(&self) {}
    fn applied(&self, _: &str, _: ApplyResult) {}
    fn scrape_failed(&self) {}
    fn drain_began(&self) {}
    fn drain_ended(&self, _: DrainEnd) {}
    fn fleet(&self, _: &TrunkKey, _: &TrunkFigures) {}
    fn conditions(&self, _: &TrunkKey, _: &[Condition]) {}
    fn switch(&self, _: &TrunkKey, _: Option<&SwitchView>) {}
    fn forget(&self, _: &TrunkKey) {}
}
