//! A fault in a backend (a panic) ends a request, not a call and not a pod: the one caller hears an apology, and the
//! others notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{PATIENCE, ScriptedBackend, likeness, settings, switch, voice};
use sofia_dataplane::Pod;
use sofia_dataplane::backend::{ReplyPart, apology};
use switchsim::CallPlan;

#[tokio::test]
async fn one_caller_hears_an_apology_and_the_others_their_answers() {
    let failed = AtomicBool::new(false);
    let backend = ScriptedBackend::new(move |_, _| {
        assert!(failed.swap(true, Ordering::SeqCst), "the first request meets a fault, on purpose");
        vec![ReplyPart::Text("Thank you. Your message has been saved.".to_owned())]
    });
    let pod = Pod::start_with(settings(&[]), Arc::new(backend)).await.unwrap();
    let switch = switch(&[&pod.esl_address().to_string()]).start().unwrap();

    let unlucky = switch.dial(CallPlan::new("15550100"));
    let other = switch.dial(CallPlan::new("15550100").from("+15550002"));
    for call in [&unlucky, &other] {
        call.agent_finishes(PATIENCE).await.unwrap();
        call.say(&voice("five_five")).await;
        call.agent_finishes(PATIENCE).await.unwrap();
    }
    // The call goes on, and so does the backend.
    unlucky.say(&voice("five_five")).await;
    unlucky.agent_finishes(PATIENCE).await.unwrap();
    for call in [&unlucky, &other] {
        call.hang_up();
    }
    let (unlucky, other) = (unlucky.outcome().await, other.outcome().await);
    let apology = &apology::bundled().samples;
    let heard = [&unlucky, &other].map(|outcome| likeness(apology, &outcome.heard));
    println!("the apology: {heard:.3?} like what was heard");
    assert!(heard[0] > 0.85 && heard[1] < 0.7);
    assert_eq!((unlucky.attempts, other.attempts, unlucky.packets_lost(), other.packets_lost()), (1, 1, 0, 0));
    pod.drain();
    pod.stop().await;
}
