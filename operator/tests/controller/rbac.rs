//! The operator's ClusterRole grants what is used, and nothing else.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::support::{
    requests::{Permission, permissions},
    world::{NAMESPACE, World},
};

const ROLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/rbac/role.yaml");

/// Groups whose permissions other parts of the operator use: leader election, and who may ask for custom metrics.
const OF_OTHER_PARTS: [&str; 3] = ["coordination.k8s.io", "authentication.k8s.io", "authorization.k8s.io"];

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    verbs: Vec<String>,
}

fn granted() -> BTreeSet<Permission> {
    let text = std::fs::read_to_string(ROLE).expect("the ClusterRole is in the repository");
    let documents: Vec<Document> = serde_saphyr::from_multiple(&text).expect("the ClusterRole is YAML");
    let roles = documents.into_iter().filter(|document| document.kind.ends_with("Role"));
    let mut granted = BTreeSet::new();
    for rule in roles.flat_map(|role| role.rules) {
        for group in rule.api_groups.iter().filter(|group| !OF_OTHER_PARTS.contains(&group.as_str())) {
            for resource in &rule.resources {
                for verb in &rule.verbs {
                    let (group, resource, verb) = (group.clone(), resource.clone(), verb.clone());
                    granted.insert(Permission { group, resource, verb });
                }
            }
        }
    }
    granted
}

/// Objects of every kind that an earlier release of the operator made for the trunk and this one does not want.
fn leave_behind(world: &World, trunk: &serde_json::Value) {
    let kinds = [
        ("", "v1", "ServiceAccount", "serviceaccounts"),
        ("", "v1", "Secret", "secrets"),
        ("", "v1", "ConfigMap", "configmaps"),
        ("", "v1", "Service", "services"),
        ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
        ("apps", "v1", "Deployment", "deployments"),
        ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
    ];
    for (group, version, kind, resource) in kinds {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": {
            "name": "main-of-old", "namespace": NAMESPACE,
            "labels": { "app.kubernetes.io/managed-by": "sofia-phone-operator", "app.kubernetes.io/instance": "main" },
            "ownerReferences": [{ "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk", "name": "main",
                "uid": trunk["metadata"]["uid"], "controller": true }],
        }, "spec": { "selector": {}, "template": {} } });
        world.api.put(group, resource, object);
    }
}

/// Everything that the operator ever asks for.
async fn everything() -> BTreeSet<Permission> {
    let mut world = World::empty();
    world.api.with_pod_monitors();
    world.start_operator();
    world.secret("carrier", "password", "hush");
    let spec = |replicas: u32| {
        json!({ "scaling": { "mode": "HorizontalPodAutoscaler", "replicas": replicas, "minReplicas": 1 },
            "freeSwitch": { "gateways": [{ "name": "carrier", "proxy": "sip.example.com", "username": "sofia",
                "passwordSecretRef": { "name": "carrier", "key": "password" } }] } })
    };
    world.apply("main", spec(3));
    world.apply("external", json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.0/24"] } }));
    world.apply("broken", json!({ "sessions": { "maxPerPod": "many" } }));
    world.until_ready("main").await;
    world.until("the external one is carried out", |world| world.is("external", "Ready", "True")).await;
    world.until("what is broken is told", |world| world.is("broken", "Degraded", "True")).await;
    let trunk = world.get("sofia-phone.io", "voicetrunks", "main").expect("it is there");
    leave_behind(&world, &trunk);
    world
        .until("what an earlier release left is gone", |world| {
            world.api.writes().iter().filter(|asked| asked.verb == "delete").count() >= 9
        })
        .await;
    // Twice, so that the second event of the kind is counted on the first.
    for _ in 0..2 {
        assert!(world.api.delete("", "secrets", NAMESPACE, "carrier"));
        world.until("it is told", |world| world.is("main", "Degraded", "True")).await;
        world.secret("carrier", "password", "hush");
        world.until("it is right again", |world| world.is("main", "Degraded", "False")).await;
    }
    // A drained pod that is ready still stands behind others, and is deleted by name.
    world.fleet.stay_ready();
    world.apply("main", spec(2));
    world
        .until("a pod is marked", |world| {
            world.api.all("", "pods").iter().any(|pod| pod["metadata"]["labels"]["sofia-phone.io/drained"] == "true")
        })
        .await;
    world.passes(5).await;
    world.advance(60);
    world
        .until("it is deleted", |world| {
            world.api.writes().iter().any(|asked| asked.verb == "delete" && asked.resource == "pods")
        })
        .await;
    permissions(&world.api.asked())
}

#[tokio::test]
async fn the_cluster_role_grants_what_is_used_and_nothing_else() {
    let mut used = everything().await;
    // The way to FreeSWITCH's event socket; here the stand-in for it is asked instead.
    for verb in ["get", "create"] {
        let [group, resource, verb] = ["", "pods/portforward", verb].map(str::to_owned);
        used.insert(Permission { group, resource, verb });
    }
    let granted = granted();
    let missing: Vec<_> = used.difference(&granted).collect();
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(missing.is_empty() && unused.is_empty(), "missing: {missing:#?}, granted and not used: {unused:#?}");
}
