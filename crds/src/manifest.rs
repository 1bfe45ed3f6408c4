//! The CustomResourceDefinition as a manifest. Never decides anything about the API: that is the types' matter.

use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::VoiceTrunk;

/// The first line of the manifest.
const HEADER: &str = "# Generated from the types in crds/src by crdgen; not edited by hand.\n";

/// The manifest could not be written down as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the CustomResourceDefinition can't be written as YAML: {0}")]
pub struct ManifestError(String);

/// The CustomResourceDefinition of `VoiceTrunk` as one YAML document, ready for `kubectl apply --server-side`.
///
/// # Errors
/// When the definition holds something that YAML can't express, which none of today's types does.
pub fn yaml() -> Result<String, ManifestError> {
    let mut definition = serde_json::to_value(VoiceTrunk::crd()).map_err(|error| ManifestError(error.to_string()))?;
    write_whole_numbers_whole(&mut definition);
    // A string a line, however long: a change of one word is a change of one line.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 100_000 };
    let document =
        serde_saphyr::to_string_with_options(&definition, options).map_err(|error| ManifestError(error.to_string()))?;
    Ok(format!("{HEADER}{document}"))
}

/// Bounds are floating-point numbers in OpenAPI's types; people write `minimum: 1`, not `minimum: 1.0`.
fn write_whole_numbers_whole(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(write_whole_numbers_whole),
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers_whole),
        Value::Number(number) if number.is_f64() => {
            // Floating point holds every whole number up to 2^53.
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0);
            if let Some(float) = whole {
                *value = Value::from(float as i64);
            }
        }
        Value::Number(_) | Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}
