//! The words by which a trunk's objects are found: labels and annotations, names, ports and keys. They are part of what users script
//! against, every part of the operator may use them, and they use none.

use std::collections::BTreeMap;

pub mod labels;
pub mod names;

/// Labels by name.
pub type Labels = BTreeMap<String, String>;
