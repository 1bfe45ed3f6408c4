//! What neither the schema nor a CEL rule can say about a `VoiceTrunk`: whether regular expressions compile, addresses and
//! URLs parse, texts fit where they go. Pure: no cluster is asked, so whether a Secret exists is not known here.
//!
//! The API server has checked the rest by then; some of it is checked again here where a wrong value would end up in
//! FreeSWITCH's configuration, since a cluster may hold objects older than its CustomResourceDefinition.

mod check;
pub mod pattern;
pub mod pod_template;

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::Toleration;
use serde_json::Value;

use self::pod_template::pod_template;
use crate::spec::{
    Backends, Conversation, DataPlane, ExternalFreeSwitch, FreeSwitch, Gateway, Generation, Speech, Transcription,
    VoiceTrunkSpec,
};

/// One thing that is wrong with a spec: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Path of the field, such as `spec.freeSwitch.allowedPeers[2]`.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

/// Everything that is wrong with the spec, in the order of its fields; nothing when it can be built.
pub fn validate(spec: &VoiceTrunkSpec) -> Vec<Problem> {
    let mut problems = Problems::default();
    let root = Path::root("spec");
    for (path, number) in root.field("numbers").items(&spec.numbers) {
        problems.check(&path, check::number_pattern(number));
    }
    if let Some(managed) = &spec.free_switch {
        free_switch(&mut problems, &root.field("freeSwitch"), managed);
    }
    if let Some(external) = &spec.external_free_switch {
        external_free_switch(&mut problems, &root.field("externalFreeSwitch"), external);
    }
    data_plane(&mut problems, &root.field("dataPlane"), &spec.data_plane);
    if let Some(chosen) = &spec.backends {
        backends(&mut problems, &root.field("backends"), chosen);
    }
    conversation(&mut problems, &root.field("conversation"), &spec.conversation);
    for (path, destination) in root.field("transfers").field("destinations").items(&spec.transfers.destinations) {
        // With a name it is a number as it is dialled, which a rule of the schema says.
        if destination.name.is_none() {
            problems.check(&path.field("number"), check::number_pattern(&destination.number));
        }
    }
    if let Some(records) = &spec.records {
        problems.check(&root.field("records").field("url"), check::url(&records.url));
    }
    problems.0
}

fn free_switch(problems: &mut Problems, path: &Path, managed: &FreeSwitch) {
    let network = path.field("network");
    if let Some(address) = &managed.network.external_address {
        problems.check(&network.field("externalAddress"), check::external_address(address));
    }
    keys(problems, &network.field("annotations"), &managed.network.annotations);
    let ports = managed.rtp_port_range;
    if ports.ports() < 4 {
        let message = format!("{} to {} is too narrow: a call needs four ports", ports.start, ports.end);
        problems.add(&path.field("rtpPortRange"), message);
    }
    for (path, peer) in path.field("allowedPeers").items(&managed.allowed_peers) {
        problems.check(&path, check::cidr(peer));
    }
    for (path, peer) in path.field("mediaPeers").items(&managed.media_peers) {
        problems.check(&path, check::cidr(peer));
    }
    for (path, range) in network.field("loadBalancerSourceRanges").items(&managed.network.load_balancer_source_ranges) {
        problems.check(&path, check::cidr(range));
    }
    for (path, gateway) in path.field("gateways").items(&managed.gateways) {
        check_gateway(problems, &path, gateway);
    }
    labels(problems, &path.field("nodeSelector"), &managed.node_selector);
    tolerations(problems, &path.field("tolerations"), &managed.tolerations);
    labels(problems, &path.field("podLabels"), &managed.pod_labels);
    keys(problems, &path.field("podAnnotations"), &managed.pod_annotations);
    pod_template(problems, &path.field("podTemplate"), &managed.pod_template, pod_template::FREE_SWITCH);
}

fn check_gateway(problems: &mut Problems, path: &Path, gateway: &Gateway) {
    problems.check(&path.field("proxy"), check::host_and_port(&gateway.proxy));
    for (name, text) in [("username", &gateway.username), ("realm", &gateway.realm)] {
        if let Some(text) = text {
            problems.check(&path.field(name), check::printable(text));
        }
    }
}

fn external_free_switch(problems: &mut Problems, path: &Path, external: &ExternalFreeSwitch) {
    for (path, peer) in path.field("allowedPeers").items(&external.allowed_peers) {
        problems.check(&path, check::cidr(peer));
    }
    keys(problems, &path.field("eslService").field("annotations"), &external.esl_service.annotations);
}

fn data_plane(problems: &mut Problems, path: &Path, data_plane: &DataPlane) {
    labels(problems, &path.field("nodeSelector"), &data_plane.node_selector);
    tolerations(problems, &path.field("tolerations"), &data_plane.tolerations);
    labels(problems, &path.field("podLabels"), &data_plane.pod_labels);
    keys(problems, &path.field("podAnnotations"), &data_plane.pod_annotations);
    pod_template(problems, &path.field("podTemplate"), &data_plane.pod_template, pod_template::DATA_PLANE);
}

fn backends(problems: &mut Problems, path: &Path, backends: &Backends) {
    if backends.kind().is_none() {
        problems.add(path, "expected exactly one kind of backend: mock or openAI".to_owned());
    }
    let Some(open_ai) = &backends.open_ai else { return };
    let path = path.field("openAI");
    let Transcription { url, model, parameters, .. } = &open_ai.transcription;
    stage(problems, &path.field("transcription"), url, model, parameters);
    let Generation { url, model, parameters, .. } = &open_ai.generation;
    stage(problems, &path.field("generation"), url, model, parameters);
    let Speech { url, model, parameters, voice, .. } = &open_ai.speech;
    stage(problems, &path.field("speech"), url, model, parameters);
    problems.check(&path.field("speech").field("voice"), check::one_line(voice, check::NAME_BYTES));
}

fn stage(problems: &mut Problems, path: &Path, url: &str, model: &str, parameters: &BTreeMap<String, Value>) {
    problems.check(&path.field("url"), check::url(url));
    problems.check(&path.field("model"), check::one_line(model, check::NAME_BYTES));
    problems.check(&path.field("parameters"), check::parameters(parameters));
}

fn conversation(problems: &mut Problems, path: &Path, conversation: &Conversation) {
    let sentences = [
        (path.field("greeting"), &conversation.greeting),
        (path.field("goodbye"), &conversation.goodbye),
        (path.field("transferPhrase"), &conversation.transfer_phrase),
        (path.field("takeoverPhrase"), &conversation.takeover_phrase),
        (path.field("lostWordsPhrase"), &conversation.lost_words_phrase),
        (path.field("silence").field("prompt"), &conversation.silence.prompt),
    ];
    for (path, sentence) in sentences {
        if let Some(sentence) = sentence {
            problems.check(&path, check::sentence(sentence));
        }
    }
    if let Some(prompt) = &conversation.prompt {
        problems.check(&path.field("prompt"), check::words(prompt, check::PROMPT_BYTES));
    }
}

fn keys(problems: &mut Problems, path: &Path, map: &BTreeMap<String, String>) {
    for key in map.keys() {
        problems.check(&path.key(key), check::qualified_name(key));
    }
}

fn labels(problems: &mut Problems, path: &Path, map: &BTreeMap<String, String>) {
    keys(problems, path, map);
    for (key, value) in map {
        problems.check(&path.key(key), check::label_value(value));
    }
}

fn tolerations(problems: &mut Problems, path: &Path, tolerations: &[Toleration]) {
    for (path, toleration) in path.items(tolerations) {
        let exists = toleration.operator.as_deref() == Some("Exists");
        match toleration.key.as_deref() {
            Some(key) if !key.is_empty() => problems.check(&path.field("key"), check::qualified_name(key)),
            _ if !exists => {
                problems.add(&path, "expected a key, or operator Exists to tolerate every taint".to_owned())
            }
            _ => {}
        }
        let value = toleration.value.as_deref().unwrap_or_default();
        if exists && !value.is_empty() {
            problems.add(&path.field("value"), "expected none with operator Exists".to_owned());
        }
        if toleration.toleration_seconds.is_some() && toleration.effect.as_deref() != Some("NoExecute") {
            problems.add(&path.field("tolerationSeconds"), "expected only with effect NoExecute".to_owned());
        }
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &Path, message: String) {
        self.0.push(Problem { path: path.to_string(), message });
    }

    fn check(&mut self, path: &Path, result: Result<(), String>) {
        if let Err(message) = result {
            self.add(path, message);
        }
    }
}

/// Where a field is, as Kubernetes writes it.
struct Path(String);

impl Path {
    fn root(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn field(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    fn items<'a, T>(&self, items: &'a [T]) -> impl Iterator<Item = (Self, &'a T)> {
        items.iter().enumerate().map(|(index, item)| (Self(format!("{}[{index}]", self.0)), item))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
