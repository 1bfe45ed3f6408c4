//! The way to FreeSWITCH's event socket: through the API server, to the loopback of the pod.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::{sync::Semaphore, time::timeout};
use tracing::debug;

use super::{
    Figures, Look, Switches,
    socket::{self, SocketError},
};
use crate::freeswitch::EVENT_SOCKET_PORT;

/// Longest wait for all answers of one FreeSWITCH.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// Those that are looked at at a time: each is a connection through the API server and a kubelet.
const AT_A_TIME: usize = 8;

/// Looks through the API server.
#[derive(Clone)]
pub struct Forwarded {
    client: Client,
    places: Arc<Semaphore>,
}

/// Why a FreeSWITCH was not seen.
#[derive(Debug, thiserror::Error)]
enum Unseen {
    #[error("the API server does not lead there: {0}")]
    NoWay(#[source] Box<kube::Error>),
    #[error("the API server gives no stream")]
    NoStream,
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl Forwarded {
    /// Through the API server of this client, which needs the right to `pods/portforward`.
    pub fn new(client: Client) -> Self {
        Self { client, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    async fn ask(&self, look: &Look) -> Result<Figures, Unseen> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &look.namespace);
        let way = pods.portforward(&look.pod, &[EVENT_SOCKET_PORT]).await;
        let mut way = way.map_err(|error| Unseen::NoWay(Box::new(error)))?;
        let stream = way.take_stream(EVENT_SOCKET_PORT).ok_or(Unseen::NoStream)?;
        let figures = socket::ask(stream, &look.password, &look.gateways).await;
        // Not waited for: the other side may take its time to close.
        way.abort();
        Ok(figures?)
    }
}

impl Switches for Forwarded {
    fn look(&self, look: Look) -> BoxFuture<'static, Option<Figures>> {
        let this = self.clone();
        Box::pin(async move {
            let Ok(_place) = this.places.acquire().await else { return None };
            let asked = timeout(ANSWER_TIME, this.ask(&look)).await;
            let Look { namespace, pod, .. } = look;
            match asked {
                Ok(Ok(figures)) => Some(figures),
                Ok(Err(error)) => {
                    debug!(namespace, pod, %error, "FreeSWITCH could not be looked at");
                    None
                }
                Err(_) => {
                    debug!(namespace, pod, "FreeSWITCH did not answer in time");
                    None
                }
            }
        })
    }
}
