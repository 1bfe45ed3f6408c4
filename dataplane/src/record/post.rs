//! Sends a finished call to a URL: one `POST` of `multipart/form-data`, repeated while that may help. Never reads an answer
//! but its status, and never logs the token.
//!
//! The parts are `record` (JSON), `page` (HTML) and, where there is one, `audio` (WAV, sent from the file as it is read).
//! `Idempotency-Key` is the same for each repetition, so that a receiver can tell one from a new call.

use std::path::Path;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backend::Secret;
use crate::backend::resilience::RetryPolicy;

/// How long one attempt may take: a long call's recording over a slow line.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// Where finished calls are posted.
#[derive(Debug, Clone, PartialEq)]
pub struct PostTarget {
    /// The URL, `http` or `https`.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
    /// When a failed attempt is repeated.
    pub retry: RetryPolicy,
    /// When it is given up, repetitions included.
    pub deadline: Duration,
}

impl PostTarget {
    /// Six attempts over some two minutes: long enough for a receiver that is being restarted.
    pub const PATIENT: RetryPolicy = RetryPolicy {
        attempts: 6,
        base_delay: Duration::from_secs(1),
        multiplier: 3.0,
        cap: Duration::from_secs(60),
        jitter: 0.5,
    };

    /// A target with [`Self::PATIENT`] repetition and ten minutes to succeed.
    #[must_use]
    pub fn new(url: impl Into<String>, token: Option<Secret>) -> Self {
        Self { url: url.into(), token, retry: Self::PATIENT, deadline: Duration::from_secs(600) }
    }
}

/// Why a call could not be posted.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The receiver answered, but not with success.
    #[error("the receiver answered {status}, after {attempts} attempts")]
    Refused {
        /// Its last answer.
        status: StatusCode,
        /// How often it was asked.
        attempts: u32,
    },
    /// No answer came.
    #[error("no answer after {attempts} attempts: {reason}")]
    Unreachable {
        /// What failed last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The recording could not be read.
    #[error("the recording could not be read: {0}")]
    Recording(#[from] std::io::Error),
}

/// What is posted.
pub(super) struct Parcel<'a> {
    /// File name of everything, without extension.
    pub(super) stem: &'a str,
    pub(super) json: &'a [u8],
    pub(super) page: &'a str,
    pub(super) recording: Option<&'a Path>,
}

enum Failed {
    Answer(StatusCode, Option<Duration>),
    Transport(String),
}

/// Posts `parcel`, as often as the target's policy allows.
pub(super) async fn post(client: &Client, target: &PostTarget, parcel: &Parcel<'_>) -> Result<(), PostError> {
    let deadline = Instant::now() + target.deadline;
    let mut attempts = 0;
    loop {
        let form = form(parcel).await?;
        let failed = match attempt(client, target, parcel, form, deadline).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        attempts += 1;
        let retry_after = match &failed {
            Failed::Answer(_, retry_after) => *retry_after,
            Failed::Transport(_) => None,
        };
        let remaining = deadline.saturating_duration_since(Instant::now());
        let pause = match &failed {
            Failed::Answer(status, _) if !may_pass(*status) => None,
            _ => target.retry.next_delay(attempts, retry_after, remaining, rand::random()),
        };
        match (pause, failed) {
            (Some(pause), _) => sleep(pause).await,
            (None, Failed::Answer(status, _)) => return Err(PostError::Refused { status, attempts }),
            (None, Failed::Transport(reason)) => return Err(PostError::Unreachable { reason, attempts }),
        }
    }
}

async fn attempt(
    client: &Client,
    target: &PostTarget,
    parcel: &Parcel<'_>,
    form: Form,
    deadline: Instant,
) -> Result<(), Failed> {
    let mut request = client.post(&target.url).header("Idempotency-Key", parcel.stem).multipart(form);
    if let Some(token) = &target.token {
        request = request.bearer_auth(token.expose());
    }
    let until = deadline.min(Instant::now() + ATTEMPT_TIMEOUT);
    match timeout_at(until, request.send()).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(Failed::Answer(answer.status(), retry_after(&answer))),
        Ok(Err(error)) => Err(Failed::Transport(innermost(&error.without_url()))),
        Err(_) => Err(Failed::Transport("timed out".to_owned())),
    }
}

async fn form(parcel: &Parcel<'_>) -> Result<Form, std::io::Error> {
    let part = |body: Vec<u8>, extension: &str, media_type: &str| {
        Part::bytes(body)
            .file_name(format!("{}.{extension}", parcel.stem))
            .mime_str(media_type)
            .expect("the media types below are well-formed")
    };
    let mut form = Form::new()
        .part("record", part(parcel.json.to_vec(), "json", "application/json"))
        .part("page", part(parcel.page.as_bytes().to_vec(), "html", "text/html; charset=utf-8"));
    if let Some(path) = parcel.recording {
        let audio = Part::file(path).await?.file_name(format!("{}.wav", parcel.stem));
        form = form.part("audio", audio.mime_str("audio/wav").expect("it is well-formed"));
    }
    Ok(form)
}

/// Whether what was answered with `status` may be taken later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What is behind an error of layers: "connection refused" rather than "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
