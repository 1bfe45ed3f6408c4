//! Writes what a VoiceTrunk has become into its status, when that differs from what stands there. What it has become is derived elsewhere.

use std::time::{Duration, Instant};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, Resource as _},
};
use serde_json::json;
use sofia_crds::{VoiceTrunk, VoiceTrunkStatus};

use super::{apply::Failure, memory::Reported, status::Problem, stores::TrunkKey};
use crate::vocabulary::labels;

/// Whether a status has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    None,
    /// Only what changes with each call differs: the sums, and which pods are full.
    Totals,
    Some,
}

fn difference(now: Option<&VoiceTrunkStatus>, then: &VoiceTrunkStatus) -> Difference {
    let Some(now) = now else { return Difference::Some };
    if now == then {
        return Difference::None;
    }
    let mut with_totals =
        VoiceTrunkStatus { sessions: then.sessions, ready_replicas: then.ready_replicas, ..now.clone() };
    if let (Some(now), Some(then)) = (&mut with_totals.free_switch, &then.free_switch) {
        (now.channels, now.sessions_per_second) = (then.channels, then.sessions_per_second);
    }
    if now.sessions.is_some() && with_totals == *then { Difference::Totals } else { Difference::Some }
}

/// The status as it stands: by the watch, or as it was last written while the watch has not brought that yet.
pub fn standing<'a>(
    trunk: Option<&str>,
    watched: Option<&'a VoiceTrunkStatus>,
    reported: Option<&'a Reported>,
) -> Option<&'a VoiceTrunkStatus> {
    match reported {
        Some(reported) if reported.before.as_deref() == trunk => Some(&reported.status),
        _ => watched,
    }
}

/// Which trunk's status, and in which state the watch shows it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The trunk.
    pub trunk: &'a TrunkKey,
    /// Its uid.
    pub uid: &'a str,
    /// Its resource version.
    pub version: Option<&'a str>,
}

/// Writes the status if it differs from the one that stands; sums of calls alone at most once in `totals_interval`. Whether it wrote.
pub async fn report(
    client: &Client,
    subject: Subject<'_>,
    standing: Option<&VoiceTrunkStatus>,
    status: VoiceTrunkStatus,
    reported: &mut Option<Reported>,
    totals_interval: Duration,
) -> Result<bool, Option<Problem>> {
    let recent = reported.as_ref().is_some_and(|reported| reported.at.elapsed() < totals_interval);
    match difference(standing, &status) {
        Difference::None => return Ok(false),
        Difference::Totals if recent => return Ok(false),
        Difference::Totals | Difference::Some => {}
    }
    let Subject { trunk, uid, version } = subject;
    let resource = ApiResource::erase::<VoiceTrunk>(&());
    // Without its type: the answer is read even when the spec doesn't parse.
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &trunk.namespace, &resource);
    let body = json!({
        "apiVersion": VoiceTrunk::api_version(&()),
        "kind": VoiceTrunk::kind(&()),
        // The uid: the status is not written to another trunk that took the name.
        "metadata": { "name": trunk.name, "namespace": trunk.namespace, "uid": uid },
        "status": status,
    });
    let parameters = PatchParams::apply(labels::MANAGER).force();
    let mut written = api.patch_status(&trunk.name, &parameters, &Patch::Apply(&body)).await;
    if written.as_ref().is_err_and(is_older_definition) {
        let parameters = PatchParams { field_manager: Some(labels::MANAGER.to_owned()), ..PatchParams::default() };
        written = api.patch_status(&trunk.name, &parameters, &Patch::Merge(&body)).await;
    }
    match written {
        Ok(_) => {
            *reported = Some(Reported { before: version.map(str::to_owned), status, at: Instant::now() });
            Ok(true)
        }
        // The trunk is gone, or another one has its name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(Failure::new("write the status".to_owned(), error).problem()),
    }
}

/// Whether the cluster's CustomResourceDefinition is an older release's, as for a moment of every upgrade, and for as long as nobody
/// upgrades it where the chart does not. An apply with a field that it doesn't know is refused whole; a merge patch loses that field alone.
fn is_older_definition(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains("field not declared in schema"))
}

#[cfg(test)]
mod tests {
    use sofia_crds::status::{FreeSwitchPods, SessionTotals};

    use super::*;

    fn status(active: u32, replicas: u32) -> VoiceTrunkStatus {
        VoiceTrunkStatus {
            replicas,
            sessions: Some(SessionTotals { active, capacity: 10 }),
            ..VoiceTrunkStatus::default()
        }
    }

    #[test]
    fn sums_of_calls_alone_are_told_apart_from_what_matters_at_once() {
        assert_eq!(difference(None, &status(0, 1)), Difference::Some);
        assert_eq!(difference(Some(&status(1, 1)), &status(1, 1)), Difference::None);
        assert_eq!(difference(Some(&status(1, 1)), &status(2, 1)), Difference::Totals);
        assert_eq!(difference(Some(&status(1, 1)), &status(2, 2)), Difference::Some);
        let wanted = VoiceTrunkStatus { desired_replicas: 1, ..status(2, 1) };
        assert_eq!(difference(Some(&status(1, 1)), &wanted), Difference::Some);
        let switch = |channels| {
            let pods = FreeSwitchPods { channels, sessions_per_second: channels, ..FreeSwitchPods::default() };
            VoiceTrunkStatus { free_switch: Some(pods), ..status(1, 1) }
        };
        assert_eq!(difference(Some(&switch(Some(3))), &switch(Some(6))), Difference::Totals);
        assert_eq!(difference(Some(&switch(None)), &switch(Some(6))), Difference::Totals);
        let full = VoiceTrunkStatus { ready_replicas: 1, ..status(2, 1) };
        assert_eq!(difference(Some(&status(1, 1)), &full), Difference::Totals, "a pod that is full now and then");
    }

    #[test]
    fn an_older_definition_is_told_by_what_the_api_server_says_of_it() {
        let error = |message: &str| {
            kube::Error::Api(Box::new(kube::core::Status::failure(message, "InternalError").with_code(500)))
        };
        assert!(is_older_definition(&error(
            "failed to create typed patch object (voice/main; sofia-phone.io/v1alpha1, Kind=VoiceTrunk): .status.desiredReplicas: field not declared in schema"
        )));
        assert!(!is_older_definition(&error("etcd is away")));
    }

    #[test]
    fn what_was_written_stands_until_the_watch_shows_another_version() {
        let reported = Reported { before: Some("7".to_owned()), status: status(2, 2), at: Instant::now() };
        let old = status(1, 1);
        assert_eq!(standing(Some("7"), Some(&old), Some(&reported)), Some(&reported.status));
        assert_eq!(standing(Some("8"), Some(&old), Some(&reported)), Some(&old));
        assert_eq!(standing(Some("8"), None, None), None);
    }
}
