//! Leg A, the caller's, and its leg B: runs the dialplan, bridges to pods, hears the caller hang up at any moment. Never
//! speaks ESL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::random;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::names::{self, Presented};
use super::pod::{self, NewPodLeg};
use super::{CallShared, CallerEnd, Control, LegCommand, LegEvent};
use crate::cause::Cause;
use crate::channel::{CallState, Channel, now_us};
use crate::config::{Action, Profile};
use crate::dialplan::{self, DialString, TransferTo, dial_string, expand};
use crate::handle::Progress;
use crate::masked;
use crate::media::leg::{LegFormat, LocalSound};
use crate::media::pump::{MediaEvent, NewLeg, Order};
use crate::plan::{Invite, OfferKind};
use crate::report::{EndedBy, Happening};
use crate::sdp::{Offer, OfferedCodec, Security, read_answer};

/// Extensions run one after the other before the call is taken for a circle; FreeSWITCH counts `max_forwards` down from 70.
const MAX_HOPS: u32 = 70;
/// `originate`'s own limit, where `leg_timeout` says nothing.
const LEG_TIMEOUT: Duration = Duration::from_secs(60);
/// What mod_sofia answers an INVITE for which there is no session.
const NO_SESSION: &str = "Maximum Calls In Progress";
/// What mod_sofia tells a caller whom it does not even let in, in seconds.
const BUSY_RETRY_AFTER: &str = "300";

/// What follows an action.
enum Flow {
    Next,
    Hunt(TransferTo),
    End(Cause, EndedBy),
}

struct CallerLeg<'a> {
    shared: &'a Arc<CallShared>,
    controls: mpsc::UnboundedReceiver<Control>,
    attempts: u32,
    response: Option<u16>,
    invite: &'a Invite,
    /// What the caller and profile `edge` have in common, the caller's best first.
    offered: Vec<OfferedCodec>,
}

/// Runs a caller's leg to its end.
pub(super) async fn run(
    shared: &Arc<CallShared>,
    controls: mpsc::UnboundedReceiver<Control>,
    invite: &Invite,
) -> CallerEnd {
    let mut leg = CallerLeg { shared, controls, attempts: 0, response: None, invite, offered: Vec::new() };
    if shared.throttled('A') {
        shared.channel.lock().variables.set("sip_rh_Retry-After", BUSY_RETRY_AFTER);
        return leg.refused(503, Cause::SWITCH_CONGESTION);
    }
    if let Some(list) = shared.core.refused_by_access_list(&shared.channel.lock().network_addr) {
        shared.problem(format!("the access lists of profile edge ({list}) refuse the caller's network_addr"));
        return leg.refused(403, Cause::CALL_REJECTED);
    }
    if shared.core.run_state.refuses_inbound() {
        shared.problem("paused: no new calls");
        shared.channel.lock().variables.set("sip_rh_Retry-After", BUSY_RETRY_AFTER);
        return leg.refused(503, Cause::SWITCH_CONGESTION);
    }
    let Some(_sessions) = shared.core.take_sessions(3) else {
        shared.problem("max-sessions is reached");
        shared.channel.lock().variables.set("sip_rh_Retry-After", BUSY_RETRY_AFTER);
        return leg.refused(503, Cause::SWITCH_CONGESTION);
    };
    if let Err((status, cause, problem)) = leg.take_invite() {
        shared.problem(problem);
        return leg.refused(status, cause);
    }
    for _ in 0..MAX_HOPS {
        let actions = {
            let mut channel = shared.channel.lock();
            let context = channel.context.clone();
            dialplan::hunt(&shared.core.dialplan(), &mut channel, &context, inline)
        };
        let Some(actions) = actions else {
            let channel = shared.channel.lock();
            shared.problem(format!("nothing in context {:?} matches {:?}", channel.context, channel.destination));
            drop(channel);
            return leg.end(Cause::NO_ROUTE_DESTINATION, EndedBy::Switch);
        };
        match leg.execute(&actions).await {
            Flow::Next => return leg.end(Cause::NORMAL_CLEARING, EndedBy::Switch),
            Flow::End(cause, by) => return leg.end(cause, by),
            Flow::Hunt(to) => {
                let mut channel = shared.channel.lock();
                channel.destination = to.destination;
                if let Some(context) = to.context {
                    channel.context = context;
                }
            }
        }
    }
    shared.problem("the dialplan runs in circles");
    leg.end(Cause::EXCHANGE_ROUTING_ERROR, EndedBy::Switch)
}

fn inline(channel: &mut Channel, action: &Action) {
    match action.application.as_str() {
        "export" => dialplan::export(channel, &action.data),
        _ => dialplan::set(channel, &action.data),
    }
}

impl CallerLeg<'_> {
    fn end(&self, cause: Cause, by: EndedBy) -> CallerEnd {
        CallerEnd { cause, by, attempts: self.attempts, response: self.response }
    }

    /// A final response before the dialplan.
    fn refused(&self, status: u16, cause: Cause) -> CallerEnd {
        CallerEnd { response: Some(status), ..self.end(cause, EndedBy::Switch) }
    }

    /// What is looked at before the dialplan. The codecs are not agreed on yet, unless the switch had to make the offer.
    fn take_invite(&mut self) -> Result<(), (u16, Cause, &'static str)> {
        let Some(profile) = self.shared.core.config.profile("edge") else { return Ok(()) };
        if self.invite.requires_100rel && !profile.reliable_provisional {
            return Err((420, Cause::INTERWORKING, "the caller requires 100rel: profile edge has no enable-100rel"));
        }
        let late = self.invite.offer == OfferKind::Late;
        if late && !profile.late_offers {
            let problem = "the caller brings no offer: profile edge has no enable-3pcc";
            return Err((480, Cause::MANDATORY_IE_MISSING, problem));
        }
        let known = self.shared.core.config.known_codecs(&profile.inbound_codec_string);
        self.offered = OfferedCodec::list(&self.invite.codecs);
        self.offered.retain(|codec| known.iter().any(|known| known.name == codec.name));
        if late {
            self.offered.truncate(1);
            self.answer();
        }
        let names: Vec<String> = self.offered.iter().map(OfferedCodec::endpoint_name).collect();
        let mut channel = self.shared.channel.lock();
        channel.variables.set("ep_codec_string", names.join(","));
        channel.variables.set("switch_r_sdp", self.callers_sdp());
        Ok(())
    }

    /// The caller's SDP, as far as a dialplan can care.
    fn callers_sdp(&self) -> String {
        let codecs = &self.invite.codecs;
        let crypto = if self.invite.offer == OfferKind::CryptoInAvp {
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d29ya3MgZm9yIGNvbmRpdGlvbnMgb25seQ==\r\n"
        } else {
            ""
        };
        format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\na=x-codecs:{codecs}\r\n{crypto}")
    }

    /// Whether leg A can be answered now that a pod has been. Such an offer is refused unless the dialplan says otherwise, and
    /// answered without audio where it may be encrypted.
    fn agrees_with_caller(&self) -> bool {
        if self.invite.offer != OfferKind::CryptoInAvp {
            return true;
        }
        let channel = self.shared.channel.lock();
        let says = |name: &str, value: &str| channel.lookup(name).is_some_and(|found| found == value);
        says("rtp_allow_crypto_in_avp", "true") && says("rtp_secure_media_inbound", "forbidden")
    }

    async fn execute(&mut self, actions: &[Action]) -> Flow {
        for action in actions {
            // A hang-up between two actions is heard before the next one.
            if let Ok(control) = self.controls.try_recv() {
                return self.flow_of(control);
            }
            match self.run_action(action).await {
                Flow::Next => {}
                flow => return flow,
            }
        }
        Flow::Next
    }

    fn flow_of(&self, control: Control) -> Flow {
        match control {
            Control::CallerHangsUp => {
                let answered = self.shared.channel.lock().answered_us > 0;
                Flow::End(if answered { Cause::NORMAL_CLEARING } else { Cause::ORIGINATOR_CANCEL }, EndedBy::Caller)
            }
            Control::Kill(cause) => Flow::End(cause, EndedBy::Switch),
            Control::Transfer(to) => {
                let context = to.context.clone().unwrap_or_else(|| self.shared.channel.lock().context.clone());
                self.shared.note(Happening::Transferred { destination: to.destination.clone(), context });
                Flow::Hunt(to)
            }
        }
    }

    async fn run_action(&mut self, action: &Action) -> Flow {
        let data = expand(&action.data, &self.shared.channel.lock());
        let shown = masked::data(&action.application, &data);
        self.shared.note(Happening::Action { application: action.application.clone(), data: shown });
        match action.application.as_str() {
            "set" => dialplan::set(&mut self.shared.channel.lock(), &action.data),
            "export" => dialplan::export(&mut self.shared.channel.lock(), &action.data),
            "unset" => self.shared.channel.lock().variables.remove(data.trim()),
            "answer" => self.answer(),
            "pre_answer" | "ring_ready" => {}
            "log" | "info" => tracing::info!(call = self.shared.id, data),
            "echo" => {
                self.answer();
                return self.hear(Some(LocalSound::Echo), None).await;
            }
            "park" => return self.hear(None, None).await,
            "playback" => {
                let Some(playback) = dialplan::playback(&data) else {
                    self.shared.problem(format!("playback: cannot play {data:?}"));
                    return Flow::Next;
                };
                return self.hear(Some(LocalSound::Loop(playback.clip)), playback.lasts).await;
            }
            "sleep" => {
                let ms = data.trim().parse().unwrap_or(0);
                return self.hear(None, Some(Duration::from_millis(ms))).await;
            }
            "sched_hangup" => self.schedule_hang_up(&data),
            "bridge" => return self.bridge(&data).await,
            "transfer" => return Flow::Hunt(dialplan::transfer_to(&data)),
            "respond" => {
                if self.shared.channel.lock().answered_us == 0 {
                    self.response = data.split_whitespace().next().and_then(|code| code.parse().ok());
                }
            }
            "hangup" => {
                let cause = if data.is_empty() { Cause::NORMAL_CLEARING } else { Cause::named(&data) };
                return Flow::End(cause, EndedBy::Switch);
            }
            unknown => {
                // FreeSWITCH logs "Invalid Application" and ends the call.
                self.shared.problem(format!("invalid application {unknown}"));
                return Flow::End(Cause::DESTINATION_OUT_OF_ORDER, EndedBy::Switch);
            }
        }
        Flow::Next
    }

    /// 200 OK to the caller, once.
    fn answer(&self) {
        {
            let mut channel = self.shared.channel.lock();
            if channel.answered_us > 0 {
                return;
            }
            channel.answered_us = now_us();
            channel.call_state = CallState::Active;
        }
        self.shared.note(Happening::Answered);
        self.shared.reach(Progress::Answered);
    }

    /// `+seconds [cause]`
    fn schedule_hang_up(&self, data: &str) {
        let mut words = data.split_whitespace();
        let seconds = words.next().and_then(|word| word.strip_prefix('+')).and_then(|word| word.parse().ok());
        let Some(seconds) = seconds else {
            return self.shared.problem(format!("sched_hangup: expected +seconds, got {data:?}"));
        };
        let cause = words.next().map_or(Cause::ALLOTTED_TIMEOUT, Cause::named);
        let control = self.shared.control.downgrade();
        tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            if let Some(control) = control.upgrade() {
                let _ = control.send(Control::Kill(cause));
            }
        });
    }

    /// Lets the caller hear something of the switch's own until the time is over (`None`: for ever) or somebody interferes.
    async fn hear(&mut self, sound: Option<LocalSound>, time: Option<Duration>) -> Flow {
        self.shared.order(Order::Local(sound));
        let flow = tokio::select! {
            control = self.controls.recv() => self.flow_of(control.unwrap_or(Control::CallerHangsUp)),
            () = sleep(time.unwrap_or(Duration::from_secs(86_400))) => Flow::Next,
        };
        self.shared.order(Order::Local(None));
        flow
    }

    fn codecs(&self, dial: &DialString, profile: &Profile) -> Vec<OfferedCodec> {
        if let Some(absolute) = variable(dial, "absolute_codec_string").filter(|list| !list.is_empty()) {
            return self.shared.core.config.known_codecs(absolute);
        }
        // Late negotiation: what the caller offered, whatever the profile prefers; of a caller who is talking already, the codec alone.
        let talking = self.shared.channel.lock().answered_us > 0;
        match self.offered.as_slice() {
            [] => profile.outbound_codecs.clone(),
            [first, ..] if talking => vec![first.clone()],
            all => all.to_vec(),
        }
    }

    async fn bridge(&mut self, data: &str) -> Flow {
        let dial = match dial_string(data) {
            Ok(dial) => {
                // What stands at the bridge itself comes last and wins.
                let exported = dialplan::exported(&self.shared.channel.lock());
                DialString { variables: exported.into_iter().chain(dial.variables).collect(), ..dial }
            }
            Err(problem) => {
                self.shared.problem(problem);
                return self.bridge_failed(Cause::DESTINATION_OUT_OF_ORDER);
            }
        };
        if self.shared.throttled('B') {
            return self.bridge_failed(Cause::DESTINATION_OUT_OF_ORDER);
        }
        let core = self.shared.core.clone();
        if let Some(gateway) = &dial.gateway {
            if core.config.has_gateway(gateway) {
                if let Some(cause) = core.outside_failures.get(&dial.user) {
                    return self.bridge_failed(*cause);
                }
                return self.bridge_outside(data).await;
            }
            self.shared.problem(format!("there is no gateway {gateway:?}"));
            return self.bridge_failed(Cause::INVALID_GATEWAY);
        }
        let Some(profile) = core.config.profile(&dial.profile) else {
            self.shared.problem(format!("there is no profile {:?}", dial.profile));
            return self.bridge_failed(Cause::INVALID_PROFILE);
        };
        let Some(target) = dial.address.and_then(|(ip, port)| core.config.profile_at(ip, port)) else {
            return self.bridge_outside(data).await;
        };
        if core.run_state.refuses_inbound() {
            // Leg C would be a new call to this switch: mod_sofia answers its INVITE with 503, like any other.
            self.shared.problem("paused: the pod's leg is refused, so nobody can take the call over");
            return self.bridge_failed(Cause::NORMAL_TEMPORARY_FAILURE);
        }
        if !core.config.admits(target, profile.sip_ip) {
            self.shared.problem(format!("the access list of profile {} refuses {}", target.name, profile.sip_ip));
            return self.bridge_failed(Cause::CALL_REJECTED);
        }
        if !target.bypass_media || target.session_timers {
            self.shared
                .problem(format!("profile {}: needs inbound-bypass-media=true, enable-timer=false", target.name));
            return self.bridge_failed(Cause::INCOMPATIBLE_DESTINATION);
        }
        // Not in the match itself, where the channel would stay locked.
        let presented = names::present(&self.shared.channel.lock());
        let presented = match presented {
            Ok(presented) => presented,
            Err(problem) => {
                self.shared.problem(problem);
                return self.bridge_failed(Cause::NORMAL_TEMPORARY_FAILURE);
            }
        };
        let bound = core.bind_rtp(profile.rtp_ip).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (rtp, socket) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                self.shared.problem(format!("leg B: {error}"));
                return self.bridge_failed(Cause::NORMAL_TEMPORARY_FAILURE);
            }
        };
        if self.shared.throttled('C') {
            self.refused_with(503, NO_SESSION);
            return self.bridge_failed(Cause::NORMAL_TEMPORARY_FAILURE);
        }
        self.attempts += 1;
        let attempt = self.attempts;
        let codecs = self.codecs(&dial, profile);
        let offer = Offer {
            address: rtp,
            codecs: &codecs,
            dtmf_payload_type: profile.dtmf_payload_type,
            security: variable(&dial, "rtp_secure_media").map_or(Security::None, Security::parse),
            session: 1_700_000_000 + u64::from(random::<u32>() % 100_000_000),
            // Leg B takes leg A's hold over, unless it is told what to offer.
            held: self.shared.held.load(Ordering::Relaxed)
                && variable(&dial, "origination_audio_mode").is_none_or(|mode| mode != "sendrecv"),
        };
        let mut leg = self.start_leg(&dial, (profile, target), presented, &offer, attempt);
        let limit = seconds(&dial, "leg_timeout").unwrap_or(LEG_TIMEOUT);
        let (sdp, setup_ms) = match self.wait_for_answer(&mut leg, limit).await {
            Ok(answer) => answer,
            Err(flow) => return flow,
        };
        let media = match read_answer(&sdp, &offer) {
            Ok(media) => media,
            Err(error) => {
                self.shared.problem(format!("answer refused: {error}"));
                leg.command(LegCommand::Bye(Cause::INCOMPATIBLE_DESTINATION));
                return self.leg_ended(attempt, Cause::INCOMPATIBLE_DESTINATION, false);
            }
        };
        if !self.agrees_with_caller() {
            self.shared.problem("a=crypto in RTP/AVP: the caller's offer is refused");
            leg.command(LegCommand::Bye(Cause::INCOMPATIBLE_DESTINATION));
            return Flow::End(Cause::INCOMPATIBLE_DESTINATION, EndedBy::Switch);
        }
        leg.command(LegCommand::Ack);
        let (events, media_events) = mpsc::unbounded_channel();
        let media_timeout = variable(&dial, "media_timeout").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let format = LegFormat { media };
        self.shared.order(Order::Attach(Box::new(NewLeg { attempt, socket, format, media_timeout, events })));
        self.shared.note(Happening::LegAnswered { attempt, setup_ms, remote: media.remote.to_string() });
        self.answer();
        self.stay_bridged(leg, media_events, attempt).await
    }

    fn start_leg(
        &self,
        dial: &DialString,
        (profile, target): (&Profile, &Profile),
        presented: Presented,
        offer: &Offer<'_>,
        attempt: u32,
    ) -> pod::PodLeg {
        let headers = dial.variables.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("sip_h_")?;
            Some((name.to_owned(), value.clone()))
        });
        let inbound = OfferedCodec::list(&target.inbound_codec_string);
        let common = offer.codecs.iter().filter(|codec| inbound.iter().any(|known| known.name == codec.name));
        let codec_string = common.map(OfferedCodec::endpoint_name).collect::<Vec<_>>().join(",");
        let new = NewPodLeg {
            profile: target.clone(),
            source: SocketAddr::new(profile.sip_ip, profile.sip_port),
            destination: dial.user.clone(),
            presented,
            sip_headers: headers.collect(),
            offer: offer.to_sdp(),
            codec_string,
            max_forwards: 70_u32.saturating_sub(attempt),
            attempt,
            rtp: offer.address,
        };
        pod::start(self.shared, new)
    }

    /// The answer's SDP and how long the pod took, or what follows without one.
    async fn wait_for_answer(&mut self, leg: &mut pod::PodLeg, limit: Duration) -> Result<(String, f64), Flow> {
        let attempt = self.attempts;
        let deadline = Instant::now() + limit;
        tokio::select! {
            event = leg.events.recv() => match event {
                Some(LegEvent::Answered { sdp, setup_ms }) => Ok((sdp, setup_ms)),
                Some(LegEvent::Ended(cause)) => Err(self.leg_ended(attempt, cause, false)),
                None => Err(self.leg_ended(attempt, Cause::DESTINATION_OUT_OF_ORDER, false)),
            },
            control = self.controls.recv() => {
                leg.command(LegCommand::Cancel);
                self.shared.note(Happening::LegEnded { attempt, cause: Cause::ORIGINATOR_CANCEL });
                Err(self.flow_of(control.unwrap_or(Control::CallerHangsUp)))
            }
            () = sleep_until(deadline) => {
                self.shared.note(Happening::LegTimeout);
                leg.command(LegCommand::Cancel);
                Err(self.leg_ended(attempt, Cause::NO_ANSWER, false))
            }
        }
    }

    async fn stay_bridged(
        &mut self,
        mut leg: pod::PodLeg,
        mut media: mpsc::UnboundedReceiver<MediaEvent>,
        attempt: u32,
    ) -> Flow {
        let flow = tokio::select! {
            event = async {
                loop {
                    match leg.events.recv().await {
                        Some(LegEvent::Answered { .. }) => {}
                        Some(LegEvent::Ended(cause)) => return cause,
                        None => return Cause::DESTINATION_OUT_OF_ORDER,
                    }
                }
            } => {
                // The bridge looks at its legs once a frame.
                sleep(self.shared.core.tick).await;
                self.leg_ended(attempt, event, true)
            }
            Some(MediaEvent::Timeout) = media.recv() => {
                self.shared.note(Happening::MediaTimeout);
                leg.command(LegCommand::Bye(Cause::MEDIA_TIMEOUT));
                sleep(self.shared.core.tick).await;
                self.leg_ended(attempt, Cause::MEDIA_TIMEOUT, true)
            }
            control = self.controls.recv() => {
                let flow = self.flow_of(control.unwrap_or(Control::CallerHangsUp));
                let cause = if let Flow::End(cause, _) = &flow { *cause } else { Cause::NORMAL_CLEARING };
                leg.command(LegCommand::Bye(cause));
                self.shared.note(Happening::LegEnded { attempt, cause });
                flow
            }
        };
        self.shared.order(Order::Detach);
        flow
    }

    /// Leg B is over while the caller is still there: what the bridge leaves behind, and what follows.
    fn leg_ended(&self, attempt: u32, cause: Cause, was_bridged: bool) -> Flow {
        self.shared.note(Happening::LegEnded { attempt, cause });
        if !was_bridged {
            match cause.sip_status() {
                503 => self.refused_with(503, "Service Unavailable"),
                status => self.refused_with(status, cause.name()),
            }
            return self.bridge_failed(cause);
        }
        let mut channel = self.shared.channel.lock();
        for name in ["bridge_hangup_cause", "last_bridge_hangup_cause"] {
            channel.variables.set(name, cause.name());
        }
        channel.variables.set("originate_disposition", "SUCCESS");
        if channel.variables.get("hangup_after_bridge") == Some("true") {
            return Flow::End(cause, EndedBy::Switch);
        }
        Flow::Next
    }

    /// What leg B's INVITE was answered, as leg A has it.
    fn refused_with(&self, status: u16, phrase: &str) {
        let mut channel = self.shared.channel.lock();
        channel.variables.set("sip_invite_failure_status", status.to_string());
        channel.variables.set("sip_invite_failure_phrase", phrase);
    }

    fn bridge_failed(&self, cause: Cause) -> Flow {
        let mut channel = self.shared.channel.lock();
        channel.variables.set("originate_disposition", cause.name());
        channel.variables.set("originate_failed_cause", cause.name());
        let goes_on = channel.variables.get("continue_on_fail").is_some_and(|value| {
            let mut causes = value.split(',').map(str::trim);
            causes.any(|word| {
                word == "true" || word.eq_ignore_ascii_case(cause.name()) || word == cause.number().to_string()
            })
        });
        if goes_on { Flow::Next } else { Flow::End(cause, EndedBy::Switch) }
    }

    /// Somebody whom this switch does not play: answered at once, silent, until the caller hangs up.
    async fn bridge_outside(&mut self, data: &str) -> Flow {
        self.shared.note(Happening::BridgedOutside { to: masked::data("bridge", data) });
        self.answer();
        self.hear(None, None).await
    }
}

fn variable<'a>(dial: &'a DialString, name: &str) -> Option<&'a str> {
    dial.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn seconds(dial: &DialString, name: &str) -> Option<Duration> {
    variable(dial, name).and_then(|value| value.trim().parse().ok()).map(Duration::from_secs)
}
