//! What pods that were killed left in the folder of records: recordings without an end, and records as far as their calls went. They
//! are finished here, once it is certain that nobody writes to them any more. Delivers nothing by itself.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tracing::{info, warn};

use super::call::{CallRecord, Ending, RecordingNote};
use super::stereo::RECORDING_RATE_HZ;
use super::waveform::{PeakTrack, Waveform};

/// How long a file must have stayed as it is. Recordings grow every second, checkpoints show life every five; a disk may be eight behind.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Bytes before the first sample of a recording.
const WAV_HEADER: u64 = 44;
/// Bytes of an instant of both sides.
const FRAME: u64 = 4;
/// Samples of a side that are looked at together.
const BLOCK: usize = 8_000;
/// The longest checkpoint that is read, in bytes: a record's lists and texts are bounded.
const MAX_CHECKPOINT: u64 = 64 << 20;

/// Files of one folder that may have been left, with how they were when they were last looked at. Several pods may share the folder,
/// and their clocks may differ: a file is dead if it has not changed between two looks.
#[derive(Debug)]
pub(super) struct Leftovers {
    folder: PathBuf,
    seen: HashMap<String, (u64, Option<SystemTime>)>,
}

/// A call whose pod was lost.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) record: CallRecord,
    /// Its recording, which has its name now.
    pub(super) recording: Option<PathBuf>,
    /// To be deleted once the record is where it belongs.
    pub(super) claim: PathBuf,
}

/// What a file of such a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    /// A record as far as its call went.
    Checkpoint {
        stem: &'a str,
    },
    Recording {
        stem: &'a str,
    },
    /// A file that was being written when its writer ended.
    Scrap,
}

fn kind(name: &str) -> Option<Kind<'_>> {
    let name = name.strip_prefix('.')?;
    let (stem, rest) = name.split_once('.')?;
    let is_stem = stem.len() > 17 && stem.as_bytes()[8] == b'T' && stem.as_bytes()[15..17] == *b"Z-";
    match rest {
        "wav.part" if is_stem => Some(Kind::Recording { stem }),
        "json.part" | "html.part" | "call.part.new" if is_stem => Some(Kind::Scrap),
        _ if is_stem && (rest == "call.part" || rest.starts_with("call.part-")) => Some(Kind::Checkpoint { stem }),
        "part" if stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()) => Some(Kind::Scrap),
        _ => None,
    }
}

impl Leftovers {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, seen: HashMap::new() }
    }

    /// Looks once, and finishes what has stayed as it was since the last look. Blocks on the disk.
    pub(super) fn look(&mut self) -> io::Result<Vec<Lost>> {
        let dead = self.dead()?;
        let mut lost = Vec::new();
        for name in &dead {
            let finished = match kind(name) {
                Some(Kind::Checkpoint { stem }) => {
                    let wav = format!(".{stem}.wav.part");
                    // Its sound still grows: then the call runs.
                    if !dead.contains(&wav) && self.folder.join(&wav).exists() {
                        continue;
                    }
                    self.checkpoint(name, stem).map(|found| lost.extend(found))
                }
                Some(Kind::Recording { stem }) => {
                    let has_record = dead.iter().any(|other| kind(other) == Some(Kind::Checkpoint { stem }));
                    if has_record || self.folder.join(super::checkpoint::file_name(stem)).exists() {
                        continue;
                    }
                    self.recording(stem).map(drop)
                }
                Some(Kind::Scrap) | None => fs::remove_file(self.folder.join(name)),
            };
            match finished {
                // Another pod was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(name, %error, "what a lost pod left could not be finished"),
                Ok(()) => {}
            }
        }
        Ok(lost)
    }

    /// The names that have stayed as they were, in order.
    fn dead(&mut self) -> io::Result<Vec<String>> {
        let mut now = HashMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let Ok(entry) = entry else { continue };
            let Ok(name) = entry.file_name().into_string() else { continue };
            if kind(&name).is_some()
                && let Ok(data) = entry.metadata()
            {
                now.insert(name, (data.len(), data.modified().ok()));
            }
        }
        let mut dead: Vec<String> =
            now.iter().filter(|(name, is)| self.seen.get(*name) == Some(is)).map(|(name, _)| name.clone()).collect();
        dead.sort();
        self.seen = now;
        Ok(dead)
    }

    /// The record of a call that went no further. `None`: it can't be read.
    fn checkpoint(&self, name: &str, stem: &str) -> io::Result<Option<Lost>> {
        let claim = self.folder.join(format!(".{stem}.call.part-{:08x}", rand::random::<u32>()));
        fs::rename(self.folder.join(name), &claim)?;
        let mut json = Vec::new();
        let file = File::open(&claim)?;
        let mut last_seen = file.metadata()?.modified()?;
        file.take(MAX_CHECKPOINT).read_to_end(&mut json)?;
        let mut record: CallRecord = match serde_json::from_slice(&json) {
            Ok(record) => record,
            Err(error) => {
                warn!(stem, %error, "the record of a call whose pod was lost cannot be read");
                fs::remove_file(&claim)?;
                return Ok(None);
            }
        };
        let recording = match self.recording(stem) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                record.recording = RecordingNote::Dropped { reason: format!("it could not be finished: {error}") };
                None
            }
        };
        let recording = recording.map(|Finished { path, bytes, modified, waveform }| {
            last_seen = last_seen.max(modified);
            record.recording = RecordingNote::Kept {
                file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                duration_ms: (bytes - WAV_HEADER) / FRAME * 1_000 / u64::from(RECORDING_RATE_HZ),
                bytes,
            };
            record.waveform = waveform;
            path
        });
        record.close(Timestamp::try_from(last_seen).unwrap_or(record.ended_at), Ending::PodLost);
        info!(call = %record.call_id, "the record of a call whose pod was lost is finished");
        Ok(Some(Lost { record, recording, claim }))
    }

    /// Gives a recording its end and its name. `None`: there is not a sound in it.
    fn recording(&self, stem: &str) -> io::Result<Option<Finished>> {
        let part = self.folder.join(format!(".{stem}.wav.part"));
        let complete = match complete_wav(&part) {
            // It can't be told where its sound begins.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            complete => complete?,
        };
        let Some((bytes, modified, waveform)) = complete else {
            fs::remove_file(&part)?;
            return Ok(None);
        };
        let path = self.folder.join(format!("{stem}.wav"));
        fs::rename(&part, &path)?;
        Ok(Some(Finished { path, bytes, modified, waveform }))
    }
}

struct Finished {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
    waveform: Option<Waveform>,
}

/// Writes what the header could not know: how long the file is. Its last instant may be half written.
fn complete_wav(part: &Path) -> io::Result<Option<(u64, SystemTime, Option<Waveform>)>> {
    let mut file = OpenOptions::new().read(true).write(true).open(part)?;
    let data = file.metadata()?;
    let modified = data.modified()?;
    let mut header = [0; WAV_HEADER as usize];
    let sound = data.len().saturating_sub(WAV_HEADER) / FRAME * FRAME;
    if sound == 0 {
        return Ok(None);
    }
    file.read_exact(&mut header)?;
    if &header[..4] != b"RIFF" || &header[36..40] != b"data" {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected a WAV header of 44 bytes, came something else",
        ));
    }
    let length = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    file.set_len(WAV_HEADER + sound)?;
    for (at, bytes) in [(4, sound + WAV_HEADER - 8), (40, sound)] {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&length(bytes))?;
    }
    file.seek(SeekFrom::Start(WAV_HEADER))?;
    Ok(Some((WAV_HEADER + sound, modified, outline(io::BufReader::new(file))?)))
}

fn outline(mut sound: impl Read) -> io::Result<Option<Waveform>> {
    let mut peaks = PeakTrack::new(RECORDING_RATE_HZ);
    let mut bytes = vec![0; BLOCK * FRAME as usize];
    loop {
        let mut filled = 0;
        while filled < bytes.len() {
            match sound.read(&mut bytes[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return Ok(peaks.finish(0));
        }
        let side = |at: usize| -> Vec<i16> {
            let frames = bytes[..filled].chunks_exact(FRAME as usize);
            frames.map(|frame| i16::from_le_bytes([frame[at], frame[at + 1]])).collect()
        };
        peaks.push(&side(0), &side(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Privacy;
    use crate::record::checkpoint::{self, Checkpoint};
    use crate::record::disk::Disk;
    use crate::record::scratch_folder::ScratchFolder;
    use crate::record::stereo::StereoRecorder;

    const STEM: &str = "20251122T120314Z-0b8f";

    fn record() -> CallRecord {
        let mut record =
            CallRecord::new("0b8f", "+15550001", "1000", "2025-11-22T12:03:14Z".parse().unwrap(), Privacy::Masked);
        record.add_turn(crate::record::Turn { heard_text: "Hello.".to_owned(), ..Default::default() });
        record
    }

    /// A pod that was killed: its files stay, its tasks do not.
    async fn killed(folder: &ScratchFolder, frames: usize) {
        let runtime_of_the_pod =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (path, file) = (folder.path().to_owned(), folder.join(&checkpoint::file_name(STEM)));
        let wav = folder.join(&format!(".{STEM}.wav.part"));
        let pod = runtime_of_the_pod.spawn(async move {
            let mut recorder = StereoRecorder::begin(path.join(format!("{STEM}.wav")), 0);
            let checkpoint = Checkpoint::begin(&Disk::default(), &path, STEM, record());
            for _ in 0..frames {
                recorder.push(&[1_000; 320], &[-1_000; 320]);
                recorder.caught_up().await;
            }
            let written = || fs::metadata(&wav).is_ok_and(|data| data.len() > WAV_HEADER + 2 * 64_000 + 4);
            while !file.exists() || !written() {
                tokio::task::yield_now().await;
            }
            // Kept from their ends, as SIGKILL does.
            std::mem::forget((recorder, checkpoint));
        });
        pod.await.unwrap();
        // What it was about to write is written, and nothing after that.
        let down = move || runtime_of_the_pod.shutdown_timeout(std::time::Duration::from_secs(30));
        tokio::task::spawn_blocking(down).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_whose_pod_was_killed_has_its_record_and_its_sound() {
        let folder = ScratchFolder::new();
        killed(&folder, 150).await;
        let wav = folder.join(&format!(".{STEM}.wav.part"));
        // The writer's own buffer is lost with it; half an instant is what a write was cut at.
        let file = OpenOptions::new().write(true).open(&wav).unwrap();
        file.set_len(WAV_HEADER + 2 * 64_000 + 3).unwrap();
        let mut leftovers = Leftovers::new(folder.path().to_owned());
        assert!(leftovers.look().unwrap().is_empty(), "it may still be written to");
        let [lost] = <[Lost; 1]>::try_from(leftovers.look().unwrap()).unwrap();
        assert_eq!((lost.record.ending, lost.record.turns.len()), (Ending::PodLost, 1));
        let kept = RecordingNote::Kept { file: format!("{STEM}.wav"), duration_ms: 2_000, bytes: WAV_HEADER + 128_000 };
        assert_eq!(lost.record.recording, kept);
        assert!(lost.record.waveform.is_some());
        let mut read = hound::WavReader::open(lost.recording.unwrap()).unwrap();
        assert_eq!((read.spec().channels, read.duration()), (2, 32_000));
        assert!(read.samples::<i16>().all(|sample| sample.unwrap().abs() == 1_000));
        fs::remove_file(lost.claim).unwrap();
        assert_eq!(folder.names(), [format!("{STEM}.wav")]);
    }

    #[tokio::test]
    async fn a_call_that_runs_is_left_alone() {
        let folder = ScratchFolder::new();
        killed(&folder, 150).await;
        let wav = folder.join(&format!(".{STEM}.wav.part"));
        let mut leftovers = Leftovers::new(folder.path().to_owned());
        leftovers.look().unwrap();
        OpenOptions::new().append(true).open(wav).unwrap().write_all(&[0; 4]).unwrap();
        assert!(leftovers.look().unwrap().is_empty());
        assert_eq!(folder.names().len(), 2);
    }

    #[test]
    fn scraps_are_swept_up_and_what_is_not_ours_is_not_touched() {
        let folder = ScratchFolder::new();
        let ours = [
            format!(".{STEM}.html.part"),
            format!(".{STEM}.call.part.new"),
            format!(".{}.part", "0f".repeat(16)),
            format!(".{STEM}.wav.part"),
            format!(".{STEM}.call.part"),
        ];
        let others = [".notes.part".to_owned(), format!("{STEM}.json"), ".20251122T120314Z-x.txt.part".to_owned()];
        for name in ours.iter().chain(&others) {
            fs::write(folder.join(name), "not what it should be").unwrap();
        }
        let mut leftovers = Leftovers::new(folder.path().to_owned());
        for _ in 0..3 {
            assert!(leftovers.look().unwrap().is_empty());
        }
        let mut left = others.to_vec();
        left.sort();
        assert_eq!(folder.names(), left);
    }
}
