//! What reaches the folder and the receiver, and what happens when they fail.

use super::*;
use crate::backend::resilience::RetryPolicy;
use crate::record::call::Ending;
use crate::record::names::Privacy;
use crate::record::page::sample;
use crate::record::scratch_folder::ScratchFolder;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post as on_post;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(60);
const QUICK: RetryPolicy = RetryPolicy {
    attempts: 3,
    base_delay: Duration::from_millis(1),
    multiplier: 1.0,
    cap: Duration::from_millis(1),
    jitter: 0.0,
};

fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn start(settings: DeliverySettings) -> Delivery {
    Delivery::start(settings, client()).expect("the folders can be written to")
}

fn into_folder(folder: &ScratchFolder) -> Delivery {
    start(DeliverySettings { folder: Some(folder.path().to_owned()), ..DeliverySettings::default() })
}

/// A receiver that answers with `statuses` in turn, the last one for ever; what it was sent comes over the channel.
async fn receiver(statuses: &'static [u16]) -> (String, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    type Shared = (Arc<AtomicU64>, &'static [u16], mpsc::UnboundedSender<(HeaderMap, Bytes)>);
    async fn take(State(state): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let (asked, statuses, sent) = state;
        let _ = sent.send((headers, body));
        let index = usize::try_from(asked.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
        StatusCode::from_u16(statuses[index.min(statuses.len() - 1)]).expect("a status")
    }
    let (sent, received) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/calls", listener.local_addr().expect("it is bound"));
    let app = Router::new()
        .route("/calls", on_post(take))
        .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
        .with_state((Arc::default(), statuses, sent));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, received)
}

fn to_url(url: String, spool: &ScratchFolder) -> Delivery {
    let target = PostTarget { retry: QUICK, ..PostTarget::new(url, Some("hunter2".into())) };
    start(DeliverySettings { post: Some(target), spool: spool.path().to_owned(), ..DeliverySettings::default() })
}

/// A short call: its record and a recorder that has heard half a second.
fn short_call(delivery: &Delivery) -> (CallRecord, StereoRecorder) {
    let at: jiff::Timestamp = "2025-11-22T12:00:00Z".parse().expect("a timestamp");
    let mut record = CallRecord::new("0b8f", "+49301234567", "1000", at, Privacy::Masked);
    let mut recorder = delivery.recorder(&record, 0);
    for _ in 0..25 {
        recorder.push(&[500; 320], &[-500; 320]);
    }
    record.close(at, Ending::CallerHungUp);
    (record, recorder)
}

/// With `SOFIA_PHONE_SAMPLE_DIR` set, the files stay there to be looked at.
#[tokio::test]
async fn a_call_becomes_three_files_that_belong_together() {
    let scratch = ScratchFolder::new();
    let kept = std::env::var_os("SOFIA_PHONE_SAMPLE_DIR").map(PathBuf::from);
    let folder = kept.clone().unwrap_or_else(|| scratch.path().to_owned());
    let delivery = start(DeliverySettings { folder: Some(folder.clone()), ..DeliverySettings::default() });
    let (mut record, caller, agent) = sample::call();
    let mut recorder = delivery.recorder(&record, 160);
    record.waveform = None;
    for (caller, agent) in caller.chunks(16_000).zip(agent.chunks(16_000)) {
        recorder.push(caller, agent);
        recorder.caught_up().await;
    }
    delivery.submit(record.clone(), Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    assert_eq!(delivery.figures(), DeliveryFigures { written: 1, ..DeliveryFigures::default() });

    let stem = "20251122T120314Z-0b8f7c1e-5a52-4d0a-9f5c-2f8f6f2f1a77";
    let json = std::fs::read(folder.join(format!("{stem}.json"))).unwrap();
    let read: CallRecord = serde_json::from_slice(&json).unwrap();
    let RecordingNote::Kept { file, duration_ms, .. } = &read.recording else { panic!("the recording was kept") };
    assert_eq!((file.as_str(), *duration_ms), (format!("{stem}.wav").as_str(), 36_240));
    assert_eq!(read.turns, record.turns);
    let page = std::fs::read_to_string(folder.join(format!("{stem}.html"))).unwrap();
    assert!(page.contains(&format!("src=\"{stem}.wav\"")) && page.contains(&format!("href=\"{stem}.json\"")));
    let wav = hound::WavReader::open(folder.join(file)).unwrap();
    assert_eq!(wav.duration() as usize, caller.len());
    if kept.is_none() {
        assert_eq!(scratch.names(), [format!("{stem}.html"), format!("{stem}.json"), format!("{stem}.wav")]);
    }
}

#[tokio::test]
async fn the_records_of_one_call_by_several_pods_name_each_other_and_no_others() {
    let folder = ScratchFolder::new();
    let record = |call: &str, attempt: u32, minute: u32, ending| {
        let at: jiff::Timestamp = format!("2025-11-22T12:{minute:02}:00Z").parse().expect("a timestamp");
        let mut record = CallRecord::new(call, "+49301234567", "1000", at, Privacy::Masked);
        record.attempt = attempt;
        record.close(at, ending);
        record
    };
    // The last pod's record comes before the lost one's is finished. Another call's id may begin alike.
    for record in [
        record("0b8f", 1, 0, Ending::HandedOver),
        record("0b8f-2", 1, 0, Ending::HandedOver),
        record("0b8f", 3, 2, Ending::CallerHungUp),
        record("0b8f", 2, 1, Ending::PodLost),
    ] {
        let delivery = into_folder(&folder);
        delivery.submit(record, None).unwrap();
        assert_eq!(delivery.finish(LONG).await, 0);
    }
    let names = ["20251122T120000Z-0b8f", "20251122T120100Z-0b8f-2", "20251122T120200Z-0b8f-3"];
    for name in names {
        let json = std::fs::read(folder.join(&format!("{name}.json"))).unwrap();
        let read: CallRecord = serde_json::from_slice(&json).unwrap();
        let others: Vec<&str> = read.others.iter().map(|other| other.name.as_str()).collect();
        assert_eq!(others, names.into_iter().filter(|other| *other != name).collect::<Vec<_>>());
        let page = std::fs::read_to_string(folder.join(&format!("{name}.html"))).unwrap();
        assert!(others.iter().all(|other| page.contains(&format!("href=\"{other}.html\""))), "{name}");
    }
}

#[tokio::test]
async fn a_call_that_is_over_leaves_nothing_but_its_record_and_one_that_broke_off_is_found() {
    let folder = ScratchFolder::new();
    let delivery = into_folder(&folder);
    let (record, recorder) = short_call(&delivery);
    let going = delivery.going(record.clone()).expect("a folder");
    going.update(record.clone());
    going.over();
    delivery.submit(record.clone(), Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());

    // Its task ended by a fault: nobody submits a record.
    let mut lost = record;
    lost.attempt = 2;
    let going = delivery.going(lost.clone()).expect("a folder");
    let part = folder.join(".20251122T120000Z-0b8f-2.call.part");
    while !part.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(going);
    let mut leftovers = Leftovers::new(folder.path().to_owned());
    for _ in 0..2 {
        leftovers = delivery.sweep_once(leftovers).await;
    }
    let json = std::fs::read(folder.join("20251122T120000Z-0b8f-2.json")).unwrap();
    assert_eq!(serde_json::from_slice::<CallRecord>(&json).unwrap().ending, Ending::PodLost);
    assert!(!part.exists() && folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}

#[tokio::test]
async fn a_post_carries_record_page_and_audio_under_the_token() {
    let spool = ScratchFolder::new();
    let (url, mut received) = receiver(&[204]).await;
    let delivery = to_url(url, &spool);
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);

    let (headers, body) = received.recv().await.unwrap();
    assert_eq!(headers["authorization"], "Bearer hunter2");
    assert_eq!(headers["idempotency-key"], "20251122T120000Z-0b8f");
    assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
    let text = String::from_utf8_lossy(&body);
    for part in ["name=\"record\"", "name=\"page\"", "name=\"audio\"", "\"schema\": 1", "<!doctype html>", "audio/wav"]
    {
        assert!(text.contains(part), "{part} is missing");
    }
    let wav = body.windows(4).position(|bytes| bytes == b"RIFF").expect("the WAV is in it");
    assert_eq!(hound::WavReader::new(&body[wav..]).unwrap().duration(), 8_000);
    assert_eq!(delivery.figures().posted, 1);
    assert!(spool.names().is_empty(), "what was sent is not kept");
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_the_call_once_more_under_the_same_key() {
    let spool = ScratchFolder::new();
    let (url, mut received) = receiver(&[503, 429, 200]).await;
    let delivery = to_url(url, &spool);
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    let mut keys = Vec::new();
    while let Ok((headers, body)) = received.try_recv() {
        assert!(body.windows(4).any(|bytes| bytes == b"RIFF"), "each time with the audio");
        keys.push(headers["idempotency-key"].clone());
    }
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!((delivery.figures().posted, delivery.figures().failed), (1, 0));
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let spool = ScratchFolder::new();
    let (url, mut received) = receiver(&[401]).await;
    let delivery = to_url(url, &spool);
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    assert!(received.try_recv().is_ok() && received.try_recv().is_err());
    assert_eq!((delivery.figures().posted, delivery.figures().failed), (0, 1));
    assert!(spool.names().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_not_there_costs_the_post_only() {
    let folder = ScratchFolder::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let post = Some(PostTarget { retry: QUICK, ..PostTarget::new(url, None) });
    let delivery = start(DeliverySettings { folder: Some(folder.path().to_owned()), post, ..Default::default() });
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    let figures = delivery.figures();
    assert_eq!((figures.written, figures.posted, figures.failed), (1, 0, 1));
    assert_eq!(folder.names().len(), 3);
}

#[tokio::test]
async fn a_folder_that_is_full_of_calls_under_way_drops_the_next() {
    let folder = ScratchFolder::new();
    let settings = DeliverySettings { folder: Some(folder.path().to_owned()), in_flight: 1, ..Default::default() };
    let delivery = start(settings);
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record.clone(), Some(recorder)).unwrap();
    // Nothing has run yet: the test has not waited.
    assert_eq!(delivery.submit(record, None), Err(QueueFull));
    assert_eq!(delivery.finish(LONG).await, 0);
    assert_eq!((delivery.figures().written, delivery.figures().dropped), (1, 1));
}

#[tokio::test]
async fn a_recording_that_was_lost_leaves_a_record_that_says_so() {
    let folder = ScratchFolder::new();
    let delivery = into_folder(&folder);
    let (record, _) = short_call(&delivery);
    let mut recorder = StereoRecorder::begin(folder.join("gone/call.wav"), 0);
    recorder.push(&[1; 320], &[1; 320]);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    let json = std::fs::read(folder.join("20251122T120000Z-0b8f.json")).unwrap();
    let read: CallRecord = serde_json::from_slice(&json).unwrap();
    assert!(matches!(read.recording, RecordingNote::Dropped { .. }) && read.waveform.is_some());
    assert_eq!(delivery.figures().recordings_lost, 1);
}

#[tokio::test]
async fn without_audio_there_is_an_outline_and_no_recording() {
    let folder = ScratchFolder::new();
    let settings = DeliverySettings { folder: Some(folder.path().to_owned()), audio: false, ..Default::default() };
    let delivery = start(settings);
    let (record, recorder) = short_call(&delivery);
    delivery.submit(record, Some(recorder)).unwrap();
    assert_eq!(delivery.finish(LONG).await, 0);
    assert_eq!(folder.names(), ["20251122T120000Z-0b8f.html", "20251122T120000Z-0b8f.json"]);
}

#[tokio::test]
async fn nobody_wants_records_by_default() {
    let delivery = start(DeliverySettings::default());
    assert!(!delivery.is_wanted());
    let (record, recorder) = short_call(&delivery);
    assert_eq!(delivery.submit(record, Some(recorder)), Ok(()));
    assert_eq!(delivery.finish(LONG).await, 0);
    assert_eq!(delivery.figures(), DeliveryFigures::default());
}

#[test]
fn a_folder_that_cannot_be_is_told_at_the_start() {
    let scratch = ScratchFolder::new();
    let file = scratch.join("a-file");
    std::fs::write(&file, "").unwrap();
    let settings = DeliverySettings { folder: Some(file.join("below")), ..DeliverySettings::default() };
    let error = Delivery::start(settings, client()).unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}
