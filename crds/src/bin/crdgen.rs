//! Writes what is generated from the types of `VoiceTrunk`.
//!
//! - `crdgen` prints the CustomResourceDefinition; `crdgen FILE` writes it there.
//! - `crdgen --reference` prints the reference in Markdown.
//! - `crdgen --update` writes every generated file of the repository that it was built from.

use std::{env, error::Error, fs, path::Path};

/// Where the CustomResourceDefinition is kept: the original, and copies where the chart and kustomize can reach it.
const DEFINITIONS: [&str; 3] =
    ["crds/voicetrunk.yaml", "charts/sofia-phone/files/voicetrunk.yaml", "config/crd/voicetrunk.yaml"];

/// Where the reference is kept.
const REFERENCE: &str = "docs/voicetrunk.md";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => print!("{}", sofia_crds::manifest::yaml()?),
        (Some("--reference"), None) => print!("{}", sofia_crds::reference::markdown()),
        (Some("--update"), None) => update()?,
        (Some(path), None) if !path.starts_with('-') => fs::write(path, sofia_crds::manifest::yaml()?)?,
        _ => return Err("expected nothing, a file to write, --reference or --update".into()),
    }
    Ok(())
}

fn update() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let definition = sofia_crds::manifest::yaml()?;
    for path in DEFINITIONS {
        fs::write(root.join(path), &definition)?;
    }
    fs::write(root.join(REFERENCE), sofia_crds::reference::markdown())?;
    Ok(())
}
