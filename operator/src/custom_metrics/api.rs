//! Paths and answers of `custom.metrics.k8s.io/v1beta2`: which metrics there are, and their values as the pods tell
//! them at this moment.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde::Deserialize;
use serde_json::{Value, json};
use sofia_crds::VoiceTrunk;

use super::authorization::{Authorizer, Question};
use super::front_proxy::User;
use super::{AskPod, Peer};
use crate::fleet::scrape::PodFigures;
use crate::vocabulary::labels::{self, Component};

/// Group of the API.
pub const GROUP: &str = "custom.metrics.k8s.io";
/// Version of the API.
pub const VERSION: &str = "v1beta2";

/// Pods that are asked at a time for one request.
const ASKED_AT_A_TIME: usize = 32;
/// Resource by which pods are asked for.
const PODS: &str = "pods";
/// Resource by which trunks are asked for.
const TRUNKS: &str = "voicetrunks.sofia-phone.io";
/// In place of a name: all that the selector selects.
const ALL: &str = "*";

/// A metric that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    /// Calls in progress.
    SessionsActive,
    /// Calls that are taken at a time.
    SessionsCapacity,
}

impl Metric {
    const ALL: [Self; 2] = [Self::SessionsActive, Self::SessionsCapacity];

    fn name(self) -> &'static str {
        match self {
            Self::SessionsActive => "sofia_phone_sessions_active",
            Self::SessionsCapacity => "sofia_phone_sessions_capacity",
        }
    }

    fn named(name: &str) -> Result<Self, Failure> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| not_found(format!("there is no metric {name}")))
    }

    fn of(self, figures: PodFigures) -> u32 {
        match self {
            Self::SessionsActive => figures.active,
            Self::SessionsCapacity => figures.capacity,
        }
    }
}

/// What answers are made from.
pub struct Served {
    client: kube::Client,
    authorizer: Authorizer,
    ask: AskPod,
}

impl Served {
    /// Pods are listed by this client and asked by `ask`.
    pub fn new(client: kube::Client, ask: AskPod) -> Self {
        Self { authorizer: Authorizer::new(client.clone()), client, ask }
    }
}

/// The routes. Requests must bear a [`Peer`] as extension.
pub fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        // The API server asks for these again and again, and complains in its log without them.
        .route(
            "/openapi/v2",
            get(async |_: Caller| {
                Json(json!({
                    "swagger": "2.0", "info": { "title": GROUP, "version": VERSION }, "paths": {},
                }))
            }),
        )
        .route("/openapi/v3", get(async |_: Caller| Json(json!({ "paths": {} }))))
        .route("/apis", get(groups))
        .route("/apis/custom.metrics.k8s.io", get(group))
        .route("/apis/custom.metrics.k8s.io/v1beta2", get(resources))
        .route("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{resource}/{name}/{metric}", get(values))
        .fallback(async |uri: Uri| not_found(format!("there is nothing at {}", uri.path())))
        .with_state(Arc::new(served))
}

/// A request that came through the aggregator, on behalf of this user.
struct Caller(User);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let trusted = parts.extensions.get::<Peer>().and_then(|peer| peer.trusted.clone());
        let user = trusted.and_then(|front_proxy| front_proxy.user(&parts.headers));
        user.map(Self).ok_or_else(|| Failure {
            code: StatusCode::UNAUTHORIZED,
            reason: "Unauthorized",
            message: "ask through the API server: only its aggregator is answered here".to_owned(),
        })
    }
}

impl Caller {
    async fn may(&self, served: &Served, question: Question) -> Result<(), Failure> {
        match served.authorizer.allows(&self.0, question.clone(), Instant::now()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure {
                code: StatusCode::FORBIDDEN,
                reason: "Forbidden",
                message: format!(
                    "User {:?} cannot get {}/{} in API group {GROUP} in the namespace {}",
                    self.0.name, question.resource, question.metric, question.namespace
                ),
            }),
            Err(error) => {
                tracing::warn!(%error, "custom metrics: the API server did not say whether a user may ask");
                Err(unavailable("the API server did not say whether you may ask".to_owned()))
            }
        }
    }
}

type Answer = Result<Json<Value>, Failure>;

// What there is is told to whomever the aggregator lets through. Its own discovery comes as a user without groups, whom no role names;
// refused, it would leave the API server without a whole list of APIs, and then no namespace can be deleted.

async fn groups(_: Caller) -> Answer {
    Ok(Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [described_group()] })))
}

async fn group(_: Caller) -> Answer {
    let mut group = described_group();
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Ok(Json(group))
}

fn described_group() -> Value {
    let version = json!({ "groupVersion": group_version(), "version": VERSION });
    json!({ "name": GROUP, "versions": [version], "preferredVersion": version })
}

async fn resources(_: Caller) -> Answer {
    let described = |resource: &str, metric: Metric| {
        json!({
            "name": format!("{resource}/{}", metric.name()),
            "singularName": "",
            "namespaced": true,
            "kind": "MetricValueList",
            "verbs": ["get"],
        })
    };
    let resources: Vec<Value> =
        [PODS, TRUNKS].into_iter().flat_map(|resource| Metric::ALL.map(|metric| described(resource, metric))).collect();
    Ok(Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(),
        "resources": resources,
    })))
}

#[derive(Deserialize)]
struct Target {
    namespace: String,
    resource: String,
    name: String,
    metric: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selectors {
    #[serde(default)]
    label_selector: String,
    #[serde(default)]
    metric_label_selector: String,
}

async fn values(
    caller: Caller,
    State(served): State<Arc<Served>>,
    Path(Target { namespace, resource, name, metric }): Path<Target>,
    Query(selectors): Query<Selectors>,
) -> Answer {
    let question = Question {
        namespace: namespace.clone(),
        resource: resource.clone(),
        name: name.clone(),
        metric: metric.clone(),
    };
    caller.may(&served, question).await?;
    let metric = Metric::named(&metric)?;
    if name != ALL && !is_name(&name) {
        return Err(not_found(format!("there is no {resource} {name}")));
    }
    let found = match resource.as_str() {
        // The metrics have no labels, so nothing has those that are asked for.
        _ if !selectors.metric_label_selector.is_empty() => Vec::new(),
        PODS => of_pods(&served, &namespace, &name, metric, &selectors.label_selector).await?,
        TRUNKS if name != ALL => vec![of_trunk(&served, &namespace, &name, metric).await?],
        _ => {
            return Err(not_found(format!(
                "there are metrics of {PODS} and of a single one of {TRUNKS}, none of {resource} {name}"
            )));
        }
    };
    if found.is_empty() && name != ALL {
        return Err(not_found(format!("{resource} {name} has no value of {}", metric.name())));
    }
    Ok(Json(json!({ "kind": "MetricValueList", "apiVersion": group_version(), "metadata": {}, "items": found })))
}

async fn of_pods(
    served: &Served,
    namespace: &str,
    name: &str,
    metric: Metric,
    selector: &str,
) -> Result<Vec<Value>, Failure> {
    // Ours come last, so that whatever stands before can only narrow them.
    let ours = [(labels::NAME, labels::APPLICATION), (labels::COMPONENT, Component::DataPlane.as_str())];
    let ours = ours.map(|(key, value)| format!("{key}={value}")).join(",");
    let selector = if selector.is_empty() { ours } else { format!("{selector},{ours}") };
    let mut parameters = ListParams::default().labels(&selector);
    if name != ALL {
        parameters = parameters.fields(&format!("metadata.name={name}"));
    }
    let told = asked(served, pods(served, namespace, &parameters).await?).await;
    // A pod that does not tell has no value: autoscalers then take the cautious one for it.
    let values = told.into_iter().filter_map(|(pod, figures)| {
        let object = json!({ "kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": pod });
        Some(value(object, metric, metric.of(figures?)))
    });
    Ok(values.collect())
}

/// The sum over a trunk's pods. With one of them silent there is none: a sum that is too low would remove pods that
/// have calls.
async fn of_trunk(served: &Served, namespace: &str, name: &str, metric: Metric) -> Result<Value, Failure> {
    let selector = labels::selector(name, Component::DataPlane);
    let selector = selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    let found = pods(served, namespace, &ListParams::default().labels(&selector)).await?;
    let told = asked(served, found).await;
    let silent = told.iter().filter(|(_, figures)| figures.is_none()).count();
    if silent > 0 {
        return Err(unavailable(format!(
            "{silent} of {} pods of VoiceTrunk {name} did not tell their calls",
            told.len()
        )));
    }
    let sum =
        told.iter().filter_map(|(_, figures)| *figures).map(|figures| metric.of(figures)).fold(0, u32::saturating_add);
    let object = json!({
        "kind": <VoiceTrunk as kube::Resource>::kind(&()),
        "apiVersion": <VoiceTrunk as kube::Resource>::api_version(&()),
        "namespace": namespace,
        "name": name,
    });
    Ok(value(object, metric, sum))
}

/// Pods that run. Others have no calls and can't be asked.
async fn pods(served: &Served, namespace: &str, parameters: &ListParams) -> Result<Vec<Pod>, Failure> {
    let pods: Api<Pod> = Api::namespaced(served.client.clone(), namespace);
    match pods.list(parameters).await {
        Ok(found) => Ok(found.items.into_iter().filter(runs).collect()),
        Err(kube::Error::Api(status)) if status.code == 400 => {
            Err(Failure { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message: status.message })
        }
        Err(error) => {
            tracing::warn!(%error, namespace, "custom metrics: the pods could not be listed");
            Err(unavailable("the pods could not be listed".to_owned()))
        }
    }
}

fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

async fn asked(served: &Served, pods: Vec<Pod>) -> Vec<(String, Option<PodFigures>)> {
    let ask = async |pod: Pod| {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse().ok());
        let figures = match address {
            Some(address) => (served.ask)(address).await,
            None => None,
        };
        (pod.name_any(), figures)
    };
    stream::iter(pods).map(ask).buffered(ASKED_AT_A_TIME).collect().await
}

fn value(object: Value, metric: Metric, value: u32) -> Value {
    json!({
        "describedObject": object,
        "metric": { "name": metric.name() },
        "timestamp": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "value": value.to_string(),
    })
}

/// Whether a text can be the name of an object (RFC 1123); others could say more in a selector than a name.
fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
}

fn group_version() -> String {
    format!("{GROUP}/{VERSION}")
}

/// An answer that is none, in the API's form.
#[derive(Clone, Debug)]
struct Failure {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

fn not_found(message: String) -> Failure {
    Failure { code: StatusCode::NOT_FOUND, reason: "NotFound", message }
}

fn unavailable(message: String) -> Failure {
    Failure { code: StatusCode::SERVICE_UNAVAILABLE, reason: "ServiceUnavailable", message }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { code, reason, message } = self;
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code.as_u16(),
        });
        (code, Json(status)).into_response()
    }
}
