//! What became of a call, for tests, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Cursor, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::media::{Burst, Gap, HeardDigit, LegReport};
use crate::stats::{Histogram, Spread};

/// Of what callers hear.
const WAV: hound::WavSpec =
    hound::WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// Milliseconds since the call was dialled.
    pub at_ms: f64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What can happen in a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The dialplan ran an application on the caller's leg.
    Action {
        /// Application.
        application: String,
        /// Expanded; tokens and passwords are masked.
        data: String,
    },
    /// FreeSWITCH had no session left of this second.
    Throttled {
        /// `A`, `B` or `C`.
        leg: char,
    },
    /// A pod is called.
    LegStarted {
        /// 1 for the first.
        attempt: u32,
        /// Its own id: leg C's `Unique-ID`.
        uuid: String,
        /// Where leg B listens.
        rtp: String,
    },
    /// No pod there.
    EslRefused {
        /// `host:port`.
        host: String,
        /// The operating system's reason.
        error: String,
    },
    /// Connected to a pod.
    EslConnected {
        /// `host:port`.
        host: String,
    },
    /// A pod's command, without its body.
    Command {
        /// In few words.
        command: String,
    },
    /// A pod answered; its SDP was taken.
    LegAnswered {
        /// Which attempt.
        attempt: u32,
        /// From the ESL connection to its `answer` command, in milliseconds: the pod's own part.
        setup_ms: f64,
        /// Where it wants RTP.
        remote: String,
    },
    /// A pod's leg is over.
    LegEnded {
        /// Which attempt.
        attempt: u32,
        /// Why, as `${bridge_hangup_cause}` has it.
        cause: Cause,
    },
    /// A pod's connection broke while its channel was up.
    EslLost {
        /// How.
        error: String,
    },
    /// No RTP for `media_timeout`.
    MediaTimeout,
    /// No answer for `leg_timeout`.
    LegTimeout,
    /// The caller's call was answered.
    Answered,
    /// `uuid_transfer` took the caller elsewhere.
    Transferred {
        /// Destination.
        destination: String,
        /// Dialplan context.
        context: String,
    },
    /// Bridged to somebody who is not a pod of this switch.
    BridgedOutside {
        /// The dial string.
        to: String,
    },
    /// The caller put the agent on hold.
    Held,
    /// The caller took the agent back.
    Unheld,
    /// The caller began to say a clip: its first packet left.
    Said {
        /// How long it is, in milliseconds.
        ms: f64,
    },
    /// The caller pressed digits.
    Dialled {
        /// Which.
        digits: String,
    },
    /// The caller hung up.
    CallerHungUp,
    /// What would be an error in FreeSWITCH's log.
    Problem {
        /// In words.
        problem: String,
    },
    /// The call is over.
    Ended {
        /// Why.
        cause: Cause,
    },
}

/// Which side ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The caller hung up or gave up.
    Caller,
    /// The dialplan or a pod did.
    Switch,
}

/// A whole call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallOutcome {
    /// Leg A's id: `X-Call-UUID`.
    pub uuid: String,
    /// Number called.
    pub to: String,
    /// Number of the caller.
    pub from: String,
    /// Whether the caller got a 200 OK.
    pub answered: bool,
    /// When, in milliseconds since the call was dialled.
    pub answered_after_ms: Option<f64>,
    /// The final SIP response to the caller: 200, or why not.
    pub sip_status: u16,
    /// Headers of a refusal (`Retry-After`, …).
    pub sip_headers: BTreeMap<String, String>,
    /// Why the caller's channel ended.
    pub cause: Cause,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// From dialling to the end, in milliseconds.
    pub duration_ms: f64,
    /// How many pods were tried, each with its own leg.
    pub attempts: u32,
    /// The legs that were answered, in order.
    pub legs: Vec<LegReport>,
    /// The longest time without RTP between two packets from pods, takeovers included, in milliseconds.
    pub longest_gap_ms: f64,
    /// All such times from 60 ms on.
    pub gaps: Vec<Gap>,
    /// Pacing of all legs together.
    pub pacing: Spread,
    /// When the agent spoke.
    pub agent_speech: Vec<Burst>,
    /// Digits that the pods sent.
    pub digits_heard: Vec<HeardDigit>,
    /// Variables of the caller's channel at the end, a pod's stored state among them; tokens and passwords are masked.
    pub variables: BTreeMap<String, String>,
    /// The step that failed, if one did.
    pub script_error: Option<String>,
    /// All that happened, in order.
    pub timeline: Vec<TimelineEvent>,
    /// What the caller heard, from dialling on: mono, 16 kHz. Empty if the plan was deaf.
    #[serde(skip)]
    pub heard: Vec<i16>,
    #[serde(skip)]
    pub(crate) pacing_histogram: Histogram,
}

impl CallOutcome {
    /// The digits that the pods sent, as text.
    #[must_use]
    pub fn digits(&self) -> String {
        self.digits_heard.iter().map(|heard| heard.digit).collect()
    }

    /// How often `matches` holds in the timeline.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&Happening) -> bool) -> usize {
        self.timeline.iter().filter(|event| matches(&event.what)).count()
    }

    /// Packets from pods.
    #[must_use]
    pub fn packets_received(&self) -> u64 {
        self.legs.iter().map(|leg| leg.received).sum()
    }

    /// Packets to pods.
    #[must_use]
    pub fn packets_sent(&self) -> u64 {
        self.legs.iter().map(|leg| leg.sent).sum()
    }

    /// Packets from pods that never came.
    #[must_use]
    pub fn packets_lost(&self) -> u64 {
        self.legs.iter().map(|leg| leg.lost).sum()
    }

    /// Writes [`Self::heard`] as a 16-bit WAV file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_heard(&self, path: impl AsRef<Path>) -> Result<(), hound::Error> {
        self.write(hound::WavWriter::create(path, WAV)?)
    }

    /// [`Self::heard`] as a 16-bit WAV file in memory.
    #[must_use]
    pub fn heard_wav(&self) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let written = hound::WavWriter::new(&mut file, WAV).and_then(|writer| self.write(writer));
        written.expect("memory can be written, and half an hour is far from four gigabytes");
        file.into_inner()
    }

    fn write(&self, mut writer: hound::WavWriter<impl Write + Seek>) -> Result<(), hound::Error> {
        for sample in &self.heard {
            writer.write_sample(*sample)?;
        }
        writer.finalize()
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}  {}", self.from, self.to, self.uuid)?;
        match self.answered_after_ms {
            Some(ms) => writeln!(f, "  answered after {ms:.0} ms, {} attempt(s)", self.attempts)?,
            None => {
                writeln!(f, "  refused: {} {:?} after {} attempt(s)", self.sip_status, self.sip_headers, self.attempts)?
            }
        }
        for leg in &self.legs {
            writeln!(
                f,
                "  leg {}: {} {} ms, pod {}, first packet {:.0} ms, sent {}, received {}, lost {}, jitter {:.2} ms, pacing p99 {:.2} ms, \
                 longest gap {:.0} ms",
                leg.attempt,
                leg.codec,
                leg.ptime_ms,
                leg.remote,
                leg.first_packet_ms.unwrap_or_default(),
                leg.sent,
                leg.received,
                leg.lost,
                leg.jitter_ms,
                leg.pacing.p99_ms,
                leg.longest_gap_ms
            )?;
        }
        for burst in &self.agent_speech {
            writeln!(f, "  agent spoke {:.2} s - {:.2} s", burst.start_ms / 1e3, burst.end_ms / 1e3)?;
        }
        if !self.digits_heard.is_empty() {
            writeln!(f, "  digits heard: {}", self.digits())?;
        }
        for gap in &self.gaps {
            writeln!(f, "  {:.0} ms without RTP at {:.2} s", gap.ms, gap.at_ms / 1e3)?;
        }
        if let Some(error) = &self.script_error {
            writeln!(f, "  script: {error}")?;
        }
        let by = match self.ended_by {
            EndedBy::Caller => "the caller",
            EndedBy::Switch => "the other side",
        };
        write!(f, "  ended after {:.1} s by {by}: {}", self.duration_ms / 1e3, self.cause)
    }
}
