//! Where the demo leaves the call: a folder with names that stay the same from run to run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sofia_dataplane::record::CallRecord;

/// What the pod's names become.
const NAME: &str = "call";

/// The folder of `--out`.
pub struct Folder {
    path: PathBuf,
    as_given: PathBuf,
}

/// What is left of the call.
pub struct Kept {
    /// The record.
    pub record: CallRecord,
    /// How long the recording is, in seconds.
    pub recording_seconds: f64,
}

impl Folder {
    /// Makes the folder, and removes what an earlier run left there.
    ///
    /// # Errors
    /// It can't be made or written to.
    pub fn prepare(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)?;
        let folder = Self { path: path.canonicalize()?, as_given: path.to_owned() };
        for name in ["call.html", "call.wav", "call.json", "pod.log"] {
            match fs::remove_file(folder.path.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context(name),
                _ => {}
            }
        }
        Ok(folder)
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pod's log in it.
    pub fn log(&self) -> PathBuf {
        self.path.join("pod.log")
    }

    /// A file in it, as a person at the terminal would name it.
    pub fn shown(&self, name: &str) -> String {
        self.as_given.join(name).display().to_string()
    }

    /// Gives the page, the recording and the record that the pod wrote of the call `uuid` their names, in their links too.
    ///
    /// # Errors
    /// One of them is missing or not what it should be.
    pub fn collect(&self, uuid: &str) -> Result<Kept> {
        let stem = self.stem(uuid)?;
        for extension in ["json", "html"] {
            let from = self.path.join(format!("{stem}.{extension}"));
            let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
            fs::write(self.path.join(format!("{NAME}.{extension}")), text.replace(&stem, NAME))?;
            fs::remove_file(from)?;
        }
        let recording = self.path.join(format!("{NAME}.wav"));
        fs::rename(self.path.join(format!("{stem}.wav")), &recording).context("the recording")?;
        let wav = hound::WavReader::open(&recording).context("call.wav")?;
        let channels = wav.spec().channels;
        ensure!(channels == 2, "call.wav: expected caller and agent on two channels, came {channels}");
        let record = fs::read(self.path.join("call.json"))?;
        let record = serde_json::from_slice(&record).context("call.json")?;
        Ok(Kept { record, recording_seconds: f64::from(wav.duration()) / f64::from(wav.spec().sample_rate) })
    }

    /// The name that the pod gave the call, without extension.
    fn stem(&self, uuid: &str) -> Result<String> {
        let ending = format!("-{uuid}.json");
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(&ending)) {
                return Ok(name.trim_end_matches(".json").to_owned());
            }
        }
        anyhow::bail!("the pod wrote none of the call {uuid}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b8f-1";
    const STEM: &str = "20251122T120314Z-0b8f-1";

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("sofia-phone-demo-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).expect("the folder for temporary files can be written to");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write_call(folder: &Path, channels: u16) {
        let mut record = CallRecord::new(
            UUID,
            "+12025550143",
            "1000",
            "2025-11-22T12:03:14Z".parse().expect("a time"),
            sofia_dataplane::record::Privacy::Shown,
        );
        record.recording =
            sofia_dataplane::record::RecordingNote::Kept { file: format!("{STEM}.wav"), duration_ms: 10, bytes: 684 };
        let json = serde_json::to_string(&record).expect("a record has string keys");
        fs::write(folder.join(format!("{STEM}.json")), json).expect("writable");
        fs::write(folder.join(format!("{STEM}.html")), format!("<audio src=\"{STEM}.wav\">")).expect("writable");
        let spec = hound::WavSpec {
            channels,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(folder.join(format!("{STEM}.wav")), spec).expect("writable");
        for _ in 0..320 {
            wav.write_sample(0_i16).expect("writable");
        }
        wav.finalize().expect("writable");
    }

    #[test]
    fn the_files_get_their_names_and_still_find_each_other() {
        let scratch = Scratch::new();
        let folder = Folder::prepare(&scratch.0).expect("it is there");
        write_call(&scratch.0, 2);
        let kept = folder.collect(UUID).expect("all three are there");
        assert!((kept.recording_seconds - 0.01).abs() < 1e-9, "{}", kept.recording_seconds);
        let page = fs::read_to_string(scratch.0.join("call.html")).expect("it is there");
        assert_eq!(page, "<audio src=\"call.wav\">");
        let record = fs::read_to_string(scratch.0.join("call.json")).expect("it is there");
        assert!(record.contains("\"call.wav\"") && record.contains(UUID), "{record}");
        let mut left: Vec<_> =
            fs::read_dir(&scratch.0).expect("it is there").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["call.html", "call.json", "call.wav"]);
    }

    #[test]
    fn an_earlier_call_is_removed_and_a_missing_one_is_said() {
        let scratch = Scratch::new();
        fs::write(scratch.0.join("call.html"), "old").expect("writable");
        let folder = Folder::prepare(&scratch.0).expect("it is there");
        assert!(!scratch.0.join("call.html").exists());
        assert!(folder.collect(UUID).err().expect("there is none").to_string().contains(UUID));
    }

    #[test]
    fn a_recording_of_one_side_only_is_refused() {
        let scratch = Scratch::new();
        let folder = Folder::prepare(&scratch.0).expect("it is there");
        write_call(&scratch.0, 1);
        assert!(folder.collect(UUID).is_err());
    }
}
