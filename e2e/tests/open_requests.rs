//! A language model is asked for one answer a call at a time: what the caller does not want to hear any more is not written
//! any more either. Slow models on one's own hardware have few places.

use e2e::{OpenAiServer, PATIENCE, PodProcess, Writing, eventually, switch, voice};
use switchsim::CallPlan;

/// Waits until the server has been asked so often, and then until it writes no more than the newest answer.
async fn asked(server: &OpenAiServer, times: usize) {
    eventually("the model to be asked", async || (server.chats().len() >= times).then_some(())).await;
    eventually("the older answers to be given up", async || (server.open_chats() == 1).then_some(())).await;
    assert_eq!(server.chats().len(), times);
}

#[tokio::test]
async fn an_interruption_gives_up_the_answer_that_it_interrupts() {
    let server = OpenAiServer::start_writing(Writing::WithoutEnd).await;
    let pod = server.backend_of(PodProcess::builder()).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    for interruptions in 1..=2 {
        asked(&server, interruptions).await;
        call.agent_speaks(PATIENCE).await.unwrap();
        call.say(&voice("go_somewhere")).await;
    }
    asked(&server, 3).await;
    call.hang_up();
    call.outcome().await;
    eventually("the last answer to be given up", async || (server.open_chats() == 0).then_some(())).await;
}

#[tokio::test]
async fn words_that_belong_together_are_asked_for_one_answer() {
    let server = OpenAiServer::start_writing(Writing::Never).await;
    let pod = server.backend_of(PodProcess::builder()).start().await;
    let call = switch(&[&pod.esl()]).start().unwrap().dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    for part in 1..=3 {
        call.say(&voice("five_five")).await;
        asked(&server, part).await;
    }
    let newest = server.chats().pop().unwrap().pop().unwrap();
    assert_eq!(newest, ("user".to_owned(), "caller's words caller's words caller's words".to_owned()));
    call.hang_up();
    call.outcome().await;
    eventually("the last question to be given up", async || (server.open_chats() == 0).then_some(())).await;
}
