//! What is generated from the types, and what is copied, is the same everywhere in the repository.

use std::{fs, path::Path};

const HOW: &str = "run `cargo run -p sofia-crds --bin crdgen -- --update`";

fn stored(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}; {HOW}"))
}

#[test]
fn the_chart_and_kustomize_bring_this_definition() {
    let definition = sofia_crds::manifest::yaml().expect("the definition is YAML");
    for path in ["charts/sofia-phone/files/voicetrunk.yaml", "config/crd/voicetrunk.yaml"] {
        assert!(stored(path) == definition, "{path} is stale: {HOW}");
    }
}

#[test]
fn the_reference_is_of_these_types() {
    assert!(stored("docs/voicetrunk.md") == sofia_crds::reference::markdown(), "docs/voicetrunk.md is stale: {HOW}");
}

#[test]
fn every_link_within_the_reference_leads_to_a_section() {
    let reference = sofia_crds::reference::markdown();
    let anchor = |heading: &str| -> String {
        heading.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect()
    };
    let sections: Vec<String> = reference.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let links: Vec<&str> = reference.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        assert_eq!(sections.iter().filter(|section| *section == link).count(), 1, "#{link}");
    }
}
