//! Why a VoiceTrunk's objects could not be brought to what its spec asks for, in the words that its conditions and
//! events use.

use std::fmt;

use sofia_crds::validate;

use super::text::{foreign, message};

/// Most of a spec's problems that are told at once.
const TOLD: usize = 10;

/// Why a VoiceTrunk could not be carried out. Its `Display` form says what is wrong and what to do; nothing in it is
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The spec can't be built. Nothing of it is applied.
    InvalidSpec(Vec<validate::Problem>),
    /// A Secret that the spec names does not exist.
    MissingSecret {
        /// Its name.
        secret: String,
        /// Path of the field that names it, such as `spec.freeSwitch.gateways[0].passwordSecretRef`.
        wanted_by: String,
    },
    /// A Secret that the spec names lacks the key.
    MissingKey {
        /// Its name.
        secret: String,
        /// The key.
        key: String,
        /// The names of the keys that it has.
        keys: Vec<String>,
        /// Path of the field that names it.
        wanted_by: String,
    },
    /// A Secret's value can't be used.
    UnusableSecret {
        /// Its name.
        secret: String,
        /// The key.
        key: String,
        /// Path of the field that names it.
        wanted_by: String,
        /// What was expected, such as `one line of printable characters`. Never what came.
        expected: String,
    },
    /// An object of the name that the trunk needs exists and is not the trunk's.
    NameTaken {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server does not let the operator do what it must.
    Forbidden {
        /// What it was about to do, such as `apply Deployment main-dataplane`.
        action: String,
        /// What the API server said.
        message: String,
    },
    /// The API server refused an object as it is: a quota, an admission webhook, a rule of its own.
    Refused {
        /// What the operator was about to do.
        action: String,
        /// What the API server said.
        message: String,
    },
    /// The API server could not be asked, or failed.
    ApiError {
        /// What the operator was about to do.
        action: String,
        /// What came instead of an answer.
        message: String,
    },
    /// The objects could not be built from a spec that was found right: a fault of the operator's own.
    Build {
        /// What failed.
        message: String,
    },
}

impl Problem {
    /// The condition's reason: one word for programs. Also a label of the operator's metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "InvalidSpec",
            Self::MissingSecret { .. } => "MissingSecret",
            Self::MissingKey { .. } => "MissingSecretKey",
            Self::UnusableSecret { .. } => "UnusableSecret",
            Self::NameTaken { .. } => "NameTaken",
            Self::Forbidden { .. } => "Forbidden",
            Self::Refused { .. } => "Refused",
            Self::ApiError { .. } => "ApiError",
            Self::Build { .. } => "BuildFailed",
        }
    }

    /// Whether it says nothing about the trunk: what the cluster has is not known, and may be as it should be.
    pub fn leaves_the_state_unknown(&self) -> bool {
        matches!(self, Self::ApiError { .. })
    }

    /// Every reason, for series that exist from the start.
    pub const REASONS: [&str; 9] = [
        "InvalidSpec",
        "MissingSecret",
        "MissingSecretKey",
        "UnusableSecret",
        "NameTaken",
        "Forbidden",
        "Refused",
        "ApiError",
        "BuildFailed",
    ];
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::InvalidSpec(problems) => invalid_spec(problems),
            Self::MissingSecret { secret, wanted_by } => format!(
                "Secret {secret} does not exist in the VoiceTrunk's namespace; {wanted_by} names it. Create it, or correct the name"
            ),
            Self::MissingKey { secret, key, keys, wanted_by } => format!(
                "Secret {secret} has no key {key}; {wanted_by} names it. {} Add the key to the Secret, or correct its name in the spec",
                present(keys)
            ),
            Self::UnusableSecret { secret, key, wanted_by, expected } => format!(
                "the value of key {key} in Secret {secret}, which {wanted_by} names, can't be used: expected {expected}. Correct the Secret"
            ),
            Self::NameTaken { kind, name } => format!(
                "a {kind} {name} exists already and belongs to someone else. Delete or rename it, or give the VoiceTrunk another name"
            ),
            Self::Forbidden { action, message } => format!(
                "the operator is not allowed to {action}: {}. Give its ServiceAccount the rules of this release's chart",
                foreign(message)
            ),
            Self::Refused { action, message } => {
                format!("the API server refused to {action}: {}", foreign(message))
            }
            Self::ApiError { action, message } => {
                format!("could not {action}: {}. It is tried again by itself", foreign(message))
            }
            Self::Build { message } => {
                format!("the objects could not be built: {}. Please report this with the VoiceTrunk", foreign(message))
            }
        };
        f.write_str(&message(&text))
    }
}

/// The keys that a Secret has; their names are no secrets.
fn present(keys: &[String]) -> String {
    if keys.is_empty() {
        return "It has none at all.".to_owned();
    }
    let more = if keys.len() > TOLD { format!(" and {} more", keys.len() - TOLD) } else { String::new() };
    format!("It has {}{more}.", keys[..keys.len().min(TOLD)].join(", "))
}

fn invalid_spec(problems: &[validate::Problem]) -> String {
    let mut told: Vec<String> = problems.iter().take(TOLD).map(|problem| foreign(&problem.to_string())).collect();
    if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &str) -> validate::Problem {
        validate::Problem { path: path.to_owned(), message: "expected better".to_owned() }
    }

    #[test]
    fn every_wrong_field_is_named_up_to_ten() {
        let all = Problem::InvalidSpec(vec![wrong("spec.a"), wrong("spec.b")]).to_string();
        assert_eq!(all, "spec.a: expected better; spec.b: expected better");
        let many =
            Problem::InvalidSpec((0..12).map(|index| wrong(&format!("spec.numbers[{index}]"))).collect()).to_string();
        assert!(many.contains("spec.numbers[9]") && !many.contains("spec.numbers[10]"), "{many}");
        assert!(many.ends_with("; and 2 more"), "{many}");
    }

    #[test]
    fn a_missing_secret_is_named_with_the_field_that_wants_it() {
        let problem = Problem::MissingSecret {
            secret: "carrier".to_owned(),
            wanted_by: "spec.freeSwitch.gateways[0]".to_owned(),
        };
        let text = problem.to_string();
        assert!(text.contains("Secret carrier") && text.contains("spec.freeSwitch.gateways[0]"), "{text}");
    }

    #[test]
    fn the_keys_that_a_secret_has_are_told_instead_of_the_missing_one() {
        let missing = |keys: &[&str]| Problem::MissingKey {
            secret: "carrier".to_owned(),
            key: "password".to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            wanted_by: "spec.freeSwitch.gateways[0]".to_owned(),
        };
        let text = missing(&["passwort", "user"]).to_string();
        assert!(text.contains("has no key password") && text.contains("It has passwort, user."), "{text}");
        assert!(missing(&[]).to_string().contains("It has none at all."));
        let text = missing(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]).to_string();
        assert!(text.contains("i, j and 2 more."), "{text}");
    }

    #[test]
    fn what_the_api_server_says_can_not_make_a_message_long() {
        let problem = Problem::Refused { action: "apply Deployment x".to_owned(), message: "no ".repeat(100_000) };
        assert!(problem.to_string().chars().count() < 500);
    }

    #[test]
    fn only_an_api_that_did_not_answer_leaves_the_state_unknown() {
        let action = || "apply Secret x".to_owned();
        let message = String::new;
        assert!(Problem::ApiError { action: action(), message: message() }.leaves_the_state_unknown());
        assert!(!Problem::Forbidden { action: action(), message: message() }.leaves_the_state_unknown());
    }
}
