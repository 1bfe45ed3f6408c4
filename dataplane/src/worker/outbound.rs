//! What a stream sends: one packet for each packet time, with the agent's audio, keys, echo or silence, and the
//! schedule of these packets. Sans-IO: it writes into an outbox and never reads a clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{MediaEvent, StreamSeed};
use super::playout::{ClipChange, Gauge, Playout};
use super::socket::Outbox;
use crate::audio::{Encoder, QualityMeter, SampleRate};
use crate::rtp::dtmf::DtmfTick;
use crate::rtp::{DtmfSender, RtpSender};
use crate::sdp::NegotiatedMedia;

/// A worker that was held up for longer than this many packet times does not send what it missed in a burst: the
/// timestamps jump, as the time did.
const LONGEST_BURST: u32 = 3;

/// The sending half of a stream.
pub(super) struct Outbound {
    media: NegotiatedMedia,
    ptime: Duration,
    pub(super) sender: RtpSender,
    encoder: Encoder,
    pub(super) playout: Playout,
    dtmf: Option<DtmfSender>,
    /// When the next packet is to be sent.
    due: Instant,
    /// How much earlier than the call's own rhythm packets are being sent, because a reply's first one did not wait
    /// for it. Made up for by the first silence that follows.
    ahead: Duration,
    /// The latest frame at the leg's rate.
    frame: Vec<f32>,
    payload: Vec<u8>,
    pub(super) quality: QualityMeter,
    pub(super) packets: u64,
    /// Packets that were left out after a standstill and that nobody has counted yet.
    left_out: u32,
    /// The same for the recording, whether or not packets are sent.
    unsaid: u32,
}

impl Outbound {
    /// Reads something of each part.
    pub(super) fn look(&self) -> usize {
        let sample = self.frame.first().map_or(0, |sample| sample.to_bits() as usize);
        sample
            ^ self.payload.first().map_or(0, |byte| usize::from(*byte))
            ^ usize::from(self.playout.is_audible())
            ^ self.packets as usize
    }

    pub(super) fn new(media: &NegotiatedMedia, seed: StreamSeed, gauge: Arc<Gauge>, first: Instant) -> Self {
        let leg = media.codec.audio_rate();
        let ptime = media.ptime();
        Self {
            media: media.clone(),
            ptime,
            sender: RtpSender::new(seed.ssrc, seed.sequence, seed.timestamp),
            encoder: Encoder::new(media.codec),
            playout: Playout::new(leg, gauge),
            dtmf: media.dtmf.map(|format| DtmfSender::new(format.clock_hz, ptime)),
            due: first,
            ahead: Duration::ZERO,
            frame: vec![0.0; leg.samples(ptime)],
            payload: Vec::new(),
            quality: QualityMeter::new(leg),
            packets: 0,
            left_out: 0,
            unsaid: 0,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The samples that were sent last, at the leg's rate.
    pub(super) fn frame(&self) -> &[f32] {
        &self.frame
    }

    pub(super) fn leg_rate(&self) -> SampleRate {
        self.media.codec.audio_rate()
    }

    /// There is something to say after silence: the next packet leaves now, not with the next beat. Says whether that
    /// moved it.
    pub(super) fn hasten(&mut self, now: Instant) -> bool {
        if self.ahead > Duration::ZERO || self.due <= now {
            return false;
        }
        self.ahead = (self.due - now).min(self.ptime);
        self.due -= self.ahead;
        true
    }

    /// Packets that were left out after a standstill, since the last time this was asked.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out).into()
    }

    /// The time for which nothing was said after a standstill, since the last time this was asked.
    pub(super) fn take_unsaid(&mut self) -> Duration {
        self.ptime.saturating_mul(std::mem::take(&mut self.unsaid))
    }

    /// The RTP timestamp of `now`: the next packet's, less what is left of the time until it is due (RFC 3550 §6.4.1).
    pub(super) fn timestamp_at(&self, now: Instant) -> u32 {
        let clock = u128::from(self.media.codec.rtp_clock_hz());
        let units = |time: Duration| (time.as_micros() * clock / 1_000_000) as u32;
        let ahead = units(self.due.saturating_duration_since(now));
        let behind = units(now.saturating_duration_since(self.due));
        self.sender.timestamp().wrapping_sub(ahead).wrapping_add(behind)
    }

    /// Queues keys; a leg without telephone-events has no way to carry them.
    pub(super) fn send_dtmf(&mut self, digits: &str) -> bool {
        let Some(dtmf) = &mut self.dtmf else { return false };
        dtmf.queue(digits).is_ok()
    }

    /// Writes the packet that is due, and says for when it was due. `echo` is what is sent instead of the clips, where
    /// it is there.
    pub(super) fn send(
        &mut self,
        now: Instant,
        echo: Option<&[f32]>,
        outbox: &mut Outbox,
        mut tell: impl FnMut(MediaEvent),
    ) -> Instant {
        let due = self.due;
        let units = self.units();
        let missed = now.saturating_duration_since(due).as_nanos() / self.ptime.as_nanos();
        if missed > u128::from(LONGEST_BURST) {
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.sender.skip(units.wrapping_mul(missed));
            self.unsaid = self.unsaid.saturating_add(missed);
            if self.media.direction.sends() {
                self.left_out = self.left_out.saturating_add(missed);
            }
            self.due += self.ptime.saturating_mul(missed);
        }
        let key = self.key();
        let sounding = match echo {
            // The clips wait for the keys: what they would say meanwhile would be heard by nobody.
            _ if key != DtmfTick::Idle => {
                self.frame.fill(0.0);
                false
            }
            Some(heard) => {
                let length = heard.len().min(self.frame.len());
                self.frame[..length].copy_from_slice(&heard[..length]);
                self.frame[length..].fill(0.0);
                true
            }
            None => self.playout.fill(&mut self.frame, |change| {
                tell(match change {
                    // When the samples came is the stream's to know.
                    ClipChange::Started(clip) => MediaEvent::ClipStarted { clip, at: now, waited: Duration::ZERO },
                    ClipChange::Ended { clip, length } => MediaEvent::ClipEnded { clip, at: now, length },
                    ClipChange::Cut(cut) => MediaEvent::ClipCut(cut),
                    ClipChange::Mark { clip, mark, played } => MediaEvent::Mark { clip, mark, played },
                });
            }),
        };
        if sounding {
            self.quality.push(&self.frame);
        }
        if self.media.direction.sends() {
            self.write(key, units, outbox);
        } else {
            self.sender.skip(units);
        }
        self.due += self.ptime;
        if !sounding && key == DtmfTick::Idle && self.ahead > Duration::ZERO {
            // Back into the rhythm: the silence may be longer by what the speech came early.
            self.due += std::mem::take(&mut self.ahead);
        }
        due
    }

    /// What there is of keys for this packet time.
    fn key(&mut self) -> DtmfTick {
        let timestamp = self.sender.timestamp();
        let dtmf = self.dtmf.as_mut().filter(|_| self.media.direction.sends());
        dtmf.map_or(DtmfTick::Idle, |dtmf| dtmf.tick(timestamp))
    }

    fn write(&mut self, key: DtmfTick, units: u32, outbox: &mut Outbox) {
        let Self { media, sender, encoder, frame, payload, packets, .. } = self;
        // In the pauses between keys silence is sent, not nothing: a few of them are longer than a switch waits before
        // it takes the pod for lost.
        if let (DtmfTick::Packet(key), Some(format)) = (key, media.dtmf) {
            let header = sender.event(format.payload_type, key.timestamp, key.marker, key.payload.len());
            outbox.push(media.remote, |out| {
                header.write(out);
                out.extend_from_slice(&key.payload);
            });
            sender.skip(units);
            *packets += 1;
            return;
        }
        payload.clear();
        encoder.encode(frame, payload);
        let header = sender.next(media.payload_type, units, payload.len());
        outbox.push(media.remote, |out| {
            header.write(out);
            out.extend_from_slice(payload);
        });
        *packets += 1;
    }

    /// A packet time in units of the RTP clock.
    fn units(&self) -> u32 {
        (u128::from(self.media.codec.rtp_clock_hz()) * self.ptime.as_millis() / 1_000) as u32
    }
}
