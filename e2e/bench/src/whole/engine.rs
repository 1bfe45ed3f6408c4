//! The data plane's process: the real binary, kept on one core, watched through its log, its metrics and the kernel's
//! accounting. Never reaches into it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::figures::Metrics;
use crate::machine::{self, Usage};

/// The log line that names the ports.
const READY: &str = "ready for calls";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running data plane; killed when dropped.
pub(crate) struct Engine {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) esl: String,
    http: SocketAddr,
}

impl Engine {
    /// Starts it on `core`, with room for `calls`, and waits until it takes them. Everything that is not said here or in `settings`
    /// (named without their `SOFIA_PHONE_`, later ones win) is as a user has it who sets nothing, but for the codec: goals are for
    /// PCMU.
    pub(crate) fn start(binary: &Path, core: usize, calls: usize, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let calls = calls.to_string();
        let fixed = [
            ("ESL_HOST", "127.0.0.1"),
            ("ESL_PORT", "0"),
            ("RTP_HOST", "127.0.0.1"),
            ("RTP_START_PORT", "0"),
            ("HEALTH_HOST", "127.0.0.1"),
            ("HEALTH_PORT", "0"),
            ("JSON_LOGS", "true"),
            ("CODECS", "PCMU"),
            ("MAX_SESSIONS", &calls),
        ];
        for (name, value) in fixed.iter().chain(settings) {
            command.env(format!("SOFIA_PHONE_{name}"), value);
        }
        // A process begins where the thread was that started it: no moment of it is on another core.
        let starter = std::thread::spawn(move || -> Result<Child> {
            machine::pin(core).context("cannot stay on the data plane's core")?;
            let name = command.get_program().display().to_string();
            command
                .spawn()
                .with_context(|| format!("{name}; build it first: cargo build --release --bin sofia-dataplane"))
        });
        let mut child = starter.join().map_err(|_| anyhow!("the starting thread failed"))??;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (out, lines) = (child.stdout.take().context("its output was asked for")?, Arc::clone(&log));
        // It ends with the process's standard output.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut engine = Self { child, log, esl: String::new(), http: ([127, 0, 0, 1], 0).into() };
        let ready = engine.await_ready()?;
        let address =
            |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {ready}"));
        engine.esl = address("esl")?;
        engine.http = address("http")?.parse()?;
        Ok(engine)
    }

    fn await_ready(&mut self) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.logged(READY).pop() {
                return Ok(line);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("expected a data plane that runs, came {status}");
            }
            if Instant::now() > end {
                bail!("expected a data plane that is ready for calls within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the kernel says that it used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(Usage::of(self.child.id())?)
    }

    /// Its log lines so far with this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed =
            lines.iter().filter(|line| line.contains(message)).filter_map(|line| serde_json::from_str(line).ok());
        parsed.filter(|line: &Value| line["message"] == message).collect()
    }

    /// Its figures now.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let mut stream = TcpStream::connect_timeout(&self.http, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(Metrics::parse(&page))
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        // What cannot be killed has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}
