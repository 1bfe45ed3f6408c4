//! What single kinds of objects do in cases that the examples don't show.

use serde_json::{Value, json};

use super::{Component, Fixture, Kind};

fn on(network: &str, sip_port: u16) -> Fixture {
    let rtp = json!({ "start": 20000, "end": 20099 });
    Fixture::of(json!({
        "freeSwitch": { "network": { "type": network }, "sipPort": sip_port, "rtpPortRange": rtp },
    }))
}

fn free_switch_pod(fixture: &Fixture) -> Value {
    let template = fixture.template(Component::FreeSwitch);
    serde_json::to_value(template.spec).expect("JSON")
}

#[test]
fn freeswitchs_console_has_an_open_standard_input() {
    for network in ["ClusterIP", "HostNetwork", "LoadBalancer"] {
        assert_eq!(free_switch_pod(&on(network, 5060))["containers"][0]["stdin"], true);
    }
}

#[test]
fn freeswitch_gives_way_to_the_next_as_its_network_allows() {
    let strategy = |network| fixture_strategy(&on(network, 5060));
    assert_eq!(strategy("ClusterIP"), json!({ "maxSurge": 1, "maxUnavailable": 0 }));
    assert_eq!(strategy("HostNetwork"), json!({ "maxSurge": 0, "maxUnavailable": 1 }));
    assert_eq!(strategy("LoadBalancer"), json!("Recreate"));
}

fn fixture_strategy(fixture: &Fixture) -> Value {
    let value = fixture.manifest(Kind::Deployment, "main-freeswitch")["spec"]["strategy"].clone();
    if value["rollingUpdate"].is_null() { value["type"].clone() } else { value["rollingUpdate"].clone() }
}

#[test]
fn two_freeswitches_never_share_a_nodes_network() {
    let pod = free_switch_pod(&on("HostNetwork", 5060));
    assert_eq!(pod["hostNetwork"], true);
    let ports = pod["containers"][0]["ports"].as_array().expect("ports").clone();
    assert!(ports.iter().all(|port| port["hostPort"] == port["containerPort"]));
    let loopback = ports.iter().filter(|port| port["hostIP"] == "127.0.0.1").map(|port| port["containerPort"].clone());
    assert_eq!(loopback.collect::<Vec<_>>(), [5080, 5080, 8021]);
}

#[test]
fn no_port_is_listed_twice_when_sip_has_the_one_of_the_loopback_profile() {
    let pod = free_switch_pod(&on("HostNetwork", 5080));
    let ports = pod["containers"][0]["ports"].as_array().expect("ports").clone();
    let numbers: Vec<_> = ports.iter().map(|port| (&port["containerPort"], &port["protocol"])).collect();
    assert_eq!(numbers, [(&json!(5080), &json!("UDP")), (&json!(5080), &json!("TCP")), (&json!(8021), &json!("TCP"))]);
}

#[test]
fn a_low_sip_port_costs_no_more_rights_than_it_must() {
    let own_network = free_switch_pod(&on("ClusterIP", 443));
    assert_eq!(own_network["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        own_network["securityContext"]["sysctls"],
        json!([{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "443" }])
    );
    assert_eq!(own_network["containers"][0]["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));

    let on_host = free_switch_pod(&on("HostNetwork", 443));
    assert_eq!(on_host["securityContext"]["runAsUser"], 0);
    assert_eq!(on_host["securityContext"].get("sysctls"), None, "the node's own may not be changed");
    assert_eq!(
        on_host["containers"][0]["securityContext"]["capabilities"],
        json!({ "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] })
    );
}

#[test]
fn a_load_balancer_brings_each_port_of_the_audio() {
    let service = on("LoadBalancer", 5060).manifest(Kind::Service, "main-freeswitch");
    let ports = service["spec"]["ports"].as_array().expect("ports").clone();
    assert_eq!(ports.len(), 2 + 100);
    assert_eq!(ports[101]["port"], 20099);
    assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
    let in_cluster = on("ClusterIP", 5060).manifest(Kind::Service, "main-freeswitch");
    assert_eq!(in_cluster["spec"]["ports"].as_array().map(Vec::len), Some(2));
}

#[test]
fn freeswitch_is_told_the_load_balancers_address_where_the_spec_has_none() {
    let configuration = |address, fixture: &Fixture| {
        let mut fixture = fixture.clone();
        fixture.load_balancer_address = address;
        fixture.manifest(Kind::Secret, "main-freeswitch-config")
    };
    let balanced = on("LoadBalancer", 5060);
    let unknown = configuration(None, &balanced);
    assert_ne!(configuration(Some("198.51.100.7"), &balanced), unknown);
    assert_eq!(configuration(Some("balancer.example.com"), &balanced), unknown, "a name is no address for SDP");
    let explicit = Fixture::example("full.yaml");
    assert_eq!(configuration(Some("198.51.100.7"), &explicit), configuration(None, &explicit));
}

fn budget(serving: u32, crowded: bool, max_evicted_percent: u32) -> (Value, Value) {
    let mut fixture = Fixture::of(json!({ "drain": { "maxEvictedPercent": max_evicted_percent } }));
    // Two more drain: they are none of the budget's business.
    (fixture.replicas, fixture.serving, fixture.crowded) = (serving + 2, serving, crowded);
    let spec = fixture.manifest(Kind::PodDisruptionBudget, "main-dataplane")["spec"].clone();
    assert_eq!(spec.get("maxUnavailable"), None, "it would count those that drain");
    (spec["minAvailable"].clone(), spec["unhealthyPodEvictionPolicy"].clone())
}

#[test]
fn the_budget_always_lets_some_of_the_pods_go_that_take_calls() {
    for (serving, least) in [(1, 0), (2, 1), (4, 3), (5, 3), (12, 9)] {
        assert_eq!(budget(serving, false, 25).0, least, "of {serving}");
    }
    assert_eq!(budget(12, false, 50).0, 6);
    assert_eq!(budget(12, false, 0).0, 12, "only those that the operator has drained");
}

#[test]
fn pods_that_are_not_ready_are_held_where_they_may_be_full_and_not_where_they_are_broken() {
    assert_eq!(budget(4, false, 25).1, "AlwaysAllow");
    assert_eq!(budget(4, true, 25).1, "IfHealthyBudget");
    assert_eq!(
        budget(1, true, 25).1,
        "AlwaysAllow",
        "with none that must be ready, that rule lets no pod go that is not"
    );
    assert_eq!(budget(4, false, 0).1, "IfHealthyBudget");
    let switch = Fixture::of(json!({})).manifest(Kind::PodDisruptionBudget, "main-freeswitch");
    assert_eq!(
        (&switch["spec"]["maxUnavailable"], &switch["spec"]["unhealthyPodEvictionPolicy"]),
        (&json!(1), &json!("AlwaysAllow"))
    );
}

#[test]
fn the_budget_forgets_pods_that_are_drained() {
    let budget = Fixture::of(json!({})).manifest(Kind::PodDisruptionBudget, "main-dataplane");
    assert_eq!(
        budget["spec"]["selector"]["matchExpressions"],
        json!([{ "key": "sofia-phone.io/drained", "operator": "DoesNotExist" }])
    );
}

#[test]
fn without_network_policies_there_are_none() {
    for mut fixture in Fixture::examples() {
        fixture.release.network_policies = false;
        assert!(fixture.objects().network_policies.is_empty());
    }
}

#[test]
fn calls_and_audio_come_from_freeswitch_only_as_far_as_a_policy_can_tell() {
    let from = |fixture: &Fixture| {
        let policy = fixture.manifest(Kind::NetworkPolicy, "main-dataplane");
        let rule = policy["spec"]["ingress"][0].clone();
        assert_eq!(rule["ports"][0], json!({ "port": 8084, "protocol": "TCP" }));
        assert_eq!(rule["ports"][1], json!({ "port": 16384, "endPort": 16511, "protocol": "UDP" }));
        rule["from"].clone()
    };
    let pods = from(&on("ClusterIP", 5060));
    assert_eq!(pods[0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "freeswitch");
    assert_eq!(from(&on("HostNetwork", 5060)), Value::Null, "a node's address is anyone's");
    assert_eq!(
        from(&Fixture::example("external-freeswitch.yaml")),
        json!([{ "ipBlock": { "cidr": "192.0.2.10/32" } }])
    );
}

#[test]
fn a_policy_for_pods_on_the_nodes_network_is_not_pretended() {
    let names = |fixture: &Fixture| -> Vec<_> {
        let manifests = fixture.manifests().into_iter().filter(|manifest| manifest.kind == Kind::NetworkPolicy);
        manifests.map(|manifest| manifest.name).collect()
    };
    assert_eq!(names(&on("HostNetwork", 5060)), ["main-dataplane"]);
    assert_eq!(names(&on("LoadBalancer", 5060)), ["main-dataplane", "main-freeswitch"]);
}

#[test]
fn a_token_of_the_users_is_mounted_and_not_copied() {
    let esl_secrets = |fixture: &Fixture| {
        let secrets = fixture.manifests().into_iter().filter(|manifest| manifest.kind == Kind::Secret);
        secrets.filter(|secret| secret.name == "main-esl").count()
    };
    let mounted = |fixture: &Fixture| {
        let pod = serde_json::to_value(fixture.template(Component::DataPlane).spec).expect("JSON");
        pod["volumes"][0]["projected"]["sources"][0]["secret"]["name"].clone()
    };
    let users = Fixture::example("external-freeswitch.yaml");
    assert_eq!((esl_secrets(&users), mounted(&users)), (0, json!("switch")));
    let own = Fixture::of(json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.10/32"] } }));
    assert_eq!((esl_secrets(&own), mounted(&own)), (1, json!("main-esl")));
}

#[test]
fn an_external_freeswitch_is_told_the_address_of_the_load_balancer_once_there_is_one() {
    let mut fixture = Fixture::example("external-freeswitch.yaml");
    let host =
        |fixture: &Fixture| fixture.manifest(Kind::ConfigMap, "main-external-freeswitch")["data"]["esl-host"].clone();
    assert_eq!(host(&fixture), "main-esl.telephony.svc");
    fixture.load_balancer_address = Some("balancer.example.com");
    assert_eq!(host(&fixture), "balancer.example.com");
}

#[test]
fn freeswitch_ends_its_calls_before_it_is_ended() {
    let fixture = Fixture::of(json!({ "drain": { "deadlineSeconds": 90 } }));
    let pod = free_switch_pod(&fixture);
    let script =
        pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2].as_str().expect("a script").to_owned();
    assert!(script.contains("global_setvar sofia_phone_draining=true") && script.contains("+ 90))"), "{script}");
    assert_eq!(pod["terminationGracePeriodSeconds"], 150);
}

/// Runs FreeSWITCH's preStop in a real shell, with an `fs_cli` that has no connection the first `failures` times. What was said to it, and
/// whether the script succeeded.
#[cfg(unix)]
fn said_at_the_end(spec: Value, failures: u32) -> (Vec<String>, bool) {
    use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};
    let pod = free_switch_pod(&Fixture::of(spec));
    let command = &pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"];
    let folder = tempfile::tempdir().expect("a folder");
    let fs_cli = format!(
        "#!/bin/sh\ncd {}\nif [ \"$(cat failed | wc -l)\" -lt {failures} ]; then echo x >> failed; exit 255; fi\n\
         echo \"$2\" >> said\necho '0 total.'\n",
        folder.path().display()
    );
    // What the script waits with, so that the test doesn't.
    for (name, text) in [("fs_cli", fs_cli.as_str()), ("sleep", "#!/bin/sh\n")] {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }
    fs::write(folder.path().join("failed"), "").expect("a file");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new(command[0].as_str().expect("a shell"))
        .args([command[1].as_str().expect("-c"), command[2].as_str().expect("a script")])
        .env("PATH", path)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a shell");
    let said = fs::read_to_string(folder.path().join("said")).unwrap_or_default();
    (said.lines().map(str::to_owned).collect(), status.success())
}

#[cfg(unix)]
#[test]
fn freeswitch_gives_its_registrations_back_before_it_refuses_calls() {
    let gateway = |registration: &str| {
        json!({ "freeSwitch": { "gateways": [{ "name": "carrier", "proxy": "sip.example.com", "username": "sofia",
            "passwordSecretRef": { "name": "carrier", "key": "password" }, "registration": registration }] } })
    };
    let (unregister, refuse, count) = (
        "sofia profile edge unregister all".to_owned(),
        "global_setvar sofia_phone_draining=true".to_owned(),
        "show channels count".to_owned(),
    );
    let whole = vec![unregister, refuse.clone(), count.clone()];
    assert_eq!(said_at_the_end(gateway("Enabled"), 0), (whole.clone(), true));
    assert_eq!(said_at_the_end(gateway("Disabled"), 0), (vec![refuse.clone(), count.clone()], true));
    assert_eq!(said_at_the_end(json!({}), 0), (vec![refuse, count], true));
    assert_eq!(said_at_the_end(gateway("Enabled"), 4), (whole, true), "one that was busy is told again");
    assert_eq!(said_at_the_end(gateway("Enabled"), 99), (vec![], true), "one that hangs is not waited for");
}

#[test]
fn a_node_that_does_not_answer_is_waited_for_a_quarter_of_a_minute_unless_the_spec_says_so() {
    let tolerated = |tolerations: Value| {
        let pod = free_switch_pod(&Fixture::of(json!({ "freeSwitch": { "tolerations": tolerations } })));
        let all = pod["tolerations"].as_array().expect("tolerations").clone();
        ["not-ready", "unreachable"].map(|taint| {
            let key = format!("node.kubernetes.io/{taint}");
            let of_it: Vec<_> =
                all.iter().filter(|one| one["key"] == key.as_str() && one["effect"] != "NoSchedule").collect();
            of_it.iter().map(|one| one["tolerationSeconds"].as_i64()).collect::<Vec<_>>()
        })
    };
    assert_eq!(tolerated(json!([])), [vec![Some(15)], vec![Some(15)]]);
    let other = json!([{ "key": "example.com/edge", "operator": "Exists" }]);
    assert_eq!(tolerated(other), [vec![Some(15)], vec![Some(15)]]);
    let own = json!([{ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 120 }]);
    assert_eq!(tolerated(own), [vec![Some(15)], vec![Some(120)]]);
    let scheduling = json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule" }]);
    assert_eq!(tolerated(scheduling), [vec![Some(15)], vec![Some(15)]]);
    assert_eq!(tolerated(json!([{ "operator": "Exists" }])), [vec![], vec![]], "every taint, for ever");
}

#[test]
fn a_freeswitch_that_is_slow_to_answer_keeps_its_calls_for_two_minutes() {
    let probe = free_switch_pod(&Fixture::of(json!({})))["containers"][0]["livenessProbe"].clone();
    let number = |name: &str| probe[name].as_u64().expect("a number");
    assert!(number("periodSeconds") * number("failureThreshold") >= 120, "{probe}");
    assert!(number("timeoutSeconds") >= 10, "{probe}");
}

#[test]
fn by_default_pods_end_within_the_ten_minutes_that_a_node_autoscaler_grants() {
    for component in [Component::FreeSwitch, Component::DataPlane] {
        let pod = Fixture::of(json!({})).template(component).spec.expect("a spec");
        assert_eq!(pod.termination_grace_period_seconds, Some(600));
    }
}
