//! Calls that meet faults of ours: a stand-in for the switch on a real connection, a real media worker, and what breaks is
//! broken here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::audio::{Codec, VoiceSettings};
use crate::backend::{MockBackend, MockSettings, apology};
use crate::call::agent::{Agents, TurnsProfile};
use crate::call::caller::Caller;
use crate::call::dialogue::SavedEcho;
use crate::call::{CallsConfig, CallsParts, HANDED_OVER_VARIABLE, STATE_VARIABLE, state};
use crate::esl::{OutboundEvent, OutboundSettings};
use crate::metrics::{Metrics, WorkerCounters};
use crate::record::Privacy;
use crate::sessions::{Admission, Handover, Registry};
use crate::settings::CallLimits;
use crate::turn::conversation::ConversationSettings;
use crate::turn::endpointing::EndpointingSettings;
use crate::turn::history::{Message, Role};
use crate::turn::state::SavedState;
use crate::turn::transcript::TranscriptCheck;
use crate::worker::{Utterance, Workers, WorkersConfig};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any call here.
const LONG: Duration = Duration::from_secs(3_600);

/// What the stand-in was told, and what its leg A holds.
#[derive(Default)]
struct Seen {
    /// Commands that were answered.
    commands: Vec<String>,
    /// All that came, answered or not.
    came: String,
    /// What else stands in the channel's data, a line each.
    channel: String,
    variables: HashMap<String, String>,
}

/// What becomes of the question for the state that was left.
enum Reading {
    /// It is answered.
    Answered,
    /// It is refused.
    Refused,
    /// It and all that comes after it are answered when they are released.
    Held(Arc<Notify>),
}

/// A switch with one call for a pod.
struct Switch {
    seen: Arc<Mutex<Seen>>,
    says: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Switch {
    /// A switch whose leg A holds `state`, which a pod before this one has left, and the pod's end of its connection.
    async fn with(state: &str, reading: Reading) -> (Self, TcpStream) {
        Self::telling("", state, reading).await
    }

    /// The same, with this in the channel's data too, a line each.
    async fn telling(channel: &str, state: &str, reading: Reading) -> (Self, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        let seen = Arc::new(Mutex::new(Seen { channel: channel.to_owned(), ..Seen::default() }));
        seen.lock().unwrap().variables.insert(STATE_VARIABLE.to_owned(), state.to_owned());
        let (says, saying) = mpsc::unbounded_channel();
        let task = tokio::spawn(serve(ours, reading, Arc::clone(&seen), saying));
        (Self { seen, says, task }, theirs)
    }

    /// Waits until the pod has sent `text`, answered or not.
    async fn is_told(&self, text: &str) {
        until_true("the pod says more", || self.seen.lock().unwrap().came.contains(text)).await;
    }

    fn says_event(&self, name: &str, more: &str) {
        self.says.send(event(name, more)).unwrap();
    }

    /// What leg A holds.
    fn variable(&self, name: &str) -> Option<String> {
        self.seen.lock().unwrap().variables.get(name).cloned()
    }

    /// The conversation that leg A holds.
    fn kept(&self) -> Option<SavedState> {
        self.variable(STATE_VARIABLE).map(|text| state::read(&text).expect("pods keep what pods can read"))
    }

    /// Waits until the pod has closed the connection, and gives what it hung up with, if it did.
    async fn left(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the pod leaves").unwrap();
        let seen = self.seen.lock().unwrap();
        let cause = |command: &String| Some(command.split_once("hangup-cause: ")?.1.trim().to_owned());
        seen.commands.iter().find_map(cause)
    }
}

fn event(name: &str, more: &str) -> String {
    let inner = format!("Event-Name: {name}\nUnique-ID: leg-c\n{more}\n");
    format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{inner}", inner.len())
}

/// Answers commands as FreeSWITCH does, until the pod closes the connection.
async fn serve(
    mut stream: TcpStream,
    reading: Reading,
    seen: Arc<Mutex<Seen>>,
    mut saying: mpsc::UnboundedReceiver<String>,
) {
    let (mut received, mut buffer) = (String::new(), [0; 8 << 10]);
    loop {
        while let Some(command) = take_command(&mut received) {
            let asked = command.starts_with("api uuid_getvar") && command.contains(STATE_VARIABLE);
            if let (true, Reading::Held(released)) = (asked, &reading) {
                let mut released = std::pin::pin!(released.notified());
                loop {
                    tokio::select! {
                        () = &mut released => break,
                        read = stream.read(&mut buffer) => {
                            let more = String::from_utf8_lossy(&buffer[..read.unwrap_or(0)]).into_owned();
                            assert!(!more.is_empty(), "the pod waits for the answer");
                            received.push_str(&more);
                            seen.lock().unwrap().came.push_str(&more);
                        }
                    }
                }
            }
            let refused = asked && matches!(reading, Reading::Refused);
            let reply = if refused { api("-ERR no reply\n") } else { reply(&command, &seen) };
            seen.lock().unwrap().commands.push(command);
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length) if length > 0 => {
                    let more = String::from_utf8_lossy(&buffer[..length]);
                    received.push_str(&more);
                    seen.lock().unwrap().came.push_str(&more);
                }
                _ => return,
            },
            Some(said) = saying.recv() => {
                if stream.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn api(body: &str) -> String {
    format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len())
}

fn reply(command: &str, seen: &Mutex<Seen>) -> String {
    const OK: &str = "Content-Type: command/reply\nReply-Text: +OK\n\n";
    let mut words = command.split_whitespace();
    match (words.next(), words.next(), words.nth(1), words.next()) {
        (Some("connect"), ..) => format!(
            "Event-Name: CHANNEL_DATA\nUnique-ID: leg-c\nCaller-Destination-Number: 100\n\
             variable_sip_h_X-Call-UUID: leg-a\nvariable_sip_h_X-Attempt: 2\n{}\
             variable_switch_r_sdp: {}\nContent-Type: command/reply\nReply-Text: %2BOK%0A\n\n",
            seen.lock().unwrap().channel,
            offer()
        ),
        (Some("api"), Some("uuid_setvar"), Some(name), value) => {
            let mut seen = seen.lock().unwrap();
            match value {
                Some(value) => seen.variables.insert(name.to_owned(), value.to_owned()),
                None => seen.variables.remove(name),
            };
            api("+OK\n")
        }
        (Some("api"), Some("uuid_getvar"), Some(name), _) => {
            api(seen.lock().unwrap().variables.get(name).map_or("_undef_", String::as_str))
        }
        _ if command.contains("execute-app-name: answer") => format!("{OK}{}", event("CHANNEL_ANSWER", "")),
        _ => OK.to_owned(),
    }
}

/// An offer of an address where somebody listens, percent-encoded as in the channel's data.
fn offer() -> String {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
    );
    offer.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The first whole command, head and body.
fn take_command(received: &mut String) -> Option<String> {
    let end = received.find("\n\n")? + 2;
    let length = received[..end].lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = end + length.unwrap_or(0);
    (received.len() >= whole).then(|| received.drain(..whole).collect())
}

/// A pod with one call.
struct Pod {
    calls: Arc<Calls>,
    /// What the call takes for its media worker; `None` when that is gone.
    media: Option<mpsc::Sender<MediaEvent>>,
    worker: JoinHandle<()>,
    call: JoinHandle<()>,
}

impl Pod {
    /// Takes the call of `socket`, with this in place of its dialogue if there is anything.
    async fn takes(socket: TcpStream, dialogue: Option<Box<dyn Dialogue>>) -> Self {
        Self::settling(socket, dialogue, LONG).await
    }

    /// The same, where the losses before count no more once the call has gone well for so long.
    async fn settling(socket: TcpStream, dialogue: Option<Box<dyn Dialogue>>, settled_after: Duration) -> Self {
        let calls = Arc::new(calls(settled_after));
        let mut connection = Connection::new(socket, OutboundSettings::default());
        let OutboundEvent::Offered(data) = connection.next().await else { panic!("expected a call") };
        let identity = calls.identify(&data, Caller::default());
        let mut begun = calls.begin(&mut connection, &data, identity).unwrap();
        let (media, events) = mpsc::channel(512);
        let mut told = std::mem::replace(&mut begun.events, events);
        let worker = tokio::spawn({
            let media = media.clone();
            async move {
                while let Some(event) = told.recv().await {
                    let _ = media.send(event).await;
                }
            }
        });
        let call = tokio::spawn({
            let calls = Arc::clone(&calls);
            async move {
                let permit = calls.parts.admission.try_admit().unwrap();
                let mut driver = Driver::new(&calls, connection, begun, Instant::now());
                if let Some(dialogue) = dialogue {
                    driver.dialogue = dialogue;
                }
                driver.run(permit).await;
            }
        });
        Self { calls, media: Some(media), worker, call }
    }

    async fn media_tell(&self, event: MediaEvent) {
        self.media.as_ref().expect("the worker lives").send(event).await.unwrap();
    }

    /// As if the worker's thread had ended.
    async fn loses_its_worker(&mut self) {
        self.worker.abort();
        let _ = (&mut self.worker).await;
        self.media = None;
    }

    /// Waits for the call's end, and says by which outcomes it was counted.
    async fn outcome(&mut self) -> String {
        tokio::time::timeout(PATIENCE, &mut self.call).await.expect("the call ends").unwrap();
        self.counted("sofia_phone_sessions_total{outcome=")
    }

    /// The labels behind `name` in the figures that are 1.
    fn counted(&self, name: &str) -> String {
        let text = self.calls.parts.metrics.scrape(Instant::now());
        let ones = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_suffix("} 1"));
        ones.map(|label| label.trim_matches('"')).collect::<Vec<_>>().join(" ")
    }

    fn takeovers(&self) -> u64 {
        self.calls.parts.metrics.takeovers.get()
    }

    /// A second of the caller's speech has been heard.
    async fn hears_the_caller(&self) {
        let now = Instant::now();
        self.media_tell(MediaEvent::SpeechStarted { at: now }).await;
        let pcm = [8_000, 8_000, -8_000, -8_000].repeat(4_000);
        let utterance = Utterance { pcm, speech: Duration::from_secs(1), started: now, ended: now };
        self.media_tell(MediaEvent::Utterance(utterance)).await;
    }
}

fn calls(settled_after: Duration) -> Calls {
    let now = Instant::now();
    let counters = vec![Arc::new(WorkerCounters::new())];
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let limits = CallLimits {
        max_sessions: 1,
        ready_low_water: 0,
        max_sessions_per_caller: None,
        setup_rate_per_second: None,
        max_lateness: None,
        max_missed_percent: 1,
        max_load_percent: None,
    };
    let turns = TurnsProfile {
        conversation: ConversationSettings::default(),
        transcripts: TranscriptCheck::None,
        backend: Arc::new(MockBackend::new(MockSettings::INSTANT)),
        pace: Arc::default(),
    };
    let agent = AgentProfile {
        name: "agent".to_owned(),
        dialogue: DialogueProfile::Turns(Box::new(turns)),
        endpointing: EndpointingSettings::default(),
        voice: VoiceSettings::default(),
        transfer_context: "edge".to_owned(),
    };
    let config = CallsConfig {
        outbound: OutboundSettings::default(),
        codecs: vec![Codec::Pcmu],
        rtp_address: None,
        inband_keys: InbandKeys::Disabled,
        jitter_max: Duration::from_millis(60),
        settled_after,
        agents: Agents::new(agent),
        privacy: Privacy::Masked,
        pod: None,
    };
    let parts = CallsParts {
        workers: Workers::start(WorkersConfig { host, start_port: 0 }, &counters).unwrap(),
        apology: apology::bundled().clone(),
        admission: Admission::new(limits, now),
        registry: Registry::new(),
        metrics: Arc::new(Metrics::new(counters, now)),
        handover: Handover::new(1_000),
        records: None,
        arriving: tokio_util::task::TaskTracker::new(),
    };
    Calls::new(config, parts)
}

/// What a pod before this one has kept.
fn earlier() -> SavedState {
    let said = |role, content: &str| Message { role, content: content.to_owned() };
    SavedState {
        turn: 1,
        history: vec![
            said(Role::Assistant, "Hello."),
            said(Role::User, "A table."),
            said(Role::Assistant, "For whom?"),
        ],
        ..SavedState::default()
    }
}

async fn until_true(what: &str, holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("expected that {what}"));
}

/// Until the state of the pod before this one is known here and kept anew.
async fn taken_over(switch: &Switch) {
    until_true("the call is taken over", || switch.kept().is_some_and(|state| state.takeovers > 0)).await;
}

#[tokio::test]
async fn a_stream_that_fails_costs_the_caller_neither_the_call_nor_the_conversation() {
    let (mut switch, socket) = Switch::with(&state::write(&earlier()), Reading::Answered).await;
    let mut pod = Pod::takes(socket, None).await;
    taken_over(&switch).await;
    pod.media_tell(MediaEvent::Failed).await;
    assert_eq!(switch.left().await, None, "the leg is left, not hung up");
    assert_eq!(pod.outcome().await, "error");
    let kept = switch.kept().unwrap();
    assert_eq!((kept.history, kept.takeovers), (earlier().history, 1));
    assert_eq!(pod.takeovers(), 1);
    assert_eq!(switch.variable(HANDED_OVER_VARIABLE), None, "it counts as a failed attempt");
}

#[tokio::test]
async fn a_media_worker_that_is_gone_is_no_end_of_the_call() {
    let (mut switch, socket) = Switch::with(&state::write(&earlier()), Reading::Answered).await;
    let mut pod = Pod::takes(socket, None).await;
    taken_over(&switch).await;
    pod.loses_its_worker().await;
    assert_eq!(switch.left().await, None, "the leg is left, not hung up");
    assert_eq!(pod.outcome().await, "media_lost");
    assert_eq!(switch.kept().unwrap().history, earlier().history);
}

/// Meets a fault when it is told, or asked, for the first time.
struct Faulty {
    /// Where: in `handle`, `poll_backend`, `handle_timeout` or `poll_wish`.
    at: &'static str,
}

impl Faulty {
    fn meet(&self, at: &str) {
        assert!(self.at != at, "a bug of ours, on purpose");
    }
}

impl Dialogue for Faulty {
    fn handle(&mut self, _: Instant, _: Happening, _: &mut Desk) {
        self.meet("handle");
    }

    fn poll_backend(&mut self, _: &mut std::task::Context<'_>, _: &mut Desk) -> Poll<()> {
        self.meet("poll_backend");
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(Instant::now())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Desk) {
        self.meet("handle_timeout");
    }

    fn poll_wish(&mut self, _: &mut Desk) -> Option<Wish> {
        self.meet("poll_wish");
        None
    }
}

#[tokio::test]
async fn a_dialogue_that_panics_leaves_the_call_and_what_was_kept_to_the_next_pod() {
    for at in ["handle", "poll_backend", "handle_timeout", "poll_wish"] {
        let (mut switch, socket) = Switch::with(&state::write(&earlier()), Reading::Answered).await;
        let mut pod = Pod::takes(socket, Some(Box::new(Faulty { at }))).await;
        assert_eq!(switch.left().await, None, "{at}: the leg is left, not hung up");
        assert_eq!(pod.outcome().await, "error", "{at}");
        assert_eq!(switch.kept(), Some(earlier()), "{at}");
    }
}

#[tokio::test]
async fn why_the_switch_ended_a_leg_is_told_apart() {
    for (cause, outcome) in
        [("NORMAL_CLEARING", "caller_hung_up"), ("MEDIA_TIMEOUT", "media_lost"), ("SYSTEM_SHUTDOWN", "switch_lost")]
    {
        let (switch, socket) = Switch::with(&state::write(&earlier()), Reading::Answered).await;
        let mut pod = Pod::takes(socket, None).await;
        taken_over(&switch).await;
        switch.says_event("CHANNEL_HANGUP", &format!("Hangup-Cause: {cause}\n"));
        assert_eq!(pod.outcome().await, outcome, "{cause}");
    }
}

#[tokio::test]
async fn a_pod_that_gives_a_call_away_before_it_knows_the_conversation_leaves_that_alone() {
    let released = Arc::new(Notify::new());
    let (mut switch, socket) = Switch::with(&state::write(&earlier()), Reading::Held(Arc::clone(&released))).await;
    let mut pod = Pod::takes(socket, None).await;
    pod.calls.parts.handover.begin(Instant::now(), 1);
    switch.is_told(HANDED_OVER_VARIABLE).await;
    released.notify_one();
    assert_eq!(switch.left().await, None);
    assert_eq!(pod.outcome().await, "handed_over");
    assert_eq!(switch.kept(), Some(earlier()));
    assert_eq!(switch.variable(HANDED_OVER_VARIABLE).as_deref(), Some("2"));
}

/// What counts calls that could not be taken over, by why.
const UNREAD: &str = "sofia_phone_takeovers_failed_total{reason=";

/// Gives a call away at once that it could not take over, and says what leg A holds then.
async fn given_away_unread(state: &str, reading: Reading, reason: &str) -> Option<String> {
    let (mut switch, socket) = Switch::with(state, reading).await;
    let mut pod = Pod::takes(socket, None).await;
    until_true("the state can't be read", || pod.counted(UNREAD) == reason).await;
    pod.calls.parts.handover.begin(Instant::now(), 1);
    assert_eq!(switch.left().await, None);
    assert_eq!((pod.outcome().await.as_str(), pod.takeovers()), ("handed_over", 0));
    switch.variable(STATE_VARIABLE)
}

#[tokio::test]
async fn what_a_pod_can_not_read_is_left_to_one_that_can() {
    // {"v":9,"min_reader":9}, and a state of another kind of conversation.
    for (state, reason) in [
        ("eyJ2Ijo5LCJtaW5fcmVhZGVyIjo5fQ", "too_new"),
        ("eyJ2IjoxLCJraW5kIjoiYm90In0", "other_kind"),
        ("what-is-this", "unreadable"),
    ] {
        assert_eq!(given_away_unread(state, Reading::Answered, reason).await.as_deref(), Some(state));
    }
}

#[tokio::test]
async fn a_state_that_the_switch_does_not_give_is_not_taken_for_none() {
    let state = state::write(&earlier());
    assert_eq!(given_away_unread(&state, Reading::Refused, "not_given").await, Some(state));
}

#[tokio::test]
async fn what_could_not_be_read_gives_way_to_what_the_caller_says() {
    let (switch, socket) = Switch::with("what-is-this", Reading::Answered).await;
    let pod = Pod::takes(socket, None).await;
    until_true("the pod has begun", || !pod.counted(UNREAD).is_empty()).await;
    pod.hears_the_caller().await;
    until_true("the caller's words are kept", || {
        switch
            .variable(STATE_VARIABLE)
            .is_some_and(|text| state::read::<SavedState>(&text).is_ok_and(|state| state.has_callers_words()))
    })
    .await;
}

#[tokio::test]
async fn the_time_of_an_echo_goes_on_over_all_the_pods_that_it_visits() {
    const LONGEST: Duration = Duration::from_secs(600);
    let echo = || Some(Box::new(Echo::new(Instant::now(), LONGEST, true)) as Box<dyn Dialogue>);
    let left = state::write(&SavedEcho { elapsed_ms: 599_000 });
    let (mut switch, socket) = Switch::with(&left, Reading::Answered).await;
    let mut pod = Pod::takes(socket, echo()).await;
    assert_eq!(switch.left().await.as_deref(), Some("NORMAL_CLEARING"));
    assert_eq!(pod.outcome().await, "max_duration");

    let left = state::write(&SavedEcho { elapsed_ms: 300_000 });
    let (mut switch, socket) = Switch::with(&left, Reading::Answered).await;
    let mut pod = Pod::takes(socket, echo()).await;
    until_true("its time is kept anew", || switch.variable(STATE_VARIABLE).is_some_and(|kept| kept != left)).await;
    pod.calls.parts.handover.begin(Instant::now(), 1);
    assert_eq!(switch.left().await, None);
    assert_eq!(pod.outcome().await, "handed_over");
    let kept: SavedEcho = state::read(&switch.variable(STATE_VARIABLE).unwrap()).unwrap();
    assert!((300_000..600_000).contains(&kept.elapsed_ms), "{kept:?}");
}

#[tokio::test]
async fn a_caller_whose_transfer_failed_is_no_takeover_and_the_model_knows_why() {
    let channel = "variable_sip_h_X-Answered: true\nvariable_sip_h_X-Transfer-Failed: USER_BUSY\n";
    let (switch, socket) = Switch::telling(channel, &state::write(&earlier()), Reading::Answered).await;
    let pod = Pod::takes(socket, None).await;
    taken_over(&switch).await;
    assert_eq!((pod.takeovers(), pod.calls.parts.metrics.transfers_returned.get()), (0, 1));
    let told = |state: &SavedState| state.history.iter().any(|said| said.content.contains("failed: the line is busy."));
    until_true("the model is told", || switch.kept().is_some_and(|state| told(&state))).await;
}

#[tokio::test]
async fn a_caller_who_was_talking_is_not_greeted_by_a_pod_that_can_not_read_of_what() {
    let channel = "variable_sip_h_X-Answered: true\n";
    let (switch, socket) = Switch::telling(channel, "what-is-this", Reading::Answered).await;
    let pod = Pod::takes(socket, None).await;
    until_true("the pod has begun", || !pod.counted(UNREAD).is_empty()).await;
    pod.hears_the_caller().await;
    until_true("the caller's words are kept", || {
        switch.variable(STATE_VARIABLE).is_some_and(|text| {
            state::read::<SavedState>(&text).is_ok_and(|state| {
                let greeted = state.history.iter().any(|said| said.content == ConversationSettings::default().greeting);
                assert!(!greeted);
                state.has_callers_words()
            })
        })
    })
    .await;
}

/// Wishes the caller transferred when a key is pressed.
struct Transferring(Option<Wish>);

impl Dialogue for Transferring {
    fn handle(&mut self, _: Instant, happening: Happening, _: &mut Desk) {
        if let Happening::Media(MediaEvent::Dtmf { .. }) = happening {
            self.0 = Some(Wish::Transfer("1001".to_owned()));
        }
    }

    fn poll_backend(&mut self, _: &mut std::task::Context<'_>, _: &mut Desk) -> Poll<()> {
        Poll::Pending
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Desk) {}

    fn poll_wish(&mut self, _: &mut Desk) -> Option<Wish> {
        self.0.take()
    }
}

#[tokio::test]
async fn a_call_that_has_gone_well_for_long_has_its_losses_counted_anew_but_a_caller_who_comes_back_has_lost_no_pod() {
    let (switch, socket) = Switch::with(&state::write(&earlier()), Reading::Answered).await;
    let pod = Pod::settling(socket, Some(Box::new(Transferring(None))), Duration::from_millis(50)).await;
    let counted_anew = || switch.variable(HANDED_OVER_VARIABLE);
    until_true("it has gone well for long", || counted_anew().as_deref() == Some("2")).await;
    pod.media_tell(MediaEvent::Dtmf { digit: '1' }).await;
    switch.is_told("api uuid_transfer leg-a 1001").await;
    assert_eq!(counted_anew(), None);
}
