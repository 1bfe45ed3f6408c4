//! A switch in FreeSWITCH's place, from the outside: the control API, the event socket, SIP ports, and what `fsctl` does to calls.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::{CONFIGURATION, SOON, own_address, up, wait_for};
use switchsim::control::{
    CallState, CallStatus, Client, ClientError, Length, LoadState, LoadStatus, NewCall, NewLevel, NewLoad, Transport,
};
use switchsim::pod::{Behaviour, TestPod};
use switchsim::server::{ServeError, Server};
use switchsim::{CallOutcome, Cause, EndedBy, Happening, Impairments, SwitchBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const NUMBER: &str = "15550100";

fn builder(esl: &str) -> SwitchBuilder {
    let own = own_address();
    SwitchBuilder::from_xml(CONFIGURATION)
        .with_variable("local_ip_v4", &own)
        .with_variable("agent_ip", own)
        .with_variable("esl", esl)
}

async fn serve(builder: SwitchBuilder) -> Server {
    Server::start(builder, "127.0.0.1:0".parse().unwrap()).await.unwrap()
}

async fn pod(behaviour: Behaviour) -> TestPod {
    TestPod::start("127.0.0.1:0", behaviour).await.unwrap()
}

/// An address where nobody listens.
async fn nobody() -> String {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn ended(status: &CallStatus) -> bool {
    status.state == CallState::Ended
}

fn report(status: CallStatus) -> CallOutcome {
    status.report.expect("it is over")
}

async fn outcome<T: Transport>(client: &Client<T>, call: NewCall) -> CallOutcome {
    let id = client.place(&call).await.unwrap();
    report(wait_for(client, &id, ended).await)
}

/// A connection to the event socket.
struct EventSocket(TcpStream);

impl EventSocket {
    async fn open(server: &Server) -> Self {
        let mut socket = Self(TcpStream::connect(server.event_socket_address().unwrap()).await.unwrap());
        assert_eq!(socket.read_until("\n\n").await, "Content-Type: auth/request\n\n");
        socket.write("auth hush & more").await;
        assert!(socket.read_until("\n\n").await.contains("+OK accepted"));
        socket
    }

    async fn write(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n\n").as_bytes()).await.unwrap();
    }

    async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = timeout(SOON, self.0.read_u8()).await.unwrap_or_else(|_| panic!("no more after {text:?}"));
            text.push(char::from(byte.unwrap()));
        }
        text
    }

    async fn api(&mut self, command: &str) -> String {
        self.write(&format!("api {command}")).await;
        let head = self.read_until("\n\n").await;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a body");
        let mut body = vec![0; length.parse().unwrap()];
        timeout(SOON, self.0.read_exact(&mut body)).await.unwrap().unwrap();
        String::from_utf8(body).unwrap()
    }
}

async fn options(server: &Server) -> String {
    let probe = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = "OPTIONS sip:pod SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n\
        Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    probe.send_to(request.as_bytes(), server.sip_addresses()[0]).await.unwrap();
    let mut buffer = [0; 2048];
    let length = timeout(SOON, probe.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_placed_caller_speaks_hears_and_hangs_up_and_all_of_it_is_told() {
    let pod = pod(Behaviour::Echo).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let call = NewCall {
        from: Some("+15550007".to_owned()),
        impairments: Impairments { loss: 0.1, seed: 3, ..Impairments::default() },
        ..NewCall::new(NUMBER).script(["# words", "say five_five", "dtmf 1", "expect-dtmf 1", "wait-for-silence 300"])
    };
    let id = client.place(&call).await.unwrap();
    let status = wait_for(&client, &id, ended).await;
    let outcome = report(status);
    assert_eq!((outcome.uuid.as_str(), outcome.from.as_str()), (id.as_str(), "+15550007"));
    assert_eq!((outcome.answered, outcome.sip_status, outcome.ended_by), (true, 200, EndedBy::Caller));
    assert_eq!(outcome.script_error, None);
    assert!(outcome.legs[0].received > 50 && outcome.legs[0].dropped > 0, "{:?}", outcome.legs);
    assert!(!outcome.agent_speech.is_empty() && outcome.digits() == "1", "{outcome}");
    let wav = client.heard(&id).await.unwrap();
    let reader = hound::WavReader::new(wav.as_slice()).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 1));
    let loudest = reader.into_samples::<i16>().map(|sample| sample.unwrap().unsigned_abs()).max();
    assert!(loudest > Some(2_000), "{loudest:?}");
    let seen = pod.call(0, SOON).await.unwrap();
    assert_eq!(seen.header("variable_sip_h_X-Sofia-Token").as_deref(), Some("a%26b%22c"));
    assert_eq!(seen.header("variable_sip_h_X-Call-UUID"), Some(id));
    let told = serde_json::to_string(&outcome).unwrap();
    assert!(told.contains("X-Sofia-Token=***") && !told.contains("a&b"), "{told}");
    assert!(client.voices().await.unwrap().iter().any(|voice| voice.name == "five_five"));
}

#[tokio::test]
async fn a_running_call_can_be_watched_and_hung_up_twice() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    let status = wait_for(&client, &id, |call| call.now.as_ref().is_some_and(|now| now.agent_speaks)).await;
    assert!(status.report.is_none() && status.now.unwrap().legs[0].attempt == 1);
    assert!(matches!(client.heard(&id).await, Err(ClientError::Refused { status: 409, .. })));
    let state = client.state().await.unwrap();
    assert_eq!((state.calls, state.channels, state.paused_inbound), (1, 3, false));
    client.hang_up(&id).await.unwrap();
    let first = report(wait_for(&client, &id, ended).await);
    let second = report(client.hang_up(&id).await.unwrap());
    assert_eq!((first.cause, first.duration_ms), (second.cause, second.duration_ms), "nothing happens twice");
    assert_eq!(client.calls().await.unwrap().len(), 1);
}

#[tokio::test]
async fn paused_inbound_new_calls_get_503_and_those_in_progress_go_on() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let mut socket = EventSocket::open(&server).await;
    assert_eq!(options(&server).await, "SIP/2.0 200 OK");
    assert_eq!(socket.api("show channels count").await, "\n0 total.\n");
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    let before = wait_for(&client, &id, up).await.now.unwrap().packets_received;

    assert_eq!(socket.api("fsctl pause inbound").await, "+OK\n");
    assert_eq!(socket.api("fsctl pause_check inbound").await, "true");
    assert_eq!(options(&server).await, "SIP/2.0 503 Maximum Calls In Progress");
    let refused = outcome(&client, NewCall::new(NUMBER).script(["wait-for-agent"])).await;
    assert_eq!((refused.answered, refused.sip_status, refused.attempts), (false, 503, 0));
    assert_eq!(refused.sip_headers.get("Retry-After").map(String::as_str), Some("300"));
    assert_eq!(refused.script_error, None, "a refusal is an outcome");
    wait_for(&client, &id, |call| call.now.as_ref().is_some_and(|now| now.packets_received > before + 10)).await;
    assert_eq!(socket.api("show channels count").await, "\n3 total.\n");
    assert_eq!(socket.api("show calls count").await, "\n2 total.\n");
    assert_eq!(socket.api("show channels count as json").await, "{\"row_count\":3}\n");
    assert!(client.state().await.unwrap().paused_inbound);

    assert_eq!(socket.api("fsctl resume inbound").await, "+OK\n");
    let next = client.place(&NewCall::new(NUMBER)).await.unwrap();
    wait_for(&client, &next, up).await;
    assert_eq!(socket.api("hupall NORMAL_CLEARING").await, "+OK hangup all channels with cause NORMAL_CLEARING\n");
    assert_eq!(report(wait_for(&client, &id, ended).await).ended_by, EndedBy::Switch);
    wait_for(&client, &next, ended).await;
    assert!(server.switch().idle(SOON).await);
    assert_eq!(socket.api("show calls count").await, "\n0 total.\n");
}

#[tokio::test]
async fn while_inbound_is_paused_a_lost_pods_call_cannot_be_taken_over() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    wait_for(&client, &id, up).await;
    EventSocket::open(&server).await.api("fsctl pause inbound").await;
    pod.call(0, SOON).await.unwrap().close();
    let outcome = report(wait_for(&client, &id, ended).await);
    assert_eq!((outcome.cause, outcome.ended_by), (Cause::NORMAL_TEMPORARY_FAILURE, EndedBy::Switch));
    assert_eq!((outcome.attempts, pod.call_count()), (1, 1), "leg C is a new call too");
}

#[tokio::test]
async fn a_dialplan_that_refuses_new_calls_leaves_takeovers_alone() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    wait_for(&client, &id, up).await;
    let mut socket = EventSocket::open(&server).await;
    assert_eq!(socket.api("global_setvar sofia_phone_draining=true").await, "+OK\n");
    assert_eq!(socket.api("global_getvar sofia_phone_draining").await, "true\n");
    let refused = outcome(&client, NewCall::new(NUMBER)).await;
    assert_eq!((refused.sip_status, refused.sip_headers.get("Retry-After").map(String::as_str)), (503, Some("5")));
    pod.call(0, SOON).await.unwrap().close();
    let taken = |call: &CallStatus| {
        call.now.as_ref().is_some_and(|now| now.legs.iter().any(|leg| leg.attempt == 2 && leg.received > 0))
    };
    wait_for(&client, &id, taken).await;
}

#[tokio::test]
async fn an_elegant_shutdown_waits_for_the_last_call() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    wait_for(&client, &id, up).await;
    assert_eq!(EventSocket::open(&server).await.api("fsctl shutdown elegant").await, "+OK\n");
    let refused = outcome(&client, NewCall::new(NUMBER)).await;
    assert_eq!(refused.sip_status, 503);
    assert!(client.state().await.unwrap().shutting_down);
    let stopped = server.stopped();
    tokio::pin!(stopped);
    assert!(timeout(Duration::from_millis(200), &mut stopped).await.is_err(), "a call is up");
    client.hang_up(&id).await.unwrap();
    timeout(SOON, stopped).await.expect("no call is left");
}

#[tokio::test]
async fn the_end_of_the_switch_hangs_up_and_tells_the_pods() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.place(&NewCall::new(NUMBER)).await.unwrap();
    wait_for(&client, &id, up).await;
    server.shut_down().await;
    assert!(pod.call(0, SOON).await.unwrap().hears("Hangup-Cause: SYSTEM_SHUTDOWN", SOON).await);
    assert!(matches!(client.state().await, Err(ClientError::Transport { .. })), "nobody listens any more");
}

#[tokio::test]
async fn a_name_that_is_repeated_is_tried_again_each_time() {
    let address = nobody().await;
    let port = address.parse::<SocketAddr>().unwrap().port();
    // A name, so that it is looked up.
    let server = serve(builder(&format!("localhost:{port}"))).await;
    let outcome = outcome(&client!(server.control_address()), NewCall::new(NUMBER)).await;
    assert_eq!((outcome.sip_status, outcome.attempts), (503, 5));
    assert_eq!(outcome.sip_headers.get("Retry-After").map(String::as_str), Some("30"));
    assert_eq!(outcome.count(|what| matches!(what, Happening::EslRefused { .. })), 15);
    let server = serve(builder("no-such-name.invalid:8084")).await;
    let outcome = only_call(&server).await;
    assert_eq!((outcome.sip_status, outcome.attempts), (503, 5), "a name that nobody knows is as good as a refusal");
}

async fn only_call(server: &Server) -> CallOutcome {
    outcome(&client!(server.control_address()), NewCall::new(NUMBER)).await
}

#[tokio::test]
async fn who_calls_from_where_decides_what_happens() {
    let server = serve(builder(&nobody().await)).await;
    let client = client!(server.control_address());
    let from = |address: &str, to: &str| NewCall {
        network_addr: Some(address.parse().unwrap()),
        ..NewCall::new(to).script(["hangup"])
    };
    let stranger = outcome(&client, from("192.0.2.1", NUMBER)).await;
    assert_eq!((stranger.sip_status, stranger.cause), (403, Cause::CALL_REJECTED));
    let peer = outcome(&client, from("203.0.113.9", "8123")).await;
    assert_eq!((peer.answered, peer.count(|what| matches!(what, Happening::BridgedOutside { .. }))), (true, 1));
    let not_a_number = outcome(&client, from("127.0.0.1", "nonsense")).await;
    assert_eq!((not_a_number.sip_status, not_a_number.cause), (404, Cause::NO_ROUTE_DESTINATION));
    let busy = NewCall { context: Some("transfer".to_owned()), ..NewCall::new("busy").script(["wait-for-hangup"]) };
    let busy = outcome(&client, busy).await;
    assert_eq!((busy.answered, busy.cause, busy.ended_by), (true, Cause::named("USER_BUSY"), EndedBy::Switch));
    assert!(busy.duration_ms >= 2_000.0 && busy.agent_speech.len() == 2, "two tones: {:?}", busy.agent_speech);
}

async fn load_until<T: Transport>(client: &Client<T>, id: &str, condition: impl Fn(&LoadStatus) -> bool) -> LoadStatus {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let status = client.load(id).await.unwrap();
        if condition(&status) {
            return status;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_load_keeps_its_level_changes_it_and_stops() {
    let pod = pod(Behaviour::Echo).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let load = NewLoad {
        rate: 100.0,
        length: Length::Uniform { min_seconds: 0.1, max_seconds: 0.4 },
        say: Some("five_five".to_owned()),
        ..NewLoad::new(NUMBER, 4)
    };
    let id = client.start_load(&load).await.unwrap();
    let status = load_until(&client, &id, |load| load.report.calls >= 12 && load.running.calls == 4).await;
    assert_eq!((status.state, status.level), (LoadState::Running, 4), "who ends is replaced");
    let status = client.set_level(&id, NewLevel { calls: 7, rate: None }).await.unwrap();
    assert_eq!(status.level, 7);
    load_until(&client, &id, |load| load.running.answered == 7).await;
    client.set_level(&id, NewLevel { calls: 1, rate: Some(50.0) }).await.unwrap();
    load_until(&client, &id, |load| load.running.calls == 1).await;
    client.stop_load(&id).await.unwrap();
    let status = load_until(&client, &id, |load| load.state == LoadState::Ended).await;
    assert_eq!((status.running.calls, status.level, status.offered), (0, 0, status.report.calls));
    let report = &status.report;
    assert_eq!((report.cut, report.taken_over, report.refused.len()), (0, 0, 0), "{report}");
    assert!(report.received > 0 && report.lost == 0, "{report}");
    let late = client.set_level(&id, NewLevel { calls: 2, rate: None }).await;
    assert!(matches!(late, Err(ClientError::Refused { status: 409, .. })));
    assert_eq!(client.loads().await.unwrap(), [id]);
}

#[tokio::test]
async fn a_load_counts_what_was_cut_taken_over_and_refused() {
    let pod = pod(Behaviour::Tone).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.start_load(&NewLoad { rate: 100.0, ..NewLoad::new(NUMBER, 3) }).await.unwrap();
    let all_up = |load: &LoadStatus| load.running.answered == 3 && load.running.packets_received >= 30;
    load_until(&client, &id, all_up).await;
    // The pod loses one connection and lives on; that call comes back to it.
    pod.call(0, SOON).await.unwrap().close();
    let status = load_until(&client, &id, |load| load.running.taken_over == 1).await;
    assert!(status.running.answered == 3 && status.report.calls == 0, "nobody is cut: {status:?}");
    pod.kill();
    let status = load_until(&client, &id, |load| load.report.cut == 3 && load.report.refused.contains_key(&503)).await;
    assert_eq!(status.report.cut_causes.get("NORMAL_TEMPORARY_FAILURE"), Some(&3));
    assert_eq!(status.report.taken_over, 1);
    assert!(status.notable.iter().any(|call| call.answered && call.legs.len() == 2), "with its whole story");
    client.stop_load(&id).await.unwrap();
    load_until(&client, &id, |load| load.state == LoadState::Ended).await;
}

#[tokio::test]
async fn who_hangs_up_before_the_answer_was_not_refused() {
    let pod = pod(Behaviour::Hang).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let id = client.start_load(&NewLoad { rate: 100.0, ..NewLoad::new(NUMBER, 2) }).await.unwrap();
    load_until(&client, &id, |load| load.running.calls == 2).await;
    client.stop_load(&id).await.unwrap();
    let status = load_until(&client, &id, |load| load.state == LoadState::Ended).await;
    assert_eq!((status.report.gave_up, status.report.refused.len(), status.notable.len()), (2, 0, 0), "{status:?}");
}

#[tokio::test]
async fn a_load_stops_by_itself_when_its_time_is_over() {
    let pod = pod(Behaviour::Echo).await;
    let server = serve(builder(pod.address())).await;
    let client = client!(server.control_address());
    let load = NewLoad { rate: 100.0, seconds: Some(0.5), ..NewLoad::new(NUMBER, 2) };
    let id = client.start_load(&load).await.unwrap();
    let status = load_until(&client, &id, |load| load.state == LoadState::Ended).await;
    assert_eq!((status.report.calls, status.report.cut, status.level), (2, 0, 0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let server = serve(builder(&nobody().await)).await;
    let address = server.control_address().to_string();
    let client = client!(address);
    let error = |result: Result<String, ClientError>| result.unwrap_err().to_string();
    let unknown_voice = error(client.place(&NewCall::new("1").script(["say ../../etc/passwd"])).await);
    assert!(unknown_voice.contains("400") && unknown_voice.contains("five_five"), "{unknown_voice}");
    let bad_line = error(client.place(&NewCall::new("1").script(["hangup", "shout"])).await);
    assert!(bad_line.contains("line 2"), "{bad_line}");
    let loss = Impairments { loss: 7.0, ..Impairments::default() };
    let bad_loss = error(client.place(&NewCall { impairments: loss, ..NewCall::new("1") }).await);
    assert!(bad_loss.contains("loss"), "{bad_loss}");
    assert!(error(client.place(&NewCall::new("")).await).contains("to:"));
    assert!(error(client.start_load(&NewLoad { rate: 0.0, ..NewLoad::new("1", 1) }).await).contains("rate"));
    assert!(matches!(client.call("none").await, Err(ClientError::Refused { status: 404, .. })));
    assert!(matches!(client.load("none").await, Err(ClientError::Refused { status: 404, .. })));
    for (path, body, status) in [
        ("/calls", "{\"to\": \"1\", \"colour\": \"red\"}".to_owned(), 400),
        ("/calls", "nonsense".to_owned(), 400),
        ("/calls", " ".repeat(70_000), 413),
        ("/nowhere", String::new(), 404),
        ("/state", String::new(), 405),
    ] {
        let request = http::Request::post(path).body(body.into_bytes()).unwrap();
        let response = support::exchange(address.clone(), request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    assert_eq!(client.calls().await.unwrap(), []);
}

#[tokio::test]
async fn the_event_socket_takes_peers_and_passwords_only_as_it_is_told() {
    let server = serve(builder(&nobody().await)).await;
    let mut socket = EventSocket(TcpStream::connect(server.event_socket_address().unwrap()).await.unwrap());
    socket.read_until("\n\n").await;
    socket.write("auth wrong").await;
    assert!(socket.read_until("\n\n").await.contains("-ERR invalid"));
    let mut rest = Vec::new();
    timeout(SOON, socket.0.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("text/disconnect-notice"));

    let acl = r#"<param name="listen-port" value="8021"/><param name="apply-inbound-acl" value="192.0.2.0/24"/>"#;
    let xml = CONFIGURATION.replace(r#"<param name="listen-port" value="8021"/>"#, acl);
    let own = own_address();
    let strict = SwitchBuilder::from_xml(xml).with_variable("local_ip_v4", &own).with_variable("agent_ip", own);
    let server = serve(strict).await;
    let mut socket = TcpStream::connect(server.event_socket_address().unwrap()).await.unwrap();
    let mut all = String::new();
    timeout(SOON, socket.read_to_string(&mut all)).await.unwrap().unwrap();
    assert!(all.starts_with("Content-Type: text/rude-rejection\n"), "{all}");
}

#[tokio::test]
async fn reloadxml_takes_the_new_dialplan_and_keeps_the_old_one_if_it_is_wrong() {
    let own = own_address();
    let path = std::env::temp_dir().join(format!("switchsim-{}.xml", uuid::Uuid::new_v4()));
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(CONFIGURATION);
    let builder = SwitchBuilder::from_file(&path).unwrap();
    let server = serve(
        builder.with_variable("local_ip_v4", &own).with_variable("agent_ip", own).with_variable("esl", nobody().await),
    )
    .await;
    let client = client!(server.control_address());
    let mut socket = EventSocket::open(&server).await;
    write("<document>");
    assert!(socket.api("reloadxml").await.starts_with("-ERR ["));
    assert_eq!(outcome(&client, NewCall::new("nonsense")).await.sip_status, 404);
    write(&CONFIGURATION.replace(r#"data="404""#, r#"data="410""#));
    assert_eq!(socket.api("reloadxml").await, "+OK [Success]\n");
    assert_eq!(outcome(&client, NewCall::new("nonsense")).await.sip_status, 410);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named_at_the_start() {
    let own = own_address();
    let builder = |local: &str| {
        SwitchBuilder::from_xml(CONFIGURATION).with_variable("local_ip_v4", local).with_variable("agent_ip", &own)
    };
    let control = "127.0.0.1:0".parse().unwrap();
    let error = Server::start(builder("198.51.100.77"), control).await.err().expect("not this machine's").to_string();
    assert!(error.contains("198.51.100.77:5060"), "{error}");
    let _first = Server::start(builder(&own), control).await.unwrap();
    let second = Server::start(builder(&own), control).await.err().expect("taken");
    assert!(matches!(&second, ServeError::Bind { .. }) && second.to_string().contains(&own), "{second}");
}

#[tokio::test]
async fn a_gateway_gives_its_registration_back_when_told() {
    let xml = CONFIGURATION.replace(
        "<profile name=\"edge\">",
        "<profile name=\"edge\"><gateways>\
         <gateway name=\"carrier\"><param name=\"username\" value=\"a\"/><param name=\"password\" value=\"b\"/></gateway>\
         <gateway name=\"peer\"><param name=\"register\" value=\"false\"/></gateway></gateways>",
    );
    let switch = SwitchBuilder::from_xml(xml).start().unwrap();
    let state = |gateway: &str| {
        let told = switch.api(&format!("sofia status gateway {gateway}"));
        told.lines().find_map(|line| line.strip_prefix("State   \t").map(str::to_owned))
    };
    assert_eq!((state("carrier").as_deref(), state("peer").as_deref()), (Some("REGED"), Some("NOREG")));
    let xml = switch.api("sofia xmlstatus gateway carrier");
    assert!(xml.contains("<state>REGED</state>") && xml.contains("<status>UP</status>"), "{xml}");
    assert_eq!(switch.api("sofia xmlstatus gateway nobody"), "Invalid Gateway!\n");
    assert_eq!(switch.api("sofia profile nobody unregister all"), "Invalid Profile [nobody]\n");
    assert_eq!(switch.api("sofia profile edge unregister other"), "-ERR NO such gateway.!\n");
    assert_eq!(state("carrier").as_deref(), Some("REGED"));
    assert_eq!(switch.api("sofia profile edge unregister all"), "+OK\n");
    assert_eq!(state("carrier").as_deref(), Some("NOREG"));
}
