//! What the call had to do, and whether it did. It only counts what others saw.

use std::time::Duration;

use super::Told;
use super::log::PodEvent;
use super::story::Scene;

/// What happened in the call.
#[derive(Debug, Default)]
pub struct Tally {
    greeting: bool,
    greeting_heard: bool,
    /// The caller's waits for the answers to speech.
    pub waits_ms: Vec<u32>,
    answers_heard: usize,
    interrupted: bool,
    /// How long the agent went on after the caller's first sound.
    pub silent_after: Option<Duration>,
    keys: Option<String>,
    keys_answered: bool,
    /// What went wrong, in words.
    pub problems: Vec<String>,
}

impl Tally {
    /// Counts `told`.
    pub fn note(&mut self, told: &Told) {
        match told {
            Told::Pod(event) => self.note_pod(event),
            Told::Caller(scene) => self.note_scene(scene),
        }
    }

    fn note_pod(&mut self, event: &PodEvent) {
        match event {
            PodEvent::AgentSaid { turn: None, .. } => self.greeting = true,
            PodEvent::Answered { waits, .. } => self.waits_ms.extend(waits.total_ms),
            PodEvent::CallerSaid { text, .. } => {
                if let Some(keys) = keys(text) {
                    self.keys = Some(keys.to_owned());
                }
            }
            PodEvent::Interrupted => self.interrupted = true,
            PodEvent::Ready(_) | PodEvent::AgentSaid { .. } | PodEvent::Complaint(_) => {}
        }
    }

    fn note_scene(&mut self, scene: &Scene) {
        match scene {
            Scene::Greeted => self.greeting_heard = true,
            Scene::HeardAnswer => self.answers_heard += 1,
            Scene::FellSilent { after, .. } => self.silent_after = Some(*after),
            Scene::KeysAnswered(_) => self.keys_answered = true,
            Scene::Answered { .. } | Scene::Says { .. } | Scene::Presses(_) | Scene::HangsUp => {}
        }
    }

    /// What had to happen, and whether it did: on the pod's side and in the caller's ear.
    #[must_use]
    pub fn checks(&self) -> [(&'static str, bool); 4] {
        [
            ("the greeting was heard", self.greeting && self.greeting_heard),
            ("two spoken turns were answered", self.waits_ms.len() >= 2 && self.answers_heard >= 1),
            ("the caller could interrupt the agent", self.interrupted && self.silent_after.is_some()),
            ("the keys arrived and were answered", self.keys.as_deref() == Some("12#") && self.keys_answered),
        ]
    }

    /// Whether the call did all that it should.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.checks().iter().all(|(_, done)| *done)
    }
}

/// The keys in what a pod understood of a caller, if it was keys.
pub fn keys(text: &str) -> Option<&str> {
    text.strip_prefix("[DTMF: ")?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use sofia_dataplane::record::Latencies;

    use super::*;

    fn good() -> Tally {
        let said = |text: &str| Told::Pod(PodEvent::CallerSaid { at: Duration::ZERO, text: text.to_owned() });
        let answered = || {
            let waits = Latencies { total_ms: Some(1_200), ..Latencies::default() };
            Told::Pod(PodEvent::Answered { at: Duration::ZERO, waits })
        };
        let mut tally = Tally::default();
        for told in [
            Told::Pod(PodEvent::AgentSaid { at: Duration::ZERO, turn: None, text: "Hello?".to_owned() }),
            Told::Caller(Scene::Greeted),
            said("speech 1.8 s"),
            answered(),
            Told::Caller(Scene::FellSilent { ago: Duration::from_millis(300), after: Duration::from_millis(140) }),
            Told::Pod(PodEvent::Interrupted),
            answered(),
            Told::Caller(Scene::HeardAnswer),
            said("[DTMF: 12#]"),
            Told::Caller(Scene::KeysAnswered(Duration::from_millis(400))),
        ] {
            tally.note(&told);
        }
        tally
    }

    #[test]
    fn a_call_that_did_everything_is_good() {
        assert!(good().is_good(), "{:?}", good().checks());
    }

    #[test]
    fn a_call_that_missed_one_thing_is_not() {
        let spoilt: [fn(&mut Tally); 7] = [
            |tally| tally.greeting = false,
            |tally| tally.greeting_heard = false,
            |tally| tally.waits_ms.truncate(1),
            |tally| tally.interrupted = false,
            |tally| tally.silent_after = None,
            |tally| tally.keys = Some("12".to_owned()),
            |tally| tally.problems.push("the pod is gone".to_owned()),
        ];
        for (number, spoil) in spoilt.into_iter().enumerate() {
            let mut tally = good();
            spoil(&mut tally);
            assert!(!tally.is_good(), "{number}");
        }
    }
}
