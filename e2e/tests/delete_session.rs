//! An administrator ends one call; nobody else can.

use e2e::{PATIENCE, PodProcess, switch};
use sofia_dataplane::record::Ending;
use switchsim::{CallPlan, EndedBy, Progress};

const TOKEN: &str = "hang-up-please";

#[tokio::test]
async fn the_call_with_that_id_ends_and_no_other() {
    let pod = PodProcess::builder().recording().set("ADMIN_TOKEN", TOKEN).start().await;
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let one = switch.dial(CallPlan::new("15550100"));
    let other = switch.dial(CallPlan::new("15550100").from("+15550002"));
    tokio::try_join!(one.agent_finishes(PATIENCE), other.agent_finishes(PATIENCE)).unwrap();
    let path = format!("/sessions/{}", one.uuid());
    for (token, status) in [(None, 401), (Some("guess"), 401)] {
        assert_eq!(pod.delete(&path, token).await.status, status, "{token:?}");
    }
    assert_eq!(pod.delete("/sessions/nobody", Some(TOKEN)).await.status, 404);
    assert_eq!(pod.delete(&path, Some(TOKEN)).await.status, 202);

    one.reaches(Progress::Ended).await;
    let outcome = one.outcome().await;
    println!("{outcome}");
    assert_eq!((outcome.ended_by, outcome.cause.name(), outcome.attempts), (EndedBy::Switch, "NORMAL_CLEARING", 1));
    assert_eq!(pod.record().await.ending, Ending::Administrator);
    pod.await_metric("sofia_phone_sessions_active", |active| active == 1.0).await;
    assert_eq!(other.snapshot().progress, Progress::Answered);
    assert_eq!(pod.delete(&path, Some(TOKEN)).await.status, 404);
    other.hang_up();
    other.outcome().await;
}
