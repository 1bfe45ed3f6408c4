//! The control API from the other side: builds requests, reads answers. Never opens a connection: a [`Transport`] carries the
//! requests, so that a test can send them through the Kubernetes API server to a pod that it cannot reach by itself.

use std::fmt;
use std::future::Future;

use http::{Method, Request, Response, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::{
    CallBrief, CallList, CallStatus, Created, Failure, LoadList, LoadStatus, NewCall, NewLevel, NewLoad, SwitchState,
    VoiceList,
};
use crate::voices::Voice;

/// What carries a request to the server and brings its answer. Any `Fn(Request<Vec<u8>>) -> impl Future` is one.
pub trait Transport {
    /// Why no answer came.
    type Error: fmt::Display;

    /// Sends; any status is an answer. The request's URI is a path only, the client's prefix first.
    fn send(&self, request: Request<Vec<u8>>) -> impl Future<Output = Result<Response<Vec<u8>>, Self::Error>> + Send;
}

impl<F, A, E> Transport for F
where
    F: Fn(Request<Vec<u8>>) -> A,
    A: Future<Output = Result<Response<Vec<u8>>, E>> + Send,
    E: fmt::Display,
{
    type Error = E;

    fn send(&self, request: Request<Vec<u8>>) -> impl Future<Output = Result<Response<Vec<u8>>, E>> + Send {
        self(request)
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request cannot be built: an id or the prefix that is no path.
    #[error("{method} {path}: {source}")]
    Request {
        /// Method.
        method: Method,
        /// With the prefix.
        path: String,
        /// What is wrong with it.
        source: http::Error,
    },
    /// No answer.
    #[error("{method} {path}: {error}")]
    Transport {
        /// Method.
        method: Method,
        /// With the prefix.
        path: String,
        /// By the transport.
        error: String,
    },
    /// Refused.
    #[error("{method} {path}: {status}: {error}")]
    Refused {
        /// Method.
        method: Method,
        /// With the prefix.
        path: String,
        /// HTTP status.
        status: u16,
        /// The server's words, or the beginning of whatever came.
        error: String,
    },
    /// Something else than the server's JSON.
    #[error("{method} {path}: the answer is not what it should be: {source}")]
    Answer {
        /// Method.
        method: Method,
        /// With the prefix.
        path: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client<T> {
    transport: T,
    prefix: String,
}

impl<T: Transport> Client<T> {
    /// Requests go to `prefix` + `/calls` and so on: nothing if the server is reached by itself,
    /// `/api/v1/namespaces/NAMESPACE/pods/http:POD:8099/proxy` through the API server.
    #[must_use]
    pub fn new(transport: T, prefix: impl Into<String>) -> Self {
        Self { transport, prefix: prefix.into().trim_end_matches('/').to_owned() }
    }

    /// Places a caller; returns the call's id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn place(&self, call: &NewCall) -> Result<String, ClientError> {
        Ok(self.json::<Created>(Method::POST, "/calls".to_owned(), Some(json(call))).await?.id)
    }

    /// All calls.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn calls(&self) -> Result<Vec<CallBrief>, ClientError> {
        Ok(self.json::<CallList>(Method::GET, "/calls".to_owned(), None).await?.calls)
    }

    /// A call as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(&self, id: &str) -> Result<CallStatus, ClientError> {
        self.json(Method::GET, format!("/calls/{id}"), None).await
    }

    /// The caller hangs up; a call that is over stays as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn hang_up(&self, id: &str) -> Result<CallStatus, ClientError> {
        self.json(Method::DELETE, format!("/calls/{id}"), None).await
    }

    /// What the caller heard in a call that is over: a WAV file, 16-bit mono at 16 kHz.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn heard(&self, id: &str) -> Result<Vec<u8>, ClientError> {
        self.bytes(Method::GET, &format!("/calls/{id}/heard.wav"), None).await
    }

    /// Starts a load; returns its id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start_load(&self, load: &NewLoad) -> Result<String, ClientError> {
        Ok(self.json::<Created>(Method::POST, "/load".to_owned(), Some(json(load))).await?.id)
    }

    /// Ids of all loads, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn loads(&self) -> Result<Vec<String>, ClientError> {
        Ok(self.json::<LoadList>(Method::GET, "/load".to_owned(), None).await?.loads)
    }

    /// A load as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn load(&self, id: &str) -> Result<LoadStatus, ClientError> {
        self.json(Method::GET, format!("/load/{id}"), None).await
    }

    /// Gives a running load another level.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_level(&self, id: &str, level: NewLevel) -> Result<LoadStatus, ClientError> {
        self.json(Method::PUT, format!("/load/{id}"), Some(json(&level))).await
    }

    /// Lets all callers of a load hang up; it is over when its state says so.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stop_load(&self, id: &str) -> Result<LoadStatus, ClientError> {
        self.json(Method::DELETE, format!("/load/{id}"), None).await
    }

    /// The switch as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn state(&self) -> Result<SwitchState, ClientError> {
        self.json(Method::GET, "/state".to_owned(), None).await
    }

    /// What callers can say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn voices(&self) -> Result<Vec<Voice>, ClientError> {
        Ok(self.json::<VoiceList>(Method::GET, "/voices".to_owned(), None).await?.voices)
    }

    async fn json<A: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<Vec<u8>>,
    ) -> Result<A, ClientError> {
        let answer = self.bytes(method.clone(), &path, body).await?;
        let path = format!("{}{path}", self.prefix);
        serde_json::from_slice(&answer).map_err(|source| ClientError::Answer { method, path, source })
    }

    async fn bytes(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>, ClientError> {
        let path = format!("{}{path}", self.prefix);
        let mut request = Request::builder().method(method.clone()).uri(&path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = match request.body(body.unwrap_or_default()) {
            Ok(request) => request,
            Err(source) => return Err(ClientError::Request { method, path, source }),
        };
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => return Err(ClientError::Transport { method, path, error: error.to_string() }),
        };
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        // The API server in between has errors of another form.
        let error = serde_json::from_slice::<Failure>(&body)
            .map_or_else(|_| String::from_utf8_lossy(&body).chars().take(500).collect(), |failure| failure.error);
        Err(ClientError::Refused { method, path, status: status.as_u16(), error })
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("the API's types have string keys and finite depth")
}
