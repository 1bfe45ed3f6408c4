//! Settings: any value of any variable is taken or named in an error, never a panic. Variables that name files are left
//! out, so that the fuzzer does not read whatever it happens to spell.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sofia_dataplane::settings::{Settings, VARIABLES};

fuzz_target!(|input: Vec<(u8, &str)>| {
    let vars = input.iter().filter_map(|(index, value)| {
        let variable = &VARIABLES[usize::from(*index) % VARIABLES.len()];
        let names_a_file = variable.name.ends_with("_FILE") || variable.name.ends_with("_DIR");
        (!names_a_file).then(|| (variable.name.to_owned(), (*value).to_owned()))
    });
    if let Err(errors) = Settings::from_vars(vars) {
        assert!(!errors.to_string().is_empty());
    }
});
