//! What holds for the objects of every trunk.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sofia_crds::VoiceTrunkSpec;

use super::{BuildError, Component, Fixture, Kind, SECRETS};
use crate::vocabulary::labels::{CONFIGURATION_HASH, LAST_SPEC};

const COMPONENTS: [Component; 2] = [Component::FreeSwitch, Component::DataPlane];

#[test]
fn the_same_inputs_give_the_same_objects() {
    for fixture in Fixture::examples() {
        assert_eq!(fixture.manifests(), fixture.manifests());
    }
}

#[test]
fn manifests_come_in_the_order_of_application_each_once_and_say_what_they_are() {
    for mut fixture in Fixture::examples() {
        fixture.pod_monitors = true;
        let manifests = fixture.manifests();
        assert!(manifests.is_sorted_by_key(|manifest| manifest.kind));
        let names: BTreeSet<_> = manifests.iter().map(|manifest| (manifest.kind, manifest.name.clone())).collect();
        assert_eq!(names.len(), manifests.len(), "no two objects share kind and name");
        for manifest in manifests {
            assert_eq!(manifest.value["kind"], manifest.kind.name());
            assert_eq!(manifest.value["apiVersion"], manifest.kind.api_resource().api_version);
            assert_eq!(manifest.value["metadata"]["name"], manifest.name.as_str());
            assert_eq!(manifest.namespace, "telephony");
        }
    }
}

#[test]
fn every_object_belongs_to_its_trunk_and_goes_with_it() {
    for fixture in Fixture::examples() {
        for manifest in fixture.manifests() {
            let owner = &manifest.value["metadata"]["ownerReferences"][0];
            assert_eq!(
                *owner,
                json!({
                    "apiVersion": "sofia-phone.io/v1alpha1",
                    "kind": "VoiceTrunk",
                    "name": "main",
                    "uid": fixture.trunk.metadata.uid,
                    "controller": true,
                })
            );
            let labels = &manifest.value["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], "sofia-phone-operator", "{}", manifest.name);
            assert_eq!(labels["app.kubernetes.io/instance"], "main", "{}", manifest.name);
        }
    }
}

#[test]
fn names_of_the_longest_trunk_fit() {
    let longest = "a".repeat(40);
    for spec in [
        json!({ "scaling": { "mode": "HorizontalPodAutoscaler" } }),
        json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.1/32"] } }),
    ] {
        for manifest in Fixture::named(&longest, spec).manifests() {
            assert!(manifest.name.len() <= 63 && manifest.name.starts_with(&longest), "{}", manifest.name);
        }
    }
}

#[test]
fn another_release_changes_neither_selectors_nor_pods() {
    let before = Fixture::example("full.yaml");
    let mut after = before.clone();
    after.release.version = "0.2.0".to_owned();
    for component in COMPONENTS {
        let selector = |fixture: &Fixture| fixture.deployment(component).spec.expect("a spec").selector;
        assert_eq!(selector(&before), selector(&after));
        assert_eq!(before.template(component), after.template(component));
    }
    assert_ne!(before.manifests(), after.manifests(), "the label of the version is new");
}

#[test]
fn selectors_find_the_pods_of_their_deployment() {
    for fixture in Fixture::examples() {
        for deployment in fixture.objects().deployments {
            let spec = deployment.spec.expect("a spec");
            let labels = spec.template.metadata.and_then(|metadata| metadata.labels).expect("pods have labels");
            let selector = spec.selector.match_labels.expect("a selector");
            assert!(selector.iter().all(|(key, value)| labels.get(key) == Some(value)));
        }
    }
}

#[test]
fn pods_are_replaced_when_what_they_run_with_changes_and_only_then() {
    let before = Fixture::example("full.yaml");
    let changed = |change: fn(&mut Fixture)| {
        let mut after = before.clone();
        change(&mut after);
        COMPONENTS.map(|component| before.template(component) != after.template(component))
    };
    let (neither, data_plane, free_switch) = ([false, false], [false, true], [true, false]);
    assert_eq!(changed(|fixture| fixture.trunk.spec.data_plane.image = Some("other".to_owned())), data_plane);
    assert_eq!(changed(|fixture| fixture.trunk.spec.conversation.greeting = None), data_plane);
    assert_eq!(changed(|fixture| fixture.referenced.data_plane_fingerprint = "other".to_owned()), data_plane);
    assert_eq!(
        changed(|fixture| fixture.trunk.spec.free_switch.as_mut().expect("one").image = Some("other".to_owned())),
        free_switch
    );
    assert_eq!(changed(|fixture| fixture.trunk.spec.numbers = vec!["100".to_owned()]), free_switch);
    assert_eq!(
        changed(|fixture| {
            let other = crate::secret_text::SecretText::new("other");
            fixture.referenced.gateway_passwords.insert("carrier".to_owned(), other);
        }),
        free_switch
    );
    assert_eq!(changed(|fixture| fixture.replicas = 7), neither);
    assert_eq!(changed(|fixture| fixture.trunk.spec.scaling.max_replicas = 70), neither);
    assert_eq!(changed(|fixture| fixture.release.network_policies = false), neither);
}

#[test]
fn the_revision_of_a_data_plane_pod_is_told_by_its_annotation() {
    let hash = |fixture: &Fixture| {
        let metadata = fixture.template(Component::DataPlane).metadata.expect("pods have metadata");
        metadata.annotations.expect("annotations")[CONFIGURATION_HASH].clone()
    };
    let before = Fixture::example("full.yaml");
    let changes: [fn(&mut Fixture); 4] = [
        |fixture| fixture.trunk.spec.data_plane.image = Some("other".to_owned()),
        |fixture| fixture.trunk.spec.conversation.greeting = None,
        |fixture| fixture.trunk.spec.drain.deadline_seconds = 77,
        |fixture| fixture.referenced.data_plane_fingerprint = "other".to_owned(),
    ];
    for change in changes {
        let mut after = before.clone();
        change(&mut after);
        assert_ne!(hash(&before), hash(&after));
    }
    let mut more = before.clone();
    more.replicas = 7;
    assert_eq!(hash(&before), hash(&more));
}

#[test]
fn the_spec_that_was_carried_out_stands_on_the_data_planes_deployment() {
    for fixture in Fixture::examples() {
        let annotations = fixture.deployment(Component::DataPlane).metadata.annotations.expect("annotations");
        let spec: VoiceTrunkSpec = serde_json::from_str(&annotations[LAST_SPEC]).expect("a spec");
        assert_eq!(spec, fixture.trunk.spec);
    }
}

#[test]
fn meshes_stay_out_unless_they_are_asked_in() {
    let metadata = |spec: Value, component| {
        let metadata = Fixture::of(spec).template(component).metadata.expect("pods have metadata");
        (metadata.labels.expect("labels"), metadata.annotations.expect("annotations"))
    };
    for component in COMPONENTS {
        let (labels, annotations) = metadata(json!({}), component);
        assert_eq!(labels["sidecar.istio.io/inject"], "false");
        assert_eq!(labels["istio.io/dataplane-mode"], "none");
        assert_eq!(annotations["linkerd.io/inject"], "disabled");
        let own = json!({
            "podLabels": { "sidecar.istio.io/inject": "true", "app.kubernetes.io/component": "other" },
            "podAnnotations": { "linkerd.io/inject": "enabled", "sofia-phone.io/configuration-hash": "other" },
        });
        let (labels, annotations) = metadata(json!({ "freeSwitch": own, "dataPlane": own }), component);
        assert_eq!((&*labels["sidecar.istio.io/inject"], &*annotations["linkerd.io/inject"]), ("true", "enabled"));
        assert_eq!(labels["app.kubernetes.io/component"], component.as_str(), "what the operator needs stays");
        assert_ne!(annotations["sofia-phone.io/configuration-hash"], "other");
    }
}

#[test]
fn no_volume_grows_without_bound() {
    for fixture in Fixture::examples() {
        for deployment in fixture.objects().deployments {
            let volumes = deployment.spec.and_then(|spec| spec.template.spec?.volumes).expect("volumes");
            for empty in volumes.into_iter().filter_map(|volume| volume.empty_dir) {
                assert!(empty.size_limit.is_some());
            }
        }
    }
}

#[test]
fn every_container_asks_for_its_share_of_the_nodes_disk_and_takes_no_more_than_its_limit() {
    const DISK: &str = "ephemeral-storage";
    let resources = |spec: Value| {
        let fixture = Fixture::named("line", spec);
        let pods = fixture.objects().deployments.into_iter().filter_map(|deployment| deployment.spec?.template.spec);
        pods.flat_map(|pod| pod.containers).map(|container| container.resources.expect("resources")).collect::<Vec<_>>()
    };
    let of_both = |said: Value| json!({ "freeSwitch": { "resources": said }, "dataPlane": { "resources": said } });
    for spec in [json!({}), of_both(json!({ "requests": { "cpu": "2" } }))] {
        for resources in resources(spec) {
            let (requests, limits) = (resources.requests.expect("requests"), resources.limits.expect("limits"));
            assert!(requests.contains_key(DISK) && limits.contains_key(DISK));
            assert!(!limits.contains_key("cpu") && !limits.contains_key("memory"), "a throttled pod is heard");
        }
    }
    for resources in resources(of_both(json!({ "limits": { DISK: "20Gi" } }))) {
        assert_eq!(resources.limits.expect("limits")[DISK].0, "20Gi", "the spec's word counts");
        assert!(resources.requests.is_none(), "Kubernetes takes a limit for the request too");
    }
}

#[test]
fn nothing_secret_is_outside_of_secrets() {
    for mut fixture in Fixture::examples() {
        fixture.pod_monitors = true;
        for manifest in fixture.manifests() {
            let text = manifest.value.to_string();
            for secret in SECRETS {
                let shown = text.contains(secret) || text.contains(&STANDARD.encode(secret));
                assert!(!shown || manifest.kind == Kind::Secret, "{secret} is in {}", manifest.name);
            }
        }
    }
}

#[test]
fn nothing_is_empty_that_the_api_server_would_leave_out() {
    fn check(value: &Value, path: &str) {
        match value {
            Value::Array(list) => {
                assert!(!list.is_empty(), "{path} is an empty list");
                list.iter().for_each(|item| check(item, path));
            }
            Value::Object(map) => map.iter().for_each(|(key, value)| check(value, &format!("{path}.{key}"))),
            Value::Null => panic!("{path} is null"),
            _ => {}
        }
    }
    for fixture in Fixture::examples() {
        for manifest in fixture.manifests() {
            check(&manifest.value, &manifest.name);
        }
    }
}

#[test]
fn pods_are_restricted() {
    for fixture in Fixture::examples() {
        for deployment in fixture.objects().deployments {
            let pod = serde_json::to_value(deployment).expect("JSON")["spec"]["template"]["spec"].clone();
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["enableServiceLinks"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let container = &pod["containers"][0]["securityContext"];
            assert_eq!(
                *container,
                json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                })
            );
        }
    }
}

#[test]
fn a_trunk_that_no_api_server_gave_out_is_an_error() {
    let mut fixture = Fixture::of(json!({}));
    fixture.trunk.metadata.uid = None;
    assert_eq!(fixture.build().err(), Some(BuildError::Incomplete { field: "uid" }));
}

#[test]
fn backends_of_no_kind_are_an_error() {
    let mut fixture = Fixture::of(json!({ "backends": { "mock": {} } }));
    fixture.trunk.spec.backends.as_mut().expect("they are set").mock = None;
    assert_eq!(fixture.build().err(), Some(BuildError::Backends));
}
