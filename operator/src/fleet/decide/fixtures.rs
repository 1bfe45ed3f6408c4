//! Fleets for tests.

use jiff::{SignedDuration, Timestamp};

use super::{FleetView, PodView, Standing, Wish};
use crate::fleet::scrape::PodFigures;

/// The moment at which the fixtures are.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("a time")
}

/// A pod that has been serving for an hour, with so many calls of 100.
pub fn pod(name: &str, active: u32) -> PodView {
    let created = now() - SignedDuration::from_hours(1);
    PodView {
        name: name.to_owned(),
        created,
        started: Some(created),
        running: true,
        standing: if active < 100 { Standing::Ready } else { Standing::NotReady },
        terminating: false,
        node_leaving: false,
        current_revision: true,
        draining_since: None,
        marked: false,
        figures: Some(PodFigures { active, capacity: 100, accepting: active < 100, draining: false }),
    }
}

/// A pod that began to drain a minute ago and has so many calls left.
pub fn draining(name: &str, active: u32) -> PodView {
    PodView {
        standing: Standing::NotReady,
        draining_since: Some(now() - SignedDuration::from_mins(1)),
        figures: Some(PodFigures { active, capacity: 100, accepting: false, draining: true }),
        ..pod(name, active)
    }
}

/// A pod that waits for a node.
pub fn unscheduled(name: &str) -> PodView {
    PodView { started: None, running: false, standing: Standing::Unscheduled, figures: None, ..pod(name, 0) }
}

/// A fleet of these pods, none missing: 1 to 10 pods for 70 calls each and a buffer of 10, no stabilisation, ten minutes to drain.
pub fn fleet(pods: Vec<PodView>) -> FleetView {
    let live = pods.iter().filter(|pod| !pod.terminating).count();
    FleetView {
        now: now(),
        wish: Wish::Sessions { min: 1, max: 10, target: 70, buffer: 10 },
        max_per_pod: 100,
        scale_up_stabilization: SignedDuration::ZERO,
        scale_down_stabilization: SignedDuration::ZERO,
        drain_deadline: SignedDuration::from_mins(10),
        replicas: Some(u32::try_from(live).expect("few")),
        rolling_out: false,
        pods,
    }
}
