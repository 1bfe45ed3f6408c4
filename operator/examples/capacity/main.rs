//! What a fleet takes, from the inputs in docs/scale.md: prints the tables that stand there. `--update` writes them into the page;
//! `NAME=VALUE` asks about another input, such as `calls=5000`.

mod model;

use std::{env, fs, process::ExitCode};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale.md");

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("capacity: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let text = fs::read_to_string(PAGE).map_err(|error| format!("{PAGE}: {error}"))?;
    let inputs = model::Inputs::from_page(&text)?;
    if arguments == ["--update"] {
        let (before, _, after) = model::parts(&text)?;
        let tables = model::tables(&inputs)?;
        return fs::write(PAGE, format!("{before}{tables}{after}")).map_err(|error| format!("{PAGE}: {error}"));
    }
    let asked = arguments.iter().try_fold(inputs, |inputs, argument| {
        let (name, value) =
            argument.split_once('=').ok_or(format!("expected NAME=VALUE or --update, came {argument}"))?;
        let value = value.parse().map_err(|_| format!("expected a number for {name}, came {value}"))?;
        Ok::<_, String>(inputs.with(name, value))
    })?;
    print!("{}", model::tables(&asked)?);
    Ok(())
}
