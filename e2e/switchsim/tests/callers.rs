//! Callers as carriers and telephones bring them: each gets through with the crate's own `freeswitch.xml`, and is lost, as on a real
//! FreeSWITCH, where the part of it that is for them is taken out.

use std::time::Duration;

use switchsim::pod::{Behaviour, PodCall, TestPod};
use switchsim::{CallPlan, Happening, OfferKind, SwitchBuilder};

const SOON: Duration = Duration::from_secs(10);
const CONFIGURATION: &str = include_str!("../freeswitch.xml");
const CODECS: &str = "absolute_codec_string=${sofia_phone_codecs},";

async fn pod() -> TestPod {
    TestPod::start("127.0.0.1:0", Behaviour::Tone).await.unwrap()
}

/// A switch whose configuration has `left_out` nowhere.
fn switch(pod: &TestPod, left_out: &str) -> switchsim::Switch {
    assert!(CONFIGURATION.contains(left_out), "{left_out}");
    let builder = SwitchBuilder::from_xml(if left_out.is_empty() {
        CONFIGURATION.to_owned()
    } else {
        CONFIGURATION.replace(left_out, "")
    });
    builder.with_esl_hosts(&[pod.address()]).start().unwrap()
}

/// What a pod was offered: the m-line's formats.
fn offered(call: &PodCall) -> String {
    // A caller who is answered before the pod has the call may be gone before the pod was told anything.
    let sdp = decoded(&call.header("variable_switch_r_sdp").unwrap_or_default());
    let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap_or_default();
    media.split_once("RTP/AVP ").unwrap_or_default().1.to_owned()
}

/// Undoes the percent-encoding of an event's header.
fn decoded(header: &str) -> String {
    let mut parts = header.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Offers to the pod, and whether the caller was answered.
async fn call(pod: &TestPod, plan: CallPlan, left_out: &str) -> (Vec<String>, bool) {
    let before = pod.call_count();
    let call = switch(pod, left_out).dial(plan);
    let answered = call.answered(SOON).await.is_ok();
    call.hang_up();
    call.outcome().await;
    let mut offers = Vec::new();
    for at in before..pod.call_count() {
        offers.push(offered(&pod.call(at, SOON).await.unwrap()));
    }
    (offers, answered)
}

#[tokio::test]
async fn a_callers_own_codec_goes_straight_through_and_opus_comes_as_wideband() {
    let pod = pod().await;
    for (codecs, formats) in [
        ("opus", "102 9 0 8 103 104 101 13"),
        ("opus,PCMU", "102 9 0 8 103 104 101 13"),
        ("opus,G722,PCMU,PCMA", "102 9 0 8 103 104 101 13"),
        ("G722,PCMU,PCMA", "9 0 8 101 13"),
        ("PCMU,opus", "0 8 101 13"),
        ("PCMU", "0 8 101 13"),
        ("PCMA,PCMU", "8 101 13"),
    ] {
        let (offers, _) = call(&pod, CallPlan::new("1").codecs(codecs), "").await;
        assert_eq!(offers[0], formats, "{codecs}");
    }
}

#[tokio::test]
async fn left_alone_the_pod_is_offered_what_the_caller_offered() {
    let pod = pod().await;
    for (codecs, formats, taken) in [
        ("opus", "102 103 104 101 13", false),
        ("opus,PCMU", "102 0 103 104 101 13", true),
        ("G722", "9 101 13", false),
    ] {
        let (offers, answered) = call(&pod, CallPlan::new("1").codecs(codecs), CODECS).await;
        assert_eq!((offers[0].as_str(), answered), (formats, taken), "{codecs}");
    }
}

#[tokio::test]
async fn a_caller_with_opus_is_taken_over_with_the_pods_codecs_or_else_cut() {
    for (left_out, goes_on) in [("", true), (CODECS, false)] {
        let (first, second) = (pod().await, pod().await);
        let xml = if left_out.is_empty() { CONFIGURATION.to_owned() } else { CONFIGURATION.replace(left_out, "") };
        let hosts = [first.address(), second.address()];
        let switch = SwitchBuilder::from_xml(xml).with_esl_hosts(&hosts).start().unwrap();
        let call = switch.dial(CallPlan::new("1").codecs("opus,PCMU"));
        call.agent_speaks(SOON).await.unwrap();
        first.kill();
        let taken = |call: &switchsim::Snapshot| call.legs.len() == 2 && call.legs[1].received > 0;
        assert_eq!(call.wait_until("a takeover", SOON, taken).await.is_ok(), goes_on, "{left_out:?}");
        call.hang_up();
        call.outcome().await;
    }
}

#[tokio::test]
async fn names_that_break_a_header_are_answered_and_can_be_asked_for() {
    let pod = pod().await;
    for (number, name) in [
        ("+15550001", "A \"quoted\" name"),
        ("+15550001", "line\nfeed\r\nX-Evil: 1"),
        ("+15550001", "100%0Aoff"),
        ("+15550001", "Dr: Who/2"),
        ("100{a}", "Ann"),
        ("a\nb", ""),
        ("9".repeat(300).as_str(), "ü".repeat(300).as_str()),
    ] {
        let seen = pod.call_count();
        let switch = switch(&pod, "");
        let call = switch.dial(CallPlan::new("15550100").from(number).name(name));
        call.answered(SOON).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let leg = pod.call(seen, SOON).await.unwrap();
        assert_eq!(leg.header("variable_sip_h_X-Caller").as_deref(), Some("replaced"), "{name:?}");
        assert_eq!(leg.header("X-Evil"), None);
        for (variable, value) in [("caller_id_number", number), ("caller_id_name", name)] {
            let answer = switch.api(&format!("uuid_getvar {} {variable}", call.uuid()));
            assert_eq!(answer, if value.is_empty() { "-ERR no reply\n" } else { value });
        }
        call.hang_up();
        call.outcome().await;
    }
    for name in ["A \"quoted\" name", "line\nfeed"] {
        let plan = CallPlan::new("15550100").name(name);
        let (offers, answered) =
            call(&pod, plan, r#"<action application="set" data="effective_caller_id_name=anonymous"/>"#).await;
        assert!(offers.is_empty() && !answered, "{name:?}");
    }
}

#[tokio::test]
async fn plain_names_in_any_script_reach_the_pod_as_they_are() {
    let pod = pod().await;
    for (at, name) in ["Jürgen 日本", "a, b; c = d [e] (f) 'g' ~", "anonymous"].into_iter().enumerate() {
        let call = switch(&pod, "").dial(CallPlan::new("1").name(name));
        call.answered(SOON).await.unwrap();
        let leg = pod.call(at, SOON).await.unwrap();
        assert_eq!(decoded(&leg.header("Caller-Caller-ID-Name").unwrap()), name);
        assert_eq!(leg.header("variable_sip_h_X-Caller").as_deref(), Some("presented"));
        call.hang_up();
        call.outcome().await;
    }
}

#[tokio::test]
async fn each_habit_of_a_carrier_is_taken_or_refused_as_the_configuration_says() {
    let pod = pod().await;
    let plan = || CallPlan::new("15550100").codecs("PCMU");
    for (plan, part, status) in [
        (plan().offer(OfferKind::Late), r#"<param name="enable-3pcc" value="true"/>"#, 480),
        (plan().requires_100rel(), r#"<param name="enable-100rel" value="true"/>"#, 420),
        (
            plan().offer(OfferKind::CryptoInAvp),
            r#"<anti-action application="set" data="rtp_allow_crypto_in_avp=true"/>"#,
            488,
        ),
        (
            plan().offer(OfferKind::CryptoInAvp),
            r#"<anti-action application="set" data="rtp_secure_media_inbound=forbidden"/>"#,
            488,
        ),
    ] {
        let (_, answered) = call(&pod, plan.clone(), "").await;
        assert!(answered, "{part}");
        let refused = switch(&pod, part).call(plan).await;
        assert_eq!((refused.answered, refused.sip_status), (false, status), "{part}");
    }
}

#[tokio::test]
async fn keys_by_info_reach_the_pod_or_nobody() {
    let ends = |packets: &[Vec<u8>], event: u8| {
        packets.iter().any(|packet| packet[1] & 0x7F == 101 && packet[12] == event && packet[13] & 0x80 != 0)
    };
    let pod = pod().await;
    let call = switch(&pod, "").dial(CallPlan::new("1"));
    call.answered(SOON).await.unwrap();
    call.info("5").await;
    assert!(pod.receives(SOON, |packets| ends(packets, 5)).await);
    call.hang_up();
    call.outcome().await;

    let plan = CallPlan::new("1").info("7").dtmf("9").hang_up();
    let ignored = switch(&pod, r#"<param name="liberal-dtmf" value="true"/>"#).call(plan).await;
    assert!(pod.receives(SOON, |packets| ends(packets, 9)).await);
    assert!(!pod.receives(Duration::ZERO, |packets| ends(packets, 7)).await);
    assert_eq!(ignored.count(|what| matches!(what, Happening::Problem { .. })), 1);
}

#[tokio::test]
async fn music_on_hold_is_not_for_the_pod() {
    const MUSIC: &str = "tone_stream://%(2000,100,440,480);loops=-1";
    for (left_out, plays) in [("", false), (r#"<action application="set" data="hold_music=silence"/>"#, true)] {
        let pod = pod().await;
        let switch = switch(&pod, left_out);
        assert!(switch.api(&format!("global_setvar hold_music={MUSIC}")).starts_with("+OK"));
        let call = switch.dial(CallPlan::new("1").codecs("PCMU"));
        call.answered(SOON).await.unwrap();
        call.hold();
        let loud = |packets: &[Vec<u8>]| {
            packets.iter().any(|packet| packet[1] & 0x7F == 0 && packet[12..].iter().any(|byte| *byte & 0x7F < 0x50))
        };
        if plays {
            assert!(pod.receives(SOON, loud).await, "music");
        }
        call.unhold();
        call.start_saying(&switchsim::Clip::silence(Duration::from_millis(60)));
        call.hang_up();
        call.outcome().await;
        assert_eq!(pod.receives(Duration::ZERO, loud).await, plays);
    }
}
