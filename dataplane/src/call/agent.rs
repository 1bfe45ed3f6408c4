//! Who answers a call: an agent's profile, and which agent has which number. Profiles are made when the pod starts and
//! shared by all calls of their agent; a call keeps its own to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::dialogue::VoicePace;
use crate::audio::VoiceSettings;
use crate::backend::VoiceBackend;
use crate::turn::conversation::ConversationSettings;
use crate::turn::endpointing::EndpointingSettings;
use crate::turn::transcript::TranscriptCheck;
use crate::worker::StreamMode;

/// Everything in which agents differ.
pub(crate) struct AgentProfile {
    /// The agent's name in logs.
    pub(crate) name: String,
    /// The kind of conversation, with what only that kind needs.
    pub(crate) dialogue: DialogueProfile,
    /// When speech begins, ends and interrupts the agent.
    pub(crate) endpointing: EndpointingSettings,
    /// Voice activity detection.
    pub(crate) voice: VoiceSettings,
    /// The dialplan context in which a transfer's destination is looked for.
    pub(crate) transfer_context: String,
}

/// A kind of conversation, and what it is set to.
pub(crate) enum DialogueProfile {
    /// Speech to text, text to reply, reply to speech.
    Turns(Box<TurnsProfile>),
    /// What the caller says comes back.
    Echo {
        /// For so long at the most.
        max_duration: Duration,
    },
}

/// What a pipeline of turns is set to.
pub(crate) struct TurnsProfile {
    /// Without what belongs to a call.
    pub(crate) conversation: ConversationSettings,
    /// What is taken for nothing said.
    pub(crate) transcripts: TranscriptCheck,
    pub(crate) backend: Arc<dyn VoiceBackend>,
    /// How fast the agent's voice speaks, as all its calls have heard it.
    pub(crate) pace: Arc<VoicePace>,
}

impl DialogueProfile {
    /// What the media worker does for it.
    pub(crate) fn stream_mode(&self) -> StreamMode {
        match self {
            Self::Turns(_) => StreamMode::Conversation,
            Self::Echo { .. } => StreamMode::Echo,
        }
    }
}

/// The agents of a pod.
pub(crate) struct Agents {
    numbers: HashMap<String, Arc<AgentProfile>>,
    others: Arc<AgentProfile>,
}

impl Agents {
    /// `agent` alone, for whatever is dialled.
    pub(crate) fn new(agent: AgentProfile) -> Self {
        Self { numbers: HashMap::new(), others: Arc::new(agent) }
    }

    /// Gives `number` to `agent`.
    #[must_use]
    pub(crate) fn with(mut self, number: String, agent: AgentProfile) -> Self {
        self.numbers.insert(number, Arc::new(agent));
        self
    }

    /// Who answers where `dialed` was dialled.
    pub(crate) fn answering(&self, dialed: &str) -> &Arc<AgentProfile> {
        self.numbers.get(dialed).unwrap_or(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(name: &str) -> AgentProfile {
        AgentProfile {
            name: name.to_owned(),
            dialogue: DialogueProfile::Echo { max_duration: Duration::from_secs(60) },
            endpointing: EndpointingSettings::default(),
            voice: VoiceSettings::default(),
            transfer_context: "edge".to_owned(),
        }
    }

    #[test]
    fn a_number_without_an_agent_of_its_own_is_answered_by_the_one_for_all_others() {
        let agents = Agents::new(echo("front desk")).with("9999".to_owned(), echo("echo"));
        for (dialed, name) in
            [("9999", "echo"), ("15550100", "front desk"), ("", "front desk"), ("99990", "front desk")]
        {
            assert_eq!(agents.answering(dialed).name, name, "{dialed}");
        }
    }
}
