//! What a transcript says, if anything. Recognisers are made to write down whatever they are given: over a cough they write
//! `(coughing)`, over silence `[BLANK_AUDIO]`, and over noise the phrases that films end with. None of that was said.
//!
//! - [`marks`] tells words from a recogniser's remarks.
//! - [`habits`] knows what recognisers write over noise. Nothing is dropped for its words alone: callers say "Thank you", too.
//! - [`judge`] puts words and sound together, for one call.
//!
//! It never hears audio and asks nobody: text and durations in, text out.

pub mod habits;
pub mod judge;
pub mod marks;
mod sounds;

pub use judge::{Judge, Sound, TranscriptCheck};
