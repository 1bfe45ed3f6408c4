//! A drain: no new calls, the one in progress runs to its end, then the process may go.

use std::net::TcpStream;

use e2e::{PATIENCE, PodProcess, eventually, switch, voice};
use nix::sys::signal::Signal;
use switchsim::{CallPlan, Progress};

const TOKEN: &str = "drain-me-please";

#[tokio::test]
async fn a_drained_pod_takes_no_new_call_and_lets_the_one_it_has_end_in_peace() {
    let mut pod = PodProcess::builder().set("ADMIN_TOKEN", TOKEN).start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    assert_eq!(pod.get("/ready").await.status, 200);

    for (token, status) in [(None, 401), (Some("guess"), 401), (Some(TOKEN), 202)] {
        assert_eq!(pod.post("/drain", token).await.status, status, "{token:?}");
    }
    let ready = pod.get("/ready").await;
    assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("draining")));
    eventually("the ESL port to be closed", async || TcpStream::connect(pod.esl()).is_err().then_some(())).await;
    let refused = switch.call(CallPlan::new("15550100").from("+15550002")).await;
    assert_eq!((refused.answered, refused.sip_status), (false, 503));

    pod.signal(Signal::SIGTERM);
    pod.await_logged("told to stop: taking no more calls").await;
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    assert!(!pod.has_ended() && call.snapshot().progress == Progress::Answered);
    call.hang_up();
    assert_eq!(call.outcome().await.attempts, 1);
    let status = pod.exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(pod.logged("the pod is empty").is_some());
}

#[tokio::test]
async fn a_pod_without_an_admin_token_obeys_nobody() {
    let pod = PodProcess::start().await;
    for token in [None, Some(""), Some("guess")] {
        assert_eq!(pod.post("/drain", token).await.status, 403, "{token:?}");
        assert_eq!(pod.delete("/sessions/any", token).await.status, 403, "{token:?}");
    }
    assert_eq!(pod.get("/ready").await.status, 200);
}
