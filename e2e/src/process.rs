//! A pod as a process of its own: the real binary, started with its environment, watched over its log, its HTTP
//! server and its exit status. Never reaches into it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sofia_dataplane::record::CallRecord;

use crate::{Folder, Reply, eventually, http};

/// The log line that names the ports.
const READY: &str = "ready for calls";

/// A pod to be started.
#[derive(Debug, Clone)]
pub struct PodBuilder {
    variables: BTreeMap<String, String>,
}

impl PodBuilder {
    /// Sets an environment variable, named without its `SOFIA_PHONE_`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.insert(format!("SOFIA_PHONE_{name}"), value.to_string());
        self
    }

    /// Has the pod keep records of its calls, for [`PodProcess::record`].
    #[must_use]
    pub fn recording(self) -> Self {
        self.set("RECORD_DIR", "records")
    }

    /// Starts the pod and waits until it takes calls.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(self) -> PodProcess {
        let folder = Folder::new();
        let mut command = dataplane();
        command.envs(&self.variables).current_dir(folder.path());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let out = child.stdout.take().expect("it was asked for");
        let lines = Arc::clone(&log);
        // It ends with the pod's standard output.
        std::thread::spawn(move || collect(out, &lines));
        let mut pod =
            PodProcess { child, status: None, log, folder, esl: UNKNOWN, http: UNKNOWN, rtp_ports: Vec::new() };
        pod.await_ready().await;
        pod
    }
}

const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The data plane's binary with an environment that holds none of its variables. What it reads from its working
/// directory is the caller's to choose.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn dataplane() -> Command {
    let path = binary("sofia-dataplane");
    assert!(path.exists(), "{} is not there; build it first: cargo build --bins", path.display());
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOFIA_PHONE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Test executables lie in `deps`, beside which the binaries of the same profile lie.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    let folder = test.parent().expect("an executable lies in a folder");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("deps lies in the profile's folder") } else { folder };
    folder.join(name)
}

/// A running pod; killed when dropped.
#[derive(Debug)]
pub struct PodProcess {
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<Mutex<Vec<String>>>,
    folder: Folder,
    esl: SocketAddr,
    http: SocketAddr,
    rtp_ports: Vec<u16>,
}

impl PodProcess {
    /// A pod on free ports of loopback, with the mock as backend (quick: 20 ms a stage), one media worker and its log
    /// as JSON.
    #[must_use]
    pub fn builder() -> PodBuilder {
        PodBuilder { variables: BTreeMap::new() }
            .set("ENV", "development")
            .set("ESL_HOST", "127.0.0.1")
            .set("ESL_PORT", 0)
            .set("RTP_HOST", "127.0.0.1")
            .set("RTP_START_PORT", 0)
            .set("RTP_WORKERS", 1)
            // Tests run beside each other on machines that are busy; that calls are refused for it is one test's matter.
            .set("MAX_LATENESS_MS", 0)
            .set("HEALTH_HOST", "127.0.0.1")
            .set("HEALTH_PORT", 0)
            .set("JSON_LOGS", true)
            .set("MOCK_TRANSCRIBE_DELAY_MS", 20)
            .set("MOCK_GENERATE_DELAY_MS", 20)
            .set("MOCK_SPEAK_DELAY_MS", 20)
    }

    /// [`Self::builder`] as it is, started.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    async fn await_ready(&mut self) {
        let ready = eventually("a pod to be ready for calls", async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let mut said = String::new();
                if let Some(mut errors) = self.child.stderr.take() {
                    let _ = errors.read_to_string(&mut said);
                }
                panic!("expected a pod that runs, came {status}: {said}\n{}", self.log().join("\n"));
            }
            self.logged(READY)
        })
        .await;
        let address = |name: &str| -> Option<SocketAddr> { ready[name].as_str()?.parse().ok() };
        self.esl = address("esl").expect("a pod says where it takes calls");
        self.http = address("http").unwrap_or(UNKNOWN);
        let ports = ready["rtp"].as_str().expect("a pod says its media ports").trim_matches(['[', ']']).to_owned();
        self.rtp_ports = ports.split(',').filter_map(|port| port.trim().parse().ok()).collect();
    }

    /// Where it takes calls, as `host:port`.
    #[must_use]
    pub fn esl(&self) -> String {
        self.esl.to_string()
    }

    /// Where its HTTP server listens.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its RTP ports on 127.0.0.1, one a media worker; RTCP is one above each.
    #[must_use]
    pub fn rtp_ports(&self) -> &[u16] {
        &self.rtp_ports
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory, in which its records lie.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended already.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are positive"));
        kill(id, signal).expect("the process runs");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not, see [`eventually`].
    pub async fn exit(&mut self) -> ExitStatus {
        let status =
            eventually("a pod to end", async || self.child.try_wait().expect("a child can be waited for")).await;
        self.status = Some(status);
        status
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// `GET path`.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, None).await
    }

    /// `POST path` with a bearer token.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn post(&self, path: &str, token: Option<&str>) -> Reply {
        self.request("POST", path, token).await
    }

    /// `DELETE path` with a bearer token.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn delete(&self, path: &str, token: Option<&str>) -> Reply {
        self.request("DELETE", path, token).await
    }

    async fn request(&self, method: &str, path: &str, token: Option<&str>) -> Reply {
        http::request(self.http, method, path, token)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: expected an answer, came {error}"))
    }

    /// `/status` as JSON.
    pub async fn status(&self) -> Value {
        self.get("/status").await.json()
    }

    /// A figure of `/metrics`: a name, or a name with labels as the page writes them. Of a name without labels all
    /// series are added up; 0 where there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.body;
        let series = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let same = series == name || series.split_once('{').is_some_and(|(base, _)| base == name);
            same.then(|| value.parse::<f64>().ok()).flatten()
        });
        series.sum()
    }

    /// Waits until a figure is as `condition` says, and returns it.
    pub async fn await_metric(&self, name: &str, condition: impl Fn(f64) -> bool) -> f64 {
        eventually(&format!("{name} to be as expected"), async || {
            Some(self.metric(name).await).filter(|value| condition(*value))
        })
        .await
    }

    /// Waits until it has no call.
    pub async fn await_empty(&self) {
        self.await_metric("sofia_phone_sessions_active", |active| active == 0.0).await;
    }

    /// The lines that it logged so far, as they came.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        locked(&self.log).clone()
    }

    /// The first line so far whose message is `message`, as JSON.
    #[must_use]
    pub fn logged(&self, message: &str) -> Option<Value> {
        let lines = locked(&self.log);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line: &Value| line["message"] == message)
    }

    /// Waits for such a line.
    pub async fn await_logged(&self, message: &str) -> Value {
        eventually(&format!("the log line {message:?}"), async || self.logged(message)).await
    }

    /// Waits for the record of the only call that it had; see [`PodBuilder::recording`].
    pub async fn record(&self) -> CallRecord {
        self.folder.records(1).await.remove(0)
    }
}

impl Drop for PodProcess {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Nothing can be done about one that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the pod at {}:\n{}", self.esl, self.log().join("\n"));
        }
    }
}

fn locked(log: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(out: ChildStdout, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        locked(lines).push(line);
    }
}

/// Runs [`dataplane`] to its end with these variables and arguments, in `folder`.
///
/// # Panics
/// When it cannot be run.
#[must_use]
pub fn run_dataplane(folder: &Folder, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = dataplane();
    command.current_dir(folder.path()).envs(variables.iter().copied()).args(arguments);
    command.output().expect("the binary can be run")
}
