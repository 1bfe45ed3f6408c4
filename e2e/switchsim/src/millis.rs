//! Durations as JSON: a number of milliseconds, with a fraction if need be. Never negative, never more than a year.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More is taken for a mistake.
const MAX_MS: f64 = 366.0 * 86_400_000.0;

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    (duration.as_secs_f64() * 1e3).serialize(serializer)
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Not a number between 0 and a year's milliseconds.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let ms = f64::deserialize(deserializer)?;
    if (0.0..=MAX_MS).contains(&ms) {
        Ok(Duration::from_secs_f64(ms / 1e3))
    } else {
        Err(D::Error::custom(format!("expected milliseconds from 0 to {MAX_MS}, got {ms}")))
    }
}

/// The same where there may be none.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Milliseconds(#[serde(with = "super")] Duration);

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(Milliseconds).serialize(serializer)
    }

    /// For `#[serde(with)]`.
    ///
    /// # Errors
    /// See [`super::deserialize`].
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Milliseconds>::deserialize(deserializer)?.map(|ms| ms.0))
    }
}
