//! The Kubernetes API of Sofia Phone: the types of `VoiceTrunk` (`sofia-phone.io/v1alpha1`), what makes one valid, and its
//! CustomResourceDefinition. Talks to no cluster.
//!
//! The documentation comments of the fields in [`spec`] and [`status`] are what `kubectl explain` shows, so they speak to
//! the person who writes a manifest, not to the one who reads this code.
//!
//! What is checked where: bounds and patterns by the schema, relations between fields by CEL rules beside the fields (both
//! in the API server, at `kubectl apply`), and what neither can say by [`validate`] (in the operator).

#![allow(rustdoc::bare_urls, reason = "kubectl explain shows the comments as they are, without Markdown")]

pub mod manifest;
pub mod reference;
mod schema;
pub mod spec;
pub mod status;
pub mod validate;

pub use spec::{VoiceTrunk, VoiceTrunkSpec};
pub use status::VoiceTrunkStatus;
