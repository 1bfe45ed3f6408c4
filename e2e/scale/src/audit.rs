//! Every request of the operator, from the API server's own audit log. Asks nothing itself.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;

/// A request that was answered; of a watch, that it began.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: String,
    /// Such as `deployments` or `voicetrunks/status`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) code: u16,
    pub(crate) at: Timestamp,
    pub(crate) took: Duration,
}

impl Request {
    /// Whether it changes the cluster.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it is of the leader election, which renews its Lease all the time.
    pub(crate) fn of_the_lease(&self) -> bool {
        self.resource == "leases"
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

/// The log as it grows.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    read: u64,
}

impl Log {
    /// Of an API server that writes to `path`.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0 }
    }

    /// What was asked since the last call. The log holds the operator's requests only: the audit policy says so.
    pub(crate) fn news(&mut self) -> anyhow::Result<Vec<Request>> {
        let mut text = String::new();
        let mut file = File::open(&self.path).context("the audit log can't be read")?;
        file.seek(SeekFrom::Start(self.read))?;
        file.read_to_string(&mut text)?;
        // The last line may be written just now.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        let events = text[..whole].lines().map(|line| serde_json::from_str(line).context("an audit event"));
        events.filter_map(|event| event.map(request).transpose()).collect()
    }
}

fn request(event: Event) -> Option<Request> {
    let counted = if event.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    let Object { resource, subresource, namespace, name } = event.object_ref;
    let took = event.stage_timestamp.duration_since(event.request_received_timestamp);
    (event.stage == counted).then(|| Request {
        resource: match (resource.as_str(), subresource.as_str()) {
            ("", _) => "(discovery)".to_owned(),
            (_, "") => resource,
            (resource, subresource) => format!("{resource}/{subresource}"),
        },
        verb: event.verb,
        namespace,
        name,
        code: event.response_status.code,
        at: event.stage_timestamp,
        took: took.try_into().unwrap_or_default(),
    })
}

/// Requests by verb and resource, with how long the API server took.
pub(crate) fn by_kind(requests: &[Request]) -> BTreeMap<(String, String), Vec<Duration>> {
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for request in requests {
        kinds.entry((request.verb.clone(), request.resource.clone())).or_default().push(request.took);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stage: &str, verb: &str) -> Option<Request> {
        let text = format!(
            r#"{{"kind":"Event","level":"Metadata","stage":"{stage}","verb":"{verb}","user":{{"username":"x"}},
            "objectRef":{{"resource":"voicetrunks","subresource":"status","namespace":"a","name":"b"}},"responseStatus":{{"metadata":{{}},"code":200}},
            "requestReceivedTimestamp":"2026-01-01T00:00:00.000100Z","stageTimestamp":"2026-01-01T00:00:00.002600Z"}}"#
        );
        request(serde_json::from_str(&text).expect("an audit event"))
    }

    #[test]
    fn a_request_counts_once_it_is_answered() {
        let request = event("ResponseComplete", "patch").expect("it counts");
        assert_eq!(
            (request.resource.as_str(), request.took, request.code),
            ("voicetrunks/status", Duration::from_micros(2500), 200)
        );
        assert!(request.writes() && !request.of_the_lease());
        assert!(event("ResponseStarted", "patch").is_none());
    }

    #[test]
    fn a_watch_counts_when_it_begins() {
        assert!(event("ResponseStarted", "watch").is_some_and(|request| !request.writes()));
        assert!(event("ResponseComplete", "watch").is_none());
    }
}
