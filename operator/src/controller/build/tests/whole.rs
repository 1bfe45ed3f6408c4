//! All objects of the documented examples as snapshots, in the form in which `kubectl apply` takes them.

use serde_json::{Value, json};

use super::{Fixture, Kind, Manifest};
use crate::vocabulary::labels::{CONFIGURATION_HASH, LAST_SPEC};

/// In place of what [`crate::freeswitch`] renders, which has snapshots of its own: base64 of `rendered elsewhere`.
const RENDERED: &str = "cmVuZGVyZWQgZWxzZXdoZXJl";

fn yaml(manifests: Vec<Manifest>) -> String {
    let documents = manifests.into_iter().map(|Manifest { kind, mut value, .. }| {
        if kind == Kind::Secret {
            for key in ["freeswitch.xml", "fs_cli.conf"] {
                if let Some(rendered) = value.pointer_mut(&format!("/data/{key}")) {
                    *rendered = Value::from(RENDERED);
                }
            }
        }
        if kind == Kind::Deployment {
            value["spec"]["template"]["metadata"]["annotations"][CONFIGURATION_HASH] = Value::from("hash");
            if let Some(spec) = value["metadata"]["annotations"].get_mut(LAST_SPEC) {
                *spec = Value::from("the spec");
            }
        }
        serde_saphyr::to_string(&value).expect("JSON is YAML")
    });
    documents.collect::<Vec<_>>().join("---\n")
}

#[test]
fn the_minimal_example() {
    insta::assert_snapshot!(yaml(Fixture::example("minimal.yaml").manifests()));
}

#[test]
fn the_full_example_where_there_are_pod_monitors() {
    let mut fixture = Fixture::example("full.yaml");
    fixture.pod_monitors = true;
    // Four hundred ports of the load balancer's Service tell no more than sixteen.
    let free_switch = fixture.trunk.spec.free_switch.as_mut().expect("the example runs FreeSWITCH");
    free_switch.rtp_port_range.end = free_switch.rtp_port_range.start + 15;
    insta::assert_snapshot!(yaml(fixture.manifests()));
}

#[test]
fn the_example_on_the_nodes_network() {
    insta::assert_snapshot!(yaml(Fixture::example("openai.yaml").manifests()));
}

#[test]
fn the_example_with_an_external_freeswitch() {
    insta::assert_snapshot!(yaml(Fixture::example("external-freeswitch.yaml").manifests()));
}

#[test]
fn the_autoscaler() {
    let fixture = Fixture::of(json!({ "scaling": { "mode": "HorizontalPodAutoscaler" } }));
    let mut manifests = fixture.manifests();
    manifests.retain(|manifest| manifest.kind == Kind::HorizontalPodAutoscaler);
    insta::assert_snapshot!(yaml(manifests));
}
