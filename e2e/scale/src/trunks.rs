//! The VoiceTrunks of a run: each as a real one would be, with a gateway, models and the Secrets that they need.

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

/// Requests that are under way at a time.
const AT_A_TIME: usize = 32;

/// Where a trunk is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The places of so many trunks, spread over so many namespaces.
pub(crate) fn places(trunks: usize, namespaces: usize) -> Vec<Place> {
    let namespaces = namespaces.clamp(1, trunks.max(1));
    let place = |index: usize| Place {
        namespace: format!("telephony-{:03}", index % namespaces),
        name: format!("trunk-{index:04}"),
    };
    (0..trunks).map(place).collect()
}

fn resource(kind: &str, plural: &str, group: &str, version: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// What kube needs to know of a VoiceTrunk.
pub(crate) fn voice_trunk() -> ApiResource {
    resource("VoiceTrunk", "voicetrunks", "sofia-phone.io", "v1alpha1")
}

/// A trunk's manifest.
fn manifest(place: &Place) -> Value {
    let key = json!({ "name": "models", "key": "api-key" });
    json!({
        "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk",
        "metadata": { "name": place.name, "namespace": place.namespace },
        "spec": {
            "numbers": ["\\+4930555\\d{3}", "100"],
            "freeSwitch": {
                "allowedPeers": ["198.51.100.0/26", "203.0.113.7/32"],
                "gateways": [{
                    "name": "carrier", "proxy": "sip.carrier.example.com:5060", "username": "4930555000",
                    "passwordSecretRef": { "name": format!("{}-carrier", place.name), "key": "password" },
                    "registration": "Enabled",
                }],
            },
            "backends": { "openAI": {
                "transcription": { "url": "https://models.example.com/v1", "model": "whisper-1", "apiKeySecretRef": key },
                "generation": { "url": "https://models.example.com/v1", "model": "gpt-4o-mini", "apiKeySecretRef": key },
                "speech": { "url": "https://models.example.com/v1", "model": "tts-1", "voice": "alloy", "apiKeySecretRef": key },
            } },
            "sessions": { "maxPerPod": 100 },
            "scaling": { "minReplicas": 2, "maxReplicas": 6 },
            "conversation": {
                "greeting": "Good day, this is the Hotel Bellevue. How can I help you?",
                "prompt": "You answer the telephone of the Hotel Bellevue, a small hotel with twelve rooms. Breakfast is from seven \
                           to ten. You can take messages; bookings are made by the reception, number 100, to which you can transfer \
                           the call. Your answers are spoken, so keep them to one or two plain sentences.",
            },
        },
    })
}

fn secret(namespace: &str, name: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
        "stringData": { key: "not-a-secret-but-as-long-as-one-would-be" },
    })
}

async fn create(client: &Client, resource: &ApiResource, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    api.create(&PostParams::default(), &object).await.with_context(|| format!("{} {name}", resource.kind))?;
    Ok(())
}

async fn create_all(client: &Client, resource: &ApiResource, objects: Vec<Value>) -> anyhow::Result<()> {
    stream::iter(objects.into_iter().map(|object| create(client, resource, object)))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}

/// Makes the namespaces, and in them the Secrets that the trunks name.
pub(crate) async fn prepare(client: &Client, places: &[Place]) -> anyhow::Result<()> {
    let mut namespaces: Vec<&str> = places.iter().map(|place| place.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let namespace = |name: &&str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let kind = resource("Namespace", "namespaces", "", "v1");
    create_all(client, &kind, namespaces.iter().map(namespace).collect()).await?;
    let models = namespaces.iter().map(|namespace| secret(namespace, "models", "api-key"));
    let carriers = places.iter().map(|place| secret(&place.namespace, &format!("{}-carrier", place.name), "password"));
    create_all(client, &resource("Secret", "secrets", "", "v1"), models.chain(carriers).collect()).await
}

/// Makes the trunks.
pub(crate) async fn make(client: &Client, places: &[Place]) -> anyhow::Result<()> {
    create_all(client, &voice_trunk(), places.iter().map(manifest).collect()).await
}

/// Has a trunk's pods take so many calls each, which stands in its Deployment.
pub(crate) async fn change(client: &Client, place: &Place, calls: u32) -> anyhow::Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &place.namespace, &voice_trunk());
    let patch = json!({ "spec": { "sessions": { "maxPerPod": calls } } });
    // An API server that was just started anew may not know its own kinds yet.
    let mut left = 50;
    loop {
        match api.patch(&place.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => return Ok(()),
            Err(error) if left == 0 => return Err(error).context("a trunk can't be changed"),
            Err(_) => {
                left -= 1;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// How many trunks say that their newest spec was looked at, and how many that they are ready.
pub(crate) async fn told(client: &Client) -> anyhow::Result<(usize, usize)> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &voice_trunk());
    let trunks = api.list(&kube::api::ListParams::default()).await?;
    let is_true = |trunk: &&DynamicObject, wanted: &str| {
        let generation = trunk.metadata.generation;
        let conditions = trunk.data["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == wanted && condition["observedGeneration"].as_i64() == generation)
    };
    let ready = |trunk: &&DynamicObject| {
        let conditions = trunk.data["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    Ok((trunks.items.iter().filter(|trunk| is_true(trunk, "Ready")).count(), trunks.items.iter().filter(ready).count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trunks_are_spread_over_the_namespaces() {
        let places = places(100, 50);
        assert_eq!(places.iter().filter(|place| place.namespace == "telephony-007").count(), 2);
        assert_eq!(places[99].name, "trunk-0099");
    }
}
