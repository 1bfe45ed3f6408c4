//! What is left of a call once it is over: the record (JSON), the stereo recording (WAV) and the page that shows both
//! (HTML), delivered to a folder or by `POST`. Never holds a call up: what cannot be written in time is dropped, and the
//! record says so.
//!
//! - [`CallRecord`] is the one source: the page is drawn from it alone, the WAV beside it only adds the sound.
//! - [`StereoRecorder`] takes both directions while the call runs; [`Recording`] is what came of it.
//! - [`Delivery`] brings record, page and recording to where they are wanted. What pods that were killed left there it finds and finishes.
//!
//! Callers' numbers and keys are masked unless [`Privacy::Shown`] is asked for; what was said is not.

mod call;
mod checkpoint;
mod deliver;
mod disk;
mod family;
mod leftovers;
mod names;
mod page;
mod post;
mod stereo;
mod waveform;

#[cfg(test)]
mod scratch_folder;

pub use call::{
    AudioFigures, CallRecord, Ending, ErrorEntry, Latencies, MAX_ENTRIES, MAX_TEXT_CHARS, Mark, MarkKind, OtherRecord,
    RecordingNote, RtpFigures, SCHEMA_VERSION, Said, Side, Span, Speech, Turn,
};
pub use deliver::{Delivery, DeliveryFigures, DeliverySettings, Going, QueueFull, StartError};
pub use names::{Privacy, file_stem, mask_digits, mask_keys};
pub use page::draw;
pub use post::{PostError, PostTarget};
pub use stereo::{RECORDING_RATE_HZ, Recording, StereoRecorder};
pub use waveform::{PeakTrack, Peaks, Waveform};
