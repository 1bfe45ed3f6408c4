//! For each CEL rule objects that it takes and objects that it refuses. Tried by kube's own evaluation here, and by a real API server
//! in the end-to-end tests.

use serde_json::{Value, json};

/// A VoiceTrunk with this spec.
pub fn trunk(spec: Value) -> Value {
    json!({ "apiVersion": "sofia-phone.io/v1alpha1", "kind": "VoiceTrunk", "metadata": { "name": "main" }, "spec": spec })
}

/// A rule, known by where it stands and how its message begins.
pub struct Case {
    /// Path of the field that the rule is at.
    pub path: &'static str,
    /// How its message begins.
    pub message: &'static str,
    /// The object before an update; creation without one.
    pub old: Option<Value>,
    /// Objects that it takes.
    pub takes: Vec<Value>,
    /// Objects that it refuses.
    pub refuses: Vec<Value>,
}

fn on_create(path: &'static str, message: &'static str, takes: Vec<Value>, refuses: Vec<Value>) -> Case {
    let [takes, refuses] = [takes, refuses].map(|specs| specs.into_iter().map(trunk).collect());
    Case { path, message, old: None, takes, refuses }
}

fn on_update(path: &'static str, message: &'static str, old: Value, takes: Vec<Value>, refuses: Vec<Value>) -> Case {
    Case { old: Some(trunk(old)), ..on_create(path, message, takes, refuses) }
}

fn named(name: &str) -> Value {
    let mut named = trunk(json!({}));
    named["metadata"]["name"] = name.into();
    named
}

fn free_switch(value: Value) -> Value {
    json!({ "freeSwitch": value })
}

fn balanced(mut network: Value) -> Value {
    network["type"] = "LoadBalancer".into();
    free_switch(json!({ "network": network, "rtpPortRange": { "start": 20000, "end": 20399 } }))
}

fn gateway(mut more: Value) -> Value {
    more["name"] = "carrier".into();
    more["proxy"] = "sip.example.com".into();
    free_switch(json!({ "gateways": [more] }))
}

fn open_ai(transcription: &str, generation: &str, speech: &str) -> Value {
    json!({ "backends": { "openAI": {
        "transcription": { "url": transcription },
        "generation": { "url": generation },
        "speech": { "url": speech },
    } } })
}

/// All of them; a rule may have several.
pub fn cases() -> Vec<Case> {
    [trunk_cases(), text_cases(), transfer_cases(), free_switch_cases(), fleet_cases(), backend_cases()]
        .into_iter()
        .flatten()
        .collect()
}

fn trunk_cases() -> Vec<Case> {
    let external = json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.10/32"] } });
    let both = json!({ "freeSwitch": {}, "externalFreeSwitch": { "allowedPeers": ["192.0.2.10/32"] } });
    vec![
        Case {
            path: "",
            message: "name the VoiceTrunk",
            old: None,
            takes: vec![named("main"), named("sales-2")],
            refuses: vec![named("2nd"), named("a.b"), named(&"a".repeat(41))],
        },
        on_create(
            "spec",
            "set freeSwitch to have FreeSWITCH run here",
            vec![json!({}), free_switch(json!({})), external.clone()],
            vec![both],
        ),
        on_create(
            "spec",
            "leave out numbers with externalFreeSwitch",
            vec![external.clone(), json!({ "numbers": ["100"] })],
            vec![json!({ "numbers": ["100"], "externalFreeSwitch": { "allowedPeers": ["192.0.2.10/32"] } })],
        ),
        on_update(
            "spec",
            "a VoiceTrunk keeps the kind of FreeSWITCH",
            free_switch(json!({})),
            vec![json!({}), free_switch(json!({ "replicas": 2 }))],
            vec![external.clone()],
        ),
        on_update(
            "spec",
            "a VoiceTrunk keeps the kind of FreeSWITCH",
            external.clone(),
            vec![external],
            vec![json!({}), free_switch(json!({}))],
        ),
        on_create(
            "spec",
            "lower scaling.targetSessionsPerPod",
            vec![
                json!({ "sessions": { "maxPerPod": 50 }, "scaling": { "targetSessionsPerPod": 50 } }),
                json!({ "sessions": { "maxPerPod": 1 } }),
            ],
            vec![json!({ "scaling": { "targetSessionsPerPod": 101 } })],
        ),
        on_create(
            "spec.numbers",
            "write each number as a regular expression",
            vec![json!({ "numbers": ["\\+4930\\d+", "100|200", "[1-9]\\d{2,14}"] })],
            vec![json!({ "numbers": ["100", "\\d*"] }), json!({ "numbers": ["100|"] })],
        ),
        on_create(
            "spec.conversation",
            "lower bargeIn.speechMilliseconds",
            vec![
                json!({ "conversation": { "endpointing": { "minSpeechMilliseconds": 100 } } }),
                json!({ "conversation": { "bargeIn": { "mode": "Disabled", "speechMilliseconds": 501 } } }),
            ],
            vec![json!({ "conversation": { "bargeIn": { "speechMilliseconds": 501 } } })],
        ),
        on_create(
            "spec.conversation",
            "raise silence.afterSeconds",
            vec![
                json!({ "conversation": { "silence": { "afterSeconds": 1 } } }),
                json!({ "conversation": {
                    "silence": { "afterSeconds": 1, "mode": "Ignore" },
                    "endpointing": { "endSilenceMilliseconds": 1000 },
                } }),
            ],
            vec![json!({ "conversation": {
                "silence": { "afterSeconds": 1 },
                "endpointing": { "endSilenceMilliseconds": 1000 },
            } })],
        ),
        on_create(
            "spec.records.url",
            "write url as http(s)://host[:port]/path, such as https://records",
            vec![json!({ "records": { "url": "https://records.example.com/calls?site=1" } })],
            vec![json!({ "records": { "url": "https://[records/calls" } })],
        ),
        on_create(
            "spec.freeSwitch.mediaPeers",
            "write each peer as an address range",
            vec![free_switch(json!({ "mediaPeers": ["192.0.2.0/24", "2001:db8::/32"] }))],
            vec![free_switch(json!({ "mediaPeers": ["192.0.2.0/33"] }))],
        ),
        on_create(
            "spec.freeSwitch.network.loadBalancerSourceRanges",
            "write each range in CIDR notation",
            vec![balanced(json!({ "loadBalancerSourceRanges": ["192.0.2.0/24"] }))],
            vec![balanced(json!({ "loadBalancerSourceRanges": ["192.0.2.0/33"] }))],
        ),
        on_create(
            "spec.freeSwitch.network",
            "leave out loadBalancerClass, loadBalancerSourceRanges and loadBalancerNodePorts",
            vec![
                balanced(json!({ "loadBalancerClass": "example.com/a", "loadBalancerNodePorts": "None" })),
                free_switch(json!({ "network": { "ipFamilyPolicy": "PreferDualStack", "sipTransport": "Udp" } })),
            ],
            vec![
                free_switch(json!({ "network": { "loadBalancerClass": "example.com/a" } })),
                free_switch(json!({ "network": { "loadBalancerNodePorts": "None" } })),
                free_switch(
                    json!({ "network": { "type": "HostNetwork", "loadBalancerSourceRanges": ["192.0.2.0/24"] } }),
                ),
            ],
        ),
        on_update(
            "spec.freeSwitch.network",
            "change type to ClusterIP, and back, to have another loadBalancerClass",
            balanced(json!({ "loadBalancerClass": "example.com/a" })),
            vec![
                balanced(json!({ "loadBalancerClass": "example.com/a", "sipTransport": "Udp" })),
                free_switch(json!({ "network": { "type": "ClusterIP" } })),
            ],
            vec![balanced(json!({ "loadBalancerClass": "example.com/b" })), balanced(json!({}))],
        ),
        on_update(
            "spec.freeSwitch.network",
            "change type to ClusterIP, and back, to have another loadBalancerClass",
            balanced(json!({})),
            vec![balanced(json!({ "sipTransport": "Tcp" }))],
            vec![balanced(json!({ "loadBalancerClass": "example.com/b" }))],
        ),
        on_create(
            "spec.externalFreeSwitch.allowedPeers",
            "write each peer as an address range",
            vec![json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.0/24", "2001:db8::/32"] } })],
            vec![json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.0/24", "192.0.2.0/33"] } })],
        ),
    ]
}

/// Texts are counted in bytes by the data plane, and the word that stands for nothing there is none of them.
fn text_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let texts = [
        ("spec.conversation.greeting", 1000),
        ("spec.conversation.goodbye", 1000),
        ("spec.conversation.transferPhrase", 1000),
        ("spec.conversation.takeoverPhrase", 1000),
        ("spec.conversation.silence.prompt", 1000),
        ("spec.conversation.prompt", 16_384),
    ];
    for (path, bytes) in texts {
        let with = |text: String| at(path, text);
        let (within, beyond) = ("\u{434}".repeat(bytes / 2), "\u{434}".repeat(bytes / 2 + 1));
        let wholes = vec![with(within), with("a".repeat(bytes)), with(String::new())];
        cases.push(on_create(path, "shorten this to at most", wholes, vec![with(beyond)]));
        let others = ["nonetheless", "None of it."].map(|text| with(text.to_owned())).to_vec();
        let nones = ["none", " NONE\n"].map(|text| with(text.to_owned())).to_vec();
        cases.push(on_create(path, "leave this empty to have none", others, nones));
    }
    for path in ["transcription.model", "generation.model", "speech.model", "speech.voice"] {
        let (stage, field) = path.split_once('.').expect("a stage and a field");
        let with = |name: String| {
            let mut spec = open_ai("http://a:1/v1", "http://a:1/v1", "http://a:1/v1");
            spec["backends"]["openAI"][stage][field] = name.into();
            spec
        };
        let path: &'static str = Box::leak(format!("spec.backends.openAI.{path}").into_boxed_str());
        cases.push(on_create(
            path,
            "shorten this to at most 200 bytes",
            vec![with("\u{434}".repeat(100))],
            vec![with("\u{434}".repeat(101))],
        ));
    }
    cases
}

fn transfer_cases() -> Vec<Case> {
    let reception = json!([{ "name": "reception", "number": "100" }]);
    let enabled = |more: Value| {
        let mut transfers = json!({ "mode": "Enabled", "destinations": reception });
        transfers.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let mut spec = gateway(json!({}));
        spec["transfers"] = transfers;
        spec
    };
    let external = |transfers: Value| json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.10/32"] }, "transfers": transfers });
    let to = |destination: Value| enabled(json!({ "destinations": [destination] }));
    vec![
        on_create(
            "spec",
            "add the gateway by which transferred calls go out",
            vec![enabled(json!({})), json!({ "transfers": { "destinations": reception } })],
            vec![json!({ "transfers": { "mode": "Enabled", "destinations": reception } })],
        ),
        on_create(
            "spec",
            "list in transfers.destinations",
            vec![enabled(json!({})), external(json!({ "mode": "Enabled" }))],
            vec![enabled(json!({ "destinations": [] }))],
        ),
        on_create(
            "spec",
            "set transfers.gateway to the name",
            vec![enabled(json!({ "gateway": "carrier" }))],
            vec![enabled(json!({ "gateway": "other" }))],
        ),
        on_create(
            "spec",
            "leave out transfers.destinations, gateway and callerId",
            vec![external(json!({ "mode": "Enabled", "onFailure": "HangUp" }))],
            vec![
                external(json!({ "mode": "Enabled", "callerId": "100" })),
                external(json!({ "destinations": reception })),
            ],
        ),
        on_create(
            "spec.transfers.destinations[]",
            "write the number of a destination that has a name",
            vec![to(json!({ "name": "a", "number": "+49305550" })), to(json!({ "number": "\\+4930\\d+" }))],
            vec![to(json!({ "name": "a", "number": "1|2" }))],
        ),
        on_create(
            "spec.transfers.destinations[]",
            "write number as a regular expression",
            vec![to(json!({ "number": "1|2" }))],
            vec![to(json!({ "number": "\\d*" }))],
        ),
    ]
}

/// A spec with one text in it, at this path.
fn at(path: &str, text: String) -> Value {
    let inner = path.split('.').skip(1).collect::<Vec<_>>();
    inner.into_iter().rev().fold(Value::from(text), |below, name| json!({ name: below }))
}

fn free_switch_cases() -> Vec<Case> {
    let balanced = |ports: Value, replicas: u32| {
        free_switch(json!({ "network": { "type": "LoadBalancer" }, "rtpPortRange": ports, "replicas": replicas }))
    };
    let narrow = json!({ "start": 20000, "end": 20399 });
    let address = |kind: &str, address: &str, replicas: u32| {
        free_switch(json!({ "network": { "type": kind, "externalAddress": address }, "replicas": replicas }))
    };
    vec![
        on_create(
            "spec.freeSwitch",
            "set replicas to 1 with network type LoadBalancer",
            vec![balanced(narrow.clone(), 1), free_switch(json!({ "replicas": 3 }))],
            vec![balanced(narrow, 2)],
        ),
        on_create(
            "spec.freeSwitch",
            "narrow rtpPortRange",
            vec![balanced(json!({ "start": 20000, "end": 20999 }), 1)],
            vec![balanced(json!({ "start": 20000, "end": 21000 }), 1), balanced(json!({}), 1)],
        ),
        on_create(
            "spec.freeSwitch",
            "set replicas to 1, or leave out network.externalAddress",
            vec![
                address("HostNetwork", "203.0.113.7", 1),
                free_switch(json!({ "network": { "type": "HostNetwork" }, "replicas": 3 })),
            ],
            vec![address("HostNetwork", "203.0.113.7", 2)],
        ),
        on_create(
            "spec.freeSwitch",
            "choose a sipPort outside rtpPortRange",
            vec![free_switch(json!({ "sipPort": 19999 })), free_switch(json!({ "sipPort": 30000 }))],
            vec![free_switch(json!({ "sipPort": 20000 })), free_switch(json!({ "sipPort": 29999 }))],
        ),
        on_create(
            "spec.freeSwitch.network",
            "leave out externalAddress with network type ClusterIP",
            vec![address("HostNetwork", "2001:db8::7", 1)],
            vec![address("ClusterIP", "203.0.113.7", 1)],
        ),
        on_create(
            "spec.freeSwitch.network.externalAddress",
            "write externalAddress as an IP address",
            vec![address("HostNetwork", "203.0.113.7", 1)],
            vec![address("HostNetwork", "sip.example.com", 1), address("HostNetwork", "203.0.113", 1)],
        ),
        on_create(
            "spec.freeSwitch.rtpPortRange",
            "set start below end",
            vec![free_switch(json!({ "rtpPortRange": { "start": 20000, "end": 20001 } }))],
            vec![free_switch(json!({ "rtpPortRange": { "start": 20000, "end": 20000 } }))],
        ),
        on_create(
            "spec.freeSwitch.rtpPortRange",
            "choose an even start",
            vec![free_switch(json!({ "rtpPortRange": { "start": 16384 } }))],
            vec![free_switch(json!({ "rtpPortRange": { "start": 16385 } }))],
        ),
        on_create(
            "spec.freeSwitch.allowedPeers",
            "write each peer as an address range",
            vec![free_switch(json!({ "allowedPeers": ["203.0.113.7/32", "::/0"] }))],
            vec![
                free_switch(json!({ "allowedPeers": ["203.0.113.7/32", "10.0.0.0/33"] })),
                free_switch(json!({ "allowedPeers": ["10.0.0/8"] })),
            ],
        ),
        on_create(
            "spec.freeSwitch.gateways[]",
            "set username and passwordSecretRef",
            vec![
                gateway(json!({})),
                gateway(json!({
                    "registration": "Enabled", "username": "sofia", "passwordSecretRef": { "name": "a", "key": "b" },
                })),
            ],
            vec![
                gateway(json!({ "registration": "Enabled" })),
                gateway(json!({ "registration": "Enabled", "username": "sofia" })),
            ],
        ),
        on_create(
            "spec.freeSwitch.gateways[]",
            "set the username",
            vec![gateway(json!({ "username": "sofia" }))],
            vec![gateway(json!({ "passwordSecretRef": { "name": "a", "key": "b" } }))],
        ),
    ]
}

fn fleet_cases() -> Vec<Case> {
    let scaling = |value: Value| json!({ "scaling": value });
    let drain = |value: Value| json!({ "drain": value });
    vec![
        on_create(
            "spec.dataPlane.codecs",
            "name each codec once",
            vec![json!({ "dataPlane": { "codecs": ["PCMA", "PCMU"] } })],
            vec![json!({ "dataPlane": { "codecs": ["PCMA", "PCMU", "PCMA"] } })],
        ),
        on_create(
            "spec.scaling",
            "raise maxReplicas",
            vec![scaling(json!({ "minReplicas": 10 })), scaling(json!({ "minReplicas": 1, "maxReplicas": 1 }))],
            vec![scaling(json!({ "minReplicas": 11 })), scaling(json!({ "maxReplicas": 1 }))],
        ),
        on_update(
            "spec.scaling",
            "set mode to Manual",
            scaling(json!({ "replicas": 4 })),
            vec![
                scaling(json!({ "replicas": 4, "maxReplicas": 20 })),
                scaling(json!({})),
                scaling(json!({ "mode": "Manual", "replicas": 7 })),
            ],
            vec![scaling(json!({ "replicas": 7 }))],
        ),
        on_update(
            "spec.scaling",
            "set mode to Manual",
            scaling(json!({ "mode": "Manual", "replicas": 7 })),
            vec![scaling(json!({ "mode": "Manual", "replicas": 8 })), scaling(json!({ "replicas": 3 }))],
            vec![],
        ),
        on_create(
            "spec.drain",
            "raise gracePeriodSeconds",
            vec![
                drain(json!({ "deadlineSeconds": 86400 })),
                drain(json!({ "deadlineSeconds": 0, "gracePeriodSeconds": 15 })),
            ],
            vec![drain(json!({ "deadlineSeconds": 60, "gracePeriodSeconds": 74 }))],
        ),
    ]
}

fn backend_cases() -> Vec<Case> {
    const GOOD: &str = "http://speech:8000/v1";
    const BAD: &str = "http://[speech/v1";
    let mut both = open_ai(GOOD, GOOD, GOOD);
    both["backends"]["mock"] = json!({});
    vec![
        on_create(
            "spec.backends",
            "set exactly one kind of backend",
            vec![json!({}), json!({ "backends": { "mock": {} } }), open_ai(GOOD, GOOD, GOOD)],
            vec![both, json!({ "backends": {} })],
        ),
        on_create(
            "spec.backends.openAI.transcription.url",
            "write url as http(s)://host[:port]/path, such as http://whisper",
            vec![open_ai(GOOD, GOOD, GOOD)],
            vec![open_ai(BAD, GOOD, GOOD)],
        ),
        on_create(
            "spec.backends.openAI.generation.url",
            "write url as http(s)://host[:port]/path, such as http://ollama",
            vec![open_ai(GOOD, GOOD, GOOD)],
            vec![open_ai(GOOD, BAD, GOOD)],
        ),
        on_create(
            "spec.backends.openAI.speech.url",
            "write url as http(s)://host[:port]/path, such as http://kokoro",
            vec![open_ai(GOOD, GOOD, GOOD)],
            vec![open_ai(GOOD, GOOD, BAD)],
        ),
    ]
}
