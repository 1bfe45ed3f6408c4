//! A pod is lost in mid-conversation: its callers hear a short silence, and another pod goes on with what was said.

use e2e_kubernetes::{Namespace, cluster_tool, kept_conversation};
use serde_json::json;
use switchsim::{CallOutcome, Snapshot};

/// Spread over three pods, so that the one that is lost has some of them.
const CALLERS: usize = 6;

/// What counts as a gap in audio that comes every 20 ms.
const GAP_MS: f64 = 60.0;
/// How much slower than it should be the machine may be at most before a run says nothing in favour of the product.
const MOST_SLOWER: f64 = 4.0;

#[tokio::test]
async fn the_conversation_survives_a_pod_that_is_killed() {
    lose("killed", &["signal", "KILL"], 250.0).await;
}

#[tokio::test]
async fn the_conversation_survives_a_pod_that_hangs() {
    lose("stopped", &["signal", "STOP"], 2_500.0).await;
}

#[tokio::test]
async fn the_conversation_survives_a_pod_whose_network_is_gone() {
    lose("unplugged", &["network", "off"], 2_500.0).await;
}

async fn lose(how: &str, harm: &[&str], goal_ms: f64) {
    if cluster_tool().is_none() {
        return println!("skipped: the pods of this cluster can't be signalled or cut off from here");
    }
    let namespace = Namespace::create(how).await;
    let spec = json!({
        "scaling": {"mode": "Manual", "replicas": 3},
        "conversation": {"silence": {"mode": "Ignore"}},
        "drain": {"deadlineSeconds": 5},
    });
    let trunk = namespace.trunk("main", spec).await;
    trunk.ready(3).await;
    let callers = trunk.callers().await;
    let mut calls = Vec::new();
    for _ in 0..CALLERS {
        calls.push(callers.place_and_ask().await);
    }
    let mut pods = Vec::new();
    for call in &calls {
        let now = callers.until_answered(call).await;
        pods.push(remote_host(&now));
    }
    // The pod with the most of them.
    let lost = pods.iter().max_by_key(|pod| pods.iter().filter(|other| other == pod).count()).expect("there are calls");
    let lost_pod = trunk.pod_at(lost).await;
    trunk.harm(&lost_pod, harm).await;

    let (mut gaps, mut gap_of_others) = (Vec::new(), 0.0_f64);
    for (call, pod) in calls.iter().zip(&pods) {
        if pod != lost {
            let outcome = callers.hang_up(call).await;
            assert_eq!(outcome.attempts, 1, "a call of another pod notices nothing: {outcome}");
            gap_of_others = gap_of_others.max(outcome.longest_gap_ms);
            continue;
        }
        callers
            .until(call, "another pod", |call| call.legs.iter().any(|leg| leg.attempt >= 2 && leg.received > 25))
            .await;
        let outcome = callers.hang_up(call).await;
        the_conversation_is_whole(&outcome);
        gaps.push(outcome.longest_gap_ms);
    }
    gaps.sort_by(f64::total_cmp);
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!("{how}: {} calls went on, silent for {median:.0} ms (median), {longest:.0} ms (longest)", gaps.len());
    // The median is held to the goal, and each call to what a caller would wait for. How much slower than it should be this machine is
    // just now, the calls of the other pods tell.
    // A fault that slows everybody does not raise its own limit: beyond that the goal is missed.
    let slower = (gap_of_others / GAP_MS).clamp(1.0, MOST_SLOWER);
    println!("{how}: the longest gap of the other pods' callers was {gap_of_others:.0} ms");
    assert!(median <= goal_ms * slower, "{how}: {gaps:?}, others {gap_of_others}");
    assert!(longest <= goal_ms * slower + 5_000.0, "{how}: {gaps:?}, others {gap_of_others}");
    namespace.delete().await;
}

fn remote_host(call: &Snapshot) -> String {
    let remote = &call.legs.last().expect("an answered call has a leg").remote;
    remote.rsplit_once(':').expect("host:port").0.trim_matches(['[', ']']).to_owned()
}

fn the_conversation_is_whole(call: &CallOutcome) {
    assert!(call.answered && call.attempts >= 2, "{call}");
    let kept = kept_conversation(call);
    assert_eq!((kept.turn, kept.takeovers), (1, 1), "{kept:?}");
    assert!(kept.history.len() >= 3, "greeting, question and answer: {:?}", kept.history);
}
