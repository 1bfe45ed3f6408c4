//! Helpers of the end-to-end tests: pods as processes and in this process, a speech server that tells what it was
//! asked, and readers of what pods leave behind. Holds no test, and knows nothing of FreeSWITCH: that is
//! [`switchsim`]'s.
//!
//! Everything runs on loopback, on ports that the system chooses, so tests run beside each other. Nothing sleeps for
//! a time that is hoped to be long enough: conditions are waited for, up to [`PATIENCE`].

#![deny(missing_docs)]

mod bare_switch;
pub mod counting_server;
mod dialogue;
mod folder;
mod http;
mod openai;
mod outside;
mod pod;
mod process;
mod recording;
pub mod structures;
pub mod tone_words;
mod usage;
mod wait;

pub use bare_switch::{BareCall, SlowTakeover, Verdict};
pub use counting_server::CountingServer;
pub use dialogue::Dialogue;
pub use folder::Folder;
pub use http::{Reply, request};
pub use openai::{OpenAiServer, Writing};
pub use outside::{Capture, Captured, SpeechServer, recognise, skipped, word_errors, words};
pub use pod::{ScriptedBackend, settings};
pub use process::{PodBuilder, PodProcess, dataplane, run_dataplane};
pub use recording::{Recording, level_dbfs, likeness};
pub use usage::Usage;
pub use wait::{PATIENCE, eventually};

use std::path::PathBuf;

use switchsim::{Clip, SwitchBuilder};

/// A recording of a caller, by its file name in `voices/` without `.wav`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn voice(name: &str) -> Clip {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("voices").join(format!("{name}.wav"));
    Clip::from_wav(&path).expect("the recordings of callers are in the repository")
}

/// The demo's switch with these pods, in the order in which calls try them.
///
/// # Panics
/// When the configuration that comes with the stand-in cannot be used.
#[must_use]
pub fn switch(pods: &[&str]) -> SwitchBuilder {
    SwitchBuilder::demo().expect("the demo's configuration is built in").with_esl_hosts(pods)
}

/// [`switch`], whose dialplan presents `token` to the pods with each call.
///
/// # Panics
/// When the configuration that comes with the stand-in does not bridge to pods as this function believes.
#[must_use]
pub fn switch_with_token(pods: &[&str], token: &str) -> SwitchBuilder {
    const BRIDGE: &str = "sip_h_X-Call-UUID=";
    let demo = include_str!("../switchsim/freeswitch.xml");
    assert!(demo.contains(BRIDGE), "expected bridges with {BRIDGE}");
    SwitchBuilder::from_xml(demo.replace(BRIDGE, &format!("sip_h_X-Sofia-Token={token},{BRIDGE}"))).with_esl_hosts(pods)
}
