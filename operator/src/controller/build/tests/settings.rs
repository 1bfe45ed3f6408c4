//! The data plane's settings, as the operator sets them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Component, Fixture, repository_file};

fn documented() -> BTreeSet<String> {
    let page = repository_file("docs/settings.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_setting_is_one_that_the_data_plane_has_and_is_set_once() {
    let documented = documented();
    assert!(documented.contains("SOFIA_PHONE_GREETING"), "the page's table is found");
    for fixture in Fixture::examples() {
        let template = fixture.template(Component::DataPlane);
        let container = template.spec.expect("a pod has a spec").containers.remove(0);
        let mut seen = BTreeSet::new();
        let added = fixture.trunk.spec.data_plane.pod_template.env();
        for variable in container.env.expect("the data plane has settings") {
            if added.contains(&variable) {
                continue;
            }
            assert!(documented.contains(&variable.name), "{} is not in docs/settings.md", variable.name);
            assert!(seen.insert(variable.name.clone()), "{} is set twice", variable.name);
        }
    }
}

#[test]
fn a_sentence_that_is_left_out_stays_the_data_planes_own_and_an_empty_one_is_not_said() {
    let settings = |conversation: Value| Fixture::of(json!({ "conversation": conversation })).settings();
    let variables = ["GREETING", "GOODBYE", "TRANSFER_PHRASE", "TAKEOVER_PHRASE", "SILENCE_PROMPT"];
    let absent = settings(json!({}));
    let empty = settings(json!({
        "greeting": "", "goodbye": " ", "transferPhrase": "", "takeoverPhrase": "", "silence": { "prompt": "" },
    }));
    for variable in variables {
        let variable = format!("SOFIA_PHONE_{variable}");
        assert_eq!(absent.get(&variable), None, "{variable}");
        assert_eq!(empty[&variable], "none", "{variable}");
    }
    assert_eq!(Fixture::of(json!({ "echoNumber": "" })).settings()["SOFIA_PHONE_ECHO_NUMBER"], "none");
}

#[test]
fn a_prompt_can_be_left_to_the_data_plane_or_left_out() {
    let settings = |conversation: Value| Fixture::of(json!({ "conversation": conversation })).settings();
    assert_eq!(settings(json!({})).get("SOFIA_PHONE_PROMPT"), None);
    assert_eq!(settings(json!({ "prompt": "" }))["SOFIA_PHONE_PROMPT"], "none");
    assert_eq!(settings(json!({ "prompt": "Be brief." }))["SOFIA_PHONE_PROMPT"], "Be brief.");
}

#[test]
fn the_model_is_offered_the_transfers_that_the_dialplan_has_rules_for() {
    let destinations = |spec: Value| Fixture::of(spec).settings()["SOFIA_PHONE_TRANSFER_DESTINATIONS"].clone();
    let trunk = |gateways: Value, transfers: Value, kinds: &str| {
        destinations(json!({ "freeSwitch": { "gateways": gateways }, "transfers": transfers,
            "conversation": { "transferDestinations": kinds } }))
    };
    let (none, carrier) = (json!([]), json!([{ "name": "carrier", "proxy": "sip.example.com" }]));
    let to = |destination: Value| json!({ "mode": "Enabled", "destinations": [destination] });
    let pattern = json!({ "number": "\\+4930\\d{3,9}" });
    assert_eq!(destinations(json!({})), "none");
    assert_eq!(trunk(carrier.clone(), json!({}), "Auto"), "none", "a gateway alone lets nobody out");
    assert_eq!(trunk(carrier.clone(), json!({}), "Addresses"), "none");
    assert_eq!(trunk(carrier.clone(), json!({ "mode": "Enabled" }), "Auto"), "none", "nobody is listed");
    assert_eq!(trunk(none, to(pattern.clone()), "Auto"), "none", "there is no way out");
    assert_eq!(trunk(carrier.clone(), to(pattern.clone()), "Auto"), "numbers");
    assert_eq!(trunk(carrier.clone(), to(pattern), "Addresses"), "numbers");
    let named = to(json!({ "name": "reception", "number": "100" }));
    assert_eq!(trunk(carrier.clone(), named.clone(), "Auto"), "names");
    assert_eq!(trunk(carrier.clone(), named.clone(), "Numbers"), "numbers");
    assert_eq!(trunk(carrier.clone(), named, "None"), "none");
    assert_eq!(trunk(carrier, to(json!({ "number": "sales|support" })), "Auto"), "names");
    let external = |transfers: Value| {
        destinations(json!({ "externalFreeSwitch": { "allowedPeers": ["192.0.2.1/32"] }, "transfers": transfers }))
    };
    assert_eq!(
        (external(json!({})), external(json!({ "mode": "Enabled" }))),
        ("none".to_owned(), "addresses".to_owned())
    );
}

#[test]
fn the_model_is_told_the_names_that_the_dialplan_has_rules_for() {
    let names = |kinds: &str, destinations: Value| {
        let spec = json!({ "freeSwitch": { "gateways": [{ "name": "carrier", "proxy": "sip.example.com" }] },
            "transfers": { "mode": "Enabled", "destinations": destinations },
            "conversation": { "transferDestinations": kinds } });
        Fixture::of(spec).settings().get("SOFIA_PHONE_TRANSFER_NAMES").cloned()
    };
    let two =
        json!([{ "name": "reception", "number": "100" }, { "number": "\\d{3}" }, { "name": "sales", "number": "200" }]);
    assert_eq!(names("Auto", two.clone()).as_deref(), Some("reception,sales"));
    assert_eq!(names("Numbers", two), None, "it is offered numbers alone");
    assert_eq!(names("Auto", json!([{ "number": "100" }])), None);
}

#[test]
fn dollars_in_a_text_reach_the_data_plane_as_they_were_written() {
    let fixture = Fixture::of(json!({ "conversation": { "greeting": "$(HOME) costs $5, or $$6" } }));
    assert_eq!(fixture.settings()["SOFIA_PHONE_GREETING"], "$$(HOME) costs $$5, or $$$$6");
}

#[test]
fn the_recogniser_is_told_what_the_trunk_says_of_language_form_and_doubt() {
    let server = |extra: Value| {
        let mut transcription = json!({ "url": "http://whisper:8000/v1" });
        transcription.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let speech = json!({ "url": "http://kokoro:8880/v1" });
        let generation = json!({ "url": "http://ollama:11434/v1" });
        let open_ai = json!({ "transcription": transcription, "generation": generation, "speech": speech });
        Fixture::of(json!({ "backends": { "openAI": open_ai } })).settings()
    };
    let plain = server(json!({}));
    assert_eq!(plain.get("SOFIA_PHONE_TRANSCRIPTION_LANGUAGE"), None);
    assert_eq!(plain["SOFIA_PHONE_TRANSCRIPTION_FORMAT"], "auto");
    assert_eq!(plain["SOFIA_PHONE_TRANSCRIPT_CHECK"], "full");
    let set = server(json!({ "language": "auto", "responseFormat": "VerboseJson" }));
    assert_eq!(set["SOFIA_PHONE_TRANSCRIPTION_LANGUAGE"], "auto");
    assert_eq!(set["SOFIA_PHONE_TRANSCRIPTION_FORMAT"], "verbose_json");
    let marks = Fixture::of(json!({ "conversation": { "transcriptCheck": "Marks" } })).settings();
    assert_eq!(marks["SOFIA_PHONE_TRANSCRIPT_CHECK"], "marks");
}

#[test]
fn silence_that_is_ignored_is_never_asked_about() {
    let fixture = Fixture::of(json!({ "conversation": { "silence": { "mode": "Ignore", "afterSeconds": 20 } } }));
    assert_eq!(fixture.settings()["SOFIA_PHONE_SILENCE_SECONDS"], "0");
}

#[test]
fn audio_is_recorded_only_where_it_is_asked_for() {
    let audio =
        |records: Value| Fixture::of(json!({ "records": records })).settings()["SOFIA_PHONE_RECORD_AUDIO"].clone();
    assert_eq!(audio(Value::Null), "false");
    assert_eq!(audio(json!({ "url": "https://records.example.com" })), "false");
    assert_eq!(audio(json!({ "url": "https://records.example.com", "audio": "Included" })), "true");
}

#[test]
fn every_secret_setting_is_a_file_of_the_mounted_volume() {
    let fixture = Fixture::example("full.yaml");
    let volumes = fixture.template(Component::DataPlane).spec.expect("a pod has a spec").volumes.expect("volumes");
    let sources = volumes.into_iter().find_map(|volume| volume.projected?.sources).expect("a projected volume");
    let secrets = sources.into_iter().filter_map(|source| source.secret);
    let files: BTreeSet<_> = secrets
        .flat_map(|secret| secret.items.expect("single keys are mounted"))
        .map(|item| format!("/etc/sofia-phone/secrets/{}", item.path))
        .collect();
    let settings = fixture.settings();
    let named = settings.iter().filter(|(name, _)| name.ends_with("_FILE")).map(|(_, path)| path.clone());
    assert_eq!(named.collect::<BTreeSet<_>>(), files);
    assert_eq!(files.len(), 6, "calls, pods, three stages and records: {files:?}");
}
