//! Backend requests of one call: each turn's requests stand under one token, and what they answer comes back over one
//! bounded channel. It decides nothing: what to ask, and what to make of the answer, is the conversation's matter.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audio::{SampleRate, voicing};
use crate::backend::{BackendError, ReplyPart, SessionInfo, VoiceBackend};
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

/// The requests of one call.
pub(super) struct Requests {
    backend: Arc<dyn VoiceBackend>,
    session: Arc<SessionInfo>,
    call: CancellationToken,
    turns: HashMap<TurnId, CancellationToken>,
    answers: mpsc::Sender<Answer>,
}

impl Requests {
    /// Requests that end, at the latest, when `call` is cancelled.
    pub(super) fn new(
        backend: Arc<dyn VoiceBackend>,
        session: Arc<SessionInfo>,
        call: CancellationToken,
    ) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        (Self { backend, session, call, turns: HashMap::new(), answers }, receiver)
    }

    /// Where other parts of the call put their answers.
    pub(super) fn answers(&self) -> mpsc::Sender<Answer> {
        self.answers.clone()
    }

    /// Asks for the text of `utterance`.
    pub(super) fn transcribe(&mut self, turn: TurnId, utterance: Utterance) {
        let backend = Arc::clone(&self.backend);
        let answers = self.answers.clone();
        self.spawn(turn, async move {
            let _ = answers.send(transcribed(&*backend, turn, &utterance).await).await;
        });
    }

    /// Asks for the text of an utterance that goes on. No turn's request, and it stands in the way of none: it ends with
    /// the call, or by itself.
    pub(super) fn glimpse(&self, turn: TurnId, utterance: Utterance) {
        let (backend, answers, token) = (Arc::clone(&self.backend), self.answers.clone(), self.call.child_token());
        tokio::spawn(async move {
            let request = async {
                let _ = answers.send(transcribed(&*backend, turn, &utterance).await).await;
            };
            token.run_until_cancelled(request).await
        });
    }

    /// Asks for the reply to `text`.
    pub(super) fn generate(&mut self, turn: TurnId, text: String, history: Vec<Message>) {
        let backend = Arc::clone(&self.backend);
        let session = Arc::clone(&self.session);
        let answers = self.answers.clone();
        self.spawn(turn, async move {
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

    /// Ends the requests of `turn`; answers that are under way already may still come.
    pub(super) fn cancel(&mut self, turn: TurnId) {
        if let Some(token) = self.turns.remove(&turn) {
            token.cancel();
        }
    }

    fn spawn(&mut self, turn: TurnId, request: impl Future<Output = ()> + Send + 'static) {
        // A turn's requests follow one another; the older turns' tokens are of no use once a newer turn asks.
        self.turns.retain(|other, _| *other == turn);
        let token = self.turns.entry(turn).or_insert_with(|| self.call.child_token()).clone();
        tokio::spawn(async move { token.run_until_cancelled(request).await });
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
    use super::*;

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
