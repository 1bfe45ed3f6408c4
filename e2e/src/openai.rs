//! A speech server with the OpenAI-compatible routes that remembers what it was asked. It understands nothing: every
//! caller says "caller's words", the answer to the nth question is "Answer n.", and all speech is one recorded word. It can
//! be slow, and knows which of its answers are still waited for.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use sofia_dataplane::backend::clips;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::PodBuilder;

/// A server on a free port of loopback; ends when dropped.
#[derive(Debug)]
pub struct OpenAiServer {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

/// How the model of an [`OpenAiServer`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writing {
    /// Its answers come whole, at once.
    #[default]
    AtOnce,
    /// An answer begins at once and has no end.
    WithoutEnd,
    /// It thinks, and no word ever comes.
    Never,
}

#[derive(Debug, Default)]
struct Heard {
    writing: Writing,
    /// Chat requests that are being answered.
    open_chats: usize,
    transcriptions: usize,
    chats: Vec<Value>,
    spoken: Vec<String>,
    authorizations: Vec<String>,
}

type Shared = Arc<Mutex<Heard>>;

impl OpenAiServer {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        Self::start_writing(Writing::AtOnce).await
    }

    /// Starts one whose model writes this way.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start_writing(writing: Writing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let heard = Shared::new(Mutex::new(Heard { writing, ..Heard::default() }));
        let router = Router::new()
            .route("/v1/models", get(async || Json(json!({ "object": "list", "data": [] }))))
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/audio/speech", post(speak))
            .with_state(Arc::clone(&heard));
        let task =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("axum's accept loop has no end") });
        Self { address, heard, task }
    }

    /// Where it is, as the `…_URL` settings have it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lets a pod use this server for all three stages.
    #[must_use]
    pub fn backend_of(&self, pod: PodBuilder) -> PodBuilder {
        ["TRANSCRIPTION", "GENERATION", "SPEECH"]
            .into_iter()
            .fold(pod.set("BACKEND", "openai"), |pod, stage| pod.set(&format!("{stage}_URL"), self.url()))
    }

    /// Utterances that were sent to be transcribed.
    #[must_use]
    pub fn transcriptions(&self) -> usize {
        locked(&self.heard).transcriptions
    }

    /// The messages of the chat requests so far: of each its role and content, in order.
    #[must_use]
    pub fn chats(&self) -> Vec<Vec<(String, String)>> {
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let messages = |chat: &Value| {
            let messages = chat["messages"].as_array().into_iter().flatten();
            messages.map(|message| (text(message, "role"), text(message, "content"))).collect()
        };
        locked(&self.heard).chats.iter().map(messages).collect()
    }

    /// Chat requests that are being answered, of all that came: those whose connections are not closed.
    #[must_use]
    pub fn open_chats(&self) -> usize {
        locked(&self.heard).open_chats
    }

    /// The texts that were to be spoken so far.
    #[must_use]
    pub fn spoken(&self) -> Vec<String> {
        locked(&self.heard).spoken.clone()
    }

    /// The `Authorization` headers that came with requests.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        locked(&self.heard).authorizations.clone()
    }
}

impl Drop for OpenAiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_key(heard: &Shared, headers: &HeaderMap) {
    if let Some(key) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        locked(heard).authorizations.push(key.to_owned());
    }
}

/// Reads the upload, so that the connection stays usable, and does not listen to it.
async fn transcribe(State(heard): State<Shared>, headers: HeaderMap, _upload: axum::body::Bytes) -> Json<Value> {
    note_key(&heard, &headers);
    locked(&heard).transcriptions += 1;
    Json(json!({ "text": "caller's words" }))
}

async fn chat(State(heard): State<Shared>, headers: HeaderMap, Json(chat): Json<Value>) -> Response {
    note_key(&heard, &headers);
    let (number, writing) = {
        let mut heard = locked(&heard);
        heard.chats.push(chat);
        (heard.chats.len(), heard.writing)
    };
    let body = if writing == Writing::AtOnce {
        let events: String = ["Answer ".to_owned(), format!("{number}.")].iter().map(|word| event(word)).collect();
        Body::from(format!("{events}data: [DONE]\n\n"))
    } else {
        let open = OpenChat::new(&heard);
        Body::from_stream(stream::unfold((0, open), move |(words, open)| async move {
            match (writing, words) {
                (Writing::Never, _) => std::future::pending().await,
                (_, 0) => {}
                // As fast as a model writes that nobody waits for.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            let word = if words == 0 { format!("Answer {number}. ") } else { "And more. ".to_owned() };
            Some((Ok::<_, Infallible>(event(&word)), (words + 1, open)))
        }))
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn event(words: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": words } }] }))
}

/// A chat request, until its answer is whole or its connection closed.
struct OpenChat(Shared);

impl OpenChat {
    fn new(heard: &Shared) -> Self {
        locked(heard).open_chats += 1;
        Self(Arc::clone(heard))
    }
}

impl Drop for OpenChat {
    fn drop(&mut self) {
        locked(&self.0).open_chats -= 1;
    }
}

async fn speak(State(heard): State<Shared>, headers: HeaderMap, Json(request): Json<Value>) -> impl IntoResponse {
    note_key(&heard, &headers);
    locked(&heard).spoken.push(request["input"].as_str().unwrap_or_default().to_owned());
    ([(header::CONTENT_TYPE, "audio/wav")], one_word())
}

/// "Goodbye" as a WAV file.
fn one_word() -> Vec<u8> {
    let clip = clips::bundled().sentence("Goodbye").expect("the mock's recordings are built in");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory can be written");
    for sample in clip.samples.iter() {
        writer.write_sample(*sample).expect("memory can be written");
    }
    writer.finalize().expect("memory can be written");
    file.into_inner()
}
