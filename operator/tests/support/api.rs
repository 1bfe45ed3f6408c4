//! An API server in memory: any resource, with get, list, watch, create, delete, merge patch and server-side apply, owner references,
//! and faults on demand. It knows no schema and no permissions; it writes down what was asked.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::BoxError;

use super::{
    merge::{apply, merge},
    requests::{Asked, selects},
};

/// Where an object is: group, plural, namespace, name.
pub type Key = (String, String, String, String);

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer instead of the request's own.
    Status {
        /// HTTP status.
        code: u16,
        /// Reason of the Status object.
        reason: &'static str,
        /// Its message.
        message: &'static str,
        /// Its `retryAfterSeconds`.
        retry_after_seconds: u32,
        /// Reason of its one cause, where it has one.
        cause: Option<&'static str>,
    },
    /// The connection breaks before the request is looked at.
    Reset,
    /// The request is carried out, then the connection breaks.
    ResetAfter,
    /// The answer takes its time.
    Slow(Duration),
}

impl Fault {
    /// An answer with a status.
    pub fn status(code: u16, reason: &'static str, message: &'static str) -> Self {
        Self::Status { code, reason, message, retry_after_seconds: 0, cause: None }
    }
}

type Matches = Box<dyn Fn(&Asked) -> bool + Send>;

struct Event {
    revision: u64,
    key: Key,
    before: Option<Value>,
    after: Option<Value>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    applied: HashMap<(Key, String), Value>,
    events: Vec<Event>,
    revision: u64,
    compacted: u64,
    /// Watches that began in an earlier epoch end.
    epoch: u64,
    uids: u64,
    asked: Vec<Asked>,
    faults: Vec<(Matches, Fault, usize)>,
    monitors: bool,
}

/// The API server.
#[derive(Clone)]
pub struct Api {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<(u64, u64)>,
}

impl Default for Api {
    fn default() -> Self {
        let state = State { revision: 100, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new((100, 0)) }
    }
}

impl Api {
    /// A client of it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// Has it know PodMonitors.
    pub fn with_pod_monitors(&self) {
        self.lock().monitors = true;
    }

    /// Has it forget PodMonitors, and those that there are.
    pub fn without_pod_monitors(&self) {
        let mut state = self.lock();
        state.monitors = false;
        state.objects.retain(|(_, resource, ..), _| resource != "podmonitors");
    }

    /// Has something go wrong for the next `times` requests that match.
    pub fn fail(&self, times: usize, fault: Fault, matches: impl Fn(&Asked) -> bool + Send + 'static) {
        self.lock().faults.push((Box::new(matches), fault, times));
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.lock().faults.clear();
    }

    /// Ends all watches; with `compact`, what was before is forgotten, and who asks for it is told 410.
    pub fn end_watches(&self, compact: bool) {
        let mut state = self.lock();
        state.epoch += 1;
        if compact {
            // Newer than anything that a watch has been told.
            state.revision += 1;
            state.compacted = state.revision;
            state.events.clear();
        }
        self.tell(&state);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The writes among it.
    pub fn writes(&self) -> Vec<Asked> {
        self.lock().asked.iter().filter(|asked| asked.writes()).cloned().collect()
    }

    /// Forgets what was asked.
    pub fn forget_asked(&self) {
        self.lock().asked.clear();
    }

    /// Told of each change.
    pub fn changes(&self) -> watch::Receiver<(u64, u64)> {
        self.changed.subscribe()
    }

    /// An object.
    pub fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&key(group, resource, namespace, name)).cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, group: &str, resource: &str) -> Vec<Value> {
        let state = self.lock();
        state.objects.iter().filter(|(key, _)| key.0 == group && key.1 == resource).map(|(_, v)| v.clone()).collect()
    }

    /// Makes or replaces an object, as somebody other than the operator would.
    pub fn put(&self, group: &str, resource: &str, mut object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = key(group, resource, &text(&metadata["namespace"]), &text(&metadata["name"]));
        let mut state = self.lock();
        let before = state.objects.get(&key).cloned();
        if before.is_none() {
            state.fill_in(&key, &mut object);
        }
        state.store(&key, before, object);
        self.tell(&state);
    }

    /// Merges a patch into an object, as somebody other than the operator would. Whether it is there.
    pub fn change(&self, group: &str, resource: &str, namespace: &str, name: &str, patch: &Value) -> bool {
        let key = key(group, resource, namespace, name);
        let mut state = self.lock();
        let Some(before) = state.objects.get(&key).cloned() else { return false };
        let mut after = before.clone();
        merge(&mut after, patch);
        state.store(&key, Some(before), after);
        self.tell(&state);
        true
    }

    /// Deletes an object and what it owns. Whether it was there.
    pub fn delete(&self, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let mut state = self.lock();
        let done = state.remove(&key(group, resource, namespace, name)).is_some();
        self.tell(&state);
        done
    }

    /// Deletes what belongs to nothing that is still there, as Kubernetes' garbage collector does in its time.
    pub fn collect_garbage(&self) {
        let mut state = self.lock();
        let uids: HashSet<String> =
            state.objects.values().filter_map(|object| object["metadata"]["uid"].as_str().map(str::to_owned)).collect();
        let left_behind = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array().filter(|owners| !owners.is_empty());
            owners.is_some_and(|owners| {
                !owners.iter().any(|owner| owner["uid"].as_str().is_some_and(|uid| uids.contains(uid)))
            })
        };
        let garbage: Vec<Key> =
            state.objects.iter().filter(|(_, object)| left_behind(object)).map(|(key, _)| key.clone()).collect();
        for key in &garbage {
            state.remove(key);
        }
        self.tell(&state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the state")
    }

    fn tell(&self, state: &State) {
        let now = (state.revision, state.epoch);
        self.changed.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    async fn answer(self, request: Request<kube::client::Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await?;
        let Some(asked) = Asked::parse(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default()) else {
            return Ok(self.discover(parts.uri.path()));
        };
        let fault = {
            let mut state = self.lock();
            state.asked.push(asked.clone());
            let found = state.faults.iter_mut().find(|(matches, _, times)| *times > 0 && matches(&asked));
            found.map(|(_, fault, times)| {
                *times -= 1;
                fault.clone()
            })
        };
        let reset = || BoxError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        match fault {
            Some(Fault::Status { code, reason, message, retry_after_seconds, cause }) => {
                let details = json!({ "retryAfterSeconds": retry_after_seconds,
                    "causes": cause.map(|reason| json!({ "reason": reason })).into_iter().collect::<Vec<_>>() });
                return Ok(failure(code, reason, message, &details));
            }
            Some(Fault::Reset) => return Err(reset()),
            Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
            Some(Fault::ResetAfter) | None => {}
        }
        if asked.resource == "podmonitors" && !self.lock().monitors {
            return Ok(failure(404, "NotFound", "the server could not find the requested resource", &json!({})));
        }
        let metadata_only = parts
            .headers
            .get(http::header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
        if asked.verb == "watch" {
            return Ok(self.watch(asked, metadata_only));
        }
        let content = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let response = self.carry_out(&asked, content.unwrap_or_default(), &body, metadata_only);
        if matches!(fault, Some(Fault::ResetAfter)) { Err(reset()) } else { Ok(response) }
    }

    fn discover(&self, path: &str) -> Response<Body> {
        if path == "/apis/monitoring.coreos.com/v1" && self.lock().monitors {
            let resource = json!({ "name": "podmonitors", "singularName": "podmonitor", "namespaced": true,
                "kind": "PodMonitor", "verbs": ["get", "list", "watch", "create", "patch", "delete"] });
            return success(&json!({ "kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": "monitoring.coreos.com/v1", "resources": [resource] }));
        }
        failure(404, "NotFound", "the server could not find the requested resource", &json!({}))
    }

    fn carry_out(&self, asked: &Asked, content: &str, body: &[u8], metadata_only: bool) -> Response<Body> {
        let mut state = self.lock();
        let namespace = asked.namespace.clone().unwrap_or_default();
        let body: Value =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(body).expect("a JSON body") };
        let name = asked.name.clone().or_else(|| body["metadata"]["name"].as_str().map(str::to_owned));
        let key = key(&asked.group, &asked.resource, &namespace, name.as_deref().unwrap_or_default());
        let before = state.objects.get(&key).cloned();
        let response = match asked.verb {
            "list" => state.list(asked, metadata_only),
            "get" => match before {
                Some(object) => success(&shown(&object, metadata_only)),
                None => missing(&key),
            },
            "create" => match before {
                Some(_) => failure(409, "AlreadyExists", "the object exists already", &json!({})),
                None => {
                    let mut object = body;
                    state.fill_in(&key, &mut object);
                    success(&state.store(&key, None, object))
                }
            },
            "delete" => match before {
                None => missing(&key),
                Some(object) => match body["preconditions"]["uid"].as_str() {
                    Some(uid) if object["metadata"]["uid"] != uid => conflict(),
                    _ => {
                        state.remove(&key);
                        success(&json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200 }))
                    }
                },
            },
            _ => state.patch(asked, &key, content, before, body, metadata_only),
        };
        self.tell(&state);
        response
    }

    fn watch(self, asked: Asked, metadata_only: bool) -> Response<Body> {
        let from: u64 = asked.query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default();
        let epoch = {
            let state = self.lock();
            if from < state.compacted {
                let gone = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                    "reason": "Expired", "message": "too old resource version", "metadata": {} });
                return lines(Body::from(format!("{}\n", json!({ "type": "ERROR", "object": gone }))));
            }
            state.epoch
        };
        let changes = self.changed.subscribe();
        let events = stream::unfold((self, asked, changes, from), move |(api, asked, mut changes, from)| async move {
            loop {
                let (revision, text) = {
                    let state = api.lock();
                    if state.epoch != epoch {
                        return None;
                    }
                    state.told(&asked, from, metadata_only)
                };
                if !text.is_empty() {
                    return Some((Ok::<_, std::io::Error>(Bytes::from(text)), (api, asked, changes, revision)));
                }
                changes.changed().await.ok()?;
            }
        });
        lines(Body::from_stream(events))
    }
}

impl State {
    /// What the API server itself fills in when an object is made.
    fn fill_in(&mut self, key: &Key, object: &mut Value) {
        self.uids += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        object["metadata"]["creationTimestamp"] =
            json!(jiff::Timestamp::now().round(jiff::Unit::Second).expect("in range").to_string());
        match key.1.as_str() {
            "deployments" => {
                let defaults = json!({ "spec": {
                    "progressDeadlineSeconds": 600, "template": { "spec": { "restartPolicy": "Always", "dnsPolicy": "ClusterFirst" } },
                } });
                fill(object, &defaults);
            }
            "services" => fill(object, &json!({ "spec": { "clusterIP": "10.0.0.1", "sessionAffinity": "None" } })),
            _ => {}
        }
    }

    /// Enters an object as it is from now on: unchanged, nothing happens.
    fn store(&mut self, key: &Key, before: Option<Value>, mut after: Value) -> Value {
        if before.as_ref() == Some(&after) {
            return after;
        }
        let counted = matches!(
            key.1.as_str(),
            "deployments" | "networkpolicies" | "poddisruptionbudgets" | "podmonitors" | "voicetrunks"
        );
        if counted {
            let content = |object: &Value| {
                let mut object = object.clone();
                object
                    .as_object_mut()
                    .expect("objects are objects")
                    .retain(|name, _| name != "metadata" && name != "status");
                object
            };
            let generation = before.as_ref().and_then(|before| before["metadata"]["generation"].as_u64()).unwrap_or(0);
            let changed = before.as_ref().is_none_or(|before| content(before) != content(&after));
            after["metadata"]["generation"] = json!(generation + u64::from(changed));
        }
        self.revision += 1;
        after["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key.clone(), after.clone());
        self.events.push(Event { revision: self.revision, key: key.clone(), before, after: Some(after.clone()) });
        after
    }

    /// Takes an object away, and what it owns.
    fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.applied.retain(|(of, _), _| of != key);
        self.revision += 1;
        self.events.push(Event {
            revision: self.revision,
            key: key.clone(),
            before: Some(object.clone()),
            after: None,
        });
        let uid = &object["metadata"]["uid"];
        let owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
        };
        let children: Vec<Key> =
            self.objects.iter().filter(|(_, object)| owned(object)).map(|(key, _)| key.clone()).collect();
        for child in children {
            self.remove(&child);
        }
        Some(object)
    }

    fn patch(
        &mut self,
        asked: &Asked,
        key: &Key,
        content: &str,
        before: Option<Value>,
        body: Value,
        metadata_only: bool,
    ) -> Response<Body> {
        let uid = body["metadata"]["uid"].as_str();
        if before.as_ref().is_some_and(|before| uid.is_some_and(|uid| before["metadata"]["uid"] != uid)) {
            return conflict();
        }
        let status = asked.subresource.as_deref() == Some("status");
        let mut after = match &before {
            Some(before) => before.clone(),
            None if content.contains("apply-patch") && !status && uid.is_none() => json!({}),
            None => return missing(key),
        };
        if content.contains("apply-patch") {
            let manager = format!("{}{}", asked.query["fieldManager"], if status { "/status" } else { "" });
            let mut desired = body;
            if let Some(metadata) = desired["metadata"].as_object_mut() {
                metadata.remove("uid");
            }
            if before.is_none() {
                // A server-side apply that makes an object needs the permission to create it, too.
                self.asked.push(Asked { verb: "create", ..asked.clone() });
                after = desired.clone();
                self.fill_in(key, &mut after);
            } else if status {
                let earlier = self.applied.get(&(key.clone(), manager.clone())).map(|all| all["status"].clone());
                if !after["status"].is_object() {
                    after["status"] = json!({});
                }
                apply(&mut after["status"], earlier.as_ref(), &desired["status"], "status");
            } else {
                let earlier = self.applied.get(&(key.clone(), manager.clone())).cloned();
                apply(&mut after, earlier.as_ref(), &desired, "");
            }
            self.applied.insert((key.clone(), manager), desired);
        } else {
            merge(&mut after, &body);
        }
        let stored = self.store(key, before, after);
        success(&shown(&stored, metadata_only))
    }

    fn list(&self, asked: &Asked, metadata_only: bool) -> Response<Body> {
        let items: Vec<Value> = self
            .objects
            .iter()
            .filter(|(key, object)| is_meant(asked, key) && is_selected(asked, object))
            .map(|(_, object)| shown(object, metadata_only))
            .collect();
        let kind = if metadata_only { "PartialObjectMetadataList" } else { "List" };
        let version = if metadata_only { "meta.k8s.io/v1" } else { "v1" };
        let metadata = json!({ "resourceVersion": self.revision.to_string() });
        success(&json!({ "kind": kind, "apiVersion": version, "metadata": metadata, "items": items }))
    }

    /// What a watch is told after a revision.
    fn told(&self, asked: &Asked, after: u64, metadata_only: bool) -> (u64, String) {
        let mut text = String::new();
        let start = self.events.partition_point(|event| event.revision <= after);
        for event in self.events[start..].iter().filter(|event| is_meant(asked, &event.key)) {
            let old = event.before.as_ref().filter(|object| is_selected(asked, object));
            let new = event.after.as_ref().filter(|object| is_selected(asked, object));
            let (kind, object) = match (old, new) {
                (None, Some(new)) => ("ADDED", new.clone()),
                (Some(_), Some(new)) => ("MODIFIED", new.clone()),
                (Some(old), None) => ("DELETED", old.clone()),
                (None, None) => continue,
            };
            let mut object = shown(&object, metadata_only);
            object["metadata"]["resourceVersion"] = json!(event.revision.to_string());
            text.push_str(&json!({ "type": kind, "object": object }).to_string());
            text.push('\n');
        }
        (self.events.last().map_or(after, |event| event.revision.max(after)), text)
    }
}

fn key(group: &str, resource: &str, namespace: &str, name: &str) -> Key {
    (group.to_owned(), resource.to_owned(), namespace.to_owned(), name.to_owned())
}

fn is_meant(asked: &Asked, key: &Key) -> bool {
    asked.group == key.0
        && asked.resource == key.1
        && asked.namespace.as_ref().is_none_or(|namespace| *namespace == key.2)
}

fn is_selected(asked: &Asked, object: &Value) -> bool {
    asked.query.get("labelSelector").is_none_or(|selector| selects(selector, object["metadata"].get("labels")))
}

/// Adds what is missing.
fn fill(object: &mut Value, defaults: &Value) {
    for (name, value) in defaults.as_object().into_iter().flatten() {
        match object.get_mut(name) {
            Some(there) => fill(there, value),
            None => object[name.as_str()] = value.clone(),
        }
    }
}

fn shown(object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
    } else {
        object.clone()
    }
}

fn success(body: &Value) -> Response<Body> {
    let response = Response::builder().header(http::header::CONTENT_TYPE, "application/json");
    response.body(Body::from(body.to_string())).expect("a response of known parts")
}

fn lines(body: Body) -> Response<Body> {
    Response::builder().body(body).expect("a response of known parts")
}

fn missing(key: &Key) -> Response<Body> {
    failure(404, "NotFound", &format!("{} \"{}\" not found", key.1, key.3), &json!({}))
}

fn conflict() -> Response<Body> {
    failure(
        409,
        "Conflict",
        "the object has been modified; please apply your changes to the latest version",
        &json!({}),
    )
}

fn failure(code: u16, reason: &str, message: &str, details: &Value) -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message, "details": details });
    let mut response = success(&status);
    *response.status_mut() = StatusCode::from_u16(code).expect("a status between 100 and 999");
    response
}
