//! The pod of the demo: the real program as a child process, on free ports of loopback. It never outlives the demo.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::Told;
use super::folder::Folder;
use super::log::{self, PodEvent, Ready};

/// What the pod is set to; everything else is as it is when nothing is set.
const SETTINGS: [(&str, &str); 14] = [
    ("SOFIA_PHONE_ENV", "development"),
    ("SOFIA_PHONE_BACKEND", "mock"),
    ("SOFIA_PHONE_ESL_HOST", "127.0.0.1"),
    ("SOFIA_PHONE_ESL_PORT", "0"),
    ("SOFIA_PHONE_RTP_HOST", "127.0.0.1"),
    ("SOFIA_PHONE_RTP_START_PORT", "0"),
    ("SOFIA_PHONE_RTP_WORKERS", "1"),
    ("SOFIA_PHONE_HEALTH_HOST", "127.0.0.1"),
    ("SOFIA_PHONE_HEALTH_PORT", "0"),
    ("SOFIA_PHONE_JSON_LOGS", "true"),
    // What is said is not logged unless it is asked for.
    ("SOFIA_PHONE_LOG_LEVEL", "info,sofia_dataplane::transcript=debug"),
    // The caller is made up, so the record may show the number and the keys.
    ("SOFIA_PHONE_LOG_CALLER_NUMBERS", "true"),
    ("SOFIA_PHONE_DRAIN_DEADLINE_SECONDS", "1"),
    ("SOFIA_PHONE_POD_NAME", "demo"),
];

/// A running pod; killed when it is dropped.
pub struct Pod(Child);

impl Pod {
    /// Starts `program` and waits until it takes calls, `patience` at most. What it logs from then on is told.
    ///
    /// # Errors
    /// It can't be started, ends, or is not ready in time.
    pub async fn start(
        program: &Path,
        folder: &Folder,
        told: Sender<Told>,
        patience: Duration,
    ) -> Result<(Self, Ready)> {
        let program = program.canonicalize().context("expected a program")?;
        let log = File::options().create(true).append(true).open(folder.log())?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SOFIA_PHONE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .envs(SETTINGS)
            .env("SOFIA_PHONE_RECORD_DIR", folder.path())
            // Not where somebody's own .env may be.
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .kill_on_drop(true)
            .spawn()?;
        let (is_ready, ready) = oneshot::channel();
        let lines = child.stdout.take().context("stdout is piped")?;
        tokio::spawn(read(lines, log, is_ready, told));
        let mut pod = Self(child);
        match tokio::time::timeout(patience, ready).await {
            Ok(Ok(ready)) => Ok((pod, ready)),
            // Its log has ended, and so has it, or is about to.
            Ok(Err(_)) => match pod.stop(patience).await {
                Some(status) => bail!("it ended before it was ready: {status}"),
                None => bail!("it closed its log before it was ready"),
            },
            Err(_) => bail!("not ready after {} s", patience.as_secs()),
        }
    }

    /// Has the pod end as Kubernetes would, `patience` at most; killed then. `None` if it had to be.
    pub async fn stop(&mut self, patience: Duration) -> Option<ExitStatus> {
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // It may be gone already.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        match tokio::time::timeout(patience, self.0.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.0.kill().await;
                None
            }
        }
    }
}

/// Reads the log to its end: keeps all of it, and tells what matters.
async fn read(lines: impl AsyncRead + Unpin, mut log: File, is_ready: oneshot::Sender<Ready>, told: Sender<Told>) {
    let mut lines = BufReader::new(lines).lines();
    let mut is_ready = Some(is_ready);
    while let Ok(Some(line)) = lines.next_line().await {
        // Without a log there is still the call.
        let _ = writeln!(log, "{line}");
        match log::parse(&line) {
            Some(PodEvent::Ready(ready)) => {
                if let Some(is_ready) = is_ready.take() {
                    let _ = is_ready.send(ready);
                }
            }
            Some(event) => {
                let _ = told.send(Told::Pod(event)).await;
            }
            None => {}
        }
    }
}
