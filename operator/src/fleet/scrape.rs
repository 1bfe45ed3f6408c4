//! Asks the pods how many calls they have, and tells those that are to go to drain. Decides nothing; whatever a pod answers, and
//! however slowly, costs a bounded time and a bounded memory.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::header::{CONNECTION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;

use crate::secret_text::SecretText;
use crate::vocabulary::names::ADMIN_PORT;

/// Longest wait for a whole answer. Pods answer from memory, within a millisecond.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Longest answer. It lists the pod's calls at about 200 bytes each, of which there may be 10,000.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Pods that are asked at a time.
const CONCURRENCY: usize = 32;

/// What a pod says of itself (`GET /status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodFigures {
    /// Calls in progress.
    pub active: u32,
    /// Calls that it takes at a time.
    pub capacity: u32,
    /// Whether it takes a call now.
    pub accepting: bool,
    /// Whether it is draining.
    pub draining: bool,
}

/// Why a pod's figures are not known.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// It could not be reached, or took longer than a second.
    #[error("expected an answer to GET /status within {limit:?}: {0}", limit = ANSWER_TIME)]
    Unreachable(#[source] reqwest::Error),
    /// It answered with another status than 200.
    #[error("expected 200 to GET /status, got {0}")]
    Refused(StatusCode),
    /// Its answer is too long.
    #[error("expected at most {ANSWER_BYTES} bytes from GET /status, got more: is this a data-plane pod?")]
    TooLong,
    /// Its answer is not what a data plane says.
    #[error("expected the data plane's status from GET /status, got something else: {0}")]
    Malformed(#[source] serde_json::Error),
}

/// Why a pod could not be told to drain.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// It could not be reached, or took longer than a second.
    #[error("expected an answer to POST /drain within {limit:?}: {0}", limit = ANSWER_TIME)]
    Unreachable(#[source] reqwest::Error),
    /// It does not know the token, or has none: it was started with another Secret than there is now.
    #[error(
        "POST /drain was refused with {0}: the pod has another admin token than its Secret; restart the pod to have it read again"
    )]
    Unauthorized(StatusCode),
    /// It answered with another status than 202.
    #[error("expected 202 to POST /drain, got {0}")]
    Refused(StatusCode),
}

/// The pods' admin HTTP, from the outside.
#[derive(Clone, Debug)]
pub struct Scraper {
    client: Client,
    port: u16,
}

impl Scraper {
    /// A client for the pods' admin port. Nothing is followed, and no proxy of the environment is asked: pods are reached directly or
    /// not at all. Connections are not kept: those to thousands of pods would take more memory than everything else, and a new one
    /// every few seconds takes a pod no time. It is the pod that closes, so that what the kernel keeps of it afterwards lies there.
    ///
    /// # Errors
    /// When the client can't be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::at_port(ADMIN_PORT)
    }

    fn at_port(port: u16) -> Result<Self, reqwest::Error> {
        // The client wants TLS to be there though it never speaks it; a provider that was installed before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(ANSWER_TIME)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .tls_certs_only([])
            .pool_max_idle_per_host(0)
            .default_headers(HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("close"))]))
            .user_agent(concat!("sofia-operator/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, port })
    }

    /// What the pod at an address says of itself.
    ///
    /// # Errors
    /// When it does not say, for whatever reason: then it counts as busy.
    pub async fn figures(&self, address: IpAddr) -> Result<PodFigures, ScrapeError> {
        let request = self.client.get(self.url(address, "status"));
        let response = request.send().await.map_err(unreachable_status)?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Refused(response.status()));
        }
        parse(&whole(response).await?).map_err(ScrapeError::Malformed)
    }

    /// What each of the pods says of itself, in their order. Some are asked at a time, so that no fleet takes much longer than
    /// its slowest pods.
    pub async fn all(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Result<PodFigures, ScrapeError>> {
        stream::iter(addresses).map(|address| self.figures(address)).buffered(CONCURRENCY).collect().await
    }

    /// Tells the pod at an address to drain. To say so twice changes nothing: its deadline stays the first one.
    ///
    /// # Errors
    /// When it does not say that it drains.
    pub async fn drain(&self, address: IpAddr, token: &SecretText) -> Result<(), DrainError> {
        let request: RequestBuilder = self.client.post(self.url(address, "drain")).bearer_auth(token.expose());
        let response = request.send().await.map_err(|error| DrainError::Unreachable(error.without_url()))?;
        match response.status() {
            StatusCode::ACCEPTED => Ok(()),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(DrainError::Unauthorized(status)),
            status => Err(DrainError::Refused(status)),
        }
    }

    fn url(&self, address: IpAddr, path: &str) -> String {
        // A socket address writes IPv6 in brackets.
        format!("http://{}/{path}", SocketAddr::new(address, self.port))
    }
}

fn unreachable_status(error: reqwest::Error) -> ScrapeError {
    ScrapeError::Unreachable(error.without_url())
}

/// The whole body, as long as it is not too long.
async fn whole(mut response: Response) -> Result<Vec<u8>, ScrapeError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable_status)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(ScrapeError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a pod's status. What else it says, such as the list of calls, is passed over.
fn parse(body: &[u8]) -> Result<PodFigures, serde_json::Error> {
    #[derive(Deserialize)]
    struct Status {
        sessions: Sessions,
        drain: Drain,
    }
    #[derive(Deserialize)]
    struct Sessions {
        active: u32,
        capacity: u32,
        accepting: bool,
    }
    #[derive(Deserialize)]
    struct Drain {
        draining: bool,
    }
    let Status { sessions: Sessions { active, capacity, accepting }, drain: Drain { draining } } =
        serde_json::from_slice(body)?;
    Ok(PodFigures { active, capacity, accepting, draining })
}

#[cfg(test)]
mod tests;
