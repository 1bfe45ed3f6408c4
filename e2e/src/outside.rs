//! Judges from outside the project: `tshark`, which decodes what was really on the wire, and a speech recogniser with
//! the speech server that uses it. `setup.sh` brings them; where one cannot be had, its tests say `skipped`, and fail
//! in CI.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Folder, PodBuilder, eventually};

/// Says that a test, or a part of it, could not be done and why.
///
/// # Panics
/// In CI (`CI` set in the environment): nothing may be skipped there.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "in CI nothing may be skipped: {why}");
    println!("skipped: {why}");
}

/// Lines as they come; the thread that reads them ends with `from`.
fn lines(from: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            locked(&kept).push(line);
        }
    });
    lines
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A capture of loopback's UDP packets by `tshark` while it runs.
#[derive(Debug)]
pub struct Capture {
    tshark: Child,
    printed: Arc<Mutex<Vec<String>>>,
    complained: Arc<Mutex<Vec<String>>>,
    /// Packets between these two show where the capture stands.
    probe: UdpSocket,
    sink: UdpSocket,
    folder: Folder,
    ports: Vec<u16>,
}

/// The file's name within its folder.
const CAPTURE: &str = "call.pcapng";
/// Lengths of the packets that show that the capture has begun, and that it has seen everything before its end.
const BEGINNING: &[u8] = &[0; 3];
const END: &[u8] = &[0; 5];

impl Capture {
    /// Begins to capture the packets from and to `ports`; everything from this function's return on is in it.
    ///
    /// # Errors
    /// Why it cannot be done here: no `tshark`, or no right to capture.
    pub async fn start(ports: &[u16]) -> Result<Self, String> {
        let bind = || UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string());
        let (probe, sink) = (bind()?, bind()?);
        let sink_port = sink.local_addr().map_err(|error| error.to_string())?.port();
        let filter =
            ports.iter().fold(format!("udp port {sink_port}"), |filter, port| format!("{filter} or udp port {port}"));
        let folder = Folder::new();
        let mut tshark = Command::new("tshark")
            .args(["-i", "lo", "-l", "-P", "-w", CAPTURE, "-f", &filter])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("tshark: {error}"))?;
        let out: ChildStdout = tshark.stdout.take().expect("it was asked for");
        let err: ChildStderr = tshark.stderr.take().expect("it was asked for");
        let (printed, complained) = (lines(out), lines(err));
        let mut capture = Self { tshark, printed, complained, probe, sink, folder, ports: ports.to_vec() };
        let began = eventually("tshark to capture", async || {
            if let Ok(Some(status)) = capture.tshark.try_wait() {
                let why = locked(&capture.complained).join("; ");
                return Some(Err(format!("tshark ended ({status}): {why}")));
            }
            capture.has_seen(BEGINNING).then_some(Ok(()))
        });
        began.await?;
        Ok(capture)
    }

    /// Sends a probe; says whether one was seen.
    fn has_seen(&self, probe: &[u8]) -> bool {
        let sink = self.sink.local_addr().expect("it is bound");
        let _ = self.probe.send_to(probe, sink);
        let ports = format!("{} Len={}", sink.port(), probe.len());
        locked(&self.printed).iter().any(|line| line.ends_with(&ports))
    }

    /// Ends the capture once all that was sent before is in it.
    ///
    /// # Panics
    /// When `tshark` does not do its part.
    pub async fn finish(mut self) -> Captured {
        eventually("tshark to see the end", async || self.has_seen(END).then_some(())).await;
        let id = Pid::from_raw(i32::try_from(self.tshark.id()).expect("process ids are positive"));
        kill(id, Signal::SIGINT).expect("tshark runs");
        eventually("tshark to end", async || self.tshark.try_wait().expect("a child can be waited for")).await;
        let dropped = locked(&self.complained).iter().find(|line| line.contains("dropped")).cloned();
        Captured { folder: std::mem::take(&mut self.folder), ports: self.ports.clone(), dropped }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tshark.kill();
        let _ = self.tshark.wait();
    }
}

/// What was on the wire.
#[derive(Debug)]
pub struct Captured {
    folder: Folder,
    ports: Vec<u16>,
    /// What `tshark` said about packets that it did not get itself.
    pub dropped: Option<String>,
}

impl Captured {
    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(CAPTURE)
    }

    /// What `tshark` prints with these arguments about the capture. The first port is RTP's, a second one RTCP's;
    /// payload type 101 is telephone-events, as the stand-in offers them.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn tshark(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(self.path()).args(["-d", "rtp.pt==101,rtpevent"]);
        for (port, protocol) in self.ports.iter().zip(["rtp", "rtcp"]) {
            command.args(["-d", &format!("udp.port=={port},{protocol}")]);
        }
        let output = command.args(arguments).output().expect("tshark ran a moment ago");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// These fields of all packets that pass the display filter, in order; empty where a packet has none.
    #[must_use]
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut arguments = vec!["-Y", filter, "-T", "fields", "-E", "separator=;", "-E", "occurrence=f"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", *field]));
        self.tshark(&arguments).lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
    }
}

/// The repository's root.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// Python with the recogniser, from `setup.sh`.
fn python() -> Result<Command, String> {
    let path = repository().join(".venv/bin/python");
    if !path.exists() {
        return Err("there is no .venv with a speech recogniser; run e2e/setup.sh".to_owned());
    }
    Ok(Command::new(path))
}

/// The speech server with a real recogniser and a real synthesiser; ends when dropped.
#[derive(Debug)]
pub struct SpeechServer {
    server: Child,
    /// Open as long as the server is to run.
    _input: ChildStdin,
    log: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl SpeechServer {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub async fn start() -> Result<Self, String> {
        let mut server = python()?
            .arg(repository().join("e2e/speech/openai_speech_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("python: {error}"))?;
        let input = server.stdin.take().expect("it was asked for");
        let printed = lines(server.stdout.take().expect("it was asked for"));
        let log = lines(server.stderr.take().expect("it was asked for"));
        let first = eventually("the speech server to serve", async || {
            if let Ok(Some(status)) = server.try_wait() {
                return Some(Err(format!("the speech server ended ({status}): {}", locked(&log).join("; "))));
            }
            locked(&printed).first().cloned().map(Ok)
        });
        let ready: Value = serde_json::from_str(&first.await?).map_err(|error| error.to_string())?;
        let url = ready["url"].as_str().expect("the server says where it is").to_owned();
        Ok(Self { server, _input: input, log, url })
    }

    /// Lets a pod use this server for all three stages.
    #[must_use]
    pub fn backend_of(&self, pod: PodBuilder) -> PodBuilder {
        ["TRANSCRIPTION", "GENERATION", "SPEECH"]
            .into_iter()
            .fold(pod.set("BACKEND", "openai"), |pod, stage| pod.set(&format!("{stage}_URL"), &self.url))
    }

    /// What its synthesiser says for `text`: mono samples at 24 kHz.
    ///
    /// # Panics
    /// When it does not.
    pub async fn speak(&self, text: &str) -> Vec<i16> {
        let body = serde_json::json!({ "input": text, "response_format": "pcm" }).to_string();
        let authority = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let head = "POST /v1/audio/speech HTTP/1.1\r\nHost: synthesiser\r\nConnection: close";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(authority).await.expect("the server runs");
        stream.write_all(request.as_bytes()).await.expect("the server listens");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the server answers");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end") + 4;
        answer[body..].chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
    }
}

impl Drop for SpeechServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            eprintln!("log of the speech server:\n{}", locked(&self.log).join("\n"));
        }
    }
}

/// The words in mono samples at 16 kHz, by the recogniser.
///
/// # Errors
/// Why it cannot be had here.
pub fn recognise(samples: &[i16]) -> Result<String, String> {
    let folder = Folder::new();
    let path = folder.path().join("heard.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).map_err(|error| error.to_string())?;
    for sample in samples {
        writer.write_sample(*sample).map_err(|error| error.to_string())?;
    }
    writer.finalize().map_err(|error| error.to_string())?;
    let output = python()?
        .arg(repository().join("e2e/speech/recognise.py"))
        .arg(&path)
        .output()
        .map_err(|error| format!("python: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let texts: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(texts[path.to_string_lossy().as_ref()].as_str().unwrap_or_default().to_owned())
}

/// The words of a text, without case and punctuation.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let separated = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    separated.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Words that would have to be put in, left out or changed to make `heard` of `said`: the numerator of the word error
/// rate.
#[must_use]
pub fn word_errors(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in heard.iter().enumerate() {
            let changed = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_errors_count_what_was_changed_left_out_and_put_in() {
        let said = words("Go forward, ten meters!");
        for (heard, errors) in [
            ("go forward ten meters", 0),
            ("go forward two meters", 1),
            ("go ten meters", 1),
            ("go forward by ten meters", 1),
            ("", 4),
            ("something else was said here today", 6),
        ] {
            assert_eq!(word_errors(&said, &words(heard)), errors, "{heard}");
        }
    }
}
