//! What a person should know of a trunk, told once when it happens: what `kubectl describe` shows. Nothing is told of what stays as it was.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use sofia_crds::{VoiceTrunkStatus, status::ConditionType};
use tracing::{debug, warn};

use super::status::REAL_CALLERS;
use crate::vocabulary::labels;

/// Longest note that the API takes, in bytes.
const NOTE_BYTES: usize = 1024;

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should do something about it.
    pub warning: bool,
    /// One word for programs.
    pub reason: String,
    /// What the operator did or found.
    pub action: &'static str,
    /// What happened. Nothing secret.
    pub note: String,
}

/// What a pass did to the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether the data plane's Deployment was made.
    pub created: bool,
    /// Replicas of the data plane before and after, where they were changed.
    pub replicas: Option<(u32, u32)>,
    /// Pods whose drain began.
    pub began: Vec<String>,
    /// Pods whose calls had not ended when their time was over, with how many were left; nothing when the pod did not say.
    pub overdue: Vec<(String, Option<u32>)>,
}

/// What is to be told after a pass: what it did, and what changed in the status.
pub fn notices(before: Option<&VoiceTrunkStatus>, after: &VoiceTrunkStatus, done: &Done) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut normal = |reason: &str, action, note| {
        notices.push(Notice { warning: false, reason: reason.to_owned(), action, note });
    };
    if done.created {
        normal("Created", "Create", "FreeSWITCH and the data plane are being started".to_owned());
    }
    match done.replicas {
        Some((from, to)) if from < to => {
            normal("ScalingUp", "Scale", format!("the data plane goes from {from} to {to} pods"));
        }
        Some((from, to)) if from > to => {
            let note = format!("the data plane goes from {from} to {to} pods: those that go are drained");
            normal("ScalingDown", "Scale", note);
        }
        _ => {}
    }
    for pod in &done.began {
        normal("DrainBegan", "Drain", format!("pod {pod} takes no further calls and goes when its own have ended"));
    }
    for (pod, left) in &done.overdue {
        let calls = left.map_or("its calls".to_owned(), |calls| format!("{calls} calls"));
        let note = format!("the time of pod {pod} to drain is over: {calls} are handed over to other pods");
        notices.push(Notice { warning: true, reason: "DrainDeadline".to_owned(), action: "Drain", note });
    }
    notices.extend(degraded(before, after));
    notices.extend(built_in_backend(before, after));
    notices
}

/// Real callers come to the built-in backend since.
fn built_in_backend(before: Option<&VoiceTrunkStatus>, after: &VoiceTrunkStatus) -> Option<Notice> {
    let kind = ConditionType::BuiltInBackend.as_str();
    let find = |status: &VoiceTrunkStatus| {
        let condition = status.conditions.iter().find(|one| one.type_ == kind)?;
        (condition.reason == REAL_CALLERS).then(|| condition.message.clone())
    };
    let note = find(after).filter(|_| before.and_then(find).is_none())?;
    Some(Notice { warning: true, reason: kind.to_owned(), action: "Reconcile", note })
}

/// What went wrong since, or is right again.
fn degraded(before: Option<&VoiceTrunkStatus>, after: &VoiceTrunkStatus) -> Option<Notice> {
    let find = |status: &VoiceTrunkStatus| {
        let condition = status.conditions.iter().find(|one| one.type_ == ConditionType::Degraded.as_str());
        condition.filter(|one| one.status == "True").map(|one| (one.reason.clone(), one.message.clone()))
    };
    match (before.and_then(find), find(after)) {
        (Some((earlier, _)), Some((reason, _))) if earlier == reason => None,
        (_, Some((reason, note))) => Some(Notice { warning: true, reason, action: "Reconcile", note }),
        (Some((earlier, _)), None) => Some(Notice {
            warning: false,
            reason: "Recovered".to_owned(),
            action: "Reconcile",
            note: format!("what was wrong is right again: {earlier}"),
        }),
        (None, None) => None,
    }
}

/// Publishes notices as events of the trunks.
#[derive(Clone)]
pub struct Publisher {
    recorder: Recorder,
}

impl Publisher {
    /// Publishes in the operator's name; `instance` is the operator's own pod, where it has one.
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: labels::MANAGER.to_owned(), instance };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes what is to be told of the trunk. What can't be published is logged: no pass fails for it.
    pub async fn publish(&self, trunk: &ObjectReference, notices: Vec<Notice>) {
        for notice in notices {
            let event = Event {
                type_: if notice.warning { EventType::Warning } else { EventType::Normal },
                reason: notice.reason,
                note: Some(cut(notice.note)),
                action: notice.action.to_owned(),
                secondary: None,
            };
            match self.recorder.publish(&event, trunk).await {
                Ok(()) => debug!(reason = event.reason, "event published"),
                Err(error) => warn!(reason = event.reason, %error, "could not publish an event"),
            }
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_BYTES {
        let mut end = NOTE_BYTES - '…'.len_utf8();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn status(degraded: Option<&str>) -> VoiceTrunkStatus {
        let condition = Condition {
            type_: "Degraded".to_owned(),
            status: if degraded.is_some() { "True" } else { "False" }.to_owned(),
            reason: degraded.unwrap_or("AllWell").to_owned(),
            message: "text".to_owned(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        };
        VoiceTrunkStatus { conditions: vec![condition], ..VoiceTrunkStatus::default() }
    }

    fn reasons(before: Option<&VoiceTrunkStatus>, after: &VoiceTrunkStatus, done: &Done) -> Vec<String> {
        notices(before, after, done).into_iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn what_is_wrong_is_told_once_and_again_only_when_it_is_something_else() {
        let (well, missing, invalid) = (status(None), status(Some("MissingSecret")), status(Some("InvalidSpec")));
        let nothing = Done::default();
        assert_eq!(reasons(None, &missing, &nothing), ["MissingSecret"]);
        assert!(reasons(Some(&missing), &missing, &nothing).is_empty());
        assert_eq!(reasons(Some(&missing), &invalid, &nothing), ["InvalidSpec"]);
        assert_eq!(reasons(Some(&invalid), &well, &nothing), ["Recovered"]);
        assert!(reasons(None, &well, &nothing).is_empty());
    }

    #[test]
    fn real_callers_on_the_built_in_backend_are_told_once() {
        let with = |reason: &str| {
            let mut status = status(None);
            let first = status.conditions[0].clone();
            let (type_, reason) = ("BuiltInBackend".to_owned(), reason.to_owned());
            status.conditions.push(Condition { type_, reason, ..first });
            status
        };
        let (real, trial, nothing) = (with("RealCallers"), with("ForTrials"), Done::default());
        assert_eq!(reasons(None, &real, &nothing), ["BuiltInBackend"]);
        assert!(reasons(Some(&real), &real, &nothing).is_empty());
        assert!(reasons(None, &trial, &nothing).is_empty());
        assert_eq!(reasons(Some(&trial), &real, &nothing), ["BuiltInBackend"]);
    }

    #[test]
    fn what_a_pass_did_is_told() {
        let done = Done {
            created: true,
            replicas: Some((2, 3)),
            began: vec!["a".to_owned()],
            overdue: vec![("b".to_owned(), Some(2))],
        };
        assert_eq!(reasons(None, &status(None), &done), ["Created", "ScalingUp", "DrainBegan", "DrainDeadline"]);
        let lowered = Done { replicas: Some((3, 2)), ..Done::default() };
        assert_eq!(reasons(None, &status(None), &lowered), ["ScalingDown"]);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = cut("ä".repeat(1000));
        assert!(note.len() <= NOTE_BYTES && note.ends_with('…'));
    }
}
