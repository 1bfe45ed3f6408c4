//! Callers as carriers bring them, up to the record: each is answered by a real pod, heard, and called what they are called.

use e2e::{PATIENCE, PodProcess, switch};
use sofia_dataplane::record::MarkKind;
use switchsim::{CallPlan, OfferKind};

#[tokio::test]
async fn a_callers_name_and_number_are_in_the_record_as_they_came() {
    for (number, name, kept) in [
        ("+4915112345678", "Jürgen 日本", "Jürgen 日本"),
        ("+4915112345678", r#"A \"quoted\" {name}; 100 %"#, r#"A "quoted" {name}; 100 %"#),
        ("+4915112345678", "line\nfeed\r\nX-Evil: 1", "line\nfeed\r\nX-Evil: 1"),
        ("a{b}c", "</script><b>Dr: Who/2", "</script><b>Dr: Who/2"),
        ("anonymous", "anonymous", ""),
        ("+4915112345678", "ü".repeat(300).as_str(), "ü".repeat(300).as_str()),
    ] {
        let pod = PodProcess::builder().recording().set("LOG_CALLER_NUMBERS", true).start().await;
        let switch = switch(&[&pod.esl()]).start().unwrap();
        let call = switch.dial(CallPlan::new("15550100").from(number).name(name));
        call.agent_speaks(PATIENCE).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!((outcome.answered, outcome.attempts), (true, 1), "{name:?}");
        let record = pod.record().await;
        assert_eq!((record.caller.as_str(), record.caller_name.as_str()), (number, kept));
        assert!(pod.log().iter().all(|line| !line.contains("Evil") && !line.contains("quoted")), "{name:?}");
    }
}

#[tokio::test]
async fn a_callers_name_is_in_no_record_unless_callers_are_shown() {
    let pod = PodProcess::builder().recording().start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100").name(r#"A \"quoted\" name"#));
    call.agent_speaks(PATIENCE).await.unwrap();
    call.hang_up();
    call.outcome().await;
    assert_eq!(pod.record().await.caller_name, "");
}

#[tokio::test]
async fn callers_of_every_kind_are_heard_and_their_keys_arrive() {
    for (plan, codec) in [
        (CallPlan::new("15550100").codecs("opus"), "L16/16000"),
        (CallPlan::new("15550100").codecs("opus,PCMU"), "L16/16000"),
        (CallPlan::new("15550100").codecs("PCMA").offer(OfferKind::Late), "PCMA/8000"),
        (CallPlan::new("15550100").codecs("PCMU").offer(OfferKind::CryptoInAvp), "PCMU/8000"),
        (CallPlan::new("15550100").codecs("G722").requires_100rel(), "G722/16000"),
    ] {
        let pod = PodProcess::builder().recording().set("LOG_CALLER_NUMBERS", true).start().await;
        let switch = switch(&[&pod.esl()]).start().unwrap();
        let call = switch.dial(plan);
        call.agent_finishes(PATIENCE).await.unwrap_or_else(|error| panic!("{codec}: {error}"));
        call.dtmf("12").await;
        call.info("#").await;
        call.agent_finishes(PATIENCE).await.unwrap();
        call.hang_up();
        let outcome = call.outcome().await;
        assert_eq!(outcome.legs[0].codec, codec);
        let record = pod.record().await;
        let keys: String =
            record.marks.iter().filter(|mark| mark.kind == MarkKind::Dtmf).map(|mark| &*mark.detail).collect();
        assert_eq!(keys, "12#", "{codec}");
    }
}
