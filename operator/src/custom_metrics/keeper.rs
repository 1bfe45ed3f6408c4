//! Keeps what the custom-metrics API is served with: reads by what the aggregator is known, makes and renews the
//! certificate in a Secret that all replicas share, and tells the API server (APIService) by which authority to check
//! it. Looks every minute; writes only what differs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Offer;
use super::api::{GROUP, VERSION};
use super::certificate::{Bundle, CertificateError};
use super::front_proxy::{CONFIG_MAP, FrontProxy, FrontProxyError};
use crate::vocabulary::labels;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(60);
/// Pause after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Why there is nothing to serve with, or the API server does not know of it.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The API server failed or refused.
    #[error("could not {action}: {error}")]
    Api {
        /// What was tried.
        action: String,
        /// What came.
        error: Box<kube::Error>,
    },
    /// The aggregator can't be known.
    #[error(transparent)]
    FrontProxy(#[from] FrontProxyError),
    /// The certificate can't be made or read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS can't be had from it.
    #[error("the certificate or the aggregator's authority can't be used: {0}")]
    Tls(String),
}

/// Keeps the certificate of one replica.
pub struct Keeper {
    client: kube::Client,
    namespace: String,
    service: String,
    leads: watch::Receiver<bool>,
    offers: watch::Sender<Option<Arc<Offer>>>,
    clock: fn() -> SystemTime,
    current: Option<(Bundle, FrontProxy)>,
}

impl Keeper {
    /// For the Service of this name in the operator's namespace. Only while `leads` holds is the APIService written.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        service: &str,
        leads: watch::Receiver<bool>,
    ) -> (Self, watch::Receiver<Option<Arc<Offer>>>) {
        let (offers, offered) = watch::channel(None);
        let (namespace, service) = (namespace.to_owned(), service.to_owned());
        (Self { client, namespace, service, leads, offers, clock: SystemTime::now, current: None }, offered)
    }

    /// The same by another clock.
    #[cfg(test)]
    pub(super) fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Looks again and again until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = tokio::select! {
                looked = self.look() => match looked {
                    Ok(()) => PAUSE,
                    Err(error) => {
                        tracing::warn!(%error, "custom metrics: trying again");
                        PAUSE_AFTER_FAILURE
                    }
                },
                () = stop.cancelled() => return,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Who leads from now on tells the API server at once.
                _ = self.leads.changed(), if self.leads.has_changed().is_ok() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Looks once: brings offer and APIService up to date.
    ///
    /// # Errors
    /// See [`KeepError`]; what was offered before stays.
    pub async fn look(&mut self) -> Result<(), KeepError> {
        let front_proxy = self.front_proxy().await?;
        let bundle = self.bundle().await?;
        let new = (bundle, front_proxy);
        if self.current.as_ref() != Some(&new) {
            let offer = offer(&new.0, &new.1)?;
            self.offers.send_replace(Some(Arc::new(offer)));
            tracing::info!("custom metrics are served with a new certificate");
            self.current = Some(new);
        }
        if *self.leads.borrow_and_update()
            && let Some((bundle, _)) = &self.current
        {
            self.tell(&bundle.authorities).await?;
        }
        Ok(())
    }

    async fn front_proxy(&self) -> Result<FrontProxy, KeepError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let map = maps.get_opt(CONFIG_MAP).await.map_err(api(|| format!("read ConfigMap kube-system/{CONFIG_MAP}")))?;
        Ok(FrontProxy::of(&map.and_then(|map| map.data).unwrap_or_default())?)
    }

    /// The certificate as all replicas have it; made or renewed by the one that comes first.
    async fn bundle(&self) -> Result<Bundle, KeepError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{}-tls", self.service);
        let names = [format!("{}.{}.svc", self.service, self.namespace)];
        let now = (self.clock)();
        let secret = secrets.get_opt(&name).await.map_err(api(|| format!("read Secret {name}")))?;
        let kept = secret.as_ref().map(|secret| Bundle::of(secret.data.as_ref().unwrap_or(&Default::default())));
        let renewed = match kept {
            Some(Ok(kept)) => match kept.renewal(&names, now) {
                Ok(None) if offer_tls(&kept).is_ok() => return Ok(kept),
                Ok(Some(renewed)) => renewed,
                Ok(None) | Err(_) => Bundle::make(&names, now)?,
            },
            None | Some(Err(_)) => Bundle::make(&names, now)?,
        };
        let data = Some(renewed.data());
        let written = match secret {
            Some(old) => {
                let new = Secret { data, string_data: None, ..old };
                secrets.replace(&name, &PostParams::default(), &new).await
            }
            None => {
                let labels = [(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())].into();
                let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
                secrets.create(&PostParams::default(), &Secret { metadata, data, ..Secret::default() }).await
            }
        };
        written.map_err(api(|| format!("write Secret {name} (at a conflict, another replica was first)")))?;
        Ok(renewed)
    }

    /// Writes the authorities into the APIService, if there is one and it is about this Service.
    async fn tell(&self, authorities: &str) -> Result<(), KeepError> {
        let services: Api<APIService> = Api::all(self.client.clone());
        let name = format!("{VERSION}.{GROUP}");
        let known = services.get_opt(&name).await.map_err(api(|| format!("read APIService {name}")))?;
        let Some(spec) = known.and_then(|known| known.spec) else { return Ok(()) };
        let ours = spec.service.as_ref().is_some_and(|service| {
            service.name.as_deref() == Some(&self.service) && service.namespace.as_deref() == Some(&self.namespace)
        });
        let bundle = ByteString(authorities.as_bytes().to_vec());
        if !ours || spec.insecure_skip_tls_verify == Some(true) || spec.ca_bundle.as_ref() == Some(&bundle) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({ "spec": { "caBundle": bundle } }));
        services
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .map_err(api(|| format!("write caBundle of APIService {name}")))?;
        tracing::info!(service = name, "the API server knows the authority of custom metrics");
        Ok(())
    }
}

fn api(action: impl FnOnce() -> String) -> impl FnOnce(kube::Error) -> KeepError {
    |error| KeepError::Api { action: action(), error: Box::new(error) }
}

fn tls(error: impl std::fmt::Display) -> KeepError {
    KeepError::Tls(error.to_string())
}

/// Whether TLS can be had from the certificate; fails when key and certificate don't belong together.
fn offer_tls(bundle: &Bundle) -> Result<(), KeepError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls)?;
    builder.with_no_client_auth().with_single_cert(bundle.chain()?, bundle.key()?).map_err(tls)?;
    Ok(())
}

fn offer(bundle: &Bundle, front_proxy: &FrontProxy) -> Result<Offer, KeepError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in &front_proxy.authorities {
        roots.add(authority.clone()).map_err(tls)?;
    }
    // Without a certificate only the health path is answered; a wrong one ends the handshake.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(tls)?;
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(bundle.chain()?, bundle.key()?)
        .map_err(tls)?;
    Ok(Offer { tls: Arc::new(tls), front_proxy: Arc::new(front_proxy.clone()) })
}
