//! The recording of one call: stereo WAV at 16 kHz, the caller left, the agent right, written while the call runs. Never
//! waits for the disk on behalf of the call: what the disk cannot take in time ends the recording, not the call.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tracing::warn;

use super::disk::Disk;
use super::waveform::{PeakTrack, Waveform};

/// The sample rate of recordings.
pub const RECORDING_RATE_HZ: u32 = 16_000;
/// Stereo samples that go to the disk together: one second, 64 KB.
const CHUNK_SAMPLES: usize = RECORDING_RATE_HZ as usize;
/// Chunks that may wait for the disk: half a megabyte a call, 8 s.
const QUEUED_CHUNKS: usize = 8;
/// The most stereo samples whose bytes a WAV header can count, its own 36 included: 18 hours.
const MAX_SAMPLES: u64 = (u32::MAX as u64 - 36) / 4;
/// How long the last bytes may take to reach the disk.
const FINISH_DEADLINE: Duration = Duration::from_secs(60);

/// Caller and agent at one instant.
type Stereo = [i16; 2];

/// Takes both sides of a call, frame by frame.
///
/// It gathers the call's [`Waveform`] in any case, and writes the WAV where it was begun with [`Self::begin`]. Dropped
/// without [`Self::finish`], it leaves no file behind.
#[derive(Debug)]
pub struct StereoRecorder {
    offset_ms: u64,
    peaks: PeakTrack,
    chunk: Vec<Stereo>,
    samples: u64,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    /// Only the outline is wanted.
    None,
    Writing {
        queue: mpsc::Sender<Order>,
        task: JoinHandle<Result<RecordedFile, String>>,
    },
    /// Given up for this reason.
    GivenUp(String),
}

#[derive(Debug)]
enum Order {
    Write(Vec<Stereo>),
    Close,
}

/// What came of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The file; `None` where none was asked for; or the reason why it was given up.
    pub file: Option<Result<RecordedFile, String>>,
    /// The outline of both sides, also where the file was given up; `None` when there was no audio.
    pub waveform: Option<Waveform>,
}

/// A finished WAV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFile {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub duration: Duration,
    /// Its size.
    pub bytes: u64,
}

impl StereoRecorder {
    /// Begins a recording that will be the file `path` once it is finished; until then it has another name beside it.
    ///
    /// `offset_ms` is when on the call's time axis the first frame is. Must be called within a tokio runtime. A file that
    /// cannot be created is told by [`Self::finish`].
    #[must_use]
    pub fn begin(path: PathBuf, offset_ms: u64) -> Self {
        Self::begin_on(&Disk::default(), path, offset_ms)
    }

    /// The same, beside others on a disk.
    pub(super) fn begin_on(disk: &Disk, path: PathBuf, offset_ms: u64) -> Self {
        let part = part_path(&path);
        let open = {
            let part = part.clone();
            move || create(&part)
        };
        Self::with_writer(offset_ms, spawn_writer(disk.clone(), open, part, path))
    }

    /// Gathers the outline alone.
    #[must_use]
    pub fn outline_only(offset_ms: u64) -> Self {
        Self::with_writer(offset_ms, Writer::None)
    }

    fn with_writer(offset_ms: u64, writer: Writer) -> Self {
        Self { offset_ms, peaks: PeakTrack::new(RECORDING_RATE_HZ), chunk: Vec::new(), samples: 0, writer }
    }

    /// Takes the next samples of both sides, mono at 16 kHz and of equal length; where one is shorter, it is taken to be
    /// silent at its end, so that the sides stay in step. Never blocks.
    pub fn push(&mut self, caller: &[i16], agent: &[i16]) {
        self.peaks.push(caller, agent);
        if !matches!(self.writer, Writer::Writing { .. }) {
            return;
        }
        for index in 0..caller.len().max(agent.len()) {
            let side = |samples: &[i16]| samples.get(index).copied().unwrap_or(0);
            if self.chunk.capacity() == 0 {
                self.chunk.reserve_exact(CHUNK_SAMPLES);
            }
            self.chunk.push([side(caller), side(agent)]);
            if self.chunk.len() == CHUNK_SAMPLES {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        let Writer::Writing { queue, .. } = &self.writer else { return };
        self.samples += self.chunk.len() as u64;
        let refused = if self.samples > MAX_SAMPLES {
            "longer than a WAV file can be".to_owned()
        } else {
            match queue.try_send(Order::Write(std::mem::take(&mut self.chunk))) {
                // Closed: the writer failed; it keeps its own reason until the end.
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(_)) => format!("the disk fell {QUEUED_CHUNKS} s behind"),
            }
        };
        warn!(reason = %refused, "recording given up");
        self.writer = Writer::GivenUp(refused);
    }

    /// Waits until the disk has taken what it was given: for tests, which talk faster than callers.
    #[cfg(test)]
    pub(super) async fn caught_up(&self) {
        if let Writer::Writing { queue, .. } = &self.writer {
            while !queue.is_closed() && queue.capacity() < QUEUED_CHUNKS {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Writes what is left, completes the header and gives the file its name.
    ///
    /// Waits for the disk, 60 s at most: to be awaited by a task that no call depends on.
    pub async fn finish(mut self) -> Recording {
        let rest = std::mem::take(&mut self.chunk);
        let file = match self.writer {
            Writer::None => None,
            Writer::GivenUp(reason) => Some(Err(reason)),
            Writer::Writing { queue, task } => {
                let closed = async {
                    // A writer that failed has closed the queue; its result says why.
                    if !rest.is_empty() {
                        let _ = queue.send(Order::Write(rest)).await;
                    }
                    let _ = queue.send(Order::Close).await;
                    task.await
                };
                Some(match tokio::time::timeout(FINISH_DEADLINE, closed).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err("its writer was stopped".to_owned()),
                    Err(_) => Err(format!("the disk did not take its end within {FINISH_DEADLINE:?}")),
                })
            }
        };
        Recording { file, waveform: self.peaks.finish(self.offset_ms) }
    }
}

/// A place to write a WAV to.
trait Sink: Write + Seek + Send {}
impl<T: Write + Seek + Send> Sink for T {}

type Wav = hound::WavWriter<BufWriter<Box<dyn Sink>>>;

fn create(part: &Path) -> io::Result<Box<dyn Sink>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        // What was said on the telephone is not for every account of the machine.
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    let file: File = options.open(part)?;
    Ok(Box::new(file))
}

/// The name beside `path` that a recording has until it is finished: hidden, and of a kind that nobody serves.
fn part_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

fn spawn_writer(
    disk: Disk,
    open: impl FnOnce() -> io::Result<Box<dyn Sink>> + Send + 'static,
    part: PathBuf,
    path: PathBuf,
) -> Writer {
    let (queue, orders) = mpsc::channel(QUEUED_CHUNKS);
    let task = tokio::spawn(async move {
        let written = write_all(&disk, open, orders).await;
        let named = match written {
            Ok(Some(samples)) => {
                let (part, path) = (part.clone(), path.clone());
                let renamed = disk.run(move || {
                    std::fs::rename(&part, &path)?;
                    Ok::<_, io::Error>((std::fs::metadata(&path)?.len(), path))
                });
                match renamed.await {
                    Ok(Ok((bytes, path))) => {
                        let duration = Duration::from_micros(samples * 1_000_000 / u64::from(RECORDING_RATE_HZ));
                        return Ok(RecordedFile { path, duration, bytes });
                    }
                    Ok(Err(error)) => Err(format!("it could not be given its name: {error}")),
                    Err(_) => Err("its writer was stopped".to_owned()),
                }
            }
            Ok(None) => Err("it was abandoned".to_owned()),
            Err(WriteError(reason)) => {
                warn!(%reason, path = %path.display(), "recording given up");
                Err(reason)
            }
        };
        // It may never have been created, and there is nobody left to tell.
        let _ = disk.run(move || std::fs::remove_file(part)).await;
        named
    });
    Writer::Writing { queue, task }
}

struct WriteError(String);

impl From<hound::Error> for WriteError {
    fn from(error: hound::Error) -> Self {
        match error {
            hound::Error::IoError(error) => error.into(),
            other => Self(other.to_string()),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<tokio::task::JoinError> for WriteError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self("its writer was stopped".to_owned())
    }
}

/// Follows orders until the recording is closed, and returns how many stereo samples it has; `None` when the recorder went
/// away without closing it.
///
/// The file travels to a blocking thread for each chunk and back, so that a call occupies such a thread for the moments
/// in which it writes only.
async fn write_all(
    disk: &Disk,
    open: impl FnOnce() -> io::Result<Box<dyn Sink>> + Send + 'static,
    mut orders: mpsc::Receiver<Order>,
) -> Result<Option<u64>, WriteError> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: RECORDING_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let begin = move || Ok::<Wav, WriteError>(hound::WavWriter::new(BufWriter::new(open()?), spec)?);
    let mut wav = disk.run(begin).await??;
    let mut samples = 0;
    while let Some(order) = orders.recv().await {
        let Order::Write(chunk) = order else {
            disk.run(move || wav.finalize()).await??;
            return Ok(Some(samples));
        };
        samples += chunk.len() as u64;
        wav = disk.run(move || append(wav, &chunk)).await??;
    }
    Ok(None)
}

fn append(mut wav: Wav, chunk: &[Stereo]) -> Result<Wav, WriteError> {
    for &sample in chunk.as_flattened() {
        wav.write_sample(sample)?;
    }
    Ok(wav)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::scratch_folder::ScratchFolder;
    use std::io::SeekFrom;

    fn begin_with(open: impl FnOnce() -> io::Result<Box<dyn Sink>> + Send + 'static, path: &Path) -> StereoRecorder {
        StereoRecorder::with_writer(0, spawn_writer(Disk::default(), open, part_path(path), path.to_owned()))
    }

    #[tokio::test]
    async fn both_sides_are_read_back_as_they_were() {
        let folder = ScratchFolder::new();
        let path = folder.join("call.wav");
        let mut recorder = StereoRecorder::begin(path.clone(), 120);
        let caller: Vec<i16> = (0..40_000).map(|n| (n % 3000) as i16).collect();
        let agent: Vec<i16> = caller.iter().map(|sample| -sample).collect();
        for (caller, agent) in caller.chunks(320).zip(agent.chunks(320)) {
            recorder.push(caller, agent);
        }
        let recording = recorder.finish().await;
        let file = recording.file.unwrap().unwrap();
        assert_eq!((file.path.as_path(), file.duration), (path.as_path(), Duration::from_millis(2_500)));
        assert_eq!(file.bytes, 44 + 40_000 * 4);
        assert_eq!(recording.waveform.unwrap().offset_ms, 120);

        let mut wav = hound::WavReader::open(&path).unwrap();
        assert_eq!((wav.spec().channels, wav.spec().sample_rate, wav.duration()), (2, 16_000, 40_000));
        let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().unwrap();
        assert!(samples.chunks(2).zip(caller.iter().zip(&agent)).all(|(pair, (c, a))| pair == [*c, *a]));
        assert_eq!(folder.names(), ["call.wav"]);
    }

    #[tokio::test]
    async fn a_shorter_side_is_filled_with_silence() {
        let folder = ScratchFolder::new();
        let path = folder.join("call.wav");
        let mut recorder = StereoRecorder::begin(path.clone(), 0);
        recorder.push(&[5, 5, 5], &[7]);
        recorder.push(&[6], &[8]);
        assert!(recorder.finish().await.file.unwrap().is_ok());
        let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().samples().map(Result::unwrap).collect();
        assert_eq!(samples, [5, 7, 5, 0, 5, 0, 6, 8]);
    }

    #[tokio::test]
    async fn a_call_without_audio_has_a_valid_empty_recording() {
        let folder = ScratchFolder::new();
        let path = folder.join("call.wav");
        let recording = StereoRecorder::begin(path.clone(), 0).finish().await;
        assert_eq!(recording.file.unwrap().unwrap().duration, Duration::ZERO);
        assert_eq!(recording.waveform, None);
        assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_ends_the_recording_and_is_named_as_the_reason() {
        let folder = ScratchFolder::new();
        let path = folder.join("call.wav");
        let full = || Ok(Box::new(OpenOptions::new().write(true).open("/dev/full")?) as Box<dyn Sink>);
        let mut recorder = begin_with(full, &path);
        for _ in 0..250 {
            recorder.push(&[1000; 320], &[0; 320]);
        }
        let recording = recorder.finish().await;
        let reason = recording.file.unwrap().unwrap_err();
        assert!(reason.contains("No space left"), "{reason}");
        assert!(recording.waveform.is_some(), "the outline needs no disk");
        assert!(folder.names().is_empty());
    }

    /// A disk that takes nothing until it is released.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Stuck {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn a_stuck_disk_never_holds_the_call_and_keeps_memory_bounded() {
        let folder = ScratchFolder::new();
        let (release, stuck) = std::sync::mpsc::channel();
        let mut recorder = begin_with(move || Ok(Box::new(Stuck(stuck)) as Box<dyn Sink>), &folder.join("call.wav"));
        let second = vec![3_i16; CHUNK_SAMPLES];
        for _ in 0..60 {
            recorder.push(&second, &second);
        }
        assert!(recorder.chunk.capacity() <= CHUNK_SAMPLES);
        drop(release);
        let reason = recorder.finish().await.file.unwrap().unwrap_err();
        assert!(reason.contains("behind"), "{reason}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_created_is_told_at_the_end() {
        let folder = ScratchFolder::new();
        let mut recorder = StereoRecorder::begin(folder.join("no/such/folder/call.wav"), 0);
        recorder.push(&[1; 320], &[1; 320]);
        assert!(recorder.finish().await.file.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_recorder_that_is_dropped_leaves_no_file() {
        let folder = ScratchFolder::new();
        let mut recorder = StereoRecorder::begin(folder.join("call.wav"), 0);
        recorder.push(&[1; 32_000], &[1; 32_000]);
        let Writer::Writing { queue, task } = recorder.writer else { panic!("a recorder that was begun writes") };
        drop(queue);
        assert_eq!(task.await.unwrap(), Err("it was abandoned".to_owned()));
        assert!(folder.names().is_empty());
    }

    #[tokio::test]
    async fn the_outline_needs_no_file() {
        let mut recorder = StereoRecorder::outline_only(0);
        recorder.push(&[300; 320], &[0; 320]);
        let recording = recorder.finish().await;
        assert_eq!(recording.file, None);
        assert_eq!(recording.waveform.unwrap().caller.iter().len(), 1);
    }
}
