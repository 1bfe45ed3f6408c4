//! What is remembered of each trunk between its passes. All of it can be lost: then some requests are made once more, and scaling down
//! takes its time anew.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::LoadBalancerStatus};
use sofia_crds::{VoiceTrunkStatus, validate};
use tokio_util::sync::CancellationToken;

use super::{
    act::{Heard, Written},
    apply::Seen,
    dereference::Referenced,
    guard::Guard,
    in_force::LastGood,
    look::Sights,
    status::Problem,
    stores::TrunkKey,
};
use crate::fleet::decide;

/// What is remembered of one trunk.
#[derive(Debug, Default)]
pub struct Memory {
    /// The trunk's uid; with another one everything else is of an earlier trunk of the same name.
    pub uid: String,
    /// Of the decisions about its fleet.
    pub fleet: decide::Memory,
    /// Of its objects.
    pub seen: Seen,
    /// Of its pods.
    pub written: Written,
    /// What is wrong with its spec.
    pub checked: Option<Checked>,
    /// What it refers to.
    pub referenced: Option<Read>,
    /// The last spec that could be carried out, with what it refers to.
    pub last_good: Option<LastGood>,
    /// When that is looked for again where it was not found.
    pub looked_for_spec: Option<Instant>,
    /// Of its calls, for FreeSWITCH's nodes.
    pub guard: Guard,
    /// Of what its data-plane pods said.
    pub heard: Heard,
    /// Of what its FreeSWITCH said.
    pub sights: Sights,
    /// What its status was last set to.
    pub reported: Option<Reported>,
    /// Its data plane's Deployment as the API server answered when it was last written, until the watch shows that too.
    pub data_plane: Option<(i64, u32)>,
    /// What became of FreeSWITCH's Service, with the state of the Service in which it was read.
    pub load_balancer: Option<(u64, LoadBalancerStatus)>,
}

/// What a trunk refers to, as it was last read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The last that could be used.
    pub referenced: Option<Arc<Referenced>>,
    /// Generation of the spec for which that was.
    pub generation: Option<i64>,
    /// Why it could not be used at the last reading.
    pub problem: Option<Problem>,
    /// States of the Secrets that were made for the trunk when they were last read.
    pub own: [Option<u64>; 2],
    /// States of them from which the last that could be used was taken.
    pub taken: [Option<u64>; 2],
    /// Generation for which it was last read.
    pub read_for: Option<i64>,
    /// When it is to be read again.
    pub until: Instant,
}

/// What is wrong with a trunk's spec, as far as the spec alone tells.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// What is wrong.
    pub problems: Vec<validate::Problem>,
}

/// What a trunk's status was last set to.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Resource version of the trunk before: as long as the watch shows this one, it has not brought the new status.
    pub before: Option<String>,
    /// The status.
    pub status: VoiceTrunkStatus,
    /// When.
    pub at: Instant,
}

impl Memory {
    /// The memory of the trunk with this uid: an empty one when it was of another.
    pub fn for_trunk(&mut self, uid: &str) -> &mut Self {
        if self.uid != uid {
            *self = Self { uid: uid.to_owned(), ..Self::default() };
        }
        self
    }

    /// The data plane's Deployment as it is by the watch and by what was last answered, whichever is newer: a decision must not be made
    /// from replicas that are already changed.
    pub fn newest(&mut self, watched: Option<Arc<Deployment>>) -> Option<Arc<Deployment>> {
        let mut deployment = watched?;
        match self.data_plane {
            Some((generation, replicas)) if Some(generation) > deployment.metadata.generation => {
                let newer = Arc::make_mut(&mut deployment);
                newer.metadata.generation = Some(generation);
                newer.spec.get_or_insert_default().replicas = i32::try_from(replicas).ok();
            }
            _ => self.data_plane = None,
        }
        Some(deployment)
    }
}

/// One trunk's memory, and how often its passes have failed in a row.
#[derive(Debug, Default)]
pub struct Entry {
    /// What is remembered; held during a pass.
    pub memory: tokio::sync::Mutex<Memory>,
    /// Cancelled once the trunk is no more: the pass that is under way then makes nothing again.
    pub gone: CancellationToken,
    failures: AtomicU32,
}

impl Entry {
    /// A pass has ended without failure.
    pub fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A pass has failed; how many have in a row.
    pub fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// The memories of all trunks.
#[derive(Debug, Default)]
pub struct Memories {
    entries: Mutex<HashMap<TrunkKey, Arc<Entry>>>,
}

impl Memories {
    /// A trunk's.
    pub fn of(&self, trunk: &TrunkKey) -> Arc<Entry> {
        Arc::clone(self.lock().entry(trunk.clone()).or_default())
    }

    /// Forgets a trunk that is no more, and ends its pass.
    pub fn forget(&self, trunk: &TrunkKey) {
        if let Some(entry) = self.lock().remove(trunk) {
            entry.gone.cancel();
        }
    }

    /// How many trunks are remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TrunkKey, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About `time`: up to a tenth more or less by `chance` (0 to 1), so that what began together doesn't go on together.
pub fn about(time: Duration, chance: f64) -> Duration {
    time.mul_f64(0.9 + chance.clamp(0.0, 1.0) / 5.0)
}

/// The pause before a pass that failed `failures` times in a row is repeated: it doubles from one second up to `longest`, less up to half
/// of it by `chance` (0 to 1), so that many trunks that failed together don't come back together.
pub fn pause(failures: u32, longest: Duration, chance: f64) -> Duration {
    let doubled =
        2_u32.checked_pow(failures.saturating_sub(1)).map_or(longest, |factor| Duration::from_secs(factor.into()));
    doubled.min(longest).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = Duration::from_secs(60);
        let pauses: Vec<u64> = (1..=8).map(|failures| pause(failures, longest, 0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX, longest, 1.0), Duration::from_secs(30));
    }

    #[test]
    fn what_is_done_about_every_five_seconds_is_on_average() {
        let five = Duration::from_secs(5);
        assert_eq!([0.0, 0.5, 1.0].map(|chance| about(five, chance).as_millis()), [4500, 5000, 5500]);
    }

    #[test]
    fn another_trunk_of_the_same_name_starts_with_an_empty_memory() {
        let mut memory = Memory { uid: "one".to_owned(), data_plane: Some((3, 2)), ..Memory::default() };
        assert_eq!(memory.for_trunk("one").data_plane, Some((3, 2)));
        assert_eq!(memory.for_trunk("two").data_plane, None);
    }

    #[test]
    fn what_was_answered_counts_until_the_watch_has_brought_it() {
        let watched = |generation| {
            let mut deployment = Deployment::default();
            deployment.metadata.generation = Some(generation);
            deployment.spec.get_or_insert_default().replicas = Some(5);
            Some(Arc::new(deployment))
        };
        let replicas = |deployment: Option<Arc<Deployment>>| deployment?.spec.as_ref()?.replicas;
        let mut memory = Memory { data_plane: Some((8, 4)), ..Memory::default() };
        assert_eq!(replicas(memory.newest(watched(7))), Some(4));
        assert_eq!(replicas(memory.newest(watched(8))), Some(5));
        assert_eq!(memory.data_plane, None);
    }
}
