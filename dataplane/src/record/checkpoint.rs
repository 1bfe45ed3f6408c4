//! The record of a call as far as it has gone, beside its recording: what is left of the call when its pod is killed. It is written
//! anew after each turn and shows every few seconds that its call still runs. Never read by the pod that writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use super::call::CallRecord;
use super::disk::Disk;

/// How often a file that has not changed shows that its call runs.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// The name of a call's checkpoint: hidden, and of a kind that nobody serves.
pub(super) fn file_name(stem: &str) -> String {
    format!(".{stem}.call.part")
}

enum State {
    Runs(Arc<CallRecord>),
    /// Its record was delivered.
    Done,
}

/// One call's checkpoint. Dropped without [`Self::discard`], it stays as it is: its call ended by a fault.
#[derive(Debug)]
pub(super) struct Checkpoint {
    latest: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Runs(_) => "Runs",
            Self::Done => "Done",
        })
    }
}

impl Checkpoint {
    /// Begins it in `folder`. Must be called within a tokio runtime.
    pub(super) fn begin(disk: &Disk, folder: &Path, stem: &str, record: CallRecord) -> Self {
        let (latest, states) = watch::channel(State::Runs(Arc::new(record)));
        let task = tokio::spawn(keep(disk.clone(), folder.join(file_name(stem)), states));
        Self { latest, task }
    }

    /// The call is that far. Never blocks; what the disk has not taken when the next comes is left out.
    pub(super) fn update(&self, record: CallRecord) {
        self.latest.send_replace(State::Runs(Arc::new(record)));
    }

    /// The record itself is where it belongs.
    pub(super) async fn discard(self) {
        self.latest.send_replace(State::Done);
        let _ = self.task.await;
    }
}

async fn keep(disk: Disk, path: PathBuf, mut states: watch::Receiver<State>) {
    let mut told = false;
    states.mark_changed();
    loop {
        let changed = match tokio::time::timeout(HEARTBEAT, states.changed()).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => return,
            Err(_) => false,
        };
        let record = match &*states.borrow_and_update() {
            State::Runs(record) => changed.then(|| Arc::clone(record)),
            State::Done => break,
        };
        let path = path.clone();
        let written = disk.run(move || match record {
            Some(record) => write(&path, &record),
            None => touch(&path),
        });
        // The call itself is not harmed; the disk's trouble is told once a call.
        if let Ok(Err(error)) = written.await
            && !std::mem::replace(&mut told, true)
        {
            warn!(%error, "the record of a call that runs could not be kept");
        }
    }
    let _ = disk.run(move || std::fs::remove_file(path)).await;
}

fn write(path: &Path, record: &CallRecord) -> io::Result<()> {
    let json = serde_json::to_vec(record).map_err(io::Error::other)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    options.open(&new).and_then(|mut file| file.write_all(&json)).and_then(|()| std::fs::rename(&new, path))
}

fn touch(path: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(path)?.set_modified(SystemTime::now())
}
