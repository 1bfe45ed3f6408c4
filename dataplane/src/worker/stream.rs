//! One call's media: what it hears, what it says, and the turns between the two. Sans-IO: packets and instants in,
//! packets and events out; the worker owns the socket and the clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::event::{
    HeardFrame, Instruction, MediaEvent, MediaReport, RecordedFrame, StreamMode, StreamSpec, Utterance,
};
use super::fault::{Part, may_strike};
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::pacing::Pacing;
use super::playout::{ClipChange, Gauge};
use super::recording::Pairing;
use super::sent::SentLevels;
use super::socket::Outbox;
use super::utterance::Capture;
use crate::audio::{VoiceDetector, VoiceFrame, pcm};
use crate::metrics::WorkerCounters;
use crate::rtp::rtcp::{Compound, NtpTime, Report, RtcpPacket, report_interval};
use crate::turn::conversation::ClipId;
use crate::turn::echo_guard::EchoGuard;
use crate::turn::endpointing::{EndpointEvent, Endpointer};

/// Length of a frame of the voice detector.
const VOICE_FRAME: Duration = Duration::from_millis(16);

/// How much of an utterance that goes on is handed over.
const GLIMPSE: Duration = Duration::from_secs(5);

/// What serving a stream did.
pub(super) struct Served {
    /// For when the packet was due that was written, if one was.
    pub(super) sent_for: Option<Instant>,
    /// When the stream wants to be served next.
    pub(super) next: Instant,
}

/// One call's media.
pub(super) struct Stream {
    spec: StreamSpec,
    ptime: Duration,
    inbound: Inbound,
    outbound: Outbound,
    /// When the next frame is to be heard.
    due: Instant,
    voice: VoiceDetector,
    endpointer: Endpointer,
    /// What may be the agent's own voice; `None` where that is not asked.
    echo: Option<EchoGuard>,
    sent: SentLevels,
    capture: Capture,
    speech_started: Instant,
    /// Whether the agent was heard while the latest frame was.
    agent_audible: bool,
    interruptible: bool,
    /// When the first samples of clips came that have not begun to play.
    came: Vec<(ClipId, Instant)>,
    events: mpsc::Sender<MediaEvent>,
    pacing: Pacing,
    pairing: Option<Pairing>,
    /// Samples heard so far, for whoever is given the frames.
    heard: u64,
    next_report: Instant,
    /// For the spreading of RTCP reports, RFC 3550 §6.2; audio needs no randomness.
    random: u64,
    remote_loss: Option<f32>,
    round_trip: Option<Duration>,
}

impl Stream {
    /// A stream that hears and says its first frame at `first`.
    pub(super) fn new(
        spec: StreamSpec,
        gauge: Arc<Gauge>,
        events: mpsc::Sender<MediaEvent>,
        now: Instant,
        first: Instant,
    ) -> Self {
        may_strike(Part::Open);
        let ptime = spec.media.ptime();
        let outbound = Outbound::new(&spec.media, spec.seed, gauge, first);
        Self {
            ptime,
            inbound: Inbound::new(&spec.media, spec.inband_keys, spec.jitter_max, spec.seed.ssrc, now),
            due: first,
            voice: VoiceDetector::new(spec.voice),
            endpointer: Endpointer::new(spec.endpointing.clone()),
            echo: spec.endpointing.echo_guard.then(EchoGuard::new),
            sent: SentLevels::new(spec.media.codec.audio_rate(), VOICE_FRAME),
            capture: Capture::new(spec.endpointing.max_lookback()),
            speech_started: now,
            agent_audible: false,
            interruptible: true,
            came: Vec::new(),
            events,
            pacing: Pacing::default(),
            pairing: spec.taps.recording.then(|| Pairing::new(outbound.leg_rate())),
            heard: 0,
            next_report: now + report_interval(f64::from(spec.seed.sequence) / f64::from(u16::MAX)),
            random: (u64::from(spec.seed.ssrc) << 32 | u64::from(spec.seed.timestamp)) | 1,
            remote_loss: None,
            round_trip: None,
            outbound,
            spec,
        }
    }

    /// Where its packets go, and the only place where they may come from.
    pub(super) fn remote(&self) -> std::net::SocketAddr {
        self.spec.media.remote
    }

    /// The same for RTCP.
    pub(super) fn remote_rtcp(&self) -> std::net::SocketAddr {
        self.spec.media.remote_rtcp
    }

    /// Reads something of each part that a packet or a frame will need, see [`super::run`].
    pub(super) fn look(&self) -> usize {
        self.inbound.look() ^ self.outbound.look() ^ self.came.len() ^ usize::from(self.agent_audible)
    }

    pub(super) fn tell(&self, event: MediaEvent) {
        tell(&self.events, event);
    }

    pub(super) fn paced(&mut self, error: Duration) {
        self.pacing.observe(error);
    }

    pub(super) fn on_rtp(&mut self, now: Instant, datagram: &[u8], counters: &WorkerCounters) {
        may_strike(Part::Rtp);
        self.inbound.on_rtp(now, datagram, counters, |event| tell(&self.events, event));
    }

    pub(super) fn on_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        may_strike(Part::Rtcp);
        let Ok(compound) = Compound::parse(datagram) else { return };
        for packet in compound.packets() {
            let blocks = match packet {
                RtcpPacket::SenderReport { ssrc, info, blocks } => {
                    self.inbound.source.on_sender_report(now, ssrc, info.ntp);
                    blocks
                }
                RtcpPacket::ReceiverReport { blocks, .. } => blocks,
                _ => continue,
            };
            for block in blocks.filter(|block| block.ssrc == self.outbound.sender.ssrc()) {
                self.remote_loss = Some(f32::from(block.fraction_lost) / 256.0);
                self.round_trip = block.round_trip(NtpTime::from_wall_clock(SystemTime::now())).or(self.round_trip);
            }
        }
    }

    /// Does what the call asks. Says when the stream is to be served, where that changes by it.
    pub(super) fn instruct(&mut self, now: Instant, instruction: Instruction) -> Option<Instant> {
        may_strike(Part::Instruct);
        match instruction {
            Instruction::Play { clip, rate, samples, came } => {
                let silent = !self.outbound.playout.is_audible();
                if self.outbound.playout.push(clip, rate, samples) {
                    self.came.push((clip, came));
                }
                if silent && self.outbound.playout.is_audible() && self.outbound.hasten(now) {
                    return Some(self.outbound.due());
                }
            }
            Instruction::EndClip { clip } => self.outbound.playout.complete(clip),
            Instruction::BreakClipOff { clip } => self.outbound.playout.break_off(clip),
            Instruction::Mark { clip, mark } => {
                let events = &self.events;
                self.outbound.playout.mark(clip, mark, |change| tell_change(events, change));
            }
            Instruction::Resume => {
                self.outbound.playout.resume();
                if let Some(echo) = &mut self.echo {
                    echo.false_alarm();
                }
            }
            Instruction::Glimpse => {
                if let (Some(pcm), Some(speech)) = (self.capture.peek(GLIMPSE), self.endpointer.speech()) {
                    let started = self.speech_started;
                    self.tell(MediaEvent::Glimpse(Utterance { pcm, speech, started, ended: now }));
                }
            }
            Instruction::ExpectAnswer(expected) => self.endpointer.expect_answer(expected),
            Instruction::SetInterruptible(interruptible) => self.interruptible = interruptible,
            Instruction::Clear { through } => {
                self.came.clear();
                let events = &self.events;
                self.outbound.playout.clear(through, |change| tell_change(events, change));
            }
            Instruction::SendDtmf { digits } => {
                if !self.outbound.send_dtmf(&digits) {
                    self.tell(MediaEvent::KeysUnsent);
                }
            }
        }
        None
    }

    /// Hears and says what is due by `now`.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        reports: &mut Outbox,
        counters: &WorkerCounters,
    ) -> Served {
        may_strike(Part::Serve);
        if now >= self.due {
            self.hear(now, counters);
        }
        let mut sent_for = None;
        if now >= self.outbound.due() {
            sent_for = Some(self.say(now, outbox));
            let left_out = self.outbound.take_left_out();
            if left_out > 0 {
                counters.leave_out(left_out);
            }
        }
        if now >= self.next_report {
            self.report_by_rtcp(now, reports);
        }
        Served { sent_for, next: self.due.min(self.outbound.due()) }
    }

    fn hear(&mut self, now: Instant, counters: &WorkerCounters) {
        let Self { inbound, events, endpointer, .. } = self;
        inbound.pull(now, self.ptime, !endpointer.is_speech(), counters, |event| tell(events, event));
        // A worker that was held up hears the frames that it missed one after the other; what came too late for that
        // is gone already.
        self.due += self.ptime;
        let behind = now.saturating_duration_since(self.due);
        if behind > self.ptime * 3 {
            self.due = now + self.ptime;
        }
        if self.spec.mode == StreamMode::Conversation {
            self.listen(now);
        }
        let frame = self.inbound.engine_frame();
        if let Some(pairing) = &mut self.pairing {
            pairing.heard(frame);
            if behind > self.ptime * 3 {
                pairing.heard_nothing(behind + self.ptime);
            }
        }
        if let Some(frames) = &self.spec.taps.frames {
            let mut samples = Vec::with_capacity(frame.len());
            pcm::to_i16(frame, &mut samples);
            // Who does not keep up finds out by the position.
            let _ = frames.try_send(HeardFrame { pcm: samples, position: self.heard });
        }
        self.heard += frame.len() as u64;
    }

    /// Looks for the caller's turns in the frame that was just heard.
    fn listen(&mut self, now: Instant) {
        let Self {
            inbound,
            voice,
            endpointer,
            echo,
            capture,
            outbound,
            events,
            speech_started,
            spec,
            agent_audible,
            interruptible,
            ..
        } = self;
        capture.push(inbound.engine_frame());
        let mut barged_in = false;
        // Keys are no speech, however loud.
        let (audible, key) = (*agent_audible, inbound.keys.is_key());
        let mut caller = |frame: VoiceFrame| {
            let is_echo = echo.as_mut().is_some_and(|echo| echo.is_echo(frame.energy_dbfs));
            frame.voiced && !is_echo && !key
        };
        voice.push(inbound.engine_frame(), |frame| match endpointer.push(VOICE_FRAME, caller(frame), audible) {
            None => {}
            Some(EndpointEvent::SpeechStarted { lookback }) => {
                let pre_roll = spec.endpointing.pre_roll;
                *speech_started = before(now, lookback.saturating_sub(pre_roll));
                capture.begin(lookback);
                tell(events, MediaEvent::SpeechStarted { at: *speech_started });
            }
            Some(EndpointEvent::SpeechFaltered) => tell(events, MediaEvent::SpeechFaltered),
            Some(EndpointEvent::SpeechResumed) => tell(events, MediaEvent::SpeechResumed),
            Some(EndpointEvent::BargeIn) if !*interruptible => {}
            Some(EndpointEvent::BargeIn) => {
                barged_in = true;
                outbound.playout.pause();
                tell(events, MediaEvent::BargeIn { at: now });
            }
            Some(EndpointEvent::SpeechEnded { speech, silence }) => {
                let pcm = capture.finish(silence);
                let utterance = Utterance { pcm, speech, started: *speech_started, ended: before(now, silence) };
                tell(events, MediaEvent::Utterance(utterance));
            }
            Some(EndpointEvent::SpeechDiscarded { .. }) => {
                capture.discard();
                tell(events, MediaEvent::SpeechDiscarded { at: now });
            }
        });
        if let Some(echo) = echo.as_mut().filter(|_| barged_in) {
            echo.interrupted();
        }
    }

    fn say(&mut self, now: Instant, outbox: &mut Outbox) -> Instant {
        let Self { inbound, outbound, events, came, spec, .. } = self;
        let echo = (spec.mode == StreamMode::Echo).then(|| inbound.leg_frame());
        self.agent_audible = echo.is_none() && outbound.playout.is_audible();
        let due = outbound.send(now, echo, outbox, |mut event| {
            if let MediaEvent::ClipStarted { clip, waited, .. } = &mut event
                && let Some(index) = came.iter().position(|(waiting, _)| waiting == clip)
            {
                *waited = now.saturating_duration_since(came.swap_remove(index).1);
            }
            tell(events, event);
        });
        if let Some(guard) = &mut self.echo {
            self.sent.push(self.outbound.frame(), |dbfs| guard.sent(dbfs));
        }
        let unsaid = self.outbound.take_unsaid();
        if let Some(pairing) = &mut self.pairing {
            pairing.said_nothing(unsaid);
            pairing.said(self.outbound.frame());
            while let Some((caller, agent)) = pairing.next() {
                tell(&self.events, MediaEvent::Recorded(RecordedFrame { caller, agent }));
            }
        }
        due
    }

    fn report_by_rtcp(&mut self, now: Instant, reports: &mut Outbox) {
        // Held the old way, the far end has told no address, and the system would take none for this host.
        if !self.remote_rtcp().ip().is_unspecified() {
            reports.push(self.remote_rtcp(), |out| self.rtcp(now, false, out));
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.next_report = now + report_interval((self.random >> 11) as f64 / (1u64 << 53) as f64);
    }

    /// The last report, with BYE (RFC 3550 §6.6), where there is anywhere to send it.
    pub(super) fn goodbye(&mut self, now: Instant) -> Option<Vec<u8>> {
        may_strike(Part::Goodbye);
        let mut bytes = Vec::new();
        (self.outbound.packets > 0 && !self.remote_rtcp().ip().is_unspecified()).then(|| {
            self.rtcp(now, true, &mut bytes);
            bytes
        })
    }

    fn rtcp(&mut self, now: Instant, bye: bool, out: &mut Vec<u8>) {
        let wall_clock = NtpTime::from_wall_clock(SystemTime::now());
        Report {
            ssrc: self.outbound.sender.ssrc(),
            sender: (self.outbound.packets > 0)
                .then(|| self.outbound.sender.info(wall_clock, self.outbound.timestamp_at(now))),
            blocks: self.inbound.source.report(now).as_slice(),
            canonical_name: &self.spec.cname,
            bye,
        }
        .write(out);
    }

    /// What was measured so far.
    pub(super) fn report(&self) -> MediaReport {
        may_strike(Part::Report);
        MediaReport {
            codec: self.spec.media.codec,
            receive: self.inbound.receive_quality(),
            packets_sent: self.outbound.packets,
            frames_concealed: self.inbound.concealed,
            frames_dropped: self.inbound.dropped,
            heard: self.inbound.quality.report(),
            spoken: self.outbound.quality.report(),
            remote_loss: self.remote_loss,
            round_trip: self.round_trip,
            pacing_p50: self.pacing.quantile(0.5),
            pacing_p99: self.pacing.quantile(0.99),
        }
    }
}

/// A call's task that lets its events pile up is stuck, and what it can't take is lost to it; its media go on.
pub(super) fn tell(events: &mpsc::Sender<MediaEvent>, event: MediaEvent) {
    if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event)
        && !matches!(event, MediaEvent::Recorded(_))
    {
        tracing::error!("a call does not take its media events; it is stuck");
    }
}

/// What becomes of clips without a packet being sent.
fn tell_change(events: &mpsc::Sender<MediaEvent>, change: ClipChange) {
    match change {
        ClipChange::Cut(cut) => tell(events, MediaEvent::ClipCut(cut)),
        ClipChange::Mark { clip, mark, played } => tell(events, MediaEvent::Mark { clip, mark, played }),
        ClipChange::Started(_) | ClipChange::Ended { .. } => {}
    }
}

fn before(now: Instant, ago: Duration) -> Instant {
    now.checked_sub(ago).unwrap_or(now)
}

#[cfg(test)]
mod tests;
