//! The samples that users start from are admitted, valid, and hold nothing that the API doesn't know.

mod common;

use std::{fs, path::Path};

use common::{assert_kept, refusals};
use serde_json::Value;
use sofia_crds::{
    VoiceTrunk,
    spec::{TransferDestination, TransferMode},
    status::ConditionType,
    validate::validate,
};

/// The VoiceTrunks among the documents of each file in `config/samples`, with the file's name.
fn samples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples");
    let mut trunks = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of samples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".yaml") || name == "kustomization.yaml" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable sample");
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = documents.into_iter().filter(|document| document["kind"] == "VoiceTrunk");
        trunks.extend(own.map(|trunk| (name.clone(), trunk)));
    }
    trunks
}

#[test]
fn the_samples_are_admitted_and_valid() {
    let samples = samples();
    for expected in ["minimal.yaml", "ollama.yaml", "production.yaml", "external-freeswitch.yaml"] {
        assert!(samples.iter().any(|(name, _)| name == expected), "there is no VoiceTrunk in {expected}");
    }
    for (name, trunk) in samples {
        assert_eq!(refusals(&trunk, None), [], "{name}");
        let typed: VoiceTrunk = serde_json::from_value(trunk.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(validate(&typed.spec), [], "{name}");
        let kept = serde_json::to_value(&typed.spec).expect("a spec is JSON");
        assert_kept(&trunk["spec"], &kept, &format!("{name}: spec"));
    }
}

/// What a prompt promises, in the words of instructions: transfers, or that somebody is put through or connected.
fn promises_transfers(prompt: &str) -> bool {
    let prompt = prompt.to_lowercase();
    ["transfer", "put through", "put them through", "connect the caller", "forward the call"]
        .iter()
        .any(|words| prompt.contains(words))
}

#[test]
fn no_sample_has_the_model_promise_what_its_trunk_can_not_do() {
    for (name, trunk) in samples() {
        let spec = serde_json::from_value::<VoiceTrunk>(trunk).unwrap_or_else(|error| panic!("{name}: {error}")).spec;
        let prompt = spec.conversation.prompt.as_deref().unwrap_or_default();
        let enabled = spec.transfers.mode == TransferMode::Enabled;
        assert_eq!(promises_transfers(prompt), enabled, "{name}: the prompt and transfers.mode must say the same");
        let named = |destination: &TransferDestination| {
            prompt.contains(destination.name.as_deref().unwrap_or(&destination.number))
        };
        let unnamed: Vec<_> = spec.transfers.destinations.iter().filter(|destination| !named(destination)).collect();
        assert!(unnamed.is_empty(), "{name}: the model is not told of {unnamed:?}");
        // A number in a prompt is one that the model will try.
        let numbers: Vec<&str> = prompt
            .split(|letter: char| !letter.is_ascii_digit() && letter != '+')
            .filter(|digits| digits.trim_start_matches('+').len() > 2)
            .collect();
        let leads = |number: &&str| spec.transfers.destinations.iter().any(|known| known.number == *number);
        assert!(numbers.iter().all(leads), "{name}: nothing leads to one of {numbers:?}");
    }
}

#[test]
fn the_health_checks_for_argo_cd_and_flux_gate_on_a_condition_of_ours() {
    let read = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gitops").join(name);
        let text = fs::read_to_string(&path).expect("a readable health check");
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let argo = read("argocd-health.yaml");
    let script = argo["data"]["resource.customizations.health.sofia-phone.io_VoiceTrunk"].as_str().expect("a script");
    let flux = read("flux-health.yaml");
    let check = &flux["spec"]["healthCheckExprs"][0];
    assert_eq!((&check["apiVersion"], &check["kind"]), (&"sofia-phone.io/v1alpha1".into(), &"VoiceTrunk".into()));
    for kind in [ConditionType::Available, ConditionType::Degraded] {
        assert!(script.contains(kind.as_str()), "{}", kind.as_str());
    }
    assert!(check["current"].as_str().expect("an expression").contains("'Available'"));
    assert!(check["failed"].as_str().expect("an expression").contains("'Degraded'"));
    for text in [script, check["current"].as_str().expect("an expression")] {
        assert!(
            !text.contains("'Ready'") && !text.contains("conditions.Ready"),
            "Ready is false when all pods are full"
        );
    }
}
