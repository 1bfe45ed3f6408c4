//! Whole calls through a switch made from the crate's own `freeswitch.xml`, to pods that are only good for tests.

use std::time::Duration;

use switchsim::pod::{Behaviour, PodCall, TestPod};
use switchsim::{CallPlan, Cause, Clip, EndedBy, Happening, Impairments, Progress, Switch, SwitchBuilder};

const SOON: Duration = Duration::from_secs(10);

fn switch(pods: &[&TestPod]) -> Switch {
    let hosts: Vec<&str> = pods.iter().map(|pod| pod.address()).collect();
    SwitchBuilder::demo().unwrap().with_esl_hosts(&hosts).start().unwrap()
}

async fn pod(behaviour: Behaviour) -> TestPod {
    TestPod::start("127.0.0.1:0", behaviour).await.unwrap()
}

async fn first_call(pod: &TestPod) -> PodCall {
    pod.call(0, SOON).await.expect("a call")
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_call_is_answered_and_both_sides_hear() {
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&[&pod]).dial(CallPlan::new("9999"));
    call.answered(SOON).await.unwrap();
    call.start_saying(&Clip::tone(1_000.0, Duration::from_millis(600)));
    call.agent_finishes(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.answered, outcome.sip_status, outcome.attempts), (true, 200, 1));
    assert_eq!((outcome.cause, outcome.ended_by), (Cause::NORMAL_CLEARING, EndedBy::Caller));
    let leg = &outcome.legs[0];
    assert_eq!((leg.codec.as_str(), leg.ptime_ms, leg.lost, leg.foreign, leg.malformed), ("PCMU/8000", 20, 0, 0, 0));
    assert!(leg.received > 0 && leg.received <= leg.sent, "{leg:?}");
    let spoke: f64 = outcome.agent_speech.iter().map(|burst| burst.end_ms - burst.start_ms).sum();
    assert!(spoke > 300.0, "{:?}", outcome.agent_speech);
    assert!(outcome.heard.iter().any(|sample| sample.unsigned_abs() > 8_000), "the tone comes back");
}

#[tokio::test]
async fn the_pod_is_told_who_calls_whatever_the_name_is() {
    let pod = pod(Behaviour::Echo).await;
    let plan = CallPlan::new("15550100").from("+15550007").name("Zoë \"Z\"\r\nX-Evil: 1");
    let call = switch(&[&pod]).dial(plan);
    call.answered(SOON).await.unwrap();
    let seen = first_call(&pod).await;
    assert_eq!(seen.header("Caller-Caller-ID-Number").as_deref(), Some("%2B15550007"));
    assert_eq!(seen.header("Caller-Caller-ID-Name").as_deref(), Some("anonymous"));
    seen.send(&format!("api uuid_getvar {} caller_id_name\n\n", call.uuid()));
    assert!(seen.hears("Content-Length: 19\n\nZoë \"Z\"\r\nX-Evil: 1", SOON).await, "{}", seen.log());
    assert_eq!(seen.header("variable_sip_h_X-Call-UUID"), Some(call.uuid()));
    assert_eq!(seen.header("X-Evil"), None);
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn a_pod_that_refuses_is_passed_over_within_the_attempt() {
    let pod = pod(Behaviour::Echo).await;
    let switch =
        SwitchBuilder::demo().unwrap().with_esl_hosts(&[nobody().await, pod.address().to_owned()]).start().unwrap();
    let call = switch.dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.attempts, 1);
    assert_eq!(outcome.count(|what| matches!(what, Happening::EslRefused { .. })), 1);
}

#[tokio::test]
async fn with_every_pod_full_the_caller_gets_503_and_a_time_to_come_back() {
    let switch = SwitchBuilder::demo().unwrap().with_esl_hosts(&[nobody().await, nobody().await]).start().unwrap();
    let outcome = switch.call(CallPlan::new("15550100").wait_for_agent()).await;
    assert_eq!((outcome.answered, outcome.sip_status, outcome.attempts), (false, 503, 3));
    assert_eq!(outcome.sip_headers.get("Retry-After").map(String::as_str), Some("30"));
    assert_eq!(outcome.cause, Cause::NORMAL_TEMPORARY_FAILURE);
    assert_eq!(outcome.script_error, None);
    assert!(switch.idle(SOON).await);
}

#[tokio::test]
async fn a_connection_that_is_closed_before_connect_holds_the_attempt_until_its_time_is_up() {
    let (closes, takes) = (pod(Behaviour::Close).await, pod(Behaviour::Echo).await);
    let call = switch(&[&closes, &takes]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.attempts, outcome.count(|what| *what == Happening::LegTimeout)), (2, 1));
}

#[tokio::test]
async fn a_pod_that_says_that_it_takes_no_call_is_passed_over_at_once() {
    let (refuses, takes) = (pod(Behaviour::Refuse).await, pod(Behaviour::Echo).await);
    let call = switch(&[&refuses, &takes]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.attempts, outcome.count(|what| *what == Happening::LegTimeout)), (2, 0));
}

#[tokio::test]
async fn the_next_pod_of_a_caller_who_holds_is_told_to_be_silent_unless_the_bridge_says_otherwise() {
    for (left_out, silent) in [("", false), (",origination_audio_mode=sendrecv", true)] {
        let (first, second) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
        let xml = include_str!("../freeswitch.xml");
        assert!(xml.contains(left_out));
        let xml = if left_out.is_empty() { xml.to_owned() } else { xml.replace(left_out, "") };
        let hosts = [first.address(), second.address()];
        let call = SwitchBuilder::from_xml(xml).with_esl_hosts(&hosts).start().unwrap().dial(CallPlan::new("1"));
        call.agent_speaks(SOON).await.unwrap();
        call.hold();
        first.kill();
        let offer = first_call(&second).await.header("variable_switch_r_sdp").unwrap();
        assert_eq!(offer.contains("a%3Dsendonly"), silent, "{offer}");
        call.hang_up();
        call.outcome().await;
    }
}

#[tokio::test]
async fn another_pod_takes_over_when_one_dies_and_finds_the_state_on_leg_a() {
    let (first, second) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let call = switch(&[&first, &second]).dial(CallPlan::new("15550100"));
    call.agent_speaks(SOON).await.unwrap();
    let seen = first_call(&first).await;
    let caller = call.uuid();
    seen.send(&format!("api uuid_setvar {caller} sofia_state some words\n\n"));
    assert!(seen.hears("+OK\n", SOON).await, "{}", seen.log());
    first.kill();
    call.wait_until("a takeover", SOON, |call| call.legs.len() == 2 && call.legs[1].received > 0).await.unwrap();
    let next = first_call(&second).await;
    assert_eq!(next.header("variable_sip_h_X-Attempt").as_deref(), Some("2"));
    let offer = next.header("variable_switch_r_sdp").unwrap();
    assert!(offer.contains("RTP/AVP%209%200%208%20101%2013"), "the pods' codecs, as at first: {offer}");
    next.send(&format!("api uuid_getvar {caller} sofia_state\n\n"));
    assert!(next.hears("Content-Length: 10\n\nsome words", SOON).await, "{}", next.log());
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.attempts, outcome.legs.len()), (2, 2));
    assert!(outcome.answered && outcome.ended_by == EndedBy::Caller);
    assert_eq!(outcome.variables.get("sofia_state").map(String::as_str), Some("some words"));
    let lost = Happening::LegEnded { attempt: 1, cause: Cause::NORMAL_TEMPORARY_FAILURE };
    assert_eq!(outcome.count(|what| *what == lost), 1);
    assert!(outcome.longest_gap_ms >= 40.0, "two ticks of FreeSWITCH at least: {}", outcome.longest_gap_ms);
}

#[tokio::test]
async fn a_pod_that_goes_mute_is_replaced_after_the_media_timeout() {
    let (first, second) = (pod(Behaviour::Tone).await, pod(Behaviour::Tone).await);
    let call = switch(&[&first, &second]).dial(CallPlan::new("1"));
    call.agent_speaks(SOON).await.unwrap();
    first.freeze();
    call.wait_until("a takeover", SOON, |call| call.legs.len() == 2 && call.legs[1].received > 0).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.count(|what| *what == Happening::MediaTimeout), 1);
    assert!(
        outcome.longest_gap_ms >= 1_000.0 && outcome.gaps.iter().any(|gap| gap.ms >= 1_000.0),
        "{:?}",
        outcome.gaps
    );
}

#[tokio::test]
async fn a_pod_that_accepts_and_never_answers_is_left_after_the_leg_timeout() {
    let (first, second) = (pod(Behaviour::Hang).await, pod(Behaviour::Echo).await);
    let call = switch(&[&first, &second]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.attempts, 2);
    assert_eq!(outcome.count(|what| *what == Happening::LegTimeout), 1);
    assert_eq!((first.call_count(), second.call_count()), (1, 1));
}

#[tokio::test]
async fn a_pod_that_hangs_up_on_purpose_ends_the_call() {
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    first_call(&pod).await.send("sendmsg\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING\n\n");
    let outcome = call.outcome().await;
    assert_eq!((outcome.ended_by, outcome.cause, outcome.attempts), (EndedBy::Switch, Cause::NORMAL_CLEARING, 1));
}

#[tokio::test]
async fn a_transferred_caller_hears_somebody_else_and_the_pod_is_free() {
    let pod = pod(Behaviour::Mute).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    let seen = first_call(&pod).await;
    seen.send(&format!("api uuid_transfer {} +15559999 XML transfer\n\n", call.uuid()));
    assert!(seen.hears("Event-Name: CHANNEL_HANGUP_COMPLETE", SOON).await, "{}", seen.log());
    assert!(seen.log().contains("Content-Type: api/response\nContent-Length: 4\n\n+OK\n"));
    call.agent_speaks(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.attempts, 1);
    let to = Happening::Transferred { destination: "+15559999".to_owned(), context: "transfer".to_owned() };
    assert_eq!(outcome.count(|what| *what == to), 1);
}

#[tokio::test]
async fn digits_reach_the_pod_as_telephone_events() {
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.dtmf("5#").await;
    let ends = |packets: &[Vec<u8>], event: u8| {
        let is_end = |packet: &&Vec<u8>| packet[1] & 0x7F == 101 && packet[12] == event && packet[13] & 0x80 != 0;
        packets.iter().filter(is_end).count()
    };
    assert!(pod.receives(SOON, |packets| ends(packets, 5) == 3 && ends(packets, 11) == 3).await);
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn digits_from_the_pod_are_heard_once_each() {
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.dtmf("1223*").await;
    call.wait_until("the echo of the digits", SOON, |call| call.digits == "1223*").await.unwrap();
    call.hang_up();
    assert_eq!(call.outcome().await.digits(), "1223*");
}

#[tokio::test]
async fn on_hold_nothing_is_sent_and_nothing_heard() {
    let pod = pod(Behaviour::Tone).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.agent_speaks(SOON).await.unwrap();
    call.hold();
    let held =
        call.wait_until("quiet", SOON, |call| call.agent_quiet_for > Some(Duration::from_millis(400))).await.unwrap();
    let sent = held.legs[0].sent;
    let later =
        call.wait_until("more packets", SOON, |call| call.packets_received > held.packets_received + 10).await.unwrap();
    assert_eq!(later.legs[0].sent, sent, "the pod still sends, the caller does not");
    call.unhold();
    call.agent_speaks(SOON).await.unwrap();
    call.hang_up();
    call.outcome().await;
}

#[tokio::test]
async fn what_is_said_is_stamped_when_it_leaves_and_not_when_it_is_asked_for() {
    let pod = pod(Behaviour::Mute).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    let clip = Clip::tone(440.0, Duration::from_millis(800));
    // Asked for at once, said one after the other.
    call.start_saying(&clip);
    call.say(&clip).await;
    call.hang_up();
    let outcome = call.outcome().await;
    let said = |event: &&switchsim::TimelineEvent| matches!(event.what, Happening::Said { .. });
    let at: Vec<f64> = outcome.timeline.iter().filter(said).map(|event| event.at_ms).collect();
    // Frames that were late are caught up with, so the first may have been late and the second not.
    assert!(at.len() == 2 && at[1] - at[0] > 400.0, "{at:?}");
}

#[tokio::test]
async fn a_deaf_caller_counts_what_comes_as_a_listening_one_does() {
    let pod = pod(Behaviour::Echo).await;
    let switch = switch(&[&pod]);
    for plan in [CallPlan::new("1"), CallPlan::new("1").deaf()] {
        let call = switch.dial(plan);
        call.wait_until("packets", SOON, |call| call.packets_received >= 50).await.unwrap();
        call.hang_up();
        let outcome = call.outcome().await;
        let leg = &outcome.legs[0];
        assert_eq!((leg.lost, leg.reordered, leg.foreign, leg.malformed), (0, 0, 0, 0), "{leg:?}");
        assert!(leg.received <= leg.sent && leg.first_packet_ms.is_some(), "{leg:?}");
    }
}

#[tokio::test]
async fn a_lossy_network_loses_what_it_should() {
    let pod = pod(Behaviour::Echo).await;
    let network = Impairments { loss: 0.2, seed: 5, ..Impairments::default() };
    let call = switch(&[&pod]).dial(CallPlan::new("1").impairments(network));
    call.wait_until("packets", SOON, |call| call.packets_received >= 100).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    let leg = &outcome.legs[0];
    assert!(leg.dropped > 5, "{leg:?}");
    assert!(leg.lost > 5 && leg.lost <= leg.dropped, "the echo shows the same holes: {leg:?}");
}

#[tokio::test]
async fn a_caller_who_gives_up_cancels_the_pod() {
    let pod = pod(Behaviour::Hang).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    let seen = first_call(&pod).await;
    seen.send("connect\n\nlinger 1\n\nmyevents plain\n\n");
    assert!(seen.hears("+OK Events Enabled", SOON).await, "{}", seen.log());
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!((outcome.answered, outcome.sip_status, outcome.cause), (false, 487, Cause::ORIGINATOR_CANCEL));
    assert!(seen.hears("Hangup-Cause: ORIGINATOR_CANCEL", SOON).await, "{}", seen.log());
    assert!(seen.hears("Content-Disposition: disconnect", SOON).await, "{}", seen.log());
}

#[tokio::test]
async fn an_sdp_that_makes_no_sense_ends_the_leg_and_the_next_pod_gets_the_call() {
    let (first, second) = (pod(Behaviour::Hang).await, pod(Behaviour::Echo).await);
    let call = switch(&[&first, &second]).dial(CallPlan::new("1"));
    let seen = first_call(&first).await;
    seen.send(
        "connect\n\nsendmsg\ncall-command: execute\nexecute-app-name: set\ncontent-length: 18\n\nswitch_m_sdp=v=0\r\n",
    );
    seen.send("sendmsg\ncall-command: execute\nexecute-app-name: answer\n\n");
    call.answered(SOON).await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    assert_eq!(outcome.attempts, 2);
    let refused = Happening::LegEnded { attempt: 1, cause: Cause::INCOMPATIBLE_DESTINATION };
    assert_eq!(outcome.count(|what| *what == refused), 1);
}

#[tokio::test]
async fn a_number_that_matches_nothing_is_not_found() {
    let outcome = switch(&[]).call(CallPlan::new("nonsense")).await;
    assert_eq!((outcome.sip_status, outcome.cause), (404, Cause::NO_ROUTE_DESTINATION));
}

#[tokio::test]
async fn a_script_that_waits_in_vain_says_so_and_hangs_up() {
    let pod = pod(Behaviour::Echo).await;
    let plan = CallPlan::new("1").step_timeout(Duration::from_millis(300)).wait_for_agent();
    let outcome = switch(&[&pod]).call(plan).await;
    let error = outcome.script_error.unwrap();
    assert!(error.contains("step 1 (WaitForAgent)"), "{error}");
    assert_eq!(outcome.ended_by, EndedBy::Caller);
}

#[tokio::test]
async fn many_calls_share_the_media_thread_and_leave_nothing_behind() {
    let pod = pod(Behaviour::Echo).await;
    let switch = switch(&[&pod]);
    let plan = switchsim::load::LoadPlan {
        to: "1".to_owned(),
        calls: 20,
        rate: 0.0,
        duration: Duration::from_millis(500),
        speech: Some(Clip::tone(500.0, Duration::from_millis(200))),
    };
    let report = switchsim::load::run(&switch, &plan).await;
    assert_eq!((report.calls, report.answered, report.cut, report.one_way), (20, 20, 0, 0));
    assert_eq!((report.lost, report.foreign, report.send_errors), (0, 0, 0));
    assert!(switch.idle(SOON).await);
}

#[tokio::test]
async fn a_handle_tells_how_far_the_call_is() {
    let pod = pod(Behaviour::Echo).await;
    let call = switch(&[&pod]).dial(CallPlan::new("1"));
    assert_eq!(call.snapshot().progress, Progress::Dialling);
    call.reaches(Progress::Answered).await;
    assert_eq!(call.variable("sofia_phone_dialed").as_deref(), Some("1"));
    call.hang_up();
    call.reaches(Progress::Ended).await;
    assert!(call.wait_until("what never comes", SOON, |_| false).await.unwrap_err().ended);
}
