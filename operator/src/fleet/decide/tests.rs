//! One step of the decision at a time; what holds over any course of events is in `fleet/properties.rs`.

use super::fixtures::{draining, fleet, now, pod, unscheduled};
use super::*;

fn decided(view: &FleetView) -> Decision {
    decide(view, &mut Memory::default())
}

/// The same fleet seen again and again, for so long that nothing is waited for any more.
fn decided_in_the_end(view: &FleetView) -> Decision {
    let mut memory = Memory::default();
    decide(view, &mut memory);
    let later = FleetView { now: view.now + SignedDuration::from_secs(90), ..view.clone() };
    decide(&later, &mut memory)
}

fn replicas(wanted: u32, pods: Vec<PodView>) -> FleetView {
    FleetView { wish: Wish::Replicas(wanted), ..fleet(pods) }
}

#[test]
fn without_a_deployment_there_are_as_many_pods_as_the_calls_need() {
    let view = FleetView { replicas: None, ..fleet(vec![]) };
    assert_eq!(decided(&view), Decision { replicas: 1, serving: 1, ..Decision::default() });
    // The Deployment was deleted and its pods are being ended: their callers come back.
    let ending = PodView { terminating: true, ..pod("a", 100) };
    assert_eq!(decided(&FleetView { replicas: None, ..fleet(vec![ending]) }).replicas, 2);
}

#[test]
fn calls_and_the_buffer_at_the_target_make_the_number_of_pods() {
    assert_eq!(decided(&fleet(vec![pod("a", 60)])).replicas, 1);
    assert_eq!(decided(&fleet(vec![pod("a", 61)])).replicas, 2);
    assert_eq!(decided(&fleet(vec![pod("a", 100), pod("b", 100), pod("c", 100)])).replicas, 5);
}

#[test]
fn there_are_never_more_pods_than_the_greatest_number() {
    let view = FleetView {
        wish: Wish::Sessions { min: 1, max: 3, target: 1, buffer: 100_000 },
        ..fleet(vec![pod("a", 100), draining("b", 5)])
    };
    assert_eq!(decided(&view), Decision { replicas: 4, serving: 3, crowded: true, ..Decision::default() });
}

#[test]
fn calls_on_pods_that_go_count_because_they_may_come_back() {
    let ending = PodView { terminating: true, ..pod("c", 40) };
    let view = fleet(vec![pod("a", 60), draining("b", 60), ending]);
    assert_eq!(decided(&view).serving, 3, "170 at 70 each");
}

#[test]
fn the_pod_that_loses_least_goes_first() {
    let old = PodView { current_revision: false, ..pod("old", 50) };
    let young = PodView { created: now(), ..pod("young", 0) };
    let silent = PodView { figures: None, ..pod("silent", 0) };
    let pods = vec![pod("busy", 70), silent, young, pod("idle", 0), old, unscheduled("waiting")];
    let mut order = Vec::new();
    for wanted in (0..pods.len()).rev() {
        let chosen = decided(&replicas(u32::try_from(wanted).expect("few"), pods.clone())).drain;
        order.extend(chosen.into_iter().find(|name| !order.contains(name)));
    }
    assert_eq!(order, ["waiting", "old", "young", "idle", "busy", "silent"]);
}

#[test]
fn a_drain_begins_without_lowering_the_replicas() {
    let decision = decided(&replicas(1, vec![pod("a", 5), pod("b", 3)]));
    assert_eq!(decision, Decision { replicas: 2, serving: 1, drain: vec!["b".into()], ..Decision::default() });
}

#[test]
fn the_same_view_decides_the_same_again() {
    for view in [
        replicas(1, vec![pod("a", 5), pod("b", 3), pod("c", 3)]),
        replicas(2, vec![PodView { node_leaving: true, ..pod("a", 5) }, pod("b", 3), pod("c", 3), unscheduled("d")]),
        fleet(vec![pod("a", 5), draining("b", 0), unscheduled("c")]),
    ] {
        let mut memory = Memory::default();
        let first = decide(&view, &mut memory);
        assert_eq!(decide(&view, &mut memory), first);
    }
}

#[test]
fn a_pod_that_was_chosen_stays_chosen_though_its_annotation_is_not_seen_yet() {
    let mut memory = Memory::default();
    assert_eq!(decide(&replicas(1, vec![pod("a", 5), pod("b", 3)]), &mut memory).drain, ["b"]);
    let busier = replicas(1, vec![pod("a", 5), pod("b", 9)]);
    assert_eq!(decide(&busier, &mut memory).drain, ["b"]);
}

#[test]
fn a_pod_that_does_not_know_of_its_drain_is_asked_again() {
    let restarted = PodView { figures: pod("b", 2).figures, ..draining("b", 2) };
    assert_eq!(decided(&replicas(1, vec![pod("a", 5), restarted])).drain, ["b"]);
    let silent = PodView { figures: None, ..draining("b", 2) };
    assert_eq!(decided(&replicas(1, vec![pod("a", 5), silent])).drain, ["b"]);
    assert!(decided(&replicas(1, vec![pod("a", 5), draining("b", 2)])).drain.is_empty());
}

#[test]
fn more_pods_come_at_once_while_others_drain() {
    let decision = decided(&fleet(vec![pod("a", 100), draining("b", 40)]));
    assert_eq!((decision.replicas, decision.serving), (4, 3));
    assert!(decision.drain.is_empty() && decision.mark.is_empty());
}

#[test]
fn a_pod_is_marked_when_it_says_that_it_is_empty_and_not_before() {
    let mark = |pod: PodView| decided(&replicas(0, vec![pod])).mark;
    assert_eq!(mark(draining("a", 0)), ["a"]);
    assert!(mark(draining("a", 1)).is_empty());
    assert!(mark(PodView { figures: None, ..draining("a", 0) }).is_empty(), "not asked counts as busy");
    assert!(mark(PodView { figures: pod("a", 0).figures, ..draining("a", 0) }).is_empty(), "it takes calls still");
    assert_eq!(mark(PodView { running: false, standing: Standing::Pending, figures: None, ..draining("a", 0) }), ["a"]);
    assert!(mark(PodView { marked: true, ..draining("a", 0) }).is_empty(), "it is marked");
    assert!(mark(PodView { terminating: true, ..draining("a", 0) }).is_empty(), "it is gone");
}

#[test]
fn a_pod_past_its_deadline_is_marked_whatever_it_says() {
    let since = |seconds: i64| Some(now() - SignedDuration::from_secs(seconds));
    let mark = |draining_since| decided(&replicas(0, vec![PodView { draining_since, ..draining("a", 4) }])).mark;
    assert!(mark(since(610)).is_empty(), "its calls are being handed over");
    assert_eq!(mark(since(620)), ["a"]);
}

#[test]
fn the_replicas_fall_by_the_marked_pods_once_they_are_marked() {
    let marked = |name| PodView { marked: true, ..draining(name, 0) };
    let fall = |pods| decided(&replicas(1, pods)).replicas;
    assert_eq!(fall(vec![pod("a", 5), marked("b"), marked("c")]), 1);
    assert_eq!(fall(vec![pod("a", 5), marked("b"), draining("c", 0)]), 2);
    assert_eq!(fall(vec![pod("a", 5), draining("b", 0), draining("c", 3)]), 3);
}

#[test]
fn a_marked_pod_that_has_calls_loses_its_mark_before_the_replicas_fall() {
    let started = PodView { marked: true, figures: pod("b", 3).figures, ..draining("b", 3) };
    let marked = PodView { marked: true, ..draining("c", 0) };
    let decision = decided(&replicas(1, vec![pod("a", 5), started, marked.clone()]));
    assert_eq!((decision.unmark, decision.drain, decision.replicas), (vec!["b".into()], vec!["b".into()], 3));
    let silent = PodView { figures: None, ..marked };
    assert!(decided(&replicas(1, vec![pod("a", 5), silent])).unmark.is_empty(), "nothing is known of it");
}

#[test]
fn a_fleet_is_crowded_until_ten_minutes_after_a_pod_last_refused_calls() {
    let mut memory = Memory::default();
    let mut crowded = |pods, minutes| {
        let view = replicas(2, pods);
        decide(&FleetView { now: view.now + SignedDuration::from_mins(minutes), ..view }, &mut memory).crowded
    };
    assert!(!crowded(vec![pod("a", 99), draining("b", 100)], 0), "one that drains refuses calls for good");
    assert!(crowded(vec![pod("a", 100), pod("b", 7)], 1));
    assert!(crowded(vec![pod("a", 0), pod("b", 7)], 10));
    assert!(!crowded(vec![pod("a", 0), pod("b", 7)], 11));
}

#[test]
fn the_replicas_do_not_fall_during_a_rollout() {
    let marked = PodView { marked: true, ..draining("b", 0) };
    let view = FleetView { rolling_out: true, ..replicas(1, vec![pod("a", 5), marked, draining("c", 0), pod("d", 0)]) };
    let decision = decided(&view);
    assert_eq!((decision.replicas, decision.serving), (4, 2), "no drain is begun");
    assert!(decision.drain.is_empty());
    assert_eq!(decision.mark, ["c"], "what began goes on");
    assert_eq!(decided(&FleetView { wish: Wish::Replicas(3), ..view }).replicas, 5, "more may come");
}

#[test]
fn the_replicas_do_not_fall_while_the_replica_set_is_at_work() {
    let marked = PodView { marked: true, ..draining("b", 0) };
    let view = replicas(1, vec![pod("a", 5), marked]);
    // It was lowered a moment ago, and the pod is still seen: neither lowered again nor raised.
    assert_eq!(decided(&FleetView { replicas: Some(1), ..view.clone() }).replicas, 1);
    // A pod is missing and will be made: its replica is a surplus, to be dealt with when it is there.
    assert_eq!(decided(&FleetView { replicas: Some(3), ..view }).replicas, 3);
}

#[test]
fn a_marked_pod_that_stands_behind_another_for_long_is_deleted_by_name() {
    let marked = PodView { marked: true, ..draining("b", 0) };
    let view = replicas(2, vec![pod("a", 5), marked, unscheduled("c")]);
    let decision = decided(&view);
    assert_eq!((decision.replicas, decision.delete), (3, vec![]));
    let decision = decided_in_the_end(&view);
    assert_eq!((decision.replicas, decision.delete), (3, vec!["b".to_owned()]));
}

#[test]
fn a_drained_pod_of_the_new_revision_does_not_hold_a_rollout() {
    let marked = |name| PodView { marked: true, ..draining(name, 0) };
    let old = PodView { current_revision: false, ..marked("c") };
    let view = FleetView { rolling_out: true, ..replicas(1, vec![pod("a", 5), marked("b"), old]) };
    let decision = decided_in_the_end(&view);
    assert_eq!((decision.replicas, decision.delete), (3, vec!["b".to_owned()]));
}

#[test]
fn replicas_for_which_no_pod_can_be_made_are_given_up_before_any_pod() {
    let view = FleetView { replicas: Some(6), ..replicas(3, vec![pod("a", 5), pod("b", 5)]) };
    assert_eq!(decided(&view), Decision { replicas: 6, serving: 3, ..Decision::default() });
    assert_eq!(decided_in_the_end(&view), Decision { replicas: 3, serving: 3, ..Decision::default() });
}

#[test]
fn a_silent_pod_neither_brings_pods_nor_takes_them_away() {
    let silent = |name| PodView { figures: None, ..pod(name, 0) };
    let all_silent = fleet(vec![silent("a"), silent("b"), silent("c")]);
    assert_eq!(decided_in_the_end(&all_silent), Decision { replicas: 3, serving: 3, ..Decision::default() });
    let one_silent = fleet(vec![pod("a", 10), pod("b", 10), silent("c")]);
    assert_eq!(decided_in_the_end(&one_silent).serving, 2, "120 of 210 at most");
    let busy = fleet(vec![pod("a", 65), pod("b", 65), silent("c")]);
    assert_eq!(decided(&busy).serving, 3, "195 as far as one can tell");
}

#[test]
fn pods_on_a_leaving_node_are_replaced_and_then_drained() {
    let on_leaving = PodView { node_leaving: true, ..pod("a", 50) };
    let wish = Wish::Sessions { min: 2, max: 2, target: 70, buffer: 10 };
    let view = FleetView { wish, ..fleet(vec![on_leaving.clone(), pod("b", 50)]) };
    let decision = decided(&view);
    assert_eq!(decision, Decision { replicas: 3, serving: 2, ..Decision::default() });
    let view = FleetView { wish, ..fleet(vec![on_leaving, pod("b", 50), pod("c", 0)]) };
    let decision = decided(&view);
    assert_eq!(decision, Decision { replicas: 3, serving: 2, drain: vec!["a".into()], ..Decision::default() });
}

#[test]
fn replacements_for_which_there_is_no_room_are_not_waited_for_while_the_others_suffice() {
    let on_leaving = PodView { node_leaving: true, ..pod("a", 50) };
    let wish = Wish::Sessions { min: 2, max: 2, target: 70, buffer: 10 };
    let roomless = |other| FleetView { wish, ..fleet(vec![on_leaving.clone(), pod("b", other), unscheduled("c")]) };
    assert_eq!(decided_in_the_end(&roomless(30)).drain, ["a"], "80 and 10 more fit into one");
    assert!(decided_in_the_end(&roomless(45)).drain.is_empty(), "95 and 10 more do not");
}

#[test]
fn when_every_node_is_cordoned_the_pods_that_callers_need_stay() {
    let on_leaving = |name, active| PodView { node_leaving: true, ..pod(name, active) };
    let view = fleet(vec![on_leaving("a", 60), on_leaving("b", 50), on_leaving("c", 30)]);
    let decision = decided_in_the_end(&view);
    assert_eq!((decision.replicas, decision.drain), (6, vec!["c".to_owned()]), "150 fit into two");
    let view = fleet(vec![on_leaving("a", 0)]);
    assert!(decided_in_the_end(&view).drain.is_empty(), "the last one stays");
}

#[test]
fn a_change_of_the_bounds_holds_at_once() {
    let hour = SignedDuration::from_hours(1);
    let view = FleetView {
        scale_up_stabilization: hour,
        scale_down_stabilization: hour,
        ..fleet(vec![pod("a", 5), pod("b", 6), pod("c", 7)])
    };
    let bounds = |min, max| Wish::Sessions { min, max, target: 70, buffer: 10 };
    assert_eq!(decided(&FleetView { wish: bounds(1, 2), ..view.clone() }).drain, ["a"]);
    assert_eq!(decided(&FleetView { wish: bounds(5, 8), ..view }).replicas, 5);
}
