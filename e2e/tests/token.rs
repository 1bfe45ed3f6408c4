//! The token that the switch and its pods share: a switch without it brings no call, and harms nobody by trying.

use e2e::{PATIENCE, PodProcess, switch, switch_with_token};
use switchsim::CallPlan;

const TOKEN: &str = "shared-by-switch-and-pods";

#[tokio::test]
async fn a_switch_without_the_token_is_refused_and_nobody_else_is_harmed() {
    let pod = PodProcess::builder().set("ESL_TOKEN", TOKEN).set("MAX_SESSIONS", 2).start().await;
    let trusted = switch_with_token(&[&pod.esl()], TOKEN).start().unwrap();
    let call = trusted.dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();

    let strangers = [switch(&[&pod.esl()]), switch_with_token(&[&pod.esl()], "a-guess")];
    for stranger in strangers {
        let refused = stranger.start().unwrap().call(CallPlan::new("15550100").from("+15550002")).await;
        println!("{refused}");
        assert!(!refused.answered);
    }
    pod.await_metric("sofia_phone_sessions_active", |active| active == 1.0).await;
    assert!(pod.log().iter().all(|line| !line.contains("a-guess")));

    let second = trusted.dial(CallPlan::new("15550100").from("+15550003"));
    second.agent_speaks(PATIENCE).await.unwrap();
    for call in [call, second] {
        call.hang_up();
        let outcome = call.outcome().await;
        assert!(outcome.answered && outcome.attempts == 1, "{outcome}");
    }
}
