//! Whoever reaches a pod's ports and means it no good: cut off with a reason, counted, and nothing that a call notices.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use e2e::{PATIENCE, PodProcess, eventually, switch, voice};
use switchsim::{CallHandle, CallOutcome, CallPlan, EndedBy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const ERRORS: &str = "sofia_phone_esl_errors_total";
const REFUSED_BYTES: &str = "a connection to the ESL port brought no call";

/// Starts a call that is greeted and stays.
async fn good_call(pod: &PodProcess) -> CallHandle {
    let switch = switch(&[&pod.esl()]).start().unwrap();
    let call = switch.dial(CallPlan::new("15550100"));
    call.agent_finishes(PATIENCE).await.unwrap();
    call
}

/// The call is still answered; then it ends.
async fn ends_well(call: CallHandle) -> CallOutcome {
    let spoken = call.snapshot().agent_speech.len();
    call.say(&voice("go_forward")).await;
    let answered = call.wait_until("an answer", PATIENCE, |call| call.agent_speech.len() > spoken);
    answered.await.unwrap();
    call.hang_up();
    let outcome = call.outcome().await;
    println!("{outcome}");
    assert_eq!((outcome.ended_by, outcome.attempts), (EndedBy::Caller, 1));
    let leg = &outcome.legs[0];
    assert_eq!(
        (leg.lost, leg.reordered, leg.duplicated, leg.foreign, leg.malformed, leg.streams),
        (0, 0, 0, 0, 0, 1),
        "{leg:?}"
    );
    outcome
}

/// Connects, sends `bytes`, and waits until the pod closes.
async fn send(pod: &str, bytes: Arc<[u8]>) {
    let mut stream = TcpStream::connect(pod).await.expect("the port is open while there are permits");
    // The pod may close before it took everything.
    let _ = stream.write_all(&bytes).await;
    let closed = async {
        let mut buffer = [0; 4_096];
        // `connect` comes first; then the end, or a reset because of what the pod left unread.
        while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the pod closes a connection that is no call");
}

#[tokio::test]
async fn peers_that_send_nonsense_are_cut_off_with_a_reason_and_counted() {
    let pod = PodProcess::builder().set("MAX_SESSIONS", 20).start().await;
    let call = good_call(&pod).await;
    let reply = "Content-Type: command/reply\nReply-Text: %2BOK%0A\n";
    let headers: String = (0..10_000).map(|n| format!("X-{n}: y\n")).collect();
    // What is sent, and the kind of error it is.
    let hostile: [(&str, Vec<u8>, &str); 8] = [
        ("a header of 1 MB", format!("X: {}", "y".repeat(1 << 20)).into(), "too_long"),
        ("10,000 headers", headers.into(), "too_long"),
        ("a body of 10 GB", b"Content-Type: text/plain\nContent-Length: 10737418240\n\n".to_vec(), "too_long"),
        ("another protocol", b"GET / HTTP/1.1\r\nHost: pod\r\n\r\n".to_vec(), "protocol"),
        ("bytes without sense", (0..=255).cycle().take(10_000).collect(), "protocol"),
        ("a reply without a channel", format!("{reply}\n").into(), "protocol"),
        ("nothing", Vec::new(), "timeout"),
        ("half a reply", reply.into(), "timeout"),
    ];
    let before = pod.metric(ERRORS).await;
    let mut peers = JoinSet::new();
    for (_, bytes, _) in &hostile {
        let (address, bytes) = (pod.esl(), Arc::<[u8]>::from(&bytes[..]));
        peers.spawn(async move { send(&address, bytes).await });
    }
    while let Some(peer) = peers.join_next().await {
        peer.unwrap();
    }
    pod.await_metric(ERRORS, |errors| errors - before >= hostile.len() as f64).await;
    for kind in ["too_long", "protocol", "timeout"] {
        let expected = hostile.iter().filter(|(.., other)| *other == kind).count();
        let counted = pod.metric(&format!("{ERRORS}{{kind=\"{kind}\"}}")).await;
        assert_eq!(counted as usize, expected, "{kind}");
    }
    let lines = eventually("a log line for each", async || {
        let lines: Vec<String> = pod.log().into_iter().filter(|line| line.contains(REFUSED_BYTES)).collect();
        (lines.len() == hostile.len()).then_some(lines)
    })
    .await;
    for line in &lines {
        println!("{line}");
        assert!(line.contains("\"error\"") && line.len() < 1_000, "a reason, and no more of what came than an excerpt");
    }
    pod.await_metric("sofia_phone_sessions_active", |active| active == 1.0).await;
    ends_well(call).await;
}

#[tokio::test]
async fn two_hundred_connections_at_once_that_bring_no_call_leave_the_pod_as_it_is() {
    let pod = PodProcess::builder().set("MAX_SESSIONS", 50).start().await;
    let call = good_call(&pod).await;
    let mut peers = JoinSet::new();
    for _ in 0..200 {
        let address = pod.esl();
        // Closed after the time for a handshake.
        peers.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(&address).await else { return false };
            let mut buffer = [0; 1_024];
            let closed = async { while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {} };
            tokio::time::timeout(PATIENCE, closed).await.is_ok()
        });
    }
    let results = peers.join_all().await;
    assert!(results.iter().all(|taken| *taken), "the port stays open");
    pod.await_metric("sofia_phone_sessions_active", |active| active == 1.0).await;
    let ready = pod.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["reason"]), (200, &serde_json::Value::Null), "it was never full");
    ends_well(good_call(&pod).await).await;
    ends_well(call).await;
    pod.await_empty().await;
}

/// A packet of PCMU as a caller would send it.
fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0xbad_cafe_u32.to_be_bytes());
    packet.resize(172, 0x11);
    packet
}

#[tokio::test]
async fn packets_of_strangers_to_the_media_port_are_counted_and_heard_by_nobody() {
    const PACKETS: u16 = 2_000;
    let pod = PodProcess::builder().recording().start().await;
    let call = good_call(&pod).await;
    let spoken = call.snapshot().agent_speech.len();
    let strangers: Vec<UdpSocket> = (0..10).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let media = SocketAddr::from(([127, 0, 0, 1], pod.rtp_ports()[0]));
    let control = SocketAddr::from(([127, 0, 0, 1], pod.rtp_ports()[0] + 1));
    for round in 0..PACKETS {
        let stranger = &strangers[usize::from(round) % strangers.len()];
        let garbage: Vec<u8> = (0..round % 1_400).map(|n| (n.wrapping_mul(round) >> 3) as u8).collect();
        // The kernel may drop some of a flood; that is not the pod's to count.
        let _ = stranger.send_to(&garbage, media);
        let _ = stranger.send_to(&rtp(round), media);
        let _ = stranger.send_to(&garbage, control);
        if round % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let counted = pod.await_metric("sofia_phone_rtp_packets_dropped_total{reason=\"unknown_source\"}", |count| {
        count >= 0.9 * 3.0 * f64::from(PACKETS)
    });
    println!("{} of {} packets of strangers were counted", counted.await, 3 * u32::from(PACKETS));
    assert_eq!(pod.metric("sofia_phone_rtp_packets_dropped_total{reason=\"malformed\"}").await, 0.0);
    assert_eq!(call.snapshot().agent_speech.len(), spoken, "loud packets of strangers are no caller's turn");
    ends_well(call).await;
    let record = pod.record().await;
    let rtp = record.rtp.expect("a call with packets");
    assert_eq!((rtp.lost, record.turns.len()), (0, 2), "{rtp:?}");
}

#[tokio::test]
async fn strangers_who_connect_and_say_nothing_take_no_callers_place() {
    let pod = PodProcess::builder().set("MAX_SESSIONS", 2).start().await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        let mut stranger = TcpStream::connect(pod.esl()).await.expect("no permit is out");
        // The pod has taken it.
        stranger.read_exact(&mut [0; 7]).await.expect("the pod speaks first");
        strangers.push(stranger);
    }
    assert_eq!(pod.get("/ready").await.json()["active"], 0);
    let call = good_call(&pod).await;
    assert_eq!(pod.get("/ready").await.json()["active"], 1);
    drop(strangers);
    ends_well(call).await;
    // It was never full, so it need not come down again either.
    assert_eq!(pod.get("/ready").await.status, 200);
}
