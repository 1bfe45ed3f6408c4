//! The OpenAI-compatible backend against a real HTTP server on the loopback: what it sends, and what it makes of all that a
//! server may answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sofia_dataplane::audio::{SampleRate, wav};
use sofia_dataplane::backend::openai::{
    EndpointSettings, HttpSettings, SpeechFormat, Thoughts, ToolUse, TranscriptFormat,
};
use sofia_dataplane::backend::resilience::{CircuitState, NoObserver};
use sofia_dataplane::backend::{
    BackendError, BackendErrorKind, OpenAiBackend, OpenAiSettings, ReplyPart, ResilienceSettings, Resilient,
    RetryPolicy, Secret, SessionInfo, SpeechStream, VoiceBackend,
};
use sofia_dataplane::turn::history::{Message, Role};
use sofia_dataplane::turn::tool::ToolCall;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const KEY: &str = "sk-very-secret";

/// A request as the server got it.
struct Got {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request is JSON")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Answer = Box<dyn FnOnce() -> Response + Send>;

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    got: Mutex<Vec<Got>>,
}

/// A server that gives the answers it was told, in order, and 404 when it has none left.
struct Server {
    base: String,
    shared: Arc<Shared>,
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a request is small");
    let path = head.uri.to_string();
    shared.got.lock().unwrap().push(Got { method: head.method, path, headers: head.headers, body });
    let answer = shared.answers.lock().unwrap().pop_front();
    answer.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |answer| answer())
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, shared }
    }

    fn answers<R: IntoResponse>(&self, answer: impl FnOnce() -> R + Send + 'static) -> &Self {
        self.shared.answers.lock().unwrap().push_back(Box::new(|| answer().into_response()));
        self
    }

    fn got(&self) -> Vec<Got> {
        std::mem::take(&mut *self.shared.got.lock().unwrap())
    }

    fn settings(&self) -> OpenAiSettings {
        let endpoint = |model| EndpointSettings {
            api_key: Some(Secret::from(KEY)),
            ..EndpointSettings::new(format!("{}/v1?tenant={KEY}", self.base), model, Duration::from_secs(10))
        };
        let mut settings = OpenAiSettings {
            http: HttpSettings { system_proxy: false, ..HttpSettings::default() },
            ..OpenAiSettings::default()
        };
        settings.transcription.endpoint = endpoint("ears");
        settings.generation.endpoint = endpoint("brain");
        settings.speech.endpoint = endpoint("mouth");
        settings
    }

    fn backend(&self) -> OpenAiBackend {
        OpenAiBackend::new(&self.settings()).unwrap()
    }
}

/// A body in these pieces, each sent by itself.
fn pieces(pieces: impl IntoIterator<Item = Vec<u8>>) -> Body {
    let pieces: Vec<_> = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Bytes::from(piece))).collect();
    Body::from_stream(stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    }))
}

const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];
const WAV: [(&str, &str); 1] = [("content-type", "audio/wav")];

fn events(deltas: &[Value]) -> String {
    let chunk = |delta: &Value| format!("data: {}\r\n\r\n", json!({ "choices": [{ "delta": delta }] }));
    format!(": hello\r\n\r\n{}data: [DONE]\r\n\r\n", deltas.iter().map(chunk).collect::<String>())
}

async fn reply(backend: &impl VoiceBackend) -> Result<Vec<ReplyPart>, BackendError> {
    backend.generate("Hello?", &SessionInfo::default(), &[]).await?.try_collect().await
}

fn text(parts: &[ReplyPart]) -> String {
    parts.iter().map(|part| if let ReplyPart::Text(text) = part { text.as_str() } else { "" }).collect()
}

async fn transcribe(backend: &impl VoiceBackend) -> Result<String, BackendError> {
    backend.transcribe(&[1, 2, 3], SampleRate::Hz16000).await
}

fn ramp() -> Vec<i16> {
    (0..2_000).map(|i| i * 16 - 16_000).collect()
}

#[tokio::test]
async fn an_utterance_goes_out_as_a_wav_in_a_form_and_comes_back_as_text() {
    let server = Server::start().await;
    server.answers(|| r#"{"text":" Good day. ","language":"en"}"#);
    let mut settings = server.settings();
    settings.transcription.language = Some("de-AT".to_owned());
    settings.transcription.endpoint.extra.insert("temperature".to_owned(), json!(0));
    let backend = OpenAiBackend::new(&settings).unwrap();
    assert_eq!(transcribe(&backend).await.unwrap(), "Good day.");

    let got = server.got().remove(0);
    assert_eq!(
        (got.method.clone(), got.path.as_str()),
        (Method::POST, &*format!("/v1/audio/transcriptions?tenant={KEY}"))
    );
    assert_eq!(got.headers["authorization"], format!("Bearer {KEY}"));
    let form = got.text();
    for (name, value) in
        [("model", "ears"), ("response_format", "verbose_json"), ("language", "de"), ("temperature", "0")]
    {
        assert!(form.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")), "{name} in {form}");
    }
    assert!(form.contains("name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: audio/wav"), "{form}");
    let file = wav::write(&[1, 2, 3], SampleRate::Hz16000);
    assert!(got.body.windows(file.len()).any(|window| window == file));
}

#[tokio::test]
async fn a_reply_streams_in_as_it_is_written_wherever_the_network_cuts_it() {
    let whole = events(&[
        json!({ "role": "assistant", "content": null }),
        json!({ "content": "Grüß" }),
        json!({ "content": " Gott." }),
        json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "transfer", "arguments": "" } }] }),
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"destina" } }] }),
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "tion\":\"1001\"}" } }] }),
    ])
    .into_bytes();
    let server = Server::start().await;
    let backend = server.backend();
    let expected = ReplyPart::Tool(ToolCall::Transfer { destination: "1001".to_owned() });
    for cut in (0..whole.len()).step_by(7) {
        let (head, tail) = (whole[..cut].to_vec(), whole[cut..].to_vec());
        server.answers(move || (EVENTS, pieces([head, tail])));
        let parts = reply(&backend).await.unwrap();
        assert_eq!(text(&parts), "Grüß Gott.", "cut at {cut}");
        assert_eq!(parts.last(), Some(&expected), "cut at {cut}");
    }
    let single = whole.iter().map(|byte| vec![*byte]).collect::<Vec<_>>();
    server.answers(move || (EVENTS, pieces(single)));
    assert_eq!(text(&reply(&backend).await.unwrap()), "Grüß Gott.");
}

/// What a model's server may send that never ends by itself.
fn endless(head: String) -> impl IntoResponse {
    let pings = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b": ping\n\n"))).then(|ping| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        ping
    });
    (EVENTS, Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from(head))]).chain(pings)))
}

fn silent(head: String) -> impl IntoResponse {
    (EVENTS, Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from(head))]).chain(stream::pending())))
}

fn piece(content: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": content } }] }))
}

fn finish(reason: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
}

#[tokio::test]
async fn a_finish_reason_is_the_end_whatever_the_connection_does() {
    let server = Server::start().await;
    let backend = server.backend();
    let words = || piece("Good ") + &piece("day.") + &finish("stop");
    server
        .answers(move || silent(words()))
        .answers(move || endless(words()))
        .answers(move || silent(words() + "data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n"))
        .answers(move || silent(words() + "event: done\n\n"))
        .answers(|| silent("data: {\"message\":{\"content\":\"Good day.\"},\"done\":true}\n\n".to_owned()))
        .answers(|| silent(piece("Good day.<|im_end|>")));
    for n in 0..6 {
        assert_eq!(text(&reply(&backend).await.unwrap()), "Good day.", "answer {n}");
    }
    let call = json!({ "choices": [{ "delta": { "tool_calls": [{ "function": { "name": "hang_up" } }] }, "finish_reason": "tool_calls" }] });
    server.answers(move || silent(format!("data: {call}\n\n")));
    assert_eq!(reply(&backend).await.unwrap(), [ReplyPart::Tool(ToolCall::HangUp)]);
}

#[tokio::test]
async fn the_last_words_are_whole_as_soon_as_the_finish_reason_comes() {
    let server = Server::start().await;
    server.answers(|| silent(piece("Good day.") + &finish("stop")));
    let parts = reply(&server.backend()).await.unwrap();
    assert_eq!(parts, [ReplyPart::Text("Good day.".to_owned()), ReplyPart::Pause]);
}

#[tokio::test]
async fn a_body_is_what_its_bytes_are_and_not_what_its_head_says() {
    let server = Server::start().await;
    let events =
        || events(&[json!({ "content": "Good " }), json!({ "content": [{ "type": "text", "text": "day." }] })]);
    let whole = || json!({ "object": "chat.completion", "choices": [{ "message": { "content": [{ "type": "text", "text": "Good day." }] } }] });
    let lines = || {
        let line = |content: &str, finish: Value| {
            format!("{}\n", json!({ "choices": [{ "delta": { "content": content }, "finish_reason": finish }] }))
        };
        line("Good ", Value::Null) + &line("day.", json!("stop"))
    };
    let json_head = [("content-type", "application/json")];
    server
        .answers(move || (json_head, events()))
        .answers(move || (EVENTS, whole().to_string()))
        .answers(move || (EVENTS, serde_json::to_string_pretty(&whole()).unwrap()))
        .answers(move || ([("content-type", "application/x-ndjson")], lines()))
        .answers(move || (json_head, lines()))
        .answers(move || (EVENTS, lines()));
    let backend = server.backend();
    for n in 0..6 {
        assert_eq!(text(&reply(&backend).await.unwrap()), "Good day.", "answer {n}");
    }
}

#[tokio::test]
async fn a_thought_that_no_mark_opens_is_not_among_the_words_and_the_server_is_remembered() {
    let server = Server::start().await;
    let backend = server.backend();
    let thought =
        || piece("They want the hours.") + &piece(" I say nine.</thi") + &piece("nk>\n\nAt nine.") + &finish("stop");
    server.answers(move || (EVENTS, thought()));
    assert_eq!(text(&reply(&backend).await.unwrap()), "At nine.");

    // Known now: the thought may take its time.
    let (sender, receiver) = mpsc::unbounded_channel::<String>();
    let body = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), receiver))
    });
    server.answers(|| (EVENTS, Body::from_stream(body)));
    sender.send(piece("They want to come. ")).unwrap();
    let mut reply = backend.generate("Hello?", &SessionInfo::default(), &[]).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(1_500), reply.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    sender.send(piece("I ask when.</think>When?") + &finish("stop")).unwrap();
    drop(sender);
    assert_eq!(text(&reply.try_collect::<Vec<_>>().await.unwrap()), "When?");
}

#[tokio::test]
async fn the_first_words_of_a_server_that_does_not_think_wait_once_at_most() {
    let server = Server::start().await;
    let backend = server.backend();
    for _ in 0..2 {
        // Nothing more comes until the words are there: they are given out all the same.
        let (sender, receiver) = mpsc::unbounded_channel::<String>();
        let body = stream::unfold(receiver, |mut receiver| async {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Bytes::from(piece)), receiver))
        });
        server.answers(|| (EVENTS, Body::from_stream(body)));
        sender.send(piece("Good day. ")).unwrap();
        let mut reply = backend.generate("Hello?", &SessionInfo::default(), &[]).await.unwrap();
        assert_eq!(reply.next().await, Some(Ok(ReplyPart::Text("Good day. ".to_owned()))));
        sender.send(piece("Bye.") + &finish("stop")).unwrap();
        drop(sender);
        assert_eq!(text(&reply.try_collect::<Vec<_>>().await.unwrap()), "Bye.");
    }
}

#[tokio::test]
async fn thoughts_may_be_set_to_come_first_or_to_be_marked_always() {
    let server = Server::start().await;
    let mut settings = server.settings();
    settings.generation.thoughts = Thoughts::First;
    let backend = OpenAiBackend::new(&settings).unwrap();
    server.answers(|| (EVENTS, piece("Good day.") + &finish("stop")));
    assert_eq!(text(&reply(&backend).await.unwrap()), "Good day.", "a reply without a thought is one");
    // Asked for once more, with the same end.
    let cut_off = || (EVENTS, piece("They want") + &finish("length"));
    server.answers(cut_off).answers(cut_off);
    assert_eq!(reply(&backend).await.unwrap_err().kind(), BackendErrorKind::Invalid, "a thought is no answer");

    settings.generation.thoughts = Thoughts::Marked;
    let backend = OpenAiBackend::new(&settings).unwrap();
    server.answers(|| silent(piece("Good day.")));
    let mut reply = backend.generate("Hello?", &SessionInfo::default(), &[]).await.unwrap();
    assert_eq!(reply.next().await, Some(Ok(ReplyPart::Text("Good day.".to_owned()))));
}

#[tokio::test]
async fn a_call_in_the_text_is_one_where_tools_are_offered() {
    let server = Server::start().await;
    let call =
        "One moment. <tool_call>{\"name\": \"transfer\", \"arguments\": {\"destination\": \"1001\"}}</tool_call>";
    let letters = move || call.chars().map(|c| piece(&c.to_string())).collect::<String>() + &finish("stop");
    server.answers(move || (EVENTS, letters())).answers(move || (EVENTS, letters()));
    let parts = reply(&server.backend()).await.unwrap();
    assert_eq!(text(&parts), "One moment. ");
    assert!(parts.contains(&ReplyPart::Tool(ToolCall::Transfer { destination: "1001".to_owned() })), "{parts:?}");

    let mut settings = server.settings();
    settings.generation.tools = ToolUse::Never;
    let parts = reply(&OpenAiBackend::new(&settings).unwrap()).await.unwrap();
    assert_eq!(text(&parts), "One moment. ");
    assert!(parts.iter().all(|part| !matches!(part, ReplyPart::Tool(_))), "{parts:?}");
}

#[tokio::test]
async fn a_request_for_a_reply_holds_the_conversation_and_the_tools() {
    let server = Server::start().await;
    server.answers(|| (EVENTS, events(&[json!({ "content": "Yes." })])));
    let mut settings = server.settings();
    settings.generation.endpoint.extra.insert("temperature".to_owned(), json!(0.5));
    let session = SessionInfo { prompt: "Be brief.".to_owned(), ..SessionInfo::default() };
    let history = [Message { role: Role::Assistant, content: "Good day.".to_owned() }];
    let backend = OpenAiBackend::new(&settings).unwrap();
    let reply = backend.generate("Are you there?", &session, &history).await.unwrap();
    assert_eq!(text(&reply.try_collect::<Vec<_>>().await.unwrap()), "Yes.");

    let got = server.got().remove(0);
    assert!(got.path.starts_with("/v1/chat/completions"), "{}", got.path);
    let body = got.json();
    assert_eq!((&body["model"], &body["stream"], &body["temperature"]), (&json!("brain"), &json!(true), &json!(0.5)));
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"], "the user first, whoever spoke first");
    assert_eq!(body["tools"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_completion_in_one_piece_is_a_reply_too() {
    let server = Server::start().await;
    let body =
        json!({ "choices": [{ "message": { "content": "<think>hm</think>Good day." }, "finish_reason": "stop" }] });
    server.answers(move || axum::Json(body));
    assert_eq!(text(&reply(&server.backend()).await.unwrap()), "Good day.");
}

/// The samples that are still to come.
async fn spoken(speech: SpeechStream) -> Vec<i16> {
    let chunks: Vec<_> = speech.chunks.try_collect().await.unwrap();
    chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
}

#[tokio::test]
async fn speech_plays_while_it_still_comes() {
    let server = Server::start().await;
    let bytes = wav::write(&ramp(), SampleRate::Hz24000);
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    sender.send(bytes[..1_001].to_vec()).unwrap();
    let body = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), receiver))
    });
    server.answers(|| (WAV, Body::from_stream(body)));
    let mut speech = server.backend().speak("Good day.").await.unwrap();
    assert_eq!(speech.rate, SampleRate::Hz24000);
    let mut samples = speech.chunks.next().await.unwrap().unwrap().to_vec();
    assert_eq!(samples.len(), (1_001 - 44) / 2, "the rest is not sent yet");
    sender.send(bytes[1_001..].to_vec()).unwrap();
    drop(sender);
    samples.extend(spoken(speech).await);
    assert_eq!(samples, ramp());

    let expected = json!({ "model": "mouth", "input": "Good day.", "voice": "alloy", "response_format": "wav" });
    assert_eq!(server.got()[0].json(), expected);
}

#[tokio::test]
async fn bare_pcm_has_the_rate_that_was_set() {
    let server = Server::start().await;
    let bytes: Vec<u8> = ramp().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    server.answers(move || pieces(bytes.chunks(333).map(<[u8]>::to_vec).collect::<Vec<_>>()));
    let mut settings = server.settings();
    settings.speech.format = SpeechFormat::Pcm;
    settings.speech.pcm_rate = SampleRate::Hz48000;
    let speech = OpenAiBackend::new(&settings).unwrap().speak("Good day.").await.unwrap();
    assert_eq!(speech.rate, SampleRate::Hz48000);
    assert_eq!(spoken(speech).await, ramp());
    assert_eq!(server.got()[0].json()["response_format"], "pcm");
}

#[tokio::test]
async fn an_answer_that_is_no_speech_is_invalid() {
    let server = Server::start().await;
    server
        .answers(|| axum::Json(json!({ "error": "later" })))
        .answers(|| (WAV, "ID3 and so on"))
        .answers(|| (WAV, ""))
        .answers(|| (WAV, wav::write(&[], SampleRate::Hz16000)));
    let backend = server.backend();
    for expected in ["expected audio, came application/json", "expected WAV, came MP3", "came none", "came none"] {
        let error = backend.speak("Good day.").await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Invalid, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn statuses_become_kinds_and_no_error_tells_a_key() {
    use BackendErrorKind::*;
    let retry_after = |seconds| Some(Duration::from_secs(seconds));
    let table = [
        (400, None, Rejected),
        (401, None, Rejected),
        (404, None, Rejected),
        (301, None, Rejected),
        (408, None, Timeout),
        (429, None, RateLimited { retry_after: None }),
        (429, Some("7"), RateLimited { retry_after: retry_after(7) }),
        (500, None, Unavailable),
        (501, None, Rejected),
        (503, None, Unavailable),
        (503, Some("3"), RateLimited { retry_after: retry_after(3) }),
        (504, None, Timeout),
    ];
    let server = Server::start().await;
    let mut settings = server.settings();
    settings.transcription.format = TranscriptFormat::Json;
    let backend = OpenAiBackend::new(&settings).unwrap();
    for (status, wait, kind) in table {
        server.answers(move || {
            let mut response = axum::Json(json!({ "error": { "message": format!("bad key {KEY}") } })).into_response();
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(wait) = wait {
                response.headers_mut().insert("retry-after", wait.parse().unwrap());
            }
            response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
            response
        });
        let error = transcribe(&backend).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("came {status}")) && !text.contains(KEY), "{text}");
        assert!(text.contains(&format!("({}/v1/audio/transcriptions)", server.base)), "{text}");
    }
    assert_eq!(server.got().len(), table.len(), "no redirect is followed, nothing is sent twice");
    assert!(!format!("{backend:?} {:?}", server.settings()).contains("secret"));
}

#[tokio::test]
async fn garbage_is_invalid() {
    let server = Server::start().await;
    server
        .answers(|| r#"{"text": "cut o"#)
        .answers(|| ([("content-type", "text/html")], "<html>"))
        .answers(|| "x".repeat(2 << 20))
        .answers(|| (EVENTS, "data: no JSON\n\n"))
        .answers(|| (EVENTS, format!("data: {}", "x".repeat(300 << 10))))
        .answers(|| ([("content-type", "text/html")], "<html>"))
        .answers(|| axum::Json(json!([])));
    let mut settings = server.settings();
    settings.transcription.format = TranscriptFormat::Json;
    let backend = OpenAiBackend::new(&settings).unwrap();
    for _ in 0..3 {
        assert_eq!(transcribe(&backend).await.unwrap_err().kind(), BackendErrorKind::Invalid);
    }
    for _ in 0..4 {
        assert_eq!(reply(&backend).await.unwrap_err().kind(), BackendErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_off_is_an_error_behind_what_came() {
    let server = Server::start().await;
    let broken = events(&[json!({ "content": "Good day." })]).replace("data: [DONE]\r\n\r\n", "");
    server.answers(|| {
        let pieces = [Ok(Bytes::from(broken)), Err(std::io::Error::other("the server died"))];
        (
            EVENTS,
            Body::from_stream(stream::iter(pieces).then(|piece| async {
                tokio::task::yield_now().await;
                piece
            })),
        )
    });
    let backend = server.backend();
    let parts: Vec<_> =
        backend.generate("Hello?", &SessionInfo::default(), &[]).await.unwrap().collect::<Vec<_>>().await;
    assert_eq!(parts[0], Ok(ReplyPart::Text("Good day.".to_owned())));
    assert_eq!(parts[1].as_ref().unwrap_err().kind(), BackendErrorKind::Unavailable);
    assert_eq!(parts.len(), 2);
}

#[tokio::test]
async fn a_stream_that_just_ends_is_heard_to_its_end() {
    let server = Server::start().await;
    let half = events(&[json!({ "content": "Good day." })]).replace("data: [DONE]\r\n\r\n", "");
    server.answers(|| (EVENTS, half));
    assert_eq!(text(&reply(&server.backend()).await.unwrap()), "Good day.");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let server = Server::start().await;
    let hang = || {
        let head = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"data: "))]);
        (EVENTS, Body::from_stream(head.chain(stream::pending())))
    };
    server.answers(hang).answers(hang).answers(hang);
    let mut settings = server.settings();
    for endpoint in
        [&mut settings.transcription.endpoint, &mut settings.generation.endpoint, &mut settings.speech.endpoint]
    {
        endpoint.timeout = Duration::from_millis(50);
    }
    let backend = OpenAiBackend::new(&settings).unwrap();
    assert_eq!(transcribe(&backend).await.unwrap_err().kind(), BackendErrorKind::Timeout);
    assert_eq!(reply(&backend).await.unwrap_err().kind(), BackendErrorKind::Timeout);
    settings.speech.format = SpeechFormat::Wav;
    // The head, too, may never come.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.speech.endpoint.url = format!("http://{}", listener.local_addr().unwrap());
    let error = OpenAiBackend::new(&settings).unwrap().speak("Hello?").await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Timeout);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::start().await;
    let mut settings = server.settings();
    settings.transcription.endpoint.url = format!("http://user:{KEY}@{address}/v1?key={KEY}");
    let backend = OpenAiBackend::new(&settings).unwrap();
    let error = transcribe(&backend).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains(&format!("(http://{address}/v1/audio/transcriptions)")) && !text.contains(KEY), "{text}");
    assert_eq!(backend.health().await.unwrap_err().kind(), BackendErrorKind::Unavailable);
}

fn quick(backend: OpenAiBackend) -> Resilient {
    let retry = RetryPolicy { base_delay: Duration::from_millis(1), ..RetryPolicy::DEFAULT };
    let settings = ResilienceSettings { retry, ..ResilienceSettings::default() };
    Resilient::new("openai", Arc::new(backend), settings, Arc::new(NoObserver))
}

#[tokio::test]
async fn a_server_that_was_busy_is_asked_again() {
    let server = Server::start().await;
    server
        .answers(|| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]))
        .answers(|| StatusCode::BAD_GATEWAY)
        .answers(|| r#"{"text":"Good day."}"#);
    assert_eq!(transcribe(&quick(server.backend())).await.unwrap(), "Good day.");
    assert_eq!(server.got().len(), 3);
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_not_asked_any_more() {
    let server = Server::start().await;
    for _ in 0..9 {
        server.answers(|| StatusCode::INTERNAL_SERVER_ERROR);
    }
    let backend = quick(server.backend());
    for _ in 0..3 {
        assert_eq!(transcribe(&backend).await.unwrap_err().kind(), BackendErrorKind::Unavailable);
    }
    assert_eq!(transcribe(&backend).await.unwrap_err().kind(), BackendErrorKind::CircuitOpen);
    assert_eq!(server.got().len(), 9);
    assert_eq!(backend.circuits().filter(|(.., state)| *state == CircuitState::Open).count(), 1);
}

#[tokio::test]
async fn dropping_a_reply_cancels_its_request() {
    /// Tells when the server lets go of the body.
    struct Watch(mpsc::UnboundedSender<()>);
    impl Drop for Watch {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let server = Server::start().await;
    let (sender, mut gone) = mpsc::unbounded_channel();
    let first = events(&[json!({ "content": "Once upon a time" })]).replace("data: [DONE]\r\n\r\n", "");
    server.answers(move || {
        let watch = Watch(sender);
        let head = stream::iter([Ok::<_, Infallible>(Bytes::from(first))]);
        let endless = stream::pending().map(move |item: Result<Bytes, Infallible>| {
            let _ = &watch;
            item
        });
        (EVENTS, Body::from_stream(head.chain(endless)))
    });
    let backend = server.backend();
    let mut reply = backend.generate("Hello?", &SessionInfo::default(), &[]).await.unwrap();
    assert!(reply.next().await.unwrap().is_ok());
    drop(reply);
    assert_eq!(gone.recv().await, Some(()), "the connection is closed");
}

#[tokio::test]
async fn a_server_without_a_list_of_models_is_healthy_and_one_that_refuses_the_key_is_not() {
    let server = Server::start().await;
    let backend = server.backend();
    assert_eq!(backend.health().await, Ok(()));
    let got = server.got();
    assert!(got.iter().all(|got| got.method == Method::GET && got.path.starts_with("/v1/models")), "{}", got[0].path);
    server.answers(|| StatusCode::UNAUTHORIZED);
    assert_eq!(backend.health().await.unwrap_err().kind(), BackendErrorKind::Rejected);
    for _ in 0..3 {
        server.answers(|| StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(backend.health().await.unwrap_err().kind(), BackendErrorKind::Unavailable);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let server = Server::start().await;
    let refused = |change: fn(&mut OpenAiSettings)| {
        let mut settings = server.settings();
        change(&mut settings);
        OpenAiBackend::new(&settings).unwrap_err().to_string()
    };
    assert_eq!(refused(|s| s.speech.endpoint.url.clear()), "speak: URL: expected a URL, came none");
    let error = refused(|s| s.generation.endpoint.api_key = Some(Secret::from("a\nb")));
    assert_eq!(error, "generate: API key: expected printable ASCII, came other characters");
    let error = refused(|s| s.http.ca_file = Some("no/such/ca.pem".into()));
    assert!(error.starts_with("certificate authorities no/such/ca.pem: "), "{error}");
    let error = refused(|s| s.http.ca_file = Some("Cargo.toml".into()));
    assert!(error.contains("expected PEM certificates, came none"), "{error}");
}
