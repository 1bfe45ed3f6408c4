//! The HTTP client of all that the data plane asks over HTTP: TLS, proxies, connection reuse. It knows no routes.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};

use super::SetupError;

/// How connections are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// A PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are honoured.
    pub system_proxy: bool,
}

impl Default for HttpSettings {
    /// 3 s to connect; the system's authorities and proxies.
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(3), ca_file: None, system_proxy: true }
    }
}

/// Makes rustls's *ring* provider the one of the process, unless there is one already. Needed once before any client is
/// made; further calls do nothing.
pub fn install_tls_provider() {
    // The only error says that a provider is installed, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The clients of a process, and with them its open connections: one for all servers that are connected to alike.
#[derive(Debug, Default)]
pub struct HttpClients {
    /// With settings, and whether they can speak TLS.
    clients: Mutex<Vec<(HttpSettings, bool, Client)>>,
}

impl HttpClients {
    /// A client for `urls`, as [`HttpSettings::client`] makes it; the one that there is already, if there is one.
    ///
    /// # Errors
    /// As [`HttpSettings::client`].
    pub fn client(&self, settings: &HttpSettings, urls: &[&Url]) -> Result<Client, SetupError> {
        let secure = urls.iter().any(|url| is_secure(url));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, client)) = clients.iter().find(|(made, tls, _)| made == settings && *tls == secure) {
            return Ok(client.clone());
        }
        let client = settings.client(urls.iter().copied())?;
        clients.push((settings.clone(), secure, client.clone()));
        Ok(client)
    }
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

impl HttpSettings {
    /// A client for `urls`. Redirects are not followed: a request with a key and a caller's voice goes nowhere else. It
    /// does not retry either; [`crate::backend::RetryPolicy`] does.
    ///
    /// # Errors
    /// [`SetupError::CaFile`] when the authorities can't be read, [`SetupError::Client`] when TLS can't be set up.
    pub fn client<'a>(&self, urls: impl IntoIterator<Item = &'a Url>) -> Result<Client, SetupError> {
        install_tls_provider();
        let mut builder = Client::builder()
            .user_agent(concat!("sofia-phone/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect_timeout)
            .redirect(Policy::none())
            .retry(reqwest::retry::never());
        if !self.system_proxy {
            builder = builder.no_proxy();
        }
        let authorities = self.authorities()?;
        builder = if urls.into_iter().any(is_secure) {
            builder.tls_certs_merge(authorities)
        } else {
            // A slim image may have no authorities at all, which is no reason to fail where none is needed.
            builder.tls_certs_only(authorities)
        };
        builder.build().map_err(|error| SetupError::Client(super::endpoint::chain(&error)))
    }

    fn authorities(&self) -> Result<Vec<Certificate>, SetupError> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let failed = |reason: String| SetupError::CaFile { path: path.clone(), reason };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| failed(super::endpoint::chain(&error)))?;
        if authorities.is_empty() {
            return Err(failed("expected PEM certificates, came none".to_owned()));
        }
        Ok(authorities)
    }
}
