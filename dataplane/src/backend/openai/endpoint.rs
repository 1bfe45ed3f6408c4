//! One HTTP route of a backend: its URL, key and timeout, and how its failures become [`BackendError`]s. It knows nothing
//! of what is asked.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::SetupError;
use crate::backend::{BackendError, BackendErrorKind, Secret, Stage};

/// How much of a failed request's answer is read for its reason.
const MAX_ERROR_BODY_BYTES: usize = 16 << 10;
/// How much of a reason is told.
const MAX_REASON_CHARS: usize = 200;
/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Where and how one of the three services is asked.
#[derive(Clone, PartialEq)]
pub struct EndpointSettings {
    /// The base (`http://host:8000/v1`, or just `http://host:8000`) or the whole URL of the route. A query is kept,
    /// credentials before the host are sent as basic authentication.
    pub url: String,
    /// The model's name, as the server knows it.
    pub model: String,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<Secret>,
    /// The longest wait for one attempt's answer; for streams, for its head and for each of its pieces. One that is as long
    /// as the stage's deadline leaves no time to try a server again that did not answer.
    pub timeout: Duration,
    /// Further fields of the request, which override those that the engine sets; for a transcription, form fields.
    pub extra: Map<String, Value>,
}

impl EndpointSettings {
    /// An endpoint without key or further fields.
    #[must_use]
    pub fn new(url: impl Into<String>, model: impl Into<String>, timeout: Duration) -> Self {
        Self { url: url.into(), model: model.into(), api_key: None, timeout, extra: Map::new() }
    }
}

impl fmt::Debug for EndpointSettings {
    /// Leaves out what may hold credentials: of the URL those and the query, of the further fields the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, api_key, timeout, extra } = self;
        f.debug_struct("EndpointSettings")
            .field("url", &Url::parse(url).map_or_else(|_| "…".to_owned(), |url| site(&url)))
            .field("model", model)
            .field("api_key", api_key)
            .field("timeout", timeout)
            .field("extra", &extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// An endpoint, checked.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    /// The URL without credentials and query, for errors.
    site: String,
    api_key: Option<Secret>,
    authorization: Option<HeaderValue>,
    pub(super) model: String,
    pub(super) timeout: Duration,
    pub(super) extra: Map<String, Value>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("site", &self.site).field("model", &self.model).finish_non_exhaustive()
    }
}

/// The URL of `route` (such as `/audio/speech`) under the base or whole URL `text`.
pub(super) fn resolve(stage: Stage, text: &str, route: &str) -> Result<Url, SetupError> {
    // The text is left out of the error: it may hold credentials.
    let invalid = |reason: String| SetupError::Url { stage, reason };
    if text.trim().is_empty() {
        return Err(invalid("expected a URL, came none".to_owned()));
    }
    let mut url = Url::parse(text.trim()).map_err(|error| invalid(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("expected http or https, came {}", url.scheme())));
    }
    let path = url.path().trim_end_matches('/');
    if !path.ends_with(route) {
        let version = if path.is_empty() { "/v1" } else { "" };
        let path = format!("{path}{version}{route}");
        url.set_path(&path);
    }
    Ok(url)
}

impl Endpoint {
    pub(super) fn new(client: Client, stage: Stage, url: Url, settings: &EndpointSettings) -> Result<Self, SetupError> {
        let bearer = |key: &Secret| {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| SetupError::ApiKey { stage })?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = settings.api_key.as_ref().map(bearer).transpose()?;
        Ok(Self {
            client,
            site: site(&url),
            url,
            api_key: settings.api_key.clone(),
            authorization,
            model: settings.model.clone(),
            timeout: settings.timeout,
            extra: settings.extra.clone(),
        })
    }

    /// What is asked: the same for all that ask the same model at the same place.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.site, self.model)
    }

    /// A request to the route.
    pub(super) fn post(&self) -> RequestBuilder {
        // Without this header a server may pack what it sends (RFC 9110, section 12.5.3), and a stream that is packed comes late.
        self.authorized(self.client.post(self.url.clone()).header(ACCEPT_ENCODING, "identity"))
    }

    /// Adds the settings' further fields to a JSON body.
    pub(super) fn with_extra(&self, mut body: Map<String, Value>) -> Value {
        body.extend(self.extra.clone());
        Value::Object(body)
    }

    /// Whether the server answers at all. Any answer that is not its own failure will do: small servers do not list models.
    pub(super) async fn health(&self, route: &str) -> Result<(), BackendError> {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').strip_suffix(route).unwrap_or_default().to_owned();
        url.set_path(&format!("{base}/models"));
        let request = self.authorized(self.client.get(url));
        match self.send(request, Instant::now() + self.timeout).await {
            Err(Refusal { error, status: Some(status), .. })
                if status.is_server_error() || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                Err(error)
            }
            Err(Refusal { error, status: None, .. }) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Sends `request` and awaits the head of a successful answer.
    pub(super) async fn send(&self, request: RequestBuilder, deadline: Instant) -> Result<Response, Refusal> {
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.transport(error).into()),
            Err(_) => return Err(self.timed_out("an answer").into()),
        };
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response, deadline).await) }
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, BackendError> {
        let mut body = Vec::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > limit => {
                    return Err(self.invalid(format!("expected an answer of at most {limit} bytes, came a longer one")));
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(self.transport(error)),
                Err(_) => return Err(self.timed_out("the rest of an answer")),
            }
        }
    }

    /// The next piece of a streamed body; `None` at its end.
    pub(super) async fn next_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, BackendError> {
        match timeout(self.timeout, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.transport(error)),
            Err(_) => Err(self.timed_out("the next piece of an answer")),
        }
    }

    /// An answer came that is not what the protocol says.
    pub(super) fn invalid(&self, message: impl Into<String>) -> BackendError {
        self.located(BackendError::invalid(message))
    }

    /// Adds the endpoint to an error, and takes the key out of it should the server have quoted it.
    pub(super) fn located(&self, error: BackendError) -> BackendError {
        BackendError::new(error.kind(), self.without_key(error.message())).at(&*self.site)
    }

    fn timed_out(&self, what: &str) -> BackendError {
        self.located(BackendError::timeout(format!("expected {what} within {:?}, came none", self.timeout)))
    }

    fn transport(&self, error: reqwest::Error) -> BackendError {
        let kind = if error.is_timeout() {
            BackendErrorKind::Timeout
        } else if error.is_builder() {
            BackendErrorKind::Rejected
        } else {
            BackendErrorKind::Unavailable
        };
        // The URL may hold a key in its query.
        self.located(BackendError::new(kind, chain(&error.without_url())))
    }

    async fn refusal(&self, response: Response, deadline: Instant) -> Refusal {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
        // What a server says about a wrong key tends to quote it.
        let secret = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let body = self.body(response, MAX_ERROR_BODY_BYTES, deadline).await.unwrap_or_default();
        let reason = if secret { None } else { reason(&body) };
        let mut message = format!("expected 200, came {status}");
        if let Some(reason) = reason {
            message = format!("{message}: {reason}");
        }
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => BackendErrorKind::RateLimited { retry_after },
            StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => BackendErrorKind::RateLimited { retry_after },
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => BackendErrorKind::Timeout,
            StatusCode::NOT_IMPLEMENTED => BackendErrorKind::Rejected,
            _ if status.is_server_error() => BackendErrorKind::Unavailable,
            _ => BackendErrorKind::Rejected,
        };
        Refusal { error: self.located(BackendError::new(kind, message)), status: Some(status), body }
    }

    fn without_key(&self, text: &str) -> String {
        match &self.api_key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "***"),
            _ => text.to_owned(),
        }
    }
}

/// A request that was not answered with success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: BackendError,
    /// The answer's status, if one came.
    pub(super) status: Option<StatusCode>,
    /// The answer's body as far as it was read: for finding out what it refuses, never for logs.
    pub(super) body: Vec<u8>,
}

impl Refusal {
    /// Whether the answer has one of `words`, which are in small letters, in whatever letters.
    pub(super) fn speaks_of(&self, words: &[&str]) -> bool {
        let has = |word: &&str| self.body.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        words.iter().any(has)
    }
}

impl From<BackendError> for Refusal {
    fn from(error: BackendError) -> Self {
        Self { error, status: None, body: Vec::new() }
    }
}

impl From<Refusal> for BackendError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// What the head of an answer says that it is, as it came; empty when it says nothing.
pub(super) fn content_type(response: &Response) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The media type of an answer, in lower case and without parameters; empty when there is none.
pub(super) fn media_type(response: &Response) -> String {
    content_type(response).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Scheme, host, port and path of `url`.
fn site(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}{}", url.scheme(), url.path()),
        None => format!("{}://{host}{}", url.scheme(), url.path()),
    }
}

/// What a JSON error body says was wrong, if it does so in the usual places. Nothing else of it is told: validation
/// errors quote the request, which is what a caller said.
fn reason(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let text =
        [error.get("message"), error.get("detail"), Some(error)].into_iter().flatten().find_map(Value::as_str)?;
    Some(one_line(text))
}

/// `text` in one printable line of at most [`MAX_REASON_CHARS`] characters.
pub(super) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.trim().chars().map(printable).take(MAX_REASON_CHARS).collect();
    if text.trim().chars().nth(MAX_REASON_CHARS).is_some() {
        line.push('…');
    }
    line
}

/// `Retry-After` in either of its forms, seconds or a date (RFC 9110, section 10.2.3), as a wait from `now`.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// An error with its causes, each of which says only its own part.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    struct Chain<'a>(&'a (dyn Error + 'static));
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            let mut source = self.0.source();
            while let Some(error) = source {
                write!(f, ": {error}")?;
                source = error.source();
            }
            Ok(())
        }
    }
    one_line(&Chain(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_or_a_whole_url_leads_to_the_route() {
        let table = [
            ("http://tts:8000", "http://tts:8000/v1/audio/speech"),
            ("http://tts:8000/", "http://tts:8000/v1/audio/speech"),
            ("http://tts:8000/v1", "http://tts:8000/v1/audio/speech"),
            ("http://tts:8000/v1/", "http://tts:8000/v1/audio/speech"),
            ("https://host/openai/deployments/x", "https://host/openai/deployments/x/audio/speech"),
            ("https://host/v1/audio/speech", "https://host/v1/audio/speech"),
            ("https://host/v1?api-version=2", "https://host/v1/audio/speech?api-version=2"),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(Stage::Speak, text, "/audio/speech").unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_url_that_leads_nowhere_is_an_error_that_does_not_quote_it() {
        for text in ["", "  ", "tts:8000/v1", "ftp://u:hunter2@host/", "http://u:hunter2@/"] {
            let error = resolve(Stage::Speak, text, "/audio/speech").unwrap_err().to_string();
            assert!(error.starts_with("speak: URL") && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_site_has_neither_credentials_nor_query() {
        let url = Url::parse("https://user:hunter2@host:8443/v1/x?key=hunter2#f").unwrap();
        assert_eq!(site(&url), "https://host:8443/v1/x");
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        let read = |text: &'static str| retry_after(&HeaderValue::from_static(text), now).map(|wait| wait.as_secs());
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(10));
        assert_eq!(read("Sun, 06 Nov 1993 08:49:37 GMT"), None, "that was no Sunday");
        assert_eq!(read("Sat, 06 Nov 1993 08:49:37 GMT"), Some(0));
        assert_eq!(read("99999999999"), Some(3600));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }

    #[test]
    fn only_a_reason_in_its_usual_place_is_told() {
        assert_eq!(reason(br#"{"error":{"message":"no such\nmodel"}}"#).as_deref(), Some("no such model"));
        assert_eq!(reason(br#"{"error":"full"}"#).as_deref(), Some("full"));
        assert_eq!(reason(br#"{"detail":"Not Found"}"#).as_deref(), Some("Not Found"));
        assert_eq!(reason(br#"{"detail":[{"input":"what the caller said"}]}"#), None);
        assert_eq!(reason(b"<html>"), None);
        let long = format!("{{\"error\":\"{}\"}}", "x".repeat(300));
        assert_eq!(reason(long.as_bytes()).unwrap().chars().count(), MAX_REASON_CHARS + 1);
    }
}
