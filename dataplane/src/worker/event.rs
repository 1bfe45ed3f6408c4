//! What crosses the border between a call's task and its media worker: what to open, what to do, what happened. Plain
//! data, no behaviour.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::keys::InbandKeys;
use crate::audio::{AudioQuality, Codec, SampleRate, Samples, VoiceSettings};
use crate::rtp::ReceiveQuality;
use crate::sdp::NegotiatedMedia;
use crate::turn::conversation::ClipId;
use crate::turn::endpointing::EndpointingSettings;

/// What a stream does with the audio that it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamMode {
    /// Speech becomes utterances; clips are played.
    Conversation,
    /// What is heard is sent back, through decoder and encoder.
    Echo,
}

/// Everything that a worker needs to carry one call's media.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// What offer and answer agreed on.
    pub media: NegotiatedMedia,
    /// What is done with the audio.
    pub mode: StreamMode,
    /// When speech begins, ends and interrupts the agent.
    pub endpointing: EndpointingSettings,
    /// Voice activity detection.
    pub voice: VoiceSettings,
    /// When keys are looked for in the sound.
    pub inband_keys: InbandKeys,
    /// How late packets may be and still be played.
    pub jitter_max: Duration,
    /// What is handed over of the audio as it goes by.
    pub taps: Taps,
    /// SSRC, first sequence number and first timestamp of what is sent: random, RFC 3550 §5.1.
    pub seed: StreamSeed,
    /// The RTCP CNAME, RFC 3550 §6.5.1: names the pod, never a person.
    pub cname: String,
}

/// What is handed over of a stream's audio besides its turns. Nothing, unless asked for.
#[derive(Debug, Clone, Default)]
pub struct Taps {
    /// Both directions, in pieces for a recording: [`MediaEvent::Recorded`].
    pub recording: bool,
    /// The caller's audio, as it is heard. Nobody waits for a receiver that is full: what it can't take is lost to it.
    pub frames: Option<mpsc::Sender<HeardFrame>>,
}

/// A packet time of the caller's audio: decoded, in order, with holes concealed.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardFrame {
    /// Mono samples at 16 kHz.
    pub pcm: Vec<i16>,
    /// Samples heard before the first of these; where it is more than came so far, frames were lost to the receiver.
    pub position: u64,
}

/// Names a mark in a clip; its meaning is the caller's of [`super::StreamFeeder::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MarkId(pub u32);

/// A clip that ended before its time, in samples at the rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutClip {
    /// Which.
    pub clip: ClipId,
    /// The rate at which it came.
    pub rate: SampleRate,
    /// Samples of it that were sent.
    pub played: usize,
    /// Samples of it that had come.
    pub came: usize,
    /// Whether no more of it was to come: then `came` is its length. Otherwise that is only known to be no less.
    pub complete: bool,
}

impl CutClip {
    /// Samples that had come and that nobody has heard.
    #[must_use]
    pub fn unplayed(&self) -> usize {
        self.came - self.played
    }

    /// How much of it was sent.
    #[must_use]
    pub fn played_for(&self) -> Duration {
        self.rate.duration(self.played)
    }

    /// How long what had come of it is.
    #[must_use]
    pub fn came_for(&self) -> Duration {
        self.rate.duration(self.came)
    }
}

/// The random start values of an RTP stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamSeed {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

/// A piece of the caller's speech, from before its first sound to the end that the endpointing found.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Mono samples at 16 kHz.
    pub pcm: Vec<i16>,
    /// How much of it was speech.
    pub speech: Duration,
    /// When the caller began to speak.
    pub started: Instant,
    /// When the caller stopped: earlier than the event by the silence that the endpointing waited for.
    pub ended: Instant,
}

/// A piece of both directions at 16 kHz, of equal length, for the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedFrame {
    /// What the caller said.
    pub caller: Vec<i16>,
    /// What was sent to the caller.
    pub agent: Vec<i16>,
}

/// What a stream tells its call.
#[derive(Debug)]
pub enum MediaEvent {
    /// The first packet from the announced address came.
    FirstPacket {
        /// When.
        at: Instant,
    },
    /// The caller began to speak.
    SpeechStarted {
        /// When the speech began, by the endpointing's reckoning.
        at: Instant,
    },
    /// What began as speech was too short to be any.
    SpeechDiscarded {
        /// When it was given up.
        at: Instant,
    },
    /// What began as speech is short and has been followed by silence for some time: it will likely be discarded.
    SpeechFaltered,
    /// It goes on all the same.
    SpeechResumed,
    /// The caller spoke over the agent long enough: the agent was faded out and its clips stand paused.
    BargeIn {
        /// When the fade began.
        at: Instant,
    },
    /// The caller finished speaking.
    Utterance(Utterance),
    /// The newest of what the caller is saying, as asked for; it goes on.
    Glimpse(Utterance),
    /// The first packet of a clip was sent.
    ClipStarted {
        /// Which clip.
        clip: ClipId,
        /// When the packet left.
        at: Instant,
        /// Between the clip's first samples coming to the worker and that packet.
        waited: Duration,
    },
    /// A clip was sent whole.
    ClipEnded {
        /// Which clip.
        clip: ClipId,
        /// When its last packet left.
        at: Instant,
        /// How long it is.
        length: Duration,
    },
    /// A clip was thrown away by [`super::StreamHandle::clear`], wholly or in part, or had broken off and was played as far as it had come.
    ClipCut(CutClip),
    /// Play-out has come to a mark, or to none any more.
    Mark {
        /// The clip in which it was set.
        clip: ClipId,
        /// Which.
        mark: MarkId,
        /// Whether all before it was sent; otherwise some of it was thrown away.
        played: bool,
    },
    /// Keys could not be sent: the leg has no telephone-event, or too many wait already.
    KeysUnsent,
    /// The caller pressed a key.
    Dtmf {
        /// One of `0-9 * # A-D`.
        digit: char,
    },
    /// No packet has come for a while: hold, a dead path, or a caller behind a wall.
    Silent {
        /// Since when.
        since: Instant,
    },
    /// Packets come again.
    Resumed {
        /// When the first of them came.
        at: Instant,
    },
    /// Audio of both directions, only where [`Taps::recording`] is set.
    Recorded(RecordedFrame),
    /// The stream failed by a fault of ours and is gone; another pod should go on with the call.
    Failed,
}

/// What a stream measured, told when it closes.
#[derive(Debug, Clone)]
pub struct MediaReport {
    /// The codec of the leg.
    pub codec: Codec,
    /// What came.
    pub receive: ReceiveQuality,
    /// Packets sent.
    pub packets_sent: u64,
    /// Frames that were made up because their packets did not come in time.
    pub frames_concealed: u64,
    /// Frames thrown away to keep the delay bounded when the caller's clock ran fast.
    pub frames_dropped: u64,
    /// The caller's audio.
    pub heard: AudioQuality,
    /// The agent's audio.
    pub spoken: AudioQuality,
    /// Loss of our packets as the far end last reported it by RTCP, 0 to 1.
    pub remote_loss: Option<f32>,
    /// Round-trip time by RTCP.
    pub round_trip: Option<Duration>,
    /// Sending time against schedule: median and 99th percentile over the call.
    pub pacing_p50: Duration,
    /// See [`Self::pacing_p50`].
    pub pacing_p99: Duration,
}

/// What a call tells its stream.
#[derive(Debug)]
pub(super) enum Instruction {
    /// Appends samples to a clip; the first of a clip also queues it.
    Play { clip: ClipId, rate: SampleRate, samples: Samples, came: Instant },
    /// No more samples of this clip will come.
    EndClip { clip: ClipId },
    /// No more samples of this clip will come, and it is not whole.
    BreakClipOff { clip: ClipId },
    /// Tell when all samples of this clip that came so far are played.
    Mark { clip: ClipId, mark: MarkId },
    /// Go on with what a barge-in paused.
    Resume,
    /// Whether the caller's speech may stop the agent from now on.
    SetInterruptible(bool),
    /// Hand over the newest of the utterance that goes on, if there is one.
    Glimpse,
    /// Whether the agent waits for an answer, which may be very short.
    ExpectAnswer(bool),
    /// Throw all clips up to this one away, those too that are still on their way here; each that came is told as cut.
    Clear { through: ClipId },
    /// Send keys as telephone-events, RFC 4733.
    SendDtmf { digits: String },
}
