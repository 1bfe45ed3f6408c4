//! The agent's voice of one call: asks the backend to speak the clips, the next one while the present one still comes,
//! and feeds the media worker in the clips' order. It never decides what is said.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::requests::{Answer, isolated};
use crate::audio::{SampleRate, Samples};
use crate::backend::{BackendError, VoiceBackend};
use crate::turn::conversation::ClipId;
use crate::worker::StreamFeeder;

/// Clips that may wait to be fed; the conversation bounds its own queue below that.
const CLIPS: usize = 64;
/// Chunks of a clip that may wait while an earlier clip is being fed, or while the stream has enough: some have half a
/// second, and what waits in a connection costs the pod nothing.
const CHUNKS: usize = 4;
/// Clips that are asked of the backend ahead of the one being fed.
const AHEAD: usize = 2;

enum Source {
    Backend(String),
    Recording { rate: SampleRate, samples: Samples },
}

/// Samples of a clip, or why there are no more.
type Chunk = Result<(SampleRate, Samples), BackendError>;

/// Where feeding waits after a clip that failed, until it is known which of the next ones are still wanted.
#[derive(Default)]
struct Gate {
    opened: Notify,
    /// Few: of the clips that are out.
    dropped: Mutex<BTreeSet<ClipId>>,
}

impl Gate {
    fn drops(&self, clip: ClipId) -> bool {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).remove(&clip)
    }
}

/// Speaks the clips of one call.
pub(super) struct Voice {
    backend: Arc<dyn VoiceBackend>,
    feeder: StreamFeeder,
    answers: mpsc::Sender<Answer>,
    call: CancellationToken,
    /// Ends all that is queued, when the clips are cleared.
    current: CancellationToken,
    gate: Arc<Gate>,
    clips: mpsc::Sender<(ClipId, Source)>,
}

impl Voice {
    /// A voice that ends, at the latest, when `call` is cancelled.
    pub(super) fn new(
        backend: Arc<dyn VoiceBackend>,
        feeder: StreamFeeder,
        answers: mpsc::Sender<Answer>,
        call: CancellationToken,
    ) -> Self {
        let current = call.child_token();
        let gate = Arc::new(Gate::default());
        let clips = start(&backend, &feeder, &answers, &gate, &current);
        Self { backend, feeder, answers, call, current, gate, clips }
    }

    /// Queues `text`.
    pub(super) fn speak(&mut self, clip: ClipId, text: String) {
        self.queue(clip, Source::Backend(text));
    }

    /// Queues a recording, which cannot fail.
    pub(super) fn play(&mut self, clip: ClipId, rate: SampleRate, samples: Arc<[i16]>) {
        self.queue(clip, Source::Recording { rate, samples: samples.into() });
    }

    /// Forgets all clips that are not fed yet and stops asking for them. Call it before the stream's own `clear`.
    pub(super) fn clear(&mut self) {
        self.current.cancel();
        self.current = self.call.child_token();
        self.gate = Arc::new(Gate::default());
        self.clips = start(&self.backend, &self.feeder, &self.answers, &self.gate, &self.current);
    }

    /// How many clips wait to be asked for, and notes of those that are not wanted any more.
    pub(super) fn waiting(&self) -> usize {
        let dropped = self.gate.dropped.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.clips.max_capacity() - self.clips.capacity() + dropped
    }

    /// Forgets a clip that is not fed yet.
    pub(super) fn drop_clip(&self, clip: ClipId) {
        self.gate.dropped.lock().unwrap_or_else(PoisonError::into_inner).insert(clip);
    }

    /// Goes on after a clip that failed, with what was not dropped meanwhile.
    pub(super) fn go_on(&self) {
        self.gate.opened.notify_one();
    }

    fn queue(&mut self, clip: ClipId, source: Source) {
        if self.clips.try_send((clip, source)).is_err() {
            let error =
                BackendError::unavailable(format!("expected at most {CLIPS} clips to be waiting, came one more"));
            let _ = self.answers.try_send(Answer::SpeechFailed { clip, queued: false, error });
        }
    }
}

fn start(
    backend: &Arc<dyn VoiceBackend>,
    feeder: &StreamFeeder,
    answers: &mpsc::Sender<Answer>,
    gate: &Arc<Gate>,
    current: &CancellationToken,
) -> mpsc::Sender<(ClipId, Source)> {
    let (clips, waiting) = mpsc::channel(CLIPS);
    let (ordered, feeding) = mpsc::channel(AHEAD - 1);
    tokio::spawn(current.clone().run_until_cancelled_owned(ask(
        Arc::clone(backend),
        waiting,
        ordered,
        current.clone(),
    )));
    let feed = feed(feeder.clone(), answers.clone(), Arc::clone(gate), feeding);
    tokio::spawn(current.clone().run_until_cancelled_owned(feed));
    clips
}

/// Asks for the clips, [`AHEAD`] of the feeding at the most.
async fn ask(
    backend: Arc<dyn VoiceBackend>,
    mut waiting: mpsc::Receiver<(ClipId, Source)>,
    ordered: mpsc::Sender<(ClipId, mpsc::Receiver<Chunk>)>,
    current: CancellationToken,
) {
    while let Some((clip, source)) = waiting.recv().await {
        let (chunks, receiver) = mpsc::channel(CHUNKS);
        let Ok(place) = ordered.reserve().await else { return };
        place.send((clip, receiver));
        let request = request(Arc::clone(&backend), source, chunks);
        tokio::spawn(current.clone().run_until_cancelled_owned(request));
    }
}

async fn request(backend: Arc<dyn VoiceBackend>, source: Source, chunks: mpsc::Sender<Chunk>) {
    let text = match source {
        Source::Recording { rate, samples } => {
            let _ = chunks.send(Ok((rate, samples))).await;
            return;
        }
        Source::Backend(text) => text,
    };
    match isolated(backend.speak(&text)).await {
        Ok(mut speech) => {
            while let Some(chunk) = isolated(async { speech.chunks.next().await.transpose() }).await.transpose() {
                let failed = chunk.is_err();
                if chunks.send(chunk.map(|samples| (speech.rate, samples))).await.is_err() || failed {
                    return;
                }
            }
        }
        Err(error) => {
            let _ = chunks.send(Err(error)).await;
        }
    }
}

/// Hands the clips' chunks to the worker, one clip after the other, never more than it has room for. After one that failed it waits: what
/// would have come next may make no sense without.
async fn feed(
    feeder: StreamFeeder,
    answers: mpsc::Sender<Answer>,
    gate: Arc<Gate>,
    mut feeding: mpsc::Receiver<(ClipId, mpsc::Receiver<Chunk>)>,
) {
    while let Some((clip, mut chunks)) = feeding.recv().await {
        if gate.drops(clip) {
            continue;
        }
        let (mut queued, mut failure) = (false, None);
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok((_, samples)) if samples.is_empty() => {}
                Ok((rate, samples)) => {
                    let at = Instant::now();
                    feeder.play(clip, rate, samples);
                    if !std::mem::replace(&mut queued, true) {
                        let _ = answers.send(Answer::SpeechBegan { clip, at }).await;
                    }
                    feeder.room().await;
                }
                Err(error) => failure = Some(error),
            }
        }
        if !queued {
            // A backend that says nothing of a sentence has failed at it.
            failure.get_or_insert_with(|| BackendError::invalid("expected speech, came none"));
        }
        let Some(error) = failure else {
            feeder.end_clip(clip);
            continue;
        };
        let _ = answers.send(Answer::SpeechFailed { clip, queued, error }).await;
        if queued {
            feeder.break_clip_off(clip);
        }
        gate.opened.notified().await;
    }
}
