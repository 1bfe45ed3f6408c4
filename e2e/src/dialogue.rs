//! A call with real speech both ways: recorded callers, a recogniser and a synthesiser behind the pod, and the
//! recogniser once more at the caller's ear. It tells what got through and judges nothing.

use std::time::Duration;

use serde_json::Value;
use sofia_dataplane::audio::{Resampler, SampleRate, pcm};
use sofia_dataplane::record::CallRecord;
use switchsim::{CallOutcome, CallPlan, Impairments};

use crate::outside::repository;
use crate::{PATIENCE, PodBuilder, SpeechServer, recognise, switch, voice, word_errors, words};

/// An answer is over when the agent was quiet for so long: its sentences are apart by less.
const PAUSE: Duration = Duration::from_millis(1_500);

/// What was said, and what arrived of it.
#[derive(Debug)]
pub struct Dialogue {
    /// The callers' words.
    pub said: Vec<String>,
    /// What the pod's recogniser made of them.
    pub understood: Vec<String>,
    /// The agent's words.
    pub answered: Vec<String>,
    /// What a recogniser makes of the sound that reached the caller.
    pub heard: Vec<String>,
    /// What the recogniser makes of the synthesiser's own sound in the line's band: the most that can be asked of
    /// [`Self::heard`].
    pub at_best: Vec<String>,
    /// The call, as the switch saw it.
    pub outcome: CallOutcome,
    /// The call, as the pod saw it.
    pub record: CallRecord,
}

impl Dialogue {
    /// Has `voices` speak one after the other to a pod, each waiting for its answer.
    ///
    /// # Errors
    /// Why the recogniser cannot be had here.
    ///
    /// # Panics
    /// When the call does not go on.
    pub async fn hold(
        server: &SpeechServer,
        pod: PodBuilder,
        impairments: Impairments,
        voices: &[&str],
    ) -> Result<Self, String> {
        let pod = server.backend_of(pod).recording().set("GREETING", "none").set("SILENCE_SECONDS", 0).start().await;
        let switch = switch(&[&pod.esl()]).start().expect("the demo's configuration is sound");
        let call = switch.dial(CallPlan::new("15550100").impairments(impairments));
        call.answered(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
        let mut answers = Vec::new();
        for name in voices {
            call.say(&voice(name)).await;
            let since = call.snapshot().at_ms;
            let answer = call.wait_until("an answer", 2 * PATIENCE, |call| call.agent_finished(since, PAUSE));
            let until = answer.await.unwrap_or_else(|error| panic!("{name}: {error}")).at_ms;
            answers.push((since, until));
        }
        call.hang_up();
        let outcome = call.outcome().await;
        let record = pod.record().await;
        let mut heard = Vec::new();
        for (since, until) in answers {
            let sample = |at_ms: f64| ((at_ms * 16.0) as usize).min(outcome.heard.len());
            heard.extend(words(&recognise(&outcome.heard[sample(since)..sample(until)])?));
        }
        let mut at_best = Vec::new();
        let wideband = outcome.legs[0].codec.ends_with("/16000");
        let band = if wideband { SampleRate::Hz16000 } else { SampleRate::Hz8000 };
        for turn in &record.turns {
            let sound = server.speak(&turn.heard_text).await;
            at_best.extend(words(&recognise(&in_band(&sound, band))?));
        }
        let texts = |of: fn(&sofia_dataplane::record::Turn) -> &str| {
            record.turns.iter().flat_map(|turn| words(of(turn))).collect()
        };
        Ok(Self {
            said: voices.iter().flat_map(|name| words(&spoken_in(name))).collect(),
            understood: texts(|turn| &turn.caller_text),
            answered: texts(|turn| &turn.heard_text),
            heard,
            at_best,
            outcome,
            record,
        })
    }

    /// Of the callers' words the share that the pod's recogniser got, 0 to 1.
    #[must_use]
    pub fn understood_ratio(&self) -> f64 {
        accuracy(&self.said, &self.understood)
    }

    /// Of the agent's words the share that a recogniser got out of what the caller heard, 0 to 1.
    #[must_use]
    pub fn heard_ratio(&self) -> f64 {
        accuracy(&self.answered, &self.heard)
    }

    /// The same share where neither pod nor network is between synthesiser and recogniser, only the line's band.
    #[must_use]
    pub fn best_ratio(&self) -> f64 {
        accuracy(&self.answered, &self.at_best)
    }
}

impl std::fmt::Display for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.outcome)?;
        writeln!(f, "callers said:    {}", self.said.join(" "))?;
        writeln!(
            f,
            "pod understood:  {} ({:.0} % of the words)",
            self.understood.join(" "),
            100.0 * self.understood_ratio()
        )?;
        writeln!(f, "pod answered:    {}", self.answered.join(" "))?;
        writeln!(f, "callers heard:   {} ({:.0} % of the words)", self.heard.join(" "), 100.0 * self.heard_ratio())?;
        write!(f, "without the pod: {} ({:.0} % of the words)", self.at_best.join(" "), 100.0 * self.best_ratio())
    }
}

/// Speech at 24 kHz as a line of this rate can carry it, at 16 kHz.
fn in_band(speech: &[i16], line: SampleRate) -> Vec<i16> {
    let (mut pcm, mut narrow, mut wide, mut samples) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    pcm::to_f32(speech, &mut pcm);
    Resampler::new(SampleRate::Hz24000, line).process(&pcm, &mut narrow);
    Resampler::new(line, SampleRate::Hz16000).process(&narrow, &mut wide);
    pcm::to_i16(&wide, &mut samples);
    samples
}

/// 1 less the word error rate, not below 0.
fn accuracy(said: &[String], heard: &[String]) -> f64 {
    (1.0 - word_errors(said, heard) as f64 / said.len().max(1) as f64).max(0.0)
}

/// What is said in a recording, by `voices/index.json`.
fn spoken_in(name: &str) -> String {
    let path = repository().join("e2e/voices/index.json");
    let index: Value =
        serde_json::from_slice(&std::fs::read(path).expect("the index is in the repository")).expect("it is JSON");
    let file = format!("{name}.wav");
    let entry = index.as_array().into_iter().flatten().find(|entry| entry["file"] == file.as_str());
    entry.and_then(|entry| entry["text"].as_str()).expect("the index names every recording").to_owned()
}
