//! Counts what the controller does, and keeps the probes informed of whether it gets on. Decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{ApplyResult, DrainEnd, Metrics, ReconcileOutcome, SwitchFigures, TrunkFigures};
use crate::controller::look::SwitchView;
use crate::controller::observe::{Observe, Outcome};
use crate::controller::stores::TrunkKey;
use crate::server::{Health, Stage};
use crate::switch::GatewayState;

/// The controller's observer in a running operator.
pub struct Observer {
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// What the probes ask.
    pub health: Arc<Health>,
}

impl Observe for Observer {
    fn reconcile_started(&self) {
        self.health.pass_began(Instant::now());
    }

    fn reconcile_finished(&self, duration: Duration, outcome: Outcome) {
        self.health.pass_ended(Instant::now());
        let outcome = match outcome {
            Outcome::Unchanged => ReconcileOutcome::Unchanged,
            Outcome::Changed => ReconcileOutcome::Changed,
            Outcome::Problem => ReconcileOutcome::Problem,
            Outcome::Failed => ReconcileOutcome::Failed,
        };
        self.metrics.reconciled(outcome, duration);
    }

    fn error(&self, reason: &str) {
        self.metrics.problem_met(reason);
    }

    fn watch_failed(&self, kind: &str) {
        self.metrics.watch_failed(kind);
    }

    fn queue_depth(&self, trunks: usize) {
        self.health.queue_is(trunks, Instant::now());
        self.metrics.queue_is(trunks);
    }

    fn lists_complete(&self) {
        self.health.enters(Stage::Leading);
    }

    fn applied(&self, kind: &str, result: ApplyResult) {
        self.metrics.applied(kind, result);
    }

    fn scrape_failed(&self) {
        self.metrics.scrape_failed();
    }

    fn drain_began(&self) {
        self.metrics.drain_began();
    }

    fn drain_ended(&self, end: DrainEnd) {
        self.metrics.drain_ended(end);
    }

    fn fleet(&self, trunk: &TrunkKey, figures: &TrunkFigures) {
        self.metrics.trunk_is(&trunk.namespace, &trunk.name, figures);
    }

    fn conditions(&self, trunk: &TrunkKey, conditions: &[Condition]) {
        let said = |condition: &Condition| [&condition.type_, &condition.status, &condition.reason].map(String::clone);
        self.metrics.conditions_are(&trunk.namespace, &trunk.name, conditions.iter().map(said).collect());
    }

    fn switch(&self, trunk: &TrunkKey, switch: Option<&SwitchView>) {
        let Some(switch) = switch else { return };
        (0..switch.failed).for_each(|_| self.metrics.look_failed());
        if !switch.settled {
            return;
        }
        let up = |state: GatewayState| matches!(state, GatewayState::Registered | GatewayState::Reachable);
        let known = switch.gateways.iter().filter(|(_, state)| *state != GatewayState::Unknown);
        let figures = SwitchFigures {
            channels: switch.channels,
            sessions_per_second: switch.rate.map(|rate| (rate.peak, rate.limit)),
            gateways: known.map(|(name, state)| (name.clone(), up(*state))).collect(),
        };
        self.metrics.switch_is(&trunk.namespace, &trunk.name, figures);
    }

    fn forget(&self, trunk: &TrunkKey) {
        self.metrics.trunk_is_gone(&trunk.namespace, &trunk.name);
    }
}
