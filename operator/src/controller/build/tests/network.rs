//! What the spec says of FreeSWITCH's network is in its Service and its policy.

use serde_json::{Value, json};

use super::{Fixture, Kind};

fn on(network: Value, more: Value) -> Fixture {
    let mut free_switch = json!({ "network": network, "rtpPortRange": { "start": 20000, "end": 20003 } });
    free_switch.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    Fixture::of(json!({ "freeSwitch": free_switch }))
}

fn service(network: Value) -> Value {
    on(network, json!({})).manifest(Kind::Service, "main-freeswitch")["spec"].clone()
}

fn rules(fixture: &Fixture) -> Vec<Value> {
    let policy = fixture.manifest(Kind::NetworkPolicy, "main-freeswitch");
    policy["spec"]["ingress"].as_array().expect("rules").clone()
}

fn blocks(rule: &Value) -> Option<Vec<&str>> {
    let from = rule.get("from")?.as_array().expect("a list");
    Some(from.iter().filter_map(|peer| peer["ipBlock"]["cidr"].as_str()).collect())
}

#[test]
fn a_load_balancer_is_asked_for_as_the_spec_says() {
    let plain = service(json!({ "type": "LoadBalancer" }));
    let fields = ["loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "ipFamilyPolicy"];
    for field in fields {
        assert_eq!(plain.get(field), None, "{field} is Kubernetes' to choose");
    }
    let chosen = service(json!({
        "type": "LoadBalancer",
        "loadBalancerClass": "example.com/telephony",
        "loadBalancerSourceRanges": ["198.51.100.0/24", "2001:db8::/32"],
        "loadBalancerNodePorts": "None",
        "ipFamilyPolicy": "PreferDualStack",
    }));
    assert_eq!(chosen["loadBalancerClass"], "example.com/telephony");
    assert_eq!(chosen["loadBalancerSourceRanges"], json!(["198.51.100.0/24", "2001:db8::/32"]));
    assert_eq!(chosen["allocateLoadBalancerNodePorts"], false);
    assert_eq!(chosen["ipFamilyPolicy"], "PreferDualStack");
    assert_eq!(service(json!({ "ipFamilyPolicy": "SingleStack" }))["ipFamilyPolicy"], "SingleStack");
}

#[test]
fn sip_comes_by_the_transports_that_the_spec_names() {
    for (word, expected) in [("Both", vec!["UDP", "TCP"]), ("Udp", vec!["UDP"]), ("Tcp", vec!["TCP"])] {
        for network in ["ClusterIP", "LoadBalancer"] {
            let fixture = on(json!({ "type": network, "sipTransport": word }), json!({}));
            let of_sip = |ports: &Value| -> Vec<String> {
                let ports = ports.as_array().expect("ports").iter().filter(|port| port["port"] == 5060);
                ports.map(|port| port["protocol"].as_str().expect("a protocol").to_owned()).collect()
            };
            assert_eq!(of_sip(&fixture.manifest(Kind::Service, "main-freeswitch")["spec"]["ports"]), expected);
            assert_eq!(of_sip(&rules(&fixture)[0]["ports"]), expected);
        }
    }
}

#[test]
fn calls_come_from_the_allowed_peers_and_audio_from_whom_the_spec_says_or_everyone() {
    let peers = json!({ "allowedPeers": ["198.51.100.0/24"] });
    let open = rules(&on(json!({ "type": "LoadBalancer" }), peers));
    let [calls, callers_audio, agents_audio] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!(blocks(calls), Some(vec!["198.51.100.0/24"]));
    assert!(calls["ports"].as_array().expect("ports").iter().all(|port| port["port"] == 5060), "and no audio");
    assert_eq!(blocks(callers_audio), None, "carriers send audio from elsewhere");
    assert_eq!(callers_audio["ports"], json!([{ "protocol": "UDP", "port": 20000, "endPort": 20003 }]));
    assert_eq!(agents_audio["from"].as_array().map(Vec::len), Some(1));

    let both = json!({ "allowedPeers": ["198.51.100.0/24"], "mediaPeers": ["203.0.113.0/24", "2001:db8::/32"] });
    let named = rules(&on(json!({ "type": "LoadBalancer" }), both));
    assert_eq!(blocks(&named[0]), Some(vec!["198.51.100.0/24"]));
    assert_eq!(blocks(&named[1]), Some(vec!["203.0.113.0/24", "2001:db8::/32"]));
}
