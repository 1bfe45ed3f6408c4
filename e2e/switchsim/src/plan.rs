//! What a caller is going to do, written down before the call. Never touches a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::{Clip, Impairments};

/// Longest wait of a step that waits for something to happen.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// A pause longer than this ends what an agent said.
pub(crate) const AGENT_PAUSE: Duration = Duration::from_millis(700);

/// What a telephone offers that has wideband but no Opus.
const CODECS: &str = "G722,PCMU,PCMA";

/// One thing that a caller does. Steps run one after the other, from the answer on; a step that waits too long ends the call
/// and is the outcome's `script_error`.
#[derive(Debug, Clone)]
pub enum Step {
    /// Says it, and goes on when it is said.
    Say(Clip),
    /// Says it again and again from now on, and goes on at once.
    SayForEver(Clip),
    /// Falls silent in the middle of a word.
    StopSaying,
    /// Waits until the agent has said something since this step began, or was speaking then, and is quiet for 700 ms. What an
    /// agent says (an echo, above all) while the caller speaks is over by then: see [`Step::WaitForSilence`].
    WaitForAgent,
    /// Waits until the agent begins to speak (or already does).
    WaitForSpeech,
    /// Waits until nothing was heard for so long.
    WaitForSilence(Duration),
    /// Waits, saying nothing.
    Wait(Duration),
    /// Presses digits (`0`–`9`, `*`, `#`, `A`–`D`), and goes on when the last was sent.
    Dtmf(String),
    /// Presses digits that go to the switch as SIP INFO, and goes on when the last was sent.
    Info(String),
    /// Waits until these digits were heard, the last of all that were heard.
    ExpectDtmf(String),
    /// Waits until the pod number so-and-so in this call has taken over: 2 after the first takeover.
    WaitForAttempt(u32),
    /// Puts the agent on hold.
    Hold,
    /// Takes the agent back.
    Unhold,
    /// Waits until the other side ends the call.
    WaitForHangup,
    /// Ends the call.
    HangUp,
}

/// Where a caller's offer is, and what is in it besides codecs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferKind {
    /// In the INVITE.
    #[default]
    Plain,
    /// Nowhere: the INVITE has no SDP, and the switch is to make the offer.
    Late,
    /// In the INVITE, plain RTP with keys for SRTP (`a=crypto` with `RTP/AVP`).
    CryptoInAvp,
}

/// What a caller's INVITE brings, besides who calls whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invite {
    /// Comma-separated, best first.
    pub(crate) codecs: String,
    pub(crate) offer: OfferKind,
    pub(crate) requires_100rel: bool,
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct CallPlan {
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) name: Option<String>,
    pub(crate) context: String,
    pub(crate) network_addr: String,
    pub(crate) invite: Invite,
    pub(crate) steps: Vec<Step>,
    pub(crate) impairments: Impairments,
    pub(crate) listen: bool,
    pub(crate) record: bool,
    pub(crate) step_timeout: Duration,
    pub(crate) answer_timeout: Duration,
}

impl CallPlan {
    /// A call to `number`, from +15550001, arriving at the context of profile `edge`, over a perfect network, recorded.
    #[must_use]
    pub fn new(number: impl Into<String>) -> Self {
        Self {
            to: number.into(),
            from: "+15550001".to_owned(),
            name: None,
            context: String::new(),
            network_addr: "127.0.0.1".to_owned(),
            invite: Invite { codecs: CODECS.to_owned(), offer: OfferKind::Plain, requires_100rel: false },
            steps: Vec::new(),
            impairments: Impairments::default(),
            listen: true,
            record: true,
            step_timeout: STEP_TIMEOUT,
            answer_timeout: STEP_TIMEOUT,
        }
    }

    /// Who calls: a number.
    #[must_use]
    pub fn from(mut self, number: impl Into<String>) -> Self {
        self.from = number.into();
        self
    }

    /// Who calls: a display name, any text; the number if not set.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Arrives in this dialplan context instead of profile `edge`'s.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// Calls from this IP address, which dialplans and access lists see; 127.0.0.1 if not set.
    #[must_use]
    pub fn network_addr(mut self, address: impl Into<String>) -> Self {
        self.network_addr = address.into();
        self
    }

    /// Offers these codecs, best first and comma-separated (`opus,PCMU`); `G722,PCMU,PCMA` if not set.
    #[must_use]
    pub fn codecs(mut self, codecs: impl Into<String>) -> Self {
        self.invite.codecs = codecs.into();
        self
    }

    /// How the codecs are offered; in the INVITE if not set.
    #[must_use]
    pub const fn offer(mut self, offer: OfferKind) -> Self {
        self.invite.offer = offer;
        self
    }

    /// Asks for reliable provisional responses (`Require: 100rel`, RFC 3262).
    #[must_use]
    pub const fn requires_100rel(mut self) -> Self {
        self.invite.requires_100rel = true;
        self
    }

    /// The network between this caller and the pod.
    #[must_use]
    pub fn impairments(mut self, impairments: Impairments) -> Self {
        self.impairments = impairments;
        self
    }

    /// Neither records nor decodes what is heard: only packets are counted. For load.
    #[must_use]
    pub const fn deaf(mut self) -> Self {
        (self.listen, self.record) = (false, false);
        self
    }

    /// Does not keep what is heard, but still notices when the agent speaks.
    #[must_use]
    pub const fn unrecorded(mut self) -> Self {
        self.record = false;
        self
    }

    /// How long steps wait; 30 s if not set.
    #[must_use]
    pub const fn step_timeout(mut self, timeout: Duration) -> Self {
        self.step_timeout = timeout;
        self
    }

    /// How long the caller lets it ring; 30 s if not set.
    #[must_use]
    pub const fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds [`Step::Say`].
    #[must_use]
    pub fn say(self, clip: &Clip) -> Self {
        self.step(Step::Say(clip.clone()))
    }

    /// Adds [`Step::WaitForAgent`].
    #[must_use]
    pub fn wait_for_agent(self) -> Self {
        self.step(Step::WaitForAgent)
    }

    /// Adds [`Step::WaitForSpeech`].
    #[must_use]
    pub fn wait_for_speech(self) -> Self {
        self.step(Step::WaitForSpeech)
    }

    /// Adds [`Step::Wait`].
    #[must_use]
    pub fn wait(self, duration: Duration) -> Self {
        self.step(Step::Wait(duration))
    }

    /// Adds [`Step::Dtmf`].
    #[must_use]
    pub fn dtmf(self, digits: impl Into<String>) -> Self {
        self.step(Step::Dtmf(digits.into()))
    }

    /// Adds [`Step::Info`].
    #[must_use]
    pub fn info(self, digits: impl Into<String>) -> Self {
        self.step(Step::Info(digits.into()))
    }

    /// Adds [`Step::Hold`].
    #[must_use]
    pub fn hold(self) -> Self {
        self.step(Step::Hold)
    }

    /// Adds [`Step::Unhold`].
    #[must_use]
    pub fn unhold(self) -> Self {
        self.step(Step::Unhold)
    }

    /// Adds [`Step::WaitForHangup`].
    #[must_use]
    pub fn wait_for_hangup(self) -> Self {
        self.step(Step::WaitForHangup)
    }

    /// Adds [`Step::HangUp`]; a plan made with [`crate::Switch::call`] ends so in any case.
    #[must_use]
    pub fn hang_up(self) -> Self {
        self.step(Step::HangUp)
    }
}
