use serde_json::{Value, json};

use super::*;

fn paths(spec: Value) -> Vec<String> {
    let spec: VoiceTrunkSpec = serde_json::from_value(spec).expect("a spec of the right shape");
    validate(&spec).into_iter().map(|problem| problem.path).collect()
}

#[test]
fn an_empty_spec_has_no_problems() {
    assert!(paths(json!({})).is_empty());
}

#[test]
fn all_problems_are_named_at_once_with_their_paths() {
    let spec = json!({
        "numbers": ["\\+49\\d+", "(", ".*"],
        "freeSwitch": {
            "network": { "externalAddress": "0.0.0.0", "annotations": { "-": "x" } },
            "rtpPortRange": { "start": 20000, "end": 20001 },
            "allowedPeers": ["10.0.0.0/8", "10.0.0.0/33"],
            "gateways": [{ "name": "carrier", "proxy": "sip.example.com:99999", "username": "a\u{1}b" }],
            "nodeSelector": { "zone": "a b" },
            "tolerations": [{ "operator": "Equal" }, { "operator": "Exists", "value": "x" }],
        },
        "dataPlane": { "nodeSelector": { "exa mple/zone": "a" } },
        "backends": {
            "openAI": {
                "transcription": { "url": "ftp://whisper" },
                "generation": { "url": "http://user:secret@llm/v1", "parameters": { "stop": "x".repeat(4000) } },
                "speech": { "url": "http://kokoro:8880/v1", "voice": "a\nb" },
            }
        },
        "conversation": { "greeting": "ä".repeat(501), "goodbye": "None" },
        "records": { "url": "https://" },
    });
    let expected = [
        "spec.numbers[1]",
        "spec.numbers[2]",
        "spec.freeSwitch.network.externalAddress",
        "spec.freeSwitch.network.annotations[-]",
        "spec.freeSwitch.rtpPortRange",
        "spec.freeSwitch.allowedPeers[1]",
        "spec.freeSwitch.gateways[0].proxy",
        "spec.freeSwitch.gateways[0].username",
        "spec.freeSwitch.nodeSelector[zone]",
        "spec.freeSwitch.tolerations[0]",
        "spec.freeSwitch.tolerations[1].value",
        "spec.dataPlane.nodeSelector[exa mple/zone]",
        "spec.backends.openAI.transcription.url",
        "spec.backends.openAI.generation.url",
        "spec.backends.openAI.generation.parameters",
        "spec.backends.openAI.speech.voice",
        "spec.conversation.greeting",
        "spec.conversation.goodbye",
        "spec.records.url",
    ];
    assert_eq!(paths(spec), expected);
}

#[test]
fn backends_of_no_kind_or_of_both_are_a_problem() {
    let open_ai = json!({
        "transcription": { "url": "http://a/v1" },
        "generation": { "url": "http://a/v1" },
        "speech": { "url": "http://a/v1" },
    });
    assert_eq!(paths(json!({ "backends": {} })), ["spec.backends"]);
    assert_eq!(paths(json!({ "backends": { "mock": {}, "openAI": open_ai } })), ["spec.backends"]);
    assert!(paths(json!({ "backends": { "openAI": open_ai } })).is_empty());
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let spec = json!({ "records": { "url": "https://user:secret@records.example.com" } });
    let spec: VoiceTrunkSpec = serde_json::from_value(spec).expect("a spec of the right shape");
    let problems = validate(&spec);
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].to_string().contains("secret"), "{}", problems[0]);
}

#[test]
fn number_patterns_compile_within_bounds_and_match_something() {
    for good in [r"\+4930\d+", "[1-9][0-9]{2,14}", "100|200", "sales"] {
        assert_eq!(check::number_pattern(good), Ok(()), "{good}");
    }
    for bad in ["(", "a)|(b", "*", "", r"\d*", "a|", "((a{90}){90}){90}", r"\p{Greek}"] {
        assert!(check::number_pattern(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_number_pattern_that_freeswitch_would_read_in_another_way_is_told_with_what_to_write_instead() {
    for bad in ["(?s)1", "(?:100)", r"10\\0", "[[:digit:]]+", "10$"] {
        let told = check::number_pattern(bad).expect_err(bad);
        assert!(told.contains("FreeSWITCH's dialplan: expected letters, digits"), "{told}");
    }
}

#[test]
fn address_ranges_need_a_prefix_that_fits() {
    for good in ["0.0.0.0/0", "203.0.113.7/32", "::/0", "2001:db8::/128"] {
        assert_eq!(check::cidr(good), Ok(()), "{good}");
    }
    for bad in
        ["203.0.113.7", "203.0.113.7/33", "::/129", "300.0.0.0/8", "10.0.0.0/+8", "10.0.0.0/", "/8", "10.0.0.0/8/8"]
    {
        assert!(check::cidr(bad).is_err(), "{bad}");
    }
}

#[test]
fn hosts_come_with_or_without_a_port() {
    for good in ["sip.example.com", "sip.example.com:5060", "203.0.113.7:5061", "[2001:db8::5]:5060", "[2001:db8::5]"] {
        assert_eq!(check::host_and_port(good), Ok(()), "{good}");
    }
    for bad in
        ["", ":5060", "sip.example.com:", "sip.example.com:0", "sip.example.com:70000", "user@sip.example.com", "a b"]
    {
        assert!(check::host_and_port(bad).is_err(), "{bad}");
    }
}

#[test]
fn keys_are_names_with_an_optional_domain() {
    for good in ["zone", "topology.kubernetes.io/zone", "a_b.C-d"] {
        assert_eq!(check::qualified_name(good), Ok(()), "{good}");
    }
    for bad in ["", "/zone", "Example.com/zone", "a/b/c", "-a", "a-", "example..com/a"] {
        assert!(check::qualified_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn tolerations_are_what_a_pod_takes() {
    let tolerate = |toleration: Value| paths(json!({ "dataPlane": { "tolerations": [toleration] } }));
    assert!(tolerate(json!({ "operator": "Exists" })).is_empty());
    assert!(
        tolerate(json!({ "key": "calls", "value": "only", "effect": "NoExecute", "tolerationSeconds": 5 })).is_empty()
    );
    assert_eq!(
        tolerate(json!({ "key": "calls", "operator": "Exists", "tolerationSeconds": 5 })),
        ["spec.dataPlane.tolerations[0].tolerationSeconds"]
    );
}

#[test]
fn what_is_added_to_pods_is_as_in_a_pod_and_within_bounds() {
    let told = |template: Value| {
        let spec: VoiceTrunkSpec =
            serde_json::from_value(json!({ "dataPlane": { "podTemplate": template } })).expect("a spec");
        validate(&spec).into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>()
    };
    let volume = json!({ "name": "own", "emptyDir": { "sizeLimit": "1Gi", "medium": "" } });
    let mounted = |mount: Value| json!({ "volumes": [volume], "volumeMounts": [mount] });
    let at = |path: &str| mounted(json!({ "name": "own", "mountPath": path }));
    for good in [
        json!({}),
        json!({ "volumes": [volume] }),
        at("/own"),
        at("/dev/shm"),
        at("/etc/sofia-phone-own"),
        json!({ "env": [{ "name": "_A1" }, { "name": "B", "value": "" }, { "name": "SOFIA", "value": "$(B)" }] }),
        json!({ "env": [{ "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } }] }),
        json!({ "affinity": { "nodeAffinity": {} } }),
    ] {
        assert!(told(good.clone()).is_empty(), "{good}: {:?}", told(good.clone()));
    }
    let many = json!({ "volumes": [{ "name": "own", "configMap": { "name": "x".repeat(17 * 1024) } }] });
    for (bad, expected) in [
        (json!({ "affinity": { "nodeAfinity": {} } }), "nodeAfinity, which is not known"),
        (
            json!({ "affinity": { "podAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{}] } } }),
            "lacks podAffinity",
        ),
        (json!({ "volumes": [{ "name": "own", "hostPath": { "path": "/" } }] }), "exactly one of configMap"),
        (json!({ "volumes": [{ "name": "own" }] }), "exactly one of configMap"),
        (json!({ "volumes": [{ "name": "own", "emptyDir": {}, "secret": {} }] }), "exactly one of configMap"),
        (json!({ "volumes": [{ "name": "own", "emptyDir": null }] }), "exactly one of configMap"),
        (json!({ "volumes": [{ "emptyDir": {} }] }), "lacks name"),
        (json!({ "volumes": [{ "name": "Own", "emptyDir": {} }] }), "is no name"),
        (json!({ "volumes": [volume, volume] }), "twice"),
        (json!({ "volumes": [{ "name": 7, "emptyDir": {} }] }), "is not as in a pod"),
        (many, "at most 16384"),
        (mounted(json!({ "name": "other", "mountPath": "/own" })), "not among volumes"),
        (at("own"), "no path of a mount"),
        (at("/own/../etc"), "no path of a mount"),
        (at("/own:ro"), "no path of a mount"),
        (at("/own\n"), "no path of a mount"),
        (at(""), "lacks mountPath"),
        (at("/"), "in the way"),
        (at("/etc"), "in the way of the operator's /etc/sofia-phone"),
        (at("/proc/1"), "in the way of the system's /proc"),
        (at("/dev"), "in the way of the system's /dev"),
        (at(&format!("/{}", "x".repeat(1024))), "at most 1024"),
        (
            json!({ "volumes": [volume], "volumeMounts": [{ "name": "own", "mountPath": "/a" }, { "name": "own", "mountPath": "/a/" }] }),
            "twice",
        ),
        (json!({ "env": [{ "name": "1A" }] }), "is no name"),
        (json!({ "env": [{ "name": "A=B" }] }), "is no name"),
        (json!({ "env": [{ "value": "x" }] }), "lacks name"),
        (json!({ "env": [{ "name": "A" }, { "name": "A" }] }), "twice"),
        (json!({ "env": [{ "name": "A", "value": "x", "valueFrom": {} }] }), "both value and valueFrom"),
        (json!({ "env": [{ "name": "SOFIA_PHONE_BACKEND", "value": "mock" }] }), "operator's to set"),
    ] {
        let told = told(bad.clone());
        assert!(told.iter().any(|problem| problem.contains(expected)), "{bad}: {told:?}");
    }
}

#[test]
fn values_of_variables_are_not_repeated() {
    let env = json!([{ "name": "SOFIA_PHONE_ESL_TOKEN", "value": "secret", "valueFrom": {} }]);
    let spec: VoiceTrunkSpec =
        serde_json::from_value(json!({ "dataPlane": { "podTemplate": { "env": env } } })).expect("a spec");
    let problems = validate(&spec);
    assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.to_string().contains("secret")));
}
