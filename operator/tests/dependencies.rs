//! Which part of the operator may use which: the pure ones know nothing of those that talk to a cluster.

use std::{fs, path::Path};

/// The folder or file of `src`, and the parts that nothing in it may use.
const INWARD: [(&str, &[&str]); 6] = [
    ("vocabulary", &["controller", "custom_metrics", "fleet", "freeswitch", "lease", "metrics", "server"]),
    ("fleet", &["controller", "custom_metrics", "freeswitch", "lease", "server"]),
    ("freeswitch", &["controller", "custom_metrics", "fleet", "lease", "server"]),
    ("custom_metrics", &["controller", "freeswitch", "lease"]),
    ("switch", &["controller", "custom_metrics", "fleet", "lease", "server"]),
    ("lease", &["controller", "custom_metrics", "fleet", "freeswitch"]),
];

fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).expect("a source")));
        }
    }
    found
}

#[test]
fn what_decides_and_what_names_things_use_no_part_that_talks_to_a_cluster() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (part, strangers) in INWARD {
        let mut sources = if src.join(part).is_dir() { sources(&src.join(part)) } else { Vec::new() };
        let file = src.join(part).with_extension("rs");
        if let Ok(text) = fs::read_to_string(&file) {
            sources.push((file.display().to_string(), text));
        }
        assert!(!sources.is_empty(), "{part} is there");
        for (path, text) in sources {
            let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for stranger in strangers {
                let used = format!("crate::{stranger}");
                let line = code.iter().find(|line| line.contains(&used));
                assert_eq!(line, None, "{path} uses {stranger}");
            }
        }
    }
}

#[test]
fn the_tools_are_no_part_of_the_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("a manifest");
    let (shipped, for_tests) = manifest.split_once("[dev-dependencies]").expect("dependencies of tests");
    assert!(!shipped.contains("fleet-simulation") && for_tests.contains("fleet-simulation"));
}
