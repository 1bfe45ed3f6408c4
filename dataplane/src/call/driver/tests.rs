//! Calls that meet faults of ours: a stand-in for the switch on a real connection, a real media worker, and what breaks is
//! broken here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::audio::{Codec, VoiceSettings};
use crate::backend::{MockBackend, MockSettings, apology};
use crate::call::caller::Caller;
use crate::call::{CallsConfig, CallsParts, HANDED_OVER_VARIABLE, STATE_VARIABLE};
use crate::esl::{OutboundEvent, OutboundSettings};
use crate::metrics::{Metrics, WorkerCounters};
use crate::record::Privacy;
use crate::sessions::{Admission, Registry};
use crate::settings::CallLimits;
use crate::turn::conversation::ConversationSettings;
use crate::turn::endpointing::EndpointingSettings;
use crate::turn::history::{Message, Role};
use crate::turn::state::SavedState;
use crate::turn::transcript::TranscriptCheck;
use crate::worker::{Workers, WorkersConfig};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the stand-in was told, and what its leg A holds.
#[derive(Default)]
struct Seen {
    commands: Vec<String>,
    variables: HashMap<String, String>,
}

/// A switch with one call for a pod.
struct Switch {
    seen: Arc<Mutex<Seen>>,
    says: mpsc::UnboundedSender<String>,
    task: JoinHandle<()>,
}

impl Switch {
    /// A switch whose leg A holds `state`, and the pod's end of its connection. `attempt` 1: the first pod.
    async fn with(attempt: u32, state: Option<&str>) -> (Self, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        if let Some(state) = state {
            seen.lock().unwrap().variables.insert(STATE_VARIABLE.to_owned(), state.to_owned());
        }
        let (says, saying) = mpsc::unbounded_channel();
        let task = tokio::spawn(serve(ours, attempt, Arc::clone(&seen), saying));
        (Self { seen, says, task }, theirs)
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
        self.variable(STATE_VARIABLE).map(|text| SavedState::decode(&text).expect("pods keep what pods can read"))
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
    attempt: u32,
    seen: Arc<Mutex<Seen>>,
    mut saying: mpsc::UnboundedReceiver<String>,
) {
    let (mut received, mut buffer) = (String::new(), [0; 8 << 10]);
    loop {
        while let Some(command) = take_command(&mut received) {
            let reply = reply(&command, attempt, &seen);
            seen.lock().unwrap().commands.push(command);
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length) if length > 0 => received.push_str(&String::from_utf8_lossy(&buffer[..length])),
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

fn reply(command: &str, attempt: u32, seen: &Mutex<Seen>) -> String {
    const OK: &str = "Content-Type: command/reply\nReply-Text: +OK\n\n";
    let api = |body: &str| format!("Content-Type: api/response\nContent-Length: {}\n\n{body}", body.len());
    let mut words = command.split_whitespace();
    match (words.next(), words.next(), words.nth(1), words.next()) {
        (Some("connect"), ..) => format!(
            "Event-Name: CHANNEL_DATA\nUnique-ID: leg-c\nCaller-Destination-Number: 100\n\
             variable_sip_h_X-Call-UUID: leg-a\nvariable_sip_h_X-Attempt: {attempt}\n\
             variable_switch_r_sdp: {}\nContent-Type: command/reply\nReply-Text: %2BOK%0A\n\n",
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
        let calls = Arc::new(calls());
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
    async fn outcome(self) -> String {
        tokio::time::timeout(PATIENCE, self.call).await.expect("the call ends").unwrap();
        let text = self.calls.parts.metrics.scrape(Instant::now());
        let outcomes = text
            .lines()
            .filter_map(|line| line.strip_prefix("sofia_phone_sessions_total{outcome=\"")?.strip_suffix("\"} 1"));
        outcomes.collect::<Vec<_>>().join(" ")
    }
}

fn calls() -> Calls {
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
    let config = CallsConfig {
        outbound: OutboundSettings::default(),
        codecs: vec![Codec::Pcmu],
        rtp_address: None,
        inband_keys: InbandKeys::Disabled,
        jitter_max: Duration::from_millis(60),
        conversation: ConversationSettings::default(),
        endpointing: EndpointingSettings::default(),
        voice: VoiceSettings::default(),
        transcripts: TranscriptCheck::None,
        echo_number: Some("9999".to_owned()),
        transfer_context: "edge".to_owned(),
        privacy: Privacy::Masked,
        pod: None,
    };
    let parts = CallsParts {
        workers: Workers::start(WorkersConfig { host, start_port: 0 }, &counters).unwrap(),
        backend: Arc::new(MockBackend::new(MockSettings::INSTANT)),
        apology: apology::bundled().clone(),
        admission: Admission::new(limits, now),
        registry: Registry::new(),
        metrics: Arc::new(Metrics::new(counters, now)),
        handover: CancellationToken::new(),
        records: None,
    };
    Calls::new(config, parts)
}

/// What a pod before this one has kept.
fn earlier() -> SavedState {
    let said = |role, content: &str| Message { role, content: content.to_owned() };
    SavedState {
        version: crate::turn::state::FORMAT,
        turn: 1,
        history: vec![
            said(Role::Assistant, "Hello."),
            said(Role::User, "A table."),
            said(Role::Assistant, "For whom?"),
        ],
        ..SavedState::default()
    }
}

/// Until the pod before this one's state is known here and kept anew.
async fn taken_over(switch: &Switch) {
    let taken = async {
        while switch.kept().is_none_or(|state| state.takeovers == 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the call is taken over");
}

#[tokio::test]
async fn a_stream_that_fails_costs_the_caller_neither_the_call_nor_the_conversation() {
    let (mut switch, socket) = Switch::with(2, Some(&earlier().encode())).await;
    let pod = Pod::takes(socket, None).await;
    taken_over(&switch).await;
    pod.media_tell(MediaEvent::Failed).await;
    assert_eq!(switch.left().await, None, "the leg is left, not hung up");
    assert_eq!(pod.outcome().await, "error");
    let kept = switch.kept().unwrap();
    assert_eq!((kept.history, kept.takeovers), (earlier().history, 1));
    assert_eq!(switch.variable(HANDED_OVER_VARIABLE), None, "it counts as a failed attempt");
}

#[tokio::test]
async fn a_media_worker_that_is_gone_is_no_end_of_the_call() {
    let (mut switch, socket) = Switch::with(2, Some(&earlier().encode())).await;
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
        let (mut switch, socket) = Switch::with(2, Some(&earlier().encode())).await;
        let pod = Pod::takes(socket, Some(Box::new(Faulty { at }))).await;
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
        let (switch, socket) = Switch::with(2, Some(&earlier().encode())).await;
        let pod = Pod::takes(socket, None).await;
        taken_over(&switch).await;
        switch.says_event("CHANNEL_HANGUP", &format!("Hangup-Cause: {cause}\n"));
        assert_eq!(pod.outcome().await, outcome, "{cause}");
    }
}
