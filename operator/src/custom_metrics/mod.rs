//! Serves `custom.metrics.k8s.io/v1beta2`, so that a plain HorizontalPodAutoscaler can follow the calls of data-plane
//! pods with no adapter installed. Asks the pods when it is asked, keeps no figures, and answers nobody but the API
//! server's aggregator on behalf of those who may.
//!
//! | to find | look in |
//! |---|---|
//! | paths and answers | [`api`] |
//! | who asks, and whether they may | [`authorization`], [`front_proxy`] |
//! | the certificate, made and renewed | [`certificate`], [`keeper`] |

pub mod api;
pub mod authorization;
pub mod certificate;
pub mod front_proxy;
pub mod keeper;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::fleet::scrape::PodFigures;
use crate::server;
use front_proxy::FrontProxy;

/// Longest TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Asks the pod at an address for its figures; nothing when it does not tell them.
pub type AskPod = Arc<dyn Fn(IpAddr) -> BoxFuture<'static, Option<PodFigures>> + Send + Sync>;

/// What new connections are met with.
pub struct Offer {
    /// Certificate, key, and the authority of client certificates.
    pub tls: Arc<rustls::ServerConfig>,
    /// By whom requests are believed who they are from.
    pub front_proxy: Arc<FrontProxy>,
}

/// Whom a connection is from: what its client certificate told.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The aggregator's rules, when it is the aggregator.
    trusted: Option<Arc<FrontProxy>>,
}

/// Answers until `stop` is cancelled. Connections that come before there is an offer are closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    offers: watch::Receiver<Option<Arc<Offer>>>,
    stop: CancellationToken,
) {
    let converse = |stream: TcpStream, seat, stop| {
        let (router, offer) = (router.clone(), offers.borrow().clone());
        async move {
            let Some(offer) = offer else { return };
            let handshake = TlsAcceptor::from(Arc::clone(&offer.tls)).accept(stream);
            let stream = match tokio::time::timeout(HANDSHAKE_TIME, handshake).await {
                Ok(Ok(stream)) => stream,
                // Who does not speak TLS, or shows a certificate of someone else's.
                Ok(Err(error)) => return tracing::debug!(%error, "a connection to custom metrics was refused"),
                Err(_) => return,
            };
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let trusted = certificates.first().is_some_and(|own| offer.front_proxy.trusts(own));
            let peer = Peer { trusted: trusted.then(|| Arc::clone(&offer.front_proxy)) };
            server::converse(stream, router.layer(Extension(peer)), server::KeepAlive::Yes, seat, stop).await;
        }
    };
    server::serve_each(listener, stop, converse).await;
}

#[cfg(test)]
mod tests;
