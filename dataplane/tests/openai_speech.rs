//! Recognisers and voices as they are: what the OpenAI-compatible backend makes of servers that are not quite what the route's
//! description says, each a real HTTP server on the loopback that behaves so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use serde_json::json;
use sofia_dataplane::audio::{SampleRate, wav};
use sofia_dataplane::backend::openai::{EndpointSettings, HttpSettings, SpeechFormat, TranscriptFormat};
use sofia_dataplane::backend::{BackendError, BackendErrorKind, OpenAiBackend, OpenAiSettings, VoiceBackend};
use sofia_dataplane::turn::transcript::TranscriptCheck;
use tokio::net::TcpListener;

/// The fields of a form, as far as they are text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    format: Option<String>,
    language: Option<String>,
}

impl Asked {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).into_owned();
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("name=\"{name}\"\r\n\r\n"))?;
            rest.split_once("\r\n").map(|(value, _)| value.to_owned())
        };
        Self { format: field("response_format"), language: field("language") }
    }

    fn verbose(&self) -> bool {
        self.format.as_deref() == Some("verbose_json")
    }
}

type Behaviour = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

struct Shared {
    behaviour: Behaviour,
    asked: Mutex<Vec<Asked>>,
}

/// A server that answers each request as its behaviour says.
struct Server {
    base: String,
    shared: Arc<Shared>,
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let body = to_bytes(request.into_body(), 1 << 20).await.expect("a request is small");
    let asked = Asked::read(&body);
    shared.asked.lock().unwrap().push(asked.clone());
    (shared.behaviour)(&asked)
}

impl Server {
    async fn start<R: IntoResponse>(behaviour: impl Fn(&Asked) -> R + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let behaviour: Behaviour = Arc::new(move |asked: &Asked| behaviour(asked).into_response());
        let shared = Arc::new(Shared { behaviour, asked: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, shared }
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }

    fn backend(&self, change: impl FnOnce(&mut OpenAiSettings)) -> OpenAiBackend {
        let endpoint = || EndpointSettings::new(&*self.base, "m", Duration::from_secs(10));
        let mut settings = OpenAiSettings {
            http: HttpSettings { system_proxy: false, ..HttpSettings::default() },
            ..OpenAiSettings::default()
        };
        settings.transcription.endpoint = endpoint();
        settings.generation.endpoint = endpoint();
        settings.speech.endpoint = endpoint();
        change(&mut settings);
        OpenAiBackend::new(&settings).unwrap()
    }
}

async fn transcribe(backend: &OpenAiBackend) -> Result<String, BackendError> {
    backend.transcribe(&[1, 2, 3], SampleRate::Hz16000).await
}

async fn spoken(backend: &OpenAiBackend) -> Result<(SampleRate, Vec<i16>), BackendError> {
    let speech = backend.speak("Good day.").await?;
    let chunks: Vec<_> = speech.chunks.try_collect().await?;
    Ok((speech.rate, chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()))
}

#[tokio::test]
async fn a_transcript_is_taken_in_whatever_form_and_under_whatever_name_it_comes() {
    let forms: [(&str, &str); 8] = [
        ("text/plain", "Good day."),
        ("application/json", "Good day."),
        ("text/plain", r#"{"text":"Good day."}"#),
        ("application/json", r#""Good day.""#),
        ("application/json", r#"{"text":null,"segments":[{"text":" Good"},{"text":" day."}]}"#),
        ("application/json", "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Good day.\"}\n\ndata: [DONE]\n\n"),
        ("text/event-stream", "data: {\"text\":\"Good\"}\n\ndata: {\"text\":\"day.\"}\n\n"),
        ("application/x-ndjson", "{\"text\":\"Good\"}\n{\"text\":\"day.\"}\n"),
    ];
    for (content_type, body) in forms {
        let server = Server::start(move |_| ([("content-type", content_type)], body)).await;
        assert_eq!(transcribe(&server.backend(|_| {})).await.unwrap(), "Good day.", "{content_type}: {body}");
        assert_eq!(server.asked().len(), 1, "{body}");
    }
    for nothing in [r#"{"text":null}"#, "{}", "", "null", r#"{"segments":[]}"#] {
        let server = Server::start(move |_| nothing).await;
        assert_eq!(transcribe(&server.backend(|_| {})).await.unwrap(), "", "{nothing}");
    }
}

#[tokio::test]
async fn a_recogniser_that_refuses_the_verbose_form_costs_no_turn_and_is_asked_plainly_from_then_on() {
    for (status, refusal) in [
        (
            StatusCode::BAD_REQUEST,
            r#"{"error":{"message":"response_format 'verbose_json' is not compatible with model"}}"#,
        ),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"detail":[{"loc":["body","response_format"],"msg":"value is not valid"}]}"#,
        ),
        (StatusCode::BAD_REQUEST, "Bad Request"),
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"verbose_json is not implemented"}"#),
        (StatusCode::OK, "<html>no such view</html>"),
    ] {
        let server = Server::start(move |asked| {
            if asked.verbose() { (status, refusal).into_response() } else { r#"{"text":"Good day."}"#.into_response() }
        })
        .await;
        let backend = server.backend(|_| {});
        for _ in 0..3 {
            assert_eq!(transcribe(&backend).await.unwrap(), "Good day.", "{refusal}");
        }
        let verbose: Vec<bool> = server.asked().iter().map(Asked::verbose).collect();
        assert_eq!(verbose, [true, false, false, false], "{refusal}");
    }
}

#[tokio::test]
async fn a_single_refusal_by_a_recogniser_that_took_the_verbose_form_before_teaches_nothing() {
    let count = Arc::new(Mutex::new(0));
    let server = Server::start(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            2 => (StatusCode::BAD_REQUEST, "the audio is too short").into_response(),
            _ => r#"{"text":"Good day."}"#.into_response(),
        }
    })
    .await;
    let backend = server.backend(|_| {});
    for _ in 0..3 {
        assert_eq!(transcribe(&backend).await.unwrap(), "Good day.");
    }
    assert_eq!(server.asked().iter().map(Asked::verbose).collect::<Vec<_>>(), [true, true, false, true]);
}

#[tokio::test]
async fn the_form_that_was_set_is_asked_for() {
    let server = Server::start(|_| r#"{"text":"Good day."}"#).await;
    for (format, check, expected) in [
        (TranscriptFormat::Json, TranscriptCheck::Full, "json"),
        (TranscriptFormat::VerboseJson, TranscriptCheck::Full, "verbose_json"),
        (TranscriptFormat::Auto, TranscriptCheck::Full, "verbose_json"),
        (TranscriptFormat::Auto, TranscriptCheck::Marks, "json"),
    ] {
        let backend = server.backend(|settings| {
            settings.transcription.format = format;
            settings.transcription.check = check;
        });
        transcribe(&backend).await.unwrap();
        assert_eq!(server.asked()[0].format.as_deref(), Some(expected), "{format:?} {check:?}");
    }
    let backend = server.backend(|settings| {
        settings.transcription.endpoint.extra.insert("response_format".to_owned(), json!("text"));
    });
    transcribe(&backend).await.unwrap();
    assert_eq!(server.asked()[0].format.as_deref(), Some("text"));
}

#[tokio::test]
async fn words_that_the_recogniser_itself_doubts_are_nothing_and_sure_ones_are_heard() {
    for (no_speech, heard) in [(0.93, ""), (0.04, "Thank you.")] {
        let server = Server::start(move |asked| {
            let segment = json!({ "text": " Thank you.", "no_speech_prob": no_speech, "avg_logprob": -0.7 });
            let text = "Thank you.";
            let verbose = json!({ "text": text, "segments": [segment] });
            axum::Json(if asked.verbose() { verbose } else { json!({ "text": text }) })
        })
        .await;
        assert_eq!(transcribe(&server.backend(|_| {})).await.unwrap(), heard, "{no_speech}");
        let believing = server.backend(|settings| settings.transcription.check = TranscriptCheck::None);
        assert_eq!(transcribe(&believing).await.unwrap(), "Thank you.");
    }
}

#[tokio::test]
async fn the_language_goes_out_under_its_name_at_recognisers_or_not_at_all() {
    let server = Server::start(|_| r#"{"text":"God dag."}"#).await;
    for (tag, sent) in [
        (Some("nb-NO"), Some("no")),
        (Some("iw"), Some("he")),
        (Some("pt-BR"), Some("pt")),
        (Some("deu"), Some("de")),
        (Some("und"), None),
        (None, None),
    ] {
        let backend = server.backend(|settings| settings.transcription.language = tag.map(str::to_owned));
        transcribe(&backend).await.unwrap();
        assert_eq!(server.asked()[0].language.as_deref(), sent, "{tag:?}");
    }
    let backend = server.backend(|settings| {
        settings.transcription.language = Some("nb".to_owned());
        settings.transcription.language_name = Some("zh-TW".to_owned());
    });
    transcribe(&backend).await.unwrap();
    assert_eq!(server.asked()[0].language.as_deref(), Some("zh-TW"), "as it is");
}

#[tokio::test]
async fn a_recogniser_that_knows_a_language_by_another_name_or_not_at_all_costs_no_turn() {
    let knows = |name: Option<&'static str>| {
        move |asked: &Asked| {
            if asked.language.as_deref() == name {
                return r#"{"text":"God dag."}"#.into_response();
            }
            let refusal = r#"{"error":{"message":"'no' is not a valid language code"}}"#;
            (StatusCode::BAD_REQUEST, refusal).into_response()
        }
    };
    for (name, requests) in [(Some("nb"), 2), (None, 3)] {
        let server = Server::start(knows(name)).await;
        let backend = server.backend(|settings| settings.transcription.language = Some("nb".to_owned()));
        for _ in 0..2 {
            assert_eq!(transcribe(&backend).await.unwrap(), "God dag.", "{name:?}");
        }
        assert_eq!(server.asked().len(), requests + 1, "{name:?}: found out once");
    }
}

fn ramp() -> Vec<i16> {
    (0..2_000).map(|i| i * 16 - 16_000).collect()
}

/// Frames of MPEG 2 layer 3, 64 kbit/s, 24 kHz.
fn mp3() -> Vec<u8> {
    let mut frame = [0x55; 192];
    frame[..4].copy_from_slice(&[0xFF, 0xF3, 0x84, 0xC4]);
    frame.repeat(20)
}

#[tokio::test]
async fn compressed_speech_is_refused_by_name_whether_its_head_or_its_bytes_tell() {
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("audio/mpeg", mp3(), "came MP3"),
        ("audio/pcm", mp3(), "came MP3"),
        ("audio/mpeg", b"ID3\x04\0\0\0\0\0\x23TSSE".to_vec(), "came MP3"),
        ("audio/ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0".to_vec(), "came Ogg"),
        ("application/octet-stream", b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\0".to_vec(), "came FLAC"),
        ("audio/pcm", b"{\"error\":{\"message\":\"no such voice\"}}".to_vec(), "came JSON"),
    ];
    for (content_type, bytes, expected) in cases {
        let server = Server::start(move |_| ([("content-type", content_type)], Bytes::from(bytes.clone()))).await;
        for format in [SpeechFormat::Pcm, SpeechFormat::Wav] {
            let error = spoken(&server.backend(|settings| settings.speech.format = format)).await.unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Invalid, "{error}");
            assert!(error.message().contains(expected), "{content_type} {format:?}: {error}");
        }
    }
}

#[tokio::test]
async fn bare_samples_are_read_as_the_content_type_says() {
    let big: Vec<u8> = ramp().iter().flat_map(|sample| sample.to_be_bytes()).collect();
    let stereo: Vec<u8> =
        ramp().iter().flat_map(|sample| [sample.to_le_bytes(), sample.to_le_bytes()].concat()).collect();
    for (content_type, bytes, rate) in [
        ("audio/L16; rate=16000; channels=1", big, SampleRate::Hz16000),
        ("audio/pcm;rate=8000;channels=2", stereo, SampleRate::Hz8000),
    ] {
        let server = Server::start(move |_| ([("content-type", content_type)], Bytes::from(bytes.clone()))).await;
        let backend = server.backend(|settings| settings.speech.format = SpeechFormat::Pcm);
        assert_eq!(spoken(&backend).await.unwrap(), (rate, ramp()), "{content_type}");
    }
}

#[tokio::test]
async fn sentence_after_sentence_in_files_of_their_own_is_all_heard() {
    let file = wav::write(&ramp(), SampleRate::Hz24000);
    let mut streamed = file.clone();
    streamed[4..8].fill(0xFF);
    streamed[40..44].fill(0xFF);
    for files in [vec![file.clone(); 3], vec![streamed; 3]] {
        let server = Server::start(move |_| ([("content-type", "audio/wav")], Bytes::from(files.concat()))).await;
        for format in [SpeechFormat::Wav, SpeechFormat::Pcm] {
            let (rate, samples) = spoken(&server.backend(|settings| settings.speech.format = format)).await.unwrap();
            assert_eq!((rate, samples), (SampleRate::Hz24000, ramp().repeat(3)));
        }
    }
}

#[tokio::test]
async fn telephone_samples_in_a_wav_file_are_heard() {
    let plain = wav::write(&[], SampleRate::Hz8000);
    let mut file = plain[..40].to_vec();
    file[20] = 7;
    file[28..32].copy_from_slice(&8_000_u32.to_le_bytes());
    file[32] = 1;
    file[34] = 8;
    file.extend(3_u32.to_le_bytes());
    file.extend([0xFF, 0x80, 0x00]);
    let server = Server::start(move |_| ([("content-type", "audio/wav")], Bytes::from(file.clone()))).await;
    assert_eq!(spoken(&server.backend(|_| {})).await.unwrap(), (SampleRate::Hz8000, vec![0, 32_124, -32_124]));
}
