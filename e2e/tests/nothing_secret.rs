//! Tokens, keys, callers' numbers and what callers press: used, and never told, however much is logged.

use e2e::{OpenAiServer, PATIENCE, PodProcess, switch_with_token, voice};
use switchsim::CallPlan;

const ESL_TOKEN: &str = "esl-token-7f3a";
const ADMIN_TOKEN: &str = "admin-token-19c4";
const API_KEYS: [(&str, &str); 3] = [
    ("TRANSCRIPTION_API_KEY", "sk-transcription-55d0"),
    ("GENERATION_API_KEY", "sk-generation-8e21"),
    ("SPEECH_API_KEY", "sk-speech-b7f6"),
];
const CALLER: &str = "+4915112345678";
const PIN: &str = "8402";

#[tokio::test]
async fn no_secret_is_in_log_figures_status_or_records() {
    let speech = OpenAiServer::start().await;
    let pod = speech.backend_of(PodProcess::builder().recording());
    let pod = pod.set("ESL_TOKEN", ESL_TOKEN).set("ADMIN_TOKEN", ADMIN_TOKEN).set("LOG_LEVEL", "trace");
    let pod = API_KEYS.into_iter().fold(pod, |pod, (name, key)| pod.set(name, key)).start().await;
    let switch = switch_with_token(&[&pod.esl()], ESL_TOKEN).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100").from(CALLER));
    call.agent_finishes(PATIENCE).await.unwrap();
    call.dtmf(&format!("{PIN}#")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    call.say(&voice("five_five")).await;
    call.agent_finishes(PATIENCE).await.unwrap();
    pod.post("/drain", Some("wrong")).await;
    pod.post("/drain", Some(ADMIN_TOKEN)).await;

    let mut told = Vec::new();
    for path in ["/health", "/ready", "/metrics", "/status"] {
        told.push((path.to_owned(), pod.get(path).await.body));
    }
    call.hang_up();
    call.outcome().await;
    pod.record().await;
    pod.await_logged("a call ended").await;
    for file in [pod.folder().files(".json"), pod.folder().files(".html")].concat() {
        told.push((file.display().to_string(), std::fs::read_to_string(file).unwrap()));
    }
    told.push(("the log".to_owned(), pod.log().join("\n")));
    println!("looked at {} places, {} log lines", told.len(), pod.log().len());

    // They were used.
    for (_, key) in API_KEYS {
        assert!(speech.authorizations().contains(&format!("Bearer {key}")), "{key}");
    }
    let said: Vec<String> = speech.chats().concat().into_iter().map(|(_, text)| text).collect();
    assert!(said.contains(&format!("[DTMF: {PIN}#]")), "{said:?}");
    let secrets = API_KEYS.iter().map(|(_, key)| *key).chain([ESL_TOKEN, ADMIN_TOKEN, &CALLER[1..], PIN]);
    let mut found = Vec::new();
    for secret in secrets {
        for (place, text) in &told {
            // Time stamps and ids are full of digits; what is looked for is not a part of a longer number.
            let is_told = text.match_indices(secret).any(|(at, _)| {
                let edge = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_ascii_alphanumeric());
                edge(text[..at].chars().next_back()) && edge(text[at + secret.len()..].chars().next())
            });
            if is_told {
                let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
                found.push(format!("{secret} in {place}: {line:.400}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
