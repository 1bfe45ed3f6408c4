//! Backend requests of one call, each owned until it ends: what cancels a turn ends its requests, whatever was asked since,
//! and what drops them all ends them all. What they answer comes back over one bounded channel. It decides nothing: what
//! to ask, and what to make of the answer, is the conversation's matter.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::audio::{SampleRate, voicing};
use crate::backend::{BackendError, ReplyPart, SessionInfo, Stage, VoiceBackend};
use crate::turn::conversation::{ClipId, TurnId};
use crate::turn::history::Message;
use crate::turn::transcript::Sound;
use crate::worker::Utterance;

/// Answers that may wait for the call's task. A full channel holds the backend's stream up, nothing else.
const ANSWERS: usize = 64;
/// Characters of one piece of reply text; longer ones are cut into pieces, so that a queue of them stays small.
const PIECE_CHARS: usize = 1_024;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Transcribed {
        turn: TurnId,
        /// What was transcribed sounds like.
        sound: Sound,
        result: Result<String, BackendError>,
    },
    Reply {
        turn: TurnId,
        part: ReplyPart,
    },
    ReplyEnded {
        turn: TurnId,
        result: Result<(), BackendError>,
    },
    /// The first audio of a clip came from the backend.
    SpeechBegan {
        clip: ClipId,
        at: Instant,
    },
    /// No audio, or no more audio, of this clip can be had. `queued` says whether some of it came before.
    SpeechFailed {
        clip: ClipId,
        queued: bool,
        error: BackendError,
    },
}

/// The requests of one call. They end with it.
pub(super) struct Requests {
    backend: Arc<dyn VoiceBackend>,
    session: Arc<SessionInfo>,
    /// Those that may not have ended yet. Dropping one aborts it, and with it what it asked of the backend.
    open: HashMap<(TurnId, Stage), AbortOnDropHandle<()>>,
    answers: mpsc::Sender<Answer>,
}

impl Requests {
    pub(super) fn new(backend: Arc<dyn VoiceBackend>, session: Arc<SessionInfo>) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        (Self { backend, session, open: HashMap::new(), answers }, receiver)
    }

    /// How many have not ended.
    pub(super) fn open(&self) -> usize {
        self.open.values().filter(|request| !request.is_finished()).count()
    }

    /// Where other parts of the call put their answers.
    pub(super) fn answers(&self) -> mpsc::Sender<Answer> {
        self.answers.clone()
    }

    /// Asks for the text of `utterance`: of a turn's, or of one that goes on and is no turn's yet.
    pub(super) fn transcribe(&mut self, turn: TurnId, utterance: Utterance) {
        let backend = Arc::clone(&self.backend);
        let answers = self.answers.clone();
        self.own(turn, Stage::Transcribe, async move {
            let _ = answers.send(transcribed(&*backend, turn, &utterance).await).await;
        });
    }

    /// Asks for the reply to `text`.
    pub(super) fn generate(&mut self, turn: TurnId, text: String, history: Vec<Message>) {
        let backend = Arc::clone(&self.backend);
        let session = Arc::clone(&self.session);
        let answers = self.answers.clone();
        self.own(turn, Stage::Generate, async move {
            let result = match isolated(backend.generate(&text, &session, &history)).await {
                Ok(mut reply) => loop {
                    match isolated(async { reply.next().await.transpose() }).await.transpose() {
                        Some(Ok(ReplyPart::Text(text))) => {
                            for piece in pieces(&text) {
                                let part = ReplyPart::Text(piece.to_owned());
                                if answers.send(Answer::Reply { turn, part }).await.is_err() {
                                    return;
                                }
                            }
                        }
                        Some(Ok(part)) => {
                            if answers.send(Answer::Reply { turn, part }).await.is_err() {
                                return;
                            }
                        }
                        Some(Err(error)) => break Err(error),
                        None => break Ok(()),
                    }
                },
                Err(error) => Err(error),
            };
            let _ = answers.send(Answer::ReplyEnded { turn, result }).await;
        });
    }

    /// Ends the requests of `turn`, however many were made since; answers that are under way already may still come.
    pub(super) fn cancel(&mut self, turn: TurnId) {
        self.open.retain(|(other, _), _| *other != turn);
    }

    fn own(&mut self, turn: TurnId, stage: Stage, request: impl Future<Output = ()> + Send + 'static) {
        self.open.retain(|_, request| !request.is_finished());
        self.open.insert((turn, stage), AbortOnDropHandle::new(tokio::spawn(request)));
    }
}

async fn transcribed(backend: &dyn VoiceBackend, turn: TurnId, utterance: &Utterance) -> Answer {
    let result = isolated(backend.transcribe(&utterance.pcm, SampleRate::Hz16000)).await;
    Answer::Transcribed { turn, sound: Sound { voiced: voicing::voiced(&utterance.pcm) }, result }
}

/// Runs a backend's work so that a panic in it becomes an error of the request: the caller hears an apology, not silence.
pub(super) async fn isolated<T>(work: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
    let panicked =
        |_| Err(BackendError::invalid("expected an answer, but the backend failed by a fault of its own (panic)"));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(panicked)
}

/// `text` in pieces of at most [`PIECE_CHARS`] characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(PIECE_CHARS).map_or(rest.len(), |(index, _)| index);
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::stream;

    use super::*;
    use crate::backend::{ReplyStream, SpeechStream};

    /// A backend that counts the replies that it is writing, and writes them for ever.
    #[derive(Default)]
    struct Endless {
        open: Arc<AtomicUsize>,
    }

    struct Writing(Arc<AtomicUsize>);

    impl Drop for Writing {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl VoiceBackend for Endless {
        async fn transcribe(&self, _: &[i16], _: SampleRate) -> Result<String, BackendError> {
            Ok("words".to_owned())
        }

        async fn generate(&self, _: &str, _: &SessionInfo, _: &[Message]) -> Result<ReplyStream, BackendError> {
            self.open.fetch_add(1, Ordering::SeqCst);
            let writing = Writing(Arc::clone(&self.open));
            Ok(stream::once(async move {
                let _writing = writing;
                std::future::pending().await
            })
            .boxed())
        }

        async fn speak(&self, _: &str) -> Result<SpeechStream, BackendError> {
            Err(BackendError::invalid("expected nothing to be said"))
        }
    }

    fn utterance() -> Utterance {
        let now = Instant::now();
        Utterance { pcm: vec![0; 160], speech: Duration::from_millis(10), started: now, ended: now }
    }

    async fn until_open(open: &AtomicUsize, expected: usize) {
        let reached = async {
            while open.load(Ordering::SeqCst) != expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached)
            .await
            .unwrap_or_else(|_| panic!("expected {expected} open, came {}", open.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_turn_that_is_cancelled_ends_its_requests_whatever_was_asked_since() {
        let backend = Endless::default();
        let open = Arc::clone(&backend.open);
        let (mut requests, mut answers) = Requests::new(Arc::new(backend), Arc::default());
        requests.generate(TurnId(1), "a".to_owned(), Vec::new());
        until_open(&open, 1).await;
        requests.transcribe(TurnId(2), utterance());
        assert!(matches!(answers.recv().await, Some(Answer::Transcribed { turn: TurnId(2), .. })));
        requests.cancel(TurnId(1));
        until_open(&open, 0).await;

        requests.generate(TurnId(2), "b".to_owned(), Vec::new());
        until_open(&open, 1).await;
        drop(requests);
        until_open(&open, 0).await;
    }

    #[tokio::test]
    async fn requests_that_have_ended_are_forgotten() {
        let (mut requests, mut answers) = Requests::new(Arc::new(Endless::default()), Arc::default());
        for turn in 0..100 {
            requests.transcribe(TurnId(turn), utterance());
            assert!(answers.recv().await.is_some());
        }
        let forgotten = async {
            while requests.open.len() > 2 {
                requests.transcribe(TurnId(100), utterance());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), forgotten).await.expect("they are forgotten");
    }

    #[tokio::test]
    async fn a_backend_that_panics_is_a_backend_that_failed() {
        let result: Result<(), _> = isolated(async { panic!("a bug in a backend") }).await;
        assert_eq!(result.map_err(|error| error.kind()), Err(crate::backend::BackendErrorKind::Invalid));
        assert_eq!(isolated(async { Ok(7) }).await, Ok(7));
    }

    #[test]
    fn long_pieces_of_a_reply_are_cut_at_characters_and_nothing_is_lost() {
        let text = "é".repeat(PIECE_CHARS * 2 + 3);
        let cut: Vec<&str> = pieces(&text).collect();
        assert_eq!(cut.iter().map(|piece| piece.chars().count()).collect::<Vec<_>>(), [PIECE_CHARS, PIECE_CHARS, 3]);
        assert_eq!(cut.concat(), text);
        assert_eq!(pieces("").count(), 0);
    }
}
