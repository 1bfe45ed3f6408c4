//! What a trunk adds to its pods is there, beside what is the operator's and never in its place.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use sofia_crds::{
    VoiceTrunkSpec,
    validate::{
        pod_template::{DATA_PLANE, FREE_SWITCH, Reserved},
        validate,
    },
};

use super::{Component, Fixture};
use crate::controller::{build::Kind, compare};

const PARTS: [(Component, &str, Reserved); 2] =
    [(Component::FreeSwitch, "freeSwitch", FREE_SWITCH), (Component::DataPlane, "dataPlane", DATA_PLANE)];

fn pod(spec: Value, component: Component) -> PodSpec {
    Fixture::of(spec).template(component).spec.expect("a pod has a spec")
}

fn with_template(part: &str, template: Value) -> Value {
    json!({ part: { "podTemplate": template } })
}

#[test]
fn whatever_the_operator_gives_its_pods_is_reserved() {
    let tls = json!({ "name": "carrier", "proxy": "sip.example.com", "transport": "Tls", "registration": "Disabled" });
    let networks = ["ClusterIP", "HostNetwork", "LoadBalancer"].map(|network| {
        let rtp = json!({ "start": 20000, "end": 20099 });
        json!({ "freeSwitch": { "network": { "type": network }, "rtpPortRange": rtp, "gateways": [tls] } })
    });
    for spec in networks {
        for (component, _, reserved) in PARTS {
            let pod = pod(spec.clone(), component);
            for volume in pod.volumes.expect("volumes") {
                assert!(reserved.volumes.contains(&volume.name.as_str()), "{}", volume.name);
            }
            for container in pod.containers {
                for mount in container.volume_mounts.expect("mounts") {
                    assert!(
                        reserved.paths.iter().any(|path| mount.mount_path.starts_with(path)),
                        "{}",
                        mount.mount_path
                    );
                }
                for variable in container.env.into_iter().flatten() {
                    assert!(reserved.has_variable(&variable.name), "{}", variable.name);
                }
            }
        }
    }
}

#[test]
fn what_is_added_stands_beside_the_operators_own() {
    for (component, part, _) in PARTS {
        let plain = pod(json!({}), component);
        let added = pod(
            with_template(
                part,
                json!({
                    "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "example.com/edge", "operator": "Exists" }] }],
                    } } },
                    "runtimeClassName": "low-latency",
                    "volumes": [{ "name": "own", "configMap": { "name": "own" } }],
                    "volumeMounts": [{ "name": "own", "mountPath": "/own" }],
                    "env": [{ "name": "TZ", "value": "Europe/Berlin" }],
                }),
            ),
            component,
        );
        assert!(added.affinity.as_ref().is_some_and(|affinity| affinity.node_affinity.is_some()));
        assert_eq!(added.runtime_class_name.as_deref(), Some("low-latency"));
        let (mut without, container) = (added.clone(), &added.containers[0]);
        assert_eq!(container.env.as_ref().expect("variables")[0].name, "TZ", "before those that count more");
        without.affinity = None;
        without.runtime_class_name = None;
        without.volumes.as_mut().expect("volumes").retain(|volume| volume.name != "own");
        let container = &mut without.containers[0];
        container.volume_mounts.as_mut().expect("mounts").retain(|mount| mount.name != "own");
        container.env.as_mut().expect("variables").retain(|variable| variable.name != "TZ");
        assert_eq!(without, plain, "nothing else changes");
    }
}

#[test]
fn pods_are_spread_over_zones_as_the_spec_says_and_over_nodes_in_any_case() {
    for (component, part, _) in PARTS {
        let spread = |template: Value| -> Vec<(String, String)> {
            let constraints = pod(with_template(part, template), component).topology_spread_constraints;
            let constraints = constraints.expect("constraints").into_iter();
            constraints.map(|constraint| (constraint.topology_key, constraint.when_unsatisfiable)).collect()
        };
        let node = ("kubernetes.io/hostname".to_owned(), "ScheduleAnyway".to_owned());
        let zone = |unless: &str| ("topology.kubernetes.io/zone".to_owned(), unless.to_owned());
        assert_eq!(spread(json!({})), [node.clone(), zone("ScheduleAnyway")]);
        assert_eq!(spread(json!({ "zoneSpread": "Required" })), [node.clone(), zone("DoNotSchedule")]);
        assert_eq!(spread(json!({ "zoneSpread": "Ignored" })), [node]);
    }
}

#[test]
fn a_changed_template_replaces_the_pods_of_its_part_alone() {
    let changed = |part: &str| {
        let fixtures = [json!({}), json!({ "env": [{ "name": "TZ", "value": "Europe/Berlin" }] })]
            .map(|template| Fixture::of(with_template(part, template)));
        PARTS.map(|(component, ..)| fixtures[0].template(component) != fixtures[1].template(component))
    };
    assert_eq!(changed("freeSwitch"), [true, false]);
    assert_eq!(changed("dataPlane"), [false, true]);
}

#[test]
fn what_the_api_server_does_not_keep_is_not_written_again_at_each_pass() {
    let template = json!({
        "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "namespaces": [],
            "labelSelector": { "matchLabels": { "example.com/noisy": "" } },
        }] } },
        "volumes": [
            { "name": "own", "configMap": { "name": "own", "items": [] } },
            { "name": "scratch", "emptyDir": { "medium": "", "sizeLimit": "1024Mi" } },
            { "name": "rest", "downwardAPI": { "items": [{ "path": "cpu", "resourceFieldRef": {
                "containerName": "dataplane", "resource": "limits.cpu", "divisor": "1000m" } }] } },
        ],
        "volumeMounts": [{ "name": "own", "mountPath": "/own", "readOnly": false, "subPath": "" }],
        "env": [{ "name": "EMPTY", "value": "" }],
    });
    let desired = Fixture::of(with_template("dataPlane", template)).manifest(Kind::Deployment, "main-dataplane");
    // As the API server answers: no empty texts and lists, nothing false that is false by default, amounts in their shortest form.
    let mut live = desired.clone();
    let pod = &mut live["spec"]["template"]["spec"];
    let label = &pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(label["labelSelector"]["matchLabels"], json!({ "example.com/noisy": "" }), "which may be empty");
    for volume in pod["volumes"].as_array_mut().expect("volumes") {
        match volume["name"].as_str() {
            Some("own") => *volume = json!({ "name": "own", "configMap": { "name": "own", "defaultMode": 420 } }),
            Some("scratch") => *volume = json!({ "name": "scratch", "emptyDir": { "sizeLimit": "1Gi" } }),
            Some("rest") => volume["downwardAPI"]["items"][0]["resourceFieldRef"]["divisor"] = json!("1"),
            _ => {}
        }
    }
    let container = &mut pod["containers"][0];
    for mount in container["volumeMounts"].as_array_mut().expect("mounts") {
        if mount["name"] == "own" {
            *mount = json!({ "name": "own", "mountPath": "/own" });
        }
    }
    for variable in container["env"].as_array_mut().expect("variables") {
        if variable["name"] == "EMPTY" {
            *variable = json!({ "name": "EMPTY" });
        }
    }
    assert!(compare::contains(Kind::Deployment, &live, &desired));
}

#[test]
fn what_would_take_the_place_of_the_operators_own_is_refused() {
    for (_, part, reserved) in PARTS {
        let refused = |template: Value, below: &str| {
            let spec: VoiceTrunkSpec = serde_json::from_value(with_template(part, template)).expect("a spec");
            let path = format!("spec.{part}.podTemplate.{below}");
            assert!(validate(&spec).iter().any(|problem| problem.path == path), "{path}: {:?}", validate(&spec));
        };
        for name in reserved.volumes {
            refused(json!({ "volumes": [{ "name": name, "emptyDir": {} }] }), "volumes[0].name");
        }
        for path in reserved.paths {
            let parent = path.rsplit_once('/').expect("a path").0;
            for path in [path.to_string(), format!("{path}/below"), format!("/.{path}//"), format!("{parent}/")] {
                let mounts = json!([{ "name": "own", "mountPath": path }]);
                let volumes = json!([{ "name": "own", "emptyDir": {} }]);
                refused(json!({ "volumes": volumes, "volumeMounts": mounts }), "volumeMounts[0].mountPath");
            }
        }
        for name in reserved.variables {
            refused(json!({ "env": [{ "name": name.replace('*', "ANY"), "value": "x" }] }), "env[0].name");
        }
    }
}
