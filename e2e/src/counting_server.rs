//! A speech server for long conversations, which counts: what each call has asked for, what of that is still being written, and what
//! was left open beside what came after it. Its voice is [`tone_words`]. Callers say "question n", each time with another n, by which
//! it knows calls apart without being told of any.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Json, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{PodBuilder, tone_words};

/// Words of a sentence, in most replies and in every third: so many take five seconds to speak.
const SENTENCE: usize = 6;
/// See [`SENTENCE`].
pub const LONG_SENTENCE: usize = 21;
/// Replies begin with one of so many words of [`tone_words`], and have none of these further on.
pub const FIRST_WORDS: usize = 16;
/// The rate of the server's voice.
const RATE_HZ: u32 = 16_000;
/// How long it takes to write a word, in most replies and in every fifth.
const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(200);

/// A server on a free port of loopback; ends when dropped.
#[derive(Debug)]
pub struct CountingServer {
    address: SocketAddr,
    ledger: Shared,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Ledger>>;

/// A call, as the server makes it out: the number of its first question.
type Call = usize;

#[derive(Debug, Default)]
struct Ledger {
    questions: usize,
    chats: usize,
    /// Which call a question belongs to.
    asked_in: BTreeMap<usize, Call>,
    /// Replies that are being written.
    open: BTreeMap<usize, Call>,
    /// The newest conversation of each call.
    conversations: BTreeMap<Call, Vec<Message>>,
    left_open: Vec<LeftOpen>,
    most_open: usize,
}

/// One message of a conversation.
#[derive(Debug)]
struct Message {
    role: String,
    content: String,
}

/// A reply that was still being written when a later one of the same call had been written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOpen {
    /// The request that was left open.
    pub older: usize,
    /// The one that is complete.
    pub newer: usize,
}

impl CountingServer {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let ledger = Shared::default();
        let router = Router::new()
            .route("/v1/models", get(async || Json(json!({ "object": "list", "data": [] }))))
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/audio/speech", post(speak))
            .with_state(Arc::clone(&ledger));
        let task =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("axum's accept loop has no end") });
        Self { address, ledger, task }
    }

    /// Lets a pod use this server for all three stages.
    #[must_use]
    pub fn backend_of(&self, pod: PodBuilder) -> PodBuilder {
        let url = format!("http://{}/v1", self.address);
        ["TRANSCRIPTION", "GENERATION", "SPEECH"]
            .into_iter()
            .fold(pod.set("BACKEND", "openai"), |pod, stage| pod.set(&format!("{stage}_URL"), &url))
    }

    /// Replies that were asked for so far.
    #[must_use]
    pub fn chats(&self) -> usize {
        locked(&self.ledger).chats
    }

    /// Replies that are being written now.
    #[must_use]
    pub fn open(&self) -> usize {
        locked(&self.ledger).open.len()
    }

    /// Most replies that were being written at a time.
    #[must_use]
    pub fn most_open(&self) -> usize {
        locked(&self.ledger).most_open
    }

    /// Replies that nobody took back although their call had gone on.
    #[must_use]
    pub fn left_open(&self) -> Vec<LeftOpen> {
        locked(&self.ledger).left_open.clone()
    }

    /// What the agent said according to the newest conversation that the model was told in the call of a question: each answer's
    /// words by their numbers, in order.
    #[must_use]
    pub fn answers(&self, question: usize) -> Option<Vec<Vec<usize>>> {
        let ledger = locked(&self.ledger);
        let messages = ledger.conversations.get(ledger.asked_in.get(&question)?)?;
        let answers = messages.iter().filter(|message| message.role == "assistant");
        Some(answers.map(|message| tone_words::numbers(&message.content)).collect())
    }
}

impl Drop for CountingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A request for a reply: its number.
    fn begin(&mut self, messages: Vec<Message>) -> usize {
        self.chats += 1;
        let questions: BTreeSet<usize> = messages
            .iter()
            .filter(|message| message.role == "user")
            .flat_map(|user| questions(&user.content))
            .collect();
        let known = questions.iter().find_map(|question| self.asked_in.get(question).copied());
        // Keys alone have no question of their own: such a call is nobody's until it has one.
        let Some(call) = known.or_else(|| questions.first().copied()) else { return self.chats };
        self.asked_in.extend(questions.into_iter().map(|question| (question, call)));
        self.conversations.insert(call, messages);
        self.open.insert(self.chats, call);
        self.most_open = self.most_open.max(self.open.len());
        self.chats
    }

    /// A reply that was written to its end.
    fn written(&mut self, newer: usize) {
        let Some(call) = self.open.get(&newer).copied() else { return };
        let older = self.open.range(..newer).filter(|(_, other)| **other == call);
        let left = older.map(|(older, _)| LeftOpen { older: *older, newer });
        self.left_open.extend(left);
    }
}

/// The numbers of the questions in what a caller said.
#[must_use]
pub fn questions(content: &str) -> Vec<usize> {
    content.split("question ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect()
}

/// Closes a request when the reply is dropped, however that comes.
struct Open {
    ledger: Shared,
    number: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        locked(&self.ledger).open.remove(&self.number);
    }
}

/// Takes the upload and does not listen to it.
async fn transcribe(State(ledger): State<Shared>, _upload: Bytes) -> Json<Value> {
    let mut ledger = locked(&ledger);
    ledger.questions += 1;
    Json(json!({ "text": format!("question {} please", ledger.questions) }))
}

async fn chat(State(ledger): State<Shared>, Json(chat): Json<Value>) -> impl IntoResponse {
    let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let messages = chat["messages"].as_array().into_iter().flatten();
    let messages = messages
        .map(|message| Message { role: text(message, "role"), content: text(message, "content") })
        .collect::<Vec<_>>();
    let number = locked(&ledger).begin(messages);
    let words = reply(number);
    let pace = if number.is_multiple_of(5) { SLOW } else { QUICK };
    let open = Open { ledger, number };
    let events = stream::unfold((words.into_iter(), open, false), move |(mut words, open, ended)| async move {
        if ended {
            return None;
        }
        let Some(word) = words.next() else {
            locked(&open.ledger).written(open.number);
            return Some((Ok::<_, Infallible>(Bytes::from_static(b"data: [DONE]\n\n")), (words, open, true)));
        };
        tokio::time::sleep(pace).await;
        let event = json!({ "choices": [{ "index": 0, "delta": { "content": word } }] });
        Some((Ok(Bytes::from(format!("data: {event}\n\n"))), (words, open, false)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

/// The words of a reply, with what goes between them: two to five sentences, or two long ones. Its first word is none of those that follow in this or any
/// other reply, so that the beginnings of replies can be heard.
fn reply(number: usize) -> Vec<String> {
    let (sentences, length) = if number.is_multiple_of(3) { (2, LONG_SENTENCE) } else { (2 + number % 4, SENTENCE) };
    let words = (0..sentences * length).map(|at| {
        let mut word = if at == 0 {
            tone_words::word(number % FIRST_WORDS)
        } else {
            tone_words::word(FIRST_WORDS + (number * 29 + at) % (tone_words::WORDS - FIRST_WORDS))
        };
        if at.is_multiple_of(length) {
            word[..1].make_ascii_uppercase();
        }
        word + if at % length == length - 1 { ". " } else { " " }
    });
    words.collect()
}

async fn speak(Json(request): Json<Value>) -> impl IntoResponse {
    let samples = tone_words::sound(request["input"].as_str().unwrap_or_default(), RATE_HZ);
    ([(header::CONTENT_TYPE, "audio/wav")], wav(&samples))
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory can be written");
    for sample in samples {
        writer.write_sample(*sample).expect("memory can be written");
    }
    writer.finalize().expect("memory can be written");
    file.into_inner()
}
