//! Writes the CustomResourceDefinition of `VoiceTrunk`: to the file named as the only argument, or to standard output.

use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let yaml = sofia_crds::manifest::yaml()?;
    let mut arguments = env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => print!("{yaml}"),
        (Some(path), None) => fs::write(path, yaml)?,
        (Some(_), Some(_)) => return Err("expected one argument at most: the file to write".into()),
    }
    Ok(())
}
