//! Brings finished calls to where they are wanted: into a folder, to a URL, or both. Never holds a call up and never grows
//! without bound: what does not fit is dropped, counted and logged.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::call::{CallRecord, Ending, RecordingNote};
use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::family;
use super::leftovers::{LOOK_EVERY, Leftovers, Lost};
use super::names::file_stem;
use super::page;
use super::post::{Parcel, PostTarget, post};
use super::stereo::StereoRecorder;

/// Calls that may be under way to their destination at once: an hour's worth for a pod whose receiver is away.
const DEFAULT_IN_FLIGHT: usize = 256;
/// Calls that are posted at once.
const POSTS_AT_ONCE: usize = 4;

/// Where finished calls go.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliverySettings {
    /// A folder that gets `<name>.json`, `<name>.html` and `<name>.wav` of each call; created where it is missing.
    pub folder: Option<PathBuf>,
    /// A URL that gets them.
    pub post: Option<PostTarget>,
    /// Whether the sound is recorded. Without, records and pages still have the outline where frames are handed over.
    pub audio: bool,
    /// Where recordings wait when there is no folder; created where it is missing.
    pub spool: PathBuf,
    /// How many calls may be under way at once.
    pub in_flight: usize,
}

impl Default for DeliverySettings {
    /// Nowhere, with audio, spooled in the folder for temporary files.
    fn default() -> Self {
        Self {
            folder: None,
            post: None,
            audio: true,
            spool: std::env::temp_dir().join("sofia-phone-recordings"),
            in_flight: DEFAULT_IN_FLIGHT,
        }
    }
}

/// Why delivery cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("records cannot be written to {}: {source}", folder.display())]
pub struct StartError {
    /// The folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    #[source]
    pub source: io::Error,
}

/// Too many calls are under way: this one's record is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many records are under way: this one was dropped")]
pub struct QueueFull;

/// What delivery has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryFigures {
    /// Calls written to the folder.
    pub written: u64,
    /// Calls posted.
    pub posted: u64,
    /// Calls that did not reach the folder, or the URL; one that reached neither counts twice.
    pub failed: u64,
    /// Calls dropped because too many were under way.
    pub dropped: u64,
    /// Recordings given up.
    pub recordings_lost: u64,
}

/// Delivers records. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Delivery(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: DeliverySettings,
    client: reqwest::Client,
    in_flight: Arc<Semaphore>,
    posting: Semaphore,
    tasks: TaskTracker,
    /// Of the calls that run, by the names of their files.
    checkpoints: Mutex<HashMap<String, Checkpoint>>,
    disk: Disk,
    counters: Counters,
}

/// A call that runs, as far as the disk knows it. Dropped without [`Self::over`], its record stays as far as it was: it is finished like
/// that of a lost pod.
#[derive(Debug)]
pub struct Going {
    delivery: Delivery,
    stem: Option<String>,
}

impl Going {
    /// The call is that far. Never blocks.
    pub fn update(&self, record: CallRecord) {
        if let Some(stem) = &self.stem
            && let Some(checkpoint) = self.delivery.0.checkpoints().get(stem)
        {
            checkpoint.update(record);
        }
    }

    /// The call is over, and its record will be submitted.
    pub fn over(mut self) {
        self.stem = None;
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if let Some(stem) = self.stem.take() {
            self.delivery.0.checkpoints().remove(&stem);
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    posted: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    recordings_lost: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Delivery {
    /// Makes sure that the folders are there and can be written to. Blocks on the disk for a moment: for the process's
    /// start.
    ///
    /// # Errors
    /// A folder cannot be created or written to.
    pub fn start(settings: DeliverySettings, client: reqwest::Client) -> Result<Self, StartError> {
        let spool = (settings.audio && settings.folder.is_none() && settings.post.is_some()).then_some(&settings.spool);
        for folder in settings.folder.iter().chain(spool) {
            prove_writable(folder).map_err(|source| StartError { folder: folder.clone(), source })?;
        }
        Ok(Self(Arc::new(Shared {
            in_flight: Arc::new(Semaphore::new(settings.in_flight)),
            posting: Semaphore::new(POSTS_AT_ONCE),
            tasks: TaskTracker::new(),
            checkpoints: Mutex::default(),
            disk: Disk::default(),
            counters: Counters::default(),
            settings,
            client,
        })))
    }

    /// Whether anybody wants records at all.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.settings.folder.is_some() || self.0.settings.post.is_some()
    }

    /// Begins the recording of the call that `record` is about; its id, begin and attempt must not change any more.
    ///
    /// `offset_ms` is when on the call's axis the first frame is. Must be called within a tokio runtime.
    #[must_use]
    pub fn recorder(&self, record: &CallRecord, offset_ms: u64) -> StereoRecorder {
        if !self.0.settings.audio || !self.is_wanted() {
            return StereoRecorder::outline_only(offset_ms);
        }
        let folder = self.0.settings.folder.as_ref().unwrap_or(&self.0.settings.spool);
        StereoRecorder::begin_on(&self.0.disk, folder.join(format!("{}.wav", stem(record))), offset_ms)
    }

    /// Keeps what is known of a call that runs where it is found if the pod is lost. `None`: there is no folder for that. Must be called
    /// within a tokio runtime.
    #[must_use]
    pub fn going(&self, record: CallRecord) -> Option<Going> {
        let folder = self.0.place()?;
        let stem = stem(&record);
        let checkpoint = Checkpoint::begin(&self.0.disk, folder, &stem, record);
        self.0.checkpoints().insert(stem.clone(), checkpoint);
        Some(Going { delivery: self.clone(), stem: Some(stem) })
    }

    /// Finds what lost pods left, again and again, and delivers it. Ends with the task that it is run in.
    pub async fn sweep(self) {
        let Some(folder) = self.0.place() else { return };
        let mut leftovers = Leftovers::new(folder.clone());
        loop {
            leftovers = self.sweep_once(leftovers).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn sweep_once(&self, mut leftovers: Leftovers) -> Leftovers {
        let looked = self.0.disk.run(move || {
            let found = leftovers.look();
            (leftovers, found)
        });
        let (leftovers, found) = looked.await.expect("looking does not panic and is not stopped");
        match found {
            Ok(found) => {
                for Lost { record, recording, claim } in found {
                    let permit = Arc::clone(&self.0.in_flight).acquire_owned().await;
                    self.0.publish(record, recording, permit.expect("the semaphore is never closed")).await;
                    if let Err(error) = tokio::fs::remove_file(&claim).await {
                        warn!(claim = %claim.display(), %error, "what a lost pod left was not deleted");
                    }
                }
            }
            Err(error) => warn!(%error, "the folder of records could not be looked through"),
        }
        leftovers
    }

    /// Takes a finished call and delivers it in the background. Never blocks. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`QueueFull`]: the record is lost, and its recording deleted.
    pub fn submit(&self, record: CallRecord, recorder: Option<StereoRecorder>) -> Result<(), QueueFull> {
        if !self.is_wanted() {
            return Ok(());
        }
        let Ok(permit) = Arc::clone(&self.0.in_flight).try_acquire_owned() else {
            count(&self.0.counters.dropped);
            warn!(call = %record.call_id, "record dropped: too many are under way");
            if let Some(checkpoint) = self.0.checkpoints().remove(&stem(&record)) {
                tokio::spawn(checkpoint.discard());
            }
            return Err(QueueFull);
        };
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move { shared.deliver(record, recorder, permit).await });
        Ok(())
    }

    /// What was done so far.
    #[must_use]
    pub fn figures(&self) -> DeliveryFigures {
        let Counters { written, posted, failed, dropped, recordings_lost } = &self.0.counters;
        DeliveryFigures {
            written: written.load(Ordering::Relaxed),
            posted: posted.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            recordings_lost: recordings_lost.load(Ordering::Relaxed),
        }
    }

    /// How many calls are under way to their destination, and of how many that run the record is kept so far.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        (self.0.tasks.len(), self.0.checkpoints().len())
    }

    /// Waits until everything that was submitted is delivered or given up, `deadline` at most. Returns how many calls
    /// were still under way then.
    pub async fn finish(&self, deadline: Duration) -> usize {
        self.0.tasks.close();
        match tokio::time::timeout(deadline, self.0.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.0.tasks.len(),
        }
    }
}

fn stem(record: &CallRecord) -> String {
    file_stem(&record.call_id, record.started_at, record.attempt)
}

impl Shared {
    fn checkpoints(&self) -> MutexGuard<'_, HashMap<String, Checkpoint>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where files of calls that run are kept: a folder that was found to be there.
    fn place(&self) -> Option<&PathBuf> {
        let DeliverySettings { folder, post, audio, spool, .. } = &self.settings;
        folder.as_ref().or_else(|| (post.is_some() && *audio).then_some(spool))
    }

    async fn deliver(&self, mut record: CallRecord, recorder: Option<StereoRecorder>, permit: OwnedSemaphorePermit) {
        let checkpoint = self.checkpoints().remove(&stem(&record));
        let recording = self.complete(&mut record, recorder).await;
        self.publish(record, recording, permit).await;
        if let Some(checkpoint) = checkpoint {
            checkpoint.discard().await;
        }
    }

    async fn publish(&self, mut record: CallRecord, recording: Option<PathBuf>, _permit: OwnedSemaphorePermit) {
        let stem = stem(&record);
        let name = stem.clone();
        // Only these have others: of all calls it would be a look through the whole folder.
        let several =
            record.attempt > 1 || matches!(record.ending, Ending::HandedOver | Ending::PodLost | Ending::SwitchLost);
        let folder = self.settings.folder.clone().filter(|_| several);
        let reads = folder.is_some();
        // Drawing takes some milliseconds, which calls on the same thread would feel.
        let work = move || {
            if let Some(folder) = folder {
                match family::join(&folder, &name, &mut record) {
                    Ok(others) => rewrite(&folder, &others),
                    Err(error) => warn!(%error, "the other records of a call could not be looked for"),
                }
            }
            let (json, page) = draw(&name, &record);
            (json, page, record.call_id)
        };
        // The others are on the disk.
        let drawn = if reads { self.disk.run(work).await } else { spawn_blocking(work).await };
        let Ok((json, page, call)) = drawn else {
            count(&self.counters.failed);
            error!("record lost: its drawing was stopped");
            return;
        };
        let (json, page) = (Arc::<[u8]>::from(json), Arc::<str>::from(page));
        if let Some(folder) = &self.settings.folder {
            let written =
                write_both(&self.disk, folder.clone(), stem.clone(), Arc::clone(&json), Arc::clone(&page)).await;
            match written {
                Ok(()) => {
                    count(&self.counters.written);
                    debug!(%call, name = %stem, "record written");
                }
                Err(error) => {
                    count(&self.counters.failed);
                    error!(%call, folder = %folder.display(), %error, "record not written");
                }
            }
        }
        if let Some(target) = &self.settings.post {
            let parcel = Parcel { stem: &stem, json: &json, page: &page, recording: recording.as_deref() };
            let _turn = self.posting.acquire().await.expect("the semaphore is never closed");
            match post(&self.client, target, &parcel).await {
                Ok(()) => {
                    count(&self.counters.posted);
                    debug!(%call, name = %stem, "record posted");
                }
                Err(error) => {
                    count(&self.counters.failed);
                    error!(%call, %error, "record not posted");
                }
            }
        }
        // With a folder the recording stays there; without, it was only waiting to be sent.
        if let (None, Some(path)) = (&self.settings.folder, recording)
            && let Err(error) = tokio::fs::remove_file(&path).await
        {
            warn!(%call, path = %path.display(), %error, "spooled recording not deleted");
        }
    }

    /// Finishes the recording and notes in the record what became of it; returns where it is.
    async fn complete(&self, record: &mut CallRecord, recorder: Option<StereoRecorder>) -> Option<PathBuf> {
        let recording = recorder?.finish().await;
        record.waveform = recording.waveform;
        match recording.file? {
            Ok(file) => {
                record.recording = RecordingNote::Kept {
                    file: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                    duration_ms: u64::try_from(file.duration.as_millis()).unwrap_or(u64::MAX),
                    bytes: file.bytes,
                };
                Some(file.path)
            }
            Err(reason) => {
                count(&self.counters.recordings_lost);
                record.recording = RecordingNote::Dropped { reason };
                None
            }
        }
    }
}

/// The record as text, and its page.
fn draw(stem: &str, record: &CallRecord) -> (Vec<u8>, String) {
    let json = serde_json::to_vec_pretty(record).expect("a record has string keys only");
    let nonce = format!("{:032x}", rand::random::<u128>());
    (json, page::draw(record, Some(&format!("{stem}.json")), &nonce))
}

/// Writes records that were there before once more, with links to one that is new.
fn rewrite(folder: &Path, others: &[(String, CallRecord)]) {
    for (stem, record) in others {
        let (json, page) = draw(stem, record);
        let written = write_whole(folder, &format!("{stem}.json"), &json)
            .and_then(|()| write_whole(folder, &format!("{stem}.html"), page.as_bytes()));
        if let Err(error) = written {
            warn!(name = %stem, %error, "an earlier record of a call got no link to a later one");
        }
    }
}

async fn write_both(disk: &Disk, folder: PathBuf, stem: String, json: Arc<[u8]>, page: Arc<str>) -> io::Result<()> {
    let write = move || {
        write_whole(&folder, &format!("{stem}.json"), &json)?;
        write_whole(&folder, &format!("{stem}.html"), page.as_bytes())
    };
    disk.run(write).await.map_err(io::Error::other)?
}

/// Writes a file that is there whole or not at all.
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let part = folder.join(format!(".{name}.part"));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    let written = options
        .open(&part)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&part, folder.join(name)));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn prove_writable(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Several pods may share the folder and start at once.
    let probe = folder.join(format!(".{:032x}.part", rand::random::<u128>()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests;
