//! The admin server over real HTTP on loopback: what probes, Prometheus, the operator and strangers get to see.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use sofia_dataplane::admin::{
    AdminParts, AdminServer, BackendStatus, CircuitStatus, ComponentFlag, Health, ServerLimits, router,
};
use sofia_dataplane::metrics::{CircuitLevel, Metrics, WorkerCounters};
use sofia_dataplane::sessions::{
    Admission, Drain, Handover, NewSession, Permit, PodEntries, Readiness, Reading, Registry, SessionEntries,
    SessionState,
};
use sofia_dataplane::settings::{CallLimits, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "correct-horse";
/// Longer than any test runs.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

struct Pod {
    address: SocketAddr,
    admission: Admission,
    registry: Registry,
    drain: Drain,
    readiness: Readiness,
    worker: ComponentFlag,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    fn error_code(&self) -> String {
        let json = self.json();
        assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["error"]["code"].as_str().expect("every error has a code").to_owned()
    }

    fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|written| written.eq_ignore_ascii_case(line))
    }
}

impl Pod {
    async fn started() -> Self {
        let pod = Self::with(Some(TOKEN), ServerLimits::default()).await;
        pod.readiness.set_started();
        pod
    }

    async fn with(token: Option<&str>, limits: ServerLimits) -> Self {
        Self::serving(token, limits, |server, stop| tokio::spawn(server.serve(stop))).await
    }

    /// On a thread of its own, as a pod has it.
    async fn apart() -> Self {
        let serve = |server: AdminServer, stop| {
            let ended = server.serve_apart(stop).expect("a thread");
            tokio::spawn(async { ended.await.expect("the server does not panic") })
        };
        Self::serving(None, ServerLimits::default(), serve).await
    }

    async fn serving(
        token: Option<&str>,
        limits: ServerLimits,
        serve: impl FnOnce(AdminServer, CancellationToken) -> tokio::task::JoinHandle<()>,
    ) -> Self {
        let now = Instant::now();
        let calls = CallLimits {
            max_sessions: 3,
            ready_low_water: 1,
            max_sessions_per_caller: None,
            setup_rate_per_second: None,
            max_lateness: Some(Duration::from_millis(40)),
            max_missed_percent: 1,
            max_load_percent: NonZeroU32::new(90),
        };
        let admission = Admission::new(calls, now);
        let registry = Registry::new();
        let drain = Drain::new(admission.clone(), Duration::from_secs(600), Handover::new(1_000));
        let readiness = Readiness::new(admission.clone());
        let health = Arc::new(Health::new());
        let counters = Arc::new(WorkerCounters::new());
        let worker = health.flag("media-0", true);
        health.flag("backend", false).set(false);
        let parts = AdminParts {
            admission: admission.clone(),
            registry: registry.clone(),
            drain: drain.clone(),
            readiness: readiness.clone(),
            health,
            metrics: Arc::new(Metrics::new(vec![counters], now)),
            admin_token: token.map(|token| Secret::from(token.to_owned())),
            backend: Arc::new(|| BackendStatus {
                kind: "mock",
                circuits: vec![CircuitStatus {
                    backend: "mock".to_owned(),
                    stage: "speak",
                    state: CircuitLevel::HalfOpen,
                }],
            }),
            entries: Arc::new(|| PodEntries { arriving: 2, ..PodEntries::default() }),
            version: "1.2.3",
        };
        let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let server = AdminServer::bind(loopback, router(parts), limits).await.expect("loopback has a free port");
        let address = server.local_addr().expect("a bound socket has an address");
        let stop = CancellationToken::new();
        let server = serve(server, stop.clone());
        Self { address, admission, registry, drain, readiness, worker, stop, server }
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        read_answer(&mut stream).await
    }

    async fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n{headers}\r\n")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "").await
    }

    async fn authorized(&self, method: &str, path: &str) -> Answer {
        self.request(method, path, &format!("Authorization: Bearer {TOKEN}\r\n")).await
    }

    /// What admission hears of a pod whose packets leave 65 ms late.
    fn turn_late(&self) {
        let lateness = Duration::from_millis(65);
        for _ in 0..3 {
            self.admission
                .observe_pace(Instant::now(), Reading { lateness, due: 100, missed: 25, load: 0.5, calls: 2 });
        }
    }

    fn call(&self) -> Permit {
        self.admission.try_admit().expect("a permit is free")
    }
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the server answers and closes");
    let text = String::from_utf8(bytes).expect("answers are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn health_is_good_while_every_vital_component_works() {
    let pod = Pod::started().await;
    let healthy = pod.get("/health").await;
    assert_eq!(healthy.status, 200);
    assert_eq!(healthy.json()["components"]["media-0"]["healthy"], true);
    assert_eq!(healthy.json()["components"]["backend"]["healthy"], false, "shown, but no reason to restart");
    pod.worker.set(false);
    let failed = pod.get("/health").await;
    assert_eq!((failed.status, &failed.json()["alive"]), (503, &Value::Bool(false)));
}

#[tokio::test]
async fn a_pod_that_is_full_drains_or_starts_is_alive_all_the_same() {
    let pod = Pod::with(None, ServerLimits::default()).await;
    assert_eq!(pod.get("/health").await.status, 200, "starting");
    let _calls = [pod.call(), pod.call(), pod.call()];
    assert_eq!(pod.get("/health").await.status, 200, "full");
    pod.drain.start(Instant::now());
    assert_eq!(pod.get("/health").await.status, 200, "draining");
}

#[tokio::test]
async fn ready_says_why_not_and_comes_back_at_the_low_water_mark() {
    let pod = Pod::with(None, ServerLimits::default()).await;
    let reason = async || {
        let answer = pod.get("/ready").await;
        let json = answer.json();
        assert_eq!(json["ready"], answer.status == 200);
        (answer.status, json["reason"].as_str().unwrap_or("").to_owned())
    };
    assert_eq!(reason().await, (503, "starting".to_owned()));
    pod.readiness.set_started();
    assert_eq!(reason().await, (200, String::new()));
    let mut calls = vec![pod.call(), pod.call(), pod.call()];
    assert_eq!(reason().await, (503, "full".to_owned()));
    calls.pop();
    assert_eq!(reason().await, (503, "full".to_owned()), "two calls are above the mark");
    calls.pop();
    assert_eq!(reason().await, (200, String::new()));
    pod.turn_late();
    assert_eq!(reason().await, (503, "late".to_owned()));
    let json = pod.get("/ready").await.json();
    assert_eq!([&json["lateness_ms"], &json["missed_percent"], &json["load_percent"]], [65.0, 25.0, 50.0]);
    pod.drain.start(Instant::now());
    assert_eq!(reason().await, (503, "draining".to_owned()));
}

#[tokio::test]
async fn metrics_are_in_the_text_format_and_up_to_date() {
    let pod = Pod::started().await;
    let _call = pod.call();
    pod.get("/no/such/page").await;
    let answer = pod.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.has_header("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", answer.head);
    for line in [
        "sofia_phone_sessions_active 1",
        "sofia_phone_sessions_capacity 3",
        "sofia_phone_accepting 1",
        "sofia_phone_ready 1",
        "sofia_phone_draining 0",
        "sofia_phone_late 0",
        "sofia_phone_media_lateness_seconds 0",
        "sofia_phone_media_missed_ratio 0",
        "sofia_phone_media_load_ratio 0",
        "sofia_phone_busy 0",
        "sofia_phone_component_health{component=\"media-0\"} 1",
        "sofia_phone_component_health{component=\"backend\"} 0",
        "sofia_phone_circuit_state{stage=\"speak\"} 1",
        "sofia_phone_http_requests_total{path=\"other\",status=\"404\"} 1",
    ] {
        assert!(answer.body.lines().any(|written| written == line), "{line} is missing in\n{}", answer.body);
    }
}

#[tokio::test]
async fn strange_paths_make_no_new_series() {
    let pod = Pod::started().await;
    for n in 0..50 {
        pod.get(&format!("/strange/{n}")).await;
    }
    let body = pod.get("/metrics").await.body;
    let series = body.lines().filter(|line| line.starts_with("sofia_phone_http_requests_total{")).count();
    assert!(series < 12, "{series}");
    assert!(!body.contains("strange"));
}

#[tokio::test]
async fn how_much_calls_hold_is_told_in_numbers_to_who_has_the_token() {
    let pod = Pod::started().await;
    assert_eq!(pod.get("/debug/structures").await.status, 401);
    let session = pod.registry.register(NewSession {
        id: "a-call".to_owned(),
        caller: "+155…67".to_owned(),
        dialed: "1000".to_owned(),
        started: Instant::now(),
        started_at: SystemTime::UNIX_EPOCH,
    });
    let session = session.expect("the id is free");
    session.set_entries(SessionEntries { history: 3, requests: 1, ..SessionEntries::default() });
    let told = pod.authorized("GET", "/debug/structures").await.json();
    assert_eq!((&told["sessions"], &told["calls"]["a-call"]["history"]), (&1.into(), &3.into()));
    assert_eq!((&told["total"]["requests"], &told["arriving"]), (&1.into(), &2.into()));
    let numbers_only = |value: &Value| value.as_object().is_some_and(|call| call.values().all(Value::is_u64));
    assert!(numbers_only(&told["calls"]["a-call"]) && numbers_only(&told["total"]), "{told}");
}

#[tokio::test]
async fn status_lists_sessions_as_they_may_be_shown() {
    let pod = Pod::started().await;
    let _permit = pod.call();
    let new = NewSession {
        id: "call-1".to_owned(),
        caller: "+155…67".to_owned(),
        dialed: "1000".to_owned(),
        started: Instant::now(),
        started_at: SystemTime::now(),
    };
    let session = pod.registry.register(new).expect("the id is free");
    session.set_state(SessionState::Active).expect("answered");
    let status = pod.get("/status").await.json();
    assert_eq!(status["version"], "1.2.3");
    assert_eq!(status["ready"], true);
    assert_eq!(status["sessions"]["active"], 1);
    assert_eq!(status["sessions"]["capacity"], 3);
    let listed = &status["sessions"]["list"][0];
    assert_eq!(
        (&listed["id"], &listed["caller"], &listed["state"]),
        (&"call-1".into(), &"+155…67".into(), &"active".into())
    );
    assert_eq!(status["backend"]["kind"], "mock");
    assert_eq!(status["backend"]["circuits"][0]["state"], "half_open");
    assert_eq!(status["drain"]["draining"], false);
}

#[tokio::test]
async fn drain_needs_the_token_and_can_be_asked_for_again() {
    let pod = Pod::started().await;
    for headers in
        ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic correct-horse\r\n", "Authorization: Bearer\r\n"]
    {
        let refused = pod.request("POST", "/drain", headers).await;
        assert_eq!((refused.status, refused.error_code()), (401, "unauthorized".to_owned()), "{headers}");
        assert!(refused.has_header("www-authenticate: Bearer"));
    }
    assert!(!pod.drain.is_draining());
    let _call = pod.call();
    for _ in 0..2 {
        let accepted = pod.authorized("POST", "/drain").await;
        assert_eq!(accepted.status, 202);
        assert_eq!(accepted.json()["active"], 1);
    }
    assert!(pod.drain.is_draining());
    let status = pod.get("/status").await.json();
    assert_eq!((&status["drain"]["draining"], &status["not_ready_reason"]), (&true.into(), &"draining".into()));
}

#[tokio::test]
async fn a_session_is_ended_by_its_id_and_with_the_token() {
    let pod = Pod::started().await;
    let new = NewSession {
        id: "call 1".to_owned(),
        caller: String::new(),
        dialed: String::new(),
        started: Instant::now(),
        started_at: SystemTime::now(),
    };
    let session = pod.registry.register(new).expect("the id is free");
    assert_eq!(pod.request("DELETE", "/sessions/call%201", "").await.status, 401);
    assert!(!session.end_requested().is_cancelled());
    let unknown = pod.authorized("DELETE", "/sessions/call-2").await;
    assert_eq!((unknown.status, unknown.error_code()), (404, "not_found".to_owned()));
    assert_eq!(pod.authorized("DELETE", "/sessions/%FF").await.status, 404);
    assert_eq!(pod.authorized("DELETE", "/sessions/call%201").await.status, 202);
    assert!(session.end_requested().is_cancelled());
}

#[tokio::test]
async fn without_a_token_set_the_verbs_are_refused_with_the_reason() {
    let pod = Pod::with(None, ServerLimits::default()).await;
    for (method, path) in [("POST", "/drain"), ("DELETE", "/sessions/a")] {
        let refused = pod.authorized(method, path).await;
        assert_eq!((refused.status, refused.error_code()), (403, "admin_token_not_set".to_owned()));
        assert!(refused.body.contains("SOFIA_PHONE_ADMIN_TOKEN"));
    }
    assert!(!pod.drain.is_draining());
}

#[tokio::test]
async fn unknown_pages_and_methods_are_json_errors() {
    let pod = Pod::started().await;
    let missing = pod.get("/").await;
    assert_eq!((missing.status, missing.error_code()), (404, "not_found".to_owned()));
    let wrong = pod.request("DELETE", "/health", "").await;
    assert_eq!((wrong.status, wrong.error_code()), (405, "method_not_allowed".to_owned()));
    assert!(wrong.has_header("allow: GET,HEAD"), "{}", wrong.head);
    assert!(wrong.has_header("content-type: application/json"), "{}", wrong.head);
    assert!(wrong.has_header("cache-control: no-store"), "{}", wrong.head);
}

#[tokio::test]
async fn probes_may_ask_for_the_head_only() {
    let pod = Pod::started().await;
    let answer = pod.request("HEAD", "/ready", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_large_body_is_refused_unread() {
    let pod = Pod::started().await;
    let headers = format!("Authorization: Bearer {TOKEN}\r\nContent-Length: 1000000000\r\n");
    let refused = pod.request("POST", "/drain", &headers).await;
    assert_eq!((refused.status, refused.error_code()), (413, "too_large".to_owned()));
    assert!(!pod.drain.is_draining());
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let pod = Pod::started().await;
    let endless = format!("GET /health HTTP/1.1\r\nHost: pod\r\nX: {}", "x".repeat(20_000));
    assert_eq!(pod.send(&endless).await.status, 431);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_sent_away() {
    let limits =
        ServerLimits { header_time: Duration::from_millis(50), connection_time: FOR_EVER, ..ServerLimits::default() };
    let pod = Pod::with(None, limits).await;
    let mut silent = TcpStream::connect(pod.address).await.expect("the server listens");
    let mut slow = TcpStream::connect(pod.address).await.expect("the server listens");
    slow.write_all(b"GET /health HT").await.expect("the server reads");
    let mut rest = Vec::new();
    // Both ends come; without the bound these reads would never return.
    let _ = silent.read_to_end(&mut rest).await;
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
}

/// What strangers may send and then stop at; each of them would be waited for as long as the limits allow.
const HALVES: [&[u8]; 4] = [
    b"",
    b"GET /metrics HTTP/1.1\r\nHost: pod\r\nX-Slow: ",
    b"POST /drain HTTP/1.1\r\nHost: pod\r\nContent-Length: 1000\r\n\r\n{",
    b"GET /health HTTP/1.1\r\nHost: pod\r\n\r\n",
];

/// Nothing ends by itself: whoever gets an answer did not wait for that.
const PATIENT: ServerLimits =
    ServerLimits { max_connections: 16, header_time: FOR_EVER, connection_time: FOR_EVER, closing_time: FOR_EVER };

#[tokio::test]
async fn probes_are_answered_whatever_a_crowd_of_strangers_does() {
    let pod = Pod::with(Some(TOKEN), PATIENT).await;
    pod.readiness.set_started();
    let mut strangers = Vec::new();
    for at in 0..2_000 {
        let mut stranger = TcpStream::connect(pod.address).await.expect("the server listens");
        // The server may have had enough of it already.
        let _ = stranger.write_all(HALVES[at % HALVES.len()]).await;
        strangers.push(stranger);
        if at % 250 == 0 {
            assert_eq!(pod.get("/health").await.status, 200, "after {at}");
        }
        // A process has only so many descriptors, and this one holds both ends.
        if strangers.len() > 300 {
            strangers.drain(..150);
        }
    }
    for path in ["/health", "/ready", "/metrics", "/status"] {
        assert_eq!(pod.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_connection_gets_one_answer_however_much_it_asks_for_at_once() {
    let pod = Pod::with(None, PATIENT).await;
    let mut stranger = TcpStream::connect(pod.address).await.expect("the server listens");
    // All of it may not be read any more.
    let _ = stranger.write_all("GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n".repeat(50).as_bytes()).await;
    let (mut answers, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stranger.read(&mut buffer).await {
        answers.extend_from_slice(&buffer[..length]);
    }
    assert!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count() <= 1);
    assert_eq!(pod.get("/health").await.status, 200);
}

#[tokio::test]
async fn of_too_many_connections_those_that_are_waited_for_are_closed_and_no_more_are_held_than_allowed() {
    let pod = Pod::with(None, PATIENT).await;
    let mut strangers = Vec::new();
    for _ in 0..PATIENT.max_connections * 3 {
        strangers.push(TcpStream::connect(pod.address).await.expect("the server listens"));
    }
    assert_eq!(pod.get("/health").await.status, 200);
    // The first come are gone: these reads end, though none of them ever would by its time.
    let mut rest = Vec::new();
    for stranger in &mut strangers[..PATIENT.max_connections] {
        let _ = stranger.read_to_end(&mut rest).await;
    }
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_server_apart_answers_while_the_tasks_of_the_process_stand_still() {
    // One thread for all tasks, and it is blocked: by what does not matter.
    let pod = Pod::apart().await;
    let address = pod.address;
    let probe = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    });
    let answer = probe.join().expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_connection_ends_after_its_time_even_if_it_is_kept_busy() {
    let limits =
        ServerLimits { connection_time: Duration::from_millis(100), header_time: FOR_EVER, ..ServerLimits::default() };
    let pod = Pod::with(None, limits).await;
    let mut stream = TcpStream::connect(pod.address).await.expect("the server listens");
    let mut buffer = [0; 4096];
    // Asks for ever; ends when the server has had enough.
    while stream.write_all(b"GET /health HTTP/1.1\r\nHost: pod\r\n\r\n").await.is_ok() {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
}

#[tokio::test]
async fn a_stopped_server_ends_with_idle_connections_open() {
    let pod = Pod::started().await;
    let idle = TcpStream::connect(pod.address).await.expect("the server listens");
    assert_eq!(pod.get("/health").await.status, 200);
    pod.stop.cancel();
    pod.server.await.expect("the server does not panic");
    assert!(TcpStream::connect(pod.address).await.is_err());
    drop(idle);
}
