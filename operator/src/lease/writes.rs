//! A client for the leader's work, whose writes leave only while the lease is held. A process that was paused for longer than the lease is
//! valid would else write, on waking, what another replica decides by then. Reads go out in any case.

use http::{Method, Request};
use kube::{Client, client::Body};
use tokio::time::Instant;
use tower::{BoxError, service_fn};

use super::Tenure;

/// Why a write did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is no longer held, so nothing is written; another replica does the work")]
pub struct NotHeld;

impl Tenure {
    /// A client that asks [`Tenure::holds`] before each write.
    pub fn writes_of(&self, client: &Client) -> Client {
        let (tenure, through) = (self.clone(), client.clone());
        let service = service_fn(move |request: Request<Body>| {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            let (may, through) = (reads || tenure.holds(Instant::now()), through.clone());
            async move {
                if may { through.send(request).await.map_err(BoxError::from) } else { Err(BoxError::from(NotHeld)) }
            }
        });
        Client::new(service, client.default_namespace())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use http::Response;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{DeleteParams, Patch, PatchParams, PostParams},
    };

    use super::*;

    /// Longer than the test takes.
    const LONG: Duration = Duration::from_secs(600);

    type Seen = Arc<Mutex<Vec<Method>>>;

    /// An API server that has one ConfigMap, whatever is asked.
    fn server() -> (Client, Seen) {
        let seen = Seen::default();
        let noted = seen.clone();
        let service = service_fn(move |request: Request<Body>| {
            noted.lock().expect("no test panics while it holds it").push(request.method().clone());
            let body = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1"}}"#;
            async move { Ok::<_, Infallible>(Response::new(Body::from(body.to_vec()))) }
        });
        (Client::new(service, "voice"), seen)
    }

    #[tokio::test]
    async fn writes_leave_only_while_the_lease_is_held_and_reads_in_any_case() {
        let (client, seen) = server();
        let tenure = Tenure(Arc::new(Mutex::new(Some(Instant::now() + LONG))));
        let api: Api<ConfigMap> = Api::default_namespaced(tenure.writes_of(&client));
        let map = ConfigMap::default();
        let patch = Patch::Merge(serde_json::json!({}));
        api.patch("a", &PatchParams::default(), &patch).await.expect("the lease is held");
        assert_eq!(seen.lock().expect("nobody panics").drain(..).count(), 1);

        // As on waking from a pause: it was valid until now.
        tenure.set(Some(Instant::now()));
        let told = api.patch("a", &PatchParams::default(), &patch).await.expect_err("the lease is over");
        assert!(told.to_string().contains("no longer held"), "{told}");
        api.create(&PostParams::default(), &map).await.expect_err("the lease is over");
        api.delete("a", &DeleteParams::default()).await.expect_err("the lease is over");
        assert!(seen.lock().expect("nobody panics").is_empty());
        api.get("a").await.expect("reading harms nobody");

        tenure.set(Some(Instant::now() + LONG));
        api.patch("a", &PatchParams::default(), &patch).await.expect("the lease was renewed");
        tenure.set(None);
        api.patch("a", &PatchParams::default(), &patch).await.expect_err("it was given back");
    }
}
