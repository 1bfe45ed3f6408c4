//! Dialogue: when the caller has finished, what is said next, and what is remembered. Every part is a state machine
//! that is told the time; none of them touches audio, sockets or clocks.
//!
//! [`endpointing`] runs beside the media, frame by frame. [`conversation`] runs beside the backend, event by event, and
//! uses the rest: [`speakable`] makes of what a model writes what a voice should get, [`sentence`] cuts that into what is
//! spoken at once, [`history`] is what the model is told,
//! [`tool`] what it may do, and [`state`] what another pod needs to go on when this one is lost.

pub mod backchannel;
pub mod conversation;
pub mod echo_guard;
pub mod endpointing;
pub mod history;
pub mod lost_words;
pub mod sentence;
pub mod speakable;
pub mod state;
pub mod tool;
pub mod transcript;
