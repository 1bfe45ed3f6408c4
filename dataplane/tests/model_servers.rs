//! Language models' servers that take requests in some forms only, on the loopback: what they are asked in the end,
//! what is learnt of them, and what becomes of function calls that are a little off.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sofia_dataplane::backend::openai::{EndpointSettings, HttpSettings, PromptRole, ToolUse};
use sofia_dataplane::backend::resilience::{Adaptation, BackendObserver, CircuitState, NoObserver};
use sofia_dataplane::backend::{
    BackendError, BackendErrorKind, OpenAiBackend, OpenAiSettings, ReplyPart, ResilienceSettings, Resilient,
    SessionInfo, VoiceBackend,
};
use sofia_dataplane::turn::history::{Message, Role};
use sofia_dataplane::turn::tool::{ToolCall, Transfers};
use tokio::net::TcpListener;

/// What a server does with a request, given how many came before.
type Behaviour = Box<dyn Fn(&Value, usize) -> Response + Send + Sync>;

struct Shared {
    behaviour: Behaviour,
    got: Mutex<Vec<Value>>,
}

/// A server of a language model.
struct Server {
    base: String,
    shared: Arc<Shared>,
}

async fn answer(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).expect("the request is JSON");
    let before = {
        let mut got = shared.got.lock().unwrap();
        got.push(request.clone());
        got.len() - 1
    };
    (shared.behaviour)(&request, before)
}

/// Counts what was done otherwise.
#[derive(Default)]
struct Counter(Mutex<Vec<Adaptation>>);

impl BackendObserver for Counter {
    fn adapted(&self, how: Adaptation) {
        self.0.lock().unwrap().push(how);
    }
}

/// A clock that stands until it is moved.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

struct Agent {
    server: Server,
    settings: OpenAiSettings,
    backend: OpenAiBackend,
    counter: Arc<Counter>,
    clock: Clock,
}

impl Agent {
    async fn of(behaviour: impl Fn(&Value, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { behaviour: Box::new(behaviour), got: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let server = Server { base, shared };
        let endpoint = || EndpointSettings::new(server.base.clone(), "model", Duration::from_secs(10));
        let mut settings = OpenAiSettings {
            http: HttpSettings { system_proxy: false, ..HttpSettings::default() },
            ..OpenAiSettings::default()
        };
        settings.transcription.endpoint = endpoint();
        settings.generation.endpoint = endpoint();
        settings.speech.endpoint = endpoint();
        let (counter, clock) = (Arc::default(), Clock(Arc::new(Mutex::new(Instant::now()))));
        let backend = backend(&settings, &counter, &clock);
        Self { server, settings, backend, counter, clock }
    }

    fn set(mut self, change: impl FnOnce(&mut OpenAiSettings)) -> Self {
        change(&mut self.settings);
        self.backend = backend(&self.settings, &self.counter, &self.clock);
        self
    }

    async fn parts(&self) -> Result<Vec<ReplyPart>, BackendError> {
        ask(&self.backend, "Be brief.", &greeted()).await
    }

    /// What the caller hears.
    async fn hears(&self) -> String {
        text(&self.parts().await.expect("an answer"))
    }

    /// The requests since the last time.
    fn got(&self) -> Vec<Value> {
        std::mem::take(&mut *self.server.shared.got.lock().unwrap())
    }

    fn adapted(&self) -> Vec<Adaptation> {
        std::mem::take(&mut *self.counter.0.lock().unwrap())
    }
}

fn backend(settings: &OpenAiSettings, counter: &Arc<Counter>, clock: &Clock) -> OpenAiBackend {
    let clock = clock.clone();
    OpenAiBackend::observed(settings, counter.clone(), move || *clock.0.lock().unwrap()).unwrap()
}

fn greeted() -> Vec<Message> {
    vec![Message { role: Role::Assistant, content: "Ada's Bikes, good day.".to_owned() }]
}

async fn ask(backend: &impl VoiceBackend, prompt: &str, history: &[Message]) -> Result<Vec<ReplyPart>, BackendError> {
    let session = SessionInfo { prompt: prompt.to_owned(), ..SessionInfo::default() };
    backend.generate("Are you open?", &session, history).await?.try_collect().await
}

fn text(parts: &[ReplyPart]) -> String {
    parts.iter().map(|part| if let ReplyPart::Text(text) = part { text.as_str() } else { "" }).collect()
}

fn transfer(to: &str) -> ReplyPart {
    ReplyPart::Tool(ToolCall::Transfer { destination: to.to_owned() })
}

fn roles(request: &Value) -> Vec<&str> {
    request["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect()
}

fn has_tools(request: &Value) -> bool {
    request.get("tools").is_some()
}

fn streamed(deltas: &[Value]) -> Response {
    let chunk = |delta: &Value| format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }));
    let body = format!("{}data: [DONE]\n\n", deltas.iter().map(chunk).collect::<String>());
    ([("content-type", "text/event-stream")], body).into_response()
}

fn says(text: &str) -> Response {
    streamed(&[json!({ "content": text })])
}

fn calls(before: &str, name: &str, arguments: &str) -> Response {
    let call = json!({ "index": 0, "id": "a", "function": { "name": name, "arguments": arguments } });
    streamed(&[json!({ "content": before }), json!({ "tool_calls": [call] })])
}

fn refuses(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), json!({ "error": { "message": message } }).to_string()).into_response()
}

#[tokio::test]
async fn a_template_that_wants_the_user_first_and_then_in_turn_is_content_and_knows_the_greeting() {
    let agent = Agent::of(|request, _| {
        let turns: Vec<&str> = roles(request).into_iter().filter(|role| *role != "system").collect();
        let alternate = turns.iter().enumerate().all(|(at, role)| *role == ["user", "assistant"][at % 2]);
        if alternate && turns.last() == Some(&"user") {
            says("Yes, we are.")
        } else {
            refuses(400, "Conversation roles must alternate user/assistant/user/assistant/...")
        }
    })
    .await;
    assert_eq!(agent.hears().await, "Yes, we are.");
    let got = agent.got();
    assert_eq!(got.len(), 1);
    assert!(got[0]["messages"].to_string().contains("Ada's Bikes, good day."));
    assert!(has_tools(&got[0]));
}

#[tokio::test]
async fn a_server_without_system_messages_still_gets_the_prompt_and_the_greeting() {
    let agent = Agent::of(|request, _| {
        if roles(request).contains(&"system") { refuses(400, "System role not supported") } else { says("Yes.") }
    })
    .await;
    assert_eq!(agent.hears().await, "Yes.");
    let got = agent.got();
    assert_eq!((roles(&got[1])[0], got.len()), ("user", 2));
    let sent = got[1]["messages"].to_string();
    assert!(sent.contains("Be brief.") && sent.contains("Ada's Bikes, good day."), "{sent}");
    assert!(has_tools(&got[1]), "that was not about functions");
    assert_eq!(agent.hears().await, "Yes.");
    assert_eq!(agent.got().len(), 1, "it is known now");
    agent.clock.pass(Duration::from_secs(3600));
    assert_eq!(agent.hears().await, "Yes.");
    assert_eq!(agent.got().len(), 2, "and was forgotten");
    assert_eq!(agent.adapted(), [Adaptation::PromptInUser; 3]);
}

#[tokio::test]
async fn the_prompt_goes_where_it_is_set_to_go_or_nowhere() {
    for (role, expected) in
        [(PromptRole::System, "system"), (PromptRole::Developer, "developer"), (PromptRole::User, "user")]
    {
        let agent = Agent::of(|_, _| says("Yes.")).await.set(|settings| settings.generation.prompt_role = role);
        agent.hears().await;
        let got = agent.got();
        assert_eq!(roles(&got[0])[0], expected);
        assert!(got[0]["messages"][0]["content"].as_str().unwrap().starts_with("Be brief."));
        ask(&agent.backend, "", &greeted()).await.unwrap();
        assert_eq!(roles(&agent.got()[0]), ["user", "assistant", "user"]);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_functions_is_believed_for_a_while() {
    for (status, message) in [(400, "gemma does not support tools"), (404, "No endpoints found that support tool use.")]
    {
        let agent =
            Agent::of(move |request, _| if has_tools(request) { refuses(status, message) } else { says("Yes.") }).await;
        assert_eq!(agent.hears().await, "Yes.");
        assert_eq!(agent.hears().await, "Yes.");
        let tools: Vec<bool> = agent.got().iter().map(has_tools).collect();
        assert_eq!(tools, [true, false, false]);
        assert_eq!(agent.adapted(), [Adaptation::WithoutTools; 2], "each turn without is counted");
        agent.clock.pass(Duration::from_secs(3600));
        agent.hears().await;
        assert_eq!(agent.got().iter().map(has_tools).collect::<Vec<_>>(), [true, false]);
    }
}

#[tokio::test]
async fn one_odd_refusal_takes_transfer_from_nobody() {
    for (status, message) in [
        (400, "Invalid schema for function 'hang_up': properties must not be empty"),
        (500, "vllm/tool_parsers/hermes.py: IndexError"),
        (422, "maximum context length exceeded: 300 tokens of tools"),
        (400, "bad request"),
    ] {
        let agent = Agent::of(move |_, before| if before == 0 { refuses(status, message) } else { says("Yes.") }).await;
        assert_eq!(agent.hears().await, "Yes.", "{message}");
        assert_eq!(agent.got().len(), 2);
        assert_eq!(agent.hears().await, "Yes.");
        assert!(has_tools(&agent.got()[0]), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_wants_neither_functions_nor_a_system_and_does_not_say_so_is_answered_all_the_same() {
    let agent = Agent::of(|request, _| {
        if has_tools(request) || roles(request).contains(&"system") {
            StatusCode::BAD_REQUEST.into_response()
        } else {
            says("Yes.")
        }
    })
    .await;
    assert_eq!(agent.hears().await, "Yes.");
    assert_eq!(agent.got().len(), 3);
    let never = Agent::of(|_, _| refuses(400, "max_tokens is too large")).await;
    assert_eq!(never.parts().await.unwrap_err().kind(), BackendErrorKind::Rejected);
    assert_eq!(never.got().len(), 3, "and no more");
}

#[tokio::test]
async fn a_call_that_the_server_threw_away_is_asked_for_again_with_functions() {
    let failed =
        r#"{"error":{"message":"Failed to call a function.","code":"tool_use_failed","failed_generation":"<x>"}}"#;
    let failed = move || (StatusCode::BAD_REQUEST, failed).into_response();
    let agent = Agent::of(
        move |_, before| if before == 0 { failed() } else { calls("", "transfer", r#"{"destination":"1001"}"#) },
    )
    .await;
    assert_eq!(agent.parts().await.unwrap().last(), Some(&transfer("1001")));
    assert_eq!(agent.got().iter().map(has_tools).collect::<Vec<_>>(), [true, true]);
    assert_eq!(agent.adapted(), [Adaptation::Repeated]);

    let agent = Agent::of(move |request, _| if has_tools(request) { failed() } else { says("Sorry, I can't.") }).await;
    assert_eq!(agent.hears().await, "Sorry, I can't.");
    assert_eq!(agent.got().iter().map(has_tools).collect::<Vec<_>>(), [true, true, false]);
    agent.hears().await;
    assert!(has_tools(&agent.got()[0]), "nothing was learnt of that");
}

#[tokio::test]
async fn functions_that_were_set_aside_are_never_offered() {
    let agent = Agent::of(|_, _| says("Yes.")).await.set(|settings| settings.generation.tools = ToolUse::Never);
    agent.hears().await;
    assert!(!has_tools(&agent.got()[0]));
    let agent = Agent::of(|_, _| says("Yes."))
        .await
        .set(|settings| settings.generation.destinations = Transfers::Nobody.into());
    agent.hears().await;
    assert!(!agent.got()[0]["tools"].to_string().contains("transfer"));
}

#[tokio::test]
async fn a_call_a_little_off_is_carried_out_at_once() {
    let table = [
        ("transfer", r#"{"destination": "+1 (202) 555-0143"}"#, transfer("+12025550143")),
        ("functions.transfer", r#"{"destination": "tel:+1-202-555-0143"}"#, transfer("+12025550143")),
        ("tool:transfer", r#"{"destination": 200.0}"#, transfer("200")),
        ("transfer", r#""{\"destination\": \"200\"}""#, transfer("200")),
        ("transfer", "```json\n{\"number\": '200',}\n```", transfer("200")),
        ("transfer", r#"{"arguments": {"to": "sip:anna@example.com"}}"#, transfer("sip:anna@example.com")),
        ("HANG_UP", "null", ReplyPart::Tool(ToolCall::HangUp)),
        ("hangup", "", ReplyPart::Tool(ToolCall::HangUp)),
    ];
    for (name, arguments, expected) in table {
        let agent = Agent::of(move |_, _| calls("One moment.", name, arguments)).await;
        let parts = agent.parts().await.unwrap();
        assert_eq!(parts, [ReplyPart::Text("One moment.".to_owned()), expected], "{name} {arguments}");
        assert_eq!(agent.got().len(), 1);
    }
}

#[tokio::test]
async fn a_model_that_calls_wrongly_is_told_why_and_its_promise_is_kept() {
    for (name, arguments) in
        [("transfer", r#"{"destination": "the sales department"}"#), ("connect_to_sales", "{}"), ("transfer", "{")]
    {
        let agent = Agent::of(move |_, before| {
            if before == 0 {
                calls("I am connecting you.", name, arguments)
            } else {
                calls("", "transfer", r#"{"destination":"1001"}"#)
            }
        })
        .await;
        let parts = agent.parts().await.unwrap();
        assert_eq!((text(&parts).trim(), parts.last()), ("I am connecting you.", Some(&transfer("1001"))));
        let got = agent.got();
        assert_eq!((got.len(), roles(&got[1])), (2, vec!["system", "user", "assistant", "user", "assistant", "user"]));
        let note = got[1]["messages"][5]["content"].as_str().unwrap();
        assert!(note.contains(name) && note.contains("was not carried out"), "{note}");
        assert_eq!(agent.adapted(), [Adaptation::Corrected]);
    }
}

#[tokio::test]
async fn a_model_that_insists_is_asked_no_third_time_and_the_caller_can_be_told() {
    let agent = Agent::of(|_, _| calls("I am connecting you.", "transfer", r#"{"destination": "the boss"}"#)).await;
    let parts = agent.parts().await.unwrap();
    assert!(matches!(parts.last(), Some(ReplyPart::Refused(_))), "{parts:?}");
    assert_eq!(agent.got().len(), 2);

    let agent =
        Agent::of(|_, before| if before == 0 { calls("I am connecting you.", "fly", "{}") } else { says("") }).await;
    assert_eq!(agent.parts().await.unwrap_err().kind(), BackendErrorKind::Invalid);
}

#[tokio::test]
async fn a_destination_that_the_trunk_has_no_rule_for_is_not_tried() {
    let agent = Agent::of(|_, before| {
        if before == 0 {
            calls("", "transfer", r#"{"destination": "anna@example.com"}"#)
        } else {
            says("That is not possible.")
        }
    })
    .await
    .set(|settings| settings.generation.destinations = Transfers::Names.into());
    assert_eq!(agent.parts().await.unwrap(), [ReplyPart::Text("That is not possible.".to_owned())]);
    let got = agent.got();
    assert!(!got[0]["tools"].to_string().contains("SIP"), "what can't work is not offered");
}

#[tokio::test]
async fn answers_that_cannot_be_read_take_the_model_from_no_other_turn() {
    let agent =
        Agent::of(
            |_, before| if before < 5 { axum::Json("an answer of another kind").into_response() } else { says("Yes.") },
        )
        .await;
    let guarded =
        Resilient::new("openai", Arc::new(agent.backend), ResilienceSettings::default(), Arc::new(NoObserver));
    for _ in 0..5 {
        assert_eq!(ask(&guarded, "", &[]).await.unwrap_err().kind(), BackendErrorKind::Invalid);
    }
    assert_eq!(text(&ask(&guarded, "", &[]).await.unwrap()), "Yes.");
    assert!(guarded.circuits().all(|(.., state)| state == CircuitState::Closed));
}
