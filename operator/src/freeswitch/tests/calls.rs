//! Whole calls through a switch that was started from the rendered configuration, to pods that are only good for tests.

use std::net::TcpListener;
use std::time::Duration;

use switchsim::pod::{Behaviour, PodCall, TestPod};
use switchsim::{CallOutcome, CallPlan, Cause, EndedBy, Happening, OfferKind, Snapshot, Switch, SwitchBuilder};

use sofia_crds::spec::{TransferFailure, Transfers};

use super::Given;
use crate::freeswitch::DRAINING_VARIABLE;

const SOON: Duration = Duration::from_secs(10);
/// Longer than the dialplan goes on trying, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ESL: &str = "main-esl.default.svc:8084";
const PODS: &str = "main-takeover.default.svc:8084";
const RETRY_AFTER: &str = "Retry-After";

/// A switch that finds the pods' Service at `esl`.
pub(super) fn switch(given: &Given, esl: &str) -> Switch {
    switch_with(given, esl, esl)
}

/// A switch that finds pods that take new calls at `esl`, and all pods at `any`.
fn switch_with(given: &Given, esl: &str, any: &str) -> Switch {
    SwitchBuilder::from_xml(given.render().unwrap())
        .with_variable("local_ip_v4", "127.0.0.1")
        .with_host_alias(ESL, esl)
        .with_host_alias(PODS, any)
        .start()
        .unwrap()
}

/// A trunk that takes calls from [`plan`]'s carrier.
fn with_carrier(mut given: Given) -> Given {
    given.free_switch.allowed_peers.push("192.168.0.0/16".to_owned());
    given
}

/// A call from a carrier within the private ranges, which are allowed unless the spec says otherwise.
pub(super) fn plan(number: &str) -> CallPlan {
    CallPlan::new(number).network_addr("192.168.1.5")
}

async fn pod(behaviour: Behaviour) -> TestPod {
    TestPod::start("127.0.0.1:0", behaviour).await.unwrap()
}

async fn first_call(pod: &TestPod) -> PodCall {
    pod.call(0, SOON).await.expect("a call")
}

/// An address where nobody listens: free a moment ago.
pub(super) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn hang_up(cause: &str) -> String {
    format!("connect\n\nsendmsg\ncall-command: hangup\nhangup-cause: {cause}\n\n")
}

/// What the dialplan bridged to, in order.
pub(super) fn bridges(outcome: &CallOutcome) -> Vec<&str> {
    let bridges = outcome.timeline.iter().filter_map(|event| match &event.what {
        Happening::Action { application, data } if application == "bridge" => Some(data.as_str()),
        _ => None,
    });
    bridges.collect()
}

#[tokio::test]
async fn a_call_is_answered_by_a_pod_that_is_shown_the_token() {
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("+493012345").from("+15550007"));
    call.answered(SOON).await.unwrap();
    let seen = first_call(&pod).await;
    assert_eq!(seen.header("variable_sip_h_X-Sofia-Token").as_deref(), Some("not-a-real-token"));
    assert_eq!(seen.header("variable_sip_h_X-Call-UUID"), Some(call.uuid()));
    assert_eq!(seen.header("variable_sip_h_X-Attempt").as_deref(), Some("1"));
    assert_eq!(seen.header("Caller-Destination-Number").as_deref(), Some("%2B493012345"));
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.sip_status, outcome.attempts, outcome.ended_by), (200, 1, EndedBy::Caller));
}

#[tokio::test]
async fn callers_of_every_kind_reach_a_pod() {
    let pod = pod(Behaviour::Tone).await;
    let switch = switch(&Given::minimal(), pod.address());
    let callers: Vec<(CallPlan, &str)> = vec![
        (plan("100").codecs("opus"), "L16/16000"),
        (plan("100").codecs("opus,PCMU"), "L16/16000"),
        (plan("100").codecs("PCMU").offer(OfferKind::Late), "PCMU/8000"),
        (plan("100").codecs("PCMU").offer(OfferKind::CryptoInAvp), "PCMU/8000"),
        (plan("100").codecs("G722,PCMU").requires_100rel(), "G722/8000"),
        (plan("100").codecs("PCMU").name("A \"quoted\"\nname"), "PCMU/8000"),
        (plan("100").codecs("PCMU").from("a{b}${uuid}"), "PCMU/8000"),
    ];
    for (at, (caller, codec)) in callers.into_iter().enumerate() {
        let call = switch.dial(caller);
        call.answered(SOON).await.unwrap_or_else(|error| panic!("caller {at}: {error}"));
        let offer = pod.call(at, SOON).await.unwrap().header("variable_switch_r_sdp").unwrap();
        let map = offer.split("rtpmap").nth(1).unwrap_or_default().replace("%2F", "/");
        assert!(map.contains(codec), "caller {at}: {offer}");
        call.hang_up();
        call.outcome().await;
    }
}

#[tokio::test]
async fn the_token_is_not_among_what_the_callers_side_is_sent() {
    let outcome = switch(&Given::minimal(), &nobody()).call(plan("1")).await;
    assert_eq!(outcome.sip_status, 503);
    assert!(
        outcome.sip_headers.iter().all(|(name, value)| name == RETRY_AFTER && value == "30"),
        "{:?}",
        outcome.sip_headers
    );
}

#[tokio::test]
async fn a_switch_that_is_drained_takes_no_new_calls_and_keeps_those_it_has_from_pod_to_pod() {
    let pod = pod(Behaviour::Tone).await;
    let switch = switch(&Given::minimal(), pod.address());
    let call = switch.dial(plan("15550100"));
    call.answered(SOON).await.unwrap();
    assert!(switch.api(&format!("global_setvar {DRAINING_VARIABLE}=true")).starts_with("+OK"));
    let refused = switch.call(plan("15550100")).await;
    assert_eq!((refused.sip_status, refused.attempts), (503, 0));
    assert_eq!(refused.sip_headers[RETRY_AFTER], "30");
    first_call(&pod).await.close();
    call.wait_until("another pod", SOON, |call| call.legs.len() == 2).await.unwrap();
    call.hang_up();
    assert_eq!(call.outcome().await.ended_by, EndedBy::Caller);
}

#[tokio::test]
async fn a_caller_whose_pod_is_lost_goes_on_with_another_one() {
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("15550100"));
    call.agent_speaks(SOON).await.unwrap();
    first_call(&pod).await.close();
    call.wait_until("a takeover", SOON, |call| call.legs.len() == 2 && call.legs[1].received > 0).await.unwrap();
    let next = pod.call(1, SOON).await.unwrap();
    assert_eq!(next.header("variable_sip_h_X-Attempt").as_deref(), Some("1"));
    assert_eq!(next.header("variable_sip_h_X-Earlier-Attempts").as_deref(), Some("1"));
    assert_eq!(next.header("variable_sip_h_X-Call-UUID"), Some(call.uuid()));
    assert_eq!(next.header("Caller-Destination-Number").as_deref(), Some("15550100"));
    assert_eq!(next.header("variable_sip_h_X-Sofia-Token").as_deref(), Some("not-a-real-token"));
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.attempts, outcome.ended_by), (2, EndedBy::Caller));
}

#[tokio::test]
async fn twenty_callers_of_a_killed_pod_go_on_where_a_second_has_24_sessions() {
    let (lost, next) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let switch = switch_with(&Given::minimal().at(24), lost.address(), next.address());
    let mut calls = Vec::new();
    while calls.len() < 20 {
        let call = switch.dial(plan("15550100").deaf());
        if call.answered(PATIENCE).await.is_ok() {
            calls.push(call);
        }
    }
    lost.kill();
    for call in &calls {
        let moved = |call: &Snapshot| call.legs.len() == 2 && call.legs[1].received > 0;
        call.wait_until("the next pod", PATIENCE, moved).await.unwrap();
    }
    for call in calls {
        call.hang_up();
        assert_eq!(call.outcome().await.ended_by, EndedBy::Caller);
    }
}

#[tokio::test]
async fn a_call_is_handed_over_more_often_than_it_may_be_lost() {
    const HANDOVERS: usize = 11;
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("15550100"));
    for leg in 1..=HANDOVERS {
        let taken = pod.call(leg - 1, SOON).await.expect("a call");
        call.wait_until("a leg", SOON, |call| call.legs.len() == leg && call.legs[leg - 1].received > 0).await.unwrap();
        let earlier = (leg - 1).to_string();
        assert_eq!(taken.header("variable_sip_h_X-Earlier-Attempts"), Some(earlier));
        assert_eq!(taken.header("variable_sip_h_X-Attempt").as_deref(), Some("1"));
        taken.send(&format!("api uuid_setvar {} sofia_phone_handed_over {leg}\n\n", call.uuid()));
        taken.close();
    }
    // From here on it is lost, not handed over: that is counted.
    for (lost, attempt) in ["1", "2", "3", "4", "5", "6", "7", "8", "9"].into_iter().enumerate() {
        let taken = pod.call(HANDOVERS + lost, SOON).await.expect("a call");
        call.wait_until("a leg", SOON, |call| call.legs.len() == HANDOVERS + lost + 1).await.unwrap();
        assert_eq!(taken.header("variable_sip_h_X-Attempt").as_deref(), Some(attempt));
        taken.close();
    }
    assert_eq!(call.outcome().await.ended_by, EndedBy::Switch);
}

#[tokio::test]
async fn a_caller_who_talks_may_go_on_with_a_pod_that_takes_no_new_calls() {
    let (open, late) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let call = switch_with(&Given::minimal(), open.address(), late.address()).dial(plan("15550100"));
    call.agent_speaks(SOON).await.unwrap();
    assert_eq!(first_call(&open).await.header("variable_sip_h_X-Answered").as_deref(), Some("false"));
    open.kill();
    call.wait_until("a takeover", SOON, |call| call.legs.len() == 2 && call.legs[1].received > 0).await.unwrap();
    assert_eq!(first_call(&late).await.header("variable_sip_h_X-Answered").as_deref(), Some("true"));
    call.hang_up();
    assert_eq!(call.outcome().await.ended_by, EndedBy::Caller);
}

#[tokio::test]
async fn a_caller_who_talks_is_not_cut_off_by_a_pods_refusal() {
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("1"));
    call.agent_speaks(SOON).await.unwrap();
    first_call(&pod).await.send("sendmsg\ncall-command: hangup\nhangup-cause: CALL_REJECTED\n\n");
    call.wait_until("a takeover", SOON, |call| call.legs.len() == 2 && call.legs[1].received > 0).await.unwrap();
    call.hang_up();
    assert_eq!(call.outcome().await.attempts, 2);
}

#[tokio::test]
async fn with_every_pod_full_the_caller_gets_503_and_a_time_to_come_back() {
    let switch = switch(&Given::minimal(), &nobody());
    let outcome = switch.call(plan("15550100").wait_for_agent()).await;
    assert_eq!((outcome.answered, outcome.sip_status, outcome.attempts), (false, 503, 5));
    assert_eq!(outcome.sip_headers.get(RETRY_AFTER).map(String::as_str), Some("30"));
    assert_eq!(outcome.cause, Cause::NORMAL_TEMPORARY_FAILURE);
    assert_eq!(outcome.count(|what| matches!(what, Happening::EslRefused { .. })), 15);
    assert!(switch.idle(SOON).await);
}

#[tokio::test]
async fn an_answered_caller_whom_no_pod_takes_over_is_hung_up_with_a_failure() {
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("1"));
    call.agent_speaks(SOON).await.unwrap();
    pod.kill();
    let outcome = call.outcome().await;
    assert_eq!((outcome.answered, outcome.attempts, outcome.ended_by), (true, 1 + 9, EndedBy::Switch));
    assert_eq!(outcome.cause, Cause::NORMAL_TEMPORARY_FAILURE);
}

#[tokio::test]
async fn a_pods_wilful_end_is_final() {
    for (cause, status, ended) in [
        ("CALL_REJECTED", 486, "USER_BUSY"),
        ("INCOMPATIBLE_DESTINATION", 488, "INCOMPATIBLE_DESTINATION"),
        ("NORMAL_CLEARING", 480, "NORMAL_CLEARING"),
    ] {
        let pod = pod(Behaviour::Hang).await;
        let call = switch(&Given::minimal(), pod.address()).dial(plan("1"));
        first_call(&pod).await.send(&hang_up(cause));
        let outcome = call.outcome().await;
        assert_eq!((outcome.attempts, outcome.sip_status, outcome.cause.name()), (1, status, ended), "{cause}");
        assert_eq!(outcome.sip_headers.get(RETRY_AFTER), None);
    }
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("1"));
    call.answered(SOON).await.unwrap();
    first_call(&pod).await.send("sendmsg\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING\n\n");
    let outcome = call.outcome().await;
    assert_eq!((outcome.attempts, outcome.cause, outcome.ended_by), (1, Cause::NORMAL_CLEARING, EndedBy::Switch));
}

#[tokio::test]
async fn a_passing_failure_of_a_pod_leads_to_the_next_attempt() {
    let pod = pod(Behaviour::Hang).await;
    let call = switch(&Given::minimal(), pod.address()).dial(plan("1"));
    first_call(&pod).await.send(&hang_up("NORMAL_TEMPORARY_FAILURE"));
    assert!(pod.call(1, SOON).await.is_some());
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn only_the_trunks_numbers_and_the_echo_number_are_answered() {
    let pod = pod(Behaviour::Echo).await;
    let switch = switch(&with_carrier(Given::full()), pod.address());
    for number in ["+493012345", "100", "200", "*99"] {
        let call = switch.dial(plan(number));
        call.answered(SOON).await.unwrap();
        call.hang_up();
        call.outcome().await;
    }
    for number in ["+4930", "+4930x", "493012345", "300", "1001", "x100", "99", "**99", "9999", "sales"] {
        let outcome = switch.call(plan(number)).await;
        assert_eq!((outcome.sip_status, outcome.attempts), (404, 0), "{number}");
    }
}

#[tokio::test]
async fn only_allowed_peers_bring_calls() {
    let mut given = Given::minimal();
    given.free_switch.allowed_peers = vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
    let switch = switch(&given, &nobody());
    for (address, attempts) in
        [("203.0.113.9", 5), ("2001:db8::9", 5), ("203.0.114.9", 0), ("10.0.0.1", 0), ("127.0.0.1", 0)]
    {
        let outcome = switch.call(plan("100").network_addr(address)).await;
        assert_eq!(outcome.attempts, attempts, "{address}");
    }
}

#[tokio::test]
async fn nobody_can_dial_into_the_middle_of_a_call() {
    let pod = pod(Behaviour::Echo).await;
    let switch = switch(&with_carrier(Given::full()), pod.address());
    for number in ["ended-1-", "ended-2-MEDIA_TIMEOUT", "ended-5-NORMAL_CLEARING", "attempt-2"] {
        let outcome = switch.call(plan(number)).await;
        assert_eq!((outcome.sip_status, outcome.attempts), (404, 0), "{number}");
    }
    assert_eq!(pod.call_count(), 0);
}

/// Transfers a caller of this trunk, and says what became of the call after a moment: the last of its bridges.
async fn transferred(given: Given, destination: &str) -> CallOutcome {
    let pod = pod(Behaviour::Mute).await;
    let call = switch(&with_carrier(given), pod.address()).dial(plan("100"));
    call.answered(SOON).await.unwrap();
    first_call(&pod).await.send(&format!("api uuid_transfer {} {destination} XML transfer\n\n", call.uuid()));
    let outside = |what: &Happening| matches!(what, Happening::BridgedOutside { .. });
    // Or the call ends, which is an end too.
    let settled = call.wait_until("the transfer's end", SOON, |call| call.legs.len() > 1 || call.happened(outside));
    let _ = settled.await;
    call.hang_up();
    call.outcome().await
}

#[tokio::test]
async fn a_transfer_goes_out_through_the_first_gateway_or_the_one_that_is_named() {
    for (gateway, expected) in [(None, "carrier-a"), (Some("carrier-b"), "carrier-b")] {
        let mut given = Given::full();
        given.transfers.gateway = gateway.map(str::to_owned);
        let outcome = transferred(given, "+15559999").await;
        let to = format!("[leg_timeout=30]sofia/gateway/{expected}/+15559999");
        assert_eq!(bridges(&outcome).last(), Some(&to.as_str()));
    }
}

#[tokio::test]
async fn a_name_leads_to_its_number_and_the_other_side_sees_the_trunks() {
    for destination in ["reception", "Reception", "100"] {
        let mut given = Given::full();
        given.transfers.caller_id = Some("+4930555000".to_owned());
        let outcome = transferred(given, destination).await;
        let to = "[leg_timeout=30,origination_caller_id_number=+4930555000,origination_caller_id_name=+4930555000,\
                  sip_cid_type=pid]sofia/gateway/carrier-a/100";
        assert_eq!(bridges(&outcome).last(), Some(&to), "{destination}");
    }
}

#[tokio::test]
async fn a_caller_who_is_sent_where_nobody_is_comes_back_to_the_agent() {
    let off = Given { transfers: Transfers::default(), ..Given::full() };
    for (given, destination) in [
        (Given::minimal(), "+15559999"),
        (off, "+15559999"),
        (Given::full(), "+1900555999"),
        (Given::full(), "+155599990"),
        (Given::full(), "1000"),
        (Given::full(), "receptionist"),
        (Given::full(), "sip:anna@example.com"),
        (Given::full(), "1@example.com"),
        (Given::full(), "1,sofia/gateway/carrier-b/2"),
        (Given::full(), "${uuid}"),
    ] {
        let outcome = transferred(given.clone(), destination).await;
        assert!(bridges(&outcome).iter().all(|to| !to.contains("gateway")), "{destination}");
        assert_eq!((outcome.attempts, outcome.ended_by), (2, EndedBy::Caller), "{destination}: back with a pod");
        let mut given = given;
        given.transfers.on_failure = TransferFailure::HangUp;
        let outcome = transferred(given, destination).await;
        assert_eq!((outcome.cause, outcome.attempts), (Cause::NO_ROUTE_DESTINATION, 1), "{destination}");
    }
}

#[tokio::test]
async fn the_pod_that_gets_a_caller_back_is_told_why_and_looks_for_the_conversation() {
    let pod = pod(Behaviour::Mute).await;
    let switch = SwitchBuilder::from_xml(with_carrier(Given::full()).render().unwrap())
        .with_variable("local_ip_v4", "127.0.0.1")
        .with_host_alias(ESL, pod.address())
        .with_host_alias(PODS, pod.address())
        .with_outside_failure("+15559999", Cause::NO_ANSWER)
        .start()
        .unwrap();
    let call = switch.dial(plan("100"));
    call.answered(SOON).await.unwrap();
    first_call(&pod).await.send(&format!("api uuid_transfer {} +15559999 XML transfer\n\n", call.uuid()));
    let next = pod.call(1, SOON).await.expect("the caller is back");
    assert_eq!(next.header("variable_sip_h_X-Transfer-Failed").as_deref(), Some("NO_ANSWER"));
    assert_eq!(next.header("variable_sip_h_X-Answered").as_deref(), Some("true"));
    assert_eq!(next.header("variable_sip_h_X-Earlier-Attempts").as_deref(), Some("1"), "there is a state to be read");
    // Should this pod be lost too, the next one has the caller.
    next.close();
    pod.call(2, SOON).await.expect("the next pod");
    call.hang_up();
    assert_eq!(call.outcome().await.ended_by, EndedBy::Caller);
}
